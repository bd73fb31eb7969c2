"""Activations at their kinks and at infinity, what they refuse, and what is random about them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import autograd

INF = math.inf
both = pytest.mark.parametrize("dtype", ["float32", "float64"])

# function, and for each x its value and its slope: at the kinks and at infinity
EDGES: dict[str, tuple[Callable[[Any], Any], dict[float, tuple[float, float]]]] = {
    "hardtanh": (F.hardtanh, {-1: (-1, 0), 1: (1, 0), 0: (0, 1), INF: (1, 0), -INF: (-1, 0)}),
    "hardtanh above": (lambda x: F.hardtanh(x, 0.5, INF), {0.5: (0.5, 0), 0.75: (0.75, 1), -INF: (0.5, 0)}),
    "relu6": (F.relu6, {0: (0, 0), 6: (6, 0), 5: (5, 1), INF: (6, 0), -INF: (0, 0)}),
    "hardsigmoid": (F.hardsigmoid, {-3: (0, 0), 3: (1, 0), 0: (0.5, 1 / 6), INF: (1, 0), -INF: (0, 0)}),
    "hardswish": (F.hardswish, {-3: (0, 0), 3: (3, 1), 0: (0, 0.5), INF: (INF, 1), -INF: (0, 0), -9: (0, 0)}),
    "celu": (F.celu, {0: (0, 1), INF: (INF, 1), -INF: (-1, 0)}),
    "mish": (F.mish, {0: (0, math.tanh(math.log(2))), INF: (INF, 1), -INF: (0, 0), 1e30: (1e30, 1), -1e30: (0, 0)}),
    "softsign": (F.softsign, {0: (0, 1), 1e30: (1, 0), -1e30: (-1, 0)}),
    "tanhshrink": (F.tanhshrink, {0: (0, 0), INF: (INF, 1), -INF: (-INF, 1)}),
    "softshrink": (F.softshrink, {0.5: (0, 0), -0.5: (0, 0), 0: (0, 0), 2: (1.5, 1), INF: (INF, 1), -INF: (-INF, 1)}),
    "softshrink by 0": (lambda x: F.softshrink(x, 0.0), {0: (0, 0), 2: (2, 1)}),
    "hardshrink": (F.hardshrink, {0.5: (0, 0), -0.5: (0, 0), 2: (2, 1), INF: (INF, 1), -INF: (-INF, 1)}),
    "threshold": (lambda x: F.threshold(x, 0.5, 7.0), {0.5: (7, 0), 2: (2, 1), INF: (INF, 1), -INF: (7, 0)}),
    "logsigmoid": (F.logsigmoid, {-INF: (-INF, 1), INF: (0, 0), -200: (-200, 1), 0: (-math.log(2), 0.5)}),
    "rrelu": (lambda x: F.rrelu(x, 0.25, 0.75), {0: (0, 0.5), INF: (INF, 1), -INF: (-INF, 0.5)}),
    "glu of infinity": (lambda x: F.glu(tt.stack([tt.ones_like(x), x]), 0)[0], {-INF: (0, 0), INF: (1, 0)}),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
@both
def test_kinks_and_infinities(name: str, dtype: str) -> None:
    f, points = EDGES[name]
    x = tt.tensor(np.array(list(points), dtype), requires_grad=True)
    y = f(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.dtype(dtype)
    values, slopes = zip(*points.values())
    np.testing.assert_allclose(y.detach().numpy(), values, rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-6, atol=1e-38)


@pytest.mark.parametrize("f", [v[0] for v in EDGES.values()], ids=EDGES)
@both
def test_nan_goes_through(f: Callable[[Any], Any], dtype: str) -> None:
    assert np.isnan(f(tt.tensor(np.array([math.nan], dtype))).numpy()).all()


def test_slopes_end_just_inside_the_bounds() -> None:
    near = np.nextafter(np.array([-1.0, 1.0], np.float32), np.float32(0))
    x = tt.tensor(near, requires_grad=True)
    F.hardtanh(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


SIMPLE = (F.hardtanh, F.relu6, F.hardsigmoid, F.hardswish, F.celu, F.mish, F.softsign, F.tanhshrink, F.softshrink, F.hardshrink, F.logsigmoid, F.rrelu, F.glu, F.softmin)  # fmt: skip


@pytest.mark.parametrize("f", SIMPLE, ids=lambda f: f.__name__)
def test_integers_become_floats_and_complex_numbers_are_refused(f: Callable[[Any], Any]) -> None:
    whole = tt.tensor([-4, 0, 1, 5])
    np.testing.assert_array_equal(f(whole).numpy(), f(whole.float()).numpy())
    assert f(whole).dtype == tt.float32
    with pytest.raises(TypeError):
        f(np.array([1j, 2j]))


def test_threshold_keeps_integers() -> None:
    assert F.threshold(tt.tensor([-3, 0, 9]), 1, 2).tolist() == [2, 2, 9]
    assert F.threshold(tt.tensor([-3, 0, 9]), 1, 2).dtype == tt.int64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.hardtanh(x, 2.0, 1.0), "hardtanh: min_val 2.0 must not be greater than max_val 1.0"),
        (lambda x: F.celu(x, 0.0), "celu: alpha must not be 0"),
        (lambda x: F.softshrink(x, -1.0), "softshrink: lambd .* got -1.0"),
        (lambda x: F.softshrink(x, INF), "softshrink: lambd .* got inf"),
        (lambda x: F.rrelu(x, 0.5, 0.25), "rrelu: lower 0.5 must not be greater than upper 0.25"),
        (F.glu, r"glu: dim -1 of shape \(2, 3\) must be even"),
        (lambda x: tt.maxout(x, 2), r"maxout: dim 1 of shape \(2, 3\) cannot be divided into pieces of 2"),
        (lambda x: tt.maxout(x, 0), "maxout: .* pieces of 0"),
        (lambda x: F.prelu(x, tt.ones(2)), r"prelu: expected a weight of shape \(1,\) or \(3,\).*got \(2,\)"),
        (lambda x: F.prelu(x, tt.ones(1, 1)), r"prelu: .*got \(1, 1\)"),
        (lambda x: F.prelu(x[0], tt.ones(3)), r"prelu: expected a weight of shape \(1,\) or \(1,\)"),
        (lambda x: F.gumbel_softmax(x, 0.0), "gumbel_softmax: tau must be positive, got 0.0"),
        (F.dropout2d, r"dropout2d: expected an input of shape \(N, C, H, W\), got \(2, 3\)"),
        (lambda x: F.dropout1d(x[0]), r"dropout1d: expected an input of shape \(N, C, L\) or \(C, L\), got \(3,\)"),
        (lambda x: F.dropout1d(x, 1.5), "dropout1d: p must be between 0 and 1, got 1.5"),
        (lambda x: F.alpha_dropout(x, -0.1), "alpha_dropout: p must be between 0 and 1, got -0.1"),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(tt.ones(2, 3))


@pytest.mark.parametrize("f", [F.glu, lambda x, d: tt.maxout(x, 1, d)])
def test_a_dim_out_of_range(f: Callable[..., Any]) -> None:
    with pytest.raises(IndexError, match="dim 2 is out of range for 2 dimensions"):
        f(tt.ones(2, 2), 2)
    with pytest.raises(IndexError, match="out of range"):
        f(tt.tensor(1.0), 0)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.rrelu(x, training=True),
        F.gumbel_softmax,
        F.dropout1d,
        lambda x: F.alpha_dropout(x, training=True),
    ],
)
def test_noise_is_for_floats(f: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="expected a float tensor, got int64"):
        f(tt.tensor([[1, 2]]))


def test_infinity_leaves_the_slope_of_prelu_alone() -> None:
    x, w = tt.tensor([INF, -2.0]), tt.tensor([0.5], requires_grad=True)
    F.prelu(x, w).sum().backward()
    assert w.grad.tolist() == [-2.0]


def test_prelu_is_a_method() -> None:
    assert tt.tensor([-2.0, 3.0]).prelu(tt.tensor([0.25])).tolist() == [-0.5, 3.0]
    assert tt.tensor([-0.25, 3.0]).hardshrink().tolist() == [0.0, 3.0]


def test_maxout_gives_the_gradient_to_the_first_of_equals() -> None:
    x = tt.tensor([[1.0, 1.0, 3.0, 2.0]], requires_grad=True)
    y = tt.maxout(x, 2)
    y.sum().backward()
    assert y.tolist() == [[1.0, 3.0]]
    assert x.grad.tolist() == [[1.0, 0.0, 1.0, 0.0]]


def test_functional_has_the_same_functions() -> None:
    alone = {"fold", "unfold"}  # of images; a tensor's unfold is another
    assert [n for n in F.__all__ if n not in alone and getattr(tt, n) is not getattr(F, n)] == []


# --------------------------------------------------------------------------------------------------------------- random
def test_rrelu_draws_a_slope_for_each_element() -> None:
    x = tt.full((1000,), -1.0)
    y = F.rrelu(x, 0.25, 0.5, training=True, generator=tt.Generator(3))
    assert len(set(y.tolist())) > 900
    assert -0.5 <= float(y.min()) < -0.45
    assert -0.3 < float(y.max()) <= -0.25
    np.testing.assert_array_equal(y, F.rrelu(x, 0.25, 0.5, training=True, generator=tt.Generator(3)))
    assert F.rrelu(tt.tensor([0.1, 7.0]), training=True).tolist() == tt.tensor([0.1, 7.0]).tolist()


def test_channels_are_dropped_whole() -> None:
    x = tt.ones(40, 50, 3, 2, requires_grad=True)
    y = F.dropout2d(x, 0.3, generator=tt.Generator(1))
    y.sum().backward()
    kept = y.detach().numpy().reshape(2000, 6)
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.7)}
    assert (kept == kept[:, :1]).all()
    assert 0.65 < (kept[:, 0] > 0).mean() < 0.75
    np.testing.assert_array_equal(x.grad, y.detach())
    flat = F.dropout1d(tt.ones(60, 5), 0.5, generator=tt.Generator(1)).numpy()
    assert (flat == flat[:, :1]).all()
    assert set(np.unique(flat)) == {np.float32(0), np.float32(2)}


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(p: float) -> None:
    x = tt.randn(200_000, generator=tt.Generator(4), requires_grad=True)
    y = F.alpha_dropout(x, p, training=True, generator=tt.Generator(9))
    y.sum().backward()
    assert abs(float(y.mean())) < 0.01
    assert abs(float(y.var()) - 1) < 0.02
    dropped = x.grad.numpy() == 0
    assert abs(dropped.mean() - p) < 0.01
    assert len(np.unique(y.detach().numpy()[dropped])) == 1


def test_gumbel_softmax_draws_the_classes_by_their_probabilities() -> None:
    logits = tt.log(tt.tensor([0.2, 0.5, 0.3])).expand(20_000, 3)
    y = F.gumbel_softmax(logits, hard=True, generator=tt.Generator(2))
    assert set(np.unique(y.numpy())) <= {np.float32(0), np.float32(1)}
    assert (y.numpy().sum(1) == 1).all()
    np.testing.assert_allclose(y.numpy().mean(0), [0.2, 0.5, 0.3], atol=0.012)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_hard_draws_have_the_gradient_of_soft_ones(dim: int) -> None:
    x = tt.randn(4, 3, dtype=tt.float64, generator=tt.Generator(6), requires_grad=True)
    up = tt.randn(4, 3, dtype=tt.float64, generator=tt.Generator(7))
    soft, hard = (F.gumbel_softmax(x, 0.5, h, dim=dim, generator=tt.Generator(8)) for h in (False, True))
    np.testing.assert_allclose(
        hard.detach(), soft.detach().numpy() == soft.detach().numpy().max(dim, keepdims=True), atol=1e-15
    )
    (a,), (b,) = autograd.grad(soft, x, up), autograd.grad(hard, x, up)
    np.testing.assert_array_equal(a, b)


@both
def test_gumbel_softmax_has_no_number_whose_logarithm_is_infinite(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    least, most = 0.0, float(1 - np.finfo(dtype).epsneg)
    monkeypatch.setattr(tt.random, "uniform", lambda *a: np.array([least, most], dtype))
    y = F.gumbel_softmax(tt.zeros(2, dtype=dtype))
    assert np.isfinite(y.numpy()).all()
    assert y.sum().item() == 1


def test_second_derivatives_at_the_kink_are_the_left_ones() -> None:
    """As PyTorch's: that of elu at 0 is alpha, as left of it."""
    for f, left in (
        (lambda v: F.elu(v, 0.7), 0.7),
        (F.selu, 1.0507009873554805 * 1.6732632423543772),
        (lambda v: F.celu(v, 0.5), 2.0),
    ):
        x = tt.tensor([-0.0, 0.0, 1e-300], dtype=tt.float64, requires_grad=True)
        (g,) = tt.autograd.grad(f(x).sum(), x, create_graph=True)
        (h,) = tt.autograd.grad(g.sum(), x)
        np.testing.assert_allclose(h.numpy(), [left, left, 0], rtol=1e-15)
