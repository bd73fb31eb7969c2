"""The seeded generator: counter-based (Philox 4x32-10), indexed by element, so that bits depend on neither threads nor order."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _kernels
from .device import check_device
from .tensor import Tensor, check_dtype, get_default_dtype

if TYPE_CHECKING:
    import numpy.typing as npt

Shape = tuple[int, ...]


class Generator:
    """A stream of random numbers: `seed` is its key, `offset` the number of counters used. Equal seed, equal bits."""

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from a seed; negative ones and large ones are taken modulo 2^64."""
        self.seed = int(seed) % 2**64
        self.offset = 0
        return self

    def get_state(self) -> dict[str, int]:
        """Seed and offset: all there is."""
        return {"seed": self.seed, "offset": self.offset}

    def set_state(self, state: dict[str, int]) -> None:
        """Go on from a state of get_state."""
        self.seed, self.offset = int(state["seed"]) % 2**64, int(state["offset"]) % 2**64

    def take(self, counters: int) -> tuple[int, int]:
        """Key and first counter of the next `counters` counters. TypeError, and nothing is taken, where that is no whole number."""
        at = self.offset
        self.offset = (at + index(counters)) % 2**64
        return self.seed, at

    def __repr__(self) -> str:
        return f"Generator(seed={self.seed}, offset={self.offset})"


default_generator = Generator(int.from_bytes(os.urandom(8), "little"))


@contextmanager
def fork_rng() -> Iterator[None]:
    """Inside, the default generator goes on as usual; at the end it is put back to where it was."""
    before = default_generator.get_state()
    try:
        yield
    finally:
        default_generator.set_state(before)


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which is used where none is given; returns it."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.seed


def size_of(size: tuple[Any, ...]) -> Shape:
    """(2, 3) from f(2, 3) and from f((2, 3)); ValueError for a negative size."""
    if len(size) == 1 and not isinstance(size[0], (int, np.integer)):
        size = tuple(size[0])
    shape = tuple(int(s) for s in size)
    if any(s < 0 for s in shape):
        raise ValueError(f"negative size in shape {shape}")
    return shape


def _taken(generator: Generator | None, blocks: int) -> tuple[int, int]:
    """Key and first counter of so many blocks of random numbers."""
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"generator: expected a tt.Generator or None, got {type(generator).__name__}")
    return (default_generator if generator is None else generator).take(blocks)


def _floats(kind: int, shape: Shape, dtype: Any, generator: Generator | None, a: float, b: float) -> npt.NDArray[Any]:
    d = get_default_dtype() if dtype is None else check_dtype(dtype, "random")
    per = 4 if d == np.float32 else 2
    key, at = _taken(generator, -(-math.prod(shape) // per))
    return _kernels.random(kind, shape, d, key, at, a, b)


def uniform(
    shape: Shape, low: float = 0.0, high: float = 1.0, dtype: Any = None, generator: Generator | None = None
) -> npt.NDArray[Any]:
    """An array of numbers in [low, high)."""
    return _floats(_kernels.UNIFORM, shape, dtype, generator, low, high)


def normal(
    shape: Shape, mean: float = 0.0, std: float = 1.0, dtype: Any = None, generator: Generator | None = None
) -> npt.NDArray[Any]:
    """An array of normal numbers (Box and Muller 1958)."""
    return _floats(_kernels.NORMAL, shape, dtype, generator, mean, std)


def keep_mask(shape: Shape, dtype: Any, p: float, generator: Generator | None = None) -> npt.NDArray[Any]:
    """1 / (1 - p) with probability 1 - p, else 0: dropout's factors."""
    return _floats(_kernels.KEEP, shape, dtype, generator, p, 0.0)


def _finished(array: npt.NDArray[Any], requires_grad: bool) -> Tensor:
    t = Tensor._new(array)
    return t.requires_grad_() if requires_grad else t


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform in [0, 1): 24 random bits in float32, 53 in float64."""
    if device is not None:
        check_device(device)
    return _finished(uniform(size_of(size), dtype=dtype, generator=generator), requires_grad)


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Normal with mean 0 and deviation 1."""
    if device is not None:
        check_device(device)
    return _finished(normal(size_of(size), dtype=dtype, generator=generator), requires_grad)


def randint(
    low: int = 0,
    high: int | None = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Integers in [low, high), or in [0, low) as randint(high, size): int64."""
    if device is not None:
        check_device(device)
    if size is None:  # randint(high, size)
        low, high, size = 0, low, high
    elif high is None:  # randint(high, size=size)
        low, high = 0, low
    if size is None or isinstance(size, int) or high is None:
        raise ValueError("randint: expected randint(high, size) or randint(low, high, size) with size a tuple")
    shape = size_of(tuple(size))
    key, at = _taken(generator, -(-math.prod(shape) // 2))
    a = _kernels.randint(shape, low, high, key, at)
    return Tensor._new(a if dtype is None else _kernels.owned(a.astype(check_dtype(dtype, "randint"))))


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """A permutation of 0 ... n - 1 (Fisher and Yates): int64. TypeError where n is no whole number, ValueError below 0."""
    if device is not None:
        check_device(device)
    try:
        n = index(n)
    except TypeError:
        raise TypeError(f"randperm: expected a whole number n, got {n!r}") from None
    if n < 0:
        raise ValueError(f"randperm: expected n >= 0, got {n}")
    key, at = _taken(generator, -(-n // 2))
    a = _kernels.randperm(n, key, at)
    return Tensor._new(a if dtype is None else _kernels.owned(a.astype(check_dtype(dtype, "randperm"))))


def rand_like(x: Tensor, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """rand in the shape and dtype of x."""
    if device is not None:
        check_device(device)
    return rand(x.shape, generator=generator, dtype=dtype or x.dtype)


def randn_like(x: Tensor, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """randn in the shape and dtype of x."""
    if device is not None:
        check_device(device)
    return randn(x.shape, generator=generator, dtype=dtype or x.dtype)
