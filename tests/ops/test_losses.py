"""Likelihoods, distances and margins: far out, at their kinks, what they refuse, and as modules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import nn


def gradient(f: Callable[[Any], Any], x: Any) -> Any:
    t = tt.tensor(x, requires_grad=True)
    f(t).sum().backward()
    return t.grad.tolist()


def test_the_svms_hinge_worked_out_by_hand() -> None:
    """The lecture's cat, car and frog: scores 3.2, 5.1, -1.7 and so on; losses 2.9, 0 and 12.9, over the three classes here."""
    scores = tt.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    loss = F.multi_margin_loss(scores, tt.tensor([0, 1, 2]), reduction="none")
    np.testing.assert_allclose(loss * 3, [2.9, 0, 12.9], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_far_out_neither_overflow_nor_cancel(dtype: str) -> None:
    x, t = np.array([-1e30, -100, 100, 1e30], dtype), np.array([0, 0, 1, 1], dtype)
    loss = F.binary_cross_entropy_with_logits(tt.tensor(x), tt.tensor(t), reduction="none")
    np.testing.assert_allclose(loss, [0, math.exp(-100), math.exp(-100), 0], rtol=1e-5, atol=1e-45)
    wrong = F.binary_cross_entropy_with_logits(tt.tensor(x), tt.tensor(1 - t), reduction="none")
    np.testing.assert_array_equal(wrong, np.abs(x))
    g = gradient(lambda v: F.binary_cross_entropy_with_logits(v, tt.tensor(1 - t), reduction="sum"), x)
    assert g == [-1, -1, 1, 1]


def test_probabilities_of_zero_and_one() -> None:
    p, t = [0.0, 1.0, 0.0, 1.0], tt.tensor([0.0, 1.0, 1.0, 0.0])
    assert F.binary_cross_entropy(tt.tensor(p), t, reduction="none").tolist() == [0, 0, 100, 100]
    g = gradient(lambda v: F.binary_cross_entropy(v, t, reduction="sum"), p)
    assert g[:2] == [0, 0]
    np.testing.assert_allclose(g[2:], [-1e12, 1e12], rtol=1e-6)


def test_a_target_of_zero_counts_nothing_in_the_divergence() -> None:
    x, t = tt.tensor([[-1.0, -2.0]], requires_grad=True), tt.tensor([[0.0, 1.0]], requires_grad=True)
    loss = F.kl_div(x, t, reduction="batchmean")
    assert loss.item() == 2
    loss.backward()
    assert x.grad.tolist() == [[0, -1]]
    assert np.isfinite(t.grad.numpy()).all()


def test_the_divergence_of_a_distribution_from_itself_is_zero() -> None:
    x = tt.randn(3, 4, generator=tt.Generator(0))
    assert abs(F.kl_div(tt.log_softmax(x), tt.softmax(x), reduction="batchmean").item()) < 1e-6


def test_a_variance_for_each_row_may_be_a_tensor_or_an_array() -> None:
    x, mean, var = tt.randn(4, 3), tt.randn(4, 3), tt.rand(4) + 0.5
    wanted = F.gaussian_nll_loss(x, mean, var.reshape(4, 1).expand(4, 3))
    for given in (var, var.reshape(4, 1), var.numpy(), var.numpy().reshape(4, 1), var.numpy()[:, None].repeat(3, 1)):
        np.testing.assert_allclose(F.gaussian_nll_loss(x, mean, given).item(), wanted.item(), rtol=1e-6)


@pytest.mark.parametrize(
    ("f", "x", "slopes"),
    [
        (lambda v: F.l1_loss(v, tt.zeros(3), reduction="sum"), [-2.0, 0.0, 2.0], [-1, 0, 1]),
        (lambda v: F.huber_loss(v, tt.zeros(4), reduction="sum", delta=2.0), [-9.0, -2.0, 0.0, 1.0], [-2, -2, 0, 1]),
        (lambda v: F.smooth_l1_loss(v, tt.zeros(4), reduction="sum", beta=2.0), [-9.0, -2.0, 0.0, 1.0], [-1, -1, 0, 0.5]),
        (lambda v: F.smooth_l1_loss(v, tt.zeros(2), reduction="sum", beta=0), [0.0, 1e-30], [0, 1]),
        (lambda v: F.hinge_embedding_loss(v, tt.tensor([1, -1, -1, -1]), reduction="sum"), [5.0, 5.0, 0.5, 1.0], [1, 0, -1, 0]),
        (lambda v: F.gaussian_nll_loss(tt.zeros(2), tt.ones(2), v, reduction="sum", eps=0.5), [0.0, 1.0], [-1, 0]),
    ],
)  # fmt: skip
def test_slopes_at_the_kinks(f: Callable[[Any], Any], x: Any, slopes: Any) -> None:
    assert gradient(f, x) == slopes


def test_vectors_of_length_zero_have_no_angle() -> None:
    zero = tt.zeros(2, 3).requires_grad_()
    loss = F.cosine_embedding_loss(zero, tt.ones(2, 3), tt.tensor([1, -1]), reduction="sum")
    assert loss.item() == 1
    loss.backward()
    assert np.isfinite(zero.grad.numpy()).all()


def test_equal_vectors_in_a_triplet_have_a_gradient() -> None:
    a = tt.ones(2, 3).requires_grad_()
    F.triplet_margin_loss(a, tt.ones(2, 3), tt.zeros(2, 3), margin=5).backward()
    assert np.isfinite(a.grad.numpy()).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.l1_loss(tt.ones(4, 1), tt.ones(4)), ValueError, r"l1_loss: input \(4, 1\) and target \(4,\) must have one shape"),
        (lambda: F.huber_loss(tt.ones(2), tt.ones(2), delta=0), ValueError, "huber_loss: delta must be positive, got 0"),
        (lambda: F.smooth_l1_loss(tt.ones(2), tt.ones(2), beta=-1), ValueError, "smooth_l1_loss: beta must not be negative, got -1"),
        (lambda: F.l1_loss(tt.ones(2), tt.ones(2), reduction="avg"), ValueError, "l1_loss: reduction must be 'none', 'mean' or 'sum', got 'avg'"),
        (lambda: F.kl_div(tt.ones(2), tt.ones(2), reduction="avg"), ValueError, "kl_div: reduction must be .* or 'batchmean', got 'avg'"),
        (lambda: F.binary_cross_entropy(tt.tensor([0.5, 1.5]), tt.ones(2)), ValueError, "input: expected values between 0 and 1, got 1.5"),
        (lambda: F.binary_cross_entropy(tt.ones(2, 1), tt.ones(2)), ValueError, "binary_cross_entropy: input .* must have one shape"),
        (lambda: F.binary_cross_entropy_with_logits(tt.ones(2), tt.ones(1)), ValueError, "binary_cross_entropy_with_logits: input .* must have one shape"),
        (lambda: F.binary_cross_entropy_with_logits(tt.ones(2), tt.ones(2), pos_weight=tt.ones(3, 1)), ValueError, r"pos_weight \(3, 1\) does not fit input \(2,\)"),
        (lambda: F.gaussian_nll_loss(tt.ones(2), tt.ones(2), -1.0), ValueError, "gaussian_nll_loss: var must not be negative, got -1"),
        (lambda: F.gaussian_nll_loss(tt.ones(2, 3), tt.ones(2, 3), tt.ones(3)), ValueError, r"expected var \(\) or of shape \(2, 3\).*got \(3,\)"),
        (lambda: F.multi_margin_loss(tt.ones(2, 3), tt.tensor([0, 3])), IndexError, "multi_margin_loss: target 3 is outside the 3 classes"),
        (lambda: F.multi_margin_loss(tt.ones(2, 3), tt.tensor([0.0, 1.0])), TypeError, "multi_margin_loss: expected class indices"),
        (lambda: F.multi_margin_loss(tt.ones(2, 3), tt.tensor([0])), ValueError, r"got \(2, 3\) and \(1,\)"),
        (lambda: F.multi_margin_loss(tt.ones(2, 3), tt.tensor([0, 1]), p=3), ValueError, "p must be 1 or 2, got 3"),
        (lambda: F.multi_margin_loss(tt.ones(2, 3), tt.tensor([0, 1]), weight=tt.ones(2)), ValueError, r"expected weight of shape \(3,\), got \(2,\)"),
        (lambda: F.hinge_embedding_loss(tt.ones(2), tt.tensor([1, 0])), ValueError, "hinge_embedding_loss: targets must be 1 or -1, got 0"),
        (lambda: F.soft_margin_loss(tt.ones(2), tt.tensor([1, 2])), ValueError, "soft_margin_loss: targets must be 1 or -1, got 2"),
        (lambda: F.margin_ranking_loss(tt.ones(2), tt.ones(2), tt.tensor([1])), ValueError, "margin_ranking_loss: input .* must have one shape"),
        (lambda: F.cosine_embedding_loss(tt.ones(2, 3), tt.ones(2, 3), tt.tensor([1])), ValueError, r"got \(2, 3\) and \(1,\)"),
        (lambda: F.triplet_margin_loss(tt.ones(2, 3), tt.ones(2, 3), tt.ones(3)), ValueError, "triplet_margin_loss: input .* must have one shape"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


X, Y = tt.tensor([[0.2, 0.9], [0.4, 0.3]]), tt.tensor([[0.5, 0.1], [1.0, 0.0]])
SIGNS = tt.tensor([[1, -1], [-1, 1]])
MODULES: dict[str, tuple[Any, Any, Any]] = {
    "L1Loss": (nn.L1Loss("sum"), (X, Y), F.l1_loss(X, Y, "sum")),
    "SmoothL1Loss": (nn.SmoothL1Loss(beta=0.3), (X, Y), F.smooth_l1_loss(X, Y, beta=0.3)),
    "HuberLoss": (nn.HuberLoss(delta=0.3), (X, Y), F.huber_loss(X, Y, delta=0.3)),
    "BCELoss": (nn.BCELoss(weight=Y), (X, Y), F.binary_cross_entropy(X, Y, Y)),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss(pos_weight=X[0]), (X, Y), F.binary_cross_entropy_with_logits(X, Y, pos_weight=X[0])),
    "KLDivLoss": (nn.KLDivLoss("batchmean", log_target=True), (X, Y), F.kl_div(X, Y, "batchmean", log_target=True)),
    "PoissonNLLLoss": (nn.PoissonNLLLoss(log_input=False, full=True), (X, Y), F.poisson_nll_loss(X, Y, log_input=False, full=True)),
    "GaussianNLLLoss": (nn.GaussianNLLLoss(full=True), (X, Y, X), F.gaussian_nll_loss(X, Y, X, full=True)),
    "MultiMarginLoss": (nn.MultiMarginLoss(p=2, margin=0.5, weight=X[0]), (X, SIGNS[0] * 0), F.multi_margin_loss(X, SIGNS[0] * 0, 2, 0.5, X[0])),
    "HingeEmbeddingLoss": (nn.HingeEmbeddingLoss(margin=0.3), (X, SIGNS), F.hinge_embedding_loss(X, SIGNS, 0.3)),
    "MarginRankingLoss": (nn.MarginRankingLoss(margin=0.3), (X, Y, SIGNS), F.margin_ranking_loss(X, Y, SIGNS, 0.3)),
    "SoftMarginLoss": (nn.SoftMarginLoss("sum"), (X, SIGNS), F.soft_margin_loss(X, SIGNS, "sum")),
    "CosineEmbeddingLoss": (nn.CosineEmbeddingLoss(margin=0.1), (X, Y, SIGNS[0]), F.cosine_embedding_loss(X, Y, SIGNS[0], 0.1)),
    "TripletMarginLoss": (nn.TripletMarginLoss(0.4, p=1.0, swap=True), (X, Y, X + 1), F.triplet_margin_loss(X, Y, X + 1, 0.4, 1.0, swap=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_its_function_with_its_options(name: str) -> None:
    module, inputs, value = MODULES[name]
    assert type(module).__name__ == name
    assert module(*inputs).item() == value.item()
    plain = type(module)()(*inputs)
    assert plain.item() != value.item(), "the options make no difference"
    with pytest.raises(ValueError, match="is not a valid value for reduction"):
        type(module)(reduction="avg")


FUNCTIONS = [
    "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div",
    "poisson_nll_loss", "gaussian_nll_loss", "multi_margin_loss", "hinge_embedding_loss", "margin_ranking_loss",
    "soft_margin_loss", "cosine_embedding_loss", "triplet_margin_loss",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "inputs"), [(n, inputs) for n, (_, inputs, _) in zip(FUNCTIONS, MODULES.values(), strict=True)]
)
def test_what_every_loss_refuses(name: str, inputs: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: reduction must be .*, got 'avg'"):
        getattr(F, name)(*inputs, reduction="avg")
    for i in range(1, len(inputs)):
        if (name, i) == ("gaussian_nll_loss", 2):
            continue  # a variance is broadcast
        fewer = [v[:1] if at == i else v for at, v in enumerate(inputs)]
        with pytest.raises(ValueError, match=name):
            getattr(F, name)(*fewer)


def test_pytorch_agrees() -> None:
    torch = pytest.importorskip("torch")
    for name, (module, inputs, value) in MODULES.items():
        theirs = getattr(torch.nn, name)(
            **{
                k: torch.tensor(v.tolist()) if isinstance(v, tt.Tensor) else v
                for k, v in {**vars(module), **module._buffers}.items()
                if k in ["reduction", "beta", "delta", "weight", "pos_weight", "log_target", "log_input", "full", "p", "margin", "swap"] and v is not None
            }
        )  # fmt: skip
        got = theirs(*(torch.tensor(i.tolist()) for i in inputs))
        np.testing.assert_allclose(value.item(), got.item(), rtol=2e-6, err_msg=name)
