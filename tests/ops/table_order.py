"""Rows of order and bits: sorting, what is there once, places, shifts. References are NumPy's and Python's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from table import UNARY, row, wrap

import tinytensor as tt

# a row is a line
# fmt: off


def ordered(x: Any, dim: int, descending: bool) -> Any:
    i = np.argsort(-x if descending else x, dim, kind="stable") if x.ndim else np.zeros((), np.int64)
    return (np.take_along_axis(x, i, dim) if x.ndim else x), i


for descending in (False, True):
    label = " descending" if descending else ""
    row("sort", lambda x, d=descending: ordered(x, -1, d), "apart", UNARY, wrap(tt.sort, descending=descending), ulps=0, label=f"last{label}", nan=() if descending else (0,))
    row("sort", lambda x, d=descending: ordered(x, 0, d), "apart", (((3, 4),), ((2, 3, 2),), ((0, 2),)), wrap(tt.sort, dim=0, descending=descending), ulps=0, label=f"first{label}", nan=())
    row("argsort", lambda x, d=descending: ordered(x, -1, d)[1], "small", UNARY, wrap(tt.argsort, descending=descending), dtype="int64", label=f"ties{label}")
    row("topk", lambda x, d=descending: tuple(v[..., :2] for v in ordered(x, -1, d)), "apart", (((3, 4),), ((2,),), ((0, 2),)), wrap(tt.topk, k=2, largest=descending), ulps=0, label=f"last{label}", nan=())
row("topk", lambda x: tuple(v[:2] for v in ordered(x, 0, True)), "apart", (((3, 4),), ((2,),)), wrap(tt.topk, k=2, dim=0), ulps=0, label="first", nan=())
row("kthvalue", lambda x: tuple(v[..., 1] for v in ordered(x, -1, False)), "apart", (((3, 4),), ((2,),), ((0, 2),)), wrap(tt.kthvalue, k=2), ulps=0, nan=())
row("kthvalue", lambda x: tuple(v[:, :1] for v in ordered(x, 1, False)), "apart", (((2, 3, 2),),), wrap(tt.kthvalue, k=1, dim=1, keepdim=True), ulps=0, label="keepdim", nan=())
row("msort", lambda x: np.sort(x, 0) if x.ndim else x, "apart", UNARY, ulps=0)
row("unique", np.unique, "apart", UNARY, ulps=0, nan=())
row("unique", lambda x: (lambda u, i, n: (u, i.reshape(x.shape), n))(*np.unique(x, return_inverse=True, return_counts=True)), "int", UNARY, wrap(tt.unique, return_inverse=True, return_counts=True), dtype="int64", label="all")
row("unique", lambda x: np.unique(x // 8, axis=1), "int", (((2, 6),), ((2, 4, 1),)), lambda x: tt.unique(x >> 3 if isinstance(x, tt.Tensor) else x // 8, dim=1), dtype="int64", label="dim")


def runs(x: Any) -> Any:
    found: list[Any] = []
    inverse = []
    for v in x.ravel():
        if not found or found[-1] != v:
            found.append(v)
        inverse.append(len(found) - 1)
    return np.array(found, x.dtype), np.array(inverse, np.int64).reshape(x.shape), np.bincount(np.array(inverse, np.int64))


row("unique_consecutive", lambda x: runs(x // 8), "int", UNARY, lambda x: tt.unique_consecutive(x >> 3 if isinstance(x, tt.Tensor) else x // 8, True, True), dtype="int64", label="all")
row("unique_consecutive", lambda x: x, "apart", (((4, 3),), ((3,),)), wrap(tt.unique_consecutive, dim=0), ulps=0)
for right in (False, True):
    side: Any = "right" if right else "left"
    row("searchsorted", lambda s, v, side=side: np.searchsorted(np.sort(s), v, side), "small small", (((5,), (3, 4)), ((3,), ()), ((0,), (2,)), ((2,), (0,))),
        lambda s, v, r=right: tt.searchsorted(tt.msort(s), v, right=r), dtype="int64", label=side)
    row("bucketize", lambda v, s, side=side: np.searchsorted(np.sort(s), v, side), "small small", (((3, 4), (5,)), ((), (3,)), ((2,), (0,))),
        lambda v, s, r=right: tt.bucketize(v, tt.msort(s), right=r), dtype="int64", label=side)
row("searchsorted", lambda s, v: np.stack([np.searchsorted(np.sort(a), b) for a, b in zip(s, v)]), "small small", (((2, 5), (2, 3)), ((1, 1), (1, 0))),
    lambda s, v: tt.searchsorted(tt.sort(s).values, v), dtype="int64", label="rows")
row("searchsorted", lambda s, v: np.searchsorted(np.sort(s), v, "right"), "small small", (((5,), (3,)),), lambda s, v: tt.searchsorted(s, v, side="right", sorter=tt.argsort(s)), dtype="int64", label="sorter")


def integer(name: str, function: Any) -> None:
    """A row of two integers, by Python's own."""
    reference = np.vectorize(function, otypes=[np.int64])
    shapes = (((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (3,)), ((), ()), ((0,), (1,)))
    row(name, reference, "int int", shapes, dtype="int64")


integer("bitwise_left_shift", lambda x, y: int(x) << int(y) if y >= 0 else 0)
integer("bitwise_right_shift", lambda x, y: int(x) >> (int(y) if y >= 0 else 63))
integer("gcd", math.gcd)
integer("lcm", math.lcm)
