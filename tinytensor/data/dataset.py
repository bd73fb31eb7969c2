"""Data sets: what has a length and gives a sample for an index, with PyTorch's names."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from math import floor, isclose
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np

from tinytensor import _kernels
from tinytensor.random import Generator, randint, randperm
from tinytensor.tensor import Tensor, check_dtype, get_default_dtype

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ConcatDataset", "Dataset", "ImageDataset", "IterableDataset", "Subset", "TensorDataset", "random_split"]

T_co = TypeVar("T_co", covariant=True)
Indices: TypeAlias = "npt.NDArray[np.int64]"


class Dataset(Generic[T_co]):
    """Base class of data sets. Subclasses define `__getitem__(index)` and, to be shuffled or split, `__len__`.

    One that draws random numbers sets `draws` to True and defines `sample(index, generator)`, and if it gives whole batches
    `batch(indices, generator)`: a DataLoader then hands each batch a generator of its own, so that what is drawn depends
    neither on threads nor on where an order is resumed."""

    draws: bool = False  # whether samples are drawn at random

    def sample(self, index: Any, generator: Generator | None = None) -> T_co:
        """The sample at `index`; one that draws takes its numbers from `generator` (default: manual_seed's)."""
        return self[index]

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index)")

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Base class of streams: subclasses define `__iter__`; there is no index and no shuffling."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors (N, ...) side by side: sample i is each one's row i. ValueError where their first sizes differ."""

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor | npt.NDArray[Any]) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        self.tensors = tuple(t if isinstance(t, Tensor) else Tensor(np.asarray(t)) for t in tensors)
        shapes = [tuple(t.shape) for t in self.tensors]
        if any(not s or s[0] != shapes[0][0] for s in shapes):
            raise ValueError(f"TensorDataset: the first dimensions must be equal, got shapes {shapes}")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def batch(self, indices: Indices) -> list[Tensor]:
        """The rows at `indices` of each tensor, gathered at once: what a DataLoader asks for where it collates nothing itself."""
        return [Tensor._new(_kernels.owned(t.detach().numpy().take(indices, 0))) for t in self.tensors]


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """Images (N, ...) of bytes or floats with whole-number labels (N,). A sample is (image * scale + shift, label), scale being 1 / 255
    for bytes and 1 for floats where none is given, the image in `dtype` (default: get_default_dtype()); a batch is gathered and scaled in one pass in C. transform: one of
    tinytensor.data.transforms, or any callable on a Tensor, changes the scaled images, a batch (B, ...) at once.

    ValueError for sizes that do not fit, TypeError for other dtypes."""

    def __init__(
        self,
        images: Tensor | npt.NDArray[Any],
        labels: Tensor | npt.NDArray[Any],
        dtype: npt.DTypeLike | None = None,
        scale: float | None = None,
        shift: float = 0.0,
        transform: Callable[..., Any] | None = None,
    ) -> None:
        self.images = np.ascontiguousarray(images.detach().numpy() if isinstance(images, Tensor) else images)
        whole = np.asarray(labels.detach().numpy() if isinstance(labels, Tensor) else labels)
        if self.images.dtype.name not in ("uint8", "float32", "float64") or whole.dtype.kind not in "ui":
            raise TypeError(
                "ImageDataset: expected uint8, float32 or float64 images and integer labels, "
                f"got {self.images.dtype} and {whole.dtype}"
            )
        if self.images.ndim < 1 or whole.shape != self.images.shape[:1]:
            raise ValueError(
                f"ImageDataset: expected images (N, ...) and labels (N,), got {self.images.shape} and {whole.shape}"
            )
        self.labels = whole.astype(np.int64, copy=False)
        self.dtype = get_default_dtype() if dtype is None else check_dtype(dtype, "ImageDataset")
        self.scale, self.shift = scale_of(scale, self.images), float(shift)
        self.transform = transform
        check_transform(transform, self.images.shape, "ImageDataset")

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether there is a transform."""
        return self.transform is not None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.sample(index)

    def sample(self, index: int, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Image and label at `index`; the transform draws from `generator` (default: manual_seed's)."""
        i = range(len(self))[index]  # negative ones from the end, IndexError outside
        x, y = self.batch(np.array([i]), generator)
        return x[0], y[0]

    def batch(self, indices: Indices, generator: Generator | None = None) -> list[Tensor]:
        """Images and labels at `indices`; the transform draws from `generator` (default: manual_seed's)."""
        x = Tensor._new(_kernels.gather_rows(self.images, indices, self.dtype, self.scale, self.shift))
        if self.transform is not None:
            from tinytensor.data.transforms import transformed  # loaded by programs that have one

            x = transformed(self.transform, x, generator)
        return [x, Tensor._new(_kernels.owned(self.labels.take(indices)))]


class Subset(Dataset[T_co]):
    """The samples of a data set at given indices, in their order."""

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> T_co:
        return self.dataset[self.indices[index]]

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether the data set draws."""
        return draws(self.dataset)

    def sample(self, index: Any, generator: Generator | None = None) -> T_co:
        """Sample `index` of these, as the data set draws it from `generator`."""
        drawn: T_co = sample(self.dataset, self.indices[index], generator)
        return drawn

    def __getattr__(self, name: str) -> Any:
        if name != "batch" or not gathers(self.dataset):  # where it has none we have none
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._batch

    def _batch(self, indices: Indices, *generator: Generator) -> Any:
        own: Any = self.indices
        if not isinstance(own, np.ndarray):  # no copy of a long list for every batch
            return self.dataset.batch(np.array([int(own[i]) for i in indices.tolist()], np.int64), *generator)  # type: ignore[attr-defined]
        return self.dataset.batch(own[indices].astype(np.int64, copy=False), *generator)  # type: ignore[attr-defined]


class ConcatDataset(Dataset[T_co]):
    """Data sets one after the other. ValueError for none, TypeError for a stream."""

    def __init__(self, datasets: Sequence[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one data set")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise TypeError("ConcatDataset: a stream (IterableDataset) has no length and cannot be joined")
        self.cumulative_sizes = list(accumulate(length(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def _place(self, index: int) -> tuple[Dataset[T_co], int]:
        i = range(len(self))[index]
        which = bisect_right(self.cumulative_sizes, i)
        return self.datasets[which], i - (self.cumulative_sizes[which - 1] if which else 0)

    def __getitem__(self, index: int) -> T_co:
        dataset, i = self._place(index)
        return dataset[i]

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether one of the data sets draws."""
        return any(map(draws, self.datasets))

    def sample(self, index: int, generator: Generator | None = None) -> T_co:
        """Sample `index`, as its data set draws it from `generator`."""
        drawn: T_co = sample(*self._place(index), generator)
        return drawn


def draws(dataset: Any) -> bool:
    """Whether a data set (or what serves as one, such as a list) draws random numbers."""
    return isinstance(dataset, Dataset) and bool(dataset.draws)


def gathers(dataset: Any) -> bool:
    """Whether a data set has `batch(indices)`. What others call so, or an attribute that is a number, is none."""
    return isinstance(dataset, Dataset) and callable(getattr(dataset, "batch", None))


def sample(dataset: Any, index: Any, generator: Generator | None) -> Any:
    """dataset[index], drawn from `generator` by one that draws."""
    return dataset.sample(index, generator) if draws(dataset) else dataset[index]


def pass_key(source: Generator | None) -> int:
    """What the batches of one pass draw with: itself drawn from `source` (default: manual_seed's), so that passes differ."""
    return int(randint(0, 2**63 - 1, (1,), generator=source).item())


def generator_of(key: int, number: int) -> Generator:
    """The generator of batch `number` in the pass of `key`: 2^32 counters are its own."""
    generator = Generator(key)
    generator.take(number << 32)
    return generator


def scale_of(scale: float | None, images: npt.NDArray[Any]) -> float:
    """What images are multiplied by: where nothing is said, bytes become fractions and floats stay as they are."""
    return (1 / 255 if images.dtype == np.uint8 else 1.0) if scale is None else float(scale)


def check_transform(transform: Any, shape: tuple[int, ...], name: str) -> None:
    """TypeError for what cannot be called, ValueError for a transform of images that are none."""
    if transform is None:
        return
    if not callable(transform):
        raise TypeError(f"{name}: transform must be callable, got {type(transform).__name__}")
    from tinytensor.data.transforms import Transform

    if isinstance(transform, Transform) and len(shape) not in (3, 4):
        raise ValueError(f"{name}: {transform!r} needs images (N, H, W) or (N, C, H, W), got {shape}: reshape them")


def length(dataset: Any) -> int:
    """len(dataset). TypeError that says what to define where there is none."""
    if not hasattr(dataset, "__len__"):
        raise TypeError(f"{type(dataset).__name__} has no length: define __len__")
    return len(dataset)


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[T_co]]:
    """Divide a data set at random into parts of these lengths, or of these fractions (which sum to 1; what rounding leaves
    goes to the first parts, one each). The order is drawn from `generator` (default: manual_seed's). ValueError where they do
    not add up."""
    count = length(dataset)
    whole = not any(isinstance(n, float) and not n.is_integer() for n in lengths)
    sizes = [int(n) if whole else -1 for n in lengths]
    if any(isinstance(n, float) for n in lengths) and isclose(sum(lengths), 1):
        if any(not 0 <= n <= 1 for n in lengths):
            raise ValueError(f"random_split: fractions must lie between 0 and 1, got {list(lengths)}")
        sizes = [floor(count * n) for n in lengths]
        for i in range(count - sum(sizes)):
            sizes[i % len(sizes)] += 1
    if sum(sizes) != count or any(n < 0 for n in sizes):
        raise ValueError(f"random_split: lengths {list(lengths)} do not add up to the {count} samples (nor to 1)")
    order: Any = randperm(count, generator=generator).numpy()
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - n : end]) for n, end in zip(sizes, ends)]
