"""Joining tensors, and taking them apart again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .index import getitem
from .promotion import cast_to, result_type
from .shape import one_dim, unsqueeze


@op
def _cat(tensors: Sequence[Array], dim: int = 0) -> Any:
    arrays = [a for a in tensors if not (a.ndim == 1 and a.size == 0)] or list(tensors)
    dtype = result_type(*tensors)
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
    """Elements start to start + length along dim (a view); a negative start counts from the end."""
    d = one_dim("narrow", x.ndim, dim)
    if -x.shape[d] <= start < 0:
        start += x.shape[d]
    if not 0 <= start <= start + length <= x.shape[d]:
        raise ValueError(f"narrow: {start} to {start + length} is outside size {x.shape[d]} of dim {dim}")
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
