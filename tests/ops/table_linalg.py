"""Rows of the table of ops: linear algebra. Matrices are drawn at random and made well-conditioned, or symmetric, inside the call."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from table import Shapes, row

import tinytensor as tt
from tinytensor.ops import linalg

# a row is a line
# fmt: off
L = tt.linalg
SQUARE: tuple[Shapes, ...] = (((3, 3),), ((2, 2, 2),), ((1, 1),), ((0, 0),), ((0, 2, 2),))
RIGHT: tuple[Shapes, ...] = (((3, 3), (3, 2)), ((2, 2, 2), (2, 2, 1)), ((2, 2, 2), (2, 3)), ((2, 2), (2, 2, 1)), ((1, 1), (1, 1)), ((0, 0), (0, 2)), ((2, 2), (2, 0)))
LEFT: tuple[Shapes, ...] = (((3, 3), (2, 3)), ((2, 2, 2), (3, 2)), ((2, 2), (2, 1, 2)))
ANY: tuple[Shapes, ...] = (((3, 3),), ((3, 2),), ((2, 3),), ((2, 2, 3),), ((1, 1),))
EMPTY: tuple[Shapes, ...] = (((0, 3),), ((3, 0),), ((0, 2, 3),))


def turned(x: Any) -> Any:
    """The transposes, of arrays and Tensors."""
    return np.swapaxes(x, -1, -2) if isinstance(x, np.ndarray) else tt.transpose(x, -1, -2)


def eye(x: Any, by: Any = 1.0) -> Any:
    return np.eye(*x.shape[-2:], dtype=x.dtype) * np.asarray(by, x.dtype)


def well(x: Any) -> Any:
    """Well-conditioned."""
    return tt.add(x, eye(x, 6.0))


def apart(x: Any) -> Any:
    """With singular values far from each other."""
    return tt.add(x, eye(x, 6.0 * np.arange(1, x.shape[-1] + 1)))


def rank(x: Any) -> Any:
    return np.linalg.matrix_rank(x) if x.size else np.zeros(x.shape[:-2], int)  # NumPy before 2.3 refuses empty ones


def symmetric(x: Any) -> Any:
    """With eigenvalues far from each other."""
    return tt.add(tt.add(x, turned(x)), eye(x, 9.0 * np.arange(x.shape[-1])))


def definite(x: Any) -> Any:
    return tt.add(tt.add(x, turned(x)), eye(x, 15.0))


def through(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a matrix, and NaN of one with NaN."""

    def result(x: Any, *more: Any) -> Any:
        if np.isfinite(x).all():
            return function(x, *more)
        found = function(np.where(np.isfinite(x), x, 1), *more)
        return tuple(np.full_like(r, math.nan) for r in found) if isinstance(found, tuple) else np.full_like(found, math.nan)

    return result


def unsigned(parts: Any) -> Any:
    """Vectors without their signs."""
    return tuple(p * p if p.ndim > s.ndim else p for s in parts if s.ndim == min(q.ndim for q in parts) for p in parts)


row("inverse", through(lambda x: np.linalg.inv(well(x))), "any", SQUARE, lambda x: tt.inverse(well(x)), ulps=8, scale=1)
row("det", lambda x: np.linalg.det(well(x)), "any", SQUARE, lambda x: tt.det(well(x)), ulps=8)
row("det_cofactors", through(lambda x: np.linalg.det(well(x))[..., None, None] * turned(np.linalg.inv(well(x)))), "any", SQUARE[:3], lambda x: linalg.det_cofactors(well(x)), ulps=40, scale=20)
row("slogdet", through(lambda x: tuple(np.linalg.slogdet(well(x)))), "any", SQUARE, lambda x: tuple(tt.slogdet(well(x))), ulps=8, scale=4)
row("logdet", lambda x: np.linalg.slogdet(well(x))[1], "any", SQUARE, lambda x: tt.logdet(well(x)), ulps=8, scale=4)
row("matrix_power", lambda x: well(x) @ well(x) @ well(x), "any", SQUARE, lambda x: tt.matrix_power(well(x), 3), ulps=8, scale=600)
row("matrix_power", lambda x: np.linalg.matrix_power(well(x), -2), "any", SQUARE, lambda x: tt.matrix_power(well(x), -2), label="inverse", ulps=16, scale=1)
row("matrix_power", lambda x: np.broadcast_to(np.eye(x.shape[-1]), x.shape), "any", SQUARE, lambda x: tt.matrix_power(x, 0), label="identity", ulps=0, grads=(), nan=())
for left, shapes in ((True, RIGHT), (False, LEFT)):
    def solved(a: Any, b: Any, left: bool = left) -> Any:
        return np.linalg.solve(a, b) if left else turned(np.linalg.solve(turned(a), turned(b)))

    row("linalg.solve", lambda a, b, f=solved: through(f)(well(a), b), "any any", shapes, lambda a, b, left=left: L.solve(well(a), b, left=left), label=f"left={left}", ulps=8, scale=1)
    for upper in (True, False):
        for unit in (True, False):
            def triangle(a: Any, upper: bool = upper, unit: bool = unit) -> Any:
                t = np.triu(a) if upper else np.tril(a)
                return np.where(eye(a) == 1, 1, t) if unit else t

            row("linalg.solve_triangular", lambda a, b, f=solved, t=triangle: through(f)(t(well(a)), b), "any any", shapes,
                lambda a, b, how={"left": left, "upper": upper, "unitriangular": unit}: L.solve_triangular(well(a), b, **how), label=f"left={left} upper={upper} unit={unit}",
                ulps=16, scale=40, nan=(1,) if unit else (0, 1))
row("linalg.solve", through(lambda a, b: np.linalg.solve(well(a), b[..., None])[..., 0]), "any any", (((3, 3), (3,)), ((2, 2, 2), (2, 2)), ((2, 2, 2), (2,)), ((0, 0), (0,))), lambda a, b: L.solve(well(a), b), label="vector", ulps=8, scale=1)
row("linalg.pinv", through(lambda x: np.linalg.pinv(apart(x), rcond=1e-6)), "any", (*ANY, *EMPTY), lambda x: L.pinv(apart(x)), ulps=8, scale=1)
row("linalg.pinv", through(lambda x: np.linalg.pinv(x[:, :1] @ x[:1])), "any", (((3, 3),), ((2, 3),)), lambda x: L.pinv(tt.matmul(x[:, :1], x[:1]), rtol=1e-3), label="rank 1", ulps=40, scale=1, nan=())
row("linalg.pinv", through(lambda x: np.linalg.pinv(x[:, :1] @ x[:1])), "any", (((3, 3),),), lambda x: L.pinv(tt.matmul(x[:, :1], x[:1]), atol=1e-4), label="atol", ulps=40, scale=1, nan=())
row("pinverse", through(lambda x: np.linalg.pinv(apart(x))), "any", ANY, lambda x: tt.pinverse(apart(x)), ulps=8, scale=1)
row("cholesky", through(lambda x: np.linalg.cholesky(definite(x))), "any", SQUARE, lambda x: tt.cholesky(definite(x)), ulps=8, scale=4)
row("cholesky", through(lambda x: turned(np.linalg.cholesky(definite(x)))), "any", SQUARE[:2], lambda x: tt.cholesky(definite(x), upper=True), label="upper", ulps=8, scale=4)
for mode in ("reduced", "complete"):
    row("linalg.qr", through(lambda x, m=mode: tuple(np.linalg.qr(well(x), m))), "any", (*ANY, *EMPTY) if mode == "reduced" else (*(s for s in ANY if s[0][-1] >= s[0][-2]), ((0, 3),)), lambda x, m=mode: tuple(L.qr(well(x), m)), label=mode, ulps=16, scale=8)
row("linalg.qr", through(lambda x: np.linalg.qr(well(x))[1]), "any", ANY, lambda x: L.qr(well(x), "r").R, label="r", ulps=16, scale=8)
row("linalg.eigh", through(lambda x: unsigned(np.linalg.eigh(symmetric(x)))), "any", SQUARE, lambda x: unsigned(L.eigh(symmetric(x))), ulps=16, scale=20)
row("linalg.eigh", through(lambda x: np.linalg.eigh(symmetric(x))[0]), "any", SQUARE[:2], lambda x: L.eigh(symmetric(x), UPLO="U").eigenvalues, label="values", ulps=16, scale=20)
row("linalg.eigvalsh", through(lambda x: np.linalg.eigvalsh(symmetric(x))), "any", SQUARE, lambda x: L.eigvalsh(symmetric(x)), ulps=16, scale=20)
row("linalg.svd", through(lambda x: unsigned(np.linalg.svd(apart(x), full_matrices=False))), "any", (*ANY, *EMPTY), lambda x: unsigned(L.svd(apart(x), full_matrices=False)), ulps=16, scale=20)
row("linalg.svd", through(lambda x: np.linalg.svd(apart(x))[1]), "any", ANY, lambda x: L.svd(apart(x)).S, label="full", ulps=16, scale=20)
row("linalg.svdvals", through(lambda x: np.linalg.svd(apart(x), compute_uv=False)), "any", (*ANY, *EMPTY), lambda x: L.svdvals(apart(x)), ulps=16, scale=20)
row("linalg.matrix_rank", lambda x: rank(apart(x)), "any", (*ANY, *EMPTY), lambda x: L.matrix_rank(apart(x)), dtype="int64", grads=(), nan=())
row("linalg.matrix_rank", lambda x: np.linalg.matrix_rank(x[:, :1] @ x[:1]), "any", (((3, 3),), ((2, 3),)), lambda x: L.matrix_rank(tt.matmul(x[:, :1], x[:1]), atol=1e-4), label="one", dtype="int64", grads=(), nan=())
for p in (None, 2, -2, "fro", 1):
    row("linalg.cond", through(lambda x, p=p: np.linalg.cond(apart(x), p)), "any", (((3, 3),), ((2, 2, 2),), *((((3, 2),),) if p in (None, 2, -2) else ())), lambda x, p=p: L.cond(apart(x), p), label=f"p={p}", ulps=16, scale=4)
for ord in ("fro", "nuc", 2, -2, 1, -1, math.inf, -math.inf):
    for keepdim in (False, True):
        row("linalg.matrix_norm", through(lambda x, p=ord, k=keepdim: np.asarray(np.linalg.norm(apart(x), p, (-2, -1), k))), "any", ANY, lambda x, p=ord, k=keepdim: L.matrix_norm(apart(x), p, keepdim=k), label=f"{ord} keepdim={keepdim}",
            ulps=16, scale=20, nan=() if ord in (1, -1, math.inf, -math.inf) else (0,))
row("linalg.matrix_norm", lambda x: np.linalg.norm(x, "nuc", (0, 2)), "any", (((2, 2, 3),), ((1, 2, 2),)), lambda x: L.matrix_norm(x, "nuc", (0, -1)), label="dim", ulps=16, scale=20, nan=())
for ord in (1, 2, 3, 0.5, math.inf, -math.inf):
    row("linalg.vector_norm", lambda x, p=ord: np.asarray(np.linalg.norm(x.ravel(), p)), "apart", (((3, 4),), ((5,),)), lambda x, p=ord: L.vector_norm(x, p), label=f"{ord}", ulps=16)
    row("linalg.vector_norm", lambda x, p=ord: np.linalg.norm(x, p, 1, True), "apart", (((3, 4),),), lambda x, p=ord: L.vector_norm(x, p, 1, True), label=f"{ord} dim", ulps=16)
row("linalg.norm", lambda x: np.asarray(np.linalg.norm(x.ravel())), "any", (((3, 4),), ((5,),), ((2, 2, 2),)), lambda x: L.norm(x), ulps=4)
row("linalg.norm", lambda x: np.asarray(np.linalg.norm(x, 3)), "any", (((5,),),), lambda x: L.norm(x, 3), label="vector", ulps=16)
row("linalg.norm", through(lambda x: np.asarray(np.linalg.norm(x, "nuc"))), "any", (((3, 2),),), lambda x: L.norm(x, "nuc"), label="matrix", ulps=16, scale=8)
row("linalg.norm", lambda x: np.linalg.norm(x, axis=(0, 1), keepdims=True), "any", (((3, 2),),), lambda x: L.norm(x, None, (0, 1), True), label="two", ulps=4)
row("linalg.multi_dot", lambda x, y, z: x @ y @ z, "any any any", (((2, 3), (3, 4), (4, 1)), ((3,), (3, 2), (2, 2)), ((2, 3), (3, 2), (2,)), ((3,), (3, 2), (2,)), ((2, 0), (0, 3), (3, 2))), lambda *x: L.multi_dot(x), scale=80)
row("linalg.multi_dot", lambda x, y: x @ y, "any any", (((2, 3), (3, 2)),), lambda *x: L.multi_dot(x), label="two", scale=20)
