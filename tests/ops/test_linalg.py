"""Linear algebra: edges and errors; values and gradients are in the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import autograd

L = tt.linalg
SQUARE = ("inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh")
EVERY = (*SQUARE, "qr", "svd", "svdvals", "pinv")


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def several(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def test_the_names_are_methods_and_functions_too() -> None:
    x = tt.tensor(drawn(3, 3))
    for name in ("det", "logdet", "inverse", "pinverse", "slogdet"):
        for a, b in zip(several(getattr(x, name)()), several(getattr(tt, name)(x))):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(x.matrix_power(2).numpy(), (x @ x).numpy())
    assert L.inv is tt.inverse
    assert L.slogdet(x)._fields == ("sign", "logabsdet")
    assert (L.qr(x)._fields, L.svd(x)._fields, L.eigh(x)._fields) == (
        ("Q", "R"),
        ("U", "S", "Vh"),
        ("eigenvalues", "eigenvectors"),
    )


@pytest.mark.parametrize("name", EVERY)
def test_a_matrix_with_nan_gives_nan_and_leaves_the_others(name: str) -> None:
    for bad in (math.nan, math.inf):
        x = np.stack([np.eye(3), np.full((3, 3), bad), 2 * np.eye(3)]).astype(np.float32)
        for v in several(getattr(L, name)(x)):
            assert v.dtype == np.float32
            assert np.isfinite(v[[0, 2]]).all()
            assert np.isnan(v[1]).all()
        for v in several(getattr(L, name)(x[1])):
            assert np.isnan(v).all()


def test_a_system_with_nan_gives_nan_and_leaves_the_others() -> None:
    a = np.stack([np.eye(2), np.full((2, 2), math.nan)])
    x = L.solve(a, np.ones((2, 1)))
    assert np.isnan(x).tolist() == [[[False]] * 2, [[True]] * 2]
    x = L.solve_triangular(np.array([[1.0, math.nan], [1.0, 1.0]]), np.ones((2, 1)), upper=False)
    np.testing.assert_array_equal(x, [[1.0], [0.0]])  # the other triangle is not read


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_integers_are_refused(name: str, dtype: str) -> None:
    with pytest.raises(TypeError, match=f"linalg.{name}: expected a float tensor, got {dtype}"):
        getattr(L, name)(tt.tensor(np.eye(2, dtype=dtype)))


@pytest.mark.parametrize("name", EVERY)
def test_shapes_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=rf"linalg.{name}: expected (square )?matrices .*, got shape \(3,\)"):
        getattr(L, name)(drawn(3))
    if name in SQUARE:
        with pytest.raises(ValueError, match=rf"linalg.{name}: expected square matrices .*, got shape \(2, 2, 3\)"):
            getattr(L, name)(drawn(2, 2, 3))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda x: L.inv(x), "linalg.inv: matrix 1 of the batch is singular"),
        (lambda x: L.inv(x[1]), r"linalg.inv: the matrix is singular \(shape \(2, 2\)\)"),
        (lambda x: L.solve(x, np.ones((2, 1))), "linalg.solve: matrix 1 of the batch is singular"),
        (lambda x: L.solve_triangular(np.diag([0.0, 1.0]), np.ones((2, 1)), upper=True), "linalg.solve_triangular: the matrix is singular"),
        (lambda x: L.cholesky(-x), "linalg.cholesky: matrix 0 of the batch is not positive definite"),
        (lambda x: L.matrix_power(x, -1), "linalg.inv: matrix 1 of the batch is singular"),
    ],
)  # fmt: skip
def test_singular_matrices_are_named(call: Callable[[Any], Any], match: str) -> None:
    x = np.stack([np.eye(2), np.ones((2, 2))])
    for error in (L.LinAlgError, RuntimeError, np.linalg.LinAlgError):
        with pytest.raises(error, match=match):
            call(x)


def test_the_gradient_of_a_singular_determinant_is_its_cofactors() -> None:
    x = tt.tensor(np.arange(1.0, 10.0).reshape(3, 3)).requires_grad_()
    tt.det(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[-3, 6, -3], [6, -12, 6], [-3, 6, -3]], rtol=1e-13)
    zero = tt.zeros(2, 2, dtype=tt.float64).requires_grad_()
    (g,) = autograd.grad(tt.det(zero), zero, create_graph=True)
    assert g.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(L.LinAlgError, match="singular"):
        autograd.grad(g.sum(), zero)


def test_an_overflow_is_inf_without_a_warning() -> None:
    x = 1e30 * np.eye(3, dtype=np.float32)
    assert tt.det(x) == math.inf
    assert float(tt.slogdet(x).logabsdet) == pytest.approx(3 * math.log(1e30), rel=1e-6)


def test_slogdet_and_logdet_at_their_edges() -> None:
    x = np.stack([np.zeros((2, 2)), np.diag([-2.0, 1.0]), np.eye(2)])
    assert [v.tolist() for v in L.slogdet(x)] == [[0, -1, 1], [-math.inf, math.log(2), 0]]
    np.testing.assert_array_equal(tt.logdet(x), [-math.inf, math.nan, 0])


def test_equal_values_have_a_gradient_where_no_vector_is_used() -> None:
    x = tt.tensor(np.eye(3)).requires_grad_()
    for value in (
        L.eigvalsh(x).sum(), L.eigh(x).eigenvalues.sum(), L.svdvals(x).sum(), L.svd(x).S.sum(), L.svd(x, full_matrices=False).S.sum(), L.matrix_norm(x, "nuc"),
    ):  # fmt: skip
        (g,) = autograd.grad(value, x)
        np.testing.assert_allclose(g.numpy(), np.eye(3), atol=1e-15)


def test_only_one_triangle_of_a_symmetric_matrix_is_read() -> None:
    x = drawn(3, 3) + 5 * np.eye(3)
    whole = np.tril(x) + np.tril(x, -1).T
    np.testing.assert_array_equal(L.eigvalsh(x), L.eigvalsh(whole))
    np.testing.assert_array_equal(L.eigvalsh(x, UPLO="U"), L.eigvalsh(np.triu(x) + np.triu(x, 1).T, UPLO="U"))
    np.testing.assert_array_equal(L.cholesky(x), L.cholesky(whole))


@pytest.mark.parametrize("name", ["cholesky", "eigh", "eigvalsh"])
def test_gradients_of_symmetric_matrices_are_symmetric(name: str) -> None:
    x = tt.tensor(drawn(3, 3) + drawn(3, 3).T + 9 * np.eye(3)).requires_grad_()
    outs = several(getattr(L, name)(x))
    (g,) = autograd.grad(sum((o * tt.tensor(drawn(*o.shape, seed=1))).sum() for o in outs), x)
    np.testing.assert_allclose(g.numpy(), g.numpy().T, atol=1e-15)


def test_what_has_no_gradient_says_so() -> None:
    x = tt.tensor(drawn(4, 2)).requires_grad_()
    with pytest.raises(RuntimeError, match=r"linalg.qr: mode='complete' has no gradient for shape \(4, 2\)"):
        L.qr(x, "complete").R.sum().backward()
    with pytest.raises(RuntimeError, match="vectors 2 and up of full_matrices=True have no gradient"):
        L.svd(x).U.sum().backward()
    u, s, vh = L.svd(x)
    assert (u.shape, s.shape, vh.shape) == ((4, 4), (2,), (2, 2))
    (u[:, :2].square().sum() + s.sum() + vh.square().sum()).backward()
    assert np.isfinite(x.grad.numpy()).all()
    assert not L.matrix_rank(x).requires_grad


def test_the_parts_make_the_matrix() -> None:
    for shape in ((5, 3), (3, 5), (2, 4, 3)):
        x = drawn(*shape)
        for mode in ("reduced", "complete"):
            q, r = L.qr(x, mode)
            np.testing.assert_allclose(q @ r, x, atol=1e-14)
        for full in (False, True):
            u, s, vh = L.svd(x, full)
            k = s.shape[-1]
            np.testing.assert_allclose((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, atol=1e-14)
        q, r = L.qr(x, "r")
        assert q.shape == (0,)
        np.testing.assert_array_equal(r, L.qr(x).R)
    _, v = L.eigh(drawn(4, 4))
    np.testing.assert_allclose(v.T @ v, np.eye(4), atol=1e-14)


def test_the_rank_and_its_tolerances() -> None:
    x = np.diag([1.0, 1e-3, 1e-20])
    assert [L.matrix_rank(x).item(), L.matrix_rank(x, atol=0.1).item(), L.matrix_rank(x, rtol=1e-30).item()] == [
        2,
        1,
        3,
    ]
    assert L.matrix_rank(np.zeros((2, 3, 3))).tolist() == [0, 0]
    np.testing.assert_allclose(L.pinv(x, atol=0.1), np.diag([1.0, 0, 0]))
    np.testing.assert_allclose(L.pinv(x, rtol=1e-30), np.diag([1, 1e3, 1e20]), rtol=1e-12)


def test_multi_dot_takes_the_cheapest_order(monkeypatch: pytest.MonkeyPatch) -> None:
    work = []
    whole = tt.matmul

    def counted(x: Any, y: Any) -> Any:
        work.append(x.shape[0] * x.shape[1] * y.shape[1])
        return whole(x, y)

    monkeypatch.setattr(tt.ops.linalg, "matmul", counted)
    L.multi_dot([drawn(10, 100), drawn(100, 5), drawn(5, 50)])
    assert sum(work) == 10 * 100 * 5 + 10 * 5 * 50  # Cormen et al.: 7500, and 75000 the other way
    work.clear()
    L.multi_dot([drawn(50, 5), drawn(5, 100), drawn(100, 10)])
    assert sum(work) == 5 * 100 * 10 + 50 * 5 * 10


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: L.solve(np.eye(2), drawn(3, 1)), ValueError, r"linalg.solve: expected a right side \(\*, 2, k\)"),
        (lambda: L.solve(np.eye(2), drawn(3, 1), left=False), ValueError, r"linalg.solve: expected a right side \(\*, k, 2\)"),
        (lambda: L.solve(np.eye(2), drawn(3), left=True), ValueError, "linalg.solve: expected a right side"),
        (lambda: L.solve(np.eye(2), drawn(2), left=False), ValueError, "left=False needs b of at least 2 dimensions"),
        (lambda: L.solve(drawn(2, 2, 2), drawn(3, 2, 1)), ValueError, "linalg.solve: expected a right side"),
        (lambda: L.solve_triangular(np.eye(2), drawn(3, 1), upper=True), ValueError, "linalg.solve_triangular: expected a right side"),
        (lambda: L.qr(np.eye(2), "full"), ValueError, "linalg.qr: mode must be 'reduced', 'complete' or 'r', got 'full'"),
        (lambda: L.eigh(np.eye(2), "X"), ValueError, "linalg.eigh: UPLO must be 'L' or 'U', got 'X'"),
        (lambda: L.matrix_norm(np.eye(2), 3), ValueError, "linalg.matrix_norm: ord must be"),
        (lambda: L.matrix_norm(np.eye(2), dim=(0, -2)), ValueError, "linalg.matrix_norm: expected two different dimensions"),
        (lambda: L.matrix_norm(np.eye(2), dim=(0,)), ValueError, "linalg.matrix_norm: expected two dimensions"),
        (lambda: L.matrix_norm(drawn(3)), ValueError, "linalg.matrix_norm: expected two different dimensions of a matrix"),
        (lambda: L.vector_norm(drawn(3), "fro"), ValueError, "linalg.vector_norm: ord must be a number, got 'fro'"),
        (lambda: L.norm(drawn(2, 2, 2), 2), ValueError, "linalg.norm: ord 2 without dim needs a vector or a matrix"),
        (lambda: L.norm(drawn(3), "nuc"), ValueError, "linalg.norm: ord 'nuc' needs two dimensions"),
        (lambda: L.matrix_power(np.eye(2), 0.5), TypeError, "linalg.matrix_power: expected an int n, got 0.5"),
        *[(lambda n=n: L.matrix_power(drawn(2, 3), n), ValueError, r"linalg.matrix_power: expected square matrices \(\*, n, n\), got shape \(2, 3\)") for n in (-1, 0, 1, 2)],
        (lambda: L.multi_dot([np.eye(2)]), ValueError, "linalg.multi_dot: expected at least two tensors, got 1"),
        (lambda: L.multi_dot([np.eye(2), drawn(3, 2)]), ValueError, "linalg.multi_dot: shapes .* do not fit"),
        (lambda: L.multi_dot([np.eye(2), drawn(2), np.eye(2)]), ValueError, "linalg.multi_dot: expected matrices"),
    ],
)  # fmt: skip
def test_errors(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
