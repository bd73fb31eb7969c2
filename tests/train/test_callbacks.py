"""What is called while a training runs: in which order, with which state, and how it may stop it."""

import math

import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.train import Callback, EarlyStopping, fit


def data(count=40):
    x = tt.randn(count, 4, generator=tt.Generator(1))
    return x, (x[:, 0] > 0).to(tt.int64)


class Log(Callback):
    def __init__(self, log, name=""):
        self.log = log
        self.name = name

    def on_train_begin(self, run):
        self.log.append((f"{self.name}train begins", run.epoch, run.step, len(run.history)))

    def on_epoch_begin(self, run):
        self.log.append((f"{self.name}epoch begins", run.epoch, run.step, len(run.history)))

    def on_step_end(self, run):
        self.log.append((f"{self.name}step ends", run.epoch, run.step, len(run.history)))

    def on_epoch_end(self, run):
        self.log.append((f"{self.name}epoch ends", run.epoch, run.step, len(run.history)))

    def on_train_end(self, run):
        self.log.append((f"{self.name}train ends", run.epoch, run.step, len(run.history)))


def test_the_order_of_calls():
    log = []
    fit(nn.Linear(4, 2), data(), "cross_entropy", "sgd", 2, callbacks=[Log(log)], progress=False)
    assert log == [
        ("train begins", 0, 0, 0),
        ("epoch begins", 1, 0, 0), ("step ends", 1, 1, 0), ("step ends", 1, 2, 0), ("epoch ends", 1, 2, 1),
        ("epoch begins", 2, 2, 1), ("step ends", 2, 3, 1), ("step ends", 2, 4, 1), ("epoch ends", 2, 4, 2),
        ("train ends", 2, 4, 2),
    ]  # fmt: skip


def test_several_are_called_in_their_order():
    log = []
    more = {"callbacks": [Log(log, "a "), Callback(), Log(log, "b ")], "progress": False}
    fit(nn.Linear(4, 2), data(5), "cross_entropy", "sgd", 1, **more)
    kinds = ("train begins", "epoch begins", "step ends", "epoch ends", "train ends")
    assert [entry[0] for entry in log] == [f"{name} {kind}" for kind in kinds for name in "ab"]


def test_a_callback_sees_the_run():
    seen = []

    class Look(Callback):
        def on_step_end(self, run):
            seen.append((run.samples, run.lr, run.samples_per_epoch, run.steps_per_epoch, run.epochs))
            assert math.isfinite(run.loss)
            assert run.model is model

        def on_epoch_end(self, run):
            assert run.scores["loss"] == run.history.rows[-1]["val_loss"]
            assert tuple(run.scores.outputs.shape) == (8, 2)

    model = nn.Linear(4, 2)
    fit(model, data(), "cross_entropy", "sgd", 1, validation=8, callbacks=[Look()], progress=False)
    assert seen == [(32, 0.001, 32, 1, 1)]


def test_the_loss_of_a_step_is_the_mean_over_its_samples():
    seen = []

    class Look(Callback):
        def on_step_end(self, run):
            seen.append((run.loss, run.samples))

    history = fit(
        nn.Linear(4, 2), data(50), "cross_entropy", "sgd", 1, accumulate=2, callbacks=[Look()], batch_size=20,
        progress=False,
    )  # fmt: skip
    assert [samples for _, samples in seen] == [40, 10]
    assert sum(loss * samples for loss, samples in seen) / 50 == pytest.approx(history.rows[0]["train_loss"], rel=1e-12)


def test_to_stop_inside_an_epoch_ends_it_there():
    log = []

    class Stop(Log):
        def on_step_end(self, run):
            super().on_step_end(run)
            if run.step == 3:
                run.stop("enough")

    history = fit(nn.Linear(4, 2), data(), "cross_entropy", "sgd", 9, callbacks=[Stop(log)], progress=False)
    assert log[-4:] == [("epoch begins", 2, 2, 1), ("step ends", 2, 3, 1), ("epoch ends", 2, 3, 2), ("train ends", 2, 3, 2)]  # fmt: skip
    assert history.stopped == "enough"
    assert len(history) == 2


def test_to_stop_after_an_epoch():
    class Stop(Callback):
        def on_epoch_end(self, run):
            if run.epoch == 2:
                run.stop()

    history = fit(nn.Linear(4, 2), data(), "cross_entropy", "sgd", 9, callbacks=[Stop()], progress=False)
    assert (len(history), history.stopped) == (2, "a callback stopped it")


@pytest.mark.parametrize("when", ["on_train_begin", "on_epoch_begin"])
def test_to_stop_before_the_first_batch_records_nothing(when):
    log = []
    stop = Callback()
    setattr(stop, when, lambda run: run.stop("no"))
    history = fit(nn.Linear(4, 2), data(), "cross_entropy", "sgd", 9, callbacks=[stop, Log(log)], progress=False)
    assert (len(history), history.stopped) == (0, "no")
    assert log[-1] == ("train ends", int(when == "on_epoch_begin"), 0, 0)


def test_early_stopping_counts_epochs_without_improvement():
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    assert [stopping.update(v, "min") for v in (1.0, 0.95, 0.85, 0.84, math.nan)] == [False, False, False, False, True]
    stopping.reset()
    assert [stopping.update(v, "max") for v in (1.0, 1.2, 1.25, 1.1)] == [False, False, False, True]
    with pytest.raises(ValueError, match="min_delta must be a number >= 0"):
        EarlyStopping(1, -1.0)
    with pytest.raises(ValueError, match=r"patience must be a whole number >= 1, got 1\.5"):
        EarlyStopping(1.5)


def test_an_early_stopping_used_twice_begins_anew():
    stopping = EarlyStopping(patience=1)
    for _ in range(2):
        history = fit(
            nn.Linear(4, 2), data(), "cross_entropy", lambda p: tt.optim.SGD(p, lr=0.0), 9, early_stopping=stopping,
            progress=False, shuffle=False,
        )  # fmt: skip
        assert len(history) == 2


def test_an_error_in_a_callback_comes_through_and_modes_are_put_back():
    class Fails(Callback):
        def on_epoch_end(self, run):
            raise RuntimeError("mine")

    model = nn.Linear(4, 2).eval()
    with pytest.raises(RuntimeError, match="mine"):
        fit(model, data(), "cross_entropy", "sgd", 2, callbacks=[Fails()], progress=False)
    assert not model.training
