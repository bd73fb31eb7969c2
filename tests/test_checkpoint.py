"""checkpoint: the same values and gradients, bit for bit, with less kept."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import autograd, nn
from tinytensor.autograd import checkpoint


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(values, dtype=tt.float64, requires_grad=True)


def network() -> tuple[nn.Module, tt.Tensor]:
    tt.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    return net, tt.randn(5, 6, requires_grad=True)


def bits(tensors: Any) -> list[bytes]:
    return [t.detach().numpy().tobytes() for t in tensors]


def gradients(run: Any) -> list[bytes]:
    net, x = network()
    after = []
    for _ in range(2):  # accumulated
        y = run(net, x)
        loss = (y * y).sum()
        after.append(tt.rand(1))  # what is drawn behind is the same, too
        loss.backward()
        after.append(tt.rand(1))
    return bits([loss, x.grad, *[p.grad for p in net.parameters()], *after])


def test_same_bits_as_without_dropout_included() -> None:
    plain = gradients(lambda net, x: net(x))
    assert gradients(lambda net, x: checkpoint(net, x)) == plain
    assert gradients(lambda net, x: checkpoint(net[2:], checkpoint(net[:2], x))) == plain
    assert gradients(lambda net, x: checkpoint(lambda x: checkpoint(net[3:], checkpoint(net[:3], x)), x)) == plain


def test_without_the_state_of_the_generator_dropout_is_another() -> None:
    plain = gradients(lambda net, x: net(x))
    assert gradients(lambda net, x: checkpoint(net, x, preserve_rng_state=False)) != plain


def test_the_arrays_inside_are_not_kept() -> None:
    inside: list[Any] = []

    def f(x: tt.Tensor) -> tt.Tensor:
        for _ in range(5):
            x = tt.sin(x) * x
            inside.append(weakref.ref(x._data))
        return x.sum()

    def alive() -> int:
        return sum(r() is not None for r in inside)

    x = leaf(*[0.5, 1.5] * 10)  # more than stays for explanations
    y = f(x)
    assert alive() == 4  # the sum needs no values
    y.backward()
    want = x.grad.tolist()
    assert alive() == 0
    x.grad = None
    y = checkpoint(f, x)
    assert alive() == 0
    y.backward()
    assert (x.grad.tolist(), alive(), len(inside)) == (want, 0, 15)


def test_a_chain_of_checkpoints_keeps_no_more_than_one_part_at_a_time() -> None:
    made: list[Any] = []
    most = [0]

    def part(x: tt.Tensor) -> tt.Tensor:
        for _ in range(10):
            x = tt.exp(x * -1)
            made.append(weakref.ref(x._data))
        return x

    def look(g: tt.Tensor) -> None:
        most[0] = max(most[0], sum(r() is not None for r in made))

    def peak(run: Any) -> int:
        made.clear()
        most[0] = 0
        x = leaf(*[0.5] * 20)
        h = x
        for _ in range(10):
            h = run(part, h)
            h.register_hook(look)
        look(x)
        h.sum().backward()
        return most[0]

    assert peak(lambda f, x: f(x)) == 100
    assert peak(checkpoint) <= 21  # the borders, and one part


def test_memory_within_a_part_goes_as_backward_walks() -> None:
    made: list[Any] = []
    counts: list[int] = []

    def part(x: tt.Tensor) -> tt.Tensor:
        for _ in range(6):
            x = tt.exp(x * -1)
            made.append(weakref.ref(x._data))
            x.register_hook(lambda g: None)
        return x

    x = leaf(*[0.5] * 20)
    x.register_hook(lambda g: counts.append(sum(r() is not None for r in made)))
    first = x * 1
    first.register_hook(lambda g: counts.append(sum(r() is not None for r in made)))
    y = checkpoint(part, first)
    y.sum().backward()
    assert counts == [1, 1]  # y alone


def test_higher_orders() -> None:
    def f(x: tt.Tensor, w: tt.Tensor) -> tt.Tensor:
        return (tt.tanh(x * w) ** 3).sum()

    x, w = leaf(0.3, 0.8), leaf(1.5, -0.5)

    def derivatives(y: tt.Tensor) -> list[bytes]:
        found = autograd.grad(y, [x, w], create_graph=True)
        second = autograd.grad((found[0] * found[1]).sum(), [x, w], create_graph=True)
        third = autograd.grad((second[0] + second[1]).sum(), [x, w])
        return bits([*found, *second, *third])

    assert derivatives(checkpoint(f, x, w)) == derivatives(f(x, w))
    assert derivatives(checkpoint(lambda x: f(x, w), x)) == derivatives(f(x, w))  # w from around it
    assert derivatives(checkpoint(lambda x: checkpoint(f, x, w) * 1.0, x)) == derivatives(f(x, w) * 1.0)


def test_functions_with_a_rule_of_their_own_inside() -> None:
    class Exp(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor, w: tt.Tensor) -> Any:
            y = tt.exp(x)
            ctx.save_for_backward(y, w)
            return y, y * w

        @staticmethod
        def backward(ctx: Any, a: tt.Tensor, b: tt.Tensor) -> Any:
            y, w = ctx.saved_tensors
            return (a + b * w) * y, b * y

    def f(x: tt.Tensor, w: tt.Tensor) -> tt.Tensor:
        a, b = Exp.apply(x * 2, w)
        return (a * b).sum()

    x, w = leaf(0.3, 0.8), leaf(1.5, -0.5)

    def derivatives(y: tt.Tensor) -> list[bytes]:
        first = autograd.grad(y, [x, w], create_graph=True)
        return bits([*first, *autograd.grad((first[0] * first[1]).sum(), [x, w])])

    assert derivatives(checkpoint(f, x, w)) == derivatives(f(x, w))


def test_nested_outputs_other_arguments_and_inputs_without_gradient() -> None:
    def f(x: tt.Tensor, c: tt.Tensor, n: int, *, scale: Any) -> Any:
        return {"a": [x * n, c * 2], "b": (tt.sin(x) * scale["s"], "text")}

    x, c = leaf(1, 2), tt.ones(2)
    found = checkpoint(f, x, c, 3, scale={"s": 5.0})
    assert not found["a"][1].requires_grad
    (found["a"][0] * found["b"][0]).sum().backward()
    want = autograd.grad((x * 3 * tt.sin(x) * 5).sum(), x)[0]
    np.testing.assert_allclose(x.grad.numpy(), want.numpy(), rtol=1e-13)
    assert found["b"][1] == "text"


def test_no_argument_requires_grad_but_something_around_does() -> None:
    w = leaf(2, 3)
    checkpoint(lambda c: (c * w * w).sum(), tt.ones(2)).backward()
    assert w.grad.tolist() == [4, 6]


def test_the_function_runs_once_more_and_under_no_grad_once() -> None:
    count: list[bool] = []

    def f(x: tt.Tensor) -> tt.Tensor:
        count.append(tt.is_grad_enabled())
        return tt.sin(tt.exp(tt.sin(x))) + tt.exp(x)

    x = leaf(1)
    y = checkpoint(f, x)
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)  # what was computed again stays with retain_graph
    assert count == [True, True]
    with tt.no_grad():
        assert not checkpoint(f, x).requires_grad
    assert len(count) == 3
    y.backward()
    with pytest.raises(RuntimeError, match="second time: its kept values were freed"):
        y.backward()


def test_gradients_for_some_inputs_only() -> None:
    x, w = leaf(0.5), leaf(2)
    y = checkpoint(lambda a, b: tt.exp(tt.sin(a) * tt.exp(b)), x, w)
    (gx,) = autograd.grad(y, x, retain_graph=True)
    (gw,) = autograd.grad(y, w)
    want = autograd.grad(tt.exp(tt.sin(x) * tt.exp(w)), [x, w])
    assert bits([gx, gw]) == bits(want)


def test_hooks_inside() -> None:
    seen: list[Any] = []

    def f(x: tt.Tensor) -> tt.Tensor:
        h = tt.sin(x)
        h.register_hook(lambda g: seen.append(g.tolist()))
        h.register_hook(lambda g: g * 10)
        return h * 2

    x = leaf(0)
    checkpoint(f, x).backward()
    assert (seen, x.grad.tolist()) == ([[2]], [20])


# ------------------------------------------------------------------------------------------------------------- refusals
def test_an_argument_that_was_changed() -> None:
    x = leaf(1, 2)
    h = x * 1
    y = checkpoint(lambda h: tt.sin(h).sum(), h)
    h.add_(1)
    with pytest.raises(
        RuntimeError, match=r"checkpoint: an argument of shape \(2,\) was changed in place by add_ at .*checkpoint.py"
    ):
        y.backward()
    y = checkpoint(lambda x: tt.sin(x).sum(), x)
    x.data = tt.tensor([5.0, 6.0], dtype=tt.float64)
    with pytest.raises(RuntimeError, match=r"argument of shape .* was changed, so"):
        y.backward()

    def changes(h: tt.Tensor) -> tt.Tensor:
        h.mul_(2)
        return tt.sin(h).sum()

    y = checkpoint(changes, x * 1)
    with pytest.raises(RuntimeError, match=r"an argument of shape .* was changed in place"):
        y.backward()


def test_a_parameter_that_was_changed() -> None:
    w = leaf(2, 3)
    y = checkpoint(lambda c: (c * w * w).sum(), tt.ones(2))
    with tt.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match=r"checkpoint: backward of mul .* changed or replaced"):
        y.backward()
    y = checkpoint(lambda c: (c * w * w).sum(), tt.ones(2))
    w.data = tt.tensor([5.0, 6.0], dtype=tt.float64)
    with pytest.raises(RuntimeError, match=r"checkpoint: backward of mul .* changed or replaced"):
        y.backward()


def test_a_function_that_does_something_else() -> None:
    calls: list[int] = []

    def longer(x: tt.Tensor) -> tt.Tensor:
        calls.append(1)
        return tt.sin(x) if len(calls) == 1 else tt.sin(tt.sin(x))

    def other(x: tt.Tensor) -> tt.Tensor:
        calls.append(1)
        return tt.sin(x) if len(calls) == 1 else tt.cos(x)

    x = leaf(1)
    y = checkpoint(longer, x)
    with pytest.raises(RuntimeError, match="recorded 1 ops at first and 2 when it ran again"):
        y.backward()
    calls.clear()
    y = checkpoint(other, x)
    with pytest.raises(RuntimeError, match=r"something else when it ran again: sin \(made at .*\), then cos \(made at"):
        y.backward()


def test_nothing_of_a_checkpoint_is_a_cycle(no_collector: None) -> None:
    x = leaf(1, 2)

    def f(x: tt.Tensor) -> tt.Tensor:
        return checkpoint(lambda h: tt.sin(h) * h, tt.exp(x)) * x

    for finish in (lambda y: None, lambda y: y.sum().backward(), lambda y: y.sum().backward(create_graph=True)):
        x.grad = None
        y = checkpoint(f, x)
        finish(y)
        refs = [weakref.ref(y), weakref.ref(y.grad_fn), weakref.ref(y.grad_fn.parents[0])]
        x.grad = None
        del y
        assert [r() for r in refs] == [None] * 3


def test_a_long_chain_of_checkpoints_is_walked_and_freed_without_recursion() -> None:
    def chain(x: tt.Tensor) -> tt.Tensor:
        for _ in range(5_000):
            x = checkpoint(tt.cos, x)
        return x

    x = leaf(0.5)
    chain(x).backward()
    assert abs(x.grad.item()) < 1e-300
    y = chain(x)
    del y


def test_the_function_runs_again_without_the_lock_of_gradients() -> None:
    """It may wait for a thread that walks back, too."""
    first, other = tt.nn.Linear(2, 2), tt.nn.Linear(2, 2)
    done = []

    def f(x: tt.Tensor) -> tt.Tensor:
        thread = threading.Thread(target=lambda: other(tt.ones(1, 2)).sum().backward(), daemon=True)
        thread.start()
        thread.join(20)
        done.append(not thread.is_alive())
        return first(x)  # type: ignore[no-any-return]

    tt.autograd.checkpoint(f, tt.ones(1, 2, requires_grad=True)).sum().backward()
    assert done == [True, True]
