"""What fuzz_values.py calls, and what NumPy says of it: one maker for each family of functions. A maker draws the arguments; the
reference works in doubles, or exactly in integers, and raises where the documentation says that the call does."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from fuzz_draw import MILD, Call, Draw, axes_of, axis_of, case, method, promoted, refuse
from table import ROWS, erf, sigmoid
from table_elementary import erfc

import tinytensor as tt
import tinytensor.nn.functional as F

# fmt: off
# ------------------------------------------------------------------------------------------------------------ elementwise
BOUND: dict[str, float] = {}
for _row in ROWS:
    if not _row.label and not _row.scale:
        BOUND[_row.name] = max(BOUND.get(_row.name, 0.0), _row.ulps)

UNARY: dict[str, Any] = {
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x, "sin": np.sin, "cos": np.cos,
    "tanh": np.tanh, "erf": erf, "erfc": erfc, "log2": np.log2, "log10": np.log10, "exp2": np.exp2, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "sigmoid": lambda x: np.where(np.isinf(x), (x > 0) * 1.0, sigmoid(np.where(np.isinf(x), 0, x))),
}
EXACT: dict[str, Any] = {
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "square": np.square, "trunc": np.trunc, "floor": np.floor, "ceil": np.ceil, "round": np.rint, "isnan": np.isnan, "isinf": np.isinf,
    "isfinite": np.isfinite, "isposinf": lambda x: x == np.inf, "isneginf": lambda x: x == -np.inf, "signbit": lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0,
    "logical_not": np.logical_not, "relu": lambda x: np.where(x > 0, x, np.where(np.isnan(x), x, 0)), "frac": lambda x: x - (np.trunc(x) if x.dtype.kind == "f" else x), "bitwise_not": np.invert, "positive": lambda x: x,
}


def kept(function: Any, name: str) -> Any:
    """A rounding, or the like, that leaves integers and bools as they are."""
    def reference(x: Any) -> Any:
        refuse(TypeError, x.dtype.kind == "b" and name in ("neg", "positive", "frac"))
        refuse(TypeError, x.dtype.kind == "f" and name == "bitwise_not")
        if x.dtype.kind == "f" or (name.startswith(("is", "log", "sig")) and name != "sign"):
            return function(x)
        if name in ("trunc", "floor", "ceil", "round") or (x.dtype.kind == "b" and name == "sign"):
            return x
        return np.square(x.astype(np.int64)) if name == "square" and x.dtype.kind == "b" else function(x)
    return reference


@case(" ".join(UNARY))
def unary(d: Draw, name: str) -> Call:
    return Call(name, [d.array(d.shape(), "n" if d.chance(0.2) else "f")], method(d, name), UNARY[name], BOUND.get(name, 3.0), floats=True)


@case(" ".join(EXACT))
def exact_unary(d: Draw, name: str) -> Call:
    x = d.array(d.shape(), "float32" if name == "relu" else "n")
    return Call(name, [x], method(d, name), EXACT[name] if name == "relu" else kept(EXACT[name], name), 0.5 if name in ("square", "frac") else 0.0)


def integer_power(x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return np.power(x, y)
    refuse(ValueError, bool((np.asarray(y) < 0).any()))
    return np.power(x, y, dtype=np.int64) if x.dtype.kind == "b" else np.power(x, y)


def whole(function: Any, bools: bool = False) -> Any:
    """A division of integers, by 0 an error."""
    def reference(x: Any, y: Any) -> Any:
        refuse(TypeError, x.dtype.kind == "b" and not bools)
        refuse(ZeroDivisionError, x.dtype.kind != "f" and bool((y == 0).any()))
        return function(x, y)
    return reference


def checked(kinds: str, function: Any) -> Any:
    def reference(x: Any, y: Any) -> Any:
        refuse(TypeError, np.asarray(x).dtype.kind not in kinds)
        return function(x, y)
    return reference


BINARY: dict[str, Any] = {
    "add": np.add, "sub": checked("iuf", np.subtract), "mul": np.multiply, "div": np.divide, "pow": integer_power, "maximum": np.maximum, "minimum": np.minimum,
    "floor_divide": whole(np.floor_divide), "fmod": whole(np.fmod), "remainder": whole(np.remainder), "copysign": np.copysign, "hypot": np.hypot, "atan2": np.arctan2,
    "logaddexp": np.logaddexp, "logaddexp2": np.logaddexp2, "bitwise_and": checked("biu", np.bitwise_and), "bitwise_or": checked("biu", np.bitwise_or), "bitwise_xor": checked("biu", np.bitwise_xor),
    "gcd": checked("iu", np.gcd), "lcm": checked("iu", np.lcm), "bitwise_left_shift": checked("iu", np.left_shift), "bitwise_right_shift": checked("iu", np.right_shift),
    "heaviside": np.heaviside,
}
FLOATS = {"div", "copysign", "hypot", "atan2", "logaddexp", "logaddexp2", "heaviside"}
COMPARED = {n: getattr(np, {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}.get(n, n))
            for n in ["eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor"]}
OPERATORS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "pow": operator.pow, "floor_divide": operator.floordiv, "remainder": operator.mod,
             "bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_xor": operator.xor, "bitwise_left_shift": operator.lshift, "bitwise_right_shift": operator.rshift}
SCALED = {"logaddexp": 2.0, "logaddexp2": 2.0}


@case(" ".join(BINARY))
def binary(d: Draw, name: str) -> Call:
    shape = d.shape()
    kinds = "i" if name in ("gcd", "lcm") or "bit" in name else d.one_of("ffn")
    x, y = d.array(d.broadcastable(shape), kinds), d.array(d.broadcastable(shape), kinds if d.chance(0.9) else "n")
    f = OPERATORS[name] if name in OPERATORS and d.chance(0.4) else method(d, name)
    c = d.number() if d.chance(0.2) else None
    flip = c is not None and f is OPERATORS.get(name) and d.chance(0.4)
    ulps = {"floor_divide": 0.5, "fmod": 0.0, "remainder": 1.0, "copysign": 0.0}.get(name, BOUND.get(name, 4.0))
    kept_scale = SCALED.get(name)
    size: Any = None if kept_scale is None else lambda *a: np.maximum(kept_scale, np.max(np.abs(np.broadcast_arrays(*a)), 0))
    if name == "remainder":  # one addition of the divisor
        size = lambda *a: a[1]  # noqa: E731
    if c is None:
        return Call(name, [x, y], f, BINARY[name], ulps, size, promote=True, floats=name in FLOATS)
    dtype = promoted([x, c])
    if dtype.kind != "f" and name in FLOATS:
        dtype = np.dtype("float32")

    def theirs(x: Any) -> Any:
        with np.errstate(all="ignore"):
            if dtype.kind == "u" and not isinstance(c, bool) and c < 0:
                k: Any = np.asarray(c).astype(dtype)
            else:
                k = np.asarray(c, dtype)
        a, b = x.astype(dtype), k
        a, b = (v.astype(np.float64) if dtype.kind == "f" else v for v in (a, b))
        return BINARY[name](b, a) if flip else BINARY[name](a, b)

    return Call(f"{name} with {c!r}{' first' if flip else ''}", [x], (lambda x: f(c, x)) if flip else lambda x: f(x, c), theirs, ulps, None if size is None else lambda x: size(x, np.full((), c)), floats=dtype.kind == "f", smooth=abs(c) < 1e3)


@case(" ".join(COMPARED))
def compared(d: Draw, name: str) -> Call:
    shape = d.shape()
    same = d.dtype("n")
    x, y = d.array(d.broadcastable(shape), same), d.array(d.broadcastable(shape), same)
    return Call(name, [x, y], method(d, name), COMPARED[name])


@case("where lerp addcmul addcdiv clamp nan_to_num isclose xlogy")
def several(d: Draw, name: str) -> Call:
    shape = d.shape()
    x, y, z = (d.array(d.broadcastable(shape), "f") for _ in range(3))
    if name == "where":
        c = d.array(d.broadcastable(shape), "b")
        kinds = d.dtype("n")
        return Call(name, [c, d.array(x.shape, kinds), d.array(y.shape, kinds)], tt.where, np.where)
    if name == "clamp":
        low, high = sorted(d.n.uniform(-2, 2, 2).tolist())
        low, high = d.one_of([(low, high), (low, None), (None, high), (high, low), (-1, 1)])
        limit = x.dtype.type
        bounds = [None if b is None else float(limit(b)) for b in (low, high)]
        clipped = lambda x: np.clip(x, *bounds) if None in bounds or bounds[0] <= bounds[1] else np.where(np.isnan(x), x, bounds[1])  # noqa: E731
        return Call(f"clamp({low}, {high})", [x], lambda x: method(d, name)(x, low, high), clipped)
    if name == "nan_to_num":
        return Call(name, [x], lambda x: tt.nan_to_num(x, 1.5, 2.5, -3.5), lambda x: np.nan_to_num(x, nan=1.5, posinf=2.5, neginf=-3.5))
    if name == "isclose":
        same = y.astype(x.dtype)
        nan = d.chance(0.5)
        d.regime = "whole"
        return Call(name, [x, same], lambda x, y: tt.isclose(x, y, 0.5, 0.0, nan), lambda x, y: np.isclose(x, y, 0.5, 0.0, nan), smooth=False)
    if name == "xlogy":
        return Call(name, [x, y], tt.xlogy, lambda x, y: np.where((x == 0) & ~np.isnan(y), 0, x * np.log(y)), 4.0, promote=True, smooth=False)
    if name == "lerp":
        span = lambda x, y, w: np.abs(x) + (np.abs(x) + np.abs(y)) * (1 + np.abs(w))  # noqa: E731
        def mixed(x: Any, y: Any, w: Any) -> Any:
            return np.where(np.abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1 - w))
        return Call(name, [x, y, z], tt.lerp, mixed, 8.0, span, promote=True)
    if name == "addcmul":
        return Call(name, [x, y, z], lambda x, y, z: tt.addcmul(x, y, z, value=0.5), lambda x, y, z: x + 0.5 * (y * z), 4.0, lambda x, y, z: np.abs(x) + np.abs(y * z), promote=True)
    return Call(name, [x, y, z], lambda x, y, z: tt.addcdiv(x, y, z, value=-2.0), lambda x, y, z: x + -2.0 * (y / z), 6.0, lambda x, y, z: np.abs(x) + 2 * np.abs(y / z), promote=True)


CHANGING = [n for n in (*UNARY, *EXACT, *BINARY) if hasattr(tt.Tensor, f"{n}_") and n != "relu"]
RANK = {"b": 0, "u": 1, "i": 1, "f": 2}


@case(" ".join(f"{n}_" for n in CHANGING))
def in_place(d: Draw, name: str) -> Call:
    """The method that changes its tensor; its second argument may lie in the same memory."""
    bare, f = name[:-1], getattr(tt.Tensor, name)
    if bare not in BINARY:
        ulps = (0.5 if bare in ("square", "frac") else 0.0) if bare in EXACT else BOUND.get(bare, 3.0)
        return Call(name, [d.array(d.shape(), "f")], f, kept(EXACT[bare], bare) if bare in EXACT else UNARY[bare], ulps, smooth=False, changes=True)
    shape = d.shape()
    kinds = d.one_of("ffn")
    x, y = d.array(shape, kinds), d.array(d.broadcastable(shape), kinds if d.chance(0.9) else "n")
    ulps = {"floor_divide": 0.5, "fmod": 0.0, "remainder": 1.0, "copysign": 0.0}.get(bare, BOUND.get(bare, 4.0))
    aliased = d.chance(0.2) and x.ndim > 0
    square = x.ndim == 2 and x.shape[0] == x.shape[1]

    def other(x: Any) -> Any:
        return x.T if square else x[::-1] if isinstance(x, np.ndarray) else x[(slice(None, None, -1),)]

    dtype = promoted([x, x if aliased else y])
    if dtype.kind != "f" and bare in FLOATS:
        dtype = np.dtype("float32")

    ulps += 0.5 * (dtype != x.dtype)  # computed in doubles and rounded

    def theirs(*given: Any) -> Any:
        a = [v.astype(dtype).astype(np.float64) if dtype.kind == "f" else v.astype(dtype) for v in given]
        found = BINARY[bare](a[0], other(a[0]) if aliased else a[1])
        refuse(ValueError, found.shape != x.shape)
        refuse(TypeError, RANK[found.dtype.kind] > RANK[x.dtype.kind])
        return found if dtype.kind == "f" else found.astype(x.dtype)

    size: Any = (lambda *a: other(a[0]) if aliased else a[1]) if bare == "remainder" else None
    return Call(f"{name}{' aliased' if aliased else ''}", [x] if aliased else [x, y], (lambda x: f(x, other(x))) if aliased else f, theirs, ulps, size, smooth=False, changes=True)


# -------------------------------------------------------------------------------------------------------------- reductions
def length(x: Any, axes: Any) -> int:
    return math.prod(x.shape if axes is None else [x.shape[a] for a in axes])


def nonempty(x: Any, axes: Any) -> None:
    refuse(ValueError, length(x, axes) == 0)


def summed(function: Any) -> Any:
    """NumPy's sum or product, of integers as int64."""
    return lambda x, **how: function(x if x.dtype.kind == "f" else x.astype(np.int64), **how)


def floats_only(x: Any) -> None:
    refuse(TypeError, x.dtype.kind != "f")


def var_of(x: Any, axis: Any, keepdims: bool, correction: float) -> Any:
    m = x.sum(axis=axis, keepdims=True) / length(x, axis) if length(x, axis) else x.sum(axis=axis, keepdims=True) * np.nan
    s = ((x - m) ** 2).sum(axis=axis, keepdims=keepdims)
    return s / max(length(x, axis) - correction, 0)


def norm_of(x: Any, axis: Any, keepdims: bool, p: Any) -> Any:
    a = np.abs(x)
    if p in (math.inf, -math.inf):
        nonempty(x, axis)
        return (np.max if p > 0 else np.min)(a, axis=axis, keepdims=keepdims)
    if p == 0:
        return (a != 0).sum(axis=axis, keepdims=keepdims).astype(np.float64)
    return (a ** p).sum(axis=axis, keepdims=keepdims) ** (1 / p)


@case("sum mean prod amax amin all any nansum nanmean var std norm logsumexp count_nonzero")
def reduced(d: Draw, name: str) -> Call:
    shape = d.shape()
    exact = name in ("amax", "amin", "all", "any", "count_nonzero")
    if name in ("var", "std", "norm", "prod", "mean", "nanmean"):
        d.special = MILD  # no sum leaves the dtype on its way
        d.regime = "plain" if d.regime == "spread" else d.regime  # squares of such leave the dtype
    x = d.array(shape, "n" if exact or d.chance(0.3) else "f")
    if name == "norm" and x.dtype.kind != "f":
        x, d.tied = x.astype(np.float32), True
    if name == "prod" and x.dtype.kind != "f":
        x = np.asarray(np.sign(x)) if x.dtype.kind == "i" else x
    if name == "prod" and x.dtype.kind == "f" and d.regime == "plain":
        x = np.asarray(np.sign(x) * np.abs(x) ** (8 / max(8, x.size))).astype(x.dtype)  # else partial products leave the dtype
    dim, keep = d.dims(x.ndim), d.chance(0.4)
    how: dict[str, Any] = {"dim": dim, **({"keepdim": keep} if name != "count_nonzero" else {})}
    more: dict[str, Any] = {}
    if name in ("var", "std"):
        more = {"correction": d.one_of([0, 1, 1, 2, 0.5])}
    elif name == "norm":
        more = {"p": d.one_of([2, 2, 1, 0, 3, math.inf, -math.inf, 0.5])}
    f = method(d, name)

    def theirs(x: Any) -> Any:
        if name in ("mean", "nanmean", "var", "std"):
            floats_only(x)
        axes = axes_of(x, dim)
        now: dict[str, Any] = {"axis": axes, "keepdims": keep if "keepdim" in how else False}
        if name in ("amax", "amin"):
            nonempty(x, axes)
            return (np.max if name == "amax" else np.min)(x, **now)
        if name in ("mean", "nanmean"):
            n = length(x, axes)
            if name == "mean":
                return np.sum(x, **now) / (n or np.nan)
            return np.nansum(x, **now) / np.where(np.sum(x == x, **now) == 0, np.nan, np.sum(x == x, **now))
        if name in ("var", "std"):
            v = var_of(x, correction=more["correction"], **now)
            return np.sqrt(v) if name == "std" else v
        if name == "norm":
            return norm_of(x, p=more["p"], **now)
        if name == "logsumexp":
            x = x.astype(np.float64)
            top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
            shift = np.where(np.isfinite(top), top, 0.0)
            found = np.log(np.sum(np.exp(x - shift), axis=axes, keepdims=True)) + shift
            found = np.where(np.isposinf(top) & ~np.isnan(found), np.inf, found)
            return found if keep else found.reshape(np.sum(x, axis=axes).shape)
        if name == "count_nonzero":
            return np.sum(x != 0, axis=axes, dtype=np.int64)
        return summed(getattr(np, name))(x, **now) if name in ("sum", "prod", "nansum") else getattr(np, name)(x, **now)

    def wide(x: Any) -> Any:
        """theirs in long doubles: NumPy adds in one chain along all but the last axis."""
        found = theirs(x.astype(np.longdouble) if x.dtype.kind == "f" else x)
        return np.asarray(found).astype(np.float64) if np.asarray(found).dtype.kind == "f" else found

    n = max(x.size, 2)
    grow = 4 + math.log2(n)
    now = lambda x: {"axis": axes_of(x, dim), "keepdims": keep}  # noqa: E731
    size: Any = None
    ulps = grow
    if name in ("sum", "nansum"):
        size = lambda x: np.nansum(np.abs(x), **now(x)) if name == "nansum" else np.sum(np.abs(x), **now(x))  # noqa: E731
    elif name in ("mean", "nanmean"):
        size = lambda x: np.nansum(np.abs(x), **now(x)) / max(1, np.min(np.sum(x == x, **now(x)), initial=n))  # noqa: E731
    elif name == "prod":
        ulps = float(n)
    elif name in ("var", "std"):
        size = lambda x: np.maximum(theirs(x), np.max(np.abs(x), initial=0) ** (2 if name == "var" else 1))  # noqa: E731
    elif name == "norm":
        ulps = grow + 12
    elif name == "logsumexp":
        size = lambda x: 3 + np.max(np.abs(np.where(np.isfinite(x), x, 0)), initial=0)  # noqa: E731
    elif exact:
        ulps = 0.0
    return Call(f"{name}({how} {more})", [x], lambda x: f(x, **how, **more), theirs if exact else wide, ulps, size, floats=name in ("logsumexp",))


@case("max min argmax argmin median nanmedian cummax cummin aminmax")
def extremes(d: Draw, name: str) -> Call:
    x = d.array(d.shape(), "n" if name not in ("nanmedian",) else "f")
    running = name.startswith("cum")
    dim: Any = d.dim(x.ndim) if running or d.chance(0.7) else None
    keep = d.chance(0.4) and dim is not None
    f = method(d, name)
    largest = "max" in name

    def along(x: Any, pick: Any) -> Any:
        axes = axes_of(x, dim)
        if x.ndim == 0:
            return x, np.zeros((), np.int64)
        refuse(ValueError, x.shape[axes[0]] == 0)
        i = pick(x, axes[0])
        v = np.take_along_axis(x, i, axes[0])
        return (v, i) if keep else (v.squeeze(axes[0]), i.squeeze(axes[0]))

    def middle(x: Any, a: int) -> Any:
        order, nan = np.argsort(x, a, kind="stable"), np.isnan(x)
        n = (~nan).sum(a, keepdims=True) if name == "nanmedian" else x.shape[a]
        i = np.take_along_axis(order, np.broadcast_to(np.maximum(np.asarray(n) - 1, 0) // 2, tuple(1 if k == a else m for k, m in enumerate(x.shape))), a)
        return i if name == "nanmedian" else np.where(nan.any(a, keepdims=True), nan.argmax(a)[(*(slice(None),) * a, None)], i)

    def last(x: Any, a: int) -> Any:
        out = np.zeros(x.shape, np.int64)
        moved, to = np.moveaxis(x, a, -1), np.moveaxis(out, a, -1)
        for at in np.ndindex(*moved.shape[:-1]):
            row, best = moved[at], 0
            for j in range(len(row)):
                old, new = row[best], row[j]
                if new != new or (old == old and (new >= old if largest else new <= old)):
                    best = j
                to[(*at, j)] = best
        return out

    def theirs(x: Any) -> Any:
        axes = axes_of(x, dim)
        if running:
            if x.ndim == 0:
                return x, np.zeros((), np.int64)
            i = last(x, axes[0])
            return np.take_along_axis(x, i, axes[0]), i
        if name == "aminmax":
            nonempty(x, axes)
            return np.min(x, axis=axes, keepdims=keep), np.max(x, axis=axes, keepdims=keep)
        if name.startswith("arg"):
            nonempty(x, axes)
            g = getattr(np, name)
            return g(x, axis=axes[0] if axes else None, keepdims=keep) if dim is not None else np.asarray(g(x))
        if "med" in name:
            if dim is not None:
                return along(x, middle)
            if x.size == 0:
                refuse(ValueError, x.dtype.kind != "f")
                return np.asarray(np.nan)
            return x.ravel()[middle(x.ravel(), 0)[0]]
        if dim is None:
            nonempty(x, None)
            return getattr(np, name)(x)
        return along(x, lambda x, a: getattr(np, "argmax" if largest else "argmin")(x, axis=a, keepdims=True))

    ours = (lambda x: f(x, dim)) if running else (lambda x: f(x)) if dim is None else (lambda x: f(x, dim=dim, keepdim=keep))
    return Call(f"{name}({dim}, {keep})", [x], ours, theirs, smooth=d.regime == "plain")


@case("cumsum cumprod diff logcumsumexp trapezoid softmax log_softmax")
def along_one(d: Draw, name: str) -> Call:
    if name in ("cumprod", "trapezoid"):
        d.special = MILD
        d.regime = "plain" if d.regime == "spread" else d.regime
    x = d.array(d.shape(), "n" if name in ("cumsum", "diff") and d.chance(0.3) else "f")
    dim = d.dim(x.ndim)
    n = x.shape[dim] if x.ndim and -x.ndim <= dim < x.ndim else 1
    f = method(d, name)
    if name in ("cumsum", "cumprod"):
        g = np.cumsum if name == "cumsum" else np.cumprod
        def theirs(x: Any) -> Any:
            axes = axes_of(x, dim)
            x = x if x.dtype.kind == "f" else x.astype(np.int64)
            return g(x, axis=axes[0]) if axes else x
        size: Any = (lambda x: np.cumsum(np.abs(x), axis=axes_of(x, dim)[0]) if x.ndim else np.abs(x)) if name == "cumsum" else None
        return Call(f"{name}({dim})", [x], lambda x: f(x, dim), theirs, n + 2.0, size)
    if name == "diff":
        times = d.one_of([1, 1, 0, 2, 3])
        def differences(x: Any) -> Any:
            refuse(ValueError, x.ndim == 0)
            return np.diff(x, times, axis_of(x, dim))
        return Call(f"diff({times}, {dim})", [x], lambda x: f(x, times, dim), differences, 1.0 + 2 * times, lambda x: np.full((), 2.0 ** times * np.max(np.abs(x), initial=0)))
    if name == "logcumsumexp":
        d.regime = d.regime if d.regime in ("plain", "whole") else "plain"
        x = d.array(x.shape, "f")
        return Call(f"{name}({dim})", [x], lambda x: f(x, dim), lambda x: np.logaddexp.accumulate(x.astype(np.longdouble), axis=axes_of(x, dim)[0]).astype(np.float64) if x.ndim else (axes_of(x, dim), x)[1], 4 + 2 * math.log2(max(n, 2)), lambda x: 3 + np.abs(x).max(initial=0))
    if name == "trapezoid":
        def areas(y: Any) -> Any:
            refuse(ValueError, y.ndim == 0 and dim in (0, -1))
            return np.trapezoid(y, dx=0.25, axis=axis_of(y, dim))
        return Call(f"{name}({dim})", [x], lambda y: tt.trapezoid(y, dx=0.25, dim=dim), areas, 6 + math.log2(max(n, 2)), lambda y: np.trapezoid(y, dx=0.25, axis=axis_of(y, dim)))
    def soft(x: Any) -> Any:
        axes = axes_of(x, dim)
        if not x.ndim:
            return np.where(np.isfinite(x), 1.0 if name == "softmax" else 0.0, np.nan)
        a = axes[0]
        top = x.max(a, keepdims=True, initial=-np.inf)
        e = np.exp(x - top)
        s = e.sum(a, keepdims=True, dtype=np.longdouble).astype(np.float64)  # NumPy adds in one chain along all but the last axis
        return e / s if name == "softmax" else x - top - np.log(s)
    span = float(np.abs(np.where(np.isfinite(x), x, 0)).max(initial=0))  # rounding x - max is an error of the exponent
    return Call(f"{name}({dim})", [x], lambda x: f(x, dim), soft, 6 + math.log2(max(n, 2)) + min(2 * span, 1500) * (name == "softmax"), None if name == "softmax" else lambda x: 4 + 2 * np.abs(np.where(np.isfinite(x), x, 0)).max(initial=0))


@case("quantile sort argsort topk kthvalue unique searchsorted")
def ordered(d: Draw, name: str) -> Call:
    x = d.array(d.shape(0, 3), "n" if name != "quantile" else "f")
    dim = d.dim(x.ndim)
    down = d.chance(0.5)
    f = method(d, name)

    def order(x: Any, a: int, down: bool) -> Any:
        if not down:
            return np.argsort(x, a, kind="stable")
        n = x.shape[a]
        return n - 1 - np.flip(np.argsort(np.flip(x, a), a, kind="stable"), a)

    if name in ("sort", "argsort"):
        def theirs(x: Any) -> Any:
            axes = axes_of(x, dim)
            i = order(x, axes[0], down) if x.ndim else np.zeros((), np.int64)
            return i if name == "argsort" else ((np.take_along_axis(x, i, axes[0]) if x.ndim else x), i)
        return Call(f"{name}({dim}, {down})", [x], lambda x: f(x, dim=dim, descending=down), theirs, smooth=d.regime == "plain")
    if name in ("topk", "kthvalue"):
        k = d.r.randint(0, 4)
        def best(x: Any) -> Any:
            axes = axes_of(x, dim)
            n = x.shape[axes[0]] if x.ndim else 1
            refuse(ValueError, not (k <= n if name == "topk" else 1 <= k <= n))
            if not x.ndim:
                return (x, np.zeros((), np.int64)) if k else (x.reshape(1)[:0], np.zeros(0, np.int64))
            i = order(x, axes[0], down and name == "topk")
            i = np.take(i, range(k) if name == "topk" else k - 1, axes[0])
            v = np.take_along_axis(x, i if name == "topk" else np.expand_dims(i, axes[0]), axes[0])
            return (v if name == "topk" else v.squeeze(axes[0])), i
        ours: Any = (lambda x: f(x, k, dim, down)) if name == "topk" else (lambda x: f(x, k, dim))
        return Call(f"{name}({k}, {dim}, {down})", [x], ours, best, smooth=d.regime == "plain")
    if name == "unique":
        back = d.chance(0.5) and d.regime != "special"  # NaN come in any order
        def distinct(x: Any) -> Any:
            u, i, n = np.unique(x, return_inverse=True, return_counts=True, equal_nan=False)
            return (u, i.reshape(x.shape), n) if back else u
        return Call(f"unique({back})", [x], lambda x: f(x, return_inverse=back, return_counts=back), distinct, smooth=False)
    if name == "searchsorted":
        v = d.array(d.shape(0, 2), str(x.dtype))
        s = np.sort(x.ravel())
        return Call(f"searchsorted({down})", [s, v], lambda s, v: tt.searchsorted(s, v, right=down), lambda s, v: np.searchsorted(s, v, "right" if down else "left"))
    q: Any = d.one_of([0.0, 0.25, 0.5, 1.0, [0.1, 0.9], [], 1.5])
    keep, one = d.chance(0.4), dim if d.chance(0.7) else None
    def ranked(x: Any) -> Any:
        axes = axes_of(x, one)
        refuse(ValueError, q == 1.5 or length(x, axes) == 0)
        return np.quantile(x, np.asarray(q, np.float64), axis=(axes[0] if axes else None) if one is not None else None, keepdims=keep)
    if d.regime in ("special", "spread"):
        d.regime = "plain"
        x = d.array(x.shape, "f")
    return Call(f"quantile({q}, {one}, {keep})", [x], lambda x: f(x, q, one, keep), ranked, 6.0, lambda x: np.max(np.abs(x), initial=0))


# ---------------------------------------------------------------------------------------------------------------- products
def chained(k: int) -> float:
    """The bound of one chain of k fused multiplications and additions."""
    return k + 2.0


@case("matmul mm mv bmm dot outer inner kron vdot linear addmm tensordot einsum cross trace")
def products(d: Draw, name: str) -> Call:
    k = d.one_of([0, 1, 2, 3, 5, 8, 16, 17, 33, 64, 200]) if name != "kron" else d.r.randint(1, 4)
    m, n = (d.one_of([0, 1, 2, 3, 7, 8, 14, 15, 16, 31, 32, 33]) for _ in range(2))
    b = d.r.randint(0, 3)
    wrong = d.chance(0.04)
    k2 = k + 1 if wrong else k
    if d.chance(0.01) and name in ("matmul", "mm", "linear"):
        m, n, k, k2 = 130, 66, 300, 300
    if name == "einsum" and d.regime == "special":
        d.regime = "plain"  # sums and products may change places, and with them infinities
    t = d.dtype("f")
    A = lambda *s: d.array(s, t)  # noqa: E731
    f = method(d, name)
    if name == "matmul":
        left, right = d.one_of([((m, k), (k2, n)), ((k,), (k2,)), ((k,), (k2, n)), ((m, k), (k2,)), ((b, m % 9, k), (k2, n)), ((b, m % 9, k), (b, k2, n % 9)), ((2, 1, m % 9, k), (3, k2, n % 9)), ((b, 3, k), (k2,)), ((), (k,))])
        return Call(name, [A(*left), A(*right)], operator.matmul if d.chance(0.5) else f, np.matmul, chained(k), np.matmul)
    if name == "mm":
        return Call(name, [A(m, k), A(k2, n)], f, np.matmul, chained(k), np.matmul)
    if name == "mv":
        return Call(name, [A(m, k), A(k2)], f, np.matmul, chained(k), np.matmul)
    if name == "bmm":
        x, y = A(b, m % 9, k), A(b + (wrong and d.chance(0.5)), k, n % 9)
        def batches(x: Any, y: Any) -> Any:
            refuse(ValueError, x.shape[0] != y.shape[0])
            return np.matmul(x, y)
        return Call(name, [x, y], f, batches, chained(k), batches)
    if name in ("dot", "vdot"):
        return Call(name, [A(k), A(k2)], f, np.dot, 4 + math.log2(k + 2), np.dot)
    if name == "outer":
        return Call(name, [A(m), A(n)], f, np.outer, 0.5)
    if name == "inner":
        shapes = d.one_of([((k,), (k2,)), ((m, k), (n % 7, k2)), ((), (m,)), ((b, 2, k), (3, k2))])
        def products(x: Any, y: Any) -> Any:  # NumPy's takes 0 times NaN for 0 where one is a number
            return np.inner(x, y) if x.ndim and y.ndim else x * y
        return Call(name, [A(*s) for s in shapes], f, products, chained(k), products)
    if name == "kron":
        x, y = A(*d.shape(0, 2, large=False)), A(k, 2)
        return Call(name, [x, y], f, np.kron, 0.5)
    if name == "linear":
        x = A(*d.one_of([(m, k), (k,), (b, m % 9, k), ()]))
        w, bias = A(n, k2), A(n)
        refused = lambda x, w, *b: (refuse(ValueError, x.ndim == 0), x @ w.T + (b[0] if b else 0))[1]  # noqa: E731
        arrays = [x, w, bias] if d.chance(0.7) else [x, w]
        return Call(name, arrays, F.linear, refused, chained(k + 1), refused)
    if name == "addmm":
        beta, alpha = d.one_of([(1, 1), (0.5, -2.0), (0, 1)])
        def added(x: Any, a: Any, c: Any) -> Any:
            p = a @ c
            refuse(ValueError, np.broadcast_shapes(x.shape, p.shape) != p.shape)
            return alpha * p + (beta * x if beta else 0)
        x = A(*d.broadcastable((m, n)))
        return Call(f"addmm({beta}, {alpha})", [x, A(m, k), A(k2, n)], lambda x, a, c: tt.addmm(x, a, c, beta=beta, alpha=alpha), added, chained(k) + 4, lambda x, a, c: abs(alpha) * (a @ c) + abs(beta) * x)
    if name == "tensordot":
        return Call(name, [A(2, m % 7, k), A(k2, 2, n % 7)], lambda x, y: tt.tensordot(x, y, ([0, 2], [1, 0])), lambda x, y: np.tensordot(x, y, ([0, 2], [1, 0])), chained(2 * k), lambda x, y: np.tensordot(x, y, ([0, 2], [1, 0])))
    if name == "einsum":
        text, left, right = d.one_of([("ij,jk->ik", (m, k), (k2, n)), ("ij,jk->ki", (m, k), (k2, n)), ("bij,bkj->bik", (b, 3, k), (b, n % 7, k2)), ("i,j->ji", (m,), (n,)), ("ij,ij->j", (m, k), (m, k)),
                                      ("...i,i->...", (b, 2, k), (k,)), ("ii,i->i", (k % 9, k % 9), (k % 9,)), ("ij,j", (m, k), (k2,)), ("ij,jx->", (m, k), (k, n % 4)), ("iq,jk->ik", (m, 2), (3, n))])
        sizes = lambda x, y: np.einsum(text, x, y)  # noqa: E731
        def contracted(x: Any, y: Any) -> Any:
            known: dict[str, int] = {}
            for labels, a in zip(text.split("->")[0].split(","), (x, y)):
                for c, size in zip(labels[::-1], a.shape[::-1]):
                    if c != ".":
                        refuse(ValueError, known.setdefault(c, size) not in (1, size) and size != 1)
            return np.einsum(text, x, y)
        return Call(f"einsum({text})", [A(*left), A(*right)], lambda x, y: tt.einsum(text, x, y), contracted, chained(max(k, 1) * 12 + m), sizes)
    if name == "cross":
        x = A(m, 3)
        return Call(name, [x, A(1 if d.chance(0.3) else m, 3)], lambda x, y: tt.cross(x, y, -1), np.cross, 3.0, lambda x, y: np.cross(x * [1, 1, 1], y * [1, 1, 1]) * 0 + np.abs(x).max(initial=0) * np.abs(y).max(initial=0) * 2)
    x = A(m, n)
    return Call(name, [x], f, np.trace, 4 + math.log2(m + 2), np.trace)
# fmt: on
