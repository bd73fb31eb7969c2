"""Gradients asked for by name, accumulation across calls, and the hooks of tensors and nodes."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import autograd


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(values, dtype=tt.float64, requires_grad=True)


def values(tensors: Any) -> list[Any]:
    return [None if t is None else t.tolist() for t in tensors]


# ----------------------------------------------------------------------------------------------------------------- grad
def test_an_input_that_is_on_the_way_to_another() -> None:
    x = leaf(1, 2)
    y = x * 3
    z = (y * y).sum() + (x * 5).sum()
    assert values(autograd.grad(z, [x, y])) == [[23, 41], [6, 12]]


def test_an_output_that_is_an_input() -> None:
    x = leaf(1, 2)
    y = x * 3
    assert values(autograd.grad([y, x], [x, y], [tt.tensor([1.0, 10.0]), tt.tensor([100.0, 200.0])])) == [
        [103, 230],
        [1, 10],
    ]
    assert values(autograd.grad(x, x, tt.tensor([7.0, 8.0]))) == [[7, 8]]


def test_an_output_that_another_came_from() -> None:
    x = leaf(1, 2)
    y = x * 3
    z = y * 2
    for outputs in ([y, z], [z, y], [y, z, y]):
        (g,) = autograd.grad(outputs, x, [tt.ones(2)] * len(outputs), retain_graph=True)
        assert g.tolist() == [9.0 + 3.0 * (len(outputs) - 2)] * 2


def test_results_share_no_memory_with_each_other_or_with_what_was_given() -> None:
    x, y, up = leaf(1, 2), leaf(3, 4), tt.tensor([1.0, 1.0], dtype=tt.float64)
    found = [*autograd.grad(x + y, [x, y, x], up), *autograd.grad(x, x, up)]
    for i, g in enumerate(found):
        assert not np.shares_memory(g.numpy(), up.numpy())
        for other in found[:i]:
            assert not np.shares_memory(g.numpy(), other.numpy())


def test_several_outputs_of_one_op() -> None:
    class Two(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, a: tt.Tensor, b: tt.Tensor) -> Any:
            return a * 2 + b * 3

    x = leaf(1, 2)
    a, b = Two.apply(x)
    (a * b).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [12, 24]
    assert values(autograd.grad((a * b).sum(), [b, a, x])) == [[2, 4], [3, 6], [12, 24]]


def test_rules_that_lead_to_no_input_are_not_run_and_what_they_keep_stays() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    seen: list[str] = []
    first = x * w
    first.grad_fn.register_hook(lambda gi, go: seen.append("first"))
    y = tt.sin(first)
    z = (y * y).sum()
    (gy,) = autograd.grad(z, y)
    assert seen == []
    y.backward(gy)  # from there to the leaves, later
    assert seen == ["first"]
    (want,) = autograd.grad((tt.sin(x * w) ** 2).sum(), x)
    assert x.grad.tolist() == want.tolist()


def test_a_branch_beside_the_input_is_not_run() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    seen: list[str] = []
    branch = tt.exp(w)
    branch.register_hook(lambda g: seen.append("branch"))
    z = x * branch
    needs: list[Any] = []
    z.grad_fn.register_hook(lambda gi, go: needs.append([g is not None for g in gi]))
    assert values(autograd.grad(z.sum(), x, retain_graph=True)) == [branch.tolist()]
    assert (seen, needs) == ([], [[True, False]])
    autograd.grad(z.sum(), w)
    assert (seen, needs[1:]) == (["branch"], [[False, True]])


def test_unused_inputs() -> None:
    x, w = leaf(1), tt.ones(2, 3, requires_grad=True)
    assert values(autograd.grad(x * 2, [x, w], allow_unused=True)) == [[2], None]
    zeros = autograd.grad(x * 2, [x, w], materialize_grads=True)[1]
    assert (zeros.tolist(), zeros.dtype) == ([[0, 0, 0], [0, 0, 0]], tt.float32)
    with pytest.raises(ValueError, match="materialize_grads=True gives zeros"):
        autograd.grad(x * 2, [x, w], materialize_grads=True, allow_unused=False)
    with pytest.raises(RuntimeError, match=r"do not depend on input 1 \(shape \(2, 3\)\).*allow_unused"):
        autograd.grad(x * 2, [x, w])
    with pytest.raises(ValueError, match="at least one input"):
        autograd.grad(x * 2, [])


def test_upstream_gradients_that_can_be_differentiated() -> None:
    x, up = leaf(2, 3), leaf(5, 7)
    (g,) = autograd.grad(x * x, x, up, create_graph=True)
    assert values(autograd.grad(g.sum(), [up, x])) == [[4, 6], [10, 14]]


def test_retain_graph() -> None:
    x = leaf(1, 2)
    y = (x * x).sum()
    autograd.grad(y, x, retain_graph=True)
    autograd.grad(y, x)
    with pytest.raises(RuntimeError, match="second time: its kept values were freed"):
        autograd.grad(y, x)
    y = (x * x).sum()
    autograd.grad(y, x, create_graph=True)
    autograd.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="second time"):
        autograd.grad(y, x)


# ------------------------------------------------------------------------------------------------------------- backward
def test_backward_of_several_tensors() -> None:
    x = leaf(1, 2)
    autograd.backward([(x * x).sum(), x * 3], [None, tt.tensor([1.0, 10.0])])
    assert x.grad.tolist() == [5, 34]
    autograd.backward(x * 2, tt.ones(2))
    assert x.grad.tolist() == [7, 36]
    with pytest.raises(ValueError, match="backward: 2 outputs and 1 grad_outputs"):
        autograd.backward([x, x], [tt.ones(2)])
    with pytest.raises(RuntimeError, match="does not require grad"):
        autograd.backward(tt.ones(1))


def test_backward_into_inputs_alone() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    y = x * w
    (y * y).sum().backward(inputs=[x, y, x])
    assert (x.grad.tolist(), y.grad.tolist(), w.grad) == ([18, 64], [6, 16], None)
    (x * w).sum().backward(inputs=x)
    assert x.grad.tolist() == [21, 68]
    (x * 2).sum().backward(inputs=[w])  # reached by nothing
    assert w.grad is None
    with pytest.raises(ValueError, match="inputs is empty"):
        x.sum().backward(inputs=[])


# --------------------------------------------------------------------------------------------------------- accumulation
def test_two_backward_calls_give_the_gradient_of_the_sum() -> None:
    rng = np.random.default_rng(0)
    data = [tt.tensor(rng.normal(size=(5, 3))) for _ in range(3)]

    def loss(w: tt.Tensor, d: tt.Tensor) -> tt.Tensor:
        return (tt.tanh(d @ w) ** 2).sum()

    start = rng.normal(size=(3, 2))
    apart, together = (tt.tensor(start, requires_grad=True) for _ in range(2))
    loss(apart, data[0]).backward()
    grad = apart.grad
    for d in data[1:]:
        loss(apart, d).backward()
    assert apart.grad is grad  # added to where it is
    sum((loss(together, d) for d in data[1:]), loss(together, data[0])).backward()
    np.testing.assert_allclose(apart.grad.numpy(), together.grad.numpy(), rtol=1e-13)


def test_a_gradient_that_the_user_gave_is_not_written_to() -> None:
    x, mine = leaf(1, 2), tt.tensor([5.0, 6.0], dtype=tt.float64)
    x.grad = mine
    (x * 2).sum().backward()
    assert (x.grad.tolist(), mine.tolist()) == ([7, 8], [5, 6])
    up = tt.tensor([1.0, 2.0], dtype=tt.float64)
    x.grad = None
    x.backward(up)
    x.backward(up)
    assert (x.grad.tolist(), up.tolist()) == ([2, 4], [1, 2])


# ---------------------------------------------------------------------------------------------------- hooks of a tensor
def test_hooks_of_a_leaf_run_in_order_on_what_the_one_before_made() -> None:
    x = leaf(1, 2)
    seen: list[Any] = []
    x.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g + 1)
    (x * 3).sum().backward()
    assert (seen, x.grad.tolist()) == ([[30, 30]], [31, 31])


def test_gradients_after_hooks_share_no_memory() -> None:
    x, y, z, up = leaf(1, 2), leaf(3, 4), leaf(5, 6), tt.tensor([1.0, 1.0], dtype=tt.float64)
    kept: list[tt.Tensor] = []
    x.register_hook(lambda g: None)
    y.register_hook(lambda g: up)
    z.register_hook(kept.append)
    (x + y + z).backward(up)
    arrays = [t.numpy() for t in (x.grad, y.grad, z.grad, up)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    assert not np.shares_memory(z.grad.numpy(), kept[0].numpy())


def test_what_a_hook_returns_gets_the_dtype_of_the_gradient() -> None:
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    x.register_hook(lambda g: g.double() * 3)
    y = x * 2
    y.register_hook(lambda g: g.double() + 1)
    seen: list[tt.Tensor] = []
    y.register_hook(seen.append)
    y.sum().backward()
    assert (x.grad.dtype, x.grad.tolist()) == (tt.float32, [12, 12])
    assert (seen[0].dtype, seen[0].tolist()) == (tt.float32, [2, 2])


def test_a_gradient_that_a_hook_kept_stays_as_it_was() -> None:
    x = leaf(3, 5)
    kept: list[tt.Tensor] = []
    x.register_hook(kept.append)
    for _ in range(2):
        (x * x).sum().backward()
    assert [k.tolist() for k in kept] == [[6, 10], [6, 10]]
    assert x.grad.tolist() == [12, 20]


def test_a_handle_ends_with_its_block() -> None:
    x = leaf(1)
    y = x * 1
    for t in (x, y):
        with t.register_hook(lambda g: g * 10):
            assert values(autograd.grad(y, x, retain_graph=True)) == [[10]]
        assert values(autograd.grad(y, x, retain_graph=True)) == [[1]]


def test_removing_one_of_two_equal_hooks() -> None:
    x = leaf(1)
    y = x * 1
    count: list[int] = []

    def hook(g: tt.Tensor) -> None:
        count.append(1)

    handles = [y.register_hook(hook), y.register_hook(hook)]
    handles[0].remove()
    handles[0].remove()
    y.backward()
    assert len(count) == 1


@pytest.mark.parametrize("make", [lambda: leaf(1), lambda: leaf(1) * 1], ids=["leaf", "made"])
def test_a_hook_that_removes_itself_and_a_handle_that_outlives_its_tensor(make: Any, no_collector: None) -> None:
    t = make()
    box: list[Any] = []
    seen: list[Any] = []
    box.append(t.register_hook(lambda g: (seen.append(g.tolist()), box[0].remove())[1]))
    other = t.register_hook(lambda g: None)
    t.backward(retain_graph=True)
    t.backward()
    assert seen == [[1]]
    dead = weakref.ref(t)
    del t
    assert dead() is None
    other.remove()


def test_a_hook_may_not_change_its_gradient_in_place() -> None:
    x, y = leaf(1), leaf(2)
    s = x + y
    x.register_hook(lambda g: g.mul_(2))
    with pytest.raises(RuntimeError, match="changed its gradient in place"):
        s.backward()
    h = x * 1
    h.register_hook(lambda g: g.add_(1))
    with pytest.raises(RuntimeError, match="changed its gradient in place"):
        h.backward()


def test_a_hook_on_one_of_several_outputs() -> None:
    class Two(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, a: tt.Tensor, b: tt.Tensor) -> Any:
            return a * 2 + b * 3

    x = leaf(1)
    a, b = Two.apply(x)
    b.register_hook(lambda g: g * 10)
    a.retain_grad()
    b.retain_grad()
    (a + b).backward()
    assert (x.grad.tolist(), a.grad.tolist(), b.grad.tolist()) == ([32], [1], [10])


def test_hooks_with_create_graph() -> None:
    x = leaf(3)
    y = x * x
    y.register_hook(lambda g: g * x)  # the gradient is 2 x * x now
    (g,) = autograd.grad(y, x, create_graph=True)
    assert g.tolist() == [18]
    assert values(autograd.grad(g, x)) == [[12]]


# ---------------------------------------------------------------------------------------------------------- retain_grad
def test_retain_grad_sees_what_hooks_made_whenever_they_came() -> None:
    x = leaf(1, 2)
    y = x * 3
    assert not y.retains_grad
    y.retain_grad()
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    assert y.retains_grad
    y.sum().backward()
    assert (y.grad.tolist(), x.grad.tolist()) == ([10, 10], [30, 30])
    assert not x.retains_grad
    with pytest.raises(RuntimeError, match="retain_grad: this tensor does not require grad"):
        tt.ones(1).retain_grad()


def test_retain_grad_with_create_graph() -> None:
    x = leaf(3)
    y = x * x
    y.retain_grad()
    (y * y).backward(create_graph=True)
    assert y.grad.requires_grad
    assert values(autograd.grad(y.grad, x)) == [[12]]  # y.grad is 2 x^2


def test_retain_grad_follows_a_change_in_place() -> None:
    x = leaf(1, 2)
    y = x * 3
    y.retain_grad()
    y.mul_(2)
    assert y.retains_grad
    (y * y).sum().backward()
    assert (y.grad.tolist(), x.grad.tolist()) == ([12, 24], [72, 144])


def test_retain_grad_keeps_no_tensor(no_collector: None) -> None:
    x = leaf(1)
    y = x * 1
    y.retain_grad()
    z = y * 1
    dead = weakref.ref(y)
    del y
    assert dead() is None
    z.backward()
    assert x.grad.tolist() == [1]


# ------------------------------------------------------------------------------------------- after the gradient is there
def test_post_accumulate_grad_hook() -> None:
    x = leaf(1, 2)
    seen: list[Any] = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.tolist())))
    x.register_hook(lambda g: g * 10)
    (x * 2 + x).sum().backward()
    x.sum().backward(inputs=[x])
    assert seen == [(True, [30, 30]), (True, [40, 40])]
    autograd.grad(x.sum(), x)
    handle.remove()
    x.sum().backward()
    assert len(seen) == 2


def test_an_optimizer_inside_backward() -> None:
    x = leaf(1, 2)

    def step(t: tt.Tensor) -> None:
        with tt.no_grad():
            t.sub_(t.grad * 0.5)
        t.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * x).sum().backward()
    assert (x.tolist(), x.grad) == ([0, 0], None)


def test_post_accumulate_grad_hook_is_for_leaves() -> None:
    x = leaf(1)
    with pytest.raises(RuntimeError, match="only leaves accumulate"):
        (x * 1).register_post_accumulate_grad_hook(lambda t: None)
    with pytest.raises(RuntimeError, match="does not require grad"):
        tt.ones(1).register_post_accumulate_grad_hook(lambda t: None)


# ------------------------------------------------------------------------------------------------------ hooks of a node
def test_next_functions_lead_to_the_leaves() -> None:
    x, c = leaf(1), tt.ones(1)
    y = x * c
    z = y + x
    (first, second), (third, slot) = y.grad_fn.next_functions, z.grad_fn.next_functions[1]
    assert z.grad_fn.next_functions[0] == (y.grad_fn, 0)
    assert (first[0].variable is x, second, slot) == (True, (None, 0), 0)
    assert first[0] == third
    assert len({first[0], third}) == 1
    assert (third.name, third.next_functions, z.grad_fn.name) == ("AccumulateGrad", (), "AddBackward")


def test_hooks_of_a_node() -> None:
    x, w = leaf(2, 3), leaf(5, 7)
    y = x * w
    seen: list[Any] = []
    before = y.grad_fn.register_prehook(lambda go: (go[0] * 10,))
    after = y.grad_fn.register_hook(lambda gi, go: seen.append((values(gi), values(go))))
    y.grad_fn.register_hook(lambda gi, go: (gi[0] + 1, None))
    y.register_hook(lambda g: g + 1)  # of the tensor: before those of its node
    y.sum().backward(retain_graph=True)
    assert seen == [([[100, 140], [40, 60]], [[20, 20]])]
    assert (x.grad.tolist(), w.grad) == ([101, 141], None)
    before.remove()
    after.remove()
    x.grad = None
    y.sum().backward()
    assert (x.grad.tolist(), len(seen)) == ([11, 15], 1)


def test_hooks_of_a_node_that_give_nonsense() -> None:
    x = leaf(2, 3)
    y = tt.sin(x)
    with (
        y.grad_fn.register_prehook(lambda go: (go[0], go[0])),
        pytest.raises(RuntimeError, match="tuple of 1 grad_out"),
    ):
        y.sum().backward(retain_graph=True)
    with (
        y.grad_fn.register_prehook(lambda go: tt.ones(3)),
        pytest.raises(RuntimeError, match=r"output 0: expected .*\(2,\)"),
    ):
        y.sum().backward(retain_graph=True)
    with (
        y.grad_fn.register_hook(lambda gi, go: 3),
        pytest.raises(RuntimeError, match="SinBackward must return None or a t"),
    ):
        y.sum().backward(retain_graph=True)


def test_a_hook_after_a_product_sees_its_gradient_when_it_is_added_into_grad() -> None:
    x, w = tt.ones(4, 3), tt.ones(3, 2, requires_grad=True)
    (x @ w).sum().backward()
    y = x @ w
    seen: list[Any] = []
    y.grad_fn.register_hook(lambda gi, go: seen.append(gi[1].tolist()))
    y.sum().backward()
    assert seen == [[[4, 4]] * 3]
    assert w.grad.tolist() == [[8, 8]] * 3


def test_hooks_agree_with_pytorch() -> None:
    torch = pytest.importorskip("torch")

    def run(lib: Any) -> list[Any]:
        x = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
        seen: list[Any] = []
        h = x * 2
        h.retain_grad()
        h.register_hook(lambda g: g * 3)
        h.register_hook(lambda g: seen.append(("h", g.tolist())))
        h.grad_fn.register_hook(lambda gi, go: seen.append(("node", gi[0].tolist(), go[0].tolist())))
        h.grad_fn.register_prehook(lambda go: (go[0] + 1,))
        x.register_hook(lambda g: seen.append(("x", g.tolist())))
        x.register_post_accumulate_grad_hook(lambda t: seen.append(("after", t.grad.tolist())))
        y = h * h
        y.sum().backward(retain_graph=True)
        (g,) = lib.autograd.grad(y.sum(), h)
        y = (x * 2).sum()
        y.backward()
        return [*seen, h.grad.tolist(), x.grad.tolist(), g.tolist()]

    assert run(tt) == run(torch)
