"""Reductions over dimensions: `dim` is an int, several, or None for all; `keepdim` leaves them as 1."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor, get_default_dtype
from .index import take_along_dim
from .join import cat
from .pointwise import abs, cast, div, eq, le, maximum, minimum, mul, pow, square, sub, where
from .promotion import array_of, as_float
from .shape import broadcast_to, permute, reshape, squeeze

Dim = int | Sequence[int] | None


class ValuesIndices(NamedTuple):
    """What max and min along one dimension give."""

    values: Tensor
    indices: Tensor


def normalized_dims(name: str, ndim: int, dim: Any) -> tuple[int, ...]:
    """dim as ascending, non-negative ints; IndexError out of range, ValueError when one is named twice."""
    if dim is None:
        return tuple(range(ndim))
    if type(dim) is int and -ndim <= dim < ndim:
        return (dim % ndim,)
    given = (dim,) if isinstance(dim, (int, np.integer)) else tuple(dim) if isinstance(dim, (tuple, list)) else ("",)
    if not given:
        return tuple(range(ndim))
    out = []
    for d in given:
        if not isinstance(d, (int, np.integer)):
            raise TypeError(f"{name}: expected dim as an int, a tuple of ints or None, got {dim!r}")
        if not -builtins.max(ndim, 1) <= d < builtins.max(ndim, 1):
            raise IndexError(f"{name}: dim {d} is out of range for a tensor of {ndim} dimensions")
        out.append(int(d) % builtins.max(ndim, 1))
    if len(set(out)) != len(out):
        raise ValueError(f"{name}: dim {tuple(given)} names a dimension twice")
    return tuple(sorted(out)) if ndim else ()


def spread(g: Any, shape: tuple[int, ...], dim: Any, keepdim: bool) -> Any:
    """A reduced gradient seen in the shape of what was reduced (a view)."""
    if not keepdim and dim is not None:
        dims = normalized_dims("reduction", len(shape), dim)
        g = reshape(g, tuple(1 if d in dims else n for d, n in enumerate(shape)))
    return broadcast_to(g, shape)


def _reduced(code: int, x: Any, dim: Any, keepdim: bool, name: str) -> Any:
    a = as_float(x, name)
    return _kernels.reduce(code, a, None if dim is None else normalized_dims(name, a.ndim, dim), keepdim)


def _numpy(function: Any, x: Any, dim: Any, keepdim: bool, name: str) -> Any:
    return np.asarray(function(x, axis=normalized_dims(name, x.ndim, dim), keepdims=keepdim))


def _count(shape: tuple[int, ...], dim: Any) -> int:
    return math.prod(shape[d] for d in normalized_dims("mean", len(shape), dim))


@op
def _sum(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
    a = array_of(x, "sum")
    if a.dtype.kind != "f":
        return _numpy(np.sum, a.astype(np.int64), dim, keepdim, "sum")
    return _reduced(_kernels.SUM, a, dim, keepdim, "sum")


@_sum.rule
def _(g: Any, x_shape: Any, dim: Any, keepdim: bool) -> Any:
    return spread(g, x_shape, dim, keepdim)


def sum(x: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum over dim; integers and bools give int64. The error grows with the logarithm of the length. Gradient: g to every element."""
    return _sum(x if dtype is None else cast(x, dtype), dim, keepdim)


@op
def _mean(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
    if array_of(x, "mean").dtype.kind != "f":
        raise TypeError(f"mean: expected a float tensor, got {x.dtype}; use .to(tt.float32), or dtype=")
    return _kernels.map2(
        _kernels.OPS["div"], _reduced(_kernels.SUM, x, dim, keepdim, "mean"), float(_count(x.shape, dim))
    )


@_mean.rule
def _(g: Any, x_shape: Any, dim: Any, keepdim: bool) -> Any:
    return spread(div(g, float(_count(x_shape, dim))), x_shape, dim, keepdim)


def mean(x: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Mean over dim (NaN of nothing). TypeError for integers. Gradient: g / n to every element."""
    return _mean(x if dtype is None else cast(x, dtype), dim, keepdim)


@op
def _prod(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
    a = array_of(x, "prod")
    if a.dtype.kind != "f":
        return _numpy(np.prod, a.astype(np.int64), dim, keepdim, "prod")
    return _reduced(_kernels.PROD, a, dim, keepdim, "prod")


@_prod.rule
def _(g: Any, x: Any, out: Any, dim: Any, keepdim: bool) -> Any:
    shape = tuple(x.shape)
    gs = spread(g, shape, dim, keepdim)
    if (np.asarray(x._data if isinstance(x, Tensor) else x) != 0).all():
        return mul(gs, div(spread(out, shape, dim, keepdim), x))
    return mul(gs, _product_of_others(x, shape, normalized_dims("prod", len(shape), dim)))


def _product_of_others(x: Any, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    """For each element the product of all others along dims, without division: products from the left times from the right."""
    kept = [d for d in range(len(shape)) if d not in dims]
    order = (*kept, *dims)
    n = _count(shape, dims)
    rows = reshape(permute(x, order), (-1 if n else 0, n))

    def before(v: Any, flip: bool) -> Any:
        """Exclusive running product by doubling, from the left or (flip) from the right."""

        def shifted(w: Any, by: int) -> Any:
            a = w._data if isinstance(w, Tensor) else w
            ones = np.ones((a.shape[0], by), a.dtype)
            fill = Tensor._new(ones) if isinstance(w, Tensor) else ones
            return cat([w[:, by:], fill], 1) if flip else cat([fill, w[:, : n - by]], 1)

        p, step = shifted(v, 1), 1
        while step < n:
            p = mul(p, shifted(p, step))
            step *= 2
        return p

    others = mul(before(rows, False), before(rows, True))
    back = tuple(int(i) for i in np.argsort(order))
    return permute(reshape(others, tuple(shape[d] for d in order)), back)


def prod(x: Array, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Product over dim; integers give int64. Gradient: g times the product of the others, right with zeros, too."""
    return _prod(x if dtype is None else cast(x, dtype), dim, keepdim)


def _extreme(name: str, code: int, function: Any, word: str) -> Any:
    def forward(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
        a = array_of(x, name)
        if a.dtype.kind != "f":
            return _numpy(function, a, dim, keepdim, name)
        return _reduced(code, a, dim, keepdim, name)

    forward.__name__ = name
    forward.__doc__ = (
        f"The {word} over dim; NaN where one is. ValueError over nothing. Gradient: shared equally by equal elements."
    )
    made = op(forward)

    @made.rule
    def _(g: Any, x: Any, out: Any, dim: Any, keepdim: bool) -> Any:
        shape = tuple(x.shape)
        hit = cast(eq(x, spread(out, shape, dim, keepdim)), g.dtype)
        share = div(hit, sum(hit, dim, keepdim=True))
        return mul(spread(g, shape, dim, keepdim), share)

    return made


amax = _extreme("amax", _kernels.MAX, np.max, "largest")
amin = _extreme("amin", _kernels.MIN, np.min, "smallest")


def _argument(name: str, function: Any, x: Any, dim: int | None, keepdim: bool) -> Any:
    x = array_of(x, name)
    if dim is not None:
        dims = normalized_dims(name, x.ndim, dim)
    if (x.size if dim is None else _count(x.shape, dim)) == 0:
        raise ValueError(f"{name}: cannot reduce over no elements: shape {x.shape}, dim {dim}")
    return np.asarray(function(x, axis=dims[0] if dim is not None and dims else None, keepdims=keepdim), dtype=np.int64)


@op
def argmax(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """Index of the first largest element (or first NaN), over all (flattened) or along dim -> int64. No gradient."""
    return _argument("argmax", np.argmax, x, dim, keepdim)


@op
def argmin(x: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """Index of the first smallest element (or first NaN), over all (flattened) or along dim -> int64. No gradient."""
    return _argument("argmin", np.argmin, x, dim, keepdim)


def _along(x: Any, dim: int, keepdim: bool, arg: Any, whole: Any, name: str) -> ValuesIndices:
    if x.ndim == 0:
        normalized_dims(name, 0, dim)
        zero = np.zeros((), np.int64)
        return ValuesIndices(whole(x), Tensor._new(zero) if isinstance(x, Tensor) else zero)  # type: ignore[arg-type]
    (d,) = normalized_dims(name, x.ndim, dim)
    if x.shape[d] == 0:
        raise ValueError(f"{name}: cannot reduce over no elements: shape {x.shape}, dim {dim}")
    indices = arg(x, d, True)
    values = take_along_dim(x, indices, d)
    return ValuesIndices(values, indices) if keepdim else ValuesIndices(squeeze(values, d), squeeze(indices, d))


def max(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; along dim a pair (values, indices); with a second tensor, maximum(x, other).
    Gradient: over all shared equally by equals (as amax), along dim to the returned index. NaN wins."""
    if dim is None:
        return amax(x)
    if isinstance(dim, (Tensor, np.ndarray)):
        return maximum(x, dim)
    return _along(x, dim, keepdim, argmax, amax, "max")


def min(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; along dim a pair (values, indices); with a second tensor, minimum(x, other).
    Gradient: over all shared equally by equals (as amin), along dim to the returned index. NaN wins."""
    if dim is None:
        return amin(x)
    if isinstance(dim, (Tensor, np.ndarray)):
        return minimum(x, dim)
    return _along(x, dim, keepdim, argmin, amin, "min")


def lost_of_mean(far: Any, m: Any, v: Any, dim: Any) -> Any:
    """What rounding took from the mean m of x over dim, kept as 1: the mean of far = x - m for rows whose m is more than 4
    deviations from 0 (there it may be more than x varies; v is the variance), 0 for others; None where it is 0 for all."""
    near = le(sub(square(m), mul(v, 16.0)), 0.0)  # not where both overflow
    found = near._data if isinstance(near, Tensor) else near
    if np.count_nonzero(found) == found.size:  # not .all(), which is a SystemError of NumPy's where memory ends
        return None
    rest = mean(far, dim, True)
    return where(near, 0.0, where(eq(sub(rest, rest), 0.0), rest, 0.0))


def centred(x: Any, dim: Any) -> Any:
    """x less both parts of its mean over dim."""
    m = mean(x, dim, True)
    far = sub(x, m)
    lost = lost_of_mean(far, m, mean(square(far), dim, True), dim)
    return far if lost is None else sub(far, lost)


@op
def _var(x: Array, dim: Any, correction: float, keepdim: bool, root: bool) -> Any:
    a = array_of(x, "var")
    if a.dtype.kind != "f":
        raise TypeError(f"var: expected a float tensor, got {a.dtype}; use .to(tt.float32)")
    K, n = _kernels.OPS, _count(a.shape, dim)
    m = mean(a, dim, True)
    far = _kernels.map2(K["sub"], a, m)
    squares = _reduced(_kernels.SUMSQ, far, dim, True, "var")
    lost = lost_of_mean(far, m, div(squares, float(n)), dim)
    if lost is not None:
        squares = _reduced(_kernels.SUMSQ, _kernels.map2(K["sub"], far, lost), dim, True, "var")
    v = _kernels.map2(K["div"], squares, builtins.max(n - correction, 0.0))
    if not keepdim:
        dims = normalized_dims("var", a.ndim, dim)
        v = v.reshape([size for d, size in enumerate(a.shape) if d not in dims])
    return _kernels.map1(K["sqrt"], v) if root else v


@_var.rule
def _(g: Any, x: Any, out: Any, dim: Any, correction: float, keepdim: bool, root: bool) -> Any:
    shape = tuple(x.shape)
    free = _count(shape, dim) - correction
    if root:  # a constant has no direction: 0, not NaN
        flat = eq(out, 0.0)
        g = where(flat, 0.0, div(g, mul(where(flat, 1.0, out), 2.0)))
    scale = 2.0 / free if free > 0 else math.nan
    return mul(spread(g, shape, dim, keepdim), mul(centred(x, dim), scale))


def _corrected(name: str, dim: Any, unbiased: bool | None, correction: float) -> tuple[Any, float]:
    """dim and the correction. A bool in place of dim is `unbiased` over all, as in PyTorch."""
    if isinstance(dim, bool) and unbiased is None:
        dim, unbiased = None, dim
    if unbiased is None:
        return dim, float(correction)
    if correction != 1:
        raise ValueError(f"{name}: give correction or unbiased, not both")
    return dim, float(unbiased)


def var(
    x: Array, dim: Dim = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float = 1
) -> Tensor:
    """Variance over dim: sum((x - mean)^2) / max(0, n - correction), in two passes; unbiased=False is
    correction=0. Gradient: 2 g (x - mean) / (n - correction)."""
    return _var(x, *_corrected("var", dim, unbiased, correction), keepdim, False)


def std(
    x: Array, dim: Dim = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float = 1
) -> Tensor:
    """Square root of var. Gradient: g (x - mean) / ((n - correction) std), 0 where std = 0."""
    return _var(x, *_corrected("std", dim, unbiased, correction), keepdim, True)


@op
def _norm2(x: Array, dim: Any, keepdim: bool) -> Any:
    return _kernels.map1(_kernels.OPS["sqrt"], _reduced(_kernels.SUMSQ, x, dim, keepdim, "norm"))


@_norm2.rule
def _(g: Any, x: Any, out: Any, dim: Any, keepdim: bool) -> Any:
    shape = tuple(x.shape)
    zero = eq(out, 0.0)
    return mul(x, spread(where(zero, 0.0, div(g, where(zero, 1.0, out))), shape, dim, keepdim))


def norm(x: Array, p: Any = 2, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The p-norm over dim of the elements (p=2 or "fro": Euclidean; inf, -inf, 0 and any number). Gradient for 2: g x / norm,
    0 at norm 0."""
    if p in ("fro", 2):
        return _norm2(x, dim, keepdim)
    a = abs(x)
    if p == math.inf:
        return amax(a, dim, keepdim)  # type: ignore[no-any-return]
    if p == -math.inf:
        return amin(a, dim, keepdim)  # type: ignore[no-any-return]
    if p == 0:
        return sum(cast(a != 0, a.dtype if a.dtype.kind == "f" else get_default_dtype()), dim, keepdim)
    if p == 1:
        return sum(a, dim, keepdim)
    if not isinstance(p, (int, float)):
        raise ValueError(f"norm: p must be a number, 'fro' or inf, got {p!r}")
    total = sum(pow(a, float(p)), dim, keepdim)
    zero = eq(total, 0.0)  # no direction at 0: gradient 0
    return where(zero, 0.0, pow(where(zero, 1.0, total), 1.0 / p))


@op
def all(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether all elements are not 0, over dim -> bool. No gradient."""
    return _numpy(np.all, array_of(x, "all"), dim, keepdim, "all")


@op
def any(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether an element is not 0, over dim -> bool. No gradient."""
    return _numpy(np.any, array_of(x, "any"), dim, keepdim, "any")
