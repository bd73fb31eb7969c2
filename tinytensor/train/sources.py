"""Data of a training as batches, epoch after epoch, with a position that a checkpoint holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import random
from tinytensor.creation import from_numpy
from tinytensor.data import (
    DataLoader,
    ImageDataset,
    IterableDataset,
    Subset,
    TensorDataset,
    default_convert,
    random_split,
)
from tinytensor.data.dataset import gathers
from tinytensor.random import Generator, randperm
from tinytensor.tensor import Tensor, get_default_dtype

if TYPE_CHECKING:
    import numpy.typing as npt

    from tinytensor.nn import Module

__all__ = ["Source", "dataset_of", "find_generators", "float_dtype", "pair", "set_states", "split", "unpack"]


class Source:
    """Batches, epoch after epoch: `epoch()` iterates over the next one; `size` and `samples` say how many batches and samples it
    has, None where that is not known; `position` counts the batches of the epoch under way that came out."""

    def __init__(
        self,
        batches: Iterable[Any] | Callable[[], Iterable[Any]],
        name: str,
        size: int | None = None,
        samples: int | None = None,
        dataset: Any = None,
        order: Mapping[str, Any] | None = None,
    ) -> None:
        self._batches = batches
        self._dataset = dataset
        self._order = dict(order or {})
        self._content: int | None = None
        self._name = name
        self.size = size
        self.samples = samples
        self.position = 0
        # A loader over a stream has no order to resume: it is skipped forward, like any other iterable.
        self._loader = (
            batches if isinstance(batches, DataLoader) and not isinstance(batches.dataset, IterableDataset) else None
        )
        self._skip = 0
        self._over = self._resumed = False

    def epoch(self) -> Iterator[Any]:
        """The batches of an epoch; after `load_state_dict`, those that were still to come of the one under way."""
        if self._over:
            return self._counted(iter(()))
        made = self._batches if isinstance(self._batches, Iterable) else self._batches()
        found = iter(made)
        if self._skip:
            skipped = sum(1 for _ in islice(found, self._skip))
            if skipped < self._skip:
                raise ValueError(
                    f"fit: the {self._name} gave {skipped} batches, the checkpoint was written after {self._skip} of an epoch: "
                    "to resume, they must be the same batches again"
                )
            self._skip = 0
        elif not (self._loader is not None and self._resumed):
            self.position = 0
        self._resumed = False
        return self._counted(found)

    def _counted(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            self.position += 1
            yield batch
        self._over = True

    def describe(self) -> dict[str, Any]:
        """What the data must have in common with those that a checkpoint was written with."""
        if self._content is None:
            self._content = _content(self._dataset)
        return {"samples": self.samples, "batches": self.size, **self._order, "content": self._content}

    def next_epoch(self) -> None:
        """Say that the epoch under way is over."""
        self.position = self._skip = 0
        self._over = self._resumed = False

    def state_dict(self) -> dict[str, Any]:
        """Position, and the loader's own state where there is one. Numbers alone."""
        state: dict[str, Any] = {"position": self.position, "over": self._over}
        if self._loader is not None:
            state["loader"] = self._loader.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a source of the same data was."""
        self.position = int(state["position"])
        self._over, self._resumed = bool(state["over"]), True
        if self._loader is not None:
            self._loader.load_state_dict(state["loader"])
        else:
            self._skip = self.position


class _Order:
    """Index arrays of an epoch's batches: what BatchSampler gives, without a Python number per sample."""

    def __init__(self, count: int, batch_size: int, shuffle: bool, generator: Generator | None, plain: bool) -> None:
        self._count = count
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._generator = generator
        self._plain = plain  # ints for data sets that are asked for one sample at a time

    def __len__(self) -> int:
        return -(-self._count // self._batch_size)

    def __iter__(self) -> Iterator[Any]:
        order: npt.NDArray[np.int64] = (
            randperm(self._count, generator=self._generator).numpy() if self._shuffle else np.arange(self._count)
        )
        for start in range(0, self._count, self._batch_size):
            chosen = order[start : start + self._batch_size]
            yield chosen.tolist() if self._plain else chosen


def dataset_of(data: Any, dtype: np.dtype[Any]) -> Any | None:
    """A data set with `len` and indices: of a tuple of tensors or arrays, or the one given; None for data that comes as batches.
    NumPy arrays of floats take `dtype`, whole numbers and Tensors stay. ValueError where the first sizes differ."""
    if isinstance(data, (tuple, list)) and len(data) >= 2 and all(isinstance(v, (Tensor, np.ndarray)) for v in data):
        return TensorDataset(*(_tensor(v, dtype) for v in data))
    if isinstance(data, (DataLoader, IterableDataset, tuple, list, Mapping, Tensor, np.ndarray, str)):
        return None
    return data if hasattr(data, "__getitem__") and hasattr(data, "__len__") else None


def _content(dataset: Any) -> int | None:
    """CRC-32 of the arrays of our own data sets, of at most 256 MB of each; None for others."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    if isinstance(dataset, TensorDataset):
        arrays = [t.detach().numpy() for t in dataset.tensors]
    elif isinstance(dataset, ImageDataset):
        arrays = [dataset.images, dataset.labels]
    else:
        return None
    import zlib

    found = 0
    for a in arrays:
        found = zlib.crc32(
            np.ascontiguousarray(a[:: max(1, -(-a.nbytes // 2**28))]).reshape(-1).view(np.uint8).data, found
        )
    return found


def pair(
    name: str,
    data: Any,
    dataset: Any | None,
    batch_size: int,
    shuffle: bool = False,
    generator: Generator | None = None,
) -> Source:
    """The batches of `dataset`, or of `data` where that comes as batches. TypeError for what is neither, ValueError for none."""
    if dataset is not None:
        count = len(dataset)
        if not count:
            raise ValueError(f"{name}: no samples: expected at least one")
        order = _Order(count, batch_size, shuffle, generator, plain=not gathers(dataset))
        loader: Any = DataLoader(dataset, batch_sampler=order, generator=generator)
        return Source(loader, name, len(order), count, dataset, {"batch_size": batch_size, "shuffle": shuffle})
    if isinstance(data, IterableDataset):
        data = DataLoader(data, batch_size)
    known = isinstance(data, (Tensor, np.ndarray, Mapping, str)) or not (isinstance(data, Iterable) or callable(data))
    if known:
        raise TypeError(
            f"{name}: expected (inputs, targets) as tensors or arrays, a Dataset, a DataLoader, or an iterable of batches, "
            f"got {type(data).__name__}"
        )
    size = len(data) if hasattr(data, "__len__") and not _endless(data) else None
    if size == 0:
        raise ValueError(f"{name}: no batches: expected at least one")
    return Source(data, name, size, _samples(data))


def _samples(data: Any) -> int | None:
    """How many samples a loader gives, where that is known."""
    if not isinstance(data, DataLoader) or data.batch_size is None or not hasattr(data.sampler, "__len__"):
        return None
    count = len(data.sampler)
    return count - count % data.batch_size if data.drop_last else count


def _endless(data: Any) -> bool:
    """Whether `len` is not to be trusted: a loader of a stream without a length."""
    return (
        isinstance(data, DataLoader)
        and isinstance(data.dataset, IterableDataset)
        and not hasattr(data.dataset, "__len__")
    )


def split(dataset: Any, validation: Any, generator: Generator | None) -> tuple[Any, Any]:
    """Training and validation part, drawn at random. ValueError unless both have a sample."""
    count = len(dataset)
    if isinstance(validation, (float, np.floating)):
        held = round(count * float(validation)) if math.isfinite(validation) else 0
    else:
        held = int(validation)
    if not 0 < held < count:
        raise ValueError(
            f"fit: validation={validation} holds {held} of {count} samples out, which leaves {count - held} to train on: expected "
            "a share between 0 and 1, or a count below that of the samples"
        )
    kept, out = random_split(dataset, [count - held, held], generator)
    return kept, out


def unpack(batch: Any, name: str) -> tuple[tuple[Any, ...], Any, int]:
    """Inputs, targets and number of samples of a batch (inputs..., targets). TypeError for others, ValueError for an empty one."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise TypeError(
            f"{name}: expected batches (inputs, targets), got {type(batch).__name__}"
            + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
        )
    if type(batch[0]) is not Tensor or type(batch[-1]) is not Tensor:
        batch = default_convert(batch)
    targets = batch[-1]
    sized = targets if isinstance(targets, Tensor) else batch[0]
    if not isinstance(sized, Tensor) or sized.dim() == 0:
        raise TypeError(
            f"{name}: expected batches of Tensors or arrays with the samples along the first dimension, got "
            f"inputs {_brief(batch[0])} and targets {_brief(targets)}"
        )
    count = sized.shape[0]
    if not count:
        raise ValueError(f"{name}: a batch without samples: expected at least one")
    return tuple(batch[:-1]), targets, count


def float_dtype(model: Module) -> np.dtype[Any]:
    """The dtype of a model's first parameter, the default one where it has none."""
    return next((p.dtype for p in model.parameters()), get_default_dtype())


def find_generators(*owners: Any) -> list[Generator]:
    """The default generator, and every other one that is among `owners`, or up to four attributes deep in them."""
    found = [random.default_generator]
    seen: set[int] = set()

    def look(value: Any, depth: int) -> None:
        if isinstance(value, Generator):
            if all(value is not g for g in found):
                found.append(value)
            return
        if not depth or id(value) in seen or isinstance(value, (Tensor, np.ndarray, str, type)):
            return
        seen.add(id(value))
        if isinstance(value, (tuple, list)):
            parts = list(value[:64])
        elif isinstance(value, Mapping):
            parts = list(value.values())[:64]
        else:  # `keywords`: of functools.partial
            parts = [getattr(value, "keywords", None), *getattr(value, "__dict__", {}).values()]
        for part in parts:
            look(part, depth - 1)

    for owner in owners:
        look(owner, 4)
    return found


def set_states(generators: list[Generator], states: list[dict[str, int]]) -> None:
    """Put generators where `get_state` saw them."""
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


def _tensor(value: Any, dtype: np.dtype[Any]) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return Tensor(value.astype(dtype, copy=False)) if value.dtype.kind == "f" else from_numpy(_whole(value))


def _whole(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return value if value.dtype.name in ("bool", "uint8", "int64") else value.astype(np.int64)


def _brief(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
