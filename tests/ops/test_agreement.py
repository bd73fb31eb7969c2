"""What PyTorch's calls give: dtypes, wrapped numbers, positional arguments and gradients at bounds, each once found to differ."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F


def leaf(*values: float) -> Any:
    return tt.tensor(values, dtype=tt.float64, requires_grad=True)


def test_clamp_between_tensors_gives_all_of_g_to_x_at_the_bounds() -> None:
    x, low, high = leaf(1, 2, -3, 3, 2), leaf(1, 1, -1, -1, 3), leaf(2, 2, 1, 1, 1)
    tt.clamp(x, low, high).sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0, 0]
    assert low.grad.tolist() == [0, 0, 1, 0, 0]
    assert high.grad.tolist() == [0, 0, 0, 1, 1]


def test_nan_passes_clamp_between_tensors_from_each_side() -> None:
    one, nan = tt.tensor([1.0]), tt.tensor([math.nan])
    assert all(math.isnan(v.item()) for v in (tt.clamp(nan, one, one), tt.clamp(one, nan), tt.clamp(one, max=nan)))


def test_var_and_std_take_unbiased_by_position() -> None:
    x = tt.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert x.var(0, False).tolist() == [1, 4]
    assert x.std(0, False, True).tolist() == [[1, 2]]
    assert x.var(False).tolist() == x.var(correction=0).tolist()
    assert [v.tolist() for v in tt.std_mean(x, False)] == [x.std(correction=0).tolist(), 3]
    assert [v.tolist() for v in tt.var_mean(x, 0, False)] == [[1, 4], [2, 4]]


def test_cov_and_corrcoef_of_one_row_are_numbers() -> None:
    x = tt.tensor([[1.0, 2.0, 6.0]])
    assert tt.cov(x).shape == tt.corrcoef(x).shape == ()
    assert tt.cov(x).item() == 7
    assert tt.corrcoef(x).item() == 1


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod"])
def test_numbers_wrap_around_in_uint8(name: str) -> None:
    x = tt.tensor([3, 255], dtype=tt.uint8)
    out = getattr(tt, name)(x, -2)
    assert out.dtype == tt.uint8
    assert out.tolist() == [int(v) for v in getattr(np, name)(x.numpy(), np.uint8(254))]


@pytest.mark.parametrize(
    ("data", "dtype", "value", "expected"),
    [([1, 2], tt.int64, 2.5, [2, 2]), ([1, 2], tt.uint8, -1, [255, 2]), ([True, False], tt.bool, 3, [True, False])],
)
def test_masked_fill_keeps_the_dtype(data: Any, dtype: Any, value: Any, expected: Any) -> None:
    mask = tt.tensor([True, False])
    for v in (value, tt.tensor(value)):
        out = tt.tensor(data, dtype=dtype).masked_fill(mask, v)
        assert (out.dtype, out.tolist()) == (dtype, expected)
    with pytest.raises(ValueError, match="masked_fill: inf is no"):
        tt.tensor(data, dtype=dtype).masked_fill(mask, math.inf)


def test_casting_nan_to_integers_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tt.tensor([math.nan, 1e30]).long()
        assert tt.tensor([1e300], dtype=tt.float64).float().item() == math.inf


def test_narrow_counts_a_negative_start_from_the_end() -> None:
    assert tt.narrow(tt.arange(5), 0, -2, 2).tolist() == [3, 4]
    with pytest.raises(ValueError, match="narrow"):
        tt.narrow(tt.arange(5), 0, -6, 2)


def test_where_with_the_condition_alone_is_nonzero() -> None:
    assert [v.tolist() for v in tt.where(tt.tensor([[0, 2], [3, 0]]))] == [[0, 1], [1, 0]]
    with pytest.raises(TypeError, match="where: give both"):
        tt.where(tt.tensor([True]), 1.0)


@pytest.mark.parametrize("dtype", [tt.bool, tt.uint8])
def test_running_extremes_of_a_number_keep_the_dtype(dtype: Any) -> None:
    assert tt.cummax(tt.tensor(1, dtype=dtype), 0).values.dtype == dtype


def test_kl_div_of_a_negative_probability_is_nan() -> None:
    assert math.isnan(F.kl_div(tt.tensor([-1.0]), tt.tensor([-0.5])).item())
    assert F.kl_div(tt.tensor([-1.0]), tt.tensor([0.0])).item() == 0


@pytest.mark.parametrize("dtype", [tt.int64, tt.uint8])
def test_relu_of_integers_stays_integer(dtype: Any) -> None:
    x = tt.tensor([0, 3, 7], dtype=dtype)
    assert F.relu(x - 3 if dtype == tt.int64 else x).dtype == dtype
    assert F.relu(tt.tensor([-2, 3])).tolist() == [0, 3]


def test_in_place_results_are_written_in_the_dtype_of_the_tensor() -> None:
    x, y = tt.tensor([1.0, 2.0], requires_grad=True), leaf(3, 4)
    z = x * 1
    z *= y
    assert z.dtype == tt.float32
    z.sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([3, 4], [1, 2])
    assert (x.grad.dtype, y.grad.dtype) == (tt.float32, tt.float64)
    flags = tt.tensor([True])
    with pytest.raises(TypeError, match="int64 cannot be written into bool"):
        flags += 2


def test_xlogy_of_two_dtypes_has_gradients_in_double() -> None:
    x, y = leaf(2.0), tt.tensor([0.3], requires_grad=True)
    tt.xlogy(x, y).sum().backward()
    assert x.grad.item() == pytest.approx(math.log(np.float64(np.float32(0.3))), rel=1e-15)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_number_to_a_float32_power_has_second_derivatives(shape: tuple[int, ...]) -> None:
    x = tt.full(shape, 3.0, requires_grad=True)
    (g,) = tt.autograd.grad((2.5**x).sum(), [x], create_graph=True)
    (h,) = tt.autograd.grad(g.sum(), [x])
    assert h.dtype == tt.float32
    assert h.numpy() == pytest.approx(np.full(shape, 2.5**3 * math.log(2.5) ** 2), rel=1e-6)
    (g,) = tt.autograd.grad((x**2.5).sum(), [x], create_graph=True)
    (h,) = tt.autograd.grad(g.sum(), [x])
    assert h.dtype == tt.float32
    assert h.numpy() == pytest.approx(np.full(shape, 2.5 * 1.5 * 3**0.5), rel=1e-6)


def test_assignment_of_a_number_wraps_around_in_uint8() -> None:
    x = tt.zeros(2, dtype=tt.uint8)
    x[0] = -1
    assert x.tolist() == [255, 0]


def test_comparisons_have_their_long_names() -> None:
    x = tt.tensor([1, 2])
    assert x.greater(1).tolist() == x.not_equal(1).tolist() == tt.greater_equal(x, 2).tolist() == [False, True]
    assert x.less(2).tolist() == tt.less_equal(x, 1).tolist() == [True, False]
