"""Order statistics: ties, NaN, empty and 0-d tensors; what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt


# ------------------------------------------------------------------------------------------------------------------ median
def test_the_median_is_the_lower_of_two() -> None:
    assert tt.median(tt.tensor([4.0, 1.0, 3.0, 2.0])).item() == 2
    assert tt.median(tt.tensor([[4, 1], [3, 2]])).item() == 2
    values, indices = tt.median(tt.tensor([[4, 1, 3, 2], [9, 9, 7, 8]]), 1)
    assert values.tolist() == [2, 8]
    assert indices.tolist() == [3, 3]


def test_a_nan_wins_the_median_unless_it_is_left_out() -> None:
    x = tt.tensor([[1.0, math.nan, 3.0, math.nan], [1.0, 2.0, 0.0, 5.0], [math.nan] * 4])
    assert math.isnan(tt.median(x).item())
    assert tt.nanmedian(x).item() == 1
    values, indices = x.median(1)
    assert np.isnan(values.numpy()).tolist() == [True, False, True]
    assert indices.tolist() == [1, 0, 0]
    values, _ = x.nanmedian(1)
    assert values.tolist()[:2] == [1, 1]
    assert math.isnan(values[2].item())


def test_gradient_of_the_median_is_shared_over_all_and_whole_along_dim() -> None:
    x = tt.tensor([2.0, 1.0, 2.0, 3.0, 2.0], requires_grad=True)
    tt.median(x).backward()
    assert x.grad.tolist() == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3])
    x.grad = None
    tt.median(x, 0).values.backward()
    assert sorted(x.grad.tolist()) == [0, 0, 0, 0, 1]
    y = tt.tensor([math.nan, 1.0, math.nan], requires_grad=True)
    tt.median(y).backward()
    assert y.grad.tolist() == [0.5, 0, 0.5]


def test_medians_of_nothing() -> None:
    assert math.isnan(tt.median(tt.zeros(0, 3)).item())
    assert math.isnan(tt.nanmedian(tt.zeros(0)).item())
    with pytest.raises(ValueError, match="have no median"):
        tt.median(tt.tensor([], dtype=tt.int64))
    with pytest.raises(ValueError, match="median: cannot reduce over no elements"):
        tt.median(tt.zeros(0, 3), 0)
    assert tt.median(tt.zeros(0, 3), 1).values.shape == (0,)


@pytest.mark.parametrize("f", [tt.median, tt.nanmedian, tt.mode])
def test_of_one_number(f: Callable[..., Any]) -> None:
    values, indices = f(tt.tensor(2.5), 0)
    assert (values.item(), indices.item(), values.shape, indices.shape) == (2.5, 0, (), ())
    with pytest.raises(IndexError, match="out of range"):
        f(tt.tensor([1.0]), 1)


def test_the_mode_is_the_smallest_most_frequent_at_its_last_place() -> None:
    values, indices = tt.mode(tt.tensor([[3, 1, 3, 1, 2], [5, 4, 4, 5, 5]]))
    assert values.tolist() == [1, 5]
    assert indices.tolist() == [3, 4]
    values, indices = tt.mode(tt.tensor([[1.0, math.nan], [1.0, 2.0]]), 1, keepdim=True)
    assert values.shape == (2, 1)
    assert math.isnan(values[0].item())
    assert indices.tolist() == [[1], [0]]
    with pytest.raises(ValueError, match="mode: cannot reduce over no elements"):
        tt.mode(tt.zeros(2, 0))


# --------------------------------------------------------------------------------------------------------------- quantiles
def test_quantiles_between_elements() -> None:
    x = tt.tensor([0.0, 10.0, 20.0, 30.0])
    for method, want in {"linear": 12.0, "lower": 10.0, "higher": 20.0, "midpoint": 15.0, "nearest": 10.0}.items():
        assert tt.quantile(x, 0.4, interpolation=method).item() == pytest.approx(want)
    assert tt.quantile(x, 0.5, interpolation="nearest").item() == 20  # rank 1.5 goes to the even one
    assert tt.quantile(x, tt.tensor([0.0, 1.0])).tolist() == [0, 30]
    assert tt.quantile(x, [], keepdim=True).shape == (0, 1)
    assert tt.quantile(tt.ones(2, 3, 4), [0.1, 0.2], 1, keepdim=True).shape == (2, 2, 1, 4)
    assert tt.quantile(tt.ones(2, 3, 4), 0.1, -1).shape == (2, 3)
    assert tt.quantile(tt.tensor(5.0), 0.3, 0).item() == 5


def test_quantiles_beside_infinities_and_nan() -> None:
    x = tt.tensor([-math.inf, 1.0, math.inf])
    assert tt.quantile(x, [0.0, 0.5, 1.0]).tolist() == [-math.inf, 1, math.inf]
    y = tt.tensor([[1.0, math.nan, 3.0], [1.0, 2.0, 3.0], [math.nan] * 3])
    assert np.isnan(tt.quantile(y, 0.0, 1).numpy()).tolist() == [True, False, True]
    assert tt.nanquantile(y, 0.5, 1).tolist()[:2] == [2, 2]
    assert math.isnan(tt.nanquantile(y, 0.5, 1)[2].item())
    assert math.isnan(tt.quantile(y, 0.5).item())


def test_gradient_of_a_quantile_goes_to_both_sides_by_weight() -> None:
    x = tt.tensor([30.0, 0.0, 20.0, 10.0], requires_grad=True)
    tt.quantile(x, 0.4).backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, 0.2, 0.8], rtol=1e-6)
    y = tt.tensor([1.0, math.nan, 3.0], requires_grad=True)
    tt.nanquantile(y, 0.25).backward()
    assert y.grad.tolist() == [0.75, 0, 0.25]


@pytest.mark.parametrize(
    ("q", "more", "error", "text"),
    [
        (1.5, {}, ValueError, r"q must be .* in \[0, 1\], got 1.5"),
        (math.nan, {}, ValueError, "got nan"),
        ([[0.5]], {}, ValueError, "a number or vector"),
        (0.5, {"interpolation": "cubic"}, ValueError, "interpolation must be one of .* got 'cubic'"),
        (0.5, {"dim": 2}, IndexError, "out of range"),
        (0.5, {"x": tt.tensor(1.0), "dim": 1}, IndexError, "dim 1 is out of range for a tensor of 0 dimensions"),
    ],
)
def test_what_quantile_refuses(q: Any, more: dict[str, Any], error: type[Exception], text: str) -> None:
    for f in (tt.quantile, tt.nanquantile):
        with pytest.raises(error, match=text):
            f(**{"x": tt.ones(2, 3), "q": q, **more})
    with pytest.raises(TypeError, match="expected a float tensor, got int64"):
        tt.quantile(tt.tensor([1, 2]), 0.5)
    with pytest.raises(ValueError, match="cannot reduce over no elements"):
        tt.quantile(tt.ones(0, 3), 0.5, 0)


# ------------------------------------------------------------------------------------------------------------------ others
def test_sums_and_means_without_nan() -> None:
    x = tt.tensor([[1.0, math.nan], [math.nan, math.nan]], requires_grad=True)
    tt.nansum(x).backward()
    assert x.grad.tolist() == [[1, 0], [0, 0]]
    assert tt.nansum(x, 1).tolist() == [1, 0]
    means = tt.nanmean(x, 1)
    assert means[0].item() == 1
    assert math.isnan(means[1].item())
    assert tt.nansum(tt.tensor([1, 2])).item() == 3
    assert tt.nansum(tt.tensor([True, True])).dtype == tt.int64
    assert tt.nanmean(tt.tensor([1, 2]), dtype=tt.float64).item() == 1.5
    with pytest.raises(TypeError, match="nanmean: expected a float tensor"):
        tt.nanmean(tt.tensor([1, 2]))


def test_counts() -> None:
    x = tt.tensor([[0.0, -0.0, math.nan], [1.0, 0.0, 2.0]])
    assert tt.count_nonzero(x).item() == 3
    assert tt.count_nonzero(x, 0).tolist() == [1, 0, 2]
    assert tt.count_nonzero(x, (0, 1)).dtype == tt.int64
    assert tt.count_nonzero(tt.tensor([True, False])).item() == 1


def test_pairs() -> None:
    x = tt.tensor([[3.0, 1.0], [2.0, 4.0]])
    assert tt.aminmax(x).max.item() == 4
    assert tt.aminmax(x, dim=0).min.tolist() == [2, 1]
    s, m = tt.std_mean(x, unbiased=False)
    assert (s.item(), m.item()) == (pytest.approx(math.sqrt(1.25)), 2.5)
    v, m = tt.var_mean(x, 1, correction=0, keepdim=True)
    assert v.tolist() == [[1], [1]]
    assert m.tolist() == [[2], [3]]
    with pytest.raises(ValueError, match="correction or unbiased"):
        tt.var_mean(x, correction=2, unbiased=True)


def test_covariances() -> None:
    x = tt.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
    assert tt.cov(x).tolist() == [[1, -1], [-1, 1]]
    assert tt.corrcoef(x).tolist() == [[1, -1], [-1, 1]]
    assert tt.cov(x[0]).item() == 1
    assert tt.corrcoef(x[0]).item() == 1
    assert math.isnan(tt.cov(tt.ones(1, 1)).item())
    for f in (tt.cov, tt.corrcoef):
        with pytest.raises(ValueError, match="at most 2 dimensions"):
            f(tt.ones(1, 1, 1))
        with pytest.raises(TypeError, match="expected a float tensor"):
            f(tt.tensor([1, 2]))
