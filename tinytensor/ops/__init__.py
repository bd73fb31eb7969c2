"""Every differentiable op: its value and its rule side by side, one file per family. Called on arrays an op gives an array, on
Tensors a Tensor. Importing this room attaches the operators and methods to Tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._tape import set_operators
from ..tensor import Tensor, check_dtype
from . import activation, index, inplace, join, loss, pointwise, product, reduction, shape

_ROOMS = {
    pointwise: "add sub rsub mul div pow neg abs sign exp log log1p expm1 sqrt rsqrt square reciprocal sin cos tanh sigmoid erf "
    "clamp maximum minimum where eq ne lt le gt ge logical_and logical_or logical_xor logical_not isnan isinf isfinite "
    "bitwise_and bitwise_or bitwise_xor bitwise_not",
    reduction: "sum mean prod amax amin max min argmax argmin var std norm all any",
    product: "matmul mm mv bmm dot outer linear",
    shape: "reshape view permute transpose t squeeze unsqueeze flatten ravel unflatten broadcast_to expand expand_as clone contiguous",
    join: "cat concat stack narrow split chunk",
    index: "gather take_along_dim index_select scatter_add masked_fill one_hot",
    activation: "relu leaky_relu elu selu gelu silu softplus softmax log_softmax logsumexp dropout",
    loss: "cross_entropy nll_loss mse_loss",
}
PUBLIC: dict[str, Any] = {name: getattr(room, name) for room, names in _ROOMS.items() for name in names.split()}
PUBLIC["multiply"], PUBLIC["subtract"], PUBLIC["divide"], PUBLIC["true_divide"] = (
    pointwise.mul,
    pointwise.sub,
    pointwise.div,
    pointwise.div,
)
PUBLIC["clip"], PUBLIC["absolute"], PUBLIC["negative"] = pointwise.clamp, pointwise.abs, pointwise.neg
globals().update(PUBLIC)
__all__ = ["PUBLIC", *PUBLIC]

_NOT_METHODS = {"where", "cat", "concat", "stack", "linear", "one_hot", "dropout", "cross_entropy", "nll_loss", "mse_loss", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus"}  # fmt: skip


def to(self: Tensor, dtype: Any = None) -> Tensor:
    """This tensor in another dtype (itself where it has it). Gradient: g in this dtype."""
    if isinstance(dtype, Tensor):
        dtype = dtype.dtype
    d = check_dtype(dtype, "to")
    return self if d == self.dtype else pointwise.cast(self, d)


def getitem(self: Tensor, key: Any) -> Tensor:
    """x[index]: NumPy's basic and advanced indexing; Tensors may be indices."""
    return index.getitem(self, index.plain_index(key))


def where_method(self: Tensor, condition: Any, other: Any) -> Tensor:
    """This tensor where the condition holds, else other."""
    return pointwise.where(condition, self, other)


def _converter(name: str, dtype: Any) -> Any:
    def convert(self: Tensor) -> Tensor:
        return to(self, dtype)

    convert.__name__ = name
    convert.__doc__ = f"This tensor as {np.dtype(dtype)}."
    return convert


def _attach() -> None:
    for name, function in PUBLIC.items():
        if name not in _NOT_METHODS:
            setattr(Tensor, name, function)
    operators = {
        "pow": pointwise.pow, "rpow": pointwise.rpow, "matmul": product.matmul,
        "rmatmul": product.rmatmul, "neg": pointwise.neg, "abs": pointwise.abs, "invert": pointwise.bitwise_not,
        "and": pointwise.bitwise_and, "rand": pointwise.bitwise_and, "or": pointwise.bitwise_or, "ror": pointwise.bitwise_or,
        "xor": pointwise.bitwise_xor, "rxor": pointwise.bitwise_xor, "lt": pointwise.lt, "le": pointwise.le, "gt": pointwise.gt, "ge": pointwise.ge,
        "eq": pointwise.eq, "ne": pointwise.ne, "iadd": inplace.add_, "isub": inplace.sub_, "imul": inplace.mul_, "itruediv": inplace.div_,
        "ipow": inplace.pow_, "getitem": getitem, "setitem": inplace.setitem,
    }  # fmt: skip
    set_operators(pointwise._add, pointwise._sub, pointwise.mul, pointwise._div)
    for name, function in operators.items():
        setattr(Tensor, f"__{name}__", function)
    Tensor.__pos__ = lambda self: self  # type: ignore[method-assign]
    for name, function in inplace.METHODS.items():
        setattr(Tensor, name, function)
    for name, dtype in (
        ("float", "float32"),
        ("double", "float64"),
        ("long", "int64"),
        ("bool", "bool"),
        ("byte", "uint8"),
    ):
        setattr(Tensor, name, _converter(name, dtype))
    Tensor.to = to  # type: ignore[attr-defined]
    Tensor.type_as = to  # type: ignore[attr-defined]
    Tensor.where = where_method  # type: ignore[attr-defined]
    Tensor.T = property(shape.t)  # type: ignore[assignment]
    Tensor.mT = property(shape.matrix_transpose)  # type: ignore[assignment]


_attach()
