"""The one device, under the names by which PyTorch's users ask for it, so that `.to(device)` and `device=` may stay in a program."""

from __future__ import annotations

from typing import Any

from ._tape import TensorCore

__all__ = ["accelerator", "asked_of_to", "backends", "check_device", "cuda", "device", "use_deterministic_algorithms"]


class device:
    """`tt.device("cpu")`: where every tensor is. RuntimeError for any other."""

    __slots__ = ()
    type = "cpu"
    index = None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        name = type.type if isinstance(type, device) else type
        if name not in ("cpu", "cpu:0") or index not in (None, 0):
            raise RuntimeError(f"device: tinytensor computes on the CPU, got {name!r}; use 'cpu'")

    def __repr__(self) -> str:
        return "device(type='cpu')"

    def __str__(self) -> str:
        return "cpu"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device)

    def __hash__(self) -> int:
        return hash("cpu")


CPU = device()


def check_device(what: Any) -> None:
    """RuntimeError for another device than the CPU; None is the CPU."""
    if what is not None and what is not CPU:
        device(what)


def asked_of_to(args: tuple[Any, ...], dtype: Any, device: Any) -> tuple[Any, bool]:
    """The dtype or None, and whether a copy, that `.to(*args, dtype=, device=)` asks for: a dtype, a Tensor that has it, or a device, then
    perhaps a dtype; behind them non_blocking and copy. RuntimeError for another device than the CPU."""
    flags = [given for given in args if isinstance(given, bool)]
    for given in args:
        if _is_device(given):
            device = given
        elif isinstance(given, TensorCore):
            dtype = given.dtype
        elif given is not None and not isinstance(given, bool):
            dtype = given
    check_device(device)
    return dtype, len(flags) > 1 and flags[1]


def _is_device(what: Any) -> bool:
    return isinstance(what, device) or (isinstance(what, str) and what.partition(":")[0] in ("cpu", "cuda", "mps"))


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Changes nothing: all algorithms are."""


class cuda:
    """`tt.cuda`: there is none."""

    @staticmethod
    def is_available() -> bool:
        """False."""
        return False

    @staticmethod
    def device_count() -> int:
        """0."""
        return 0

    @staticmethod
    def manual_seed(seed: int) -> None:
        """Changes nothing, as in PyTorch where there is none."""

    manual_seed_all = manual_seed


class accelerator:
    """`tt.accelerator`: there is none."""

    @staticmethod
    def is_available() -> bool:
        """False."""
        return False


class backends:
    """`tt.backends`: of PyTorch's other devices, none is built in; what programs set for them may stay, and changes nothing."""

    class cudnn:
        """NVIDIA's kernels for networks."""

        enabled = benchmark = deterministic = False

        @staticmethod
        def is_available() -> bool:
            """False."""
            return False

    class mps:
        """Apple's graphics processor."""

        @staticmethod
        def is_available() -> bool:
            """False."""
            return False
