"""The tape: accumulation, what is kept and freed, modes, hooks, and that it never recurses and never holds a cycle."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels, tape
from tinytensor.op import Array, op
from tinytensor.tape import FREED, Node


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(list(values), dtype=tt.float32, requires_grad=True)


# ------------------------------------------------------------------------------------------------------- accumulation
def test_gradients_accumulate() -> None:
    x = leaf(1, 2)
    (x * 3).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [5, 7]
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_one_input_used_many_times() -> None:
    x = leaf(1, 2)
    y = x * x + x * 2 + x
    (y * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.array([4, 10]) * (2 * np.array([1, 2]) + 3))


def test_a_diamond_sums_before_it_goes_on() -> None:
    calls = []

    @op
    def counted(x: Array) -> Any:
        return x * 2

    @counted.rule
    def _(g: Any) -> Any:
        calls.append(g.copy())
        return g * 2

    x = leaf(1, 2)
    h = counted(x)
    (h * 3 + h * 4 + h).sum().backward()
    assert [c.tolist() for c in calls] == [[8, 8]]
    assert x.grad.tolist() == [16, 16]


def test_retain_graph_and_the_error_of_a_second_backward() -> None:
    x = leaf(1, 2)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(
        RuntimeError, match=r"backward through .* \(made at .*test_tape.py:\d+\) a second time.*retain_graph=True"
    ):
        y.backward()


def test_the_error_of_a_second_backward_names_the_line_that_made_the_op() -> None:
    x = leaf(1, 2)
    y = tt.exp(x)
    line = (
        f"{__file__}:{test_the_error_of_a_second_backward_names_the_line_that_made_the_op.__code__.co_firstlineno + 2}"
    )
    assert y.grad_fn.line == line
    y.sum().backward()
    with pytest.raises(RuntimeError, match="exp") as e:
        y.backward(tt.ones(2))
    assert line in str(e.value)


def test_a_gradient_for_a_tensor_of_several_elements() -> None:
    x = leaf(1, 2)
    y = x * 3
    with pytest.raises(RuntimeError, match=r"shape \(2,\).*gradient="):
        y.backward()
    with pytest.raises(RuntimeError, match=r"expected a gradient of shape \(2,\), got \(3,\)"):
        y.backward(tt.ones(3))
    y.backward(tt.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [3, 30]
    tt.tensor([[2.0]], requires_grad=True).backward()  # one element is a scalar in any shape


def test_backward_of_what_has_no_history() -> None:
    with pytest.raises(RuntimeError, match="does not require grad"):
        tt.ones(1).backward()


def test_backward_of_a_leaf_is_its_gradient() -> None:
    x = leaf(5)
    x.backward()
    x.backward(tt.tensor([2.0]))
    assert x.grad.tolist() == [3]


def test_inputs_takes_gradients_for_these_alone() -> None:
    x, y = leaf(2), leaf(3)
    (x * y).backward(inputs=[x])
    assert x.grad.tolist() == [3]
    assert y.grad is None


def test_backward_follows_creation_not_depth() -> None:
    x = leaf(1)
    long = x
    for _ in range(5):
        long = long * 1
    (long + x * 2 + tt.exp(x - x)).backward()
    assert x.grad.tolist() == [3]


def test_dtypes_of_gradients_are_their_tensors() -> None:
    x, y = tt.ones(2, requires_grad=True), tt.ones(2, dtype=tt.float64, requires_grad=True)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (tt.float32, tt.float64)


def test_a_rule_that_gives_a_wrong_shape_or_number_is_named() -> None:
    @op
    def odd(x: Array, y: Array) -> Any:
        return x + y

    @odd.rule
    def _(g: Any) -> Any:
        return np.ones(5, np.float32), g

    with pytest.raises(
        RuntimeError, match=r"backward of odd: its rule gave a gradient of shape \(5,\) for an input of shape \(2,\)"
    ):
        odd(leaf(1, 2), leaf(1, 2)).sum().backward()

    @odd.rule
    def _(g: Any) -> Any:
        return g

    with pytest.raises(RuntimeError, match="1 gradients for 2 inputs"):
        odd(leaf(1, 2), leaf(1, 2)).sum().backward()


def test_a_rule_that_names_what_there_is_not() -> None:
    @op
    def odd(x: Array) -> Any:
        return x

    with pytest.raises(TypeError, match="names 'y'"):
        odd.rule(lambda g, y: g)


# ------------------------------------------------------------------------------------------------------ whose memory
def memory_of(*tensors: Any) -> None:
    """No two of them share memory, and none is read-only."""
    for i, a in enumerate(tensors):
        assert a.numpy().flags.writeable
        for b in tensors[i + 1 :]:
            assert not np.shares_memory(a.numpy(), b.numpy())


@pytest.mark.parametrize("create_graph", [False, True])
def test_no_two_gradients_share_memory(create_graph: bool) -> None:
    x, y, z = leaf(1, 2), leaf(3, 4), leaf(5, 6)
    out = x + y + z.reshape(2, 1).reshape(2)
    up = tt.tensor([1.0, 2.0])
    out.backward(up, create_graph=create_graph)
    memory_of(*(t.grad.detach() for t in (x, y, z)), up)
    x.grad.detach().zero_()
    assert (y.grad.tolist(), z.grad.tolist(), up.tolist()) == ([1, 2],) * 3


def test_x_plus_x() -> None:
    x = leaf(1, 2)
    up = tt.tensor([1.0, 2.0])
    (x + x).backward(up)
    assert x.grad.tolist() == [2, 4]
    assert up.tolist() == [1, 2]


def test_a_gradient_given_by_the_user_is_never_written_to() -> None:
    x, mine = leaf(1, 2), tt.tensor([10.0, 20.0])
    x.grad = mine
    (x * 2).sum().backward()
    assert x.grad.tolist() == [12, 22]
    assert mine.tolist() == [10, 20]
    (x * 2).sum().backward()
    assert x.grad.tolist() == [14, 24]
    assert mine.tolist() == [10, 20]


def test_the_upstream_of_a_leaf_is_copied() -> None:
    x, up = leaf(1, 2), tt.tensor([1.0, 2.0])
    x.backward(up)
    x.backward(up)
    assert x.grad.tolist() == [2, 4]
    assert up.tolist() == [1, 2]
    memory_of(x.grad, up)


def test_gradients_of_views_and_broadcasts_own_their_memory() -> None:
    for f in (
        lambda x: x.sum(),
        lambda x: x.T.sum(),
        lambda x: x[0].sum(),
        lambda x: x.expand(2, 3, 2).sum(),
        lambda x: tt.cat([x, x]).sum(),
    ):
        x, w = tt.ones(3, 2, requires_grad=True), tt.ones(3, 2, requires_grad=True)
        (f(x) + f(w)).backward()
        memory_of(x.grad, w.grad)
        (f(x) + f(w)).backward()
        assert x.grad.tolist() == w.grad.tolist()


def test_sums_in_the_walk_leave_other_branches_alone() -> None:
    """One upstream array goes to two nodes; adding to it for one must not change the other's."""
    x, y = leaf(1, 2), leaf(3, 4)
    a, b = x * 1, y * 1
    (a + b + a * 10 + a * 100).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([111, 111], [1, 1])


def test_grad_setter_checks() -> None:
    x = leaf(1, 2)
    with pytest.raises(TypeError, match="Tensor or None"):
        x.grad = np.zeros(2)  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"expected float32 \(2,\), got float32 \(3,\)"):
        x.grad = tt.zeros(3)


# -------------------------------------------------------------------------------------------------------------- freeing
def arrays_kept(y: Any) -> list[Any]:
    """Weak references to every array that the nodes behind y keep."""
    found, stack = [], [y.grad_fn]
    while stack:
        node = stack.pop()
        found += [weakref.ref(v) for v in node.kept if isinstance(v, np.ndarray)]
        stack += [p for p in node.parents if isinstance(p, Node)]
    return found


def test_backward_frees_what_was_kept(no_collector: None) -> None:
    x = leaf(*range(20))  # small arrays stay for explanations
    y = tt.exp(tt.sin(x * 2)).sum()
    kept = arrays_kept(y)
    assert len(kept) == 2  # sin's input and exp's value; a product with a number keeps nothing
    own = {id(x._data)}
    y.backward()
    assert [r for r in kept if r() is not None and id(r()) not in own] == []
    assert y.grad_fn.kept is FREED


def test_a_graph_goes_with_its_output(no_collector: None) -> None:
    x = leaf(1, 2)
    y = tt.exp(tt.sin(x * 2)).sum()
    kept, node = arrays_kept(y), weakref.ref(y.grad_fn)
    del y
    assert node() is None
    assert [r for r in kept if r() is not None and r() is not x._data] == []


def test_no_cycle_after_hooks_views_and_create_graph(no_collector: None) -> None:
    x = leaf(1, 2)
    y = (x * x).reshape(2, 1)
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    z = (y * y).sum()
    (g,) = tt.autograd.grad(z, x, create_graph=True)
    (g * g).sum().backward()
    watched = [weakref.ref(v) for v in (y, z, g, y._data, z._data, y.grad_fn, g.grad_fn)]
    del y, z, g
    assert [r() for r in watched] == [None] * len(watched)


def test_only_what_rules_name_is_kept() -> None:
    x = leaf(1, 2)
    assert tt.add(x, x).grad_fn.kept == ()
    assert tt.sum(x).grad_fn.kept == ((2,), None, False)
    e = tt.exp(x)
    assert [v is e._data for v in e.grad_fn.kept] == [True]
    s = tt.sin(x)
    assert [v is x._data for v in s.grad_fn.kept] == [True]
    r = tt.relu(x)
    assert [v is r._data for v in r.grad_fn.kept] == [True]


def test_a_million_nodes_in_a_chain() -> None:
    x = leaf(1)
    y = x
    for _ in range(1_000_000):
        y = -y
    y.backward()
    assert x.grad.tolist() == [1]
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is None


def test_a_long_chain_that_never_ran_backward_is_freed() -> None:
    x = leaf(1)
    y = x
    for _ in range(200_000):
        y = y + x
    first = weakref.ref(y.grad_fn)
    del y
    assert first() is None


# ---------------------------------------------------------------------------------------------------------------- modes
def test_no_grad_and_enable_grad() -> None:
    x = leaf(1)
    with tt.no_grad():
        assert not tt.is_grad_enabled()
        assert not (x * 2).requires_grad
        with tt.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert tt.is_grad_enabled()
    assert (x * 2).requires_grad


def test_modes_come_back_after_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), tt.no_grad():
        raise ZeroDivisionError
    assert tt.is_grad_enabled()


def test_modes_as_decorators() -> None:
    seen = []

    @tt.no_grad()
    def off(depth: int) -> int:
        """Doc."""
        seen.append(tt.is_grad_enabled())
        return off(depth - 1) if depth else 7

    assert off(2) == 7
    assert seen == [False] * 3
    assert (off.__name__, off.__doc__) == ("off", "Doc.")
    assert tt.is_grad_enabled()
    with tt.no_grad():
        assert tt.enable_grad()(tt.is_grad_enabled)()
        assert not tt.is_grad_enabled()


def test_set_grad_enabled() -> None:
    assert tt.is_grad_enabled()
    with tt.set_grad_enabled(False):
        assert not tt.is_grad_enabled()
        with tt.set_grad_enabled(True):
            assert tt.is_grad_enabled()
        assert not tt.is_grad_enabled()
    assert tt.is_grad_enabled()
    tt.set_grad_enabled(False)
    assert not tt.is_grad_enabled()
    tt.set_grad_enabled(True)
    switch = tt.set_grad_enabled(False)
    for _ in range(2):  # one object may be used again
        with switch:
            assert not tt.is_grad_enabled()
        assert tt.is_grad_enabled()


def test_set_grad_enabled_as_a_decorator_changes_nothing_outside() -> None:
    inside = tt.set_grad_enabled(False)(tt.is_grad_enabled)
    assert tt.is_grad_enabled()
    assert not inside()
    assert tt.is_grad_enabled()


def test_one_mode_object_may_be_nested_in_itself() -> None:
    off = tt.no_grad()
    with off:
        with off:
            assert not tt.is_grad_enabled()
        assert not tt.is_grad_enabled()
    assert tt.is_grad_enabled()


@pytest.mark.parametrize("kind", [tt.no_grad, tt.inspect, tt.detect_anomaly])
def test_a_mode_left_more_often_than_entered(kind: type[tt.no_grad]) -> None:
    mode = kind()
    with mode:
        pass
    with pytest.raises(RuntimeError, match=f"{kind.__name__}: left more often than entered"):
        mode.__exit__(None, None, None)
    assert tt.is_grad_enabled()


def test_the_mode_is_each_threads_own() -> None:
    seen = []
    with tt.no_grad():
        t = threading.Thread(target=lambda: seen.append(tt.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_a_thread_starts_with_recording_on() -> None:
    seen = []

    def work() -> None:
        seen.append(tt.is_grad_enabled())
        tt.set_grad_enabled(False)
        seen.append((leaf(1) * 2).requires_grad)

    for _ in range(3):
        t = threading.Thread(target=work)
        t.start()
        t.join()
    assert seen == [True, False] * 3
    assert tt.is_grad_enabled()


def test_threads_record_and_walk_back_at_once() -> None:
    results: dict[int, Any] = {}

    def work(i: int) -> None:
        x = tt.full((64,), float(i + 1), requires_grad=True)
        y = x
        for _ in range(100):
            y = y * 1.01
        y.sum().backward()
        results[i] = x.grad.numpy()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(results) == [0, 1, 2, 3]
    assert all((r == results[0]).all() for r in results.values())


def test_backward_works_under_no_grad_and_restores_the_mode() -> None:
    x = leaf(3)
    y = x * x
    with tt.no_grad():
        y.backward()
        assert not tt.is_grad_enabled()
    assert x.grad.tolist() == [6]
    assert not x.grad.requires_grad


# ------------------------------------------------------------------------------------------------- leaves and non-leaves
def test_leaves_and_history() -> None:
    x = leaf(1)
    y = x * 2
    assert (x.is_leaf, x.grad_fn, y.is_leaf) == (True, None, False)
    assert isinstance(y.grad_fn, Node)
    assert repr(y.grad_fn) == "<MulBackward>"
    d = y.detach()
    assert (d.is_leaf, d.requires_grad, d._data is y._data) == (True, False, True)
    with pytest.raises(RuntimeError, match="use detach"):
        y.requires_grad_(False)
    with pytest.raises(TypeError, match="int64"):
        tt.tensor([1]).requires_grad_()
    y.backward()
    assert y.grad is None
    assert y.detach_() is y
    assert y.is_leaf


def test_integers_and_comparisons_take_no_gradient() -> None:
    x = leaf(1, 2)
    for t in (x > 1, x.long(), x.argmax(), x == x, tt.isnan(x)):
        assert not t.requires_grad


def test_retain_grad() -> None:
    x = leaf(1, 2)
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward(retain_graph=True)
    assert y.grad.tolist() == [4, 8]
    (y * 1).sum().backward()
    assert y.grad.tolist() == [5, 9]
    x.retain_grad()  # a leaf keeps its gradient anyway
    memory_of(x.grad, y.grad)


# ---------------------------------------------------------------------------------------------------------------- hooks
def test_a_hook_sees_the_whole_gradient_once() -> None:
    x = leaf(1, 2)
    seen: list[Any] = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * x + x).sum().backward()
    assert seen == [[3, 5]]
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y * 3 + y).sum().backward()
    assert seen[1:] == [[4, 4], [8, 8]]


def test_a_hook_replaces_the_gradient() -> None:
    x = leaf(1, 2)
    y = x * 3
    y.register_hook(lambda g: g * 10)
    handle = x.register_hook(lambda g: g + 1)
    y.sum().backward()
    assert x.grad.tolist() == [31, 31]
    handle.remove()
    handle.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_hooks_run_in_order_and_can_be_removed() -> None:
    x = leaf(1)
    y = x * 1
    order: list[int] = []
    first = y.register_hook(lambda g: order.append(1))
    y.register_hook(lambda g: order.append(2))
    y.backward(retain_graph=True)
    first.remove()
    y.backward()
    assert order == [1, 2, 2]


def test_hooks_in_autograd_grad() -> None:
    x = leaf(1, 2)
    x.register_hook(lambda g: g * 2)
    y = x * 3 + x
    (g,) = tt.autograd.grad(y.sum(), x)
    assert g.tolist() == [8, 8]


def test_a_hook_that_gives_nonsense() -> None:
    x = leaf(1, 2)
    x.register_hook(lambda g: tt.ones(3))
    with pytest.raises(RuntimeError, match=r"hook must return None or a Tensor of shape \(2,\), got \(3,\)"):
        x.sum().backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        tt.ones(1).register_hook(lambda g: g)


# -------------------------------------------------------------------------------------------------------- autograd.grad
def test_grad() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    h = x * w
    gx, gh = tt.autograd.grad((h * h).sum(), [x, h])
    assert gx.tolist() == [18, 64]
    assert gh.tolist() == [6, 16]
    assert x.grad is None
    assert w.grad is None


def test_grad_with_several_outputs_and_gradients() -> None:
    x = leaf(1, 2)
    for one in (tt.tensor([1.0, 10.0]), [tt.tensor([1.0, 10.0])]):
        assert tt.autograd.grad(x * 3, x, one)[0].tolist() == [3, 30]
    (g,) = tt.autograd.grad([x * 3, (x * x).sum()], x, [tt.tensor([1.0, 10.0]), None])
    assert g.tolist() == [5, 34]
    with pytest.raises(ValueError, match="2 outputs and 1 grad_outputs"):
        tt.autograd.grad([x * 3, x * 2], x, [tt.ones(2)])


def test_grad_of_what_does_not_depend() -> None:
    x, w = leaf(1), leaf(2)
    with pytest.raises(RuntimeError, match=r"do not depend on input 1.*allow_unused"):
        tt.autograd.grad(x * 2, [x, w])
    assert tt.autograd.grad(x * 2, [x, w], allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match="input does not require grad"):
        tt.autograd.grad(x * 2, tt.ones(1))
    with pytest.raises(RuntimeError, match="output does not require grad"):
        tt.autograd.grad(tt.ones(1), x)


def test_grad_of_an_input_named_twice_gives_two_arrays() -> None:
    x = leaf(1, 2)
    a, b = tt.autograd.grad((x * x).sum(), [x, x])
    assert a.tolist() == b.tolist() == [2, 4]
    memory_of(a, b)


# --------------------------------------------------------------------------------------------------------- create_graph
def test_derivatives_of_any_order() -> None:
    x = tt.tensor(0.7, dtype=tt.float64, requires_grad=True)
    y = tt.sin(x)
    for want in (np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin, np.cos):
        (y,) = tt.autograd.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(want(0.7), rel=1e-14)


def test_backward_with_create_graph() -> None:
    x = leaf(2)
    (x * x * x).backward(create_graph=True)
    assert x.grad.requires_grad
    first = x.grad
    x.grad = None
    first.backward()
    assert first.tolist() == [12]
    assert x.grad.tolist() == [12]


def test_a_hessian_times_a_vector() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 4))
    x = tt.tensor(rng.normal(size=4), requires_grad=True)
    y = 0.5 * tt.dot(x, tt.from_numpy(a) @ x)
    (g,) = tt.autograd.grad(y, x, create_graph=True)
    v = rng.normal(size=4)
    (hv,) = tt.autograd.grad(g, x, tt.tensor(v))
    np.testing.assert_allclose(hv.numpy(), 0.5 * (a + a.T) @ v, rtol=1e-13)


def test_create_graph_refuses_a_leaf_whose_data_was_replaced() -> None:
    x = leaf(1, 2)
    y = tt.sin(x).sum()
    x.data = tt.tensor([5.0, 6.0])
    with pytest.raises(RuntimeError, match="data of a leaf was replaced"):
        tt.autograd.grad(y, x, create_graph=True)


def test_without_create_graph_gradients_have_no_history() -> None:
    x = leaf(1, 2)
    (g,) = tt.autograd.grad((x * x).sum(), x)
    assert not g.requires_grad
    (x * x).sum().backward()
    assert not x.grad.requires_grad


# -------------------------------------------------------------------------------------------------------- memory that is
def test_alone_knows_who_else_holds_an_array() -> None:
    held = [_kernels.empty((4,), np.float32)]
    assert _kernels.alone(held, 0)
    name = held[0]
    assert not _kernels.alone(held, 0)
    view = name[:2]
    del name
    assert not _kernels.alone(held, 0)
    held[0] = view
    del view
    assert _kernels.alone(held, 0)
    held[0] = np.zeros(4, np.float32)
    assert not _kernels.alone(held, 0)  # not our memory


def test_the_walk_is_in_descending_creation_order() -> None:
    order: list[str] = []
    x = leaf(1)
    a = x * 1
    b = a * 1
    c = a * 1
    for name, t in (("a", a), ("b", b), ("c", c)):
        t.register_hook(lambda g, name=name: order.append(name))
    tape.backward([c, b], [None, None])
    assert order == ["c", "b", "a"]


@pytest.mark.parametrize(
    "op",
    [
        lambda a, b: a * b,
        lambda a, b: a @ b,
        lambda a, b: tt.linear(a, b),
        lambda a, b: b / a,
        lambda a, b: tt.dot(a[0], b[0]),
    ],
)
def test_an_input_is_kept_only_for_a_gradient_that_needs_it(op: Any) -> None:
    x, constant = tt.ones(3, 3, requires_grad=True), tt.ones(3, 3)
    y = x * 1.0
    z = op(constant, y)
    with tt.no_grad():
        y.mul_(5.0)  # y's values served only the constant's gradient, which nobody asked for
    z.sum().backward()
    assert x.grad is not None and bool((x.grad != 0).any())
    y = x * 1.0
    z = op(constant, y)
    constant.mul_(5.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()


def test_a_gradient_that_is_a_view_of_the_one_it_is_added_to() -> None:
    w = tt.tensor(np.arange(1600.0).reshape(40, 40), requires_grad=True)
    (w * w).sum().backward()
    before = w.grad.numpy().copy()
    w.T.backward(w.grad)
    assert np.array_equal(w.grad.numpy(), before + before.T)


def test_inspection_ends_with_its_block() -> None:
    seen = []
    with tt.inspect():
        with tt.inspect():
            seen.append(tt.tape.mode.inspecting)
        seen.append(tt.tape.mode.inspecting)
    seen.append(tt.tape.mode.inspecting)
    assert seen == [True, True, False]
