"""Processes, threads, signals and ends of the interpreter, many times: `python tests/processes.py [NAME ...] [--rounds N]`.

Each scenario below runs in a process of its own with a deadline, works out what is right before anything happens, and compares
all bits afterwards. The table that is printed fits into docs/reliability.md; the exit code is 1 when anything was found: a wrong
bit, a hang, a crash, a changed mode, a lost thread. Without arguments all run with their full numbers of rounds, which takes
about 8 minutes on two cores. tests/test_processes.py runs a few rounds of each.
"""

from __future__ import annotations

import argparse
import atexit
import ctypes
import faulthandler
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from interrupted import signals
from small_training import (
    DEADLINE,
    Figures,
    advance,
    digest,
    forked,
    loaded,
    network,
    reap,
    state_of,
    training,
    wait_for_tasks,
)

import tinytensor as tt
from tinytensor import data, nn, optim

HERE = Path(tt.__file__).parent.parent  # not a clone's folder, whose package may not be built
SHORT = False  # the ways that cost least, for the tests


# ----------------------------------------------------------------------------------------------------------------- forks
def forks(rounds: int) -> Figures:
    """train -> fork -> train: three children train on 1, 2 and 3 threads while the parent does, and while other threads of the
    parent are inside kernels, and hold the lock on gradients."""
    tt.set_num_threads(2)
    expected = [training(seed) for seed in range(3)]
    stop, large = threading.Event(), tt.ones(300_000)
    leaf = tt.zeros(300_000, requires_grad=True)

    def kernels() -> None:
        while not stop.is_set():
            tt.tanh(large)

    def gradients() -> None:
        while not stop.is_set():
            (leaf * 2).sum().backward()

    def child(threads: int, seed: int) -> None:
        assert tt.get_num_threads() == 2
        assert training(seed) == expected[seed]
        tt.set_num_threads(threads)
        assert training(seed) == expected[seed]
        (leaf * 2).sum().backward()

    sys.setswitchinterval(1e-5)
    busy = [threading.Thread(target=f) for f in (kernels, gradients)]
    for t in busy:
        t.start()
    slowest = 0.0
    try:
        for r in range(rounds):
            signal.alarm(DEADLINE)
            begun = time.monotonic()
            children = [forked(partial(child, n, (r + n) % 3)) for n in (1, 2, 3)]
            assert training(r % 3) == expected[r % 3]
            for c in children:
                reap(c)
            assert training(r % 3) == expected[r % 3]
            slowest = max(slowest, time.monotonic() - begun)
    finally:
        signal.alarm(0)
        stop.set()
        for t in busy:
            t.join()
    return {"children": 3 * rounds, "slowest round": f"{slowest:.1f} s"}


# ----------------------------------------------------------------------------------------------------------------- pools
def continued(given: tuple[nn.Module, optim.Optimizer, tt.Generator, tt.Tensor, nn.Parameter]) -> Any:
    """Three more steps, and all of it back."""
    model, optimizer, generator, x, p = given
    advance(model, optimizer, 5, 3)
    with tt.no_grad():
        p += tt.randn(*p.shape, generator=generator)
    return model, optimizer, generator, x * 2, p


def given() -> Any:
    model = network(4)
    model.train(False)
    optimizer = optim.NAdam([{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 1e-3}], lr=1e-2)
    advance(model, optimizer, 5, 2)
    return model, optimizer, tt.Generator(9), tt.arange(6.0).reshape(2, 3), nn.Parameter(tt.ones(600, 500))


def described(got: Any) -> tuple[Any, ...]:
    model, optimizer, generator, x, p = got
    assert type(p) is nn.Parameter and p.requires_grad and p.is_leaf and not model.training
    own = [q for group in optimizer.param_groups for q in group["params"]]
    assert [id(q) for q in own] == [id(q) for q in model.parameters()]
    return state_of(model, optimizer), generator.get_state(), digest(x, p), str(model), str(optimizer)


def pools(rounds: int) -> Figures:
    """Pools of processes by fork, spawn and forkserver, executors and joblib: bits of trainings, and what was pickled both ways."""
    expected = {seed: training(seed) for seed in range(4)}
    done = described(continued(given()))
    batches = loaded(0)
    ways: list[str] = []
    for _ in range(rounds):
        ways = []
        for method in ("fork", "spawn") if SHORT else multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context(method)
            with context.Pool(1 if SHORT else 2) as pool:
                results = [pool.apply_async(training, (seed,)) for seed in expected]
                twice = [pool.apply_async(continued, (given(),)) for _ in range(2)]
                loads = [pool.apply_async(loaded, (n,)) for n in (0, 2)]
                assert [r.get(DEADLINE) for r in results] == list(expected.values()), method
                assert [described(r.get(DEADLINE)) for r in twice] == [done] * 2, method
                assert [r.get(DEADLINE) for r in loads] == [batches] * 2, method
                pool.close()
                pool.join()
            ways.append(method)
        if SHORT:
            continue
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as executor:
            assert list(executor.map(training, expected, timeout=DEADLINE)) == list(expected.values())
            assert described(executor.submit(continued, given()).result(DEADLINE)) == done
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(training, expected, timeout=DEADLINE)) == list(expected.values())
        ways += ["ProcessPoolExecutor", "ThreadPoolExecutor"]
        if find_spec("joblib"):
            from joblib import Parallel, delayed

            for backend in ("loky", "threading", "multiprocessing"):
                run = Parallel(n_jobs=2, backend=backend, timeout=DEADLINE)
                assert run(delayed(training)(seed) for seed in expected) == list(expected.values()), backend
                assert [described(g) for g in run(delayed(continued)(given()) for _ in range(2))] == [done] * 2, backend
                ways.append(f"joblib {backend}")
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True)
        assert training(0) == expected[0]
    return {"ways": ", ".join(ways)}


# --------------------------------------------------------------------------------------------------------------- threads
def threads(rounds: int) -> Figures:
    """Eight threads train their own models, four ask one model, two multiply with NumPy, while the number of threads changes."""
    sys.setswitchinterval(1e-5)
    seeds = range(8)
    expected = [training(seed) for seed in seeds]
    shared, x = network(1), tt.randn(512, 30, generator=tt.Generator(2))
    with tt.no_grad():
        answer = digest(shared(x))
    a = np.random.default_rng(0).normal(size=(300, 300))
    product = a @ a

    def ask() -> str:
        for _ in range(9):
            with tt.no_grad():
                assert digest(shared(x)) == answer
        return answer

    def multiply() -> str:
        for _ in range(20):
            assert np.allclose(a @ a, product, rtol=1e-12)
        return digest(tt.from_numpy(a) @ tt.from_numpy(a))

    doubles = multiply()
    tt.set_num_threads(1)
    base = len(os.listdir("/proc/self/task"))  # NumPy's are among them, and stay
    for r in range(rounds):
        with ThreadPoolExecutor(14) as pool:
            trained = [pool.submit(training, seed) for seed in seeds]
            asked = [pool.submit(ask) for _ in range(4)]
            multiplied = [pool.submit(multiply) for _ in range(2)]
            chosen = random.Random(r)
            for _ in range(20):
                tt.set_num_threads(chosen.randint(1, 5))
                tt.tanh(x)
            assert [f.result(DEADLINE) for f in trained] == expected
            assert [f.result(DEADLINE) for f in asked] == [answer] * 4
            assert [f.result(DEADLINE) for f in multiplied] == [doubles] * 2
    tt.set_num_threads(1)
    wait_for_tasks(base)
    return {"trainings": 8 * rounds}


# ---------------------------------------------------------------------------------------------------------------- orders
PACKAGES = ("numpy", "scipy.linalg", "sklearn.decomposition", "torch", "tinytensor")
ORDER = """
import sys, importlib
order, bits, counts, many = sys.argv[2].split(","), sys.argv[3], sys.argv[4], sys.argv[5:]
seen = {name: importlib.import_module(name) for name in order}
import numpy as np, tinytensor as tt
sys.path.insert(0, sys.argv[1])
from small_training import training
rng = np.random.default_rng(0)
a = rng.normal(size=(200, 200)).astype(np.float32)
def others():
    found = []
    if "torch" in seen:
        torch = seen["torch"]
        found = [torch.get_num_threads()]
        assert np.allclose((torch.from_numpy(a) @ torch.from_numpy(a)).numpy(), a.astype(float) @ a, atol=1e-3)
        x = torch.from_numpy(a).requires_grad_()
        torch.tanh(x).sum().backward()
        assert np.allclose(x.grad.numpy(), 1 - np.tanh(a) ** 2, atol=1e-5)
    if "sklearn.decomposition" in seen:
        assert np.isfinite(seen["sklearn.decomposition"].PCA(3).fit_transform(a)).all()
    if "scipy.linalg" in seen:
        assert np.allclose(seen["scipy.linalg"].inv(a.astype(float)) @ a, np.eye(200), atol=1e-6)
    return found
before = others()
for n in (2, 1, 3, 2):
    tt.set_num_threads(n)
    assert training(0) == bits
    assert others() == before
if many:
    print(*before)
else:
    assert " ".join(map(str, before)) == counts, (before, counts)
"""


def orders(rounds: int) -> Figures:
    """Orders of imports in one process, each followed by trainings, and by what the other libraries do, with their own threads."""
    there = [name for name in PACKAGES if find_spec(name.partition(".")[0])]
    bits = training(0)
    env = {**os.environ, "PYTHONPATH": str(HERE)}
    begin = [sys.executable, "-c", ORDER, str(Path(__file__).parent)]

    def run(order: tuple[str, ...], *rest: str) -> str:
        done = subprocess.run(
            [*begin, ",".join(order), bits, *rest],
            env=env, cwd=HERE, capture_output=True, text=True, timeout=5 * DEADLINE,
        )  # fmt: skip
        assert done.returncode == 0, f"{order}: {done.returncode} {done.stderr}"
        return done.stdout.strip()

    every = list(itertools.permutations([name for name in reversed(there) if not (SHORT and name.startswith("s"))]))
    alone = ""
    if "torch" in there and SHORT:
        env["OMP_NUM_THREADS"] = alone = "2"
    elif "torch" in there:
        alone = run(("torch",), "", "print")
    chosen = every[:rounds]
    for order in chosen:
        run(order, alone)
    return {"orders": len(chosen), "packages": " ".join(name.partition(".")[0] for name in there)}


# --------------------------------------------------------------------------------------------------------------- signals
def ended(rounds: int) -> Figures:
    """SIGTERM and SIGUSR1 during training: the one ends it at once, or as its handler says; the other prints all stacks."""

    def until_ended(handler: Any) -> Callable[[], None]:
        def work() -> None:
            signal.signal(signal.SIGTERM, handler)
            os.write(write, b"x")
            while True:
                training(0)

        return work

    def leave(*_: Any) -> None:
        os._exit(7)

    for _ in range(rounds):
        for handler, status in ((signal.SIG_DFL, -signal.SIGTERM), (leave, 7)):
            read, write = os.pipe()
            child = forked(until_ended(handler))
            os.read(read, 1)
            os.kill(child, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status
            os.close(read)
            os.close(write)
    expected = training(0)
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.register(signal.SIGUSR1, file)
        for _ in range(rounds):
            os.kill(os.getpid(), signal.SIGUSR1)
            assert training(0) == expected
        faulthandler.unregister(signal.SIGUSR1)
        file.seek(0)
        assert file.read().count("most recent call first") >= rounds
    return {"ended": 2 * rounds, "stacks": rounds}


FAULT = """
import faulthandler, sys, numpy as np
faulthandler.enable()
import tinytensor as tt
from tinytensor import _kernels
_kernels.set_thread_work(1); _kernels.set_helpful(False); tt.set_num_threads(2)
with open(sys.argv[1], "wb+") as f:
    f.truncate(1 << 22)
    x = tt.from_numpy(np.memmap(f, np.float32, "r+"))
    tt.tanh(x)
    f.truncate(1 << 21)  # what is left is the first thread's part
    tt.tanh(x)
"""


def faults(rounds: int) -> Figures:
    """A fault of memory in a thread of the team: faulthandler tells of it, as of one in any other."""
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            done = run_program(FAULT, str(Path(folder) / "x"))
        assert done.returncode == -signal.SIGBUS, done
        assert "Fatal Python error: Bus error" in done.stderr, f"faulthandler said nothing: {done.stderr!r}"
    return {"faults": rounds}


def run_program(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(HERE), "OPENBLAS_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=env, cwd=HERE, capture_output=True, text=True, timeout=2 * DEADLINE,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- subinterpreters
SUBINTERPRETERS = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
def answer():
    import tinytensor as tt
    x = tt.ones(3, requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
program = '''
import warnings
warnings.simplefilter("ignore")
try:
    import tinytensor
except ImportError as e:
    assert "tinytensor works in the main interpreter" in str(e), e
else:
    raise SystemError("imported")
'''
for i in range(int(sys.argv[2])):
    if sys.argv[1] == "first" or i:
        answer()
    other = interpreters.create()
    failed = interpreters.run_string(other, program)
    assert not failed, failed
    interpreters.destroy(other)
answer()
"""


def subinterpreters(rounds: int) -> Figures:
    """An import in a subinterpreter is refused, whoever comes first, and the main interpreter works before and after."""
    if find_spec("_interpreters") is None and find_spec("_xxsubinterpreters") is None:
        return {"skipped": "no subinterpreters"}
    for order in ("later",) if SHORT else ("first", "later"):
        done = run_program(SUBINTERPRETERS, order, str(rounds))
        assert done.returncode == 0, f"{order}: {done.returncode} {done.stderr}"
    return {"interpreters": 2 * rounds}


# ------------------------------------------------------------------------------------------------- ends of the interpreter
def in_threads(work: Callable[[], object], daemon: bool, count: int = 3) -> None:
    """Threads that work for ever, each of which has begun."""
    gate = threading.Barrier(count + 1)

    def forever() -> None:
        work()
        gate.wait()
        while True:
            work()

    for _ in range(count):
        threading.Thread(target=forever, daemon=daemon).start()
    gate.wait()


def end_in_kernels() -> None:
    x, y = tt.ones(2_000_000), tt.ones(300, 300)
    in_threads(lambda: (tt.tanh(x), y @ y), True)


def end_in_steps() -> None:
    in_threads(lambda: training(1, 2), True)


def end_with_the_lock() -> None:
    """A daemon thread ends with the lock on gradients, and a finalizer walks back after that."""
    leaf, g = tt.zeros(4_000_000, requires_grad=True), tt.ones(4_000_000)

    class Last:
        x = tt.ones(3, requires_grad=True)
        y = (x * 2).sum()

        def __del__(self) -> None:
            self.y.backward()

    sys.modules["last"] = type(sys)("last")
    sys.modules["last"].object = Last()  # type: ignore[attr-defined]
    in_threads(lambda: tt.tape.accumulate(leaf, g.numpy()), True)


def end_with_handlers() -> None:
    """Tensors in atexit's functions, and in what is freed after them, while daemon threads run."""
    expected = training(2, 2)
    end_in_kernels()

    def last() -> None:
        if training(2, 2) != expected:
            os._exit(3)

    atexit.register(last)
    sys.kept = [network(1), tt.ones(10, requires_grad=True) * 2]  # type: ignore[attr-defined]


def end_at_once() -> None:
    end_in_kernels()
    os._exit(0)


def end_of_a_thread() -> None:
    def work() -> None:
        training(1, 2)
        sys.exit(5)  # of the thread alone

    t = threading.Thread(target=work)
    t.start()
    training(1, 2)


def end_before_threads() -> None:
    """The main thread ends first, others train on."""
    for seed in range(3):
        threading.Thread(target=training, args=(seed, 20)).start()


def end_with_a_loader() -> None:
    images = data.TensorDataset(tt.ones(1000, 30), tt.arange(1000))
    batches = iter(data.DataLoader(images, batch_size=8, num_workers=2))
    next(batches)
    sys.batches = batches  # type: ignore[attr-defined]


ENDS = (
    end_in_kernels, end_in_steps, end_with_the_lock, end_with_handlers, end_at_once, end_of_a_thread, end_before_threads,
    end_with_a_loader,
)  # fmt: skip


def ends(rounds: int) -> Figures:
    """Ends of the interpreter in the middle of things, each in a child that ends as a program does."""
    tt.set_num_threads(2)
    sys.stdout.flush()
    for _ in range(rounds):
        for end in ENDS:
            read, write = os.pipe()
            child = os.fork()
            if not child:
                os.dup2(write, 2)
                signal.alarm(DEADLINE)
                end()
                raise SystemExit(0)  # through the whole end of an interpreter
            os.close(write)
            said = os.read(read, 1 << 16).decode()
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.close(read)
            assert status == 0, f"{end.__name__}: exit status {status} {said}"
            assert not said, f"{end.__name__}: {said}"
    return {"ends": rounds * len(ENDS), "kinds": len(ENDS)}


# -------------------------------------------------------------------------------------------------------------- refusals
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
extern void *__libc_malloc(size_t);
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *p) {
    static int made;
    const char *most = getenv("SHIM_THREADS");
    if (most && made++ >= atoi(most)) return EAGAIN;
    return ((int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create"))(t, a, f, p);
}
void *malloc(size_t n) {
    static int refuse = -1;
    if (refuse < 0) refuse = getenv("SHIM_MALLOC") != NULL;
    if (refuse && syscall(SYS_gettid) != getpid()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(n);
}
"""
REFUSED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import tinytensor as tt
from small_training import training
from tinytensor import _kernels
tt.set_num_threads(4)
_kernels.set_helpful(False)
assert training(0) == sys.argv[2]
x = tt.linspace(-2, 3, 100_000)
_kernels.seen_threads(True)
tt.tanh(x)
assert _kernels.seen_threads() == int(sys.argv[3]), (_kernels.seen_threads(), sys.argv[3])
assert tt.get_num_threads() == 4
tt.set_num_threads(1)
assert training(0) == sys.argv[2]
"""


def refusals(rounds: int) -> Figures:
    """The system refuses threads after 0, 1 or 2, or memory to all but the first thread: fewer threads, or the same, same bits."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return {"skipped": "no C compiler, or no Linux"}
    if os.environ.get("LD_PRELOAD"):
        return {"skipped": "LD_PRELOAD is in use, as by a sanitizer"}
    expected = training(0)
    with tempfile.TemporaryDirectory() as folder:
        source, shim = Path(folder) / "shim.c", Path(folder) / "shim.so"
        source.write_text(SHIM)
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        for _ in range(rounds):
            cases = [({"SHIM_THREADS": str(n)}, n + 1) for n in ((1,) if SHORT else range(3))]
            for case, most in [*cases, ({"SHIM_MALLOC": "1"}, 4)] if glibc() else cases:
                done = run_program(
                    REFUSED,
                    str(Path(__file__).parent),
                    expected,
                    str(most),
                    LD_PRELOAD=str(shim),
                    OMP_NUM_THREADS="1",
                    **case,
                )
                assert done.returncode == 0, f"{case}: {done.returncode} {done.stderr}"
    return {"processes": rounds * (len(cases) + glibc())}


def glibc() -> bool:
    return hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


# ------------------------------------------------------------------------------------------------------------------- all
SCENARIOS: dict[str, tuple[Callable[[int], Figures], int, int]] = {  # rounds: of the long form, and of the tests
    "forks": (forks, 100, 2),
    "pools": (pools, 5, 1),
    "threads": (threads, 100, 1),
    "orders": (orders, 120, 1),
    "signals": (signals, 550, 44),
    "ended": (ended, 50, 1),
    "faults": (faults, 20, 1),
    "subinterpreters": (subinterpreters, 20, 1),
    "ends": (ends, 50, 1),
    "refusals": (refusals, 10, 1),
}


def run_apart(name: str, rounds: int, deadline: float) -> tuple[str | None, Figures]:
    """A scenario in a process of its own: what was found, or None, and its figures. rounds: 0 for those of the tests, where
    several names, with commas, share the process, each in a fork of it."""
    command = [sys.executable, "-X", "faulthandler", __file__, "--child", name, "--rounds", str(rounds)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(HERE)},
            cwd=HERE,
            capture_output=True,
            text=True,
            timeout=deadline,
        )
    except subprocess.TimeoutExpired as e:
        said = (e.stderr or b"").decode(errors="replace")
        return f"{name}: no end within {deadline:.0f} s\n{said[-3000:]}", {}
    if done.returncode != 0:
        return f"{name}: exit status {done.returncode}\n{done.stderr[-3000:]}", {}
    return None, json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *SCENARIOS], help="scenarios; all, if none is named")
    parser.add_argument("--rounds", type=int, help="of each scenario, in place of its own number")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        global SHORT
        SHORT = options.rounds == 0
        name, *others = options.child.split(",")
        for other in others:
            reap(forked(partial(SCENARIOS[other][0], SCENARIOS[other][2])))
        print(json.dumps(SCENARIOS[name][0](options.rounds or SCENARIOS[name][2])))
        return 0
    findings = []
    print("| scenario | rounds | seconds | found | figures |\n| --- | --- | --- | --- | --- |")
    for name in options.names or SCENARIOS:
        rounds = options.rounds or SCENARIOS[name][1]
        begun = time.monotonic()
        found, figures = run_apart(name, rounds, 3600)
        findings += [found] if found else []
        told = "; ".join(f"{key}: {value}" for key, value in figures.items())
        print(
            f"| {name} | {rounds} | {time.monotonic() - begun:.0f} | {'1' if found else 'nothing'} | {told} |",
            flush=True,
        )
    print("\n".join(["", *findings]) if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
