"""Rows of the table: statistics.py and cumulative.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from table import DIMS, NOTHING, REDUCED, Shapes, detached, over, row, variance, wrap

import tinytensor as tt
from tinytensor.ops import PUBLIC

# a row is a line
# fmt: off
MORE: tuple[Shapes, ...] = (((3, 4),), ((2, 3, 4),), ((2, 33),))  # at least two along each dimension


# -------------------------------------------------------------------------------------------------------- order statistics
def lower_median(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The element in the lower middle of the sorted ones; along dim with its index. NaN wins."""
    if dim is None:
        return np.nan if np.isnan(x).any() else np.sort(x, None)[(x.size - 1) // 2]
    order = np.argsort(x, dim, kind="stable")
    i = np.take(order, [(x.shape[dim] - 1) // 2], dim)
    nan = np.isnan(x)
    i = np.where(nan.any(dim, keepdims=True), nan.argmax(dim, keepdims=True), i)
    v = np.take_along_axis(x, i, dim)
    return (v, i) if keepdim else (v.squeeze(dim), i.squeeze(dim))


def with_holes(x: Any) -> Any:
    """x with NaN at every fifth element."""
    hole = (np.arange(math.prod(x.shape)) % 5 == 1).reshape(x.shape)
    if isinstance(x, tt.Tensor):
        return tt.where(tt.tensor(hole), math.nan, x)
    return np.where(hole, np.asarray(math.nan, x.dtype), x)


def ranked(x: Any, q: Any, dim: int | None = None, keepdim: bool = False, method: str = "linear") -> Any:
    return np.quantile(x, q, axis=dim, keepdims=keepdim, method=method)


def most_frequent(x: Any, dim: int, keepdim: bool = False) -> Any:
    def one(v: Any) -> Any:
        if np.isnan(v).any():
            return math.nan, int(np.isnan(v).argmax())
        values = sorted(v.tolist())
        best = max(values, key=lambda a: (values.count(a), -a))
        return best, max(i for i, a in enumerate(v) if a == best)

    found = np.apply_along_axis(one, dim, x)
    v, i = (np.take(found, [k], dim) for k in (0, 1))
    return (v, i.astype(np.int64)) if keepdim else (v.squeeze(dim), i.squeeze(dim).astype(np.int64))


row("median", lower_median, "apart", (*REDUCED, ((),), ((5,),)), label="all", ulps=0)
row("nanmedian", lambda x: lower_median(with_holes(x)[~np.isnan(with_holes(x))]), "apart", MORE, lambda x: tt.nanmedian(with_holes(x)), label="all", ulps=0, nan=())
for label, how in (("dim", {"dim": 1}), ("keep", {"dim": 0, "keepdim": True}), ("last", {"dim": -1})):
    row("median", wrap(lower_median, **how), "apart", REDUCED, lambda x, how=how: tuple(tt.median(x, **how)), label=label, ulps=0)
    row("nanmedian", wrap(lower_median, **how), "apart", REDUCED, lambda x, how=how: tuple(tt.nanmedian(x, **how)), label=label, ulps=0, nan=())
    row("mode", wrap(most_frequent, **how), "apart", (*MORE, ((1, 1),)), lambda x, how=how: tuple(tt.mode(x, **how)), label=label, ulps=0)
    row("mode", wrap(most_frequent, **how), "small", (*MORE, ((1, 1),)), lambda x, how=how: tuple(tt.mode(detached(x), **how)), label=f"{label} ties", ulps=0)
for label, how in (("all", {}), ("dim", {"dim": 1}), ("keep", {"dim": 0, "keepdim": True}), ("keep all", {"keepdim": True})):
    for q in (0.3, [0.0, 0.25, 1.0]):
        more = label if q == 0.3 else f"{label} several"
        row("quantile", wrap(ranked, q=q, **how), "apart", REDUCED, wrap(tt.quantile, q=q, **how), label=more, ulps=4, scale=4)
        row("nanquantile", lambda x, q=q, how=how: np.nanquantile(with_holes(x), q, axis=how.get("dim"), keepdims=how.get("keepdim", False)), "apart", MORE,
            lambda x, q=q, how=how: tt.nanquantile(with_holes(x), q, **how), label=more, ulps=4, scale=4, nan=())
for method in ("lower", "higher", "midpoint", "nearest"):
    row("quantile", wrap(ranked, q=[0.1, 0.6], dim=1, method=method), "apart", MORE, wrap(tt.quantile, q=[0.1, 0.6], dim=1, interpolation=method), label=method, ulps=1, scale=4)

# ----------------------------------------------------------------------------------------------------- NaN left out, pairs
for label, how in DIMS:
    row("nansum", lambda x, how=how: over(np.nansum)(with_holes(x), **how), "any", (*REDUCED, *NOTHING), lambda x, how=how: tt.nansum(with_holes(x), **how), label=label, scale=20, nan=())
    row("nanmean", lambda x, how=how: over(np.nanmean)(with_holes(x), **how), "any", MORE, lambda x, how=how: tt.nanmean(with_holes(x), **how), label=label, scale=4, nan=())
    row("var_mean", lambda x, how=how: (variance(x, **how), over(np.mean)(x, **how)), "any", MORE, wrap(tt.var_mean, **how), label=label, ulps=6, scale=2)
    row("std_mean", lambda x, how=how: (np.sqrt(variance(x, correction=0, **how)), over(np.mean)(x, **how)), "any", MORE, wrap(tt.std_mean, correction=0, **how), label=label, ulps=6, scale=2)
    if "keepdim" not in how:
        row("count_nonzero", wrap(over(np.count_nonzero), **how), "small", (*REDUCED, *NOTHING), wrap(tt.count_nonzero, **how), label=label, dtype="int64")
for label, how in (("all", {}), ("dim", {"dim": 1}), ("keep", {"dim": 0, "keepdim": True})):
    row("aminmax", lambda x, how=how: (over(np.min)(x, **how), over(np.max)(x, **how)), "apart", REDUCED, lambda x, how=how: tuple(tt.aminmax(x, **how)), label=label, ulps=0)
row("cov", np.cov, "any", (((3, 4),), ((5,),), ((2, 3),)), lambda x: tt.cov(x), ulps=8, scale=4)
row("cov", wrap(np.cov, ddof=0), "any", (((3, 4),), ((5,),)), wrap(tt.cov, correction=0), label="biased", ulps=8, scale=4)
row("corrcoef", np.corrcoef, "any", (((3, 6),), ((2, 5),)), ulps=8, scale=1)

# -------------------------------------------------------------------------------------------------------------- cumulative
ALONG: tuple[tuple[str, int], ...] = (("first", 0), ("second", 1), ("last", -1))
LONG: tuple[Shapes, ...] = (*REDUCED, *NOTHING, ((3, 7, 2),))


def running(better: Any) -> Any:
    """Values and last indices of the running extreme, one element after the other."""

    def one(v: Any) -> Any:
        at = [0]
        for i in range(1, len(v)):
            at.append(i if np.isnan(v[i]) or (not np.isnan(v[at[-1]]) and better(v[i], v[at[-1]])) else at[-1])
        return np.array([v[at], at])

    def reference(x: Any, dim: int) -> Any:
        moved = np.moveaxis(x, dim, -1)
        rows = moved.reshape(-1, moved.shape[-1]) if x.size else []
        found = np.stack([one(v) for v in rows], 1).reshape(2, *moved.shape) if x.size else np.zeros((2, *moved.shape))
        return np.moveaxis(found[0], -1, dim), np.moveaxis(found[1], -1, dim).astype(np.int64)

    return reference


for label, d in ALONG:
    row("cumsum", wrap(np.cumsum, axis=d), "any", LONG, wrap(tt.cumsum, dim=d), label=label, ulps=2, scale=20)
    row("cumprod", wrap(np.cumprod, axis=d), "any", LONG, wrap(tt.cumprod, dim=d), label=label, ulps=40)
    row("logcumsumexp", wrap(np.logaddexp.accumulate, axis=d), "any", LONG, wrap(tt.logcumsumexp, dim=d), label=label, ulps=4, scale=4)
    row("cummax", wrap(running(lambda a, b: a >= b), dim=d), "apart", LONG, lambda x, d=d: tuple(tt.cummax(x, d)), label=label, ulps=0)
    row("cummin", wrap(running(lambda a, b: a <= b), dim=d), "apart", LONG, lambda x, d=d: tuple(tt.cummin(x, d)), label=label, ulps=0)
    row("cummax", wrap(running(lambda a, b: a >= b), dim=d), "small", LONG, lambda x, d=d: tuple(tt.cummax(detached(x), d)), label=f"{label} ties", ulps=0)
    row("diff", wrap(np.diff, axis=d), "any", LONG, wrap(tt.diff, dim=d), label=label, ulps=0.5)
row("cumsum", lambda x: x, "any", (((),),), wrap(tt.cumsum, dim=0), label="0-d", ulps=0)
row("cumprod", lambda x: x, "any", (((),),), wrap(tt.cumprod, dim=0), label="0-d", ulps=0)
row("cumprod", lambda x: np.cumprod(np.where(x > 0, x, 0 * x), 1), "any", (((3, 7),),), lambda x: tt.cumprod(tt.where(x > 0, x, tt.mul(x, 0.0)), 1), label="zeros", ulps=20, nan=())
row("diff", lambda x: np.diff(x, 2), "any", (*MORE, ((3, 1),), ((5,),)), wrap(tt.diff, n=2), label="twice", ulps=1.5, scale=4)
row("diff", lambda x, a, b: np.diff(x, 1, -1, a, b), "any any any", (((3, 4), (3, 1), (3, 2)), ((2,), (1,), (1,))), lambda x, a, b: tt.diff(x, prepend=a, append=b), label="joined", ulps=0.5)
for name, total in (("trapezoid", np.sum), ("cumulative_trapezoid", np.cumsum)):
    whole: Any = lambda y, x=None, dx=1.0, axis=-1, total=total: total(_areas(y, x, dx, axis), axis=axis)  # noqa: E731
    for label, d in ALONG:
        row(name, wrap(whole, dx=0.3, axis=d), "any", LONG, wrap(PUBLIC[name], dx=0.3, dim=d), label=label, scale=20)
    row(name, wrap(whole, axis=1), "any apart", (((3, 4), (4,)), ((2, 3, 4), (3,)), ((3, 4), (3, 4))), wrap(PUBLIC[name], dim=1), label="points", ulps=4, scale=40)


def _areas(y: Any, x: Any, dx: float, axis: int) -> Any:
    y = np.moveaxis(y, axis, -1)
    steps = dx if x is None else np.diff(x) if x.ndim == 1 else np.diff(np.moveaxis(x, axis, -1))
    return np.moveaxis((y[..., 1:] + y[..., :-1]) / 2 * steps, -1, axis)
