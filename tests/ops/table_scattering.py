"""Rows of scattering: masks, writes by index, counts. References are loops over the elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from table import UNARY, row, some_rows, wrap

import tinytensor as tt

# a row is a line
# fmt: off
ROWS_TWICE = np.array([2, 0, 2])
REDUCTIONS: dict[str, Callable[[list[Any]], Any]] = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}
WRITES: Any = (((3, 4), (2, 4)), ((2, 1), (3, 1)), ((3, 2, 2), (2, 2, 2)))


def reduced(x: Any, src: Any, dim: int, i: Any, reduce: str, include_self: bool) -> Any:
    """scatter_reduce, from a list of what goes to each place."""
    at: dict[Any, list[Any]] = {}
    for k in np.ndindex(*i.shape):
        at.setdefault((*k[:dim], int(i[k]), *k[dim + 1 :]), []).append(src[k])
    out = np.array(x)
    for k, values in at.items():
        out[k] = REDUCTIONS[reduce]([x[k], *values] if include_self else values)
    return out


def written(x: Any, src: Any, dim: int, i: Any) -> Any:
    """scatter, one element after another."""
    out = np.array(x)
    for k in np.ndindex(*i.shape):
        out[(*k[:dim], int(i[k]), *k[dim + 1 :])] = src[k] if isinstance(src, np.ndarray) else src
    return out


def assigned(x: Any, index: Any, values: Any) -> Any:
    out = np.array(x)
    out[index] = values
    return out


def accumulated(x: Any, index: Any, values: Any) -> Any:
    out = np.array(x)
    np.add.at(out, index, values)
    return out


def third(shape: Any) -> Any:
    return np.arange(math.prod(shape)).reshape(shape) % 3 == 0


def places(src: Any, x: Any) -> Any:
    """Places along dim 0 of x for each element of src, some twice."""
    return some_rows(src, src.shape[0]) % x.shape[0]


row("masked_select", lambda x: x[third(x.shape)], "any", UNARY, lambda x: tt.masked_select(x, third(x.shape)), ulps=0, nan=())
row("masked_select", lambda x: np.broadcast_to(x, (2, 3))[np.array([[True, True, False], [True, False, False]])], "any", (((3,),), ((1, 1),)),
    lambda x: tt.masked_select(x, np.array([[True, True, False], [True, False, False]])), ulps=0, label="broadcast", nan=())
row("nonzero", lambda x: np.argwhere(x), "small", (((3, 4),), ((5,),), ((),), ((0, 2),)), dtype="int64")
row("nonzero", lambda x: np.nonzero(np.atleast_1d(x)), "small", (((5,),), ((),), ((0,),), ((2, 3),)), wrap(tt.nonzero, as_tuple=True), dtype="int64", label="tuple")
row("argwhere", lambda x: np.argwhere(x), "small", (((3, 4),), ((2, 1, 3),)), dtype="int64")
row("take", lambda x: x.ravel()[[[0, -1], [2, 2]]], "any", (((3, 4),), ((3,),)), lambda x: tt.take(x, np.array([[0, -1], [2, 2]])), ulps=0)
row("put", lambda x, s: assigned(x.ravel(), [0, 2, -1], s.ravel()).reshape(x.shape), "any any", (((3, 4), (3,)), ((4,), (3, 1))), lambda x, s: tt.put(x, np.array([0, 2, -1]), s), ulps=0, nan=(1,))
row("put", lambda x, s: assigned(x.ravel(), [2, 2], s[1]).reshape(x.shape), "any any", (((3, 4), (2,)),), lambda x, s: tt.put(x, np.array([2, 2]), s), ulps=0, label="twice", nan=())
row("put", lambda x, s: accumulated(x.ravel(), [0, 2, 0], s.ravel()).reshape(x.shape), "any any", (((3, 4), (3,)), ((4,), (3, 1))), lambda x, s: tt.put(x, np.array([0, 2, 0]), s, True), scale=6, label="add")
row("index_add", lambda x, s: accumulated(x, (slice(None), ROWS_TWICE), s), "any any", (((2, 3), (2, 3)), ((2, 4, 2), (2, 3, 2)), ((0, 3), (0, 3))), lambda x, s: tt.index_add(x, 1, ROWS_TWICE, s), scale=6)
row("index_add", lambda x, s: accumulated(x, ROWS_TWICE, -0.5 * s), "any any", (((3, 2), (3, 2)), ((4,), (3,))), lambda x, s: tt.index_add(x, 0, ROWS_TWICE, s, alpha=-0.5), scale=6, label="alpha")
row("index_copy", lambda x, s: assigned(x, (slice(None), [2, 0]), s), "any any", (((2, 3), (2, 2)), ((2, 4, 2), (2, 2, 2)), ((0, 3), (0, 2))), lambda x, s: tt.index_copy(x, 1, np.array([2, 0]), s), ulps=0, nan=(1,))
row("index_copy", lambda x, s: assigned(x, [0, 2], s[1:]), "any any", (((3, 2), (3, 2)), ((4,), (3,))), lambda x, s: tt.index_copy(x, 0, ROWS_TWICE, s), ulps=0, label="twice", nan=())
row("index_fill", lambda x: assigned(x, (slice(None), ROWS_TWICE), 1.5), "any", (((2, 3),), ((2, 4, 2),)), lambda x: tt.index_fill(x, 1, ROWS_TWICE, 1.5), ulps=0, nan=())
row("index_fill", lambda x, v: assigned(x, ROWS_TWICE, v), "any any", (((3, 2), ()), ((4,), ())), lambda x, v: tt.index_fill(x, 0, ROWS_TWICE, v), ulps=0, label="tensor", nan=(1,))
row("index_put", lambda x, v: assigned(x, ([0, 2], [1, 1]), v), "any any", (((3, 4), (2,)), ((3, 2), ()), ((3, 2, 2), (1, 2))), lambda x, v: tt.index_put(x, (np.array([0, 2]), np.array([1, 1])), v), ulps=0, label="public", nan=(1,))
row("index_put", lambda x, v: assigned(x, [0, 2], v[1:]), "any any", (((3, 4), (3, 4)), ((3,), (3,))), lambda x, v: tt.index_put(x, (ROWS_TWICE,), v), ulps=0, label="public twice", nan=())
row("index_put", lambda x, v: accumulated(x, ROWS_TWICE, v), "any any", (((3, 4), (3, 4)), ((3,), ()), ((3, 2), (2,))), lambda x, v: tt.index_put(x, (ROWS_TWICE,), v, True), scale=6, label="public add")
row("scatter", lambda x, s: written(x, s, 0, places(s, x)), "any any", WRITES, lambda x, s: tt.scatter(x, 0, places(s, x), s), ulps=0, nan=())
row("scatter", lambda x, s: written(x, s, 1, np.array([[1, 0], [2, 1]])), "any any", (((2, 4), (2, 2)), ((3, 4), (2, 3))), lambda x, s: tt.scatter(x, 1, np.array([[1, 0], [2, 1]]), s), ulps=0, label="once", nan=(0,))
row("scatter", lambda x: written(x, 2.0, 1, np.array([[1, 1], [0, 2]])), "any", (((2, 4),), ((3, 3),)), lambda x: tt.scatter(x, 1, np.array([[1, 1], [0, 2]]), 2.0), ulps=0, label="number", nan=())
row("masked_scatter", lambda x, s: assigned(x, third(x.shape), s.ravel()[: third(x.shape).sum()]), "any any", (((3, 4), (2, 3)), ((2,), (1,)), ((), (1,)), ((0,), (0,))), lambda x, s: tt.masked_scatter(x, third(x.shape), s), ulps=0, nan=())
for reduce in REDUCTIONS:
    for include in (True, False):
        row("scatter_reduce", lambda x, s, r=reduce, c=include: reduced(x, s, 0, places(s, x), r, c), "apart apart", WRITES,
            lambda x, s, r=reduce, c=include: tt.scatter_reduce(x, 0, places(s, x), s, r, include_self=c), label=f"{reduce} {'with' if include else 'without'} self", scale=6, nan=())
row("scatter_reduce", lambda x, s: reduced(x, s, 1, np.array([[1, 1, 0], [0, 2, 0]]), "amax", True), "apart apart", (((2, 4), (2, 3)), ((2, 3), (3, 4))),
    lambda x, s: tt.scatter_reduce(x, 1, np.array([[1, 1, 0], [0, 2, 0]]), s, "amax"), label="dim", ulps=0, nan=(0,))
row("scatter_reduce", lambda x: reduced(np.zeros_like(x), x, 0, np.zeros(x.shape, np.int64), "prod", False), "any", (((3,),), ((2, 2),)),
    lambda x: tt.scatter_reduce(tt.zeros_like(x) if isinstance(x, tt.Tensor) else np.zeros_like(x), 0, np.zeros(x.shape, np.int64), x, "prod", include_self=False), label="prod over zeros", scale=6)


def small(x: Any) -> Any:
    """Integers from 0 to 8 of any."""
    return tt.from_numpy(np.abs(x.numpy())) if isinstance(x, tt.Tensor) else np.abs(x)


row("bincount", lambda x: np.bincount(np.abs(x), minlength=4), "int", (((7,),), ((1,),), ((0,),)), lambda x: tt.bincount(small(x), minlength=4), dtype="int64")
row("bincount", lambda x, w: np.bincount(np.abs(x), w), "int any", (((7,), (7,)), ((1,), (1,))), lambda x, w: tt.bincount(small(x), w), grads=(), label="weights", scale=6)
row("isin", lambda x, y: np.isin(x, y), "int int", (((3, 4), (3,)), ((), (2, 2)), ((0,), (1,)), ((3,), (0,))), dtype="bool")
row("isin", lambda x, y: ~np.isin(x, y), "small small", (((3, 4), (3,)), ((), (2, 2))), wrap(tt.isin, invert=True), dtype="bool", label="invert")
