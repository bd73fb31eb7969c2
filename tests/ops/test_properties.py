"""Properties over random shapes, strides and numbers."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from check import same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytensor as tt
from tinytensor import autograd

settings.register_profile("ops", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("ops")

FLOATS = st.sampled_from([np.dtype("float32"), np.dtype("float64")])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def arrays(dtype: Any, shape: Any, low: float = -8, high: float = 8) -> Any:
    return hnp.arrays(dtype, shape, elements=st.floats(low, high, width=32, allow_subnormal=False))


@st.composite
def broadcastable(draw: Any, count: int = 2) -> list[Any]:
    """Arrays of one dtype whose shapes broadcast together."""
    dtype = draw(FLOATS)
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=4, max_side=4, min_side=0)).input_shapes
    return [draw(arrays(dtype, s)) for s in shapes]


@st.composite
def strided(draw: Any) -> Any:
    """An array seen through a random transpose and random steps."""
    dtype = draw(FLOATS)
    a = draw(arrays(dtype, draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=6))))
    a = a.transpose(draw(st.permutations(range(a.ndim))))
    return a[tuple(slice(None, None, draw(st.sampled_from([1, 1, 2, -1, -2]))) for _ in range(a.ndim))]


@given(broadcastable())
def test_binary_ops_are_numpys(pair: list[Any]) -> None:
    a, b = pair
    with np.errstate(all="ignore"):
        for f, g in (
            (tt.add, np.add),
            (tt.sub, np.subtract),
            (tt.mul, np.multiply),
            (tt.div, np.divide),
            (tt.maximum, np.maximum),
            (tt.minimum, np.minimum),
        ):
            got, want = f(a, b), g(a, b)
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            np.testing.assert_array_equal(got, want)


@given(broadcastable(3))
def test_where_is_numpys(three: list[Any]) -> None:
    c, a, b = three
    np.testing.assert_array_equal(tt.where(c > 0, a, b), np.where(c > 0, a, b))


@given(broadcastable())
def test_gradients_have_the_shapes_of_their_inputs_and_sum_what_was_broadcast(pair: list[Any]) -> None:
    a, b = pair
    x, y = tt.tensor(a, requires_grad=True), tt.tensor(b, requires_grad=True)
    z = x * y
    z.backward(tt.ones_like(z))
    wide_b, wide_a = np.broadcast_to(b, z.shape), np.broadcast_to(a, z.shape)
    for t, wide in ((x, wide_b), (y, wide_a)):
        axes = tuple(range(z.ndim - t.ndim)) + tuple(
            i for i in range(z.ndim) if i >= z.ndim - t.ndim and t.shape[i - z.ndim + t.ndim] == 1
        )
        want = wide.astype(np.float64).sum(axes).reshape(t.shape)
        assert t.grad.shape == t.shape
        np.testing.assert_allclose(t.grad.numpy(), want, rtol=1e-5, atol=1e-4)


@given(strided())
def test_unary_ops_do_not_see_strides(a: Any) -> None:
    plain = np.ascontiguousarray(a)
    for f in (tt.exp, tt.tanh, tt.relu, tt.sin, tt.neg):
        same_bits(f(a), f(plain))
    same_bits(tt.add(a, plain), tt.add(plain, plain))


@given(strided(), st.data())
def test_reductions_do_not_see_strides(a: Any, data: Any) -> None:
    dims = data.draw(
        st.one_of(
            st.none(), st.lists(st.integers(-a.ndim, a.ndim - 1), min_size=1, unique_by=lambda d: d % a.ndim).map(tuple)
        )
    )
    keepdim = data.draw(st.booleans())
    a = a / a.dtype.type(8)  # no product overflows
    a = np.flip(np.flip(a).copy(order="K"))
    plain = np.ascontiguousarray(a)
    for f, g in ((tt.sum, np.sum), (tt.amax, np.max), (tt.prod, np.prod)):
        got = f(a, dims, keepdim)
        same_bits(got, f(plain, dims, keepdim))
        want = g(plain.astype(np.float64), axis=dims, keepdims=keepdim)
        assert got.shape == np.shape(want)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)


@given(
    FLOATS, st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.booleans(), st.booleans(), st.integers(1, 4)
)
def test_matmul(dtype: Any, m: int, k: int, n: int, turn_a: bool, turn_b: bool, threads: int) -> None:
    rng = np.random.default_rng([m, k, n])
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    with tt.threads(threads):
        got = tt.matmul(np.asfortranarray(a) if turn_a else a, np.asfortranarray(b) if turn_b else b)
    same_bits(got, tt.matmul(a, b))
    bound = (k + 1) * np.finfo(dtype).eps * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)) + 1e-300
    assert (np.abs(got - a.astype(np.float64) @ b.astype(np.float64)) <= bound).all()


@given(st.data())
def test_indexing_is_numpys_with_its_gradient(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=5))
    index = data.draw(st.one_of(hnp.basic_indices(shape, allow_newaxis=True), hnp.integer_array_indices(shape)))
    a = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    x = tt.tensor(a, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.detach().numpy(), a[index])
    up = np.random.default_rng(0).normal(size=y.shape)
    y.backward(tt.tensor(up))
    want = np.zeros(shape)
    np.add.at(want, index, up)
    np.testing.assert_allclose(x.grad.numpy(), want, atol=1e-14)


@given(st.data())
def test_assignment_is_numpys_with_its_gradient(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=5))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=False))
    a = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    v = -np.arange(float(np.size(a[index]))).reshape(np.shape(a[index])) - 1
    x, w = tt.tensor(a, requires_grad=True), tt.tensor(v, requires_grad=True)
    y = x * 1
    y[index] = w
    want = a.copy()
    want[index] = v
    np.testing.assert_array_equal(y.detach().numpy(), want)
    up = np.random.default_rng(0).normal(size=shape)
    y.backward(tt.tensor(up))
    rest = up.copy()
    rest[index] = 0
    np.testing.assert_array_equal(x.grad.numpy(), rest)
    np.testing.assert_array_equal(w.grad.numpy(), up[index])


@given(st.data())
def test_shape_ops_are_numpys(data: Any) -> None:
    a = np.arange(24.0).reshape(data.draw(st.permutations([2, 3, 4])))
    order = data.draw(st.permutations(range(3)))
    b = a.transpose(order)
    for shape in ((24,), (2, 12), (4, -1), (-1, 3, 2), tuple(b.shape[::-1])):
        same_bits(tt.reshape(tt.permute(a, order), shape), b.reshape(shape))
    x = tt.tensor(a, requires_grad=True)
    up = np.random.default_rng(0).normal(size=24)
    x.permute(order).reshape(24).backward(tt.tensor(up))
    np.testing.assert_array_equal(x.grad.numpy().transpose(order).reshape(24), up)


@given(arrays(np.dtype("float64"), hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), -700, 700))
def test_softmax_is_a_distribution(a: Any) -> None:
    p = tt.softmax(a, 1)
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-14)
    np.testing.assert_allclose(tt.softmax(a + 5, 1), p, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(tt.log_softmax(a, 1), a - tt.logsumexp(a, 1, keepdim=True), rtol=1e-12, atol=1e-12)


@st.composite
def programs(draw: Any) -> list[tuple[str, int, int]]:
    """Steps, each on two earlier values."""
    count = draw(st.integers(1, 12))
    return [
        (
            draw(st.sampled_from(["add", "mul", "sub", "tanh", "sin", "matmul", "T", "softmax", "add_"])),
            draw(st.integers(0, i)),
            draw(st.integers(0, i)),
        )
        for i in range(count)
    ]


def execute(program: list[tuple[str, int, int]], x: Any, in_place: bool) -> Any:
    values = [x]
    for name, i, j in program:
        a, b = values[i], values[j]
        if name in ("tanh", "sin", "softmax"):
            values.append(getattr(tt, name)(a))
        elif name == "T":
            values.append(a.T)
        elif name == "add_":
            fresh = a * 0.5
            b = b * 0.5
            values.append(fresh.add_(b) if in_place else fresh + b)
        else:  # all values stay within [-1, 1]
            values.append(getattr(tt, name)(a, b) * (1 / 3 if name == "matmul" else 0.5))
    total = values[0].sum()
    for v in values[1:]:
        total = total + v.sum()
    return total


@given(programs())
def test_any_graph_has_the_slope_of_its_differences(program: list[tuple[str, int, int]]) -> None:
    rng = np.random.default_rng(len(program))
    a, v = rng.uniform(-0.5, 0.5, (3, 3)), rng.normal(size=(3, 3))
    x = tt.tensor(a, requires_grad=True)
    loss = execute(program, x, False)
    (g,) = autograd.grad(loss, x)
    changed = tt.tensor(a, requires_grad=True)
    (h,) = autograd.grad(execute(program, changed, True), changed)
    same_bits(g.numpy(), h.numpy())
    slope = float((g.numpy() * v).sum())
    step = 1e-4
    at = [float(execute(program, tt.tensor(a + s * step * v), False)) for s in (1, -1, 2, -2)]
    difference = (8 * (at[0] - at[1]) - (at[2] - at[3])) / (12 * step)
    assert abs(slope - difference) <= 1e-7 * max(1.0, abs(slope))


@given(programs())
def test_any_graph_twice_gives_the_same_bits(program: list[tuple[str, int, int]]) -> None:
    a = np.random.default_rng(1).uniform(-0.5, 0.5, (3, 3)).astype("float32")
    found = []
    for _ in range(2):
        x = tt.tensor(a, requires_grad=True)
        execute(program, x, False).backward()
        found.append(x.grad.numpy())
    same_bits(*found)
    y = tt.tensor(a, requires_grad=True)
    (g,) = autograd.grad(execute(program, y, False), y, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), found[0], rtol=1e-4, atol=1e-4 * float(np.abs(found[0]).max()))
