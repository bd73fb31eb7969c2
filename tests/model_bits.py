"""The same bits everywhere: the long form, and the networks of the short one (tests/test_same_bits.py).

    python tests/model_bits.py THREADS STEPS     prints a hash of the weights of each small network after STEPS steps
    python tests/model_bits.py long [STEPS=200]  prints Markdown and exits with 1 on any difference; about 12 minutes on two
                                                cores

The long form trains the networks here and those of tests/same_bits.py with 1, 2, 3, 7 and 16 threads, on every instruction set
with fused multiply-add, twice, in subprocesses; in one process with another number of threads at each step; and in a child
after fork. It hashes every op of the table and larger calls (tests/ops/row_bits.py, all shapes and dtypes) the same way. And
it compares the rows of forward passes at every batch from 1 to 1024 with those of the whole batch. Sets without fused
multiply-add have bits of their own, equal on any number of threads.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import _kernels, nn, optim

HERE = Path(__file__).parent
THREADS = (1, 2, 3, 7, 16)


class Reader(nn.Module):
    """Tokens: embedded, normalized, attended to, averaged, classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 24)
        self.norm = nn.LayerNorm(24)
        self.query, self.key, self.value = nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 24, bias=False)
        self.feed = nn.Sequential(nn.RMSNorm(24), nn.Linear(24, 48), nn.GELU(), nn.Dropout(0.1), nn.Linear(48, 24))
        self.out = nn.Linear(24, 5)

    def forward(self, tokens: Any) -> Any:
        x = self.norm(self.embedding(tokens))
        q, k, v = (part(x).reshape(*x.shape[:2], 3, 8).transpose(1, 2) for part in (self.query, self.key, self.value))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + attended.transpose(1, 2).reshape(*x.shape)
        return self.out((x + self.feed(x)).mean(1))


def pictures() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, groups=2), nn.GroupNorm(2, 8),
        nn.SiLU(), nn.Dropout2d(0.1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * 4, 5),
    )  # fmt: skip


def signals() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 6, 5, stride=2), nn.PReLU(), nn.ConvTranspose1d(6, 4, 4, stride=2), nn.Mish(), nn.MaxPool1d(3), nn.Flatten(),
        nn.Linear(32, 30), nn.BatchNorm1d(30), nn.Softplus(), nn.Linear(30, 5),
    )  # fmt: skip


def layers() -> nn.Module:
    return nn.Sequential(
        nn.Linear(20, 33), nn.ELU(), nn.Dropout(0.2), nn.Linear(33, 33), nn.LayerNorm(33), nn.Tanh(), nn.Linear(33, 16), nn.GELU("tanh"), nn.Linear(16, 5)
    )  # fmt: skip


def numbers(*shape: int) -> Callable[[Any], Any]:
    return lambda dtype: tt.randn(9, *shape, dtype=dtype)


def tokens(_: Any) -> Any:
    return tt.randint(0, 40, (9, 12))


# a network, what makes a batch of 9 for it, and its optimizer
Network = tuple[Callable[[], nn.Module], Callable[[Any], Any], Callable[[Iterable[Any]], optim.Optimizer]]
NETWORKS: dict[str, Network] = {
    "conv2d, batch and group norm, RMSprop": (pictures, numbers(2, 12, 12), lambda p: optim.RMSprop(p, 1e-3, momentum=0.5)),
    "conv1d, transposed, Adam amsgrad": (signals, numbers(2, 28), lambda p: optim.Adam(p, 1e-3, amsgrad=True)),
    "embedding, attention, layer norm, AdamW": (Reader, tokens, lambda p: optim.AdamW(p, 1e-3)),
    "SGD": (layers, numbers(20), lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)),
    "Adagrad": (layers, numbers(20), lambda p: optim.Adagrad(p, 0.01)),
    "Adadelta": (layers, numbers(20), lambda p: optim.Adadelta(p, 0.5)),
    "Adamax": (layers, numbers(20), lambda p: optim.Adamax(p, 1e-3)),
    "NAdam": (layers, numbers(20), lambda p: optim.NAdam(p, 1e-3)),
    "RAdam": (layers, numbers(20), lambda p: optim.RAdam(p, 1e-3)),
    "Lion": (layers, numbers(20), lambda p: optim.Lion(p, 1e-4)),
    "LBFGS": (layers, numbers(20), lambda p: optim.LBFGS(p, 0.1, max_iter=3)),
}  # fmt: skip


def trained(name: str, dtype: Any, steps: int, before_step: Callable[[int], Any] = lambda i: None) -> str:
    """A hash of the weights and buffers of one network after some steps."""
    make, batch, optimizer_of = NETWORKS[name]
    tt.manual_seed(3)
    model = make().to(dtype)
    optimizer = optimizer_of(model.parameters())
    for i in range(steps):
        before_step(i)
        x, y = batch(dtype), tt.randint(0, 5, (9,))

        def loss(x: Any = x, y: Any = y) -> Any:
            optimizer.zero_grad()
            value = F.cross_entropy(model(x), y)
            value.backward()
            return value

        if isinstance(optimizer, optim.LBFGS):
            optimizer.step(loss)
        else:
            loss()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
    sha = hashlib.sha256()
    for v in model.state_dict().values():
        sha.update(np.ascontiguousarray(v.numpy()).tobytes())
    return sha.hexdigest()[:16]


def every_network(steps: int, before_step: Callable[[int], Any] = lambda i: None) -> dict[str, str]:
    return {
        f"{name}, {dtype}": trained(name, dtype, steps, before_step)
        for name in NETWORKS
        for dtype in (tt.float32, tt.float64)
    }


def divided() -> None:
    """From here on every kernel is divided, and every thread does its part."""
    _kernels.set_thread_work(1)
    _kernels.set_helpful(False)


def in_a_child(work: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What work gives in a process made by fork; {} if that failed."""
    end, start = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, which is what is tried
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with os.fdopen(start, "w") as out:
                out.writelines(f"{digest} {name}\n" for name, digest in work().items())
            code = 0
        finally:
            os._exit(code)
    os.close(start)
    with os.fdopen(end) as given:
        found = parsed(given.read())
    return found if os.waitpid(pid, 0)[1] == 0 else {}


def parsed(text: str) -> dict[str, str]:
    """Lines of a hash and a name."""
    return {name: digest for digest, name in (line.split(" ", 1) for line in text.splitlines())}


# ------------------------------------------------------------------------------------------------------ rows of a batch
WIDTHS = ([784, 200, 70, 10], [784, 10], [100, 64, 33, 10], [17, 5, 3], [512, 512])
ACTIVATIONS = (nn.ReLU, nn.GELU, nn.Tanh, nn.SiLU, nn.Sigmoid)


def rows_that_differ(widths: list[int], activation: Any, dtype: Any, batches: Iterable[int]) -> list[int]:
    """The batches whose forward pass is not that of the first rows of a batch of 1024."""
    tt.manual_seed(1)
    parts: list[nn.Module] = []
    for a, b in pairwise(widths):
        parts += [nn.Linear(a, b), nn.LayerNorm(b), activation()]
    model = nn.Sequential(*parts, nn.Softmax(1)).to(dtype)
    x = tt.randn(1024, widths[0], dtype=dtype)
    with tt.no_grad():
        whole = model(x).numpy()
        return [n for n in batches if model(x[:n]).numpy().tobytes() != whole[:n].tobytes()]


# ---------------------------------------------------------------------------------------------------------- the long form
def process(script: Path, isa: str, *arguments: Any) -> dict[str, str]:
    """The hashes that a script prints on an instruction set; same_bits.py's second column is how many threads there were."""
    package = str(Path(tt.__file__).parent.parent)
    env = {**os.environ, "TINYTENSOR_ISA": isa, "PYTHONPATH": package}
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=package)
    if done.returncode:
        print(f"FOUND: {' '.join(command)} on {isa} exits with {done.returncode}:\n{done.stderr}")
        return {}
    return parsed(done.stdout)


class Report:
    """Compares with the first of its kind, prints a row of the table, and counts what differs."""

    def __init__(self) -> None:
        self.first: dict[str, dict[str, str]] = {}
        self.bad = 0

    def note(self, what: str, kind: str, how: str, found: dict[str, str]) -> None:
        want = self.first.setdefault(kind, found)
        differ = [name for name in {**want, **found} if want.get(name) != found.get(name)]
        ok = found and not differ
        self.bad += not ok
        print(f"| {what} | {how} | {len(found)} | {'all equal' if ok else 'FOUND: ' + '; '.join(differ)} |", flush=True)


def without_count(found: dict[str, str]) -> dict[str, str]:
    return {name.partition(" ")[2]: digest for name, digest in found.items()}


def long(steps: int) -> int:
    report = Report()
    print("| what | how | hashes | |\n| --- | --- | --- | --- |")
    kinds = {
        f"networks after {steps} steps": (HERE / "model_bits.py", [steps], lambda found: found),
        "MLPs after 200 steps": (HERE / "same_bits.py", [], without_count),
        "ops": (HERE / "ops" / "row_bits.py", ["whole"], lambda found: found),
    }
    for what, (script, more, clean) in kinds.items():
        for isa in _kernels.isas():
            bits = "separate" if isa == "generic" else "fused"
            for threads in THREADS:
                found = clean(process(script, isa, threads, *more))
                report.note(what, f"{what}, {bits}", f"{isa}, {threads} threads", found)
            report.note(what, f"{what}, {bits}", f"{isa}, 2 threads, again", clean(process(script, isa, 2, *more)))
    kind = f"networks after {steps} steps, {'fused' if _kernels.fused() else 'separate'}"
    divided()
    for i in range(2):
        found = every_network(steps, lambda step: tt.set_num_threads(THREADS[step % len(THREADS)]))
        report.note("networks", kind, f"another number of threads at each step, run {i + 1}", found)
        tt.set_num_threads(2)
        report.note("networks", kind, f"after fork, run {i + 1}", in_a_child(lambda: every_network(steps)))
        report.note(
            "networks", kind, f"after fork, 3 threads, run {i + 1}",
            in_a_child(lambda: every_network(steps, lambda step: tt.set_num_threads(3))),
        )  # fmt: skip
    _kernels.set_thread_work()
    _kernels.set_helpful(True)
    print("\n| layers | activation | dtype | batches 1 to 1024 whose rows differ |\n| --- | --- | --- | --- |")
    for widths in WIDTHS:
        for activation in ACTIVATIONS:
            for dtype in (tt.float32, tt.float64):
                differ = rows_that_differ(widths, activation, dtype, range(1, 1025))
                report.bad += bool(differ)
                print(f"| {widths} | {activation.__name__} | {dtype} | {differ or 'none'} |", flush=True)
    return int(bool(report.bad))


if __name__ == "__main__":
    if sys.argv[1] == "long":
        sys.exit(long(int(sys.argv[2]) if len(sys.argv) > 2 else 200))
    tt.set_num_threads(int(sys.argv[1]))
    divided()
    for name, digest in every_network(int(sys.argv[2])).items():
        print(digest, name)
