"""Every rule is differentiable itself: gradcheck of every row of the table, of its gradient, and of the gradient of that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from check import differentiable, float_outputs, inputs_of, leaves, seed_of
from table import ROWS, Row, Shapes
from test_ops import descriptions

import tinytensor as tt
from tinytensor.testing import gradcheck, gradgradcheck

with_gradient = pytest.mark.parametrize("r", [r for r in ROWS if differentiable(r)], ids=lambda r: r.id)


def shapes_of(r: Row) -> Shapes:
    """The row's smallest case with more than one element and none without."""
    sizes = {s: sum(math.prod(shape) for shape in s) for s in r.shapes if all(math.prod(shape) for shape in s)}
    return min(sizes, key=lambda s: sizes[s] if sizes[s] > 1 else math.inf, default=r.shapes[0])


def gradient(r: Row, *args: Any) -> tuple[Any, ...]:
    """The squares of the row's gradients for fixed upstream gradients."""
    outs = [o for o in float_outputs(r.call(*args, **r.kwargs)) if o.requires_grad]
    inputs = [args[i] for i in r.grads]
    rng = np.random.default_rng(seed_of(r.id, "third"))
    ups = [tt.tensor(rng.uniform(0.5, 1.5, o.shape)) for o in outs]
    found = tt.autograd.grad(outs, inputs, ups, create_graph=True, allow_unused=True)
    return tuple(x * 0.0 if g is None else g * g for g, x in zip(found, inputs))


@with_gradient
def test_orders_one_to_three(r: Row) -> None:
    args = leaves(r, inputs_of(r, shapes_of(r)))
    f = lambda *a: r.call(*a, **r.kwargs)  # noqa: E731
    assert gradcheck(f, args, fast_mode=True)
    if r.gradgrad:
        assert gradgradcheck(f, args, fast_mode=True)
        assert gradgradcheck(lambda *a: gradient(r, *a), args, fast_mode=True)


def test_every_rule_is_run_on_tensors_by_a_row() -> None:
    """The fused ones included: what a row's check of second order walks through are the rules of all ops."""
    having = descriptions()
    right = {name: o.function for name, o in having.items()}
    walked: set[str] = set()
    try:
        for name, o in having.items():

            def watched(g: Any, *args: Any, name: str = name) -> Any:
                if isinstance(g, tt.Tensor):
                    walked.add(name)
                return right[name](g, *args)  # type: ignore[misc]

            o.function = watched
        for r in ROWS:
            if differentiable(r):
                gradient(r, *leaves(r, inputs_of(r, shapes_of(r))))
    finally:
        for name, o in having.items():
            o.function = right[name]
    assert set(having) - walked == set()
    assert {"linear_relu", "linear_silu", "cross_entropy"} <= walked
