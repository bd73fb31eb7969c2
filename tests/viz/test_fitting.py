"""Too small, too large, too strongly decayed: each is found in a training that has it, and nothing in those that have not."""

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.train import History, fit
from tinytensor.viz import diagnose
from tinytensor.viz.fitting import has_stalled, overfits


def blobs(seed, samples=400, width=20, noise=0.0):
    """Ten clouds for training and validation; noise: the share of training labels drawn at random."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 10, samples + 400)
    x = (random.normal(size=(10, width))[y] + random.normal(size=(len(y), width))).astype(np.float32)
    wrong = random.random(samples) < noise
    y[:samples][wrong] = random.integers(0, 10, wrong.sum())
    return (x[:samples], y[:samples]), (x[samples:], y[samples:])


def xor(seed, width):
    """Two classes that no line separates, in `width` dimensions, of which two count."""
    x = np.random.default_rng(seed).uniform(-1, 1, (400, width)).astype(np.float32)
    return x, ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(np.int64)


def trained(sizes, data, optimizer, epochs, **options):
    model = nn.MLP(sizes, options.pop("activation", nn.ReLU))
    made = optimizer(model.parameters())
    history = fit(model, data, "cross_entropy", made, epochs, progress=False, **options)
    return diagnose(model, data, optimizer=made, history=history)


def adam(lr, decay=0.0):
    return lambda parameters: optim.Adam(parameters, lr=lr, weight_decay=decay)


@pytest.mark.parametrize("width", [10, 20, 50])
def test_one_hidden_unit_is_too_few(width):
    tt.manual_seed(width)
    data, validation = blobs(width, width=width)
    found = trained([width, 1, 10], data, adam(0.01), 30, validation=validation, activation=nn.Tanh)
    assert found.names == ["underfitting"]
    assert "(guessing: 2." in found.findings[0].detail


@pytest.mark.parametrize("hidden", [[16], [32], [32, 32]])
def test_enough_units_for_the_same_are_no_finding(hidden):
    tt.manual_seed(0)
    data, validation = blobs(0)
    assert trained([20, *hidden, 10], data, adam(0.003), 30, validation=validation).findings == []


def test_one_line_does_not_separate_what_two_do():
    tt.manual_seed(0)
    assert trained([2, 1, 2], xor(0, 2), adam(0.03), 20, activation=nn.Tanh).names == ["underfitting"]
    assert trained([2, 16, 2], xor(0, 2), adam(0.03), 20, activation=nn.Tanh).findings == []


def test_noise_is_nothing_to_learn():
    tt.manual_seed(1)
    data, _ = blobs(1, samples=1000, noise=0.3)
    found = trained([20, 16, 10], data, adam(0.003), 20)
    assert found.loss > 1 and found.findings == []


@pytest.mark.parametrize("hidden", [[128], [256], [128, 128]])
def test_a_large_network_learns_wrong_labels_by_heart(hidden):
    tt.manual_seed(0)
    data, validation = blobs(0, samples=100, noise=0.3)
    found = trained([20, *hidden, 10], data, adam(0.003), 60, validation=validation)
    assert found.names == ["overfitting"]


def test_early_stopping_is_the_remedy():
    tt.manual_seed(0)
    data, validation = blobs(0, samples=100, noise=0.3)
    found = trained([20, 128, 10], data, adam(0.003), 60, validation=validation, early_stopping=5)
    assert found.findings == []


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("hidden", [[16], [64], [64, 64]])
def test_weight_decay_of_one(kind, hidden):
    data, validation = blobs(0)
    rate = 0.1 if kind is optim.SGD else 0.001
    tt.manual_seed(0)
    found = trained([20, *hidden, 10], data, lambda p: kind(p, lr=rate, weight_decay=1.0), 20, validation=validation)
    assert found.names == ["weight_decay_too_strong"]


@pytest.mark.parametrize("kind, rate", [(optim.AdamW, 0.001), (optim.Lion, 0.001)])
def test_decoupled_weight_decay_of_a_tenth_an_update(kind, rate):
    data, validation = blobs(0)
    for decay, names in ((100.0, ["weight_decay_too_strong"]), (0.01, [])):
        tt.manual_seed(0)
        optimizer = lambda p, decay=decay: kind(p, lr=rate, weight_decay=decay)  # noqa: E731
        assert trained([20, 64, 10], data, optimizer, 20, validation=validation).names == names


@pytest.mark.parametrize("kind, rate", [(optim.SGD, 0.1), (optim.Adam, 0.001)])
def test_a_little_weight_decay_is_no_finding(kind, rate):
    tt.manual_seed(0)
    data, validation = blobs(0)
    found = trained([20, 64, 10], data, lambda p: kind(p, lr=rate, weight_decay=1e-4), 20, validation=validation)
    assert found.findings == []


def test_a_regression_with_one_unit():
    tt.manual_seed(0)
    x = np.random.default_rng(0).uniform(-2, 2, (300, 2)).astype(np.float32)
    y = np.sin(3 * x[:, :1]) * np.cos(2 * x[:, 1:])
    for hidden, names in ((1, ["underfitting"]), (64, [])):
        model = nn.MLP([2, hidden, 1], nn.Tanh)
        optimizer = optim.Adam(model.parameters(), lr=0.02)
        history = fit(model, (x, y), "mse", optimizer, 40, progress=False)
        assert diagnose(model, (x, y), "mse", optimizer, history=history).names == names


def history(training, validation=(), **more):
    rows = [{"epoch": i + 1, "train_loss": loss} for i, loss in enumerate(training)]
    for row, loss in zip(rows, validation):
        row["val_loss"] = loss
    made = History(rows)
    made.stopped = more.get("stopped")
    return made


DOWN = [2.0, 1.5, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1]


@pytest.mark.parametrize(
    "training, validation, found",
    [
        (DOWN, [2.0, 1.6, 1.2, 1.1, 1.2, 1.3, 1.4, 1.5], True),
        (DOWN, [2.0, 1.6, 1.2, 1.1, 1.0, 0.9, 0.9, 0.9], False),  # it falls
        (DOWN, [2.0, 1.6, 1.2, 1.1, 1.2, 1.3, 1.1, 1.5], False),  # not three in a row
        (DOWN, [2.0, 1.6, 1.2, 1.1, 1.12, 1.13, 1.14, 1.15], False),  # within 5 %
        ([*DOWN[:4], 0.8, 0.9, 1.0, 1.1], [2.0, 1.6, 1.2, 1.1, 1.2, 1.3, 1.4, 1.5], False),  # training rises, too
        (DOWN, [2.0, 0.9, 0.5, 0.1, 0.2, 0.2, 0.2, 0.2], False),  # nothing lies between them
        (DOWN[:3], [1.0, 1.5, 2.0], False),  # too short
        (DOWN, [2.0, 1.6, 1.2, 1.1, 1.2, 1.3, 1.4, float("nan")], True),
        (DOWN, [], False),
    ],
)
def test_what_overfitting_is(training, validation, found):
    assert (overfits(history(training, validation), 2.3) is not None) == found
    assert (overfits(history(training, validation), None) is not None) == found


def test_overfitting_says_since_when():
    made = history(DOWN, [2.0, 1.6, 1.2, 1.1, 1.2, 1.3, 1.4, 1.5])
    assert overfits(made, 2.3) == (
        "since epoch 4 the validation loss rose from 1.1 to 1.5, the training loss fell from 0.7 to 0.1"
    )
    made.stopped = "val_loss has not improved for 4 epochs (best: epoch 4)"
    assert overfits(made, 2.3) is None


def test_what_a_plateau_is():
    assert not has_stalled(history(DOWN))
    assert not has_stalled(history([1.0] * 7))
    assert has_stalled(history([2.0, 1.5] + [1.0] * 6))
    assert has_stalled(history([2.0, 1.0] * 4))
    assert not has_stalled(history([2.0, 1.5, 1.0, 1.0, 1.0, 1.0, 0.94, 0.94]))
