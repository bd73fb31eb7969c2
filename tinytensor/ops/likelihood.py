"""Losses that are negative log-likelihoods: of Bernoulli, Poisson and normal distributions, and of one distribution under
another. None broadcasts: input and target must fit. `reduction` is "none", "mean" or "sum"."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..op import Array, op
from ..tensor import Tensor
from .activation import softplus
from .loss import check_reduction, reduced, same_shapes
from .pointwise import add, clamp, div, exp, gt, log, log1p, maximum, mul, ne, neg, sigmoid, square, sub, where
from .promotion import as_float

_SMALLEST = 1e-12  # PyTorch's bound of p (1 - p) in the gradient of binary_cross_entropy


def _least(name: str, v: Any, low: float, high: float) -> None:
    """ValueError for what is no probability."""
    a = v._data if isinstance(v, Tensor) else np.asarray(v)
    bad = ~((a >= low) & (a <= high)) & (a == a)
    if np.count_nonzero(bad):
        raise ValueError(f"{name}: expected values between {low:g} and {high:g}, got {a[bad][0]:g}")


@op
def _bernoulli(p: Array, target: Array) -> Any:
    a, t = as_float(p, "binary_cross_entropy"), as_float(target, "binary_cross_entropy")
    yes, no = clamp(log(a), min=-100.0), clamp(log1p(neg(a)), min=-100.0)
    return neg(add(mul(t, yes), mul(sub(1.0, t), no)))


@_bernoulli.rule
def _(g: Any, p: Any, target: Any, needs: Any) -> Any:
    dp = div(sub(p, target), clamp(mul(p, sub(1.0, p)), min=_SMALLEST)) if needs[0] else None
    dt = sub(clamp(log1p(neg(p)), min=-100.0), clamp(log(p), min=-100.0)) if needs[1] else None
    return None if dp is None else mul(g, dp), None if dt is None else mul(g, dt)


def binary_cross_entropy(input: Array, target: Array, weight: Any = None, reduction: str = "mean") -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) of probabilities in one shape, each logarithm no less than -100; times weight.

    Gradient: g (p - t) / max(p (1 - p), 1e-12) to input. ValueError for probabilities outside [0, 1]. From logits use
    binary_cross_entropy_with_logits: p cannot say how near to 1 it is."""
    check_reduction("binary_cross_entropy", reduction)
    same_shapes("binary_cross_entropy", input, target)
    _least("binary_cross_entropy: input", input, 0, 1)
    loss = _bernoulli(input, target)
    return reduced(loss if weight is None else mul(loss, weight), reduction)


@op
def _bernoulli_logits(x: Array, target: Array, pos_weight: Array) -> Any:
    a, t = as_float(x, "binary_cross_entropy_with_logits"), as_float(target, "binary_cross_entropy_with_logits")
    yes = mul(mul(pos_weight, t), softplus(neg(a), 1.0, math.inf))
    return add(yes, mul(sub(1.0, t), softplus(a, 1.0, math.inf)))


@_bernoulli_logits.rule
def _(g: Any, x: Any, target: Any, pos_weight: Any, needs: Any) -> Any:
    yes, no = softplus(neg(x), 1.0, math.inf), softplus(x, 1.0, math.inf)
    dx = dt = dw = None
    if needs[0]:
        slope = sub(mul(sub(1.0, target), sigmoid(x)), mul(mul(pos_weight, target), sigmoid(neg(x))))
        dx = mul(g, slope)
    if needs[1]:
        dt = mul(g, sub(mul(pos_weight, yes), no))
    if needs[2]:
        dw = mul(g, mul(target, yes))
    return dx, dt, dw


def binary_cross_entropy_with_logits(
    input: Array, target: Array, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """w_p t log(1 + e^-x) + (1 - t) log(1 + e^x): binary cross entropy of sigmoid(input), without overflow or cancellation.

    input, target: one shape; weight: broadcast to it; pos_weight: of the last dimension (or broadcast). Gradient: g
    ((1 - t) sigmoid(x) - w_p t sigmoid(-x)) to input."""
    check_reduction("binary_cross_entropy_with_logits", reduction)
    same_shapes("binary_cross_entropy_with_logits", input, target)
    loss = _bernoulli_logits(input, target, 1.0 if pos_weight is None else pos_weight)
    if tuple(loss.shape) != tuple(input.shape):
        raise ValueError(
            f"binary_cross_entropy_with_logits: pos_weight {tuple(np.shape(pos_weight))} does not fit input {tuple(input.shape)}"
        )
    return reduced(loss if weight is None else mul(loss, weight), reduction)


def kl_div(input: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t (log t - input), 0 where t = 0: input holds log-probabilities, target probabilities (or their logarithms); a
    negative one gives NaN.

    reduction "batchmean" divides the sum by the first dimension, which is the divergence of Kullback and Leibler (1951);
    "mean" divides by all elements, as PyTorch's does. Gradient: -t g to input."""
    if reduction != "batchmean":
        check_reduction("kl_div", reduction, "'batchmean'")
    same_shapes("kl_div", input, target)
    if log_target:
        loss = mul(exp(target), sub(target, input))
    else:
        logarithm = log(where(ne(target, 0), target, 1.0))  # NaN for a negative one
        loss = sub(mul(target, logarithm), mul(target, input))
    if reduction == "batchmean":
        return div(reduced(loss, "sum"), float(input.shape[0] if input.ndim else 1))
    return reduced(loss, reduction)


def poisson_nll_loss(
    input: Array,
    target: Array,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """e^x - t x for x the logarithm of the rate, or x - t log(x + eps) for the rate; `full` adds Stirling's log(t!) where
    t > 1. Gradient: g (e^x - t), or g (1 - t / (x + eps)), to input."""
    check_reduction("poisson_nll_loss", reduction)
    same_shapes("poisson_nll_loss", input, target)
    loss = sub(exp(input), mul(target, input)) if log_input else sub(input, mul(target, log(add(input, eps))))
    if full:
        many = gt(target, 1)
        t = where(many, target, 1.0)
        stirling = add(sub(mul(t, log(t)), t), mul(0.5, log(mul(t, 2 * math.pi))))
        loss = add(loss, where(many, stirling, 0.0))
    return reduced(loss, reduction)


@op
def _floor_at(x: Array, low: float) -> Any:
    return maximum(x, low)


@_floor_at.rule
def _(g: Any) -> Any:
    return g


def gaussian_nll_loss(
    input: Array, target: Array, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log v + (x - t)^2 / v) / 2 with v = max(var, eps): a normal distribution whose mean and variance are predicted (Nix and
    Weigend 1994); `full` adds log(2 pi) / 2. var: a number, input's shape, or that with a last dimension of 1 (or without it).

    Gradient: g (x - t) / v to input, g (1 / v - ((x - t) / v)^2) / 2 to var, also where eps holds. ValueError for a negative var."""
    check_reduction("gaussian_nll_loss", reduction)
    same_shapes("gaussian_nll_loss", input, target)
    shape, of = tuple(input.shape), tuple(np.shape(var))
    if of not in ((), shape, shape[:-1], (*shape[:-1], 1)):
        raise ValueError(
            f"gaussian_nll_loss: expected var () or of shape {shape} (the last dimension may be 1 or left out), got {of}"
        )
    a = var._data if isinstance(var, Tensor) else np.asarray(var)
    if np.count_nonzero(a < 0):
        raise ValueError(f"gaussian_nll_loss: var must not be negative, got {a[a < 0].flat[0]:g}")
    if of == shape[:-1] and of != shape and of:
        var = var.reshape(*of, 1) if isinstance(var, Tensor) else a.reshape(*of, 1)
    v = _floor_at(var if isinstance(var, Tensor) else np.asarray(var, input.dtype), eps)
    loss = mul(0.5, add(log(v), div(square(sub(input, target)), v)))
    return reduced(add(loss, 0.5 * math.log(2 * math.pi)) if full else loss, reduction)
