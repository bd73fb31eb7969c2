"""Attention: queries that see nothing, masks of both kinds, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import autograd

attend = F.scaled_dot_product_attention


def made(*shapes: tuple[int, ...], dtype: Any = np.float64) -> list[tt.Tensor]:
    rng = np.random.default_rng(0)
    return [tt.tensor(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in shapes]


def masks(seen: Any) -> list[Any]:
    return [tt.tensor(seen), tt.tensor(np.where(seen, 0.0, -np.inf), requires_grad=True)]


SEEN = np.array([[True, False, True], [False, False, False]])


@pytest.mark.parametrize("mask", masks(SEEN), ids=["bool", "float"])
def test_a_query_that_sees_nothing_gives_zero_and_takes_no_gradient(mask: Any) -> None:
    q, k, v = made((2, 4), (3, 4), (3, 5))
    y = attend(q, k, v, mask)
    firsts = autograd.grad(y.square().sum(), [q, k, v], create_graph=True)
    seconds = autograd.grad(sum((g.square().sum() for g in firsts[1:]), firsts[0].square().sum()), [q, k, v])
    assert (y.detach().numpy()[1] == 0).all()
    for g in (firsts[0].detach(), seconds[0]):
        assert (g.numpy()[1] == 0).all()
        assert (g.numpy()[0] != 0).all()
    for g in (*(f.detach() for f in firsts), *seconds):
        assert np.isfinite(g.numpy()).all()


def test_the_masks_agree_and_a_key_that_is_not_seen_does_not_count() -> None:
    q, k, v = made((2, 4), (3, 4), (3, 5))
    one, other = (attend(q, k, v, m) for m in masks(SEEN))
    np.testing.assert_array_equal(one.detach(), other.detach())
    only = attend(q[:1], k[np.array([0, 2])], v[np.array([0, 2])])
    np.testing.assert_allclose(one.detach()[:1], only.detach(), rtol=1e-14)
    k.grad = v.grad = None
    one.sum().backward()
    assert (k.grad.numpy()[1] == 0).all()
    assert (v.grad.numpy()[1] == 0).all()


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (2, 4), (4, 2)])
def test_causal_is_the_lower_triangle(rows: int, columns: int) -> None:
    q, k, v = made((2, rows, 4), (2, columns, 4), (2, columns, 5))
    np.testing.assert_array_equal(
        attend(q, k, v, is_causal=True).detach(), attend(q, k, v, np.tri(rows, columns, dtype=bool)).detach()
    )


def test_large_scores_do_not_overflow() -> None:
    q, k, v = made((2, 4), (3, 4), (3, 5), dtype=np.float32)
    y = attend(q * 1e10, k * 1e10, v)
    y.sum().backward()
    best = (q.detach().numpy() @ k.detach().numpy().T).argmax(-1)
    np.testing.assert_array_equal(y.detach(), v.detach().numpy()[best])
    assert np.isfinite(q.grad.numpy()).all()


def test_dropout_leaves_out_weights_and_scales_the_rest() -> None:
    q, k, v = tt.zeros(400, 2), tt.zeros(10, 2), tt.ones(10, 1)
    y = attend(q, k, v, dropout_p=0.5, generator=tt.Generator(1)).numpy()
    assert 0.95 < y.mean() < 1.05
    assert len(np.unique(y.round(4))) > 5
    assert (attend(q, k, v, dropout_p=1.0).numpy() == 0).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_nan_in_a_key_reaches_every_query_that_sees_it(kind: Any) -> None:
    q, k, v = (t.detach() for t in made((2, 4), (3, 4), (3, 5), dtype=kind))
    k[1, 0] = np.nan
    y = attend(q, k, v, np.array([[True, False, True], [True, True, True]])).numpy()
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q, k, v: attend(q[0], k, v), r"expected at least 2 dimensions each, got query \(4,\)"),
        (lambda q, k, v: attend(q, v, v), r"expected query \(..., L, E\).*got query \(2, 4\), key \(3, 5\)"),
        (lambda q, k, v: attend(q, k, v[:2]), r"value \(..., S, V\).*value \(2, 5\)"),
        (lambda q, k, v: attend(q, k, v, SEEN, is_causal=True), "give attn_mask or is_causal, not both"),
        (lambda q, k, v: attend(q, k, v, SEEN.T), r"attn_mask \(3, 2\) cannot be broadcast to \(2, 3\)"),
        (lambda q, k, v: attend(q[:1], k, v, SEEN), r"attn_mask \(2, 3\) cannot be broadcast to \(1, 3\)"),
        (lambda q, k, v: attend(q, k, v, dropout_p=2.0), "p must be between 0 and 1, got 2.0"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(*made((2, 4), (3, 4), (3, 5)))


def test_one_dtype_for_all() -> None:
    q, k, v = made((2, 4), (3, 4), (3, 5))
    with pytest.raises(TypeError, match="expected one float dtype, got query float64, key float32, value float64"):
        attend(q, k.float(), v)
    with pytest.raises(TypeError, match="expected attn_mask of dtype bool or float64, the query's, got float32"):
        attend(q, k, v, tt.zeros(2, 3))
    with pytest.raises(TypeError, match="expected one float dtype, got query int64"):
        attend(q.long(), k.long(), v.long())
