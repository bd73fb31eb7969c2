"""Part of tests/processes.py: SIGINT at random moments, and what must hold after each."""

from __future__ import annotations

import faulthandler
import gc
import mmap
import os
import random
import signal
import statistics
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from small_training import DEADLINE, Figures, digest, loaded, network, state_of, training, wait_for_tasks

import tinytensor as tt
from tinytensor import nn, optim, train
from tinytensor.nn import functional as F


class Interrupter:
    """A process that sends SIGINT to this one, once or twice after a delay, however busy this one is."""

    def __init__(self) -> None:
        self.shared = mmap.mmap(-1, 16)  # requests done, time of the first signal
        self.requests, self.lost = 0, 0
        self.tasks = len(os.listdir("/proc/self/task"))
        read, self.write = os.pipe()
        parent = os.getpid()
        self.child = os.fork()
        if self.child:
            os.close(read)
            return
        os.close(self.write)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        done = 0
        while len(request := os.read(read, 16)) == 16:
            first, second = struct.unpack("dd", request)
            time.sleep(first)
            self.shared[8:] = struct.pack("d", time.monotonic())
            os.kill(parent, signal.SIGINT)
            if second >= 0:
                time.sleep(second)
                os.kill(parent, signal.SIGINT)
            done += 1
            self.shared[:8] = struct.pack("q", done)
        os._exit(0)

    def during(self, work: Callable[[], object], delay: float, again: float = -1) -> float:
        """Work, over and over, until a signal interrupts it; returns the seconds from it to here."""
        self.requests += 1
        try:
            os.write(self.write, struct.pack("dd", delay, again))
            while True:
                work()
                if self.sent() and time.monotonic() > self.time() + DEADLINE / 4:
                    raise AssertionError("a signal was lost")
        except KeyboardInterrupt:
            now = time.monotonic()
        while True:
            try:
                while not self.sent():
                    os.sched_yield()
                for _ in range(100):  # a second one
                    os.sched_yield()
                return now - self.time()
            except KeyboardInterrupt:
                continue

    def sent(self) -> bool:
        return int(struct.unpack("q", self.shared[:8])[0]) == self.requests

    def time(self) -> float:
        return float(struct.unpack("d", self.shared[8:])[0])

    def close(self) -> None:
        os.close(self.write)
        os.waitpid(self.child, 0)


class Twin:
    """A training that is interrupted, and another, equal one that is not."""

    def __init__(self, make: Callable[[list[nn.Parameter]], optim.Optimizer], closure: bool) -> None:
        self.closure, self.begun, self.at = closure, 0, 0
        self.live, self.other = [self.pair(make) for _ in range(2)]

    def pair(self, make: Callable[[list[nn.Parameter]], optim.Optimizer]) -> tuple[nn.Module, optim.Optimizer]:
        model = network(3)
        model.scale = nn.Parameter(tt.from_numpy(np.ones((128, 2), np.float32)[:64, ::2]))  # not contiguous
        model.shift = nn.Parameter(tt.from_numpy(np.zeros((128, 10), np.float32)[:64, ::2]))
        return model, make(list(model.parameters()))

    def step(self, model: nn.Module, optimizer: optim.Optimizer, number: int) -> None:
        own = tt.Generator(number)
        x, y = tt.randn(64, 30, generator=own), tt.randint(5, (64,), generator=own)

        def loss() -> tt.Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(model(x) * model.scale + model.shift, y)
            value.backward()
            return value

        if self.closure:
            optimizer.step(loss)
        else:
            loss()
            optimizer.step()

    def work(self) -> None:
        self.begun += 1
        self.step(*self.live, self.begun)
        with tt.no_grad(), tt.threads(1), tt.detect_anomaly(), tt.inspect():
            self.live[0](tt.ones(3, 30))

    def check(self) -> None:
        """The state is that after the last whole step, or after the one before: nothing between."""
        found = state_of(*self.live)
        while self.at < self.begun:
            if self.at == self.begun - 1 and state_of(*self.other) == found:
                break
            self.at += 1
            self.step(*self.other, self.at)
        assert state_of(*self.other) == found, f"half a step: the state is that of no number of steps near {self.begun}"
        self.begun = self.at


OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD([{"params": p[i::3]} for i in range(3)], lr=0.05, momentum=0.9, dampening=0.5),
    "Adam": lambda p: optim.Adam([{"params": p[:3]}, {"params": p[3:], "lr": 0.01}], lr=0.02, amsgrad=True),
    "NAdam": lambda p: optim.NAdam([{"params": [q]} for q in p], lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    "LBFGS": lambda p: optim.LBFGS(p, lr=0.1, max_iter=4),
}


class Fits:
    """Fits that are interrupted: the weights are those after a whole update, and all else is as before."""

    def __init__(self) -> None:
        own = tt.Generator(1)
        self.x, self.y = tt.randn(96, 30, generator=own), tt.randint(5, (96,), generator=own)
        self.states: list[str] = []
        self.live: tuple[nn.Module, optim.Optimizer, Any] | None = None
        self.run()
        assert self.live is not None
        self.states = list(self.live[2].states)

    def run(self) -> None:
        self.live = None
        model = network(6)
        model[1].train(False)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        seen = Seen(model, optimizer, bool(self.states))
        self.live = model, optimizer, seen
        train.fit(
            model, (self.x, self.y), "cross_entropy", optimizer, 3, batch_size=16, schedule="onecycle", callbacks=[seen],
            validation=(self.x, self.y), generator=tt.Generator(2), progress=False,
        )  # fmt: skip

    def check(self, twice: bool) -> None:
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "fit left its handler of SIGINT"
        if self.live is None:
            return
        model, optimizer, seen = self.live
        near = self.states[seen.steps : seen.steps + 1 + twice]
        assert state_of(model, optimizer) in near, f"half an update: the state is not that after {seen.steps} steps"
        assert optimizer.param_groups[0]["lr"] == 0.01, "fit left its schedule's learning rate"
        assert [m.training for m in model.modules()] == [True, True, False, True], "fit left modes of modules"


class Seen(train.Callback):
    """The state after each update, or how many there were."""

    def __init__(self, model: nn.Module, optimizer: optim.Optimizer, count: bool) -> None:
        self.model, self.optimizer, self.count, self.steps = model, optimizer, count, 0
        self.states = [state_of(model, optimizer)]

    def on_step_end(self, run: Any) -> None:
        self.steps += 1
        if not self.count:
            self.states.append(state_of(self.model, self.optimizer))


def signals(rounds: int) -> Figures:
    """SIGINT at random moments of `rounds` trainings, fits, backwards, loaders and kernels."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.dump_traceback_later(DEADLINE + 5 * rounds, exit=True)
    tt.set_num_threads(2)
    chosen, sender = random.Random(0), Interrupter()
    twins = {name: Twin(make, name == "LBFGS") for name, make in OPTIMIZERS.items()}
    fits = Fits()
    n = 3000 if rounds >= 100 else 300
    a, large = tt.randn(n, n, generator=tt.Generator(1)), tt.randn(300_000, generator=tt.Generator(1))
    products = []  # seconds

    def multiply() -> None:
        begun = time.monotonic()
        a @ a
        products.append(time.monotonic() - begun)

    multiply()
    chain = tt.ones(50, requires_grad=True)
    batches = loaded(2)

    def ops() -> None:
        y = large
        for _ in range(50):
            y = tt.tanh(y) * 2 + 1

    def backward() -> None:
        y = chain
        for _ in range(200):
            y = tt.sin(y)
        y.sum().backward()

    backward()
    gradient, chain.grad = digest(chain.grad), None
    expected = training(0)
    kinds: dict[str, tuple[Callable[[], object], float, float]] = {
        **{name: (twin.work, 0.004, -1) for name, twin in twins.items()},
        "fit": (fits.run, 0.05, -1),
        "fit, twice": (fits.run, 0.05, 0.004),
        "loader": (lambda: loaded(2), 0.005, -1),
        "matmul": (multiply, 2 * products[0], -1),
        "ops": (ops, 0.02, -1),
        "backward": (backward, 0.005, -1),
    }
    reactions: dict[str, list[float]] = {name: [] for name in kinds}
    wait_for_tasks(sender.tasks + 2)  # the team's, and faulthandler's
    for r in range(rounds):
        name = list(kinds)[r % len(kinds)]
        work, delay, again = kinds[name]
        twice = again >= 0
        reactions[name].append(sender.during(work, chosen.uniform(0, delay), chosen.uniform(0, again) if twice else -1))
        assert tt.is_grad_enabled() and not tt.is_anomaly_enabled() and not tt.tape.mode.inspecting, f"{name}: a mode"
        assert tt.get_num_threads() == 2, f"{name}: {tt.get_num_threads()} threads"
        if name in twins:
            twins[name].check()
        elif name.startswith("fit"):
            fits.check(twice)
        elif name == "backward":
            chain.grad = None
            backward()
            assert digest(chain.grad) == gradient
            chain.grad = None
        elif name == "loader":
            gc.collect()
            for t in threading.enumerate():
                if t.name.startswith("tinytensor-loader"):
                    t.join(DEADLINE)
                    assert not t.is_alive(), "a thread of a loader is left"
            assert loaded(2) == batches
        if r % 20 == 0:
            assert training(0) == expected
            wait_for_tasks(sender.tasks + 2)
    sender.close()
    faulthandler.cancel_dump_traceback_later()
    waits = {name: max(times) for name, times in reactions.items() if times}
    assert max(waits.values()) <= DEADLINE
    if rounds >= 100:
        late = {name: t for name, t in waits.items() if t > 0.5 + (max(products) if name == "matmul" else 0)}
        assert not late, f"the reaction took more than 0.5 s: {late}"
    middle = {name: statistics.median(times) for name, times in reactions.items() if times}
    return {
        "signals": rounds,
        "seconds until KeyboardInterrupt, middle / longest": ", ".join(
            f"{name} {middle[name]:.4f} / {t:.4f}" for name, t in waits.items()
        ),
        "longest product": f"{max(products):.3f} s",
    }
