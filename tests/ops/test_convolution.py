"""Convolution and pooling: bits, edges and errors; values and gradients are in the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from check import same_bits

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import autograd
from tinytensor.ops import convolution
from tinytensor.ops.convolution import Windows


def drawn(*shape: int, dtype: str = "float32", seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


# ------------------------------------------------------------------------------------------------------------------- bits
CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((5, 3, 12, 11), (4, 3, 3, 3), {"padding": 1}),  # many places: one product for each image
    ((5, 3, 7, 6), (4, 3, 3, 3), {"stride": 2}),  # few: one product for all
    ((5, 4, 9, 9), (8, 1, 3, 3), {"groups": 4}),
    ((5, 6, 9, 9), (4, 6, 1, 1), {}),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "how"), CASES)
def test_an_image_has_the_bits_it_has_alone(x_shape: Any, w_shape: Any, how: Any) -> None:
    x, w, b = drawn(*x_shape), drawn(*w_shape), drawn(w_shape[0])
    whole = tt.conv2d(x, w, b, **how)
    for i in range(len(x)):
        same_bits(tt.conv2d(x[i : i + 1], w, b, **how), whole[i : i + 1])
        same_bits(tt.conv2d(x[i], w, b, **how), whole[i])


@pytest.mark.parametrize(("x_shape", "w_shape", "how"), CASES)
def test_an_output_is_one_chain_over_its_window(x_shape: Any, w_shape: Any, how: Any) -> None:
    x, w = drawn(*x_shape), drawn(*w_shape)
    groups, s, p = how.get("groups", 1), how.get("stride", 1), how.get("padding", 0)
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    y = tt.conv2d(x, w, **how)
    c, o = w_shape[1], w_shape[0] // groups
    for n, k, i, j in ((0, 0, 0, 0), (4, w_shape[0] - 1, 1, 1), (2, 1, y.shape[2] - 1, y.shape[3] - 1)):
        window = padded[n, k // o * c : (k // o + 1) * c, i * s : i * s + w_shape[2], j * s : j * s + w_shape[3]]
        same_bits(tt.matmul(w[k].reshape(1, -1), window.reshape(-1, 1))[0, 0], y[n, k, i, j])


def gradients(x: Any, w: Any, how: Any) -> list[Any]:
    a, b = tt.tensor(x).requires_grad_(), tt.tensor(w).requires_grad_()
    y = tt.conv2d(a, b, **how)
    return [y.detach().numpy(), *(g.numpy() for g in autograd.grad(y, [a, b], tt.tensor(drawn(*y.shape, seed=1))))]


@pytest.mark.parametrize(("x_shape", "w_shape", "how"), CASES)
def test_threads_change_no_bit(x_shape: Any, w_shape: Any, how: Any) -> None:
    x, w = drawn(40, *x_shape[1:]), drawn(*w_shape)
    with tt.threads(1):
        one = gradients(x, w, how)
    for n in (2, 5):
        with tt.threads(n):
            for g, v in zip(gradients(x, w, how), one):
                same_bits(g, v)


@pytest.mark.parametrize(("x_shape", "w_shape", "how"), CASES)
def test_a_small_scratch_changes_nothing_but_the_weights_sum(
    x_shape: Any, w_shape: Any, how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, w = drawn(*x_shape), drawn(*w_shape)
    y, dx, dw = gradients(x, w, how)
    seen = []
    whole = convolution.columns

    def watched(a: Any, *rest: Any) -> Any:
        seen.append(len(a))
        return whole(a, *rest)

    monkeypatch.setattr(convolution, "columns", watched)
    monkeypatch.setattr(convolution, "SCRATCH", 1)
    for g, v in zip(gradients(x, w, how), (y, dx)):
        same_bits(g, v)
    np.testing.assert_allclose(gradients(x, w, how)[2], dw, rtol=1e-4, atol=1e-4)
    assert set(seen) == {1}


def test_the_scratch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    whole = convolution.columns

    def watched(*args: Any) -> Any:
        found = whole(*args)
        sizes.append(found.nbytes)
        return found

    monkeypatch.setattr(convolution, "columns", watched)
    monkeypatch.setattr(convolution, "SCRATCH", 40_000)
    gradients(drawn(16, 3, 12, 12), drawn(4, 3, 3, 3), {"padding": 1})
    assert len(sizes) > 2
    assert max(sizes) <= 40_000


def test_one_element_without_padding_takes_no_columns() -> None:
    x = drawn(2, 3, 8, 9)
    w = Windows((8, 9), (1, 1), (1, 1), (0, 0), (1, 1), (8, 9))
    assert np.shares_memory(convolution.columns(x, w, False), x)
    y = F.unfold(tt.from_numpy(x), 1)
    assert not np.shares_memory(y.numpy(), x)


# ------------------------------------------------------------------------------------------------------ convolution: edges
def test_padding_and_its_names() -> None:
    x, w = drawn(2, 3, 7, 6), drawn(2, 3, 3, 3)
    same_bits(tt.conv2d(x, w, padding="same"), tt.conv2d(x, w, padding=1))
    same_bits(tt.conv2d(x, w, padding="valid"), tt.conv2d(x, w))
    same_bits(tt.conv2d(x, w, stride=[2], padding=(1,)), tt.conv2d(x, w, stride=2, padding=1))
    assert tt.conv2d(x, drawn(2, 3, 4, 2), padding="same").shape == (2, 2, 7, 6)


def test_nan_and_inf_stay_in_their_windows() -> None:
    x = drawn(1, 1, 6, 6)
    x[0, 0, 2, 3] = math.nan
    y = tt.conv2d(x, np.ones((1, 1, 2, 2), np.float32))[0, 0]
    found = np.zeros((5, 5), bool)
    found[1:3, 2:4] = True
    np.testing.assert_array_equal(np.isnan(y), found)
    assert np.isnan(tt.adaptive_avg_pool2d(x, 2)).sum() == 1
    assert np.isnan(tt.avg_pool2d(x, 2)).sum() == 1


def test_dtypes_are_promoted() -> None:
    x, w = tt.tensor(drawn(1, 2, 4, 4)).requires_grad_(), tt.tensor(drawn(3, 2, 2, 2, dtype="float64")).requires_grad_()
    y = tt.conv2d(x, w)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype, w.grad.dtype) == (tt.float64, tt.float32, tt.float64)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: tt.conv2d(drawn(1, 3, 4, 4), drawn(2, 4, 3, 3)), ValueError, "conv2d: expected 4 input channels .groups 1., got 3"),
        (lambda: tt.conv2d(drawn(1, 4, 4, 4), drawn(3, 2, 3, 3), groups=2), ValueError, "conv2d: groups 2 must divide"),
        (lambda: tt.conv2d(drawn(1, 4, 4, 4), drawn(3, 2, 3, 3), groups=0), ValueError, "conv2d: groups 0 must divide"),
        (lambda: tt.conv2d(drawn(4, 4), drawn(3, 2, 3, 3)), ValueError, "conv2d: expected input of 3 or 4 dimensions"),
        (lambda: tt.conv1d(drawn(1, 2, 4), drawn(3, 2, 3, 3)), ValueError, "conv1d: expected a weight of 3 dimensions"),
        (lambda: tt.conv1d(drawn(1, 2, 4), drawn(3, 2, 5)), ValueError, "conv1d: the kernel .5,., .* is larger than the padded"),
        (lambda: tt.conv1d(drawn(1, 2, 4), drawn(3, 2, 0)), ValueError, "conv1d: expected a kernel of at least one"),
        (lambda: tt.conv1d(drawn(1, 2, 4), drawn(3, 2, 2), drawn(2)), ValueError, r"conv1d: expected a bias of shape \(3,\), got \(2,\)"),
        (lambda: tt.conv1d(drawn(1, 2, 4), drawn(3, 2, 2), stride=0), ValueError, "conv1d: expected stride to be an int"),
        (lambda: tt.conv1d(drawn(1, 2, 4), drawn(3, 2, 2), padding=(1, 1)), ValueError, "conv1d: expected padding to be"),
        (lambda: tt.conv1d(drawn(1, 2, 4), drawn(3, 2, 2), padding="full"), ValueError, "conv1d: expected padding to be 'same'"),
        (lambda: tt.conv1d(drawn(1, 2, 4), drawn(3, 2, 2), stride=2, padding="same"), ValueError, "padding='same' needs stride 1"),
        (lambda: tt.conv1d(np.ones((1, 2, 4), np.int64), np.ones((3, 2, 2), np.int64)), TypeError, "conv: expected float tensors, got int64"),
        (lambda: tt.conv_transpose1d(drawn(1, 2, 4), drawn(3, 2, 2)), ValueError, "expected 3 input channels"),
        (lambda: tt.conv_transpose1d(drawn(1, 2, 4), drawn(2, 2, 2), output_padding=1), ValueError, "output_padding .1,. must be smaller"),
        (lambda: tt.conv_transpose1d(drawn(1, 2, 4), drawn(2, 2, 2), stride=0), ValueError, "conv_transpose1d: expected stride to be an int"),
        (lambda: tt.conv_transpose1d(drawn(1, 2, 4), drawn(2, 2, 2), dilation=0), ValueError, "conv_transpose1d: expected dilation to be"),
        (lambda: tt.conv_transpose1d(drawn(1, 2, 4), drawn(2, 2, 2), padding=-1), ValueError, "conv_transpose1d: expected padding to be"),
        (lambda: tt.conv_transpose1d(drawn(1, 2, 4), drawn(2, 2, 2), output_padding=-1), ValueError, "expected output_padding to be"),
        (lambda: tt.conv1d(drawn(1, 2, 4), drawn(3, 2, 2), dilation=0), ValueError, "conv1d: expected dilation to be"),
        (lambda: tt.conv_transpose1d(drawn(1, 2, 1), drawn(2, 2, 2), padding=1), ValueError, "conv_transpose1d: the output would have size"),
        (lambda: F.fold(drawn(1, 5, 4), 3, 2), ValueError, r"fold: expected \(N, C \* 4, 4\)"),
        (lambda: F.fold(np.ones((1, 4, 4), np.int64), 3, 2), TypeError, "fold: expected a float tensor, got int64"),
        (lambda: F.unfold(drawn(1, 1, 2, 2), 3), ValueError, "unfold: the kernel .3, 3., .*is larger"),
    ],
)  # fmt: skip
def test_convolution_errors(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


# --------------------------------------------------------------------------------------------------------- pooling: edges
def test_the_first_of_equals_and_the_last_nan_are_returned() -> None:
    x = np.array([[[1.0, 1.0, 0.0, math.nan, math.nan, 5.0]]])
    values, places = tt.max_pool1d(x, 3, return_indices=True)
    np.testing.assert_array_equal(values, [[[1.0, math.nan]]])
    np.testing.assert_array_equal(places, [[[0, 4]]])
    values, places = tt.adaptive_max_pool1d(x, 2, return_indices=True)
    np.testing.assert_array_equal(places, [[[0, 4]]])


def test_the_gradient_goes_to_the_returned_place_and_adds_up() -> None:
    x = tt.tensor([[[1.0, 3.0, 3.0, 2.0]]]).requires_grad_()
    values, places = tt.max_pool1d(x, 2, 1, return_indices=True)
    assert places.tolist() == [[[1, 1, 2]]]
    assert not places.requires_grad
    values.sum().backward()
    assert x.grad.tolist() == [[[0.0, 2.0, 1.0, 0.0]]]


def test_minus_infinity_is_found_inside_and_never_the_padding() -> None:
    x = np.full((1, 1, 3, 3), -math.inf)
    values, places = tt.max_pool2d(x, 2, 2, 1, return_indices=True)
    assert (values == -math.inf).all()
    np.testing.assert_array_equal(places[0, 0], [[0, 1], [3, 4]])


def test_the_indices_are_of_one_image() -> None:
    x = tt.tensor(drawn(3, 4, 4))
    values, places = tt.max_pool2d(x, 2, return_indices=True)
    assert values.shape == places.shape == (3, 2, 2)
    assert places.dtype == tt.int64
    np.testing.assert_array_equal(x.numpy().reshape(3, 16)[np.arange(3)[:, None], places.numpy().reshape(3, 4)].reshape(3, 2, 2), values.numpy())  # fmt: skip


@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
def test_ceil_mode_lets_no_window_start_behind_the_input(name: str) -> None:
    for d in (1, 2):
        pool = getattr(tt, f"{name}{d}d")
        assert pool(drawn(1, 1, *(3,) * d), 1, 2, ceil_mode=True).shape[2:] == (2,) * d
        assert pool(drawn(1, 1, *(4,) * d), 2, 3, 1, ceil_mode=True).shape[2:] == (2,) * d
        assert pool(drawn(1, 1, *(5,) * d), 2, ceil_mode=True).shape[2:] == (3,) * d


def test_adaptive_pooling_to_the_same_size_is_the_input() -> None:
    x = drawn(2, 3, 4, 5)
    same_bits(tt.adaptive_avg_pool2d(x, (None, 5)), x)
    same_bits(tt.adaptive_max_pool2d(x, (4, None)), x)
    same_bits(tt.adaptive_avg_pool2d(x, (2, 5)), tt.avg_pool2d(x, (2, 1)))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: tt.max_pool2d(drawn(1, 1, 4, 4), 2, padding=2), ValueError, "max_pool2d: padding .2, 2. must be at most half"),
        (lambda: tt.max_pool2d(drawn(1, 1, 2, 2), 3), ValueError, "max_pool2d: kernel .3, 3.*without an element of the input .2, 2."),
        (lambda: tt.max_pool1d(drawn(1, 1, 1), 2, 1, 2, 3), ValueError, "max_pool1d: .*without an element"),
        (lambda: tt.max_pool2d(drawn(1, 1, 0, 2), 1), ValueError, "without an element"),
        (lambda: tt.max_pool2d(np.ones((1, 1, 2, 2), np.int64), 2), TypeError, "max_pool: expected a float tensor, got int64"),
        (lambda: tt.avg_pool1d(np.ones((1, 1, 2), np.int64), 2), TypeError, "avg_pool: expected a float tensor"),
        (lambda: tt.avg_pool1d(drawn(2), 2), ValueError, "avg_pool1d: expected input of 2 or 3 dimensions"),
        (lambda: tt.avg_pool2d(drawn(1, 2, 2), 2, divisor_override=0), ValueError, "divisor_override must not be 0"),
        (lambda: tt.avg_pool2d(drawn(1, 2, 2), (1, 2, 3)), ValueError, "avg_pool2d: expected kernel_size to be an int, or 2"),
        (lambda: tt.adaptive_avg_pool2d(drawn(1, 1, 0, 2), 1), ValueError, "adaptive_avg_pool2d: expected no empty dimension"),
        (lambda: tt.adaptive_avg_pool1d(drawn(1, 1, 2), 0), ValueError, "adaptive_avg_pool1d: expected output_size"),
        (lambda: tt.adaptive_max_pool1d(np.ones((1, 1, 2), np.int64), 1), TypeError, "expected a float tensor"),
    ],
)  # fmt: skip
def test_pooling_errors(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("pool", [tt.adaptive_avg_pool1d, tt.adaptive_max_pool1d])
def test_adaptive_pooling_to_more_windows_than_fit_into_memory_is_refused_at_once(pool: Any) -> None:
    for size in (1 << 27, 1 << 31, 1 << 63):
        with pytest.raises((MemoryError, ValueError), match="output_size"):
            pool(tt.ones(1, 2, 2), size)
