"""Hooks of modules: PyTorch's order, arguments and replacements, before and after forward and backward."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn


def shapes(found: Any) -> Any:
    return [None if t is None else tuple(t.shape) for t in found]


class Pair(nn.Module):
    def forward(self, x: tt.Tensor, y: tt.Tensor, scale: float = 1.0) -> tuple[tt.Tensor, tt.Tensor]:
        return x * y * scale, x + y


# -------------------------------------------------------------------------------------------------------------- forward
def test_a_forward_pre_hook_replaces_the_arguments() -> None:
    m, x = nn.ReLU(), tt.tensor([-1.0, 2.0])
    seen: list[Any] = []
    one = m.register_forward_pre_hook(lambda module, args: seen.append((module is m, args[0] is x)))
    m.register_forward_pre_hook(lambda module, args: (args[0] * 10,))
    m.register_forward_pre_hook(lambda module, args: args[0] + 1)  # no tuple: the one argument
    assert m(x).tolist() == [0, 21]
    one.remove()
    assert m(x).tolist() == [0, 21]
    assert seen == [(True, True)]


def test_a_forward_hook_replaces_the_output() -> None:
    m, x = nn.ReLU(), tt.tensor([-1.0, 2.0])
    m.register_forward_hook(lambda module, args, output: output * 10)
    seen: list[Any] = []
    m.register_forward_hook(lambda module, args, output: seen.append((args[0] is x, output.tolist())))
    assert m(x).tolist() == [0, 20]
    assert seen == [(True, [0, 20])]


def test_prepend_puts_a_hook_first() -> None:
    m, order = nn.Identity(), []
    m.register_forward_hook(lambda *a: order.append(1))
    m.register_forward_hook(lambda *a: order.append(2), prepend=True)
    m.register_forward_pre_hook(lambda *a: order.append(3))
    m.register_forward_pre_hook(lambda *a: order.append(4), prepend=True)
    m(tt.ones(1))
    assert order == [4, 3, 2, 1]


def test_hooks_with_kwargs() -> None:
    m = Pair()
    x, y = tt.tensor([2.0]), tt.tensor([3.0])
    seen: list[Any] = []
    m.register_forward_pre_hook(lambda module, args, kwargs: (args, {"scale": kwargs["scale"] * 2}), with_kwargs=True)
    m.register_forward_hook(lambda module, args, kwargs, output: seen.append((len(args), kwargs)), with_kwargs=True)
    assert m(x, y, scale=5.0)[0].tolist() == [60]
    assert seen == [(2, {"scale": 10.0})]
    m.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    m.register_forward_pre_hook(lambda module, args, kwargs: 3, with_kwargs=True)
    with pytest.raises((RuntimeError, TypeError), match=r"must return None or a pair \(args, kwargs\), got 3|mapping"):
        m(x, y, scale=5.0)


def test_always_call() -> None:
    m = nn.Linear(2, 3)
    seen: list[Any] = []
    m.register_forward_hook(lambda module, args, output: seen.append("plain"))
    m.register_forward_hook(lambda module, args, output: seen.append(output), always_call=True)
    with pytest.raises(ValueError, match=r"expected \(\*, 2\)"):
        m(tt.ones(5))
    assert seen == [None]
    m(tt.ones(2))
    assert (seen[1], seen[2].shape) == ("plain", (3,))
    m.register_forward_hook(lambda module, args, output: 1 / 0, always_call=True)
    with (
        pytest.warns(UserWarning, match="always_call=True raised ZeroDivisionError"),
        pytest.raises(ValueError, match="exp"),
    ):
        m(tt.ones(5))
    seen.clear()
    with pytest.raises(ZeroDivisionError):
        m(tt.ones(2))
    assert len(seen) == 2  # not called again for the error of another hook


def test_an_error_in_a_hook_names_the_module() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    net[1].register_forward_hook(lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError) as error:
        net(tt.ones(2))
    assert "in module 1 (ReLU) of Sequential" in "".join(error.value.__notes__)


# ------------------------------------------------------------------------------------------------------------- backward
def test_full_backward_hooks() -> None:
    m = Pair()
    x, y = tt.tensor([2.0, 3.0], requires_grad=True), tt.tensor([5.0, 7.0])
    seen: list[Any] = []
    m.register_full_backward_pre_hook(lambda module, go: (go[0] * 10, go[1]))
    m.register_full_backward_hook(
        lambda module, gi, go: seen.append((module is m, gi[0].tolist(), gi[1].tolist(), shapes(go)))
    )
    m.register_full_backward_hook(lambda module, gi, go: (gi[0] + 1, None))
    a, b = m(x, y)
    assert (a.tolist(), b.tolist()) == ([10, 21], [7, 10])
    (a.sum() + b.sum()).backward()
    assert seen == [(True, [51, 71], [0, 0], [(2,), (2,)])]
    assert x.grad.tolist() == [52, 72]


def test_an_output_that_no_gradient_reached() -> None:
    m = Pair()
    x = tt.tensor([2.0], requires_grad=True)
    seen: list[Any] = []
    m.register_full_backward_hook(lambda module, gi, go: seen.append((shapes(gi), shapes(go))))
    m(x, x)[1].sum().backward()
    assert seen == [([(1,), (1,)], [None, (1,)])]
    assert x.grad.tolist() == [2]


def test_no_argument_requires_grad() -> None:
    m = nn.Linear(2, 3)
    seen: list[Any] = []
    handle = m.register_full_backward_hook(lambda module, gi, go: seen.append((gi, shapes(go))))
    m(tt.ones(4, 2)).sum().backward()
    assert seen == [((None,), [(4, 3)])]
    assert m.bias.grad.tolist() == [4, 4, 4]
    handle.remove()
    m.register_full_backward_hook(lambda module, gi, go: (tt.ones(4, 2),))
    with pytest.raises(RuntimeError, match="arguments require no grad must return None"):
        m(tt.ones(4, 2)).sum().backward()
    with tt.no_grad():
        assert not m(tt.ones(4, 2)).requires_grad


def test_wrong_numbers_of_gradients() -> None:
    m, x = nn.Tanh(), tt.ones(2, requires_grad=True)
    with (
        m.register_full_backward_hook(lambda *a: (None, None)),
        pytest.raises(RuntimeError, match="hook returned 2 gra"),
    ):
        m(x).sum().backward()
    with (
        m.register_full_backward_pre_hook(lambda *a: ()),
        pytest.raises(RuntimeError, match="pre-hook returned 0 grad"),
    ):
        m(x).sum().backward()


def test_backward_hooks_to_the_second_order() -> None:
    m = nn.Tanh()
    x = tt.tensor([0.5], dtype=tt.float64, requires_grad=True)
    m.register_full_backward_hook(lambda module, gi, go: (gi[0] * x,))
    (g,) = tt.autograd.grad(m(x).sum(), x, create_graph=True)  # x (1 - tanh^2)
    (h,) = tt.autograd.grad(g, x)
    t = np.tanh(0.5)
    assert g.item() == pytest.approx(0.5 * (1 - t * t), rel=1e-13)
    # the second derivative comes through the module, too, and so through the hook
    assert h.item() == pytest.approx((1 - t * t) + 0.5**2 * -2 * t * (1 - t * t), rel=1e-13)


def test_arguments_of_a_module_with_backward_hooks_are_views() -> None:
    class Doubles(nn.Module):
        def forward(self, x: tt.Tensor) -> tt.Tensor:
            return x.mul_(2)

    m = Doubles()
    h = tt.ones(2, requires_grad=True) * 1
    m(h)
    m.register_full_backward_hook(lambda *a: None)
    with pytest.raises(RuntimeError, match="a view that a Function made cannot be changed in place"):
        m(h)


# ------------------------------------------------------------------------------------------------------------ Sequential
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    "register",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_a_hook_on_a_part_of_a_fused_pair_is_called_and_changes_no_bit(which: int, register: str) -> None:
    tt.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 2))
    x = tt.randn(3, 5, requires_grad=True)

    def bits() -> list[bytes]:
        net.zero_grad()
        x.grad = None
        y = net(x)
        y.sum().backward()
        return [t.detach().numpy().tobytes() for t in (y, x.grad, *[p.grad for p in net.parameters()])]

    fused = bits()
    seen: list[Any] = []
    handle = getattr(net[which], register)(lambda *a: seen.append(1))
    assert (bits(), seen) == (fused, [1])
    handle.remove()
    handle.remove()
    assert (bits(), seen) == (fused, [1])
    assert net[which].runs_plainly()


# --------------------------------------------------------------------------------------------------------------- memory
def test_hooks_are_copied_with_their_module_and_make_no_cycle() -> None:
    m, seen = nn.ReLU(), []
    handle = m.register_forward_hook(lambda *a: seen.append(1))
    twin = copy.deepcopy(m)
    handle.remove()
    twin(tt.ones(1))
    assert seen == [1]
    m(tt.ones(1))
    assert seen == [1]
    gc.collect()
    gc.disable()
    try:
        m.register_full_backward_hook(lambda *a: None)
        m.handle = m.register_full_backward_pre_hook(lambda *a: None)
        x = tt.ones(2, requires_grad=True)
        y = m(x)
        y.sum().backward()
        refs = [weakref.ref(m), weakref.ref(y), weakref.ref(y.grad_fn)]
        del m, y
        assert [r() for r in refs] == [None] * 3
    finally:
        gc.enable()


# -------------------------------------------------------------------------------------------------------------- PyTorch
def test_hooks_agree_with_pytorch() -> None:
    torch = pytest.importorskip("torch")

    def run(lib: Any) -> list[Any]:
        class Two(lib.nn.Module):  # type: ignore[misc, name-defined]
            def forward(self, x: Any, k: int, y: Any, *, s: float = 1.0) -> Any:
                return x * y * k * s, x - y

        seen: list[Any] = []

        def note(name: str) -> Any:
            def text(o: Any) -> Any:
                if isinstance(o, (tuple, list)):
                    return [text(e) for e in o]
                return o.tolist() if hasattr(o, "tolist") else o

            return lambda module, *a: seen.append((name, text(a)))

        m = Two()
        m.register_forward_pre_hook(note("before"))
        m.register_forward_pre_hook(lambda module, args: (args[0] + 1, *args[1:]))
        m.register_forward_hook(note("after"))
        m.register_forward_hook(note("first"), prepend=True)
        m.register_full_backward_pre_hook(note("backward pre"))
        m.register_full_backward_pre_hook(lambda module, go: (go[0] * 2, go[1]))
        m.register_full_backward_hook(note("backward"))
        m.register_full_backward_hook(lambda module, gi, go: (gi[0] * 3, None, gi[2]))
        m.register_full_backward_hook(note("backward first"), prepend=True)
        x, y = (lib.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0, 5.0]))
        a, b = m(x, 4, y, s=0.5)
        (a.sum() + b.sum() * 10).backward()
        seen += [x.grad.tolist(), y.grad.tolist()]
        m(x, 4, y.detach())[0].sum().backward()
        return [*seen, x.grad.tolist(), y.grad.tolist()]

    assert run(tt) == run(torch)
