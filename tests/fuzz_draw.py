"""Arguments from a seed: arrays of all dtypes, shapes, values and kinds of memory, and what a case of fuzz_cases.py is."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinytensor as tt
import tinytensor.nn.functional as F

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
SIZES = [0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33]
SPECIAL = [
    math.nan,
    math.inf,
    -math.inf,
    0.0,
    -0.0,
    1.0,
    -1.0,
    5e-324,
    -1e-310,
    1e-40,
    -1e-45,
    3.4e38,
    -3.4e38,
    1.7e308,
    1e-30,
    16777217.0,
]
MILD = SPECIAL[:7]  # whose squares stay in the dtype
REGIMES = ["plain", "plain", "plain", "whole", "special", "spread"]
# what asarray and tensor turn into one of the five; the others are refused
NARROW = {"int8": "int64", "int16": "int64", "int32": "int64", "uint16": "int64", "uint32": "int64", "float16": "float32"}  # fmt: skip
REFUSED = ["uint64", "complex64", "complex128", "longdouble", "U3", "O", "M8[s]", "V4", "S2"]


@dataclass
class Call:
    """arrays: the Tensors' values, in the dtypes drawn. ours: the call, on Tensors. theirs: the same on arrays, where floats are
    doubles; what it raises must be raised. ulps: of the result, over the size that `size` gives of doubles without signs, or of the
    result. promote: whether all arrays are first cast to their common dtype. floats: whether integers become the default float.
    smooth: whether gradients are checked. bits: whether results are compared by their bits, -0.0 and all. told: whether the
    reference's dtype is the result's, floats too. free: whether any values will do. changes: whether the first argument is changed,
    and is the result. plain: the inputs that are handed over as arrays."""

    text: str
    arrays: list[Array]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    ulps: float = 0.0
    size: Callable[..., Any] | None = None
    promote: bool = False
    floats: bool = False
    smooth: bool = True
    bits: bool = False
    told: bool = False
    free: bool = True
    changes: bool = False
    plain: set[int] = field(default_factory=set)


class Draw:
    """Random choices of one call."""

    def __init__(self, seed: str) -> None:
        self.r = random.Random(seed)
        self.n = np.random.default_rng(self.r.getrandbits(64))
        self.regime = self.r.choice(REGIMES)
        self.special = SPECIAL
        self.tied = False
        self.one_of = self.r.choice

    def chance(self, p: float) -> bool:
        return self.r.random() < p

    def shape(self, low: int = 0, high: int = 4, empty: bool = True, large: bool = True) -> Shape:
        """At times one that crosses the vector width, or what one thread does."""
        if large and low <= 2 and high >= 2 and self.chance(0.02):
            return self.one_of([(4099,), (70001,), (129, 257), (3, 20011), (20011, 3)])[: max(high, 1)]
        for _ in range(20):
            found = tuple(self.one_of(SIZES) for _ in range(self.r.randint(low, high)))
            if math.prod(found) <= 3000 and (empty or 0 not in found):
                return found
        return (2,) * low

    def broadcastable(self, shape: Shape) -> Shape:
        """A shape that broadcasts with it, but for one in thirty."""
        if self.chance(0.03):
            return self.shape(0, 3, large=False)
        found = tuple(1 if self.chance(0.2) else n for n in shape)
        return found[self.r.randint(0, len(found)) :] if self.chance(0.3) else found

    def dim(self, ndim: int) -> int:
        """One dimension, at times none."""
        if self.chance(0.03):
            return self.one_of([ndim, -ndim - 1, ndim + 5, 100])
        return self.r.randint(-ndim, ndim - 1) if ndim else self.one_of([0, -1])

    def dims(self, ndim: int) -> Any:
        """None, one, or several."""
        if self.chance(0.25):
            return None
        if self.chance(0.6) or ndim == 0:
            return self.dim(ndim)
        several = self.r.sample(range(ndim), self.r.randint(1, ndim))
        return tuple(d - ndim if self.chance(0.3) else d for d in several)

    # -------------------------------------------------------------------------------------------------------- values
    def dtype(self, kinds: str = "f") -> str:
        """f: a float; n: a number, bools among them; i: integers; b: bool."""
        if kinds == "n":
            return self.one_of(["float32", "float32", "float64", "float64", "int64", "uint8", "bool"])
        return self.one_of({"f": ["float32", "float64"], "i": ["int64", "int64", "uint8"], "b": ["bool"]}[kinds])

    def floats(self, shape: Shape, dtype: str) -> Array:
        regime, n = self.regime, self.n
        if regime == "whole":  # ties, and zeros of both signs
            a = n.integers(-3, 4, shape) * np.where(n.random(shape) < 0.5, 1.0, -1.0)
        elif regime == "spread":
            top = 37 if dtype == "float32" else 300
            a = n.standard_normal(shape) * 10.0 ** n.uniform(-top - 7, top, shape)
        else:
            a = n.uniform(0.1, 2.0, shape) * n.choice([-1.0, 1.0], shape)
            if regime == "special":
                a = np.where(n.random(shape) < 0.2, n.choice(self.special, shape), a)
        with np.errstate(all="ignore"):
            return np.asarray(a).astype(dtype)

    def array(self, shape: Shape, kinds: str = "f") -> Array:
        dtype = kinds if len(kinds) > 1 else self.dtype(kinds)
        if dtype.startswith("float"):
            return self.floats(shape, dtype)
        if dtype == "bool":
            return np.asarray(self.n.random(shape) < 0.5)
        if dtype == "uint8":
            return np.asarray(self.n.integers(0, 256 if self.chance(0.3) else 5, shape)).astype("uint8")
        low, high = (-(2**63), 2**63 - 1) if self.regime == "spread" else (-9, 10)
        return np.asarray(self.n.integers(low, high, shape, dtype=np.int64))

    def positive(self, shape: Shape, dtype: str, low: float = 0.1, high: float = 2.0) -> Array:
        return np.asarray(self.n.uniform(low, high, shape)).astype(dtype)

    def index(self, shape: Shape, n: int, negative: bool = False) -> Array:
        """Places below n; at times one that is not."""
        low = -n if negative else 0
        a = np.asarray(self.n.integers(low, n, shape)) if n else np.zeros(shape, np.int64)
        if a.size and self.chance(0.03):
            a.reshape(-1)[self.r.randrange(a.size)] = self.one_of([n, -n - 1, 2**40, -(2**63)])
        return (
            a if self.chance(0.8) else a.astype(np.int32) if np.abs(a.clip(-(2**31), 2**31 - 1) - a).sum() == 0 else a
        )

    def number(self) -> Any:
        """A Python number."""
        return self.one_of([0, 1, 2, -1, 3, 0.5, -2.5, 2.0, 1e-3, True, -0.0, 1e30, math.nan, math.inf])

    # -------------------------------------------------------------------------------------------------------- memory
    def laid(self, a: Array, foreign: bool = True) -> Array:
        """The same values in other memory; foreign: such as Tensors cannot share, too."""
        way = self.r.randrange(14)
        if way == 0 and a.ndim:
            d = self.r.randrange(a.ndim)
            return np.flip(np.ascontiguousarray(np.flip(a, d)), d)  # negative strides
        if way == 1:
            return a.copy(order="F")
        if way == 2 and a.ndim:  # wide strides
            wide = np.zeros(
                tuple(3 * n + 1 for n in a.shape) if a.size < 500 else (*a.shape[:-1], 3 * a.shape[-1] + 1), a.dtype
            )
            part = wide[tuple(slice(1, None, 3) if m != n else slice(None) for m, n in zip(wide.shape, a.shape))]
            part = part[tuple(slice(0, n) for n in a.shape)]
            part[...] = a
            return part
        if way == 3:
            b = a.copy()
            b.flags.writeable = False
            return b
        if way == 4 and a.ndim > 1:
            order = self.r.sample(range(a.ndim), a.ndim)
            return np.ascontiguousarray(a.transpose(order)).transpose(np.argsort(order))
        if way == 5 and foreign and a.size:
            raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)  # misaligned
            raw[...] = a
            return raw
        if way == 6 and foreign and a.dtype.itemsize > 1:
            return a.astype(a.dtype.newbyteorder())
        return a

    def shared(self, a: Array) -> Array:
        """Some of the values, in memory that overlaps: broadcast, or windows of one row."""
        if self.chance(0.5) or not a.ndim:
            return np.broadcast_to(a[tuple(slice(0, 1) if self.chance(0.5) else slice(None) for _ in a.shape)], a.shape)
        row = np.resize(a.reshape(-1), sum(n - 1 for n in a.shape) + 1)
        return np.lib.stride_tricks.as_strided(row, a.shape, row.strides * a.ndim)


# ------------------------------------------------------------------------------------------------ rules that results obey
def promoted(values: Sequence[Any]) -> np.dtype[Any]:
    """The dtype that the documentation promises of arrays and Python numbers together (PyTorch's rule)."""
    kinds = {"b": 0, "u": 1, "i": 1, "f": 2}
    groups: list[list[np.dtype[Any]]] = [[], [], []]
    for v in values:
        if isinstance(v, np.ndarray):
            groups[0 if v.ndim else 1].append(v.dtype)
        else:
            groups[2].append(np.dtype("bool" if isinstance(v, bool) else "int64" if isinstance(v, int) else "float32"))
    found: np.dtype[Any] | None = None
    for group in groups:
        top = max((kinds[d.kind] for d in group), default=-1)
        if found is None or top > kinds[found.kind]:
            best = [d for d in group if kinds[d.kind] == top]
            if best:
                found = best[0] if len(set(best)) == 1 else np.dtype({0: "bool", 1: "int64", 2: "float64"}[top])
    assert found is not None
    return found


def axis_of(x: Any, dim: int, extra: int = 0) -> int:
    """dim of x as NumPy's axis: not negative, in range."""
    n = x.ndim + extra
    if not -n <= dim < n:
        raise IndexError(f"axis {dim} of {n}")
    return int(dim) % n


def axes_of(x: Any, dim: Any) -> Any:
    """None, or axes; a 0-d array counts as one dimension."""
    if dim is None:
        return None
    each = (dim,) if isinstance(dim, int) else dim
    n = max(x.ndim, 1)
    if any(not -n <= d < n for d in each):
        raise IndexError(f"axis {dim} of {n}")
    return tuple(d % n for d in each) if x.ndim else ()


# --------------------------------------------------------------------------------------------------------------- register
CASES: dict[str, Callable[[Draw], Call]] = {}


def case(names: str) -> Callable[[Callable[[Draw, str], Call]], Callable[[Draw, str], Call]]:
    """Register a maker of calls under each name."""

    def register(make: Callable[[Draw, str], Call]) -> Callable[[Draw, str], Call]:
        for name in names.split():
            CASES[name] = functools.partial(make, name=name)
        return make

    return register


def method(d: Draw, name: str) -> Callable[..., Any]:
    """tt.name, or the method of the first argument."""
    f = getattr(tt, name, None) or getattr(F, name, None)
    if hasattr(tt.Tensor, name) and d.chance(0.4):
        return lambda x, *a, **k: getattr(x, name)(*a, **k) if isinstance(x, tt.Tensor) else f(x, *a, **k)
    return f  # type: ignore[return-value]


def refuse(error: type[Exception], when: bool) -> None:
    """What the documentation says must be raised."""
    if when:
        raise error("documented")
