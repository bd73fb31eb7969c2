"""How good predictions are: of classes, and of numbers. Plain numbers and arrays come out; nothing here has a gradient.

Classes are predicted as scores (N, C), of which the largest counts (the first of equals), or as class indices (N,)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinytensor.ops import reduction  # sums of one order on every machine: early stopping rests on them
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "accuracy", "confusion_matrix", "f1_score", "mean_absolute_error", "mean_squared_error", "precision", "r2_score", "recall",
    "top_k_accuracy",
]  # fmt: skip

Array: TypeAlias = "Tensor | npt.NDArray[Any]"


def _array(v: Any) -> npt.NDArray[Any]:
    return v.detach().numpy() if isinstance(v, Tensor) else np.asarray(v)


def _classes(name: str, input: Any, target: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Predictions, as scores (N, C) or classes (N,), and true classes (N,)."""
    a, t = _array(input), _array(target)
    if t.ndim != 1 or t.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected target (N,) of whole class indices, got {t.dtype} {t.shape}")
    if a.ndim not in (1, 2) or len(a) != len(t) or (a.ndim == 1 and a.dtype.kind not in "iu"):
        raise ValueError(
            f"{name}: expected scores (N, C) or whole class indices (N,) for target {t.shape}, got {a.dtype} {a.shape}"
        )
    return a, t.astype(np.int64)


def accuracy(input: Array, target: Array) -> float:
    """The share of samples whose predicted class is the true one, from 0 to 1; NaN of none."""
    a, t = _classes("accuracy", input, target)
    right = (a.argmax(1) if a.ndim == 2 else a) == t
    return float(np.count_nonzero(right)) / len(t) if len(t) else float("nan")


def top_k_accuracy(input: Array, target: Array, k: int = 5) -> float:
    """The share of samples whose true class is among the k largest scores: fewer than k classes have a larger one, or an equal
    one before it. input: (N, C). ValueError unless 1 <= k <= C."""
    a, t = _classes("top_k_accuracy", input, target)
    if a.ndim != 2 or not 1 <= k <= a.shape[1]:
        raise ValueError(f"top_k_accuracy: expected scores (N, C) with 1 <= k <= C, got {a.shape} and k={k}")
    if not len(t):
        return float("nan")
    own = np.take_along_axis(a, t[:, None], 1)
    before = (a > own) | ((a == own) & (np.arange(a.shape[1]) < t[:, None]))
    return float(np.count_nonzero(before.sum(1) < k)) / len(t)


def confusion_matrix(input: Array, target: Array, num_classes: int | None = None) -> npt.NDArray[np.int64]:
    """How many samples of each true class (rows) got each predicted one (columns): (C, C). C is num_classes, or the width of
    the scores, or one more than the largest class. ValueError for a class outside [0, C)."""
    a, t = _classes("confusion_matrix", input, target)
    p = (a.argmax(1) if a.ndim == 2 else a).astype(np.int64)
    width = a.shape[1] if a.ndim == 2 else 1 + int(max(p.max(initial=-1), t.max(initial=-1)))
    count = width if num_classes is None else num_classes
    for what, v in (("target", t), ("prediction", p)):
        bad = (v < 0) | (v >= count)
        if np.count_nonzero(bad):
            raise ValueError(f"confusion_matrix: {what} {v[bad][0]} is outside the {count} classes")
    return np.bincount(t * count + p, minlength=count * count).reshape(count, count)


def _averaged(name: str, right: Any, of: Any, weights: Any, average: str | None) -> Any:
    """right / of of each class (0 where there is nothing), and their average."""
    if average == "micro":
        return float(right.sum()) / float(of.sum()) if of.sum() else 0.0
    each = right / np.maximum(of, 1)
    if average is None:
        return each
    if average == "macro":
        return float(each.mean()) if each.size else 0.0
    if average == "weighted":
        return float((each * weights).sum() / max(weights.sum(), 1))
    raise ValueError(f"{name}: average must be 'macro', 'micro', 'weighted' or None, got {average!r}")


def precision(input: Array, target: Array, average: str | None = "macro", num_classes: int | None = None) -> Any:
    """Of the samples predicted to be of a class, the share that are; 0 for a class never predicted.

    average: "macro", the mean over classes; "weighted", by how many samples each has; "micro", over all samples together; None,
    an array of each class."""
    m = confusion_matrix(input, target, num_classes)
    return _averaged("precision", m.diagonal(), m.sum(0), m.sum(1), average)


def recall(input: Array, target: Array, average: str | None = "macro", num_classes: int | None = None) -> Any:
    """Of the samples of a class, the share that was found; 0 for a class without samples. average: see precision."""
    m = confusion_matrix(input, target, num_classes)
    return _averaged("recall", m.diagonal(), m.sum(1), m.sum(1), average)


def f1_score(input: Array, target: Array, average: str | None = "macro", num_classes: int | None = None) -> Any:
    """The harmonic mean of precision and recall of each class; 0 where both are. average: see precision."""
    m = confusion_matrix(input, target, num_classes)
    return _averaged("f1_score", 2 * m.diagonal(), m.sum(0) + m.sum(1), m.sum(1), average)


def _numbers(name: str, input: Any, target: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    a, t = _array(input), _array(target)
    if a.shape != t.shape or not a.size:
        raise ValueError(f"{name}: expected input and target of one shape, not empty, got {a.shape} and {t.shape}")
    return a.astype(np.float64), t.astype(np.float64)


def mean_squared_error(input: Array, target: Array) -> float:
    """The mean of (input - target)^2, in float64. ValueError for other shapes."""
    a, t = _numbers("mean_squared_error", input, target)
    return float(reduction.mean((a - t) ** 2))


def mean_absolute_error(input: Array, target: Array) -> float:
    """The mean of |input - target|, in float64. ValueError for other shapes."""
    a, t = _numbers("mean_absolute_error", input, target)
    return float(reduction.mean(np.abs(a - t)))


def r2_score(input: Array, target: Array) -> float:
    """1 - sum (t - x)^2 / sum (t - mean t)^2: 1 is perfect, 0 no better than the mean. Targets (N,) or (N, outputs), whose scores
    are averaged; a constant target gives 1 where it is met and else 0. ValueError for other shapes."""
    a, t = _numbers("r2_score", input, target)
    a, t = a.reshape(len(a), -1), t.reshape(len(t), -1)
    missed, spread = reduction.sum((t - a) ** 2, 0), reduction.sum((t - reduction.mean(t, 0)) ** 2, 0)
    varies = (spread > 0) & (t != t[0]).any(0)  # the mean of equal numbers may be rounded
    each = np.where(varies, 1 - missed / np.where(varies, spread, 1), np.where(missed > 0, 0.0, 1.0))
    return float(reduction.mean(each))
