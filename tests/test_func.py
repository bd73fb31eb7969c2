"""Transforms of functions: their definitions, each other, trees of arguments, functions that close over others, errors, and the page."""

from __future__ import annotations

import collections
import gc
import itertools
import weakref
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.func import grad, hessian, hvp, jacfwd, jacobian, jacrev, jvp, value_and_grad, vjp
from tinytensor.testing import assert_close

RNG = np.random.default_rng(5)


def randn(*shape: int) -> Any:
    return tt.tensor(RNG.standard_normal(shape))


def double(values: Any) -> Any:
    return tt.tensor(values, dtype=tt.float64)


def curve(x: Any) -> Any:
    """(..., n) -> (n, n): not elementwise, not symmetric."""
    return (x.exp() @ x.mT + x.mT.sin() @ x) * 0.3


# ------------------------------------------------------------------------------------------------------------- gradients
def test_the_gradient_is_that_of_backward() -> None:
    x = randn(3, 3)
    y = x.detach().requires_grad_()
    (curve(y) ** 2).sum().backward()
    g = grad(lambda x: (curve(x) ** 2).sum())(x)
    assert np.array_equal(g.numpy(), y.grad.numpy())
    assert (x.requires_grad, x.grad, g.requires_grad) == (False, None, False)


def test_derivatives_of_a_number() -> None:
    f = grad(lambda x: x**4)
    assert f(2.0).item() == 32
    assert grad(f)(2.0).item() == 48
    assert grad(grad(f))(2.0).item() == 48
    assert grad(grad(grad(f)))(2.0).item() == 24
    assert grad(grad(grad(grad(f))))(2.0).item() == 0
    assert f(2.0).dtype == tt.float32
    assert f(np.float64(2)).dtype == f(np.array(2.0)).dtype == tt.float64


def test_value_and_grad_and_aux() -> None:
    x = randn(4)
    value, g = value_and_grad(lambda x: (x * x).sum())(x)
    assert_close(value, double((x.numpy() ** 2).sum()))
    assert_close(g, 2 * x)
    with_aux = lambda x: ((x * x).sum(), {"doubled": 2 * x, "note": "text", "none": None})  # noqa: E731
    (value, aux), g = value_and_grad(with_aux, has_aux=True)(x)
    assert_close((value, g), ((x * x).sum(), 2 * x))
    assert_close(aux["doubled"], 2 * x)
    assert (aux["note"], aux["none"], aux["doubled"].requires_grad) == ("text", None, False)
    g, aux = grad(with_aux, has_aux=True)(x)
    assert_close((g, aux["doubled"]), (2 * x, 2 * x))


def test_argnums_and_keywords() -> None:
    f = lambda x, y, *, power=1: (x * y**power).sum()  # noqa: E731
    x, y = randn(3), randn(3)
    assert_close(grad(f)(x, y, power=2), y * y)
    assert_close(grad(f, 1)(x, y, power=2), 2 * x * y)
    assert_close(grad(f, -1)(x, y, power=2), 2 * x * y)
    assert_close(value_and_grad(f)(x, y, power=2)[1], y * y)
    both = grad(f, (1, 0))(x, y)
    assert type(both) is tuple
    assert_close(both, (x, y))
    assert type(grad(f, (0,))(x, y)) is tuple


Pair = collections.namedtuple("Pair", "weight bias")


def test_trees_of_arguments_and_outputs() -> None:
    p = {
        "layers": [Pair(randn(3, 2), np.zeros(2)), Pair(randn(2, 1), 0.5)],
        "scale": double(2.0),
        "none": None,
        "empty": (),
    }

    def f(p: Any, x: Any) -> Any:
        for layer in p["layers"]:
            x = tt.tanh(x @ layer.weight + layer.bias)
        return (x * p["scale"]).sum()

    x = randn(5, 3)
    g = grad(f)(p, x)
    assert (type(g), list(g), type(g["layers"]), type(g["layers"][0]), g["none"], g["empty"]) == (
        dict,
        list(p),
        list,
        Pair,
        None,
        (),
    )
    flat = [p["layers"][0].weight, p["layers"][0].bias, p["layers"][1].weight, np.float64(0.5), p["scale"]]
    plain = grad(lambda *a: f({"layers": [Pair(a[0], a[1]), Pair(a[2], a[3])], "scale": a[4]}, x), (0, 1, 2, 3, 4))(
        *flat
    )
    got = [*g["layers"][0], *g["layers"][1], g["scale"]]
    for a, b in zip(got, plain):
        assert_close(a, b, check_dtype=False, rtol=1e-6, atol=1e-6)
    out, pull = vjp(lambda p: {"a": p["x"] * 2, "b": [p["x"].sum(), p["y"]]}, {"x": x, "y": 1.0})
    assert list(out) == ["a", "b"]
    back = pull({"b": [double(3.0), 5.0], "a": np.ones((5, 3))})  # keys in any order, arrays and numbers
    assert_close(back["x"], tt.full((5, 3), 5.0, dtype=tt.float64))
    assert back["y"].item() == 5


def test_what_the_output_does_not_depend_on_has_gradient_0() -> None:
    x, y = randn(2), randn(3, 1)
    for f in (lambda x, y: (x * x).sum(), lambda x, y: double(3.0), lambda x, y: 2.0, lambda x, y: x.detach().sum()):
        g = grad(f, 1)(x, y)
        assert_close(g, tt.zeros(3, 1, dtype=tt.float64))
    assert_close(jacobian(lambda x, y: x, 1)(x, y), tt.zeros(2, 3, 1, dtype=tt.float64))
    assert_close(jacfwd(lambda x, y: x, 1)(x, y), tt.zeros(2, 3, 1, dtype=tt.float64))
    assert_close(jvp(lambda x: double([1.0, 2.0]), (x,), (x,))[1], tt.zeros(2, dtype=tt.float64))
    assert_close(hessian(lambda x: x.sum())(x), tt.zeros(2, 2, dtype=tt.float64))
    assert_close(hvp(lambda x: double(1.0), x, x)[1], tt.zeros(2, dtype=tt.float64))
    assert grad(lambda x: 1.0)({}) == {}


# -------------------------------------------------------------------------------------------------------------- products
def test_products_with_the_jacobian() -> None:
    x, v, t = randn(3, 3), randn(3, 3), randn(3, 3)
    j = jacobian(curve)(x).numpy()
    assert j.shape == (3, 3, 3, 3)
    out, pull = vjp(curve, x)
    assert_close(out, curve(x))
    for _ in range(2):
        assert_close(pull(v), tt.tensor(np.tensordot(v.numpy(), j, 2)))
    out, push = jvp(curve, (x,), (t,))
    assert_close((out, push), (curve(x), tt.tensor(np.tensordot(j, t.numpy(), 2))))
    for i in np.ndindex(3, 3):
        moved = []
        for step in (1e-5, -1e-5):
            a = x.numpy().copy()
            a[i] += step
            moved.append(curve(tt.tensor(a)).numpy())
        np.testing.assert_allclose(j[(..., *i)], (moved[0] - moved[1]) / 2e-5, rtol=1e-8, atol=1e-8)


def test_first_order_expansion() -> None:
    """f(x + d) = f(x) + J d + O(d^2): a tenth of the step leaves a hundredth of the error, J by any of the transforms."""
    x, d = randn(4, 4), randn(4, 4)
    j = jacobian(curve)(x)
    for product in (
        lambda d: jvp(curve, (x,), (d,))[1],
        lambda d: tt.tensor(np.tensordot(j.numpy(), d.numpy(), 2)),
        lambda d: jacfwd(lambda s: curve(x + s * d))(double(0.0)),
    ):
        errors = [(curve(x + h * d) - (curve(x) + product(h * d))).abs().max().item() for h in (1e-2, 1e-3, 1e-4)]
        for larger, smaller in itertools.pairwise(errors):
            assert 80 < larger / smaller < 120
    f = lambda x: (curve(x) ** 2).sum()  # noqa: E731
    g, (_, h) = grad(f)(x), hvp(f, x, d)
    errors = [abs((f(x + s * d) - (f(x) + s * (g * d).sum() + s * s / 2 * (h * d).sum())).item()) for s in (1e-2, 1e-3)]
    assert 700 < errors[0] / errors[1] < 1400  # of third order


def test_several_primals_and_tangents() -> None:
    f = lambda a, b: (a["x"] * b[0] + b[1], (a["x"] ** 2).sum())  # noqa: E731
    x, y, z = randn(3), randn(3), randn(3)
    p, q, r = randn(3), randn(3), randn(3)
    (u, s), (du, ds), aux = jvp(lambda a, b: (f(a, b), "aux"), ({"x": x}, [y, z]), ({"x": p}, [q, r]), has_aux=True)
    assert_close((u, s), f({"x": x}, [y, z]))
    assert_close((du, ds), (p * y + x * q + r, (2 * x * p).sum()))
    assert aux == "aux"
    out, pull, aux = vjp(lambda a, b: (f(a, b), 7), {"x": x}, [y, z], has_aux=True)
    assert aux == 7
    assert_close(out, (u, s))
    assert_close(pull((p, double(2.0))), ({"x": p * y + 4 * x}, [p * x, p]))


def test_a_product_needs_no_special_upstream() -> None:
    """A softmax's gradient is 0 for equal upstream numbers; the tangent behind it must not be."""
    x, t = randn(3, 4).abs() + 0.5, randn(3, 4)
    for f in (
        lambda x: tt.softmax(x.sqrt(), 1),
        lambda x: tt.where(x > 1, x.log(), 0.0),
        lambda x: x - x.mean(),
        lambda x: x * 0.0,
        tt.relu,
    ):
        want = np.tensordot(jacrev(f)(x).numpy(), t.numpy(), 2)
        np.testing.assert_allclose(jvp(f, (x,), (t,))[1].numpy(), want, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(jacfwd(f)(x).numpy(), jacrev(f)(x).numpy(), rtol=1e-12, atol=1e-14)


def test_hessian_and_hvp() -> None:
    x, y, v = randn(3), randn(2, 2), randn(3)
    f = lambda x, y: (x.exp() * (y @ y).sum() * x.sum()).sum()  # noqa: E731
    h = hessian(f)(x, y)
    assert h.shape == (3, 3)
    np.testing.assert_allclose(h.numpy(), h.numpy().T, rtol=1e-12)
    for by in (jacobian, jacrev, jacfwd):
        assert_close(by(grad(f))(x, y), h)
    value, product = hvp(lambda x: f(x, y), x, v)
    assert_close((value, product), (f(x, y), tt.tensor(h.numpy() @ v.numpy())))
    (a, b), (c, d) = hessian(f, (0, 1))(x, y)
    assert [t.shape for t in (a, b, c, d)] == [(3, 3), (3, 2, 2), (2, 2, 3), (2, 2, 2, 2)]
    assert_close(a, h)
    np.testing.assert_allclose(b.numpy(), np.moveaxis(c.numpy(), -1, 0), rtol=1e-12)
    w = randn(2, 2)
    _, (p, q) = hvp(f, (x, y), (v, w))
    np.testing.assert_allclose(p.numpy(), a.numpy() @ v.numpy() + np.tensordot(b.numpy(), w.numpy(), 2), rtol=1e-11)
    np.testing.assert_allclose(
        q.numpy(), np.tensordot(c.numpy(), v.numpy(), 1) + np.tensordot(d.numpy(), w.numpy(), 2), rtol=1e-11
    )
    assert hessian(lambda x: x * x * y.sum())(x).shape == (3, 3, 3)


# ------------------------------------------------------------------------------------------------------------- jacobians
def test_rows_and_columns_agree_in_every_shape() -> None:
    for f, shape in (
        (lambda x: x.sum(), (3, 2)),
        (lambda x: (x.sum() * tt.arange(7.0).double()).sin(), (2,)),
        (lambda x: x.exp().sum(0), (3, 2)),
        (lambda x: x[:0], (3, 2)),
        (lambda x: x * 2, ()),
        (lambda x: tt.cat([x, x.reshape(-1)]), (0,)),
    ):
        x = randn(*shape)
        a, b, c = jacrev(f)(x), jacfwd(f)(x), jacobian(f)(x)
        assert a.shape == b.shape == c.shape == f(x).shape + shape
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(a.numpy(), c.numpy(), rtol=1e-12, atol=1e-14)


def test_a_jacobian_by_rows_walks_back_for_each_output_one_by_columns_once() -> None:
    walks = []

    class Spread(tt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> Any:
            return x.expand(5) * 3

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> Any:
            walks.append(1)
            return g.sum().reshape(1) * 3

    for by, count in ((jacrev, 5), (jacfwd, 1), (jacobian, 1)):
        walks.clear()
        assert by(Spread.apply)(tt.ones(1)).tolist() == [[3]] * 5
        assert len(walks) == count


@pytest.mark.parametrize("transform", [value_and_grad, grad, jacobian, jacrev, jacfwd, hessian])
@pytest.mark.parametrize("argnums", ["0", 1.0, True, None, [0]])
def test_argnums_are_checked_before_the_function_is_called(transform: Any, argnums: Any) -> None:
    with pytest.raises(TypeError, match="argnums is an int or a tuple of ints, got"):
        transform(lambda x: x.sum(), argnums)


def test_structure_of_a_jacobian() -> None:
    f = lambda a, b: {"sum": a[0].sum() + b, "all": [a[0] * a[1]]}  # noqa: E731
    args = [randn(3), randn(3)], double(1.0)
    for by in (jacobian, jacrev, jacfwd):
        j = by(f, (0, 1))(*args)
        (sx, sy), sb = j["sum"]
        (ax, ay), ab = j["all"][0]
        assert_close((sx, sy, sb), (tt.ones(3, dtype=tt.float64), tt.zeros(3, dtype=tt.float64), double(1.0)))
        assert_close(
            (ax, ay, ab),
            (
                tt.tensor(np.diag(args[0][1].numpy())),
                tt.tensor(np.diag(args[0][0].numpy())),
                tt.zeros(3, dtype=tt.float64),
            ),
        )
    j, aux = jacobian(lambda x: (x, "aux"), has_aux=True)(args[0][0])
    assert (aux, j.tolist()) == ("aux", np.eye(3).tolist())


@pytest.mark.parametrize(
    "f",
    [
        tt.relu,
        tt.tanh,
        lambda x: tt.gelu(x) * x.exp() / (x * x + 1),
        lambda x: x.sin() ** 2 + x.cos() ** 2,
        lambda x: 3.0 * x,
        tt.ones_like,
    ],
    ids=["relu", "tanh", "gelu * exp / ...", "sin^2 + cos^2", "3 x", "ones_like"],
)
@pytest.mark.parametrize("dtype", [tt.float32, tt.float64], ids=str)
def test_the_diagonal_of_an_elementwise_function(f: Any, dtype: Any) -> None:
    x = randn(3, 4).to(dtype)
    d = jacobian(f, diagonal=True)(x)
    assert (d.shape, d.dtype) == ((3, 4), dtype)
    assert np.array_equal(d.numpy().reshape(-1), np.diag(jacrev(f)(x).numpy().reshape(12, 12)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x - x.mean(), lambda x: tt.softmax(x, 0), lambda x: x[::-1], lambda x: x * x.max(), lambda x: tt.cat([x[1:], x[:1]]),
        lambda x: x + 1e-5 * x[0], lambda x: tt.cat([x[:-1], x[-1:] + 1e-4 * x[3:4]]),
    ],
)  # fmt: skip
def test_no_diagonal_of_another_function(f: Any) -> None:
    with pytest.raises(ValueError, match=r"not elementwise: outputs other than \(\d+,\) depend on element"):
        jacobian(f, diagonal=True)(randn(50))


def test_the_diagonal_where_derivatives_underflow_or_are_not_finite() -> None:
    x = tt.tensor([-95.0, -100.0, -120.0, 3.0])
    assert np.array_equal(jacobian(tt.sigmoid, diagonal=True)(x).numpy(), np.diag(jacrev(tt.sigmoid)(x).numpy()))
    d = jacobian(tt.sqrt, diagonal=True)(tt.tensor([0.0, 4.0, -1.0, float("inf")]))
    assert_close(d, tt.tensor([float("inf"), 0.25, float("nan"), 0.0]), equal_nan=True)


def test_diagonals_of_several_inputs_and_of_other_shapes() -> None:
    x, y = randn(4), randn(4)
    a, b = jacobian(lambda x, y: x * x * y, (0, 1), diagonal=True)(x, y)
    assert_close((a, b), (2 * x * y, x * x))
    for f in (lambda x: x.sum(), lambda x: (x, x), lambda x: x[:2]):
        with pytest.raises(ValueError, match=r"diagonal=True is for an elementwise function.*\(4,\)"):
            jacobian(f, diagonal=True)(x)
    second = jacobian(grad(lambda x: (x**3).sum()), diagonal=True)(x)
    assert_close(second, 6 * x)


def test_a_jacobian_larger_than_memory_is_refused_before_it_is_begun() -> None:
    for by in (jacobian, jacrev, jacfwd):
        with pytest.raises(MemoryError, match=r"409600000 x 409600000 elements, 6.71e\+17 bytes.*vjp or jvp"):
            by(lambda x: x.expand(100000, 4096))(tt.zeros(1, 4096).expand(100000, 4096))


# --------------------------------------------------------------------------------------------------- history, grad modes
def test_gradients_reach_what_a_function_closes_over() -> None:
    x, w = randn(3), randn(3).requires_grad_()
    cube = lambda x: (x**3 * w**2).sum()  # noqa: E731
    g = grad(cube)(x)
    assert g.requires_grad
    g.sum().backward()
    assert_close(w.grad, 6 * x * x * w.detach())
    value, _ = value_and_grad(cube)(x)
    assert_close(tt.autograd.grad([value], [w])[0], 2 * x**3 * w.detach())
    w2 = w * 1.0  # with a history that must stay
    with tt.no_grad():
        assert not grad(lambda x: (x * w2 * w2).sum())(x).requires_grad
    square = lambda x: x * x * w  # noqa: E731
    for result, want in (
        (hvp(lambda x: (x**3 * w).sum(), x, x)[1], 6 * x * x),
        (hessian(lambda x: (x**3 * w).sum())(x), 6 * x),
        (vjp(square, x)[1](x), 2 * x * x),
        (jvp(square, (x,), (x,))[1], 2 * x * x),
        (jacrev(square)(x), 2 * x),
        (jacfwd(square)(x), 2 * x),
        (jacobian(square, diagonal=True)(x), 2 * x),
    ):
        assert_close(tt.autograd.grad([result.sum()], [w])[0], want)
    assert_close(tt.autograd.grad([w2.sum()], [w])[0], tt.ones(3, dtype=tt.float64))


def test_gradients_reach_arguments_and_tangents_that_require_grad() -> None:
    x, t = randn(3).requires_grad_(), randn(3).requires_grad_()
    assert_close(tt.autograd.grad([grad(lambda x: (x**3).sum())(x).sum()], [x])[0], 6 * x.detach())
    y = x * 2  # no leaf
    assert_close(tt.autograd.grad([grad(lambda x: (x**3).sum())(y).sum()], [x])[0], 24 * x.detach())
    with tt.no_grad():
        assert not grad(lambda x: (x**3).sum())(x).requires_grad
        assert not vjp(lambda x: x * x, x)[0].requires_grad
    fixed = x.detach()
    for product in (
        jvp(lambda x: x * x, (fixed,), (t,))[1],
        vjp(lambda x: x * x, fixed)[1](t),
        hvp(lambda x: (x**3).sum() / 3, fixed, t)[1],
    ):
        assert_close(tt.autograd.grad([product.sum()], [t])[0], 2 * fixed)
    assert x.grad is None


def test_grad_modes_in_and_around() -> None:
    x = randn(3)
    with tt.no_grad():
        assert_close(grad(lambda x: (x * x).sum())(x), 2 * x)
        assert not tt.is_grad_enabled()

    def partly(x: Any) -> Any:
        with tt.no_grad():
            c = x * x
        return (c * x).sum()

    assert_close(grad(partly)(x), x * x)
    with pytest.raises(ZeroDivisionError):
        grad(lambda x: 1 / 0)(x)
    assert tt.is_grad_enabled()


def test_no_confusion_of_levels() -> None:
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0).item() == 1
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0).item() == 6
    x = randn(3)
    inner = lambda x: jvp(lambda y: (y * x).sin(), (x,), (x,))[1]  # noqa: E731
    want = lambda x: (x * x).cos() * x * x  # noqa: E731
    assert_close(inner(x), want(x))
    # grad of a jvp at y = x, by both: d/dx of cos(x^2) x^2
    assert_close(grad(lambda x: inner(x).sum())(x), grad(lambda x: want(x).sum())(x))
    assert_close(jvp(inner, (x,), (x,))[1], jvp(want, (x,), (x,))[1])
    assert_close(hessian(lambda x: hvp(lambda y: (y**4).sum(), x, x)[1].sum())(x), tt.tensor(np.diag(72 * x.numpy())))


def test_older_history_is_neither_walked_nor_freed() -> None:
    w = randn(3).requires_grad_()
    old = w.exp()
    seen = []
    old.register_hook(lambda g: seen.append(1))
    with tt.no_grad():
        grad(lambda x: (x * old).sum())(randn(3))
    grad(lambda x: (x * old).sum())(randn(3))
    assert seen == []
    old.sum().backward()
    assert seen == [1]


def test_results_own_their_memory() -> None:
    x, v = randn(3), randn(3)
    _, pull = vjp(lambda x, y: x + y, x, x)
    a, b = pull(v)
    for one, other in ((a, b), (a, v), (b, v)):
        assert not np.shares_memory(one.numpy(), other.numpy())
    g = grad(lambda x: x.sum())(x)
    g += 1
    assert g.tolist() == [2, 2, 2]


def test_arguments_cannot_be_changed_in_place() -> None:
    x = randn(3)
    before = x.tolist()
    with pytest.raises(RuntimeError, match="in place"):
        grad(lambda x: x.add_(1).sum())(x)
    assert x.tolist() == before


def test_nothing_stays_behind() -> None:
    nodes = []

    def f(x: Any) -> Any:
        y = x.exp()
        nodes.append(weakref.ref(y.grad_fn))
        return y.sum()

    x = randn(3)
    gc.disable()
    try:
        for call in (
            grad(f),
            value_and_grad(f),
            jacrev(f),
            jacfwd(f),
            hessian(f),
            lambda x: hvp(f, x, x),
            lambda x: jvp(f, (x,), (x,)),
        ):
            call(x)
        _, pull = vjp(f, x)
        pull(1.0)
        assert [n() is None for n in nodes] == [True] * (len(nodes) - 1) + [False]  # the last may be asked again
        del pull
        assert nodes[-1]() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    "call, error, text",
    [
        (
            lambda x: grad(lambda x: x * 2)(x),
            ValueError,
            r"grad: the function must return one 0-d Tensor, got \(3,\); reduce it",
        ),
        (lambda x: grad(lambda x: (x.sum(), x))(x), ValueError, r"got \[\(\), \(3,\)\]"),
        (lambda x: value_and_grad(lambda x: x * 2)(x), ValueError, r"value_and_grad: .* \(3,\)"),
        (lambda x: hvp(lambda x: x * 2, x, x), ValueError, r"hvp: .* \(3,\)"),
        (
            lambda x: grad(lambda x: x.sum())(x.long()),
            TypeError,
            r"argument 0 has dtype int64 and shape \(3,\); .*\.to\(tt.float32\)",
        ),
        (lambda x: grad(lambda x, y: y.sum(), 1)(x, 3), TypeError, r"argument 1 is the int 3; .* pass 3.0"),
        (lambda x: grad(lambda x: x)("a"), TypeError, "argument 0 is a str"),
        (lambda x: grad(lambda x: x.sum())([x, x > 0]), TypeError, r"argument 0 has dtype bool and shape \(3,\)"),
        (lambda x: grad(lambda x: (x > 0).sum())(x), TypeError, r"the function returned int64 of shape \(\)"),
        (lambda x: grad(lambda x: "a")(x), TypeError, "must return Tensors.* got str"),
        (
            lambda x: grad(lambda x: x.sum(), 1)(x),
            ValueError,
            "argnums 1 names argument 1, but the function was given 1",
        ),
        (lambda x: grad(lambda x, y: x.sum(), (0, -2))(x, x), ValueError, "twice"),
        (lambda x: jacobian(tt.relu, x), TypeError, r"call jacobian\(f\)\(x\)"),
        (lambda x: grad(lambda x: x.sum(), has_aux=True)(x), TypeError, r"returns \(output, aux\), got Tensor"),
        (
            lambda x: vjp(lambda x: x * 2, x)[1](tt.ones(4)),
            ValueError,
            r"expected cotangents of shape \(3,\), got \(4,\)",
        ),
        (lambda x: vjp(lambda x: (x, x), x)[1](x), ValueError, "cotangents in the structure"),
        (lambda x: jvp(lambda x: x, (x,), (x[:2],)), ValueError, r"expected tangents of shape \(3,\), got \(2,\)"),
        (lambda x: jvp(lambda x: x, x, x), TypeError, "expected a tuple"),
        (lambda x: jvp(lambda x: x, ({"a": x},), ({"b": x},)), ValueError, "tangents in the structure"),
        (lambda x: hvp(lambda x: x.sum(), x, (x, x)), ValueError, "v in the structure"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(randn(3))


# -------------------------------------------------------------------------------------------------- PyTorch, and the page
@pytest.mark.filterwarnings("ignore:.*torch:DeprecationWarning")
def test_agreement_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x, t = randn(3, 3), randn(3, 3)
    p, q = torch.tensor(x.numpy()), torch.tensor(t.numpy())
    f = lambda x: (x.exp() @ x.mT).sin() * x  # noqa: E731
    s = lambda x: f(x).sum()  # noqa: E731
    for got, want in (
        (grad(s)(x), torch.func.grad(s)(p)),
        (vjp(f, x)[1](t), torch.func.vjp(f, p)[1](q)[0]),
        (jvp(f, (x,), (t,))[1], torch.func.jvp(f, (p,), (q,))[1]),
        (jacrev(f)(x), torch.func.jacrev(f)(p)),
        (jacfwd(f)(x), torch.func.jacfwd(f)(p)),
        (hessian(s)(x), torch.func.hessian(s)(p)),
        (hvp(s, x, t)[1], torch.autograd.functional.hvp(s, p, q)[1]),
    ):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-11, atol=1e-12)


def test_a_function_that_changes_its_argument_is_refused() -> None:
    """Where the argument has a history no leaf is there to refuse; the gradient was that of the changed values."""
    x = double([1.0, 2.0]).requires_grad_() * 1

    def whole(a: tt.Tensor) -> tt.Tensor:
        a.mul_(3.0)
        return (a * a).sum()

    def part(a: tt.Tensor) -> tt.Tensor:
        a[:1].mul_(3.0)
        return (a * a).sum()

    for f in (whole, part):
        with pytest.raises(RuntimeError, match=r"grad: the function changed an argument in place.*clone\(\)"):
            grad(f)(x)


def test_gradients_share_no_memory_with_what_a_rule_kept() -> None:
    class Half(tt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tt.Tensor) -> tt.Tensor:
            ctx.save_for_backward(x)
            return (x * x).sum() / 2

        @staticmethod
        def backward(ctx: Any, g: tt.Tensor) -> tt.Tensor:
            (x,) = ctx.saved_tensors
            return x  # type: ignore[no-any-return]

    x = randn(3)
    g = grad(Half.apply)(x)
    assert g.tolist() == x.tolist()
    assert not np.shares_memory(g.numpy(), x.numpy())
