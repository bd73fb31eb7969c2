"""What is left of a training where memory, disk or file descriptors end: `python tests/resources.py [--quick | --every] [PART ...]`.

Parts (all of them without an argument); each runs in a process of its own:

allocations  A step of each optimizer, and of several networks, in which the n-th allocation of the process fails, for every n until none is left to
             fail: Python's own objects, NumPy's arrays and ours. MemoryError; parameters and the optimizer's state are as they were before, or as
             they are after the step; the step made again gives the bits of one that nothing disturbed.
fits         `fit` with a checkpoint after each update, in which an allocation fails; resumed, it ends with the bits of one that nothing disturbed.
limit        Training under a limit of the address space, from none to spare to enough for all: the same claims, with threads, and nothing ends
             the process.
files        save, .npz, history.csv, curves.png, fit's checkpoint and best weights, and `tinytensor train` with each call that opens, writes,
             flushes or renames a file failing in turn (no space, read-only, no permission), once or from then on; and a limit of the size
             of files. OSError with the name of the file, the old file as it was, no other file beside it.
leaks        1000 fits with checkpoint and files: file descriptors, threads and resident memory.

allocations, fits and files put tests/c/faults.c before the C library, which needs cc and glibc. About 6 minutes on two cores; --quick takes a few
seconds of each, --every tries each of the 33,000 allocations of a fit, not each 41st, for half an hour more. Exit code 1 after any finding.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import tinytensor as tt
from tinytensor import _kernels, nn, optim
from tinytensor.nn import functional as F
from tinytensor.nn.utils import clip_grad_norm_
from tinytensor.train import fit
from tinytensor.train.history import History

SOURCE = Path(__file__).parent / "c" / "faults.c"
EVERY = "--every" in sys.argv
State = dict[str, bytes]
Make = Callable[[], tuple[nn.Module, optim.Optimizer]]


# --------------------------------------------------------------------------------------------------- the library of faults
def built(folder: Path) -> Path:
    """The library, compiled. RuntimeError that says what is missing."""
    compiler = os.environ.get("CC", "cc").split()
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(f"there is no compiler {compiler[0]!r}")
    to = folder / "faults.so"
    made = subprocess.run(
        [*compiler, "-shared", "-fPIC", "-O1", "-o", str(to), str(SOURCE)], capture_output=True, text=True
    )
    if made.returncode:
        raise RuntimeError(f"faults.c does not compile here: {made.stderr.strip()[-300:]}")
    if b"__libc_memalign" not in to.read_bytes() or not os.path.exists("/proc/self/fd"):
        raise RuntimeError("this needs Linux with glibc")
    return to


class Faults:
    """The library, in the process that it was put into."""

    def __init__(self) -> None:
        library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self.memory, self.files, self.hit = (
            ctypes.c_longlong.in_dll(library, f"faults_{name}") for name in ("memory", "files", "hit")
        )
        self.least = ctypes.c_longlong.in_dll(library, "faults_least")
        self.stay = ctypes.c_int.in_dll(library, "faults_stay")
        self.errno = ctypes.c_int.in_dll(library, "faults_errno")
        self.folder = (ctypes.c_char * 4096).in_dll(library, "faults_folder")

    @contextmanager
    def armed(self, counter: ctypes.c_longlong, after: int, stay: bool = False) -> Iterator[None]:
        """Inside, the call `after` so many fails (with `stay`, all after it too)."""
        self.hit.value, self.stay.value = 0, stay
        counter.value = after
        try:
            yield
        finally:
            counter.value = -1


# ------------------------------------------------------------------------------------------------------------- what is trained
def state_of(model: nn.Module, optimizer: optim.Optimizer) -> State:
    """Parameters and the optimizer's state, as bytes by name."""
    found = {name: p.detach().numpy().tobytes() for name, p in model.named_parameters()}

    def add(name: str, value: Any) -> None:
        if isinstance(value, (list, tuple)):
            for i, own in enumerate(value):
                add(f"{name}.{i}", own)
        elif isinstance(value, dict):
            for key, own in value.items():
                add(f"{name}.{key}", own)
        else:
            found[name] = value.numpy().tobytes() if isinstance(value, tt.Tensor) else repr(value).encode()

    add("optimizer", optimizer.state_dict()["state"])
    return found


def _plain(dtype: Any = tt.float32) -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 5)).to(dtype)


def _normed() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Linear(16, 8), nn.LayerNorm(8), nn.Linear(8, 5)
    )


def _picture() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3, 4)), nn.Conv2d(1, 4, 2), nn.SiLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 5)
    )


def _two_groups(model: nn.Module) -> optim.Optimizer:
    parameters = list(model.parameters())
    return optim.AdamW([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.01}], lr=0.02, amsgrad=True)


def task(network: Callable[[], nn.Module], optimizer: Callable[[nn.Module], optim.Optimizer]) -> Make:
    def make() -> tuple[nn.Module, optim.Optimizer]:
        tt.manual_seed(3)
        model = network()
        return model, optimizer(model)

    return make


TASKS: dict[str, Make] = {
    "adam": task(_plain, lambda m: optim.Adam(m.parameters(), lr=0.02)),
    "sgd momentum, norms, float64": task(lambda: _normed().to(tt.float64), lambda m: optim.SGD(m.parameters(), lr=0.05, momentum=0.9)),
    "adamw amsgrad, two groups": task(_plain, _two_groups),
    "convolution, nadam": task(_picture, lambda m: optim.NAdam(m.parameters(), lr=0.02)),
    "radam": task(_plain, lambda m: optim.RAdam(m.parameters(), lr=0.02)),
    "adamax": task(_plain, lambda m: optim.Adamax(m.parameters(), lr=0.02)),
    "rmsprop momentum centered": task(_plain, lambda m: optim.RMSprop(m.parameters(), lr=0.01, momentum=0.9, centered=True)),
    "adagrad": task(_plain, lambda m: optim.Adagrad(m.parameters(), lr=0.02, initial_accumulator_value=0.1)),
    "adadelta": task(_plain, lambda m: optim.Adadelta(m.parameters())),
    "lion": task(_plain, lambda m: optim.Lion(m.parameters(), lr=0.01)),
    "lbfgs": task(_plain, lambda m: optim.LBFGS(m.parameters(), lr=0.5, max_iter=3, history_size=2)),
}  # fmt: skip


def step(model: nn.Module, optimizer: optim.Optimizer, x: tt.Tensor, y: tt.Tensor) -> None:
    """One update."""

    def closure() -> tt.Tensor:
        tt.manual_seed(5)  # the same dropout, whatever failed before
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    if isinstance(optimizer, optim.LBFGS):
        optimizer.step(closure)
        return
    closure()
    clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def batch(dtype: Any) -> tuple[tt.Tensor, tt.Tensor]:
    tt.manual_seed(4)
    return tt.rand(32, 12, dtype=dtype), tt.randint(0, 5, (32,))


def where(error: BaseException) -> str:
    """The line of ours that an error came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.endswith(".py") and ("tinytensor" in f.filename or f.filename == __file__)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"


class Findings:
    """What is wrong, said once a kind."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()

    def add(self, kind: str, detail: str) -> None:
        self.kinds[kind] += 1
        if self.kinds[kind] <= 3:
            print(f"FINDING: {kind}: {detail}", flush=True)


def others(error: BaseException | None) -> bool:
    """Whether it is NumPy's or CPython's own error: a ufunc, or a call of a Python function, that got no memory and set no exception;
    os.fspath, which takes no memory for no path; a file's lock."""
    own = {
        SystemError: ("<ufunc ", "<function "),
        TypeError: ("expected str, bytes or os.PathLike object, not PosixPath",),
        RuntimeError: ("can't allocate read lock",),
    }
    return str(error).startswith(own.get(type(error), ()))


# ------------------------------------------------------------------------------------------------------------------- the parts
def allocations(quick: bool, findings: Findings) -> None:
    faults = Faults()
    names = list(TASKS)[:3] if quick else list(TASKS)
    stride = 23 if quick else 1
    total: Counter[str] = Counter()
    sys.unraisablehook = lambda e: findings.add(
        "an error that nobody could catch", f"{e.exc_type.__name__} in {e.object!r}"
    )
    for name in names:
        make = TASKS[name]
        for before in (0, 1):  # steps made already: the first makes the optimizer's state
            for stay, least in ((False, 0), (True, 256)):
                made: Counter[str] = Counter()
                n = 0
                while True:
                    model, optimizer = make()
                    x, y = batch(next(model.parameters()).dtype)
                    for _ in range(before):
                        step(model, optimizer, x, y)
                    old = state_of(model, optimizer)
                    gc.collect()
                    _kernels.pool_clear()
                    faults.least.value = least
                    caught: BaseException | None = None
                    with faults.armed(faults.memory, n, stay):
                        try:
                            step(model, optimizer, x, y)
                        except BaseException as error:
                            caught = error
                    hit = faults.hit.value
                    now = state_of(model, optimizer)
                    at = f"{name}, step {before + 1}, allocation {n} of at least {least} bytes"
                    if others(caught):
                        made["others"] += 1
                    elif caught is not None and (not isinstance(caught, MemoryError) or not hit):
                        findings.add(
                            f"another error than MemoryError: {type(caught).__name__}",
                            f"{at}: {caught} ({where(caught)})",
                        )
                    if caught is None or now != old:
                        done = now
                    else:
                        caught = None
                        step(model, optimizer, x, y)
                        done = state_of(model, optimizer)
                        made["undone"] += 1
                    if not n:
                        model, optimizer = make()
                        for _ in range(before + 1):
                            step(model, optimizer, x, y)
                        whole = state_of(model, optimizer)
                    if done != whole:
                        wrong = [key for key in {**whole, **done} if done.get(key) != whole.get(key)]
                        moved = [key for key in {**old, **now} if old.get(key) != now.get(key)]
                        line = "" if caught is None else where(caught)
                        findings.add(
                            "half an update", f"{at}: {len(moved)} entries moved, wrong {', '.join(wrong[:6])} {line}"
                        )
                    caught = None
                    if not hit:
                        break
                    made["failed"] += 1
                    n += stride
                total.update(made)
                kind = f"all from one on, of at least {least} bytes" if stay else "one of any size"
                print(f"{name}, step {before + 1}, {kind}: {made['failed']} failures", flush=True)
    print(
        f"allocations: {len(names)} tasks, {total['failed']} failing allocations, after {total['undone']} of them the step was made again; "
        f"{total['others']} of the errors were NumPy's or Python's own"
    )


def _fit(folder: Path, resume: bool = False, epochs: int = 2) -> State:
    tt.manual_seed(3)
    model = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 5))
    tt.manual_seed(4)
    x, y = tt.rand(96, 12), tt.randint(0, 5, (96,))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    tt.manual_seed(6)
    history = fit(
        model, (x, y), "cross_entropy", optimizer, epochs, validation=32, batch_size=32, schedule="onecycle", ema=0.9,
        checkpoint=folder / "state.safetensors", save_every=1, save_best=folder / "best.safetensors", resume=resume, progress=False,
    )  # fmt: skip
    losses = [(row["train_loss"], row["val_loss"]) for row in history]
    return {**state_of(model, optimizer), "losses": repr(losses).encode()}


def fits(quick: bool, findings: Findings) -> None:
    faults = Faults()
    tried = resumed = not_ours = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = _fit(folder)
        # objects of any size with a stride, blocks in full
        for stay, least, stride in (
            (False, 4096, 8 if quick else 1),
            (True, 4096, 8 if quick else 1),
            (False, 0, 1999 if quick else 1 if EVERY else 41),
        ):
            n = 0
            while True:
                for old in folder.iterdir():
                    old.unlink()
                gc.collect()
                _kernels.pool_clear()
                faults.least.value = least
                at = f"allocation {n} of at least {least} bytes{' and all after' if stay else ''}"
                with faults.armed(faults.memory, n, stay):
                    try:
                        done: State | None = _fit(folder)
                    except MemoryError:
                        done = None
                    except BaseException as error:
                        if others(error):
                            not_ours += 1
                        else:
                            findings.add(
                                f"another error than MemoryError: {type(error).__name__}",
                                f"{at}: {error} ({where(error)})",
                            )
                        done = None
                if not faults.hit.value:
                    break
                tried += 1
                if stray := [
                    f.name for f in folder.iterdir() if f.name not in ("state.safetensors", "best.safetensors")
                ]:
                    findings.add("a stray file", f"{at}: {stray}")
                if done is None:
                    resumed += 1
                    done = _fit(folder, resume=True)
                if done != whole:
                    wrong = [key for key in whole if done.get(key) != whole[key]]
                    findings.add("resumed with other bits", f"{at}: {', '.join(wrong[:6])}")
                n += stride
    print(
        f"fits: {tried} with a failing allocation, {resumed} of them ended by it and resumed; {not_ours} of the errors were NumPy's or Python's own"
    )


def address_space() -> int:
    """Bytes of address space in use."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limit(quick: bool, findings: Findings) -> None:
    sizes = (256, 128) if quick else (784, 512, 256)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]

    def make() -> tuple[nn.Module, optim.Optimizer]:
        tt.manual_seed(3)
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.GELU()]
        model = nn.Sequential(*layers, nn.Linear(sizes[-1], 10))
        return model, optim.Adam(model.parameters(), lr=0.01)

    tt.manual_seed(4)
    x, y = tt.rand(512, sizes[0]), tt.randint(0, 10, (512,))
    model, optimizer = make()
    step(model, optimizer, x, y)
    wholes = [state_of(model, optimizer)]
    step(model, optimizer, x, y)
    wholes.append(state_of(model, optimizer))
    lines: Counter[str] = Counter()
    tried = failed = 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.safetensors"
        tt.save(model.state_dict(), path)
        content = path.read_bytes()
        extra, enough = 0, 0
        while enough < 3:
            del model, optimizer
            model, optimizer = make()
            tt.set_num_threads(1)  # a team's stacks are memory too: it is made anew under the limit
            tt.set_num_threads(2)
            gc.collect()
            _kernels.pool_clear()
            ctypes.CDLL(None).malloc_trim(0)
            resource.setrlimit(resource.RLIMIT_AS, (address_space() + extra, hard))
            caught = None
            try:
                for _ in range(2):
                    step(model, optimizer, x, y)
                tt.save(model.state_dict(), path)
            except MemoryError as error:
                caught = where(error)
            except BaseException as error:
                findings.add(
                    f"another error than MemoryError: {type(error).__name__}",
                    f"{extra} bytes to spare: {error} ({where(error)})",
                )
                caught = where(error)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            tried += 1
            if caught:
                lines[caught] += 1
                failed += 1
                now = state_of(model, optimizer)
                for _ in range(2 if now not in wholes else 1 - wholes.index(now)):  # those that were not made
                    step(model, optimizer, x, y)
            else:
                enough += 1
            if state_of(model, optimizer) != wholes[1]:
                findings.add("half an update", f"{extra} bytes to spare, failed in {caught}")
            if path.read_bytes() != content or len(list(Path(name).iterdir())) != 1:
                findings.add("a damaged file", f"{extra} bytes to spare")
            extra += 1 << 18 if quick else 1 << 16
    print(
        f"limit: {tried} limits up to {extra / 1e6:.1f} MB to spare, {failed} with MemoryError, in {len(lines)} different lines"
    )
    for line, count in lines.most_common(12):
        print(f"  {count:4} {line}")


def _write_run(folder: Path) -> None:
    from tinytensor import cli

    code = cli.main(["train", "--csv", str(folder.parent / "iris.csv"), "--target", "species", "--epochs", "2", "--save-every", "3",
                     "--out", str(folder / "run"), "--quiet"])  # fmt: skip
    if code:
        raise SystemExit(code)


def _write_fit(folder: Path) -> None:
    _fit(folder, epochs=1)


def files(quick: bool, findings: Findings) -> None:
    faults = Faults()
    state = {"a": tt.rand(3000), "b": tt.ones(7, dtype=tt.int64)}
    history = History([{"epoch": i, "step": i, "lr": 0.1, "train_loss": 1 / i} for i in range(1, 9)])
    writers: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
        "save": (lambda f: tt.save(state, f / "x.safetensors", {"note": "x"}), ("x.safetensors",)),
        "save nested": (lambda f: tt.save([state, {"n": 1}], f / "x.safetensors"), ("x.safetensors",)),
        "save .npz": (lambda f: tt.save(state, f / "x.npz"), ("x.npz",)),
        "save_csv": (lambda f: history.save_csv(f / "history.csv"), ("history.csv",)),
        "fit": (_write_fit, ("state.safetensors", "best.safetensors")),
        "plot": (lambda f: history.plot(f / "curves.png"), ("curves.png",)),
        "tinytensor train": (_write_run, ("run.toml", "checkpoint.safetensors", "state.safetensors", "history.csv", "curves.png", "run")),
    }  # fmt: skip
    if quick:
        del writers["plot"], writers["tinytensor train"]
    total = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "out"
        shutil.copy(Path(__file__).parent.parent / "examples" / "iris.csv", folder.parent)
        for what, (write, targets) in writers.items():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            write(folder)  # also: what it imports is there, and old files are
            kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            tried = 0
            for code in (errno.ENOSPC, errno.EROFS, errno.EACCES) if not quick else (errno.ENOSPC,):
                for stay in (False, True):
                    n = 0
                    while True:
                        shutil.rmtree(folder)
                        for path, content in kept.items():
                            path.parent.mkdir(parents=True, exist_ok=True)
                            path.write_bytes(content)
                        faults.folder.value, faults.errno.value = os.fsencode(folder), code
                        at = f"{what}, call {n}, {errno.errorcode[code]}{' from then on' if stay else ''}"
                        caught: OSError | None = None
                        with faults.armed(faults.files, n, stay):
                            try:
                                with _quiet():
                                    write(folder)
                            except OSError as error:
                                caught = error
                            except SystemExit as error:
                                if what != "tinytensor train" or error.code != 1:
                                    findings.add("an exit", f"{at}: {error}")
                            except BaseException as error:
                                findings.add(
                                    f"another error than OSError: {type(error).__name__}",
                                    f"{at}: {error} ({where(error)})",
                                )
                        if not faults.hit.value:
                            break
                        tried += 1
                        if caught is not None and (
                            caught.errno != code or Path(str(caught.filename)).name not in targets
                        ):
                            findings.add("an error that does not name the file", f"{at}: {caught!r}")
                        for path in folder.rglob("*"):
                            if not path.is_file():
                                continue
                            if path not in kept:
                                findings.add("a stray file", f"{at}: {path.name}")
                            elif len(writers) and what in ("save", "save nested", "save .npz", "save_csv", "plot"):
                                if path.read_bytes() != kept[path]:
                                    findings.add("a damaged file", f"{at}: {path.name}")
                            elif path.suffix == ".safetensors":
                                tt.load(path)
                        begun = {"state.safetensors"} if what == "tinytensor train" else set()  # of the run before
                        if missing := [path.name for path in kept if not path.exists() and path.name not in begun]:
                            findings.add("a lost file", f"{at}: {missing}")
                        n += 1
            total += tried
            print(f"files: {what}: {tried} failing calls", flush=True)
        total += _full(
            folder, {name: write for name, (write, _) in writers.items() if name != "tinytensor train"}, quick, findings
        )
    print(f"files: {total} failing calls in all")


def _full(folder: Path, writers: dict[str, Callable[[Path], None]], quick: bool, findings: Findings) -> int:
    """Files that may not grow beyond a size, by the system's own limit."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    tried = 0
    for what, write in writers.items():
        shutil.rmtree(folder)
        folder.mkdir()
        write(folder)
        kept = {path: path.read_bytes() for path in folder.iterdir()}
        largest = max(map(len, kept.values()))
        for share in (0, 0.5, 0.99) if quick else np.linspace(0, 0.999, 40):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * largest), hard))
            try:
                write(folder)
                findings.add("no error", f"{what}: files of at most {share:.2f} of the size")
            except OSError as error:
                if error.errno != errno.EFBIG or Path(str(error.filename)) not in kept:
                    findings.add("an error that does not name the file", f"{what}: {error!r}")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            tried += 1
            if (what != "fit" and {path: path.read_bytes() for path in folder.iterdir()} != kept) or set(
                folder.iterdir()
            ) != set(kept):
                findings.add("a damaged file", f"{what}: files of at most {share:.2f} of the size")
    return tried


@contextmanager
def _quiet() -> Iterator[None]:
    """What a command says of its failure goes nowhere."""
    before = sys.stderr, sys.stdout
    with open(os.devnull, "w") as nowhere:
        sys.stderr = sys.stdout = nowhere
        try:
            yield
        finally:
            sys.stderr, sys.stdout = before


def held() -> tuple[int, int, int]:
    """File descriptors, threads, and resident bytes of this process."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), resident


def leaks(quick: bool, findings: Findings) -> None:
    rounds = 20 if quick else 1000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def once(i: int) -> None:
            with tt.threads(2):  # members of the team end and begin with each
                _fit(folder, epochs=1)
                History.load_csv(_csv(folder))
                loader = tt.data.DataLoader(
                    tt.data.TensorDataset(tt.rand(64, 12), tt.randint(0, 5, (64,))), 16, num_workers=2
                )
                model = nn.Linear(12, 5)
                fit(model, loader, "cross_entropy", "sgd", 1, progress=False)
                if not i % 10:
                    x = tt.rand(700, 700)
                    (x @ x).sum().item()  # enough work for all threads

        for i in range(max(5, rounds // 10)):
            once(i)
        gc.collect()
        first, sizes = held(), []
        for i in range(rounds):
            once(i)
            sizes.append(held()[2])
        gc.collect()
        last = held()
    slope = np.polyfit(np.arange(rounds), np.array(sizes, float), 1)[0]
    print(f"leaks: {rounds} fits: file descriptors {first[0]} -> {last[0]}, threads {first[1]} -> {last[1]}, "
          f"resident memory {first[2] / 1e6:.1f} -> {last[2] / 1e6:.1f} MB ({slope:+.0f} bytes a fit)")  # fmt: skip
    if last[0] != first[0]:
        findings.add("a leak of file descriptors", f"{first[0]} -> {last[0]}")
    if last[1] > first[1]:
        findings.add("a leak of threads", f"{first[1]} -> {last[1]}")
    if not quick and slope > 1000:
        findings.add("a leak of memory", f"{slope:.0f} bytes a fit")


def _csv(folder: Path) -> Path:
    path = folder / "history.csv"
    History([{"epoch": 1, "step": 1, "train_loss": 0.5}]).save_csv(path)
    return path


PARTS: dict[str, Callable[[bool, Findings], None]] = {
    "allocations": allocations, "fits": fits, "limit": limit, "files": files, "leaks": leaks,
}  # fmt: skip
SHIMMED = ("allocations", "fits", "files")


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--inside"]:
        findings = Findings()
        PARTS[arguments[1]]("--quick" in arguments, findings)
        for kind, count in findings.kinds.items():
            print(f"{count} times: {kind}")
        return bool(findings.kinds)
    flags = [a for a in arguments if a in ("--quick", "--every")]
    parts = [a for a in arguments if a not in flags] or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        print(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    failed = []
    with tempfile.TemporaryDirectory() as name:
        for part in parts:
            environment = {**os.environ, "MPLBACKEND": "Agg"}
            if part in SHIMMED and os.environ.get("LD_PRELOAD"):
                print(f"{part}: skipped: LD_PRELOAD is in use, as by a sanitizer")
                continue
            if part in SHIMMED:
                try:
                    library = built(Path(name))
                except RuntimeError as error:
                    print(f"{part}: skipped: {error}")
                    continue
                environment |= {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc", "TINYTENSOR_NUM_THREADS": "1"}
            started = time.perf_counter()
            code = subprocess.run([sys.executable, __file__, "--inside", part, *flags], env=environment).returncode
            if code:
                failed.append(f"{part} (exit code {code})")
            print(f"{part}: {'FAILED' if code else 'passed'} after {time.perf_counter() - started:.0f} s", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "no findings")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
