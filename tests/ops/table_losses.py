"""Rows of the losses that are likelihoods, distances and margins. Formulas are PyTorch's documentation's."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from table import Shapes, row

import tinytensor.nn.functional as F

# fmt: off
PAIRS: tuple[Shapes, ...] = (((3, 4), (3, 4)), ((5,), (5,)), ((), ()), ((1,), (1,)))
REDUCE: dict[str, Callable[[Any], Any]] = {"mean": np.mean, "sum": np.sum, "none": np.asarray}


def losses(name: str, each: Callable[..., Any], domains: str, shapes: Any, call: Callable[..., Any] | None = None, label: str = "", empty: bool = True, **more: Any) -> None:
    """A row for each reduction of a loss whose reference gives every element's."""
    for reduction, r in REDUCE.items():
        f = call or getattr(F, name)
        row(name, lambda *a, r=r: r(each(*a)), domains, (*shapes, *(((((0,),) * len(shapes[0])),) if reduction == "sum" and empty and (5,) in shapes[1] else ())),
            partial(f, reduction=reduction), label=f"{label} {reduction}".strip(), **more)


def log1pexp(x: Any) -> Any:
    return np.logaddexp(0, x)


def bits(x: Any) -> Any:
    """1 and -1 in turn, in x's shape."""
    return np.resize([1, -1, -1], x.shape)


losses("l1_loss", lambda x, y: np.abs(x - y), "apart apart", PAIRS, scale=60)
for d in (0.5, 2.0):
    losses("huber_loss", lambda x, y, d=d: np.where(np.abs(x - y) < d, (x - y) ** 2 / 2, d * (np.abs(x - y) - d / 2)), "any any", PAIRS, partial(F.huber_loss, delta=d), label=f"delta={d}", scale=60)
    losses("smooth_l1_loss", lambda x, y, d=d: np.where(np.abs(x - y) < d, (x - y) ** 2 / (2 * d), np.abs(x - y) - d / 2), "any any", PAIRS, partial(F.smooth_l1_loss, beta=d), label=f"beta={d}", scale=60)
losses("smooth_l1_loss", lambda x, y: np.abs(x - y), "apart apart", PAIRS, partial(F.smooth_l1_loss, beta=0), label="beta=0", scale=60)

losses("binary_cross_entropy", lambda p, t: -(t * np.log(p) + (1 - t) * np.log1p(-p)), "unit unit", PAIRS, scale=30)
row("binary_cross_entropy", lambda p, t, w: (-w * (t * np.log(p) + (1 - t) * np.log1p(-p))).mean(), "unit unit any", (((3, 4), (3, 4), (4,)), ((2, 2), (2, 2), ())), lambda p, t, w: F.binary_cross_entropy(p, t, w), label="weight", scale=30)
losses("binary_cross_entropy_with_logits", lambda x, t: t * log1pexp(-x) + (1 - t) * log1pexp(x), "any unit", PAIRS, scale=40)
row("binary_cross_entropy_with_logits", lambda x, t, w, p: (w * (p * t * log1pexp(-x) + (1 - t) * log1pexp(x))).mean(), "any unit any positive", (((3, 4), (3, 4), (3, 1), (4,)), ((2,), (2,), (), ())),
    lambda x, t, w, p: F.binary_cross_entropy_with_logits(x, t, w, pos_weight=p), label="weights", scale=40)
losses("kl_div", lambda x, t: t * (np.log(t) - x), "any positive", PAIRS, scale=80)
losses("kl_div", lambda x, t: np.exp(t) * (t - x), "any any", PAIRS, partial(F.kl_div, log_target=True), label="log", scale=200)
row("kl_div", lambda x, t: (t * (np.log(t) - x)).sum() / len(x), "any positive", (((3, 4), (3, 4)), ((5,), (5,))), partial(F.kl_div, reduction="batchmean"), label="batchmean", scale=80)
losses("poisson_nll_loss", lambda x, t: np.exp(x) - t * x, "any positive", PAIRS, scale=200)
losses("poisson_nll_loss", lambda x, t: x - t * np.log(x + 1e-8), "positive positive", PAIRS, partial(F.poisson_nll_loss, log_input=False), label="rate", scale=60)
losses("poisson_nll_loss", lambda x, t: np.exp(x) - 3 * t * x + np.where(3 * t > 1, 3 * t * np.log(3 * t) - 3 * t + np.log(2 * math.pi * 3 * t) / 2, 0), "any positive", PAIRS,
       lambda x, t, reduction: F.poisson_nll_loss(x, 3 * t, full=True, reduction=reduction), label="full", scale=200)
VARIANCES: tuple[Shapes, ...] = (((3, 4), (3, 4), (3, 4)), ((5,), (5,), (5,)), ((3, 4), (3, 4), (3, 1)), ((3, 4), (3, 4), (3,)), ((3, 4), (3, 4), ()))


def gaussian(x: Any, t: Any, v: Any, full: bool = False) -> Any:
    v = v[..., None] if v.shape == x.shape[:-1] and v.ndim else v
    return (np.log(v) + (x - t) ** 2 / v) / 2 + full * math.log(2 * math.pi) / 2


for reduction, r in REDUCE.items():
    row("gaussian_nll_loss", lambda x, t, v, r=r: r(gaussian(x, t, v)), "any any positive", VARIANCES, partial(F.gaussian_nll_loss, reduction=reduction), label=reduction, ulps=4, scale=400)
row("gaussian_nll_loss", lambda x, t, v: gaussian(x, t, v, True).mean(), "any any positive", VARIANCES, partial(F.gaussian_nll_loss, full=True), label="full", ulps=4, scale=400)


def multi_margin(x: Any, t: Any, p: int = 1, margin: float = 1.0, weight: Any = None) -> Any:
    if x.ndim == 1:
        return multi_margin(x[None], np.asarray(t)[None], p, margin, weight)[0]
    own = np.take_along_axis(x, t[:, None], 1)
    terms = np.maximum(0, margin - own + x) ** p
    np.put_along_axis(terms, t[:, None], 0, 1)
    return terms.sum(1) / x.shape[1] * (1 if weight is None else weight[t])


def classes(x: Any) -> Any:
    return np.arange(math.prod(x.shape[:-1])).reshape(x.shape[:-1]) * 3 % x.shape[-1]


WEIGHT = np.array([0.5, 1.5, 0.25, 2.0, 1.0])
for label, how in {"": {}, "p=2": {"p": 2}, "margin": {"margin": 0.41}, "weight": {"weight": WEIGHT}}.items():
    losses("multi_margin_loss", lambda x, how=how: multi_margin(x, classes(x), **how), "apart", (((4, 5),), ((5,),), ((1, 5),)),
           lambda x, reduction, how=how: F.multi_margin_loss(x, classes(x), reduction=reduction, **how), label=label, empty=False, ulps=4, scale=80)
losses("hinge_embedding_loss", lambda x: np.where(bits(x) == 1, x, np.maximum(0, 1 - x)), "any", (((3, 4),), ((5,),), ((1,),)), lambda x, reduction: F.hinge_embedding_loss(x, bits(x), reduction=reduction), scale=40)
losses("margin_ranking_loss", lambda x, y: np.maximum(0, -bits(x) * (x - y) + 0.35), "apart apart", PAIRS,
       lambda x, y, reduction: F.margin_ranking_loss(x, y, bits(x), 0.35, reduction), scale=60)
losses("soft_margin_loss", lambda x: log1pexp(-bits(x) * x), "any", (((3, 4),), ((5,),), ((1,),)), lambda x, reduction: F.soft_margin_loss(x, bits(x), reduction), scale=40)


def cosine(x: Any, y: Any) -> Any:
    return (x * y).sum(-1) / np.sqrt(((x * x).sum(-1) + 1e-12) * ((y * y).sum(-1) + 1e-12))


VECTORS: tuple[Shapes, ...] = (((3, 4), (3, 4)), ((4,), (4,)), ((1, 2), (1, 2)))
losses("cosine_embedding_loss", lambda x, y: np.where(bits(x[..., 0]) == 1, 1 - cosine(x, y), np.maximum(0, cosine(x, y) + 0.9)), "any any", VECTORS,
       lambda x, y, reduction: F.cosine_embedding_loss(x, y, bits(np.asarray(x.shape and np.zeros(x.shape[:-1]))), -0.9, reduction), ulps=6, scale=4)


def distance(x: Any, y: Any, p: float = 2.0) -> Any:
    return (np.abs(x - y + 1e-6) ** p).sum(-1) ** (1 / p)


TRIPLES: tuple[Shapes, ...] = (((3, 4), (3, 4), (3, 4)), ((4,), (4,), (4,)), ((2, 1, 3), (2, 1, 3), (2, 1, 3)))
losses("triplet_margin_loss", lambda a, p, n: np.maximum(0, distance(a, p) - distance(a, n) + 1.7), "apart apart apart", TRIPLES, partial(F.triplet_margin_loss, margin=1.7), ulps=6, scale=40)
losses("triplet_margin_loss", lambda a, p, n: np.maximum(0, distance(a, p) - np.minimum(distance(a, n), distance(p, n)) + 2.93), "any any any", TRIPLES,
       partial(F.triplet_margin_loss, margin=2.93, swap=True), label="swap", ulps=6, scale=40)
