"""How many threads the kernels use, which changes the time and never a bit; and whether all of them flush subnormals."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from importlib.util import find_spec
from operator import index


def _check_interpreter() -> None:
    """Raise ImportError in a subinterpreter. A module of C belongs to the interpreter that is first to load it: that would
    take this package from the main one."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # since Python 3.13, and before
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError(
                "tinytensor works in the main interpreter of a process alone, and this is a subinterpreter: use processes "
                "or threads (under mod_wsgi set WSGIApplicationGroup %{GLOBAL})"
            )
        return


_check_interpreter()
try:
    from . import _kernels
except ImportError as e:
    if find_spec(f"{__package__}._kernels") is not None:
        raise
    raise ImportError(
        f"tinytensor was found in {os.path.dirname(os.path.dirname(__file__))}, where its C kernels are not built. In a clone run "
        "Python from another folder, or build them in place with: pip install -e ."
    ) from e


def _read(path: str) -> str:
    try:
        with open(path, "rb") as f:
            return f.read().decode(errors="replace")
    except (OSError, ValueError):
        return ""


def _granted(quota: str, period: str) -> int | None:
    """CPUs, rounded up; None for no limit ("max", -1) and for what is no number."""
    try:
        time, of = int(quota), int(period)
    except ValueError:
        return None
    return -(-time // of) if time > 0 and of > 0 else None


def cpu_quota(root: str = "/") -> int | None:
    """CPUs, rounded up, that the control groups of this process (versions 1 and 2) and all groups above them grant; None: no
    limit. Files that are missing or malformed limit nothing. root: the folder that holds proc and sys.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max) and Documentation/scheduler/sched-bwc.rst (cpu.cfs_*).
    """
    granted = []
    for line in _read(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            mounts = {"", "unified"}
        elif "cpu" in controllers.split(","):
            mounts = {controllers, "cpu"}
        else:
            continue
        parts = [part for part in group.split("/") if part]
        # a container may see its own group at the mount itself, under a name that it has outside
        for folder in [os.path.join(m, *parts[:n]) for m in mounts for n in range(len(parts), -1, -1)]:
            at = os.path.join(root, "sys/fs/cgroup", folder)
            if controllers:
                values = [_read(f"{at}/cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
            else:
                values = _read(f"{at}/cpu.max").split()
            if len(values) == 2:
                granted.append(_granted(*values))
    return min((n for n in granted if n is not None), default=None)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and int(text) >= 1 else None


def _start() -> None:
    text = os.environ.get("TINYTENSOR_NUM_THREADS", "")
    if text:
        n = _number(text)
        if n is None:
            raise ImportError(f"TINYTENSOR_NUM_THREADS={text!r}: expected a number of at least 1")
    else:
        n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        text = os.environ.get("OMP_NUM_THREADS", "")
        if text:
            asked = _number(text.split(",")[0].strip())  # a list is for nested regions
            if asked is None:
                warnings.warn(f"OMP_NUM_THREADS={text!r} is not a number of threads: ignored", RuntimeWarning, 2)
            else:
                n = min(n, asked)
        n = min(n, cpu_quota() or n)
    set_num_threads(n)


def get_num_threads() -> int:
    """Threads that a kernel with enough work uses. At first TINYTENSOR_NUM_THREADS, or else the least of OMP_NUM_THREADS, the
    CPUs that this process may run on, and the CPU quota of its control group. A child made by fork makes threads of its own."""
    return _kernels.get_num_threads()


def set_num_threads(n: int) -> None:
    """Use, and keep, at most n threads, the caller's included; more than 64 means 64. Those beyond n end now. Kernels called from
    several threads of Python at once share them: one gets them, the others work alone meanwhile. ValueError below 1."""
    if index(n) < 1:
        raise ValueError(f"set_num_threads: expected at least 1, got {n}")
    _kernels.set_num_threads(min(n, 64))


def set_flush_denormal(mode: bool) -> bool:
    """Whether kernels take subnormal numbers, and results that would be subnormal, for zeros, on all their threads; False at
    first. What the CPU does outside the kernels stays as it is. Returns whether this CPU can (x86-64 and arm64 do): if not,
    nothing changes. TypeError for what is no bool."""
    if not isinstance(mode, bool):
        raise TypeError(f"set_flush_denormal: expected True or False, got {mode!r}")
    return _kernels.set_flush_denormal(mode)


class threads(_kernels.ThreadCount):
    """`with tt.threads(n):` at most n threads inside, as by `set_num_threads`; n of at least 1, or ValueError."""

    def __init__(self, n: int) -> None:
        if index(n) < 1:
            raise ValueError(f"threads: expected at least 1, got {n}")
        super().__init__(min(n, 64))


def show_config() -> None:
    """Print version, instruction set, threads, and what same bits are promised."""
    import platform

    import numpy as np

    from . import __version__

    print(f"tinytensor {__version__}, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"instruction set: {_kernels.isa()} (this CPU runs {', '.join(_kernels.isas())}; TINYTENSOR_ISA forces one)")
    print(f"threads: {get_num_threads()}")
    print(f"subnormals: {'flushed to zero' if _kernels.get_flush_denormal() else 'kept'}")
    if _kernels.fused():
        print("bits: the same on any number of threads, and on avx2 and avx512")
    else:
        print("bits: the same on any number of threads; without fused multiply-add they differ from avx2 and avx512")


_start()
