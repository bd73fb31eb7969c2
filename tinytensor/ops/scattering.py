"""Choosing and writing by mask and index. Of several values for one place the last stays, and sums run in index order, so no
result depends on the machine; the changed copy is the value, the names with an underscore behind change in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from . import index as indexing
from . import pointwise
from .index import _bounds, _integers, _mesh, _scatter_add, getitem, plain_index, scatter_add
from .inplace import in_place_method
from .join import cat
from .pointwise import cast, div, eq, grad_mul, mul
from .promotion import array_of
from .rearrange import broadcast_shapes, unbind
from .reduction import prod
from .shape import broadcast_to, one_dim, reshape


def _flat(x: Any) -> Any:
    return reshape(x, (math.prod(x.shape),))


def _array(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else np.asarray(x)


def _same_dtype(name: str, x: Any, src: Any) -> None:
    if src.dtype.newbyteorder("=") != x.dtype:  # an array may be byte-swapped
        raise TypeError(f"{name}: expected a source of dtype {x.dtype}, got {src.dtype}; use .to(...)")


def _places(shape: tuple[int, ...], mesh: Any) -> Any:
    """Where in the flattened tensor an index reads."""
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)[mesh]


# ------------------------------------------------------------------------------------------------------------- choosing
def _mask(name: str, mask: Any) -> Any:
    m = _array(mask)
    if m.dtype != np.bool_:
        raise TypeError(f"{name}: expected a bool mask, got {m.dtype}; compare it with something first")
    return m


def masked_select(x: Array, mask: Array) -> Tensor:
    """The elements where mask (bool, broadcast with x) holds -> (n,), n depending on the values. Gradient: g at those."""
    m = _mask("masked_select", mask)
    shape = broadcast_shapes(tuple(x.shape), m.shape)
    return getitem(x if tuple(x.shape) == shape else broadcast_to(x, shape), np.broadcast_to(m, shape))


@op
def argwhere(x: Array) -> Any:
    """Indices of the elements that are not 0, one row for each -> int64 (n, x.ndim), in C order. No gradient."""
    return np.argwhere(array_of(x, "nonzero")).astype(np.int64, copy=False)


def nonzero(x: Array, *, as_tuple: bool = False) -> Any:
    """argwhere; as_tuple gives one vector of indices for each dimension instead (a 0-d tensor counts as a vector). No gradient."""
    if not as_tuple:
        return argwhere(x)
    return unbind(argwhere(x if x.ndim else reshape(x, (1,))), 1)


def where(condition: Array, x: Any = None, y: Any = None) -> Any:
    """x where the condition (bool) holds, else y, broadcast; the condition alone: nonzero(as_tuple=True). Gradient: g to the chosen
    one, exactly 0 to the other."""
    if x is None and y is None:
        return nonzero(condition, as_tuple=True)
    if x is None or y is None:
        raise TypeError("where: give both x and y, or the condition alone")
    return pointwise.where(condition, x, y)


def take(x: Array, index: Array) -> Tensor:
    """Elements of the flattened x by number, in the shape of index. Gradient: g added at index."""
    i = _wrapped("take", index, math.prod(x.shape))
    return getitem(_flat(x), i)


def _wrapped(name: str, index: Any, n: int) -> Any:
    i = _integers(name, index)
    i = np.where(i < 0, i + n, i)
    _bounds(name, i, n)
    return i


# -------------------------------------------------------------------------------------------------------- whole slices
def _slices(name: str, x: Any, dim: int, index: Any) -> tuple[int, Any]:
    """dim, and an index of whole slices along it."""
    i = _integers(name, index)
    if i.ndim > 1:
        raise ValueError(f"{name}: expected a vector of indices, got shape {i.shape}")
    d = one_dim(name, x.ndim, dim)
    i = _wrapped(name, i.reshape(-1), x.shape[d])
    return d, (*(slice(None),) * d, i) if d else i


def _fitting(name: str, x: Any, d: int, index: Any, source: Any) -> None:
    _same_dtype(name, x, source)
    want = (*x.shape[:d], (index[-1] if d else index).size, *x.shape[d + 1 :])
    if tuple(source.shape) != want:
        raise ValueError(
            f"{name}: expected a source of shape {want} for {tuple(x.shape)} along dim {d}, got {tuple(source.shape)}"
        )


def index_add(x: Array, dim: int, index: Array, source: Array, *, alpha: float = 1) -> Tensor:
    """x with alpha times the slices of source added to those that a vector of integers names along dim, in their order.
    Gradient: g to x, alpha g at index to source."""
    d, at = _slices("index_add", x, dim, index)
    _fitting("index_add", x, d, at, source)
    return _scatter_add(x, source if alpha == 1 else mul(source, alpha), at)


def index_copy(x: Array, dim: int, index: Array, source: Array) -> Tensor:
    """x with the slices of source in place of those that a vector of integers names along dim; of several for one the last
    stays. Gradient: 0 at index to x, g there to the slices that stayed."""
    d, at = _slices("index_copy", x, dim, index)
    _fitting("index_copy", x, d, at, source)
    return indexing.index_put(x, source, at)


def index_fill(x: Array, dim: int, index: Array, value: Any) -> Tensor:
    """x with value (a number or 0-d tensor) in the slices that a vector of integers names along dim. Gradient: 0 there to x,
    the sum of g there to value."""
    d, at = _slices("index_fill", x, dim, index)
    if np.shape(_array(value)) != ():
        raise ValueError(f"index_fill: expected a number or 0-d tensor as value, got shape {np.shape(_array(value))}")
    once = np.unique(at[-1] if d else at)
    return indexing.index_put(x, _number(x, value), (*(slice(None),) * d, once) if d else once)


def _number(x: Any, value: Any) -> Any:
    return cast(value, x.dtype) if isinstance(value, Tensor) and value.dtype != x.dtype else value


# ------------------------------------------------------------------------------------------------------------- elements
def _scattered(name: str, x: Any, dim: int, index: Any, src: Any) -> tuple[Any, Any]:
    """The grid of places that index names along dim, and the part of src that goes there."""
    i = _integers(name, index)
    d = one_dim(name, x.ndim, dim)
    if i.ndim != x.ndim or (src is not None and (src.ndim != x.ndim or any(m > n for m, n in zip(i.shape, src.shape)))):
        of_src = "" if src is None else f" and src {tuple(src.shape)}"
        raise ValueError(
            f"{name}: index {i.shape}{of_src} must have {x.ndim} dimensions, and index none larger than src's"
        )
    if any(m > n for k, (m, n) in enumerate(zip(i.shape, x.shape)) if k != d):
        raise ValueError(f"{name}: index {i.shape} is larger than {tuple(x.shape)} outside dim {dim}")
    _bounds(name, i, x.shape[d])
    if src is not None:
        _same_dtype(name, x, src)
        if tuple(src.shape) != i.shape:
            src = getitem(src, tuple(slice(0, n) for n in i.shape))
    return _mesh(i.shape, d, i), src


def scatter(x: Array, dim: int, index: Array, src: Any = None, *, value: Any = None) -> Tensor:
    """x with src[i][j] (or the number value) at [index[i][j]][j] for dim 0, and so on; of several for one place the last stays.
    Gradient: 0 at index to x, g there to the elements of src that stayed."""
    if (src is None) == (value is None):
        raise ValueError("scatter: give one of src and value")
    source = src if isinstance(src, (Tensor, np.ndarray)) else None
    mesh, part = _scattered("scatter", x, dim, index, source)
    if source is None:
        return indexing.index_put(x, value if src is None else src, mesh)
    return indexing.index_put(x, part, mesh)


@op
def _scatter_extreme(x: Array, src: Array, mesh: Any, largest: bool, include_self: bool) -> Any:
    out = _kernels.empty(x.shape, x.dtype)
    np.copyto(out, x)
    if not include_self:
        kind = np.finfo(out.dtype) if out.dtype.kind == "f" else np.iinfo(out.dtype)
        worst: Any = kind.min if largest else kind.max
        out[mesh] = (-math.inf if largest else math.inf) if out.dtype.kind == "f" else worst
    with np.errstate(invalid="ignore"):  # NaN is meant
        (np.maximum if largest else np.minimum).at(out, mesh, src)
    return out


@_scatter_extreme.rule
def _(g: Any, x: Any, src: Any, out: Any, mesh: Any, include_self: bool, needs: Any) -> Any:
    mine = cast(eq(x, out), g.dtype)
    if not include_self:
        mine = indexing.index_put(mine, 0.0, mesh)
    theirs = cast(eq(src, getitem(out, mesh)), g.dtype)
    equals = _scatter_add(mine, theirs, mesh)
    return (
        grad_mul(g, div(mine, equals)) if needs[0] else None,
        grad_mul(getitem(g, mesh), div(theirs, getitem(equals, mesh))) if needs[1] else None,
    )


def _scatter_product(x: Any, src: Any, mesh: Any, include_self: bool) -> Any:
    """Each place's factors gathered in one row of a matrix, filled up with ones, whose products are taken along the rows."""
    size, count = math.prod(x.shape), math.prod(src.shape)
    if count == 0:
        return x
    places = np.broadcast_to(_places(tuple(x.shape), mesh), tuple(src.shape)).reshape(-1)
    order = np.argsort(places, kind="stable")
    named, start, counts = np.unique(places[order], return_index=True, return_counts=True)
    rows = np.full((len(named), 1 + int(counts.max())), size + count, np.int64)  # the 1 at the end
    if include_self:
        rows[:, 0] = named
    column = np.arange(count) - np.repeat(start, counts)
    rows[np.repeat(np.arange(len(named)), counts), 1 + column] = size + order
    one = np.ones(1, x.dtype)
    factors = cat([_flat(x), _flat(src), Tensor._new(one) if isinstance(x, Tensor) or isinstance(src, Tensor) else one])
    return reshape(indexing.index_put(_flat(x), prod(getitem(factors, rows), 1), named), tuple(x.shape))


def scatter_reduce(x: Array, dim: int, index: Array, src: Array, reduce: str, *, include_self: bool = True) -> Tensor:
    """x with the "sum", "prod", "mean", "amax" or "amin" of all src[i][j] whose place (as in scatter) it is, and of the old
    value with include_self. Gradient: as that of the reduction over what goes to one place; equal extremes share alike."""
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise ValueError(f"scatter_reduce: expected reduce sum, prod, mean, amax or amin, got {reduce!r}")
    if x.dtype.kind == "b":
        raise TypeError("scatter_reduce: expected a tensor of numbers, got bool; use .to(tt.int64)")
    mesh, part = _scattered("scatter_reduce", x, dim, index, src)
    if reduce in ("amax", "amin"):
        return _scatter_extreme(x, part, mesh, reduce == "amax", include_self)
    if reduce == "prod":
        return _scatter_product(x, part, mesh, include_self)  # type: ignore[no-any-return]
    if reduce == "mean" and x.dtype.kind != "f":
        raise TypeError(f"scatter_reduce: mean expects a float tensor, got {x.dtype}; use .to(tt.float32)")
    total = _scatter_add(x if include_self else indexing.index_put(x, 0, mesh), part, mesh)
    if reduce == "sum":
        return total
    counts = np.zeros(tuple(x.shape), np.int64)
    np.add.at(counts, mesh, 1)
    return div(total, np.maximum(counts + include_self, 1).astype(x.dtype))


def put(x: Array, index: Array, source: Array, accumulate: bool = False) -> Tensor:
    """x with source at places of the flattened x by number, or added there; of several for one the last stays.
    Gradient: g without those places (all of g where added) to x, g there to source."""
    i = _wrapped("put", index, math.prod(x.shape)).reshape(-1)
    _same_dtype("put", x, source)
    if math.prod(source.shape) != i.size:
        raise ValueError(
            f"put: {i.size} indices for {math.prod(source.shape)} elements of source {tuple(source.shape)}"
        )
    write = _scatter_add if accumulate else indexing.index_put
    return reshape(write(_flat(x), _flat(source), i), tuple(x.shape))


def index_put(x: Array, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """x with values (broadcast) at x[indices], a tuple of integer or bool tensors, or added there; of several for one place the
    last stays. Gradient: g without those places (all of g where added) to x, g there to values."""
    at = plain_index(tuple(indices))
    try:
        shape = _places(tuple(x.shape), at).shape
    except IndexError as e:
        raise IndexError(f"index_put: {e} (shape {tuple(x.shape)})") from None
    if not isinstance(values, (Tensor, np.ndarray)):
        values = np.asarray(values, x.dtype)
    _same_dtype("index_put", x, values)
    part = values if tuple(values.shape) == shape else broadcast_to(values, shape)
    return _scatter_add(x, part, at) if accumulate else indexing.index_put(x, part, at)


def masked_scatter(x: Array, mask: Array, source: Array) -> Tensor:
    """x with the first elements of source, in C order, where mask (bool, broadcast to x) holds. Gradient: g elsewhere to x, g
    there to source. ValueError where source has too few."""
    m = _mask("masked_scatter", mask)
    _same_dtype("masked_scatter", x, source)
    try:
        m = np.broadcast_to(m, tuple(x.shape))
    except ValueError:
        raise ValueError(f"masked_scatter: mask {m.shape} cannot be broadcast to {tuple(x.shape)}") from None
    n = int(m.sum())
    if n > math.prod(source.shape):
        raise ValueError(f"masked_scatter: the mask holds {n} times, source has {math.prod(source.shape)} elements")
    return indexing.index_put(x, getitem(_flat(source), slice(0, n)), m)


# ------------------------------------------------------------------------------------------------------------- counting
@op
def bincount(x: Array, weights: Array | None = None, minlength: int = 0) -> Any:
    """How often each of 0, 1, 2 ... is in a vector of integers -> int64 (max + 1 or more), or the sums of its weights, added in
    order. No gradient. ValueError for negative ones."""
    a = array_of(x, "bincount")
    if a.dtype.kind not in "iu" or a.ndim != 1:
        raise TypeError(f"bincount: expected a vector of integers, got {a.dtype} of shape {a.shape}")
    if minlength < 0 or np.count_nonzero(a < 0):
        raise ValueError(f"bincount: expected no negative number, got {a.min(initial=0)} and minlength {minlength}")
    a = a.astype(np.int64)
    n = max(int(a.max(initial=-1)) + 1, minlength)
    if weights is None:
        return np.bincount(a, minlength=n).astype(np.int64, copy=False)
    w = array_of(weights, "bincount")
    if w.shape != a.shape:
        raise ValueError(f"bincount: expected weights of shape {a.shape}, got {w.shape}")
    out = _kernels.empty((n,), w.dtype if w.dtype.kind == "f" else np.float64)
    out.fill(0)
    return _kernels.scatter_add(out, a, w.astype(out.dtype, copy=False))


@op
def isin(elements: Array, test_elements: Array, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element is among the test elements (invert: is not) -> bool. assume_unique: that none is there twice, which
    is faster. No gradient."""
    a, b = array_of(elements, "isin"), array_of(test_elements, "isin")
    return np.asarray(np.isin(a, b, assume_unique=assume_unique, invert=invert))


# ------------------------------------------------------------------------------------------------------------- in place
IN_PLACE: dict[str, Any] = {
    f"{f.__name__}_": in_place_method(f"{f.__name__}_", f, f.__name__)
    for f in (
        scatter,
        scatter_add,
        scatter_reduce,
        index_add,
        index_copy,
        index_fill,
        index_put,
        put,
        masked_scatter,
    )
}
"""The methods that change their tensor, by name."""
