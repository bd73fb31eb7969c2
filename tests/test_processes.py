"""A few rounds of what tests/processes.py does many times; and Ctrl-C, made to come where it once did harm."""

from __future__ import annotations

import copy
import ctypes
import os
import pickle
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest

import tinytensor as tt
from tinytensor import nn, optim, train

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fork, signals and /proc as on Linux")


# "forks" comes last in its group, in the process itself: what forks itself may not be a fork with a handler of its own
@pytest.mark.parametrize(
    "names", ["forks,threads,signals,ended", "pools", "orders", "faults", "subinterpreters", "ends", "refusals"]
)
def test_a_few_rounds(names: str) -> None:
    found, figures = processes.run_apart(names, 0, 300)
    assert found is None, found
    assert figures


def test_the_long_form_tells_what_it_finds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["processes.py", "ended", "faults"])
    monkeypatch.setattr(
        processes, "run_apart", lambda name, *_: ("a bit is wrong", {}) if name == "ended" else (None, {"a": 3})
    )
    assert processes.main() == 1
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| ended | 50 | 0 | 1 |  |",
        "| faults | 20 | 0 | nothing | a: 3 |",
        "",
        "a bit is wrong",
    ]


# ---------------------------------------------------------------------------------------------------------------- Ctrl-C
interrupt = getattr(
    ctypes.CDLL(None), "raise"
)  # Python's handler waits for the next instruction that looks for signals


class Now(ctypes.c_int):
    """`NOW.at`: a SIGINT that no instruction between it and the end of the block handles."""

    at = property(interrupt)


NOW = Now(signal.SIGINT)
MODES: dict[str, Any] = {
    "no_grad": tt.no_grad,
    "inspect": tt.inspect,
    "detect_anomaly": tt.detect_anomaly,
    "set_grad_enabled": lambda: tt.set_grad_enabled(False),
    "set_detect_anomaly": lambda: tt.set_detect_anomaly(True),
    "threads": lambda: tt.threads(3),
}


def modes() -> tuple[Any, ...]:
    return tt.is_grad_enabled(), tt.tape.mode.inspecting, tt.is_anomaly_enabled(), tt.get_num_threads()


@pytest.fixture
def _ctrl_c_raises() -> Any:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_raises")
@pytest.mark.parametrize("make", MODES.values(), ids=MODES)
def test_ctrl_c_at_the_end_of_a_block_leaves_no_mode(make: Any) -> None:
    before = modes()
    with pytest.raises(KeyboardInterrupt):
        with make():
            assert modes() != before
            _ = NOW.at
        sys.getsizeof(0)  # looks for signals, if nothing did
    assert modes() == before


@pytest.mark.usefixtures("_ctrl_c_raises")
def test_ctrl_c_finds_all_groups_of_parameters_stepped_or_none() -> None:
    """The step of one group that has begun is that of all, and so are the copies of parameters that are not contiguous."""

    class Interrupted(optim.SGD):
        def _prepare(self, group: dict[str, Any]) -> Any:
            return super()._prepare(group) if group["params"][0].shape != (1,) else partial(interrupt, signal.SIGINT)

    def parameter(*shape: int) -> nn.Parameter:
        p = nn.Parameter(tt.from_numpy(np.ones((2, *shape), np.float32)[:, ..., ::2]))
        p.grad = tt.ones_like(p)
        return p

    groups = [[parameter(4)], [nn.Parameter(tt.ones(1))], [parameter(6), parameter(8)]]
    optimizer = Interrupted([{"params": g} for g in groups], lr=0.5)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    assert [p.unique().tolist() for g in groups for p in g] == [[0.5], [1], [0.5], [0.5]]


def test_ctrl_c_between_a_step_of_lbfgs_and_its_end_leaves_all_of_it() -> None:
    """Python 3.10 looks for signals where a call returns, when parameters and state are both new already."""

    class Interrupted(optim.LBFGS):
        def _iterate(self, closure: Any) -> Any:
            super()._iterate(closure)
            raise KeyboardInterrupt

    def trained(kind: type[optim.LBFGS]) -> tuple[list[float], dict[str, Any]]:
        p = nn.Parameter(tt.tensor([1.0, 2.0]))
        optimizer = kind([p], lr=0.1, max_iter=3)

        def closure() -> tt.Tensor:
            optimizer.zero_grad()
            loss = (p**4).sum()
            loss.backward()
            return loss

        with suppress(KeyboardInterrupt):
            optimizer.step(closure)
        state = optimizer.state[p]
        return p.tolist(), {key: state[key] for key in ("n_iter", "func_evals", "t", "prev_loss")}

    assert trained(Interrupted) == trained(optim.LBFGS)


@pytest.mark.usefixtures("_ctrl_c_raises")
def test_a_second_ctrl_c_at_the_end_of_a_fit_leaves_nothing_behind() -> None:
    class Mine(Exception):
        pass

    class Twice(train.Callback):
        def on_epoch_begin(self, run: Any) -> None:
            signal.raise_signal(signal.SIGINT)
            error = Mine()
            _ = NOW.at
            raise error

    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    model[1].train(False)
    optimizer = optim.SGD(model.parameters(), lr=0.25)
    with pytest.raises((Mine, KeyboardInterrupt)):
        train.fit(
            model, (tt.ones(8, 3), tt.zeros(8, dtype=tt.int64)), "cross_entropy", optimizer, 2, schedule="onecycle",
            callbacks=[Twice()], progress=False,
        )  # fmt: skip
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert [m.training for m in model] == [True, False, True]
    assert optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.usefixtures("_ctrl_c_raises")
def test_ctrl_c_before_the_first_update_of_a_fit_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fit has changed by then, such as the learning rate, is put back."""
    monkeypatch.setattr(
        sys.modules["tinytensor.train.fit"], "progress_of", lambda _: signal.raise_signal(signal.SIGINT)
    )
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.25)
    with pytest.raises(KeyboardInterrupt, match="after step 1, in epoch 1 of 2"):
        train.fit(model, (tt.ones(8, 3), tt.zeros(8, 2)), "mse", optimizer, 2, schedule="onecycle")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert optimizer.param_groups[0]["lr"] == 0.25


# ----------------------------------------------------------------------------------------------------------------- forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_under_the_lock_on_gradients_has_it_and_gives_it_back() -> None:
    layer, x = nn.Linear(3, 2), tt.ones(4, 3)
    loss = layer(x).sum()
    child = -1

    def fork(frame: Any, event: str, argument: Any) -> None:
        nonlocal child
        if child < 0 and "into" in frame.f_code.co_varnames:  # a rule that adds to gradients
            child = os.fork()

    sys.setprofile(fork)
    try:
        loss.backward()
    finally:
        sys.setprofile(None)
        if child == 0:
            code = 1
            try:
                done, last = threading.Semaphore(0), threading.Event()

                def work() -> None:
                    layer(x).sum().backward()
                    done.release()
                    last.wait()  # its number is no other thread's

                for _ in range(3):
                    threading.Thread(target=work, daemon=True).start()
                code = 0 if all(done.acquire(timeout=20) for _ in range(3)) else 1
            finally:
                os._exit(code)
    assert child > 0
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("make", MODES.values(), ids=MODES)
def test_what_sets_a_mode_can_be_copied(make: Any) -> None:
    """As by a pickle of a decorated function."""
    made = make()
    again = [copy.deepcopy(made), pickle.loads(pickle.dumps(made))]
    with made:
        inside = modes()
    for other in again:
        before = modes()
        assert type(other) is type(made) and before != inside
        with other:
            assert modes() == inside
        assert modes() == before


def test_unpickled_tensors_can_be_written_to(tmp_path: Path) -> None:
    """joblib gives large arrays as maps of a file that may only be read."""
    array = np.arange(6, dtype=np.float32)
    array.tofile(tmp_path / "x")
    rebuild, (kind, _, requires) = nn.Parameter(tt.ones(6)).__reduce_ex__(4)
    p = rebuild(kind, np.memmap(tmp_path / "x", np.float32, "r"), requires)
    assert type(p) is nn.Parameter and type(p._data) is np.ndarray
    p.grad = tt.ones(6)
    optim.SGD([p], lr=1).step()
    np.testing.assert_array_equal(p.detach().numpy(), array - 1)
    assert pickle.loads(pickle.dumps(p)).tolist() == p.tolist()
