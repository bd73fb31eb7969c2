"""Sorting, the largest, what is there once, places and shifts: NaN, ties, edges and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinytensor as tt

NAN = math.nan


def test_nan_is_the_largest() -> None:
    x = tt.tensor([2.0, NAN, -math.inf, math.inf, NAN])
    for descending, indices in ((False, [2, 0, 3, 1, 4]), (True, [1, 4, 3, 0, 2])):
        values, found = x.sort(descending=descending)
        assert found.tolist() == indices
        np.testing.assert_array_equal(values.numpy(), x.numpy()[indices])
    assert x.topk(3).indices.tolist() == [1, 4, 3]
    assert x.topk(2, largest=False).indices.tolist() == [2, 0]
    assert x.kthvalue(3).values.item() == math.inf
    assert math.isnan(x.kthvalue(4).values.item())


def test_equal_elements_keep_their_order() -> None:
    x = tt.tensor(np.arange(200) % 3)
    for descending in (False, True):
        i = x.argsort(descending=descending).numpy()
        for v in range(3):
            assert (np.diff(i[x.numpy()[i] == v]) > 0).all()
    assert x.topk(3).indices.tolist() == [2, 5, 8]
    assert tt.tensor([0.0, -0.0, 0.0]).argsort(descending=True).tolist() == [0, 1, 2]


def test_sort_edges() -> None:
    v, i = tt.tensor(3.0).sort()
    assert (v.item(), i.item(), i.dtype) == (3, 0, tt.int64)
    assert [r.shape for r in tt.zeros(0, 3).sort(0)] == [(0, 3)] * 2
    assert [r.shape for r in tt.zeros(3, 0).sort()] == [(3, 0)] * 2
    assert tt.tensor([True, False]).sort().values.tolist() == [False, True]
    assert tt.tensor([[3, 1], [2, 4]]).msort().tolist() == [[2, 1], [3, 4]]
    assert tt.zeros(2, 3).topk(0).values.shape == (2, 0)
    assert tt.tensor(3.0).topk(1).values.item() == tt.tensor(3.0).kthvalue(1).values.item() == 3
    assert tt.zeros(2, 3).kthvalue(1, 0, True).indices.shape == (1, 3)


def test_gradients_go_to_where_the_values_came_from() -> None:
    x = tt.tensor([3.0, 1.0, 2.0], requires_grad=True)
    values, indices = x.sort()
    assert not indices.requires_grad
    (values * tt.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [100, 1, 10]
    x.grad = None
    x.topk(2).values.sum().backward()
    assert x.grad.tolist() == [1, 0, 1]
    x.grad = None
    x.repeat(2).unique().sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_distinct() -> None:
    x = tt.tensor([[2, 1], [2, 3]])
    values, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 2, 3], [[1, 0], [1, 2]], [1, 2, 1])
    assert x.unique(dim=1).tolist() == [[1, 2], [3, 2]]
    rows, counts = tt.tensor([[1, 2], [0, 5], [1, 2]]).unique(return_counts=True, dim=0)
    assert (rows.tolist(), counts.tolist()) == ([[0, 5], [1, 2]], [1, 2])
    assert tt.tensor([NAN, 1.0, NAN, 1.0]).unique().shape == (3,)
    assert tt.tensor([]).unique().shape == (0,)
    assert tt.zeros(3, 0).unique(dim=0).shape == (1, 0)
    assert tt.tensor([1, 1, 2, 1]).unique_consecutive().tolist() == [1, 2, 1]
    assert [r.tolist() for r in tt.tensor([[1], [1], [2]]).unique_consecutive(True, True, 0)] == [
        [[1], [2]],
        [0, 0, 1],
        [2, 1],
    ]


def test_places() -> None:
    s = tt.tensor([1.0, 2.0, 2.0, 5.0])
    assert tt.searchsorted(s, tt.tensor([0.0, 2.0, 9.0, NAN])).tolist() == [0, 1, 4, 4]
    assert tt.searchsorted(s, tt.tensor([0.0, 2.0, 9.0]), right=True).tolist() == [0, 3, 4]
    assert tt.searchsorted(s, 2.0, side="right").item() == 3
    assert tt.bucketize(tt.tensor([[1.0, 3.0]]), s).tolist() == [[0, 3]]
    assert tt.searchsorted(tt.tensor([2, 1]), tt.tensor([2]), sorter=tt.tensor([1, 0])).tolist() == [1]
    with pytest.raises(ValueError, match=r"expected a vector, or input of shape \(2,\)"):
        tt.searchsorted(tt.zeros(2, 3), tt.zeros(3, 1))
    with pytest.raises(ValueError, match="side must be left or right"):
        tt.searchsorted(s, s, side="middle")
    with pytest.raises(ValueError, match="not against right=True"):
        tt.searchsorted(s, s, right=True, side="left")
    with pytest.raises(ValueError, match="vector of boundaries"):
        tt.bucketize(s, tt.zeros(2, 2))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: x.sort(2), IndexError, "argsort: dim 2"), (lambda x: x.topk(4), ValueError, "topk: k = 4 is out of range for size 3 of dim -1"), (lambda x: x.topk(-1), ValueError, "k = -1"),
        (lambda x: x.kthvalue(0), ValueError, "k = 0"), (lambda x: x.kthvalue(3, 0), ValueError, "k = 3 is out of range for size 2"), (lambda x: x.unique(dim=2), IndexError, "unique: dim 2"),
    ],
)  # fmt: skip
def test_refused(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        call(tt.zeros(2, 3))


# ---------------------------------------------------------------------------------------------------------------- shifts
def test_shifts() -> None:
    x = tt.tensor([1, -5, 7])
    assert (x << 2).tolist() == [4, -20, 28]
    assert (x >> 1).tolist() == [0, -3, 3]
    assert (2 << tt.tensor([0, 3])).tolist() == [2, 16]
    assert (64 >> tt.tensor([0, 3])).tolist() == [64, 8]
    assert (x << 64).tolist() == (x << -1).tolist() == [0, 0, 0]
    assert (x >> 64).tolist() == (x >> -1).tolist() == [0, -1, 0]
    small = tt.tensor([255, 3], dtype=tt.uint8)
    assert (small << 1).tolist() == [254, 6]
    assert (small << 1).dtype == tt.uint8
    assert (small >> tt.tensor([1])).dtype == tt.int64
    y = x
    y <<= 1
    assert y.tolist() == [2, -10, 14]
    assert (x.gcd(10).tolist(), x.lcm(2).tolist()) == ([1, 5, 1], [2, 10, 14])


@pytest.mark.parametrize("name", ["bitwise_left_shift", "bitwise_right_shift", "gcd", "lcm"])
def test_shifts_are_for_integers(name: str) -> None:
    for x in (tt.ones(2), tt.ones(2, dtype=tt.bool)):
        with pytest.raises(TypeError, match=f"{name}: expected int64 or uint8 tensors, got {np.dtype(x.dtype)}"):
            getattr(tt, name)(x, x)
    with pytest.raises(TypeError, match="got float"):
        getattr(tt, name)(tt.tensor([1]), 0.5)
