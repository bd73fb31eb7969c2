"""In-place changes: recorded where they must be, refused where they cannot be right, and never a silent wrong gradient."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

import tinytensor as tt

METHODS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add_": (lambda x, o: x.add_(o), lambda x, o: x + o),
    "sub_": (lambda x, o: x.sub_(o), lambda x, o: x - o),
    "mul_": (lambda x, o: x.mul_(o), lambda x, o: x * o),
    "div_": (lambda x, o: x.div_(o), lambda x, o: x / o),
    "pow_": (lambda x, o: x.pow_(o), lambda x, o: x**o),
    "copy_": (lambda x, o: x.copy_(o), lambda x, o: x * 0 + o),
}


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(list(values), dtype=tt.float64, requires_grad=True)


def augmented(x: Any, o: Any, sign: str) -> Any:
    if sign == "+":
        x += o
    elif sign == "-":
        x -= o
    elif sign == "*":
        x *= o
    elif sign == "/":
        x /= o
    else:
        x **= o
    return x


# ----------------------------------------------------------------------------------------------- recorded on non-leaves
@pytest.mark.parametrize("name", METHODS)
def test_a_change_of_a_non_leaf_is_recorded(name: str) -> None:
    change, plain = METHODS[name]
    x, w = leaf(1, 2, 3), leaf(2, 0.5, 1.5)
    y = x * 2
    memory = y.detach().numpy()
    assert change(y, w) is y
    assert np.shares_memory(memory, y.detach().numpy())
    (y * tt.tensor([1.0, 10.0, 100.0], dtype=tt.float64)).sum().backward()
    a, b = leaf(1, 2, 3), leaf(2, 0.5, 1.5)
    want = plain(a * 2, b)
    np.testing.assert_array_equal(y.detach().numpy(), want.detach().numpy())
    (want * tt.tensor([1.0, 10.0, 100.0], dtype=tt.float64)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), a.grad.numpy(), rtol=1e-14)
    np.testing.assert_allclose(w.grad.numpy(), b.grad.numpy(), rtol=1e-14)


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "**"])
def test_augmented_assignment_keeps_the_object(sign: str) -> None:
    x = leaf(1, 2)
    y = x * 2
    z = augmented(y, 3, sign)
    assert z is y
    y.sum().backward()
    t = np.array([2.0, 4.0])
    slope = {"+": 1, "-": 1, "*": 3, "/": 1 / 3, "**": 3 * t**2}[sign]
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(2 * np.asarray(slope), 2))


def test_a_plain_tensor_gets_a_history() -> None:
    x, buffer = leaf(1, 2), tt.zeros(3, 2, dtype=tt.float64)
    buffer[1] = x * 2
    assert buffer.requires_grad
    (buffer * buffer).sum().backward()
    assert x.grad.tolist() == [8, 16]


def test_fill_zero_clamp() -> None:
    x = leaf(1, 2, 3)
    y = x * 2
    y.clamp_(3, 5)
    assert y.tolist() == [3, 4, 5]
    y.sum().backward()
    assert x.grad.tolist() == [0, 2, 0]
    for change in (lambda t: t.zero_(), lambda t: t.fill_(4), lambda t: t.copy_(4.0)):
        x.grad = None
        y = x * 2
        change(y)
        (y * 3 + x).sum().backward()
        assert x.grad.tolist() == [1, 1, 1]


def test_fill_with_a_tensor_has_its_gradient() -> None:
    x, v = leaf(1, 2), leaf(5)
    y = x * 1
    y.fill_(v[0])
    (y * 3).sum().backward()
    assert v.grad.tolist() == [6]
    assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize(
    "index",
    [0, (1, 2), slice(None, None, 2), (..., 0), (slice(None), None, 1), np.array([0, 2]), np.array([True, False, True]), (np.array([0, 1]), np.array([1, 1]))],
    ids=str,
)  # fmt: skip
def test_assignment_by_index(index: Any) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 4))
    v = rng.normal(size=a[index].shape)
    up = rng.normal(size=(3, 4))
    x, w = tt.tensor(a, requires_grad=True), tt.tensor(v, requires_grad=True)
    y = x * 2
    y[index] = w * 3
    want = a * 2
    want[index] = v * 3
    np.testing.assert_array_equal(y.detach().numpy(), want)
    y.backward(tt.tensor(up))
    rest = up * 2
    rest[index] = 0
    np.testing.assert_allclose(x.grad.numpy(), rest)
    np.testing.assert_allclose(w.grad.numpy(), up[index] * 3)


def test_assignment_of_a_broadcast_value() -> None:
    x, v = tt.ones(3, 4, dtype=tt.float64, requires_grad=True), leaf(1, 2, 3, 4)
    y = x * 2
    y[1:] = v
    (y * y).sum().backward()
    assert v.grad.tolist() == [4, 8, 12, 16]
    assert x.grad.tolist() == [[8] * 4, [0] * 4, [0] * 4]


def test_assignment_errors() -> None:
    for y in (leaf(1, 2) * 2, tt.zeros(2)):
        with pytest.raises(IndexError, match=r"index: .*\(shape \(2,\)\)"):
            y[5] = 1
        with pytest.raises(ValueError, match="assignment"):
            y[:] = tt.ones(3, dtype=tt.float64)
        assert y.shape == (2,)


def test_a_changed_tensor_can_be_differentiated_twice() -> None:
    x = leaf(1.5)
    y = x * x
    y *= x
    (g,) = tt.autograd.grad(y, x, create_graph=True)
    (h,) = tt.autograd.grad(g, x)
    assert (g.item(), h.item()) == (3 * 1.5**2, 6 * 1.5)


def test_an_operand_that_is_the_tensor_itself() -> None:
    x = leaf(3)
    y = x * 1
    y *= y
    y += y
    y.backward()
    assert (y.item(), x.grad.item()) == (18, 12)


def test_in_place_does_not_change_dtype_or_shape() -> None:
    i = tt.tensor([1, 2])
    with pytest.raises(TypeError, match=r"add_: .*float32.*int64"):
        i += 0.5
    with pytest.raises(ValueError, match=r"add_: the result of shape \(3, 2\) does not fit in place into \(2,\)"):
        i += tt.ones(3, 2, dtype=tt.int64)
    assert i.tolist() == [1, 2]
    f = tt.ones(2)
    f += tt.ones(2, dtype=tt.float64)
    assert f.dtype == tt.float32
    recorded = tt.ones(2, requires_grad=True) * 1
    recorded += tt.ones(2, dtype=tt.float64)
    assert recorded.dtype == tt.float32
    assert recorded.requires_grad


# --------------------------------------------------------------------------------------------------------- leaves refuse
@pytest.mark.parametrize("name", [*METHODS, "fill_", "zero_", "clamp_", "setitem"])
def test_a_leaf_that_requires_grad_refuses(name: str) -> None:
    x = leaf(1, 2)
    changes: dict[str, Callable[[], Any]] = {
        "fill_": lambda: x.fill_(1), "zero_": lambda: x.zero_(), "clamp_": lambda: x.clamp_(0, 1), "setitem": lambda: x.__setitem__(0, 1),
        **{n: lambda n=n: METHODS[n][0](x, 2) for n in METHODS},
    }  # fmt: skip
    with pytest.raises(RuntimeError, match=r"leaf that requires grad.*no_grad"):
        changes[name]()
    assert x.tolist() == [1, 2]
    with tt.no_grad():
        changes[name]()
    assert x.is_leaf
    assert x.requires_grad


def test_leaves_that_need_no_gradient_are_free() -> None:
    x = tt.ones(2)
    x += 1
    x[0] = 5
    assert x.tolist() == [5, 2]
    assert not x.requires_grad


def test_read_only_memory_refuses() -> None:
    for t in (tt.ones(1).expand(3), tt.from_numpy(np.broadcast_to(np.float32(1), (2, 2)))):
        with pytest.raises(ValueError, match="read-only"):
            t += 1


# ----------------------------------------------------------------------------------------------------------------- views
VIEWS: dict[str, Callable[[Any], Any]] = {
    "index": lambda y: y[0], "slice": lambda y: y[:, 1:], "reshape": lambda y: y.reshape(6), "T": lambda y: y.T, "permute": lambda y: y.permute(1, 0),
    "squeeze": lambda y: y.unsqueeze(0).squeeze(0), "narrow": lambda y: y.narrow(1, 0, 2), "split": lambda y: y.split(1)[0], "flatten": lambda y: y.flatten(),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_a_change_through_a_view_reaches_its_base(name: str) -> None:
    rng = np.random.default_rng(0)
    a, up = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    x, w = tt.tensor(a, requires_grad=True), tt.tensor(1.5, dtype=tt.float64, requires_grad=True)
    y = x * 2
    v = VIEWS[name](y)
    assert v.mul_(w) is v
    changed = np.zeros((2, 3), bool)
    VIEWS[name](tt.from_numpy(changed)).numpy()[...] = True
    np.testing.assert_array_equal(y.detach().numpy(), np.where(changed, a * 2 * 1.5, a * 2))
    y.backward(tt.tensor(up))
    np.testing.assert_allclose(x.grad.numpy(), np.where(changed, 3 * up, 2 * up), rtol=1e-14)
    np.testing.assert_allclose(w.grad.item(), (2 * a * up)[changed].sum(), rtol=1e-14)


@pytest.mark.parametrize("name", VIEWS)
def test_a_change_of_the_base_reaches_its_views(name: str) -> None:
    x = tt.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = x * 2
    v = VIEWS[name](y)
    y.mul_(3)
    y[0] = 1.0
    v.sum().backward()
    want = np.zeros((2, 3))
    VIEWS[name](tt.from_numpy(want)).numpy()[...] = 6
    want[0] = 0
    assert x.grad.tolist() == want.tolist()


def test_views_of_views_and_overlapping_views() -> None:
    x = leaf(1, 2, 3, 4)
    y = x * 1
    middle, tail = y[1:3], y.reshape(2, 2)[1]
    end = middle[1:]
    middle *= 10
    assert (y.tolist(), tail.tolist(), end.tolist()) == ([1, 20, 30, 4], [30, 4], [30])
    (tail * tail).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [0, 0, 2 * 30 * 10, 8]
    x.grad = None
    (end.sum() * 2 + y.sum()).backward()
    assert x.grad.tolist() == [1, 10, 30, 1]


def test_a_view_whose_base_is_gone() -> None:
    x = leaf(1, 2, 3, 4)
    a = (x * 2).reshape(2, 2)
    b = a.T
    a *= 3
    b[0] *= 5
    (a.sum() + b[0, 0]).backward()
    assert x.grad.tolist() == [60, 6, 30, 6]


def test_an_expanded_view_follows_its_base() -> None:
    x = leaf(1, 2)
    y = x * 1
    wide = y.expand(3, 2)
    y[0] *= 7
    assert wide.tolist() == [[7, 2]] * 3
    wide.sum().backward()
    assert x.grad.tolist() == [21, 3]


def test_a_change_through_a_view_can_be_differentiated_twice() -> None:
    x = leaf(1.5, 2)
    y = x * x
    y[0] *= x[1]
    (g,) = tt.autograd.grad(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(g.tolist(), [2 * 1.5 * 2, 1.5**2 + 4])
    (h,) = tt.autograd.grad((g * tt.tensor([1.0, 10.0], dtype=tt.float64)).sum(), x)
    np.testing.assert_allclose(h.tolist(), [2 * 2 + 10 * 3, 3 + 20])


def test_augmented_assignment_by_index() -> None:
    x, w = leaf(1, 2, 3), leaf(10, 20)
    y = x * 1
    y[1:] += w
    y[0] *= 5
    y[np.array([2, 0])] -= w
    y[tt.tensor([False, True, False])] = w[:1]
    y[0] /= 2
    assert y.tolist() == [(5 - 20) / 2, 10, 3 + 20 - 10]
    y.sum().backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([2.5, 0, 1], [0, 0.5])


def test_a_view_of_a_leaf_that_requires_grad_refuses() -> None:
    x = leaf(1, 2, 3)
    for change in (lambda: x[1:].mul_(2), lambda: x.reshape(3, 1).zero_(), lambda: x.__setitem__(0, x[1])):
        with pytest.raises(RuntimeError, match=r"leaf that requires grad cannot be changed in place.*no_grad"):
            change()
    with pytest.raises(RuntimeError, match="add_: a view of a leaf"):
        x[0] += 1
    assert x.tolist() == [1, 2, 3]
    with tt.no_grad():
        x[1:] *= 2
    assert x.tolist() == [1, 4, 6]


def test_a_plain_buffer_and_its_rows() -> None:
    """A view made before its buffer got a history takes part in it."""
    x, buffer = leaf(1, 2), tt.zeros(3, 2, dtype=tt.float64)
    row, other = buffer[0], buffer[2]
    buffer[0] = x * 2
    assert row.tolist() == [2, 4]
    assert row.requires_grad
    row.copy_(row * 3)
    other += 1
    assert buffer.tolist() == [[6, 12], [0, 0], [1, 1]]
    (buffer.sum() + row[0]).backward()
    assert x.grad.tolist() == [12, 6]


def test_detached_memory_is_another_tensors() -> None:
    """As PyTorch: a detached tensor has a history of its own, and what kept the old values refuses."""
    x, w = leaf(1, 2), leaf(3, 4)
    y = x * 2
    d = y.detach()
    d *= w
    assert y.tolist() == [6, 16]
    (d.sum() + y.sum()).backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([2, 2], [2, 4])
    kept = tt.square(y := x * 2)
    y.detach()[0] = 5
    with pytest.raises(RuntimeError, match="backward of square"):
        kept.sum().backward()
    y.detach_()
    assert not (y * 2).requires_grad


def test_views_that_the_tape_does_not_know_refuse_to_record() -> None:
    x = leaf(1, 2)
    y = x * 2
    with tt.no_grad():
        v = y[:1]
    for unknown in (v, y[:1].detach(), tt.from_numpy(y.detach().numpy()[:1])):
        with pytest.raises(RuntimeError, match=r"mul_: a view cannot be changed in place.*no_grad.*clone"):
            unknown.mul_(x[:1])
    assert y.tolist() == [2, 4]


def test_replaced_data_shares_nothing_with_old_views() -> None:
    x = leaf(1, 2)
    y = x * 2
    v = y[:1]
    y.data = tt.tensor([5.0, 6.0], dtype=tt.float64)
    y.mul_(x)
    assert (v.tolist(), y.tolist()) == ([2], [5, 12])
    v.sum().backward()
    assert x.grad.tolist() == [2, 0]


def test_what_used_the_view_before_the_change_is_right_or_stale() -> None:
    x = leaf(1, 2)
    y = x * 2
    used = y.reshape(2, 1) + 1  # keeps no value
    y += 5
    used.sum().backward()
    assert x.grad.tolist() == [2, 2]
    y = x * 2
    used = y.reshape(2, 1) ** 2  # keeps its input
    y += 5
    with pytest.raises(RuntimeError, match="square"):
        used.sum().backward()


def test_a_change_through_a_plain_view_makes_the_base_stale() -> None:
    x = leaf(1, 2)
    y = x * 2
    z = tt.exp(y)
    q = tt.square(z)
    with tt.no_grad():
        z[:1].mul_(2)
    with pytest.raises(RuntimeError, match=r"backward of (square|exp)"):
        q.sum().backward()


# ----------------------------------------------------------------------------------------------------------- stale values
KEEPERS: dict[str, Callable[[Any], Any]] = {
    "square": tt.square, "sin": tt.sin, "mul": lambda y: y * y, "exp": lambda y: tt.exp(y), "matmul": lambda y: y @ y, "prod": lambda y: tt.prod(y),
    "softmax": tt.softmax, "amax": tt.amax, "log": tt.log,
}  # fmt: skip


@pytest.mark.parametrize("name", KEEPERS)
def test_a_stale_kept_value_raises_with_the_op_and_both_lines(name: str) -> None:
    x = leaf(1, 2)
    y = x * 2
    z = KEEPERS[name](y)
    target = z if name in ("exp", "softmax") else y  # these keep their value, not their input
    if target is z:
        z = z + 0
    with tt.no_grad():
        target += 1
    changed = test_a_stale_kept_value_raises_with_the_op_and_both_lines.__code__.co_firstlineno + 9
    with pytest.raises(RuntimeError, match=f"backward of {name} ") as e:
        z.sum().backward()
    lines = re.findall(r"test_inplace\.py:(\d+)", str(e.value))
    assert len(lines) == 2
    assert int(lines[1]) == changed
    assert "changed in place by add_ at" in str(e.value)
    assert "clone()" in str(e.value)


def test_ops_that_keep_nothing_do_not_mind() -> None:
    x = leaf(1, 2)
    y = x * 2
    z = (y + 1).sum() + y.mean() + (-y).sum()
    y += 1
    z.backward()
    assert x.grad.tolist() == [1, 1]


def test_every_kind_of_change_counts() -> None:
    changes: list[Callable[[Any], Any]] = [
        lambda y: y.add_(1), lambda y: y.zero_(), lambda y: y.fill_(1), lambda y: y.copy_(y.detach().clone()), lambda y: y.clamp_(0, 1),
        lambda y: y.__setitem__(0, 1), lambda y: y.detach().add_(1), lambda y: y.data.mul_(2), lambda y: y[:1].detach().zero_(),
        lambda y: tt.from_numpy(y.detach().numpy()).zero_(),
    ]  # fmt: skip
    for i, change in enumerate(changes):
        x = leaf(1, 2)
        y = x * 2
        z = tt.square(y)
        with tt.no_grad():
            change(y)
        with pytest.raises(RuntimeError, match="backward of square"):
            z.sum().backward()
        assert x.grad is None, i


def stale(end: Any, first: int, second: int | None, by: str) -> None:
    """backward raises, and names the line that made the op, the line of the change, and what made it."""
    with pytest.raises(RuntimeError, match="changed in place") as e:
        end.backward()
    assert [int(n) for n in re.findall(r"test_inplace\.py:(\d+)", str(e.value))] == [n for n in (first, second) if n]
    assert f"changed in place by {by}" in str(e.value)


def line() -> int:
    return sys._getframe(1).f_lineno


def test_a_stale_value_names_both_lines_through_views_data_and_detach() -> None:
    changes: list[Callable[[Any], Any]] = [
        lambda y: y[1:].mul_(2), lambda y: y.data.mul_(2), lambda y: y.detach().mul_(2), lambda y: y.reshape(1, 2).T[0].mul_(2),
    ]  # fmt: skip
    for change in changes:
        for recording in (True, False):
            x = leaf(1, 2)
            y = x * 2
            z, made = tt.square(y).sum(), line()
            with tt.set_grad_enabled(recording):
                change(y)
            stale(z, made, change.__code__.co_firstlineno, "mul_")
    y = leaf(1, 2) * 2
    z, made = tt.square(y).sum(), line()
    y[0], at = 5, line()
    stale(z, made, at, "assignment")


def test_an_optimizers_step_between_forward_and_backward_is_named() -> None:
    for make, name in ((tt.optim.SGD, "SGD"), (tt.optim.AdamW, "AdamW")):
        w = leaf(1, 2)
        loss, made = (w * w).sum(), line()
        loss.backward(retain_graph=True)
        optimizer = make([w], lr=0.1)
        optimizer.step()
        at = line() - 1
        stale(loss, made, at, f"{name}'s step")


def test_accumulation_into_a_gradient_that_a_graph_kept_is_named() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    (x * x).sum().backward()
    z, made = (x.grad * w).sum(), line()
    (x * x).sum().backward()  # adds to x.grad in place
    stale(z, made, None, "the accumulation of a gradient")
    z, made = (x.grad * w).sum(), line()
    x.grad *= 0.5
    stale(z, made, line() - 1, "mul_")


@pytest.mark.parametrize("several", [False, True])
def test_an_index_that_changed_is_seen(several: bool) -> None:
    """The places that backward adds to are kept values, too."""
    x, i = leaf(1, 2, 3), tt.tensor([0, 1])
    z = x.reshape(1, 3)[tt.tensor([0, 0]), i] if several else x[i]
    i += 1
    with pytest.raises(RuntimeError, match=r"backward of getitem .*changed in place by add_"):
        z.sum().backward()


# --------------------------------------------------------------------------------------------------------- more methods
UNARY = [
    "neg",
    "abs",
    "reciprocal",
    "square",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "relu",
]


@pytest.mark.parametrize("name", UNARY)
def test_an_elementwise_method_in_place(name: str) -> None:
    x = leaf(0.5, 1, 2)
    y = x * 3
    assert getattr(y, f"{name}_")() is y
    (y * y).sum().backward()
    a = leaf(0.5, 1, 2)
    want = getattr(a * 3, name)()
    (want * want).sum().backward()
    assert y.tolist() == want.tolist()
    np.testing.assert_allclose(x.grad.numpy(), a.grad.numpy(), rtol=1e-14)
    plain = tt.tensor([0.5, 1.0, 2.0])
    assert getattr(plain, f"{name}_")() is plain
    assert plain.tolist() == getattr(tt.tensor([0.5, 1.0, 2.0]), name)().tolist()


B = tt.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=tt.float64)
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "clamp_min": (0.5,), "clamp_max": (0.5,), "lerp": (B, 0.3), "addcmul": (B, B), "addcdiv": (B, B), "addmm": (B, B),
    "baddbmm": (B.reshape(1, 2, 2), B.reshape(1, 2, 2)), "cumsum": (0,), "cumprod": (1,),
    **dict.fromkeys(["fmod", "remainder", "floor_divide", "copysign", "hypot", "atan2", "xlogy"], (B,)),
}  # fmt: skip


@pytest.mark.parametrize("name", tt.ops._IN_PLACE_TOO.split())
def test_another_method_in_place(name: str) -> None:
    """It is what the plain one is, history included."""
    start = tt.tensor([[0.3, 0.9], [0.2, 0.7]], dtype=tt.float64)
    if name == "acosh":
        start = start + 1
    if name == "baddbmm":
        start = start.reshape(1, 2, 2)
    found = []
    for change in (False, True):
        x = start.clone().requires_grad_()
        y = x * 1
        z = getattr(y, f"{name}_" if change else name)(*ARGUMENTS.get(name, ()))
        assert (z is y) is change
        (z * z).sum().backward()
        found.append((z.tolist(), x.grad.tolist()))
    assert found[0] == found[1]
    with pytest.raises(RuntimeError, match="a leaf that requires grad cannot be changed in place"):
        getattr(start.requires_grad_(), f"{name}_")(*ARGUMENTS.get(name, ()))


def test_every_method_has_a_test() -> None:
    from tinytensor.ops.inplace import METHODS as ALL

    others = {*METHODS, "clamp_", "fill_", "zero_", "masked_fill_", "uniform_", "normal_"}
    assert set(ALL) == others | {f"{n}_" for n in UNARY}


def test_alpha() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    y = x * 1
    y.add_(w, alpha=2).sub_(w, alpha=0.5)
    y.sum().backward()
    assert y.tolist() == [5.5, 8]
    assert w.grad.tolist() == [1.5, 1.5]


def test_masked_fill_in_place() -> None:
    x, v = leaf(1, 2, 3), leaf(7)
    y = x * 2
    y.masked_fill_(tt.tensor([True, False, True]), v[0])
    y.sum().backward()
    assert (y.tolist(), x.grad.tolist(), v.grad.tolist()) == ([7, 4, 7], [0, 2, 0], [2])
    with pytest.raises(ValueError, match="masked_fill: mask"):
        y.masked_fill_(tt.tensor([True, False]), 0.0)


def test_random_fills() -> None:
    t = tt.zeros(1000)
    assert t.uniform_(2, 3, generator=tt.Generator(1)) is t
    assert 2 <= t.min().item() < t.max().item() < 3
    assert t.tolist() == tt.zeros(1000).uniform_(2, 3, generator=tt.Generator(1)).tolist()
    assert abs(t.normal_(5, 0.1, generator=tt.Generator(2)).mean().item() - 5) < 0.02
    x = leaf(1, 2)
    y = x * 2
    y.normal_()
    (y + x).sum().backward()
    assert x.grad.tolist() == [1, 1]
    for wrong, error, text in (
        (lambda: t.uniform_(3, 2), ValueError, "uniform_: expected a range with low <= high, got 3 and 2"),
        (lambda: t.normal_(0, -1), ValueError, "normal_: expected std >= 0, got -1"),
        (lambda: tt.tensor([1]).normal_(), TypeError, "normal_: expected a float32 or float64 tensor, got int64"),
        (lambda: x.uniform_(), RuntimeError, "uniform_: a leaf that requires grad"),
    ):
        with pytest.raises(error, match=text):
            wrong()


def test_fill_with_several_elements_refuses() -> None:
    with pytest.raises(ValueError, match=r"fill_: expected a number or a tensor of one element, got shape \(2,\)"):
        tt.zeros(2).fill_(tt.ones(2))


# ------------------------------------------------------------------------------------------------------ random programs
VIEW_STEPS: list[Callable[[Any, int], Any]] = [
    lambda t, k: t.reshape(-1), lambda t, k: t.T if t.ndim == 2 else t[::-1] if t.ndim == 1 else t, lambda t, k: t[k % t.shape[0]] if t.ndim else t,
    lambda t, k: t[..., k % t.shape[-1] :] if t.ndim else t, lambda t, k: t[..., ::2] if t.ndim else t,
]  # fmt: skip
CHANGES: list[tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = [
    (lambda t, w: t.mul_(w), lambda v, w: v * w), (lambda t, w: t.add_(w), lambda v, w: v + w), (lambda t, w: t.sin_(), lambda v, w: tt.sin(v)),
    (lambda t, w: t.sigmoid_(), lambda v, w: tt.sigmoid(v)), (lambda t, w: t.copy_(w), lambda v, w: v * 0 + w), (lambda t, w: t.zero_(), lambda v, w: v * 0),
    (lambda t, w: t.__setitem__(..., w * w), lambda v, w: v * 0 + w * w), (lambda t, w: t.__imul__(t), lambda v, w: v * v),
]  # fmt: skip


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_random_programs_of_views_and_changes_agree_with_functional_ones(data: Any) -> None:
    """A program of views, changes in place and reads, and the same with each change as a new tensor put together from the
    elements of the old: equal gradients, or an error that says that a kept value was changed."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a = rng.uniform(0.5, 1.5, size=(2, 3))
    x, w = tt.tensor(a, requires_grad=True), tt.tensor(0.8, dtype=tt.float64, requires_grad=True)
    fx, fw = tt.tensor(a, requires_grad=True), tt.tensor(0.8, dtype=tt.float64, requires_grad=True)
    places = [np.arange(6).reshape(2, 3)]  # of each tensor: which elements of the base it shows
    tensors, flat = [x * 2], (fx * 2).reshape(6)
    reads, freads = [], []
    for _ in range(data.draw(st.integers(2, 8))):
        step = data.draw(st.sampled_from(["view", "view", "change", "change", "change", "read"]))
        i = data.draw(st.integers(0, len(tensors) - 1))
        t, at = tensors[i], places[i]
        if step == "view":
            make, k = data.draw(st.sampled_from(VIEW_STEPS)), data.draw(st.integers(0, 2))
            new = make(at, k) if make is not VIEW_STEPS[0] or at.flags.c_contiguous else at
            if new.size and np.shares_memory(new, at) and not (new.ndim == 1 and at.ndim == 1 and new.strides[0] < 0):
                tensors.append(t if new is at else make(t, k))
                places.append(new)
        elif step == "change":
            change, plain = data.draw(st.sampled_from(CHANGES))
            change(t, w)
            values = plain(flat[at.reshape(-1).copy()], fw)
            whole = tt.zeros(6, dtype=tt.float64)
            whole = tt.scatter_add(whole, 0, tt.tensor(at.reshape(-1).copy()), values)
            outside = np.ones(6)
            outside[at.reshape(-1)] = 0
            flat = flat * tt.tensor(outside) + whole
        else:
            read = data.draw(st.sampled_from([tt.square, tt.exp, lambda v: v * 3]))
            reads.append(read(t).sum())
            freads.append(read(flat[at.reshape(-1).copy()]).sum())
    for t, at in zip(tensors, places):
        np.testing.assert_allclose(t.detach().numpy(), flat.detach().numpy()[at], rtol=1e-13)
        scale = tt.tensor(rng.normal(size=at.shape))
        reads.append((t * scale).sum())
        freads.append((flat[at.reshape(-1).copy()] * scale.reshape(-1)).sum())
    for parts in (reads, freads):
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        if parts is reads:
            try:
                total.backward()
            except RuntimeError as e:
                assert "changed in place" in str(e)
                event("refused")
                return
        else:
            total.backward()
    assume(np.isfinite(fx.grad.numpy()).all())  # past the largest number the order decides between inf and NaN
    np.testing.assert_allclose(x.grad.numpy(), fx.grad.numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        0 if w.grad is None else w.grad.item(), 0 if fw.grad is None else fw.grad.item(), rtol=1e-12, atol=1e-13
    )


def test_a_base_has_the_gradient_that_comes_through_its_changed_views() -> None:
    """As PyTorch: after a change through a view, the view comes from its base."""
    x = leaf(1, 2, 3)
    y = x * 2
    v = y[:2]
    u = v[:1]
    u.mul_(3)
    loss = y.sum() + v.sum() + u.sum()
    found = tt.autograd.grad(loss, (y, v, u), retain_graph=True)
    assert [g.tolist() for g in found] == [[3, 2, 1], [1, 1], [1]]
    y.retain_grad()
    loss.backward()
    assert (y.grad.tolist(), x.grad.tolist()) == ([3, 2, 1], [18, 4, 2])


@pytest.mark.parametrize("changed", ["base", "view"])
def test_hooks_of_a_whole_view_are_not_those_of_its_base(changed: str) -> None:
    x = leaf(1, 2)
    y = x * 2
    v = y[:]
    (y if changed == "base" else v).mul_(3)
    v.register_hook(lambda g: g * 100)
    (y.sum() + v.sum()).backward()
    assert x.grad.tolist() == [606, 606]


def test_assigning_what_a_function_made_of_the_same_memory_refuses() -> None:
    """It was taken for the end of `x[:] += v`, and the Function's rule was lost."""

    class Tenfold(tt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> tt.Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> tt.Tensor:
            return g * 10

    y = leaf(1, 2) * 1
    with pytest.raises(RuntimeError, match=r"assignment: a view that a Function made.*clone"):
        y[:] = Tenfold.apply(y)


def test_what_is_detached_gets_no_history_from_its_views_or_base() -> None:
    for which in (0, 1):
        y = leaf(1, 2) * 2
        v = y[:1]
        pair = (y, v)
        pair[which].detach_()
        pair[1 - which].mul_(3)
        assert (pair[which].requires_grad, pair[1 - which].requires_grad) == (False, True)


def test_an_index_array_may_be_used_again_before_backward() -> None:
    """NumPy's writes are not counted, so the tape takes a copy."""
    x, at = leaf(1, 2, 3), np.array([0, 1])
    y = x[at]
    y[at] = x[at] * 5
    at[:] = 2
    y.sum().backward()
    assert x.grad.tolist() == [5, 5, 0]


def test_rows_that_are_changed_one_by_one_all_come_from_their_base() -> None:
    x = leaf(1, 2, 3)
    y = x * 2
    rows = [y[i : i + 1] for i in range(3)]
    for k, row in enumerate(rows):
        row.mul_(k + 2)
    loss = y.sum() + sum(row.sum() * 10**k for k, row in enumerate(rows))
    found = tt.autograd.grad(loss, (y, x))
    assert [g.tolist() for g in found] == [[2, 11, 101], [8, 66, 808]]
