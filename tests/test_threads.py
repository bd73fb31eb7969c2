"""How many threads there are and what limits them; subnormals kept or flushed on all of them, and nowhere else."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels as K
from tinytensor import optim
from tinytensor.threads import cpu_quota


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, where NumPy makes no threads."""
    names = ("TINYTENSOR_NUM_THREADS", "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_THREAD_LIMIT")
    env = {name: value for name, value in os.environ.items() if name not in names}
    here = Path(tt.__file__).parent.parent  # not a clone's folder, whose package may not be built
    env = {**env, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(here), **environment}
    return subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120, cwd=here
    )


def passes(program: str, **environment: str) -> None:
    r = run(program, **environment)
    assert r.returncode == 0, r.stderr


# ------------------------------------------------------------------------------------------------------ the first number
def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V1 = "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us"
QUOTAS: dict[str, tuple[int | None, str, dict[str, str]]] = {
    "nothing to read": (None, "", {}),
    "v2": (2, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "200000 100000\n"}),
    "v2, part of a CPU": (1, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "20000 100000\n"}),
    "v2, rounded up": (3, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "200001 100000\n"}),
    "v2, no limit": (None, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "max 100000\n"}),
    "v2, at the root": (2, "0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}),
    "v2, the least is above": (
        2,
        "0::/a/b/c\n",
        {
            "sys/fs/cgroup/a/b/c/cpu.max": "500000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "sys/fs/cgroup/a/cpu.max": "400000 200000\n",
        },
    ),
    "v2, the least is below": (
        1,
        "0::/a/b\n",
        {"sys/fs/cgroup/a/b/cpu.max": "50000 100000\n", "sys/fs/cgroup/a/cpu.max": "400000 100000\n"},
    ),
    "v2, a name from outside of the container": (3, "0::/docker/1\n", {"sys/fs/cgroup/cpu.max": "300000 100000\n"}),
    "v2 beside v1": (4, "1:name=systemd:/\n0::/a\n", {"sys/fs/cgroup/unified/a/cpu.max": "400000 100000\n"}),
    "v1": (3, "4:cpu,cpuacct:/a\n0::/\n", {V1[0]: "250000\n", V1[1]: "100000\n"}),
    "v1, the full name": (
        2,
        "4:cpu,cpuacct:/a\n",
        {name.replace("/cpu/", "/cpu,cpuacct/"): text for name, text in zip(V1, ("150000\n", "100000\n"))},
    ),
    "v1, no limit": (None, "4:cpu:/a\n", {V1[0]: "-1\n", V1[1]: "100000\n"}),
    "v1, the least is above": (
        1,
        "4:cpu:/a\n",
        {V1[0]: "400000\n", V1[1]: "100000\n"}
        | {name.replace("/a/", "/"): text for name, text in zip(V1, ("100000\n", "100000\n"))},
    ),
    "v1, another controller": (None, "4:cpuset:/a\n", {V1[0]: "100000\n", V1[1]: "100000\n"}),
    "v1 without a period": (None, "4:cpu:/a\n", {V1[0]: "100000\n"}),
    "one word": (None, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "100000\n"}),
    "three words": (None, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "100000 100000 1\n"}),
    "no numbers": (None, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "many few\n"}),
    "no time": (None, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "0 100000\n"}),
    "no period": (None, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": "100000 0\n"}),
    "a number of 400 digits": (10**400, "0::/a\n", {"sys/fs/cgroup/a/cpu.max": f"1{'0' * 400} 1\n"}),
    "no line as it should be": (None, "0\n\n:\n0::a\0b\n\xff\n", {}),
    "malformed here, a limit above": (
        2,
        "0::/a\n",
        {"sys/fs/cgroup/a/cpu.max": "\xff\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"},
    ),
}


@pytest.mark.parametrize(("expected", "groups", "files"), QUOTAS.values(), ids=QUOTAS)
def test_the_quota_of_control_groups(tmp_path: Path, expected: int | None, groups: str, files: dict[str, str]) -> None:
    assert cpu_quota(str(tree(tmp_path, {"proc/self/cgroup": groups, **files} if groups else files))) == expected


def test_a_quota_that_cannot_be_read_limits_nothing(tmp_path: Path) -> None:
    tree(tmp_path, {"proc/self/cgroup": "0::/a\n"})
    (tmp_path / "sys/fs/cgroup/a/cpu.max").mkdir(parents=True)
    assert cpu_quota(str(tmp_path)) is None


IMPORTED = """
import builtins, os
real, root = open, os.environ["ROOT"]
def elsewhere(path, *arguments, **options):
    there = str(path).startswith(("/proc/self/cgroup", "/sys/fs/cgroup"))
    return real(root + str(path) if there else path, *arguments, **options)
builtins.open = elsewhere
import tinytensor as tt
print(tt.get_num_threads())
"""


def first(root: Path, **environment: str) -> int:
    r = run(IMPORTED, ROOT=str(root), **environment)
    assert r.returncode == 0, r.stderr
    return int(r.stdout)


def test_the_first_number_of_threads_is_the_least_of_what_limits_it(tmp_path: Path) -> None:
    cpus = min(len(os.sched_getaffinity(0)), 64)
    assert first(tmp_path) == cpus
    assert first(tmp_path, OMP_NUM_THREADS="1") == 1
    assert first(tmp_path, OMP_NUM_THREADS="1,4") == 1
    assert first(tmp_path, OMP_NUM_THREADS="63") == min(cpus, 63)
    tree(tmp_path, {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "100 100\n"})
    assert first(tmp_path) == 1
    assert first(tmp_path, OMP_NUM_THREADS="2") == 1
    assert first(tmp_path, TINYTENSOR_NUM_THREADS="3", OMP_NUM_THREADS="1") == 3
    assert first(tmp_path, TINYTENSOR_NUM_THREADS="99999999999") == 64
    tree(tmp_path, {"sys/fs/cgroup/a/cpu.max": "6400 100\n"})
    assert first(tmp_path) == cpus


def test_one_cpu_in_the_affinity_mask_is_one_thread() -> None:
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    passes(f"{one}import tinytensor as tt; assert tt.get_num_threads() == 1")
    passes(f"import tinytensor as tt\n{one}tt.set_num_threads(2); assert tt.get_num_threads() == 2")


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5", "²", " "])
def test_a_bad_number_of_threads_ends_the_import(text: str) -> None:
    r = run("import tinytensor", TINYTENSOR_NUM_THREADS=text)
    assert r.returncode != 0
    assert f"ImportError: TINYTENSOR_NUM_THREADS={text!r}: expected a number of at least 1" in r.stderr


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5,2"])
def test_a_bad_openmp_variable_is_named_and_ignored(tmp_path: Path, text: str) -> None:
    r = run(IMPORTED, ROOT=str(tmp_path), OMP_NUM_THREADS=text)
    assert f"RuntimeWarning: OMP_NUM_THREADS={text!r} is not a number of threads" in r.stderr
    assert int(r.stdout) == min(len(os.sched_getaffinity(0)), 64)


def test_bad_arguments() -> None:
    before = tt.get_num_threads()
    for n in (0, -1, -(10**30)):
        with pytest.raises(ValueError, match=f"set_num_threads: expected at least 1, got {n}"):
            tt.set_num_threads(n)
        with pytest.raises(ValueError, match=f"threads: expected at least 1, got {n}"):
            tt.threads(n)
    for bad in (1.5, "2", None):
        for call in (tt.set_num_threads, tt.threads):
            with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
                call(bad)  # type: ignore[arg-type]
    assert tt.get_num_threads() == before
    with tt.threads(10**30):
        assert tt.get_num_threads() == 64


# --------------------------------------------------------------------------------------------------- threads that exist
START = """
import os, sys, threading, time
import tinytensor as tt
from tinytensor import _kernels
_kernels.set_thread_work(1)
_kernels.set_helpful(False)
x = tt.linspace(-2, 3, 100_000)

def tasks():
    return set(os.listdir("/proc/self/task"))

def there_are(n):  # a thread that was told to end may still be doing so
    deadline = time.monotonic() + 60
    while len(tasks()) != n:
        assert time.monotonic() < deadline, f"{len(tasks())} threads, expected {n}"
        os.sched_yield()

def region(n):
    _kernels.seen_threads(True)
    y = tt.tanh(x)
    assert _kernels.seen_threads(True) == n
    return y.numpy().tobytes()

own = len(tasks())  # of Python and of other libraries
"""


def test_the_number_bounds_the_threads_that_exist() -> None:
    passes(
        START
        + """
with tt.threads(1):
    expected = region(1)
    there_are(own)
with tt.threads(4):
    assert region(4) == expected
    there_are(own + 3)
    with tt.threads(2):
        assert region(2) == expected
        there_are(own + 1)
        with tt.threads(1):
            there_are(own)
            assert region(1) == expected
            there_are(own)
        assert region(2) == expected
        there_are(own + 1)
    assert region(4) == expected
    there_are(own + 3)
tt.set_num_threads(1)
there_are(own)
tt.set_num_threads(3)
assert region(3) == expected
there_are(own + 2)
tt.set_num_threads(1)
there_are(own)
"""
    )


def test_a_smaller_kernel_takes_fewer_of_the_same_threads() -> None:
    passes(
        START
        + """
_kernels.set_thread_work(10_000)
_kernels.set_spin(60e6)  # nobody sleeps
tt.set_num_threads(4)
tt.tanh(tt.ones(2**20))
there_are(own + 3)
made, used = tasks(), set()
for k in (*range(12, 21), *range(20, 11, -1)):
    y = tt.ones(2**k)
    _kernels.seen_threads(True)
    tt.tanh(y)
    used.add(_kernels.seen_threads(True))
    assert tasks() == made
assert used >= {1, 2, 4}
"""
    )


@pytest.mark.skipif(not K.pool_limit(), reason="under a sanitizer calls are too slow to be many in a row")
def test_a_sleeping_thread_is_woken_for_much_work_or_for_much_in_a_row() -> None:
    passes(
        START
        + """
_kernels.set_thread_work(300)
_kernels.set_spin(0)
tt.set_num_threads(2)
some = tt.ones(2**14)  # 800 ns by its estimate: enough for two that are awake
used = []
for _ in range(100):
    _kernels.seen_threads(True)
    tt.neg(some)
    used.append(_kernels.seen_threads(True))
assert used[0] == 1 and 2 in used, used
_kernels.seen_threads(True)
tt.tanh(tt.ones(2**18))
assert _kernels.seen_threads(True) == 2
"""
    )


def test_threads_of_python_share_the_team() -> None:
    """Whoever comes while another one has it works alone, with the same bits."""
    passes(
        START
        + """
tt.set_num_threads(3)
expected = region(3)
start, failed = threading.Barrier(4), []
def work():
    try:
        start.wait()
        for _ in range(200):
            assert tt.tanh(x).numpy().tobytes() == expected
    except BaseException as e:
        failed.append(e)
others = [threading.Thread(target=work) for _ in range(4)]
for t in others:
    t.start()
for t in others:
    t.join()
assert not failed, failed
there_are(own + 2)
tt.set_num_threads(1)
there_are(own)
"""
    )


def test_threads_wake_from_sleep_and_are_used_again() -> None:
    passes(
        START
        + """
tt.set_num_threads(3)
expected = region(3)
for us in (0, 5, 50, 500):
    _kernels.set_spin(us)
    for pause in (0, 1e-5, 1e-4, 1e-3):
        for _ in range(30):
            end = time.perf_counter() + pause
            while time.perf_counter() < end:
                pass
            assert region(3) == expected
            _kernels.set_helpful(True)  # whoever comes first
            assert tt.tanh(x).numpy().tobytes() == expected
            _kernels.set_helpful(False)
"""
    )


def test_a_child_makes_threads_of_its_own() -> None:
    passes(
        START
        + """
tt.set_num_threads(3)
expected = region(3)
child = os.fork()
if not child:
    try:
        assert tt.get_num_threads() == 3
        there_are(1)
        assert region(3) == expected
        there_are(3)
        tt.set_num_threads(2)
        assert region(2) == expected
        there_are(2)
        os._exit(0)
    finally:
        os._exit(1)
assert os.waitpid(child, 0)[1] == 0
assert region(3) == expected
there_are(own + 2)
"""
    )


# ----------------------------------------------------------------------------------------------------------- subnormals
FLUSHES = platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64")
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
LARGE = 1 << 17
TINY = {"float32": 2.0**-140, "float64": 2.0**-1060}


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = tt.get_num_threads()
    yield
    tt.set_flush_denormal(False)
    K.set_thread_work()
    tt.set_num_threads(before)


def one(x: Any) -> Any:
    return np.ones_like(x)


def leaf(x: Any, g: Any) -> tt.Tensor:
    p = tt.from_numpy(x).requires_grad_()
    p.grad = tt.from_numpy(g)
    return p


def sgd(x: Any) -> Any:
    p = np.zeros_like(x)
    optim.SGD([leaf(p, -x)], lr=1).step()
    return p


def adam(x: Any) -> Any:
    p = leaf(np.zeros_like(x), x)
    optimizer = optim.Adam([p], lr=1, betas=(0.5, 0.5), eps=1)
    optimizer.step()
    return optimizer.state[p]["exp_avg"].numpy()


# name: kernel, and its exact value as a multiple of each element of x, all alike; whether it has threads
KERNELS: dict[str, tuple[Callable[[Any], Any], Callable[[int], float], bool]] = {
    "of equal shapes": (lambda x: K.map2(K.OPS["mul"], x, one(x)), lambda n: 1, True),
    "by a number": (lambda x: K.map2(K.OPS["mul"], x, 0.5), lambda n: 0.5, True),
    "by rows": (lambda x: K.map2(K.OPS["mul"], x.reshape(-1, 2), one(x[:2])), lambda n: 1, True),
    "in place": (lambda x: K.map2(K.OPS["mul"], y := x.copy(), one(x), y), lambda n: 1, True),
    "sum": (lambda x: K.reduce(K.SUM, x), lambda n: n, True),
    "sum of columns": (lambda x: K.reduce(K.SUM, x.reshape(2, -1), (0,)), lambda n: 2, True),
    "dot": (lambda x: K.dot(x, one(x)), lambda n: n, True),
    "softmax": (lambda x: K.rows(K.SOFTMAX_GRAD, x.reshape(-1, 2) * np.array([4, 0], x.dtype), 0.5 * one(x.reshape(-1, 2)))[:, 0], lambda n: 1, True),
    "matmul": (lambda x: K.matmul(x.reshape(-1, 16), np.eye(16, dtype=x.dtype)), lambda n: 1, True),
    "gather": (lambda x: K.gather_rows(np.ones((len(x), 1), np.uint8), np.arange(len(x)), x.dtype, TINY[x.dtype.name]), lambda n: 1, True),
    "scatter": (lambda x: K.scatter_add(np.zeros_like(x), np.arange(len(x)), x), lambda n: 1, False),
    "SGD": (sgd, lambda n: 1, True),
    "Adam": (adam, lambda n: 0.5, True),
}  # fmt: skip


@DTYPES
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n", [16, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("name", KERNELS)
def test_subnormals_are_kept_or_flushed_on_all_threads(name: str, n: int, threads: int, dtype: str) -> None:
    kernel, multiple, divided = KERNELS[name]
    x = np.full(n, TINY[dtype], dtype)
    expected = x[0] * x.dtype.type(multiple(n))
    assert expected != 0
    tt.set_num_threads(threads)
    K.set_thread_work(1)
    for mode in (False, True, False):
        assert tt.set_flush_denormal(mode) is FLUSHES
        K.seen_threads(True)
        got = kernel(x)
        assert got.dtype == dtype
        assert (x * one(x) == x).all()  # NumPy, right after
        np.testing.assert_array_equal(got, 0 if mode and FLUSHES else expected)
        if divided and n == LARGE:
            assert K.seen_threads(True) == threads


def test_the_mode_is_a_bool_and_show_config_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    for bad in (1, 0, None, "True", np.True_):
        with pytest.raises(TypeError, match="set_flush_denormal: expected True or False, got"):
            tt.set_flush_denormal(bad)  # type: ignore[arg-type]
    tt.show_config()
    assert "subnormals: kept" in capsys.readouterr().out
    if tt.set_flush_denormal(True):
        tt.show_config()
        assert "subnormals: flushed to zero" in capsys.readouterr().out


class State:
    """The floating-point environment of this thread, as glibc keeps it for x86-64: MXCSR is its last word."""

    def __init__(self) -> None:
        self.libm = ctypes.CDLL(ctypes.util.find_library("m"))
        self.words = (ctypes.c_uint32 * 8)()

    def get(self) -> int:
        assert self.libm.fegetenv(self.words) == 0
        return int(self.words[7])

    def set(self, mxcsr: int) -> None:
        self.get()
        self.words[7] = mxcsr
        assert self.libm.fesetenv(self.words) == 0


X86 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or platform.libc_ver()[0] != "glibc",
    reason="reads MXCSR as glibc on x86-64 keeps it",
)
FTZ_DAZ = 0x8040


@X86
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n", [16, LARGE], ids=["small", "large"])
def test_what_another_library_did_to_this_thread_changes_no_bit_and_stays(n: int, threads: int) -> None:
    """A library built with -ffast-math, or one told to flush, sets MXCSR of the thread that loads it."""
    state, x = State(), np.full(n, TINY["float32"], np.float32)
    tt.set_num_threads(threads)
    K.set_thread_work(1)
    before = state.get()
    assert not before & FTZ_DAZ
    try:
        for name, (kernel, multiple, _) in KERNELS.items():
            if name != "softmax":  # whose arguments NumPy makes
                state.set(before | FTZ_DAZ)
                got, after, numpy = kernel(x), state.get(), x * one(x)
                state.set(before)
                assert after & ~0x3F == (before | FTZ_DAZ) & ~0x3F  # all but the exceptions that were met
                assert not numpy.any()
                np.testing.assert_array_equal(got, x[0] * x.dtype.type(multiple(n)), err_msg=name)
    finally:
        state.set(before)


FLUSHED = """
import hashlib, numpy as np, tinytensor as tt
from tinytensor import _kernels
assert tt.set_flush_denormal(MODE)
_kernels.set_thread_work(1)
h = hashlib.sha256()
for d, scale in (("float32", 2.0**-126), ("float64", 2.0**-1022)):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=s).astype(d) for s in ((37, 203), (203, 41)))
    a, b = tt.tensor(x, requires_grad=True), tt.tensor(y, requires_grad=True)
    z = (a * scale) @ b
    w = tt.exp(a - (87.5 if d == "float32" else 709)) + tt.gelu(a * scale) + tt.silu(a * scale) + tt.tanh(a * scale)
    loss = z.sum() + w.sum() + tt.softmax(a * 40, 1).sum(0).norm() * scale
    loss.backward()
    for t in (z, w, loss, a.grad, b.grad):
        h.update(t.detach().numpy().tobytes())
print(h.hexdigest())
"""


@pytest.mark.skipif(not FLUSHES, reason="this CPU cannot flush")
def test_flushed_bits_are_the_same_on_any_number_of_threads_and_every_set_with_fma() -> None:
    names = [name for name in K.isas() if name != "generic"] or ["generic"]
    flushed = {
        (r := run(FLUSHED.replace("MODE", "True"), TINYTENSOR_ISA=name, TINYTENSOR_NUM_THREADS=n)).stdout or r.stderr
        for name in names
        for n in ("1", "3")
    }
    assert len(flushed) == 1, flushed
    kept = run(FLUSHED.replace("MODE", "False"), TINYTENSOR_ISA=names[0])
    assert len(kept.stdout) == 65
    assert kept.stdout not in flushed


@pytest.mark.skipif(not FLUSHES, reason="this processor cannot flush")
@pytest.mark.parametrize("before", [False, True])
def test_what_was_is_put_back_when_the_last_block_ends(before: bool) -> None:
    tt.set_flush_denormal(before)
    first, second, none = K.Flushing(), K.Flushing(), K.Flushing(False)
    with none:
        assert K.get_flush_denormal() == before
    first.__enter__()
    assert K.get_flush_denormal()
    second.__enter__()
    first.__exit__(None, None, None)
    assert K.get_flush_denormal()
    with first, none:  # again
        assert K.get_flush_denormal()
    second.__exit__(None, None, None)
    assert K.get_flush_denormal() == before
    with pytest.raises(ZeroDivisionError), first:
        1 / 0  # noqa: B018
    assert K.get_flush_denormal() == before
    for own in (first, none):
        with pytest.raises(RuntimeError, match="Flushing: left more often than entered"):
            own.__exit__(None, None, None)
    assert K.get_flush_denormal() == before
    assert first.on and not none.on
