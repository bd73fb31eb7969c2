"""Rows of the normalizations, of lengths and angles, of embedding and attention."""

from __future__ import annotations

from typing import Any

import numpy as np
from table import p_norm, row, softmax, wrap

import tinytensor as tt
import tinytensor.nn.functional as F


# a row is a line
# fmt: off
def mean(x: Any, axes: tuple[int, ...]) -> Any:
    """0 of nothing, and no warning."""
    return x.sum(axes, keepdims=True) / max(1, np.prod([x.shape[d] for d in axes]))


def standard(x: Any, axes: tuple[int, ...], eps: float = 1e-5) -> Any:
    c = x - mean(x, axes)
    return c / np.sqrt(mean(c * c, axes) + eps)


def by_channel(v: Any, x: Any) -> Any:
    return v.reshape(-1, *(1,) * (x.ndim - 2))


def batched(x: Any, w: Any = None, b: Any = None, eps: float = 1e-5) -> Any:
    y = standard(x, (0, *range(2, x.ndim)), eps)
    y = y if w is None else y * by_channel(w, x)
    return y if b is None else y + by_channel(b, x)


def grouped(x: Any, groups: int, w: Any = None, b: Any = None, eps: float = 1e-5) -> Any:
    parts = x.reshape(x.shape[0], groups, int(np.prod(x.shape[1:])) // groups)
    y = standard(parts, (2,), eps).reshape(x.shape)
    y = y if w is None else y * by_channel(w, x)
    return y if b is None else y + by_channel(b, x)


def last(x: Any, w: Any) -> tuple[int, ...]:
    return tuple(range(x.ndim - w.ndim, x.ndim))


def rms(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    return x / np.sqrt(mean(x * x, axes) + eps)


ROWSHAPES = (((3, 4), (4,)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 4)), ((5,), (5,)), ((0, 4), (4,)), ((2, 33), (33,)))
row("layer_norm", lambda x, w, b: standard(x, last(x, w)) * w + b, "any any any", tuple((s, n, n) for s, n in ROWSHAPES), lambda x, w, b: F.layer_norm(x, w.shape, w, b), ulps=6, scale=4)
row("layer_norm", lambda x: standard(x, (-1,), 0.1), "any", tuple((s,) for s, n in ROWSHAPES if s[-1:] == n), lambda x: F.layer_norm(x, x.shape[-1], eps=0.1), label="plain", ulps=6, scale=4)
row("layer_norm", lambda x, w: standard(x, last(x, w)) * w, "any any", ROWSHAPES, lambda x, w: F.layer_norm(x, w.shape, w), label="weight", ulps=6, scale=4)
row("layer_norm", lambda x, b: standard(x, last(x, b)) + b, "any any", ROWSHAPES[:3], lambda x, b: F.layer_norm(x, b.shape, bias=b), label="bias", ulps=6, scale=4)
row("rms_norm", lambda x, w: rms(x, last(x, w), 1e-3) * w, "any any", ROWSHAPES, lambda x, w: F.rms_norm(x, w.shape, w, 1e-3), ulps=6)
row("rms_norm", lambda x: rms(x, (-1,), 0), "any", tuple((s,) for s, n in ROWSHAPES if s[-1:] == n), lambda x: F.rms_norm(x, x.shape[-1]), label="plain", ulps=6, dtypes=("float64", "float32"))
CHANNELS = ((4, 3), (3, 2, 4), (2, 2, 3, 2), (3, 1), (2, 0), (0, 3))
WEIGHTED = tuple((s, s[1:2], s[1:2]) for s in CHANNELS)
row("batch_norm", batched, "any any any", WEIGHTED, lambda x, w, b: F.batch_norm(x, None, None, w, b, True), label="training", ulps=6, scale=4)
row("batch_norm", wrap(batched, eps=0.1), "any", tuple((s,) for s in CHANNELS), lambda x: F.batch_norm(x, None, None, training=True, eps=0.1), label="training plain", ulps=6, scale=4)


def _running(x: Any) -> tuple[Any, Any]:
    n = np.arange(x.shape[1])
    return (0.25 * n - 0.5).astype(x.dtype), (0.5 + 0.25 * n).astype(x.dtype)


def by_running(x: Any, w: Any = 1.0, b: Any = 0.0) -> Any:
    m, v = (by_channel(r, x) for r in _running(x))
    w, b = (by_channel(np.broadcast_to(p, x.shape[1:2]), x) for p in (w, b))
    return (x - m) / np.sqrt(v + 1e-5) * w + b


row("batch_norm", by_running, "any any any", WEIGHTED, lambda x, w, b: F.batch_norm(x, *_running(x), w, b), label="eval", ulps=6, scale=4)
row("batch_norm", by_running, "any", tuple((s,) for s in CHANNELS), lambda x: F.batch_norm(x, *_running(x)), label="eval plain", ulps=6, scale=4)
GROUPS = ((2, 6), (2, 4, 3), (1, 2, 2, 3), (0, 2, 3))
row("group_norm", wrap(lambda x, w, b: grouped(x, 2, w, b)), "any any any", tuple((s, s[1:2], s[1:2]) for s in GROUPS), lambda x, w, b: F.group_norm(x, 2, w, b), ulps=8, scale=4)
row("group_norm", lambda x: grouped(x, 1, eps=0.1), "any", tuple((s,) for s in GROUPS), lambda x: F.group_norm(x, 1, eps=0.1), label="plain", ulps=8, scale=4)
ALONE = ((2, 4, 3), (1, 2, 2, 3), (0, 2, 3))
row("instance_norm", lambda x, w, b: grouped(x, x.shape[1], w, b), "any any any", tuple((s, s[1:2], s[1:2]) for s in ALONE), lambda x, w, b: F.instance_norm(x, None, None, w, b), ulps=8, scale=4)
row("instance_norm", by_running, "any any any", tuple((s, s[1:2], s[1:2]) for s in ALONE), lambda x, w, b: F.instance_norm(x, *_running(x), w, b, False), label="running", ulps=6, scale=4)

# ------------------------------------------------------------------------------------------------------ length and angle
def unit(x: Any, p: float = 2, dim: Any = 1, eps: float = 1e-12) -> Any:
    return x / np.maximum(p_norm(x, p, dim, True), eps)


def cosine(x: Any, y: Any, dim: int = 1) -> Any:
    x, y = np.broadcast_arrays(x, y)
    return (unit(x, dim=dim) * unit(y, dim=dim)).sum(dim)


row("normalize", unit, "any", (((3, 4),), ((2, 3, 2),), ((0, 3),), ((3, 0),), ((2, 1),)), ulps=5)
for p in (1, 3, float("inf")):
    row("normalize", wrap(unit, p=p), "apart", (((3, 4),), ((2, 3, 2),)), wrap(F.normalize, p=p), label=f"p={p}", ulps=12)
row("normalize", wrap(unit, dim=(0, -1)), "any", (((3, 4),), ((2, 3, 2),)), wrap(F.normalize, dim=(0, -1)), label="dims", ulps=5)
row("normalize", wrap(unit, eps=100.0), "any", (((3, 4),),), wrap(F.normalize, eps=100.0), label="short", ulps=1)
row("cosine_similarity", cosine, "any any", (((3, 4), (3, 4)), ((3, 4), (1, 4)), ((2, 3, 4), (1, 3, 1)), ((3, 1), (3, 4)), ((2, 3), (3,)), ((0, 2), (0, 2)), ((2, 0), (2, 0))), ulps=8, scale=1)
row("cosine_similarity", wrap(cosine, dim=-1), "any any", (((4,), (4,)), ((3, 1, 4), (2, 4))), wrap(F.cosine_similarity, dim=-1), label="last", ulps=8, scale=1)
PAIRS = (((3, 4), (3, 4)), ((4,), (4,)), ((2, 1, 3), (4, 3)), ((0, 3), (0, 3)))
row("pairwise_distance", lambda x, y: p_norm(x - y + 1e-6, 2, -1), "apart apart", PAIRS, F.pairwise_distance, ulps=6, scale=2)
row("pairwise_distance", lambda x, y: p_norm(x - y + 0.01, 3, -1, True), "apart apart", PAIRS, wrap(F.pairwise_distance, p=3, eps=0.01, keepdim=True), label="p=3", ulps=16, scale=2)

# ------------------------------------------------------------------------------------------------------------- embedding
IDS = np.array([[1, 0, 2], [2, 2, 1]])
for label, ids, how in (("", IDS, {}), ("padding", IDS, {"padding_idx": 2}), ("one", np.array(1), {}), ("none", np.zeros((2, 0), np.int64), {"padding_idx": -1}), ("small", IDS.astype(np.uint8), {})):
    if label != "padding":  # whose gradient is not that of its values: test_embedding.py
        row("embedding", lambda w, i=ids: w[i], "any", (((3, 4),), ((5, 1),), ((3, 0),)), lambda w, i=ids, how=how: F.embedding(i, w, **how), label=label, ulps=0, nan=())

# ------------------------------------------------------------------------------------------------------------- attention
def attention(q: Any, k: Any, v: Any, mask: Any = None, scale: float | None = None) -> Any:
    s = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    s = s if mask is None else np.where(mask, s, -np.inf) if mask.dtype == np.bool_ else s + mask
    blind = np.isneginf(s).all(-1, keepdims=True)
    return np.where(blind, 0.0, softmax(np.where(blind, 0.0, s))) @ v


def seen(q: Any, k: Any) -> Any:
    """A bool mask in which the first query sees nothing."""
    m = np.arange(q.shape[-2] * k.shape[-2]).reshape(q.shape[-2], k.shape[-2]) % 3 != 1
    m[0] = False
    return m


ATTENDED = (((3, 4), (5, 4), (5, 2)), ((2, 3, 4), (2, 5, 4), (2, 5, 2)), ((2, 1, 3, 2), (3, 4, 2), (3, 4, 2)), ((1, 1), (1, 1), (1, 1)))
row("scaled_dot_product_attention", attention, "any any any", (*ATTENDED, ((0, 4), (5, 4), (5, 2)), ((3, 4), (0, 4), (0, 2))), ulps=16, scale=2)
row("scaled_dot_product_attention", wrap(attention, scale=0.3), "any any any", ATTENDED[:1], wrap(F.scaled_dot_product_attention, scale=0.3), label="scale", ulps=16, scale=2)
row("scaled_dot_product_attention", lambda q, k, v: attention(q, k, v, np.tri(q.shape[-2], k.shape[-2], dtype=bool)), "any any any", ATTENDED, wrap(F.scaled_dot_product_attention, is_causal=True), label="causal", ulps=16, scale=2)
row("scaled_dot_product_attention", lambda q, k, v: attention(q, k, v, seen(q, k)), "any any any", ATTENDED, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, seen(q, k)), label="bool mask", ulps=16, scale=2)
row("scaled_dot_product_attention", attention, "any any any any", (((3, 4), (5, 4), (5, 2), (3, 5)), ((2, 3, 4), (2, 5, 4), (2, 5, 2), (3, 5)), ((2, 3, 4), (5, 4), (5, 2), (2, 1, 5)), ((1, 1), (1, 1), (1, 1), (1, 1))),
    label="float mask", ulps=16, scale=2)
row("scaled_dot_product_attention", lambda q, k, v: (softmax(q @ k.T / 2) * tt.random.keep_mask((3, 5), np.float64, 0.4, tt.Generator(5))) @ v, "any any any", ATTENDED[:1],
    lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.4, generator=tt.Generator(5)), label="dropout", dtypes=("float64",), ulps=16, scale=2)
