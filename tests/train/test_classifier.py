"""The training loop: it learns, it can be repeated, it reports what happened, and looks at no test image."""

import dataclasses
import json
import math

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.data import ImageData
from tinytensor.train import (
    ACTIVATIONS,
    OPTIMIZERS,
    SCHEDULES,
    Checkpoint,
    TrainConfig,
    load_checkpoint,
    train,
)


def stripes(count, seed):
    """Noise with one bright row, which is the class: 6 x 5 images of 3 classes."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    images = generator.integers(0, 120, (count, 6, 5), dtype=np.uint8)
    images[np.arange(count), labels * 2] += 100
    return images, labels


class Untouchable:
    """Test images that must not be looked at."""

    def __getattr__(self, name):
        raise AssertionError(f"test images were asked for {name}")


DATA = ImageData(*stripes(400, 0), *stripes(100, 1))
SMALL = TrainConfig(hidden=(16,), epochs=3, batch_size=32)


def test_learns_and_reports(monkeypatch):
    steps = []
    records = []
    config = dataclasses.replace(SMALL, epochs=5)
    data = DATA._replace(test_images=Untouchable())
    run = train(config, data, lambda *step: steps.append(step), lambda record, _: records.append(record))
    assert run.history == records and [record.epoch for record in records] == [1, 2, 3, 4, 5]
    assert [size for size, _ in steps] == [*[32] * 12, 16] * 5
    assert [loss for _, loss in steps] == run.step_losses
    assert records[0].train_loss == pytest.approx(np.average(run.step_losses[:13], weights=[32] * 12 + [16]))
    assert records[-1].train_loss < 0.5 * records[0].train_loss
    assert records[-1].train_accuracy > 0.95
    assert records[0].holdout_accuracy is None
    assert sum(record.seconds for record in records) <= run.seconds
    for record in records:
        assert record.samples_per_second == pytest.approx(400 / record.seconds)
    assert run.classifier.evaluate(DATA.test_images, DATA.test_labels).accuracy > 0.95


def parameters_of(run):
    return {name: value.numpy().tobytes() for name, value in run.classifier.model.state_dict().items()}


def test_a_seed_repeats_and_another_does_not():
    config = dataclasses.replace(SMALL, dropout=0.2, epochs=2)
    first, second = train(config, DATA), train(config, DATA)
    assert first.step_losses == second.step_losses
    assert parameters_of(first) == parameters_of(second)
    assert parameters_of(first) != parameters_of(train(dataclasses.replace(config, seed=1), DATA))


def test_plain_sgd_follows_numpy_for_100_steps():
    config = TrainConfig(
        hidden=(16,), optimizer="sgd", lr=0.1, schedule="constant", batch_size=16, epochs=4, dtype="float64"
    )
    tt.manual_seed(config.seed)
    w1, b1, w2, b2 = (p.detach().numpy().copy() for p in nn.Sequential(
        nn.Linear(30, 16, dtype=tt.float64), nn.Linear(16, 3, dtype=tt.float64)
    ).parameters())  # fmt: skip
    sample = DATA.train_images[::10].astype(np.float64)
    x_all = (DATA.train_images.reshape(400, 30) - sample.mean()) / sample.std()

    losses = []
    for _ in range(config.epochs):
        order = tt.randperm(400).numpy()
        for index in order.reshape(25, 16):
            x, y = x_all[index], DATA.train_labels[index]
            hidden = np.maximum(x @ w1.T + b1, 0)
            logits = hidden @ w2.T + b2
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            losses.append(-np.log(p[np.arange(16), y]).mean())
            p[np.arange(16), y] -= 1
            g2 = p / 16
            g1 = (g2 @ w2) * (hidden > 0)
            w2, b2 = w2 - 0.1 * g2.T @ hidden, b2 - 0.1 * g2.sum(axis=0)
            w1, b1 = w1 - 0.1 * g1.T @ x, b1 - 0.1 * g1.sum(axis=0)
    assert len(losses) == 100
    np.testing.assert_allclose(train(config, DATA).step_losses, losses, rtol=0, atol=1e-10)


def test_pixels_are_scaled_to_mean_0_and_deviation_1():
    description = train(dataclasses.replace(SMALL, epochs=1), DATA).classifier.description
    sample = DATA.train_images[::10].astype(np.float64)
    assert description.scale == pytest.approx(1 / sample.std(), rel=1e-12)
    assert description.shift == pytest.approx(-sample.mean() / sample.std(), rel=1e-12)


def test_images_of_one_shade_can_be_trained_on():
    blank = DATA._replace(train_images=np.full((400, 6, 5), 7, np.uint8))
    run = train(dataclasses.replace(SMALL, epochs=1), blank)
    assert math.isfinite(run.step_losses[-1])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation_learns(name):
    run = train(dataclasses.replace(SMALL, activation=name, epochs=4, lr=0.02), DATA)
    kinds = [type(module).__name__.lower() for module in run.classifier.model]
    assert kinds == ["flatten", "linear", name.replace("_", ""), "linear"]
    assert run.history[-1].train_loss < 0.7 * run.history[0].train_loss


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_learns_with_its_default_rate(name):
    run = train(dataclasses.replace(SMALL, optimizer=name, epochs=4), DATA)
    assert run.history[-1].train_loss < 0.7 * run.history[0].train_loss


def test_optimizers_differ():
    runs = [train(dataclasses.replace(SMALL, optimizer=name, lr=0.01, weight_decay=0.1), DATA) for name in OPTIMIZERS]
    assert len({run.step_losses[-1] for run in runs}) == len(OPTIMIZERS)


# The rate of the last of 3 x 13 steps, from the schedules' formulas.
LAST_RATE = {
    "constant": 0.02,
    "linear": 0.02 / 39,
    "cosine": 0.01 * (1 + math.cos(math.pi * 38 / 39)),
    "onecycle": 0.02 / 25 / 1e4,
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_each_schedule_ends_where_it_should(name, optimizer):
    run = train(dataclasses.replace(SMALL, schedule=name, optimizer=optimizer, lr=0.02), DATA)
    assert run.history[-1].lr == pytest.approx(LAST_RATE[name], rel=1e-9)


def test_architecture_with_dropout_and_without_hidden_layers():
    model = train(TrainConfig(hidden=(8, 4), dropout=0.5, epochs=1, dtype="float64"), DATA).classifier.model
    names = [type(module).__name__ for module in model]
    assert names == ["Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert {p.dtype for p in model.parameters()} == {tt.float64}
    assert [p.shape for p in model.parameters()] == [(8, 30), (8,), (4, 8), (4,), (3, 4), (3,)]
    linear = train(TrainConfig(hidden=(), epochs=1), DATA).classifier.model
    assert [type(module).__name__ for module in linear] == ["Flatten", "Linear"]


def test_train_accuracy_is_that_of_the_batches():
    # With a rate of next to nothing the network stands still, so that both measure the same one.
    run = train(TrainConfig(hidden=(16,), optimizer="sgd", lr=1e-20, schedule="constant", epochs=1), DATA)
    whole = run.classifier.evaluate(DATA.train_images, DATA.train_labels)
    assert run.history[0].train_accuracy == whole.accuracy
    assert run.history[0].train_loss == pytest.approx(whole.loss, rel=1e-5)


def test_holdout_is_evaluated_and_not_trained_on():
    config = dataclasses.replace(SMALL, holdout=100)
    run = train(config, DATA)
    held = run.classifier.evaluate(DATA.train_images[300:], DATA.train_labels[300:])
    assert (run.history[-1].holdout_loss, run.history[-1].holdout_accuracy) == (held.loss, held.accuracy)
    images = DATA.train_images.copy()
    images[300:] = 0
    other = train(config, DATA._replace(train_images=images))
    # The scaling is measured on the images that are trained on; nothing else may differ.
    assert parameters_of(other) == parameters_of(run)
    assert other.history[-1].holdout_loss != run.history[-1].holdout_loss


def test_evaluation_is_right_and_leaves_no_trace():
    classifier = train(dataclasses.replace(SMALL, dropout=0.5), DATA).classifier
    classifier.model.train()
    images, labels = stripes(2500, 5)  # more than one batch, and no whole number of them
    result = classifier.evaluate(images, labels)
    assert classifier.model.training
    assert all(p.grad is None or p.grad.requires_grad is False for p in classifier.model.parameters())
    classifier.model.eval()
    own = classifier.description
    x = tt.from_numpy((images * own.scale + own.shift).astype(np.float32))
    logits = classifier.model(x).detach().numpy().astype(np.float64)
    np.testing.assert_array_equal(result.predictions, logits.argmax(axis=1))
    assert result.accuracy == (logits.argmax(axis=1) == labels).mean()
    log_sums = np.log(np.exp(logits).sum(axis=1))
    assert result.loss == pytest.approx((log_sums - logits[np.arange(2500), labels]).mean(), rel=1e-5)


def test_evaluation_refuses_what_does_not_fit():
    classifier = train(dataclasses.replace(SMALL, epochs=1), DATA).classifier
    with pytest.raises(ValueError, match="takes images of 6x5, these are 5x6"):
        classifier.evaluate(DATA.test_images.reshape(-1, 5, 6), DATA.test_labels)
    with pytest.raises(ValueError, match="has 3 classes, a label is 3"):
        classifier.evaluate(DATA.test_images, DATA.test_labels + 1)


def test_divergence_is_an_error():
    with pytest.raises(
        FloatingPointError,
        match=r"is nan at step 2, in epoch 1: training diverged.*lower learning rate.*detect_anomaly",
    ):
        train(dataclasses.replace(SMALL, optimizer="sgd", lr=1e30, schedule="constant"), DATA)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden": (16, 0)}, "hidden widths must be at least 1, got 0"),
        ({"activation": "swish"}, "activation must be one of relu, .*, got 'swish'"),
        ({"optimizer": "lion"}, "optimizer must be one of adamw, .*, got 'lion'"),
        ({"schedule": "step"}, "schedule must be one of onecycle, .*, got 'step'"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64, got 'float16'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"holdout": -1}, "holdout must be at least 0, got -1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1, got 1.0"),
        ({"lr": 0.0}, "lr must be a positive number, got 0.0"),
        ({"lr": math.nan}, "lr must be a positive number, got nan"),
        ({"weight_decay": -0.1}, "weight_decay must be 0 or a positive number, got -0.1"),
    ],
)
def test_config_refuses_values_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


def test_data_that_cannot_be_trained_on():
    with pytest.raises(ValueError, match="holdout 400 leaves none of the 400 training images"):
        train(dataclasses.replace(SMALL, holdout=400), DATA)
    with pytest.raises(ValueError, match="labels up to 100000 in 400 training images"):
        train(SMALL, DATA._replace(train_labels=DATA.train_labels + 100_000 - DATA.train_labels.max()))
    with pytest.raises(ValueError, match="labels up to 0"):
        train(SMALL, DATA._replace(train_labels=DATA.train_labels * 0, test_labels=DATA.test_labels * 0))


def saved(tmp_path, config=SMALL):
    kept = []
    run = train(config, DATA, on_epoch=lambda record, network: kept.append(Checkpoint.take(network, config, record)))
    path = tmp_path / "checkpoint.safetensors"
    kept[-1].save(path)
    return run, kept, path


def test_checkpoint_rebuilds_the_network(tmp_path):
    pytest.importorskip("safetensors")
    config = dataclasses.replace(SMALL, hidden=(8, 4), dropout=0.3, activation="gelu", dtype="float64", lr=0.01)
    run, kept, path = saved(tmp_path, config)
    loaded = load_checkpoint(path)
    assert loaded.description == run.classifier.description
    before, after = (network.evaluate(DATA.test_images, DATA.test_labels) for network in (run.classifier, loaded))
    assert (before.loss, before.accuracy) == (after.loss, after.accuracy)
    metadata = kept[-1].metadata
    assert TrainConfig(**{**json.loads(metadata["config"]), "hidden": (8, 4)}) == config
    assert json.loads(metadata["epoch"]) == dataclasses.asdict(run.history[-1])


def test_checkpoint_is_a_copy():
    kept = []
    train(SMALL, DATA, on_epoch=lambda record, network: kept.append(Checkpoint.take(network, SMALL, record)))
    assert all(not np.array_equal(kept[0].state[name], kept[-1].state[name]) for name in kept[0].state)


def forged(checkpoint, path, **changes):
    description = {**json.loads(checkpoint.metadata["classifier"]), **changes}
    Checkpoint(checkpoint.state, {**checkpoint.metadata, "classifier": json.dumps(description)}).save(path)


def test_forged_checkpoints_are_refused(tmp_path):
    pytest.importorskip("safetensors")
    _, kept, path = saved(tmp_path)
    for changes, message in (
        ({"hidden": [10**12]}, r"describes has \d+ parameters, the file holds 547"),
        ({"hidden": [-16]}, "at least 1"),
        ({"hidden": "16"}, "at least 1"),
        ({"hidden": 16}, "damaged description"),
        ({"image_shape": [30]}, "at least 1"),
        ({"image_shape": [5.0, 6]}, "at least 1"),
        ({"activation": "eval"}, "unknown activation"),
        ({"dtype": "object"}, "unknown activation or dtype"),
        ({"scale": math.nan}, "out of range"),
        ({"dropout": 2}, "out of range"),
        ({"scale": None}, "damaged description"),
        ({"more": 1}, "expected the entries"),
    ):
        forged(kept[-1], path, **changes)
        with pytest.raises(ValueError, match=message) as caught:
            load_checkpoint(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    pytest.importorskip("safetensors")
    _, kept, path = saved(tmp_path)
    state, metadata = kept[-1]
    for case, message in (
        (Checkpoint(state, {}), "not a checkpoint of tinytensor's training"),
        (Checkpoint(state, {"format": metadata["format"]}), "damaged description"),
        (Checkpoint(state, {**metadata, "classifier": "[1"}), "damaged description"),
        (Checkpoint(state, {**metadata, "classifier": "[1]"}), "expected the entries"),
        (Checkpoint({name + "x": value for name, value in state.items()}, metadata), "do not fit the network"),
        (Checkpoint({name: value.reshape(-1) for name, value in state.items()}, metadata), "do not fit the network"),
    ):
        case.save(path)
        with pytest.raises(ValueError, match=message):
            load_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "absent")
