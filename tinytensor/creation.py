"""New tensors. `device` may be told, and is the CPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _kernels
from .device import check_device
from .random import size_of
from .tensor import Tensor, as_supported, check_dtype, get_default_dtype


def _finished(array: Any, requires_grad: bool) -> Tensor:
    t = Tensor._new(_kernels.owned(array))
    return t.requires_grad_() if requires_grad else t


def _plain(data: Any) -> Any:
    """Nested lists without Tensors."""
    if isinstance(data, Tensor):
        return data._data
    return [_plain(d) for d in data] if isinstance(data, (list, tuple)) else data


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """A new tensor with a copy of data: numbers, nested lists, arrays or Tensors.

    Python floats get the default dtype, ints int64; arrays keep theirs (int32 and smaller become int64). ValueError for lists
    of uneven length, TypeError for dtypes that are not supported.
    """
    if device is not None:
        check_device(device)
    typed = isinstance(data, (np.ndarray, np.generic, Tensor))
    try:
        a = np.asarray(_plain(data))
    except ValueError as e:
        raise ValueError(f"tensor: the lists are uneven: {e}") from None
    if a.dtype == object or a.dtype.kind in "USMmV":
        raise TypeError(f"tensor: expected numbers, got {a.dtype.name} from {type(data).__name__}")
    if dtype is not None:
        d = check_dtype(dtype, "tensor")
    elif not typed and a.dtype.kind == "f":
        d = get_default_dtype()
    else:
        d = as_supported(a[:0] if a.ndim else a, "tensor").dtype
    if a.dtype.kind == "c":
        raise TypeError("tensor: complex numbers are out of tinytensor's scope")
    out = _kernels.empty(a.shape, d)
    np.copyto(out, a, casting="unsafe")
    return _finished(out, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """data as a Tensor: itself, sharing an array's memory where its dtype fits, or a copy."""
    if device is not None:
        check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == np.dtype(dtype) else data.to(dtype)
    if isinstance(data, np.ndarray):
        a = as_supported(data, "as_tensor")
        return Tensor._new(
            _kernels.owned(a if dtype is None else a.astype(check_dtype(dtype, "as_tensor"), copy=False))
        )
    return tensor(data, dtype)


def from_numpy(array: Any) -> Tensor:
    """A Tensor on an array's memory: a change of one is a change of both. TypeError for other dtypes than the five, or for
    what is not an ndarray."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected an ndarray, got {type(array).__name__}")
    if not array.dtype.isnative or not array.flags.aligned:
        raise TypeError(f"from_numpy: expected native, aligned memory, got {array.dtype.str}; use tt.tensor for a copy")
    check_dtype(array.dtype, "from_numpy")
    return Tensor._new(_kernels.owned(array))


def _new(shape: tuple[int, ...], dtype: Any, what: str) -> Any:
    return _kernels.empty(shape, get_default_dtype() if dtype is None else check_dtype(dtype, what))


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Memory as it comes."""
    if device is not None:
        check_device(device)
    return _finished(_new(size_of(size), dtype, "empty"), requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0."""
    if device is not None:
        check_device(device)
    return full(size_of(size), 0, dtype=dtype or get_default_dtype(), requires_grad=requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1."""
    if device is not None:
        check_device(device)
    return full(size_of(size), 1, dtype=dtype or get_default_dtype(), requires_grad=requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All fill_value; its kind decides the dtype where none is told."""
    if device is not None:
        check_device(device)
    if isinstance(fill_value, (str, bytes)):
        raise TypeError(f"full: expected a number as fill_value, got {fill_value!r}")
    if dtype is None:
        dtype = (
            np.bool_
            if isinstance(fill_value, bool)
            else np.int64
            if isinstance(fill_value, int)
            else get_default_dtype()
        )
    a = _new(size_of((size,)), dtype, "full")
    a.fill(fill_value)
    return _finished(a, requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end: int64 for ints, else the default dtype. ValueError for a step that leads nowhere."""
    if device is not None:
        check_device(device)
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) / step < 0:
        raise ValueError(f"arange: step {step} does not lead from {start} to {end}")
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    d = check_dtype(dtype, "arange") if dtype is not None else np.dtype(np.int64) if whole else get_default_dtype()
    n = math.ceil((end - start) / step)
    a = np.arange(n, dtype=np.int64) * step + start if whole else np.arange(n, dtype=np.float64) * step + start
    return _finished(a.astype(d), requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers from start to end, both included."""
    if device is not None:
        check_device(device)
    if steps < 0:
        raise ValueError(f"linspace: expected steps >= 0, got {steps}")
    d = get_default_dtype() if dtype is None else check_dtype(dtype, "linspace")
    return _finished(np.linspace(start, end, steps, dtype=np.float64).astype(d), requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers from base^start to base^end, both included, their logarithms evenly spaced."""
    if device is not None:
        check_device(device)
    if steps < 0:
        raise ValueError(f"logspace: expected steps >= 0, got {steps}")
    d = get_default_dtype() if dtype is None else check_dtype(dtype, "logspace")
    powers = [math.pow(base, e) for e in np.linspace(start, end, steps, dtype=np.float64).tolist()]
    return _finished(np.array(powers, np.float64).astype(d), requires_grad)


def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Rows and columns of the elements of a (row, col) matrix on and below a diagonal, in C order -> int64 (2, n)."""
    return _finished(np.array(np.tril_indices(row, offset, col), np.int64), False)


def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Rows and columns of the elements of a (row, col) matrix on and above a diagonal, in C order -> int64 (2, n)."""
    return _finished(np.array(np.triu_indices(row, offset, col), np.int64), False)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of (n, m)."""
    if device is not None:
        check_device(device)
    if n < 0 or (m or 0) < 0:
        raise ValueError(f"eye: expected sizes >= 0, got {n} and {m}")
    return _finished(
        np.eye(n, m, dtype=get_default_dtype() if dtype is None else check_dtype(dtype, "eye")), requires_grad
    )


def empty_like(x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """empty in the shape and dtype of x."""
    if device is not None:
        check_device(device)
    return empty(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def zeros_like(x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """zeros in the shape and dtype of x."""
    if device is not None:
        check_device(device)
    return zeros(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def ones_like(x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """ones in the shape and dtype of x."""
    if device is not None:
        check_device(device)
    return ones(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def full_like(
    x: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """full in the shape and dtype of x."""
    if device is not None:
        check_device(device)
    return full(x.shape, fill_value, dtype=dtype or x.dtype, requires_grad=requires_grad)


def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`tensor(data)`, in this tensor's dtype where none is told."""
    return tensor(data, self.dtype if dtype is None else dtype, requires_grad, device=device)


def new_empty(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`empty(size)`, in this tensor's dtype where none is told."""
    return empty(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def new_zeros(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`zeros(size)`, in this tensor's dtype where none is told."""
    return zeros(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def new_ones(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`ones(size)`, in this tensor's dtype where none is told."""
    return ones(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`full(size, fill_value)`, in this tensor's dtype where none is told."""
    return full(size, fill_value, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


for _method in (new_tensor, new_empty, new_zeros, new_ones, new_full):
    setattr(Tensor, _method.__name__, _method)
