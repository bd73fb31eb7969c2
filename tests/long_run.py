"""Half an hour of training: `python tests/long_run.py [MINUTES=30]`.

A network on MNIST by what users call: a DataLoader, fit for one epoch at a time with a checkpoint, evaluate, tt.save and tt.load now and then. Each second resident
memory is looked at, each update timed. Prints a line a minute. It fails, with exit code 1, where memory grows by 0.1 MB a minute or more (the slope of
the least squares, after 2 minutes of warming up), where the memory that waits for reuse (the most that was in use at once, so rarely more than before) grows by as much,
where the test accuracy ends below 97.5 % (all three from 3 minutes on), or where the median step of the last minute is more than 5 % slower than that of the first after
the warming up: on a machine that does something else meanwhile that one says nothing.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import threading
import time
from array import array
from pathlib import Path

import numpy as np

import tinytensor as tt
from tinytensor import nn
from tinytensor.data import DataLoader, TensorDataset, mnist
from tinytensor.train import Callback, evaluate, fit
from tinytensor.train.run import Run

MOST = 400_000  # steps a minute that are timed
WARM_UP, SLOPE, SLOWER, ACCURACY = 2.0, 0.1, 1.05, 0.975  # minutes, MB a minute, a factor, a share


class Clock(Callback):
    """When each update ended; stops the training at its time."""

    def __init__(self, begin: float, until: float) -> None:
        self.begin, self.until = begin, until
        # steps and their median in ms: to keep millions of times would be memory that grows
        self.minutes: dict[int, tuple[int, float]] = {}
        self._minute = 0
        self._times = array("d", bytes(8 * MOST))
        self._count = 0
        self._last = 0.0

    def on_epoch_begin(self, run: Run) -> None:
        """What lies between epochs is no update."""
        self._last = time.perf_counter()

    def on_step_end(self, run: Run) -> None:
        """Note how long it took."""
        now = time.perf_counter()
        if now >= self.begin + 60 * (self._minute + 1):
            self.sum_up()
        if self._count < MOST:
            self._times[self._count] = now - self._last
            self._count += 1
        self._last = now
        if now > self.until:
            run.stop("its time is over")

    def sum_up(self) -> None:
        """The minute is over."""
        if self._count:
            self.minutes[self._minute] = self._count, 1e3 * statistics.median(self._times[: self._count])
        self._minute, self._count = self._minute + 1, 0


class Memory(threading.Thread):
    """Resident megabytes, looked at each `every` seconds."""

    def __init__(self, every: float) -> None:
        super().__init__(daemon=True)
        self.every = every
        self.seen: list[tuple[float, float]] = []
        self.ended = threading.Event()

    def run(self) -> None:
        """Look, until it is told to end."""
        while not self.ended.wait(self.every):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.seen.append((time.perf_counter(), pages * resource.getpagesize() / 1e6))


def pool() -> int:
    """Bytes that wait in the pool between two epochs."""
    return tt._kernels.pool_bytes()


def main(minutes: float) -> int:
    warm = min(WARM_UP, minutes / 3)
    data = mnist()
    mean, deviation = data.train_images.mean(), data.train_images.std()
    x, test_x = ((images.reshape(len(images), -1).astype(np.float32) - np.float32(mean)) / np.float32(deviation)
                 for images in (data.train_images, data.test_images))  # fmt: skip
    loader = DataLoader(TensorDataset(tt.tensor(x), tt.tensor(data.train_labels)), batch_size=128, shuffle=True)
    test = tt.tensor(test_x), tt.tensor(data.test_labels)
    tt.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 10))
    optimizer = tt.optim.Adam(model.parameters(), lr=1e-3)
    begin = time.perf_counter()
    clock, memory = Clock(begin, begin + 60 * minutes), Memory(min(1.0, minutes))
    memory.start()
    pools: list[tuple[float, int]] = []
    accuracy = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while time.perf_counter() < clock.until:
            fit(
                model,
                loader,
                "cross_entropy",
                optimizer,
                1,
                callbacks=[clock],
                checkpoint=folder / "state.safetensors",
                progress=False,
            )
            accuracy = evaluate(model, test, "cross_entropy")["accuracy"]
            tt.save(model.state_dict(), folder / "model.safetensors")
            model.load_state_dict(tt.load(folder / "model.safetensors"))
            pools.append((time.perf_counter() - begin, pool()))
    memory.ended.set()
    memory.join()
    clock.sum_up()

    print(f"{'minute':>6} {'steps':>7} {'median step, ms':>16} {'resident, MB':>13}")
    medians: list[float] = []
    for minute in range(max(1, round(minutes))):
        low, high = begin + 60 * minute, begin + 60 * (minute + 1)
        sizes = [size for at, size in memory.seen if low <= at < high]
        if minute in clock.minutes and sizes:
            steps, median = clock.minutes[minute]
            medians.append(median)
            print(f"{minute + 1:>6} {steps:>7} {median:>16.3f} {statistics.mean(sizes):>13.2f}")
    kept = np.array([(at - begin, size) for at, size in memory.seen if at - begin > 60 * warm])
    slope = 60 * float(np.polyfit(kept[:, 0], kept[:, 1], 1)[0]) if len(kept) > 2 else 0.0
    settled = medians[int(WARM_UP) :] or medians[-1:]
    slower = settled[-1] / settled[0]
    waiting = [size / 1e6 for at, size in pools if at > 60 * warm] or [0.0]
    grown = (waiting[-1] - waiting[0]) / (minutes - warm)
    failures = []
    if minutes >= 3 and slope >= SLOPE:
        failures.append("memory grows")
    if minutes >= 3 and accuracy < ACCURACY:
        failures.append("the accuracy is too low")
    if minutes >= 3 and grown >= SLOPE:
        failures.append("the pool of memory grows")
    if slower > SLOWER:
        failures.append("the last minute is slower than the first (on a quiet machine a failure)")
    print(f"{sum(n for n, _ in clock.minutes.values())} steps in {len(pools)} epochs, test accuracy {100 * accuracy:.2f} %, memory {slope:+.3f} MB a minute, pool "
          f"{min(waiting):.2f} to {max(waiting):.2f} MB ({len(set(waiting))} sizes), the last minute's step {100 * (slower - 1):+.1f} % against the first's")  # fmt: skip
    print(f"failed: {'; '.join(failures)}" if failures else "passed")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 30))
