"""Indexing: NumPy's meaning, gradients of repeated indices, and errors that name the index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt

A = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
INDICES: list[Any] = [
    0, -1, (1, 2), (1, 2, 3), slice(1), slice(None, None, -1), (slice(None), slice(0, 3, 2)), ..., (..., 0), (0, ..., 1), None, (None, 0), (slice(None), None),
    (0, None, slice(2)), [1, 0], ([1, 0], [2, 2]), (slice(None), [0, 2]), (0, [0, 2], slice(1, 3)), (slice(None), [0, 2], 1), ([0], slice(None), [1]),
    np.array([[0, 1], [1, 0]]), np.array([True, False]), (slice(None), np.array([True, False, True])), A > 10, (0, A[0] > 5), (), [], (np.int64(1), np.int64(0)),
    (slice(2, 2),), True, False,
]  # fmt: skip


def plain(index: Any) -> Any:
    """What NumPy takes for an empty list of integers."""
    return np.array([], np.int64) if isinstance(index, list) and not index else index


@pytest.mark.parametrize("index", INDICES, ids=lambda i: str(i).replace("\n", ""))
def test_reading_is_numpys(index: Any) -> None:
    t = tt.tensor(A, requires_grad=True)
    want = A[plain(index)]
    got = t[index]
    assert got.shape == np.shape(want)
    np.testing.assert_array_equal(got.detach().numpy(), want)
    up = np.random.default_rng(0).normal(size=want.shape).astype("float32")
    got.backward(tt.tensor(up))
    slope = np.zeros(A.shape, np.float32)
    np.add.at(slope, plain(index), up)
    np.testing.assert_allclose(t.grad.numpy(), slope, rtol=1e-6)


def test_basic_indices_are_views_and_advanced_ones_copies() -> None:
    t = tt.tensor(A)
    for index in (0, (1, 2, 3), slice(1), (..., 0), None, (0, slice(None, None, -1))):
        assert np.shares_memory(t[index].numpy(), t.numpy())
    for index in ([0], A > 3, np.array([0, 1])):
        assert not np.shares_memory(t[index].numpy(), t.numpy())
    one = t[1, 2, 3]
    assert one.shape == ()
    one += 100
    assert t[1, 2, 3].item() == 123


def test_tensors_as_indices() -> None:
    t = tt.tensor(A)
    np.testing.assert_array_equal(t[tt.tensor([1, 0])].numpy(), A[[1, 0]])
    np.testing.assert_array_equal(t[t > 7].numpy(), A[A > 7])
    np.testing.assert_array_equal(t[tt.tensor(1)].numpy(), A[1])
    np.testing.assert_array_equal(t[0, tt.tensor([2, 0])].numpy(), A[0, [2, 0]])
    np.testing.assert_array_equal(t[[tt.tensor(1), tt.tensor(0)]].numpy(), A[[1, 0]])
    np.testing.assert_array_equal(t[tt.tensor([1, 0], dtype=tt.uint8)].numpy(), A[[1, 0]])
    with pytest.raises(TypeError, match="integers or bools, got float32"):
        t[tt.tensor([1.0])]


def test_errors_name_index_and_shape() -> None:
    t = tt.tensor(A)
    for index in (2, (0, 3), [5], (0, 0, 0, 0), np.array([True] * 3)):
        with pytest.raises(IndexError, match=r"index: .*shape \(2, 3, 4\)"):
            t[index]


def test_a_repeated_index_adds_up_in_one_order() -> None:
    """Whatever the threads, and in the order of the index: floats do not add up in any order."""
    rng = np.random.default_rng(0)
    index, g = rng.integers(0, 50, 20_000), rng.normal(size=20_000).astype("float32")
    want = np.zeros(50, np.float32)
    np.add.at(want, index, g)
    for threads in (1, 2, 7):
        x = tt.zeros(50, requires_grad=True)
        with tt.threads(threads):
            x[index].backward(tt.tensor(g))
        assert x.grad.numpy().tobytes() == want.tobytes()


def test_assignment_is_numpys() -> None:
    for index in INDICES[:-4]:
        want = A.copy()
        want[plain(index)] = 7
        t = tt.tensor(A)
        t[index] = 7
        np.testing.assert_array_equal(t.numpy(), want)
    t = tt.tensor(A)
    t[0] = np.ones((3, 4))
    t[1] = tt.zeros(4)
    assert t.sum().item() == 12


# --------------------------------------------------------------------------------------------------------- by dimension
def test_gather_and_scatter_add_are_each_others_gradient() -> None:
    rng = np.random.default_rng(0)
    for dim in (0, 1, -1):
        i = rng.integers(0, (4, 5)[dim], (3, 4))
        x = tt.tensor(rng.normal(size=(4, 5)), requires_grad=True)
        up = tt.tensor(rng.normal(size=(3, 4)))
        tt.gather(x, dim, i).backward(up)
        np.testing.assert_allclose(x.grad.numpy(), tt.scatter_add(tt.zeros(4, 5, dtype=tt.float64), dim, i, up).numpy())


def test_bounds_are_checked() -> None:
    x = tt.ones(2, 3)
    for bad in (3, -1):
        i = np.array([[0, bad, 0]])
        for call in (
            lambda i=i: tt.gather(x, 1, i),
            lambda i=i: tt.scatter_add(x, 1, i, tt.ones(1, 3)),
            lambda i=i: tt.index_select(x, 1, i[0]),
        ):
            with pytest.raises(IndexError, match=f"index {bad} is out of range for size 3"):
                call()
    with pytest.raises(IndexError, match=r"one_hot: index 3 is out of range for size 3"):
        tt.one_hot(tt.tensor([0, 3]), 3)


def test_shapes_and_dtypes_are_checked() -> None:
    x = tt.ones(2, 3)
    with pytest.raises(ValueError, match=r"gather: index of shape \(3,\)"):
        tt.gather(x, 0, np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="gather"):
        tt.gather(x, 0, np.zeros((1, 4), np.int64))
    with pytest.raises(TypeError, match="gather: expected an integer index, got float64"):
        tt.gather(x, 0, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="scatter_add"):
        tt.scatter_add(x, 0, np.zeros((3, 3), np.int64), tt.ones(2, 3))
    with pytest.raises(ValueError, match=r"scatter_add: index \(1, 3\) is larger than \(2, 2\) outside dim 0"):
        tt.scatter_add(tt.ones(2, 2), 0, np.zeros((1, 3), np.int64), tt.ones(1, 3))
    with pytest.raises(TypeError, match="expected src of dtype float32, got float64"):
        tt.scatter_add(x, 0, np.zeros((1, 3), np.int64), tt.ones(1, 3, dtype=tt.float64))
    with pytest.raises(ValueError, match="index_select: expected a vector"):
        tt.index_select(x, 0, np.zeros((1, 1), np.int64))
    with pytest.raises(IndexError, match="dim 2 is out of range"):
        tt.index_select(x, 2, np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="take_along_dim"):
        tt.take_along_dim(x, np.zeros(3, np.int64), 0)
    with pytest.raises(ValueError, match=r"mask \(3, 3\) cannot be broadcast to \(2, 3\)"):
        tt.masked_fill(x, np.ones((3, 3), bool), 0)
    with pytest.raises(ValueError, match="number or 0-d"):
        tt.masked_fill(x, np.ones((2, 3), bool), tt.ones(3))
    with pytest.raises(TypeError, match="bool condition, got int64"):
        tt.masked_fill(x, np.ones((2, 3), np.int64), 0.0)


def test_integers_too() -> None:
    i = tt.tensor([[1, 2, 3], [4, 5, 6]])
    assert i[tt.tensor([1])].tolist() == [[4, 5, 6]]
    assert tt.scatter_add(i, 1, np.array([[0, 0]]), tt.tensor([[10, 20]])).tolist() == [[31, 2, 3], [4, 5, 6]]
    assert tt.gather(i, 0, np.array([[1, 0, 1]])).tolist() == [[4, 2, 6]]


def test_one_hot() -> None:
    assert tt.one_hot(tt.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert tt.one_hot(tt.tensor(1), 3).tolist() == [0, 1, 0]
    assert tt.one_hot(tt.tensor([], dtype=tt.int64), 3).shape == (0, 3)
    with pytest.raises(ValueError, match="num_classes"):
        tt.one_hot(tt.tensor([], dtype=tt.int64))
    with pytest.raises(TypeError, match="expected integers, got float32"):
        tt.one_hot(tt.ones(2))


# ------------------------------------------------------------------------------------------------------------- shapes
def test_views_share_memory_and_reshape_copies_only_where_it_must() -> None:
    t = tt.tensor(A)
    for v in (
        t.reshape(6, 4),
        t.view(-1),
        t.permute(2, 0, 1),
        t.mT,
        t.unsqueeze(0),
        t.squeeze(),
        t.flatten(),
        t.expand(2, 3, 4),
        t.split(1)[1],
        t.chunk(2, 2)[0],
    ):
        assert np.shares_memory(v.numpy(), t.numpy())
    assert not np.shares_memory(t.mT.reshape(24).numpy(), t.numpy())
    with pytest.raises(ValueError, match="needs a copy; use reshape"):
        t.mT.view(24)
    assert t.contiguous() is t
    assert t.mT.contiguous().is_contiguous()
    assert not np.shares_memory(t.clone().numpy(), t.numpy())


def test_shape_errors() -> None:
    t = tt.tensor(A)
    for call, error, message in [
        (lambda: t.reshape(5, 5), ValueError, r"24 elements of shape \(2, 3, 4\) do not fill shape \(5, 5\)"),
        (lambda: t.permute(0, 1), ValueError, "each of 3 dimensions once"),
        (lambda: t.permute(0, 1, 1), ValueError, "each of 3 dimensions once"),
        (lambda: t.transpose(0, 3), IndexError, "dim 3 is out of range for 3 dimensions"),
        (lambda: t.t(), ValueError, "at most 2 dimensions"),
        (lambda: t.expand(5, 3, 4), ValueError, r"expand: shape \(2, 3, 4\) does not expand to \(5, 3, 4\)"),
        (lambda: t.expand(-1, 2, 3, 4), ValueError, "do not fit"),
        (lambda: t.flatten(2, 1), ValueError, "start_dim 2 comes after end_dim 1"),
        (lambda: t.unflatten(2, (3, 2)), ValueError, r"do not multiply to 4"),
        (lambda: t.narrow(0, 1, 2), ValueError, "outside size 2"),
        (lambda: t.split(0), ValueError, "positive size"),
        (lambda: t.split([1, 2]), ValueError, "must add up to 2"),
        (lambda: t.chunk(0), ValueError, "positive number"),
        (lambda: t.unsqueeze(5), IndexError, "dim 5 is out of range"),
        (lambda: tt.cat([]), ValueError, "at least one"),
        (lambda: tt.cat([t, t[0]]), ValueError, "must be equal but for dim 0"),
        (lambda: tt.cat([t, t[:, :2]]), ValueError, "must be equal but for dim 0"),
        (lambda: tt.stack([]), ValueError, "at least one"),
        (lambda: tt.stack([t, t[0]]), ValueError, "expected one shape"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_cat_promotes_and_takes_empty_vectors() -> None:
    assert tt.cat([tt.ones(1), tt.tensor([2])]).dtype == tt.float32
    assert tt.cat([tt.tensor([]), tt.ones(1, 2)]).shape == (1, 2)
    x = tt.ones(2, requires_grad=True)
    tt.cat([x, tt.tensor([1, 2]), x]).sum().backward()
    assert x.grad.tolist() == [2, 2]
