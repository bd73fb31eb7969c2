"""Running sums, products and extremes along a dimension, and differences of neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .elementary import logaddexp
from .index import getitem, take_along_dim
from .join import cat, narrow
from .pointwise import add, cast, div, eq, exp, logical_xor, mul, sub, where
from .promotion import as_float
from .reduction import ValuesIndices, normalized_dims, sum
from .shape import clone


def _dim(name: str, x: Any, dim: int) -> int | None:
    """dim as a non-negative int; None for a 0-d tensor, which is its own running sum."""
    dims = normalized_dims(name, x.ndim, int(dim))
    return dims[0] if dims else None


def _part(x: Any, d: int, start: int | None, stop: int | None, step: int | None = None) -> Any:
    return getitem(x, (*(slice(None),) * d, slice(start, stop, step)))


def _flip(x: Any, d: int) -> Any:
    return _part(x, d, None, None, -1)


def _accumulated(function: Any, x: Any, d: int | None) -> Any:
    """NumPy's running function along d (None: a copy), integers as int64. It goes through the elements in their order."""
    a = x if x.dtype.kind == "f" else x.astype(np.int64)
    out = _kernels.empty(a.shape, a.dtype)
    if d is None:
        np.copyto(out, a)
    else:
        with np.errstate(all="ignore"):
            function.accumulate(a, axis=d, out=out)
    return out


@op
def _cumsum(x: Array, d: int | None) -> Any:
    return _accumulated(np.add, x, d)


@_cumsum.rule
def _(g: Any, d: int | None) -> Any:
    return g if d is None else _flip(_cumsum(_flip(g, d), d), d)


def cumsum(x: Array, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sums along dim, one chain of additions (the error grows with the length); integers and bools give int64.
    Gradient: the running sums of g from the end."""
    return _cumsum(x if dtype is None else cast(x, dtype), _dim("cumsum", x, dim))


def _recurrence(g: Any, a: Any, d: int) -> Any:
    """h with h_i = g_i + a_i h_{i+1} along d (a is one shorter than g), by doubling: log2(n) passes, no division."""
    n, step = g.shape[d], 1
    while step < n:
        near = add(_part(g, d, None, n - step), mul(a, _part(g, d, step, None)))
        g = cat([near, _part(g, d, n - step, None)], d)
        if 2 * step < n:
            a = mul(_part(a, d, None, n - 2 * step), _part(a, d, step, None))
        step *= 2
    return g


@op
def _cumprod(x: Array, d: int | None) -> Any:
    return _accumulated(np.multiply, x, d)


@_cumprod.rule
def _(g: Any, x: Any, out: Any, d: int | None) -> Any:
    if d is None or x.shape[d] == 0:
        return g
    h = _recurrence(g, _part(x, d, 1, None), d)
    first = np.ones((*x.shape[:d], 1, *x.shape[d + 1 :]), x.dtype)
    before = cat([Tensor._new(first) if isinstance(out, Tensor) else first, _part(out, d, None, -1)], d)
    return mul(before, h)


def cumprod(x: Array, dim: int, *, dtype: Any = None) -> Tensor:
    """Running products along dim; integers and bools give int64. Gradient: p_{i-1} h_i, p the products and h_i = g_i + x_{i+1}
    h_{i+1}: no division, so right with zeros; O(n log n)."""
    return _cumprod(x if dtype is None else cast(x, dtype), _dim("cumprod", x, dim))


@op
def _logcumsumexp(x: Array, d: int | None) -> Any:
    out, step = as_float(x, "logcumsumexp").copy(), 1
    while d is not None and step < x.shape[d]:
        far = logaddexp(_part(out, d, step, None), _part(out, d, None, -step))
        out = cat([_part(out, d, None, step), far], d)
        step *= 2
    return out


@_logcumsumexp.rule
def _(g: Any, x: Any, out: Any, d: int | None) -> Any:
    if d is None or x.shape[d] == 0:
        return g
    shift = where(eq(out, -np.inf), 0.0, out)  # e^(-inf - 0) is the 0 that e^(-inf + inf) should be
    decay = exp(sub(_part(out, d, None, -1), _part(shift, d, 1, None)))
    return mul(exp(sub(x, shift)), _recurrence(g, decay, d))


def logcumsumexp(x: Array, dim: int) -> Tensor:
    """Running logsumexp along dim, without overflow; O(n log n). Gradient: e^(x_i - y_i) h_i, y the values and h_i = g_i +
    e^(y_i - y_{i+1}) h_{i+1}."""
    return _logcumsumexp(x, _dim("logcumsumexp", x, dim))


@op
def _last_extreme(x: Array, d: int, largest: bool) -> Any:
    """Where the running extreme of the elements up to each was last met (a NaN stays the extreme) -> int64."""
    function = np.maximum if largest else np.minimum
    hit = (x == function.accumulate(x, axis=d)) | (x != x)
    places = np.arange(x.shape[d], dtype=np.int64).reshape((-1, *(1,) * (x.ndim - 1 - d)))
    return np.maximum.accumulate(np.where(hit, places, 0), axis=d)


def _running(name: str, x: Any, dim: int, largest: bool) -> ValuesIndices:
    d = _dim(name, x, dim)
    if d is None:
        zero = np.zeros((), np.int64)
        return ValuesIndices(clone(x), Tensor._new(zero) if isinstance(x, Tensor) else zero)  # type: ignore[arg-type]
    indices = _last_extreme(x, d, largest)
    return ValuesIndices(take_along_dim(x, indices, d), indices)


def cummax(x: Array, dim: int) -> ValuesIndices:
    """The largest element so far along dim, and its index: the last of equals; a NaN stays. Gradient: g added at the index."""
    return _running("cummax", x, dim, True)


def cummin(x: Array, dim: int) -> ValuesIndices:
    """The smallest element so far along dim, and its index: the last of equals; a NaN stays. Gradient: g added at the index."""
    return _running("cummin", x, dim, False)


def diff(x: Array, n: int = 1, dim: int = -1, prepend: Array | None = None, append: Array | None = None) -> Tensor:
    """Differences of neighbours along dim, n times over, x joined with `prepend` and `append` first; bools: whether they differ.
    Gradient: of its parts. ValueError for a negative n or a 0-d tensor."""
    if n < 0 or x.ndim == 0:
        raise ValueError(f"diff: expected n >= 0 and at least one dimension, got n={n} and shape {tuple(x.shape)}")
    d = _dim("diff", x, dim)
    assert d is not None
    parts: list[Any] = [v for v in (prepend, x, append) if v is not None]
    r: Any = cat(parts, d) if len(parts) > 1 else x
    for _ in range(min(n, r.shape[d])):
        size = max(r.shape[d] - 1, 0)
        low, high = narrow(r, d, 0, size), narrow(r, d, r.shape[d] - size, size)
        r = logical_xor(high, low) if r.dtype == np.bool_ else sub(high, low)
    return r  # type: ignore[no-any-return]


def _areas(name: str, y: Any, x: Any, dx: float | None, dim: int) -> tuple[Any, int]:
    """The areas of the trapezia under neighbours of y along dim."""
    if x is not None and dx is not None:
        raise ValueError(f"{name}: give x or dx, not both")
    d = _dim(name, y, dim)
    if d is None:
        raise ValueError(f"{name}: expected at least one dimension, got a 0-d tensor")
    twice = add(_part(y, d, 1, None), _part(y, d, None, -1))
    if x is None:
        return mul(twice, 0.5 * (1.0 if dx is None else dx)), d
    if x.ndim == 1 and y.ndim > 1:
        if x.shape[0] != y.shape[d]:
            raise ValueError(f"{name}: x has {x.shape[0]} points, but y has {y.shape[d]} along dim {dim}")
        steps = diff(x)
        width = getitem(steps, (slice(None), *(None,) * (y.ndim - 1 - d)))
    else:
        width = diff(x, dim=dim)
    return mul(div(twice, 2.0), width), d


def trapezoid(y: Array, x: Array | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """The integral of y along dim by the trapezoidal rule, over points x or steps of dx (1). Gradient: of its parts."""
    areas, d = _areas("trapezoid", y, x, dx, dim)
    return sum(areas, d)


def cumulative_trapezoid(y: Array, x: Array | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """Running integrals of y along dim by the trapezoidal rule, one less than the points. Gradient: of its parts."""
    areas, d = _areas("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(areas, d)
