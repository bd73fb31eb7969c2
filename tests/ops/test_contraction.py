"""einsum and its relatives: every form of names, sizes that broadcast, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.ops import contraction


def some(*shape: int) -> tt.Tensor:
    return tt.tensor(np.random.default_rng(len(shape)).normal(size=shape))


def test_names() -> None:
    x, y = some(2, 3), some(3, 4)
    want = x.numpy() @ y.numpy()
    for r in (
        tt.einsum("ij,jk->ik", x, y), tt.einsum(" i j , j k -> i k ", x, y), tt.einsum("ij,jk", x, y), tt.einsum("ij,jk", [x, y]), tt.einsum("Zb,bA->ZA", x, y),
        tt.einsum(x, [0, 1], y, [1, 2], [0, 2]), tt.einsum(x, [0, 1], y, [1, 2]), tt.einsum("...j,jk->...k", x, y), tt.einsum(x, [..., 1], y, [1, 2], [..., 2]),
    ):  # fmt: skip
        np.testing.assert_allclose(r.numpy(), want, rtol=1e-14)
    assert tt.einsum("Zb,bA", x, y).shape == (4, 2)  # alphabetical: A before Z
    np.testing.assert_allclose(tt.einsum("ij,kj->", x, x).item(), (x.numpy() @ x.numpy().T).sum(), rtol=1e-14)


def test_an_ellipsis_that_the_result_leaves_out_is_summed_over() -> None:
    x = some(2, 3, 4)
    np.testing.assert_allclose(tt.einsum("...i->i", x).numpy(), x.numpy().sum((0, 1)), rtol=1e-14)
    np.testing.assert_allclose(
        tt.einsum("i...,j...->ij", x, x).numpy(), np.tensordot(x.numpy(), x.numpy(), ([1, 2], [1, 2]))
    )


def test_ellipses_broadcast_from_behind() -> None:
    x, y = some(5, 1, 2, 3), some(4, 3, 2)
    assert tt.einsum("...ij,...jk->...ik", x, y).shape == (5, 4, 2, 2)
    np.testing.assert_allclose(tt.einsum("...ij,...jk", x, y).numpy(), x.numpy() @ y.numpy(), rtol=1e-13)


def test_integers_stay_exact() -> None:
    x = tt.tensor([[2**53, 1], [1, 1]])
    assert tt.einsum("ij,jk->ik", x, x).tolist() == (x @ x).tolist()
    assert tt.einsum("ii", x).item() == 2**53 + 1
    assert tt.einsum("ij->j", x).dtype == tt.int64


def test_several_operands_are_multiplied_in_an_order_that_keeps_products_small(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    whole = contraction._pair

    def watched(*args: Any) -> Any:
        result = whole(*args)
        made.append(result[0].numel())
        return result

    monkeypatch.setattr(contraction, "_pair", watched)
    r = tt.einsum("ab,bc,cd,d->a", some(50, 40), some(40, 30), some(30, 20), some(20))
    assert r.shape == (50,)
    assert made == [30, 40, 50]


def test_a_matrix_product_is_one_product() -> None:
    x, y = some(2, 3, 4).requires_grad_(), some(2, 4, 5).requires_grad_()
    names = set()
    stack = [tt.einsum("bij,bjk->bik", x, y).grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and hasattr(node, "op"):
            names.add(node.op.__name__)
            stack += node.parents
    assert names <= {"matmul", "reshape"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tt.einsum("ij,jk->ik", x), "names 2 operands, got 1"), (lambda x: tt.einsum("ij->ik", x), "names 'k' but no operand does"), (lambda x: tt.einsum("ij->ii", x), "'i' twice"),
        (lambda x: tt.einsum("ijk", x), r"names 3 dimensions, the operand has shape \(2, 3\)"), (lambda x: tt.einsum("i", x), "names 1 dimensions"), (lambda x: tt.einsum("ii", x), "sizes 2 and 3"),
        (lambda x: tt.einsum("ij,ji", x, x), "names sizes"), (lambda x: tt.einsum("i1", x), "letters and one ellipsis"), (lambda x: tt.einsum("......", x), "letters and one ellipsis"),
        (lambda x: tt.einsum("ij->"), "names 1 operands, got 0"), (lambda x: tt.einsum([0]), "at least one operand"), (lambda x: tt.tensordot(x, x, 3), "dims = 3"), (lambda x: tt.tensordot(x, x, 1), "equal sizes"),
        (lambda x: tt.tensordot(x, x, ([0, 0], [0, 0])), "each once"), (lambda x: tt.tensordot(tt.ones(2, 2), tt.ones(2, 3), ([0, 1], [0, 0])), "each once"), (lambda x: tt.inner(x, x.T), "last dimensions"), (lambda x: tt.cross(x, x, 0), "must have size 3"),
        (lambda x: tt.cross(x[:, :2], x[:, :2]), "no dimension of"), (lambda x: tt.cross(x, x[0]), "as many dimensions"), (lambda x: tt.vdot(x, x), "expected 1 and 1 dimensions"),
    ],
)  # fmt: skip
def test_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(some(2, 3))


def test_cross_and_kron() -> None:
    x, y = tt.tensor([1.0, 0.0, 0.0]), tt.tensor([0.0, 1.0, 0.0])
    assert x.cross(y).tolist() == [0, 0, 1]
    assert y.cross(x).tolist() == [0, 0, -1]
    assert tt.cross(some(3, 4), some(3, 1)).shape == (3, 4)
    assert tt.kron(tt.tensor([1, 2]), tt.tensor([[1], [3]])).tolist() == [[1, 2], [3, 6]]
