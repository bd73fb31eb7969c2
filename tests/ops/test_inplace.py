"""In-place changes: recorded where they must be, refused where they cannot be right, and never a silent wrong gradient."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

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
    with pytest.raises(TypeError, match=r"float64.*float32"):
        recorded += tt.ones(2, dtype=tt.float64)


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
def test_a_view_of_what_needs_a_gradient_refuses_or_is_right(name: str) -> None:
    x = tt.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = x * 2
    v = VIEWS[name](y)
    before = y.tolist()
    with pytest.raises(RuntimeError, match=r"view cannot be changed in place.*base"):
        v.mul_(3)
    with pytest.raises(RuntimeError, match=r"view cannot be changed in place.*base"):
        v[0] = 3
    assert y.tolist() == before
    y.sum().backward()
    assert x.grad.tolist() == [[2, 2, 2], [2, 2, 2]]


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_made_before_its_base_changed_refuses_in_backward(name: str) -> None:
    x = tt.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = x * 2
    v = VIEWS[name](y)
    y += 1
    with pytest.raises(RuntimeError, match=r"view whose base was changed in place.*again"):
        v.sum().backward()
    again = VIEWS[name](y)
    again.sum().backward()
    assert x.grad.numpy().sum() == 2 * again.numel()


def test_a_view_of_a_view_refuses_too() -> None:
    x = leaf(1, 2, 3, 4)
    y = x * 2
    v = y.reshape(2, 2)[0]
    y.mul_(2)
    with pytest.raises(RuntimeError, match="view whose base was changed"):
        v.sum().backward()


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


def test_a_view_of_a_plain_buffer_that_takes_a_recorded_value_refuses() -> None:
    x, buffer = leaf(1, 2), tt.zeros(3, 2, dtype=tt.float64)
    row = buffer[0]
    with pytest.raises(RuntimeError, match="view cannot be changed in place"):
        row.copy_(x * 2)
    assert buffer.tolist() == [[0, 0]] * 3
    row += 1  # nothing recorded: free, and seen by the base
    assert buffer.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_a_plain_view_made_before_its_buffer_got_a_history() -> None:
    """The view has no history: it must not claim a gradient that it does not have, nor hide the new values."""
    x, buffer = leaf(1, 2), tt.zeros(2, 2, dtype=tt.float64)
    row = buffer[0]
    buffer[0] = x * 2
    assert row.tolist() == [2, 4]
    assert not row.requires_grad


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


def test_an_optimizers_step_between_forward_and_backward_is_seen() -> None:
    w = leaf(1, 2)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    tt.optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="backward of mul"):
        loss.backward()


def test_accumulation_into_a_gradient_that_a_graph_kept_is_seen() -> None:
    x, w = leaf(1, 2), leaf(3, 4)
    (x * x).sum().backward()
    z = (x.grad * w).sum()
    (x * x).sum().backward()  # adds to x.grad in place
    with pytest.raises(RuntimeError, match="backward of mul"):
        z.backward()
