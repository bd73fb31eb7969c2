"""The bindings: what they take and refuse, the pool, the owner of memory, instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels as K

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


# ---------------------------------------------------------------------------------------------------------- elementwise
def test_every_kernel_by_its_name() -> None:
    assert sorted(K.OPS.values()) == list(range(len(K.OPS)))
    for name in ("add", "relu", "relu_grad", "where", "pow_grad_base"):
        assert name in K.OPS


@DTYPES
def test_more_dimensions_than_the_loops_of_most(dtype: str) -> None:
    """Twelve dimensions, permuted, broadcast and negative: the same as NumPy's."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2,) * 12).astype(dtype)
    b = a.transpose(rng.permutation(12))[..., ::-1]
    c = np.broadcast_to(rng.normal(size=(2, 1, 2, 1, 1)).astype(dtype), (2,) * 12)
    np.testing.assert_array_equal(K.map2(K.OPS["mul"], b, c), b * c)
    np.testing.assert_array_equal(K.map2(K.OPS["sub"], c, b), c - b)
    np.testing.assert_array_equal(K.map1(K.OPS["neg"], b), -b)


@DTYPES
def test_blocks_and_rows_that_do_not_fit_each_other(dtype: str) -> None:
    """The driver gathers 1024 elements at a time, whatever the length of a row."""
    rng = np.random.default_rng(0)
    for shape in ((3, 1023), (1025, 3), (7, 11, 131), (2, 4097), (1, 5000), (5000, 1)):
        a, b = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[::-1]).astype(dtype).T
        np.testing.assert_array_equal(K.map2(K.OPS["add"], a, b), a + b)
        np.testing.assert_array_equal(K.map2(K.OPS["add"], a[::-1], b[..., ::-1]), a[::-1] + b[..., ::-1])
        np.testing.assert_array_equal(K.map2(K.OPS["mul"], b, 3.0), b * np.asarray(3, dtype))
        np.testing.assert_array_equal(K.map3(K.OPS["where"], a > b, a, b), np.where(a > b, a, b))


@DTYPES
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_no_bit(dtype: str, threads: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(600, 1001)).astype(dtype), rng.normal(size=(1001, 600)).astype(dtype).T
    calls = [lambda n=n: K.map1(K.OPS[n], b) for n in ("exp", "tanh", "gelu", "sin")] + [
        lambda: K.map2(K.OPS["pow"], abs(a), b),
        lambda: K.map2(K.OPS["add"], a, b),
    ]
    with tt.threads(1):
        one = [c() for c in calls]
    with tt.threads(threads):
        K.seen_threads(True)
        for c, w in zip(calls, one):
            assert c().tobytes() == w.tobytes()
        assert K.seen_threads(True) == threads


@DTYPES
def test_results_can_be_written_into_an_argument(dtype: str) -> None:
    a, b = np.arange(5.0).astype(dtype), np.ones(5, dtype)
    assert K.map2(K.OPS["add"], a, b, a) is a
    assert a.tolist() == [1, 2, 3, 4, 5]
    strided = np.zeros(10, dtype)[::2]
    K.map2(K.OPS["add"], a, b, strided)
    assert strided.tolist() == [2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="does not fit in place"):
        K.map2(K.OPS["add"], a, b, np.zeros(4, dtype))
    frozen = np.zeros(5, dtype)
    frozen.flags.writeable = False
    with pytest.raises(TypeError, match="read-only"):
        K.map2(K.OPS["add"], a, b, frozen)


def test_what_a_kernel_refuses() -> None:
    a, b = np.ones(3, np.float32), np.ones(3)
    with pytest.raises(TypeError, match="add: expected one dtype, got float32 and float64"):
        K.map2(K.OPS["add"], a, b)
    with pytest.raises(TypeError, match="exp: expected float32 or float64, got int64"):
        K.map1(K.OPS["exp"], np.ones(3, np.int64))
    with pytest.raises(TypeError, match="at least one float array"):
        K.map2(K.OPS["add"], 1.0, 2.0)
    with pytest.raises(TypeError, match="where: expected a bool condition, got float32"):
        K.map3(K.OPS["where"], a, a, a)
    with pytest.raises(TypeError, match="where: expected float32 or float64, got int64"):
        K.map3(K.OPS["where"], a > 0, np.ones(3, np.int64), a)
    with pytest.raises(TypeError, match="where: expected one dtype, got float32 and float64"):
        K.map3(K.OPS["where"], a > 0, a, b)
    with pytest.raises(ValueError, match=r"mul: shapes \(3,\) and \(4,\)"):
        K.map2(K.OPS["mul"], a, np.ones(4, np.float32))


def test_unaligned_and_foreign_memory() -> None:
    odd = np.frombuffer(b"\0" + np.arange(9.0).tobytes(), np.uint8)[1:].view(np.float64)
    assert K.map1(K.OPS["neg"], odd).tolist() == (-odd).tolist()
    assert K.reduce(K.SUM, odd) == 36
    assert K.matmul(odd.reshape(3, 3), np.eye(3)).tolist() == odd.reshape(3, 3).tolist()
    swapped = np.arange(5.0).astype(">f8")
    np.testing.assert_allclose(tt.exp(swapped), np.exp(np.arange(5.0)), rtol=1e-15)
    assert tt.tensor(swapped).tolist() == [0, 1, 2, 3, 4]


@DTYPES
def test_special_values(dtype: str) -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e38, -1e38, 1.0, -1.0, 5e-324], dtype)
    with np.errstate(all="ignore"):
        for name in (
            "neg",
            "abs",
            "sign",
            "exp",
            "log",
            "log1p",
            "expm1",
            "sqrt",
            "square",
            "reciprocal",
            "sin",
            "cos",
            "tanh",
        ):
            got, want = K.map1(K.OPS[name], x), getattr(np, {"neg": "negative"}.get(name, name))(x)
            np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=name)
            np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps, atol=0, err_msg=name)
            known = ~np.isnan(want)
            if name not in ("sign", "log1p"):  # NumPy's sign(-0.0) is 0.0
                np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]), err_msg=name)
        pairs = [(a, b) for a in x for b in x]
        a, b = (np.array(v, dtype) for v in zip(*pairs))
        for name, f in (
            ("add", np.add),
            ("sub", np.subtract),
            ("mul", np.multiply),
            ("div", np.divide),
            ("maximum", np.maximum),
            ("minimum", np.minimum),
            ("pow", np.power),
        ):
            np.testing.assert_allclose(
                K.map2(K.OPS[name], a, b), f(a, b), rtol=4 * np.finfo(dtype).eps, atol=0, err_msg=name
            )


def test_subnormals_are_kept() -> None:
    tiny = np.full(40, 1e-40, np.float32)
    assert (K.map2(K.OPS["mul"], tiny, 0.5) > 0).all()
    assert (K.map2(K.OPS["add"], tiny, tiny) > tiny).all()
    assert K.reduce(K.SUM, tiny) > 0
    assert (K.matmul(tiny.reshape(1, 40), np.ones((40, 3), np.float32)) > 0).all()


# -------------------------------------------------------------------------------------------------------------- memory
@pytest.mark.skipif(not K.pool_limit(), reason="this build keeps no memory back")
def test_the_pool_counts_what_it_holds_and_wastes_at_most_a_quarter() -> None:
    for units in [*range(1, 260), *(2**e + d for e in range(9, 17) for d in (-1, 0, 1, 2**e // 3))]:
        for n in (64 * units - 47, 64 * units):  # up to 16 bytes lie in the owner
            K.pool_clear()
            a = K.empty((n,), np.uint8)
            del a
            waiting = K.pool_bytes()
            assert n <= waiting <= 1.25 * 64 * units, n
            a = K.empty((n,), np.uint8)
            assert K.pool_bytes() == 0, n
            del a


@pytest.mark.skipif(not K.pool_limit(), reason="this build keeps no memory back")
def test_memory_comes_back_to_the_pool() -> None:
    K.pool_clear()
    assert K.pool_bytes() == 0
    a = K.empty((1000,), np.float32)
    at = a.ctypes.data
    del a
    waiting = K.pool_bytes()
    assert waiting >= 4000
    b = K.empty((1000,), np.float32)
    assert b.ctypes.data == at
    assert K.pool_bytes() < waiting
    del b
    K.pool_clear()
    assert K.pool_bytes() == 0


def test_a_view_keeps_the_memory() -> None:
    K.pool_clear()
    a = K.empty((1000,), np.float32)
    view = a[10:20]
    view[...] = 7
    del a
    assert K.pool_bytes() == 0
    others = [K.empty((1000,), np.float32) for _ in range(3)]
    for o in others:
        o[...] = 1
    assert view.tolist() == [7] * 10


def test_sizes_of_every_class() -> None:
    held = []
    for n in [*range(0, 300, 7), *(2**k + d for k in range(8, 18) for d in (-1, 0, 1))]:
        a = K.empty((n,), np.uint8)
        a[...] = n % 251
        held.append((n, a))
    assert all((a == n % 251).all() for n, a in held)


def test_empty_refuses() -> None:
    for shape, dtype, error in (
        ((-1,), np.float32, ValueError),
        ((2,), np.int16, TypeError),
        ((2**50,), np.float32, MemoryError),
        ((1,) * 40, np.float32, ValueError),
    ):
        with pytest.raises(error):
            K.empty(shape, dtype)


def test_versions_are_of_the_memory() -> None:
    a = K.empty((4,), np.float32)
    view = a[1:].reshape(3, 1)
    assert (K.version(a), K.version(view)) == (0, 0)
    K.changed(view)
    assert (K.version(a), K.version(view)) == (1, 1)
    assert K.block(a) is K.block(view)
    foreign = np.zeros(3)
    assert K.block(foreign) is None
    assert K.version(foreign) == 0
    ours = K.owned(foreign)
    assert np.shares_memory(ours, foreign)
    K.changed(ours)
    assert K.version(ours) == 1
    assert K.owned(ours) is ours


# ------------------------------------------------------------------------------------------------------- rows by index
@DTYPES
def test_gather_rows(dtype: str) -> None:
    src = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
    index = np.array([5, 0, 5, -1])
    got = K.gather_rows(src, index, dtype, 0.5, 1.0)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, src[index] * 0.5 + 1)
    np.testing.assert_array_equal(K.gather_rows(src.astype("float32"), index, dtype, 2.0, 1.0), src[index] * 2 + 1)
    assert K.gather_rows(src, np.array([], np.int64), dtype).shape == (0, 2, 2)
    for bad in (6, -7):
        with pytest.raises(IndexError, match=f"index {bad} at 1 is outside the 6 rows"):
            K.gather_rows(src, np.array([0, bad]), dtype)
    with pytest.raises(TypeError, match="int64"):
        K.gather_rows(src, np.array([0.5]), dtype)
    with pytest.raises(TypeError, match="int16"):
        K.gather_rows(src.astype(np.int16), index, dtype)


@DTYPES
def test_scatter_add(dtype: str) -> None:
    out = np.zeros((3, 2), dtype)
    assert K.scatter_add(out, np.array([2, 0, 2]), np.arange(6.0).astype(dtype).reshape(3, 2)) is out
    assert out.tolist() == [[2, 3], [0, 0], [4, 6]]
    with pytest.raises(IndexError, match="index 3 at 1"):
        K.scatter_add(out, np.array([0, 3]), np.ones((2, 2), dtype))
    with pytest.raises(ValueError, match="do not fit"):
        K.scatter_add(out, np.array([0]), np.ones((2, 2), dtype))


def test_cross_entropy_checks() -> None:
    x = np.ones((2, 3), np.float32)
    for target in (np.array([0, 3]), np.array([-1, 0])):
        with pytest.raises(IndexError):
            K.xent(x, target, None, -100, 0.0)


# --------------------------------------------------------------------------------------------------- instruction sets
def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    elsewhere = Path(K.__file__).parents[1]  # not a clone, where the kernels may not be built
    env = {**os.environ, **environment}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=elsewhere, env=env, capture_output=True, text=True, check=False)


def test_the_instruction_set_is_chosen_or_forced() -> None:
    names = K.isas()
    assert names[-1] == "generic"
    assert K.isa() in names
    assert K.fused() == (K.isa() != "generic")
    for name in names:
        r = run("from tinytensor import _kernels as K; print(K.isa(), K.fused())", TINYTENSOR_ISA=name)
        assert r.stdout.split() == [name, str(name != "generic")]
    r = run("import tinytensor", TINYTENSOR_ISA="mmx")
    assert r.returncode != 0
    assert "ImportError: TINYTENSOR_ISA='mmx'" in r.stderr


PROGRAM = """
import hashlib, numpy as np, tinytensor as tt
rng = np.random.default_rng(0)
h = hashlib.sha256()
for d in ("float32", "float64"):
    x, y = rng.normal(size=(37, 203)).astype(d), rng.normal(size=(203, 41)).astype(d)
    a, b = tt.tensor(x, requires_grad=True), tt.tensor(y, requires_grad=True)
    z = tt.gelu(a @ b) + tt.silu(a @ b) * tt.tanh(a @ b) + tt.softmax(a @ b, 0) ** 1.5
    loss = tt.cross_entropy(z, np.arange(37) % 41, label_smoothing=0.1) + tt.logsumexp(tt.erf(z)) + tt.var(tt.sin(z)) + tt.norm(tt.softplus(z))
    loss.backward()
    for t in (z, loss, a.grad, b.grad, tt.randn(999, dtype=d, generator=tt.Generator(1))):
        h.update(t.detach().numpy().tobytes())
print(h.hexdigest())
"""


def test_the_same_bits_on_every_set_with_fma_and_any_threads() -> None:
    hashes = {
        run(PROGRAM, TINYTENSOR_ISA=name, TINYTENSOR_NUM_THREADS=n).stdout
        for name in K.isas()
        if name != "generic"
        for n in ("1", "3")
    }
    assert len(hashes) <= 1
    generic = {run(PROGRAM, TINYTENSOR_ISA="generic", TINYTENSOR_NUM_THREADS=n).stdout for n in ("1", "3")}
    assert len(generic) == 1
    assert all(len(h) == 65 for h in hashes | generic)


def test_threads_and_their_errors() -> None:
    before = tt.get_num_threads()
    with tt.threads(3):
        assert tt.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), tt.threads(2):
            raise ZeroDivisionError
        assert tt.get_num_threads() == 3
    assert tt.get_num_threads() == before
    for call in (lambda: tt.set_num_threads(0), lambda: tt.threads(0)):
        with pytest.raises(ValueError, match="at least 1"):
            call()
    r = run("import tinytensor", TINYTENSOR_NUM_THREADS="two")
    assert "TINYTENSOR_NUM_THREADS='two': expected a number" in r.stderr


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    tt.show_config()
    text: Any = capsys.readouterr().out
    assert f"instruction set: {K.isa()}" in text
    assert ("without fused multiply-add they differ" in text) == (K.isa() == "generic")


# ---------------------------------------------------------------------------------------------- what no op would ever ask for
X, INTS = np.ones((3, 4), np.float32), np.array([0, 2], np.int64)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: K.map1(10_000, X), ValueError),
        (lambda: K.map1(-1, X), ValueError),
        (lambda: K.map1(K.OPS["add"], X), ValueError),
        (lambda: K.map2(K.OPS["exp"], X, X), ValueError),
        (lambda: K.map2(K.OPS["add"], X, X, [1]), TypeError),
        (lambda: K.reduce(6, X), ValueError),
        (lambda: K.reduce(K.DOT, X), ValueError),
        (lambda: K.reduce(K.SUM, X, (2,)), ValueError),
        (lambda: K.reduce(K.SUM, X, (-1,)), ValueError),
        (lambda: K.reduce(K.SUM, X, (0, 0)), ValueError),
        (lambda: K.rows(9, X), ValueError),
        (lambda: K.rows(K.SOFTMAX_GRAD, X), ValueError),
        (lambda: K.xent(X, np.zeros(3, np.int64), None, -100, 0.0, "median"), ValueError),
        (lambda: K.random(7, (3,), np.float32, 0, 0, 0.0, 1.0), ValueError),
        (lambda: K.linear(X, X, None, 10_000), ValueError),
        (lambda: K.linear_grad(X, X, X, X, X, 3, 0.0, 0.0, False, (1, 1, 1), None), ValueError),
        (lambda: K.linear_grad(X, X, X, None, None, -1, 0.0, 0.0, False, (0, 1, 0), [None, INTS, None]), ValueError),
        (lambda: K.sparse_product(INTS[:1], INTS[1:], np.array([0, 9], np.int32), X[0, :2], X, X[0]), IndexError),
        (lambda: K.to_sparse(X, np.int32), TypeError),
        (lambda: K.gather_rows(np.ones((1,) * 40, np.uint8), INTS[:1], np.float32), ValueError),
        (lambda: K.alone([], 0), IndexError),
        (lambda: K.map2(K.OPS["add"], *(np.broadcast_to(X[:1, :1], s) for s in ((1 << 31, 1), (1, 1 << 31)))), MemoryError),
    ],
)  # fmt: skip
def test_what_no_kernel_can_do_is_refused(call: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        call()


def test_indices_that_are_swapped_or_lie_oddly_are_read() -> None:
    raw = np.zeros(17, np.uint8)
    odd = raw[1:].view(np.int64)
    odd[...] = [2, 0]
    for index in (odd, np.array([2, 0], ">i8"), np.array([2, 0], np.longlong)):
        assert K.gather_rows(np.arange(6, dtype=np.uint8).reshape(3, 2), index, np.float32).tolist() == [
            [4, 5],
            [0, 1],
        ]
