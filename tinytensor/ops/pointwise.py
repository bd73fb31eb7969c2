"""Arithmetic and elementary functions, element by element, with broadcasting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor, check_dtype, float32, float64, get_default_dtype
from .promotion import array_of, as_float, binary, cast_to, result_type, ternary, unary

K = _kernels.OPS
_ADD, _SUB, _MUL, _DIV, _POW = K["add"], K["sub"], K["mul"], K["div"], K["pow"]


# ------------------------------------------------------------------------------------------------------ two arguments
@op(kernel="add")
def _add(x: Array, y: Array) -> Any:
    return binary(_ADD, x, y, "add", np.add)


@_add.rule
def _(g: Any) -> Any:
    return g, g


def add(x: Array, y: Array, *, alpha: float = 1) -> Tensor:
    """x + alpha * y, broadcast. Gradient: g to x and alpha g to y, summed to their shapes (an add gate distributes)."""
    return _add(x, y) if alpha == 1 else _add(x, mul(y, alpha))


@op(kernel="sub")
def _sub(x: Array, y: Array) -> Any:
    return binary(_SUB, x, y, "sub", np.subtract)


@_sub.rule
def _(g: Any, needs: Any) -> Any:
    return g, neg(g) if needs[1] else None


def sub(x: Array, y: Array, *, alpha: float = 1) -> Tensor:
    """x - alpha * y, broadcast. Gradient: g to x, -alpha g to y."""
    return _sub(x, y) if alpha == 1 else _sub(x, mul(y, alpha))


def rsub(x: Array, y: Array) -> Tensor:
    """y - x."""
    return _sub(y, x)


@op(kernel="mul")
def mul(x: Array, y: Array) -> Any:
    """x * y, broadcast. Gradient: g y to x and g x to y (a multiply gate swaps)."""
    return binary(_MUL, x, y, "mul", np.multiply)


@mul.rule(x="y", y="x")
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    return mul(g, y) if needs[0] else None, mul(g, x) if needs[1] else None


@op(kernel="div")
def _div(x: Array, y: Array) -> Any:
    return binary(_DIV, x, y, "div", None)


@_div.rule(x="y")
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    d = grad_div(g, y)
    return d, neg(grad_mul(d, _div(x, y))) if needs[1] else None


@op(kernel="grad_mul")
def grad_mul(g: Array, d: Array) -> Any:
    """Upstream times local gradient, and 0 where the upstream is 0: a branch not taken stays out, were its slope infinite."""
    return binary(K["grad_mul"], g, d, "grad_mul", None)


@grad_mul.rule
def _(u: Any, g: Any, d: Any, needs: Any) -> Any:
    return grad_mul(u, d) if needs[0] else None, grad_mul(g, u) if needs[1] else None


@op(kernel="grad_div")
def grad_div(g: Array, d: Array) -> Any:
    """g / d, and 0 where g is 0."""
    return binary(K["grad_div"], g, d, "grad_div", None)


@grad_div.rule
def _(u: Any, g: Any, d: Any, needs: Any) -> Any:
    return grad_div(u, d) if needs[0] else None, neg(grad_div(grad_div(grad_mul(g, u), d), d)) if needs[1] else None


def exact(name: str, function: Any, x: Any, y: Any, kinds: str = "iuf") -> Any:
    """A NumPy function of two whose result can be one only (no rounding of its own), in the dtype that x and y promote to; a
    dtype outside `kinds` becomes the default float. ZeroDivisionError where integers are divided by 0; TypeError for bools."""
    dtype = result_type(x, y)
    if dtype.kind == "b" and "i" in kinds:
        raise TypeError(f"{name}: bool tensors have no {name}; use .to(tt.int64)")
    if dtype.kind not in kinds:
        dtype = get_default_dtype()
    # numbers too large for the dtype wrap around, as PyTorch's
    a, b = (
        np.asarray(v).astype(dtype) if isinstance(v, (bool, int, float)) else cast_to(v, dtype, name) for v in (x, y)
    )
    if dtype.kind != "f" and not b.all():
        raise ZeroDivisionError(f"{name}: an integer divided by 0; floats give inf or NaN")
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(f"{name}: shapes {a.shape} and {b.shape} cannot be broadcast") from None
    out = _kernels.empty(shape, dtype)
    with np.errstate(all="ignore"):
        function(a, b, out=out)
    return out


@op
def trunc(x: Array) -> Any:
    """x without its fraction: the next whole number towards 0; integers stay. Gradient: 0."""
    return rounded("trunc", np.trunc, x)


@trunc.rule
def _(g: Any) -> Any:
    return mul(g, 0.0)


def rounded(name: str, function: Any, x: Any) -> Any:
    """One of NumPy's roundings to whole numbers, which are exact; integers and bools are copied."""
    a = array_of(x, name)
    out = _kernels.empty(a.shape, a.dtype)
    if a.dtype.kind == "f":
        function(a, out=out)
    else:
        np.copyto(out, a)
    return out


@op
def floor_divide(x: Array, y: Array) -> Any:
    """The largest whole number not above x / y, broadcast, free of the rounding of x / y; integers stay integers. Gradient: 0.
    ZeroDivisionError for an integer over 0; a float over 0 gives inf or NaN."""
    return exact("floor_divide", _floor_quotient, x, y)


def _floor_quotient(a: Any, b: Any, out: Any) -> None:
    """Of floats in doubles: NumPy's own of float32 is one off for large quotients."""
    if out.dtype == np.float32:
        np.floor_divide(a, b, out=out, dtype=np.float64)
    else:
        np.floor_divide(a, b, out=out)


@floor_divide.rule
def _(g: Any, needs: Any) -> Any:
    return mul(g, 0.0) if needs[0] else None, mul(g, 0.0) if needs[1] else None


@op
def _integer_quotient(x: Array, y: Array) -> Any:
    """x / y of integers, towards 0."""
    q = exact("div", np.floor_divide, x, y)
    return q + ((q < 0) & (exact("div", np.remainder, x, y) != 0))


def div(x: Array, y: Array, *, rounding_mode: str | None = None) -> Tensor:
    """x / y, broadcast; integers become floats; a division by zero gives inf or NaN. Gradient: g / y to x, -g x / y^2 to y.

    rounding_mode: "trunc" rounds towards 0 and "floor" down (floor_divide); integers stay integers, and the gradient is 0.
    ValueError for another mode; ZeroDivisionError for an integer over 0 where it is rounded."""
    if rounding_mode is None:
        return _div(x, y)
    if rounding_mode == "floor":
        return floor_divide(x, y)
    if rounding_mode != "trunc":
        raise ValueError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")
    kinds = {np.asarray(v._data if isinstance(v, Tensor) else v).dtype.kind for v in (x, y)}
    return trunc(_div(x, y)) if "f" in kinds else _integer_quotient(x, y)


def _integer_power(x: Any, y: Any) -> Any:
    if np.count_nonzero(np.asarray(y) < 0):
        raise ValueError("pow: integers to negative integer powers are not integers; use .to(tt.float32) first")
    return np.power(x, y, dtype=np.int64) if np.asarray(x).dtype == np.bool_ else np.power(x, y)


@op(kernel="pow")
def _pow(x: Array, y: Array) -> Any:
    return binary(_POW, x, y, "pow", _integer_power)


@_pow.rule
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    return pow_grad_base(g, x, y) if needs[0] else None, pow_grad_exponent(g, x, y) if needs[1] else None


def _doubled(v: Any, g: Any) -> Any:
    """A Python number as a 0-d double, so that arithmetic on it alone is not rounded to the default dtype; beside a 0-d gradient,
    which it would widen, in that one's dtype."""
    return np.asarray(v, np.float64 if g.ndim else g.dtype) if isinstance(v, (int, float)) else v


@op
def pow_grad_base(g: Array, x: Array, y: Array) -> Any:
    """g y x^(y-1), and 0 where y = 0."""
    dtype = g.dtype
    return ternary(K["pow_grad_base"], g, *(v if isinstance(v, float) else cast_to(v, dtype, "pow") for v in (x, y)))


@pow_grad_base.rule
def _(u: Any, g: Any, x: Any, y: Any, needs: Any) -> Any:
    x, y = _doubled(x, g), _doubled(y, g)
    ug = grad_mul(g, u)
    y1 = sub(y, 1)
    dx = grad_mul(mul(ug, y), where(eq(y, 1), 0.0, mul(y1, pow(x, sub(y, 2))))) if needs[1] else None
    positive = gt(x, 0)
    log_x = log(where(positive, x, 1.0))
    power = where(eq(y, 0), 0.0, pow(x, y1))
    dy = grad_mul(ug, add(power, where(positive, mul(mul(power, y), log_x), 0.0))) if needs[2] else None
    return pow_grad_base(u, x, y) if needs[0] else None, dx, dy


@op
def pow_grad_exponent(g: Array, x: Array, y: Array) -> Any:
    """g x^y log x, and 0 where x = 0 and y >= 0."""
    dtype = g.dtype
    return ternary(
        K["pow_grad_exponent"], g, *(v if isinstance(v, float) else cast_to(v, dtype, "pow") for v in (x, y))
    )


@pow_grad_exponent.rule
def _(u: Any, g: Any, x: Any, y: Any, needs: Any) -> Any:
    x, y = _doubled(x, g), _doubled(y, g)
    ug = grad_mul(g, u)
    positive = gt(x, 0)
    log_x = log(where(positive, x, 1.0))
    power = where(eq(y, 0), 0.0, pow(x, sub(y, 1)))
    dx = grad_mul(ug, add(where(positive, mul(mul(power, y), log_x), 0.0), pow(x, sub(y, 1)))) if needs[1] else None
    dy = mul(pow_grad_exponent(ug, x, y), log_x) if needs[2] else None
    return pow_grad_exponent(u, x, y) if needs[0] else None, dx, dy


def pow(x: Array, y: Array) -> Tensor:
    """x to the power y, broadcast; C99's special values. Gradient: g y x^(y-1) to x (0 where y = 0), g x^y log x to y (0 where
    x = 0 and y >= 0). ValueError for integers to a negative power."""
    if type(y) is int or type(y) is float:
        if y == 2 and (
            type(y) is int or getattr(x, "dtype", None) in (float32, float64)
        ):  # an integer to 2.0 is a float
            return square(x)
        if y == 1 and isinstance(x, (Tensor, np.ndarray)) and x.dtype.kind == "f":
            return mul(x, 1.0)
        if y == 0.5:
            return sqrt(x)
        if y == -1 and isinstance(x, (Tensor, np.ndarray)) and x.dtype.kind == "f":
            return reciprocal(x)
    return _pow(x, y)


def rpow(x: Array, y: Array) -> Tensor:
    """y to the power x."""
    return pow(y, x)


def _extreme(name: str, better: Any) -> Any:
    @op
    def gradient(g: Array, x: Array, y: Array) -> Any:
        dtype = np.asarray(g).dtype
        return ternary(
            K[f"{name}_grad"], g, *(v if isinstance(v, (float, int)) else cast_to(v, dtype, name) for v in (x, y))
        )

    gradient.__name__ = f"{name}_grad"

    @gradient.rule
    def _(u: Any, x: Any, y: Any) -> Any:
        return gradient(u, x, y), None, None

    return gradient


maximum_grad = _extreme("maximum", np.maximum)
minimum_grad = _extreme("minimum", np.minimum)


@op(kernel="maximum")
def maximum(x: Array, y: Array) -> Any:
    """The larger of x and y, broadcast; NaN where either is. Gradient: g to the larger, half to each of equals."""
    return binary(K["maximum"], x, y, "maximum", np.maximum)


@maximum.rule
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    return maximum_grad(g, x, y) if needs[0] else None, maximum_grad(g, y, x) if needs[1] else None


@op(kernel="minimum")
def minimum(x: Array, y: Array) -> Any:
    """The smaller of x and y, broadcast; NaN where either is. Gradient: g to the smaller, half to each of equals."""
    return binary(K["minimum"], x, y, "minimum", np.minimum)


@minimum.rule
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    return minimum_grad(g, x, y) if needs[0] else None, minimum_grad(g, y, x) if needs[1] else None


@op
def where(condition: Array, x: Array, y: Array) -> Any:
    """x where the condition (bool) holds, else y, broadcast. Gradient: g to the chosen one, exactly 0 to the other."""
    c = np.asarray(condition)
    if c.dtype != np.bool_:
        raise TypeError(f"where: expected a bool condition, got {c.dtype}; compare it with something first")
    dtype = result_type(x, y)
    if dtype.kind != "f":
        return np.where(c, cast_to(x, dtype, "where"), cast_to(y, dtype, "where"))
    arrays = [cast_to(v, dtype, "where") if isinstance(v, np.ndarray) else float(v) for v in (x, y)]
    if not any(isinstance(v, np.ndarray) for v in arrays):
        arrays[0] = np.asarray(arrays[0], dtype)
    return ternary(K["where"], c, *arrays)


@where.rule
def _(g: Any, condition: Any, needs: Any) -> Any:
    return None, where(condition, g, 0.0) if needs[1] else None, where(condition, 0.0, g) if needs[2] else None


# -------------------------------------------------------------------------------------------------------- one argument
def _integer_unary(code: int, x: Any, name: str, integer: Any) -> Any:
    try:
        return _kernels.map1(code, x)
    except TypeError:
        a = array_of(x, name)
        if a.dtype.kind == "f":
            return _kernels.map1(code, a)
        if a.dtype.kind == "b" and integer in (np.square, np.sign):  # NumPy: int8, and an error
            return a.astype(np.int64) if integer is np.square else a.copy()
        return np.asarray(integer(a))


@op(kernel="neg")
def neg(x: Array) -> Any:
    """-x. Gradient: -g. TypeError for bools."""
    if getattr(x, "dtype", None) == np.bool_:
        raise TypeError("neg: bool tensors have no negative; use logical_not, or .to(tt.int64)")
    return _integer_unary(K["neg"], x, "neg", np.negative)


@neg.rule
def _(g: Any) -> Any:
    return neg(g)


@op(kernel="abs")
def abs(x: Array) -> Any:
    """|x|. Gradient: g sign(x), 0 at 0."""
    return _integer_unary(K["abs"], x, "abs", np.abs)


@abs.rule
def _(g: Any, x: Any) -> Any:
    return abs_grad(g, x)


@op(kernel="abs_grad")
def abs_grad(g: Array, x: Array) -> Any:
    """g sign(x)."""
    return ternary(K["abs_grad"], g, x, x)


@abs_grad.rule
def _(u: Any, x: Any) -> Any:
    return abs_grad(u, x), None


@op(kernel="sign")
def sign(x: Array) -> Any:
    """-1, 0 or 1; NaN stays. Gradient: 0."""
    return _integer_unary(K["sign"], x, "sign", np.sign)


@sign.rule
def _(g: Any) -> Any:
    return mul(g, 0.0)


@op(kernel="exp")
def exp(x: Array) -> Any:
    """e^x. Gradient: g e^x."""
    return unary(K["exp"], x, "exp")


@exp.rule
def _(g: Any, out: Any) -> Any:
    return grad_mul(g, out)


@op(kernel="log")
def log(x: Array) -> Any:
    """Natural logarithm; -inf at 0, NaN below. Gradient: g / x."""
    return unary(K["log"], x, "log")


@log.rule
def _(g: Any, x: Any) -> Any:
    return grad_div(g, x)


@op(kernel="log1p")
def log1p(x: Array) -> Any:
    """log(1 + x), accurate near 0. Gradient: g / (1 + x)."""
    return unary(K["log1p"], x, "log1p")


@log1p.rule
def _(g: Any, x: Any) -> Any:
    return log1p_grad(g, x)


@op(kernel="log1p_grad")
def log1p_grad(g: Array, x: Array) -> Any:
    """g / (1 + x)."""
    return ternary(K["log1p_grad"], g, x, x)


@log1p_grad.rule
def _(u: Any, g: Any, x: Any) -> Any:
    return log1p_grad(u, x), neg(log1p_grad(log1p_grad(grad_mul(g, u), x), x))


@op(kernel="expm1")
def expm1(x: Array) -> Any:
    """e^x - 1, accurate near 0. Gradient: g e^x."""
    return unary(K["expm1"], x, "expm1")


@expm1.rule
def _(g: Any, out: Any) -> Any:
    return expm1_grad(g, out)


@op(kernel="expm1_grad")
def expm1_grad(g: Array, out: Array) -> Any:
    """g (out + 1)."""
    return ternary(K["expm1_grad"], g, out, out)


@expm1_grad.rule
def _(u: Any, g: Any, out: Any) -> Any:
    return expm1_grad(u, out), grad_mul(g, u)


@op(kernel="sqrt")
def sqrt(x: Array) -> Any:
    """Square root, NaN below 0. Gradient: g / (2 sqrt(x)), inf at 0."""
    return unary(K["sqrt"], x, "sqrt")


@sqrt.rule
def _(g: Any, out: Any) -> Any:
    return sqrt_grad(g, out)


@op(kernel="sqrt_grad")
def sqrt_grad(g: Array, out: Array) -> Any:
    """g / (2 out)."""
    return ternary(K["sqrt_grad"], g, out, out)


@sqrt_grad.rule
def _(u: Any, g: Any, out: Any) -> Any:
    return sqrt_grad(u, out), neg(grad_div(sqrt_grad(grad_mul(g, u), out), out))


@op(kernel="rsqrt")
def rsqrt(x: Array) -> Any:
    """1 / sqrt(x). Gradient: -g x^(-3/2) / 2."""
    return unary(K["rsqrt"], x, "rsqrt")


@rsqrt.rule
def _(g: Any, out: Any) -> Any:
    return rsqrt_grad(g, out)


@op(kernel="rsqrt_grad")
def rsqrt_grad(g: Array, out: Array) -> Any:
    """-g out^3 / 2."""
    return ternary(K["rsqrt_grad"], g, out, out)


@rsqrt_grad.rule
def _(u: Any, g: Any, out: Any) -> Any:
    return rsqrt_grad(u, out), grad_mul(mul(grad_mul(g, u), -1.5), square(out))


@op(kernel="square")
def square(x: Array) -> Any:
    """x^2. Gradient: 2 g x."""
    return _integer_unary(K["square"], x, "square", np.square)


@square.rule
def _(g: Any, x: Any) -> Any:
    return square_grad(g, x)


@op(kernel="square_grad")
def square_grad(g: Array, x: Array) -> Any:
    """2 g x."""
    return ternary(K["square_grad"], g, x, x)


@square_grad.rule
def _(u: Any, g: Any, x: Any) -> Any:
    return square_grad(u, x), square_grad(u, g)


@op(kernel="reciprocal")
def reciprocal(x: Array) -> Any:
    """1 / x. Gradient: -g / x^2."""
    return unary(K["reciprocal"], x, "reciprocal")


@reciprocal.rule
def _(g: Any, out: Any) -> Any:
    return reciprocal_grad(g, out)


@op(kernel="reciprocal_grad")
def reciprocal_grad(g: Array, out: Array) -> Any:
    """-g out^2."""
    return ternary(K["reciprocal_grad"], g, out, out)


@reciprocal_grad.rule
def _(u: Any, g: Any, out: Any) -> Any:
    return reciprocal_grad(u, out), neg(grad_mul(grad_mul(g, u), add(out, out)))


@op(kernel="sin")
def sin(x: Array) -> Any:
    """Sine of radians. Gradient: g cos(x)."""
    return unary(K["sin"], x, "sin")


@sin.rule
def _(g: Any, x: Any) -> Any:
    return grad_mul(g, cos(x))


@op(kernel="cos")
def cos(x: Array) -> Any:
    """Cosine of radians. Gradient: -g sin(x)."""
    return unary(K["cos"], x, "cos")


@cos.rule
def _(g: Any, x: Any) -> Any:
    return neg(grad_mul(g, sin(x)))


@op(kernel="tanh")
def tanh(x: Array) -> Any:
    """Hyperbolic tangent. Gradient: g (1 - tanh(x)^2)."""
    return unary(K["tanh"], x, "tanh")


@tanh.rule
def _(g: Any, out: Any) -> Any:
    return tanh_grad(g, out)


@op(kernel="tanh_grad")
def tanh_grad(g: Array, out: Array) -> Any:
    """g (1 - out^2)."""
    return ternary(K["tanh_grad"], g, out, out)


@tanh_grad.rule
def _(u: Any, g: Any, out: Any) -> Any:
    return tanh_grad(u, out), neg(mul(mul(u, g), add(out, out)))


@op(kernel="sigmoid")
def sigmoid(x: Array) -> Any:
    """1 / (1 + e^-x). Gradient: g s (1 - s)."""
    return unary(K["sigmoid"], x, "sigmoid")


@sigmoid.rule
def _(g: Any, out: Any) -> Any:
    return sigmoid_grad(g, out)


@op(kernel="sigmoid_grad")
def sigmoid_grad(g: Array, out: Array) -> Any:
    """g out (1 - out)."""
    return ternary(K["sigmoid_grad"], g, out, out)


@sigmoid_grad.rule
def _(u: Any, g: Any, out: Any) -> Any:
    return sigmoid_grad(u, out), mul(mul(u, g), sub(1.0, add(out, out)))


@op(kernel="erf")
def erf(x: Array) -> Any:
    """The error function. Gradient: g 2 / sqrt(pi) e^(-x^2)."""
    return unary(K["erf"], x, "erf")


@erf.rule
def _(g: Any, x: Any) -> Any:
    return erf_grad(g, x)


@op(kernel="erf_grad")
def erf_grad(g: Array, x: Array) -> Any:
    """g 2 / sqrt(pi) e^(-x^2)."""
    return ternary(K["erf_grad"], g, x, x)


@erf_grad.rule
def _(u: Any, g: Any, x: Any) -> Any:
    d = erf_grad(u, x)
    return d, grad_mul(mul(d, g), mul(x, -2.0))


@op
def _clamp(x: Array, low: float, high: float) -> Any:
    return unary(K["clamp"], x, "clamp", low, high)


@_clamp.rule
def _(g: Any, x: Any, low: float, high: float) -> Any:
    return clamp_grad(g, x, low, high)


@op
def clamp_grad(g: Array, x: Array, low: float, high: float) -> Any:
    """g where low <= x <= high, else 0."""
    return _kernels.map3(K["clamp_grad"], g, x, x, low, high)


@clamp_grad.rule
def _(u: Any, x: Any, low: float, high: float) -> Any:
    return clamp_grad(u, x, low, high), None


def clamp(x: Array, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max] (numbers or tensors; where min > max, max). NaN stays. Gradient: g inside and at the bounds; outside
    to the bound, where it is a tensor."""
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    if isinstance(min, (Tensor, np.ndarray)) or isinstance(max, (Tensor, np.ndarray)):
        if min is not None:  # not maximum: at the bound x has all of g; the second condition lets a NaN of x stay
            x = where(logical_or(ge(x, min), ne(x, x)), x, min)
        return x if max is None else where(logical_or(le(x, max), ne(x, x)), x, max)
    a = x._data if isinstance(x, Tensor) else np.asarray(x)
    if a.dtype.kind != "f":
        whole = all(b is None or isinstance(b, int) for b in (min, max))
        r: Any = np.clip(a, min, max) if whole else np.clip(as_float(a, "clamp"), min, max)
        return Tensor._new(r) if isinstance(x, Tensor) else r
    return _clamp(x, -math.inf if min is None else float(min), math.inf if max is None else float(max))


@op
def cast(x: Array, dtype: Any) -> Any:
    """x in another dtype. Gradient: g in the dtype of x."""
    return cast_to(x, check_dtype(dtype, "to"), "to")


@cast.rule
def _(g: Any) -> Any:
    return g


# --------------------------------------------------------------------------------------------- comparisons, no gradient
def _compared(name: str, function: Any, text: str) -> Any:
    logical = name.startswith("logical")

    def forward(x: Array, y: Array) -> Any:
        if logical:  # NumPy's give Python objects themselves back
            x, y = array_of(x, name), array_of(y, name)
        try:
            return np.asarray(function(x, y))
        except ValueError:
            raise ValueError(
                f"{name}: shapes {np.shape(x)} and {np.shape(y)} cannot be broadcast together: sizes must be equal or 1, "
                "counted from the last dimension"
            ) from None

    forward.__name__ = name
    forward.__doc__ = f"{text}, broadcast -> bool. No gradient."
    return op(forward)


eq = _compared("eq", np.equal, "x == y")
ne = _compared("ne", np.not_equal, "x != y")
lt = _compared("lt", np.less, "x < y")
le = _compared("le", np.less_equal, "x <= y")
gt = _compared("gt", np.greater, "x > y")
ge = _compared("ge", np.greater_equal, "x >= y")
logical_and = _compared("logical_and", np.logical_and, "both are not 0")
logical_or = _compared("logical_or", np.logical_or, "one is not 0")
logical_xor = _compared("logical_xor", np.logical_xor, "just one is not 0")


def _tested(name: str, function: Any, text: str) -> Any:
    def forward(x: Array) -> Any:
        return np.asarray(function(array_of(x, name)))

    forward.__name__ = name
    forward.__doc__ = f"{text} -> bool. No gradient."
    return op(forward)


logical_not = _tested("logical_not", np.logical_not, "x is 0")
isnan = _tested("isnan", np.isnan, "x is NaN")
isinf = _tested("isinf", np.isinf, "x is inf or -inf")
isfinite = _tested("isfinite", np.isfinite, "x is neither NaN nor infinite")


def _bitwise(name: str, function: Any) -> Any:
    def forward(x: Array, y: Array) -> Any:
        dtype = result_type(x, y)
        if dtype.kind == "f":
            raise TypeError(f"{name}: expected bool or integer tensors, got {dtype}")
        return np.asarray(function(cast_to(x, dtype, name), cast_to(y, dtype, name)))

    forward.__name__ = name
    forward.__doc__ = f"{name} of bool or integer tensors, broadcast. No gradient. TypeError for floats."
    return op(forward)


bitwise_and = _bitwise("bitwise_and", np.bitwise_and)
bitwise_or = _bitwise("bitwise_or", np.bitwise_or)
bitwise_xor = _bitwise("bitwise_xor", np.bitwise_xor)


@op
def bitwise_not(x: Array) -> Any:
    """Bits of a bool or integer tensor, inverted. No gradient. TypeError for floats."""
    x = array_of(x, "bitwise_not")
    if x.dtype.kind == "f":
        raise TypeError(f"bitwise_not: expected a bool or integer tensor, got {x.dtype}")
    return np.asarray(np.invert(x))
