"""Masks, writes by index and counts: ties, places written twice, what is refused, and the same in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinytensor as tt


def vec(*values: float) -> tt.Tensor:
    return tt.tensor(list(values), dtype=tt.float64, requires_grad=True)


def index(*values: int) -> tt.Tensor:
    return tt.tensor(list(values), dtype=tt.int64)


# ------------------------------------------------------------------------------------------------------------- choosing
def test_masked_select_broadcasts_both() -> None:
    x = tt.tensor([[1], [2]])
    assert x.masked_select(tt.tensor([True, False, True])).tolist() == [1, 1, 2, 2]
    assert tt.tensor(3).masked_select(tt.tensor([True, False])).tolist() == [3]
    assert x.masked_select(x > 5).tolist() == []
    with pytest.raises(TypeError, match="masked_select: expected a bool mask, got int64"):
        x.masked_select(x)
    with pytest.raises(ValueError, match="cannot be broadcast"):
        tt.ones(3).masked_select(tt.tensor([True, False]))


def test_nonzero() -> None:
    x = tt.tensor([[0.0, 1.0], [math.nan, 0.0]])
    assert x.nonzero().tolist() == [[0, 1], [1, 0]]
    assert [i.tolist() for i in x.nonzero(as_tuple=True)] == [[0, 1], [1, 0]]
    assert tt.tensor(0).nonzero().shape == (0, 0)
    assert tt.tensor(2).nonzero().shape == (1, 0)
    assert [i.tolist() for i in tt.tensor(2).nonzero(as_tuple=True)] == [[0]]
    assert tt.zeros(0, 3).argwhere().shape == (0, 2)
    assert x[x.nonzero(as_tuple=True)].shape == (2,)


def test_take_and_put_count_in_the_flattened_tensor() -> None:
    x = tt.arange(6).reshape(2, 3)
    assert x.take(tt.tensor([[-1, 0], [4, 4]])).tolist() == [[5, 0], [4, 4]]
    assert x.put(index(0, -1), index(7, 8)).tolist() == [[7, 1, 2], [3, 4, 8]]
    assert x.put(index(1, 1), index(7, 8), accumulate=True).tolist() == [[0, 16, 2], [3, 4, 5]]
    for call in (lambda: x.take(index(6)), lambda: x.put(index(-7), index(1))):
        with pytest.raises(IndexError, match="out of range for size 6"):
            call()
    with pytest.raises(ValueError, match="put: 2 indices for 1 elements"):
        x.put(index(1, 2), index(1))


# ------------------------------------------------------------------------------------------------- places written twice
def test_the_last_value_stays_and_it_alone_has_a_gradient() -> None:
    for call in (
        lambda x, s: x.scatter(0, index(1, 0, 1), s), lambda x, s: x.index_copy(0, index(1, 0, 1), s),
        lambda x, s: x.put(index(1, 0, -2), s), lambda x, s: x.index_put((index(1, 0, 1),), s),
    ):  # fmt: skip
        x, s = vec(1, 2, 3), vec(4, 5, 6)
        y = call(x, s)
        assert y.tolist() == [5, 6, 3]
        (y * tt.tensor([1.0, 10.0, 100.0], dtype=tt.float64)).sum().backward()
        assert x.grad.tolist() == [0, 0, 100]
        assert s.grad.tolist() == [0, 1, 10]


def test_a_number_written_twice_counts_once() -> None:
    v = tt.tensor(9.0, requires_grad=True)
    y = tt.zeros(3).index_fill(0, index(1, 1), v)
    y.sum().backward()
    assert (y.tolist(), v.grad.item()) == ([0, 9, 0], 1)
    assert tt.zeros(2, dtype=tt.float64).index_fill(0, index(0), v).dtype == tt.float64


def test_sums_run_in_index_order() -> None:
    big = tt.tensor([1e8, 1.0, -1e8, 1.0])
    want = np.float32(np.float32(np.float32(np.float32(1e8) + np.float32(1.0)) - np.float32(1e8)) + np.float32(1.0))
    zero = tt.zeros(1)
    for y in (
        zero.index_add(0, index(0, 0, 0, 0), big), zero.put(index(0, 0, 0, 0), big, accumulate=True),
        zero.scatter_reduce(0, index(0, 0, 0, 0), big, "sum"), tt.bincount(index(0, 0, 0, 0), big),
    ):  # fmt: skip
        assert y.tolist() == [want]


# ------------------------------------------------------------------------------------------------------- scatter_reduce
def test_equal_extremes_share() -> None:
    for reduce, sign in (("amax", 1), ("amin", -1)):
        x, s = vec(sign * 1, sign * 2, sign * 7), vec(sign * 1, sign * 1, sign * 7, sign * 3)
        x.scatter_reduce(0, index(0, 0, 2, 1), s, reduce).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), [1 / 3, 0, 0.5])
        np.testing.assert_allclose(s.grad.numpy(), [1 / 3, 1 / 3, 0.5, 1])
        x.grad = s.grad = None
        x.scatter_reduce(0, index(0, 0, 2, 1), s, reduce, include_self=False).sum().backward()
        assert x.grad.tolist() == [0, 0, 0]
        assert s.grad.tolist() == [0.5, 0.5, 1, 1]


def test_extremes_of_infinities_and_nan() -> None:
    x, s = vec(1, 1, 1), vec(-math.inf, -math.inf, math.nan)
    y = x.scatter_reduce(0, index(0, 0, 1), s, "amax", include_self=False)
    np.testing.assert_array_equal(y.detach().numpy(), [-math.inf, math.nan, 1])
    y[0].backward()
    assert s.grad.tolist() == [0.5, 0.5, 0]


def test_products_with_zeros() -> None:
    x, s = vec(2, 0, 3), vec(0, 5, 0, 7, 0)
    y = x.scatter_reduce(0, index(0, 0, 1, 1, 2), s, "prod")
    assert y.tolist() == [0, 0, 0]
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]
    assert s.grad.tolist() == [10, 0, 0, 0, 3]


def test_reductions_of_integers_and_of_nothing() -> None:
    x, s = index(5, 1), index(2, 3, 4)
    at = index(0, 0, 1)
    assert x.scatter_reduce(0, at, s, "sum").tolist() == [10, 5]
    assert x.scatter_reduce(0, at, s, "prod", include_self=False).tolist() == [6, 4]
    assert x.scatter_reduce(0, at, s, "amin", include_self=False).tolist() == [2, 4]
    assert x.scatter_reduce(0, at, s, "amax").tolist() == [5, 4]
    for reduce in ("sum", "prod", "mean", "amax", "amin"):
        y = vec(1, 2).scatter_reduce(0, index(), tt.zeros(0, dtype=tt.float64), reduce, include_self=False)
        assert y.tolist() == [1, 2]
    with pytest.raises(TypeError, match="mean expects a float tensor, got int64"):
        x.scatter_reduce(0, at, s, "mean")
    with pytest.raises(TypeError, match="got bool"):
        (x > 3).scatter_reduce(0, at, s > 2, "amax")
    with pytest.raises(ValueError, match="sum, prod, mean, amax or amin, got 'max'"):
        x.scatter_reduce(0, at, s, "max")


# -------------------------------------------------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: x.scatter(0, index(0)[None], tt.ones(1, 1)), TypeError, "source of dtype float64, got float32"), (lambda x: x.scatter(0, index(0), x), ValueError, "2 dimensions"),
        (lambda x: x.scatter(0, tt.tensor([[3]]), x), IndexError, "index 3 is out of range for size 2"), (lambda x: x.scatter(0, tt.tensor([[0, 0, 0, 0]]), 1.0), ValueError, "larger than"),
        (lambda x: x.scatter(0, tt.tensor([[0]])), ValueError, "one of src and value"), (lambda x: x.scatter(0, tt.tensor([[0]]), x, value=1), ValueError, "one of src and value"),
        (lambda x: x.scatter(0, tt.tensor([[0.0]]), x), TypeError, "integer index, got float32"), (lambda x: x.scatter(2, tt.tensor([[0]]), x), IndexError, "scatter: dim 2"),
        (lambda x: x.index_add(0, index(0), x), ValueError, r"source of shape \(1, 3\) for \(2, 3\) along dim 0, got \(2, 3\)"), (lambda x: x.index_add(0, tt.tensor([[0]]), x), ValueError, "vector"),
        (lambda x: x.index_copy(1, index(0, 3, 1), x), IndexError, "index 3"), (lambda x: x.index_fill(0, index(0), tt.ones(2)), ValueError, "number or 0-d"),
        (lambda x: x.index_put((index(2),), x), IndexError, "index_put"), (lambda x: x.masked_scatter(x > 0, x[0]), ValueError, "mask holds 6 times, source has 3"),
        (lambda x: x.masked_scatter(x > 0, tt.ones(6)), TypeError, "masked_scatter: expected a source of dtype float64, got float32"),
        (lambda x: x.masked_scatter(tt.tensor([True] * 4), x), ValueError, r"mask \(4,\) cannot be broadcast to \(2, 3\)"), (lambda x: tt.bincount(x), TypeError, "vector of integers"),
        (lambda x: tt.bincount(index(-1)), ValueError, "no negative"), (lambda x: tt.bincount(index(1), x), ValueError, r"weights of shape \(1,\)"), (lambda x: x.take(x), TypeError, "integer"),
    ],
)  # fmt: skip
def test_refused(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        call(tt.ones(2, 3, dtype=tt.float64))


# ------------------------------------------------------------------------------------------------------------- in place
CHANGES: dict[str, Any] = {
    "scatter_": lambda x, s: (0, index(2, 0), s), "scatter_add_": lambda x, s: (0, index(2, 2), s), "scatter_reduce_": lambda x, s: (0, index(2, 2), s, "prod"),
    "index_add_": lambda x, s: (0, index(0, 0), s), "index_copy_": lambda x, s: (0, index(1, 0), s), "index_fill_": lambda x, s: (0, index(1, 0), s[0]),
    "index_put_": lambda x, s: ((index(1, 0),), s), "put_": lambda x, s: (index(1, 0), s), "masked_fill_": lambda x, s: (x.detach() > 3, s[1]),
    "masked_scatter_": lambda x, s: (x.detach() > 3, s),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_in_place_is_the_same_and_recorded(name: str) -> None:
    found = []
    for in_place in (True, False):
        x, s = vec(1, 2, 3), vec(5, 7)
        y = x * 2
        args = CHANGES[name](y, s)
        z = getattr(y, name)(*args) if in_place else getattr(y, name[:-1])(*args)
        assert (z is y) == in_place
        (z * z).sum().backward()
        found.append((z.tolist(), x.grad.tolist(), s.grad.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", CHANGES)
def test_in_place_refuses_a_leaf_and_counts_a_change(name: str) -> None:
    x, s = vec(1, 2, 3), vec(5, 7)
    with pytest.raises(RuntimeError, match=f"{name}: a leaf that requires grad"):
        getattr(x, name)(*CHANGES[name](x, s))
    y = x * 2
    out = (y * y).sum()
    with tt.no_grad():
        getattr(y, name)(*CHANGES[name](y, s))
    with pytest.raises(RuntimeError, match="changed"):
        out.backward()


def test_one_hot_by_scatter() -> None:
    y = tt.zeros(3, 4).scatter_(1, tt.tensor([[2], [0], [3]]), 1.0)
    assert y.argmax(1).tolist() == [2, 0, 3]
    assert y.sum().item() == 3


def test_counting() -> None:
    assert tt.bincount(index(), minlength=2).tolist() == [0, 0]
    assert tt.bincount(index(1, 3, 1)).tolist() == [0, 2, 0, 1]
    assert tt.bincount(tt.tensor([1, 1], dtype=tt.uint8), tt.tensor([0.5, 0.25])).dtype == tt.float32
    assert tt.bincount(index(1), index(2)).dtype == tt.float64
    assert tt.isin(tt.tensor([1, 2, 3]), 2).tolist() == [False, True, False]
    assert tt.isin(tt.tensor([1.0, math.nan]), tt.tensor([math.nan])).tolist() == [False, False]
