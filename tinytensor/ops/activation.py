"""Activation functions, softmax and dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _kernels, random
from ..op import Array, op
from ..tensor import Tensor
from .pointwise import add, cast, exp, mul, neg, sigmoid, sub, where
from .promotion import as_float, ternary, unary
from .reduction import normalized_dims, sum
from .shape import permute, reshape

K = _kernels.OPS


@op(kernel="relu")
def relu(x: Array) -> Any:
    """max(0, x). Gradient: g where x > 0, else 0 (0 at 0)."""
    return unary(K["relu"], x, "relu")


@relu.rule
def _(g: Any, out: Any) -> Any:
    return relu_grad(g, out)


@op(kernel="relu_grad")
def relu_grad(g: Array, out: Array) -> Any:
    """g where out > 0, else 0."""
    return ternary(K["relu_grad"], g, out, out)


@relu_grad.rule
def _(u: Any, out: Any) -> Any:
    return relu_grad(u, out), None


@op
def _leaky_relu(x: Array, slope: float) -> Any:
    return unary(K["leaky_relu"], x, "leaky_relu", slope)


@_leaky_relu.rule
def _(g: Any, x: Any, slope: float) -> Any:
    return leaky_relu_grad(g, x, slope)


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope x. Gradient: g or negative_slope g (at 0: negative_slope g)."""
    return _leaky_relu(x, float(negative_slope))


@op
def leaky_relu_grad(g: Array, x: Array, slope: float) -> Any:
    """g where x > 0, else slope g."""
    return _kernels.map3(K["leaky_relu_grad"], g, x, x, slope)


@leaky_relu_grad.rule
def _(u: Any, x: Any, slope: float) -> Any:
    return leaky_relu_grad(u, x, slope), None


@op
def _elu(x: Array, alpha: float) -> Any:
    return unary(K["elu"], x, "elu", alpha)


@_elu.rule
def _(g: Any, x: Any, alpha: float) -> Any:
    return elu_grad(g, x, alpha)


def elu(x: Array, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (e^x - 1) (Clevert et al. 2016). Gradient: g, or g alpha e^x."""
    return _elu(x, float(alpha))


@op
def elu_grad(g: Array, x: Array, alpha: float) -> Any:
    """g where x > 0, else g alpha e^x."""
    return _kernels.map3(K["elu_grad"], g, x, x, alpha)


@elu_grad.rule
def _(u: Any, g: Any, x: Any, alpha: float) -> Any:
    curve = where(x > 0, 0.0, mul(exp(where(x > 0, 0.0, x)), alpha))
    return elu_grad(u, x, alpha), mul(mul(u, g), curve)


@op(kernel="selu")
def selu(x: Array) -> Any:
    """1.0507 (x where x > 0, else 1.6733 (e^x - 1)) (Klambauer et al. 2017). Gradient: as elu's, scaled."""
    return unary(K["selu"], x, "selu")


@selu.rule
def _(g: Any, x: Any) -> Any:
    return selu_grad(g, x)


@op(kernel="selu_grad")
def selu_grad(g: Array, x: Array) -> Any:
    """g 1.0507 where x > 0, else g 1.7581 e^x."""
    return ternary(K["selu_grad"], g, x, x)


@selu_grad.rule
def _(u: Any, g: Any, x: Any) -> Any:
    curve = where(x > 0, 0.0, mul(exp(where(x > 0, 0.0, x)), 1.0507009873554805 * 1.6732632423543772))
    return selu_grad(u, x), mul(mul(u, g), curve)


@op(kernel="gelu")
def _gelu(x: Array) -> Any:
    return unary(K["gelu"], x, "gelu")


@_gelu.rule
def _(g: Any, x: Any) -> Any:
    return gelu_grad(g, x)


@op(kernel="gelu_grad")
def gelu_grad(g: Array, x: Array) -> Any:
    """g (Phi(x) + x phi(x))."""
    return ternary(K["gelu_grad"], g, x, x)


@gelu_grad.rule
def _(u: Any, g: Any, x: Any) -> Any:
    density = mul(exp(mul(mul(x, x), -0.5)), 1 / math.sqrt(2 * math.pi))
    return gelu_grad(u, x), mul(mul(u, g), mul(density, sub(2.0, mul(x, x))))


@op(kernel="gelu_tanh")
def _gelu_tanh(x: Array) -> Any:
    return unary(K["gelu_tanh"], x, "gelu")


@_gelu_tanh.rule
def _(g: Any, x: Any) -> Any:
    return gelu_tanh_grad(g, x)


@op(kernel="gelu_tanh_grad")
def gelu_tanh_grad(g: Array, x: Array) -> Any:
    """g times the derivative of x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)."""
    return ternary(K["gelu_tanh_grad"], g, x, x)


@gelu_tanh_grad.rule
def _(u: Any, g: Any, x: Any) -> Any:
    c = 2 * math.sqrt(2 / math.pi)
    xx = mul(x, x)
    s = sigmoid(mul(mul(x, c), add(mul(xx, 0.044715), 1.0)))
    d1 = mul(add(mul(xx, 0.134145), 1.0), c)
    ds = mul(mul(s, sub(1.0, s)), d1)
    d2s = add(mul(mul(ds, sub(1.0, add(s, s))), d1), mul(mul(s, sub(1.0, s)), mul(x, 0.26829 * c)))
    return gelu_tanh_grad(u, x), mul(mul(u, g), add(add(ds, ds), mul(x, d2s)))


def gelu(x: Array, approximate: str = "none") -> Tensor:
    """x Phi(x), Phi the normal distribution (Hendrycks and Gimpel 2016); approximate="tanh": its tanh formula.
    Gradient: g (Phi(x) + x phi(x)). ValueError for another `approximate`."""
    if approximate == "none":
        return _gelu(x)
    if approximate == "tanh":
        return _gelu_tanh(x)
    raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")


@op(kernel="silu")
def silu(x: Array) -> Any:
    """x sigmoid(x), also called swish. Gradient: g s (1 + x (1 - s))."""
    return unary(K["silu"], x, "silu")


@silu.rule
def _(g: Any, x: Any) -> Any:
    return silu_grad(g, x)


@op(kernel="silu_grad")
def silu_grad(g: Array, x: Array) -> Any:
    """g s (1 + x (1 - s)), s = sigmoid(x)."""
    return ternary(K["silu_grad"], g, x, x)


@silu_grad.rule
def _(u: Any, g: Any, x: Any) -> Any:
    s = sigmoid(x)
    ds = mul(s, sub(1.0, s))
    return silu_grad(u, x), mul(mul(u, g), mul(ds, add(mul(x, sub(1.0, add(s, s))), 2.0)))


@op
def _softplus(x: Array, beta: float, threshold: float) -> Any:
    return unary(K["softplus"], x, "softplus", beta, threshold)


@_softplus.rule
def _(g: Any, x: Any, beta: float, threshold: float) -> Any:
    return softplus_grad(g, x, beta, threshold)


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta, and x where beta x > threshold. Gradient: g sigmoid(beta x), or g."""
    return _softplus(x, float(beta), float(threshold))


@op
def softplus_grad(g: Array, x: Array, beta: float, threshold: float) -> Any:
    """g sigmoid(beta x), and g where beta x > threshold."""
    return _kernels.map3(K["softplus_grad"], g, x, x, beta, threshold)


@softplus_grad.rule
def _(u: Any, g: Any, x: Any, beta: float, threshold: float) -> Any:
    bx = mul(x, beta)
    s = sigmoid(bx)
    curve = where(bx > threshold, 0.0, mul(mul(s, sub(1.0, s)), beta))
    return softplus_grad(u, x, beta, threshold), mul(mul(u, g), curve)


# ------------------------------------------------------------------------------------------------------------- softmax
def over_rows(kind: int, x: Any, dim: int, other: Any = None) -> Any:
    """A rows kernel along `dim`, which is moved last and back."""
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.ndim and dim in (-1, x.ndim - 1):
        return _kernels.rows(kind, x, other)  # most calls, at a third of the cost
    a = as_float(x, "softmax")
    if a.ndim == 0:
        return over_rows(kind, a.reshape(1), 0, None if other is None else other.reshape(1)).reshape(())
    (d,) = normalized_dims("softmax", a.ndim, dim)
    if d == a.ndim - 1:
        return _kernels.rows(kind, a, other)
    beside = None if other is None else np.moveaxis(other, d, -1)
    return np.moveaxis(_kernels.rows(kind, np.moveaxis(a, d, -1), beside), -1, d)


@op
def _softmax(x: Array, dim: int) -> Any:
    return over_rows(_kernels.SOFTMAX, x, dim)


@_softmax.rule
def _(g: Any, out: Any, dim: int) -> Any:
    return softmax_grad(g, out, dim)


@op
def softmax_grad(g: Array, out: Array, dim: int) -> Any:
    """out (g - sum(g out))."""
    return over_rows(_kernels.SOFTMAX_GRAD, g, dim, out)


@softmax_grad.rule
def _(u: Any, g: Any, out: Any, dim: int) -> Any:
    ug = mul(u, sub(g, sum(mul(g, out), dim, keepdim=True)))
    return softmax_grad(u, out, dim), sub(ug, mul(g, sum(mul(u, out), dim, keepdim=True)))


def softmax(x: Array, dim: int = -1, dtype: Any = None) -> Tensor:
    """e^x / sum(e^x) along dim, shifted by the maximum. Gradient: s (g - sum(g s))."""
    return _softmax(x if dtype is None else cast(x, dtype), dim)


@op
def _log_softmax(x: Array, dim: int) -> Any:
    return over_rows(_kernels.LOG_SOFTMAX, x, dim)


@_log_softmax.rule
def _(g: Any, out: Any, dim: int) -> Any:
    return log_softmax_grad(g, out, dim)


@op
def log_softmax_grad(g: Array, out: Array, dim: int) -> Any:
    """g - e^out sum(g)."""
    return over_rows(_kernels.LOG_SOFTMAX_GRAD, g, dim, out)


@log_softmax_grad.rule
def _(u: Any, g: Any, out: Any, dim: int) -> Any:
    p = exp(out)
    return sub(u, sum(mul(u, p), dim, keepdim=True)), neg(mul(mul(u, p), sum(g, dim, keepdim=True)))


def log_softmax(x: Array, dim: int = -1, dtype: Any = None) -> Tensor:
    """x - logsumexp(x) along dim. Gradient: g - softmax(x) sum(g)."""
    return _log_softmax(x if dtype is None else cast(x, dtype), dim)


@op
def _logsumexp(x: Array) -> Any:
    return np.asarray(_kernels.rows(_kernels.LOGSUMEXP, as_float(x, "logsumexp")))


@_logsumexp.rule
def _(g: Any, x: Any, out: Any) -> Any:
    shape = (*out.shape, 1)
    o = reshape(out, shape)
    return mul(reshape(g, shape), exp(sub(x, where(o == -math.inf, 0.0, o))))


def logsumexp(x: Array, dim: Any = None, keepdim: bool = False) -> Tensor:
    """log(sum(e^x)) over dim (an int, several, or all), shifted by the maximum; -inf for rows of -inf. Gradient: g softmax(x)."""
    shape = x.shape
    dims = normalized_dims("logsumexp", len(shape), dim)
    kept = [d for d in range(len(shape)) if d not in dims]
    rows = x
    if dims != tuple(range(len(kept), len(shape))):
        rows = permute(x, (*kept, *dims))
    count = math.prod(shape[d] for d in dims)
    r = _logsumexp(reshape(rows, (*(shape[d] for d in kept), count)))
    return reshape(r, tuple(1 if d in dims else n for d, n in enumerate(shape))) if keepdim else r


# ------------------------------------------------------------------------------------------------------------- dropout
def dropout(x: Array, p: float = 0.5, training: bool = True, generator: random.Generator | None = None) -> Tensor:
    """In training, zero each element with probability p and scale the rest by 1 / (1 - p) (Srivastava et al. 2014); else x.
    Gradient: g times the same mask. ValueError for p outside [0, 1]."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be between 0 and 1, got {p}")
    if not training or p == 0:
        return x  # type: ignore[no-any-return]
    a = x._data if isinstance(x, Tensor) else x
    if a.dtype.kind != "f":
        raise TypeError(f"dropout: expected a float tensor, got {a.dtype}")
    if p == 1:
        return mul(x, 0.0)
    return mul(x, random.keep_mask(a.shape, a.dtype, p, generator))
