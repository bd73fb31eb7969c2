"""A trace of every op says what backward gives: its downstream gradients are the leaves', and upstream x local is downstream."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from check import differentiable, float_outputs, inputs_of, leaves
from table import ROWS, Row

import tinytensor as tt
from tinytensor.viz import Trace, trace


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
        same_products(t)
    for n in before.nodes:  # the leaves have no names here: a variable holds the list
        if n.kind == "leaf":
            (leaf,) = [
                x for x in made if x.requires_grad and x._data.tobytes() == n.value.tobytes() and x.shape == n.shape
            ][:1]
            assert n.grad is not None
            assert n.grad.tobytes() == leaf.grad.numpy().tobytes()


# ------------------------------------------------------------------------------------- graphs of more than an op's call
class Both(tt.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: tt.Tensor) -> Any:
        return x * 2, x * 3

    @staticmethod
    def backward(ctx: Any, a: tt.Tensor, b: tt.Tensor) -> tt.Tensor:
        return 2 * a + 3 * b


def several_outputs(x: tt.Tensor) -> tt.Tensor:
    a, b = Both.apply(x)
    return (a * b).sum() + (b * x).sum()


def an_unused_output(x: tt.Tensor) -> tt.Tensor:
    return (Both.apply(x)[1] * x).sum()


def in_place(x: tt.Tensor) -> tt.Tensor:
    h = x * 3
    h.add_(10.0)
    h.mul_(x)
    h[1:3] = x[:2] * 5
    return (h * h).sum()


def through_a_view(x: tt.Tensor) -> tt.Tensor:
    h = x * 3
    h[1:3].mul_(5.0)
    return (h * h).sum()


def views(x: tt.Tensor) -> tt.Tensor:
    return (x.reshape(2, 2).T[1] * x[::2]).sum()


def a_checkpoint(x: tt.Tensor) -> tt.Tensor:
    return tt.autograd.checkpoint(lambda a: tt.exp(a * 0.1).sin() * a, x).sum()


def a_gradients_graph(x: tt.Tensor) -> tt.Tensor:
    (g,) = tt.autograd.grad((tt.exp(x * 0.3) * x).sum(), x, create_graph=True)
    return (g * g).sum()


def a_kept_gradient(x: tt.Tensor) -> tt.Tensor:
    h = tt.tanh(x)
    h.retain_grad()
    return (h * x).sum()


def a_hook(x: tt.Tensor) -> tt.Tensor:
    h = x * 3
    h.register_hook(lambda g: g * 10)
    return (h * x).sum()


def a_hook_of_a_node(x: tt.Tensor) -> tt.Tensor:
    h = x * 3
    h.grad_fn.register_hook(lambda given, _: tuple(None if g is None else g * 2 for g in given))
    return (h * x).sum()


GRAPHS = [
    several_outputs,
    an_unused_output,
    in_place,
    through_a_view,
    views,
    a_checkpoint,
    a_gradients_graph,
    a_kept_gradient,
]
HOOKED = [a_hook, a_hook_of_a_node]


@pytest.mark.parametrize("graph", GRAPHS + HOOKED)
def test_graphs_say_what_backward_gives(graph: Any) -> None:
    x = tt.tensor([1.0, 2.0, 3.0, 4.0], dtype=tt.float64, requires_grad=True)
    y = graph(x)
    before = trace(y)
    first = x.grad
    y.backward(retain_graph=True)
    once = x.grad.numpy().copy()
    kept = trace(y)
    y.backward()
    assert first is None
    np.testing.assert_allclose(x.grad.numpy(), 2 * once, rtol=1e-14)  # explaining added nothing, and freed nothing
    again = trace(y)
    for t in (kept, again) if graph in HOOKED else (before, kept, again):  # hooks run in backward alone
        (leaf,) = [n for n in t.nodes if n.kind == "leaf"]
        if leaf.grad is None:  # only a Function or a hook knew the numbers, and .grad has those of two backwards
            assert t is again
        else:
            assert leaf.grad.tobytes() == once.tobytes()
        assert same_products(t) >= 3


def same_products(t: Trace) -> int:
    """How many edges have upstream x local = downstream; all that have numbers must."""
    count = 0
    for n in t.nodes:
        for e in n.inputs:
            if isinstance(e.local, np.ndarray) and e.downstream is not None and n.grad is not None:
                found = n.grad * e.local if e.local.shape == e.downstream.shape else n.grad.reshape(-1) @ e.local
                np.testing.assert_allclose(found.reshape(-1), e.downstream.reshape(-1), rtol=1e-10, atol=1e-10)
                count += 1
    return count
