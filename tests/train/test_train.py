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
    Callback,
    Checkpoint,
    DataConfig,
    Samples,
    TrainConfig,
    load_checkpoint,
    load_samples,
    train,
)
from tinytensor.train.config import ACTIVATIONS, NORMS, OPTIMIZERS, SCHEDULES


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


class Steps(Callback):
    """Notes the size and loss of each update."""

    def __init__(self):
        self.losses, self.sizes, self.rates = [], [], []

    def on_step_end(self, run):
        self.losses.append(run.loss)
        self.sizes.append(run.samples)


def losses_of(config, data=DATA):
    steps = Steps()
    train(config, data, [steps])
    return steps.losses


def test_learns_and_reports():
    steps = Steps()
    config = dataclasses.replace(SMALL, epochs=5)
    data = DATA._replace(test_images=Untouchable())
    run = train(config, data, [steps])
    rows = run.history.rows
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert steps.sizes == [*[32] * 12, 16] * 5
    assert rows[0]["train_loss"] == pytest.approx(np.average(steps.losses[:13], weights=[32] * 12 + [16]))
    assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
    assert rows[-1]["train_accuracy"] > 0.95
    assert "val_accuracy" not in rows[0]
    assert run.seconds == pytest.approx(sum(run.history["seconds"]))
    assert run.network.evaluate(DATA.test_images, DATA.test_labels).accuracy > 0.95


def parameters_of(run):
    return {name: value.numpy().tobytes() for name, value in run.network.model.state_dict().items()}


def test_a_seed_repeats_and_another_does_not():
    config = dataclasses.replace(SMALL, dropout=0.2, epochs=2)
    first, second = train(config, DATA), train(config, DATA)
    assert first.history["train_loss"] == second.history["train_loss"]
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
    np.testing.assert_allclose(losses_of(config), losses, rtol=0, atol=1e-10)


def test_pixels_are_scaled_to_mean_0_and_deviation_1():
    description = train(dataclasses.replace(SMALL, epochs=1), DATA).network.description.input
    sample = DATA.train_images[::10].astype(np.float64)
    assert description.scale == pytest.approx(1 / sample.std(), rel=1e-12)
    assert description.shift == pytest.approx(-sample.mean() / sample.std(), rel=1e-12)


def test_images_of_one_shade_can_be_trained_on():
    blank = DATA._replace(train_images=np.full((400, 6, 5), 7, np.uint8))
    assert math.isfinite(losses_of(dataclasses.replace(SMALL, epochs=1), blank)[-1])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation_learns(name):
    run = train(dataclasses.replace(SMALL, activation=name, epochs=4, lr=0.02), DATA)
    kinds = [type(module).__name__.lower() for module in run.network.model]
    assert kinds == ["flatten", "linear", name.replace("_", ""), "linear"]
    assert run.history["train_loss"][-1] < 0.7 * run.history["train_loss"][0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_learns_with_its_default_rate(name):
    run = train(dataclasses.replace(SMALL, optimizer=name, epochs=12), DATA)
    assert run.history["train_loss"][-1] < 0.7 * run.history["train_loss"][0]


def test_optimizers_differ():
    last = [losses_of(dataclasses.replace(SMALL, optimizer=name, lr=0.01, weight_decay=0.1))[-1] for name in OPTIMIZERS]
    assert len(set(last)) == len(OPTIMIZERS)


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
    assert run.history["lr"][-1] == pytest.approx(LAST_RATE[name], rel=1e-9)


def test_architecture_with_dropout_and_without_hidden_layers():
    model = train(TrainConfig(hidden=(8, 4), dropout=0.5, epochs=1, dtype="float64"), DATA).network.model
    names = [type(module).__name__ for module in model]
    assert names == ["Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert {p.dtype for p in model.parameters()} == {tt.float64}
    assert [p.shape for p in model.parameters()] == [(8, 30), (8,), (4, 8), (4,), (3, 4), (3,)]
    linear = train(TrainConfig(hidden=(), epochs=1), DATA).network.model
    assert [type(module).__name__ for module in linear] == ["Flatten", "Linear"]


def test_train_accuracy_is_that_of_the_batches():
    # With a rate of next to nothing the network stands still, so that both measure the same one.
    run = train(TrainConfig(hidden=(16,), optimizer="sgd", lr=1e-20, schedule="constant", epochs=1), DATA)
    whole = run.network.evaluate(DATA.train_images, DATA.train_labels)
    assert run.history["train_accuracy"][0] == whole.accuracy
    assert run.history["train_loss"][0] == pytest.approx(whole.loss, rel=1e-5)


def test_holdout_is_evaluated_and_not_trained_on():
    config = dataclasses.replace(SMALL, holdout=100)
    run = train(config, DATA)
    held = run.network.evaluate(DATA.train_images[300:], DATA.train_labels[300:])
    assert (run.history["val_loss"][-1], run.history["val_accuracy"][-1]) == (pytest.approx(held.loss), held.accuracy)
    images = DATA.train_images.copy()
    images[300:] = 0
    other = train(config, DATA._replace(train_images=images))
    # The scaling is measured on the images that are trained on; nothing else may differ.
    assert parameters_of(other) == parameters_of(run)
    assert other.history["val_loss"] != run.history["val_loss"]


def test_evaluation_is_right_and_leaves_no_trace():
    network = train(dataclasses.replace(SMALL, dropout=0.5), DATA).network
    network.model.train()
    images, labels = stripes(2500, 5)  # more than one batch, and no whole number of them
    result = network.evaluate(images, labels)
    assert network.model.training
    assert all(p.grad is None or p.grad.requires_grad is False for p in network.model.parameters())
    network.model.eval()
    own = network.description.input
    x = tt.from_numpy((images * own.scale + own.shift).astype(np.float32))
    logits = network.model(x).detach().numpy().astype(np.float64)
    np.testing.assert_array_equal(result.predictions, logits.argmax(axis=1))
    assert result.accuracy == (logits.argmax(axis=1) == labels).mean()
    log_sums = np.log(np.exp(logits).sum(axis=1))
    assert result.loss == pytest.approx((log_sums - logits[np.arange(2500), labels]).mean(), rel=1e-5)


def test_evaluation_refuses_what_does_not_fit():
    network = train(dataclasses.replace(SMALL, epochs=1), DATA).network
    with pytest.raises(ValueError, match="takes images of 6x5, these are 5x6"):
        network.evaluate(DATA.test_images.reshape(-1, 5, 6), DATA.test_labels)
    with pytest.raises(ValueError, match="has 3 classes, a label is 3"):
        network.evaluate(DATA.test_images, DATA.test_labels + 1)


def test_divergence_is_an_error():
    with pytest.raises(
        FloatingPointError,
        match=r"the loss is nan at step 2, in epoch 1, with learning rate 1e\+30: .*",
    ):
        train(dataclasses.replace(SMALL, optimizer="sgd", lr=1e30, schedule="constant"), DATA)


def test_data_that_cannot_be_trained_on():
    with pytest.raises(ValueError, match="holdout 400 leaves none of the 400 training images"):
        train(dataclasses.replace(SMALL, holdout=400), DATA)
    with pytest.raises(ValueError, match="labels up to 100000 in 400 training images"):
        train(SMALL, DATA._replace(train_labels=DATA.train_labels + 100_000 - DATA.train_labels.max()))
    with pytest.raises(ValueError, match="labels up to 0"):
        train(SMALL, DATA._replace(train_labels=DATA.train_labels * 0, test_labels=DATA.test_labels * 0))


def test_norms_smoothing_clipping_accumulation_and_averages_train():
    for changes in (
        *({"norm": name, "epochs": 6} for name in NORMS),
        {"label_smoothing": 0.1, "epochs": 6},
        {"clip_grad_norm": 1.0},
        {"accumulate": 2, "lr": 0.2, "epochs": 6},
        {"ema": 0.8, "epochs": 6},
        {"input_dropout": 0.1, "epochs": 6},
        {"shift": 0.5, "rotate": 3.0, "scale": 0.02, "shear": 1.0, "elastic": 1.0, "epochs": 6},
    ):
        run = train(dataclasses.replace(SMALL, **changes), DATA)
        assert run.network.evaluate(DATA.test_images, DATA.test_labels).accuracy > 0.8, changes


def test_options_of_the_loop_reach_it():
    seen = {}

    class Look(Callback):
        def on_train_begin(self, run):
            seen.update(clip=run.clip_grad_norm, accumulate=run.accumulate, ema=run.ema_decay, transform=run.transform)

    train(dataclasses.replace(SMALL, clip_grad_norm=2.5, accumulate=3, ema=0.9, rotate=5.0, epochs=1), DATA, [Look()])
    assert (seen["clip"], seen["accumulate"], seen["ema"]) == (2.5, 3, 0.9)
    assert seen["transform"].degrees == (-5.0, 5.0)


def test_distorted_black_stays_black():
    seen = []

    class Look(Callback):
        def on_train_begin(self, run):
            seen.append(run.transform)

    run = train(dataclasses.replace(SMALL, shift=2.0, epochs=1), DATA, [Look()])
    own = run.network.description.input
    black = tt.full((3, 6, 5), own.shift)
    np.testing.assert_allclose(seen[0](black).numpy(), black.numpy(), rtol=1e-6)


def test_early_stopping_keeps_the_best():
    config = dataclasses.replace(SMALL, holdout=100, epochs=50, early_stopping=2, lr=0.5, schedule="constant")
    run = train(config, DATA)
    losses = run.history["val_loss"]
    assert len(losses) < 50 and "has not improved for 2 epochs" in run.history.stopped
    held = run.network.evaluate(DATA.train_images[300:], DATA.train_labels[300:])
    assert held.loss == pytest.approx(min(losses), rel=1e-6)


def table(path, rows=60):
    rng = np.random.default_rng(0)
    lines = ["a,b,kind,size"]
    for i in range(rows):
        a, b = rng.normal() + 3 * (i % 2), rng.normal()
        lines.append(f"{a:.4f},{b:.4f},{'xy'[i % 2]},{2 * a - b:.4f}")
    path.write_text("\n".join(lines))
    return str(path)


def test_a_table_is_split_by_the_seed_and_scaled_by_its_training_rows(tmp_path):
    data = DataConfig(csv=table(tmp_path / "t.csv"), target="kind", test_share=0.25)
    samples, again, other = load_samples(data, 0, 10), load_samples(data, 0, 10), load_samples(data, 1, 10)
    assert samples.train_x.shape == (45, 3) and samples.test_x.shape == (15, 3) and samples.classes == ("x", "y")
    np.testing.assert_array_equal(samples.train_x, again.train_x)
    assert not np.array_equal(samples.train_x, other.train_x)
    np.testing.assert_allclose(samples.train_x[:35].mean(axis=0), 0, atol=1e-6)  # without the holdout
    run = train(TrainConfig(hidden=(8,), epochs=20, batch_size=8), samples)
    assert run.network.evaluate(samples.test_x, samples.test_y).accuracy > 0.8


def test_a_regression_is_in_the_targets_units(tmp_path):
    samples = load_samples(DataConfig(csv=table(tmp_path / "t.csv"), target="size"))
    assert samples.task == "regression" and samples.train_y.shape == (48, 1)
    run = train(TrainConfig(hidden=(16,), epochs=100, batch_size=8, optimizer="adam", holdout=8), samples)
    result = run.network.evaluate(samples.test_x, samples.test_y)
    assert result.scores["r2"] > 0.9 and result.predictions.shape == (12,)
    wanted = np.array(samples.encoding.decode(samples.test_y))
    assert result.scores["mse"] == pytest.approx(((result.predictions - wanted) ** 2).mean())
    assert run.history["val_r2"][-1] > 0.8
    with pytest.raises(ValueError, match="distort images: the samples are rows of a table"):
        train(TrainConfig(rotate=5.0), samples)
    with pytest.raises(ValueError, match="label_smoothing is of classes"):
        train(TrainConfig(label_smoothing=0.1), samples)


def test_batch_normalization_is_not_left_with_one_sample():
    count = len(DATA.train_images)
    for batch_size in (1, count - 1):
        with pytest.raises(
            ValueError, match=f"at least two samples a batch, {count} in batches of {batch_size} leave one"
        ):
            train(TrainConfig(norm="batch", batch_size=batch_size), DATA)


def test_tables_too_small(tmp_path):
    data = DataConfig(csv=table(tmp_path / "t.csv", 4), target="kind", test_share=0.75)
    with pytest.raises(ValueError, match=r"4 rows leave 1 to train on, 3 for the test, 0 held out"):
        load_samples(data)


def saved(tmp_path, config=SMALL, data=DATA, source=None):
    run = train(config, data)
    row = run.history.rows[-1]
    kept = Checkpoint.take(run.network, run.network.model, config, source or DataConfig(), row, {"python": "3"})
    path = tmp_path / "checkpoint.safetensors"
    kept.save(path)
    return run, kept, path


def test_checkpoint_rebuilds_the_network(tmp_path):
    pytest.importorskip("safetensors")
    config = dataclasses.replace(
        SMALL, hidden=(8, 4), dropout=0.3, input_dropout=0.1, norm="batch", activation="gelu", dtype="float64", lr=0.01
    )
    run, kept, path = saved(tmp_path, config)
    loaded = load_checkpoint(path)
    assert loaded.description == run.network.description
    assert loaded.weights_hash() == run.network.weights_hash()
    before, after = (network.evaluate(DATA.test_images, DATA.test_labels) for network in (run.network, loaded))
    assert (before.loss, before.accuracy) == (after.loss, after.accuracy)
    metadata = kept.metadata
    assert TrainConfig(**{**json.loads(metadata["config"]), "hidden": (8, 4)}) == config
    assert json.loads(metadata["epoch"]) == run.history.rows[-1]


def test_checkpoint_of_a_table_predicts(tmp_path):
    pytest.importorskip("safetensors")
    for target in ("kind", "size"):
        source = DataConfig(csv=table(tmp_path / "t.csv"), target=target)
        samples = load_samples(source)
        run, _, path = saved(tmp_path, dataclasses.replace(SMALL, epochs=2), samples, source)
        loaded = load_checkpoint(path)
        assert loaded.description == run.network.description
        np.testing.assert_array_equal(loaded.predict(samples.test_x), run.network.predict(samples.test_x))


def test_checkpoint_is_a_copy():
    kept = []

    class Keep(Callback):
        def on_epoch_end(self, run):
            kept.append(Checkpoint.take(network[0], run.judged(), SMALL, DataConfig(), run.history.rows[-1], {}))

    network = []
    train(SMALL, DATA, [Keep()], on_network=network.append)
    assert all(not np.array_equal(kept[0].state[name], kept[-1].state[name]) for name in kept[0].state)


def forged(checkpoint, path, **changes):
    description = {**json.loads(checkpoint.metadata["network"]), **changes}
    Checkpoint(checkpoint.state, {**checkpoint.metadata, "network": json.dumps(description)}).save(path)


def image(**changes):
    return {"image": {"height": 6, "width": 5, "scale": 1.0, "shift": 0.0, "source": "", **changes}}


def test_forged_checkpoints_are_refused(tmp_path):
    pytest.importorskip("safetensors")
    _, kept, path = saved(tmp_path)
    for changes, message in (
        ({"hidden": [10**9]}, r"describes has \d+ parameters, the file holds 547"),
        ({"hidden": [10**12]}, "at least 1"),
        ({"hidden": [-16]}, "at least 1"),
        ({"hidden": [True]}, "at least 1"),
        ({"hidden": "16"}, "at least 1"),
        ({"hidden": 16}, "damaged description"),
        ({"hidden": [1] * 100_000}, "do not fit|parameters, the file"),
        ({"outputs": 4}, "parameters, the file holds 547"),
        (image(height=30), "parameters, the file holds 547"),
        (image(height=5.0), "at least 1"),
        ({"image": [5, 6]}, "expected height"),
        ({"table": {}}, "images or a table"),
        ({"activation": "eval"}, "unknown activation"),
        ({"norm": "os"}, "unknown norm"),
        ({"task": "ranking"}, "unknown task"),
        ({"task": "regression"}, "a regression with 3 outputs does not fit its inputs"),
        ({"dtype": "object"}, "unknown dtype"),
        ({"dtype": ["float32"]}, "unknown dtype|damaged description"),
        (image(scale=math.nan), "out of range"),
        ({"dropout": 2}, "out of range"),
        (image(scale=None), "damaged description"),
        ({"classes": ["a"]}, "1 names for 3 outputs"),
        ({"more": 1}, "expected the entries"),
    ):
        forged(kept, path, **changes)
        with pytest.raises(ValueError, match=message) as caught:
            load_checkpoint(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_forged_tables_are_refused(tmp_path):
    pytest.importorskip("safetensors")
    source = DataConfig(csv=table(tmp_path / "t.csv"), target="kind")
    _, kept, path = saved(tmp_path, dataclasses.replace(SMALL, epochs=1), load_samples(source), source)
    own = json.loads(kept.metadata["network"])["table"]
    for changes in (
        {},
        {"columns": 3},
        {**own, "task": "regression", "classes": None, "target_mean": 0.0, "target_std": 1.0},
        [],
        {**own, "columns": []},
        {**own, "target_std": 0},
        {**own, "classes": ["x"]},
    ):
        forged(kept, path, table=changes)
        with pytest.raises(ValueError, match=r"checkpoint\.safetensors: "):
            load_checkpoint(path)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    pytest.importorskip("safetensors")
    _, kept, path = saved(tmp_path)
    state, metadata = kept
    for case, message in (
        (Checkpoint(state, {}), "not a checkpoint of tinytensor's training"),
        (Checkpoint(state, {"format": metadata["format"]}), "damaged description"),
        (Checkpoint(state, {**metadata, "network": "[1"}), "damaged description"),
        (Checkpoint(state, {**metadata, "network": "[" * 100_000}), "damaged description"),
        (Checkpoint(state, {**metadata, "network": "[1]"}), "expected the entries"),
        (Checkpoint({name + "x": value for name, value in state.items()}, metadata), "do not fit the network"),
        (Checkpoint({name: value.reshape(-1) for name, value in state.items()}, metadata), "do not fit the network"),
    ):
        case.save(path)
        with pytest.raises(ValueError, match=message):
            load_checkpoint(path)
    tt.save({"a": [state, 3]}, path, metadata)
    with pytest.raises(ValueError, match="do not fit the network"):
        load_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "absent")


def test_samples_of_images_have_the_names_that_fit():
    assert Samples.of_images(DATA, "fashion", ("a", "b", "c")).classes == ("a", "b", "c")
    assert Samples.of_images(DATA, "fashion", ("a", "b")).classes == ()
