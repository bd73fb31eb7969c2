"""Shapes: views where memory allows, copies where not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .promotion import cast_to, result_type


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from reshape(2, 3) and from reshape((2, 3))."""
    if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer)):
        sizes = tuple(sizes[0])
    return tuple(int(s) for s in sizes)


def one_dim(name: str, ndim: int, dim: int) -> int:
    """dim as a non-negative int; IndexError out of range."""
    if not -ndim <= dim < ndim:
        raise IndexError(f"{name}: dim {dim} is out of range for {ndim} dimensions")
    return int(dim) % ndim


@op(view=True)
def _reshape(x: Array, shape: tuple[int, ...]) -> Any:
    try:
        return _kernels.owned(x.reshape(shape))
    except ValueError:
        raise ValueError(f"reshape: {x.size} elements of shape {x.shape} do not fill shape {shape}") from None


@_reshape.rule
def _(g: Any, x_shape: Any) -> Any:
    return _reshape(g, x_shape)


def reshape(x: Array, *shape: Any) -> Tensor:
    """The same elements in another shape; one size may be -1. A view where memory allows. Gradient: g in the old shape."""
    return _reshape(x, _sizes(shape))


def view(x: Array, *shape: Any) -> Tensor:
    """reshape that never copies: ValueError where the memory does not allow a view. `view(dtype)` is not supported."""
    a = x._data if isinstance(x, Tensor) else x
    sizes = _sizes(shape)
    if a.size and not np.shares_memory(a.reshape(sizes), a):
        raise ValueError(f"view: shape {sizes} of a tensor with strides {a.strides} needs a copy; use reshape")
    return _reshape(x, sizes)


@op(view=True)
def _permute(x: Array, dims: tuple[int, ...]) -> Any:
    return x.transpose(dims)


@_permute.rule
def _(g: Any, dims: tuple[int, ...]) -> Any:
    back = [0] * len(dims)
    for i, d in enumerate(dims):
        back[d] = i
    return _permute(g, tuple(back))


def permute(x: Array, *dims: Any) -> Tensor:
    """Dimensions in another order (a view). Gradient: g put back."""
    given = _sizes(dims)
    order = tuple(one_dim("permute", x.ndim, d) for d in given)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"permute: expected each of {x.ndim} dimensions once, got {given}")
    return _permute(x, order)


def transpose(x: Array, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged (a view)."""
    order = list(range(x.ndim))
    a, b = one_dim("transpose", x.ndim, dim0), one_dim("transpose", x.ndim, dim1)
    order[a], order[b] = b, a
    return _permute(x, tuple(order))


def t(x: Array) -> Tensor:
    """The transpose of a matrix (a view); vectors stay. ValueError for more dimensions."""
    if x.ndim > 2:
        raise ValueError(f"t: expected at most 2 dimensions, got shape {x.shape}; use permute")
    return _permute(x, tuple(range(x.ndim))[::-1])


def matrix_transpose(x: Array) -> Tensor:
    """The last two dimensions exchanged (a view)."""
    return transpose(x, -1, -2)


def squeeze(x: Array, dim: Any = None) -> Tensor:
    """Without dimensions of size 1: all of them, or those in dim (others stay)."""
    if dim is None:
        return _reshape(x, tuple(n for n in x.shape if n != 1))
    dims = {one_dim("squeeze", x.ndim, d) for d in ((dim,) if isinstance(dim, int) else dim)} if x.ndim else set()
    return _reshape(x, tuple(n for d, n in enumerate(x.shape) if d not in dims or n != 1))


def unsqueeze(x: Array, dim: int) -> Tensor:
    """With a dimension of size 1 at dim."""
    d = one_dim("unsqueeze", x.ndim + 1, dim)
    return _reshape(x, (*x.shape[:d], 1, *x.shape[d:]))


def flatten(x: Array, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim to end_dim as one."""
    if x.ndim == 0:
        return _reshape(x, (1,))
    a, b = one_dim("flatten", x.ndim, start_dim), one_dim("flatten", x.ndim, end_dim)
    if a > b:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return _reshape(x, (*x.shape[:a], math.prod(x.shape[a : b + 1]), *x.shape[b + 1 :]))


def ravel(x: Array) -> Tensor:
    """All elements in one dimension."""
    return _reshape(x, (math.prod(x.shape),))


def unflatten(x: Array, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension dim as several of the given sizes (one may be -1)."""
    d = one_dim("unflatten", x.ndim, dim)
    return _reshape(x, (*x.shape[:d], *_filled(tuple(sizes), x.shape[d]), *x.shape[d + 1 :]))


def _filled(sizes: tuple[int, ...], total: int) -> tuple[int, ...]:
    known = math.prod(s for s in sizes if s != -1)
    out = tuple(total // known if s == -1 and known else s for s in sizes)
    if math.prod(out) != total:
        raise ValueError(f"unflatten: sizes {sizes} do not multiply to {total}")
    return out


@op(view=True)
def _broadcast_to(x: Array, shape: tuple[int, ...]) -> Any:
    try:
        # a writable view would let one write change many elements
        return np.broadcast_to(x, shape)
    except ValueError:
        raise ValueError(f"broadcast_to: shape {x.shape} cannot be broadcast to {shape}") from None


@_broadcast_to.rule
def _(g: Any) -> Any:
    return g  # the tape sums it back


def broadcast_to(x: Array, shape: Sequence[int]) -> Tensor:
    """x repeated to shape (a read-only view). Gradient: g summed over what was repeated."""
    return _broadcast_to(x, tuple(shape))


def expand(x: Array, *sizes: Any) -> Tensor:
    """broadcast_to where -1 keeps a size."""
    given = _sizes(sizes)
    lead = len(given) - x.ndim
    if lead < 0 or any(s == -1 for s in given[:lead]):
        raise ValueError(f"expand: sizes {given} do not fit shape {x.shape}")
    return _broadcast_to(x, tuple(x.shape[i - lead] if s == -1 else s for i, s in enumerate(given)))


def expand_as(x: Array, other: Array) -> Tensor:
    """expand to the shape of other."""
    return _broadcast_to(x, tuple(other.shape))


@op
def _cat(tensors: Sequence[Array], dim: int = 0) -> Any:
    arrays = [a for a in tensors if not (a.ndim == 1 and a.size == 0)] or list(tensors)
    dtype = result_type(*arrays)
    d = one_dim("cat", arrays[0].ndim, dim) if arrays[0].ndim else -1
    for a in arrays:
        if (
            d < 0
            or a.ndim != arrays[0].ndim
            or any(m != n for i, (m, n) in enumerate(zip(a.shape, arrays[0].shape)) if i != d)
        ):
            raise ValueError(f"cat: shapes {[a.shape for a in arrays]} must be equal but for dim {dim}")
    shape = list(arrays[0].shape)
    shape[d] = sum(a.shape[d] for a in arrays)
    out = _kernels.empty(shape, dtype)
    np.concatenate([cast_to(a, dtype, "cat") for a in arrays], axis=d, out=out)
    return out


@_cat.rule
def _(g: Any, tensors_shape: Any, dim: int, needs: Any) -> Any:
    at = 0
    grads: list[Any] = []
    for shape, need in zip(tensors_shape, needs):
        if len(shape) == 1 and shape[0] == 0:
            grads.append(None)
            continue
        n = shape[dim]
        grads.append(narrow(g, dim, at, n) if need else None)
        at += n
    return grads


def cat(tensors: Sequence[Array], dim: int = 0) -> Tensor:
    """Tensors joined along dim; other sizes must be equal. Gradient: g split the same way."""
    if len(tensors) == 0:
        raise ValueError("cat: expected at least one tensor")
    return _cat(tensors, dim)


concat = cat


def stack(tensors: Sequence[Array], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dim."""
    if len(tensors) == 0:
        raise ValueError("stack: expected at least one tensor")
    shapes = {tuple(x.shape) for x in tensors}
    if len(shapes) > 1:
        raise ValueError(f"stack: expected one shape, got {sorted(shapes)}")
    return _cat([unsqueeze(x, dim) for x in tensors], one_dim("stack", tensors[0].ndim + 1, dim))


def narrow(x: Array, dim: int, start: int, length: int) -> Tensor:
    """Elements start to start + length along dim (a view)."""
    d = one_dim("narrow", x.ndim, dim)
    if not 0 <= start <= start + length <= x.shape[d]:
        raise ValueError(f"narrow: {start} to {start + length} is outside size {x.shape[d]} of dim {dim}")
    from .index import getitem

    return getitem(x, (*(slice(None),) * d, slice(start, start + length)))


def split(x: Array, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of a size (the last may be smaller), or of the given sizes, along dim (views)."""
    d = one_dim("split", x.ndim, dim)
    n = x.shape[d]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size <= 0:
            raise ValueError(f"split: expected a positive size, got {size}")
        sizes = [min(size, n - at) for at in range(0, n, size)] or [0]
    else:
        sizes = [int(s) for s in split_size_or_sections]
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise ValueError(f"split: sizes {sizes} must add up to {n}, the size of dim {dim}")
    parts, at = [], 0
    for s in sizes:
        parts.append(narrow(x, d, at, s))
        at += s
    return tuple(parts)


def chunk(x: Array, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of equal size (the last may be smaller) along dim (views)."""
    if chunks <= 0:
        raise ValueError(f"chunk: expected a positive number, got {chunks}")
    n = x.shape[one_dim("chunk", x.ndim, dim)]
    return split(x, max(1, -(-n // chunks)), dim)


@op
def clone(x: Array) -> Any:
    """A copy in its own memory, C-contiguous. Gradient: g."""
    out = _kernels.empty(x.shape, x.dtype)
    np.copyto(out, x)
    return out


@clone.rule
def _(g: Any) -> Any:
    return g


def contiguous(x: Array) -> Tensor:
    """x itself where its elements lie in C order, else a copy that does."""
    a = x._data if isinstance(x, Tensor) else x
    return x if a.flags.c_contiguous else clone(x)
