"""Draws from distributions that Tensors tell: their frequencies, their seeds, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt


def frequencies(index: Any, n: int) -> Any:
    return tt.bincount(index.flatten(), minlength=n).numpy() / index.numel()


def test_multinomial_draws_in_proportion() -> None:
    weights = tt.tensor([1.0, 0.0, 3.0, 4.0])
    index = tt.multinomial(weights, 4000, replacement=True)
    assert index.shape == (4000,) and index.dtype == tt.int64
    np.testing.assert_allclose(frequencies(index, 4), [0.125, 0, 0.375, 0.5], atol=0.03)
    rows = tt.multinomial(tt.tensor([[1.0, 0.0], [0.0, 2.0]]), 5, replacement=True)
    assert rows.tolist() == [[0] * 5, [1] * 5]


def test_multinomial_without_replacement() -> None:
    weights = tt.tensor([[1.0, 0.0, 3.0, 4.0]]).expand(2000, 4)
    index = tt.multinomial(weights, 2)
    assert (index[:, 0] != index[:, 1]).all().item() and (index != 1).all().item()
    np.testing.assert_allclose(frequencies(index[:, 0], 4), [0.125, 0, 0.375, 0.5], atol=0.04)
    # the second: sum over the first of p_first p_second / (1 - p_first)
    second = 0.5 * 0.125 / 0.5 + 0.375 * 0.125 / 0.625
    assert frequencies(index[:, 1], 4)[0] == pytest.approx(second, abs=0.04)
    assert sorted(tt.tensor([1.0, 2.0, 3.0]).multinomial(3).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("scale", [1e-320, 1e-160, 1.4e307])
def test_multinomial_of_the_smallest_and_the_largest_weights(scale: float) -> None:
    weights = tt.tensor([4 * scale, 0.0, 12 * scale], dtype=tt.float64)
    np.testing.assert_allclose(frequencies(tt.multinomial(weights, 4000, True), 3), [0.25, 0, 0.75], atol=0.03)
    first = tt.multinomial(weights.expand(2000, 3), 1)
    np.testing.assert_allclose(frequencies(first, 3), [0.25, 0, 0.75], atol=0.04)
    pair = tt.multinomial(tt.tensor([0.0, scale, 1.0], dtype=tt.float64).expand(50, 3), 2)
    assert (pair.sum(1) == 3).all().item()  # never the one of weight 0


def test_bernoulli() -> None:
    p = tt.tensor([0.0, 0.2, 1.0]).expand(3000, 3)
    drawn = tt.bernoulli(p)
    assert drawn.dtype == tt.float32 and set(drawn.flatten().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(0).numpy(), [0, 0.2, 1], atol=0.03)
    x = tt.empty(3000)
    assert x.bernoulli_(0.7) is x and x.mean().item() == pytest.approx(0.7, abs=0.03)
    assert tt.zeros(3, 2).bernoulli_(tt.tensor([0.0, 1.0])).tolist() == [[0, 1]] * 3


def test_normal() -> None:
    x = tt.normal(3.0, 0.5, size=(4000,))
    assert x.mean().item() == pytest.approx(3, abs=0.05) and x.std().item() == pytest.approx(0.5, abs=0.03)
    means = tt.tensor([[0.0], [100.0]], dtype=tt.float64)
    y = tt.normal(means, tt.tensor([0.0, 1.0, 1.0]))
    assert y.shape == (2, 3) and y.dtype == tt.float64 and y[:, 0].tolist() == [0, 100]
    assert tt.normal(tt.ones(2, requires_grad=True), 1.0).requires_grad is False


DRAWS: list[Callable[..., Any]] = [
    lambda **k: tt.multinomial(tt.ones(5), 9, True, **k),
    lambda **k: tt.multinomial(tt.ones(50), 9, **k),
    lambda **k: tt.bernoulli(tt.full((40,), 0.5), **k),
    lambda **k: tt.normal(0.0, 1.0, (4,), **k),
]


@pytest.mark.parametrize("draw", DRAWS, ids=range(4))
def test_a_seed_gives_the_same_draws(draw: Callable[..., Any]) -> None:
    first = draw(generator=tt.Generator(3))
    state = tt.random.default_generator.get_state()
    assert first.tolist() == draw(generator=tt.Generator(3)).tolist() != draw(generator=tt.Generator(4)).tolist()
    assert tt.random.default_generator.get_state() == state
    assert draw().tolist() != draw().tolist()


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tt.multinomial(tt.tensor([1, 2]), 1), TypeError, "multinomial: expected a floating-point Tensor, got int64"),
    (lambda: tt.multinomial(tt.tensor([1.0, -2.0]), 1), ValueError, "expected finite weights >= 0"),
    (lambda: tt.multinomial(tt.zeros(2), 1), ValueError, "one above 0 in each row"),
    (lambda: tt.multinomial(tt.tensor([1.0, 0.0]), 2), ValueError, "2 samples without replacement of 1 positive"),
    (lambda: tt.multinomial(tt.ones(2, 2, 2), 1), ValueError, r"expected weights \(N\) or \(M, N\)"),
    (lambda: tt.bernoulli(tt.tensor([1.5])), ValueError, "bernoulli: expected probabilities between 0 and 1"),
    (lambda: tt.bernoulli([0.5]), TypeError, "bernoulli: expected a floating-point Tensor, got list"),  # type: ignore[arg-type]
    (lambda: tt.normal(0.0, -1.0, (2,)), ValueError, r"normal: expected deviations >= 0, got -1\.0"),
    (lambda: tt.normal(0.0, 1.0), ValueError, "normal: expected size"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_refused(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(("fill", "make"), [("uniform_", tt.rand), ("normal_", tt.randn)])
def test_without_a_range_it_is_the_standard_one(fill: str, make: Any) -> None:
    got = getattr(tt.zeros(50), fill)(generator=tt.Generator(3))
    assert got.tolist() == make(50, generator=tt.Generator(3)).tolist()
