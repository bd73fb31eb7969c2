"""Clipping of gradients, and parameters as one vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.nn.utils import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
    parameters_to_vector,
    vector_to_parameters,
)


def parameters(*grads: Any) -> list[Any]:
    made = []
    for g in grads:
        p = nn.Parameter(tt.zeros(np.shape(g) if g is not None else (2,)))
        p.grad = None if g is None else tt.tensor(g)
        made.append(p)
    return made


@pytest.mark.parametrize(("order", "norm"), [(2.0, 13.0), (1.0, 19.0), (math.inf, 12.0)])
def test_gradients_are_scaled_to_the_norm(order: float, norm: float) -> None:
    ps = parameters([[3.0, 0.0], [0.0, -4.0]], None, [12.0])
    before = [None if p.grad is None else p.grad for p in ps]
    total = clip_grad_norm_(ps, 2.0, order)
    assert total.item() == norm
    factor = 2.0 / (norm + 1e-6)
    np.testing.assert_allclose(ps[0].grad, np.array([[3, 0], [0, -4]]) * factor, rtol=1e-6)
    np.testing.assert_allclose(ps[2].grad, [12 * factor], rtol=1e-6)
    assert all(p.grad is b for p, b in zip(ps, before)), "the gradients stay the objects that they were"


def test_small_gradients_stay_as_they_are() -> None:
    (p,) = parameters([0.3, 0.4])
    assert math.isclose(clip_grad_norm_(p, 1.0).item(), 0.5, rel_tol=1e-6)
    np.testing.assert_array_equal(p.grad, np.array([0.3, 0.4], np.float32))
    assert clip_grad_norm_([], 1.0).item() == 0
    assert clip_grad_norm_(iter(parameters([6.0])), 1.0).item() == 6


def test_norms_that_are_not_finite() -> None:
    (p,) = parameters([math.inf, 1.0])
    with pytest.raises(RuntimeError, match=r"total norm of order 2\.0 is inf"):
        clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [math.inf, 1.0]
    clip_grad_norm_(p, 1.0)
    assert math.isnan(p.grad[0].item())
    assert p.grad[1].item() == 0
    (q,) = parameters([math.nan, 1.0])
    clip_grad_norm_(q, 1.0)
    assert np.isnan(q.grad.numpy()).all()


def test_total_norm_of_both_dtypes() -> None:
    total = get_total_norm([tt.tensor([3.0]), tt.tensor([4.0], dtype=tt.float64)])
    assert total.dtype == tt.float64
    assert total.item() == 5
    ps = parameters([3.0, 4.0])
    clip_grads_with_norm_(ps, 1.0, tt.tensor(10.0))
    np.testing.assert_allclose(ps[0].grad, [0.3, 0.4], rtol=1e-6)


def test_values_are_limited() -> None:
    ps = parameters([-3.0, 0.5, math.inf], None)
    clip_grad_value_(ps, 2)
    assert ps[0].grad.tolist() == [-2, 0.5, 2]


def test_a_vector_of_parameters_and_back() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    vec = parameters_to_vector(net.parameters())
    assert vec.shape == (11,)
    np.testing.assert_array_equal(vec.detach()[:6], net[0].weight.detach().numpy().ravel())
    vec.sum().backward()
    assert all((p.grad.numpy() == 1).all() for p in net.parameters())
    weight = net[0].weight
    vector_to_parameters(tt.arange(11).float(), net.parameters())
    assert net[0].weight is weight
    assert weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert parameters_to_vector(net.parameters()).tolist() == list(range(11))


def test_a_vector_that_does_not_fit_changes_nothing() -> None:
    net = nn.Linear(2, 1)
    before = parameters_to_vector(net.parameters()).tolist()
    with pytest.raises(ValueError, match=r"expected a vector of 3 elements, got shape \(4,\)"):
        vector_to_parameters(tt.zeros(4), net.parameters())
    with pytest.raises(TypeError, match="expected a Tensor, got list"):
        vector_to_parameters([0, 0, 0], net.parameters())  # type: ignore[arg-type]
    assert parameters_to_vector(net.parameters()).tolist() == before
