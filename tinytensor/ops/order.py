"""Order: sorting, the largest, what is there once. NaN counts as the largest number; equal elements keep their order. Values
take their gradient through the indices, which have none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..op import Array, op
from ..tensor import Tensor
from .index import getitem, take_along_dim
from .join import narrow
from .promotion import array_of
from .reduction import ValuesIndices
from .shape import one_dim, reshape, squeeze


def _like(x: Any, a: Any) -> Any:
    return Tensor._new(a) if isinstance(x, Tensor) else a


@op
def argsort(x: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Indices that sort x along dim -> int64. Equal elements keep their order, whether stable is asked for or not; NaN is last
    (descending: first). No gradient."""
    a = array_of(x, "argsort")
    d = one_dim("argsort", max(a.ndim, 1), dim)
    if a.ndim == 0:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(a, d, kind="stable").astype(np.int64, copy=False)
    turned = np.argsort(np.flip(a, d), d, kind="stable")
    return np.ascontiguousarray(a.shape[d] - 1 - np.flip(turned, d)).astype(np.int64, copy=False)


def sort(x: Array, dim: int = -1, descending: bool = False, stable: bool = False) -> ValuesIndices:
    """x sorted along dim -> (values, indices), as argsort. Gradient: g at the indices."""
    if x.ndim == 0:
        return ValuesIndices(reshape(x, ()), argsort(x, dim))
    indices = argsort(x, dim, descending)
    return ValuesIndices(take_along_dim(x, indices, dim), indices)


def msort(x: Array) -> Tensor:
    """x sorted along dim 0."""
    return sort(x, 0).values


def topk(x: Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
    """The k largest (or smallest) along dim -> (values, indices), the best first, whether sorted is asked for or not; of equals
    the first. NaN counts as the largest. ValueError for k out of range. Gradient: g at the indices."""
    d = one_dim("topk", max(x.ndim, 1), dim)
    n = x.shape[d] if x.ndim else 1
    if not 0 <= k <= n:
        raise ValueError(f"topk: k = {k} is out of range for size {n} of dim {dim}")
    if x.ndim == 0:
        both = topk(reshape(x, (1,)), k)
        return both if k == 0 else ValuesIndices(reshape(both.values, ()), reshape(both.indices, ()))
    indices = narrow(argsort(x, d, largest), d, 0, k)
    return ValuesIndices(take_along_dim(x, indices, d), indices)


def kthvalue(x: Array, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The k-th smallest (from 1) along dim -> (values, indices). NaN counts as the largest. ValueError for k out of range.
    Gradient: g at the indices."""
    d = one_dim("kthvalue", max(x.ndim, 1), dim)
    n = x.shape[d] if x.ndim else 1
    if not 1 <= k <= n:
        raise ValueError(f"kthvalue: k = {k} is out of range for size {n} of dim {dim}")
    if x.ndim == 0:
        return sort(x)
    indices = narrow(argsort(x, d), d, k - 1, 1)
    values = take_along_dim(x, indices, d)
    return ValuesIndices(values, indices) if keepdim else ValuesIndices(squeeze(values, d), squeeze(indices, d))


# -------------------------------------------------------------------------------------------------------- what is there
def _distinct(x: Any, dim: int | None, consecutive: bool, return_inverse: bool, return_counts: bool) -> Any:
    """Each first of equal elements (or slices along dim), their numbers for all, and how many of each there are."""
    name = "unique_consecutive" if consecutive else "unique"
    d = 0 if dim is None else one_dim(name, x.ndim, dim)
    if dim is None:
        shape, x = tuple(x.shape), reshape(x, (math.prod(x.shape),))
    else:
        shape = (x.shape[d],)
    a = array_of(x._data if isinstance(x, Tensor) else x, name)
    n = a.shape[d]
    rows = np.moveaxis(a, d, 0).reshape(n, math.prod(a.shape[:d]) * math.prod(a.shape[d + 1 :]))
    order = np.arange(n) if consecutive or rows.shape[1] == 0 else np.lexsort(rows.T[::-1])
    new = np.ones(n, bool)
    new[1:] = (rows[order[1:]] != rows[order[:-1]]).any(1)
    values = getitem(x, (*(slice(None),) * d, order[new]) if d else order[new])
    found = [values]
    if return_inverse:
        inverse = np.empty(n, np.int64)
        inverse[order] = np.cumsum(new) - 1
        found.append(_like(x, inverse.reshape(shape)))
    if return_counts:
        found.append(_like(x, np.diff(np.append(np.flatnonzero(new), n)).astype(np.int64)))
    return values if len(found) == 1 else tuple(found)


def unique(
    x: Array, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The distinct elements of x -> (n,), or with dim its distinct slices, ascending, whether sorted is asked for or not; where
    asked for, (values, inverse, counts): their numbers for all of x, and how many of each. NaN equals nothing.
    Gradient: g to the first of equals."""
    return _distinct(x, dim, False, return_inverse, return_counts)


def unique_consecutive(
    x: Array, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """x without elements (or slices along dim) that are equal to the one before; results as of unique. Gradient: g to the first
    of equals."""
    return _distinct(x, dim, True, return_inverse, return_counts)


# --------------------------------------------------------------------------------------------------------------- places
@op
def _searchsorted(sequence: Array, values: Array, right: bool) -> Any:
    s, v = array_of(sequence, "searchsorted"), array_of(values, "searchsorted")
    side: Any = "right" if right else "left"
    if s.ndim == 1:
        return np.asarray(np.searchsorted(s, v, side), np.int64)
    if s.ndim == 0 or s.shape[:-1] != v.shape[:-1]:
        raise ValueError(
            f"searchsorted: expected a vector, or input of shape {s.shape[:-1]} + (n,) for a sequence {s.shape}, got {v.shape}"
        )
    out = np.empty(v.shape, np.int64)
    for at in np.ndindex(*s.shape[:-1]):
        out[at] = np.searchsorted(s[at], v[at], side)
    return out


def searchsorted(
    sorted_sequence: Array, input: Array, *, right: bool = False, side: str | None = None, sorter: Array | None = None
) -> Tensor:
    """Where elements of input would have to be put in along the last dimension of an ascending sequence (n,), or (..., n) with input
    (..., m), to keep it so: before equals, or (right, side="right") behind them -> int64 in the shape of values. sorter: the
    indices that sort the sequence. No gradient."""
    if side not in (None, "left", "right") or (right and side == "left"):
        raise ValueError(f"searchsorted: side must be left or right, and not against right={right}, got {side!r}")
    if sorter is not None:
        sorted_sequence = take_along_dim(sorted_sequence, sorter, -1)
    return _searchsorted(sorted_sequence, input, right or side == "right")


def bucketize(x: Array, boundaries: Array, *, right: bool = False) -> Tensor:
    """The number of the bucket between ascending boundaries (n,) that each element is in, 0 to n -> int64: an element equal to a
    boundary belongs below it, or (right) above. No gradient."""
    if np.ndim(boundaries._data if isinstance(boundaries, Tensor) else boundaries) != 1:
        raise ValueError("bucketize: expected a vector of boundaries; use searchsorted for several")
    return _searchsorted(boundaries, x, right)
