"""Rows of a table by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .index import getitem_grad
from .pointwise import where


@op
def _embedding(weight: Array, ids: Any, padding_idx: int | None) -> Any:
    out = _kernels.empty((*ids.shape, weight.shape[1]), weight.dtype)
    np.take(weight, ids, axis=0, out=out, mode="clip")  # checked before: "raise" would go through a copy
    return out


@_embedding.rule
def _(g: Any, weight_shape: Any, ids: Any, padding_idx: int | None) -> Any:
    if padding_idx is not None:
        g = where((ids == padding_idx)[..., None], 0.0, g)
    return getitem_grad(g, weight_shape, ids)


def embedding(input: Array, weight: Array, padding_idx: int | None = None) -> Tensor:
    """Rows of weight (count, size) by number: integers (*) -> (*, size). padding_idx: a row that gets no gradient (negative: from
    the end); its values are looked up as any other's.

    Gradient: to weight g added at the rows, those of a repeated number in the order of input. TypeError for numbers that are
    not integers, IndexError for one outside [0, count), ValueError for a weight that is not a matrix.
    """
    ids = np.asarray(input._data if isinstance(input, Tensor) else input)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"embedding: expected integers, got {ids.dtype}; use .to(tt.int64)")
    if weight.ndim != 2:
        raise ValueError(f"embedding: expected a weight of shape (count, size), got {tuple(weight.shape)}")
    count = weight.shape[0]
    if padding_idx is not None:
        if not -count <= padding_idx < count:
            raise ValueError(f"embedding: padding_idx {padding_idx} is outside the {count} rows of weight")
        padding_idx %= count
    bad = (ids < 0) | (ids >= count)
    if np.count_nonzero(bad):
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise IndexError(f"embedding: number {int(ids[at])} at {at} is out of range for a weight of {count} rows")
    return _embedding(weight, ids.astype(np.int64), padding_idx)  # a copy: the rule must not see a later change
