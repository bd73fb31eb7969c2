"""Products of matrices and vectors: transposes are strides, never copies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .pointwise import mul
from .promotion import array_of, cast_to, result_type
from .reduction import sum
from .shape import matrix_transpose, reshape, unsqueeze


def _product(x: Any, y: Any, bias: Any = None) -> Any:
    try:
        return _kernels.matmul(x, y, bias)
    except TypeError:
        a, b = array_of(x, "matmul"), array_of(y, "matmul")
        dtype = result_type(a, b) if bias is None else result_type(a, b, bias)
        if dtype.kind != "f":
            whole = np.matmul(cast_to(a, dtype, "matmul"), cast_to(b, dtype, "matmul"))
            return whole if bias is None else whole + cast_to(bias, dtype, "linear")
        return _kernels.matmul(
            cast_to(a, dtype, "matmul"),
            cast_to(b, dtype, "matmul"),
            None if bias is None else cast_to(bias, dtype, "linear"),
        )


@op
def _matmul(x: Array, y: Array) -> Any:
    return _product(x, y)


@_matmul.rule(x="y", y="x")
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    return _matmul(g, matrix_transpose(y)) if needs[0] else None, _matmul(matrix_transpose(x), g) if needs[1] else None


def matmul(x: Array, y: Array) -> Tensor:
    """x @ y: (..., m, k) @ (..., k, n) -> (..., m, n); vectors count as one row (first) or one column (second); leading
    dimensions broadcast. Each output is one chain of multiply-adds in the order of k. Gradient: g @ y^T to x, x^T @ g to y."""
    if x.ndim == 0 or y.ndim == 0:
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


@op
def _linear(x: Array, weight: Array, bias: Array | None) -> Any:
    y = _product(x if x.ndim > 1 else x.reshape(1, -1), weight.T, bias)
    return y if x.ndim > 1 else y.reshape(-1)


@_linear.rule(x="weight", weight="x")
def _(g: Any, x: Any, x_shape: Any, weight: Any, needs: Any) -> Any:
    count = math.prod(x_shape[:-1])
    ups = reshape(g, (count, g.shape[-1]))
    rows = reshape(x, (count, x_shape[-1])) if needs[1] else None
    return (
        _matmul(g if g.ndim > 1 else ups, weight) if needs[0] else None,
        # x^T g, seen transposed: the memory order of a weight that Linear stored by input
        matrix_transpose(_matmul(matrix_transpose(rows), ups)) if needs[1] else None,
        sum(ups, 0) if needs[2] else None,
    )


def linear(x: Array, weight: Array, bias: Array | None = None) -> Tensor:
    """x @ weight^T + bias: x (*, in), weight (out, in), bias (out) or None -> (*, out). One op; the bias is added after each
    product's chain. Gradient: g @ weight to x, g^T @ x to weight, the sum of g to bias. ValueError where shapes do not fit."""
    if (
        weight.ndim != 2
        or x.ndim == 0
        or x.shape[-1] != weight.shape[1]
        or (bias is not None and tuple(bias.shape) != (weight.shape[0],))
    ):
        want = f"bias {tuple(bias.shape)}" if bias is not None else "no bias"
        raise ValueError(
            f"linear: expected input (*, in), weight (out, in) and bias (out), got input {tuple(x.shape)}, weight {tuple(weight.shape)} and {want}"
        )
    return _linear(x, weight, bias)
