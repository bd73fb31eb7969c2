"""The loop for any model: what it computes, step by step, and what it refuses."""

import math

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels, nn
from tinytensor.data import DataLoader, Dataset, IterableDataset, TensorDataset
from tinytensor.nn import functional as F
from tinytensor.optim import lr_scheduler
from tinytensor.train import Callback, evaluate
from tinytensor.train import fit as fit_


def fit(*args, **more):
    return fit_(*args, **{"progress": False, **more})


def weights(model):
    return np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])


def classification(count=60):
    x = tt.randn(count, 4, generator=tt.Generator(1))
    return x, (x[:, 0] > x[:, 1]).to(tt.int64)


def regression(count=60):
    x = tt.randn(count, 3, generator=tt.Generator(1))
    return x, x @ tt.tensor([[1.0], [-2.0], [0.5]]) + 0.3


def linear(outputs=2, inputs=4):
    tt.manual_seed(0)
    return nn.Linear(inputs, outputs)


class Rates(Callback):
    def __init__(self):
        self.rates = []

    def on_train_begin(self, run):
        self.rates.append(run.lr)

    def on_step_end(self, run):
        self.rates.append(run.lr)


# --------------------------------------------------------------------------------------------------------- what it does
def test_it_makes_the_steps_of_a_loop_by_hand():
    x, y = classification(50)
    model, other = linear(), linear()
    optimizer = tt.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    tt.manual_seed(3)
    losses, right = [], 0
    for _ in range(2):
        order = tt.randperm(50).numpy()
        for start in range(0, 50, 20):
            i = order[start : start + 20]
            out = other(x[i])
            loss = F.cross_entropy(out, y[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item() * len(i))
            right += int((out.argmax(1) == y[i]).sum().item())
        total, found, losses, right = sum(losses) / 50, right / 50, [], 0
    tt.manual_seed(3)
    history = fit(model, (x, y), "cross_entropy", lambda p: tt.optim.SGD(p, lr=0.1, momentum=0.9), 2, batch_size=20)
    np.testing.assert_array_equal(weights(model), weights(other))
    assert history.rows[-1]["train_loss"] == total
    assert history.rows[-1]["train_accuracy"] == found
    assert [row["step"] for row in history] == [3, 6]
    assert history["epoch"] == [1, 2]


def test_regression_with_r2():
    model = linear(1, 3)
    history = fit(
        model,
        regression(100),
        nn.MSELoss(),
        lambda p: tt.optim.Adam(p, lr=0.05),
        30,
        validation=0.2,
        metrics=("r2", "mae"),
    )
    assert history.rows[-1]["val_r2"] > 0.99
    assert history.rows[-1]["val_mae"] < 0.2
    assert "train_accuracy" not in history.columns()
    assert history.confusion_matrix is None


def test_arrays_are_taken_in_the_dtype_of_the_model():
    x, y = classification()
    one, two = linear(), linear()
    fit(one, (x, y), "cross_entropy", "sgd", 1, shuffle=False)
    fit(two, (x.numpy().astype(np.float64), y.numpy().astype(np.int32)), "cross_entropy", "sgd", 1, shuffle=False)
    np.testing.assert_array_equal(weights(one), weights(two))


def test_accumulated_batches_have_the_gradient_of_one_large_batch():
    x, y = regression(22)
    large, small, seen = linear(1, 3).double(), linear(1, 3).double(), []

    class Gradients(Callback):
        def on_step_end(self, run):
            seen.append(np.concatenate([p.grad.numpy().reshape(-1) for p in run.model.parameters()]))

    x, y = x.double(), y.double()
    for model, size, group in ((large, 12, 1), (small, 5, 3)):  # 12 + 10 samples; 5 + 5 + 2, and 5 + 5
        batches = [
            (x[i : min(i + size, e)], y[i : min(i + size, e)])
            for b, e in ((0, 12), (12, 22))
            for i in range(b, e, size)
        ]
        history = fit(
            model, batches, "mse", lambda p: tt.optim.SGD(p, lr=0.1), 1, accumulate=group, callbacks=[Gradients()]
        )
        assert history.rows[0]["step"] == 2
    np.testing.assert_allclose(seen[0], seen[2], rtol=1e-12)
    np.testing.assert_allclose(seen[1], seen[3], rtol=1e-12)
    np.testing.assert_allclose(weights(large), weights(small), rtol=1e-12)


def test_the_last_group_of_an_epoch_may_be_smaller():
    history = fit(linear(), classification(50), "cross_entropy", "sgd", 2, batch_size=10, accumulate=3)
    assert history["step"] == [2, 4]


def test_clipping_of_norm_and_value():
    x, y = regression()
    norms = []

    class Norms(Callback):
        def on_step_end(self, run):
            grads = np.concatenate([p.grad.numpy().reshape(-1) for p in run.model.parameters()])
            norms.append((float(np.sqrt((grads.astype(np.float64) ** 2).sum())), float(np.abs(grads).max())))

    fit(linear(1, 3), (x * 10, y * 10), "mse", "sgd", 1, callbacks=[Norms()], clip_grad_norm=0.5)
    assert all(norm == pytest.approx(0.5, rel=1e-4) for norm, _ in norms)
    norms.clear()
    fit(linear(1, 3), (x * 10, y * 10), "mse", "sgd", 1, callbacks=[Norms()], clip_grad_value=0.25)
    assert all(largest == 0.25 for _, largest in norms)


def test_a_schedule_steps_after_every_update_or_every_epoch():
    data = classification(40)

    def run(**more):
        rates = Rates()
        fit(
            linear(),
            data,
            "cross_entropy",
            lambda p: tt.optim.SGD(p, lr=1.0),
            3,
            batch_size=20,
            callbacks=[rates],
            **more,
        )
        return rates.rates

    halve = lambda opt, total: lr_scheduler.ExponentialLR(opt, 0.5)  # noqa: E731
    assert run(schedule=halve) == [1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625]
    assert run(schedule=halve, schedule_per="epoch") == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    assert run(schedule="linear") == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0])
    assert run(schedule="linear", schedule_per="epoch") == pytest.approx([1, 1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3])
    assert run(schedule="cosine") == pytest.approx([(1 + math.cos(math.pi * i / 6)) / 2 for i in range(7)], abs=1e-12)
    rates = run(schedule="onecycle")
    assert rates[0] < 0.1 and max(rates) > 0.9
    assert rates[-1] == pytest.approx(1 / 25 / 1e4)
    totals = []
    run(schedule=lambda opt, total: totals.append(total) or lr_scheduler.ConstantLR(opt))
    run(
        schedule=lambda opt, total: totals.append(total) or lr_scheduler.ConstantLR(opt),
        schedule_per="epoch",
        accumulate=2,
    )
    run(schedule=lambda opt, total: totals.append(total) or lr_scheduler.ConstantLR(opt), accumulate=2)
    assert totals == [6, 3, 3]


def test_the_rate_in_the_history_is_that_of_the_last_update():
    history = fit(
        linear(),
        classification(40),
        "cross_entropy",
        lambda p: tt.optim.SGD(p, lr=1.0),
        2,
        batch_size=20,
        schedule="linear",
    )
    assert history["lr"] == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize("name", ["onecycle", "cosine", "linear"])
def test_an_optimizer_can_be_used_again_after_a_schedule(name):
    model = linear()
    optimizer = tt.optim.SGD(model.parameters(), lr=0.5, momentum=0.8)
    first = fit(model, classification(), "cross_entropy", optimizer, 3, schedule=name)
    assert optimizer.param_groups[0]["lr"] == 0.5 and optimizer.param_groups[0]["momentum"] == 0.8
    assert fit(model, classification(), "cross_entropy", optimizer, 3, schedule=name)["lr"] == first["lr"]
    with pytest.raises(ValueError, match="is no column"):
        fit(model, classification(), "cross_entropy", optimizer, 3, schedule=name, monitor="val_loss")
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_reduce_on_plateau_is_fed_with_the_monitor():
    model = linear()
    optimizer = tt.optim.SGD(model.parameters(), lr=0.0)
    optimizer.param_groups[0]["lr"] = 1e-30  # nothing improves
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5, eps=0, mode="max")
    history = fit(
        model, classification(), "cross_entropy", optimizer, 5, validation=0.2, schedule=plateau, monitor="val_accuracy"
    )
    assert plateau.best == history.rows[0]["val_accuracy"]
    assert history["lr"] == pytest.approx([1e-30, 1e-30, 1e-30, 5e-31, 5e-31])


def test_the_validation_part_is_disjoint_and_seeded():
    x = tt.arange(40).reshape(40, 1).float()
    y = tt.zeros(40, dtype=tt.int64)

    def parts(seed, validation):
        train, held = set(), set()

        class Spy(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Linear(1, 2)

            def forward(self, x):
                (train if self.training else held).update(x.numpy()[:, 0].tolist())
                return self.body(x / 40)

        fit(Spy(), (x, y), "cross_entropy", "sgd", 2, validation=validation, generator=tt.Generator(seed))
        assert not train & held
        assert len(train | held) == 40
        return held

    assert len(parts(0, 0.25)) == 10
    assert len(parts(0, 7)) == 7
    assert parts(0, 7) == parts(0, 7) != parts(1, 7)


def test_without_a_generator_the_default_one_draws():
    def run(seed):
        model = linear()
        tt.manual_seed(seed)
        fit(model, classification(), "cross_entropy", "sgd", 1, validation=0.5)
        return weights(model).tobytes()

    assert run(1) == run(1) != run(2)


def test_early_stopping_puts_the_best_weights_back(tmp_path):
    x, y = classification(30)
    held = tt.randn(40, 4, generator=tt.Generator(4)), tt.randint(0, 2, (40,), generator=tt.Generator(5))
    kept = []

    class Keep(Callback):
        def on_epoch_end(self, run):
            kept.append(weights(run.model).copy())

    model = linear()
    optimizer = tt.optim.Adam(model.parameters(), lr=0.2)
    history = fit(
        model, (x, y), "cross_entropy", optimizer, 50, validation=held, early_stopping=3, callbacks=[Keep()],
        save_best=tmp_path / "best.safetensors",
    )  # fmt: skip
    values = history["val_loss"]
    best = int(np.argmin(values))
    assert len(values) == best + 4 < 50
    assert history.best_epoch == best + 1
    assert history.best()["val_loss"] == min(values)
    assert history.stopped == f"val_loss has not improved for 3 epochs (best: epoch {best + 1})"
    np.testing.assert_array_equal(weights(model), kept[best])
    scores = evaluate(model, held, "cross_entropy")
    assert scores["loss"] == min(values)
    np.testing.assert_array_equal(history.confusion_matrix, scores.confusion_matrix())
    other = linear()
    other.load_state_dict(tt.load(tmp_path / "best.safetensors"))
    np.testing.assert_array_equal(weights(other), kept[best])


@pytest.mark.parametrize("ignored", [-100, 2])
def test_targets_that_are_no_class_leave_no_confusion_matrix(ignored):
    x, y = classification()
    counted = fit(linear(), (x, y), "cross_entropy", "sgd", 1, validation=(x, y)).confusion_matrix
    assert counted.sum(1).tolist() == np.bincount(y.numpy()).tolist()
    y = y.clone()
    y[-1] = ignored
    loss = nn.CrossEntropyLoss(ignore_index=ignored)
    history = fit(linear(), (x, y), loss, "sgd", 1, validation=(x, y), metrics=())
    assert history.confusion_matrix is None and history["val_loss"][0] < 2


def test_without_restore_best_the_last_weights_stay():
    kept = []

    class Keep(Callback):
        def on_epoch_end(self, run):
            kept.append(weights(run.model).copy())

    held = tt.randn(40, 4), tt.randint(0, 2, (40,))
    model = linear()
    optimizer = tt.optim.Adam(model.parameters(), lr=0.2)
    more = {"validation": held, "early_stopping": 2, "callbacks": [Keep()], "restore_best": False}
    history = fit(model, classification(), "cross_entropy", optimizer, 50, **more)
    assert history.best_epoch < len(history)
    np.testing.assert_array_equal(weights(model), kept[-1])


def test_averaged_weights_are_validated_and_kept():
    data = classification()
    average, seen, scores = None, 0, []

    class Average(Callback):
        def on_step_end(self, run):
            nonlocal average, seen
            now = weights(run.model).astype(np.float64)
            average = now if average is None else 0.8 * average + 0.2 * now
            seen += 1

        def on_epoch_end(self, run):
            scores.append(run.scores["loss"])

    model = linear()
    fit(model, data, "cross_entropy", "adam", 3, validation=data, ema=0.8, callbacks=[Average()])
    assert seen == 6
    np.testing.assert_allclose(weights(model), average, rtol=1e-5)
    assert evaluate(model, data, "cross_entropy")["loss"] == scores[-1]


def test_modes_are_set_and_put_back():
    modes = []

    class Spy(nn.Module):
        def forward(self, x):
            modes.append(self.training)
            return x

    model = nn.Sequential(Spy(), linear(), nn.Dropout(0.5)).eval()
    model[2].training = True
    fit(model, classification(), "cross_entropy", "sgd", 1, batch_size=60, validation=classification(30))
    assert modes == [True, False]
    assert [m.training for m in model.modules()] == [False, False, False, True]


def test_a_transform_sees_the_training_batches_only():
    seen = []

    def transform(x):
        seen.append(tuple(x.shape))
        return x * 0

    history = fit(
        linear(), classification(), "cross_entropy", "sgd", 1, batch_size=40, validation=20, transform=transform
    )
    assert seen == [(40, 4)]
    assert history.rows[0]["train_loss"] != history.rows[0]["val_loss"]


def test_lbfgs_gets_a_closure():
    model = linear(1, 3)
    history = fit(model, regression(), "mse", "lbfgs", 3, batch_size=60, clip_grad_norm=1e6)
    assert history.rows[-1]["train_loss"] < 1e-6


def test_custom_metrics_and_their_direction():
    def worst(outputs, targets):
        assert tuple(outputs.shape) == (20, 2)
        return float((F.cross_entropy(outputs, targets, reduction="none")).max().item())

    more = {"validation": classification(20), "metrics": {"worst": worst}, "monitor": "val_worst"}
    with pytest.raises(ValueError, match="'val_worst' is better is not known: give mode="):
        fit(linear(), classification(), "cross_entropy", "sgd", 2, **more)
    history = fit(linear(), classification(), "cross_entropy", "sgd", 2, **more, mode="min")
    assert history.best()["val_worst"] == min(history["val_worst"])


# ----------------------------------------------------------------------------------------------------------- kinds of data
class Samples(Dataset):
    def __getitem__(self, index):
        x, y = classification()
        return x[index], int(y[index].item())

    def __len__(self):
        return 60


class Stream(IterableDataset):
    def __iter__(self):
        x, y = classification()
        return iter([(x[i], y[i]) for i in range(60)])


def batches(size=20):
    x, y = classification()
    return [(x[i : i + size], y[i : i + size]) for i in range(0, 60, size)]


@pytest.mark.parametrize(
    "data",
    [
        lambda: classification(),
        lambda: [*classification()],
        lambda: TensorDataset(*classification()),
        lambda: Samples(),
        lambda: Stream(),
        lambda: DataLoader(TensorDataset(*classification()), batch_size=20),
        lambda: DataLoader(Stream(), batch_size=20),
        lambda: batches(),
        lambda: tuple((x.numpy(), y.numpy()) for x, y in batches()),
        lambda: batches,
        lambda: lambda: iter(batches()),
    ],
)
def test_all_kinds_of_data_give_the_same_training(data):
    made = data()
    sized = isinstance(made, (Dataset, tuple)) or (isinstance(made, list) and isinstance(made[0], tt.Tensor))
    sized = sized and not (isinstance(made, tuple) and isinstance(made[0], tuple))
    one, two = linear(), linear()
    fit(one, made, "cross_entropy", "adam", 2, shuffle=False, **({"batch_size": 20} if sized else {}))
    fit(two, classification(), "cross_entropy", "adam", 2, shuffle=False, batch_size=20)
    np.testing.assert_array_equal(weights(one), weights(two))
    scores = evaluate(one, made, "cross_entropy")
    assert scores["loss"] == pytest.approx(evaluate(two, classification(), "cross_entropy")["loss"], rel=1e-6)


def test_a_model_of_two_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 2)

        def forward(self, a, b):
            return self.body(a + b)

    x, y = classification()
    history = fit(Two(), (x, x * 0.5, y), "cross_entropy", "adam", 20, validation=0.2)
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]


def test_outputs_that_are_no_tensor_go_to_the_loss():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 2)

        def forward(self, x):
            return {"logits": self.body(x), "norm": (self.body.weight**2).sum()}

    def loss(outputs, targets):
        return F.cross_entropy(outputs["logits"], targets) + 0.01 * outputs["norm"]

    history = fit(Pair(), classification(), loss, "adam", 2, validation=0.2)
    assert history.columns() == [
        "epoch", "step", "lr", "train_loss", "val_loss", "seconds", "samples_per_second",
    ]  # fmt: skip
    with pytest.raises(TypeError, match=r"metrics \(accuracy\) need a model whose outputs are a Tensor"):
        evaluate(Pair(), classification(), loss, ("accuracy",))


def test_one_batch_one_sample():
    x, y = classification(1)
    history = fit(linear(), (x, y), "cross_entropy", "sgd", 2)
    assert history["step"] == [1, 2]


# -------------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"data": (tt.zeros(0, 4), tt.zeros(0, dtype=tt.int64))}, ValueError, "fit: no samples"),
        ({"data": []}, ValueError, "fit: no batches"),
        ({"data": lambda: iter([])}, ValueError, "gave no batches in epoch 1"),
        ({"data": iter(batches())}, ValueError, "gave no batches in epoch 2: an iterator can be gone through only once"),
        ({"data": tt.zeros(3, 4)}, TypeError, r"expected \(inputs, targets\) as tensors or arrays, a Dataset"),
        ({"data": 3}, TypeError, "a DataLoader, or an iterable of batches, got int"),
        ({"data": (tt.zeros(3, 4), tt.zeros(2))}, ValueError, "first dimensions must be equal"),
        ({"data": [(tt.zeros(3, 4),)]}, TypeError, r"expected batches \(inputs, targets\), got tuple of 1"),
        ({"data": [{"x": 1}]}, TypeError, r"expected batches \(inputs, targets\), got dict"),
        ({"data": [(tt.zeros(0, 4), tt.zeros(0, dtype=tt.int64))]}, ValueError, "a batch without samples"),
        ({"data": batches(), "batch_size": 3}, ValueError, "batch_size=3 has no meaning"),
        ({"data": batches(), "validation": 0.5}, ValueError, "validation=0.5 needs data with a length"),
        ({"validation": 1.0}, ValueError, "holds 60 of 60 samples out"),
        ({"validation": 0.001}, ValueError, "holds 0 of 60 samples out"),
        ({"validation": True}, ValueError, "validation=True"),
        ({"validation": []}, ValueError, "fit: validation: no batches"),
        ({"epochs": 0}, ValueError, "epochs must be a whole number >= 1, got 0"),
        ({"epochs": 2.5}, ValueError, "epochs must be a whole number >= 1, got 2.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"accumulate": 0}, ValueError, "accumulate must be"),
        ({"save_every": "day"}, ValueError, "save_every must be a whole number >= 1, a timedelta, or 'epoch', got 'day'"),
        ({"clip_grad_norm": -1.0}, ValueError, "clip_grad_norm must be a number > 0"),
        ({"clip_grad_value": math.nan}, ValueError, "clip_grad_value must be a number > 0"),
        ({"schedule_per": "day"}, ValueError, "schedule_per must be 'step' or 'epoch'"),
        ({"schedule": "cubic"}, ValueError, "one of onecycle, cosine, linear, got 'cubic'"),
        ({"data": lambda: batches(), "schedule": "cosine"}, ValueError, "how many updates there will be is not known"),
        ({"schedule": 3}, TypeError, "schedule must be a schedule, a function or a name, got int"),
        ({"schedule": lambda opt, total: 3}, TypeError, "schedule must be, or make, a schedule, got int"),
        ({"optimizer": "adamm"}, ValueError, "optimizer must be an Optimizer or one of sgd, adam, .*got 'adamm'"),
        ({"optimizer": lambda p: 3}, TypeError, "must be, or make, an Optimizer, got int"),
        ({"loss": "crossentropy"}, ValueError, "loss must be a function, a module or one of cross_entropy, .*got 'crossent"),
        ({"loss": 3}, TypeError, "loss must be a function, a module or a name, got int"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, ValueError, r"return a scalar Tensor, got a Tensor of shape \(32,\)"),
        ({"loss": lambda outputs, targets: 3.0}, ValueError, "return a scalar Tensor, got float"),
        ({"metrics": ("acuracy",), "validation": 0.2}, ValueError, "metrics must be among accuracy, .*got 'acuracy'"),
        ({"metrics": ("f1",)}, ValueError, "the metrics f1 are taken on validation data"),
        ({"monitor": "val_loss"}, ValueError, "monitor='val_loss' is no column"),
        ({"monitor": "val_f1", "validation": 0.2}, ValueError, "expected train_loss, train_accuracy, val_loss, val_accuracy"),
        ({"early_stopping": 0}, ValueError, "patience must be a whole number >= 1"),
        ({"mode": "least"}, ValueError, "mode must be 'min' or 'max'"),
        ({"ema": 2.0}, ValueError, "decay"),
        ({"validation": math.nan}, ValueError, "validation=nan holds 0 of 60 samples out"),
        ({"clip_grad_norm": "1"}, ValueError, "clip_grad_norm must be a number > 0, got '1'"),
        ({"early_stopping": "5"}, ValueError, "patience must be a whole number >= 1, got '5'"),
        ({"callbacks": Rates()}, TypeError, "callbacks must be a list, got one Rates: put it in a list"),
        ({"callbacks": [Rates]}, TypeError, "derived from Callback, got the class Rates"),
        ({"callbacks": [print]}, TypeError, "derived from Callback, got builtin"),
        ({"generator": 3}, TypeError, "generator must be a Generator or None, got int"),
        ({"optimizer": None}, TypeError, "an Optimizer, its class or its name, got NoneType"),
        ({"optimizer": tt.optim.SGD([tt.zeros(2, requires_grad=True)], 0.1)}, ValueError, "holds no parameter of the model"),
        ({"save_every": 3}, ValueError, "save_every needs checkpoint="),
        ({"resume": True}, ValueError, "resume=True needs checkpoint="),
        ({"checkpoint": "no/such/state"}, FileNotFoundError, "checkpoint='no/such/state': there is no folder"),
        ({"save_best": "no/such/state"}, FileNotFoundError, "save_best='no/such/state': there is no folder"),
        ({"checkpoint": "."}, IsADirectoryError, "checkpoint='.' is a folder"),
        ({"checkpoint": "a", "save_best": "./a"}, ValueError, "checkpoint and save_best are one file, 'a'"),
        ({"metrics": [lambda a, b: 1.0], "validation": 0.2}, ValueError, "gives its column no name"),
        ({"metrics": [3], "validation": 0.2}, TypeError, "metrics must be names and functions, got int"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(more, error, message):
    arguments = {"data": classification(), "loss": "cross_entropy", "optimizer": "sgd", "epochs": 2, **more}
    model = linear()
    with pytest.raises(error, match=message):
        fit(model, *(arguments.pop(name) for name in ("data", "loss", "optimizer", "epochs")), **arguments)
    assert model.training


def test_a_model_that_is_a_function_is_refused():
    with pytest.raises(TypeError, match="model must be a Module, got function"):
        fit(lambda x: x, classification(), "cross_entropy", "sgd", 1)


def test_numpy_numbers_hold_out_a_part():
    for validation in (np.int64(12), np.float32(0.2)):
        history = fit(linear(), classification(), "cross_entropy", "sgd", 1, batch_size=16, validation=validation)
        assert history["step"] == [3] and history.confusion_matrix.sum() == 12


def test_a_metric_may_be_a_function_and_one_called_accuracy_is_not_ours():
    def spread(outputs, targets):
        return 0.25

    model = linear()
    history = fit(model, classification(), "cross_entropy", "sgd", 1, validation=0.2, metrics=["accuracy", spread])
    assert history["val_spread"] == [0.25] and "train_accuracy" in history.columns()
    history = fit(model, classification(), "cross_entropy", "sgd", 1, validation=0.2, metrics={"accuracy": spread})
    assert history["val_accuracy"] == [0.25] and "train_accuracy" not in history.columns()


def test_wrong_shapes_name_the_op_and_what_to_do():
    x, y = regression()
    with pytest.raises(ValueError, match=r"mse_loss.*\(32, 1\).*\(32,\)"):
        fit(linear(1, 3), (x, y.reshape(60)), "mse", "sgd", 1)
    with pytest.raises(ValueError, match=r"Linear 4 -> 2: expected \(\*, 4\), got \(32, 3\)"):
        fit(linear(), (x, tt.zeros(60, dtype=tt.int64)), "cross_entropy", "sgd", 1)


def test_a_schedule_of_another_optimizer_is_refused():
    model = linear()
    one, two = (tt.optim.SGD(model.parameters(), lr=0.1) for _ in range(2))
    with pytest.raises(ValueError, match="the schedule is of another optimizer"):
        fit(model, classification(), "cross_entropy", one, 1, schedule=lr_scheduler.StepLR(two, 1))


# ------------------------------------------------------------------------------------------------------------ NaN and inf
def poisoned(where):
    x, y = classification()
    x = x.numpy().copy()
    x[41, 2] = where
    return tt.tensor(x), y


def test_a_loss_that_is_nan_names_the_data():
    model = linear()
    with pytest.raises(
        FloatingPointError, match=r"the loss is nan at step 2, in epoch 1, with learning rate 0.001: the inputs"
    ) as e:
        fit(model, poisoned(math.nan), "cross_entropy", "sgd", 1, shuffle=False)
    assert "1 NaN (first at (9, 2))" in str(e.value)
    assert np.isfinite(weights(model)).all()
    x, y = regression()
    y = y.numpy().copy()
    y[0] = math.inf
    with pytest.raises(
        FloatingPointError, match=r"the loss is inf at step 1.* the targets of this batch are not finite"
    ):
        fit(linear(1, 3), (x, y), "mse", "sgd", 1, shuffle=False)


def test_a_loss_that_is_nan_names_the_parameter():
    model = nn.Sequential(linear(), nn.Tanh(), linear(2, 2))

    class Break(Callback):
        def on_step_end(self, run):
            if run.step == 2:
                with tt.no_grad():
                    run.model[2].bias.copy_(tt.tensor([math.inf, 0.0]))

    with pytest.raises(
        FloatingPointError, match=r"at step 3, in epoch 1.*parameter 2\.bias is not finite since an earlier update"
    ):
        fit(model, classification(), "cross_entropy", "sgd", 3, callbacks=[Break()], batch_size=20, shuffle=False)


def test_divergence_names_the_first_op():
    model = linear(1, 3)
    history = []

    class Watch(Callback):
        def on_train_begin(self, run):
            history.append(run.history)

    with pytest.raises(FloatingPointError, match="training diverged") as e:
        fit(model, regression(), "mse", lambda p: tt.optim.SGD(p, lr=1e3), 90, callbacks=[Watch()])
    text = str(e.value)
    assert (
        "square made inf of operands that have none" in text
        and "with learning rate 1000" in text
        and "try a lower learning rate" in text
    )
    assert np.isfinite(weights(model)).all()
    assert len(history[0]) >= 1  # the epochs before are recorded
    assert not tt.is_anomaly_enabled()


def test_the_batch_is_rerun_with_the_same_dropout_and_leaves_the_buffers():
    class Fragile(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.drop, self.body = nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)

        def forward(self, x):
            kept = self.drop(self.norm(x))
            return self.body(kept) / (kept[:, :1] != 0).to(tt.float32)

    model = Fragile()
    tt.manual_seed(0)
    with pytest.raises(FloatingPointError, match="div") as e:
        fit(model, classification(), "cross_entropy", "sgd", 1)
    assert "finite, and the loss is when made again" not in str(e.value)
    assert model.norm.num_batches_tracked.item() == 1


def test_gradients_that_are_nan_are_named_before_the_update():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(tt.zeros(1))
            self.body = nn.Linear(4, 2)

        def forward(self, x):
            return self.body(x) + self.scale.sqrt()

    model = Root()
    before = weights(model)
    with pytest.raises(FloatingPointError, match=r"norm of the gradients is inf at step 1.*gradients of scale are not"):
        fit(model, classification(), "cross_entropy", "sgd", 1, clip_grad_norm=1.0)
    np.testing.assert_array_equal(weights(model), before)
    with pytest.raises(FloatingPointError, match=r"at step 2.*parameter scale is not finite since an earlier update"):
        fit(model, classification(), "cross_entropy", "sgd", 1)
    with pytest.raises(FloatingPointError, match=r"after step 1, the last of epoch 1: parameter scale is not finite"):
        fit(Root(), classification(), "cross_entropy", "sgd", 1, batch_size=60)


def test_gradients_that_are_nan_are_told_from_the_others():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(tt.zeros(1))
            self.body = nn.Linear(4, 2)

        def forward(self, x):
            return self.body(x) + self.scale.sqrt() - (self.scale * 1).sqrt()

    with pytest.raises(FloatingPointError, match=r"norm of the gradients is nan at step 1.*gradients of scale are not"):
        fit(Root(), classification(), "cross_entropy", "sgd", 1, clip_grad_norm=1.0)


def moments(**more):
    """Adam's, of weights whose gradient is zero after the first of 150 updates: 0.1 * 0.9^149 of 1e-32 is subnormal."""
    model = nn.Linear(4, 1, bias=False)
    scale, modes = iter([1e-32] + 149 * [0.0]), []

    class Modes(Callback):
        def on_step_end(self, run):
            modes.append(_kernels.get_flush_denormal())

    optimizer = tt.optim.Adam(model.parameters())
    batches = [(tt.ones(1, 4), tt.zeros(1))] * 150
    fit(model, batches, lambda out, y: (out * next(scale)).sum(), optimizer, 1, callbacks=[Modes()], **more)
    return optimizer.state[model.weight]["exp_avg"].numpy(), set(modes)


@pytest.mark.skipif(not tt.set_flush_denormal(False), reason="this processor cannot flush")
def test_moments_that_decay_do_not_become_subnormal():
    tiny = np.finfo(np.float32).tiny
    kept, modes = moments(flush_denormal=False)
    assert ((kept > 0) & (kept < tiny)).all() and modes == {False}
    flushed, modes = moments()  # zero with FMA; without it m stops near 1e-37, whose tenth is flushed
    assert ((flushed == 0) | (flushed >= tiny)).all() and modes == {True} and not _kernels.get_flush_denormal()
    with pytest.raises(ZeroDivisionError):
        fit(linear(), classification(), lambda out, y: 1 / 0, "sgd", 1)
    assert not _kernels.get_flush_denormal()
    with pytest.raises(TypeError, match="fit: flush_denormal must be True or False, got 1"):
        fit(linear(), classification(), "cross_entropy", "sgd", 1, flush_denormal=1)


def test_the_same_bits_on_any_number_of_threads():
    def run(threads):
        model = linear(64, 4)
        tt.manual_seed(0)
        with tt.threads(threads):
            x = tt.randn(600, 4)
            y = (x[:, 0] * 8).long().clamp(0, 63)
            history = fit(
                model, (x, y), "cross_entropy", "adam", 2, batch_size=256, validation=0.2, metrics=("accuracy", "f1")
            )
        return weights(model).tobytes(), history["val_loss"]

    assert run(1) == run(3)
