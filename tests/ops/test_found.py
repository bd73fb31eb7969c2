"""What tests/fuzz_values.py, its like and the page of exceptions found, each as a call that was wrong before."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F

A = np.array([1.0, 2.0, 3.0])
SWAPPED = A.astype(">f8")
X = tt.tensor(A)

FOREIGN: dict[str, tuple[Callable[[], Any], Any]] = {
    "mv": (lambda: tt.mv(tt.tensor([A]), SWAPPED), [14.0]),
    "matmul": (lambda: X.reshape(1, 3) @ SWAPPED, [14.0]),
    "einsum": (lambda: tt.einsum("i,i->", X, SWAPPED), 14.0),
    "sort": (lambda: tt.sort(SWAPPED).values, [1.0, 2.0, 3.0]),
    "reshape": (lambda: tt.reshape(SWAPPED, (3, 1)), [[1.0], [2.0], [3.0]]),
    "getitem": (lambda: tt.take(SWAPPED, np.array([2, 0])), [3.0, 1.0]),
    "trapezoid": (lambda: tt.trapezoid(tt.tensor(np.stack([A, A])), SWAPPED, dim=1), [4.0, 4.0]),
    "put": (lambda: tt.put(X, np.array([0]), SWAPPED[2:]), [3.0, 2.0, 3.0]),
    "index_add": (lambda: tt.index_add(X, 0, np.array([0]), SWAPPED[2:]), [4.0, 2.0, 3.0]),
    "scatter_reduce": (lambda: tt.scatter_reduce(X, 0, np.array([0]), SWAPPED[2:], "amax"), [3.0, 2.0, 3.0]),
    "attention": (lambda: F.scaled_dot_product_attention(X.reshape(3, 1), SWAPPED.reshape(3, 1), tt.ones(3, 1).double()), [[1.0]] * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_byte_swapped_array_is_read_as_what_it_is(name: str) -> None:
    """It gave numbers near 1e264, or was refused as of another dtype."""
    call, want = FOREIGN[name]
    np.testing.assert_allclose(np.asarray(call()), np.asarray(want), rtol=1e-15)


def test_floor_divide_of_float32_is_not_one_off() -> None:
    """NumPy's own is, for quotients of more than 2^22."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(20000) * 1e7).astype(np.float32)
    y = rng.uniform(0.5, 3.0, 20000).astype(np.float32)
    want = np.floor_divide(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    assert (np.floor_divide(x, y) != want).any()
    np.testing.assert_array_equal(tt.floor_divide(tt.tensor(x), tt.tensor(y)), want)


def test_hypot_of_an_infinity_is_infinite() -> None:
    """As in C99, were the other NaN; it was NaN."""
    x = tt.tensor([math.nan, math.inf, -math.inf, math.nan], dtype=tt.float64)
    y = tt.tensor([math.inf, math.nan, 1.0, 1.0], dtype=tt.float64)
    np.testing.assert_array_equal(tt.hypot(x, y), [math.inf, math.inf, math.inf, math.nan])


def test_the_angle_of_a_point_at_infinity_does_not_turn() -> None:
    """Its gradient was NaN."""
    y, x = tt.tensor([1.0, math.inf], requires_grad=True), tt.tensor([math.inf, 2.0], requires_grad=True)
    tt.atan2(y, x).sum().backward()
    assert y.grad is not None
    assert x.grad is not None
    assert y.grad.tolist() == x.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["addcmul", "addcdiv"])
def test_a_product_is_made_in_the_dtype_of_the_sum(name: str) -> None:
    """It overflowed in float32 before a double was added."""
    large, small = tt.tensor([1e30]), tt.tensor([1e-30] if name == "addcdiv" else [1e30])
    x = tt.tensor([1.0], dtype=tt.float64)
    got = getattr(tt, name)(x, large, small)
    assert got.dtype == tt.float64
    assert 0.9e60 < got.item() < 1.1e60


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_an_integer_to_the_power_of_a_float_is_a_float(dtype: str) -> None:
    """2.0 alone gave an integer, through the short way for squares."""
    x = tt.ones(3).to(dtype)
    for power in (2.0, 3.0, 1.0, 0.5):
        assert (x**power).dtype == tt.float32
        np.testing.assert_array_equal(x**power, [1.0, 1.0, 1.0])
    assert (tt.tensor([3]) ** 2).dtype == tt.int64


def test_the_score_of_equal_targets() -> None:
    """The mean of equal numbers may be rounded; what was left of it made the score -5.76e32."""
    y = np.full(7, 0.1)
    assert ((y - y.mean()) ** 2).sum() > 0
    assert tt.metrics.r2_score(y + 1, y) == 0.0
    assert tt.metrics.r2_score(y, y) == 1.0


def test_an_empty_part_counts_for_the_dtype_of_a_join() -> None:
    assert tt.cat([tt.ones(3), tt.empty(0, dtype=tt.float64)]).dtype == tt.float64
    assert tt.cat([tt.ones(3), tt.empty(0, dtype=tt.int64)]).dtype == tt.float32


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin", "squeeze", "flatten"])
def test_a_number_has_no_dimension_one_hundred(name: str) -> None:
    """The dimension of a 0-d tensor was not looked at."""
    f = getattr(F, name, None) or getattr(tt, name)
    for dim in (1, -2, 100):
        with pytest.raises(IndexError, match=f"dim {dim} is out of range"):
            f(tt.tensor(1.0), dim)
    for dim in (0, -1):
        assert f(tt.tensor(1.0), dim).numel() == 1


@pytest.mark.parametrize("name", ["all", "any", "argmax", "argmin", "bitwise_not", "clone", "isnan", "logical_not", "logical_xor", "logical_and"])  # fmt: skip
def test_none_is_a_type_error(name: str) -> None:
    """It was an AttributeError, and logical_and gave None back."""
    with pytest.raises(TypeError, match=rf"^{name}: expected .* got NoneType"):
        getattr(tt, name)(*(None,) * (2 if name in ("logical_xor", "logical_and") else 1))


@pytest.mark.parametrize("name", ["cat", "stack", "hstack", "vstack", "dstack", "column_stack", "meshgrid", "broadcast_tensors", "block_diag", "cartesian_prod"])  # fmt: skip
def test_a_list_of_numbers_is_no_list_of_tensors(name: str) -> None:
    """It was an AttributeError that named no function."""
    with pytest.raises(TypeError, match=rf"^{name}: expected .*Tensors? or .*ndarrays?.*, got float"):
        getattr(tt, name)([1.0])


def test_a_size_beyond_64_bits_cannot_be_allocated() -> None:
    """It was an OverflowError; and adaptive pooling first made a list of all its windows."""
    for call in (lambda: tt.zeros(2**63), lambda: tt.empty(0, 2**70), lambda: tt.ones(3).repeat(2**70), lambda: F.adaptive_avg_pool1d(tt.ones(1, 1, 4), 2**40)):  # fmt: skip
        with pytest.raises(MemoryError):
            call()


@pytest.mark.parametrize("far", [2**31, 2**62, 2**63 - 1, -(2**63), 2**100, -(2**100)])
@pytest.mark.parametrize("call", [tt.diagonal, tt.diag])
def test_a_diagonal_far_outside_is_empty(call: Any, far: int) -> None:
    """NumPy's arithmetic wrapped around, and its view showed memory of others."""
    x = tt.ones(9, 4, requires_grad=True)
    out = call(x, far)
    assert out.shape == (0,)
    out.sum().backward()
    assert x.grad is not None and not x.grad.numpy().any()
    with pytest.raises(TypeError, match="whole number"):
        call(x, 1.5)


@pytest.mark.parametrize("n", [float("nan"), 10.0, 2.5, "3", None])
def test_a_permutation_of_no_whole_number_takes_nothing_from_the_generator(n: Any) -> None:
    g = tt.Generator(3)
    before = g.get_state()
    with pytest.raises(TypeError, match="randperm: expected a whole number"):
        tt.randperm(n, generator=g)
    with pytest.raises(TypeError):
        g.take(n)
    assert g.get_state() == before


def test_the_gradient_of_an_assignment_goes_to_what_stayed() -> None:
    v = tt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = tt.zeros(4, requires_grad=True) * 1.0
    x[tt.tensor([1, 2, 1])] = v
    (x * tt.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    assert x.tolist() == [0, 3, 2, 0]
    assert v.grad is not None and v.grad.tolist() == [0, 100, 10]
    one = tt.tensor(5.0, requires_grad=True)
    y = tt.zeros(3, 2, requires_grad=True) * 1.0
    y[tt.tensor([0, 0]), :] = one
    y.sum().backward()
    assert one.grad is not None and one.grad.item() == 2


@pytest.mark.parametrize("mode", ["reflect", "circular", "replicate"])
def test_an_empty_dimension_without_a_border_is_no_obstacle(mode: str) -> None:
    assert tt.pad(tt.zeros(0, 3), (1, 1, 0, 0), mode).shape == (0, 5)
    with pytest.raises(ValueError, match="at most 0"):
        tt.pad(tt.zeros(0, 3), (1, 1, 1, 0), mode)


def test_an_angle_beside_nan_has_no_gradient_that_hides_it() -> None:
    for values in ((math.nan, math.inf), (math.inf, math.nan), (math.nan, 1.0)):
        y, x = (tt.tensor(v, requires_grad=True) for v in values)
        tt.atan2(y, x).backward()
        assert math.isnan(y.grad.item()), values
        assert math.isnan(x.grad.item()), values
