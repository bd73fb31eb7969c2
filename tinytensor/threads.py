"""How many threads the kernels use: it changes the time, never a bit of the result."""

from __future__ import annotations

import os
from importlib.util import find_spec
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import _kernels


def _load() -> ModuleType:
    """Import the kernels while libgomp, which reads its settings when it is loaded, sees a bounded spin (about 0.1 ms).

    Its own choice, milliseconds, starves NumPy's threads and, on a busy machine, itself. What the user set stays, and the
    environment is put back, so that other libraries see nothing of it.
    """
    mine = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if mine:
        os.environ["GOMP_SPINCOUNT"] = "5000"
    try:
        from . import _kernels
    except ImportError as e:
        if find_spec(f"{__package__}._kernels") is not None:
            raise
        here = os.path.dirname(os.path.dirname(__file__))
        raise ImportError(
            f"tinytensor was found in {here}, where its C kernels are not built. In a clone run Python from another folder, "
            "or build them in place with: pip install -e ."
        ) from e
    finally:
        if mine:
            del os.environ["GOMP_SPINCOUNT"]
    return _kernels


if not TYPE_CHECKING:
    _kernels = _load()


def _from_environment() -> None:
    text = os.environ.get("TINYTENSOR_NUM_THREADS", "")
    if not text:
        return
    if not text.isdigit() or int(text) < 1:
        raise ImportError(f"TINYTENSOR_NUM_THREADS={text!r}: expected a number of at least 1")
    _kernels.set_num_threads(int(text))


def get_num_threads() -> int:
    """Threads that a kernel with enough work uses; at first OMP_NUM_THREADS, TINYTENSOR_NUM_THREADS, or the cores of this
    process."""
    return _kernels.get_num_threads()


def set_num_threads(n: int) -> None:
    """Use at most n threads (1 to 64). ValueError below 1. Without OpenMP it stays at 1."""
    _kernels.set_num_threads(n)


class threads:
    """`with tt.threads(n):` at most n threads inside."""

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ValueError(f"threads: expected at least 1, got {n}")
        self.n = n
        self._before: list[int] = []

    def __enter__(self) -> None:
        self._before.append(get_num_threads())
        set_num_threads(self.n)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        set_num_threads(self._before.pop())


def show_config() -> None:
    """Print version, instruction set, threads, and what same bits are promised."""
    import platform

    import numpy as np

    from . import __version__

    print(f"tinytensor {__version__}, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"instruction set: {_kernels.isa()} (this CPU runs {', '.join(_kernels.isas())}; TINYTENSOR_ISA forces one)")
    if _kernels.has_openmp():
        print(f"threads: {get_num_threads()} (OpenMP)")
    else:
        print("threads: 1 (built without OpenMP)")
    if _kernels.fused():
        print("bits: the same on any number of threads, and on avx2 and avx512")
    else:
        print("bits: the same on any number of threads; without fused multiply-add they differ from avx2 and avx512")


_from_environment()
