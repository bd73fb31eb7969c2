"""Rows of the table: elementary.py, and the roundings of pointwise.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from table import detached, elementwise, row, vector, wrap

import tinytensor as tt
from tinytensor.ops import PUBLIC

# a row is a line
# fmt: off
erfc = vector(math.erfc)


def answer(function: Any) -> Any:
    """A function that gives a Python bool, with its answer as a Tensor or array, whichever the inputs are."""
    return lambda *x: tt.tensor(function(*x)) if isinstance(x[0], tt.Tensor) else np.asarray(function(*x))


def quotients(function: Any) -> Any:
    """A function of two whose quotient is between -2.8 and -2.2, away from whole numbers."""
    return lambda x, y: function(tt.add(tt.mul(x, 0.4), 3.0), tt.sub(-1.2, tt.mul(y, 0.15)))


# -------------------------------------------------------------------------------------------------- logarithms and powers
elementwise("log2", np.log2, "positive", ulps=1.1, wide=(1e-30, 1e30))
elementwise("log10", np.log10, "positive", ulps=1, wide=(1e-30, 1e30))
elementwise("exp2", np.exp2, "any", ulps=1, wide=(-126, 127))
elementwise("logaddexp", np.logaddexp, "any any", ulps=2, scale=2)
elementwise("logaddexp2", np.logaddexp2, "any any", ulps=2, scale=2)
elementwise("xlogy", lambda x, y: x * np.log(y), "any positive", ulps=1.5)
elementwise("float_power", np.float_power, "positive any", dtype="float64", kernels=("pow",), ulps=1)
elementwise("logit", lambda x: 2 * np.arctanh(2 * x - 1), "unit", ulps=4, scale=0.1)
elementwise("logit", lambda x: np.log(np.clip(x, 0.27, 0.73) / (1 - np.clip(x, 0.27, 0.73))), "unit", wrap(tt.logit, eps=0.27), label="eps", ulps=4, scale=1)
elementwise("erfc", erfc, "any", ulps=1.5, wide=(-6, 9))

# ---------------------------------------------------------------------------------------- circular and hyperbolic functions
elementwise("tan", np.tan, "unit", ulps=1.5, wide=(-1.5, 1.5))
elementwise("asin", np.arcsin, "unit", ulps=1, wide=(-1, 1))
elementwise("acos", np.arccos, "unit", ulps=1, wide=(-1, 1))
elementwise("atan", np.arctan, "any", ulps=1, wide=(-1e3, 1e3))
elementwise("hypot", np.hypot, "any any", ulps=2)
elementwise("atan2", np.arctan2, "any any", ulps=2.5)
elementwise("rad2deg", np.rad2deg, "any", ulps=1, wide=(-9, 9))
elementwise("deg2rad", np.deg2rad, "any", ulps=1, wide=(-900, 900))
elementwise("sinh", np.sinh, "any", ulps=2, wide=(-80, 80))
elementwise("cosh", np.cosh, "any", ulps=2, wide=(-80, 80))
elementwise("asinh", np.arcsinh, "any", ulps=3, wide=(-1e5, 1e5))
elementwise("acosh", lambda x: np.arccosh(1 + x), "positive", lambda x: tt.acosh(tt.add(x, 1.0)), ulps=3, scale=2)
elementwise("atanh", np.arctanh, "unit", ulps=3, wide=(-0.999, 0.999))

# ---------------------------------------------------------------------------------------------------------------- rounding
for name, function in {"trunc": np.trunc, "floor": np.floor, "ceil": np.ceil, "round": np.rint}.items():
    elementwise(name, function, "any", ulps=0, wide=(-1e9, 1e9))
elementwise("round", lambda x: np.round(0.31 + 0.02 * x, 1), "any", lambda x: tt.round(tt.add(tt.mul(x, 0.02), 0.31), decimals=1), label="decimals", ulps=0.5)
elementwise("round", lambda x: np.round(33 + 0.4 * x, -1), "any", lambda x: tt.round(tt.add(tt.mul(x, 0.4), 33.0), decimals=-1), label="tens", ulps=0)
elementwise("frac", lambda x: x - np.trunc(x), "any", ulps=0)
for name, function in {"floor_divide": np.floor_divide, "fmod": np.fmod, "remainder": np.remainder, "div": lambda x, y: np.trunc(x / y)}.items():
    how = {"rounding_mode": "trunc"} if name == "div" else {}
    elementwise(name, quotients(function), "unit unit", quotients(wrap(PUBLIC[name], **how)), label="rounded", scale=8)
    if name != "div":
        elementwise(name, lambda x, y, f=function: f(x, 2 * y + 1), "int int", lambda x, y, f=PUBLIC[name]: f(x, tt.add(tt.mul(y, 2), 1)), label="integers", dtype="int64")
elementwise("div", quotients(np.floor_divide), "unit unit", quotients(wrap(tt.div, rounding_mode="floor")), label="floor", kernels=(), scale=8)

# -------------------------------------------------------------------------------------------------------- signs and limits
elementwise("copysign", np.copysign, "any any", ulps=0, nan=(0,))
elementwise("signbit", np.signbit, "special", dtype="bool", grads=(), nan=())
elementwise("isposinf", np.isposinf, "special", dtype="bool", grads=(), nan=())
elementwise("isneginf", np.isneginf, "special", dtype="bool", grads=(), nan=())
elementwise("heaviside", np.heaviside, "small any", ulps=0, grads=(), nan=())
elementwise("nan_to_num", lambda x: x, "any", ulps=0, nan=())
elementwise("nan_to_num", lambda x: np.nan_to_num(x, nan=2.5, posinf=3.5, neginf=-1.5), "special", lambda x: tt.nan_to_num(detached(x), nan=2.5, posinf=3.5, neginf=-1.5), label="special", ulps=0, grads=(), nan=())
elementwise("clamp_min", lambda x: np.maximum(x, -1.23), "any", wrap(tt.clamp_min, min=-1.23), kernels=("clamp",), ulps=1)
elementwise("clamp_max", np.minimum, "apart apart", kernels=("where",), ulps=0)
elementwise("positive", lambda x: x, "any", ulps=0)
elementwise("isclose", lambda x, y: np.isclose(x, y, 0.5, 0.1), "any any", wrap(tt.isclose, rtol=0.5, atol=0.1), dtype="bool", grads=(), nan=())
elementwise("isclose", lambda x, y: np.isclose(x, y, equal_nan=True), "special special", wrap(tt.isclose, equal_nan=True), label="special", dtype="bool", grads=(), nan=())
for name, function in {"allclose": np.allclose, "equal": np.array_equal}.items():
    row(name, function, "any any", (((3, 4), (3, 4)), ((), ()), ((0,), (0,))), answer(PUBLIC[name]), dtype="bool", grads=(), nan=())
    row(name, lambda x, f=function: f(x, x), "any", (((3, 4),), ((),), ((0,),)), lambda x, f=PUBLIC[name]: answer(f)(x, x), label="itself", dtype="bool", grads=(), nan=())
row("equal", np.array_equal, "any any", (((3, 4), (4,)), ((1,), ())), answer(tt.equal), label="shapes", dtype="bool", grads=(), nan=())

# ---------------------------------------------------------------------------------------------------------------- mixtures
elementwise("lerp", lambda x, y, w: x + w * (y - x), "any any any", ulps=4, scale=6)
elementwise("lerp", lambda x, y: x + 0.3 * (y - x), "any any", wrap(tt.lerp, weight=0.3), label="number", ulps=3, scale=4)
elementwise("addcmul", lambda x, y, z: x + 0.5 * y * z, "any any any", wrap(tt.addcmul, value=0.5), ulps=2, scale=4)
elementwise("addcdiv", lambda x, y, z: x - 2 * y / z, "any any any", wrap(tt.addcdiv, value=-2.0), ulps=3, scale=40)
row("addmm", lambda x, a, b: x + a @ b, "any any any", (((3, 5), (3, 4), (4, 5)), ((5,), (3, 4), (4, 5)), ((), (1, 2), (2, 1)), ((3, 1), (3, 0), (0, 2)), ((2,), (0, 3), (3, 2))), scale=16)
row("addmm", lambda x, a, b: 0.5 * x - 2 * (a @ b), "any any any", (((3, 5), (3, 4), (4, 5)),), wrap(tt.addmm, beta=0.5, alpha=-2.0), label="scaled", scale=40)
row("addmm", lambda x, a, b: a @ b, "any any any", (((3, 5), (3, 4), (4, 5)),), wrap(tt.addmm, beta=0), label="beta=0", scale=16, grads=(1, 2), nan=(1, 2))
row("baddbmm", lambda x, a, b: 2 * x + a @ b, "any any any", (((2, 3, 5), (2, 3, 4), (2, 4, 5)), ((5,), (2, 3, 4), (2, 4, 5)), ((2, 1, 1), (2, 0, 3), (2, 3, 2))), wrap(tt.baddbmm, beta=2.0), scale=16)


def _ints(x: Any) -> Any:
    """Positive floats as integers from 1."""
    return tt.from_numpy(_ints(x.numpy())) if isinstance(x, tt.Tensor) else (np.abs(x) * 3).astype(np.int64) + 1
