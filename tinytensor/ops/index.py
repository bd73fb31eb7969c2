"""Reading and writing by index, as NumPy does; every gradient of a repeated index adds up, in one order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .pointwise import cast, where
from .promotion import array_of, cast_to, result_type
from .shape import one_dim, reshape


def plain_index(index: Any) -> Any:
    """An index without Tensors: bool masks and int64 arrays, slices, ints, None and Ellipsis."""
    if isinstance(index, tuple):
        return tuple(plain_index(i) for i in index)
    if isinstance(index, Tensor):
        index = index._data
    if isinstance(index, list):
        index = np.asarray([plain_index(i) for i in index] if index else np.empty(0, np.int64))
    if isinstance(index, np.ndarray):
        if index.dtype.kind not in "iub":
            raise TypeError(f"index: expected integers or bools, got {index.dtype}")
        if index.dtype == np.uint8:
            index = index.astype(np.int64)
        elif index.ndim and _kernels.block(index) is None:
            index = index.copy()  # the caller may write into it before backward, and nothing would count that
        return index if index.ndim or index.dtype.kind == "b" else int(index)
    return index


def _basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        i is None or i is Ellipsis or (isinstance(i, (int, np.integer, slice)) and not isinstance(i, bool))
        for i in parts
    )


@op(view=True)
def getitem(x: Array, index: Any) -> Any:
    """x[index], NumPy's basic (a view) and advanced (a copy) indexing. Gradient: g added into zeros at index."""
    try:
        part = x[index]
        if not isinstance(part, np.ndarray):  # NumPy gives a number where a 0-d view is meant
            whole = (*index, ...) if isinstance(index, tuple) else (index, ...)
            part = x[whole]
        return _kernels.owned(part)
    except IndexError as e:
        raise IndexError(f"index: {e} (shape {x.shape})") from None


@getitem.rule
def _(g: Any, x_shape: Any, index: Any) -> Any:
    return getitem_grad(g, x_shape, index)


@op
def getitem_grad(g: Array, shape: tuple[int, ...], index: Any) -> Any:
    """Zeros of `shape` with g added at index."""
    out = _kernels.empty(shape, g.dtype)
    out.fill(0)
    if _basic(index):
        out[index] = g
        return out
    rows = isinstance(index, np.ndarray) and index.dtype.kind != "b"
    if rows:  # whole rows by number
        n = shape[0]
        i = np.where(index < 0, index + n, index).astype(np.int64)
        return _kernels.scatter_add(out, i.reshape(-1), g.reshape((i.size, *shape[1:])))
    places = np.arange(out.size, dtype=np.int64).reshape(shape)[index]
    _kernels.scatter_add(out.reshape(-1), places.reshape(-1), np.broadcast_to(g, places.shape).reshape(-1))
    return out


@getitem_grad.rule
def _(u: Any, index: Any) -> Any:
    return getitem(u, index)


@op
def index_put(x: Array, value: Array, index: Any) -> Any:
    """A copy of x with x[index] = value; of several for one place the last stays. Gradient: g with zeros at index to x, g[index] to
    what stayed of value."""
    out = _kernels.empty(x.shape, x.dtype)
    np.copyto(out, x)
    _assign(out, index, value)
    return out


@index_put.rule
def _(g: Any, index: Any, needs: Any) -> Any:
    dx = index_put(g, 0.0, index) if needs[0] else None
    if not needs[1]:
        return dx, None
    up, gone = getitem(g, index), _overwritten(g.shape, index)
    return dx, up if gone is None else where(gone, 0.0, up)


def _overwritten(shape: tuple[int, ...], index: Any) -> Any:
    """Which values an assignment at index writes over again, as a place is named twice; None where none is."""
    parts = index if isinstance(index, tuple) else (index,)
    if not any(isinstance(i, np.ndarray) and i.dtype.kind != "b" for i in parts):
        return None
    writer = np.empty(shape, np.int64)
    number = np.arange(writer[index].size, dtype=np.int64).reshape(writer[index].shape)
    writer[index] = number
    gone = writer[index] != number
    return gone if np.count_nonzero(gone) else None


def _assign(out: Any, index: Any, value: Any) -> None:
    try:
        out[index] = value
    except IndexError as e:
        raise IndexError(f"index: {e} (shape {out.shape})") from None
    except ValueError as e:
        raise ValueError(f"assignment: {e} (tensor {out.shape}, value {np.shape(value)})") from None


def _mesh(shape: tuple[int, ...], dim: int, index: Any) -> tuple[Any, ...]:
    """An open grid over `shape` in which `dim` is taken from index."""
    grid: list[Any] = list(np.ogrid[tuple(slice(0, n) for n in shape)]) if shape else []
    grid[dim] = index
    return tuple(grid)


def _integers(name: str, index: Any) -> Any:
    a = np.asarray(index._data if isinstance(index, Tensor) else index)
    if a.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected an integer index, got {a.dtype}")
    return a.astype(np.int64, copy=False)


def gather(x: Array, dim: int, index: Array) -> Tensor:
    """out[i][j] = x[index[i][j]][j] for dim 0, and so on; out has index's shape. Gradient: g added at index."""
    i = _integers("gather", index)
    d = one_dim("gather", x.ndim, dim)
    if i.ndim != x.ndim or any(m > n for k, (m, n) in enumerate(zip(i.shape, x.shape)) if k != d):
        raise ValueError(f"gather: index of shape {i.shape} does not fit into {tuple(x.shape)} along dim {dim}")
    _bounds("gather", i, x.shape[d])
    return getitem(x, _mesh(i.shape, d, i))


def _bounds(name: str, index: Any, n: int) -> None:
    bad = (index < 0) | (index >= n)
    if np.count_nonzero(bad):
        raise IndexError(f"{name}: index {int(index[bad][0])} is out of range for size {n}")


def take_along_dim(x: Array, indices: Array, dim: int | None = None) -> Tensor:
    """x at indices along dim, the other dimensions broadcast (None: of the flattened x)."""
    i = _integers("take_along_dim", indices)
    if dim is None:
        return getitem(reshape(x, (-1,)), i.reshape(-1))
    d = one_dim("take_along_dim", x.ndim, dim)
    if i.ndim != x.ndim:
        raise ValueError(f"take_along_dim: expected indices of {x.ndim} dimensions, got shape {i.shape}")
    shape = tuple(m if k == d else max(m, n) for k, (m, n) in enumerate(zip(i.shape, x.shape)))
    grid = [0 if x.shape[k] == 1 and k != d else v for k, v in enumerate(_mesh(shape, d, np.broadcast_to(i, shape)))]
    return getitem(x, tuple(np.zeros((1,) * x.ndim, np.int64) if isinstance(v, int) else v for v in grid))


def index_select(x: Array, dim: int, index: Array) -> Tensor:
    """Whole slices along dim by number (a vector of integers)."""
    i = _integers("index_select", index)
    if i.ndim > 1:
        raise ValueError(f"index_select: expected a vector of indices, got shape {i.shape}")
    d = one_dim("index_select", x.ndim, dim)
    _bounds("index_select", i, x.shape[d])
    return getitem(x, (*(slice(None),) * d, i.reshape(-1)) if d else i.reshape(-1))


@op
def _scatter_add(x: Array, src: Array, mesh: Any) -> Any:
    dtype = result_type(x, src)
    if dtype != x.dtype:
        raise TypeError(f"scatter_add: expected src of dtype {x.dtype}, got {src.dtype}")
    out = _kernels.empty(x.shape, x.dtype)
    np.copyto(out, x)
    if dtype.kind != "f":
        np.add.at(out, mesh, src)
        return out
    places = np.arange(out.size, dtype=np.int64).reshape(out.shape)[mesh]
    _kernels.scatter_add(out.reshape(-1), places.reshape(-1), src.reshape(-1))
    return out


@_scatter_add.rule
def _(g: Any, mesh: Any, needs: Any) -> Any:
    return g, getitem(g, mesh) if needs[1] else None


def scatter_add(x: Array, dim: int, index: Array, src: Array) -> Tensor:
    """A copy of x with src[i][j] added at [index[i][j]][j] for dim 0, and so on, in the order of src. Gradient: g to x, g
    gathered at index to src."""
    i = _integers("scatter_add", index)
    d = one_dim("scatter_add", x.ndim, dim)
    if i.ndim != x.ndim or src.ndim != x.ndim or any(m > n for m, n in zip(i.shape, src.shape)):
        raise ValueError(f"scatter_add: index {i.shape} and src {tuple(src.shape)} do not fit into {tuple(x.shape)}")
    if any(m > n for k, (m, n) in enumerate(zip(i.shape, x.shape)) if k != d):
        raise ValueError(f"scatter_add: index {i.shape} is larger than {tuple(x.shape)} outside dim {dim}")
    _bounds("scatter_add", i, x.shape[d])
    part = src if tuple(src.shape) == i.shape else getitem(src, tuple(slice(0, n) for n in i.shape))
    return _scatter_add(x, part, _mesh(i.shape, d, i))


def masked_fill(x: Array, mask: Array, value: Any) -> Tensor:
    """x with `value` (a number or 0-d tensor, as x's dtype) where mask (bool, broadcast) holds. Gradient: g where it does not, its
    sum to value. ValueError for inf or NaN into integers."""
    shape = np.shape(value._data if isinstance(value, Tensor) else value)
    if shape != ():
        raise ValueError(f"masked_fill: expected a number or 0-d tensor as value, got shape {shape}")
    pairs = zip(mask.shape[::-1], x.shape[::-1])
    if len(mask.shape) > len(x.shape) or any(m not in (1, n) for m, n in pairs):
        raise ValueError(f"masked_fill: mask {tuple(mask.shape)} cannot be broadcast to {tuple(x.shape)}")
    if isinstance(value, Tensor):
        return where(mask, value if value.dtype == x.dtype else cast(value, x.dtype), x)
    if x.dtype.kind == "f":
        return where(mask, value, x)
    if not math.isfinite(value):
        raise ValueError(f"masked_fill: {value} is no {x.dtype}; use .to(tt.float32) first")
    return where(mask, np.asarray(value).astype(x.dtype), x)


@op
def one_hot(x: Array, num_classes: int = -1) -> Any:
    """Integers (*) -> int64 (*, num_classes) with a 1 at each; -1 takes the largest + 1. No gradient."""
    a = array_of(x, "one_hot")
    if a.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integers, got {a.dtype}")
    if num_classes == -1:
        if a.size == 0:
            raise ValueError("one_hot: num_classes must be told for an empty tensor")
        num_classes = int(a.max()) + 1
    a = a.astype(np.int64)
    _bounds("one_hot", a, num_classes)
    return cast_to(a[..., None] == np.arange(num_classes), np.dtype(np.int64), "one_hot")
