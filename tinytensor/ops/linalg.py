"""Inverses, decompositions and norms of matrices (*, m, n), batched. NumPy's LAPACK makes the values, so that, unlike elsewhere, their
bits depend on the machine. A matrix with NaN or inf gives NaN; the gradients are ops, differentiable again."""

from __future__ import annotations

import builtins
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from . import reduction
from .index import getitem
from .join import cat
from .pointwise import abs, add, cast, div, grad_div, mul, neg, sub, where
from .product import matmul
from .promotion import cast_to, result_type
from .reduction import amax, amin, normalized_dims, sum
from .shape import matrix_transpose, permute, reshape, unsqueeze

Order = float | str | None


class LinAlgError(np.linalg.LinAlgError, RuntimeError):
    """A matrix that has no such inverse or decomposition."""


class Slogdet(NamedTuple):
    """What slogdet gives."""

    sign: Tensor
    logabsdet: Tensor


class QR(NamedTuple):
    """What qr gives."""

    Q: Tensor
    R: Tensor


class SVD(NamedTuple):
    """What svd gives."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class Eigh(NamedTuple):
    """What eigh gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


# ------------------------------------------------------------------------------------------------------------------ parts
def _matrices(name: str, x: Any, square: bool = False) -> Any:
    """x, if it is of floats and (*, m, n)."""
    if x.dtype.kind != "f":
        raise TypeError(f"linalg.{name}: expected a float tensor, got {x.dtype}; use .to(tt.float32)")
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        raise ValueError(
            f"linalg.{name}: expected {'square matrices (*, n, n)' if square else 'matrices (*, m, n)'}, got shape {tuple(x.shape)}"
        )
    return x


def _lapack(
    name: str, function: Callable[[Any], Any], x: Any, problem: str, probe: Callable[[Any], Any] | None = None
) -> list[Any]:
    """The arrays that function(x) gives, NaN for matrices that are not finite. `probe`: what fails for the same matrices, if
    function takes no single ones. LinAlgError with `problem` and the place of the matrix in the batch."""
    finite = np.isfinite(x).all((-2, -1))
    a = x if finite.all() else np.where(finite[..., None, None], x, np.eye(*x.shape[-2:], dtype=x.dtype))
    try:
        with np.errstate(all="ignore"):  # inf and NaN are results, as in every op
            result = function(a)
    except np.linalg.LinAlgError:
        raise LinAlgError(f"linalg.{name}: {_which(probe or function, a)} {problem} (shape {x.shape})") from None
    found = [np.asarray(r) for r in (result if isinstance(result, tuple) else (result,))]
    if a is not x:
        for r in found:
            r[~np.broadcast_to(finite, r.shape[:-2] if probe else finite.shape)] = math.nan
    return [_kernels.owned(r) for r in found]


def _which(probe: Callable[[Any], Any], x: Any) -> str:
    """The first matrix of a batch that fails."""
    for at in np.ndindex(*x.shape[:-2]):
        try:
            probe(x[at])
        except np.linalg.LinAlgError:
            return f"matrix {', '.join(map(str, at))} of the batch" if at else "the matrix"
    return "a matrix"


def _packed(parts: Sequence[Any], batch: tuple[int, ...]) -> Any:
    """Several results as one array (*, all their elements): an op has one value."""
    flat = [p.reshape(*batch, math.prod(p.shape[len(batch) :])) for p in parts]
    return _kernels.owned(np.concatenate(flat, -1))


def _parts(x: Any, *shapes: tuple[int, ...]) -> list[Any]:
    """The results in what _packed made, or their gradients."""
    batch, at, found = tuple(x.shape[:-1]), 0, []
    for shape in shapes:
        n = math.prod(shape)
        found.append(reshape(getitem(x, (..., slice(at, at + n))), (*batch, *shape)))
        at += n
    return found


def _product(*several: Any) -> Any:
    return functools.reduce(matmul, several)


def _eye(x: Any) -> Any:
    return np.eye(x.shape[-1], dtype=np.bool_)


def _diagonal(v: Any) -> Any:
    """The matrix with v on its diagonal."""
    return where(_eye(v), unsqueeze(v, -1), 0.0)


def _triangle(x: Any, upper: bool, k: int = 0) -> Any:
    """The upper triangle (from diagonal k on), or the lower (to diagonal -k), the rest 0."""
    m, n = x.shape[-2:]
    mask = np.tri(n, m, -k, np.bool_).T if upper else np.tri(m, n, -k, np.bool_)
    return where(mask, x, 0.0)


def _half_lower(x: Any) -> Any:
    """The lower triangle with half the diagonal."""
    return where(_eye(x), mul(x, 0.5), _triangle(x, False, 1))


def _symmetric(x: Any) -> Any:
    return mul(add(x, matrix_transpose(x)), 0.5)


def _antisymmetric(x: Any) -> Any:
    return sub(x, matrix_transpose(x))


def _over_gaps(x: Any, gaps: Any) -> Any:
    """x / gaps off the diagonal, 0 on it, and 0 where x is: equal values matter only to what tells them apart."""
    return where(_eye(x), 0.0, grad_div(x, where(_eye(x), 1.0, gaps)))


def _scale(v: Any) -> Any:
    """v (*) as (*, 1, 1)."""
    return reshape(v, (*v.shape, 1, 1))


# ---------------------------------------------------------------------------------------------------- inverse, determinant
@op
def _inv(x: Array) -> Any:
    return _lapack("inv", np.linalg.inv, x, "is singular")[0]


@_inv.rule
def _(g: Any, out: Any) -> Any:
    y = matrix_transpose(out)
    return neg(_product(y, g, y))


def inv(x: Array) -> Tensor:
    """The inverses of square matrices (*, n, n). LinAlgError (a RuntimeError) for a singular one. Gradient: -Y^T g Y^T, Y the
    inverse (Giles 2008, 2.2.3)."""
    return _inv(_matrices("inv", x, True))


inverse = inv


@op
def _det(x: Array) -> Any:
    return _lapack("det", np.linalg.det, x, "has no determinant")[0]


@_det.rule
def _(g: Any, x: Any) -> Any:
    return mul(_scale(g), det_cofactors(x))


@op
def det_cofactors(x: Array) -> Any:
    """det(x) x^-T, through the singular value decomposition, which needs no inverse."""

    def values(a: Any) -> Any:
        u, s, vh = np.linalg.svd(a)
        others = np.ones_like(s)
        for i in range(s.shape[-1]):
            others[..., i] = np.prod(np.delete(s, i, -1), -1)
        sign = np.linalg.det(u) * np.linalg.det(vh)
        return (u * (sign[..., None] * others)[..., None, :]) @ vh

    return _lapack("det", values, x, "has no singular value decomposition")[0]


@det_cofactors.rule
def _(u: Any, x: Any) -> Any:
    y = matrix_transpose(inv(x))
    inner = sub(mul(_scale(sum(mul(u, y), (-2, -1))), y), _product(y, matrix_transpose(u), y))
    return mul(_scale(det(x)), inner)


def det(x: Array) -> Tensor:
    """The determinants of square matrices (*, n, n) -> (*); 1 for n = 0. Gradient: g times the cofactors, det(x) x^-T (Giles 2008,
    2.2.4), of singular matrices, too; the second derivative needs an inverse (LinAlgError)."""
    return _det(_matrices("det", x, True))


@op
def _slogdet(x: Array) -> Any:
    sign, value = _lapack("slogdet", lambda a: tuple(np.linalg.slogdet(a)), x, "has no determinant")
    return _kernels.owned(np.stack([sign, value], -1))


@_slogdet.rule
def _(g: Any, x: Any) -> Any:
    return mul(_scale(getitem(g, (..., 1))), matrix_transpose(inv(x)))


def slogdet(x: Array) -> Slogdet:
    """Sign and log |det| of square matrices (*, n, n) -> two (*), (0, -inf) for singular ones. Gradient: 0 of the sign, g x^-T of
    the logarithm (Giles 2008, 2.2.4), for which LinAlgError where x is singular."""
    both = _slogdet(_matrices("slogdet", x, True))
    return Slogdet(getitem(both, (..., 0)), getitem(both, (..., 1)))


def logdet(x: Array) -> Tensor:
    """log det of square matrices (*, n, n) -> (*): NaN of a negative determinant, -inf of 0. Gradient: g x^-T."""
    sign, value = slogdet(x)
    return where(sign < 0, math.nan, value)


# ---------------------------------------------------------------------------------------------------------------- equations
def _both(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    dtype = result_type(a, b)
    return cast_to(a, dtype, name), cast_to(b, dtype, name)


@op
def _solve(a: Array, b: Array) -> Any:
    a, b = _both("solve", a, b)
    return _lapack("solve", lambda m: np.linalg.solve(m, b), a, "is singular", np.linalg.inv)[0]


@_solve.rule
def _(g: Any, a: Any, out: Any, needs: Any) -> Any:
    gb = _solve(matrix_transpose(a), g)
    return neg(matmul(gb, matrix_transpose(out))) if needs[0] else None, gb if needs[1] else None


def _fits(name: str, a: Any, b: Any, left: bool) -> None:
    n = a.shape[-1]
    batch = _matrices(name, b).shape[:-2], a.shape[:-2]
    sizes = zip(batch[0][::-1], batch[1][::-1])
    if b.shape[-2 if left else -1] != n or any(i != j and 1 not in (i, j) for i, j in sizes):
        side = f"(*, {n}, k)" if left else f"(*, k, {n})"
        raise ValueError(
            f"linalg.{name}: expected a right side {side} for matrices {tuple(a.shape)}, got {tuple(b.shape)}"
        )


def solve(a: Array, b: Array, *, left: bool = True) -> Tensor:
    """X with a X = b, or X a = b (left=False): a (*, n, n), b (*, n, k), or (*, n) where its shape is a's but for the last. Batch
    dimensions broadcast. LinAlgError where a is singular. Gradient: a^-T g to b, -(that) X^T to a (Giles 2008, 2.3.1)."""
    _matrices("solve", a, True)
    if b.ndim == 1 or (b.ndim == a.ndim - 1 and tuple(b.shape) == tuple(a.shape[:-1])):
        if not left:
            raise ValueError(f"linalg.solve: left=False needs b of at least 2 dimensions, got shape {tuple(b.shape)}")
        x = solve(a, unsqueeze(b, -1))
        return reshape(x, tuple(x.shape[:-1]))
    _fits("solve", a, b, left)
    if left:
        return _solve(a, b)
    return matrix_transpose(_solve(matrix_transpose(a), matrix_transpose(b)))


@op
def _solve_triangular(a: Array, b: Array, upper: bool, unit: bool) -> Any:
    a, b = _both("solve_triangular", a, b)
    t = np.triu(a) if upper else np.tril(a)
    if unit:
        t = np.where(_eye(a), a.dtype.type(1), t)

    def values(m: Any) -> Any:
        if upper:  # its own LU decomposition: what follows is substitution
            return np.linalg.solve(m, b)
        return np.linalg.solve(m[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :]

    return _kernels.owned(np.ascontiguousarray(_lapack("solve_triangular", values, t, "is singular", np.linalg.inv)[0]))


@_solve_triangular.rule
def _(g: Any, a: Any, out: Any, upper: bool, unit: bool, needs: Any) -> Any:
    gb = _solve_triangular(matrix_transpose(a), g, not upper, unit)
    ga = neg(_triangle(matmul(gb, matrix_transpose(out)), upper, int(unit))) if needs[0] else None
    return ga, gb if needs[1] else None


def solve_triangular(a: Array, b: Array, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """X with a X = b, or X a = b (left=False), of a's upper or lower triangle alone, its diagonal taken as 1 if unitriangular: a (*,
    n, n), b (*, n, k). LinAlgError for a 0 on the diagonal. Gradient: as solve's, that to a in the triangle."""
    _fits("solve_triangular", _matrices("solve_triangular", a, True), b, left)
    if left:
        return _solve_triangular(a, b, upper, unitriangular)
    return matrix_transpose(_solve_triangular(matrix_transpose(a), matrix_transpose(b), not upper, unitriangular))


@op
def _pinv(x: Array, atol: float, rtol: float) -> Any:
    def values(a: Any) -> Any:
        u, s, vh = np.linalg.svd(a, full_matrices=False)
        kept = s > np.maximum(atol, rtol * s.max(-1, keepdims=True, initial=0))
        inverse = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(s.dtype)
        return np.swapaxes(vh, -1, -2) @ (inverse[..., None] * np.swapaxes(u, -1, -2))

    return _lapack("pinv", values, x, "has no singular value decomposition")[0]


@_pinv.rule
def _(g: Any, x: Any, out: Any) -> Any:
    p, pt, gt = out, matrix_transpose(out), matrix_transpose(g)
    here = sub(gt, _product(x, p, gt))  # outside the range of x
    there = sub(gt, _product(gt, p, x))  # outside the range of x^T
    return add(neg(_product(pt, g, pt)), add(_product(here, p, pt), _product(pt, p, there)))


def _tolerances(x: Any, atol: float | None, rtol: float | None) -> tuple[float, float]:
    relative = 0.0 if atol else max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    return float(atol or 0.0), relative if rtol is None else float(rtol)


def pinv(x: Array, *, atol: float | None = None, rtol: float | None = None) -> Tensor:
    """The pseudoinverses (*, n, m) of matrices (*, m, n); singular values up to max(atol, rtol * the largest) count as 0. rtol None:
    max(m, n) times the spacing of floats at 1, or 0 where atol is given. Gradient: that of Golub and Pereyra (1973), where the
    rank does not change."""
    _matrices("pinv", x)
    return _pinv(x, *_tolerances(x, atol, rtol))


def pinverse(x: Array, rcond: float = 1e-15) -> Tensor:
    """pinv with rtol=rcond."""
    return pinv(x, rtol=rcond)


# ----------------------------------------------------------------------------------------------------------- decompositions
@op
def _cholesky(x: Array) -> Any:
    return _lapack("cholesky", np.linalg.cholesky, x, "is not positive definite")[0]


@_cholesky.rule
def _(g: Any, out: Any) -> Any:
    lt = matrix_transpose(out)
    half = _solve_triangular(lt, _half_lower(matmul(lt, g)), True, False)
    return _symmetric(_solve_triangular(lt, matrix_transpose(half), True, False))


def cholesky(x: Array, upper: bool = False) -> Tensor:
    """The lower triangular L with L L^T = x of symmetric positive definite matrices (*, n, n), whose lower triangle is read; upper:
    L^T. LinAlgError for others. Gradient: symmetric, L^-T (lower half of L^T g) L^-1 (Murray 2016, after Smith 1995)."""
    lower = _cholesky(_matrices("cholesky", x, True))
    return matrix_transpose(lower) if upper else lower


@op
def _qr(x: Array, complete: bool) -> Any:
    q, r = _lapack(
        "qr", lambda a: tuple(np.linalg.qr(a, "complete" if complete else "reduced")), x, "has no decomposition"
    )
    return _packed([q, r], x.shape[:-2])


@_qr.rule
def _(g: Any, x_shape: Any, out: Any, complete: bool) -> Any:
    m, n = x_shape[-2:]
    if complete and m > n:
        raise RuntimeError(
            f"linalg.qr: mode='complete' has no gradient for shape {tuple(x_shape)}, with more rows than columns; use mode='reduced'"
        )
    k = min(m, n)
    (q, r), (gq, gr) = _parts(out, (m, k), (k, n)), _parts(g, (m, k), (k, n))
    if m < n:  # x = q [r1 | r2]: what r2 is worth to q goes through x2
        r1, r2, g1, g2 = r[..., :m], r[..., m:], gr[..., :m], gr[..., m:]
        gq = add(gq, _product(q, r2, matrix_transpose(g2)))
    else:
        r1, g1, g2 = r, gr, None
    inner = _half_lower(sub(matmul(r1, matrix_transpose(g1)), matmul(matrix_transpose(gq), q)))
    full = add(gq, matmul(q, add(inner, matrix_transpose(inner))))
    left = matrix_transpose(_solve_triangular(r1, matrix_transpose(full), True, False))
    return left if m >= n else cat([left, matmul(q, g2)], -1)


def qr(x: Array, mode: str = "reduced") -> QR:
    """Q with orthonormal columns and upper triangular R, Q R = x (*, m, n): Q (*, m, k), R (*, k, n) with k = min(m, n), or, "complete",
    k = m; "r": R alone beside an empty Q. Gradient: Seeger et al. 2017, and Roberts and Roberts 2020 for m < n, where
    the first k columns are independent (LinAlgError else); none for complete with m > n (RuntimeError)."""
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"linalg.qr: mode must be 'reduced', 'complete' or 'r', got {mode!r}")
    _matrices("qr", x)
    m, n = x.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    q, r = _parts(_qr(x, mode == "complete"), (m, k), (k, n))
    return QR(getitem(reshape(q, (-1,)), slice(0, 0)), r) if mode == "r" else QR(q, r)


@op
def _eigh(x: Array, lower: bool) -> Any:
    w, v = _lapack(
        "eigh", lambda a: tuple(np.linalg.eigh(a, "L" if lower else "U")), x, "has eigenvalues that do not converge"
    )
    return _packed([w, v], x.shape[:-2])


@_eigh.rule
def _(g: Any, x_shape: Any, out: Any) -> Any:
    n = x_shape[-1]
    (w, v), (gw, gv) = _parts(out, (n,), (n, n)), _parts(g, (n,), (n, n))
    turn = mul(_antisymmetric(matmul(matrix_transpose(v), gv)), 0.5)
    inner = add(_over_gaps(turn, sub(unsqueeze(w, -2), unsqueeze(w, -1))), _diagonal(gw))
    return _product(v, inner, matrix_transpose(v))


def _triangle_name(name: str, uplo: str) -> bool:
    if uplo not in ("L", "U"):
        raise ValueError(f"linalg.{name}: UPLO must be 'L' or 'U', got {uplo!r}")
    return uplo == "L"


def eigh(x: Array, UPLO: str = "L") -> Eigh:
    """Ascending eigenvalues (*, n) and orthonormal eigenvectors (*, n, n), in columns, of symmetric matrices, whose lower (or upper)
    triangle is read. Gradient: symmetric (Giles 2008, 3.1; Seeger et al. 2017); that of eigenvectors divides by the gaps between
    eigenvalues, inf for equal ones, and means something only for what does not depend on a vector's sign."""
    lower = _triangle_name("eigh", UPLO)
    n = _matrices("eigh", x, True).shape[-1]
    return Eigh(*_parts(_eigh(x, lower), (n,), (n, n)))


@op
def _eigvalsh(x: Array, lower: bool) -> Any:
    return _lapack(
        "eigvalsh", lambda a: np.linalg.eigvalsh(a, "L" if lower else "U"), x, "has eigenvalues that do not converge"
    )[0]


@_eigvalsh.rule
def _(g: Any, x: Any, lower: bool) -> Any:
    v = eigh(x, "L" if lower else "U").eigenvectors
    return matmul(mul(v, unsqueeze(g, -2)), matrix_transpose(v))


def eigvalsh(x: Array, UPLO: str = "L") -> Tensor:
    """Ascending eigenvalues (*, n) of symmetric matrices (*, n, n), whose lower (or upper) triangle is read. Gradient: V diag(g) V^T
    (Giles 2008, 3.1), which equal eigenvalues share as LAPACK's vectors fall."""
    lower = _triangle_name("eigvalsh", UPLO)
    return _eigvalsh(_matrices("eigvalsh", x, True), lower)


@op
def _svd(x: Array, full: bool) -> Any:
    parts = _lapack(
        "svd", lambda a: tuple(np.linalg.svd(a, full_matrices=full)), x, "has singular values that do not converge"
    )
    return _packed(parts, x.shape[:-2])


@_svd.rule
def _(g: Any, x_shape: Any, out: Any, full: bool) -> Any:
    m, n = x_shape[-2:]
    k = min(m, n)
    rows, columns = (m, n) if full else (k, k)
    shapes = (m, rows), (k,), (columns, n)
    (u, s, vh), (gu, gs, gvh) = _parts(out, *shapes), _parts(g, *shapes)
    rest = [getitem(gu, (..., slice(k, None))), getitem(gvh, (..., slice(k, None), slice(None)))]
    if any(np.any(r._data if isinstance(r, Tensor) else r) for r in rest):
        raise RuntimeError(
            f"linalg.svd: vectors {k} and up of full_matrices=True have no gradient (shape {tuple(x_shape)}); use full_matrices=False"
        )
    u, gu = u[..., :k], gu[..., :k]
    v, gv = matrix_transpose(vh[..., :k, :]), matrix_transpose(gvh[..., :k, :])
    row, column = unsqueeze(s, -2), unsqueeze(s, -1)
    gaps = mul(sub(row, column), add(row, column))
    utgu, vtgv = matmul(matrix_transpose(u), gu), matmul(matrix_transpose(v), gv)
    inner = add(
        add(mul(_over_gaps(_antisymmetric(utgu), gaps), row), mul(_over_gaps(_antisymmetric(vtgv), gaps), column)),
        _diagonal(gs),
    )
    vt = matrix_transpose(v)
    total = _product(u, inner, vt)
    if m > k:
        total = add(total, matmul(grad_div(sub(gu, matmul(u, utgu)), row), vt))
    if n > k:
        total = add(total, matmul(u, matrix_transpose(grad_div(sub(gv, matmul(v, vtgv)), row))))
    return total


def svd(x: Array, full_matrices: bool = True) -> SVD:
    """U diag(S) Vh = x (*, m, n): U (*, m, k) and Vh (*, k, n) orthonormal, S (*, k) descending, k = min(m, n); full_matrices: square U
    and Vh. Gradient: Seeger et al. 2017; that of vectors divides by the gaps between singular values (inf for equal ones),
    and by them, and means something only for what does not depend on the signs; none of vectors past k (RuntimeError)."""
    m, n = _matrices("svd", x).shape[-2:]
    k = min(m, n)
    rows, columns = (m, n) if full_matrices else (k, k)
    return SVD(*_parts(_svd(x, full_matrices), (m, rows), (k,), (columns, n)))


@op
def _svdvals(x: Array) -> Any:
    return _lapack(
        "svdvals", lambda a: np.linalg.svd(a, compute_uv=False), x, "has singular values that do not converge"
    )[0]


@_svdvals.rule
def _(g: Any, x: Any) -> Any:
    u, _, vh = svd(x, full_matrices=False)
    return matmul(mul(u, unsqueeze(g, -2)), vh)


def svdvals(x: Array) -> Tensor:
    """Descending singular values (*, min(m, n)) of matrices (*, m, n). Gradient: U diag(g) Vh (Giles 2008, 3.2), which equal values
    share as LAPACK's vectors fall."""
    return _svdvals(_matrices("svdvals", x))


# -------------------------------------------------------------------------------------------------------- norms and powers
def vector_norm(x: Array, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The ord-norm over dim (an int, several, or all) of the elements: any number, inf, -inf. Gradient: as norm's, 0 at norm 0."""
    if not isinstance(ord, (int, float)):
        raise ValueError(f"linalg.vector_norm: ord must be a number, got {ord!r}")
    return reduction.norm(x if dtype is None else cast(x, dtype), ord, dim, keepdim)


def matrix_norm(
    x: Array, ord: float | str = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The norm of the matrices in two dimensions: "fro", "nuc" (the sum of singular values), inf / -inf (the largest / smallest row
    sum of |x|), 1 / -1 (of columns), 2 / -2 (singular value). Gradient: that of its parts, shared by equal largest ones."""
    if len(tuple(dim)) != 2:
        raise ValueError(f"linalg.matrix_norm: expected two dimensions, got dim {dim!r}")
    rows, columns = (normalized_dims("linalg.matrix_norm", x.ndim, d)[0] for d in dim) if x.ndim > 1 else (0, 0)
    if rows == columns:
        raise ValueError(
            f"linalg.matrix_norm: expected two different dimensions of a matrix, got dim {dim!r} of shape {tuple(x.shape)}"
        )
    a = x if dtype is None else cast(x, dtype)
    if ord == "fro":
        return reduction.norm(a, 2, (rows, columns), keepdim)
    order = [d for d in range(x.ndim) if d not in (rows, columns)]
    a = _matrices("matrix_norm", permute(a, (*order, rows, columns)))
    if ord == "nuc":
        r = sum(svdvals(a), -1)
    elif ord in (1, -1, math.inf, -math.inf):
        r = (amax if ord > 0 else amin)(sum(abs(a), -2 if ord in (1, -1) else -1), -1)
    elif ord in (2, -2):
        r = (amax if ord == 2 else amin)(svdvals(a), -1)
    else:
        raise ValueError(f"linalg.matrix_norm: ord must be 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2, got {ord!r}")
    return reshape(r, tuple(1 if d in (rows, columns) else n for d, n in enumerate(x.shape))) if keepdim else r


def norm(x: Array, ord: Order = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """matrix_norm where dim names two dimensions, or ord is given for a matrix without dim, else vector_norm (ord None: Euclidean, of all
    elements without dim)."""
    if dim is None and ord is not None and x.ndim not in (1, 2):
        raise ValueError(f"linalg.norm: ord {ord!r} without dim needs a vector or a matrix, got shape {tuple(x.shape)}")
    two = x.ndim == 2 if dim is None else not isinstance(dim, int) and len(tuple(dim)) == 2
    if two and ord is not None:
        return matrix_norm(x, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise ValueError(f"linalg.norm: ord {ord!r} needs two dimensions, got dim {dim!r} of shape {tuple(x.shape)}")
    return vector_norm(x, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


def matrix_power(x: Array, n: int) -> Tensor:
    """The product of n times the square matrices (*, k, k), by repeated squaring; of the inverses for n < 0; the identity for 0."""
    _matrices("matrix_power", x, True)
    if not isinstance(n, (int, np.integer)):
        raise TypeError(f"linalg.matrix_power: expected an int n, got {n!r}")
    if n == 0:
        identity = _kernels.owned(np.array(np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), tuple(x.shape))))
        return Tensor._new(identity) if isinstance(x, Tensor) else identity  # type: ignore[return-value]
    base, left = inv(x) if n < 0 else x, builtins.abs(n)
    found: Any = None
    while left:
        if left & 1:
            found = base if found is None else matmul(found, base)
        left >>= 1
        base = matmul(base, base) if left else base
    return found  # type: ignore[no-any-return]


def multi_dot(tensors: Sequence[Array]) -> Tensor:
    """The product of two or more matrices in the order that costs least (Cormen et al., 15.2); the first and the last may be
    vectors, a row and a column."""
    if len(tensors) < 2:
        raise ValueError(f"linalg.multi_dot: expected at least two tensors, got {len(tensors)}")
    ends = (tensors[0].ndim, tensors[-1].ndim)
    shapes = [tuple(t.shape) for t in tensors]
    if any(e not in (1, 2) for e in ends) or any(t.ndim != 2 for t in tensors[1:-1]):
        raise ValueError(f"linalg.multi_dot: expected matrices, and vectors at most at the ends, got shapes {shapes}")
    chain = [unsqueeze(tensors[0], 0) if ends[0] == 1 else tensors[0], *tensors[1:]]
    chain[-1] = unsqueeze(chain[-1], 1) if ends[1] == 1 else chain[-1]
    if any(x.shape[1] != y.shape[0] for x, y in itertools.pairwise(chain)):
        raise ValueError(f"linalg.multi_dot: shapes {shapes} do not fit one after the other")
    sizes = [chain[0].shape[0], *(x.shape[1] for x in chain)]

    @functools.cache
    def best(i: int, j: int) -> tuple[int, int]:
        """The cost of chain[i..j], and where to divide it."""
        if i == j:
            return 0, i
        return min((best(i, k)[0] + best(k + 1, j)[0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))

    def multiplied(i: int, j: int) -> Any:
        k = best(i, j)[1]
        return chain[i] if i == j else matmul(multiplied(i, k), multiplied(k + 1, j))

    r = multiplied(0, len(chain) - 1)
    return reshape(r, tuple(n for n, e in zip(r.shape, ends) if e == 2))


def matrix_rank(x: Array, *, atol: float | None = None, rtol: float | None = None) -> Tensor:
    """How many singular values of matrices (*, m, n) are over max(atol, rtol * the largest) -> int64 (*). rtol None: max(m, n) times the
    spacing of floats at 1, or 0 where atol is given. No gradient."""
    absolute, relative = _tolerances(_matrices("matrix_rank", x), atol, rtol)
    return _rank(x, absolute, relative)


@op
def _rank(x: Array, atol: float, rtol: float) -> Any:
    s = svdvals(x)
    return np.asarray((s > np.maximum(atol, rtol * s.max(-1, keepdims=True, initial=0))).sum(-1))


def cond(x: Array, p: Order = None) -> Tensor:
    """The condition numbers norm(x, p) norm(x^-1, p) of square matrices, or, for p None, 2 or -2, the largest over the smallest singular
    value (or the reverse, for -2) of any (*, m, n). LinAlgError for singular ones with other p."""
    if p in (None, 2, -2):
        s = svdvals(_matrices("cond", x))
        return div(amin(s, -1), amax(s, -1)) if p == -2 else div(amax(s, -1), amin(s, -1))
    return mul(matrix_norm(x, p), matrix_norm(inv(x), p))
