"""PyTorch's type promotion: a dimensioned tensor's dtype wins over a 0-d one's, and that over a Python number's, unless the
lower in rank is of a higher category (bool < integer < float)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array
from ..tensor import as_supported, bool_, float32, float64, get_default_dtype, int64

Dtype = np.dtype[Any]
CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def array_of(x: Any, what: str) -> np.ndarray[Any, Any]:
    """An ndarray in a supported dtype; TypeError for anything but arrays and numbers."""
    if type(x) is np.ndarray and (x.dtype is float32 or x.dtype is float64):
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return as_supported(np.asarray(x), what)
    if isinstance(x, bool):
        return np.asarray(x)
    if isinstance(x, int):
        return np.asarray(x, dtype=np.int64)
    if isinstance(x, float):
        return np.asarray(x, dtype=get_default_dtype())
    if isinstance(x, complex):
        raise TypeError(f"{what}: complex numbers are out of tinytensor's scope")
    raise TypeError(f"{what}: expected a Tensor, ndarray or number, got {type(x).__name__}")


def _promote(a: Dtype | None, b: Dtype) -> Dtype:
    if a is None or a == b:
        return b
    ca, cb = CATEGORY[a.kind], CATEGORY[b.kind]
    if ca != cb:
        return a if ca > cb else b
    if ca == 2:
        return float64 if float64 in (a, b) else float32
    return int64


def result_type(*values: Any) -> Dtype:
    """The dtype that values of these kinds compute in."""
    ranks: list[Dtype | None] = [None, None, None]
    for v in values:
        if v is None:
            continue
        rank = 0 if isinstance(v, np.ndarray) and v.ndim else 1 if isinstance(v, np.ndarray) else 2
        ranks[rank] = _promote(ranks[rank], array_of(v, "type promotion").dtype)
    result: Dtype | None = None
    for d in ranks:
        if d is not None and (result is None or CATEGORY[d.kind] > CATEGORY[result.kind]):
            result = _promote(result, d)
    if result is None:
        raise TypeError("type promotion: expected a tensor, an array or a number, got None")
    return result


def cast_to(x: Any, dtype: Dtype, what: str) -> np.ndarray[Any, Any]:
    """x as an owned array of `dtype`."""
    a = array_of(x, what)
    if a.dtype == dtype:
        return a
    if a.dtype.kind == "f" and dtype.kind != "b":
        with np.errstate(
            invalid="ignore", over="ignore"
        ):  # NaN and inf have no integer, large doubles no float32: C's result
            return _kernels.owned(a.astype(dtype))
    return _kernels.owned(a.astype(dtype))


def as_float(x: Any, what: str) -> np.ndarray[Any, Any]:
    """x as a float array: integers and bools become the default dtype."""
    a = array_of(x, what)
    return a if a.dtype.kind == "f" else _kernels.owned(a.astype(get_default_dtype()))


def unary(code: int, x: Any, name: str, p0: float = 0.0, p1: float = 0.0) -> Any:
    """An elementwise kernel of one array."""
    try:
        return _kernels.map1(code, x, p0, p1)
    except TypeError:
        return _kernels.map1(code, as_float(x, name), p0, p1)


def binary(code: int, x: Any, y: Any, name: str, integer: Callable[..., Any] | None) -> Any:
    """An elementwise kernel of two arrays or numbers; `integer` is NumPy's function for integers (None: compute in floats)."""
    try:
        return _kernels.map2(code, x, y)
    except TypeError:
        pass
    for v in (x, y):
        array_of(v, name)  # so that an error names the op
    dtype = result_type(x, y)
    if dtype.kind != "f":
        if integer is not None and not (dtype == bool_ and integer is np.subtract):
            return np.asarray(integer(cast_to(x, dtype, name), cast_to(y, dtype, name)))
        if dtype == bool_ and integer is np.subtract:
            raise TypeError("sub: bool tensors have no difference; use logical_xor, or .to(tt.int64)")
        dtype = get_default_dtype()
    return _kernels.map2(code, cast_to(x, dtype, name), cast_to(y, dtype, name))


def ternary(code: int, x: Any, y: Any, z: Any) -> Array:
    """An elementwise kernel of three arrays of one float dtype (or numbers)."""
    return _kernels.map3(code, x, y, z)
