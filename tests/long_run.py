"""Half an hour of training: `python tests/long_run.py [MINUTES=30]`.

A network on MNIST by what users call: a DataLoader, fit for one epoch at a time with a checkpoint, evaluate, tt.save and tt.load now and then. Each second resident
memory is looked at, each update timed. After each epoch a fresh process, another one each minute, begins the same training and times 100 of its updates: the machine's
speed at that moment. Prints a line a minute. It fails, with exit code 1, where memory grows by 0.1 MB a minute or more (the slope of
the least squares, after 2 minutes of warming up), where the memory that waits for reuse (the most that was in use at once, so rarely more than before) grows by as much,
where the test accuracy ends below 97.5 % (all three from 3 minutes on), or where the updates of the last minute are more than 5 % slower than those of the first after
the warming up, both measured against the fresh processes'.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
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

WARM_UP, SLOPE, SLOWER, ACCURACY = 2.0, 0.1, 1.05, 0.975  # minutes, MB a minute, a factor, a share
FRESH = 120  # updates of the fresh process, of which the first 20 are not counted


class Clock(Callback):
    """How long each update of an epoch took; stops the training at its time, or after `most` updates."""

    def __init__(self, until: float = float("inf"), most: int = 1 << 62) -> None:
        self.until, self.most = until, most
        self.times = array("d")
        self._last = 0.0

    def on_epoch_begin(self, run: Run) -> None:
        """What lies between epochs is no update."""
        self.times = array("d")
        self._last = time.perf_counter()

    def on_step_end(self, run: Run) -> None:
        """Note how long it took."""
        now = time.perf_counter()
        self.times.append(now - self._last)
        self._last = now
        if now > self.until or len(self.times) >= self.most:
            run.stop("its time is over")

    def median(self, first: int = 0) -> float:
        """Milliseconds, of the updates from `first` on."""
        return 1e3 * statistics.median(self.times[first:] or self.times)


def network() -> tuple[nn.Module, tt.optim.Optimizer]:
    """What is trained, at its beginning."""
    tt.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 10))
    return model, tt.optim.Adam(model.parameters(), lr=1e-3)


def digits() -> tuple[DataLoader, tuple[tt.Tensor, tt.Tensor]]:
    """MNIST's training samples in batches, and its test samples."""
    data = mnist()
    mean, deviation = data.train_images.mean(), data.train_images.std()
    x, test_x = ((images.reshape(len(images), -1).astype(np.float32) - np.float32(mean)) / np.float32(deviation)
                 for images in (data.train_images, data.test_images))  # fmt: skip
    loader = DataLoader(TensorDataset(tt.tensor(x), tt.tensor(data.train_labels)), batch_size=128, shuffle=True)
    return loader, (tt.tensor(test_x), tt.tensor(data.test_labels))


def fresh() -> None:
    """The fresh process: for each line it gets, the median update of a training that begins."""
    loader, _ = digits()
    print("ready", flush=True)
    for _ in sys.stdin:
        model, optimizer = network()
        clock = Clock(most=FRESH)
        fit(model, loader, "cross_entropy", optimizer, 1, callbacks=[clock], progress=False)
        print(clock.median(20), flush=True)


class Yardstick:
    """A fresh process, which is replaced each minute."""

    def __init__(self) -> None:
        self._born = float("-inf")
        self._process: subprocess.Popen[str] | None = None

    def step(self) -> float:
        """Milliseconds of an update there, now."""
        if self._process is None or time.perf_counter() - self._born > 60:
            self.end()
            self._process = subprocess.Popen([sys.executable, __file__, "--fresh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
            self._answer()
            self._born = time.perf_counter()
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fresh process ended")
        return line

    def end(self) -> None:
        """Let it go."""
        if self._process is not None:
            self._process.communicate()


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
    loader, test = digits()
    model, optimizer = network()
    begin = time.perf_counter()
    clock, memory, yardstick = Clock(begin + 60 * minutes), Memory(min(1.0, minutes)), Yardstick()
    memory.start()
    epochs: list[
        tuple[float, int, float, float, int]
    ] = []  # when, updates, ms of one, of a fresh one, bytes in the pool
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
            epochs.append((time.perf_counter() - begin, len(clock.times), clock.median(), yardstick.step(), pool()))
    yardstick.end()
    memory.ended.set()
    memory.join()

    print(f"{'minute':>6} {'updates':>8} {'ms of one':>10} {'of a fresh one':>15} {'ratio':>6} {'resident, MB':>13}")
    ratios: list[float] = []
    for minute in range(max(1, round(minutes))):
        inside = [e for e in epochs if minute <= e[0] / 60 < minute + 1]
        sizes = [size for at, size in memory.seen if minute <= (at - begin) / 60 < minute + 1]
        if inside and sizes:
            own, other = (statistics.median(e[i] for e in inside) for i in (2, 3))
            ratios.append(statistics.median(e[2] / e[3] for e in inside))
            print(
                f"{minute + 1:>6} {sum(e[1] for e in inside):>8} {own:>10.3f} {other:>15.3f} {ratios[-1]:>6.3f} {statistics.mean(sizes):>13.2f}"
            )
    kept = np.array([(at - begin, size) for at, size in memory.seen if at - begin > 60 * warm])
    slope = 60 * float(np.polyfit(kept[:, 0], kept[:, 1], 1)[0]) if len(kept) > 2 else 0.0
    settled = ratios[int(WARM_UP) :] or ratios[-1:] or [1.0]
    slower = settled[-1] / settled[0]
    waiting = [e[4] / 1e6 for e in epochs if e[0] > 60 * warm] or [0.0]
    grown = (waiting[-1] - waiting[0]) / (minutes - warm)
    failures = []
    if minutes >= 3 and slope >= SLOPE:
        failures.append("memory grows")
    if minutes >= 3 and accuracy < ACCURACY:
        failures.append("the accuracy is too low")
    if minutes >= 3 and grown >= SLOPE:
        failures.append("the pool of memory grows")
    if slower > SLOWER:
        failures.append("the last minute is slower than the first")
    print(f"{sum(e[1] for e in epochs)} steps in {len(epochs)} epochs, test accuracy {100 * accuracy:.2f} %, memory {slope:+.3f} MB a minute, pool "
          f"{min(waiting):.2f} to {max(waiting):.2f} MB ({len(set(waiting))} sizes), the last minute's update {100 * (slower - 1):+.1f} % against the first's")  # fmt: skip
    print(f"failed: {'; '.join(failures)}" if failures else "passed")
    return bool(failures)


if __name__ == "__main__":
    if "--fresh" in sys.argv:
        fresh()
        sys.exit()
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 30))
