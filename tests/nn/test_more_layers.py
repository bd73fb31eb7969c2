"""Layers that normalize, convolve, pool and embed; learnt and random activations; whole MLPs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

GENERATOR = tt.Generator(4)


def randn(*shape: int) -> Any:
    return tt.randn(*shape, dtype=tt.float64, generator=GENERATOR)


# --------------------------------------------------------------------------------------------- learnt and random slopes
def test_prelu_learns_a_slope_for_each_channel() -> None:
    layer = nn.PReLU(3, 0.5, dtype=tt.float64)
    assert repr(layer) == "PReLU(num_parameters=3)"
    x = tt.tensor([[-1.0, 2.0, -4.0], [-8.0, -16.0, 1.0]], dtype=tt.float64)
    y = layer(x)
    assert y.tolist() == [[-0.5, 2, -2], [-4, -8, 1]]
    y.sum().backward()
    assert layer.weight.grad.tolist() == [-9, -16, -4]
    assert nn.PReLU()(tt.tensor([-4.0])).item() == -1


def test_rrelu_draws_in_training_alone() -> None:
    layer, x = nn.RReLU(0.25, 0.75), -tt.ones(1000)
    tt.manual_seed(0)
    y = layer(x).numpy()
    assert -0.75 <= y.min() < -0.7
    assert -0.3 < y.max() <= -0.25
    assert set(layer.eval()(x).tolist()) == {-0.5}
    assert repr(layer) == "RReLU(lower=0.25, upper=0.75)"


def test_glu_gates_one_half_by_the_other() -> None:
    x = randn(3, 8)
    np.testing.assert_allclose(nn.GLU()(x), x.numpy()[:, :4] / (1 + np.exp(-x.numpy()[:, 4:])), rtol=1e-12)


# ------------------------------------------------------------------------------------------------------- normalization
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (6, 3)), (nn.BatchNorm1d, (6, 3, 5)), (nn.BatchNorm2d, (4, 3, 2, 5))]
)
@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
def test_batch_norm_follows_its_batches(kind: Any, shape: Any, momentum: Any) -> None:
    layer = kind(3, momentum=momentum, dtype=tt.float64)
    axes = (0, *range(2, len(shape)))
    means, variances = [], []
    mean, var = np.zeros(3), np.ones(3)
    for step in range(3):
        x = randn(*shape) * (step + 1) + step
        a = x.numpy()
        y = layer(x).detach().numpy()
        np.testing.assert_allclose(y.mean(axes), 0, atol=1e-12)
        np.testing.assert_allclose(y.var(axes), 1, rtol=1e-4)
        means.append(a.mean(axes))
        variances.append(a.var(axes, ddof=1))
        factor = 1 / (step + 1) if momentum is None else momentum
        mean, var = mean + factor * (means[-1] - mean), var + factor * (variances[-1] - var)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 3
    layer.eval()
    by_channel = (1, 3) + (1,) * (len(shape) - 2)
    want = (a - mean.reshape(by_channel)) / np.sqrt(var.reshape(by_channel) + 1e-5)
    np.testing.assert_allclose(layer(x).detach(), want, rtol=1e-10)
    assert layer.num_batches_tracked.item() == 3
    layer.reset_running_stats()
    assert (layer.running_mean.tolist(), layer.running_var.tolist(), layer.num_batches_tracked.item()) == (
        [0] * 3,
        [1] * 3,
        0,
    )


def test_batch_norm_without_statistics_or_weights() -> None:
    layer = nn.BatchNorm1d(3, affine=False, track_running_stats=False).eval()
    assert list(layer.state_dict()) == []
    np.testing.assert_allclose(layer(tt.randn(8, 3)).numpy().mean(0), 0, atol=1e-6)


def test_batch_norm_keeps_its_state_in_files_and_trains() -> None:
    layer = nn.BatchNorm1d(2)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    layer(tt.randn(4, 2)).sum().backward()
    assert layer.weight.grad is not None
    other = nn.BatchNorm1d(2)
    other.load_state_dict(layer.state_dict())
    assert other.running_mean.tolist() == layer.running_mean.tolist()
    assert repr(layer) == "BatchNorm1d(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.BatchNorm1d(3), (2, 4), r"BatchNorm1d.*the second of size 3, got \(2, 4\)"),
        (nn.BatchNorm1d(3), (2, 3, 4, 5), "2 dimensions or 3 dimensions"),
        (nn.BatchNorm2d(3), (2, 3), "expected 4 dimensions"),
        (nn.BatchNorm1d(3), (1, 3), "more than 1 value per channel"),
        (nn.Conv2d(3, 4, 3), (2, 4, 5, 5), r"Conv2d.*expected \(N, 3, H, W\) or \(3, H, W\), got \(2, 4, 5, 5\)"),
        (nn.Conv1d(3, 4, 3), (2, 2, 3, 4), r"Conv1d.*expected \(N, 3, L\) or \(3, L\)"),
    ],
)
def test_inputs_that_do_not_fit(layer: Any, shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer(tt.ones(*shape))


def test_layer_rms_and_group_norm() -> None:
    x = randn(2, 6, 4)
    a = x.numpy()
    layer = nn.LayerNorm((6, 4), dtype=tt.float64)
    want = (a - a.mean((1, 2), keepdims=True)) / np.sqrt(a.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(layer(x).detach(), want, rtol=1e-10)
    assert repr(layer) == "LayerNorm((6, 4), eps=1e-05, elementwise_affine=True, bias=True)"
    rms = nn.RMSNorm(4, eps=1e-3, dtype=tt.float64)
    np.testing.assert_allclose(rms(x).detach(), a / np.sqrt((a**2).mean(-1, keepdims=True) + 1e-3), rtol=1e-10)
    group = nn.GroupNorm(2, 6, dtype=tt.float64)
    g = a.reshape(2, 2, 12)
    want = ((g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + 1e-5)).reshape(a.shape)
    np.testing.assert_allclose(group(x).detach(), want, rtol=1e-10)
    for module in (layer, rms, group):
        module(x).sum().backward()
        assert all(p.grad is not None for p in module.parameters())
    assert [
        len(list(m.parameters()))
        for m in (
            nn.LayerNorm(4, bias=False),
            nn.LayerNorm(4, elementwise_affine=False),
            nn.GroupNorm(1, 2, affine=False),
        )
    ] == [1, 0, 0]
    with pytest.raises(ValueError, match="num_channels=5 is no multiple of num_groups=2"):
        nn.GroupNorm(2, 5)


# ------------------------------------------------------------------------------------------------------- images
def test_a_convolution_of_one_pixel_is_a_linear_layer_at_each() -> None:
    conv, linear = nn.Conv2d(3, 5, 1, dtype=tt.float64), nn.Linear(3, 5, dtype=tt.float64)
    with tt.no_grad():
        conv.weight.copy_(linear.weight.reshape(5, 3, 1, 1))
        conv.bias.copy_(linear.bias)
    x = randn(2, 3, 4, 6).requires_grad_()
    other = x.detach().requires_grad_()
    y, z = conv(x), linear(other.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    np.testing.assert_allclose(y.detach(), z.detach(), rtol=1e-12)
    (y * y).sum().backward()
    (z * z).sum().backward()
    np.testing.assert_allclose(x.grad, other.grad, rtol=1e-12)
    np.testing.assert_allclose(conv.weight.grad.reshape(5, 3), linear.weight.grad, rtol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (2, 8, 9, 7), "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"),
        (nn.Conv2d(3, 6, (3, 1), stride=2, groups=3, bias=False), (2, 6, 4, 4), "Conv2d(3, 6, kernel_size=(3, 1), stride=(2, 2), groups=3, bias=False)"),
        (nn.Conv2d(3, 4, 3, padding="same", dilation=2), (2, 4, 9, 7), "Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), padding=same, dilation=(2, 2))"),
        (nn.MaxPool2d(2), (2, 3, 4, 3), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
        (nn.MaxPool2d(2, ceil_mode=True), (2, 3, 5, 4), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=True)"),
        (nn.AvgPool2d(3, 1, padding=1), (2, 3, 9, 7), "AvgPool2d(kernel_size=3, stride=1, padding=1)"),
        (nn.AdaptiveAvgPool2d((None, 1)), (2, 3, 9, 1), "AdaptiveAvgPool2d(output_size=(None, 1))"),
    ],
)  # fmt: skip
def test_images_have_the_sizes_that_pytorch_gives_them(layer: Any, shape: Any, text: str) -> None:
    x = tt.randn(2, 3, 9, 7, requires_grad=True)
    y = layer(x)
    assert tuple(y.shape) == shape
    assert repr(layer) == text
    y.sum().backward()
    assert x.grad is not None


def test_signals() -> None:
    x = tt.randn(2, 3, 9)
    for layer, shape in ((nn.Conv1d(3, 4, 3, stride=2), (2, 4, 4)), (nn.MaxPool1d(3), (2, 3, 3)), (nn.AvgPool1d(2), (2, 3, 4)), (nn.AdaptiveAvgPool1d(5), (2, 3, 5))):  # fmt: skip
        assert tuple(layer(x).shape) == shape
    values, places = nn.MaxPool1d(3, return_indices=True)(x)
    np.testing.assert_array_equal(np.take_along_axis(x.numpy(), places.numpy(), 2), values)


def test_what_a_convolution_refuses() -> None:
    with pytest.raises(ValueError, match="groups=2 must divide in_channels=3"):
        nn.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="Conv2d kernel_size: expected a number or 2 of them"):
        nn.Conv2d(3, 4, (3, 3, 3))


def test_starting_values_of_a_convolution() -> None:
    layer = nn.Conv2d(8, 64, 3, generator=tt.Generator(1))
    bound = 1 / math.sqrt(72)
    for p in layer.parameters():
        assert p.abs().max().item() <= bound
        assert p.abs().max().item() > 0.9 * bound


# ----------------------------------------------------------------------------------------------------------- embedding
def test_embedding() -> None:
    layer = nn.Embedding(5, 3, padding_idx=-1)
    assert repr(layer) == "Embedding(5, 3, padding_idx=4)"
    assert layer.weight[4].tolist() == [0, 0, 0]
    ids = tt.tensor([[1, 4], [1, 0]])
    y = layer(ids)
    assert tuple(y.shape) == (2, 2, 3)
    np.testing.assert_array_equal(y.detach()[0, 0], layer.weight.detach()[1])
    y.sum().backward()
    assert layer.weight.grad[:, 0].tolist() == [1, 2, 0, 0, 0]
    with pytest.raises(IndexError, match="5"):
        layer(tt.tensor([5]))
    with pytest.raises(ValueError, match="padding_idx=5 is outside the 5 rows"):
        nn.Embedding(5, 3, 5)


# ------------------------------------------------------------------------------------------------------------- dropout
@pytest.mark.parametrize(("kind", "shape"), [(nn.Dropout1d, (50, 20, 3)), (nn.Dropout2d, (50, 20, 3, 2))])
def test_dropout_of_channels(kind: Any, shape: Any) -> None:
    tt.manual_seed(3)
    y = kind(0.25)(tt.ones(*shape)).numpy().reshape(*shape[:2], -1)
    assert (y.min(2) == y.max(2)).all()
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert abs((y[..., 0] == 0).mean() - 0.25) < 0.05
    assert (kind(0.25).eval()(tt.ones(*shape)).numpy() == 1).all()


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    tt.manual_seed(3)
    y = nn.AlphaDropout(0.3)(tt.randn(200_000)).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.std() - 1) < 0.02


# ------------------------------------------------------------------------------------------------------------- whole
def test_an_mlp_is_the_layers_that_it_names() -> None:
    net = nn.MLP([784, 128, 64, 10], nn.SiLU, nn.BatchNorm1d, 0.2)
    kinds = [type(m).__name__ for m in net]
    assert kinds == ["Linear", "BatchNorm1d", "SiLU", "Dropout"] * 2 + ["Linear"]
    plain = nn.MLP([4, 3, 2], generator=tt.Generator(1))
    same = nn.Sequential(nn.Linear(4, 3, generator=(g := tt.Generator(1))), nn.ReLU(), nn.Linear(3, 2, generator=g))
    assert list(plain.state_dict()) == list(same.state_dict())
    x = tt.randn(5, 4)
    np.testing.assert_array_equal(plain(x).detach(), same(x).detach())
    assert [type(m).__name__ for m in plain[:2]] == ["Linear", "ReLU"]
    assert type(plain[-1]) is nn.Linear
    for wrong in ({"activation": "relu"}, {"activation": nn.ReLU()}, {"norm": "batch"}):
        with pytest.raises(TypeError, match=r"MLP: expected (activation|norm) as what makes a module"):
            nn.MLP([2, 3, 1], **wrong)
    with pytest.raises(ValueError, match="at least two sizes"):
        nn.MLP([3])


def test_a_small_network_of_images_learns() -> None:
    """Bars that stand or lie: told apart after 60 steps."""
    tt.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 2)
    )
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = rng.normal(0, 0.3, (64, 1, 6, 6)).astype(np.float32)
    for image, label, at in zip(images[:, 0], labels, rng.integers(0, 6, 64)):
        image[(slice(None), at) if label else (at, slice(None))] += 1
    x, y = tt.tensor(images), tt.tensor(labels)
    optimizer = tt.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval()
    with tt.no_grad():
        assert (net(x).argmax(1) == y).double().mean().item() > 0.95


def test_pytorch_agrees() -> None:
    """Layers of the same state give the same values and gradients, and PyTorch's state loads by name."""
    torch = pytest.importorskip("torch")
    for ours, theirs, shape in (
        (nn.BatchNorm2d(3, momentum=None), torch.nn.BatchNorm2d(3, momentum=None), (4, 3, 5, 6)),
        (nn.Conv2d(3, 6, 3, 2, 1, 2, 3), torch.nn.Conv2d(3, 6, 3, 2, 1, 2, 3), (4, 3, 7, 8)),
        (nn.Conv1d(3, 6, 3, padding="same"), torch.nn.Conv1d(3, 6, 3, padding="same"), (4, 3, 7)),
        (nn.GroupNorm(3, 6), torch.nn.GroupNorm(3, 6), (4, 6, 5)),
        (nn.LayerNorm((5, 6)), torch.nn.LayerNorm((5, 6)), (4, 5, 6)),
        (nn.RMSNorm(6), torch.nn.RMSNorm(6), (4, 6)),
        (nn.PReLU(5), torch.nn.PReLU(5), (4, 5, 2)),
        (nn.AvgPool2d(3, 2, 1, True, False), torch.nn.AvgPool2d(3, 2, 1, True, False), (2, 3, 8, 7)),
        (nn.MaxPool2d(3, 2, 1, 2), torch.nn.MaxPool2d(3, 2, 1, 2), (2, 3, 8, 7)),
        (nn.AdaptiveAvgPool2d((3, 2)), torch.nn.AdaptiveAvgPool2d((3, 2)), (2, 3, 8, 7)),
    ):  # fmt: skip
        theirs = theirs.double()
        ours = ours.double()
        ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
        x = randn(*shape).requires_grad_()
        p = torch.tensor(x.detach().numpy(), requires_grad=True)
        for _ in range(2):
            y, q = ours(x), theirs(p)
        np.testing.assert_allclose(y.detach(), q.detach().numpy(), rtol=1e-9, atol=1e-12)
        (y * y).sum().backward()
        (q * q).sum().backward()
        np.testing.assert_allclose(x.grad, p.grad.numpy(), rtol=1e-8, atol=1e-10)
        for name, value in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), rtol=1e-12)
