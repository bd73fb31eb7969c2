"""New tensors: dtypes, shapes, memory and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt

F32, F64, I64, U8, B = tt.float32, tt.float64, tt.int64, tt.uint8, tt.bool


@pytest.mark.parametrize(
    "data,dtype,shape",
    [
        (1, I64, ()), (1.5, F32, ()), (True, B, ()), ([1, 2], I64, (2,)), ([1, 2.5], F32, (2,)), ([[True, False]], B, (1, 2)), ([], F32, (0,)), ([[], []], F32, (2, 0)),
        (np.float64(1.5), F64, ()), (np.ones(2, np.float64), F64, (2,)), (np.ones(2, np.int32), I64, (2,)), (np.ones(2, np.int8), I64, (2,)),
        (np.ones(2, np.uint8), U8, (2,)), (np.ones(2, np.uint16), I64, (2,)), (np.ones(2, np.float16), F32, (2,)), (np.ones(2, ">f4"), F32, (2,)), (range(3), I64, (3,)),
        ((1.0, 2.0), F32, (2,)),
    ],
    ids=lambda v: str(v)[:30],
)  # fmt: skip
def test_tensor(data: Any, dtype: Any, shape: Any) -> None:
    t = tt.tensor(data)
    assert (t.dtype, t.shape) == (dtype, shape)
    np.testing.assert_array_equal(t.numpy(), np.asarray(data, dtype))


def test_tensor_copies() -> None:
    a = np.ones(2, np.float32)
    t = tt.tensor(a, requires_grad=True)
    a[0] = 7
    assert t.tolist() == [1, 1]
    assert t.requires_grad
    s = tt.tensor(t)
    assert not s.requires_grad
    assert not np.shares_memory(s.numpy(), t.detach().numpy())
    assert tt.tensor([tt.tensor(1.0), tt.tensor(2.0)]).tolist() == [1, 2]
    assert tt.tensor([1.9, -1.9], dtype=tt.int64).tolist() == [1, -1]
    assert tt.tensor(np.asfortranarray(np.ones((2, 3)))).is_contiguous()
    assert tt.tensor(2, dtype=float).dtype == F32


@pytest.mark.parametrize(
    "data,error,message",
    [
        ([[1, 2], [3]], ValueError, "uneven"),
        ("abc", TypeError, "expected numbers"),
        ([None], TypeError, "expected numbers, got object"),
        (1j, TypeError, "complex"),
        (np.ones(2, np.uint64), TypeError, "uint64 is not supported"),
        (np.array(["a"]), TypeError, "expected numbers"),
        (np.ones(2, "M8[s]"), TypeError, "expected numbers"),
    ],
    ids=str,
)
def test_what_is_no_tensor(data: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        tt.tensor(data)


def test_a_dtype_makes_no_tensor_of_complex_numbers() -> None:
    with pytest.raises(TypeError, match="tensor: complex numbers are out of tinytensor's scope"):
        tt.tensor([1j], dtype="float32")


def test_integers_take_no_gradient() -> None:
    for make in (
        lambda: tt.tensor([1], requires_grad=True),
        lambda: tt.zeros(2, dtype=tt.int64, requires_grad=True),
        lambda: tt.arange(3, requires_grad=True),
    ):
        with pytest.raises(TypeError, match="only float32 and float64 tensors have gradients, this is int64"):
            make()


def test_as_tensor_and_from_numpy_share() -> None:
    a = np.ones(3, np.float32)
    for t in (tt.as_tensor(a), tt.from_numpy(a), tt.from_numpy(a[::-1])):
        assert np.shares_memory(t.numpy(), a)
    t = tt.ones(2)
    assert tt.as_tensor(t) is t
    assert tt.as_tensor(t, tt.float64).dtype == F64
    assert tt.as_tensor([1, 2]).dtype == I64
    assert not np.shares_memory(tt.as_tensor(a, tt.float64).numpy(), a)
    for bad, message in (
        (np.ones(2, np.int32), "int32"),
        ([1, 2], "expected an ndarray, got list"),
        (np.ones(2, ">f8"), "native"),
        (np.ones(2, complex), "complex"),
    ):
        with pytest.raises(TypeError, match=message):
            tt.from_numpy(bad)
    unaligned = np.frombuffer(b"\0" * 9, np.uint8)[1:].view(np.float64)
    with pytest.raises(TypeError, match="aligned"):
        tt.from_numpy(unaligned)


@pytest.mark.parametrize("dtype", [B, U8, I64, F32, F64], ids=str)
def test_filled(dtype: Any) -> None:
    for t, value in (
        (tt.zeros(2, 3, dtype=dtype), 0),
        (tt.ones((2, 3), dtype=dtype), 1),
        (tt.full((2, 3), 1, dtype=dtype), 1),
        (tt.empty(2, 3, dtype=dtype).zero_(), 0),
    ):
        assert (t.shape, t.dtype) == ((2, 3), dtype)
        assert (t.numpy() == value).all()
    x = tt.zeros(2, 3, dtype=dtype)
    for like in (tt.zeros_like, tt.ones_like, tt.empty_like):
        assert (like(x).shape, like(x).dtype) == ((2, 3), dtype)
    assert tt.full_like(x, 1).sum().item() == 6
    assert tt.ones_like(x, dtype=F64).dtype == F64


def test_defaults_and_shapes() -> None:
    assert (
        tt.zeros(2).dtype
        == tt.ones(2).dtype
        == tt.empty(2).dtype
        == tt.eye(2).dtype
        == tt.linspace(0, 1, 3).dtype
        == F32
    )
    assert (tt.full((2,), 1).dtype, tt.full((2,), 1.0).dtype, tt.full((2,), True).dtype) == (I64, F32, B)
    assert tt.zeros(()).shape == tt.zeros([]).shape == ()
    assert tt.zeros(0, 3).numel() == 0
    assert tt.full(3, 2.0).shape == (3,)
    assert tt.ones(2, requires_grad=True).requires_grad
    with pytest.raises(ValueError, match="negative size"):
        tt.zeros(-1)
    with pytest.raises(MemoryError):
        tt.zeros(2**40, 2**20)
    with pytest.raises(TypeError, match="int16"):
        tt.zeros(2, dtype=np.int16)


def test_arange() -> None:
    assert tt.arange(4).tolist() == [0, 1, 2, 3]
    assert tt.arange(4).dtype == I64
    assert tt.arange(1, 4).tolist() == [1, 2, 3]
    assert tt.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert tt.arange(0, 1, 0.25).tolist() == [0, 0.25, 0.5, 0.75]
    assert tt.arange(4.0).dtype == F32
    assert tt.arange(0).shape == (0,)
    assert tt.arange(3, dtype=F64).dtype == F64
    assert tt.arange(0, 1, 0.1, dtype=F64).shape == (10,)
    assert tt.arange(2**53, 2**53 + 3).tolist() == [2**53, 2**53 + 1, 2**53 + 2]
    for bad in ((1, 0), (0, 1, 0), (0, 1, -1)):
        with pytest.raises(ValueError, match="does not lead"):
            tt.arange(*bad)


def test_linspace_and_eye() -> None:
    assert tt.linspace(0, 1, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert tt.linspace(3, 9, 1).tolist() == [3]
    assert tt.linspace(0, 1, 0).shape == (0,)
    t = tt.linspace(-1, 1, 1001, dtype=F64)
    assert (t[0].item(), t[-1].item()) == (-1, 1)
    with pytest.raises(ValueError, match="steps >= 0"):
        tt.linspace(0, 1, -1)
    assert tt.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert tt.eye(2, dtype=I64).dtype == I64


def test_new_memory_is_aligned_and_own() -> None:
    """To 64 bytes where there are more than 16, which lie in the object that owns them."""
    for n in (1, 3, 5, 17, 1000, 4097):
        for dtype in (F32, F64):
            a, b = tt.zeros(n, dtype=dtype).numpy(), tt.ones(n, dtype=dtype).numpy()
            assert a.ctypes.data % (64 if a.nbytes > 16 else a.itemsize) == 0
            assert not np.shares_memory(a, b)
