"""Memory shared with other libraries: DLPack and the buffer protocol, both ways, and what cannot be shared."""

from __future__ import annotations

import array
import ctypes
import gc
import hashlib
import mmap
import pickle
import sys
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels

DTYPES = (tt.float32, tt.float64, tt.int64, tt.uint8, tt.bool)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
numpy_may_write = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="what NumPy 2.0 takes by DLPack is read-only"
)


def address(t: tt.Tensor) -> int:
    return int(t.numpy().__array_interface__["data"][0])


def scribble() -> None:
    """Use the memory that was just given back, so that what still points there reads something else."""
    gc.collect()
    for _ in range(20):
        tt.full((1000,), 77.0)


class Other:
    """Another library's array: DLPack alone, on any device, of any version."""

    def __init__(self, inside: Any, device: tuple[int, int] = (1, 0), old: bool = False) -> None:
        self.inside, self.device, self.old = inside, device, old

    def __dlpack__(self, **how: Any) -> Any:
        if self.old and how:
            raise TypeError("unexpected keyword")
        return self.inside.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


# ---------------------------------------------------------------------------------------------------------------- DLPack
@numpy_may_write
@each_dtype
def test_dlpack_shares_memory_both_ways(dtype: Any) -> None:
    t = tt.tensor(np.arange(6).reshape(2, 3) % 2, dtype=dtype)
    a = np.from_dlpack(t)
    assert (a.dtype, a.shape, a.flags.writeable) == (dtype, (2, 3), True)
    assert np.shares_memory(a, t.numpy())
    u = tt.from_dlpack(t)
    v = tt.from_dlpack(np.from_dlpack(Other(t)))
    for other in (u, v):
        assert (address(other), other.dtype, other.shape) == (address(t), dtype, (2, 3))
    a[0, 0] = 1
    assert t[0, 0].item() == u[0, 0].item() == v[0, 0].item() == 1
    u[1, 1] = 0
    assert a[1, 1] == 0


@numpy_may_write
@pytest.mark.parametrize("size", [3, 1000])  # inside the block, and in the pool
def test_dlpack_outlives_the_other_side(size: int) -> None:
    t = tt.arange(float(size))
    a = np.from_dlpack(t)
    del t
    scribble()
    assert a.tolist() == list(range(size))
    u = tt.from_dlpack(a)
    del a
    scribble()
    assert u.tolist() == list(range(size))
    w = tt.from_dlpack(Other(np.arange(float(size))))
    scribble()
    assert w.tolist() == list(range(size))


def test_strided_tensors_go_through_dlpack() -> None:
    t = tt.arange(24.0).reshape(4, 6)
    for part in (t.T, t[1:, ::2], t[:, 3], t[2, 3], t[:0]):
        a = np.from_dlpack(part)
        assert (a.tolist(), a.shape) == (part.tolist(), part.shape)
        assert address(tt.from_dlpack(part)) == address(part)
    b = np.arange(6.0)[::-1]
    assert tt.from_dlpack(b).tolist() == [5, 4, 3, 2, 1, 0]  # a reader of ours may run backward
    with pytest.raises(BufferError, match=r"__dlpack__: strides \(-1,\) run backward.*contiguous"):
        np.from_dlpack(tt.arange(6.0)[::-1])


def test_a_tensor_that_requires_grad_is_not_exported() -> None:
    x = tt.ones(2, requires_grad=True)
    for t in (x, x * 2):
        for call in (np.from_dlpack, tt.from_dlpack, memoryview):
            with pytest.raises(BufferError, match=r"requires grad.*detach"):
                call(t)
        assert np.from_dlpack(t.detach()).shape == (2,)
        with pytest.raises(RuntimeError, match="detach"):
            np.asarray(t)


def test_readonly_memory_through_dlpack() -> None:
    locked = np.arange(3.0)
    locked.flags.writeable = False
    for t in (tt.from_numpy(locked), tt.ones(1).expand(3)):
        with pytest.raises(BufferError, match=r"read-only.*clone"):
            t.__dlpack__()
        assert np.from_dlpack(Other(t.clone(), old=True)).tolist() == t.tolist()
        if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
            again = tt.from_dlpack(t)
            assert address(again) == address(t)
            with pytest.raises(ValueError, match="read-only"):
                again += 1


def test_what_an_old_library_cannot_say_is_readonly() -> None:
    a = np.arange(3.0)
    t = tt.from_dlpack(Other(a, old=True))
    assert np.shares_memory(t.numpy(), a)
    with pytest.raises(ValueError, match="read-only"):
        t += 1
    capsule = tt.from_dlpack(a.__dlpack__())
    assert np.shares_memory(capsule.numpy(), a)


def test_options_of_dlpack() -> None:
    t = tt.arange(3.0)
    assert t.__dlpack_device__() == (1, 0)
    assert tt.from_dlpack(t.__dlpack__(stream=-1, dl_device=(1, 0), copy=False)).tolist() == [0, 1, 2]
    copied = tt.from_dlpack(t.__dlpack__(copy=True))
    assert (copied.tolist(), address(copied) != address(t)) == ([0, 1, 2], True)
    with pytest.raises(BufferError, match="stream=3"):
        t.__dlpack__(stream=3)
    with pytest.raises(BufferError, match=r"asked for \(2, 0\)"):
        t.__dlpack__(dl_device=(2, 0))


def test_what_dlpack_refuses() -> None:
    with pytest.raises(TypeError, match=r"expected an object with __dlpack__.*list"):
        tt.from_dlpack([1, 2])
    with pytest.raises(BufferError, match=r"device \(2, 1\), not on the CPU"):
        tt.from_dlpack(Other(np.ones(2), device=(2, 1)))
    for dtype in (np.int32, np.float16):
        with pytest.raises(TypeError, match=f"from_dlpack: dtype {np.dtype(dtype)} is not supported.*tt.tensor"):
            tt.from_dlpack(np.ones(2, dtype))
    with pytest.raises(TypeError, match="complex"):
        tt.from_dlpack(np.ones(2, complex))


# ---------------------------------------------------------------------------------------------------------------- buffers
@each_dtype
def test_a_tensor_is_a_buffer(dtype: Any) -> None:
    t = tt.tensor(np.arange(6).reshape(2, 3) % 2, dtype=dtype)
    m = memoryview(t)
    assert (m.shape, m.strides, m.itemsize, m.format, m.readonly) == (
        (2, 3),
        t.numpy().strides,
        dtype.itemsize,
        dtype.char,
        False,
    )
    assert m.tolist() == t.tolist()
    m[0, 0] = 1 if dtype.kind != "b" else True
    assert t[0, 0].item() == 1
    assert bytes(t) == bytes(t.T.T) == t.numpy().tobytes()
    assert bytes(t.T) == t.T.numpy().tobytes()
    assert hashlib.sha256(t).digest() == hashlib.sha256(t.numpy()).digest()
    again = tt.frombuffer(t, dtype=dtype)
    assert (address(again), again.shape) == (address(t), (6,))


def test_a_buffer_outlives_its_tensor_and_tensors_that_change() -> None:
    t = tt.arange(1000.0)
    m, a = memoryview(t), np.asarray(t)
    assert np.shares_memory(a, t.numpy())
    t.data = tt.zeros(1000)
    del t
    scribble()
    assert (m[999], a[999]) == (999, 999)
    with m, pytest.raises(ValueError, match="released"):
        m.release()
        m[0]


def test_changes_through_numpys_view_of_a_buffer_are_counted() -> None:
    """np.asarray(t) goes through the buffer: a tensor on it still is the same memory to backward."""
    w = tt.ones(3, requires_grad=True)
    x = tt.tensor([1.0, 2.0, 3.0])
    y = (w * x).sum()
    tt.from_numpy(np.asarray(x)).mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    assert _kernels.block(np.asarray(x)) is _kernels.block(x.numpy())
    assert _kernels.block(np.asarray(memoryview(b"abcd"))) is None


def test_strided_and_readonly_buffers() -> None:
    t = tt.arange(6.0).reshape(2, 3)
    m = memoryview(t.T[::-1])
    assert (m.shape, m.strides, m.contiguous) == ((3, 2), (-4, 12), False)
    assert np.asarray(t.T[::-1]).tolist() == t.T[::-1].tolist()
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        hashlib.sha256(t.T)
    repeated = tt.ones(1).expand(3)
    assert memoryview(repeated).readonly
    with pytest.raises(TypeError):
        memoryview(repeated)[0] = 2.0
    with pytest.raises((BufferError, TypeError)):
        (ctypes.c_float * 3).from_buffer(repeated)
    assert not np.asarray(repeated).flags.writeable


def test_empty_and_0d_buffers() -> None:
    assert memoryview(tt.zeros(0, 3)).nbytes == 0
    assert memoryview(tt.tensor(2.5)).tolist() == 2.5
    assert np.asarray(tt.tensor(2.5)).shape == ()
    assert np.asarray(tt.zeros(0, 3)).shape == (0, 3)


def test_views_of_a_buffer_leave_no_reference() -> None:
    t = tt.ones(3)
    a = t.numpy()
    before = sys.getrefcount(a), sys.getrefcount(t)
    for _ in range(100):
        memoryview(t).release()
        np.asarray(t)
        with pytest.raises(BufferError):
            memoryview(tt.ones(1, requires_grad=True))
    assert (sys.getrefcount(a), sys.getrefcount(t)) == before


def test_pickling_is_as_it_was() -> None:
    t = tt.arange(6.0).reshape(2, 3)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(t, protocol)).tolist() == t.tolist()


# ------------------------------------------------------------------------------------------------------------ frombuffer
@each_dtype
def test_frombuffer_shares_memory(dtype: Any) -> None:
    memory = bytearray(np.arange(6).astype(dtype).tobytes())
    t = tt.frombuffer(memory, dtype=dtype)
    assert (t.dtype, t.shape) == (dtype, (6,))
    t[0] = 1
    assert memory[: dtype.itemsize] == np.ones(1, dtype).tobytes()
    assert (
        tt.frombuffer(memory, dtype=dtype, count=2, offset=3 * dtype.itemsize).tolist()
        == np.arange(6).astype(dtype)[3:5].tolist()
    )
    with pytest.raises(BufferError):
        memory.append(0)  # it is in use
    del t
    gc.collect()
    memory.append(0)


def test_frombuffer_of_other_objects() -> None:
    assert tt.frombuffer(array.array("d", [1.0, 2.0]), dtype=tt.float64).tolist() == [1, 2]
    assert tt.frombuffer(memoryview(bytearray(b"\x01\x02")), dtype=tt.uint8).tolist() == [1, 2]
    with mmap.mmap(-1, 8) as m:
        t = tt.frombuffer(m, dtype=tt.float32)
        t.fill_(1.5)
        assert m[:4] == np.float32(1.5).tobytes()
        del t
        gc.collect()
    x = tt.frombuffer(bytearray(8), dtype=tt.float32, requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_a_tensor_on_readonly_bytes() -> None:
    t = tt.frombuffer(b"\x01\x02\x03", dtype=tt.uint8)
    assert t.tolist() == [1, 2, 3]
    for change in (lambda: t.add_(1), lambda: t.fill_(0), lambda: t.__setitem__(0, 1)):
        with pytest.raises(ValueError, match="read-only"):
            change()
    assert t.clone().add_(1).tolist() == [2, 3, 4]
    assert (t + 1).tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    "call, error, text",
    [
        (
            lambda: tt.frombuffer(b"12345", dtype=tt.float32),
            ValueError,
            "5 bytes behind the offset are no multiple of the 4 bytes of float32",
        ),
        (lambda: tt.frombuffer(b"12345678", dtype=tt.float32, offset=9), ValueError, "offset between 0 and 8.* got 9"),
        (lambda: tt.frombuffer(b"12345678", dtype=tt.float32, offset=-1), ValueError, "got -1"),
        (
            lambda: tt.frombuffer(b"12345678", dtype=tt.float32, count=3),
            ValueError,
            "3 elements of float32 need 12 bytes, behind the offset are 8",
        ),
        (
            lambda: tt.frombuffer(b"12345678", dtype=tt.float32, count=1, offset=1),
            ValueError,
            "not aligned to the 4 bytes",
        ),
        (lambda: tt.frombuffer("text", dtype=tt.uint8), TypeError, "buffer protocol, got str"),
        (lambda: tt.frombuffer(b"1234", dtype=np.int32), TypeError, "int32 is not supported"),
        (lambda: tt.frombuffer(b"1234", dtype=tt.uint8, requires_grad=True), TypeError, "only float32 and float64"),
    ],
)
def test_what_frombuffer_refuses(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_frombuffer_of_nothing() -> None:
    assert tt.frombuffer(b"", dtype=tt.float32).shape == (0,)
    assert tt.frombuffer(b"1234", dtype=tt.float32, count=0).shape == (0,)
    assert tt.frombuffer(b"1234", dtype=tt.float32, offset=4).shape == (0,)


# --------------------------------------------------------------------------------------------------------------- PyTorch
@pytest.mark.filterwarnings("ignore:.*torch:DeprecationWarning")
@each_dtype
def test_pytorch_and_we_share_memory(dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    t = tt.tensor(np.arange(6).reshape(2, 3) % 2, dtype=dtype)
    p = torch.from_dlpack(t)
    assert (p.data_ptr(), tuple(p.shape), p.tolist()) == (address(t), (2, 3), t.tolist())
    p[0, 0] = 1
    assert t[0, 0].item() == 1
    assert torch.from_dlpack(t.T).tolist() == t.T.tolist()
    del t
    scribble()
    assert p[0, 1].item() == 1
    q = torch.arange(1000).reshape(10, 100).to(p.dtype)
    for source in (q, q.T, q[::2, 1::3]):
        u = tt.from_dlpack(source)
        assert (address(u), u.tolist(), u.dtype) == (source.data_ptr(), source.tolist(), dtype)
    u[0, 0] = 1
    assert q[0, 1].item() == 1
    values = source.tolist()
    values[0][0] = u[0, 0].item()
    del q, source
    scribble()
    assert u.tolist() == values
    assert tt.from_dlpack(torch.utils.dlpack.to_dlpack(torch.ones(2))).tolist() == [1, 1]


@pytest.mark.filterwarnings("ignore:.*torch:DeprecationWarning")
def test_what_pytorch_and_we_refuse_each_other() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(BufferError, match="detach"):
        torch.from_dlpack(tt.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match="require"):
        tt.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match="run backward"):  # on which PyTorch ends the process
        torch.from_dlpack(tt.arange(3.0)[::-1])
    with pytest.raises(TypeError, match="from_dlpack"):
        tt.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="float16 is not supported"):
        tt.from_dlpack(torch.ones(2, dtype=torch.float16))
