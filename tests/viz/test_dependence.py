"""The tests of whether targets depend on inputs: right on what depends, silent where nothing can be said, rarely fooled."""

import numpy as np
import pytest

from tinytensor.viz import depends

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 5))


@pytest.mark.parametrize(
    "targets",
    [
        (X[:, 0] > 0).astype(int),  # on one side of a plane
        ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(int),  # no line divides them: only neighbours tell
        3 * X[:, 2] + RANDOM.normal(size=200),
        np.stack([X[:, 0], -X[:, 1]], 1),
    ],
    ids=["classes", "xor", "number", "numbers"],
)
def test_what_depends_and_the_same_in_another_order(targets):
    assert depends(X, targets) is True
    assert depends(X, RANDOM.permutation(targets)) is False


def test_unrelated_targets_are_called_related_once_in_a_thousand():
    assert sum(depends(X, RANDOM.integers(0, 3, 200)) for _ in range(50)) == 0


def test_where_nothing_can_be_said():
    targets = (X[:, 0] > 0).astype(int)
    assert depends(X[:99], targets[:99]) is None
    assert depends(X, np.zeros(200, int)) is None
    assert depends(np.ones((200, 5)), targets) is None
    assert depends(np.where(X > 2, np.nan, X), targets) is None
