"""gradcheck, gradgradcheck and assert_close, tested with what they must find."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.op import Array, op
from tinytensor.testing import GradcheckError, assert_close, gradcheck, gradgradcheck

RNG = np.random.default_rng(11)
both_modes = pytest.mark.parametrize("fast_mode", [False, True], ids=["full", "fast"])


def leaf(*shape: int) -> Any:
    return tt.tensor(RNG.uniform(0.5, 1.5, shape), requires_grad=True)


def product(rule: Callable[..., Any], value: Callable[..., Any] = tt.mul) -> Any:
    """x * y, or another function of two, with a rule of its own."""

    @op
    def product(x: Array, y: Array) -> Any:
        return value(x, y)

    product.rule(rule)
    return product


RIGHT = product(lambda g, x, y: (g * y, g * x))


# ------------------------------------------------------------------------------------------------------------ what is right
@both_modes
def test_right_derivatives_pass(fast_mode: bool) -> None:
    x, y = leaf(3, 4), leaf(4)
    for f in (
        lambda x, y: x * y,
        lambda x, y: (tt.tanh(x), (x @ y).exp(), [1, 2], x.argmax(1)),
        lambda x, y: [x.sum(), y[1:]],
        lambda x, y: x.T @ x,
        lambda x, y: RIGHT(x, x + y),
    ):
        assert gradcheck(f, (x, y), fast_mode=fast_mode)
        assert gradgradcheck(f, (x, y), fast_mode=fast_mode)
    assert gradcheck(tt.exp, x, fast_mode=fast_mode)
    assert gradcheck(lambda x, n, s: x * n if s else x, [x, 3, "text"], fast_mode=fast_mode)
    assert gradcheck(lambda x, y: x * y, (x, y.detach()), fast_mode=fast_mode)
    assert gradcheck(
        lambda x: tt.cat([x.reshape(-1), x[0] * 2]), x.detach()[:, ::2].requires_grad_(), fast_mode=fast_mode
    )
    assert gradcheck(lambda x: x * 2, tt.zeros(0, 3, dtype=tt.float64, requires_grad=True), fast_mode=fast_mode)
    assert gradcheck(lambda x: x.sin(), leaf(), fast_mode=fast_mode)
    assert gradgradcheck(lambda x: x * x, x, tt.ones(3, 4, dtype=tt.float64), fast_mode=fast_mode)


def test_the_inputs_are_left_alone() -> None:
    x = leaf(3)
    before = x.detach().clone()
    with tt.no_grad():
        assert gradcheck(lambda x: x**3, x)
        assert gradgradcheck(lambda x: x**3, x)
    assert (x.grad, x.tolist()) == (None, before.tolist())


# ------------------------------------------------------------------------------------------------------------ what is wrong
WRONG = {
    "0.1 % too large": (lambda g, x, y: (g * y, g * x * 1.001), ((3,), (3,))),
    "0.1 % too small, of both": (lambda g, x, y: (g * y * 0.999, g * x * 0.999), ((3,), (3,))),
    "sign": (lambda g, x, y: (g * y, -(g * x)), ((3,), (3,))),
    "exchanged": (lambda g, x, y: (g * x, g * y), ((3,), (3,))),
    "None for what has a gradient": (lambda g, x, y: (g * y, None), ((3,), (3,))),
    "transposition": (lambda g, x, y: (tt.matmul(g, y), tt.matmul(x.swapaxes(0, 1) if isinstance(x, np.ndarray) else x.T, g)), ((3, 4), (4, 4))),
    "missing accumulation": (lambda g, x, y: (g * y, (g * x)[0]), ((3, 4), (4,))),
    "one element": (lambda g, x, y: (g * y, g * x + g * 0.002 * (x == x.max())), ((3,), (3,))),
    "an upstream of 1 taken for granted": (lambda g, x, y: (y + 0.0 * g, g * x), ((3,), (3,))),
    "NaN": (lambda g, x, y: (g * y, g * np.nan), ((3,), (3,))),
}  # fmt: skip


@both_modes
@pytest.mark.parametrize("which", WRONG)
def test_a_wrong_rule_is_found(which: str, fast_mode: bool) -> None:
    rule, shapes = WRONG[which]
    f = product(rule, tt.matmul if which == "transposition" else tt.mul)
    inputs = [leaf(*s) for s in shapes]
    with pytest.raises(GradcheckError, match="gradcheck"):
        gradcheck(f, inputs, fast_mode=fast_mode)
    assert not gradcheck(f, inputs, raise_exception=False, fast_mode=fast_mode)


@both_modes
def test_a_gradient_of_the_wrong_shape_is_found(fast_mode: bool) -> None:
    f = product(lambda g, x, y: (g * y, (g * x)[:2]))
    with pytest.raises(
        GradcheckError, match=r"backward failed: backward of product.*shape \(2,\) for an input of shape \(3,\)"
    ):
        gradcheck(f, (leaf(3), leaf(3)), fast_mode=fast_mode)
    with pytest.raises(GradcheckError, match=r"backward failed.* 1 gradients for 2 inputs"):
        gradcheck(product(lambda g, y: g * y), (leaf(3), leaf(3)), fast_mode=fast_mode)


@both_modes
def test_a_rule_right_at_first_order_and_wrong_at_second(fast_mode: bool) -> None:
    @op
    def slope(g: Array, x: Array) -> Any:
        return g * 3 * x * x

    for second in (
        lambda u, g, x: (u * 3 * x * x, u * g * 6.006 * x),
        lambda u, g, x: (u * x, u * g * 6 * x),
        lambda u, g, x: (u * 3 * x * x, None),
    ):
        slope.rule(second)

        @op
        def cube(x: Array) -> Any:
            return x * x * x

        @cube.rule
        def _(g: Any, x: Any) -> Any:
            return slope(g, x)

        assert gradcheck(cube, leaf(3), fast_mode=fast_mode)
        with pytest.raises(GradcheckError, match=r"gradgradcheck: .*the gradient of input 0"):
            gradgradcheck(cube, leaf(3), fast_mode=fast_mode)
        assert not gradgradcheck(cube, leaf(3), raise_exception=False, fast_mode=fast_mode)


@both_modes
def test_a_gradient_without_history_is_found_at_second_order(fast_mode: bool) -> None:
    @op
    def square(x: Array) -> Any:
        return x * x

    @square.rule
    def _(g: Any, x: Any) -> Any:
        return g * 2 * (x.detach() if isinstance(x, tt.Tensor) else x)

    assert gradcheck(square, leaf(3), fast_mode=fast_mode)
    with pytest.raises(GradcheckError, match="gradgradcheck"):
        gradgradcheck(square, leaf(3), fast_mode=fast_mode)


@both_modes
def test_a_backward_that_fails_at_second_order_is_found(fast_mode: bool) -> None:
    @op
    def square(x: Array) -> Any:
        return x * x

    @square.rule
    def _(g: Any, x: Any) -> Any:
        if isinstance(x, tt.Tensor):
            raise RuntimeError("no second order")
        return g * 2 * x

    with pytest.raises(GradcheckError, match=r"gradgradcheck: backward failed: .*no second order"):
        gradgradcheck(square, leaf(3), fast_mode=fast_mode)


def test_what_detaches_is_found() -> None:
    for fast_mode in (False, True):
        with pytest.raises(GradcheckError):
            gradcheck(lambda x: x * x.detach(), leaf(3), fast_mode=fast_mode)
        with pytest.raises(GradcheckError):
            gradcheck(lambda x: tt.tensor(x.detach().numpy() * 2), leaf(3), fast_mode=fast_mode)


def test_the_report_names_the_worst_element() -> None:
    def rule(g: Any, x: Any, y: Any) -> Any:
        error = np.zeros((2, 3))
        error[1, 2], error[0, 1] = 0.25, 0.125
        return g * y, g * (x + error)

    x, y = tt.ones(2, 3, dtype=tt.float64, requires_grad=True), tt.ones(2, 3, dtype=tt.float64, requires_grad=True)
    with pytest.raises(GradcheckError) as e:
        gradcheck(lambda c, x, y: (x.sum(), product(rule)(x, y)), ("constant", x, y))
    assert str(e.value).startswith(
        "gradcheck: the worst derivative is of output 1 (2, 3) by input 2 (2, 3): at output index (1, 2) and input index (1, 2) analytic 1.25, numeric 1,"
    )
    assert str(e.value).endswith("a difference of 0.25 where 0.000101 is allowed; 2 of 36 elements differ")
    with pytest.raises(
        GradcheckError,
        match=r"output 1 \(2, 3\) by input 2 \(2, 3\): along random directions analytic .* numeric .*fast_mode=False",
    ):
        gradcheck(lambda c, x, y: (x.sum(), product(rule)(x, y)), ("constant", x, y), fast_mode=True)
    with pytest.raises(GradcheckError, match=r"the gradient of input 0 \(2, 3\) by grad_output 0 \(2, 3\)"):
        gradgradcheck(
            product(lambda g, x, y: (g * y.detach() + 0.01 * g.detach() if isinstance(g, tt.Tensor) else g * y, g * x)),
            (x, y.detach()),
        )


def test_tolerances_are_the_callers() -> None:
    f = product(lambda g, x, y: (g * y, g * x * 1.001))
    assert gradcheck(f, (leaf(3), leaf(3)), rtol=1e-2)
    assert gradcheck(f, (leaf(3), leaf(3)), atol=1e-2, rtol=0)
    assert not gradcheck(lambda x: (x * 1000).sin(), leaf(3), eps=1e-2, raise_exception=False)


# ------------------------------------------------------------------------------------------------------- beside the numbers
def test_float32_is_refused_unless_told() -> None:
    x = leaf(3).detach().float().requires_grad_()
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(
            ValueError, match=rf"{check.__name__}: input 1 is float32 of shape \(3,\): .*double.*allow_float32=True"
        ):
            check(lambda c, x: x * x, (1, x), raise_exception=False)
        assert check(lambda x: x * x, x, allow_float32=True, eps=1e-2, atol=1e-2, rtol=1e-2)
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: x * x.detach(), x, allow_float32=True, eps=1e-2, atol=1e-2, rtol=1e-2)


def test_usage_errors() -> None:
    for inputs in (leaf(3).detach(), [1, 2], []):
        with pytest.raises(ValueError, match="no input requires grad"):
            gradcheck(lambda *a: a, inputs)
    with pytest.raises(ValueError, match="no float Tensor"):
        gradcheck(lambda x: x.argmax(), leaf(3))
    with pytest.raises(ValueError, match=r"expected grad_outputs of shapes \[\(3,\)\], got \[\(2,\)\]"):
        gradgradcheck(lambda x: x * x, leaf(3), leaf(2))
    with pytest.raises(ZeroDivisionError):  # the function's own error stays its own
        gradcheck(lambda x: 1 / 0, leaf(3), raise_exception=False)


def test_what_is_not_deterministic_is_found() -> None:
    count = itertools.count()
    f = product(lambda g, x, y: (g * y * (1 + 1e-12 * next(count)), g * x))
    with pytest.raises(GradcheckError, match=r"not deterministic: .* gradient of input 0"):
        gradcheck(f, (leaf(3), leaf(3)))
    assert gradcheck(f, (leaf(3), leaf(3)), nondet_tol=1e-6)
    forward = lambda x: x * (1 + 1e-12 * next(count))  # noqa: E731
    with pytest.raises(GradcheckError, match="not deterministic"):
        gradcheck(forward, leaf(3))


def test_a_rule_that_needs_contiguous_gradients_is_found() -> None:
    def flat(g: Any) -> Any:
        return np.lib.stride_tricks.as_strided(g, (3,), (8,)) if isinstance(g, np.ndarray) else g

    with pytest.raises(GradcheckError, match=r"non-contiguous|strides of 0"):
        gradcheck(product(lambda g, x, y: (flat(g) * y, g * x)), (leaf(3), leaf(3)))
    only_repeated = lambda g: flat(g) if isinstance(g, np.ndarray) and 0 in g.strides else g  # noqa: E731
    with pytest.raises(GradcheckError, match="strides of 0"):
        gradcheck(
            product(
                lambda g, x, y: (
                    (only_repeated(np.asarray(g)) * y, g * x) if not isinstance(g, tt.Tensor) else (g * y, g * x)
                )
            ),
            (leaf(3), leaf(3)),
        )


def test_a_rule_that_takes_gaps_for_numbers_is_found_and_rounding_is_not() -> None:
    def with_gaps(wrong: float) -> Any:
        """What is added where the upstream gradient lies in memory with gaps, none of them a repetition."""
        return product(
            lambda g, x, y: (
                g * y + wrong * (isinstance(g, np.ndarray) and g.strides not in ((g.itemsize,), (0,))),
                g * x,
            )
        )

    x, y = leaf(3), leaf(3)
    with pytest.raises(
        GradcheckError, match=r"depend on the strides of the upstream gradient: .* a non-contiguous one wrongly"
    ):
        gradcheck(with_gaps(0.01), (x, y))
    zero = tt.zeros(3, dtype=tt.float64, requires_grad=True)
    assert gradcheck(with_gaps(5e-10), (x, zero))
    with pytest.raises(GradcheckError, match="depend on the strides"):
        gradcheck(with_gaps(5e-9), (x, zero))


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_an_input_changed_in_place_is_found(where: str) -> None:
    @op
    def shifted(x: Array) -> Any:
        if where == "forward":
            x[0] = 7.0
        return x + 1.0

    @shifted.rule
    def _(g: Any, x: Any) -> Any:
        if where == "backward" and isinstance(x, np.ndarray):
            x[0] = 7.0
        return g

    with pytest.raises(GradcheckError, match="changed input 0 in place"):
        gradcheck(shifted, leaf(3))


def test_an_undefined_gradient_is_not_zero_by_itself() -> None:
    """The gradient of one output must not hang on the walk through another."""
    walked: list[int] = []

    @op
    def first(x: Array) -> Any:
        return x * 2.0

    @first.rule
    def _(g: Any) -> Any:
        walked.append(1)
        return g * 2.0

    @op
    def second(x: Array) -> Any:
        return x * 3.0

    @second.rule
    def _(g: Any) -> Any:  # wrong: it counts on the other output's gradient having come first
        several, walked[:] = len(walked), []
        return g * (3.0 if several else 4.0)

    def f(x: Any) -> Any:
        late = second(x)
        return first(x), late

    with pytest.raises(GradcheckError, match="the gradient of output 1 alone differs"):
        gradcheck(f, leaf(3))
    assert not gradcheck(f, leaf(3), raise_exception=False, check_undefined_grad=False)  # the numbers tell, too


# ---------------------------------------------------------------------------------------------------------- assert_close
@pytest.mark.parametrize(
    "actual, expected",
    [
        (tt.tensor([1.0, 2.0]), tt.tensor([1.0, 2.0 + 1e-6])),
        (np.float64(1.0), np.float64(1.0 + 1e-8)),
        (1.0, 1.0 + 1e-8),
        (3, 3),
        (True, True),
        (tt.tensor([np.inf, -np.inf]), tt.tensor([np.inf, -np.inf])),
        ([tt.ones(2), {"a": 1.0}], (tt.ones(2), {"a": 1.0})),
        (np.ones(2), tt.ones(2, dtype=tt.float64)),
        (tt.ones(2, requires_grad=True) * 2, tt.full((2,), 2.0)),
        (tt.zeros(0), tt.zeros(0)),
        (tt.tensor([1, 2]), tt.tensor([1, 2])),
    ],
)
def test_what_is_close(actual: Any, expected: Any) -> None:
    assert_close(actual, expected)


@pytest.mark.parametrize(
    "actual, expected, text",
    [
        (tt.tensor([1.0, 2.0]), tt.tensor([1.0, 2.001]), r"1 of 2 elements are not close: the worst at index \(1,\) is 2.0, expected 2.00\d*, a difference of 0.001"),
        (tt.ones(2, 2), tt.ones(2), r"the shapes differ: \(2, 2\) and \(2,\)"),
        (tt.ones(2), tt.ones(2, dtype=tt.float64), "the dtypes differ: float32 and float64"),
        (1.0, 1, "the dtypes differ"),
        (tt.tensor([1, 2]), tt.tensor([1, 3]), r"the worst at index \(1,\) is 2, expected 3, a difference of 1"),
        (2.0, 2.1, "the numbers are not close: the worst is 2.0, expected 2.1"),
        (tt.tensor([np.nan]), tt.tensor([np.nan]), "not close"),
        (tt.tensor([np.inf]), tt.tensor([1.0]), "not close"),
        (tt.tensor([1.0]), tt.tensor([np.inf]), "not close"),
        (tt.tensor([np.inf]), tt.tensor([-np.inf]), "not close"),
        ([1.0, [2.0]], [1.0, [3.0]], r"at \[1\]\[0\]"),
        ({"a": 1.0}, {"a": 2.0}, r"at \['a'\]"),
        ({"a": 1.0}, {"b": 1.0}, "the keys differ"),
        ([1.0], [1.0, 2.0], "the lengths differ: 1 and 2"),
        ([1.0], 1.0, "cannot compare: list and float"),
        (tt.ones(1), None, "cannot compare: Tensor and NoneType"),
        (tt.tensor([True]), tt.tensor([False]), "not close"),
    ],
)  # fmt: skip
def test_what_is_not_close(actual: Any, expected: Any, text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        assert_close(actual, expected)


def test_options_of_assert_close() -> None:
    assert_close(1.0, 1.05, rtol=0.1, atol=0.0)
    assert_close(np.nan, np.nan, equal_nan=True)
    assert_close(tt.ones(2), tt.ones(2, dtype=tt.float64) + 1e-6, check_dtype=False)
    assert_close(tt.ones(2), tt.tensor([1, 1]), check_dtype=False)
    assert_close(tt.tensor([5]), tt.tensor([6]), rtol=0.0, atol=1.0)
    assert_close(tt.ones(2, 3).T, tt.ones(3, 2))
    with pytest.raises(AssertionError, match="strides"):
        assert_close(tt.ones(2, 3).T, tt.ones(3, 2), check_stride=True)
    with pytest.raises(AssertionError, match=r"^mine$"):
        assert_close(1.0, 2.0, msg="mine")
    with pytest.raises(AssertionError, match=r"^mine: the numbers"):
        assert_close(1.0, 2.0, msg=lambda text: f"mine: {text}")
    for how in ({"rtol": 0.1}, {"atol": 0.1}):
        with pytest.raises(ValueError, match="both rtol and atol"):
            assert_close(1.0, 1.0, **how)


@pytest.mark.parametrize(("dtype", "rtol", "atol"), [(tt.float32, 1.3e-6, 1e-5), (tt.float64, 1e-7, 1e-7)])
def test_default_tolerances_of_assert_close(dtype: Any, rtol: float, atol: float) -> None:
    def ones(n: float) -> tt.Tensor:
        return tt.tensor([n], dtype=dtype)

    assert_close(ones(0.9 * atol), ones(0.0))
    assert_close(ones(1e6 * (1 + 0.8 * rtol)), ones(1e6))
    with pytest.raises(AssertionError, match="not close"):
        assert_close(ones(1.1 * atol), ones(0.0))
    with pytest.raises(AssertionError, match="not close"):
        assert_close(ones(1e6 * (1 + 1.2 * rtol)), ones(1e6))


@pytest.mark.filterwarnings("ignore:.*torch:DeprecationWarning")
def test_tolerances_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    for dtype, error in itertools.product(
        (np.float32, np.float64), (0.0, 1e-8, 1.05e-7, 2.2e-7, 1e-6, 1.1e-5, 1.4e-5, 1e-4)
    ):
        for size in (1.0, 100.0):
            a, b = np.full(3, size, dtype), np.full(3, size * (1 + error), dtype)
            found = []
            for check, make in ((assert_close, tt.tensor), (torch.testing.assert_close, torch.tensor)):
                try:
                    check(make(a), make(b))
                    found.append(True)
                except AssertionError:
                    found.append(False)
            assert found[0] == found[1]
