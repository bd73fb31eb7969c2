"""Elementary functions where floats end: signed zeros, infinities, poles, huge arguments; whole numbers; what is refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import autograd

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-30, -1e-30, 1e30, -1e30, math.inf, -math.inf]


def got(f: Callable[..., Any], *values: Any, dtype: str = "float64") -> Any:
    """What f gives for one number each, as a Python number."""
    return f(*(tt.tensor(np.array(v, dtype)) for v in values)).item()


def plain(f: Callable[..., float], *values: float) -> float:
    """What Python's math says, NaN where it raises."""
    try:
        return f(*values)
    except ValueError:
        return math.nan
    except OverflowError:
        return math.inf


def assert_same(a: float, b: float, relative: float = 0.0) -> None:
    """Equal (to a relative error), with equal signs of zeros; NaN equals NaN."""
    if math.isnan(b):
        assert math.isnan(a)
        return
    assert a == b or abs(a - b) <= relative * abs(b), (a, b)
    assert math.copysign(1, a) == math.copysign(1, b)


# ------------------------------------------------------------------------------------------------------- values at the edges
@pytest.mark.parametrize("name", ["asin", "acos", "atan", "tan", "asinh", "atanh", "sinh", "erfc"])
def test_values_at_the_edges(name: str) -> None:
    for x in EDGES:
        want = plain(getattr(math, name), x)
        if name == "atanh" and abs(x) == 1:
            want = math.copysign(math.inf, x)
        if name == "sinh" and abs(x) == 1e30:
            want = math.copysign(math.inf, x)
        assert_same(got(getattr(tt, name), x), want, 1e-15)


def test_acosh_starts_at_one() -> None:
    for x in (-math.inf, -1e30, -3.0, -1.0, 0.0, 0.999):
        assert math.isnan(got(tt.acosh, x))
    assert got(tt.acosh, 1.0) == 0
    assert got(tt.acosh, math.inf) == math.inf


@DTYPES
def test_logarithms_are_exact_at_powers(dtype: str) -> None:
    low, high = (-149, 128) if dtype == "float32" else (-1074, 1024)
    k = np.arange(low, high)
    np.testing.assert_array_equal(tt.log2(tt.tensor(np.ldexp(1.0, k).astype(dtype))).numpy(), k.astype(dtype))
    np.testing.assert_array_equal(tt.exp2(tt.tensor(k.astype(dtype))).numpy(), np.ldexp(1.0, k).astype(dtype))
    tens = np.arange(11 if dtype == "float32" else 23)
    powers = np.array([float(10**t) for t in tens.tolist()], dtype)
    np.testing.assert_array_equal(tt.log10(tt.tensor(powers)).numpy(), tens.astype(dtype))


@DTYPES
@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("asin", [1 - 2**-20, -1 + 2**-20, 1e-8, 0.5]),
        ("acos", [1 - 2**-20, -1 + 2**-20, 1e-8]),
        ("tan", [1.5703125, -1.5703125, 1e-8, 1e6, 3e9, 1e22]),
        ("sinh", [1e-8, -1e-3, 0.99, 1.01, 50.0]),
        ("asinh", [1e-8, -1e-8, -0.3, 5e3, -2e4, 1e9, -1e30, 3e38]),
        ("acosh", [1 + 2**-20, 1.5, 2e4, 1e9, 1e30, 3e38]),
        ("atanh", [1 - 2**-20, -1 + 2**-20, 1e-8, -0.5, 0.49]),
        ("erfc", [-3.0, 1e-8, 0.5, 2.0, 5.0, 9.0]),
    ],
)
def test_small_and_large_arguments(name: str, points: list[float], dtype: str) -> None:
    """Within a few units in the last place of the value at the rounded argument, relative errors all."""
    for p in points:
        x = float(np.dtype(dtype).type(p))
        want = getattr(math, name)(x)
        assert_same(got(getattr(tt, name), x, dtype=dtype), want, 4 * float(np.finfo(dtype).eps))


@DTYPES
def test_logit_near_a_half(dtype: str) -> None:
    eps = float(np.finfo(dtype).eps)
    for d in (2**-20, -(2**-20), 0.1, -0.2):
        assert_same(
            got(tt.logit, 0.5 + d, dtype=dtype), 2 * math.atanh(2 * float(np.dtype(dtype).type(0.5 + d)) - 1), 4 * eps
        )
    assert got(tt.logit, 0.0, dtype=dtype) == -math.inf
    assert got(tt.logit, 1.0, dtype=dtype) == math.inf
    assert math.isnan(got(tt.logit, 1.5, dtype=dtype))
    assert got(lambda x: tt.logit(x, 0.25), 3.0, dtype=dtype) == pytest.approx(math.log(3))


def test_atan2_in_all_quadrants_at_zeros_and_infinities() -> None:
    for y, x in itertools.product(EDGES, EDGES):
        want = math.atan2(y, x)
        assert_same(got(tt.atan2, y, x), want, 4e-16)
        assert_same(got(tt.atan2, y, x, dtype="float32"), float(np.float32(want)), 2.5e-7)
    assert math.isnan(got(tt.atan2, math.nan, math.inf))
    assert math.isnan(got(tt.atan2, 0.0, math.nan))


@DTYPES
def test_hypot_neither_overflows_nor_underflows(dtype: str) -> None:
    eps, big, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).max) / 2, float(np.finfo(dtype).tiny)
    for s in (1.0, big / 8, tiny):
        assert_same(got(tt.hypot, 3 * s, -4 * s, dtype=dtype), 5 * s, 2 * eps)
    assert got(tt.hypot, 0.0, -0.0, dtype=dtype) == 0
    assert got(tt.hypot, -math.inf, 1.0, dtype=dtype) == math.inf
    assert got(tt.hypot, math.inf, -math.inf, dtype=dtype) == math.inf


@pytest.mark.parametrize("f", [tt.logaddexp, tt.logaddexp2])
def test_sums_of_exponentials_at_infinities(f: Callable[..., Any]) -> None:
    step = 1.0 if f is tt.logaddexp2 else math.log(2)
    assert got(f, -math.inf, -math.inf) == -math.inf
    assert got(f, math.inf, math.inf) == math.inf
    assert got(f, math.inf, -math.inf) == math.inf
    assert got(f, -math.inf, 3.0) == 3.0
    assert got(f, 1e300, 1e300) == 1e300
    assert got(f, 7.0, 7.0) == pytest.approx(7 + step, rel=1e-15)
    assert math.isnan(got(f, math.nan, math.inf))


def test_xlogy_at_zero() -> None:
    for y in (0.0, 5.0, -1.0, math.inf):
        assert got(tt.xlogy, 0.0, y) == 0
    assert math.isnan(got(tt.xlogy, 0.0, math.nan))
    assert got(tt.xlogy, 2.0, 0.0) == -math.inf
    assert math.isnan(got(tt.xlogy, 2.0, -1.0))


# ------------------------------------------------------------------------------------------------------------ whole numbers
def test_rounding_of_halves_signs_and_infinities() -> None:
    x = tt.tensor([-2.5, -1.5, -0.5, -0.0, 0.5, 1.5, 2.5, math.inf, -math.inf])
    assert tt.round(x).tolist() == [-2, -2, 0, 0, 0, 2, 2, math.inf, -math.inf]
    assert tt.trunc(x).tolist() == [-2, -1, 0, 0, 0, 1, 2, math.inf, -math.inf]
    assert tt.floor(x).tolist() == [-3, -2, -1, 0, 0, 1, 2, math.inf, -math.inf]
    assert tt.ceil(x).tolist() == [-2, -1, 0, 0, 1, 2, 3, math.inf, -math.inf]
    assert tt.signbit(tt.ceil(x)).tolist() == [True, True, True, True, False, False, False, False, True]
    assert tt.round(tt.tensor([12.346, -1250.0]), decimals=2).tolist() == pytest.approx([12.35, -1250], rel=1e-6)
    assert tt.round(tt.tensor([151.0, -250.0]), decimals=-2).tolist() == [200, -200]
    assert tt.frac(tt.tensor([-1.25, 2.5])).tolist() == [-0.25, 0.5]


@pytest.mark.parametrize("f", [tt.trunc, tt.floor, tt.ceil, tt.round])
def test_rounding_leaves_integers_alone(f: Callable[..., Any]) -> None:
    for data in ([2**62 + 1, -3], [True, False]):
        x = tt.tensor(data)
        y = f(x)
        assert y.dtype == x.dtype
        assert y.tolist() == data
        assert not np.shares_memory(x.numpy(), y.numpy())
    with pytest.raises(TypeError, match="round: integer tensors take no decimals"):
        tt.round(tt.tensor([1]), decimals=1)


@DTYPES
def test_quotients_and_remainders_are_those_of_python(dtype: str) -> None:
    values = [7.0, -7.0, 0.3, -0.3, 1e10, -1e-3, 5.5]
    for x, y in itertools.product(values, values):
        a, b = float(np.dtype(dtype).type(x)), float(np.dtype(dtype).type(y))
        assert got(tt.fmod, x, y, dtype=dtype) == math.fmod(a, b)
        want = np.dtype(dtype).type(a % b)  # the only rounding
        assert got(tt.remainder, x, y, dtype=dtype) == pytest.approx(float(want), rel=1e-6, abs=0)
        assert got(lambda x, y: tt.div(x, y, rounding_mode="trunc"), x, y, dtype=dtype) == math.trunc(
            float(np.dtype(dtype).type(a / b))
        )
        if abs(a / b) < 1e6:
            assert got(tt.floor_divide, x, y, dtype=dtype) == a // b
    assert got(tt.floor_divide, 1.0, 0.1) == 9  # 1 / 0.1 rounds to 10, but ten times the double 0.1 is more than 1
    assert got(tt.floor_divide, 1.0, 0.0) == math.inf
    assert math.isnan(got(tt.remainder, 1.0, 0.0))
    assert got(tt.remainder, -5.0, math.inf) == math.inf


def test_integers_divide_as_in_python_and_c() -> None:
    a, b = np.meshgrid(np.arange(-9, 10), [-4, -3, -1, 1, 2, 5])
    x, y = tt.tensor(a), tt.tensor(b)
    pairs = list(zip(a.ravel().tolist(), b.ravel().tolist()))
    for r, want in (
        (x // y, [p // q for p, q in pairs]),
        (x % y, [p % q for p, q in pairs]),
        (tt.fmod(x, y), [int(math.fmod(p, q)) for p, q in pairs]),
        (tt.div(x, y, rounding_mode="trunc"), [math.trunc(p / q) for p, q in pairs]),
        (tt.div(x, y, rounding_mode="floor"), [p // q for p, q in pairs]),
    ):
        assert r.dtype == tt.int64
        assert r.numpy().ravel().tolist() == want
    small = tt.tensor(np.array([200, 7], np.uint8))
    assert (small // 3).dtype == tt.uint8
    assert (small % 3).tolist() == [2, 1]


def test_operators_and_their_reflections() -> None:
    x = tt.tensor([2.0, -3.0], requires_grad=True)
    assert (x // 2).tolist() == [1, -2]
    assert (7 // x).tolist() == [3, -3]
    assert (x % 2).tolist() == [0, 1]
    assert (7 % x).tolist() == [1, -2]
    assert (np.array([7.0, 7.0], np.float32) // x).tolist() == [3, -3]
    (7 % x + x % 2).sum().backward()
    assert x.grad.tolist() == [-3 + 1, 3 + 1]
    y = tt.tensor([5])
    y //= 2
    y %= 2
    assert y.tolist() == [0]


@pytest.mark.parametrize(
    "f",
    [
        tt.floor_divide,
        tt.fmod,
        tt.remainder,
        lambda x, y: tt.div(x, y, rounding_mode="trunc"),
        lambda x, y: tt.div(x, y, rounding_mode="floor"),
    ],
)
def test_what_division_refuses(f: Callable[..., Any]) -> None:
    with pytest.raises(ZeroDivisionError, match="an integer divided by 0"):
        f(tt.tensor([1, 2]), tt.tensor([1, 0]))
    with pytest.raises(TypeError, match="bool tensors"):
        f(tt.tensor([True]), tt.tensor([True]))
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\) cannot be broadcast"):
        f(tt.tensor([1, 2]), tt.tensor([1, 2, 3]))
    assert f(tt.tensor([], dtype=tt.int64), 3).shape == (0,)


def test_rounding_modes_are_three() -> None:
    with pytest.raises(ValueError, match="rounding_mode must be None, 'trunc' or 'floor', got 'up'"):
        tt.div(tt.tensor([1.0]), 2, rounding_mode="up")
    assert tt.div(tt.tensor([3]), 2).tolist() == [1.5]


# ------------------------------------------------------------------------------------------------- signs, limits, dtypes
def test_signs_of_zeros() -> None:
    x = tt.tensor([1.0, -2.0, 0.0, -0.0, math.nan])
    assert tt.copysign(x, -0.0).tolist()[:2] == [-1, -2]
    assert tt.signbit(tt.copysign(x, -1.0)).tolist() == [True] * 5
    assert tt.signbit(x[:4]).tolist() == [False, True, False, True]
    assert tt.signbit(tt.tensor([3, -3, 0])).tolist() == [False, True, False]
    assert tt.copysign(tt.tensor([3, 4]), tt.tensor([-1, 1])).tolist() == [-3.0, 4.0]


def test_infinities_by_sign() -> None:
    x = tt.tensor([math.inf, -math.inf, math.nan, 0.0])
    assert tt.isposinf(x).tolist() == [True, False, False, False]
    assert tt.isneginf(x).tolist() == [False, True, False, False]
    assert tt.isposinf(tt.tensor([1, 2])).tolist() == [False, False]


@DTYPES
def test_nan_to_num_has_the_limits_of_the_dtype(dtype: str) -> None:
    top = np.finfo(dtype).max
    x = tt.tensor(np.array([math.nan, math.inf, -math.inf, 2.0], dtype))
    assert tt.nan_to_num(x).tolist() == [0, top, -top, 2]
    assert tt.nan_to_num(x, 1.0, neginf=-5.0).tolist() == [1, top, -5, 2]
    assert tt.nan_to_num(tt.tensor([3])).tolist() == [3]


def test_heaviside_keeps_nan_and_takes_the_value_at_zero() -> None:
    y = tt.heaviside(tt.tensor([-1.0, 0.0, -0.0, 2.0, math.nan], requires_grad=True), 0.25)
    assert y.tolist()[:4] == [0, 0.25, 0.25, 1]
    assert math.isnan(y[4].item())
    assert not y.requires_grad


@pytest.mark.parametrize(
    "name",
    [
        "log2",
        "log10",
        "exp2",
        "logit",
        "erfc",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "asinh",
        "acosh",
        "atanh",
    ],
)
def test_integers_become_the_default_float(name: str) -> None:
    f = getattr(tt, name)
    for data in ([1, 0], [True, False]):
        y = f(tt.tensor(data))
        assert y.dtype == tt.float32
        np.testing.assert_array_equal(y.numpy(), f(tt.tensor(data).to(tt.float32)).numpy())
    with pytest.raises(TypeError, match="complex"):
        f(np.array([1j]))


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2", "xlogy", "hypot", "atan2", "copysign", "heaviside"])
def test_dtypes_of_two(name: str) -> None:
    f = getattr(tt, name)
    assert f(tt.tensor([1, 2]), tt.tensor([2, 1])).dtype == tt.float32
    assert f(tt.tensor([1, 2]), 0.5).dtype == tt.float32
    wide = tt.tensor([1.0, 2.0], dtype=tt.float64)
    assert f(wide, tt.tensor([1.0, 2.0])).dtype == tt.float64
    np.testing.assert_array_equal(f(wide, 0.1).numpy(), f(wide, tt.full((), 0.1, dtype=tt.float64)).numpy())
    with pytest.raises(TypeError, match="complex"):
        f(wide, 1j)


@pytest.mark.parametrize("name", ["xlogy", "copysign", "hypot", "atan2", "logaddexp", "lerp"])
def test_a_number_among_doubles_is_not_rounded_in_the_gradient(name: str) -> None:
    f = getattr(tt, name)
    many = (lambda x, v: tt.lerp(x, 2 * x, v)) if name == "lerp" else f
    found = []
    for v in (0.1, tt.full((), 0.1, dtype=tt.float64)):
        x = tt.tensor([0.7], dtype=tt.float64, requires_grad=True)
        many(x, v).sum().backward()
        assert x.grad.dtype == tt.float64
        found.append(x.grad.tolist())
    assert found[0] == found[1]


def test_float_power_computes_in_double() -> None:
    y = tt.float_power(tt.tensor([2, 3]), 0.5)
    assert y.dtype == tt.float64
    assert y.tolist() == [math.sqrt(2), math.sqrt(3)]
    assert tt.float_power(2, tt.tensor([-1])).tolist() == [0.5]


def test_other_names_are_the_same_functions() -> None:
    for name in ("sin", "cos", "tan", "tan2", "sinh", "cosh", "tanh"):
        assert getattr(tt, f"arc{name}") is getattr(tt, f"a{name}")
    assert tt.fix is tt.trunc
    assert tt.sgn is tt.sign
    assert (tt.multiply, tt.subtract, tt.divide, tt.true_divide) == (tt.mul, tt.sub, tt.div, tt.div)
    assert (tt.clip, tt.absolute, tt.negative, tt.concatenate) == (tt.clamp, tt.abs, tt.neg, tt.cat)
    x = tt.tensor([1.5])
    assert tt.positive(x) is x
    with pytest.raises(TypeError, match="positive"):
        tt.positive(tt.tensor([True]))


# -------------------------------------------------------------------------------------------------------------- comparison
@pytest.mark.parametrize("wrap", [tt.tensor, np.array])
def test_whole_numbers_are_clamped_as_what_they_were_given_as(wrap: Any) -> None:
    x = wrap([-5, 0, 7])
    whole, real = tt.clamp(x, -1, 3), tt.clamp(x, max=2.5)
    assert (whole.tolist(), real.tolist()) == ([-1, 0, 3], [-5, 0, 2.5])
    assert type(whole) is type(real) is type(x)
    assert (whole.dtype, real.dtype) == ("int64", "float32")


def test_isclose_is_relative_to_the_second() -> None:
    x, y = tt.tensor([1.0, 100.0, math.inf, math.inf, math.nan]), tt.tensor([1.1, 111.0, math.inf, -math.inf, math.nan])
    assert tt.isclose(x, y, rtol=0.1, atol=0).tolist() == [True, True, True, False, False]
    assert tt.isclose(y, x, rtol=0.1, atol=0).tolist() == [False, False, True, False, False]
    assert tt.isclose(x, y, rtol=0.1, equal_nan=True).tolist() == [True, True, True, False, True]
    assert tt.isclose(tt.tensor([2**40]), tt.tensor([2**40 + 1]), rtol=0, atol=0).tolist() == [False]
    assert tt.isclose(tt.tensor([10]), tt.tensor([11]), atol=1).tolist() == [True]
    with pytest.raises(ValueError, match="must not be negative"):
        tt.isclose(x, y, rtol=-1)


def test_answers_are_python_bools() -> None:
    x = tt.tensor([1.0, 2.0])
    assert tt.allclose(x, x + 1e-9) is True
    assert tt.allclose(x, x + 1) is False
    assert tt.equal(x, x.clone()) is True
    assert tt.equal(x, tt.tensor([[1.0, 2.0]])) is False
    assert tt.equal(tt.tensor([math.nan]), tt.tensor([math.nan])) is False
    assert tt.equal(tt.tensor([1]), tt.tensor([1.0])) is True
    assert x.allclose(x) is True


# ---------------------------------------------------------------------------------------------------------------- mixtures
def test_lerp_hits_both_ends() -> None:
    x, y = tt.tensor([0.1, 1e8]), tt.tensor([0.7, -1.0])
    assert tt.lerp(x, y, 0.0).tolist() == x.tolist()
    assert tt.lerp(x, y, 1.0).tolist() == y.tolist()
    with pytest.raises(TypeError, match="lerp: expected float tensors"):
        tt.lerp(tt.tensor([1]), tt.tensor([2]), 0.5)


def test_products_with_an_input_say_which_shape_is_wrong() -> None:
    a, b = tt.ones(2, 3), tt.ones(3, 4)
    with pytest.raises(ValueError, match=r"addmm: input of shape \(3,\) cannot be broadcast to the product's \(2, 4\)"):
        tt.addmm(tt.ones(3), a, b)
    with pytest.raises(ValueError, match=r"addmm: input of shape \(1, 2, 4\)"):
        tt.addmm(tt.ones(1, 2, 4), a, b)
    with pytest.raises(ValueError, match="addmm: expected two tensors of 2 dimensions"):
        tt.addmm(tt.ones(3), tt.ones(3), b)
    with pytest.raises(ValueError, match="baddbmm: expected two tensors of 3 dimensions"):
        tt.baddbmm(tt.ones(3), a, b)
    assert tt.addmm(tt.tensor(math.nan), a, b, beta=0).tolist() == [[3.0] * 4] * 2


# --------------------------------------------------------------------------------------------------------------- gradients
@pytest.mark.parametrize("f", [tt.logaddexp, tt.logaddexp2])
@pytest.mark.parametrize("at", [math.inf, -math.inf])
def test_equal_infinities_have_half_the_gradient_each(f: Any, at: float) -> None:
    x, y = tt.tensor(at, requires_grad=True), tt.tensor(at, requires_grad=True)
    f(x, y).backward()
    assert (x.grad.item(), y.grad.item()) == (0.5, 0.5)


def test_second_derivatives_where_two_are_equal() -> None:
    x = tt.tensor([3.0], dtype=tt.float64, requires_grad=True)
    y = tt.tensor([3.0], dtype=tt.float64, requires_grad=True)
    for f, want in ((tt.logaddexp, 0.25), (tt.logaddexp2, 0.25 * math.log(2))):
        (g,) = autograd.grad(f(x, y).sum(), x, create_graph=True)
        first, second = autograd.grad(g.sum(), [x, y])
        assert first.item() == pytest.approx(want, rel=1e-14)
        assert second.item() == pytest.approx(-want, rel=1e-14)


@pytest.mark.parametrize(
    ("f", "at", "slope"),
    [
        (tt.asin, 0.6, 1.25),
        (tt.acos, 0.6, -1.25),
        (tt.atan, 2.0, 0.2),
        (tt.atanh, 0.5, 4 / 3),
        (tt.acosh, 1.25, 4 / 3),
        (tt.asinh, 0.75, 0.8),
        (tt.tan, 0.0, 1.0),
        (tt.logit, 0.5, 4.0),
        (lambda x: tt.hypot(x, 0.8), 0.6, 0.6),
        (lambda x: tt.atan2(x, 2.0), 0.0, 0.5),
        (lambda x: tt.xlogy(x, math.e), 2.0, 1.0),
        (lambda x: tt.lerp(x, 3 * x, 0.5), 2.0, 2.0),
    ],
)
def test_a_rule_is_linear_in_an_upstream_of_zero(f: Callable[..., Any], at: float, slope: float) -> None:
    """The derivative by the upstream gradient is the slope, also where the upstream is 0 (forward mode by reverse twice)."""
    x = tt.tensor([at], dtype=tt.float64, requires_grad=True)
    up = tt.zeros(1, dtype=tt.float64, requires_grad=True)
    (g,) = autograd.grad(f(x), x, up, create_graph=True)
    (s,) = autograd.grad(g.sum(), up)
    assert s.item() == pytest.approx(slope, rel=1e-12)


@DTYPES
def test_slopes_at_huge_arguments(dtype: str) -> None:
    big = float(np.finfo(dtype).max) / 4
    for f, slope in (
        (tt.asinh, 1 / big),
        (tt.acosh, 1 / big),
        (lambda x: tt.hypot(x, x), math.sqrt(2)),
        (tt.atan, 0.0),
    ):
        x = tt.tensor(np.array([big], dtype), requires_grad=True)
        f(x).sum().backward()
        assert x.grad.item() == pytest.approx(slope, rel=1e-6, abs=1e-60)
