"""The one device, under the names by which PyTorch's users ask for it, so that `.to(device)` and `device=` may stay in a program."""

from __future__ import annotations

from typing import Any

__all__ = ["accelerator", "backends", "check_device", "cuda", "device", "is_device"]


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


def is_device(what: Any) -> bool:
    """Whether `.to(what)` names a device, not a dtype."""
    return isinstance(what, device) or (isinstance(what, str) and what.partition(":")[0] in ("cpu", "cuda", "mps"))


def check_device(what: Any) -> None:
    """RuntimeError for another device than the CPU; None is the CPU."""
    if what is not None and what is not CPU:
        device(what)


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


class accelerator:
    """`tt.accelerator`: there is none."""

    @staticmethod
    def is_available() -> bool:
        """False."""
        return False


class backends:
    """`tt.backends`: of PyTorch's other devices, none is built in."""

    class mps:
        """Apple's graphics processor."""

        @staticmethod
        def is_available() -> bool:
            """False."""
            return False
