"""Memory shared with other libraries: DLPack both ways, and tensors on the buffers of other objects. (`memoryview(t)` is in
_tape.pyx.) Changes made by the other side are seen, but not counted: backward cannot tell that a value it needs was changed so."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _kernels
from .tensor import Tensor, check_dtype

__all__ = ["from_dlpack", "frombuffer"]
CPU = (1, 0)  # kDLCPU, device 0
_VERSIONED = np.lib.NumpyVersion(np.__version__) >= "2.1.0"  # before that NumPy knows DLPack 0.x alone


def dlpack(
    self: Tensor, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
) -> Any:
    """A DLPack capsule of this tensor's memory, or of a copy with copy=True (the array API standard's `__dlpack__`).

    BufferError for a tensor that requires grad, for negative strides (readers crash on them), for read-only memory where the
    reader knows DLPack 0.x only (it could not be told), for another device or a stream.
    """
    if self._requires:
        raise BufferError("__dlpack__: this tensor requires grad, and the other library would not know; use t.detach()")
    if stream not in (None, -1):
        raise BufferError(f"__dlpack__: the CPU has no streams, got stream={stream}")
    if dl_device is not None and tuple(int(v) for v in dl_device) != CPU:
        raise BufferError(f"__dlpack__: tensors are on the CPU, device {CPU}; asked for {tuple(dl_device)}")
    a = self._data.copy() if copy else self._data
    if any(s < 0 for s in a.strides):
        raise BufferError(
            f"__dlpack__: strides {self.stride()} run backward, which DLPack's readers do not take; use t.contiguous()"
        )
    versioned = _VERSIONED and max_version is not None and max_version[0] >= 1
    if not versioned and not a.flags.writeable:
        raise BufferError(
            "__dlpack__: this tensor is read-only (broadcast, or from a read-only array), and the reader cannot be told; use t.clone()"
        )
    return a.__dlpack__(max_version=max_version) if versioned else a.__dlpack__()


def dlpack_device(self: Tensor) -> tuple[int, int]:
    """(kDLCPU, 0)."""
    return CPU


def to_bytes(self: Tensor) -> bytes:
    """The elements' bytes in C order: `bytes(t)` would take an integer tensor of one element for a length."""
    return self.numpy().tobytes()


class _Capsule:
    """A bare DLPack capsule as an object that gives it once."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **how: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A Tensor on the memory of another library's array (anything with `__dlpack__`, or a DLPack capsule), which stays alive with it.

    Read-only where the other side says so, or speaks DLPack 0.x and cannot say. TypeError for dtypes other than the five and for
    what has no `__dlpack__`; BufferError for memory of another device, or what the other side refuses to export.
    """
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Capsule(ext_tensor)
    if not hasattr(ext_tensor, "__dlpack__") or not hasattr(ext_tensor, "__dlpack_device__"):
        raise TypeError(
            f"from_dlpack: expected an object with __dlpack__, or a DLPack capsule, got {type(ext_tensor).__name__}"
        )
    device = ext_tensor.__dlpack_device__()
    if int(device[0]) != CPU[0]:
        raise BufferError(
            f"from_dlpack: the memory is on device {tuple(int(v) for v in device)}, not on the CPU; copy it there first"
        )
    try:
        a = np.from_dlpack(ext_tensor)
    except RuntimeError as e:  # as NumPy says it of dtypes that it has not
        raise TypeError(
            f"from_dlpack: {e} tinytensor takes float32, float64, int64, bool and uint8; convert it first"
        ) from None
    return _on(a, "from_dlpack", "tt.tensor(np.from_dlpack(x))")


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A 1-d Tensor on the memory of an object with the buffer protocol (bytes, bytearray, mmap, array.array ...), kept alive.

    count: elements (-1: all from offset on). offset: bytes to skip. Read-only where the buffer is. ValueError for a length or
    offset that does not fit, TypeError for other dtypes than the five and for what has no buffer.
    """
    d = check_dtype(dtype, "frombuffer")
    try:
        size = memoryview(buffer).nbytes
    except TypeError:
        raise TypeError(
            f"frombuffer: expected an object with the buffer protocol, got {type(buffer).__name__}"
        ) from None
    if not 0 <= offset <= size:
        raise ValueError(f"frombuffer: expected an offset between 0 and {size}, the bytes of the buffer, got {offset}")
    if count < 0 and (size - offset) % d.itemsize:
        raise ValueError(
            f"frombuffer: {size - offset} bytes behind the offset are no multiple of the {d.itemsize} bytes of {d}; pass count"
        )
    n = (size - offset) // d.itemsize if count < 0 else count
    if n * d.itemsize > size - offset:
        raise ValueError(
            f"frombuffer: {n} elements of {d} need {n * d.itemsize} bytes, behind the offset are {size - offset}"
        )
    a = np.frombuffer(buffer, d, n, offset) if n else np.empty(0, d)
    t = _on(a, "frombuffer", "tt.tensor(np.frombuffer(...))")
    return t.requires_grad_() if requires_grad else t


def _on(a: Any, what: str, instead: str) -> Tensor:
    """A Tensor on an array's memory, unless a kernel could not read it."""
    try:
        check_dtype(a.dtype, what)
    except TypeError as e:
        raise TypeError(f"{e}; {instead} is a converted copy") from None
    if not a.dtype.isnative or not a.flags.aligned:
        raise ValueError(
            f"{what}: the memory is not aligned to the {a.itemsize} bytes of {a.dtype}; {instead} is a copy"
        )
    return Tensor._new(_kernels.owned(a))


Tensor.__dlpack__ = dlpack  # type: ignore[attr-defined]
Tensor.__bytes__ = to_bytes  # type: ignore[attr-defined]
Tensor.__dlpack_device__ = dlpack_device  # type: ignore[attr-defined]
