"""DataLoader: batches of a data set, in an order that a seed fixes and a state resumes; threads fetch ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count, islice, starmap
from typing import Any, Generic, TypeVar

import numpy as np

from tinytensor import random
from tinytensor.creation import tensor
from tinytensor.data.dataset import Dataset, IterableDataset, draws, gathers, generator_of, length, pass_key, sample
from tinytensor.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from tinytensor.data.workers import Workers
from tinytensor.ops.join import stack
from tinytensor.random import Generator
from tinytensor.tensor import Tensor, float64

__all__ = ["DataLoader", "default_collate", "default_convert"]

T_co = TypeVar("T_co", covariant=True)


def default_convert(data: Any) -> Any:
    """A sample with its arrays as Tensors, inside mappings and sequences too; anything else stays."""
    if isinstance(data, (np.ndarray, np.number, np.bool_)):
        a = np.asarray(data)
        return Tensor(a) if a.dtype.kind in "fiub" else data
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, (tuple, list)):
        return [default_convert(value) for value in data]
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch from samples: tensors and arrays of one shape are stacked, numbers become a tensor (floats float64, whole ones
    int64), strings a list; tuples, lists and mappings are collated part by part. ValueError or TypeError say what does not fit."""
    first = batch[0]
    if isinstance(first, Tensor):
        shapes = {tuple(t.shape) for t in batch}
        if len(shapes) > 1:
            raise ValueError(
                f"default_collate: tensors of shapes {sorted(shapes)} cannot be stacked: give a collate_fn"
            )
        return stack([t.detach() for t in batch])
    if isinstance(first, (np.ndarray, np.number, np.bool_)) and first.dtype.kind in "fiub":
        return default_collate([default_convert(value) for value in batch])
    if isinstance(first, (bool, int)):
        return tensor(list(batch))
    if isinstance(first, float):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in batch):
            raise ValueError(
                f"default_collate: samples of {len(first)} parts and of others in one batch: give a collate_fn"
            )
        parts = [default_collate(part) for part in zip(*batch)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    raise TypeError(
        f"default_collate: expected tensors, arrays, numbers, strings, or tuples, lists and mappings of these, got "
        f"{type(first).__name__}{f' of {first.dtype}' if isinstance(first, np.ndarray) else ''}: give a collate_fn"
    )


class DataLoader(Generic[T_co]):
    """Go through a data set in batches: `for x, y in DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)`.

    dataset: has `__getitem__` and `__len__`, or is an IterableDataset. batch_size: None gives single samples. shuffle: a new
    order each time, drawn from `generator` (None: manual_seed's). sampler gives indices, batch_sampler lists of them, in
    place of shuffle (and batch_size). drop_last: leave a shorter last batch out. collate_fn makes a batch of a list of
    samples (default_collate). num_workers: threads that fetch and collate, prefetch_factor batches each ahead; the order is
    the same. worker_init_fn is called in each with its number. Where nothing collates and the data set has `batch(indices)`, as
    TensorDataset and ImageDataset have, a batch is gathered at once. A data set that draws (an ImageDataset with a transform) gets
    a generator for each batch, made of one number drawn before the order and the batch's place in it: num_workers changes no bit.

    An exception in a thread is raised where the batch would have come. `state_dict()` says where in which order the loader is;
    `load_state_dict` goes on there. ValueError for arguments that contradict each other.
    """

    def __init__(
        self,
        dataset: Dataset[T_co] | Sequence[Any],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Sequence[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        worker_init_fn: Callable[[int], None] | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
    ) -> None:
        stream = isinstance(dataset, IterableDataset)
        if num_workers < 0:
            raise ValueError(f"DataLoader: num_workers must be at least 0, got {num_workers}")
        if prefetch_factor is not None and (num_workers == 0 or prefetch_factor < 1):
            raise ValueError(
                f"DataLoader: prefetch_factor={prefetch_factor} must be at least 1 and needs num_workers > 0, got {num_workers}"
            )
        if worker_init_fn is not None and num_workers == 0:
            raise ValueError("DataLoader: worker_init_fn needs num_workers > 0")
        if stream and (shuffle or sampler is not None or batch_sampler is not None or num_workers):
            raise ValueError(
                "DataLoader: a stream (IterableDataset) takes no shuffle, sampler, batch_sampler or num_workers: it has no indices"
            )
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude each other")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last needs a batch_size")
        if batch_size is not None and (
            isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1
        ):
            raise ValueError(f"DataLoader: batch_size must be None or a whole number >= 1, got {batch_size!r}")
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        self.collate_fn = collate_fn
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.drop_last = drop_last
        self.batch_size = None if batch_sampler is not None else batch_size
        self.sampler: Any = sampler
        self.batch_sampler: Any = batch_sampler
        if not stream and batch_sampler is None:
            if sampler is None:
                length(dataset)
                self.sampler = (
                    RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)  # type: ignore[arg-type]
                )
            if batch_size is not None:
                self.batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self._start: dict[str, int] | None = None  # of the generator, before the order under way was drawn
        self._position = 0  # batches of it that came out
        self._resume = False
        self._key = 0  # of the pass under way, where the data set draws

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            n = length(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    # --- state ------------------------------------------------------------------------------------
    def _source(self) -> Generator:
        """Where the order is drawn from: a sampler's own generator (None: manual_seed's), else the loader's."""
        chosen = getattr(self.batch_sampler, "sampler", self.batch_sampler) if self.sampler is None else self.sampler
        own = getattr(chosen, "generator", self.generator)
        return own if isinstance(own, Generator) else random.default_generator

    def state_dict(self) -> dict[str, Any]:
        """How many batches of the order under way came out (`position`), the generator's state from which that order was
        drawn (`start`; None between two) and its state now (`generator`). Numbers alone: fit for JSON."""
        return {"position": self._position, "start": self._start, "generator": self._source().get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a loader of the same data and arguments was: the next `iter` gives the batches that it had still to
        give, and the ones after that its later orders. A sampler of your own must give the same order again by itself."""
        missing = {"position", "start", "generator"} - set(state)
        if missing:
            raise ValueError(f"DataLoader: this is no state of a loader: it lacks {sorted(missing)}")
        self._position, self._start = int(state["position"]), state["start"]
        self._resume = self._start is not None
        self._source().set_state(state["generator"])

    def _tasks(self) -> Iterator[tuple[Any, ...]]:
        """What `_fetch` is called with in one pass: indices, and a generator where the data set draws."""
        indices = self._indices()
        if not draws(self.dataset):
            return zip(indices)
        return zip(indices, map(partial(generator_of, self._key), count(self._position)))

    def _indices(self) -> Iterator[Any]:
        """The indices (or lists of them) of one pass; the state of a pass begun is that before its order was drawn."""
        chosen = self.sampler if self.batch_sampler is None else self.batch_sampler
        source = self._source()
        if not self._resume:
            self._start, self._position = source.get_state(), 0
            self._key = pass_key(source) if draws(self.dataset) else 0
            order = iter(chosen)
            return chain(list(islice(order, 1)), order)  # the first one is taken here: a sampler draws when it is asked
        self._resume = False
        assert self._start is not None
        now = source.get_state()
        source.set_state(self._start)
        self._key = pass_key(source) if draws(self.dataset) else 0
        whole = list(chosen)
        source.set_state(now)
        return islice(iter(whole), self._position, None)

    # --- fetching ---------------------------------------------------------------------------------
    def _fetch(self, chosen: Any, *generator: Generator) -> Any:
        data: Any = self.dataset
        own = generator[0] if generator else None
        if self.batch_sampler is None:
            return (self.collate_fn or default_convert)(sample(data, chosen, own))
        if self.collate_fn is None and gathers(data):
            return data.batch(np.asarray(chosen, np.int64), *generator)
        return (self.collate_fn or default_collate)([sample(data, i, own) for i in chosen])

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.dataset, IterableDataset):
            return self._counted(self._streamed(self.dataset))
        tasks = self._tasks()
        return self._counted(starmap(self._fetch, tasks) if self.num_workers == 0 else self._fetched_ahead(tasks))

    def _counted(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            self._position += 1
            yield batch
        self._start, self._position = None, 0

    def _streamed(self, stream: IterableDataset[Any]) -> Iterator[Any]:
        samples = iter(stream)
        if self._resume:
            raise ValueError(
                "DataLoader: a stream (IterableDataset) cannot be resumed in the middle: it has no indices"
            )
        self._start, self._position = self._source().get_state(), 0
        if self.batch_size is None:
            yield from map(self.collate_fn or default_convert, samples)
            return
        while batch := list(islice(samples, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield (self.collate_fn or default_collate)(batch)

    def _fetched_ahead(self, tasks: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
        workers = Workers(self.num_workers, self.worker_init_fn, self._fetch)
        try:
            ahead = islice(tasks, self.num_workers * self.prefetch_factor)
            waiting = deque(workers.ask(*task) for task in ahead)
            while waiting:
                batch = waiting.popleft()()
                waiting.extend(workers.ask(*task) for task in islice(tasks, 1))
                yield batch
        finally:
            workers.close()
