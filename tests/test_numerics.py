"""Reductions of adversarial data, data far from zero, and infinities in losses and their gradients. The long form is
tests/numerics.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numerics
import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F

INF, NAN = math.inf, math.nan
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


# --------------------------------------------------------------------------------------------------------------- reductions
@each_dtype
def test_errors_of_reductions_grow_with_the_logarithm(dtype: str) -> None:
    found = numerics.Found()
    for n in (2, 17, 1000, 4097):
        numerics.reduce_all(found, n, np.dtype(dtype).type)
    assert {name for name, _ in found.worst} == {"sum", "mean", "var", "std", "norm", "logsumexp", "dot", "matmul"}
    assert found.bad() == {}


def test_a_running_sum_is_out_of_the_bound() -> None:
    """That is, the bound can be exceeded."""
    n = 65_537
    for name in ("tenths", "one large, many small"):
        x = numerics.adversaries(n, np.float32)[name]
        exact = [float(v) for v in x]
        bound = numerics.steps(n, np.float32) * 2.0**-24 * math.fsum(abs(v) for v in exact)
        assert abs(float(np.cumsum(x)[-1]) - math.fsum(exact)) > bound, name


def test_what_is_out_of_its_bound_is_found() -> None:
    found = numerics.Found()
    found.note("sum", "here", tt.tensor([1.0, NAN]), 1.0, 1.0)
    assert list(found.bad()) == [("sum", "float32")]
    found = numerics.Found()
    found.note("sum", "here", tt.tensor([1.0, 1.5]), 1.0, 0.4)
    assert list(found.bad()) == [("sum", "float32")]


def test_ones_beyond_the_last_whole_float() -> None:
    n = 2**24 + 4
    x = tt.ones(1).expand(n)
    assert x.sum().item() == n
    assert x.mean().item() == 1
    assert x.reshape(4, -1).sum(0).sum().item() == n
    assert numerics.ones(4096) == []


# ------------------------------------------------------------------------------------------------------------- far from zero
def far(n: int, dtype: str, spread: float) -> tuple[Any, Any]:
    """Numbers around 1e8 and, in double, their distances from it."""
    x = (1e8 + np.random.default_rng(n).normal(0, spread, n)).astype(dtype)
    return x, x.astype(np.float64) - 1e8


@pytest.mark.parametrize(("dtype", "spread"), [("float32", 20), ("float32", 1e4), ("float64", 1e-3), ("float64", 1)])
@pytest.mark.parametrize("n", [2, 100, 1000, 4096, 50_000])
def test_var_and_std_of_data_around_1e8(n: int, dtype: str, spread: float) -> None:
    """In float32 the numbers there are 8 apart: a rounded mean alone made var of 1000 of them 21 % too large."""
    x, d = far(n, dtype, spread)
    rtol = 3e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(tt.var(x), d.var(ddof=1), rtol=rtol)
    np.testing.assert_allclose(tt.std(x), d.std(ddof=1), rtol=rtol)
    np.testing.assert_allclose(tt.var(np.stack([x, x]), 1), [d.var(ddof=1)] * 2, rtol=rtol)
    chain = n * float(np.finfo(dtype).eps)  # cov is a matmul
    np.testing.assert_allclose(tt.cov(np.stack([x, -x])), np.cov(np.stack([d, -d])), rtol=max(rtol, chain))
    t = tt.tensor(x, requires_grad=True)
    tt.var(t).backward()
    want = 2 * (d - d.mean()) / (n - 1)
    np.testing.assert_allclose(t.grad.numpy(), want, rtol=rtol, atol=rtol * np.abs(want).max())


@each_dtype
def test_equal_numbers_far_from_zero_vary_by_nothing(dtype: str) -> None:
    for n in (3, 1000, 12_345):
        for value in (1e8, -12345.678, 1e30, 0.1):
            t = tt.full((n,), value, dtype=dtype).requires_grad_()
            assert tt.var(t).item() == 0, (n, value)
            tt.var(t).backward()
            assert not t.grad.numpy().any()
            same = tt.full((2, n), value, dtype=dtype)
            assert not tt.cov(same).numpy().any()
            assert not F.layer_norm(same, n).numpy().any()
            assert not F.batch_norm(same.T, None, None, None, None, True).numpy().any()


NORMS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "layer": (lambda x: F.layer_norm(x, x.shape[1:]), (1, 2)),
    "batch": (lambda x: F.batch_norm(x, None, None, None, None, True), (0, 2)),
    "group": (lambda x: F.group_norm(x, 1), (1, 2)),
    "instance": (lambda x: F.instance_norm(x), (2,)),
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize(("dtype", "spread"), [("float32", 20), ("float64", 1e-3)])
def test_normalized_data_around_1e8(name: str, dtype: str, spread: float) -> None:
    """Value and gradient as exact as those of the same data around 0."""
    x, d = (a.reshape(16, 3, 65) for a in far(16 * 3 * 65, dtype, spread))
    function, axes = NORMS[name]
    deviation = np.sqrt(d.var(axes, keepdims=True) + 1e-5)
    unit = (d - d.mean(axes, keepdims=True)) / deviation
    t = tt.tensor(x, requires_grad=True)
    y = function(t)
    atol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(y.detach().numpy(), unit, rtol=0, atol=atol)
    up = np.random.default_rng(1).normal(size=x.shape)
    y.backward(tt.tensor(up.astype(dtype)))
    want = (up - up.mean(axes, keepdims=True) - unit * (up * unit).mean(axes, keepdims=True)) / deviation
    np.testing.assert_allclose(t.grad.numpy(), want, rtol=0, atol=atol * np.abs(want).max())


def test_running_statistics_of_data_around_1e8() -> None:
    x, d = (a.reshape(1000, 1) for a in far(1000, "float32", 20))
    m, v = tt.zeros(1), tt.ones(1)
    F.batch_norm(tt.tensor(x), m, v, None, None, True, momentum=1.0)
    assert abs(m.item() - (1e8 + d.mean())) <= 4  # half of the distance between floats
    np.testing.assert_allclose(v.numpy(), d.var(ddof=1), rtol=3e-6)


def test_a_row_far_from_zero_changes_no_bit_of_the_variance_of_others() -> None:
    near = tt.randn(7, 40).requires_grad_()
    rows = tt.cat([near, tt.tensor(far(40, "float32", 20)[0]).reshape(1, 40)])
    alone, together = tt.var(near, 1), tt.var(rows, 1)[:7]
    assert together.detach().numpy().tobytes() == alone.detach().numpy().tobytes()
    found = [tt.autograd.grad(y.sum(), near)[0].numpy().tobytes() for y in (alone, together)]
    assert found[0] == found[1]


def test_a_group_far_from_zero_changes_no_bit_of_its_neighbours() -> None:
    near = tt.randn(7, 40)
    alone = F.layer_norm(near, 40).numpy()
    far_too = tt.cat([near, tt.tensor(far(40, "float32", 20)[0]).reshape(1, 40)])
    assert F.layer_norm(far_too, 40)[:7].numpy().tobytes() == alone.tobytes()


# ----------------------------------------------------------------------------------------------------- infinities and 1e30
THIRD, LOG3 = 1 / 3, math.log(3)
SIG = 1 / (1 + math.exp(-1))  # softmax of 0, 1
# logits, softmax, log_softmax, logsumexp
ROWS: dict[str, tuple[list[float], list[float], list[float], float]] = {
    "large": ([1e30, -1e30, 0], [1, 0, 0], [0, -2e30, -1e30], 1e30),
    "all large": ([1e30] * 3, [THIRD] * 3, [-LOG3] * 3, 1e30),
    "all very negative": ([-1e30] * 3, [THIRD] * 3, [-LOG3] * 3, -1e30),
    "one masked": ([-INF, 0, 1], [0, 1 - SIG, SIG], [-INF, -math.log1p(math.e), -math.log1p(1 / math.e)], math.log1p(math.e)),
    "all but one masked": ([-INF, -INF, -1e30], [0, 0, 1], [-INF, -INF, 0], -1e30),
    "all masked": ([-INF] * 3, [NAN] * 3, [NAN] * 3, -INF),
    "positive infinity": ([INF, 0, -INF], [NAN] * 3, [NAN] * 3, INF),
    "two infinities": ([INF, 0, INF], [NAN] * 3, [NAN] * 3, INF),
    "NaN beside infinity": ([NAN, INF, 1], [NAN] * 3, [NAN] * 3, NAN),
    "NaN": ([NAN, 0, 1], [NAN] * 3, [NAN] * 3, NAN),
}  # fmt: skip
# logsumexp's gradient where it is not softmax
ENDS = {"all masked": [0.0, 0.0, 0.0], "positive infinity": [1.0, 0.0, 0.0], "two infinities": [0.5, 0.0, 0.5]}


@pytest.mark.parametrize("name", ROWS)
@each_dtype
def test_softmax_of_large_and_infinite_logits(name: str, dtype: str) -> None:
    """Value and gradient; the row before and behind it is as if it were alone."""
    x, p, logs, whole = ROWS[name]
    usual, up = [0.5, -1.0, 2.0], np.array([1.0, 2.0, -1.0])
    rtol = 1e-6 if dtype == "float32" else 1e-14
    for function, want, slope in (
        (tt.softmax, p, np.array(p) * (up - np.dot(up, p))),
        (tt.log_softmax, logs, up - np.array(p) * up.sum()),
        (tt.logsumexp, whole, np.array(ENDS.get(name, p))),
    ):
        rows = tt.tensor([usual, x, usual], dtype=dtype, requires_grad=True)
        alone = tt.tensor([usual], dtype=dtype, requires_grad=True)
        y, z = function(rows, 1), function(alone, 1)
        np.testing.assert_allclose(y[1].detach().numpy(), want, rtol=rtol)
        g = tt.ones(3) if function is tt.logsumexp else tt.tensor(np.stack([up] * 3))
        y.backward(g.to(y.dtype))
        z.backward(g[:1].to(y.dtype))
        got = rows.grad.numpy()
        np.testing.assert_allclose(got[1], slope, rtol=rtol, atol=rtol)
        for i in (0, 2):
            assert y[i].detach().numpy().tobytes() == z[0].detach().numpy().tobytes()
            assert got[i].tobytes() == alone.grad.numpy()[0].tobytes()


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("target", [0, 1, 2])
@each_dtype
def test_cross_entropy_of_large_and_infinite_logits(name: str, target: int, dtype: str) -> None:
    x, p, logs, _ = ROWS[name]
    rtol = 1e-6 if dtype == "float32" else 1e-14
    t = tt.tensor([x], dtype=dtype, requires_grad=True)
    loss = F.cross_entropy(t, tt.tensor([target]))
    np.testing.assert_allclose(loss.item(), -logs[target], rtol=rtol)
    loss.backward()
    np.testing.assert_allclose(t.grad.numpy()[0], np.array(p) - (np.arange(3) == target), rtol=rtol, atol=rtol)


# function, and value and slope at each point
POINTS = [1e30, -1e30, 3e38, -3e38, INF, -INF, 0.0]
LOG2 = math.log(2)
SCALARS: dict[str, tuple[Callable[[Any], Any], list[float], list[float]]] = {
    "softplus": (F.softplus, [1e30, 0, 3e38, 0, INF, 0, LOG2], [1, 0, 1, 0, 1, 0, 0.5]),
    "logsigmoid": (F.logsigmoid, [0, -1e30, 0, -3e38, 0, -INF, -LOG2], [0, 1, 0, 1, 0, 1, 0.5]),
    "sigmoid": (tt.sigmoid, [1, 0, 1, 0, 1, 0, 0.5], [0, 0, 0, 0, 0, 0, 0.25]),
    "silu": (F.silu, [1e30, 0, 3e38, 0, INF, 0, 0], [1, 0, 1, 0, 1, 0, 0.5]),
    "gelu": (F.gelu, [1e30, 0, 3e38, 0, INF, 0, 0], [1, 0, 1, 0, 1, 0, 0.5]),
    "gelu, tanh": (lambda x: F.gelu(x, "tanh"), [1e30, 0, 3e38, 0, INF, 0, 0], [1, 0, 1, 0, 1, 0, 0.5]),
    # inf times 0 at an infinite logit of the right sign is NaN, as in PyTorch
    "logits, target 0": (
        lambda x: F.binary_cross_entropy_with_logits(x, tt.zeros_like(x), reduction="none"),
        [1e30, 0, 3e38, 0, INF, NAN, LOG2], [1, 0, 1, 0, 1, 0, 0.5],
    ),
    "logits, target 1": (
        lambda x: F.binary_cross_entropy_with_logits(x, tt.ones_like(x), reduction="none"),
        [0, 1e30, 0, 3e38, NAN, INF, LOG2], [0, -1, 0, -1, 0, -1, -0.5],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALARS)
@each_dtype
def test_functions_of_large_and_infinite_numbers(name: str, dtype: str) -> None:
    function, values, slopes = SCALARS[name]
    x = tt.tensor(POINTS, dtype=dtype, requires_grad=True)
    y = function(x)
    np.testing.assert_allclose(y.detach().numpy(), values, rtol=1e-6 if dtype == "float32" else 1e-14)
    y.backward(tt.ones_like(x))
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-6)


@pytest.mark.parametrize(("name", "least"), [("gelu", -14.1), ("silu", -103.2)])
def test_gates_keep_their_accuracy_among_subnormals(name: str, least: float) -> None:
    """x times a subnormal factor had its rounding error multiplied by x: up to 7 and 52 places."""
    x = np.linspace(least, least * 0.85, 5001, dtype=np.float32)
    wide = np.asarray(getattr(F, name)(x.astype(np.float64)))
    place = np.maximum(np.spacing(np.abs(wide).astype(np.float32)).astype(np.float64), 2.0**-149)
    assert (np.abs(np.asarray(getattr(F, name)(x)) - wide) <= 2 * place).all()
    zero = np.asarray(getattr(F, name)(np.array([-0.0, 0.0, -INF], np.float32)))
    assert np.signbit(zero).tolist() == [True, False, True]
    assert not zero.any()
