"""Order statistics, and reductions that leave NaN out or give two results."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..op import Array, op
from ..tensor import Tensor
from .elementary import lerp
from .index import getitem
from .pointwise import add, cast, clamp, div, eq, logical_and, logical_or, mul, ne, sqrt, where
from .product import matmul
from .promotion import array_of
from .reduction import Dim, ValuesIndices, _along, amax, amin, centred, mean, normalized_dims, std, sum, var
from .shape import reshape, t


class MinMax(NamedTuple):
    """What aminmax gives."""

    min: Tensor
    max: Tensor


# -------------------------------------------------------------------------------------------------------- order statistics
def _lower_middle(a: Any, skip: bool) -> Any:
    """The index of the lower median of each row (last dimension kept as 1): that of the first NaN where there is one, unless
    they are skipped."""
    order = np.argsort(a, axis=-1, kind="stable")  # NaN last
    nan = a != a
    count = (~nan).sum(-1, keepdims=True)
    middle = np.take_along_axis(order, np.maximum(count - 1, 0) // 2, -1)
    return middle if skip else np.where(nan.any(-1, keepdims=True), nan.argmax(-1)[..., None], middle)


@op
def _median_index(x: Array, dim: int, skip: bool) -> Any:
    """The index of the median along dim, kept as 1 -> int64."""
    return np.moveaxis(_lower_middle(np.moveaxis(x, dim, -1), skip), -1, dim)


def _middle(name: str, skip: bool) -> Any:
    def forward(x: Array) -> Any:
        a = array_of(x, name).reshape(-1)
        if a.size == 0:
            if a.dtype.kind != "f":
                raise ValueError(f"{name}: integers of shape {np.shape(x)} have no median")
            return np.asarray(math.nan, a.dtype)
        return np.asarray(a[_lower_middle(a, skip)[0]])

    forward.__name__ = name
    made = op(forward)

    @made.rule
    def _(g: Any, x: Any, out: Any) -> Any:
        both_nan = logical_and(ne(x, x), ne(out, out))
        hit = cast(logical_or(eq(x, out), both_nan), g.dtype)
        return mul(div(hit, sum(hit)), g)

    return made


_median = _middle("median", False)
_nanmedian = _middle("nanmedian", True)


def median(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median, the lower one of two, NaN where there is one; along dim a pair (values, indices). Gradient: over all shared
    equally by equals, along dim to the returned index. ValueError along a dim of no elements; NaN over nothing."""
    if dim is None:
        return _median(x)
    return _along(x, dim, keepdim, lambda x, d, _: _median_index(x, d, False), _median, "median")


def nanmedian(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """median of what is not NaN (NaN where nothing is). Gradient: as median's."""
    if dim is None:
        return _nanmedian(x)
    return _along(x, dim, keepdim, lambda x, d, _: _median_index(x, d, True), _nanmedian, "nanmedian")


@op
def _mode_index(x: Array, dim: int) -> Any:
    """The last index of the smallest of the most frequent elements along dim (of the first NaN, where there is one), kept as 1
    -> int64."""
    a = np.moveaxis(x, dim, -1)
    order = np.argsort(a, axis=-1, kind="stable")
    s = np.take_along_axis(a, order, -1)
    places = np.arange(a.shape[-1])
    new = np.ones(a.shape, np.bool_)
    new[..., 1:] = s[..., 1:] != s[..., :-1]
    run = places - np.maximum.accumulate(np.where(new, places, 0), axis=-1)
    found = np.take_along_axis(
        order, run.argmax(-1)[..., None], -1
    )  # the first longest run is there at its last element
    nan = a != a
    return np.moveaxis(np.where(nan.any(-1, keepdims=True), nan.argmax(-1)[..., None], found), -1, dim)


def mode(x: Array, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The most frequent element along dim, the smallest of several, and its last index; NaN where there is one. Gradient: to the returned index.
    ValueError along a dim of no elements."""
    return _along(x, dim, keepdim, lambda x, d, _: _mode_index(x, d), amax, "mode")


_WEIGHTS: dict[str, Any] = {  # of the element above a rank, by the rank's fraction
    "linear": lambda f: f,
    "lower": lambda f: 0.0 * f,
    "higher": lambda f: np.ceil(f),
    "midpoint": lambda f: 0.5 * np.ceil(f),
}


def _quantile(name: str, x: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip: bool) -> Tensor:
    a = x._data if isinstance(x, Tensor) else x
    if a.dtype.kind != "f":
        raise TypeError(f"{name}: expected a float tensor, got {a.dtype}; use .to(tt.float32)")
    p = np.asarray(q._data if isinstance(q, Tensor) else q, np.float64)
    if p.ndim > 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"{name}: q must be a number or vector of numbers in [0, 1], got {p.tolist()}")
    if interpolation not in (*_WEIGHTS, "nearest"):
        raise ValueError(f"{name}: interpolation must be one of {(*_WEIGHTS, 'nearest')}, got {interpolation!r}")
    shape = tuple(a.shape)
    if dim is None or a.ndim == 0:
        if dim is not None:
            normalized_dims(name, 0, dim)
        x, a, d, after = reshape(x, (-1,)), a.reshape(-1), 0, (1,) * len(shape) if keepdim else ()
    else:
        (d,) = normalized_dims(name, a.ndim, dim)
        after = (*shape[:d], *((1,) if keepdim else ()), *shape[d + 1 :])
    if a.shape[d] == 0:
        raise ValueError(f"{name}: cannot reduce over no elements: shape {shape}, dim {dim}")
    rows = np.moveaxis(a, d, -1)
    order = np.argsort(rows, axis=-1, kind="stable")  # NaN last
    nan = rows != rows
    last = (~nan).sum(-1) - 1 if skip else np.full(rows.shape[:-1], rows.shape[-1] - 1)
    ranks = np.multiply.outer(p, np.maximum(last, 0))
    if interpolation == "nearest":
        ranks = np.rint(ranks)
    if not skip:
        ranks = np.where(nan.any(-1), rows.shape[-1] - 1.0, ranks)
    low = np.floor(ranks)
    weight = _WEIGHTS.get(interpolation, _WEIGHTS["lower"])(ranks - low).astype(a.dtype)
    below, above = low.astype(np.int64), np.ceil(ranks).astype(np.int64)
    others: list[Any] = list(
        np.ogrid[tuple(slice(n) for n in rows.shape[:-1])]
    )  # the other dimensions, behind those of q

    def at(rank: Any) -> Any:
        key = (*others, rank)
        return getitem(x, (*others[:d], order[key], *others[d:]))

    first = at(below)
    between = lerp(first, at(above), weight)  # NaN for an infinity and itself
    return reshape(where(eq(weight, 0.0), first, between), (*p.shape, *after))


def quantile(
    x: Array, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The q-quantiles (a number, or a vector: then the first dimension) over all or along dim; NaN where there is one. Between
    elements: "linear", "lower", "higher", "midpoint" or "nearest" (ranks to even). Gradient: to the elements on either side, by
    weight; none to q. ValueError for q outside [0, 1] or no elements; TypeError for integers."""
    return _quantile("quantile", x, q, dim, keepdim, interpolation, False)


def nanquantile(
    x: Array, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """quantile of what is not NaN (NaN where nothing is). Gradient and errors: as quantile's."""
    return _quantile("nanquantile", x, q, dim, keepdim, interpolation, True)


# ---------------------------------------------------------------------------------------------------------- without NaN
def nansum(x: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum over dim of what is not NaN. Gradient: g, 0 to NaN."""
    x = x if dtype is None else cast(x, dtype)
    return sum(where(eq(x, x), x, 0), dim, keepdim)


def nanmean(x: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Mean over dim of what is not NaN (NaN where nothing is). Gradient: g / count, 0 to NaN. TypeError for integers."""
    x = x if dtype is None else cast(x, dtype)
    if x.dtype.kind != "f":
        raise TypeError(f"nanmean: expected a float tensor, got {x.dtype}; use .to(tt.float32), or dtype=")
    there = eq(x, x)
    return div(sum(where(there, x, 0.0), dim, keepdim), sum(cast(there, x.dtype), dim, keepdim))


@op
def count_nonzero(x: Array, dim: Any = None) -> Any:
    """How many elements are not 0, over dim (an int, several, or all) -> int64. No gradient."""
    a = array_of(x, "count_nonzero")
    return np.asarray((a != 0).sum(axis=normalized_dims("count_nonzero", a.ndim, dim), dtype=np.int64))


# ---------------------------------------------------------------------------------------------------------- two results
def std_mean(
    x: Array, dim: Dim = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float = 1
) -> tuple[Tensor, Tensor]:
    """std and mean over dim."""
    over = None if isinstance(dim, bool) else dim
    return std(x, dim, unbiased, keepdim, correction=correction), mean(x, over, keepdim)


def var_mean(
    x: Array, dim: Dim = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float = 1
) -> tuple[Tensor, Tensor]:
    """var and mean over dim."""
    over = None if isinstance(dim, bool) else dim
    return var(x, dim, unbiased, keepdim, correction=correction), mean(x, over, keepdim)


def aminmax(x: Array, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """amin and amax, over all or along dim -> a pair (min, max)."""
    return MinMax(amin(x, dim, keepdim), amax(x, dim, keepdim))


@op
def _cov(x: Array, free: float) -> Any:
    rows = centred(x, 1)
    return div(matmul(rows, t(rows)), free)


@_cov.rule
def _(g: Any, x: Any, free: float) -> Any:
    return div(matmul(add(g, t(g)), centred(x, 1)), free)


def cov(x: Array, *, correction: float = 1) -> Tensor:
    """The covariances of the rows of x (variables) over its columns (observations), divided by max(0, n - correction); of a
    vector or of one row, its variance (0-d). Gradient: (g + g^T) (x - mean) / (n - correction). ValueError for more than two dimensions; TypeError
    for integers."""
    if x.ndim > 2:
        raise ValueError(f"cov: expected at most 2 dimensions (variables, observations), got shape {tuple(x.shape)}")
    if x.dtype.kind != "f":
        raise TypeError(f"cov: expected a float tensor, got {x.dtype}; use .to(tt.float32)")
    rows = x if x.ndim == 2 else reshape(x, (1, -1))
    c = _cov(rows, float(max(rows.shape[1] - correction, 0)))
    return c if c.shape[0] != 1 else reshape(c, ())


def corrcoef(x: Array) -> Tensor:
    """The correlations of the rows of x over its columns, limited to [-1, 1]; of a vector or of one row, 1. Gradient: of its parts.
    ValueError and TypeError as cov's."""
    c = cov(x)
    if c.ndim == 0:
        return div(c, c)
    every = np.arange(c.shape[0])
    s = sqrt(getitem(c, (every, every)))
    return clamp(div(div(c, reshape(s, (-1, 1))), s), -1.0, 1.0)
