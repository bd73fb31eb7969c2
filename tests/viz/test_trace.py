"""A trace of a graph: what it says is what backward does, before it ran and after."""

from __future__ import annotations

import gc
import weakref
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor._tape import noted
from tinytensor.viz import Trace, TraceNode, trace
from tinytensor.viz.trace import histogram


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(values[0] if len(values) == 1 else values, dtype=tt.float64, requires_grad=True)


def named(t: Trace, name: str) -> TraceNode:
    (found,) = [n for n in t.nodes if n.name == name]
    return found


def op(t: Trace, name: str) -> TraceNode:
    (found,) = [n for n in t.nodes if n.op == name]
    return found


def numbers(*arrays: Any) -> list[Any]:
    return [None if a is None else a.tolist() for a in arrays]


def check(t: Trace) -> int:
    """upstream x local = downstream wherever the local gradient is a number; how many there were."""
    count = 0
    for n in t.nodes:
        for e in n.inputs:
            assert e.source < n.index
            if isinstance(e.local, np.ndarray) and e.downstream is not None and n.grad is not None:
                shape = t.nodes[e.source].shape
                assert e.downstream.shape == shape
                up = n.grad if e.local.shape == shape else n.grad.reshape(-1)
                found = up * e.local if e.local.shape == shape else (up @ e.local).reshape(shape)
                np.testing.assert_allclose(found, e.downstream, rtol=1e-12, atol=1e-12)
                count += 1
    return count


def test_a_gradient_asked_for_by_name_is_shown_as_its_hook_left_it() -> None:
    x = leaf(1.0, 2.0)
    q = x * 3.0
    f = (q * q).sum()
    q.register_hook(lambda g: g * 10)
    (g,) = tt.autograd.grad(f, [q])
    shown = named(trace(f), "q").grad
    assert shown is not None
    assert g.tolist() == shown.tolist() == [60, 120]


@pytest.mark.parametrize("after", [False, True])
def test_the_lectures_gates(after: bool) -> None:
    x, y, z = leaf(-2.0), leaf(5.0), leaf(-4.0)
    q = x + y
    f = q * z
    if after:
        f.backward()
    t = trace(f)
    assert t.nodes[t.root].name == "f"
    assert [n.name for n in t.nodes] == ["x", "y", "q", "z", "f"]
    assert [n.value.item() for n in t.nodes if n.value is not None] == [-2, 5, 3, -4, -12]
    assert [n.grad.item() for n in t.nodes if n.grad is not None] == [-4, -4, -4, 3, 1]
    assert [n.gate for n in t.nodes] == ["", "", "add: distributes", "", "mul: swaps"]
    assert [(e.source, e.place, float(e.local), float(e.downstream)) for e in named(t, "f").inputs] == [
        (2, 0, -4, -4),
        (3, 1, 3, 3),
    ]
    assert named(t, "f").stored == ["q", "z"]
    assert named(t, "q").stored == []
    assert "test_trace.py:" in str(named(t, "q").line)
    assert check(t) == 4
    if not after:
        assert x.grad is None
        f.backward()
    assert (x.grad.item(), y.grad.item(), z.grad.item()) == (-4, -4, 3)


def test_the_sigmoid_neuron_gate_by_gate() -> None:
    w0, x0, w1, x1, w2 = leaf(2.0), leaf(-1.0), leaf(-3.0), leaf(-2.0), leaf(-3.0)
    f = 1 / (1 + tt.exp(-(w0 * x0 + w1 * x1 + w2)))
    t = trace(f)
    want = {"w0": -0.20, "x0": 0.39, "w1": -0.39, "x1": -0.59, "w2": 0.20}
    assert {n.name: round(n.grad.item(), 2) for n in t.nodes if n.kind == "leaf"} == want
    assert round(float(op(t, "div").inputs[1].local), 2) == -0.53
    assert op(t, "exp").stored == ["its value"]
    constants = [n.value.item() for n in t.nodes if n.kind == "constant"]
    assert constants == [1, 1]  # of 1 + and of 1 /
    assert check(t) == len([e for n in t.nodes for e in n.inputs]) - 2


def test_locals_of_the_lectures_gates() -> None:
    for make, at, want in (
        (tt.reciprocal, -2.0, -0.25),
        (tt.exp, 0.0, 1.0),
        (lambda x: x + 3, 7.0, 1.0),
        (lambda x: 3 * x, 7.0, 3.0),
    ):
        x = leaf(at)
        (e,) = [e for n in trace(make(x)).nodes for e in n.inputs if e.local is not None]
        assert float(e.local) == want


def test_max_routes_and_halves_at_a_tie() -> None:
    x, y = leaf(4.0), leaf(4.0)
    n = op(trace(tt.maximum(x, y)), "maximum")
    assert n.gate == "max: routes"
    assert [float(e.local) for e in n.inputs] == [0.5, 0.5]
    big, small = leaf(5.0), leaf(-1.0)
    assert [float(e.local) for e in op(trace(tt.maximum(big, small)), "maximum").inputs] == [1, 0]
    assert op(trace(leaf(1, 9, 3).amax()), "amax").inputs[0].local.tolist() == [0, 1, 0]


def test_a_copy_adds() -> None:
    a = leaf(3.0)
    b = a * 4 + a * 3
    t = trace(b)
    assert (named(t, "a").gate, named(t, "a").grad.item()) == ("copy: adds", 7)
    assert sorted(float(e.downstream) for n in t.nodes for e in n.inputs if e.source == named(t, "a").index) == [3, 4]
    t = trace(a * a)
    assert named(t, "a").grad.item() == 6
    assert len([n for n in t.nodes if n.name == "a"]) == 1


def test_a_product_is_told_by_its_formula() -> None:
    x, w = tt.randn(64, 20), tt.randn(20, 5, requires_grad=True)
    h = x @ w
    loss = (tt.tanh(h) * 2).sum()
    n = named(trace(loss), "h")
    assert n.inputs[1].local == "dw = x^T @ dh: (20,64)@(64,5)"
    loss.backward()
    t = trace(loss)
    assert op(t, "tanh").value is None  # large: freed
    assert named(t, "h").grad is None  # its rule had the value of tanh
    assert named(t, "h").value.tobytes() == h.detach().numpy().tobytes()  # the caller has it
    assert named(t, "h").inputs[1].local == "dw = x^T @ dh: (20,64)@(64,5)"
    assert named(t, "w").grad.tobytes() == w.grad.numpy().tobytes()
    assert named(t, "w").summary.grad.norm == pytest.approx(float(np.linalg.norm(w.grad.numpy())))
    assert sum(named(t, "w").summary.histogram) == 100


def test_inspect_keeps_all() -> None:
    model = tt.nn.Sequential(tt.nn.Linear(20, 30), tt.nn.ReLU(), tt.nn.Linear(30, 4))
    x = tt.randn(6, 20)
    with tt.inspect():
        loss = F.cross_entropy(model(x), tt.tensor([0, 1, 2, 3, 0, 1]))
    before = trace(loss)
    loss.backward()
    after = trace(loss)
    assert [n.name for n in after.nodes if n.kind == "parameter"] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [n.module for n in after.nodes if n.op.startswith("linear")] == ["0", "2"]
    for a, b in zip(before.nodes, after.nodes):
        assert (a.op, a.kind, a.name, a.shape) == (b.op, b.kind, b.name, b.shape)
        if b.kind != "constant":
            assert b.value is not None
            assert a.grad.tobytes() == b.grad.tobytes()
        for e, f in zip(a.inputs, b.inputs):
            assert numbers(e.downstream) == numbers(f.downstream)
    for n, p in zip([n for n in after.nodes if n.kind == "parameter"], model.parameters()):
        assert n.grad.tobytes() == p.grad.numpy().tobytes()


def test_inspect_changes_no_bits_and_ends() -> None:
    w = tt.randn(20, 20, requires_grad=True)
    (w @ w).exp().mean().backward()
    plain, w.grad = w.grad.numpy().tobytes(), None
    with tt.inspect():
        (w @ w).exp().mean().backward()
    assert w.grad.numpy().tobytes() == plain
    assert op(trace((w * 2).sum()), "mul").value is None


def test_nothing_is_freed_and_no_grad_changes() -> None:
    x = leaf(1.0, 2.0)
    y = (tt.exp(x) * x).sum()
    trace(y)
    trace(y)
    assert x.grad is None
    y.backward()
    want = x.grad.tolist()
    assert named(trace(y), "x").grad.tolist() == want
    assert x.grad.tolist() == want


def test_retain_graph_and_another_loss() -> None:
    x = leaf(2.0)
    h = x * 3
    one, two = h * 5, h * 7
    one.backward(retain_graph=True)
    two.backward(retain_graph=True)
    assert (named(trace(one), "h").grad.item(), named(trace(two), "h").grad.item()) == (5, 7)
    assert x.grad.item() == 36
    assert named(trace(two), "x").grad.item() == 21  # of this loss, not what .grad has gathered


def test_a_gradient_of_several_backwards_is_not_taken_for_one() -> None:
    w = tt.randn(20, 20, requires_grad=True)

    def step() -> tt.Tensor:
        loss = (tt.tanh(w @ w) * 2).sum()
        loss.backward()
        return loss

    one = step()
    assert named(trace(one), "w").grad.tobytes() == w.grad.numpy().tobytes()
    two = step()  # adds
    assert named(trace(one), "w").grad is None
    assert named(trace(two), "w").grad is None
    w.grad = None
    two = step()
    assert named(trace(two), "w").grad.tobytes() == w.grad.numpy().tobytes()


def test_the_gradient_that_backward_was_given() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    up = tt.tensor([10.0, 1.0], dtype=tt.float64)
    assert named(trace(y), "x").grad is None
    assert named(trace(y, [3.0, 0.0]), "x").grad.tolist() == [6, 0]
    y.backward(up)
    up.fill_(0.0)
    assert named(trace(y), "y").grad.tolist() == [10, 1]
    assert named(trace(y), "x").grad.tolist() == [20, 4]
    with pytest.raises(RuntimeError, match=r"expected a gradient of shape \(2,\), got \(3,\)"):
        trace(y, [1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match=r"expected a gradient of numbers of shape \(2,\), got 'one'"):
        trace(y, "one")


def test_create_graph_leaves_no_cycle() -> None:
    x = tt.name(leaf(3.0), "x")
    y = x * x * x
    (g,) = tt.autograd.grad(y, x, create_graph=True)

    def slope(t: tt.Tensor) -> float:  # its frame ends: Python may hold a frame's variables once they were asked for
        return float(named(trace(t), "x").grad.item())

    assert (slope(g), slope(y)) == (18, 27)
    node = weakref.ref(y.grad_fn)
    gc.disable()
    try:
        del y, g
        assert node() is None
    finally:
        gc.enable()


def test_parts_without_gradient_are_constants() -> None:
    x = leaf(2.0)
    with tt.no_grad():
        k = x * 5
    t = trace(x * k)
    (c,) = [n for n in t.nodes if n.kind == "constant"]
    assert (c.value.item(), named(t, "x").grad.item()) == (10, 10)
    with pytest.raises(RuntimeError, match="does not require grad"):
        trace(k)


class Cube(tt.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx: Any, x: tt.Tensor) -> tt.Tensor:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, g: tt.Tensor) -> tt.Tensor:
        Cube.calls += 1
        (x,) = ctx.saved_tensors
        return 3 * x * x * g


def test_a_function_of_the_users() -> None:
    x = leaf(2.0)
    y = Cube.apply(x) * 10
    n = op(trace(y), "Cube")
    assert (n.value.item(), n.grad.item(), float(n.inputs[0].local), float(n.inputs[0].downstream)) == (8, 10, 12, 120)
    y.backward()
    calls = Cube.calls
    n = op(trace(y), "Cube")
    assert (n.value.item(), n.grad.item(), n.inputs[0].local) == (8, 10, "by its own backward")
    assert Cube.calls == calls  # what it saved is gone
    assert named(trace(y), "x").grad.item() == 120
    v = leaf(*range(3))
    assert op(trace(Cube.apply(v).sum()), "Cube").inputs[0].downstream.tolist() == [0, 3, 12]


def test_several_outputs() -> None:
    class Both(tt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, a: tt.Tensor, b: tt.Tensor) -> tt.Tensor:
            return 2 * a + 3 * b

    x = leaf(1.0)
    a, b = Both.apply(x)
    f = a * 10 + b * 100
    for _ in range(2):
        t = trace(f)
        assert (named(t, "a").value.item(), named(t, "b").value.item()) == (2, 3)
        assert (named(t, "a").grad.item(), named(t, "b").grad.item()) == (10, 100)
        assert named(t, "x").grad.item() == 320
        if x.grad is None:
            f.backward()


def test_a_checkpoint_runs_again_once() -> None:
    runs = []

    def part(x: tt.Tensor) -> tt.Tensor:
        runs.append(1)
        return tt.exp(x * 2).sin()

    x = leaf(0.5)
    y = tt.autograd.checkpoint(part, x)
    t = trace(y)
    assert len(runs) == 2
    assert check(t) == 3
    y.backward()
    assert named(t, "x").grad.item() == x.grad.item()
    assert named(trace(y), "x").grad.item() == x.grad.item()


def test_values_from_before_a_change_in_place() -> None:
    x = leaf(1.0, 2.0)
    h = x * 3
    h.add_(10)
    t = trace(h.sum())
    assert op(t, "mul").value.tolist() == [3, 6]
    assert op(t, "add").value.tolist() == [13, 16]
    p = leaf(1.0, 2.0)
    y = (p * p).sum()
    y.backward()
    with tt.no_grad():
        p += 1
    t = trace(y)
    assert op(t, "mul").inputs[0].local != [2, 4]  # what its rule needs is another number now
    assert op(t, "mul").value.tolist() == [1, 4]


def test_an_array_without_gradient_is_one_node_with_its_name() -> None:
    x, w = tt.randn(6, 20), tt.randn(20, 20, requires_grad=True)
    loss = ((x @ w) * x + x).sum()
    for _ in range(2):
        (c,) = [n for n in trace(loss).nodes if n.kind == "constant"]
        assert (c.name, c.shape, c.value.tobytes()) == ("x", (6, 20), x.numpy().tobytes())
        if w.grad is None:
            loss.backward()
    del x
    (c,) = [n for n in trace(loss).nodes if n.kind == "constant"]
    assert (c.name, c.shape, c.value) == (None, (6, 20), None)


def test_a_constant_changed_since_has_no_value() -> None:
    x, w = tt.ones(20), tt.ones(20, requires_grad=True)
    y = (w - x).sum()
    x += 1
    assert named(trace(y), "x").value is None


def test_names_of_constants() -> None:
    few = {"scale": tt.tensor([1.0, 2.0])}
    many, held = [tt.randn(20), tt.randn(20)], type("Held", (), {})()
    held.bias = tt.randn(20)
    given = tt.name(tt.randn(20), "noise")
    rows = np.ones(20, np.float32)
    w, v = tt.ones(20, requires_grad=True), tt.ones(2, requires_grad=True)
    y = ((w + many[1] - held.bias + given.detach()) * rows).sum() + (v * few["scale"]).sum()
    for _ in range(2):
        found = [n.name for n in trace(y).nodes if n.kind == "constant"]
        assert found == ["many[1]", "held.bias", "noise", "rows", "few['scale']"]
        if w.grad is None:
            y.backward()


def test_targets_are_inputs() -> None:
    scores, labels = tt.randn(20, 3, requires_grad=True), tt.randint(0, 3, (20,))
    n = trace(F.cross_entropy(scores, labels))
    assert [n.nodes[e.source].name for e in n.nodes[n.root].inputs] == ["scores", "labels"]
    assert n.nodes[n.root].inputs[0].local == "dscores = (softmax(scores) - onehot(labels)) * dcross_entropy2 / 20"
    t = trace(F.cross_entropy(scores, tt.randint(0, 3, (20,)), reduction="sum"))
    assert t.nodes[t.root].inputs[0].local.endswith("onehot(target)) * dcross_entropy2")


@pytest.mark.parametrize("activation", ["ReLU", "Sigmoid", "GELU", "LeakyReLU"])
def test_a_fused_op_says_its_activation(activation: str) -> None:
    model = tt.nn.Sequential(tt.nn.Linear(20, 5), getattr(tt.nn, activation)())
    y = model(tt.randn(4, 20)).sum()
    names = {"LeakyReLU": "leaky_relu"}
    found = []
    for _ in range(2):
        found += [n.op for n in trace(y).nodes if n.op.startswith("linear")]
        if model[0].bias.grad is None:
            y.backward()
    assert found == [f"linear_{names.get(activation, activation.lower())}"] * 2


class Twice(tt.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = tt.nn.Parameter(tt.ones(3, 3))

    def forward(self, x: tt.Tensor) -> tt.Tensor:
        return (x @ self.weight).exp()


def test_modules_without_inspect() -> None:
    model = tt.nn.Sequential(tt.nn.Linear(4, 3), Twice(), tt.nn.Conv2d(1, 1, 1))
    y = model[2](model[1](model[0](tt.randn(2, 4))).reshape(1, 1, 2, 3)).sum()
    penalty = sum((p**2).sum() for p in model.parameters())
    where = {n.op: n.module for n in trace(y + penalty).nodes if n.kind == "op"}
    assert where.pop("linear") == "0"
    assert (where.pop("matmul"), where.pop("exp")) == ("1", "1")  # written in the only Twice
    assert where.pop("conv2d") == "2"
    assert set(where.values()) == {None}


def test_parameters_of_several_models() -> None:
    encoder, head = tt.nn.Sequential(tt.nn.Linear(4, 3)), tt.nn.Linear(3, 2)
    nodes = trace(head(encoder(tt.randn(2, 4))).sum()).nodes
    names = [n.name for n in nodes if n.kind == "parameter"]
    assert names == ["encoder.0.weight", "encoder.0.bias", "head.weight", "head.bias"]
    assert [n.module for n in nodes if n.op == "linear"] == ["encoder.0", "head"]


def test_what_stays_after_backward_holds_no_large_memory() -> None:
    big, w = tt.randn(1000), leaf(1.0, 2.0)
    part, memory = big[:2], weakref.ref(big._data)
    y = (w * part).sum()
    y.backward()
    del big, part
    assert memory() is None
    assert [n.shape for n in trace(y).nodes if n.kind == "constant"] == [(2,)]
    small = leaf(1.0, 2.0) * 1
    other = tt.ones(1000, dtype=tt.float64, requires_grad=True) * 1
    (tt.cat([small, other]) * 3).sum().backward()
    upstream = noted(small.grad_fn)[4]
    assert upstream.tolist() == [3, 3]
    assert not isinstance(upstream.base, np.ndarray)  # a part of cat's gradient would keep it all


def test_constants_of_a_join() -> None:
    x, k = leaf(1.0, 2.0), tt.tensor([5.0], dtype=tt.float64)
    t = trace(tt.cat([k, x]))
    assert [t.nodes[e.source].name for e in op(t, "cat").inputs] == ["k", "x"]
    assert named(t, "k").value.tolist() == [5]


def test_views() -> None:
    x = leaf(*range(6))
    y = (x.reshape(2, 3).T[1] * 2).sum()
    t = trace(y)
    assert named(t, "x").grad.tolist() == [0, 2, 0, 0, 2, 0]
    assert op(t, "getitem").value.tolist() == [1, 4]
    big = tt.zeros(1000, requires_grad=True) * 1
    first, memory = big[0], weakref.ref(big._data)
    del big
    assert memory() is not None  # the view's own
    node = first.grad_fn
    del first
    assert (node.op.__name__, memory()) == ("getitem", None)  # its node has a number, not the memory


def test_names() -> None:
    x = leaf(1.0)
    tt.name(x, "input")
    tt.name(x * 2, "lost")  # goes with its node
    y = tt.name(tt.name(x * 2, "twice") + 1, "more")
    assert [n.name for n in trace(y).nodes if n.kind != "constant"] == ["input", "twice", "more"]
    with pytest.raises(TypeError, match="expected a Tensor and a str, got int and str"):
        tt.name(3, "x")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ numbers that may lie
@pytest.mark.parametrize("change", ["clip", "scale", "zero", "replace"])
def test_a_gradient_that_was_changed_since_is_not_backwards(change: str) -> None:
    w = tt.randn(5, 5, requires_grad=True)
    loss = (tt.exp(w) * 2).sum()
    loss.backward()
    assert named(trace(loss), "w").grad.tobytes() == w.grad.numpy().tobytes()
    if change == "clip":
        tt.nn.utils.clip_grad_norm_([w], 0.1)
    elif change == "scale":
        w.grad.mul_(100.0)
    elif change == "zero":
        tt.optim.SGD([w], lr=0.1).zero_grad(set_to_none=False)
    else:
        w.grad = w.grad * 2
    assert named(trace(loss), "w").grad is None


def test_of_a_backward_from_further_on_counts_what_goes_through_here() -> None:
    x = leaf(3.0)
    a = x * 2
    h = a * 3
    f = h * 5 + a
    f.backward()
    t = trace(h)
    assert (named(t, "h").grad.item(), named(t, "a").grad.item(), named(t, "x").grad.item()) == (5, 15, 30)
    assert (named(trace(f), "a").grad.item(), named(trace(f), "x").grad.item()) == (16, 32)
    w = tt.randn(5, 5, requires_grad=True)
    h = tt.exp(w)
    (h * w).sum().backward()
    assert named(trace(h), "w").grad is None  # .grad has the other way's, too


def test_of_a_backward_from_two_roots_each_has_its_own() -> None:
    w = tt.randn(5, 5, requires_grad=True)
    a, b = tt.exp(w).sum(), tt.sin(w).sum()
    tt.autograd.backward([a, b])
    assert named(trace(a), "w").grad is None


def test_a_gradient_of_another_backward_within_a_hook_is_not_taken_for_one() -> None:
    w, x = tt.randn(5, 5, requires_grad=True), leaf(1.0)
    inner = (tt.exp(w) * 2).sum()
    last = tt.sin(w).sum()  # made before h: its rule runs after h's hook
    h = x * 2
    h.register_hook(lambda g: inner.backward())
    (h * last).backward()
    assert named(trace(inner), "w").grad is None


def test_a_gradient_given_after_backward() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    y.backward([1.0, 1.0])
    assert named(trace(y, [10.0, 0.0]), "x").grad.tolist() == [20, 0]
    assert named(trace(y, [1.0, 1.0]), "x").grad.tolist() == named(trace(y), "x").grad.tolist() == [2, 4]


def test_hooks_of_leaves_and_values() -> None:
    x = leaf(3.0)
    x.register_hook(lambda g: g * 100)
    y = x * 4
    assert named(trace(y), "x").grad.item() == 4
    y.backward()
    n = named(trace(y), "x")
    assert (n.before.item(), n.grad.item()) == (4, x.grad.item())
    h = leaf(1.0) * 2
    h.register_hook(lambda g: g * 10)
    z = h * 3
    z.backward()
    h, z = named(trace(z), "h"), named(trace(z), "z")
    assert (h.before.item(), h.grad.item(), z.before) == (3, 30, None)


def test_what_a_hook_kept_may_be_changed() -> None:
    x, seen = leaf(1.0, 2.0), []
    h = x * 3
    y = ((h + 1) * 2).sum()
    h.register_hook(lambda g: seen.append(g))
    y.backward()
    seen[0].mul_(100)
    assert op(trace(y), "add").grad.tolist() == [2, 2]
    assert named(trace(y), "x").grad.tolist() == x.grad.tolist() == [6, 6]


def test_infinite_values_have_no_local_gradient_in_numbers_of_others() -> None:
    x = leaf(1.0, float("nan"), float("inf"))
    t = trace((x * x).sum())
    assert op(t, "mul").inputs[0].local == "dx = x * dmul1"
    assert named(t, "x").grad.tolist()[0::2] == [2, float("inf")]


def test_variables_that_cannot_be_read_are_passed_over() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise ValueError("no words")

    class Proxy:
        @property
        def __dict__(self) -> Any:
            raise RuntimeError("outside of its context")

    class Other:
        @property
        def __class__(self) -> Any:
            raise RuntimeError("outside of its context")

    x = leaf(3.0)
    keep = [{Mute(): x, "x": x}, Proxy(), Other()]
    mapping, proxy, other = keep
    assert named(trace(x * 2), "x").grad.item() == 2
    assert (len(mapping), type(proxy), type(other)) == (2, Proxy, Other)


def test_a_leaf_that_was_changed_since_says_so() -> None:
    model = tt.nn.Sequential(tt.nn.Linear(5, 20), tt.nn.Tanh(), tt.nn.Linear(20, 3))
    x = tt.randn(4, 5)
    loss = (model(x) ** 2).sum()
    loss.backward()
    assert not any(n.changed for n in trace(loss).nodes)
    tt.optim.SGD(model.parameters(), lr=0.1).step()
    assert "2.weight" in [n.name for n in trace(loss).nodes if n.changed]
    p = leaf(1.0, 2.0)
    y = (p * p).sum()
    with tt.no_grad():
        p.mul_(10.0)
    assert "p = [10, 20], changed since" in str(y.explain())


@pytest.mark.parametrize("word", ["", " ", "a\nb", "\x1b[31m"])
def test_a_name_is_a_line_of_text(word: str) -> None:
    with pytest.raises(ValueError, match="name: expected one line of printable text, got "):
        tt.name(leaf(1.0), word)
    assert tt.name(leaf(1.0), "Größe <b>").item() == 1


ALMOST = np.where(np.arange(40) % 2, 1.0, np.nextafter(1.0, 2))


@pytest.mark.parametrize("values", [ALMOST, np.tile([-1.7e308, 1.7e308], 20), np.tile([0.0, 5e-324], 20)])
def test_a_summary_of_numbers_that_lie_too_close_or_too_far_apart(values: Any) -> None:
    x = tt.tensor(values, requires_grad=True)
    s = named(trace((x * 1.0).sum()), "x").summary
    assert s.histogram in ([20, *[0] * 14, 20], [*[0] * 8, 40, *[0] * 7])
    assert s.mean == pytest.approx(values[::2][0] / 2 + values[1::2][0] / 2)
    assert s.min <= s.mean <= s.max and s.norm >= s.max


def test_a_histogram_is_numpys() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    assert histogram(values) == np.histogram(values, 16)[0].tolist()


def test_what_is_no_tensor_is_named() -> None:
    with pytest.raises(TypeError, match="expected a Tensor, got list"):
        trace([tt.ones(2)])  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["\0", "\x1b", "\n", "\ud800", "\ufffe"])
def test_characters_that_cannot_be_shown_are_marked(bad: str) -> None:
    model = tt.nn.Module()
    model.register_parameter(f"a{bad}b", tt.nn.Parameter(tt.ones(())))
    drawing = tt.viz.draw(next(model.parameters()) * 2)
    assert drawing.trace.nodes[0].name == "model.a\N{REPLACEMENT CHARACTER}b"
    ElementTree.fromstring(drawing.svg.encode())
    drawing.html.encode()


def test_modules_have_their_classes() -> None:
    def within() -> tt.viz.Trace:
        hidden = tt.nn.Sequential(tt.nn.Linear(3, 20), tt.nn.Tanh())
        with tt.inspect():
            loss = tt.nn.Sequential(hidden, tt.nn.Linear(20, 1))(tt.randn(4, 3)).sum()
        return trace(loss)

    model = tt.nn.Sequential(tt.nn.Linear(3, 2), tt.nn.ReLU())
    assert trace(model(tt.randn(4, 3)).sum()).modules == {"": "Sequential", "0": "Linear", "1": "ReLU"}
    assert within().modules["1"] == "Linear"
    assert ">0 Linear<" in tt.viz.draw(model(tt.randn(4, 3)).sum()).svg


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "longlong", "uint16", "float16", "U3", "complex128"])
@pytest.mark.parametrize("count", [1, 3, 16])
def test_a_constant_may_be_of_any_dtype_that_numpy_has(dtype: str, count: int) -> None:
    """The copy of a small constant takes as much memory as its dtype needs."""
    x = tt.ones(count, requires_grad=True)
    constant = np.arange(count).astype(dtype)
    if constant.dtype.kind in "Uc":
        with pytest.raises(TypeError):
            _ = x + constant
        return
    out = (x + constant).sum()
    constant[:] = 100  # what it was is shown, not what became of it
    t = trace(out)
    (shown,) = [n.value for n in t.nodes if n.value is not None and n.value.dtype == constant.dtype]
    np.testing.assert_array_equal(shown, np.arange(count))
