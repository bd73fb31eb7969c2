"""Activation functions, softmax and its relatives, dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _kernels, random
from ..op import Array, op
from ..tensor import Tensor
from .index import one_hot
from .join import cat, narrow
from .pointwise import (
    abs,
    add,
    cast,
    clamp,
    clamp_grad,
    div,
    eq,
    exp,
    expm1,
    isinf,
    log,
    maximum,
    minimum,
    mul,
    neg,
    sigmoid,
    square,
    sub,
    tanh,
    tanh_grad,
    where,
)
from .promotion import array_of, as_float, ternary, unary
from .reduction import argmax, normalized_dims, sum
from .reduction import max as largest
from .shape import one_dim, permute, reshape, unflatten

K = _kernels.OPS


@op(kernel="relu")
def relu(x: Array) -> Any:
    """max(0, x); integers stay integers. Gradient: g where x > 0, else 0 (0 at 0)."""
    a = array_of(x, "relu")
    if a.dtype.kind in "iu":
        return np.asarray(np.maximum(a, 0))
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


# ---------------------------------------------------------------------------------- made of other ops, with one node each
def float_data(name: str, x: Any) -> Any:
    """The array of x; TypeError unless it is float."""
    a = x._data if isinstance(x, Tensor) else x
    if a.dtype.kind != "f":
        raise TypeError(f"{name}: expected a float tensor, got {a.dtype}; use .to(tt.float32)")
    return a


def _inside(g: Any, x: Any, low: float, high: float) -> Any:
    """g where low < x < high, else 0: clamp's gradient between the next numbers of the dtype."""
    real, up = x.dtype.type, x.dtype.type(math.inf)
    return clamp_grad(g, x, float(np.nextafter(real(low), up)), float(np.nextafter(real(high), -up)))


@op
def _hardtanh(x: Array, low: float, high: float) -> Any:
    return unary(K["clamp"], x, "hardtanh", low, high)


@_hardtanh.rule
def _(g: Any, out: Any, low: float, high: float) -> Any:
    return _inside(g, out, low, high)


def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x limited to [min_val, max_val] (Collobert 2004). Gradient: g between them, 0 at both and beyond. ValueError where
    min_val > max_val."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} must not be greater than max_val {max_val}")
    return _hardtanh(x, float(min_val), float(max_val))


def relu6(x: Array) -> Tensor:
    """min(max(0, x), 6) (Krizhevsky 2010). Gradient: g where 0 < x < 6, else 0."""
    return _hardtanh(x, 0.0, 6.0)


@op
def hardsigmoid(x: Array) -> Any:
    """min(max(0, x + 3), 6) / 6 (Courbariaux et al. 2015). Gradient: g / 6 where -3 < x < 3, else 0."""
    return div(clamp(add(as_float(x, "hardsigmoid"), 3.0), 0.0, 6.0), 6.0)


@hardsigmoid.rule
def _(g: Any, x: Any) -> Any:
    return div(_inside(g, x, -3.0, 3.0), 6.0)


@op
def hardswish(x: Array) -> Any:
    """x hardsigmoid(x) (Howard et al. 2019), 0 at -inf. Gradient: g (x / 3 + 1 / 2) where -3 < x < 3, 0 up to -3, g from 3 on."""
    a = as_float(x, "hardswish")
    return mul(maximum(a, -3.0), hardsigmoid(a))


@hardswish.rule
def _(g: Any, x: Any) -> Any:
    return where(x >= 3.0, g, mul(_inside(g, x, -3.0, 3.0), add(div(clamp(x, -3.0, 3.0), 3.0), 0.5)))


@op
def _celu(x: Array, alpha: float) -> Any:
    a = as_float(x, "celu")
    return where(a > 0, a, mul(expm1(div(minimum(a, 0.0), alpha)), alpha))


@_celu.rule
def _(g: Any, x: Any, alpha: float) -> Any:
    return where(x > 0, g, mul(g, exp(div(where(x > 0, 0.0, x), alpha))))


def celu(x: Array, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (e^(x / alpha) - 1) (Barron 2017). Gradient: g, or g e^(x / alpha). ValueError for alpha 0."""
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0: x is divided by it")
    return _celu(x, float(alpha))


@op
def mish(x: Array) -> Any:
    """x tanh(softplus(x)) (Misra 2019), 0 at -inf. Gradient: g (t + x (1 - t^2) sigmoid(x)), t = tanh(softplus(x))."""
    a = as_float(x, "mish")
    return mul(maximum(a, -800.0), tanh(softplus(a)))  # the factor is 0 below: -inf would make NaN of it


@mish.rule
def _(g: Any, x: Any) -> Any:
    t = tanh(softplus(x))
    return add(mul(g, t), mul(tanh_grad(g, t), mul(clamp(x, -800.0, 800.0), sigmoid(x))))


@op
def softsign(x: Array) -> Any:
    """x / (1 + |x|) (Bergstra et al. 2009). Gradient: g / (1 + |x|)^2."""
    a = as_float(x, "softsign")
    return div(a, add(abs(a), 1.0))


@softsign.rule
def _(g: Any, x: Any) -> Any:
    return div(g, square(add(abs(x), 1.0)))


@op
def tanhshrink(x: Array) -> Any:
    """x - tanh(x). Gradient: g tanh(x)^2."""
    a = as_float(x, "tanhshrink")
    return sub(a, tanh(a))


@tanhshrink.rule
def _(g: Any, x: Any) -> Any:
    return mul(g, square(tanh(x)))


@op
def _softshrink(x: Array, lambd: float) -> Any:
    a = as_float(x, "softshrink")
    return sub(a, clamp(a, -lambd, lambd))


@_softshrink.rule
def _(g: Any, out: Any) -> Any:
    return where(out == 0.0, 0.0, g)


def softshrink(x: Array, lambd: float = 0.5) -> Tensor:
    """x moved by lambd towards 0, and 0 where |x| <= lambd (Donoho 1995). Gradient: g where |x| > lambd, else 0. ValueError
    for a negative or infinite lambd."""
    if not 0 <= lambd < math.inf:
        raise ValueError(f"softshrink: lambd must be a finite number from 0 on, got {lambd}")
    return _softshrink(x, float(lambd))


def hardshrink(x: Array, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0. Gradient: g where |x| > lambd, else 0."""
    return where(abs(x._data if isinstance(x, Tensor) else x) <= lambd, 0.0, x)


def threshold(x: Array, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value. Gradient: g where x > threshold, else 0."""
    return where(np.asarray(x._data if isinstance(x, Tensor) else x) <= threshold, value, x)


@op
def logsigmoid(x: Array) -> Any:
    """log(sigmoid(x)) = -softplus(-x), accurate where sigmoid underflows. Gradient: g sigmoid(-x)."""
    return neg(_softplus(neg(as_float(x, "logsigmoid")), 1.0, math.inf))


@logsigmoid.rule
def _(g: Any, x: Any) -> Any:
    return mul(g, sigmoid(neg(x)))


@op
def _prelu(x: Array, weight: Array) -> Any:
    return where(as_float(x, "prelu") > 0, x, mul(x, weight))


@_prelu.rule(weight="x")
def _(g: Any, x: Any, weight: Any, needs: Any) -> Any:
    positive = x > 0
    return (
        where(positive, g, mul(g, weight)) if needs[0] else None,
        where(positive, 0.0, mul(g, x)) if needs[1] else None,
    )


def prelu(x: Array, weight: Array) -> Tensor:
    """x where x > 0, else weight x (He et al. 2015). weight: one number, (1,), or (C,) for x of shape (N, C, *). Gradient: to x
    g or weight g, to weight the sum of g x where x <= 0. ValueError for a weight of another size."""
    count = math.prod(weight.shape)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim > 1 or count not in (1, channels):
        raise ValueError(
            f"prelu: expected a weight of shape (1,) or ({channels},), the size of dim 1, for input {tuple(x.shape)}, got {tuple(weight.shape)}"
        )
    shape = (count,) + (1,) * (x.ndim - 2) if x.ndim > 1 else (1,) * x.ndim
    return _prelu(x, reshape(weight, shape))


def rrelu(
    x: Array,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    *,
    generator: random.Generator | None = None,
) -> Tensor:
    """x where x > 0, else a x, a drawn for each element from [lower, upper), or their mean where not training (Xu et al. 2015).
    Gradient: g, or a g. ValueError where lower > upper."""
    if lower > upper:
        raise ValueError(f"rrelu: lower {lower} must not be greater than upper {upper}")
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    a = float_data("rrelu", x)
    return mul(x, where(a > 0, 1.0, random.uniform(a.shape, lower, upper, a.dtype, generator)))


@op
def _glu(x: Array, dim: int) -> Any:
    a = as_float(x, "glu")
    n = a.shape[dim] // 2
    return mul(narrow(a, dim, 0, n), sigmoid(narrow(a, dim, n, n)))


@_glu.rule
def _(g: Any, x: Any, dim: int) -> Any:
    n = x.shape[dim] // 2
    s = sigmoid(narrow(x, dim, n, n))
    gs = mul(g, s)
    return cat([gs, mul(mul(gs, narrow(x, dim, 0, n)), sub(1.0, s))], dim)


def glu(x: Array, dim: int = -1) -> Tensor:
    """a sigmoid(b) of the halves a and b of x along dim, a gated linear unit (Dauphin et al. 2017). Gradient: g s to a and
    g a s (1 - s) to b. ValueError for an odd size, IndexError for a dim out of range."""
    d = one_dim("glu", x.ndim, dim)
    if x.shape[d] % 2:
        raise ValueError(f"glu: dim {dim} of shape {tuple(x.shape)} must be even: it is cut in halves")
    return _glu(x, d)


def maxout(x: Array, pieces: int, dim: int = 1) -> Tensor:
    """The largest of each `pieces` neighbours along dim, which becomes shorter by that factor (Goodfellow et al. 2013).
    Gradient: g to the first largest. ValueError where `pieces` does not divide the size of dim."""
    d = one_dim("maxout", x.ndim, dim)
    if pieces < 1 or x.shape[d] % pieces:
        raise ValueError(f"maxout: dim {dim} of shape {tuple(x.shape)} cannot be divided into pieces of {pieces}")
    values: Tensor = largest(unflatten(x, d, (x.shape[d] // pieces, pieces)), d + 1).values
    return values


# ------------------------------------------------------------------------------------------------------------- softmax
def over_rows(kind: int, x: Any, dim: int, other: Any = None) -> Any:
    """A rows kernel along `dim`, which is moved last and back."""
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.ndim and dim in (-1, x.ndim - 1):
        return _kernels.rows(kind, x, other)  # most calls, at a third of the cost
    a = as_float(x, "softmax")
    if a.ndim == 0:
        normalized_dims("softmax", 0, dim)
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


def softmin(x: Array, dim: int = -1, dtype: Any = None) -> Tensor:
    """softmax(-x) along dim. Gradient: -s (g - sum(g s))."""
    return softmax(neg(x), dim, dtype)


def gumbel_softmax(
    logits: Array, tau: float = 1, hard: bool = False, *, dim: int = -1, generator: random.Generator | None = None
) -> Tensor:
    """softmax((logits + noise) / tau) along dim, the noise from Gumbel's distribution: a draw from the classes that has a
    gradient (Jang et al. 2017). hard: one-hot values, with the gradient of the soft ones. ValueError unless tau > 0."""
    if not tau > 0:
        raise ValueError(f"gumbel_softmax: tau must be positive, got {tau}")
    a = float_data("gumbel_softmax", logits)
    # 1 - u and the smallest normal number: neither logarithm meets 0
    wait = clamp(
        neg(log(sub(1.0, random.uniform(a.shape, 0.0, 1.0, a.dtype, generator)))), float(np.finfo(a.dtype).tiny)
    )
    soft = softmax(div(add(logits, neg(log(wait))), tau), dim)
    if not hard:
        return soft
    y = soft._data if isinstance(soft, Tensor) else soft
    d = one_dim("gumbel_softmax", a.ndim, dim)
    ones: Any = one_hot(argmax(y, d), a.shape[d])
    chosen = np.moveaxis(ones, -1, d)
    return add(sub(chosen.astype(a.dtype), y), soft)


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
    p = _softmax(x, -1)  # e^(x - out) would have the rounding of out: at 1e30, 1 for each of equals
    whole = reshape(out, shape)
    infinite = isinf(whole)
    if np.count_nonzero(infinite._data if isinstance(infinite, Tensor) else infinite):
        shares = _softmax(where(infinite, where(eq(x, whole), 0.0, -math.inf), x), -1)
        p = where(eq(whole, -math.inf), 0.0, shares)
    return mul(reshape(g, shape), p)


def logsumexp(x: Array, dim: Any = None, keepdim: bool = False) -> Tensor:
    """log(sum(e^x)) over dim (an int, several, or all), shifted by the maximum; -inf for rows of -inf. Gradient: g softmax(x); of a row
    of -inf 0, of one with inf shared by those."""
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
def _check_probability(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p must be between 0 and 1, got {p}")


def dropout(x: Array, p: float = 0.5, training: bool = True, *, generator: random.Generator | None = None) -> Tensor:
    """In training, zero each element with probability p and scale the rest by 1 / (1 - p) (Srivastava et al. 2014); else x.
    Gradient: g times the same mask. ValueError for p outside [0, 1]."""
    _check_probability("dropout", p)
    if not training or p == 0:
        return x  # type: ignore[no-any-return]
    a = float_data("dropout", x)
    if p == 1:
        return mul(x, 0.0)
    return mul(x, random.keep_mask(a.shape, a.dtype, p, generator))


def _dropped_channels(
    name: str, x: Any, spatial: int, shapes: dict[int, str], p: float, training: bool, generator: Any
) -> Any:
    """dropout with one draw for the last `spatial` dimensions; `shapes`: what is accepted, by the number of dimensions."""
    _check_probability(name, p)
    if x.ndim not in shapes:
        raise ValueError(
            f"{name}: expected an input of shape {' or '.join(shapes.values())}, got {tuple(x.shape)}; reshape it, or use dropout"
        )
    if not training or p == 0:
        return x
    a = float_data(name, x)
    if p == 1:
        return mul(x, 0.0)
    shape = a.shape[: a.ndim - spatial] + (1,) * spatial
    return mul(x, random.keep_mask(shape, a.dtype, p, generator))


def dropout1d(x: Array, p: float = 0.5, training: bool = True, *, generator: random.Generator | None = None) -> Tensor:
    """dropout of whole channels of (N, C, L) or (C, L): one draw for each (Tompson et al. 2015). Gradient: g times the mask.
    ValueError for another number of dimensions, or p outside [0, 1]."""
    return _dropped_channels("dropout1d", x, 1, {3: "(N, C, L)", 2: "(C, L)"}, p, training, generator)  # type: ignore[no-any-return]


def dropout2d(x: Array, p: float = 0.5, training: bool = True, *, generator: random.Generator | None = None) -> Tensor:
    """dropout of whole channels of (N, C, H, W) (Tompson et al. 2015). Three dimensions are refused: PyTorch takes them for
    (N, C, L), which dropout1d says. Gradient: g times the mask. ValueError for p outside [0, 1]."""
    return _dropped_channels("dropout2d", x, 2, {4: "(N, C, H, W)"}, p, training, generator)  # type: ignore[no-any-return]


def alpha_dropout(
    x: Array, p: float = 0.5, training: bool = False, *, generator: random.Generator | None = None
) -> Tensor:
    """In training, set each element to selu's lower limit with probability p, then scale and shift all so that mean 0 and
    variance 1 stay (Klambauer et al. 2017); else x. Gradient: g times the scale where kept. ValueError for p outside [0, 1]."""
    _check_probability("alpha_dropout", p)
    if not training or p == 0:
        return x  # type: ignore[no-any-return]
    a = float_data("alpha_dropout", x)
    if p == 1:
        return mul(x, 0.0)
    limit = -1.0507009873554805 * 1.6732632423543772
    scale = 1 / math.sqrt((1 - p) * (1 + p * limit * limit))
    kept = random.keep_mask(a.shape, a.dtype, p, generator) > 0
    shift = -scale * limit * p
    shifts = np.where(kept, shift, shift + scale * limit).astype(a.dtype)
    return add(mul(x, np.where(kept, scale, 0.0).astype(a.dtype)), shifts)
