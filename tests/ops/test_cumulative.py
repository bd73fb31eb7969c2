"""Running sums, products and extremes: zeros, NaN, ties, dtypes; what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from check import same_bits

import tinytensor as tt
from tinytensor import autograd


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_running_sum_is_one_chain(dtype: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 1000)).astype(dtype)
    chain = np.empty_like(x)
    for row, out in zip(x, chain):
        total = np.dtype(dtype).type(0)
        for i, v in enumerate(row):
            out[i] = total = total + v
    same_bits(tt.cumsum(x, 1), chain)
    same_bits(tt.cumsum(tt.tensor(x.T), 0).numpy(), np.ascontiguousarray(chain.T))


@pytest.mark.parametrize("f", [tt.cumsum, tt.cumprod])
def test_integers_stay_and_bools_count(f: Callable[..., Any]) -> None:
    assert f(tt.tensor([1, 2, 3]), 0).dtype == tt.int64
    assert f(tt.tensor([True, True]), 0).tolist() == ([1, 2] if f is tt.cumsum else [1, 1])
    assert f(tt.tensor(np.array([200, 100], np.uint8)), 0).tolist() == ([200, 300] if f is tt.cumsum else [200, 20000])
    assert f(tt.tensor([1, 2]), 0, dtype=tt.float64).dtype == tt.float64
    assert f(tt.tensor([1.5]), 0, dtype=tt.int64).tolist() == [1]
    with pytest.raises(TypeError, match="complex"):
        f(tt.tensor([1.0]), 0, dtype=np.complex64)


@pytest.mark.parametrize("f", [tt.cumsum, tt.cumprod, tt.logcumsumexp, tt.cummax, tt.cummin, tt.diff])
def test_dims(f: Callable[..., Any]) -> None:
    with pytest.raises(IndexError, match=rf"{f.__name__}: dim 2 is out of range for a tensor of 2 dimensions"):
        f(tt.ones(2, 3), dim=2)
    if f is not tt.diff:
        r = f(tt.tensor(2.5), -1)
        assert (r[0] if isinstance(r, tuple) else r).item() == 2.5
    assert (f(tt.ones(0, 3), dim=0)[0] if f in (tt.cummax, tt.cummin) else f(tt.ones(0, 3), dim=0)).shape == (0, 3)


@pytest.mark.parametrize(
    "data", [[2.0, 0.0, 3.0, 4.0], [0.0, 5.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0], [1.5, -2.0, 3.0, 0.0]]
)
def test_gradient_of_running_products_with_zeros(data: list[float]) -> None:
    """Against the definition, of both orders: products of all the others."""
    n = len(data)
    up = np.array([0.5, -1.0, 2.0, 0.25])
    x = tt.tensor(data, dtype=tt.float64, requires_grad=True)
    (g,) = autograd.grad(tt.cumprod(x, 0), x, tt.tensor(up), create_graph=True)
    others = lambda k, *out: math.prod(data[j] for j in range(k + 1) if j not in out)  # noqa: E731
    want = [sum(up[k] * others(k, i) for k in range(i, n)) for i in range(n)]
    np.testing.assert_allclose(g.detach().numpy(), want, rtol=1e-14)
    for i in range(n):
        (h,) = autograd.grad(g[i], x, retain_graph=True)
        second = [0.0 if j == i else sum(up[k] * others(k, i, j) for k in range(max(i, j), n)) for j in range(n)]
        np.testing.assert_allclose(h.numpy(), second, rtol=1e-14)


def test_running_logsumexp_of_infinities_and_large_numbers() -> None:
    x = tt.tensor([-math.inf, -math.inf, 0.0, -math.inf, 1000.0], requires_grad=True)
    y = tt.logcumsumexp(x, 0)
    assert y.tolist() == [-math.inf, -math.inf, 0, 0, 1000]
    y[2:].sum().backward()
    assert x.grad.tolist() == [0, 0, 2, 0, 1]
    assert tt.logcumsumexp(tt.tensor([0.0, math.inf, 1.0]), 0).tolist() == [0, math.inf, math.inf]
    assert np.isnan(tt.logcumsumexp(tt.tensor([0.0, math.nan, 1.0]), 0).numpy()).tolist() == [False, True, True]
    assert tt.logcumsumexp(tt.tensor([0, 0]), 0).tolist() == pytest.approx([0, math.log(2)])


def test_running_extremes_name_the_last_of_equals_and_keep_nan() -> None:
    x = tt.tensor([1.0, 3.0, 3.0, 2.0, math.nan, 5.0, math.nan, 0.0])
    values, indices = tt.cummax(x, 0)
    assert values.tolist()[:4] == [1, 3, 3, 3]
    assert np.isnan(values.numpy()[4:]).all()
    assert indices.tolist() == [0, 1, 2, 2, 4, 4, 6, 6]
    values, indices = tt.cummin(tt.tensor([[2, 1, 1, 4, 0]]), 1)
    assert values.tolist() == [[2, 1, 1, 1, 0]]
    assert indices.tolist() == [[0, 1, 2, 2, 4]]
    y = tt.tensor([1.0, 3.0, 3.0, 2.0], requires_grad=True)
    tt.cummax(y, 0).values.sum().backward()
    assert y.grad.tolist() == [1, 1, 2, 0]


def test_differences() -> None:
    x = tt.tensor([1.0, 4.0, 9.0, 16.0])
    assert tt.diff(x, 2).tolist() == [2, 2]
    assert tt.diff(x, 0) is x
    assert tt.diff(x, 9).shape == (0,)
    assert tt.diff(x, prepend=tt.tensor([0.0]), append=tt.tensor([25.0, 36.0])).tolist() == [1, 3, 5, 7, 9, 11]
    assert tt.diff(tt.tensor([True, False, False])).tolist() == [True, False]
    assert tt.diff(tt.tensor([5, 3])).tolist() == [-2]
    with pytest.raises(ValueError, match="n >= 0 and at least one dimension, got n=-1"):
        tt.diff(x, -1)
    with pytest.raises(ValueError, match="at least one dimension"):
        tt.diff(tt.tensor(1.0))


def test_integrals() -> None:
    y, x = tt.tensor([[0.0, 1.0, 2.0]]), tt.tensor([0.0, 1.0, 3.0])
    assert tt.trapezoid(y).tolist() == [2]
    assert tt.trapezoid(y, x).tolist() == [3.5]
    assert tt.trapezoid(y, dx=0.5).tolist() == [1]
    assert tt.cumulative_trapezoid(y, x).tolist() == [[0.5, 3.5]]
    assert tt.trapezoid(tt.ones(3, 1)).tolist() == [0, 0, 0]
    for f, name in ((tt.trapezoid, "trapezoid"), (tt.cumulative_trapezoid, "cumulative_trapezoid")):
        with pytest.raises(ValueError, match=f"^{name}: give x or dx, not both"):
            f(y, x, dx=1.0)
        with pytest.raises(ValueError, match="x has 3 points, but y has 1 along dim 0"):
            f(y, x, dim=0)
        with pytest.raises(ValueError, match="at least one dimension"):
            f(tt.tensor(1.0))
