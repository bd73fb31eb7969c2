"""Exact resume: interrupted anywhere, the training ends with the bits of one that was not."""

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.data import DataLoader, Dataset, IterableDataset, TensorDataset, batches
from tinytensor.optim import lr_scheduler
from tinytensor.train import Callback, fit

TIMES = ("seconds", "samples_per_second")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """What is flushed to the disk outlives lost power, which no test here cuts; a killed process loses nothing without."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Interrupted(Exception):
    pass


class At(Callback):
    """Raises after the update k; counts updates, and so has a state."""

    def __init__(self, step=None):
        self.at = step
        self.seen = 0

    def on_step_end(self, run):
        self.seen += 1
        if run.step == self.at:
            raise Interrupted

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


def digest(model, history, callback):
    """Of weights, buffers, and the history without its times."""
    sha = hashlib.sha256()
    for name, value in model.state_dict().items():
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(value.numpy()).tobytes())
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in history.rows]
    more = (rows, history.best_epoch, history.stopped, callback.seen, tt.random.default_generator.get_state())
    sha.update(repr(more).encode())
    if history.confusion_matrix is not None:
        sha.update(history.confusion_matrix.tobytes())
    return sha.hexdigest()


def samples(count=70):
    x = tt.randn(count, 6, generator=tt.Generator(1))
    return x, (x[:, 0] + x[:, 1] * x[:, 2] > 0).to(tt.int64)


def network(dropout=0.2):
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(dropout), nn.Linear(12, 2))


def noisy(x):
    return x + 0.1 * tt.randn(*x.shape)


class OwnNoise:
    def __init__(self, seed):
        self.generator = tt.Generator(seed)

    def __call__(self, x):
        return x + 0.1 * tt.randn(*x.shape, generator=self.generator)


class Rows(Dataset):
    """Without `batch`: a sample at a time."""

    def __getitem__(self, index):
        x, y = samples()
        return x[index], int(y[index].item())

    def __len__(self):
        return 70


class Stream(IterableDataset):
    def __iter__(self):
        x, y = samples()
        return iter([(x[i], y[i]) for i in range(70)])


def loader():
    return DataLoader(TensorDataset(*samples()), batch_size=16, shuffle=True, generator=tt.Generator(5))


CASES = {
    "everything": lambda: {
        "data": samples(),
        "optimizer": "adam",
        "validation": 0.2,
        "batch_size": 8,
        "transform": noisy,
        "accumulate": 3,
        "clip_grad_norm": 0.5,
        "ema": 0.9,
        "schedule": "onecycle",
        "restore_best": True,
        "early_stopping": 3,
    },
    "own generators": lambda: {
        "data": samples(),
        "optimizer": lambda p: tt.optim.SGD(p, lr=0.1, momentum=0.9),
        "batch_size": 16,
        "generator": tt.Generator(3),
        "transform": OwnNoise(4),
        "validation": 10,
        "schedule": lambda opt, total: lr_scheduler.ReduceLROnPlateau(opt, patience=0),
    },
    "loader": lambda: {"data": loader(), "optimizer": "nadam", "schedule": "cosine", "schedule_per": "epoch"},
    "workers": lambda: {
        "data": DataLoader(TensorDataset(*samples()), batch_size=16, shuffle=True, num_workers=2),
        "optimizer": "lion",
    },
    "batches made by a function": lambda: {"data": lambda: batches(*samples(), 16), "optimizer": "rmsprop"},
    "list of batches": lambda: {
        "data": [(samples()[0][i : i + 20], samples()[1][i : i + 20]) for i in range(0, 60, 20)],
        "optimizer": "sgd",
    },
    "stream": lambda: {"data": Stream(), "optimizer": "adamw", "batch_size": 16},
    "rows": lambda: {"data": Rows(), "optimizer": "adagrad", "batch_size": 20, "validation": 0.3},
}


def train(step=None, *, seed=0, **more):
    """A training from the seed; returns the digest."""
    tt.manual_seed(seed)
    model = network()
    callback = At(step)
    data, optimizer = more.pop("data"), more.pop("optimizer")
    history = fit(
        model, data, "cross_entropy", optimizer, more.pop("epochs", 3), callbacks=[callback], progress=False, **more
    )
    return digest(model, history, callback)


@pytest.mark.parametrize("name", CASES)
def test_an_interrupted_training_ends_with_the_same_bits(name, tmp_path):
    case = CASES[name]
    whole = train(**case())
    steps = At()
    tt.manual_seed(0)
    kwargs = case()
    fit(
        network(),
        kwargs.pop("data"),
        "cross_entropy",
        kwargs.pop("optimizer"),
        3,
        callbacks=[steps],
        progress=False,
        **kwargs,
    )
    path = tmp_path / "run.safetensors"
    assert train(**case(), checkpoint=path) == whole  # to write it changes nothing
    for every in (1, 2, "epoch"):
        for at in range(1, steps.seen + 1, 1 if every == 1 else 4):
            path.unlink(missing_ok=True)
            with pytest.raises(Interrupted):
                train(at, **case(), checkpoint=path, save_every=every)
            # another seed: all that matters comes from the file, where there is one
            seed = 7 if path.exists() else 0
            assert train(seed=seed, **case(), checkpoint=path, save_every=every, resume=True) == whole, (every, at)


def test_interrupted_again_and_again(tmp_path):
    case = CASES["everything"]
    whole = train(**case())
    path = tmp_path / "run.safetensors"
    for at in range(2, 9, 2):
        with pytest.raises(Interrupted):
            train(at, **case(), checkpoint=path, save_every=1, resume=True)
    assert train(**case(), checkpoint=path, save_every=1, resume=True) == whole
    # and once more: it is over
    assert train(seed=3, **case(), checkpoint=path, save_every=1, resume=True) == whole


def test_lbfgs_resumes(tmp_path):
    def case():
        return {
            "data": samples(),
            "optimizer": lambda p: tt.optim.LBFGS(p, max_iter=3, history_size=4),
            "batch_size": 70,
            "epochs": 5,
        }

    whole = train(**case())
    path = tmp_path / "run.safetensors"
    with pytest.raises(Interrupted):
        train(4, **case(), checkpoint=path)
    assert train(seed=2, **case(), checkpoint=path, resume=True) == whole


def test_early_stopping_goes_on_counting(tmp_path):
    def case():
        x, y = samples()
        noise = tt.randint(0, 2, (30,), generator=tt.Generator(9))
        return {
            "data": (x, y), "optimizer": "adam", "validation": (tt.randn(30, 6, generator=tt.Generator(8)), noise), "epochs": 40,
            "early_stopping": 4, "batch_size": 35,
        }  # fmt: skip

    whole = train(**case())
    path = tmp_path / "run.safetensors"
    for at in (3, 9, 10):
        path.unlink(missing_ok=True)
        with pytest.raises(Interrupted):
            train(at, **case(), checkpoint=path)
        assert train(seed=2, **case(), checkpoint=path, resume=True) == whole


def test_a_buffer_that_is_not_saved_and_the_weights_of_a_loss_resume(tmp_path):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(6, 2)
            self.register_buffer("calls", tt.zeros(1), persistent=False)

        def forward(self, x):
            if self.training:
                self.calls.add_(1)
            return self.body(x) * (1 + self.calls / 100)

    def run(at, **more):
        tt.manual_seed(0)
        model = Counting()
        fit(model, samples(), nn.CrossEntropyLoss(), "sgd", 2, callbacks=[At(at)], progress=False, **more)
        return model.body.weight.detach().numpy().tobytes()

    whole = run(None)
    path = tmp_path / "run.safetensors"
    with pytest.raises(Interrupted):
        run(4, checkpoint=path, save_every=1)
    assert run(None, checkpoint=path, resume=True) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 5}, "epochs is 3 in the file, 5 here"),
        ({"optimizer": "sgd"}, "optimizer is Adam in the file, SGD here"),
        ({"optimizer": lambda p: tt.optim.Adam(p, lr=0.5)}, r"optimizer\.lr is 0\.001 in the file, 0\.5 here"),
        ({"accumulate": 2}, "accumulate is 3 in the file, 2 here"),
        ({"schedule": "linear"}, "schedule is OneCycleLR in the file, LinearLR here"),
        ({"schedule": None}, "schedule is .*OneCycleLR.* in the file, None here"),
        ({"ema": None}, r"ema is 0\.9 in the file, None here"),
        ({"data": samples(71)}, r"data\.samples is 56 in the file, 57 here"),
        ({"data": (samples()[0] * 2, samples()[1])}, r"data\.content is \d+ in the file, \d+ here"),
        ({"shuffle": False}, r"data\.shuffle is True in the file, False here"),
        ({"batch_size": 1000, "accumulate": 1}, r"data\.batch_size is \d+ in the file, 1000 here"),
        ({"transform": OwnNoise(0)}, "transform is noisy in the file, OwnNoise here"),
        ({"early_stopping": 2}, r"early_stopping\.patience is 3 in the file, 2 here"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(change, message, tmp_path):
    path = tmp_path / "run.safetensors"
    train(**CASES["everything"](), checkpoint=path)
    with pytest.raises(ValueError, match=message):
        train(**{**CASES["everything"](), **change}, checkpoint=path, resume=True)


def test_a_checkpoint_of_another_model_is_refused_and_nothing_is_changed(tmp_path):
    path = tmp_path / "run.safetensors"
    train(**CASES["loader"](), checkpoint=path)
    model = nn.Sequential(nn.Linear(6, 13), nn.ReLU(), nn.Linear(13, 2))
    before, state = model[0].weight.detach().numpy().copy(), tt.random.default_generator.get_state()
    with pytest.raises(ValueError, match=r"model\.0\.weight is float32 \(12, 6\) in the file, float32 \(13, 6\) here"):
        fit(model, loader(), "cross_entropy", "nadam", 3, checkpoint=path, resume=True, progress=False)
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), before)
    assert tt.random.default_generator.get_state() == state


@pytest.mark.parametrize(
    "damage",
    [
        lambda g: g.clear(),
        lambda g: g.update(start=7),
        lambda g: g.update(start=[1] * len(g["start"])),
        lambda g: g.update(start=[{"seed": 1, "offset": float("inf")}] * len(g["start"])),
        lambda g: g.update(start=g["start"][:-1]),
        lambda g: g.update(now=g["now"][:-1]),
    ],
)
def test_damaged_states_of_generators_are_refused(tmp_path, damage):
    path = tmp_path / "run.safetensors"
    train(**CASES["loader"](), checkpoint=path)
    state = tt.load(path)
    damage(state["generators"])
    tt.save(state, path)
    with pytest.raises(ValueError, match=r"run\.safetensors: damaged checkpoint"):
        train(**CASES["loader"](), checkpoint=path, resume=True)


def test_files_that_are_no_checkpoint_are_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    tt.save(network().state_dict(), path)
    with pytest.raises(ValueError, match="not a checkpoint of fit"):
        train(**CASES["loader"](), checkpoint=path, resume=True)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"run\.safetensors"):
        train(**CASES["loader"](), checkpoint=path, resume=True)
    train(**CASES["loader"](), checkpoint=path)
    state = tt.load(path)
    del state["optimizer"]
    tt.save(state, path)
    with pytest.raises(ValueError, match=r"damaged checkpoint \(KeyError: 'optimizer'\)"):
        train(**CASES["loader"](), checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="resume=True needs checkpoint="):
        train(**CASES["loader"](), resume=True)


def test_data_that_became_shorter_is_named(tmp_path):
    path = tmp_path / "run.safetensors"
    x, y = samples()
    made = [[(x, y)] * 3]
    with pytest.raises(Interrupted):
        train(3, data=lambda: made[0], optimizer="sgd", checkpoint=path, save_every=1)
    made[0] = made[0][:1]
    with pytest.raises(ValueError, match="gave 1 batches, the checkpoint was written after 2"):
        train(data=lambda: made[0], optimizer="sgd", checkpoint=path, save_every=1, resume=True)


# ------------------------------------------------------------------------------------------------------------ signals
def test_ctrl_c_finishes_the_update_writes_the_checkpoint_and_raises(tmp_path):
    case = CASES["everything"]
    whole = train(**case())
    path = tmp_path / "run.safetensors"

    class CtrlC(At):
        def on_step_end(self, run):
            super().on_step_end(run)
            if run.step == 5 and self.at is None:
                signal.raise_signal(signal.SIGINT)

    def run(again, **more):
        tt.manual_seed(0)
        model, callback = network().eval(), CtrlC(99 if again else None)
        kwargs = case()
        try:
            history = fit(
                model, kwargs.pop("data"), "cross_entropy", kwargs.pop("optimizer"), 3, callbacks=[callback],
                progress=False, checkpoint=path, resume=again, **kwargs,
            )  # fmt: skip
        finally:
            assert not any(module.training for module in model.modules())
        return digest(model, history, callback)

    with pytest.raises(KeyboardInterrupt, match=r"interrupted after step 5, in epoch 2 of 3; resume=True goes on from"):
        run(False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    # The class' name is compared, and so is its state.
    assert run(True) == whole


def test_ctrl_c_while_validating_leaves_a_history_of_whole_epochs(tmp_path):
    rows = []

    class Watch(Callback):
        def on_train_begin(self, run):
            rows.append(run.history)

    def interrupting(outputs, targets):
        if len(rows[0]) == 1 and len(rows) == 1:
            signal.raise_signal(signal.SIGINT)
        return 0.0

    def run(**more):
        tt.manual_seed(0)
        return fit(
            network(), samples(), "cross_entropy", "sgd", 3, validation=0.3, metrics={"own": interrupting},
            callbacks=[Watch()], progress=False, checkpoint=tmp_path / "c.safetensors", **more,
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(rows[0]) == 2
    assert len(run(resume=True)) == 3


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    path = tmp_path / "run.safetensors"

    class Twice(Callback):
        def on_step_end(self, run):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt):
        fit(network(), samples(), "cross_entropy", "sgd", 2, callbacks=[Twice()], progress=False, checkpoint=path)
    assert not path.exists()


PROGRAM = """
import hashlib, sys
import tinytensor as tt
from tinytensor import nn
from tinytensor.train import fit
tt.manual_seed(0)
x = tt.randn(96, 6)
y = (x[:, 0] > x[:, 1]).to(tt.int64)
model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(0.1), nn.Linear(12, 2))
history = fit(model, (x, y), "cross_entropy", "adam", 12, validation=0.25, batch_size=6, schedule="onecycle",
              accumulate=2, ema=0.9, early_stopping=9, checkpoint=sys.argv[1], save_every=1, resume=True, progress=False)
rows = [{k: v for k, v in row.items() if k not in ("seconds", "samples_per_second")} for row in history.rows]
sha = hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values()))
print(sha.hexdigest(), rows, history.best_epoch)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a POSIX signal")
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", str(tmp_path / "whole.safetensors")])
    exec(PROGRAM, {"__name__": "__main__"})
    whole = capsys.readouterr().out
    assert re.match(r"[0-9a-f]{64} \[\{'epoch': 1, 'step': 6", whole)
    path = tmp_path / "run.safetensors"

    def start():
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)],
            cwd=Path(tt.__file__).parent.parent,
            stdout=subprocess.PIPE,
            text=True,
        )

    moments, killed = random.Random(0), 0
    for _ in range(2):
        last = path.stat().st_mtime_ns if path.exists() else None
        process = start()
        until = time.monotonic() + 60
        while (not path.exists() or path.stat().st_mtime_ns == last) and process.poll() is None:
            assert time.monotonic() < until
        moment = time.monotonic() + moments.random() * 0.02
        while time.monotonic() < moment:
            pass
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed
    process = start()
    assert process.communicate(timeout=60)[0] == whole
    assert process.returncode == 0
