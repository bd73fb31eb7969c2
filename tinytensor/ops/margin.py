"""Losses that ask for a margin: hinges of scores, distances and angles. `reduction` is "none", "mean" or "sum"."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import Array
from ..tensor import Tensor
from .activation import relu, softplus
from .index import gather
from .loss import check_reduction, reduced, same_shapes
from .normalization import pairwise_distance
from .pointwise import add, div, minimum, mul, neg, sqrt, square, sub, where
from .reduction import sum
from .shape import reshape


def _signs(name: str, target: Any) -> Any:
    """Where the target is 1; ValueError for what is neither 1 nor -1."""
    t = target._data if isinstance(target, Tensor) else np.asarray(target)
    wrong = (t != 1) & (t != -1)
    if np.count_nonzero(wrong):
        raise ValueError(f"{name}: targets must be 1 or -1, got {t[wrong].flat[0]}")
    return t == 1


def multi_margin_loss(
    input: Array, target: Array, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """sum over j != y of max(0, margin - s_y + s_j)^p, over the number of classes: the multiclass SVM's hinge (Crammer and
    Singer 2001; Weston and Watkins 1999), which lectures write without the division.

    input: scores (N, C) or (C); target: classes (N) or (); weight: (C), of the target's class; p: 1 or 2. Gradient: of each
    positive term to s_j and, negative, to s_y. IndexError for a class outside [0, C)."""
    check_reduction("multi_margin_loss", reduction)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, got {p}")
    t = target._data if isinstance(target, Tensor) else np.asarray(target)
    if t.dtype.kind not in "iu":
        raise TypeError(f"multi_margin_loss: expected class indices (integers), got {t.dtype}")
    if input.ndim not in (1, 2) or t.shape != tuple(input.shape[:-1]):
        raise ValueError(
            f"multi_margin_loss: expected input (N, C) and target (N), or (C) and (), got {tuple(input.shape)} and {t.shape}"
        )
    classes = input.shape[-1]
    bad = (t < 0) | (t >= classes)
    if np.count_nonzero(bad):
        raise IndexError(f"multi_margin_loss: target {int(t[bad].flat[0])} is outside the {classes} classes")
    x = reshape(input, (1, classes)) if input.ndim == 1 else input
    ids = t.reshape(-1, 1).astype(np.int64)
    hinge = relu(add(sub(x, gather(x, 1, ids)), margin))
    if p == 2:
        hinge = square(hinge)
    others = np.ones((len(ids), classes), bool)
    np.put_along_axis(others, ids, False, 1)
    loss = div(sum(where(others, hinge, 0.0), 1), float(classes))
    if weight is not None:
        w = weight._data if isinstance(weight, Tensor) else np.asarray(weight)
        if w.shape != (classes,):
            raise ValueError(f"multi_margin_loss: expected weight of shape ({classes},), got {w.shape}")
        loss = mul(loss, w.astype(x.dtype)[ids[:, 0]])
    return reduced(reshape(loss, ()) if input.ndim == 1 else loss, reduction)


def hinge_embedding_loss(input: Array, target: Array, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1; one shape. Gradient: g, or -g below the margin."""
    check_reduction("hinge_embedding_loss", reduction)
    same_shapes("hinge_embedding_loss", input, target)
    alike = _signs("hinge_embedding_loss", target)
    return reduced(where(alike, input, relu(sub(margin, input))), reduction)


def margin_ranking_loss(
    input1: Array, input2: Array, target: Array, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """max(0, -y (x1 - x2) + margin): y = 1 asks x1 to be the larger, -1 x2; one shape. Gradient: -y g to x1, y g to x2."""
    check_reduction("margin_ranking_loss", reduction)
    same_shapes("margin_ranking_loss", input1, input2)
    same_shapes("margin_ranking_loss", input1, target)
    _signs("margin_ranking_loss", target)
    return reduced(relu(add(mul(neg(target), sub(input1, input2)), margin)), reduction)


def soft_margin_loss(input: Array, target: Array, reduction: str = "mean") -> Tensor:
    """log(1 + e^(-y x)) for y in {1, -1}, without overflow; one shape. Gradient: -y sigmoid(-y x) g."""
    check_reduction("soft_margin_loss", reduction)
    same_shapes("soft_margin_loss", input, target)
    _signs("soft_margin_loss", target)
    return reduced(softplus(neg(mul(target, input)), 1.0, float("inf")), reduction)


def cosine_embedding_loss(
    input1: Array, input2: Array, target: Array, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cos(x1, x2) where the target is 1, max(0, cos(x1, x2) - margin) where it is -1.

    input1, input2: (N, D) or (D) of one shape; target: (N) or (). The product of the squared lengths is at least 1e-12, so
    that zeros give cos = 0. ValueError for other shapes or targets."""
    check_reduction("cosine_embedding_loss", reduction)
    same_shapes("cosine_embedding_loss", input1, input2)
    t = target._data if isinstance(target, Tensor) else np.asarray(target)
    if input1.ndim not in (1, 2) or t.shape != tuple(input1.shape[:-1]):
        raise ValueError(
            f"cosine_embedding_loss: expected inputs (N, D) and target (N), or (D) and (), got {tuple(input1.shape)} and {t.shape}"
        )
    alike = _signs("cosine_embedding_loss", target)
    eps = 1e-12
    squares = mul(add(sum(square(input1), -1), eps), add(sum(square(input2), -1), eps))
    cos = div(sum(mul(input1, input2), -1), sqrt(squares))
    return reduced(where(alike, sub(1.0, cos), relu(sub(cos, margin))), reduction)


def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d being pairwise_distance; one shape (..., D). swap: the negative's
    distance is the smaller of those to anchor and positive (Balntas et al. 2016)."""
    check_reduction("triplet_margin_loss", reduction)
    same_shapes("triplet_margin_loss", anchor, positive)
    same_shapes("triplet_margin_loss", anchor, negative)
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(relu(add(sub(near, far), margin)), reduction)
