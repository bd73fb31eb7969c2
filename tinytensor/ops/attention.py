"""Attention: a mean of values, weighted by how well keys fit a query."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import random
from ..op import Array, op
from ..tensor import Tensor
from .activation import dropout, softmax, softmax_grad
from .pointwise import add, mul, where
from .product import matmul
from .reduction import amax
from .shape import matrix_transpose


@op
def _masked_softmax(scores: Array) -> Any:
    """softmax over the last dim, and 0 in a row of -inf: a query that may see nothing takes nothing."""
    shares = softmax(scores, -1)
    if scores.shape[-1]:
        blind = amax(scores, -1, True) == -math.inf
        if np.count_nonzero(blind):
            shares = where(blind, 0.0, shares)
    return shares


@_masked_softmax.rule
def _(g: Any, out: Any) -> Any:
    return softmax_grad(g, out, -1)


def _check(query: Any, key: Any, value: Any, mask: Any, is_causal: bool) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ValueError(f"scaled_dot_product_attention: expected at least 2 dimensions each, got {shapes}")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"scaled_dot_product_attention: expected query (..., L, E), key (..., S, E) and value (..., S, V), got {shapes}"
        )
    dtype = query.dtype.newbyteorder("=")  # an array may be byte-swapped
    if any(a.dtype.kind != "f" or a.dtype.newbyteorder("=") != dtype for a in (query, key, value)):
        raise TypeError(
            f"scaled_dot_product_attention: expected one float dtype, got query {query.dtype}, key {key.dtype}, value {value.dtype}"
        )
    if mask is None:
        return
    if is_causal:
        raise ValueError("scaled_dot_product_attention: give attn_mask or is_causal, not both")
    if mask.dtype != np.bool_ and mask.dtype.newbyteorder("=") != dtype:
        raise TypeError(
            f"scaled_dot_product_attention: expected attn_mask of dtype bool or {query.dtype}, the query's, got {mask.dtype}"
        )


def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    generator: random.Generator | None = None,
) -> Tensor:
    """softmax(scale query key^T + mask) value (Vaswani et al. 2017): query (..., L, E), key (..., S, E), value (..., S, V) ->
    (..., L, V); leading dimensions broadcast.

    attn_mask, broadcast to (..., L, S): bool, True where a key may be seen, or a float that is added. is_causal: key j is
    seen by the queries from j on. A query that sees no key gives 0. dropout_p: of the weights, always (pass 0 in evaluation).
    scale: 1 / sqrt(E) where None. Gradient: to query, key, value and a float mask. ValueError where shapes do not fit or both
    attn_mask and is_causal are given, TypeError for other dtypes.
    """
    _check(query, key, value, attn_mask, is_causal)
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0
    scores = matmul(mul(query, scale), matrix_transpose(key))
    if is_causal:
        scores = where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -math.inf)
    elif attn_mask is not None:
        rows = tuple(attn_mask.shape)
        try:
            fits = np.broadcast_shapes(rows, tuple(scores.shape))[-2:] == tuple(scores.shape[-2:])
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"scaled_dot_product_attention: attn_mask {rows} cannot be broadcast to {tuple(scores.shape)}, the shape of query key^T"
            )
        scores = where(attn_mask, scores, -math.inf) if attn_mask.dtype == np.bool_ else add(scores, attn_mask)
    shares = softmax(scores, -1) if attn_mask is None else _masked_softmax(scores)
    return matmul(dropout(shares, dropout_p, generator=generator), value)
