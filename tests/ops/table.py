"""The table of ops: one row (or several) for each public op, each rule and each elementwise kernel.

A row says how to call the op, what it should give (NumPy in float64, or the meaning in plain Python), and which inputs it
takes. Everything else (dtypes, strides, sizes, NaN, gradients of both orders) is the runner's work, in check.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import _kernels
from tinytensor.ops import PUBLIC, activation, index, loss, pointwise, product

# a row is a line
# fmt: off
Shapes = tuple[tuple[int, ...], ...]

UNARY: tuple[Shapes, ...] = (((3, 4),), ((5,),), ((2, 3, 2),), ((),), ((1,),), ((0,),), ((3, 0),))
BINARY: tuple[Shapes, ...] = (
    ((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (3,)), ((2, 3), ()), ((2, 1, 3), (4, 1)), ((1,), (1,)), ((), ()),
    ((0,), (0,)), ((0,), (1,)), ((3, 0), (1, 1)), ((3, 1), (0,)),
)
TERNARY: tuple[Shapes, ...] = (
    ((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), (1, 1)), ((), (3,), ()), ((2, 3), (), (3,)), ((1,), (1,), (1,)), ((), (), ()),
    ((0,), (0,), (1,)), ((3, 0), (1, 1), ()),
)


@dataclass(frozen=True)
class Row:
    """name: a public op, or an op that a rule is made of. domains: what each input is drawn from (see check.DOMAINS).
    kernels: the elementwise kernels that a call must reach. grads: the inputs that have a gradient; () for none. nan: whether
    NaN in each input must show. dtype: of the result, where it is not the inputs'. ulps: of the result, over `scale`.
    wide: a range over which the value is checked, too. gradgrad: whether the second derivative is checked."""

    name: str
    call: Callable[..., Any]
    reference: Callable[..., Any]
    domains: tuple[str, ...]
    shapes: tuple[Shapes, ...]
    label: str = ""
    kernels: tuple[str, ...] = ()
    grads: tuple[int, ...] = ()
    nan: tuple[int, ...] = ()
    elementwise: bool = False
    dtype: str = ""
    dtypes: tuple[str, ...] = ("float32", "float64")
    ulps: float = 2.0
    scale: float = 0.0
    wide: tuple[float, float] | None = None
    gradgrad: bool = True
    arrays: bool = True
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """What pytest calls it."""
        return self.name + (f"-{self.label}" if self.label else "")


ROWS: list[Row] = []


def row(name: str, reference: Any, domains: str, shapes: Any, call: Any = None, **more: Any) -> None:
    """Add a row; by default every float input has a gradient and shows NaN."""
    each = tuple(domains.split())
    floats = tuple(i for i, d in enumerate(each) if d not in ("int", "bool", "small"))
    more = {"grads": floats, "nan": floats, "kernels": (name,) if name in _kernels.OPS else (), **more}
    ROWS.append(Row(name, call or PUBLIC[name], reference, each, tuple(shapes), **more))


def elementwise(name: str, reference: Any, domains: str, call: Any = None, **more: Any) -> None:
    """Add a row of an op that works element by element."""
    shapes = (UNARY, BINARY, TERNARY)[len(domains.split()) - 1]
    row(name, reference, domains, shapes, call, **{"elementwise": True, **more})


# ------------------------------------------------------------------------------------------------------- references
def vector(function: Callable[[float], float]) -> Callable[[Any], Any]:
    """A function of one float, over an array."""
    return np.vectorize(function, otypes=[np.float64])


erf = vector(math.erf)


def normcdf(x: Any) -> Any:
    """0.5 erfc(-x / sqrt(2)), with what the rounding of the argument lost added to first order."""
    exact = -x.astype(np.longdouble) / np.sqrt(np.longdouble(2))
    z = exact.astype(np.float64)
    lost = (exact - z).astype(np.float64)
    return 0.5 * (vector(math.erfc)(z) - 2 / math.sqrt(math.pi) * np.exp(-z * z) * lost)



def sigmoid(x: Any) -> Any:
    """Without overflow."""
    return np.where(x < 0, np.exp(np.minimum(x, 0)) / (1 + np.exp(np.minimum(x, 0))), 1 / (1 + np.exp(-np.maximum(x, 0)))) + 0 * x


def density(x: Any) -> Any:
    """The normal distribution's."""
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def gelu_tanh(x: Any) -> Any:
    return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def gelu_tanh_slope(x: Any) -> Any:
    c = 2 * math.sqrt(2 / math.pi)
    s = sigmoid(c * (x + 0.044715 * x**3))
    return s + x * s * (1 - s) * c * (1 + 0.134145 * x * x)


def soft_slope(x: Any) -> Any:
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def softmax(x: Any, dim: int = -1) -> Any:
    e = np.exp(x - x.max(dim, keepdims=True)) if x.size else x
    return e / e.sum(dim, keepdims=True)


def log_softmax(x: Any, dim: int = -1) -> Any:
    return x - logsumexp(x, dim, True)


def logsumexp(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    m = x.max(dim, keepdims=True, initial=-np.inf)
    shift = np.where(np.isneginf(m), 0.0, m)
    with np.errstate(divide="ignore"):
        r = np.log(np.exp(x - shift).sum(dim, keepdims=True)) + shift
    return r if keepdim else r.sum(dim)


def wrap(f: Callable[..., Any], **kwargs: Any) -> Callable[..., Any]:
    """f with keyword arguments."""
    return lambda *a: f(*a, **kwargs)


def detached(x: Any) -> Any:
    """A Tensor without history; an array as it is."""
    return x.detach() if isinstance(x, tt.Tensor) else x


# ---------------------------------------------------------------------------------------------- arithmetic, two inputs
elementwise("add", np.add, "any any", ulps=0.5)
elementwise("add", lambda x, y: x + 2.5 * y, "any any", wrap(tt.add, alpha=2.5), label="alpha", scale=8)
elementwise("sub", np.subtract, "any any", ulps=0.5)
elementwise("sub", lambda x, y: x - 0.5 * y, "any any", wrap(tt.sub, alpha=0.5), label="alpha", ulps=0.5)
elementwise("rsub", lambda x, y: y - x, "any any", ulps=0.5)
elementwise("mul", np.multiply, "any any", ulps=0.5)
elementwise("div", np.divide, "any any", ulps=0.5)
elementwise("grad_mul", np.multiply, "any any", pointwise.grad_mul, ulps=0.5)
elementwise("grad_div", np.divide, "any any", pointwise.grad_div, ulps=0.5)
elementwise("pow", np.power, "positive any", ulps=1)
elementwise("pow", lambda x: np.power(x, 3.0), "any", lambda x: tt.pow(x, 3), label="cube", kernels=("pow",), ulps=1)
elementwise("pow", lambda x: np.power(x, -2.0), "any", lambda x: tt.pow(x, -2), label="negative", kernels=("pow",), ulps=1)
elementwise("pow", lambda x: x * x, "any", lambda x: tt.pow(x, 2), label="two", kernels=("square",), ulps=0.5)
elementwise("pow", lambda x: x, "any", lambda x: tt.pow(x, 1), label="one", kernels=("mul",), ulps=0)
elementwise("pow", np.sqrt, "positive", lambda x: tt.pow(x, 0.5), label="half", kernels=("sqrt",), ulps=0.5)
elementwise("pow", lambda x: 1 / x, "any", lambda x: tt.pow(x, -1), label="minus one", kernels=("reciprocal",), ulps=0.5)
elementwise("pow", lambda x: np.power(2.0, x), "any", lambda x: tt.pow(2, x), label="exponent", kernels=("pow",), ulps=1)
elementwise("pow_grad_base", lambda g, x, y: g * y * x ** (y - 1), "any positive any", pointwise.pow_grad_base, ulps=5)
elementwise("pow_grad_exponent", lambda g, x, y: g * x**y * np.log(x), "any positive any", pointwise.pow_grad_exponent, ulps=3)
elementwise("maximum", np.maximum, "apart apart", ulps=0)
elementwise("minimum", np.minimum, "apart apart", ulps=0)
elementwise("maximum_grad", lambda g, x, y: np.where(x > y, g, 0.0), "any apart apart", pointwise.maximum_grad, ulps=0, nan=(0,), grads=(0,))
elementwise("minimum_grad", lambda g, x, y: np.where(x < y, g, 0.0), "any apart apart", pointwise.minimum_grad, ulps=0, nan=(0,), grads=(0,))
elementwise("where", np.where, "bool any any", ulps=0)

# -------------------------------------------------------------------------------------------------- arithmetic, one input
elementwise("neg", np.negative, "any", ulps=0, wide=(-1e30, 1e30))
elementwise("abs", np.abs, "any", ulps=0, wide=(-1e30, 1e30))
elementwise("sign", np.sign, "any", ulps=0, wide=(-1e30, 1e30))
elementwise("exp", np.exp, "any", ulps=1, wide=(-100, 88))
elementwise("log", np.log, "positive", ulps=1, wide=(1e-30, 1e30))
elementwise("log1p", np.log1p, "positive", ulps=1.5, wide=(-0.999, 50))
elementwise("expm1", np.expm1, "any", ulps=1.5, wide=(-30, 88))
elementwise("sqrt", np.sqrt, "positive", ulps=0.5, wide=(0, 1e30))
elementwise("rsqrt", lambda x: 1 / np.sqrt(x), "positive", ulps=1.5, wide=(1e-30, 1e30))
elementwise("square", np.square, "any", ulps=0.5, wide=(-1e15, 1e15))
elementwise("reciprocal", np.reciprocal, "any", ulps=0.5, wide=(1e-30, 1e30))
elementwise("sin", np.sin, "any", ulps=1.5, wide=(-300, 300))
elementwise("cos", np.cos, "any", ulps=1.5, wide=(-300, 300))
elementwise("tanh", np.tanh, "any", ulps=1.5, wide=(-20, 20))
elementwise("sigmoid", sigmoid, "any", ulps=2, wide=(-80, 80))
elementwise("erf", erf, "any", ulps=1.5, wide=(-6, 6))
elementwise("clamp", lambda x: np.clip(x, -1.23, 1.44), "any", wrap(tt.clamp, min=-1.23, max=1.44), ulps=1, wide=(-9, 9))
elementwise("clamp", lambda x: np.maximum(x, -1.23), "any", wrap(tt.clamp, min=-1.23), label="below", kernels=("clamp",), ulps=1)
elementwise("clamp", lambda x, y: np.minimum(x, y), "apart apart", lambda x, y: tt.clamp(x, max=y), label="tensor", kernels=("where",), ulps=0)
elementwise("abs_grad", lambda g, x: g * np.sign(x), "any any", pointwise.abs_grad, ulps=0, grads=(0,))
elementwise("log1p_grad", lambda g, x: g / (1 + x), "any positive", pointwise.log1p_grad, ulps=1.5)
elementwise("expm1_grad", lambda g, y: g * (y + 1), "any positive", pointwise.expm1_grad, ulps=1.5)
elementwise("sqrt_grad", lambda g, y: g / (2 * y), "any positive", pointwise.sqrt_grad, ulps=0.5)
elementwise("rsqrt_grad", lambda g, y: -0.5 * g * y**3, "any positive", pointwise.rsqrt_grad, ulps=2)
elementwise("square_grad", lambda g, x: 2 * g * x, "any any", pointwise.square_grad, ulps=0.5)
elementwise("reciprocal_grad", lambda g, y: -g * y * y, "any any", pointwise.reciprocal_grad, ulps=1.5)
elementwise("tanh_grad", lambda g, y: g * (1 - y * y), "any unit", pointwise.tanh_grad, ulps=4)
elementwise("sigmoid_grad", lambda g, y: g * y * (1 - y), "any unit", pointwise.sigmoid_grad, ulps=2)
elementwise("erf_grad", lambda g, x: g * 2 / math.sqrt(math.pi) * np.exp(-x * x), "any any", pointwise.erf_grad, ulps=12)
elementwise("clamp_grad", lambda g, x: np.where((x >= -1.23) & (x <= 1.44), g, 0), "any any", lambda g, x: pointwise.clamp_grad(g, x, -1.23, 1.44), ulps=0, nan=(0,), grads=(0,))
elementwise("cast", lambda x: x, "any", lambda x: pointwise.cast(x, np.float64), dtype="float64", ulps=0)

# ------------------------------------------------------------------------------------------ comparisons, bits: no gradient
for name, function in {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}.items():
    elementwise(name, function, "small small", dtype="bool")
    elementwise(name, function, "any any", dtype="bool", label="floats", grads=(), nan=())
for name, function in {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}.items():
    elementwise(f"logical_{name}", function, "small small", dtype="bool")
for name, function in {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}.items():
    elementwise(f"bitwise_{name}", function, "int int", dtype="int64")
    elementwise(f"bitwise_{name}", function, "bool bool", dtype="bool", label="bool")
elementwise("bitwise_not", np.invert, "int", dtype="int64")
elementwise("bitwise_not", np.invert, "bool", dtype="bool", label="bool")
elementwise("logical_not", np.logical_not, "small", dtype="bool")
for name in ("isnan", "isinf", "isfinite"):
    elementwise(name, getattr(np, name), "special", dtype="bool", grads=(), nan=())

# ------------------------------------------------------------------------------------------------------------ activations
elementwise("relu", lambda x: np.maximum(x, 0), "any", ulps=0, wide=(-9, 9))
elementwise("relu_grad", lambda g, y: np.where(y > 0, g, 0), "any any", activation.relu_grad, ulps=0, nan=(0,), grads=(0,))
elementwise("leaky_relu", lambda x: np.where(x > 0, x, 0.2 * x), "any", wrap(tt.leaky_relu, negative_slope=0.2), ulps=2, wide=(-9, 9))
elementwise("leaky_relu_grad", lambda g, x: np.where(x > 0, g, 0.2 * g), "any any", lambda g, x: activation.leaky_relu_grad(g, x, 0.2), ulps=2, nan=(0,), grads=(0,))
elementwise("elu", lambda x: np.where(x > 0, x, 1.6 * np.expm1(x)), "any", wrap(tt.elu, alpha=1.6), ulps=2, wide=(-30, 30))
elementwise("elu_grad", lambda g, x: g * np.where(x > 0, 1, 1.6 * np.exp(x)), "any any", lambda g, x: activation.elu_grad(g, x, 1.6), ulps=2.5)
elementwise("selu", lambda x: SCALE * np.where(x > 0, x, ALPHA * np.expm1(x)), "any", ulps=3, wide=(-30, 30))
elementwise("selu_grad", lambda g, x: g * SCALE * np.where(x > 0, 1, ALPHA * np.exp(x)), "any any", activation.selu_grad, ulps=3)
elementwise("gelu", lambda x: x * normcdf(x), "any", ulps=4, wide=(-5, 9))
elementwise("gelu", gelu_tanh, "any", wrap(tt.gelu, approximate="tanh"), label="tanh", kernels=("gelu_tanh",), ulps=32, wide=(-4, 9))
elementwise("gelu_grad", lambda g, x: g * (normcdf(x) + x * density(x)), "any any", activation.gelu_grad, ulps=4, scale=1)
elementwise("gelu_tanh_grad", lambda g, x: g * gelu_tanh_slope(x), "any any", activation.gelu_tanh_grad, ulps=8, scale=1)
elementwise("silu", lambda x: x * sigmoid(x), "any", ulps=3, wide=(-80, 80))
elementwise("silu_grad", lambda g, x: g * soft_slope(x), "any any", activation.silu_grad, ulps=4, scale=1)
elementwise("softplus", lambda x: np.logaddexp(0, 2 * x) / 2, "any", wrap(tt.softplus, beta=2.0), ulps=2, wide=(-40, 9.9))
elementwise("softplus", lambda x: np.where(x > 0.55, x, np.log1p(np.exp(x))), "any", wrap(tt.softplus, threshold=0.55), label="threshold", kernels=("softplus",))
elementwise("softplus_grad", lambda g, x: g * np.where(2 * x > 1.1, 1, sigmoid(2 * x)), "any any", lambda g, x: activation.softplus_grad(g, x, 2.0, 1.1), ulps=3)
elementwise("dropout", lambda x: x, "any", wrap(tt.dropout, p=0.0), label="p=0", ulps=0)
elementwise("dropout", lambda x: x, "any", wrap(tt.dropout, p=0.5, training=False), label="eval", ulps=0)
elementwise("dropout", lambda x: 0 * x, "any", wrap(tt.dropout, p=1.0), label="p=1", ulps=0)
row("dropout", lambda x: x * tt.random.keep_mask(x.shape, np.float64, 0.3, tt.Generator(5)), "any", UNARY, lambda x: tt.dropout(x, 0.3, True, generator=tt.Generator(5)),
    dtypes=("float64",), ulps=0.5)
for d in (-1, 0):
    some: tuple[Shapes, ...] = (((3, 4),), ((5,),), ((2, 3, 4),), ((1,),), ((1, 1),), ((0, 4),), ((4, 0),), ((2, 40),))
    row("softmax", wrap(softmax, dim=d), "any", some, wrap(tt.softmax, dim=d), label=f"dim={d}", ulps=4)
    row("log_softmax", wrap(log_softmax, dim=d), "any", some, wrap(tt.log_softmax, dim=d), label=f"dim={d}", ulps=4, scale=4)
    two = tuple((s[0], s[0]) for s in some)
    row("softmax_grad", lambda g, y, d=d: y * (g - (g * y).sum(d, keepdims=True)), "any any", two, lambda g, y, d=d: activation.softmax_grad(g, y, d),
        label=f"dim={d}", ulps=8, scale=30)
    row("log_softmax_grad", lambda g, y, d=d: g - np.exp(y) * g.sum(d, keepdims=True), "any any", two, lambda g, y, d=d: activation.log_softmax_grad(g, y, d),
        label=f"dim={d}", ulps=8, scale=100)
row("softmax", wrap(softmax, dim=1), "any", (((2, 3, 4),), ((2, 0, 3),)), wrap(tt.softmax, dim=1), label="middle", ulps=4)

# -------------------------------------------------------------------------------------------------------------- reductions
REDUCED: tuple[Shapes, ...] = (((3, 4),), ((2, 3, 4),), ((1, 1),), ((2, 1, 3),), ((2, 33),))
NOTHING: tuple[Shapes, ...] = (((0, 4),), ((4, 0),))
DIMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("all", {}), ("first", {"dim": 0}), ("last", {"dim": -1}), ("two", {"dim": (0, 1)}), ("ends", {"dim": (0, -1), "keepdim": True}),
    ("keep", {"dim": 1, "keepdim": True}),
)


def over(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy reduction with our names of arguments."""
    return lambda x, dim=None, keepdim=False, **more: function(x, axis=dim, keepdims=keepdim, **more)


def variance(x: Any, dim: Any = None, keepdim: bool = False, correction: float = 1) -> Any:
    m = x.mean(axis=dim, keepdims=True)
    s = ((x - m) ** 2).sum(axis=dim, keepdims=keepdim)
    n = x.size // max(1, m.size)
    return s / (n - correction)


def p_norm(x: Any, p: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
    a = np.abs(x)
    if math.isinf(p):
        return (np.max if p > 0 else np.min)(a, axis=dim, keepdims=keepdim)
    if p == 0:
        return (a != 0).sum(axis=dim, keepdims=keepdim).astype(np.float64)
    return (a**p).sum(axis=dim, keepdims=keepdim) ** (1 / p)


def at_largest(x: Any, dim: int, keepdim: bool = False) -> Any:
    """Values and indices, as max(dim) gives."""
    i = np.argmax(x, axis=dim, keepdims=True)
    v = np.take_along_axis(x, i, dim)
    return (v, i) if keepdim else (v.squeeze(dim), i.squeeze(dim))


for label, how in DIMS:
    rest = REDUCED + (NOTHING if label in ("all", "two", "ends") else ())
    apart = tuple(s for s in REDUCED)
    row("sum", wrap(over(np.sum), **how), "any", (*rest, *NOTHING), wrap(tt.sum, **how), label=label, scale=20)
    row("mean", wrap(over(np.mean), **how), "any", REDUCED, wrap(tt.mean, **how), label=label, scale=2)
    row("prod", wrap(over(np.prod), **how), "any", (*REDUCED, *NOTHING), wrap(tt.prod, **how), label=label, ulps=40)
    row("amax", wrap(over(np.max), **how), "apart", apart, wrap(tt.amax, **how), label=label, ulps=0)
    row("amin", wrap(over(np.min), **how), "apart", apart, wrap(tt.amin, **how), label=label, ulps=0)
    two_or_more: tuple[Shapes, ...] = (((3, 4),), ((2, 3, 4),), ((2, 33),))
    row("var", wrap(variance, **how), "any", two_or_more, wrap(tt.var, **how), label=label, ulps=6, scale=2)
    row("std", lambda x, how=how: np.sqrt(variance(x, **how)), "any", two_or_more, wrap(tt.std, **how), label=label, ulps=6, scale=2)
    row("var", wrap(variance, correction=0, **how), "any", REDUCED, wrap(tt.var, correction=0, **how), label=f"biased {label}", ulps=6, scale=2)
    row("norm", wrap(p_norm, **how), "any", (*REDUCED, *NOTHING), wrap(tt.norm, **how), label=label, ulps=4)
    row("all", wrap(over(np.all), **how), "small", (*REDUCED, *NOTHING), wrap(tt.all, **how), label=label, dtype="bool")
    row("any", wrap(over(np.any), **how), "small", (*REDUCED, *NOTHING), wrap(tt.any, **how), label=label, dtype="bool")
    row("logsumexp", wrap(logsumexp, **how), "any", rest, wrap(tt.logsumexp, **how), label=label, ulps=4, scale=3)
for p in (1, 0, 3, 2.5, math.inf, -math.inf):
    row("norm", wrap(p_norm, p=p, dim=1), "apart", (((3, 4),), ((2, 3, 4),)), wrap(tt.norm, p=p, dim=1), label=f"p={p}", ulps=12, nan=() if p == 0 else (0,), grads=() if p == 0 else (0,))
row("max", np.max, "apart", REDUCED, ulps=0, label="all")
row("min", np.min, "apart", REDUCED, ulps=0, label="all")
row("max", wrap(at_largest, dim=1), "apart", REDUCED, lambda x: tuple(tt.max(x, 1)), ulps=0, label="dim", nan=(0,))
row("max", wrap(at_largest, dim=0, keepdim=True), "apart", REDUCED, lambda x: tuple(tt.max(x, 0, keepdim=True)), ulps=0, label="keep")
row("min", lambda x: (at_largest(-x, 1)[0] * -1, at_largest(-x, 1)[1]), "apart", REDUCED, lambda x: tuple(tt.min(x, 1)), ulps=0, label="dim")
row("max", np.maximum, "apart apart", BINARY, ulps=0, label="two", kernels=("maximum",))
row("min", np.minimum, "apart apart", BINARY, ulps=0, label="two", kernels=("minimum",))
for name in ("argmax", "argmin"):
    for label, how in (("all", {}), ("dim", {"dim": 1}), ("keep", {"dim": 0, "keepdim": True})):
        row(name, wrap(over(getattr(np, name)), **how), "apart", REDUCED, wrap(PUBLIC[name], **how), label=label, dtype="int64", grads=(), nan=())

# ---------------------------------------------------------------------------------------------------------------- products
row("matmul", np.matmul, "any any", (
    ((3, 4), (4, 5)), ((4,), (4,)), ((4,), (4, 3)), ((3, 4), (4,)), ((2, 3, 4), (4, 2)), ((2, 3, 4), (2, 4, 2)), ((2, 1, 3, 4), (3, 4, 2)),
    ((2, 3, 4), (4,)), ((4,), (2, 4, 3)), ((1, 1), (1, 1)), ((0, 4), (4, 3)), ((3, 0), (0, 4)), ((3, 4), (4, 0)), ((0, 3, 4), (4, 2)), ((0,), (0,)),
), scale=12, nan=(0, 1))
row("mm", np.matmul, "any any", (((3, 4), (4, 5)), ((1, 1), (1, 1)), ((3, 0), (0, 2))), scale=12)
row("mv", np.matmul, "any any", (((3, 4), (4,)), ((1, 1), (1,)), ((3, 0), (0,)), ((0, 3), (3,))), scale=12)
row("bmm", np.matmul, "any any", (((2, 3, 4), (2, 4, 5)), ((1, 1, 1), (1, 1, 1)), ((0, 3, 4), (0, 4, 5))), scale=12)
row("dot", np.dot, "any any", (((7,), (7,)), ((1,), (1,)), ((0,), (0,)), ((40,), (40,))), scale=30)
row("outer", np.outer, "any any", (((3,), (4,)), ((1,), (1,)), ((0,), (2,))), ulps=0.5)
row("linear", lambda x, w, b: x @ w.T + b, "any any any", (
    ((3, 4), (5, 4), (5,)), ((4,), (5, 4), (5,)), ((2, 3, 4), (5, 4), (5,)), ((1, 1), (1, 1), (1,)), ((0, 4), (5, 4), (5,)), ((3, 0), (2, 0), (2,)),
    ((3, 4), (0, 4), (0,)),
), scale=12)
row("linear", lambda x, w: x @ w.T, "any any", (((3, 4), (5, 4)), ((2, 3, 4), (1, 4))), label="no bias", scale=12)
for _name, _f, _parameters in (
    ("relu", lambda x: np.maximum(x, 0), ()), ("sigmoid", sigmoid, ()), ("tanh", np.tanh, ()), ("gelu", lambda x: x * normcdf(x), ()), ("gelu_tanh", gelu_tanh, ()),
    ("silu", lambda x: x * sigmoid(x), ()), ("leaky_relu", lambda x: np.where(x > 0, x, 0.2 * x), (0.2,)), ("elu", lambda x: np.where(x > 0, x, 1.6 * np.expm1(x)), (1.6,)),
    ("selu", lambda x: SCALE * np.where(x > 0, x, ALPHA * np.expm1(x)), ()), ("softplus", lambda x: np.logaddexp(0, 2 * x) / 2, (2.0, 20.0)),
):
    row("linear", lambda x, w, b, f=_f: f(x @ w.T + b), "any any any", (((3, 4), (5, 4), (5,)), ((4,), (5, 4), (5,)), ((2, 3, 4), (5, 4), (5,)), ((0, 4), (5, 4), (5,)), ((3, 0), (2, 0), (2,))),
        lambda x, w, b, a=_name, p=_parameters: product.linear_activation(x, w, b, product.ACTIVATIONS[a], *p), label=_name, scale=20)

# ------------------------------------------------------------------------------------------------------------------ shapes
row("reshape", lambda x: x.reshape(2, -1 if x.size else 0), "any", (((3, 4),), ((4,),), ((2,),), ((3, 2, 0),)), lambda x: tt.reshape(x, (2, -1) if x.ndim < 3 else (2, 0)), ulps=0)
row("view", lambda x: x.reshape(2, -1), "any", (((4, 3),), ((4,),)), lambda x: tt.view(tt.contiguous(x), 2, -1), ulps=0)
row("permute", lambda x: x.transpose(2, 0, 1), "any", (((2, 3, 4),), ((1, 1, 1),), ((0, 2, 3),)), lambda x: tt.permute(x, 2, 0, 1), ulps=0)
row("transpose", lambda x: x.swapaxes(0, -1), "any", (((2, 3, 4),), ((3, 4),), ((1,),), ((0, 2),)), wrap(tt.transpose, dim0=0, dim1=-1), ulps=0)
row("t", np.transpose, "any", (((3, 4),), ((3,),), ((),), ((0, 2),)), ulps=0)
row("squeeze", np.squeeze, "any", (((3, 1, 4, 1),), ((1,),), ((),), ((0, 1),)), ulps=0)
row("squeeze", lambda x: x.squeeze(1), "any", (((3, 1, 4, 1),),), wrap(tt.squeeze, dim=(1, 2)), ulps=0, label="dim")
row("unsqueeze", lambda x: np.expand_dims(x, 1), "any", (((3, 4),), ((3,),), ((0,),)), wrap(tt.unsqueeze, dim=1), ulps=0)
row("flatten", lambda x: x.reshape(x.shape[0], -1) if x.size else x.reshape(0, 6), "any", (((2, 3, 4),), ((3, 4),), ((0, 2, 3),)), wrap(tt.flatten, start_dim=1), ulps=0)
row("ravel", np.ravel, "any", UNARY, ulps=0)
row("unflatten", lambda x: x.reshape(x.shape[0], 2, -1), "any", (((3, 4),), ((1, 2),)), wrap(tt.unflatten, dim=1, sizes=(2, -1)), ulps=0)
row("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 4) if x.size else (2, 0)), "any", (((3, 4),), ((4,),), ((),), ((3, 1),), ((2, 1, 1),), ((1, 0),)),
    lambda x: tt.broadcast_to(x, (2, 3, 4) if math.prod(x.shape) else (2, 0)), ulps=0)
row("expand", lambda x: np.broadcast_to(x, (2, 3, 4)), "any", (((3, 4),), ((3, 1),), ((2, 3, 1),)), lambda x: tt.expand(x, 2, 3, 4), ulps=0)
row("expand", lambda x: np.broadcast_to(x, (2, 3, 4)), "any", (((3, 4),), ((1, 3, 4),)), lambda x: tt.expand(x, (2, -1, -1)), ulps=0, label="keep")
row("expand_as", lambda x: np.broadcast_to(x, (2, 3)), "any", (((3,),), ((2, 1),)), lambda x: tt.expand_as(x, np.zeros((2, 3))), ulps=0)
three = (((2, 3), (4, 3), (1, 3)), ((1, 1), (1, 1), (1, 1)), ((0, 3), (2, 3), (0, 3)))
row("cat", lambda *x: np.concatenate(x), "any any any", three, lambda *x: tt.cat(x), ulps=0)
row("cat", lambda *x: np.concatenate(x, 1), "any any", (((2, 3), (2, 1)), ((2, 0), (2, 3)), ((2, 2, 2), (2, 1, 2))), lambda *x: tt.cat(x, 1), ulps=0, label="dim=1")
row("cat", lambda *x: np.concatenate(x, -1), "any any", (((2, 3), (2, 1)),), lambda *x: tt.cat(x, -1), ulps=0, label="dim=-1")
for d in (0, 1, -1):
    row("stack", wrap(lambda *x, d: np.stack(x, d), d=d), "any any", (((2, 3), (2, 3)), ((1,), (1,)), ((0,), (0,))), wrap(lambda *x, d: tt.stack(x, d), d=d), ulps=0, label=f"dim={d}")
row("narrow", lambda x: x[:, 1:3], "any", (((2, 3),), ((1, 4),), ((0, 3),), ((2, 3, 2),)), wrap(tt.narrow, dim=1, start=1, length=2), ulps=0)
row("split", lambda x: tuple(np.split(x, range(2, len(x), 2))) if len(x) else (x,), "any", (((5, 2),), ((4,),), ((1,),), ((0, 2),)), wrap(tt.split, split_size_or_sections=2), ulps=0)
row("split", lambda x: (x[:, :1], x[:, 1:1], x[:, 1:]), "any", (((2, 3),),), wrap(tt.split, split_size_or_sections=[1, 0, 2], dim=1), ulps=0, label="sizes")
row("chunk", lambda x: (x[:, :2], x[:, 2:4], x[:, 4:]), "any", (((2, 5),),), wrap(tt.chunk, chunks=3, dim=1), ulps=0)
row("clone", lambda x: x, "any", UNARY, ulps=0)
row("contiguous", lambda x: x.T, "any", UNARY, lambda x: tt.contiguous(tt.t(x)) if x.ndim < 3 else tt.contiguous(tt.permute(x, 2, 1, 0)), ulps=0)

# ------------------------------------------------------------------------------------------------------------------- index
def some_rows(x: Any, size: int, dim: int = 0) -> Any:
    """Indices along dim, some of them twice, of x's shape but `size` along dim."""
    shape = tuple(size if d == dim else n for d, n in enumerate(x.shape))
    return (np.arange(math.prod(shape)).reshape(shape) * 7 % 5) % max(1, x.shape[dim])


def added(x: Any, src: Any, dim: int, i: Any) -> Any:
    """scatter_add, one element after another."""
    out = np.array(x)
    for at in np.ndindex(*i.shape):
        to = (*at[:dim], i[at], *at[dim + 1 :])
        out[to] += src[at]
    return out


row("gather", lambda x: np.take_along_axis(x, some_rows(x, 3, 1), 1), "any", (((2, 4),), ((1, 1),), ((0, 4),), ((2, 3, 2),)), lambda x: tt.gather(x, 1, some_rows(x, 3, 1)), ulps=0, nan=())
row("gather", lambda x: np.take_along_axis(x[:, :2], some_rows(x[:, :2], 5), 0), "any", (((3, 4),),), lambda x: tt.gather(x, 0, some_rows(x[:, :2], 5)), ulps=0, label="smaller", nan=())
row("take_along_dim", lambda x: np.take_along_axis(x, some_rows(x, 3, 1), 1), "any", (((2, 4),), ((1, 1),)), lambda x: tt.take_along_dim(x, some_rows(x, 3, 1), 1), ulps=0, nan=())
row("take_along_dim", lambda x: x.ravel()[[0, 2, 0]], "any", (((2, 4),), ((3,),)), lambda x: tt.take_along_dim(x, np.array([0, 2, 0])), ulps=0, label="flat")
row("take_along_dim", lambda x: np.take_along_axis(x, np.array([[1], [0], [1]]), 1), "any", (((3, 4),), ((1, 2),)), lambda x: tt.take_along_dim(x, np.array([[1], [0], [1]]), 1), ulps=0, label="broadcast", nan=())
row("index_select", lambda x: x.take([2, 0, 2], 1), "any", (((2, 3),), ((2, 3, 2),), ((0, 3),)), lambda x: tt.index_select(x, 1, np.array([2, 0, 2])), ulps=0)
row("index_select", lambda x: x.take([2, 0, 2], 0), "any", (((3,),), ((3, 2),), ((3, 0),)), lambda x: tt.index_select(x, 0, np.array([2, 0, 2])), ulps=0, label="rows")
row("scatter_add", lambda x, s: added(x, s, 1, some_rows(s, 3, 1) % x.shape[1]), "any any", (((2, 4), (2, 3)), ((1, 1), (1, 3)), ((2, 3, 2), (2, 3, 2))),
    lambda x, s: tt.scatter_add(x, 1, some_rows(s, 3, 1) % x.shape[1], s), scale=9)
row("scatter_add", lambda x, s: added(x, s, 0, np.array([[1], [1]])), "any any", (((2, 4), (3, 2)),), lambda x, s: tt.scatter_add(x, 0, np.array([[1], [1]]), s), label="part", scale=9, nan=(0,))
row("masked_fill", lambda x: np.where(np.arange(x.shape[-1]) % 2 == 0, 1.5, x), "any", (((2, 4),), ((2,),), ((0, 2),)), lambda x: tt.masked_fill(x, np.arange(x.shape[-1]) % 2 == 0, 1.5), ulps=0, nan=())
row("masked_fill", lambda x, v: np.where(np.arange(x.shape[-1]) % 2 == 0, v, x), "any any", (((2, 4), ()), ((2,), ())), lambda x, v: tt.masked_fill(x, np.arange(x.shape[-1]) % 2 == 0, v), ulps=0, label="tensor", nan=(1,))
row("one_hot", lambda x: np.eye(5, dtype=np.int64)[x % 5], "int", (((3,),), ((2, 3),), ((),), ((1,),), ((0,),)), lambda x: tt.one_hot(_mod5(x), 5), dtype="int64")


def _mod5(x: Any) -> Any:
    return tt.from_numpy(np.asarray(x.numpy() % 5)) if isinstance(x, tt.Tensor) else np.asarray(x % 5)


def _get(i: Any) -> Callable[[Any], Any]:
    return lambda x: x[i] if isinstance(x, tt.Tensor) else index.getitem(x, i)


def _put(i: Any) -> Callable[[Any, Any], Any]:
    def reference(x: Any, v: Any) -> Any:
        out = np.array(x)
        out[i] = v
        return out

    return reference


INDICES: dict[str, Any] = {
    "int": 1, "slice": slice(None, None, 2), "back": slice(None, None, -1), "pair": (1, 2), "ellipsis": (..., 1), "new": (None, slice(1), None),
    "rows": np.array([2, 0, 2]), "grid": (np.array([[0], [2]]), np.array([1, 1, 0])), "mixed": (slice(1, None), np.array([0, 0, 3])), "negative": np.array([-1, 0]),
    "mask": np.array([True, False, True]), "full mask": np.arange(12).reshape(3, 4) % 3 == 0, "nothing": np.array([], np.int64), "twice": (np.array([1, 1]), 2),
}  # fmt: skip
for label, i in INDICES.items():
    row("getitem", lambda x, i=i: x[i], "any", (((3, 4),),), _get(i), ulps=0, label=label, nan=())
    if label != "nothing":
        row("getitem_grad", lambda g, i=i: added_at((3, 4), i, g), "any", ((np.zeros((3, 4))[i].shape,),), lambda g, i=i: index.getitem_grad(g, (3, 4), i), label=label, scale=9, nan=())
    if label not in ("grid", "rows", "twice", "mixed"):  # NumPy leaves open which of two values at one place stays
        row("index_put", _put(i), "any any", (((3, 4), np.zeros((3, 4))[i].shape), ((3, 4), ())), lambda x, v, i=i: index.index_put(x, v, i), ulps=0, label=label, nan=(1,) if label != "nothing" else ())


def added_at(shape: tuple[int, ...], i: Any, g: Any) -> Any:
    out = np.zeros(shape)
    np.add.at(out, i, g)
    return out


# ------------------------------------------------------------------------------------------------------------------ losses
def classes(x: Any) -> Any:
    """A class for each row of logits (N, C, ...) or (C)."""
    shape, c = ((), x.shape[0]) if x.ndim == 1 else ((x.shape[0], *x.shape[2:]), x.shape[1])
    return (np.arange(math.prod(shape)).reshape(shape) * 3 + 1) % max(c, 1)


def xent(x: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    """PyTorch's definition, over log-probabilities with the classes in dim 1."""
    return nll(log_softmax(x, 0 if x.ndim == 1 else 1), t, weight, ignore_index, reduction, label_smoothing)


def nll(logp: Any, t: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    if logp.ndim == 1:
        r = nll(logp[None], np.asarray(t)[None], weight, ignore_index, reduction, label_smoothing)
        return r[0] if reduction == "none" else r
    c = logp.shape[1]
    w = np.ones(c) if weight is None else weight
    counted = t != ignore_index
    ids = np.where(counted, t, 0)
    picked = np.take_along_axis(logp, ids[:, None], 1)[:, 0]
    smooth = np.moveaxis(logp, 1, -1) @ w / c
    each = np.where(counted, -(1 - label_smoothing) * w[ids] * picked - label_smoothing * smooth, 0.0)
    if reduction == "none":
        return each
    with np.errstate(invalid="ignore"):
        return each.sum() / w[ids][counted].sum() if reduction == "mean" else each.sum()


LOGITS: tuple[Shapes, ...] = (((4, 5),), ((5,),), ((2, 5, 3),), ((1, 5),))
WEIGHT = np.array([0.5, 1.5, 0.25, 2.0, 1.0])
VARIANTS: dict[str, dict[str, Any]] = {
    "mean": {}, "sum": {"reduction": "sum"}, "none": {"reduction": "none"}, "ignore": {"ignore_index": 1}, "weight": {"weight": WEIGHT},
    "weight none": {"weight": WEIGHT, "reduction": "none"}, "ignore weight": {"ignore_index": 1, "weight": WEIGHT, "reduction": "mean"},
}  # fmt: skip
SMOOTH: dict[str, dict[str, Any]] = {
    "smooth": {"label_smoothing": 0.1}, "smooth weight": {"label_smoothing": 0.3, "weight": WEIGHT, "ignore_index": 1},
    "smooth none": {"label_smoothing": 0.2, "weight": WEIGHT, "reduction": "none"},
}  # fmt: skip
for label, how in {**VARIANTS, **SMOOTH}.items():
    several = tuple(s for s in LOGITS if not ("ignore" in str(how) and s in (((5,),), ((1, 5),))))  # a mean over no row is NaN
    row("cross_entropy", lambda x, how=how: xent(x, classes(x), **how), "any", several, lambda x, how=how: F.cross_entropy(x, classes(x), **how), label=label, ulps=6, scale=6)
    if label in VARIANTS:
        row("nll_loss", lambda x, how=how: nll(x, classes(x), **how), "any", several, lambda x, how=how: F.nll_loss(x, classes(x), **how), label=label, ulps=6, scale=6, nan=())
row("cross_entropy", lambda x: xent(x, classes(x), reduction="sum"), "any", (((3, 1),), ((0, 5),)), lambda x: F.cross_entropy(x, classes(x), reduction="sum"), label="empty", ulps=6, scale=6)


def soft_xent(x: Any, t: Any, weight: Any = None, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    d = 0 if x.ndim == 1 else 1
    w = np.ones(x.shape[d]) if weight is None else weight
    t = t * (1 - label_smoothing) + label_smoothing / x.shape[d]
    each = -(np.moveaxis(log_softmax(x, d) * t, d, -1) @ w)
    return each if reduction == "none" else each.sum() if reduction == "sum" else each.sum() / each.size


for label, how in {"mean": {}, "sum": {"reduction": "sum", "label_smoothing": 0.1}, "none": {"reduction": "none", "weight": WEIGHT}}.items():
    row("cross_entropy", wrap(soft_xent, **how), "any positive", tuple((s[0], s[0]) for s in LOGITS), wrap(F.cross_entropy, **how), label=f"probabilities {label}", ulps=8, scale=20)


def xent_grad(g: Any, x: Any, t: Any, weight: Any, ignore: int, smoothing: float) -> Any:
    w = np.ones(x.shape[1]) if weight is None else weight
    counted = (t != ignore)[:, None]
    ids = np.where(t != ignore, t, 0)
    target = (1 - smoothing) * w[ids][:, None] * np.eye(x.shape[1])[ids] + smoothing * w / x.shape[1]
    return np.where(counted, np.reshape(g, (-1, 1)) * (softmax(x, 1) * target.sum(1, keepdims=True) - target), 0)


def _xent_grad(g: Any, x: Any, weight: Any = None, ignore: int = -100, smoothing: float = 0.0) -> Any:
    a = x._data if isinstance(x, tt.Tensor) else x
    lse = _kernels.xent(a, classes(a), None if weight is None else weight.astype(a.dtype), ignore, smoothing)[1]
    return loss.cross_entropy_grad(g, x, classes(a), weight, ignore, smoothing, lse)


for label, how in {"plain": {}, "all": {"weight": WEIGHT, "ignore": 1, "smoothing": 0.2}}.items():
    row("cross_entropy_grad", lambda g, x, how=how: xent_grad(g, x, classes(x), **{"weight": None, "ignore": -100, "smoothing": 0.0, **how}), "any any",
        (((4,), (4, 5)), ((), (4, 5))), wrap(_xent_grad, **how), label=label, ulps=8, scale=8, nan=(0,))
for reduction in ("mean", "sum", "none"):
    row("mse_loss", lambda x, y, r=reduction: {"mean": np.mean, "sum": np.sum, "none": np.asarray}[r]((x - y) ** 2), "any any",
        (((3, 4), (3, 4)), ((5,), (5,)), ((), ()), ((1,), (1,)), *(((((0,), (0,))),) if reduction != "mean" else ())), wrap(F.mse_loss, reduction=reduction), label=reduction, scale=200)

# the parts of the table that lie in files of their own
for _part in sorted(Path(__file__).parent.glob("table_*.py")):
    import_module(_part.stem)

COVERED = {r.name for r in ROWS}
