"""More elementary functions, element by element: logarithms, circular and hyperbolic functions, roundings, remainders, and what is
composed of them. Where a slope may be infinite the rules divide by it (grad_div), so that a branch not taken stays out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor, float64, get_default_dtype
from .pointwise import (
    abs,
    add,
    cast,
    clamp,
    cos,
    div,
    eq,
    erf_grad,
    exact,
    exp,
    floor_divide,
    ge,
    grad_div,
    grad_mul,
    gt,
    isinf,
    le,
    log,
    log1p,
    logical_and,
    logical_or,
    lt,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    rounded,
    sigmoid,
    sign,
    sqrt,
    square,
    sub,
    trunc,
    where,
)
from .product import matmul
from .promotion import array_of, cast_to, result_type, unary

K = _kernels.OPS
LN2 = math.log(2)


def _floats(name: str, *values: Any) -> list[Any]:
    """Values as arrays of the float dtype that they promote to."""
    dtype = result_type(*values)
    if dtype.kind != "f":
        dtype = get_default_dtype()
    return [np.asarray(v, dtype) if isinstance(v, (bool, int, float)) else cast_to(v, dtype, name) for v in values]


def _signed(fresh: Any, x: Any) -> Any:
    """A new array with the signs of x, those of zeros too."""
    return np.copysign(fresh, x, out=fresh)


def _like(v: Any, g: Any) -> Any:
    """An argument in the dtype of g, in which the value was computed."""
    if isinstance(v, (bool, int, float)):
        return np.asarray(v, g.dtype)
    return v if v.dtype == g.dtype else cast(v, g.dtype)


# ------------------------------------------------------------------------------------------------ logarithms and powers
@op(kernel="log2")
def log2(x: Array) -> Any:
    """Logarithm to base 2, exact at powers of 2; -inf at 0, NaN below. Gradient: g / (x log 2)."""
    return unary(K["log2"], x, "log2")


@log2.rule
def _(g: Any, x: Any) -> Any:
    return grad_div(g, mul(x, LN2))


@op(kernel="log10")
def log10(x: Array) -> Any:
    """Logarithm to base 10; -inf at 0, NaN below. Gradient: g / (x log 10)."""
    return unary(K["log10"], x, "log10")


@log10.rule
def _(g: Any, x: Any) -> Any:
    return grad_div(g, mul(x, math.log(10)))


@op(kernel="exp2")
def exp2(x: Array) -> Any:
    """2^x, exact at whole numbers. Gradient: g 2^x log 2."""
    return unary(K["exp2"], x, "exp2")


@exp2.rule
def _(g: Any, out: Any) -> Any:
    return grad_mul(mul(g, LN2), out)


@op
def logaddexp(x: Array, y: Array) -> Any:
    """log(e^x + e^y), broadcast, without overflow; equal infinities stay. Gradient: g sigmoid(x - y) to x, g sigmoid(y - x) to y
    (half each at equal infinities)."""
    x, y = _floats("logaddexp", x, y)
    return add(maximum(x, y), log1p(exp(neg(abs(_difference(x, y))))))


def _difference(x: Any, y: Any) -> Any:
    """x - y, and 0 for equal infinities."""
    return where(logical_and(isinf(x), eq(x, y)), 0.0, sub(x, y))


@logaddexp.rule
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    d = _difference(x, y)
    return grad_mul(g, sigmoid(d)) if needs[0] else None, grad_mul(g, sigmoid(neg(d))) if needs[1] else None


@op
def logaddexp2(x: Array, y: Array) -> Any:
    """log2(2^x + 2^y), broadcast, without overflow; equal infinities stay. Gradient: g / (1 + 2^(y - x)) to x, g / (1 + 2^(x - y))
    to y (half each at equal infinities)."""
    x, y = _floats("logaddexp2", x, y)
    return add(maximum(x, y), mul(log1p(exp2(neg(abs(_difference(x, y))))), 1 / LN2))


@logaddexp2.rule
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    d = _difference(x, y)  # sigmoid(d log 2) would round the product
    dx = grad_div(g, add(exp2(neg(d)), 1.0)) if needs[0] else None
    return dx, grad_div(g, add(exp2(d), 1.0)) if needs[1] else None


@op
def xlogy(x: Array, y: Array) -> Any:
    """x log(y), broadcast, and 0 where x = 0 unless y is NaN. Gradient: g log(y) to x (0 where x = 0 and y <= 0), g x / y to y
    (0 where x = 0)."""
    x, y = _floats("xlogy", x, y)
    return where(logical_and(eq(x, 0.0), eq(y, y)), 0.0, mul(x, log(y)))


@xlogy.rule
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    y = _like(y, g)
    dead = logical_and(eq(x, 0.0), le(y, 0.0))
    dx = grad_mul(g, log(where(dead, 1.0, y))) if needs[0] else None
    return dx, grad_div(grad_mul(g, x), y) if needs[1] else None


def float_power(x: Array, y: Array) -> Tensor:
    """x to the power y in float64, broadcast. Gradient: as pow's."""
    doubled = [cast(v, float64) if isinstance(v, (Tensor, np.ndarray)) else float(v) for v in (x, y)]
    return pow(*doubled)


@op
def _logit(x: Array) -> Any:
    (x,) = _floats("logit", x)
    # 2x - 1 is exact around 1/2, where the two logarithms cancel
    middle = logical_and(gt(x, 0.25), lt(x, 0.75))
    return where(middle, mul(atanh(sub(mul(x, 2.0), 1.0)), 2.0), sub(log(x), log1p(neg(x))))


@_logit.rule
def _(g: Any, x: Any) -> Any:
    return grad_div(grad_div(g, x), sub(1.0, x))


def logit(x: Array, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; with eps, of x limited to [eps, 1 - eps]; NaN outside [0, 1].
    Gradient: g / (x (1 - x)), with eps 0 outside its limits."""
    return _logit(x if eps is None else clamp(x, eps, 1 - eps))


@op(kernel="erfc")
def erfc(x: Array) -> Any:
    """1 - erf(x), accurate for large x, too. Gradient: -g 2 / sqrt(pi) e^(-x^2)."""
    return unary(K["erfc"], x, "erfc")


@erfc.rule
def _(g: Any, x: Any) -> Any:
    return neg(erf_grad(g, x))


# ------------------------------------------------------------------------------------------------- circular functions
@op(kernel="tan")
def tan(x: Array) -> Any:
    """Tangent of radians. Gradient: g / cos(x)^2."""
    return unary(K["tan"], x, "tan")


@tan.rule
def _(g: Any, x: Any) -> Any:
    c = cos(x)
    return grad_div(grad_div(g, c), c)


@op(kernel="asin")
def asin(x: Array) -> Any:
    """Inverse sine, in radians; NaN outside [-1, 1]. Gradient: g / sqrt((1 - x) (1 + x)), inf at -1 and 1."""
    return unary(K["asin"], x, "asin")


@asin.rule
def _(g: Any, x: Any) -> Any:
    return grad_div(grad_div(g, sqrt(sub(1.0, x))), sqrt(add(x, 1.0)))


@op(kernel="acos")
def acos(x: Array) -> Any:
    """Inverse cosine, in radians; NaN outside [-1, 1]. Gradient: -g / sqrt((1 - x) (1 + x)), -inf at -1 and 1."""
    return unary(K["acos"], x, "acos")


@acos.rule
def _(g: Any, x: Any) -> Any:
    return neg(grad_div(grad_div(g, sqrt(sub(1.0, x))), sqrt(add(x, 1.0))))


@op(kernel="atan")
def atan(x: Array) -> Any:
    """Inverse tangent, in radians. Gradient: g / (1 + x^2)."""
    return unary(K["atan"], x, "atan")


@atan.rule
def _(g: Any, x: Any) -> Any:
    h = hypot(x, 1.0)  # x^2 might overflow
    return grad_div(grad_div(g, h), h)


@op
def hypot(x: Array, y: Array) -> Any:
    """sqrt(x^2 + y^2), broadcast, without overflow; inf where one is infinite, were the other NaN. Gradient: g x / hypot to x, g y / hypot to y, 0 where both are 0."""
    x, y = _floats("hypot", x, y)
    x, y = abs(x), abs(y)
    most = maximum(x, y)
    ratio = div(minimum(x, y), where(logical_and(gt(most, 0.0), lt(most, math.inf)), most, 1.0))
    out = mul(most, sqrt(add(square(ratio), 1.0)))
    return where(logical_or(isinf(x), isinf(y)), math.inf, out) if np.count_nonzero(np.isnan(out)) else out


@hypot.rule
def _(g: Any, x: Any, y: Any, out: Any, needs: Any) -> Any:
    zero = eq(out, 0.0)
    length = where(zero, 1.0, out)
    return tuple(
        grad_mul(g, where(zero, 0.0, div(v, length))) if need else None for v, need in ((x, needs[0]), (y, needs[1]))
    )


@op
def atan2(y: Array, x: Array) -> Any:
    """The angle of the point (x, y) to the x axis, in radians between -pi and pi, broadcast: atan(y / x) in the right quadrant,
    C99's values at signed zeros and infinities. Gradient: g x / (x^2 + y^2) to y, -g y / (x^2 + y^2) to x, 0 at (0, 0) and at infinity."""
    y, x = _floats("atan2", y, x)
    b, a = abs(y), abs(x)
    most, least = maximum(a, b), minimum(a, b)
    ratio = where(logical_and(eq(a, b), gt(most, 0.0)), 1.0, div(least, where(gt(most, 0.0), most, 1.0)))
    angle = atan(ratio)
    angle = where(gt(b, a), sub(math.pi / 2, angle), angle)
    angle = where(np.signbit(x), sub(math.pi, angle), angle)
    return _signed(angle, y)


@atan2.rule
def _(g: Any, y: Any, x: Any, needs: Any) -> Any:
    most = maximum(abs(x), abs(y))  # NaN beside infinity, too
    zero = logical_or(eq(most, 0.0), isinf(most))
    length = where(zero, 1.0, hypot(x, y))
    dy = grad_mul(g, where(zero, 0.0, div(div(x, length), length))) if needs[0] else None
    return dy, neg(grad_mul(g, where(zero, 0.0, div(div(y, length), length)))) if needs[1] else None


def rad2deg(x: Array) -> Tensor:
    """Radians as degrees: x 180 / pi."""
    return mul(x, 180 / math.pi)


def deg2rad(x: Array) -> Tensor:
    """Degrees as radians: x pi / 180."""
    return mul(x, math.pi / 180)


# ------------------------------------------------------------------------------------------------ hyperbolic functions
@op(kernel="sinh")
def sinh(x: Array) -> Any:
    """Hyperbolic sine. Gradient: g cosh(x)."""
    return unary(K["sinh"], x, "sinh")


@sinh.rule
def _(g: Any, x: Any) -> Any:
    return grad_mul(g, cosh(x))


@op(kernel="cosh")
def cosh(x: Array) -> Any:
    """Hyperbolic cosine. Gradient: g sinh(x)."""
    return unary(K["cosh"], x, "cosh")


@cosh.rule
def _(g: Any, x: Any) -> Any:
    return grad_mul(g, sinh(x))


def _huge(x: Any) -> float:
    """Above it 1 + x^2 is x^2, in x's dtype."""
    return 2.0**14 if x.dtype == np.float32 else 2.0**28


@op
def asinh(x: Array) -> Any:
    """Inverse hyperbolic sine, accurate near 0 and without overflow. Gradient: g / sqrt(1 + x^2)."""
    (x,) = _floats("asinh", x)
    a = abs(x)
    large = gt(a, _huge(x))
    s = where(large, 1.0, square(a))
    small = log1p(add(a, div(s, add(sqrt(add(s, 1.0)), 1.0))))
    r = where(large, add(log(a), LN2), small)
    return _signed(r, x)


@asinh.rule
def _(g: Any, x: Any) -> Any:
    return grad_div(g, hypot(x, 1.0))


@op
def acosh(x: Array) -> Any:
    """Inverse hyperbolic cosine, accurate near 1 and without overflow; NaN below 1. Gradient: g / sqrt((x - 1) (x + 1)), inf at 1."""
    (x,) = _floats("acosh", x)
    t = sub(where(lt(x, 1.0), math.nan, x), 1.0)
    small = log1p(add(t, sqrt(mul(t, add(t, 2.0)))))
    return where(gt(x, _huge(x)), add(log(x), LN2), small)


@acosh.rule
def _(g: Any, x: Any) -> Any:
    return grad_div(grad_div(g, sqrt(sub(x, 1.0))), sqrt(add(x, 1.0)))


@op
def atanh(x: Array) -> Any:
    """Inverse hyperbolic tangent, accurate near 0; -inf at -1, inf at 1, NaN outside. Gradient: g / ((1 - x) (1 + x)), inf at -1 and 1."""
    (x,) = _floats("atanh", x)
    a = abs(x)
    t, rest = add(a, a), sub(1.0, a)
    small = add(t, div(mul(t, a), rest))  # 2a / (1 - a), with less rounding
    r = mul(log1p(where(lt(a, 0.5), small, div(t, rest))), 0.5)
    return _signed(r, x)


@atanh.rule
def _(g: Any, x: Any) -> Any:
    return grad_div(grad_div(g, sub(1.0, x)), add(x, 1.0))


# ------------------------------------------------------------------------------------------------------------ rounding
def _whole(name: str, function: Any, text: str) -> Any:
    def forward(x: Array) -> Any:
        return rounded(name, function, x)

    forward.__name__ = name
    forward.__doc__ = f"{text}; integers stay. Gradient: 0."
    made = op(forward)

    @made.rule
    def _(g: Any) -> Any:
        return mul(g, 0.0)

    return made


floor = _whole("floor", np.floor, "The largest whole number not above x")
ceil = _whole("ceil", np.ceil, "The smallest whole number not below x")


@op
def _round(x: Array, decimals: int) -> Any:
    if decimals == 0:
        return rounded("round", np.rint, x)
    if array_of(x, "round").dtype.kind != "f":
        raise TypeError("round: integer tensors take no decimals; use .to(tt.float32)")
    scale = 10.0 ** max(decimals, -decimals)
    down, up = (mul, div) if decimals > 0 else (div, mul)
    return up(rounded("round", np.rint, down(x, scale)), scale)


@_round.rule
def _(g: Any) -> Any:
    return mul(g, 0.0)


def round(x: Array, *, decimals: int = 0) -> Tensor:
    """The nearest whole number, the even one of two; or the nearest multiple of 10^-decimals, as round(x 10^decimals) /
    10^decimals. Integers stay, and take no decimals (TypeError). Gradient: 0."""
    return _round(x, decimals)


def frac(x: Array) -> Tensor:
    """x - trunc(x), with the sign of x. Gradient: g."""
    return sub(x, trunc(x))


@op
def fmod(x: Array, y: Array) -> Any:
    """The remainder of x / y rounded towards 0, with the sign of x (C's fmod), broadcast; exact; integers stay integers.
    Gradient: g to x, -g trunc(x / y) to y. ZeroDivisionError for an integer over 0; NaN for a float over 0."""
    return exact("fmod", np.fmod, x, y)


@fmod.rule
def _(g: Any, x: Any, y: Any, out: Any, needs: Any) -> Any:
    return g, neg(grad_mul(g, _round(div(sub(x, out), y), 0))) if needs[1] else None


@op
def remainder(x: Array, y: Array) -> Any:
    """x - y floor(x / y), the remainder with the sign of y (Python's %), broadcast; integers stay integers. Gradient: g to x,
    -g floor(x / y) to y. ZeroDivisionError for an integer over 0; NaN for a float over 0."""
    return exact("remainder", np.remainder, x, y)


@remainder.rule
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    return g, neg(grad_mul(g, floor_divide(x, y))) if needs[1] else None


def rfloor_divide(x: Array, y: Array) -> Tensor:
    """y // x."""
    return floor_divide(y, x)


def rremainder(x: Array, y: Array) -> Tensor:
    """y % x."""
    return remainder(y, x)


# ---------------------------------------------------------------------------------------------------- signs and limits
@op
def copysign(x: Array, y: Array) -> Any:
    """|x| with the sign of y (of -0.0, too), broadcast. Gradient: g or -g to x, as its sign stays or not, 0 at x = 0; 0 to y."""
    return exact("copysign", np.copysign, x, y, "f")


@copysign.rule
def _(g: Any, x: Any, y: Any, needs: Any) -> Any:
    dx = grad_mul(g, mul(sign(_like(x, g)), copysign(1.0, _like(y, g)))) if needs[0] else None
    return dx, mul(g, 0.0) if needs[1] else None


def _tested(name: str, function: Any, text: str) -> Any:
    def forward(x: Array) -> Any:
        return np.asarray(function(array_of(x, name)))

    forward.__name__ = name
    forward.__doc__ = f"{text} -> bool. No gradient."
    return op(forward)


signbit = _tested("signbit", lambda a: np.signbit(a) if a.dtype.kind == "f" else a < 0, "x is below 0, or -0.0")
isposinf = _tested("isposinf", lambda a: a == math.inf, "x is inf")
isneginf = _tested("isneginf", lambda a: a == -math.inf, "x is -inf")


@op
def heaviside(x: Array, values: Array) -> Any:
    """0 where x < 0, `values` where x = 0, 1 where x > 0, broadcast; NaN stays. No gradient."""
    x, values = _floats("heaviside", x, values)
    return where(eq(x, 0.0), values, mul(add(sign(x), 1.0), 0.5))


@op
def nan_to_num(x: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with NaN, inf and -inf replaced by numbers: `nan`, `posinf` and `neginf` (None: the largest and smallest of the dtype);
    integers stay. Gradient: g where x is finite, else 0."""
    a: Any = array_of(x, "nan_to_num")
    if a.dtype.kind != "f":
        return a.copy()
    limit = np.finfo(a.dtype).max
    a = where(eq(a, math.inf), np.asarray(limit if posinf is None else posinf, a.dtype), a)
    a = where(eq(a, -math.inf), np.asarray(-limit if neginf is None else neginf, a.dtype), a)
    return where(ge(a, -math.inf), a, np.asarray(nan, a.dtype))


@nan_to_num.rule
def _(g: Any, x: Any) -> Any:
    return where(lt(abs(x), math.inf), g, 0.0)


def clamp_min(x: Array, min: Any) -> Tensor:
    """clamp with a lower limit alone."""
    return clamp(x, min=min)


def clamp_max(x: Array, max: Any) -> Tensor:
    """clamp with an upper limit alone."""
    return clamp(x, max=max)


def positive(x: Array) -> Tensor:
    """x itself. TypeError for bools."""
    if array_of(x._data if isinstance(x, Tensor) else x, "positive").dtype.kind == "b":
        raise TypeError("positive: bool tensors have no sign; use .to(tt.int64)")
    return x  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------------------------------- comparison
@op
def isclose(x: Array, y: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """x = y, or both finite with |x - y| <= atol + rtol |y|; with equal_nan also both NaN, broadcast -> bool. No gradient.
    ValueError for a negative tolerance."""
    if rtol < 0 or atol < 0:
        raise ValueError(f"isclose: rtol and atol must not be negative, got {rtol} and {atol}")
    if result_type(x, y).kind == "f":
        x, y = _floats("isclose", x, y)
    else:  # integers may be too large for float32
        x, y = cast_to(x, float64, "isclose"), cast_to(y, float64, "isclose")
    distance = abs(sub(x, y))
    close = eq(x, y) | (le(distance, add(abs(mul(y, rtol)), atol)) & lt(distance, math.inf))
    return np.asarray(close | (np.isnan(x) & np.isnan(y)) if equal_nan else close)


def allclose(x: Array, y: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether isclose holds for all elements -> a Python bool."""
    close = isclose(x, y, rtol, atol, equal_nan)
    return bool((close._data if isinstance(close, Tensor) else close).all())


def equal(x: Array, y: Array) -> bool:
    """Whether shapes and all elements are equal (NaN is not equal to itself) -> a Python bool."""
    a, b = (np.asarray(v._data if isinstance(v, Tensor) else v) for v in (x, y))
    return a.shape == b.shape and bool((a == b).all())


# ------------------------------------------------------------------------------------------------------------ mixtures
@op
def lerp(x: Array, end: Array, weight: Array) -> Any:
    """x + weight (end - x), broadcast; from the nearer end, so that weight 0 gives x and weight 1 gives end. Gradient:
    g (1 - weight) to x, g weight to end, g (end - x) to weight. TypeError for integers."""
    if result_type(x, end).kind != "f":
        raise TypeError("lerp: expected float tensors; use .to(tt.float32)")
    x, end, weight = _floats("lerp", x, end, weight)
    d = sub(end, x)
    return where(lt(abs(weight), 0.5), add(x, mul(weight, d)), sub(end, mul(d, sub(1.0, weight))))


@lerp.rule(x="weight", end="weight")
def _(g: Any, x: Any, end: Any, weight: Any, needs: Any) -> Any:
    weight = _like(weight, g)
    return (
        grad_mul(g, sub(1.0, weight)) if needs[0] else None,
        grad_mul(g, weight) if needs[1] else None,
        grad_mul(g, sub(end, x)) if needs[2] else None,
    )


def _scaled(x: Any, by: float) -> Any:
    return x if by == 1 else mul(x, by)


def _multiplied(name: str, dims: int, x: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
    if a.ndim != dims or b.ndim != dims:
        raise ValueError(
            f"{name}: expected two tensors of {dims} dimensions, got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    product = _scaled(matmul(a, b), alpha)
    shape = tuple(product.shape)
    given = np.shape(x._data if isinstance(x, Tensor) else x)
    if len(given) > dims or any(m not in (1, n) for m, n in zip(given[::-1], shape[::-1])):
        raise ValueError(f"{name}: input of shape {given} cannot be broadcast to the product's {shape}")
    # beta = 0 leaves the input out, NaN and all
    return add(_scaled(x, beta), product) if beta != 0 else product


def addmm(x: Array, mat1: Array, mat2: Array, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha (mat1 @ mat2) of matrices, x broadcast; beta = 0 leaves x out. Gradient: of its parts."""
    return _multiplied("addmm", 2, x, mat1, mat2, beta, alpha)  # type: ignore[no-any-return]


def baddbmm(x: Array, batch1: Array, batch2: Array, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta x + alpha (batch1 @ batch2) of batches of matrices, x broadcast; beta = 0 leaves x out. Gradient: of its parts."""
    return _multiplied("baddbmm", 3, x, batch1, batch2, beta, alpha)  # type: ignore[no-any-return]


def _in_one_dtype(x: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """a and b in the dtype of the result: a product in float32 might overflow before it is added to a double."""
    if getattr(x, "dtype", None) is getattr(a, "dtype", None) is getattr(b, "dtype", None):
        return a, b
    dtype = result_type(*(v._data if isinstance(v, Tensor) else v for v in (x, a, b)))
    return tuple(v if isinstance(v, (int, float)) or v.dtype == dtype else cast(v, dtype) for v in (a, b))  # type: ignore[return-value]


def addcmul(x: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Tensor:
    """x + value tensor1 tensor2, broadcast, all in the dtype that the three promote to. Gradient: of its parts."""
    a, b = _in_one_dtype(x, tensor1, tensor2)
    return add(x, _scaled(mul(a, b), value))


def addcdiv(x: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Tensor:
    """x + value tensor1 / tensor2, broadcast, all in the dtype that the three promote to. Gradient: of its parts."""
    a, b = _in_one_dtype(x, tensor1, tensor2)
    return add(x, _scaled(div(a, b), value))
