"""Whether a network is too small or too large for its data, or its weight decay too strong: told from the epochs of a training."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytensor import nn, optim
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor
from tinytensor.train.evaluation import Loss, classes, resolve_loss
from tinytensor.train.history import History
from tinytensor.viz.dependence import depends, shared

__all__ = ["decay_holds", "guessing", "has_stalled", "overfits", "unexplained"]

_MATERIAL = 0.1  # of the loss of guessing: what is less is worth no larger network (R^2 over 0.9, for squares)
_WORSE = (
    0.05  # Prechelt 1998, "Early stopping - but when?": GL_5, the laxest bound on generalization loss that he tries
)
_IN_A_ROW = 3  # his UP_3: a rise that lasts, and no noise of one epoch
_QUARTERS = 8  # epochs: two for each quarter of the run
_PACE = 0.05  # fall of the loss from quarter to quarter: at less, halving it takes over 14 quarters, three and a half such trainings
_LOUDER = (1.5, 2.0, 4.0, 7.0, 10.0)  # times the weights: up to where _MATERIAL of what they start with tells by itself


def overfits(history: History, guess: float | None) -> str | None:
    """The numbers, where in each of the last three epochs the validation loss is over 5 % above its least, while the training loss fell, and the
    two lie further apart than a tenth of guessing's loss (None: of the first epoch's). None: it is not so, or not known, or early
    stopping has ended the training."""
    known = [row for row in history.rows if _number(row, "val_loss") and _number(row, "train_loss")]
    if len(known) <= _IN_A_ROW or "has not improved" in (history.stopped or ""):
        return None
    validation = [float(row["val_loss"] or 0) for row in known]
    training = [float(row["train_loss"] or 0) for row in known]
    best = int(np.argmin(validation))
    least = validation[best]
    if best >= len(known) - _IN_A_ROW or training[-1] >= training[best]:
        return None
    if min(validation[-_IN_A_ROW:]) <= least + _WORSE * abs(least):
        return None
    if validation[-1] - training[-1] <= _MATERIAL * (max(validation[0], training[0]) if guess is None else guess):
        return None
    return (
        f"since epoch {known[best]['epoch']} the validation loss rose from {least:.3g} to {validation[-1]:.3g}, "
        f"the training loss fell from {training[best]:.3g} to {training[-1]:.3g}"
    )


def has_stalled(history: History) -> bool:
    """Whether the training loss fell by less than 5 % from the third quarter of the epochs to the last; of less than 8 epochs: no."""
    losses = [float(row["train_loss"] or 0) for row in history.rows if _number(row, "train_loss")]
    if len(losses) < _QUARTERS:
        return False
    quarter = len(losses) // 4
    last, before = np.mean(losses[-quarter:]), np.mean(losses[-2 * quarter : -quarter])
    return bool(before - last < _PACE * abs(last))


def _number(row: dict[str, Any], name: str) -> bool:
    return row.get(name) is not None and math.isfinite(row[name])


def guessing(outputs: Any, targets: Any, function: Loss) -> float | None:
    """What the best constant answer costs on these targets: for mean cross-entropy of classes and for mean squares; else None."""
    known = _residuals(outputs, targets, function)
    return None if known is None else known[1]


def unexplained(inputs: Any, outputs: Any, targets: Any, loss: float, function: Loss) -> bool:
    """Whether `loss` is over a tenth of guessing's, and what the outputs leave of the targets still depends on the inputs, of
    which neighbours share over a tenth: more could be learned."""
    known = _residuals(outputs, targets, function)
    if known is None or not isinstance(inputs, Tensor) or inputs.dtype.name not in ("float32", "float64", "uint8"):
        return False
    left, guess = known
    x = inputs.detach().numpy()
    return loss > _MATERIAL * guess and (shared(x, left) or 0.0) > _MATERIAL and bool(depends(x, left))


def _residuals(outputs: Any, targets: Any, function: Loss) -> tuple[NDArray[Any], float] | None:
    """Targets less what the outputs say, (N, ...), and the loss of the best constant answer."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return None
    scores, own = outputs.detach().numpy().astype(np.float64), targets.detach().numpy()
    if classes(outputs, targets) and _is_mean(function, "cross_entropy", nn.CrossEntropyLoss):
        if own.min() < 0 or own.max() >= scores.shape[1]:
            return None
        shares = np.exp(scores - scores.max(1, keepdims=True))
        wanted = np.eye(scores.shape[1])[own]
        entropy = -math.fsum(p * math.log(p) for p in wanted.mean(0).tolist() if p > 0)
        return wanted - shares / shares.sum(1, keepdims=True), entropy
    if scores.shape == own.shape and own.ndim and _is_mean(function, "mse", nn.MSELoss):
        return (own - scores).reshape(len(own), -1), float(np.mean(np.square(own - own.mean(0))))
    return None


def _is_mean(function: Loss, name: str, kind: type[Any]) -> bool:
    return function is resolve_loss(name) or (isinstance(function, kind) and function.reduction == "mean")


def decay_holds(optimizer: optim.Optimizer | None, loss: float, guess: float, again: Callable[[], float]) -> str | None:
    """How strong weight decay keeps the loss up, in numbers; None: it does not. It does where it takes off at least half of what the data
    let the weights grow by, and either larger weights of the same directions would lower the loss by a tenth of guessing's, or it has left
    next to nothing of the weights.

    again: the loss with the weights as they are. The optimizer's weights, with their gradients, are changed and put back."""
    groups = [] if optimizer is None else [g for g in optimizer.param_groups if g.get("weight_decay")]
    weights = [p for g in groups for p in g["params"] if p.dim() > 1 and p.grad is not None]
    if optimizer is None or not weights:
        return None
    grown, pulled = _growth(optimizer, weights)
    if pulled < 0.5 * grown:  # where weights no longer change the two are equal
        return None
    strength = max(float(g["weight_decay"]) for g in groups)
    before = [p._data for p in weights]
    lowest, factor = loss, 1.0
    try:
        for times in _LOUDER:
            for p, old in zip(weights, before):
                p._data = old * old.dtype.type(times)
            with no_grad():
                changed = again()
            if changed < lowest:
                lowest, factor = changed, times
    finally:
        for p, old in zip(weights, before):
            p._data = old
    if loss - lowest > _MATERIAL * guess:
        return f"it is {strength:g}: with {factor:g} times the weights the batch's loss would be {lowest:.3g} in place of {loss:.3g}"
    for p in weights:
        size = math.sqrt(float(np.mean(np.square(p.detach().numpy(), dtype=np.float64))))
        if size < _MATERIAL / math.sqrt(
            3 * math.prod(p.shape[1:])
        ):  # of the deviation that nn.Linear and nn.Conv2d start with
            return f"it is {strength:g}, and weights of shape {tuple(p.shape)} have come down to a root mean square of {size:.1e}"
    return None


def _growth(optimizer: optim.Optimizer, weights: list[Tensor]) -> tuple[float, float]:
    """By how much the data and by how much decay lengthen the weights in the next update (times their length, and up to a common factor)."""
    lengths = [float(np.square(p.detach().numpy(), dtype=np.float64).sum()) for p in weights]
    held = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    decays = [float(held[id(p)]["weight_decay"]) for p in weights]
    pull = math.fsum(decay * length for decay, length in zip(decays, lengths))
    if not (isinstance(optimizer, optim.Lion) or any(held[id(p)].get("decoupled_weight_decay") for p in weights)):
        return -math.fsum(
            float(np.vdot(p.grad.numpy(), p.detach().numpy())) for p in weights if p.grad is not None
        ), pull
    memo: dict[int, Any] = {}
    twin = copy.deepcopy(optimizer, memo)
    for group in twin.param_groups:
        group["weight_decay"] = 0.0
    for p in weights:
        memo[id(p)].grad = p.grad
    twin.step()
    moved = (
        (memo[id(p)].detach().numpy().astype(np.float64) - p.detach().numpy(), p.detach().numpy()) for p in weights
    )
    rate = float(held[id(weights[0])]["lr"])
    return math.fsum(float(np.vdot(step, old)) for step, old in moved), rate * pull
