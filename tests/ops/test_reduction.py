"""Reductions: every sum has one shape (16 float lanes, 8 double ones, blocks of 32 vectors, a binary tree of the blocks)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from check import same_bits

import tinytensor as tt
from tinytensor import _kernels

BLOCK = 32  # vectors that are summed one after the other
LENGTHS = [
    *range(70),
    127,
    128,
    129,
    255,
    511,
    512,
    513,
    1023,
    1024,
    1025,
    1535,
    1536,
    1537,
    2047,
    2048,
    2049,
    2561,
    3001,
    4095,
    4097,
    5000,
]
LARGE = [8191, 16385, 32768, 32769, 65536, 100_003, 262_145]


def shape_of_sum(x: Any, join: Callable[[Any, Any], Any] = np.add, neutral: float = 0.0) -> Any:
    """The house's reduction of a vector, in plain NumPy."""
    lanes = 16 if x.dtype == np.float32 else 8
    padded = np.full(-(-max(x.size, 1) // lanes) * lanes, neutral, x.dtype)
    padded[: x.size] = x
    vectors = padded.reshape(-1, lanes)
    stack: list[Any] = []
    for count, at in enumerate(range(0, len(vectors), BLOCK)):
        v = np.full(lanes, neutral, x.dtype)
        for row in vectors[at : at + BLOCK]:
            v = join(v, row)
        while count & 1:
            v = join(stack.pop(), v)
            count >>= 1
        stack.append(v)
    v = stack.pop()
    while stack:
        v = join(stack.pop(), v)
    while lanes > 1:
        lanes //= 2
        v = join(v[:lanes], v[lanes:])
    return v[0]


def numbers(n: int, dtype: str, seed: int = 0) -> Any:
    rng = np.random.default_rng([n, seed])
    return (rng.normal(size=n) * 10.0 ** rng.integers(-3, 3, n)).astype(dtype)


# ---------------------------------------------------------------------------------------------------------- the one shape
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_has_the_shape(dtype: str) -> None:
    for n in LENGTHS + LARGE:
        x = numbers(n, dtype)
        same_bits(tt.sum(x), np.asarray(shape_of_sum(x)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_has_the_shape(dtype: str) -> None:
    for n in LENGTHS:
        x = np.random.default_rng(n).uniform(0.9, 1.1, n).astype(dtype)
        same_bits(tt.prod(x), np.asarray(shape_of_sum(x, np.multiply, 1.0)))


@pytest.mark.parametrize(
    "name,op", [("sum", tt.sum), ("prod", tt.prod), ("amax", tt.amax), ("amin", tt.amin), ("norm", tt.norm)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_and_strides_have_the_bits_of_rows(name: str, op: Any, dtype: str) -> None:
    for n in (1, 2, 15, 16, 17, 33, 511, 512, 513, 1025, 2049, 5000):
        x = np.random.default_rng(n).uniform(0.9, 1.1, n * 37).astype(dtype).reshape(n, 37)
        rows = np.stack([op(np.ascontiguousarray(x[:, j])) for j in range(37)])
        same_bits(op(x, dim=0), rows)
        same_bits(op(np.ascontiguousarray(x.T), dim=1), rows)
        same_bits(op(np.asfortranarray(x), dim=0), rows)
        same_bits(op(x[::-1].copy()[::-1], dim=0), rows)
        same_bits(op(x.reshape(1, n, 37), dim=(0, 1)), rows)
        same_bits(op(np.ascontiguousarray(np.broadcast_to(x, (2, n, 37))), dim=1)[1], rows)


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_no_bit(threads: int, dtype: str) -> None:
    x = numbers(3_000_000, dtype)
    square, wide = x[:1_000_000].reshape(1000, 1000), x.reshape(3, 1_000_000)
    calls: list[Callable[[], Any]] = [
        lambda: tt.sum(x), lambda: tt.amax(x), lambda: tt.norm(x), lambda: tt.sum(square, 0), lambda: tt.sum(square, 1), lambda: tt.sum(wide, 1),
        lambda: tt.var(square, 0), lambda: tt.logsumexp(square, 1), lambda: tt.softmax(square, 0), lambda: tt.mean(square.reshape(100, 10, 1000), (0, 2)),
        lambda: tt.dot(x, x),
    ]  # fmt: skip
    with tt.threads(1):
        one = [c() for c in calls]
    with tt.threads(threads):
        _kernels.seen_threads(True)
        for c, w in zip(calls, one):
            same_bits(c(), w)
        assert _kernels.seen_threads(True) == threads


# ------------------------------------------------------------------------------------------------------------------ errors
def test_ones_are_counted_exactly() -> None:
    """2^25 of them: a running sum in float32 would stop at 2^24."""
    ones = np.broadcast_to(np.float32(1), (2**25,))
    assert tt.sum(np.ascontiguousarray(ones)) == 2**25
    assert tt.mean(np.ascontiguousarray(ones)) == 1


def test_the_error_grows_with_the_logarithm() -> None:
    for n in (10**4, 10**6):
        for x in (np.full(n, 0.1, np.float32), numbers(n, "float32"), np.linspace(-1, 1, n, dtype=np.float32)):
            exact = math.fsum(x.astype(np.float64))
            steps = BLOCK + math.log2(n / (16 * BLOCK)) + 5
            assert abs(float(tt.sum(x)) - exact) <= steps * 2**-24 * float(np.abs(x.astype(np.float64)).sum())


def test_var_far_from_zero() -> None:
    """Two passes: the mean is taken off before squaring."""
    x = np.random.default_rng(0).normal(size=1000) + 1e8
    np.testing.assert_allclose(tt.var(x), np.var(x, ddof=1), rtol=1e-6)
    assert tt.var(np.full(5, 1e8)) == 0
    assert tt.std(np.array([3.0, 5.0])) == math.sqrt(2)


def test_norm_and_logsumexp_at_the_edges() -> None:
    assert tt.logsumexp(np.array([1000.0, 1000.0])) == pytest.approx(1000 + math.log(2))
    assert tt.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    assert tt.logsumexp(np.array([np.inf, 1.0])) == np.inf
    assert np.isnan(tt.logsumexp(np.array([np.nan, 1.0])))
    assert tt.logsumexp(np.zeros((2, 0)), 1).tolist() == [-np.inf] * 2
    x = tt.tensor([-np.inf, -np.inf], requires_grad=True)
    assert np.isnan(tt.softmax(x).tolist()).all()
    assert tt.norm(np.zeros(0)) == 0


# ---------------------------------------------------------------------------------------------------------- prod and zeros
@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("how", [{}, {"dim": 1}, {"dim": (0, 2), "keepdim": True}])
def test_prod_with_zeros(zeros: int, how: dict[str, Any]) -> None:
    a = np.random.default_rng(zeros).uniform(0.5, 1.5, (2, 5, 3))
    a.reshape(-1)[[4, 7, 11][:zeros]] = 0
    x = tt.tensor(a, requires_grad=True)
    y = tt.prod(x, **how)
    up = np.random.default_rng(9).normal(size=y.shape)
    y.backward(tt.tensor(up))
    want = np.zeros(a.shape)
    axes = how.get("dim")
    for at in np.ndindex(*a.shape):  # the product is linear in each element
        low, high = a.copy(), a.copy()
        low[at], high[at] = 0, 1
        want[at] = (
            up * (np.prod(high, axis=axes, keepdims=y.ndim == 3) - np.prod(low, axis=axes, keepdims=y.ndim == 3))
        ).sum()
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-12, atol=1e-14)


def test_prod_with_zeros_twice() -> None:
    x = tt.tensor([0.0, 2.0, 3.0], dtype=tt.float64, requires_grad=True)
    (g,) = tt.autograd.grad(tt.prod(x), x, create_graph=True)
    assert g.tolist() == [6, 0, 0]
    (h,) = tt.autograd.grad(g, x, tt.tensor([1.0, 1.0, 1.0], dtype=tt.float64))
    assert h.tolist() == [5, 3, 2]


# -------------------------------------------------------------------------------------------------------------------- ties
def test_amax_and_max_share_among_equals() -> None:
    for op in (tt.amax, tt.max, lambda x: -tt.amin(-x), lambda x: -tt.min(-x)):
        x = tt.tensor([3.0, 1.0, 3.0, 3.0, 2.0], requires_grad=True)
        op(x).backward(tt.tensor(6.0))
        assert x.grad.tolist() == [2, 0, 2, 2, 0]


def test_amax_shares_along_dims() -> None:
    x = tt.tensor([[1.0, 2.0, 2.0], [5.0, 0.0, 5.0]], requires_grad=True)
    tt.amax(x, 1).backward(tt.tensor([2.0, 4.0]))
    assert x.grad.tolist() == [[0, 1, 1], [2, 0, 2]]
    x.grad = None
    tt.amax(x, (0, 1)).backward()
    assert x.grad.tolist() == [[0, 0, 0], [0.5, 0, 0.5]]


def test_max_along_dim_gives_all_to_the_returned_index() -> None:
    for op, sign in ((tt.max, 1), (tt.min, -1)):
        x = tt.tensor([[1.0, 2.0, 2.0], [5.0, 0.0, 5.0]])
        x = (x * sign).requires_grad_()
        pair = op(x, 1)
        assert pair.indices.tolist() == [1, 0]
        assert pair.indices.dtype == tt.int64
        values, _ = pair
        (values * tt.tensor([10.0, 20.0])).sum().backward()
        assert x.grad.tolist() == [[0, 10, 0], [20, 0, 0]]


def test_nan_wins() -> None:
    for n in (3, 40, 3000):
        for place in (0, n // 2, n - 1):
            x = np.random.default_rng(0).normal(size=n).astype("float32")
            x[place] = np.nan
            for op in (tt.amax, tt.amin, tt.sum, tt.prod, tt.mean, tt.var, tt.norm, tt.logsumexp):
                assert np.isnan(op(x))
                assert np.isnan(op(np.stack([x, x], 1), dim=0)).all()
            values, index = tt.max(x, 0)
            assert np.isnan(values)
            assert index == place
            assert tt.argmin(x) == place


def test_infinities() -> None:
    x = np.array([1.0, np.inf, -np.inf], np.float32)
    assert tt.amax(x) == np.inf
    assert tt.amin(x) == -np.inf
    assert np.isnan(tt.sum(x))
    assert tt.amax(np.full(20, -np.inf)) == -np.inf


# -------------------------------------------------------------------------------------------------------------------- dims
@pytest.mark.parametrize("dim", [None, 0, 1, 2, -1, (0,), (0, 1), (1, 2), (0, 2), (2, 0), (0, 1, 2), (-1, -3), ()])
@pytest.mark.parametrize("keepdim", [False, True])
def test_dims(dim: Any, keepdim: bool) -> None:
    a = np.random.default_rng(0).normal(size=(3, 4, 5))
    axis = None if dim == () else dim  # no dim named: all of them, as PyTorch's
    for op, function in ((tt.sum, np.sum), (tt.mean, np.mean), (tt.amax, np.max), (tt.prod, np.prod), (tt.any, np.any)):
        got, want = op(a, dim, keepdim), function(a, axis=axis, keepdims=keepdim)
        assert got.shape == np.shape(want)
        np.testing.assert_allclose(got, want, rtol=1e-12)
        method = getattr(tt.tensor(a), op.__name__)(dim=dim, keepdim=keepdim)
        same_bits(method.numpy(), got)


def test_dims_that_are_wrong() -> None:
    x = tt.ones(2, 3)
    for op in (tt.sum, tt.mean, tt.amax, tt.prod, tt.var, tt.norm, tt.logsumexp, tt.all):
        with pytest.raises(IndexError, match="dim 2 is out of range"):
            op(x, dim=2)
        with pytest.raises(ValueError, match="twice"):
            op(x, dim=(0, -2))
    for op in (tt.max, tt.min, tt.argmax, tt.argmin):
        with pytest.raises(IndexError, match="out of range"):
            op(x, 5)


def test_over_nothing() -> None:
    x = np.zeros((2, 0, 3), np.float32)
    assert tt.sum(x, 1).tolist() == [[0] * 3] * 2
    assert tt.prod(x, 1).tolist() == [[1] * 3] * 2
    assert np.isnan(tt.mean(x, 1)).all()
    assert tt.sum(x, 0).shape == (0, 3)
    assert tt.amax(x, 0).shape == (0, 3)
    for op in (tt.amax, tt.amin):
        for how in ({}, {"dim": 1}):
            with pytest.raises(ValueError, match=r"cannot reduce over no elements: shape \(2, 0, 3\)"):
                op(x, **how)
    with pytest.raises(ValueError, match="no elements"):
        tt.max(x, 1)
    for op in (tt.argmax, tt.argmin):
        assert op(x, 0).shape == (0, 3)
        for how in ({}, {"dim": 1}):
            with pytest.raises(ValueError, match=rf"{op.__name__}: cannot reduce over no elements: shape \(2, 0, 3\)"):
                op(x, **how)
    assert np.isnan(tt.var(np.ones(1)))
    assert tt.all(x)
    assert not tt.any(x)


def test_zero_dimensions() -> None:
    x = tt.tensor(3.0, requires_grad=True)
    for op in (tt.sum, tt.mean, tt.amax, tt.prod, tt.norm, tt.logsumexp):
        for dim in (None, 0, -1):
            assert op(x, dim=dim).item() == 3
    values, index = tt.max(x, 0)
    assert (values.item(), index.item()) == (3, 0)
    tt.sum(x, 0).backward()
    assert x.grad.item() == 1


def test_integers_and_bools() -> None:
    i = np.arange(6).reshape(2, 3)
    assert tt.sum(i).dtype == np.int64
    assert tt.sum(i > 2).item() == 3
    assert tt.sum(np.full(300, 255, np.uint8)).item() == 76500
    assert tt.prod(i + 1, 1).tolist() == [6, 120]
    assert tt.amax(i, 0).tolist() == [3, 4, 5]
    assert tt.max(tt.tensor(i), 1).values.tolist() == [2, 5]
    assert tt.sum(i, dtype=tt.float32).dtype == tt.float32
    for op in (tt.mean, tt.var, tt.std):
        with pytest.raises(TypeError, match="expected a float tensor, got int64"):
            op(i)
    assert tt.mean(i, dtype=tt.float64) == 2.5


def test_corrections() -> None:
    a = np.random.default_rng(0).normal(size=(4, 5))
    for correction in (0, 1, 2, 1.5):
        np.testing.assert_allclose(tt.var(a, 1, correction=correction), np.var(a, 1, ddof=correction), rtol=1e-13)
    np.testing.assert_allclose(tt.var(a, unbiased=False), np.var(a))
    np.testing.assert_allclose(tt.std(a, unbiased=True), np.std(a, ddof=1))
    with pytest.raises(ValueError, match="not both"):
        tt.var(a, correction=2, unbiased=True)


def test_gradients_where_there_is_no_direction() -> None:
    for call in (tt.std, tt.norm, lambda x: tt.norm(x, 3), lambda x: tt.norm(x, 1), lambda x: tt.norm(x, math.inf)):
        x = tt.zeros(3, dtype=tt.float64, requires_grad=True)
        call(x).backward()
        assert x.grad.tolist() == [0, 0, 0]


def test_norm_of_nonsense() -> None:
    with pytest.raises(ValueError, match="norm: p must be"):
        tt.norm(tt.ones(3), "nuc")
    assert tt.norm(tt.full((4,), 3.0), "fro").item() == 6
