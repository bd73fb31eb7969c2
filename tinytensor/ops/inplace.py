"""Changing a tensor's memory: on the tape where it must be, through views as well, refused where it cannot be right.

A tensor and its views know of each other. A recorded change of one gives every other that shares the changed memory a new
history, as PyTorch's does: its old elements where they lie elsewhere, the new ones where they were written. What an op kept
from before is found by the count of changes, and refused in backward.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from .. import _kernels, tape
from .._tape import here, part
from ..op import Array, op
from ..random import Generator, normal, uniform
from ..spelling import public
from ..tensor import Tensor
from . import activation, pointwise
from .index import _basic, getitem, getitem_grad, index_put, masked_fill, plain_index
from .promotion import CATEGORY
from .shape import reshape


@op
def overlay(x: Array, value: Array, at: Any, of: Any) -> Any:
    """A copy of x whose flat elements `at` are the flat elements `of` of value: what a tensor is after another, which shares
    some of its memory, was changed. Gradient: g with zeros at `at` to x; g there, added into zeros at `of`, to value."""
    out = _kernels.empty(x.shape, x.dtype)
    np.copyto(out, x)
    out.reshape(-1)[at] = value.reshape(-1)[of]
    return out


@overlay.rule
def _(g: Any, value_shape: Any, at: Any, of: Any, needs: Any) -> Any:
    flat = reshape(g, -1)
    dx = reshape(index_put(flat, 0.0, at), g.shape) if needs[0] else None
    if not needs[1]:
        return dx, None
    count = int(np.prod(value_shape, dtype=np.int64))
    return dx, reshape(getitem_grad(getitem(flat, at), (count,), of), value_shape)


def _positions(a: Any) -> Any:
    """The address of each element, flat."""
    at = np.full(1, a.__array_interface__["data"][0], np.int64)
    for size, step in zip(a.shape, a.strides):
        at = (at[:, None] + np.arange(size, dtype=np.int64) * step).reshape(-1)
    return at


def _same_memory(a: Any, b: Any) -> bool:
    """Whether two arrays are the same elements in the same order."""
    same: bool = a.__array_interface__["data"] == b.__array_interface__["data"]
    return same and a.shape == b.shape and a.strides == b.strides


def _shared(a: Any, b: Any) -> tuple[Any, Any] | None:
    """Which flat elements of a lie where which of b do; None where none does."""
    if not a.size or not b.size or not np.may_share_memory(a, b):
        return None
    places, others = _positions(a), _positions(b)
    start = others.min()
    table = np.full(int(others.max() - start) // b.itemsize + 1, -1, np.int64)
    table[(others - start) // b.itemsize] = np.arange(others.size)
    inside = np.flatnonzero((places >= start) & (places <= others.max()))
    of = table[(places[inside] - start) // b.itemsize]
    return (inside[of >= 0], of[of >= 0]) if np.count_nonzero(of >= 0) else None


SEALED: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()
"""Views with a rule that is not a view's, by id: outputs of Functions that share an argument's memory."""


def _kin(x: Tensor) -> list[Tensor]:
    """The other tensors that views bind x to."""
    found = [r() for r in x._kin or ()]
    return [t for t in found if t is not None and t is not x]


def _records(x: Tensor, *others: Any) -> bool:
    return tape.mode.enabled and (x._requires or any(isinstance(o, Tensor) and o._requires for o in others))


def _check(name: str, x: Tensor, *others: Any) -> bool:
    """Whether the change is to be recorded. RuntimeError where that is impossible."""
    if not x._data.flags.writeable:
        raise ValueError(f"{name}: this tensor is read-only (broadcast, or from a read-only array); use clone()")
    if not _records(x, *others):
        return False
    if x._node is None and x._requires:
        raise RuntimeError(
            f"{name}: a leaf that requires grad cannot be changed in place; do it under tt.no_grad(), or on a clone()"
        )
    check_kin(name, x)
    if x._kin is None and x._node is None and isinstance(x._data.base, np.ndarray):
        raise RuntimeError(
            f"{name}: a view cannot be changed in place while gradients are recorded where the tape does not know its base (it "
            "was made under no_grad, by detach(), or of an ndarray); make the view again, or use a clone()"
        )
    return True


def check_kin(name: str, x: Tensor) -> None:
    """RuntimeError where a tensor that shares the memory of x cannot get a new history."""
    if any(t._requires and t._node is None and _shared(t._data, x._data) for t in _kin(x)):
        raise RuntimeError(
            f"{name}: a view of a leaf that requires grad cannot be changed in place; do it under tt.no_grad(), or on a clone()"
        )
    if any(SEALED.get(id(t)) is t and _shared(t._data, x._data) for t in (x, *_kin(x))):
        raise RuntimeError(
            f"{name}: a view that a Function made cannot be changed in place, nor can its base: its rule would not know; use a clone()"
        )


def _write(name: str, x: Tensor, result: Any) -> Tensor:
    """Let x take the values (and, recorded, the history) of `result`."""
    mark = here(name)
    recorded = isinstance(result, Tensor) and result._node is not None
    for t in (x, *_kin(x)):
        if t._node is not None:
            part(t._node)
    array = result._data if isinstance(result, Tensor) else result
    if array.shape != x._data.shape:
        raise ValueError(f"{name}: the result of shape {array.shape} does not fit in place into {x.shape}")
    if CATEGORY[array.dtype.kind] > CATEGORY[x._data.dtype.kind]:
        raise TypeError(f"{name}: a result of dtype {array.dtype} cannot be written into {x.dtype}")
    if recorded:
        node = result._node
        assert node is not None
        node.code, node.offset = mark[:2]
        if any(v is x._data for v in node.kept):  # the rule needs the values from before
            old = _kernels.empty(x.shape, x.dtype)
            np.copyto(old, x._data)
            node.replace_kept(x._data, old)
        if array.dtype != x._data.dtype:
            result = pointwise.cast(result, x._data.dtype)
            array, node = result._data, result._node
            assert node is not None
            node.code, node.offset = mark[:2]
        x._rebase(node, result._slot)
        renew_kin(x, mark)
    np.copyto(
        x._data, array, casting="same_kind" if array.dtype != x._data.dtype and array.dtype.kind == "f" else "unsafe"
    )
    _kernels.changed(x._data, mark)
    return x


def renew_kin(x: Tensor, mark: tuple[Any, int, str]) -> None:
    """The new history of x goes into those of the tensors that share its memory. As in PyTorch all come from their base then,
    so that the base's gradient has what comes through its views; each has a node of its own, for its own hooks."""
    base = x._kin[0]() if x._kin else None
    old = None if base is None else base._node
    if base is not None and base is not x and _follow(base, x, mark) == x._data.size:
        _follow(x, base, mark)
    else:
        base = x
    for t in _kin(x):
        if t is not base:
            _follow(t, base, mark, old)


def _follow(t: Tensor, x: Tensor, mark: tuple[Any, int, str], old: tape.Node | None = None) -> int:
    """Let t come from x where it shares its memory; how many elements do. old: the node of x before."""
    assert x._node is not None
    last: Any = t._node
    known = last is not None and old is not None and last.op is overlay and last.parents[1] is old
    shared: Any
    if known and type(last.kept) is tuple and np.may_share_memory(t._data, x._data):
        shared = last.kept[1:]  # where they met is searched for once: rows that are changed one by one are many
    else:
        shared = _shared(t._data, x._data)
    if shared is None:
        return 0
    count: int = shared[0].size
    before = None if count == t._data.size else t._node
    outputs = ((t.shape, t.dtype),)
    t._rebase(tape.Node(overlay, (before, x._node), (t._slot, x._slot), (x.shape, *shared), outputs, *mark[:2]), 0)
    return count


def in_place_method(name: str, function: Any, text: str) -> Any:
    """The method that gives a tensor the values of `function` of it."""
    function = public(function)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(self, Tensor):
            raise TypeError(f"{name}: expected a Tensor to change in place, got {type(self).__name__}")
        _check(name, self, *args, *kwargs.values())
        result = function(self, *args, **kwargs)
        return self if result is self else _write(name, self, result)

    method.__name__ = name
    method.__doc__ = (
        f"{text}, in place. Recorded as the op; RuntimeError on a leaf that requires grad, outside no_grad."
    )
    return method


add_ = in_place_method("add_", pointwise.add, "x + alpha * other")
sub_ = in_place_method("sub_", pointwise.sub, "x - alpha * other")
mul_ = in_place_method("mul_", pointwise.mul, "x * other")
div_ = in_place_method("div_", pointwise.div, "x / other")
pow_ = in_place_method("pow_", pointwise.pow, "x to the power other")
clamp_ = in_place_method("clamp_", pointwise.clamp, "x between min and max")
masked_fill_ = in_place_method("masked_fill_", masked_fill, "value where the mask holds, else x")
_UNARY = "neg abs reciprocal square exp expm1 log log1p sqrt rsqrt sin cos tanh sigmoid"


def copy_(self: Tensor, src: Any) -> Tensor:
    """Take the values of src (broadcast, converted to this dtype). Gradient: 0 to the old values, g to src."""
    if _check("copy_", self, src):
        return _write("copy_", self, index_put(self, src, ...))
    array = src._data if isinstance(src, Tensor) else np.asarray(src)
    try:
        np.copyto(self._data, array, casting="unsafe")
    except ValueError:
        raise ValueError(f"copy_: shape {array.shape} cannot be broadcast to {self.shape}") from None
    _kernels.changed(self._data, here("copy_"))
    return self


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to a number, or to a tensor of one element. Gradient: 0 to the old values, the sum of g to value."""
    size = value.numel() if isinstance(value, Tensor) else 1
    if size != 1:
        raise ValueError(f"fill_: expected a number or a tensor of one element, got shape {value.shape}; use copy_")
    if _check("fill_", self, value):
        one = reshape(value, ()) if isinstance(value, Tensor) else value
        return _write("fill_", self, index_put(self, one, ...))
    self._data.fill(value.item() if isinstance(value, Tensor) else value)
    _kernels.changed(self._data, here("fill_"))
    return self


def zero_(self: Tensor) -> Tensor:
    """Set every element to 0."""
    if _check("zero_", self):
        return _write("zero_", self, index_put(self, 0.0, ...))
    self._data.fill(0)
    _kernels.changed(self._data, here("zero_"))
    return self


def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers uniform in [low, high), PyTorch's `from` and `to`. TypeError for integers. Gradient: 0."""
    if not low <= high:
        raise ValueError(f"uniform_: expected a range with low <= high, got {low} and {high}")
    return _drawn("uniform_", self, uniform, low, high, generator)


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers. TypeError for integers. Gradient: 0."""
    if not std >= 0:
        raise ValueError(f"normal_: expected std >= 0, got {std}")
    return _drawn("normal_", self, normal, mean, std, generator)


def _drawn(name: str, x: Tensor, draw: Any, a: float, b: float, generator: Generator | None) -> Tensor:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: expected a float32 or float64 tensor, got {x.dtype}")
    recorded = _check(name, x)
    values = draw(x.shape, a, b, x.dtype, generator)
    return _write(name, x, index_put(x, values, ...) if recorded else values)


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """x[index] = value, NumPy's indexing. Gradient: 0 at index to the old values, g[index] to value."""
    index = plain_index(index)
    kin = isinstance(value, Tensor) and value._kin is not None and value._kin is self._kin
    if kin and _basic(index) and SEALED.get(id(value)) is not value:
        part = self._data[(*index, ...) if isinstance(index, tuple) else (index, ...)]
        if _same_memory(part, value._data):  # the end of `x[index] += v`: it is done already
            return
    if _check("assignment", self, value):
        _write("assignment", self, index_put(self, value, index))
        return
    array = value._data if isinstance(value, Tensor) else value
    if type(array) is int and self.dtype == np.uint8:
        array &= 255  # wraps around, as everywhere
    try:
        self._data[index] = array
    except IndexError as e:
        raise IndexError(f"index: {e} (shape {self.shape})") from None
    except ValueError as e:
        raise ValueError(f"assignment: {e} (tensor {self.shape}, value {np.shape(array)})") from None
    _kernels.changed(self._data, here("assignment"))


def _unary() -> list[Any]:
    return [*[getattr(pointwise, name) for name in _UNARY.split()], activation.relu]


METHODS: dict[str, Any] = {
    **{f"{f.__name__}_": in_place_method(f"{f.__name__}_", f, f"{f.__name__}(x)") for f in _unary()},
    **{
        f.__name__: f
        for f in (
            add_, sub_, mul_, div_, pow_, clamp_, masked_fill_, copy_, fill_, zero_, uniform_, normal_,
        )
    },
}  # fmt: skip
