"""Tensor: what it tells, promotion, operators with arrays and scalars, conversions, copies, errors."""

from __future__ import annotations

import copy
import itertools
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import tinytensor as tt

F32, F64, I64, U8, B = tt.float32, tt.float64, tt.int64, tt.uint8, tt.bool
DTYPES = (B, U8, I64, F32, F64)


# ----------------------------------------------------------------------------------------------------------- promotion
# PyTorch's documented table for tensors of one rank: torch.promote_types
PROMOTED = {
    (B, B): B, (B, U8): U8, (B, I64): I64, (B, F32): F32, (B, F64): F64, (U8, U8): U8, (U8, I64): I64, (U8, F32): F32, (U8, F64): F64, (I64, I64): I64,
    (I64, F32): F32, (I64, F64): F64, (F32, F32): F32, (F32, F64): F64, (F64, F64): F64,
}  # fmt: skip


def promoted(a: Any, b: Any) -> Any:
    return PROMOTED.get((a, b)) or PROMOTED[(b, a)]


@pytest.mark.parametrize("a,b", list(itertools.product(DTYPES, DTYPES)), ids=str)
def test_promotion_of_one_rank(a: Any, b: Any) -> None:
    for shape in ((3,), ()):
        x, y = tt.ones(shape, dtype=a), tt.ones(shape, dtype=b)
        for f in (tt.add, tt.mul, tt.maximum):
            assert f(x, y).dtype == promoted(a, b)
        assert tt.where(x == x, x, y).dtype == promoted(a, b)
        assert tt.div(x, y).dtype == (promoted(a, b) if promoted(a, b).kind == "f" else F32)


CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


@pytest.mark.parametrize("a,b", list(itertools.product(DTYPES, DTYPES)), ids=str)
def test_a_0d_tensor_widens_only_into_a_higher_category(a: Any, b: Any) -> None:
    x, zero = tt.ones(3, dtype=a), tt.ones((), dtype=b)
    want = b if CATEGORY[b.kind] > CATEGORY[a.kind] else a
    for got in (x + zero, zero + x, tt.maximum(x, zero), tt.where(x == x, x, zero)):
        assert got.dtype == want


@pytest.mark.parametrize("a", DTYPES, ids=str)
def test_a_python_number_never_widens(a: Any) -> None:
    for shape in ((3,), ()):
        x = tt.ones(shape, dtype=a)
        for number, category, default in ((True, 0, B), (2, 1, I64), (2.5, 2, F32)):
            want = default if category > CATEGORY[a.kind] else a
            assert (x + number).dtype == want
            assert (number * x).dtype == want
            if a.kind == "f":
                assert (
                    (x - number).dtype
                    == (number - x).dtype
                    == (x / number).dtype
                    == (x**number).dtype
                    == (number**x).dtype
                    == a
                )


def test_documented_examples_of_pytorch() -> None:
    """The list under torch.dtype, type promotion."""
    floats, doubles, ints = tt.ones(1, dtype=F32), tt.ones(1, dtype=F64), tt.ones(1, dtype=I64)
    bools, bytes_, long_zero, double_zero = (
        tt.ones(1, dtype=B),
        tt.ones(1, dtype=U8),
        tt.tensor(1),
        tt.tensor(1.0, dtype=F64),
    )
    assert (ints + 5).dtype == I64
    assert (ints + 5.5).dtype == F32
    assert (ints + long_zero).dtype == I64
    assert (bytes_ + 5).dtype == U8
    assert (bytes_ + long_zero).dtype == U8
    assert (bools + 5).dtype == I64
    assert (floats + double_zero).dtype == F32
    assert (floats + doubles).dtype == F64
    assert (bools + bytes_).dtype == U8
    assert tt.add(ints, floats).dtype == F32


def test_the_default_dtype() -> None:
    assert tt.get_default_dtype() == F32
    try:
        tt.set_default_dtype(tt.float64)
        assert (
            tt.tensor(1.5).dtype
            == tt.zeros(2).dtype
            == (tt.tensor([1]) / 2).dtype
            == tt.tensor([1]).sqrt().dtype
            == F64
        )
        assert "dtype" not in repr(tt.ones(1))
    finally:
        tt.set_default_dtype(tt.float32)
    for bad in (np.int64, np.float16):
        with pytest.raises(TypeError, match="set_default_dtype"):
            tt.set_default_dtype(bad)


def test_integers_have_no_difference_or_reverse_where_bool() -> None:
    with pytest.raises(TypeError, match="bool tensors have no difference"):
        tt.tensor([True]) - tt.tensor([False])
    assert (tt.tensor([True]) + tt.tensor([True])).tolist() == [True]
    assert (tt.tensor([7]) / tt.tensor([2])).tolist() == [3.5]
    assert (tt.tensor([1]) / 0).tolist() == [float("inf")]
    assert tt.exp(tt.tensor([0])).dtype == F32
    assert tt.relu(tt.tensor([True])).dtype == F32
    for power in (tt.square(tt.tensor([True])), tt.tensor([True]) ** 2, tt.tensor([True]) ** tt.tensor([True])):
        assert (power.dtype, power.tolist()) == (I64, [1])
    assert tt.sign(tt.tensor([True, False])).tolist() == [True, False]
    assert (-tt.tensor([1, -2])).tolist() == [-1, 2]
    assert abs(tt.tensor([1, -2])).tolist() == [1, 2]
    assert tt.tensor([1, 5, 9]).clamp(2, 6).tolist() == [2, 5, 6]
    assert tt.tensor([1, 5, 9]).clamp(2.5).tolist() == [2.5, 5, 9]


# ----------------------------------------------------------------------------------------------------------- operators
ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARED = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("f", ARITHMETIC + COMPARED, ids=lambda f: f.__name__)
def test_operators_with_arrays_and_numbers_on_either_side(f: Any) -> None:
    a, b = np.array([[1.0, 2.0, 3.0]]), np.array([[2.0], [3.0]])
    t = tt.tensor(a)
    for other in (b, tt.tensor(b), 2, 2.5, np.float64(2.5), True, np.array(2.0), tt.tensor(2)):
        plain = other.numpy() if isinstance(other, tt.Tensor) else other
        for got, want in ((f(t, other), f(a, plain)), (f(other, t), f(plain, a))):
            assert isinstance(got, tt.Tensor)
            assert got.dtype == (B if f in COMPARED else F64)
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-15)


def test_matmul_operator_with_arrays() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    for got in (tt.tensor(a) @ b, a @ tt.tensor(b), tt.tensor(a) @ tt.tensor(b)):
        assert isinstance(got, tt.Tensor)
        np.testing.assert_array_equal(got.numpy(), a @ b)


def test_gradients_flow_with_an_array_on_the_left() -> None:
    x = tt.ones(3, dtype=F64, requires_grad=True)
    (np.array([1.0, 2.0, 3.0]) * x + np.float64(2) * x - np.ones((2, 3)) / x).sum().backward()
    assert x.grad.tolist() == [2 * 3 + 2, 2 * 4 + 2, 2 * 5 + 2]  # the first two terms are broadcast to two rows


def test_unary_and_bitwise_operators() -> None:
    x = tt.tensor([1.0, -2.0])
    assert (-x).tolist() == [-1, 2]
    assert (+x) is x
    assert abs(x).tolist() == [1, 2]
    b, c = tt.tensor([True, False]), tt.tensor([True, True])
    assert (~b).tolist() == [False, True]
    assert ((b & c).tolist(), (b | c).tolist(), (b ^ c).tolist()) == ([True, False], [True, True], [False, True])
    assert (tt.tensor([6]) & 3).tolist() == (3 & tt.tensor([6])).tolist() == [2]
    assert ((1 | tt.tensor([6])).tolist(), (1 ^ tt.tensor([7])).tolist()) == ([7], [6])
    for call in (lambda: x & 1, lambda: ~x, lambda: x | x):
        with pytest.raises(TypeError, match="bitwise"):
            call()


def test_what_is_no_number() -> None:
    x = tt.ones(2)
    for other in ("a", None, object(), [1, 2], 1j):
        with pytest.raises(TypeError):
            x + other
    with pytest.raises(ValueError, match=r"add: shapes \(2,\) and \(3,\) cannot be broadcast"):
        x + tt.ones(3)


def test_shapes_in_errors_of_every_binary_kernel() -> None:
    for name in ("add", "sub", "mul", "div", "pow", "maximum", "minimum"):
        with pytest.raises(ValueError, match=rf"{name}: shapes \(2, 3\) and \(4,\) cannot be broadcast together"):
            getattr(tt, name)(tt.ones(2, 3), tt.ones(4))


# ------------------------------------------------------------------------------------------------- conversions and Python
def test_numbers_from_tensors() -> None:
    t = tt.tensor([[2.5]])
    assert (float(t), int(t), bool(t), t.item()) == (2.5, 2, True, 2.5)
    assert (repr(float(tt.tensor(3))), repr(int(tt.tensor(True)))) == ("3.0", "1")
    assert isinstance(tt.tensor(3).item(), int)
    assert isinstance(tt.tensor(True).item(), bool)
    assert [10, 20, 30][tt.tensor(1)] == 20
    assert f"{tt.tensor(3.14159):.2f}" == "3.14"
    assert f"{tt.tensor(2.5, requires_grad=True)} {tt.tensor(3)}" == "2.5 3"
    assert f"{tt.tensor([1.0])}" == repr(tt.tensor([1.0]))
    with pytest.raises(TypeError):
        format(tt.ones(2), ".2f")
    with pytest.raises(TypeError, match="index"):
        [1, 2][tt.tensor(1.0)]
    for call in (bool, float, int):
        with pytest.raises(ValueError, match=r"shape \(2,\)"):
            call(tt.ones(2))
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        bool(tt.ones(0))


def test_sequence_protocol() -> None:
    t = tt.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(t) == 2
    assert [r.tolist() for r in t] == [[1, 2], [3, 4]]
    _, b = t
    assert b.tolist() == [3, 4]
    assert 3.0 in t
    assert 7 not in t
    for call in (len, iter):
        with pytest.raises(TypeError, match="0-d"):
            call(tt.tensor(1))
    assert len({t, t, tt.ones(1)}) == 2  # hashed by identity
    assert t.tolist() == [[1, 2], [3, 4]]


def test_what_a_tensor_tells() -> None:
    t = tt.zeros(2, 3, 4, dtype=F64)
    assert (t.shape, t.size(), t.size(1), t.size(-1)) == ((2, 3, 4), (2, 3, 4), 3, 4)
    assert (t.ndim, t.dim(), t.numel(), tt.numel(t)) == (3, 3, 24, 24)
    assert (t.nbytes, t.itemsize, t.element_size()) == (192, 8, 8)
    assert (t.stride(), t.stride(0), t.T.stride() if t.ndim < 3 else t.mT.stride()) == ((12, 4, 1), 12, (12, 1, 4))
    assert t.is_contiguous()
    assert not t.mT.is_contiguous()
    assert t.is_floating_point()
    assert not tt.tensor(1).is_floating_point()
    assert tt.is_tensor(t)
    assert not tt.is_tensor(np.zeros(1))


def test_dtype_conversions() -> None:
    t = tt.tensor([0.0, 1.7, -2.3])
    assert t.to(tt.float32) is t
    assert t.float() is t
    for name, dtype in (("double", F64), ("long", I64), ("bool", B), ("float", F32)):
        assert getattr(t, name)().dtype == dtype
    assert t.long().tolist() == [0, 1, -2]
    assert t.bool().tolist() == [False, True, True]
    assert t.to("float64").dtype == t.type_as(tt.ones(1, dtype=F64)).dtype == F64
    x = tt.ones(2, requires_grad=True)
    (x.double() * 3).sum().backward()
    assert (x.grad.dtype, x.grad.tolist()) == (F32, [3, 3])
    with pytest.raises(TypeError, match="to: dtype int16 is not supported"):
        t.to(np.int16)
    with pytest.raises(TypeError, match="complex"):
        t.to(complex)


def test_numpy_shares_memory_both_ways() -> None:
    t = tt.ones(2, 3)
    for a in (t.numpy(), np.asarray(t), t.detach().numpy()):
        assert np.shares_memory(a, t.numpy())
    t.numpy()[0, 0] = 7
    assert t[0, 0].item() == 7
    a = np.zeros(3)
    s = tt.from_numpy(a)
    s += 1
    assert a.tolist() == [1, 1, 1]
    a[0] = 5
    assert s[0].item() == 5
    assert not np.shares_memory(np.array(t), t.numpy())
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.asarray(t, dtype=np.float64, copy=False)
    with pytest.raises(ValueError, match="without a copy"):
        t.__array__(np.float64, copy=False)
    assert (t.__array__(np.float64).dtype, t.__array__(np.float64).tolist()) == (np.float64, t.tolist())
    assert t.__array__() is t.__array__(np.float32, copy=False) is t.numpy()
    assert t.__array__(copy=True).tolist() == t.tolist()
    assert not np.shares_memory(t.__array__(copy=True), t.numpy())
    x = tt.ones(1, requires_grad=True)
    for call in (lambda: x.numpy(), lambda: np.asarray(x), lambda: (x * 2).numpy()):
        with pytest.raises(RuntimeError, match="detach"):
            call()


def test_memory_outlives_its_tensor() -> None:
    a = tt.arange(1000.0).numpy()[::2]
    fill = [tt.zeros(1000) for _ in range(20)]
    assert a[3] == 6
    assert len(fill) == 20


def test_data() -> None:
    x = tt.ones(2, requires_grad=True)
    assert np.shares_memory(x.data.numpy(), x.detach().numpy())
    x.data = tt.tensor([5.0, 6.0])
    assert x.tolist() == [5, 6]
    assert x.requires_grad
    for bad in (tt.ones(3), tt.ones(2, dtype=F64)):
        with pytest.raises(ValueError, match=r"data: expected float32 \(2,\)"):
            x.data = bad


def test_only_arrays_become_tensors_directly() -> None:
    with pytest.raises(TypeError, match=r"use tt.tensor"):
        tt.Tensor([1, 2])
    assert tt.Tensor(np.ones(2, np.int32)).dtype == I64
    with pytest.raises(TypeError, match="int64"):
        tt.Tensor(np.ones(2, np.int64), requires_grad=True)


# -------------------------------------------------------------------------------------------------------------- copies
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_pickle_and_deepcopy(dtype: Any) -> None:
    t = tt.ones(2, 3, dtype=dtype)
    if dtype.kind == "f":
        t.requires_grad_()
    for again in (pickle.loads(pickle.dumps(t)), copy.deepcopy(t)):
        assert (again.dtype, again.shape, again.requires_grad, again.tolist()) == (
            t.dtype,
            t.shape,
            t.requires_grad,
            t.tolist(),
        )
        assert not np.shares_memory(again.detach().numpy(), t.detach().numpy())


def test_deepcopy_takes_gradient_and_layout() -> None:
    x = tt.tensor(np.asfortranarray(np.ones((2, 3))), requires_grad=True)
    (x * 3).sum().backward()
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1]
    assert pair[0].grad.tolist() == x.grad.tolist()
    assert not np.shares_memory(pair[0].grad.numpy(), x.grad.numpy())
    with tt.no_grad():
        pair[0].add_(1)
    assert x.tolist() == [[1, 1, 1]] * 2


def test_what_has_history_cannot_be_pickled_or_copied_deeply() -> None:
    y = tt.ones(2, requires_grad=True) * 2
    for call in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match="only leaves can be"):
            call(y)
    assert copy.deepcopy(y.detach()).tolist() == [2, 2]


def test_clone_keeps_history_and_detach_memory() -> None:
    x = tt.ones(2, requires_grad=True)
    c = x.clone()
    assert not np.shares_memory(c.detach().numpy(), x.detach().numpy())
    (c * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]
    y = tt.zeros(2)
    assert y.copy_(np.array([1, 2])) is y
    assert y.tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"copy_: shape \(3,\) cannot be broadcast to \(2,\)"):
        y.copy_(tt.ones(3))
