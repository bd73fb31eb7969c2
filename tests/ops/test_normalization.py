"""Normalizations: large means, running statistics, constant rows and zero vectors, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import autograd

NORMS: dict[str, Callable[..., Any]] = {
    "layer": lambda x, w=None, b=None: F.layer_norm(x, x.shape[1:], w, b),
    "batch": lambda x, w=None, b=None: F.batch_norm(x, None, None, w, b, True),
    "group": lambda x, w=None, b=None: F.group_norm(x, 2, w, b),
    "instance": lambda x, w=None, b=None: F.instance_norm(x, None, None, w, b),
}
AXES = {"layer": (1, 2), "batch": (0, 2), "group": (1, 2), "instance": (2,)}
each = pytest.mark.parametrize("name", NORMS)


@each
def test_a_large_mean_takes_nothing_from_the_variance(name: str) -> None:
    """E[x^2] - E[x]^2 in float32 would have lost all of it."""
    x = (np.random.default_rng(0).standard_normal((32, 4, 64)) + 1e4).astype(np.float32)
    exact = x.astype(np.float64)
    parts = exact.reshape(32, 2, 2, 64) if name == "group" else exact
    axes = (2, 3) if name == "group" else AXES[name]
    want = (parts - parts.mean(axes, keepdims=True)) / np.sqrt(parts.var(axes, keepdims=True) + 1e-5)
    got = NORMS[name](tt.from_numpy(x)).numpy()
    spread = got.reshape(parts.shape).astype(np.float64).std(axes)
    np.testing.assert_allclose(spread, 1.0, atol=2e-4)
    # the mean itself is rounded, to half of the 2^-10 between numbers of this size
    np.testing.assert_allclose(got, want.reshape(x.shape), atol=3e-3)


@each
def test_each_gradient_is_the_same_alone(name: str) -> None:
    rng = np.random.default_rng(1)
    shapes = [(3, 4, 5), (4, 5) if name == "layer" else (4,), (4, 5) if name == "layer" else (4,)]
    arrays = [rng.standard_normal(s) for s in shapes]
    up = tt.tensor(rng.standard_normal((3, 4, 5)))
    everything = [tt.tensor(a, requires_grad=True) for a in arrays]
    whole = autograd.grad(NORMS[name](*everything), everything, up)
    for i, g in enumerate(whole):
        alone = [tt.tensor(a, requires_grad=i == j) for j, a in enumerate(arrays)]
        (one,) = autograd.grad(NORMS[name](*alone), alone[i], up)
        np.testing.assert_array_equal(one, g)


@each
def test_a_constant_row_that_where_did_not_take_stays_out(name: str) -> None:
    """With eps 0 its slope is infinite."""
    axes = AXES[name]
    x = tt.tensor(np.random.default_rng(2).standard_normal((4, 2, 3)), requires_grad=True)
    index = {"layer": 1, "batch": (slice(None), 1), "group": 1, "instance": (1, 0)}[name]
    with tt.no_grad():
        x[index] = 5.0
    f = {
        "layer": lambda v: F.layer_norm(v, (2, 3), eps=0.0),
        "batch": lambda v: F.batch_norm(v, None, None, training=True, eps=0.0),
        "group": lambda v: F.group_norm(v, 1, eps=0.0),
        "instance": lambda v: F.instance_norm(v, eps=0.0),
    }[name]
    flat = (x.detach().numpy().max(axes, keepdims=True) == x.detach().numpy().min(axes, keepdims=True)) & np.ones(
        x.shape, bool
    )
    y = tt.where(flat, 0.0, f(x))
    (first,) = autograd.grad(y.square().sum() + y[..., 0].sum(), x, create_graph=True)
    (second,) = autograd.grad(first.square().sum(), x)
    for g in (first.detach().numpy(), second.numpy()):
        assert np.isfinite(g).all()
        assert (g[flat] == 0).all()
        assert (g[~flat] != 0).any()


def test_layer_norm_keeps_its_input_and_a_pair_for_each_row() -> None:
    x, w = tt.randn(6, 100, requires_grad=True), tt.ones(100, requires_grad=True)
    y = F.layer_norm(x, 100, w)
    kept = [v for v in y.grad_fn.kept if isinstance(v, np.ndarray)]
    assert sorted(v.size for v in kept) == [6, 6, 100, 600]


# ---------------------------------------------------------------------------------------------------- running statistics
def test_running_statistics_move_by_momentum_with_the_unbiased_variance() -> None:
    x = tt.tensor(np.arange(12.0).reshape(3, 2, 2), requires_grad=True)
    mean, var = tt.zeros(2, dtype=tt.float64), tt.ones(2, dtype=tt.float64)
    a = x.detach().numpy().transpose(1, 0, 2).reshape(2, 6)
    F.batch_norm(x, mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.25 * a.mean(1), rtol=1e-15)
    np.testing.assert_allclose(var, 0.75 + 0.25 * a.var(1, ddof=1), rtol=1e-15)
    assert not mean.requires_grad
    assert not var.requires_grad


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_and_one_of_the_two_may_be_running_statistics(dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(dtype)
    mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
    y = F.batch_norm(x, mean, None, training=True, momentum=1.0)
    assert isinstance(y, np.ndarray)
    np.testing.assert_allclose(mean, x.mean(0), atol=1e-6)
    F.batch_norm(x, None, var, training=True, momentum=1.0)
    np.testing.assert_allclose(var, x.var(0, ddof=1), rtol=1e-6)
    assert mean.dtype == var.dtype == np.float32


def test_running_statistics_are_constants_that_may_change_before_backward() -> None:
    x, w = tt.randn(4, 2, requires_grad=True), tt.tensor([2.0, 3.0], requires_grad=True)
    mean, var = tt.tensor([1.0, 2.0]), tt.tensor([4.0, 9.0])
    y = F.batch_norm(x, mean, var, w, eps=0.0)
    want = (x.detach().numpy() - [1.0, 2.0]) / [2.0, 3.0]
    F.batch_norm(x, mean, var, w, training=True)
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.ones((4, 2)), rtol=1e-6)
    np.testing.assert_allclose(w.grad, want.sum(0), rtol=1e-5, atol=1e-6)


def test_nothing_leaves_running_statistics_alone() -> None:
    mean, var = tt.zeros(3), tt.ones(3)
    assert F.batch_norm(tt.zeros(0, 3), mean, var, training=True).shape == (0, 3)
    assert F.instance_norm(tt.zeros(0, 3, 2), mean, var).shape == (0, 3, 2)
    assert (mean.tolist(), var.tolist()) == ([0.0] * 3, [1.0] * 3)


def test_instance_norm_moves_running_statistics_by_the_mean_over_samples() -> None:
    x = np.random.default_rng(3).standard_normal((4, 2, 5))
    mean, var = np.zeros(2), np.ones(2)
    F.instance_norm(x, mean, var, momentum=0.5)
    np.testing.assert_allclose(mean, 0.5 * x.mean(2).mean(0), rtol=1e-14)
    np.testing.assert_allclose(var, 0.5 + 0.5 * x.var(2, ddof=1).mean(0), rtol=1e-14)


# ------------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.layer_norm(tt.ones(2, 3), 2), r"layer_norm: expected an input of shape \(\*, 2\).*got \(2, 3\)"),
        (lambda: F.layer_norm(tt.ones(2, 3), ()), r"layer_norm: .*normalized_shape \(\)"),
        (lambda: F.layer_norm(tt.ones(3), (2, 3)), r"layer_norm: .*got \(3,\)"),
        (lambda: F.layer_norm(tt.ones(2, 3), 3, tt.ones(2)), r"layer_norm: expected weight of shape \(3,\).*got \(2,\)"),
        (lambda: F.layer_norm(tt.ones(2, 3), 3, None, tt.ones(1)), r"layer_norm: expected bias of shape \(3,\).*got \(1,\)"),
        (lambda: F.rms_norm(tt.ones(2, 3), (2,)), "rms_norm: expected an input"),
        (lambda: F.batch_norm(tt.ones(3), None, None, training=True), r"batch_norm: expected an input of shape \(N, C\)"),
        (lambda: F.batch_norm(tt.ones(2, 3), None, tt.ones(3)), "batch_norm: running_mean and running_var are needed"),
        (lambda: F.batch_norm(tt.ones(2, 3), tt.ones(2), tt.ones(3)), r"batch_norm: expected running_mean of shape \(3,\)"),
        (lambda: F.batch_norm(tt.ones(1, 3), None, None, training=True), r"more than 1 value per channel in training, got input \(1, 3\)"),
        (lambda: F.batch_norm(tt.ones(1, 3, 1), None, None, training=True), "more than 1 value per channel"),
        (lambda: F.group_norm(tt.ones(2, 3), 2), r"group_norm: the 3 channels of input \(2, 3\) cannot be divided into 2 groups"),
        (lambda: F.group_norm(tt.ones(2, 3), 0), "into 0 groups"),
        (lambda: F.group_norm(tt.ones(3), 1), "group_norm: expected an input of shape"),
        (lambda: F.group_norm(tt.ones(2, 4), 2, tt.ones(2)), r"group_norm: expected weight of shape \(4,\)"),
        (lambda: F.instance_norm(tt.ones(2, 3)), r"instance_norm: expected an input of shape \(N, C, \*\)"),
        (lambda: F.instance_norm(tt.ones(2, 3, 1)), "instance_norm: expected more than 1 value"),
        (lambda: F.instance_norm(tt.ones(2, 3, 2), weight=tt.ones(2)), r"instance_norm: expected weight of shape \(3,\)"),
        (lambda: F.cosine_similarity(tt.ones(2, 3), tt.ones(2, 2)), r"cosine_similarity: shapes \(2, 3\) and \(2, 2\) cannot be"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: F.layer_norm(x, 2),
        lambda x: F.rms_norm(x, 2),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.group_norm(x, 1),
        lambda x: F.instance_norm(x[None]),
        F.normalize,
        lambda x: F.cosine_similarity(x, x),
    ],
)
def test_integers_are_refused(f: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"expected a float tensor, got int64; use .to\(tt.float32\)"):
        f(tt.tensor([[1, 2], [3, 4]]))


@pytest.mark.parametrize("f", [F.normalize, lambda x, dim: F.cosine_similarity(x, x, dim)])
def test_a_dim_out_of_range(f: Callable[..., Any]) -> None:
    with pytest.raises(IndexError, match="dim 2 is out of range"):
        f(tt.ones(2, 2), dim=2)


def test_a_refused_call_changes_no_running_statistics() -> None:
    mean = tt.zeros(3)
    with pytest.raises(ValueError, match="bias"):
        F.batch_norm(tt.ones(2, 3), mean, None, None, tt.ones(2), True)
    assert mean.tolist() == [0.0, 0.0, 0.0]


# ------------------------------------------------------------------------------------------------------- length and angle
@pytest.mark.parametrize("p", [1, 2, 3, math.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_zero_vector_stays_zero_and_its_slope_is_finite(p: float, dtype: str) -> None:
    x = tt.zeros(2, 3, dtype=dtype, requires_grad=True)
    y = F.normalize(x, p)
    y.sum().backward()
    assert (y.detach().numpy() == 0).all()
    np.testing.assert_allclose(x.grad, np.full((2, 3), 1e12), rtol=1e-6)


def test_similarity_to_a_zero_vector_is_zero() -> None:
    x, y = tt.zeros(1, 2, requires_grad=True), tt.tensor([[3.0, 4.0]], requires_grad=True)
    c = F.cosine_similarity(x, y)
    c.sum().backward()
    assert c.tolist() == [0.0]
    np.testing.assert_allclose(x.grad, [[0.6e8, 0.8e8]], rtol=1e-6)
    assert y.grad.tolist() == [[0.0, 0.0]]


def test_lengths_that_overflow_alone_do_not_overflow_together() -> None:
    x = tt.tensor([[1e15, 0.0]])
    np.testing.assert_allclose(F.cosine_similarity(x, -x), [-1.0], rtol=1e-6)


def test_the_distance_of_equals_has_a_slope() -> None:
    x = tt.ones(2, 3, dtype=tt.float64, requires_grad=True)
    F.pairwise_distance(x, tt.ones(2, 3, dtype=tt.float64)).sum().backward()
    np.testing.assert_allclose(x.grad, np.full((2, 3), 3**-0.5), rtol=1e-6)
