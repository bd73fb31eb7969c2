"""A trace of every op says what backward gives: its downstream gradients are the leaves', and upstream x local is downstream."""

from __future__ import annotations

import math

import numpy as np
import pytest
from check import differentiable, float_outputs, inputs_of, leaves
from table import ROWS, Row

from tinytensor.viz import trace


@pytest.mark.parametrize("r", [r for r in ROWS if differentiable(r)], ids=lambda r: r.id)
def test_trace_and_backward_agree(r: Row) -> None:
    shapes = next((s for s in r.shapes if 0 < sum(map(math.prod, s)) <= 32), None)
    if shapes is None:
        pytest.skip("no small case")
    made = leaves(r, inputs_of(r, shapes))
    y = float_outputs(r.call(*made, **r.kwargs))[0]
    if not y.requires_grad:
        pytest.skip("its first output has no gradient")
    up = np.random.default_rng(0).uniform(0.5, 1.5, y.shape)
    before = trace(y, up)
    y.backward(up)
    for t in (before, trace(y)):
        for n in t.nodes:
            for e in n.inputs:
                if isinstance(e.local, np.ndarray) and e.downstream is not None and n.grad is not None:
                    same = e.local.shape == e.downstream.shape
                    found = n.grad * e.local if same else n.grad.reshape(-1) @ e.local
                    np.testing.assert_allclose(found.reshape(-1), e.downstream.reshape(-1), rtol=1e-10, atol=1e-10)
    for n in before.nodes:  # the leaves have no names here: a variable holds the list
        if n.kind == "leaf":
            (leaf,) = [
                x for x in made if x.requires_grad and x._data.tobytes() == n.value.tobytes() and x.shape == n.shape
            ][:1]
            assert n.grad is not None
            assert n.grad.tobytes() == leaf.grad.numpy().tobytes()
