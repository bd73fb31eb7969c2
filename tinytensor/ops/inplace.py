"""Changing a tensor's memory: on the tape where it must be, refused where it cannot be right."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .. import _kernels, tape
from ..op import Array, op
from ..tensor import Tensor
from .index import index_put, plain_index
from .pointwise import add, clamp, div, mul, pow, sub


@op
def changed_view(x: Array) -> Any:
    """Stands for a view whose base was changed in place after it was made."""
    raise RuntimeError("changed_view is not called")


@changed_view.rule
def _(g: Any) -> Any:
    raise RuntimeError(
        "backward through a view whose base was changed in place after the view was made: its values are new, its history is "
        "old. Make the view again after the change"
    )


def _records(x: Tensor, *others: Any) -> bool:
    return tape.mode.enabled and (x._requires or any(isinstance(o, Tensor) and o._requires for o in others))


def _check(name: str, x: Tensor, others: tuple[Any, ...]) -> bool:
    """Whether the change is to be recorded. RuntimeError where that is impossible."""
    if not x._data.flags.writeable:
        raise ValueError(f"{name}: this tensor is read-only (broadcast, or from a read-only array); use clone()")
    if not _records(x, *others):
        return False
    if x._node is None and x._requires:
        raise RuntimeError(
            f"{name}: a leaf that requires grad cannot be changed in place; do it under tt.no_grad(), or on a clone()"
        )
    if isinstance(x._data.base, np.ndarray):
        raise RuntimeError(
            f"{name}: a view cannot be changed in place while gradients are recorded; write through its base (base[index] = value), or use a clone()"
        )
    return True


def _write(name: str, x: Tensor, result: Any, depth: int) -> Tensor:
    """Let x take the values (and, recorded, the history) of `result`."""
    frame = sys._getframe(depth)
    place = (frame.f_code, frame.f_lasti)
    recorded = isinstance(result, Tensor) and result._node is not None
    array = result._data if isinstance(result, Tensor) else result
    if array.shape != x._data.shape:
        raise ValueError(f"{name}: the result of shape {array.shape} does not fit in place into {x.shape}")
    if array.dtype != x._data.dtype:
        if array.dtype.kind == "f" and x._data.dtype.kind != "f":
            raise TypeError(f"{name}: a result of dtype {array.dtype} cannot be written into {x.dtype}")
        if recorded:
            raise TypeError(
                f"{name}: a recorded result of dtype {array.dtype} cannot be written into {x.dtype}; convert it first"
            )
    if recorded:
        node = result._node
        assert node is not None
        node.code, node.offset = place
        if any(v is x._data for v in node.kept):  # the rule needs the values from before
            old = _kernels.empty(x.shape, x.dtype)
            np.copyto(old, x._data)
            node.replace_kept(x._data, old)
        x._rebase(node, result._slot)
    np.copyto(
        x._data, array, casting="same_kind" if array.dtype != x._data.dtype and array.dtype.kind == "f" else "unsafe"
    )
    touched(x, place)
    return x


def touched(x: Tensor, place: tuple[Any, int]) -> None:
    """Count a change of x's memory, and cut off the views that were recorded before it."""
    _kernels.changed(x._data, place)
    block = _kernels.block(x._data)
    if block is None or not block.views:
        return
    refs, block.views = block.views, None
    for ref in refs:
        v = ref()
        if v is None:
            continue
        if v is x:
            block.views = [ref]
        elif v._node is not None:
            v._node = tape.Node(changed_view, (v._node,), (v._slot,), (), v._node.outputs, *place)


def _arithmetic(name: str, function: Any, text: str) -> Any:
    def method(self: Tensor, other: Any) -> Tensor:
        _check(name, self, (other,))
        return _write(name, self, function(self, other), 2)

    method.__name__ = name
    method.__doc__ = (
        f"{text}, in place. Recorded as the op; RuntimeError on a leaf that requires grad, outside no_grad."
    )
    return method


add_ = _arithmetic("add_", add, "x + other")
sub_ = _arithmetic("sub_", sub, "x - other")
mul_ = _arithmetic("mul_", mul, "x * other")
div_ = _arithmetic("div_", div, "x / other")
pow_ = _arithmetic("pow_", pow, "x to the power other")


def clamp_(self: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """clamp, in place."""
    _check("clamp_", self, (min, max))
    return _write("clamp_", self, clamp(self, min, max), 2)


def copy_(self: Tensor, src: Any) -> Tensor:
    """Take the values of src (broadcast, converted to this dtype). Gradient: 0 to the old values, g to src."""
    recorded = _check("copy_", self, (src,))
    place = sys._getframe(1)
    if recorded:
        return _write("copy_", self, index_put(self, src, ...), 2)
    array = src._data if isinstance(src, Tensor) else np.asarray(src)
    try:
        np.copyto(self._data, array, casting="unsafe")
    except ValueError:
        raise ValueError(f"copy_: shape {array.shape} cannot be broadcast to {self.shape}") from None
    touched(self, (place.f_code, place.f_lasti))
    return self


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to a number."""
    recorded = _check("fill_", self, (value,))
    place = sys._getframe(1)
    if recorded:
        return _write("fill_", self, index_put(self, value, ...), 2)
    self._data.fill(value.item() if isinstance(value, Tensor) else value)
    touched(self, (place.f_code, place.f_lasti))
    return self


def zero_(self: Tensor) -> Tensor:
    """Set every element to 0."""
    recorded = _check("zero_", self, ())
    place = sys._getframe(1)
    if recorded:
        return _write("zero_", self, index_put(self, 0.0, ...), 2)
    self._data.fill(0)
    touched(self, (place.f_code, place.f_lasti))
    return self


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """x[index] = value, NumPy's indexing. Gradient: 0 at index to the old values, g[index] to value."""
    index = plain_index(index)
    if _check("assignment", self, (value,)):
        _write("assignment", self, index_put(self, value, index), 2)
        return
    place = sys._getframe(1)
    array = value._data if isinstance(value, Tensor) else value
    try:
        self._data[index] = array
    except IndexError as e:
        raise IndexError(f"index: {e} (shape {self.shape})") from None
    except ValueError as e:
        raise ValueError(f"assignment: {e} (tensor {self.shape}, value {np.shape(array)})") from None
    touched(self, (place.f_code, place.f_lasti))
