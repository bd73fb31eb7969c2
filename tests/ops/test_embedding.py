"""Looking rows up: padding, repeated numbers, and numbers that do not exist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import autograd


@pytest.mark.parametrize("padding", [2, -1])
def test_the_padding_row_gets_no_gradient(padding: int) -> None:
    w = tt.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    y = F.embedding(tt.tensor([[0, 2], [2, 0]]), w, padding_idx=padding)
    assert y.tolist() == [[[0, 1], [4, 5]], [[4, 5], [0, 1]]]
    (first,) = autograd.grad((y**3).sum(), w, create_graph=True)
    assert first.tolist() == [[0, 6], [0, 0], [0, 0]]
    (second,) = autograd.grad(first.sum(), w)
    assert second.tolist() == [[0, 12], [0, 0], [0, 0]]


def test_rows_of_a_repeated_number_add_up_in_order() -> None:
    ids = np.random.default_rng(0).integers(0, 3, 500)
    up = np.random.default_rng(1).standard_normal((500, 4)).astype(np.float32) * np.float32(1e3)
    w = tt.zeros(3, 4, requires_grad=True)
    F.embedding(ids, w).backward(tt.from_numpy(up))
    want = np.zeros((3, 4), np.float32)
    for i, row in zip(ids, up):
        want[i] += row
    np.testing.assert_array_equal(w.grad, want)


def test_numbers_may_change_after_they_were_looked_up() -> None:
    ids, w = tt.tensor([0, 0]), tt.ones(2, 1, requires_grad=True)
    y = F.embedding(ids, w)
    ids.fill_(1)
    y.sum().backward()
    assert w.grad.tolist() == [[2.0], [0.0]]


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_any_integers_number_rows(kind: Any) -> None:
    w = np.array([[1.0], [2.0]])
    assert F.embedding(np.array([1, 0], kind), w).tolist() == [[2.0], [1.0]]
    assert F.embedding(np.array(1, kind), w).tolist() == [2.0]
    assert F.embedding(np.zeros((0, 3), kind), w).shape == (0, 3, 1)


@pytest.mark.parametrize("bad", [3, -1, 10**12])
def test_a_number_without_a_row(bad: int) -> None:
    with pytest.raises(IndexError, match=rf"number {bad} at \(1, 0\) is out of range for a weight of 3 rows"):
        F.embedding(tt.tensor([[0, 1], [bad, 2]]), tt.ones(3, 2))


def test_an_empty_table_has_no_rows() -> None:
    assert F.embedding(np.zeros(0, np.int64), tt.ones(0, 2)).shape == (0, 2)
    with pytest.raises(IndexError, match="weight of 0 rows"):
        F.embedding(np.zeros(1, np.int64), tt.ones(0, 2))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(TypeError, match="expected integers, got float32"):
        F.embedding(tt.ones(2), tt.ones(3, 2))
    with pytest.raises(ValueError, match=r"expected a weight of shape \(count, size\), got \(3,\)"):
        F.embedding(tt.tensor([0]), tt.ones(3))
    for padding in (3, -4):
        with pytest.raises(ValueError, match=f"padding_idx {padding} is outside the 3 rows"):
            F.embedding(tt.tensor([0]), tt.ones(3, 2), padding)
