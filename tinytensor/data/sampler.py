"""Samplers: the order in which a data set is gone through, with PyTorch's names. Random ones draw from our generator, so that a
seed gives one order on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from tinytensor.random import Generator, rand, randint, randperm
from tinytensor.tensor import Tensor

__all__ = [
    "BatchSampler", "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler", "WeightedRandomSampler",
]  # fmt: skip

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base class: subclasses define `__iter__`, and `__len__` where the number is known."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")


class SequentialSampler(Sampler[int]):
    """0, 1, ... n - 1."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Every index once, in random order; or `num_samples` of them, drawn again and again with replacement, or in one order
    after the other without. `generator`: None is manual_seed's. ValueError for num_samples < 1."""

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"RandomSampler: num_samples must be at least 1, got {num_samples}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """How many indices one pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, left = len(self.data_source), self.num_samples
        if self.replacement and n:
            yield from randint(0, n, (left,), generator=self.generator).tolist()
            return
        order: list[int] = []  # drawn whole, so that who shares the generator changes nothing
        while len(order) < left and n:
            order += randperm(n, generator=self.generator).tolist()
        yield from order[:left]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in randperm(len(self.indices), generator=self.generator).tolist():
            yield int(self.indices[i])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, each drawn with a probability in proportion to its weight; without replacement, an index comes at
    most once (Efraimidis and Spirakis 2006). ValueError for weights that are negative, not finite or too few."""

    def __init__(
        self,
        weights: Sequence[float] | Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        w: Any = np.asarray(weights.detach().numpy() if isinstance(weights, Tensor) else weights, np.float64)
        if w.ndim != 1 or not np.isfinite(w).all() or (w < 0).any() or not w.any():
            raise ValueError(
                "WeightedRandomSampler: weights must be a vector of finite numbers >= 0, not all of them 0"
            )
        if num_samples < 1 or (not replacement and num_samples > np.count_nonzero(w)):
            raise ValueError(
                f"WeightedRandomSampler: {num_samples} samples of {np.count_nonzero(w)} indices with a positive weight"
            )
        self.weights = w
        self.num_samples = int(num_samples)
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        if self.replacement:
            sums = np.add.accumulate(self.weights)
            u = rand(self.num_samples, generator=self.generator, dtype=np.float64).numpy()
            last = int(np.flatnonzero(self.weights)[-1])
            found = np.minimum(np.searchsorted(sums, u * sums[-1], side="right"), last)
        else:
            even = rand(len(self.weights), generator=self.generator, dtype=np.float64)
            positive = self.weights > 0
            late = (-(1 - even).log()).numpy() / np.where(
                positive, self.weights, 1.0
            )  # when each one's bell rings first
            found = np.argsort(np.where(positive, late, np.inf), kind="stable")[: self.num_samples]
        yield from found.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler; the last one may be shorter, or is dropped."""

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"BatchSampler: batch_size must be a whole number >= 1, got {batch_size!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
