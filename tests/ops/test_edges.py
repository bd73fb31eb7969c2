"""Where a derivative has no one value: dead branches, kinks, zeros and infinities."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import autograd

# a function that is infinite, or NaN, or has an infinite slope where its branch is not taken; and a value where it is fine
DEAD: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "log": (tt.log, 0.0, 2.0),
    "log1p": (tt.log1p, -1.0, 2.0),
    "sqrt": (tt.sqrt, 0.0, 2.0),
    "rsqrt": (tt.rsqrt, 0.0, 2.0),
    "reciprocal": (tt.reciprocal, 0.0, 2.0),
    "division": (lambda x: 3.0 / x, 0.0, 2.0),
    "division of itself": (lambda x: x / x, 0.0, 2.0),
    "square root of itself": (lambda x: tt.sqrt(x * x), 0.0, 2.0),
    "power below one": (lambda x: x**0.25, 0.0, 2.0),
    "negative power": (lambda x: x**-3, 0.0, 2.0),
    "exponent": (lambda x: tt.pow(tt.zeros_like(x), x), -1.0, 2.0),
    "exp": (tt.exp, 1e4, 2.0),
    "expm1": (tt.expm1, 1e4, 2.0),
    "sine of infinity": (tt.sin, math.inf, 2.0),
    "log of a negative": (tt.log, -1.0, 2.0),
    "log of log": (lambda x: tt.log(tt.log(x)), 1.0, 3.0),
    "log2": (tt.log2, 0.0, 2.0),
    "log10": (tt.log10, 0.0, 2.0),
    "exp2": (tt.exp2, 1e5, 2.0),
    "logaddexp of infinities": (lambda x: tt.logaddexp(x, x), math.inf, 2.0),
    "logaddexp2 of infinities": (lambda x: tt.logaddexp2(x, x), -math.inf, 2.0),
    "xlogy": (lambda x: tt.xlogy(x, x), 0.0, 2.0),
    "xlogy of a negative": (lambda x: tt.xlogy(2.0, x), -1.0, 2.0),
    "float_power": (lambda x: tt.float_power(x, -0.5), 0.0, 2.0),
    "logit": (tt.logit, 0.0, 0.25),
    "logit outside": (tt.logit, 2.0, 0.25),
    "erfc": (tt.erfc, math.inf, 2.0),
    "tangent of infinity": (tt.tan, math.inf, 2.0),
    "asin": (tt.asin, 1.0, 0.25),
    "asin outside": (tt.asin, math.inf, 0.25),
    "acos": (tt.acos, -1.0, 0.25),
    "acos outside": (tt.acos, -2.0, 0.25),
    "atan": (tt.atan, math.inf, 2.0),
    "atanh": (tt.atanh, -1.0, 0.25),
    "atanh outside": (tt.atanh, math.inf, 0.25),
    "asinh": (tt.asinh, math.inf, 2.0),
    "acosh": (tt.acosh, 1.0, 2.0),
    "acosh outside": (tt.acosh, -math.inf, 2.0),
    "sinh": (tt.sinh, 1e4, 2.0),
    "cosh": (tt.cosh, -1e4, 2.0),
    "hypot": (lambda x: tt.hypot(x, x), 0.0, 2.0),
    "hypot of infinity": (lambda x: tt.hypot(x, x), math.inf, 2.0),
    "atan2": (lambda x: tt.atan2(x, x - 2), 0.0, 3.0),
    "atan2 at zero": (lambda x: tt.atan2(x, 2 * x), 0.0, 2.0),
    "remainder": (lambda x: tt.remainder(5.0, x), 0.0, 2.0),
    "fmod": (lambda x: tt.fmod(5.0, x), 0.0, 2.0),
    "rounded division": (lambda x: tt.div(5.0, x, rounding_mode="trunc"), 0.0, 2.0),
    "lerp": (lambda x: tt.lerp(x, tt.sqrt(x), x), 0.0, 2.0),
    "addcdiv": (lambda x: tt.addcdiv(x, x, x, value=2.0), 0.0, 2.0),
    "copysign": (lambda x: tt.copysign(tt.sqrt(x), -1.0), 0.0, 2.0),
}


@pytest.mark.parametrize("name", DEAD)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_branch_that_where_did_not_take_stays_out(name: str, dtype: str) -> None:
    """Of both orders: where(x is fine, f(x), 0) has the gradient f' where it is, and 0 elsewhere."""
    f, bad, fine = DEAD[name]
    data = np.array([bad, fine, bad], dtype)
    x = tt.tensor(data, requires_grad=True)
    y = tt.where(x == fine, f(x), 0.0)
    (first,) = autograd.grad(y.sum(), x, create_graph=True)
    (second,) = autograd.grad(first.sum(), x)
    alone = tt.tensor(np.array([fine], dtype), requires_grad=True)
    (one,) = autograd.grad(f(alone).sum(), alone, create_graph=True)
    (two,) = autograd.grad(one.sum(), alone)
    np.testing.assert_array_equal(first.detach(), np.array([0, one.item(), 0], dtype))
    np.testing.assert_array_equal(second, np.array([0, two.item(), 0], dtype))


def test_masked_and_indexed_branches_stay_out() -> None:
    x = tt.tensor([0.0, 4.0], requires_grad=True)
    x.sqrt()[1:].sum().backward()
    x.log().masked_fill(x == 0, 0.0).sum().backward()
    (x.log() * 1)[x.detach().numpy() > 0].sum().backward()
    assert x.grad.tolist() == [0.0, 0.75]


def test_nan_that_was_taken_still_shows() -> None:
    x = tt.tensor([math.nan, 1.0], requires_grad=True)
    tt.log(x).sum().backward()
    assert math.isnan(x.grad[0].item())
    y = tt.tensor([0.0], requires_grad=True)
    tt.log(y).backward(tt.tensor([math.nan]))
    assert math.isnan(y.grad.item())


@pytest.mark.parametrize(
    ("f", "at", "gradient"),
    [
        (tt.relu, 0.0, 0.0),
        (tt.abs, 0.0, 0.0),
        (tt.sign, 0.0, 0.0),
        (lambda x: tt.leaky_relu(x, 0.25), 0.0, 0.25),
        (tt.elu, 0.0, 1.0),
        (lambda x: tt.clamp(x, 0.0, 1.0), 0.0, 1.0),
        (lambda x: tt.clamp(x, 0.0, 1.0), 1.0, 1.0),
        (lambda x: tt.maximum(x, 0.0), 0.0, 0.5),
        (lambda x: tt.minimum(x, 0.0), 0.0, 0.5),
        (tt.norm, 0.0, 0.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: tt.pow(x, 1.5), 0.0, 0.0),
        (lambda x: tt.pow(x, 0.5), 0.0, math.inf),
        (lambda x: tt.pow(x, -1.0), 0.0, -math.inf),
        (tt.sqrt, 0.0, math.inf),
        (tt.log, 0.0, math.inf),
        (tt.log2, 0.0, math.inf),
        (tt.asin, 1.0, math.inf),
        (tt.asin, -1.0, math.inf),
        (tt.acos, 1.0, -math.inf),
        (tt.atanh, -1.0, math.inf),
        (tt.acosh, 1.0, math.inf),
        (tt.logit, 1.0, math.inf),
        (tt.atan, math.inf, 0.0),
        (tt.asinh, 0.0, 1.0),
        (tt.floor, 1.0, 0.0),
        (tt.round, 0.5, 0.0),
        (tt.frac, 1.0, 1.0),
        (lambda x: tt.hypot(x, 0.0), 0.0, 0.0),
        (lambda x: tt.hypot(x, 2.0), 0.0, 0.0),
        (lambda x: tt.atan2(x, 0.0), 0.0, 0.0),
        (lambda x: tt.atan2(1.0, x), 0.0, -1.0),
        (lambda x: tt.logaddexp(x, x), 0.0, 1.0),
        (lambda x: tt.xlogy(x, 0.0), 0.0, 0.0),
        (lambda x: tt.xlogy(x, 1.0), 0.0, 0.0),
        (lambda x: tt.copysign(x, -1.0), 0.0, 0.0),
        (lambda x: tt.remainder(x, 2.0), 4.0, 1.0),
        (lambda x: tt.remainder(-5.0, x), 2.0, 3.0),
        (lambda x: tt.fmod(-5.0, x), 2.0, 2.0),
        (lambda x: tt.nan_to_num(x), math.inf, 0.0),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_derivative_at_a_kink_or_a_pole(f: Callable[[Any], Any], at: float, gradient: float, dtype: str) -> None:
    x = tt.tensor(np.array([at], dtype), requires_grad=True)
    f(x).sum().backward()
    assert x.grad.item() == gradient


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_at_zero_have_no_direction_of_any_order(dtype: str) -> None:
    x = tt.tensor(np.zeros(3, dtype), requires_grad=True)
    (g,) = autograd.grad(tt.norm(x), x, create_graph=True)
    assert g.tolist() == [0, 0, 0]
    (h,) = autograd.grad(g.sum(), x)
    assert h.tolist() == [0, 0, 0]


def test_std_and_var_of_one_element() -> None:
    """One element has no spread to divide by: NaN, as NumPy and PyTorch say; with correction=0 it is 0 and flat."""
    x = tt.tensor([3.0], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert math.isnan(tt.std(x).item())
        assert math.isnan(tt.var(x).item())
    tt.var(x, correction=0).backward()
    assert x.grad.item() == 0
    x.grad = None
    tt.std(x, correction=0).backward()
    assert x.grad.item() == 0


def test_std_of_equal_elements_is_flat() -> None:
    x = tt.full((4,), 2.0).requires_grad_()
    tt.std(x).backward()
    assert x.grad.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("data", "value", "gradient"),
    [
        ([-math.inf, -math.inf], -math.inf, [0, 0]),
        ([-math.inf, 1.0], 1.0, [0, 1]),
        ([math.inf, 1.0], math.inf, None),
        ([1e30, -1e30], 1e30, [1, 0]),
    ],
)
def test_logsumexp_of_infinities(data: Any, value: float, gradient: Any) -> None:
    x = tt.tensor(data, requires_grad=True)
    y = tt.logsumexp(x, 0)
    assert y.item() == np.float32(value)
    if gradient is not None:
        y.backward()
        assert x.grad.tolist() == gradient


@pytest.mark.parametrize(
    "make",
    [
        lambda: tt.tensor([1, 2], requires_grad=True),
        lambda: tt.tensor([1, 2]).requires_grad_(),
        lambda: tt.tensor([True]).requires_grad_(),
        lambda: tt.nn.Parameter(tt.tensor([1, 2])),
    ],
)
def test_integers_refuse_gradients(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="only float32 and float64 tensors have gradients"):
        make()


@pytest.mark.parametrize("dtype", [tt.float32, tt.float64])
def test_the_exponent_of_zero_has_a_gradient_where_the_power_is_infinite(dtype: tt.dtype) -> None:
    y = tt.tensor([-2.0, -1.0, -0.5, -1e-3, 0.0, 1e-3, 2.0], dtype=dtype, requires_grad=True)
    tt.pow(tt.zeros(7, dtype=dtype), y).sum().backward()
    assert y.grad.tolist() == [-math.inf] * 4 + [0.0] * 3


def test_second_derivatives_of_powers_of_negative_bases() -> None:
    """d(y x^(y-1))/dy = x^(y-1) + y x^(y-1) log x, the second part 0 where there is no logarithm."""
    x = tt.tensor([-2.0, -0.5, 0.0, 2.0], dtype=tt.float64, requires_grad=True)
    y = tt.full((4,), 2.0, dtype=tt.float64, requires_grad=True)
    (gx,) = tt.autograd.grad((x**y).sum(), x, create_graph=True)
    of_x, of_y = tt.autograd.grad(gx.sum(), (x, y))
    assert of_x.tolist() == [2] * 4
    np.testing.assert_allclose(of_y.numpy(), [-2, -0.5, 0, 2 + 4 * np.log(2)], rtol=1e-14)


def test_a_power_whose_exponent_and_upstream_are_tiny_keeps_its_gradient() -> None:
    """Their product underflows; the gradient, with the large power, does not. An exponent of 0 has none, whatever comes."""
    x = tt.tensor([1e-30, 0.0], requires_grad=True)
    tt.pow(x, tt.tensor([1e-20, 0.0])).backward(tt.tensor([1e-30, math.inf]))
    np.testing.assert_allclose(x.grad, [1e-20, 0], rtol=1e-5)
