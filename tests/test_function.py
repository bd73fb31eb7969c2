"""Functions with a rule of their own: torch.autograd.Function's form, and JAX's custom_vjp."""

from __future__ import annotations

import inspect
import weakref
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import autograd

Function = autograd.Function


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(values, dtype=tt.float64, requires_grad=True)


def values(tensors: Any) -> list[Any]:
    return [None if t is None else t.tolist() for t in tensors]


def line_of(function: Any, text: str) -> str:
    """`file:line` of the line of a function that has `text`."""
    lines, start = inspect.getsourcelines(function)
    (at,) = [i for i, line in enumerate(lines) if text in line and "line_of" not in line]
    return f"{inspect.getsourcefile(function)}:{start + at}"


class Multiply(Function):
    @staticmethod
    def forward(ctx: Any, x: tt.Tensor, y: tt.Tensor) -> Any:
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx: Any, dz: tt.Tensor) -> Any:
        x, y = ctx.saved_tensors
        return [y * dz, x * dz]


class MyExp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx: Any, x: tt.Tensor) -> Any:
        y = tt.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: tt.Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return g * y


# ------------------------------------------------------------------------------------------------------ values and rules
def test_the_example_of_the_docstring() -> None:
    example = "".join(
        line[4:] + "\n" for line in inspect.cleandoc(Function.__doc__ or "").splitlines() if line[:3] in (">>>", "...")
    )
    names: dict[str, Any] = {"tt": tt, "x": leaf(2, 3), "y": leaf(5, 7)}
    exec(example, names)
    names["z"].sum().backward()
    assert values([names["z"], names["x"].grad, names["y"].grad]) == [[10, 21], [5, 7], [2, 3]]


def test_multiply() -> None:
    x, y = leaf(2, 3), leaf(5, 7)
    z = Multiply.apply(x, y)
    assert (z.tolist(), z.requires_grad, z.is_leaf) == ([10, 21], True, False)
    (z * z).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([100, 294], [40, 126])


def test_its_node_is_a_node_like_others() -> None:
    x, y = leaf(2, 3), leaf(5, 7)
    z = Multiply.apply(x, y)
    assert z.grad_fn.name == "MultiplyBackward"
    assert z.grad_fn.line == line_of(test_its_node_is_a_node_like_others, "z = Multiply")
    assert [f.variable is v for (f, _), v in zip(z.grad_fn.next_functions, (x, y))] == [True, True]
    seen: list[Any] = []
    z.register_hook(lambda g: g * 10)
    z.grad_fn.register_hook(lambda gi, go: seen.append((values(gi), values(go))))
    z.sum().backward()
    assert seen == [([[50, 70], [20, 30]], [[10, 10]])]
    assert MyExp.apply(x).grad_fn.name == "MyExpBackward"


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_any_order(order: int) -> None:
    x = leaf(0.5, 1.5)
    y = Multiply.apply(MyExp.apply(x), MyExp.apply(x * 2))  # exp(3 x)
    for _ in range(order):
        (y,) = autograd.grad(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(y.detach().numpy(), 3.0**order * np.exp(3 * x.detach().numpy()), rtol=1e-13)


def test_arguments_that_are_no_tensors() -> None:
    seen: list[Any] = []

    class Power(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor, n: int, *, note: Any = None) -> Any:
            ctx.n = n
            ctx.save_for_backward(x, None)
            seen.append((ctx.needs_input_grad, x.requires_grad, tt.is_grad_enabled()))
            return x**n

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            x, nothing = ctx.saved_tensors
            seen.append((nothing, tt.is_grad_enabled()))
            return g * ctx.n * x ** (ctx.n - 1), None, None  # Nones too many are as good as none

    x = leaf(2, 3)
    Power.apply(x, 3).sum().backward()
    assert x.grad.tolist() == [12, 27]
    assert seen == [((True, False), True, False), (None, False)]
    with pytest.raises(TypeError, match=r"Power.apply takes no keyword arguments, got n: pass them by position"):
        Power.apply(x, n=3)


def test_needs_input_grad_and_none() -> None:
    needs: list[Any] = []

    class First(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor, y: tt.Tensor, z: tt.Tensor) -> Any:
            return x + y + z

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            needs.append(ctx.needs_input_grad)
            return g, g, None

    x, y, z = leaf(1), tt.ones(1), leaf(1)
    First.apply(x, y, z).backward()
    assert (needs, x.grad.tolist(), y.grad, z.grad) == ([(True, False, True)], [1], None, None)


def test_a_gradient_is_summed_back_to_a_broadcast_input() -> None:
    x, y = leaf(2, 3), leaf(5)
    Multiply.apply(x, y).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([5, 5], [5])


def test_several_outputs() -> None:
    got: list[Any] = []

    class Pair(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            return x * 2, "between", x.sum()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            got.append(values(grads))
            a, _, b = grads
            return a * 2 + b

    x = leaf(1, 2)
    a, text, b = Pair.apply(x)
    assert (a.tolist(), text, b.tolist()) == ([2, 4], "between", 3)
    (a.sum() + b * 10).backward(retain_graph=True)
    assert (x.grad.tolist(), got) == ([12, 12], [[[1, 1], None, 10]])
    b.backward()  # the other reached by nothing: zeros
    assert got[1] == [[0, 0], None, 1]
    a, _, b = Pair.apply(x)
    (g,) = autograd.grad((a * a).sum() * b, x, create_graph=True)
    (h,) = autograd.grad(g.sum(), x)
    assert (g.tolist(), h.tolist()) == ([44, 68], [64, 80])  # of 4 (x0^2 + x1^2) (x0 + x1)


def test_set_materialize_grads() -> None:
    got: list[Any] = []

    class Pair(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            got.append(values((a, b)))
            return b * 3

    x = leaf(1)
    Pair.apply(x)[1].backward()
    assert (got, x.grad.tolist()) == ([[None, [1]]], [3])


def test_mark_non_differentiable_and_integers() -> None:
    class Sorted(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            index = tt.tensor(np.argsort(x.numpy() if not x.requires_grad else x.detach().numpy()))
            extra = x.sum()
            ctx.mark_non_differentiable(extra)
            ctx.save_for_backward(index)
            return x[index], index, extra

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor, _index: tt.Tensor, _extra: tt.Tensor) -> Any:
            (index,) = ctx.saved_tensors
            return tt.zeros_like(g).index_put((index,), g)

    x = leaf(3, 1, 2)
    y, index, extra = Sorted.apply(x)
    assert (y.requires_grad, index.requires_grad, extra.requires_grad, index.dtype) == (True, False, False, tt.int64)
    (y * tt.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [100, 1, 10]


def test_setup_context() -> None:
    class Cube(Function):
        @staticmethod
        def forward(x: tt.Tensor, n: int) -> Any:
            return x**n

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            x, ctx.n = inputs
            ctx.save_for_backward(x, output)

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            x, y = ctx.saved_tensors
            return g * ctx.n * y / x, None

    x = leaf(2, 3)
    (g,) = autograd.grad(Cube.apply(x, 3).sum(), x, create_graph=True)
    assert g.tolist() == [12, 27]
    assert values(autograd.grad(g.sum(), x)) == [[12, 18]]


def test_without_gradients_nothing_is_recorded() -> None:
    x = leaf(2)
    with tt.no_grad():
        assert not Multiply.apply(x, x).requires_grad
    assert not Multiply.apply(tt.ones(2), tt.ones(2)).requires_grad


def test_gradients_inside_forward_do_not_leak_out() -> None:
    class Inner(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            with tt.enable_grad():
                inside = x.detach().requires_grad_()
                y = inside * inside
            ctx.save_for_backward(*autograd.grad(y, inside))
            return y

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            return g * ctx.saved_tensors[0]

    x = leaf(3)
    y = Inner.apply(x)
    assert y.grad_fn.name == "InnerBackward"
    y.backward()
    assert x.grad.tolist() == [6]


# ------------------------------------------------------------------------------------------------------------- in place
class Same(Function):
    @staticmethod
    def forward(ctx: Any, x: tt.Tensor) -> Any:
        return x

    @staticmethod
    def backward(ctx: Any, g: tt.Tensor) -> Any:
        return g * 10


def test_an_input_that_is_returned_becomes_a_view() -> None:
    x = leaf(1, 2)
    y = Same.apply(x)
    assert (y is x, y.requires_grad, np.shares_memory(y.detach().numpy(), x.detach().numpy())) == (False, True, True)
    y.sum().backward()
    assert x.grad.tolist() == [10, 10]
    with pytest.raises(RuntimeError, match="a view of a leaf that requires grad cannot be changed in place"):
        Same.apply(x).mul_(2)
    h = x * 1
    y = Same.apply(h)
    for t in (h, y, y[:1]):  # a change would have to go through the rule of Same, which knows nothing of it
        with pytest.raises(RuntimeError, match="mul_: a view that a Function made cannot be changed in place"):
            t.mul_(2)
    del y, t
    h.mul_(2)
    with tt.no_grad():
        assert not Same.apply(x).requires_grad


class Double(Function):
    @staticmethod
    def forward(ctx: Any, x: tt.Tensor, w: Any = None) -> Any:
        x.mul_(2)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: tt.Tensor) -> Any:
        ctx.saved_tensors  # noqa: B018  # raises where it was changed again
        return g * 2, None


def test_mark_dirty() -> None:
    x = leaf(1, 2)
    h = x * x
    h.retain_grad()
    before = tt.sin(x * 1)
    same = Double.apply(h)
    assert (same is h, h.tolist(), h.grad_fn.name) == (True, [2, 8], "DoubleBackward")
    (h * h).sum().backward()
    assert (x.grad.tolist(), h.grad.tolist()) == ([16, 128], [4, 16])  # of 4 x^4
    h = x * x
    s = tt.sin(h)
    Double.apply(h)
    with pytest.raises(RuntimeError, match=r"backward of sin .* changed in place by Double at .*test_function.py"):
        s.sum().backward()
    h = x * x
    v = h[:1]
    Double.apply(h)
    x.grad = None
    v.sum().backward()  # the view is one of what Double made now
    assert x.grad.tolist() == [4, 0]
    h = x * x
    y = Double.apply(h) * 1
    with tt.no_grad():
        h.mul_(3)
    with pytest.raises(RuntimeError, match=r"Double .* saved tensor"):
        y.sum().backward()
    before.sum().backward()


def test_second_derivatives_through_what_was_changed_and_saved() -> None:
    class Exp_(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            x.exp_()
            ctx.mark_dirty(x)
            ctx.save_for_backward(x)
            return x

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            (y,) = ctx.saved_tensors
            return g * y

    x = leaf(0, 1)
    y = Exp_.apply(x * 2)
    (g,) = autograd.grad(y.sum(), x, create_graph=True)
    (h,) = autograd.grad(g.sum(), x)
    np.testing.assert_allclose(h.numpy(), 4 * np.exp([0, 2]), rtol=1e-15)


def test_a_dirty_tensor_with_a_gradient_is_no_constant() -> None:
    class Constant(Double):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            ctx.mark_non_differentiable(x)
            return Double.forward(ctx, x)

    with pytest.raises(RuntimeError, match="Constant: a dirty tensor that requires grad cannot be non-differentiable"):
        Constant.apply(leaf(1, 2) * 1)


def test_the_data_of_a_saved_leaf_was_replaced() -> None:
    x, y = leaf(2), leaf(3)
    kinds: list[Any] = []

    class Watched(Multiply):
        @staticmethod
        def backward(ctx: Any, dz: tt.Tensor) -> Any:
            kinds.extend(type(t) for t in ctx.saved_tensors)
            return Multiply.backward(ctx, dz)

    z = Watched.apply(x, y)
    x.data = tt.tensor([5.0], dtype=tt.float64)
    assert values(autograd.grad(z, (x, y), retain_graph=True)) == [[3], [2]]  # of what forward saved
    assert kinds == [tt.Tensor, tt.Tensor]
    with pytest.raises(RuntimeError, match="Watched with create_graph: the data of a leaf was replaced"):
        autograd.grad(z, (x, y), create_graph=True)


def test_its_op_is_not_to_be_called() -> None:
    with pytest.raises(RuntimeError, match="a Function is called by its apply"):
        Multiply.apply(leaf(1), leaf(2)).grad_fn.op(None)


def test_forward_sees_what_it_saved() -> None:
    class Seen(MyExp):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            y = MyExp.forward(ctx, x)
            assert ctx.saved_tensors == (y,)
            return y

    x = leaf(0)
    Seen.apply(x).backward()
    assert x.grad.tolist() == [1]


def test_mark_dirty_where_it_cannot_be() -> None:
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match="Double: a leaf that requires grad cannot be changed in place"):
        Double.apply(x)
    with pytest.raises(RuntimeError, match="Double: a view cannot be changed in place"):
        Double.apply((x * 1)[:1])
    with tt.no_grad():
        assert Double.apply(x) is x
    free = tt.ones(2)
    assert Double.apply(free, 1) is free
    assert (free.tolist(), free.requires_grad) == ([2, 2], False)
    w = leaf(1)
    y = Double.apply(free, w)  # free takes part in the graph from here on
    assert (y is free, free.requires_grad) == (True, True)

    class Lost(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            ctx.mark_dirty(x)
            return x * 2

    with pytest.raises(RuntimeError, match="Lost: a tensor that is marked dirty must be both"):
        Lost.apply(x * 1)


def test_a_saved_tensor_that_was_changed() -> None:
    x = leaf(1, 2)
    h = x * 1
    z = Multiply.apply(h, x)
    h.add_(1)
    with pytest.raises(RuntimeError) as error:
        z.sum().backward()
    here = test_a_saved_tensor_that_was_changed
    for text in ("backward of Multiply", line_of(here, "z = Mult"), line_of(here, "h.add_("), "shape (2,)"):
        assert text in str(error.value)
    y = MyExp.apply(x)
    y.mul_(2)
    with pytest.raises(RuntimeError, match=r"backward of MyExp .* saved tensor"):
        y.sum().backward()


def test_freed_after_backward() -> None:
    kept: list[Any] = []

    class Keeps(Multiply):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor, y: tt.Tensor) -> Any:
            kept.append(ctx)
            return Multiply.forward(ctx, x, y)

    x = leaf(1, 2)
    z = Keeps.apply(x, x)
    z.sum().backward(retain_graph=True)
    z.sum().backward()
    with pytest.raises(RuntimeError, match=r"backward through Keeps .* a second time"):
        z.sum().backward()
    with pytest.raises(RuntimeError, match="Keeps: the saved tensors were freed"):
        _ = kept[0].saved_tensors
    del z
    with pytest.raises(RuntimeError, match="freed"):
        _ = kept[0].saved_tensors


# --------------------------------------------------------------------------------------------------------------- errors
def returning(*found: Any) -> type[Function]:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor, y: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            return found[0] if len(found) == 1 else found

    return Wrong


@pytest.mark.parametrize(
    ("found", "kind", "message"),
    [
        ((tt.ones(2),), RuntimeError, "Wrong.backward gave 1 gradients; expected 2"),
        ((tt.ones(2), None, tt.ones(2)), RuntimeError, "Wrong.backward gave 3 gradients; expected 2"),
        ((np.ones(2), None), TypeError, "Wrong.backward: gradient 0 must be a Tensor or None, got ndarray"),
        ((tt.ones(3), None), RuntimeError, r"backward of Wrong: .* shape \(3,\) for an input of shape \(2,\)"),
    ],
)
def test_wrong_gradients(found: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        returning(*found).apply(leaf(1, 2), 3).sum().backward()


def test_wrong_use() -> None:
    class Bare(Function):
        pass

    class NoRule(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

    class Lists(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return [x]

    class SavesNumbers(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(3)

    class InPlace(NoRule):
        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            return g.mul_(2)

    x = leaf(1)
    with pytest.raises(NotImplementedError, match="must define the static method forward"):
        Bare.apply(x)
    with pytest.raises(NotImplementedError, match="must define the static method backward"):
        NoRule.apply(x).backward()
    with pytest.raises(TypeError, match=r"Lists.forward: return a Tensor or a tuple"):
        Lists.apply(x)
    with pytest.raises(TypeError, match=r"SavesNumbers: save_for_backward takes Tensors and None, got int"):
        SavesNumbers.apply(x)
    with pytest.raises(RuntimeError, match=r"InPlace\.backward changed an upstream gradient in place"):
        InPlace.apply(x).backward()
    with pytest.raises(TypeError, match=r"call NoRule.apply"):
        NoRule()
    with pytest.raises(TypeError, match="subclass Function"):
        Function.apply(x)


def test_second_derivatives_through_a_saved_tensor_without_history() -> None:
    class Masked(Function):
        constant = False

        @classmethod
        def keep(cls, ctx: Any, t: tt.Tensor) -> None:
            ctx.save_for_backward(t)
            if cls.constant:
                ctx.mark_non_differentiable(t)

        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            mask = (x > 0).to(x.dtype)
            Masked.keep(ctx, mask)
            return x * mask

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            return g * ctx.saved_tensors[0]

    x = leaf(-1, 2)
    Masked.apply(x).sum().backward()
    assert x.grad.tolist() == [0, 1]
    y = Masked.apply(x) ** 2
    (g,) = autograd.grad(y.sum(), x, create_graph=True)
    assert g.tolist() == [0, 4]
    with pytest.raises(
        RuntimeError, match=r"Masked .* needs the history .* shape \(2,\) .* ctx.mark_non_differentiable"
    ):
        autograd.grad(g.sum(), x)
    Masked.constant = True
    (g,) = autograd.grad((Masked.apply(x) ** 2).sum(), x, create_graph=True)
    assert (g.tolist(), values(autograd.grad(g.sum(), x))) == ([0, 4], [[0, 2]])


def test_a_captured_tensor_that_is_saved_keeps_its_history() -> None:
    w = leaf(3)
    h = w * w

    class Scale(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            ctx.save_for_backward(h, w)
            return x * h * w

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            a, b = ctx.saved_tensors
            return g * a * b

    x = leaf(1)
    (g,) = autograd.grad(Scale.apply(x), x, create_graph=True)
    assert (g.tolist(), values(autograd.grad(g, w))) == ([27], [[27]])


@pytest.mark.parametrize("history", [False, True])
def test_a_captured_tensor_that_is_returned_stays_as_it_is(history: bool) -> None:
    """And what is not recorded has no gradient through it."""
    captured = leaf(1, 2) * 1 if history else leaf(1, 2)

    class Give(Function):
        constant = False

        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            if Give.constant:
                ctx.mark_non_differentiable(captured)
            return captured

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            return g * 3

    x = leaf(5, 6)
    y = Give.apply(x)
    (g,) = autograd.grad(y.sum(), x)
    assert g.tolist() == [3, 3]
    with tt.no_grad():
        unrecorded = Give.apply(x)
    Give.constant = True
    for given in (unrecorded, Give.apply(x), Give.apply(x.detach())):
        assert not given.requires_grad and given.tolist() == [1, 2]
    assert captured.requires_grad and (captured.grad_fn is not None) is history


# --------------------------------------------------------------------------------------------------------------- memory
def test_nothing_of_a_function_is_a_cycle(no_collector: None) -> None:
    x = leaf(1, 2)
    y = MyExp.apply(x)
    z = Multiply.apply(y, Same.apply(x))
    (g,) = autograd.grad(z.sum(), x, create_graph=True)
    refs = [weakref.ref(o) for o in (y, z, g, y.grad_fn, z.grad_fn, y._data, z._data, z.grad_fn.kept[0])]
    del y, z, g
    assert [r() for r in refs] == [None] * len(refs)
    h = x * 1
    Double.apply(h)
    dead = weakref.ref(h.grad_fn)
    del h
    assert dead() is None


def test_saved_memory_goes_with_backward() -> None:
    x = leaf(*range(20))
    h = x * 1
    z = Multiply.apply(h, x)
    memory = weakref.ref(h._data)
    del h
    assert memory() is not None
    z.sum().backward()
    assert memory() is None


# ----------------------------------------------------------------------------------------------------------- custom_vjp
def made(seen: list[Any] | None = None) -> Any:
    @tt.custom_vjp
    def f(x: tt.Tensor, y: tt.Tensor, n: int = 2) -> tt.Tensor:
        """sin(x) y^n"""
        return tt.sin(x) * y**n

    def fwd(x: tt.Tensor, y: tt.Tensor, n: int) -> Any:
        return f(x, y, n), {"cos": tt.cos(x), "rest": (tt.sin(x), y, n)}

    def bwd(residuals: Any, g: tt.Tensor) -> Any:
        sin, y, n = residuals["rest"]
        if seen is not None:
            seen.append(tt.is_grad_enabled())
        return g * residuals["cos"] * y**n, g * sin * n * y ** (n - 1), None

    f.defvjp(fwd, bwd)
    return f


def test_custom_vjp() -> None:
    seen: list[Any] = []
    f = made(seen)
    assert (f.__name__, f.__doc__, autograd.custom_vjp is tt.custom_vjp) == ("f", "sin(x) y^n", True)
    x, y = leaf(0.3, 0.5), leaf(2, 3)
    z = f(x, y=y, n=3)
    assert (z.grad_fn.name, z.tolist()) == ("FBackward", (tt.sin(x) * y**3).tolist())
    z.sum().backward()
    want = autograd.grad((tt.sin(x) * y**3).sum(), [x, y])
    for got, exact in zip((x.grad, y.grad), want):
        np.testing.assert_allclose(got.numpy(), exact.numpy(), rtol=1e-13)
    assert seen == [False]
    assert not f(x.detach(), y.detach()).requires_grad


def test_custom_vjp_to_the_second_order_differentiates_fwd() -> None:
    f, x, y = made(), leaf(0.3, 0.5), leaf(2, 3)
    for g, other in ((f(x, y), tt.sin(x) * y**2),):
        found = autograd.grad(g.sum(), [x, y], create_graph=True)
        exact = autograd.grad(other.sum(), [x, y], create_graph=True)
        for a, b in zip(found, exact):
            for c, d in zip(
                autograd.grad(a.sum(), [x, y], retain_graph=True), autograd.grad(b.sum(), [x, y], retain_graph=True)
            ):
                np.testing.assert_allclose(c.numpy(), d.numpy(), rtol=1e-13)


def test_custom_vjp_draws_the_same_numbers_when_fwd_runs_again() -> None:
    @tt.custom_vjp
    def noisy(x: tt.Tensor) -> tt.Tensor:
        return x * tt.rand(2, dtype=tt.float64)

    def fwd(x: tt.Tensor) -> Any:
        r = tt.rand(2, dtype=tt.float64)
        return x * r, r

    noisy.defvjp(fwd, lambda r, g: (g * r,))
    x = leaf(1, 2)
    y = noisy(x)
    state = tt.random.default_generator.get_state()
    (g,) = autograd.grad(y.sum(), x, create_graph=True)
    assert (g * x).tolist() == y.tolist()
    assert tt.random.default_generator.get_state() == state


def test_custom_vjp_with_several_outputs() -> None:
    @tt.custom_vjp
    def both(x: tt.Tensor) -> Any:
        return x * 2, x * 3

    both.defvjp(lambda x: (both(x), None), lambda _, g: (g[0] * 2 + g[1] * 3,))
    x = leaf(1)
    a, b = both(x)
    (a * b).backward()
    assert x.grad.tolist() == [12]


def test_custom_vjp_used_wrongly() -> None:
    @tt.custom_vjp
    def f(x: Any, y: Any = None) -> Any:
        return x * 1

    x = leaf(1)
    with pytest.raises(RuntimeError, match=r"f has no rule; call f.defvjp\(fwd, bwd\)"):
        f(x)
    f.defvjp(lambda x, y: x * 1, lambda r, g: (g, None))
    with pytest.raises(TypeError, match="fwd of f must return a pair"):
        f(x)
    f.defvjp(lambda x, y: (x * 1, None), lambda r, g: (g,))
    with pytest.raises(RuntimeError, match="bwd of f must return a tuple of 2 gradients, got 1 of them"):
        f(x).backward()
    f.defvjp(lambda x, y: (x * 1, None), lambda r, g: g)
    with pytest.raises(RuntimeError, match="tuple of 2 gradients, got Tensor"):
        f(x).backward()
    with pytest.raises(TypeError, match="argument 1 of f is a list with Tensors that require grad"):
        f(x, [x])
    with pytest.raises(TypeError, match="parameters by name alone: k"):
        tt.custom_vjp(_by_name).defvjp(None, None) or _with_rule(_by_name)(x, k=1)


def _by_name(x: tt.Tensor, *, k: int) -> tt.Tensor:
    return x * k


def _with_rule(function: Any) -> Any:
    f = tt.custom_vjp(function)
    f.defvjp(lambda x: (x, None), lambda r, g: (g,))
    return f


def test_custom_vjp_watches_its_residuals_and_frees_them(no_collector: None) -> None:
    x, y, f = leaf(0.3, 0.5), leaf(2, 3), made()
    t = y * 1.0
    z = f(x, t)
    t.mul_(2.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()
    kept: list[Any] = []

    @tt.custom_vjp
    def square(x: tt.Tensor) -> tt.Tensor:
        return x * x

    def fwd(x: tt.Tensor) -> Any:
        inside = x * 2.0
        kept.append(weakref.ref(inside._data))
        return x * x, [inside]

    square.defvjp(fwd, lambda residuals, g: (g * residuals[0],))
    z = square(x)
    assert kept[-1]() is not None
    z.sum().backward()
    assert (kept[-1](), x.grad.tolist()) == (None, [0.6, 1.0])


def test_custom_vjp_residuals_changed_in_place_are_noticed() -> None:
    kept: list[tt.Tensor] = []

    @tt.custom_vjp
    def double(x: tt.Tensor) -> tt.Tensor:
        return x * 2

    def fwd(x: tt.Tensor) -> Any:
        kept.append(tt.full((1,), 2.0))
        return x * 2, [kept[-1]]

    double.defvjp(fwd, lambda residuals, g: (g * residuals[0],))
    x = leaf(3.0)
    double(x).sum().backward()
    assert x.grad.tolist() == [2.0]
    y = double(x).sum()
    kept[-1].mul_(5)
    with pytest.raises(RuntimeError, match="in place"):
        y.backward()


def test_custom_vjp_holds_no_cycle(no_collector: None) -> None:
    x, f = leaf(0.5), made()
    y = f(x, x)
    refs = [weakref.ref(o) for o in (y, y.grad_fn, y._data)]
    del y
    assert [r() for r in refs] == [None] * 3

    @tt.custom_vjp
    def exp(x: tt.Tensor) -> tt.Tensor:
        return tt.exp(x)

    def fwd(x: tt.Tensor) -> Any:
        y = tt.exp(x)
        return y, {"output": y}

    exp.defvjp(fwd, lambda residuals, g: (g * residuals["output"],))
    y = exp(x)
    refs = [weakref.ref(o) for o in (y, y.grad_fn, y._data)]
    del y
    assert [r() for r in refs] == [None] * 3


# -------------------------------------------------------------------------------------------------------------- PyTorch
def test_functions_agree_with_pytorch() -> None:
    torch = pytest.importorskip("torch")

    def run(lib: Any) -> list[Any]:
        class Mixed(lib.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any, n: int, y: Any) -> Any:
                z = lib.exp(x)
                ctx.save_for_backward(x, y, z)
                ctx.n = n
                return z * y, x, lib.sin(y) * n

            @staticmethod
            def backward(ctx: Any, a: Any, b: Any, c: Any) -> Any:
                x, y, _ = ctx.saved_tensors
                return a * lib.exp(x) * y + b, None, a * lib.exp(x) + c * lib.cos(y) * ctx.n

        x = lib.tensor([0.1, 0.2], dtype=lib.float64, requires_grad=True)
        y = lib.tensor([0.3, 0.4], dtype=lib.float64, requires_grad=True)
        a, b, c = Mixed.apply(x, 3, y)
        first = lib.autograd.grad((a * b * c).sum() + b.sum(), [x, y], create_graph=True)
        second = lib.autograd.grad((first[0] * first[1]).sum(), [x, y])
        return [t.detach().numpy() for t in (a, b, c, *first, *second)]

    for got, want in zip(run(tt), run(torch)):
        np.testing.assert_allclose(got, want, rtol=1e-13)


def test_a_long_chain_is_walked_and_freed_without_recursion() -> None:
    x = leaf(1)
    y = x
    for _ in range(20_000):
        y = Same.apply(y)
    y.register_hook(lambda g: g * 0)
    y.backward()
    assert x.grad.tolist() == [0]
    for _ in range(20_000):
        y = Multiply.apply(y, y)
    del y


def test_a_dirty_base_of_another_functions_view_is_refused() -> None:
    class Same(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> tt.Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> tt.Tensor:
            return g * 10

    class Twice(Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> tt.Tensor:
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> tt.Tensor:
            return g * 2

    y = tt.ones(2, requires_grad=True) * 1
    v = Same.apply(y)
    with pytest.raises(RuntimeError, match=r"Twice: a view that a Function made.*nor can its base"):
        Twice.apply(y)
    assert v.requires_grad
