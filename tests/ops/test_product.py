"""Matrix products: each output is one chain of multiply-adds over k, whatever the shape, the strides, the batch and the threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from check import same_bits

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import _kernels
from tinytensor.ops.product import ACTIVATIONS, linear_activation

EPS = {"float32": 2.0**-24, "float64": 2.0**-53}
FUSED = _kernels.fused()
# around the register tiles (14, 6 and 2 rows; 32, 16 and 8 columns), and the blocks of k
SIZES = [
    (1, 1, 1), (1, 5, 1), (2, 2, 2), (13, 7, 31), (14, 8, 32), (15, 9, 33), (5, 3, 15), (6, 16, 16), (7, 17, 17), (28, 1, 64), (29, 65, 65),
    (1, 300, 97), (3, 383, 5), (3, 384, 34), (3, 385, 5), (2, 257, 7), (2, 769, 3), (97, 101, 103), (1, 1, 200), (200, 1, 1), (64, 784, 10),
    # around what is packed at a time: 512 or 256 along k, 8 tiles of rows, 2048 or 1024 columns; wide panels of few rows
    (3, 511, 33), (15, 512, 40), (3, 513, 33), (2, 1025, 17), (111, 40, 70), (112, 40, 70), (113, 40, 70), (225, 3, 31), (2, 3, 2047), (15, 2, 2049),
    (1, 40, 127), (1, 40, 128), (1, 40, 129), (2, 40, 65), (3, 33, 63), (4, 20, 49), (64, 5, 100), (45, 46, 46), (17, 600, 300),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = tt.get_num_threads()
    yield
    tt.set_num_threads(before)


def operands(m: int, k: int, n: int, dtype: str = "float32", seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng([m, k, n, seed])
    return rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)


def chain(a: Any, b: Any) -> Any:
    """The definition for float32: fma over k ascending, each rounded once. A product of two floats is exact in double; the
    sum with a float is rounded to double, to odd where it is not exact, and then to float, which is one rounding."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    c = np.zeros((a.shape[0], b.shape[1]))
    for k in range(a.shape[1]):
        p = a[:, k : k + 1] * b[k]
        s = p + c
        z = s - p
        error = (p - (s - z)) + (c - z)  # Knuth's two-sum: what s lost
        bits = s.view(np.int64)
        away = (error > 0) == (s > 0)  # the exact sum lies further from zero than s
        odd = np.where(away, bits | 1, np.where(bits & 1, bits, bits - 1))
        c = np.where(error == 0, s, odd.view(np.float64)).astype(np.float32).astype(np.float64)
    return c.astype(np.float32)


@pytest.mark.parametrize("m,k,n", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value(m: int, k: int, n: int, dtype: str) -> None:
    a, b = operands(m, k, n, dtype)
    got = tt.matmul(a, b)
    wide = np.longdouble if dtype == "float64" else np.float64
    want = a.astype(wide) @ b.astype(wide)
    bound = (k + 1) * EPS[dtype] * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))
    assert got.dtype == np.dtype(dtype)
    assert (np.abs(got - want) <= bound).all()


@pytest.mark.parametrize("m,k,n", [s for s in SIZES if s[0] * s[1] * s[2] < 300_000])
def test_the_bits_are_those_of_one_chain(m: int, k: int, n: int) -> None:
    a, b = operands(m, k, n)
    got, want = tt.matmul(a, b), chain(a, b)
    if FUSED:
        same_bits(got, want)
    else:
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * k)
        same_bits(got, unfused(a, b))


def unfused(a: Any, b: Any) -> Any:
    """The chain without fused multiply-add: both roundings."""
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        c = a[:, k : k + 1] * b[k] + c
    return c


@pytest.mark.parametrize("m,k,n", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_and_columns_are_their_own_products(m: int, k: int, n: int, dtype: str) -> None:
    """Batch 1 has the bits of batch m; so has any other part."""
    a, b = operands(m, k, n, dtype)
    whole = tt.matmul(a, b)
    for i in {0, m // 2, m - 1}:
        same_bits(tt.matmul(a[i : i + 1], b), whole[i : i + 1])
        same_bits(tt.matmul(a[i], b), whole[i])
    for j in {0, n // 2, n - 1}:
        same_bits(tt.matmul(a, b[:, j : j + 1]), whole[:, j : j + 1])
        same_bits(tt.matmul(a, np.ascontiguousarray(b[:, j])), whole[:, j])
    for part in (slice(0, m // 2), slice(m // 3, m), slice(None, None, 2)):
        same_bits(tt.matmul(a[part], b), whole[part])
    same_bits(tt.matmul(a, b[:, : n // 2 + 1]), whole[:, : n // 2 + 1])


@pytest.mark.parametrize("m,k,n", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_strides_change_no_bit(m: int, k: int, n: int, dtype: str) -> None:
    a, b = operands(m, k, n, dtype)
    whole = tt.matmul(a, b)

    def layouts(x: Any) -> list[Any]:
        wide = np.zeros((2 * x.shape[0], 3 * x.shape[1]), dtype)[::2, 1::3]
        wide[...] = x
        odd = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(dtype).reshape(x.shape)  # not aligned
        return [np.asfortranarray(x), wide, x[::-1, ::-1].copy()[::-1, ::-1], odd]

    for la, lb in zip(layouts(a), layouts(b)):
        same_bits(tt.matmul(la, b), whole)
        same_bits(tt.matmul(a, lb), whole)
        same_bits(tt.matmul(la, lb), whole)


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize(
    "m,k,n",
    [(1, 600, 700), (130, 400, 150), (300, 784, 10), (97, 801, 103), (14, 1000, 500), (2, 512, 1024), (500, 64, 65)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_no_bit(m: int, k: int, n: int, dtype: str, threads: int) -> None:
    a, b = operands(m, k, n, dtype)
    w = np.random.default_rng(0).normal(size=n).astype(dtype)
    with tt.threads(1):
        one, linear = tt.matmul(a, b), F.linear(a, b.T, w)
    with tt.threads(threads):
        _kernels.seen_threads(True)
        same_bits(tt.matmul(a, b), one)
        if m * k * n * 0.02 * 1e-4 >= threads:
            assert _kernels.seen_threads(True) == threads
        same_bits(F.linear(a, b.T, w), linear)
        same_bits(tt.matmul(np.asfortranarray(a), np.asfortranarray(b)), one)


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("m,k,n", [(2, 512, 1024), (30, 300, 1700), (5, 40, 5000)])
def test_threads_do_not_wait_for_each_other_between_blocks_of_columns(m: int, k: int, n: int, threads: int) -> None:
    a, b = operands(m, k, n, "float64")
    b = np.asfortranarray(b)  # packed, in more than one block, whose panels divide unevenly
    with tt.threads(1):
        one = tt.matmul(a, b)
    with tt.threads(threads):
        for _ in range(60):
            same_bits(tt.matmul(a, b), one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_are_their_own_products(dtype: str) -> None:
    rng = np.random.default_rng(0)
    for shape_a, shape_b in [
        ((5, 7, 9), (9, 11)), ((5, 7, 9), (5, 9, 11)), ((1, 7, 9), (5, 9, 11)), ((5, 1, 7, 9), (3, 9, 11)), ((2, 3, 4, 5), (2, 3, 5, 6)), ((7, 9), (5, 9, 11)),
        ((2, 1, 3, 4), (1, 5, 4, 6)), ((1, 1, 2, 3), (3, 4)),
    ]:  # fmt: skip
        a, b = rng.normal(size=shape_a).astype(dtype), rng.normal(size=shape_b).astype(dtype)
        got = tt.matmul(a, b)
        np.testing.assert_allclose(got, np.matmul(a, b), rtol=1e-4, atol=1e-5)
        lead = np.broadcast_shapes(shape_a[:-2], shape_b[:-2])
        assert got.shape == (*lead, shape_a[-2], shape_b[-1])
        wide_a, wide_b = np.broadcast_to(a, (*lead, *shape_a[-2:])), np.broadcast_to(b, (*lead, *shape_b[-2:]))
        for i in np.ndindex(*lead):
            same_bits(got[i], tt.matmul(wide_a[i], wide_b[i]))
        same_bits(tt.matmul(wide_a, wide_b), got)
        turned = np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)
        same_bits(tt.matmul(turned, b), got)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_no_bit_of_batches(threads: int) -> None:
    rng = np.random.default_rng(0)
    for batch, m in ((2, 160), (16, 40), (5, 90)):
        a, b = rng.normal(size=(batch, m, 96)).astype("float32"), rng.normal(size=(batch, 96, 130)).astype("float32")
        with tt.threads(1):
            one = tt.matmul(a, b)
        with tt.threads(threads):
            same_bits(tt.matmul(a, b), one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity_stay_in_their_rows_and_columns(dtype: str) -> None:
    for m, k, n in [(15, 9, 33), (1, 40, 50), (7, 400, 17)]:
        a, b = operands(m, k, n, dtype)
        clean = tt.matmul(a, b)
        a[m // 2, k // 2] = np.nan
        got = tt.matmul(a, b)
        assert np.isnan(got[m // 2]).all()
        same_bits(np.delete(got, m // 2, 0), np.delete(clean, m // 2, 0))
        a, b = operands(m, k, n, dtype)
        b[0, n - 1] = np.inf
        got = tt.matmul(a, b)
        assert (got[:, n - 1] == np.sign(a[:, 0]) * np.inf).all()
        same_bits(got[:, : n - 1], clean[:, : n - 1])
        a[:, 0] = 0
        assert np.isnan(tt.matmul(a, b)[:, n - 1]).all()  # 0 * inf


def test_nothing_to_sum_and_nothing_to_give() -> None:
    for dtype in ("float32", "float64"):
        assert tt.matmul(np.ones((2, 0), dtype), np.ones((0, 3), dtype)).tolist() == [[0] * 3] * 2
        assert (
            F.linear(np.ones((2, 0), dtype), np.ones((3, 0), dtype), np.arange(3).astype(dtype)).tolist()
            == [[0, 1, 2]] * 2
        )
        assert tt.matmul(np.ones((0, 2), dtype), np.ones((2, 3), dtype)).shape == (0, 3)
        assert tt.matmul(np.ones((4, 0, 2), dtype), np.ones((2, 3), dtype)).shape == (4, 0, 3)
        assert tt.matmul(np.ones(0, dtype), np.ones(0, dtype)) == 0


@pytest.mark.parametrize("m,k,n", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bias_is_added_after_the_chain(m: int, k: int, n: int, dtype: str) -> None:
    a, b = operands(m, k, n, dtype)
    w = np.random.default_rng(1).normal(size=n).astype(dtype)
    same_bits(F.linear(a, np.ascontiguousarray(b.T), w), tt.matmul(a, b) + w)
    same_bits(F.linear(a, b.T, w), tt.matmul(a, b) + w)
    same_bits(F.linear(a[0], b.T, w), tt.matmul(a[:1], b)[0] + w)
    same_bits(F.linear(a, b.T), tt.matmul(a, b))


def test_the_rules_of_linear_are_the_products() -> None:
    rng = np.random.default_rng(0)
    x, w, b = (
        tt.tensor(rng.normal(size=s).astype("float32"), requires_grad=True) for s in ((6, 4, 33), (17, 33), (17,))
    )
    up = rng.normal(size=(6, 4, 17)).astype("float32")
    F.linear(x, w, b).backward(tt.tensor(up))
    rows, ups = x.detach().numpy().reshape(-1, 33), up.reshape(-1, 17)
    same_bits(x.grad.numpy().reshape(-1, 33), tt.matmul(ups, w.detach().numpy()))
    same_bits(w.grad.numpy(), tt.matmul(ups.T, rows))
    same_bits(b.grad.numpy(), tt.sum(ups, 0))


def test_a_rule_does_no_more_than_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, b = tt.ones(3, 4), tt.ones(5, 4, requires_grad=True), tt.ones(5, requires_grad=True)
    y = F.linear(x, w, b).sum()
    got = []
    whole = _kernels.linear_grad
    monkeypatch.setattr(_kernels, "linear_grad", lambda *a: got.append(whole(*a)) or got[-1])
    y.backward()
    ((dx, dw, db),) = got
    assert dx is None and dw.shape == (5, 4) and db.shape == (5,)  # the input's gradient was not worked out


def test_integers() -> None:
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(tt.matmul(a, b), a @ b)
    assert tt.matmul(tt.tensor(a), tt.tensor(b)).dtype == tt.int64
    np.testing.assert_array_equal((tt.tensor(a) @ tt.tensor(b.astype("float32"))).numpy(), (a @ b).astype("float32"))
    assert (tt.ones(2, 3) @ tt.ones(3, 2, dtype=tt.float64)).dtype == tt.float64
    assert tt.dot(np.arange(3), np.arange(3)) == 5
    assert F.linear(tt.tensor([[1, 2]]), tt.tensor([[3, 4]]), tt.tensor([100])).tolist() == [[111]]


def test_dot_is_a_sum_of_products() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 1, 15, 16, 17, 100, 5000, 70000):
        a, b = rng.normal(size=n), rng.normal(size=n)
        assert abs(tt.dot(a, b) - np.dot(a, b)) <= 1e-15 * (n + 1) ** 0.5 * 20
        same_bits(tt.dot(np.repeat(a, 2)[::2], b), tt.dot(a, b))
        low = a.astype("float32")
        same_bits(np.sqrt(tt.dot(low, low)), tt.norm(low))


@pytest.mark.parametrize(
    "call,shapes,message",
    [
        ("matmul", ((2, 3), (4, 5)), r"\(2, 3\) and \(4, 5\)"),
        ("matmul", ((3,), (4,)), r"\(3,\) and \(4,\).*3 against 4"),
        ("matmul", ((2, 3), (4,)), r"\(2, 3\) and \(4,\)"),
        ("matmul", ((), (3,)), "0-d"),
        ("matmul", ((2, 2, 3), (3, 3, 2)), "cannot be broadcast"),
        ("mm", ((2, 3), (3,)), "mm: expected 2 and 2 dimensions"),
        ("mv", ((2, 3), (3, 1)), "mv: expected 2 and 1 dimensions"),
        ("bmm", ((2, 2, 3), (1, 3, 2)), "bmm: batch sizes 2 and 1 differ"),
        ("dot", ((3,), (2,)), r"\(3,\) and \(2,\)"),
        ("outer", ((3, 1), (2,)), "outer: expected 1 and 1 dimensions"),
    ],
)
def test_shapes_that_do_not_fit_are_named(call: str, shapes: Any, message: str) -> None:
    for wrap in (lambda a: a, tt.tensor):
        with pytest.raises(ValueError, match=message):
            getattr(tt, call)(*(wrap(np.ones(s, "float32")) for s in shapes))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])  # of the weight: mixed ones go another way
def test_linear_names_its_shapes(dtype: str) -> None:
    for x, w, b in (((2, 3), (5, 4), (5,)), ((2, 4), (5, 4), (4,)), ((2, 4), (4,), None), ((), (5, 4), None)):
        with pytest.raises(
            ValueError, match=r"linear: expected input \(\*, in\), weight \(out, in\) and bias \(out\), got input"
        ):
            F.linear(tt.ones(x), tt.ones(w, dtype=dtype), None if b is None else tt.ones(b))


def test_linear_of_integers_has_no_activation() -> None:
    whole = tt.tensor([[1, 2], [3, 4]])
    assert F.linear(whole, whole, whole[0]).tolist() == [[6, 13], [12, 27]]
    with pytest.raises(TypeError, match="linear: an activation needs float32 or float64, got int64"):
        linear_activation(whole, whole, whole[0], ACTIVATIONS["relu"])


# ------------------------------------------------------------------------------------------- a layer and what is fused to it
LAYERS = [(1, 40, 30), (64, 100, 70), (3, 1, 1), (300, 20, 46), (17, 600, 33)]
FUNCTIONS = [
    ("relu", (), F.relu), ("sigmoid", (), F.sigmoid), ("tanh", (), F.tanh), ("gelu", (), F.gelu), ("silu", (), F.silu),
    ("gelu_tanh", (), lambda z: F.gelu(z, approximate="tanh")), ("leaky_relu", (0.2,), lambda z: F.leaky_relu(z, 0.2)),
    ("elu", (1.6,), lambda z: F.elu(z, 1.6)), ("selu", (), F.selu), ("softplus", (2.0, 5.0), lambda z: F.softplus(z, 2.0, 5.0)),
]  # fmt: skip


def layer(batch: int, inputs: int, outputs: int, dtype: str, by_input: bool) -> list[Any]:
    rng = np.random.default_rng([batch, inputs, outputs])
    x, b, w = (rng.normal(size=s).astype(dtype) for s in ((batch, inputs), (outputs,), (outputs, inputs)))
    w = np.asfortranarray(w) if by_input else w
    return [tt.from_numpy(a).requires_grad_() for a in (x, w, b)]


@pytest.mark.parametrize("batch,inputs,outputs", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("by_input", [False, True])
@pytest.mark.parametrize("name,parameters,function", FUNCTIONS, ids=[a[0] for a in FUNCTIONS])
def test_fused_is_unfused(
    batch: int, inputs: int, outputs: int, dtype: str, by_input: bool, name: str, parameters: Any, function: Any
) -> None:
    """The same bits forward and backward, in the weight's memory order, on one thread and on three."""
    g = tt.from_numpy(np.random.default_rng(9).normal(size=(batch, outputs)).astype(dtype))
    x, w, b = layer(batch, inputs, outputs, dtype, by_input)
    apart = function(F.linear(x, w, b))
    apart.backward(g)
    for threads in (1, 3):
        leaves = layer(batch, inputs, outputs, dtype, by_input)
        with tt.threads(threads):
            _kernels.set_thread_work(1)  # one thread stays one
            try:
                fused = linear_activation(*leaves, ACTIVATIONS[name], *parameters)
                assert fused.grad_fn.parents == (*leaves,)  # one node
                fused.backward(g)
            finally:
                _kernels.set_thread_work()
        same_bits(fused.detach().numpy(), apart.detach().numpy())
        for one, other in zip(leaves, (x, w, b)):
            same_bits(one.grad.numpy(), other.grad.numpy())
        assert leaves[1].grad.stride() == w.stride()


def test_a_layer_computes_only_the_gradients_that_are_asked_for() -> None:
    for wanted in ([0], [1], [2], [0, 2], [1, 2]):
        for function in (
            F.linear,
            lambda *a: linear_activation(*a, ACTIVATIONS["relu"]),
            lambda *a: linear_activation(*a, ACTIVATIONS["silu"]),
        ):
            every = layer(5, 4, 3, "float64", True)
            function(*every).sum().backward()
            leaves = [t if i in wanted else t.detach() for i, t in enumerate(layer(5, 4, 3, "float64", True))]
            function(*leaves).sum().backward()
            for i, t in enumerate(leaves):
                if i in wanted:
                    same_bits(t.grad.numpy(), every[i].grad.numpy())
                else:
                    assert t.grad is None


@pytest.mark.parametrize("rows,inputs,outputs", [(1, 3, 2), (64, 100, 70), (700, 40, 33), (1100, 20, 10), (0, 3, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_gradient_is_added_where_it_is_with_the_bits_of_a_sum(
    rows: int, inputs: int, outputs: int, dtype: str, turned: bool
) -> None:
    """beta = 1: what was there + the product, also where the chain over rows takes several blocks."""
    rng = np.random.default_rng(3)
    g, x = rng.normal(size=(rows, outputs)).astype(dtype), rng.normal(size=(rows, inputs)).astype(dtype)
    w, b = rng.normal(size=(outputs, inputs)).astype(dtype), rng.normal(size=outputs).astype(dtype)
    fresh = _kernels.linear_grad(g, x, w, None, None, -1, 0, 0, turned, (False, True, True), None)
    into = [None, np.asfortranarray(w) if turned else w.copy(), b.copy()]
    before = [a if a is None else a.copy() for a in into]
    for threads in (1, 3):
        with tt.threads(threads):
            got = _kernels.linear_grad(g, x, w, None, None, -1, 0, 0, turned, (False, True, True), into)
        assert got[0] is None and got[1] is into[1] and got[2] is into[2]
        for i in (1, 2):
            same_bits(into[i], before[i] + fresh[i])
            into[i][...] = before[i]


@pytest.mark.parametrize("dtype", ["float64", "uint8", "int64"])
def test_data_of_another_dtype_goes_through_layers_and_back(dtype: str) -> None:
    data = np.arange(12).reshape(3, 4).astype(dtype)
    _, w, b = layer(3, 4, 5, "float32", True)
    for name in ("relu", "silu", None):
        act = (lambda *a, name=name: linear_activation(*a, ACTIVATIONS[name])) if name else F.linear
        _, w2, b2 = layer(3, 5, 2, "float32", True)
        grads = []
        for x in (data, data.astype("float32")):
            for leaf in (w, b, w2, b2):
                leaf.grad = None
            act(act(tt.from_numpy(x), w, b), w2, b2).sum().backward()
            grads.append([leaf.grad.numpy() for leaf in (w, b, w2, b2)])
        for got, want in zip(*grads):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_dimension_of_one_may_have_any_stride() -> None:
    a, b = operands(5, 7, 3)
    want = tt.matmul(a, b)
    same_bits(tt.matmul(np.ascontiguousarray(a[None]).transpose(1, 0, 2), b)[:, 0], want)
    same_bits(tt.matmul(a[:, None, :], b)[:, 0], want)


def test_more_dimensions_than_kernels_have_are_refused() -> None:
    many = np.ones((1,) * 39 + (4,), np.float32)
    w = tt.ones(3, 4)
    for call in (lambda: F.linear(tt.tensor(many), w), lambda: tt.matmul(many, w.numpy().T), lambda: tt.add(many, many[..., :1]), lambda: tt.sum(many)):  # fmt: skip
        with pytest.raises(ValueError, match="at most 32 dimensions, got 40"):
            call()


def test_a_gradient_in_memory_that_is_not_ours_is_not_written_to() -> None:
    x, w, b = layer(4, 3, 2, "float32", False)
    F.linear(x, w, b).sum().backward()
    once = w.grad.numpy().copy()
    given = np.frombuffer(once.tobytes(), np.float32).reshape(2, 3)
    w.grad.data = tt.from_numpy(given) if given.flags.writeable else tt.Tensor(given)
    F.linear(x, w, b).sum().backward()
    same_bits(given, once)
    same_bits(w.grad.numpy(), once + once)
