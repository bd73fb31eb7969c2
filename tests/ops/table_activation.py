"""Rows of the activations that are made of other ops, and of dropout's relatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from table import LOGITS, UNARY, elementwise, row, sigmoid, softmax, wrap

import tinytensor as tt
import tinytensor.nn.functional as F


# a row is a line
# fmt: off
def softplus(x: Any) -> Any:
    return np.logaddexp(0, x)


def hardsigmoid(x: Any) -> Any:
    return np.clip(x + 3, 0, 6) / 6


elementwise("hardtanh", lambda x: np.clip(x, -1.23, 1.44), "any", wrap(F.hardtanh, min_val=-1.23, max_val=1.44), ulps=1, wide=(-9, 9))
elementwise("relu6", lambda x: np.clip(x, 0, 6), "any", ulps=0, wide=(-9, 9))
elementwise("relu6", lambda x: np.clip(5 * x, 0, 6), "any", lambda x: F.relu6(x * 5.0), label="beyond", ulps=0.5)
elementwise("hardsigmoid", hardsigmoid, "any", ulps=1, scale=1, wide=(-9, 9))
elementwise("hardsigmoid", lambda x: hardsigmoid(3 * x), "any", lambda x: F.hardsigmoid(x * 3.0), label="beyond", ulps=2, scale=1)
elementwise("hardswish", lambda x: x * hardsigmoid(x), "any", ulps=2, scale=1, wide=(-9, 9))
elementwise("hardswish", lambda x: 3 * x * hardsigmoid(3 * x), "any", lambda x: F.hardswish(x * 3.0), label="beyond", ulps=2, scale=2)
elementwise("celu", lambda x: np.where(x > 0, x, 1.6 * np.expm1(x / 1.6)), "any", wrap(F.celu, alpha=1.6), ulps=4, wide=(-30, 30))
elementwise("celu", lambda x: np.where(x > 0, x, -0.7 * np.expm1(x / -0.7)), "any", wrap(F.celu, alpha=-0.7), label="negative", ulps=6)
elementwise("mish", lambda x: x * np.tanh(softplus(x)), "any", ulps=5, wide=(-80, 80))
elementwise("softsign", lambda x: x / (1 + np.abs(x)), "any", ulps=1.5, wide=(-1e9, 1e9))
elementwise("tanhshrink", lambda x: x - np.tanh(x), "any", ulps=2, scale=1, wide=(-9, 9))
elementwise("softshrink", lambda x: x - np.clip(x, -0.4375, 0.4375), "any", wrap(F.softshrink, lambd=0.4375), ulps=1, wide=(-9, 9))
elementwise("hardshrink", lambda x: np.where(np.abs(x) <= 0.4375, 0, x), "any", wrap(F.hardshrink, lambd=0.4375), ulps=0, wide=(-9, 9))
elementwise("threshold", lambda x: np.where(x <= 0.4375, 7.5, x), "any", wrap(F.threshold, threshold=0.4375, value=7.5), ulps=0, wide=(-9, 9))
elementwise("logsigmoid", lambda x: -softplus(-x), "any", ulps=2, wide=(-90, 80))
CHANNELS = (((2, 3, 2), (3,)), ((3, 4), (4,)), ((3, 4), (1,)), ((5,), (1,)), ((), (1,)), ((3,), ()), ((0, 3), (3,)), ((2, 0), (0,)))


def per_channel(v: Any, x: Any) -> Any:
    """(C,) against (N, C, ...); a single number against anything."""
    return v.reshape(()) if v.size == 1 else v.reshape(-1, *(1,) * (x.ndim - 2))


row("prelu", lambda x, w: np.where(x > 0, x, per_channel(w, x) * x), "any any", CHANNELS, ulps=1, nan=(0, 1))
elementwise("rrelu", lambda x: np.where(x > 0, x, 11 / 48 * x), "any", F.rrelu, label="eval", ulps=2, wide=(-9, 9))
elementwise("rrelu", lambda x: np.where(x > 0, x, 0.25 * x), "any", wrap(F.rrelu, lower=0.25, upper=0.25, training=True), label="one slope", ulps=1)
row("rrelu", lambda x: np.where(x > 0, x, x * tt.random.uniform(x.shape, 0.1, 0.6, np.float64, tt.Generator(5))), "any", UNARY,
    lambda x: F.rrelu(x, 0.1, 0.6, True, generator=tt.Generator(5)), label="training", dtypes=("float64",), ulps=1)


def gated(x: Any, dim: int) -> Any:
    a, b = np.split(x, 2, dim)
    return a * sigmoid(b)


for d in (-1, 0, 1):
    row("glu", wrap(gated, dim=d), "any", (((2, 4),), ((4, 2, 4),), ((0, 2),), ((2, 0),), *((((6,),),) if d < 1 else ())), wrap(F.glu, dim=d), label=f"dim={d}", ulps=4)
row("maxout", lambda x: x.reshape(*x.shape[:-1], -1 if x.size else 2, 3).max(-1), "apart", (((2, 6),), ((3,),), ((2, 2, 3),), ((0, 6),)), wrap(tt.maxout, pieces=3, dim=-1), ulps=0)
row("maxout", lambda x: np.maximum(x[:, ::2], x[:, 1::2]), "apart", (((2, 4, 3),), ((1, 2),)), wrap(tt.maxout, pieces=2), label="dim=1", ulps=0)
for d in (-1, 0):
    row("softmin", lambda x, d=d: softmax(-x, d), "any", LOGITS, wrap(F.softmin, dim=d), label=f"dim={d}", ulps=4)
row("gumbel_softmax", lambda x: softmax((x - np.log(-np.log(1 - tt.random.uniform(x.shape, 0.0, 1.0, np.float64, tt.Generator(5))))) / 0.7), "any", LOGITS,
    lambda x: F.gumbel_softmax(x, 0.7, generator=tt.Generator(5)), dtypes=("float64",), ulps=60)


def kept(x: Any, shape: Any, p: float = 0.3) -> Any:
    return tt.random.keep_mask(shape, np.float64, p, tt.Generator(5))


for drop, whole, p in ((F.dropout1d, ((4, 3, 2), (5, 3), (0, 2, 2)), 0.3), (F.dropout2d, ((4, 3, 2, 2), (1, 1, 1, 1)), 0.4)):
    name, spatial = drop.__name__, int(drop.__name__[-2])
    row(name, lambda x, s=spatial, p=p: x * kept(x, x.shape[:-s] + (1,) * s, p), "any", tuple((s,) for s in whole),
        lambda x, f=drop, p=p: f(x, p, True, generator=tt.Generator(5)), dtypes=("float64",), ulps=0.5)
    row(name, lambda x: x, "any", tuple((s,) for s in whole), wrap(drop, training=False), label="eval", ulps=0)
    row(name, lambda x: 0 * x, "any", tuple((s,) for s in whole), wrap(drop, p=1.0), label="p=1", ulps=0)


def to_limit(x: Any) -> Any:
    """alpha_dropout by its definition, at p = 0.3."""
    low = -1.7580993408473766
    a = (0.7 * (1 + 0.3 * low**2)) ** -0.5
    return a * np.where(kept(x, x.shape) > 0, x, low) - a * low * 0.3


row("alpha_dropout", to_limit, "any", UNARY, lambda x: F.alpha_dropout(x, 0.3, True, generator=tt.Generator(5)), dtypes=("float64",), ulps=4, scale=2, nan=())
elementwise("alpha_dropout", lambda x: x, "any", F.alpha_dropout, label="eval", ulps=0)
elementwise("alpha_dropout", lambda x: 0 * x, "any", wrap(F.alpha_dropout, p=1.0, training=True), label="p=1", ulps=0)
