"""Shapes: views where memory allows, copies where not."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from reshape(2, 3) and from reshape((2, 3)); TypeError for what is no whole number."""
    try:
        if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer)):
            sizes = tuple(sizes[0])
        return tuple([operator.index(s) for s in sizes])
    except TypeError:
        raise TypeError(f"shape: expected sizes or dimensions as whole numbers, got {sizes}") from None


def one_dim(name: str, ndim: int, dim: int) -> int:
    """dim as a non-negative int; IndexError out of range, TypeError for what is no whole number."""
    if not isinstance(dim, (int, np.integer)):
        raise TypeError(f"{name}: expected a whole number as dim, got {type(dim).__name__}")
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
    given: Any = (dim,) if isinstance(dim, (int, np.integer)) else dim
    dims = {one_dim("squeeze", max(x.ndim, 1), d) for d in given}
    return _reshape(x, tuple(n for d, n in enumerate(x.shape) if d not in dims or n != 1))


def unsqueeze(x: Array, dim: int) -> Tensor:
    """With a dimension of size 1 at dim."""
    d = one_dim("unsqueeze", x.ndim + 1, dim)
    return _reshape(x, (*x.shape[:d], 1, *x.shape[d:]))


def flatten(x: Array, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim to end_dim as one."""
    n = max(x.ndim, 1)  # a 0-d tensor counts as one dimension
    a, b = one_dim("flatten", n, start_dim), one_dim("flatten", n, end_dim)
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
    shape = tuple(x.shape[i - lead] if s == -1 else s for i, s in enumerate(given))
    if any(n not in (1, s) for n, s in zip(x.shape, shape[lead:])):
        raise ValueError(f"expand: shape {tuple(x.shape)} does not expand to {given}: only sizes of 1 may grow")
    return _broadcast_to(x, shape)


def expand_as(x: Array, other: Array) -> Tensor:
    """expand to the shape of other."""
    return _broadcast_to(x, tuple(other.shape))


@op
def clone(x: Array) -> Any:
    """A copy in its own memory, C-contiguous. Gradient: g."""
    if not isinstance(x, (np.ndarray, np.generic)):
        raise TypeError(f"clone: expected a Tensor or an ndarray, got {type(x).__name__}; use tt.tensor")
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
