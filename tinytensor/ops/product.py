"""Products of matrices and vectors: transposes are strides, never copies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import _kernels
from ..op import Array, Op, op
from ..tensor import Tensor
from .activation import (
    elu_grad,
    gelu_grad,
    gelu_tanh_grad,
    leaky_relu_grad,
    relu_grad,
    selu_grad,
    silu_grad,
    softplus_grad,
)
from .pointwise import mul, sigmoid_grad, tanh_grad
from .promotion import array_of, cast_to, result_type
from .reduction import sum
from .shape import matrix_transpose, reshape, unsqueeze


@op
def _matmul(x: Array, y: Array) -> Any:
    try:
        return _kernels.matmul(x, y)
    except TypeError:
        dtype = result_type(array_of(x, "matmul"), array_of(y, "matmul"))
        a, b = cast_to(x, dtype, "matmul"), cast_to(y, dtype, "matmul")
        return _kernels.matmul(a, b) if dtype.kind == "f" else np.matmul(a, b)


@_matmul.rule(x="y", y="x")
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    return _matmul(g, matrix_transpose(y)) if needs[0] else None, _matmul(matrix_transpose(x), g) if needs[1] else None


def matmul(x: Array, y: Array) -> Tensor:
    """x @ y: (..., m, k) @ (..., k, n) -> (..., m, n); vectors count as one row (first) or one column (second); leading
    dimensions broadcast. Each output is one chain of multiply-adds in the order of k. Gradient: g @ y^T to x, x^T @ g to y."""
    try:
        flat = x.ndim == 0 or y.ndim == 0
    except AttributeError:
        raise TypeError(
            f"matmul: expected two tensors, got {type(x).__name__} and {type(y).__name__}; * multiplies by a number"
        ) from None
    if flat:
        raise ValueError(
            f"matmul: shapes {tuple(x.shape)} and {tuple(y.shape)}: a 0-d tensor has no matrix product; use *"
        )
    if x.ndim > 1 and y.ndim > 1:
        return _matmul(x, y)
    if x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: shapes {tuple(x.shape)} and {tuple(y.shape)} do not fit: {x.shape[-1]} against {y.shape[-2 if y.ndim > 1 else 0]}"
        )
    a = unsqueeze(x, 0) if x.ndim == 1 else x
    b = unsqueeze(y, 1) if y.ndim == 1 else y
    r = _matmul(a, b)
    shape = tuple(r.shape)
    if y.ndim == 1:
        shape = shape[:-1]
    if x.ndim == 1:
        shape = shape[: len(shape) - (1 if y.ndim == 1 else 2)] + (() if y.ndim == 1 else shape[-1:])
    return reshape(r, shape)


def rmatmul(x: Array, y: Array) -> Tensor:
    """y @ x."""
    return matmul(y, x)


def _dims(name: str, x: Any, y: Any, m: int, n: int) -> None:
    if x.ndim != m or y.ndim != n:
        raise ValueError(f"{name}: expected {m} and {n} dimensions, got shapes {tuple(x.shape)} and {tuple(y.shape)}")


def mm(x: Array, y: Array) -> Tensor:
    """(m, k) @ (k, n)."""
    _dims("mm", x, y, 2, 2)
    return _matmul(x, y)


def mv(x: Array, y: Array) -> Tensor:
    """(m, k) @ (k,) -> (m,)."""
    _dims("mv", x, y, 2, 1)
    return matmul(x, y)


def bmm(x: Array, y: Array) -> Tensor:
    """(b, m, k) @ (b, k, n) -> (b, m, n); the batches must be equal."""
    _dims("bmm", x, y, 3, 3)
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"bmm: batch sizes {x.shape[0]} and {y.shape[0]} differ; matmul broadcasts")
    return _matmul(x, y)


@op
def _dot(x: Array, y: Array) -> Any:
    dtype = result_type(x, y)
    if dtype.kind != "f":
        return np.asarray(np.dot(x, y))
    return _kernels.dot(cast_to(x, dtype, "dot"), cast_to(y, dtype, "dot"))


@_dot.rule(x="y", y="x")
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    return mul(g, y) if needs[0] else None, mul(g, x) if needs[1] else None


def dot(x: Array, y: Array) -> Tensor:
    """Sum of products of two vectors -> 0-d. Gradient: g y to x, g x to y."""
    _dims("dot", x, y, 1, 1)
    return _dot(x, y)


def outer(x: Array, y: Array) -> Tensor:
    """x_i y_j of two vectors -> (m, n)."""
    _dims("outer", x, y, 1, 1)
    return mul(unsqueeze(x, 1), y)


class Activation(NamedTuple):
    """An elementwise function that may follow a product: its kernels, and its gradient as an op."""

    value: int
    gradient: int
    keeps_input: bool
    """Whether the gradient is worked out from what went in, instead of what came out."""
    grad: Callable[..., Any]
    """(g, input or value, *parameters)"""
    parameters: int


def _activation(name: str, keeps_input: bool, grad: Callable[..., Any], parameters: int = 0) -> Activation:
    return Activation(_kernels.OPS[name], _kernels.OPS[f"{name}_grad"], keeps_input, grad, parameters)


ACTIVATIONS = {
    "relu": _activation("relu", False, relu_grad),
    "sigmoid": _activation("sigmoid", False, sigmoid_grad),
    "tanh": _activation("tanh", False, tanh_grad),
    "gelu": _activation("gelu", True, gelu_grad),
    "gelu_tanh": _activation("gelu_tanh", True, gelu_tanh_grad),
    "silu": _activation("silu", True, silu_grad),
    "leaky_relu": _activation("leaky_relu", True, leaky_relu_grad, 1),
    "elu": _activation("elu", True, elu_grad, 1),
    "selu": _activation("selu", True, selu_grad),
    "softplus": _activation("softplus", True, softplus_grad, 2),
}
"""What linear_activation can do in the same pass."""


def _other_dtypes(x: Any, weight: Any, bias: Any, act: int, p0: float, p1: float, keep: bool) -> Any:
    """What _kernels.linear does, for what is not all in one float dtype."""
    wrong = _kernels.linear_shapes(x, weight, bias)
    if wrong is not None:
        raise wrong
    dtype = result_type(x, weight) if bias is None else result_type(x, weight, bias)
    a, w = cast_to(x, dtype, "linear"), cast_to(weight, dtype, "linear")
    b = None if bias is None else cast_to(bias, dtype, "linear")
    if dtype.kind == "f":
        return _kernels.linear(a, w, b, act, p0, p1, keep)
    if act >= 0:
        raise TypeError(f"linear: an activation needs float32 or float64, got {dtype}")
    return np.matmul(a, w.T) if b is None else np.matmul(a, w.T) + b, None, False


def _affine_grad(g: Any, x: Any, weight: Any, turned: bool, needs: Any, into: Any = None) -> Any:
    """The gradients to input, weight and bias from that of the sum, in ops."""
    if not isinstance(g, Tensor):
        return _kernels.linear_grad(g, x, weight, None, None, -1, 0.0, 0.0, turned, needs, into)
    ups = reshape(g, (math.prod(g.shape[:-1]), g.shape[-1]))
    dw = None
    if needs[1]:
        dw = matrix_transpose(_matmul(matrix_transpose(reshape(x, (ups.shape[0], x.shape[-1]))), ups))
    return _matmul(g if g.ndim > 1 else ups, weight) if needs[0] else None, dw, sum(ups, 0) if needs[2] else None


@op(aux=("z", "turned"))
def _linear(x: Array, weight: Array, bias: Array | None) -> Any:
    try:
        return _kernels.linear(x, weight, bias)
    except TypeError:
        return _other_dtypes(x, weight, bias, -1, 0.0, 0.0, False)


@_linear.rule(x="weight", weight="x")
def _(g: Any, x: Any, weight: Any, turned: bool, needs: Any, into: Any) -> Any:
    return _affine_grad(g, x, weight, turned, needs, into)


def _of_value(name: str, act: Activation) -> Op[Any]:
    """linear and an activation whose gradient is worked out from its value."""

    def forward(x: Array, weight: Array, bias: Array | None, p0: float, p1: float) -> Any:
        try:
            return _kernels.linear(x, weight, bias, act.value, p0, p1)
        except TypeError:
            return _other_dtypes(x, weight, bias, act.value, p0, p1, False)

    def rule(g: Any, x: Any, weight: Any, p0: float, p1: float, out: Any, turned: bool, needs: Any, into: Any) -> Any:
        if isinstance(g, Tensor):
            return _affine_grad(act.grad(g, out), x, weight, turned, needs)
        return _kernels.linear_grad(g, x, weight, out, out, act.gradient, p0, p1, turned, needs, into)

    forward.__name__ = name
    made = op(aux=("z", "turned"))(forward)
    made.rule(x="weight", weight="x")(rule)
    return made


def _of_input(name: str, act: Activation) -> Op[Any]:
    """linear and an activation whose gradient is worked out from what goes in."""

    def forward(x: Array, weight: Array, bias: Array | None, p0: float, p1: float) -> Any:
        try:
            return _kernels.linear(x, weight, bias, act.value, p0, p1, True)
        except TypeError:
            return _other_dtypes(x, weight, bias, act.value, p0, p1, True)

    def rule(
        g: Any, x: Any, weight: Any, bias: Any, p0: float, p1: float, z: Any, turned: bool, needs: Any, into: Any
    ) -> Any:
        if isinstance(g, Tensor):
            dz = act.grad(g, _linear(x, weight, bias), *(p0, p1)[: act.parameters])
            return _affine_grad(dz, x, weight, turned, needs)
        return _kernels.linear_grad(g, x, weight, z, z, act.gradient, p0, p1, turned, needs, into)

    forward.__name__ = name
    made = op(aux=("z", "turned"))(forward)
    made.rule(rule)
    return made


_FUSED = {
    act.value: (_of_input if act.keeps_input else _of_value)(f"linear_{name}", act) for name, act in ACTIVATIONS.items()
}
"""An op for each activation, by its kernel: graphs, errors and pictures say which it is."""


def linear(x: Array, weight: Array, bias: Array | None = None) -> Tensor:
    """x @ weight^T + bias: x (*, in), weight (out, in), bias (out) or None -> (*, out). One op; the bias is added after each
    product's chain. Gradient: g @ weight to x, g^T @ x to weight, the sum of g to bias. ValueError where shapes do not fit."""
    return _linear(x, weight, bias)


def linear_activation(
    x: Array, weight: Array, bias: Array | None, activation: Activation, p0: float = 0.0, p1: float = 0.0
) -> Tensor:
    """linear and an elementwise function (one of ACTIVATIONS, with its parameters) as one op, with the bits that the two give
    one after the other, forward and backward."""
    return _FUSED[activation.value](x, weight, bias, p0, p1)
