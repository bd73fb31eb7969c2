"""Losses. None broadcasts: input and target must fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .activation import log_softmax, softmax
from .index import gather
from .pointwise import abs, add, clamp, div, mul, neg, square, sub
from .promotion import as_float
from .reduction import mean, sum
from .shape import permute, reshape, unsqueeze

_INT64 = np.dtype(np.int64)
REDUCTIONS = ("none", "mean", "sum")


def check_reduction(name: str, reduction: str, more: str = "") -> None:
    """ValueError for a reduction that there is not; `more`: one that the loss has besides."""
    if reduction not in REDUCTIONS:
        known = f"'none', 'mean', 'sum' or {more}" if more else "'none', 'mean' or 'sum'"
        raise ValueError(f"{name}: reduction must be {known}, got {reduction!r}")


def reduced(loss: Any, reduction: str) -> Tensor:
    """The losses of all elements, their mean, or their sum."""
    whole: Tensor = loss if reduction == "none" else mean(loss) if reduction == "mean" else sum(loss)
    return whole


def _weights_of(target: Any, weight: Any, ignore: int, dtype: Any) -> Any:
    """Sum of the weights of the rows that count: what the mean divides by."""
    counted = target != ignore
    if weight is None:
        return float(np.count_nonzero(counted))
    return float(_kernels.reduce(_kernels.SUM, weight.astype(dtype).take(target[counted])))


@op(aux=("lse", "over"))
def _cross_entropy(x: Array, target: Any, weight: Any, ignore: int, reduction: str, smoothing: float) -> Any:
    try:
        return _kernels.xent(x, target, weight, ignore, smoothing, reduction)
    except TypeError:
        x = as_float(x, "cross_entropy")
        w = None if weight is None else weight.astype(x.dtype)
        return _kernels.xent(x, target, w, ignore, smoothing, reduction)


@_cross_entropy.rule
def _(g: Any, x: Any, target: Any, weight: Any, ignore: int, smoothing: float, lse: Any, over: float) -> Any:
    return cross_entropy_grad(g if over == 1 else div(g, over), x, target, weight, ignore, smoothing, lse)


@op
def cross_entropy_grad(g: Array, x: Array, target: Any, weight: Any, ignore: int, smoothing: float, lse: Any) -> Any:
    """g_row (A softmax(x) - B): the gradient of each row's loss, in one pass; g is () or (N,)."""
    w = None if weight is None else weight.astype(x.dtype)
    return _kernels.xent_grad(g, x, target, w, ignore, smoothing, lse)


@cross_entropy_grad.rule
def _(u: Any, g: Any, x: Any, target: Any, weight: Any, ignore: int, smoothing: float, lse: Any, needs: Any) -> Any:
    one = np.ones((), x.dtype)
    du = None
    if needs[0]:
        unit = cross_entropy_grad(one, x, target, weight, ignore, smoothing, lse)
        du = sum(mul(u, unit)) if g.ndim == 0 else sum(mul(u, unit), 1)
    if not needs[1]:
        return du, None
    n, classes = x.shape
    w = np.ones(classes, x.dtype) if weight is None else weight.astype(x.dtype)
    counted = target != ignore
    a = np.zeros(n, x.dtype)  # A of each row: what multiplies its softmax
    a[counted] = (1 - smoothing) * w[target[counted]] + smoothing / classes * float(_kernels.reduce(_kernels.SUM, w))
    p = softmax(x, 1)
    rows = mul(g, a)
    return du, mul(unsqueeze(rows, 1), mul(p, sub(u, sum(mul(u, p), 1, keepdim=True))))


def _class_dim_last(name: str, x: Any, target: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """(rows, classes), (rows,) and the shape of the losses, from PyTorch's (C), (N, C) or (N, C, d1, ...)."""
    t = np.asarray(target._data if isinstance(target, Tensor) else target)
    if t.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected class indices (integers), got {t.dtype}")
    shape = tuple(x.shape)
    want = () if x.ndim == 1 else (shape[0], *shape[2:])
    if x.ndim == 0 or t.shape != want:
        raise ValueError(
            f"{name}: expected target of shape {want} for input {shape} with classes in dim {0 if x.ndim == 1 else 1}, got {t.shape}"
        )
    t = t.astype(np.int64, copy=False)
    if x.ndim == 1:
        return reshape(x, (1, *shape)), t.reshape(1), want
    if x.ndim == 2:
        return x, t, want
    moved = permute(x, (0, *range(2, x.ndim), 1))
    return reshape(moved, (-1, shape[1])), t.reshape(-1), want


def _weight_array(name: str, weight: Any, classes: int) -> Any:
    if weight is None:
        return None
    w = np.asarray(weight._data if isinstance(weight, Tensor) else weight)
    if w.shape != (classes,):
        raise ValueError(f"{name}: expected weight of shape ({classes},), got {w.shape}")
    return w


def cross_entropy(
    input: Array,
    target: Array,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of softmax(input) against target, in one pass each way.

    input: logits (C), (N, C) or (N, C, d1, ...). target: class indices (), (N) or (N, d1, ...), or probabilities in input's
    shape. weight: (C). Rows whose target is ignore_index count nothing. reduction: "mean" (weighted over the rows that
    count), "sum", "none". Gradient: (softmax - target) g. IndexError for a class outside [0, C).
    """
    check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}")
    t = target._data if isinstance(target, Tensor) else np.asarray(target)
    if weight is None and t.dtype == _INT64 and t.ndim == 1 and input.ndim == 2 and len(t) == input.shape[0]:
        return _cross_entropy(  # the usual case
            input, t, None, ignore_index, reduction, float(label_smoothing)
        )
    classes = input.shape[0 if input.ndim == 1 else 1] if input.ndim else 0
    w = _weight_array("cross_entropy", weight, classes)
    if t.dtype.kind == "f":
        if tuple(input.shape) != t.shape:
            raise ValueError(
                f"cross_entropy: probabilities must have the input's shape {tuple(input.shape)}, got {t.shape}"
            )
        return _soft_cross_entropy(input, target, w, reduction, label_smoothing)
    x, ids, shape = _class_dim_last("cross_entropy", input, t)
    loss: Tensor = _cross_entropy(x, ids, w, ignore_index, reduction, float(label_smoothing))
    return reshape(loss, shape) if reduction == "none" else loss


def _soft_cross_entropy(x: Any, target: Any, w: Any, reduction: str, smoothing: float) -> Tensor:
    d = 0 if x.ndim == 1 else 1
    if smoothing:
        target = add(mul(target, 1 - smoothing), smoothing / x.shape[d])
    terms = mul(log_softmax(x, d), target)
    if w is not None:
        terms = mul(terms, w.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1 - d)))
    loss = neg(sum(terms, d))
    if reduction == "none":
        return loss
    total = sum(loss)
    return div(total, float(np.prod(loss.shape, dtype=np.int64))) if reduction == "mean" else total


def nll_loss(
    input: Array, target: Array, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """-weight_t input_t of log-probabilities (N, C) or (N, C, d1, ...) at class indices; reductions as cross_entropy's.
    Gradient: -weight_t g at the target, 0 elsewhere."""
    check_reduction("nll_loss", reduction)
    classes = input.shape[0 if input.ndim == 1 else 1] if input.ndim else 0
    w = _weight_array("nll_loss", weight, classes)
    x, ids, shape = _class_dim_last("nll_loss", input, target)
    counted = ids != ignore_index
    bad = counted & ((ids < 0) | (ids >= classes))
    if np.count_nonzero(bad):
        raise IndexError(f"nll_loss: target {int(ids[bad][0])} is outside the {classes} classes")
    scale = (np.ones(classes, x.dtype) if w is None else w.astype(x.dtype))[np.where(counted, ids, 0)] * counted
    loss = neg(mul(reshape(gather(x, 1, np.where(counted, ids, 0)[:, None]), (-1,)), scale.astype(x.dtype)))
    if reduction == "none":
        return reshape(loss, shape)
    total = sum(loss)
    return div(total, _weights_of(ids, w, ignore_index, x.dtype)) if reduction == "mean" else total


def same_shapes(name: str, input: Any, target: Any) -> None:
    """ValueError unless the shapes are equal: a (64, 1) against a (64,) would silently become (64, 64). TypeError for numbers."""
    for what, v in (("input", input), ("target", target)):
        if not hasattr(v, "shape"):
            raise TypeError(
                f"{name}: expected {what} as a tensor, got {type(v).__name__}; use tt.full_like for a constant"
            )
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"{name}: input {tuple(input.shape)} and target {tuple(target.shape)} must have one shape, since losses do not "
            "broadcast; reshape one of them"
        )


def mse_loss(input: Array, target: Array, reduction: str = "mean") -> Tensor:
    """(input - target)^2, its mean, or its sum. Gradient: 2 (input - target) g, over n for the mean."""
    check_reduction("mse_loss", reduction)
    same_shapes("mse_loss", input, target)
    return reduced(square(sub(input, target)), reduction)


def l1_loss(input: Array, target: Array, reduction: str = "mean") -> Tensor:
    """|input - target|, its mean, or its sum. Gradient: sign(input - target) g, 0 where they are equal."""
    check_reduction("l1_loss", reduction)
    same_shapes("l1_loss", input, target)
    return reduced(abs(sub(input, target)), reduction)


def huber_loss(input: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d^2 / 2 where |d| < delta, else delta (|d| - delta / 2), for d = input - target (Huber 1964). Gradient: d g within delta,
    delta sign(d) g outside. ValueError for a delta that is not positive."""
    check_reduction("huber_loss", reduction)
    same_shapes("huber_loss", input, target)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    d = sub(input, target)
    near = clamp(d, min=-delta, max=delta)  # d^2 / 2 within, and the line outside: near (d - near / 2)
    return reduced(mul(near, sub(d, mul(near, 0.5))), reduction)


def smooth_l1_loss(input: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, for d = input - target (Girshick 2015); l1_loss for beta = 0.
    Gradient: d g / beta within beta, sign(d) g outside. ValueError for a negative beta."""
    check_reduction("smooth_l1_loss", reduction)
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    same_shapes("smooth_l1_loss", input, target)
    return div(huber_loss(input, target, reduction, beta), beta)
