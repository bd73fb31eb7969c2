"""Losses: PyTorch's numbers, edges and errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from check import same_bits

import tinytensor as tt
import tinytensor.nn.functional as F

X = [[1.0, 2.0, 3.0], [1.0, -1.0, 0.5]]


def logits(dtype: Any = tt.float64) -> Any:
    return tt.tensor(X, dtype=dtype, requires_grad=True)


def test_cross_entropy_worked_out_by_hand() -> None:
    p = np.exp(X) / np.exp(X).sum(1, keepdims=True)
    x = logits()
    loss = F.cross_entropy(x, tt.tensor([2, 0]))
    assert loss.item() == pytest.approx(-(math.log(p[0, 2]) + math.log(p[1, 0])) / 2, rel=1e-14)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), (p - np.array([[0, 0, 1], [1, 0, 0]])) / 2, rtol=1e-13)


def test_cross_entropy_is_nll_of_log_softmax() -> None:
    rng = np.random.default_rng(0)
    for how in (
        {},
        {"reduction": "sum"},
        {"reduction": "none"},
        {"weight": rng.uniform(0.5, 2, 7)},
        {"ignore_index": 3},
    ):
        x, t = rng.normal(size=(50, 7)) * 5, rng.integers(0, 7, 50)
        a, b = tt.tensor(x, requires_grad=True), tt.tensor(x, requires_grad=True)
        one, two = F.cross_entropy(a, t, **how), F.nll_loss(F.log_softmax(b, 1), t, **how)
        np.testing.assert_allclose(one.detach().numpy(), two.detach().numpy(), rtol=1e-13)
        one.sum().backward()
        two.sum().backward()
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-11, atol=1e-14)


def test_class_indices_are_probabilities_of_one() -> None:
    rng = np.random.default_rng(0)
    for smoothing in (0.0, 0.2):
        for weight in (None, rng.uniform(0.5, 2, 5)):
            x, t = rng.normal(size=(6, 5)), rng.integers(0, 5, 6)
            a, b = tt.tensor(x, requires_grad=True), tt.tensor(x, requires_grad=True)
            F.cross_entropy(a, t, weight, reduction="sum", label_smoothing=smoothing).backward()
            F.cross_entropy(
                b, tt.one_hot(tt.tensor(t), 5).double(), weight, reduction="sum", label_smoothing=smoothing
            ).backward()
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-11, atol=1e-13)


def test_large_logits_do_not_overflow() -> None:
    for dtype in (tt.float32, tt.float64):
        x = tt.tensor([[1e4, -1e4, 0.0], [-1e30, 0.0, 0.0]], dtype=dtype, requires_grad=True)
        loss = F.cross_entropy(x, np.array([0, 1]), reduction="none")
        np.testing.assert_allclose(loss.detach().numpy(), [0, math.log(2)], rtol=1e-6)
        loss.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), [[0, 0, 0], [0, -0.5, 0.5]], atol=1e-7)


def test_ignored_rows_count_nothing() -> None:
    x = logits()
    loss = F.cross_entropy(x, np.array([-100, 0]))
    loss.backward()
    assert x.grad[0].tolist() == [0, 0, 0]
    assert loss.item() == pytest.approx(F.cross_entropy(logits()[1:], np.array([0])).item(), rel=1e-15)
    none = F.cross_entropy(logits(), np.array([-100, 0]), reduction="none")
    assert none[0].item() == 0
    assert math.isnan(F.cross_entropy(logits(), np.array([-100, -100])).item())
    assert F.cross_entropy(logits(), np.array([-100, -100]), reduction="sum").item() == 0
    bad = tt.tensor([[math.nan] * 3, X[1]], dtype=tt.float64, requires_grad=True)
    loss = F.cross_entropy(bad, np.array([-100, 0]))
    loss.backward()
    assert math.isfinite(loss.item())
    assert np.isfinite(bad.grad.numpy()).all()


def test_a_weighted_mean_divides_by_the_weights() -> None:
    w = np.array([1.0, 2.0, 4.0])
    each = F.cross_entropy(logits(), np.array([2, 0]), w, reduction="none").detach().numpy()
    assert F.cross_entropy(logits(), np.array([2, 0]), w).item() == pytest.approx(each.sum() / 5, rel=1e-14)
    assert F.cross_entropy(logits(), np.array([2, 0]), tt.tensor(w)).item() == pytest.approx(each.sum() / 5, rel=1e-14)


@pytest.mark.parametrize("n", [1, 3, 200, 3000])
@pytest.mark.parametrize("classes", [1, 2, 10, 16, 17, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes(n: int, classes: int, dtype: str) -> None:
    if n * classes > 400_000:
        n = 300
    rng = np.random.default_rng(n)
    x, t = (rng.normal(size=(n, classes)) * 3).astype(dtype), rng.integers(0, classes, n)
    m = x.max(1, keepdims=True).astype(np.float64)
    e = np.exp(x - m)
    want = np.log(e.sum(1)) + m[:, 0] - x[np.arange(n), t]
    tolerance = {"rtol": 2e-6, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-13, "atol": 1e-13}
    one = tt.tensor(x, requires_grad=True)
    loss = F.cross_entropy(one, t, reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), want, **tolerance)
    loss.sum().backward()
    np.testing.assert_allclose(one.grad.numpy(), e / e.sum(1, keepdims=True) - np.eye(classes)[t], **tolerance)
    with tt.threads(3):
        again = tt.tensor(x, requires_grad=True)
        second = F.cross_entropy(again, t, reduction="none")
        same_bits(second.detach().numpy(), loss.detach().numpy())
        second.sum().backward()
        same_bits(again.grad.numpy(), one.grad.numpy())


def test_smoothing_of_everything_is_the_mean_over_classes() -> None:
    x = logits()
    loss = F.cross_entropy(x, np.array([2, 0]), label_smoothing=1.0, reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), -F.log_softmax(x, 1).detach().numpy().mean(1), rtol=1e-14)


@pytest.mark.parametrize(
    "shape,target,error,message",
    [
        ((2, 3), np.array([0, 3]), IndexError, "3"),
        ((2, 3), np.array([0, -1]), IndexError, "-1"),
        ((2, 3), np.array([0]), ValueError, r"expected target of shape \(2,\) for input \(2, 3\).*got \(1,\)"),
        ((2, 3), np.array([[0], [1]]), ValueError, r"expected target of shape \(2,\)"),
        ((2, 3, 4), np.array([0, 1]), ValueError, r"expected target of shape \(2, 4\)"),
        ((2, 3), np.array([True, False]), TypeError, "class indices"),
    ],
)
def test_targets_that_do_not_fit(shape: Any, target: Any, error: Any, message: str) -> None:
    for loss in (F.cross_entropy, F.nll_loss):
        with pytest.raises(error, match=message):
            loss(tt.ones(shape), target)


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_targets_that_are_no_class(loss: Any) -> None:
    x = tt.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    for bad in (-1, 3, -3):  # not counted from the end
        with pytest.raises(IndexError, match=rf"target {bad} (at row 1 )?is outside the 3 classes"):
            loss(x, np.array([0, bad]))
    assert loss(x, np.array([0, -1]), ignore_index=-1).item() == loss(x[:1], np.array([0])).item()


def test_other_errors() -> None:
    x, t = tt.ones(2, 3), np.array([0, 1])
    for call, message in [
        (lambda: F.cross_entropy(x, t, reduction="median"), "'none', 'mean' or 'sum', got 'median'"),
        (lambda: F.nll_loss(x, t, reduction="median"), "got 'median'"),
        (lambda: F.mse_loss(x, x, reduction="median"), "got 'median'"),
        (lambda: F.cross_entropy(x, t, label_smoothing=2.0), "between 0 and 1, got 2.0"),
        (lambda: F.cross_entropy(x, t, np.ones(2)), r"expected weight of shape \(3,\), got \(2,\)"),
        (
            lambda: F.cross_entropy(x, tt.ones(2, 2)),
            r"probabilities must have the input's shape \(2, 3\), got \(2, 2\)",
        ),
        (lambda: F.mse_loss(tt.ones(64, 1), tt.ones(64)), r"input \(64, 1\) and target \(64,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_mse() -> None:
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    loss = F.mse_loss(x, tt.tensor([3.0, 5.0]))
    loss.backward()
    assert loss.item() == 6.5
    assert x.grad.tolist() == [-2, -3]


def test_softmax_edges() -> None:
    assert np.isnan(tt.softmax(np.array([np.inf, 1.0]))).any()
    assert tt.softmax(np.array([-np.inf, 0.0])).tolist() == [0, 1]
    assert tt.softmax(np.array(3.0), 0) == 1
    assert tt.log_softmax(np.array(3.0), 0) == 0
    assert tt.softmax(np.array([1e5, 0.0], np.float32)).tolist() == [1, 0]
    with pytest.raises(IndexError, match="dim 2 is out of range"):
        tt.softmax(tt.ones(2, 2), 2)
    assert tt.softmax(tt.tensor([1, 1]), dtype=tt.float64).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "sigmoid", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_far_out(name: str, dtype: str) -> None:
    """No NaN at infinity or beyond the range of exp, in value and gradient."""
    left, right = {
        "relu": (0, math.inf), "leaky_relu": (-math.inf, math.inf), "elu": (-1, math.inf), "selu": (-1.7580993408473766, math.inf), "gelu": (0, math.inf),
        "silu": (0, math.inf), "softplus": (0, math.inf), "sigmoid": (0, 1), "tanh": (-1, 1),
    }[name]  # fmt: skip
    slopes = {"leaky_relu": (0.01, 1), "selu": (0, 1.0507009873554805), "sigmoid": (0, 0), "tanh": (0, 0)}.get(
        name, (0, 1)
    )
    x = tt.tensor([-math.inf, math.inf], dtype=dtype, requires_grad=True)
    y = getattr(F, name)(x)
    np.testing.assert_allclose(y.detach().numpy(), [left, right], rtol=1e-7)
    y.backward(tt.ones(2, dtype=dtype))
    np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-7)
    far = tt.tensor([-3e4, 3e4, -120, 120, 1e-30, -1e-30], dtype=dtype, requires_grad=True)
    z = getattr(F, name)(far)
    z.sum().backward()
    assert np.isfinite(z.detach().numpy()).all()
    assert np.isfinite(far.grad.numpy()).all()


def test_kinks() -> None:
    for name, at_zero in (("relu", 0), ("leaky_relu", 0.01), ("abs", 0), ("sign", 0)):
        x = tt.zeros(1, requires_grad=True)
        (getattr(tt, name)(x)).backward()
        assert x.grad.item() == pytest.approx(at_zero)
    x = tt.tensor([-1.0, 0.0, 1.0, 2.0], requires_grad=True)
    tt.clamp(x, -1, 1).sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 0]
    x, y = tt.tensor([1.0, 2.0, 3.0], requires_grad=True), tt.tensor([2.0, 2.0, 2.0], requires_grad=True)
    (tt.maximum(x, y) * 4 + tt.minimum(x, y)).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([1, 2.5, 4], [4, 2.5, 1])
    assert tt.gelu(tt.tensor([0.0])).item() == 0
    with pytest.raises(ValueError, match="'none' or 'tanh', got 'erf'"):
        tt.gelu(tt.ones(1), "erf")


def test_where_lets_no_dead_branch_in() -> None:
    x = tt.tensor([-1.0, 4.0], requires_grad=True)
    tt.where(x > 0, tt.sqrt(tt.where(x > 0, x, 1.0)), 0.0).sum().backward()
    assert x.grad.tolist() == [0, 0.25]
    y, z = tt.tensor([1.0, 2.0], requires_grad=True), tt.tensor([3.0, 4.0], requires_grad=True)
    tt.where(np.array([True, False]), y, z).backward(tt.tensor([math.nan, 7.0]))
    assert z.grad.tolist() == [0, 7]
    assert y.grad[1].item() == 0


def test_powers_at_zero() -> None:
    x = tt.zeros(1, dtype=tt.float64, requires_grad=True)
    y = tt.zeros(1, dtype=tt.float64, requires_grad=True)
    z = x**y
    assert z.item() == 1
    z.backward()
    assert (x.grad.item(), y.grad.item()) == (0, 0)
    for power, slope in ((1, 1), (2, 0), (3, 0), (1.5, 0)):
        x.grad = None
        (x**power).backward()
        assert x.grad.item() == slope
    with pytest.raises(ValueError, match="negative integer powers"):
        tt.tensor([2]) ** tt.tensor([-1])
    assert (tt.tensor([2]) ** tt.tensor([3])).tolist() == [8]
