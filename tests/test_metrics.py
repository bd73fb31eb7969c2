"""Metrics: worked out by hand, against scikit-learn where it is there, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import metrics

TRUE = np.array([0, 0, 0, 1, 1, 2])
GOT = np.array([0, 0, 1, 1, 2, 0])
SCORES = np.array([[3, 2, 1], [1, 2, 3], [2, 2, 1], [0.0, 0.0, 0.0]])


def test_of_classes_by_hand() -> None:
    assert metrics.accuracy(tt.tensor(GOT), tt.tensor(TRUE)) == 0.5
    assert metrics.accuracy(SCORES, np.array([0, 2, 1, 0])) == 0.75
    assert metrics.confusion_matrix(GOT, TRUE).tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert metrics.confusion_matrix(GOT, TRUE, 4).shape == (4, 4)
    np.testing.assert_allclose(metrics.precision(GOT, TRUE, None), [2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(metrics.recall(GOT, TRUE, None), [2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(metrics.f1_score(GOT, TRUE, None), [2 / 3, 1 / 2, 0])
    assert metrics.precision(GOT, TRUE, None, 4)[3] == 0
    for f in (metrics.precision, metrics.recall, metrics.f1_score):
        assert f(GOT, TRUE, "micro") == 0.5
        assert math.isclose(f(GOT, TRUE), (2 / 3 + 1 / 2) / 3)
        assert math.isclose(f(GOT, TRUE, "weighted"), (3 * 2 / 3 + 2 * 1 / 2) / 6)


def test_the_largest_scores() -> None:
    """Of equal scores the first counts more, as it does for accuracy."""
    target = np.array([1, 0, 1, 2])
    assert [metrics.top_k_accuracy(SCORES, target, k) for k in (1, 2, 3)] == [0, 0.5, 1]
    for k1 in (np.array([0, 2, 0, 0]), np.array([1, 2, 1, 0])):
        assert metrics.top_k_accuracy(SCORES, k1, 1) == metrics.accuracy(SCORES, k1)


def test_of_numbers_by_hand() -> None:
    x, t = tt.tensor([1.0, 2.0, 4.0]), tt.tensor([1.0, 4.0, 4.0])
    assert metrics.mean_squared_error(x, t) == 4 / 3
    assert metrics.mean_absolute_error(x, t) == 2 / 3
    assert metrics.r2_score(x, t) == 1 - 4 / 6
    assert metrics.r2_score(t, t) == 1
    assert metrics.r2_score(tt.ones(3), 2 * tt.ones(3)) == 0
    two = np.stack([x.numpy(), t.numpy()], 1)
    assert metrics.r2_score(two, np.stack([t.numpy(), t.numpy()], 1)) == (1 - 4 / 6 + 1) / 2


def test_nothing() -> None:
    nothing = np.zeros(0, np.int64)
    assert math.isnan(metrics.accuracy(nothing, nothing))
    assert math.isnan(metrics.top_k_accuracy(np.zeros((0, 3)), nothing, 1))
    assert metrics.confusion_matrix(nothing, nothing).shape == (0, 0)
    assert metrics.precision(nothing, nothing) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy(GOT, TRUE[:5]), r"accuracy: expected scores .* for target \(5,\), got int64 \(6,\)"),
        (lambda: metrics.accuracy(GOT * 1.0, TRUE), r"got float64 \(6,\)"),
        (lambda: metrics.accuracy(GOT, TRUE * 1.0), r"expected target \(N,\) of whole class indices, got float64"),
        (lambda: metrics.top_k_accuracy(SCORES, np.array([0, 0, 0, 0]), 4), "k=4"),
        (lambda: metrics.top_k_accuracy(GOT, TRUE, 1), "top_k_accuracy: expected scores"),
        (lambda: metrics.confusion_matrix(GOT, TRUE, 2), "target 2 is outside the 2 classes"),
        (lambda: metrics.confusion_matrix(np.array([-1]), np.array([0])), "prediction -1 is outside"),
        (lambda: metrics.precision(GOT, TRUE, "mean"), "average must be"),
        (lambda: metrics.mean_squared_error(np.ones((3, 1)), np.ones(3)), r"got \(3, 1\) and \(3,\)"),
        (lambda: metrics.r2_score(np.ones(0), np.ones(0)), "not empty"),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_scikit_learn_agrees() -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    t, p = rng.integers(0, 5, 200), rng.integers(0, 4, 200)
    assert metrics.confusion_matrix(p, t).tolist() == theirs.confusion_matrix(t, p).tolist()
    for average in ("macro", "micro", "weighted", None):
        for name in ("precision", "recall", "f1"):
            ours = getattr(metrics, "f1_score" if name == "f1" else name)(p, t, average)
            np.testing.assert_allclose(ours, getattr(theirs, f"{name}_score")(t, p, average=average, zero_division=0))
    x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    np.testing.assert_allclose(metrics.r2_score(x, y), theirs.r2_score(y, x))
