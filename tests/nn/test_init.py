"""Initialisers: bounds and moments, seeds, layouts, errors."""

import math

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.nn import init

FAN_IN, FAN_OUT = 200, 300


def weight():
    return nn.Parameter(tt.zeros(FAN_OUT, FAN_IN))


UNIFORM = [
    (lambda t: init.uniform_(t, -2, 5), -2, 5),
    (lambda t: init.uniform_(t), 0, 1),
    (lambda t: init.xavier_uniform_(t), *(s * math.sqrt(6 / (FAN_IN + FAN_OUT)) for s in (-1, 1))),
    (
        lambda t: init.xavier_uniform_(t, gain=2),
        *(s * 2 * math.sqrt(6 / (FAN_IN + FAN_OUT)) for s in (-1, 1)),
    ),
    (lambda t: init.kaiming_uniform_(t), *(s * math.sqrt(6 / FAN_IN) for s in (-1, 1))),
    (lambda t: init.kaiming_uniform_(t, mode="fan_out"), *(s * math.sqrt(6 / FAN_OUT) for s in (-1, 1))),
    (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), *(s * math.sqrt(1 / FAN_IN) for s in (-1, 1))),
    (
        lambda t: init.kaiming_uniform_(t, nonlinearity="tanh"),
        *(s * 5 / math.sqrt(3 * FAN_IN) for s in (-1, 1)),
    ),
]
NORMAL = [
    (lambda t: init.normal_(t), 0, 1),
    (lambda t: init.normal_(t, 3, 0.5), 3, 0.5),
    (lambda t: init.xavier_normal_(t), 0, math.sqrt(2 / (FAN_IN + FAN_OUT))),
    (lambda t: init.xavier_normal_(t, gain=3), 0, 3 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
    (lambda t: init.kaiming_normal_(t), 0, math.sqrt(2 / FAN_IN)),
    (lambda t: init.kaiming_normal_(t, nonlinearity="relu", mode="fan_out"), 0, math.sqrt(2 / FAN_OUT)),
    (lambda t: init.kaiming_normal_(t, a=1), 0, math.sqrt(1 / FAN_IN)),
]


@pytest.mark.parametrize(("fill", "low", "high"), UNIFORM)
def test_uniform(fill, low, high):
    tt.manual_seed(1)
    w = weight()
    assert fill(w) is w
    values, width = w.detach().numpy(), high - low
    assert low - 1e-6 * width <= values.min() < low + 0.001 * width
    assert high - 0.001 * width < values.max() <= high + 1e-6 * width
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.01 * width)
    assert values.std() == pytest.approx(width / math.sqrt(12), rel=0.01)
    assert w.requires_grad and w.is_leaf


@pytest.mark.parametrize(("fill", "mean", "std"), NORMAL)
def test_normal(fill, mean, std):
    tt.manual_seed(1)
    w = weight()
    assert fill(w) is w
    values = (w.detach().numpy().astype(np.float64) - mean) / std
    assert values.mean() == pytest.approx(0, abs=0.02)
    assert values.std() == pytest.approx(1, rel=0.02)
    assert (values**4).mean() == pytest.approx(3, rel=0.05)
    assert w.requires_grad and w.is_leaf


def test_constants():
    w = weight()
    assert init.constant_(w, 2.5) is w
    assert set(np.unique(w.detach().numpy())) == {2.5}
    assert set(np.unique(init.ones_(w).detach().numpy())) == {1}
    assert set(np.unique(init.zeros_(w).detach().numpy())) == {0}


@pytest.mark.parametrize("fill", [fill for fill, _, _ in (*UNIFORM, *NORMAL)])
def test_values_depend_on_the_seed_and_not_on_the_layout(fill):
    plain, transposed = weight(), nn.Parameter(tt.zeros(FAN_IN, FAN_OUT).T)
    tt.manual_seed(5)
    fill(plain)
    tt.manual_seed(5)
    fill(transposed)
    assert plain.detach().numpy().tobytes() == transposed.detach().numpy().tobytes()
    assert transposed._data.T.flags.c_contiguous
    fill(plain)
    assert plain.tolist() != transposed.tolist()


@pytest.mark.parametrize(
    "fill",
    [init.uniform_, init.normal_, init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_,
     init.kaiming_normal_],
)  # fmt: skip
def test_own_generator(fill):
    tt.manual_seed(5)
    expected = tt.rand(3).tolist()
    tt.manual_seed(5)
    a, b = (fill(weight(), generator=tt.Generator(2)) for _ in range(2))
    assert a.tolist() == b.tolist()
    assert tt.rand(3).tolist() == expected


def test_float64_fills_all_bits():
    w = init.uniform_(tt.zeros(100, dtype=tt.float64))
    assert (w.numpy() != w.numpy().astype(np.float32)).all()


def test_fans_of_a_kernel():
    w = init.kaiming_uniform_(tt.zeros(8, 4, 3, 3))
    assert abs(w.numpy()).max() == pytest.approx(math.sqrt(6 / 36), rel=0.05)
    w = init.kaiming_uniform_(tt.zeros(8, 4, 3, 3), mode="fan_out")
    assert abs(w.numpy()).max() == pytest.approx(math.sqrt(6 / 72), rel=0.05)


def test_empty_and_point_ranges():
    for fill in (init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_):
        assert fill(tt.zeros(0, 0)).shape == (0, 0)
    assert init.uniform_(tt.zeros(3), 2, 2).tolist() == [2, 2, 2]
    assert init.normal_(tt.zeros(3), 2, 0).tolist() == [2, 2, 2]


def test_gain():
    assert init.calculate_gain("linear") == init.calculate_gain("sigmoid") == init.calculate_gain("conv2d") == 1
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 1e-4))
    assert init.calculate_gain("leaky_relu", 2) == math.sqrt(2 / 5)
    assert init.calculate_gain("selu") == 0.75
    with pytest.raises(ValueError, match="Unsupported nonlinearity swish"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="negative_slope True not a valid number"):
        init.calculate_gain("leaky_relu", True)


def test_errors():
    with pytest.raises(ValueError, match="a <= b, got a=2, b=1"):
        init.uniform_(weight(), 2, 1)
    with pytest.raises(ValueError, match="std >= 0, got -1"):
        init.normal_(weight(), 0, -1)
    for fill in (init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_):
        with pytest.raises(ValueError, match=r"fewer than 2 dimensions, got \(3,\)"):
            fill(tt.zeros(3))
    for fill in (init.kaiming_uniform_, init.kaiming_normal_):
        with pytest.raises(ValueError, match="Mode fan not supported"):
            fill(weight(), mode="fan")


def test_nothing_is_recorded():
    w = weight()
    init.xavier_normal_(w)
    (w * 1).sum().backward()
    assert w.grad is not None


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"), [(0, 1, -2, 2), (0, 0.02, -2, 2), (1, 2, 0.5, 1), (0, 1, 2, 9), (0, 1, -9, -2)]
)
def test_truncated_normal_values(mean, std, low, high):
    """Within the bounds, with the moments of the truncated distribution (by numerical integration)."""
    tt.manual_seed(1)
    w = weight()
    assert init.trunc_normal_(w, mean, std, low, high) is w
    values = w.detach().numpy().astype(np.float64)
    assert values.min() >= low and values.max() <= high
    x = np.linspace(max(low, mean - 9 * std), min(high, mean + 9 * std), 200_001)
    density = np.exp(-(((x - mean) / std) ** 2) / 2)
    expected = (x * density).sum() / density.sum()
    spread = math.sqrt((((x - expected) ** 2) * density).sum() / density.sum())
    assert values.mean() == pytest.approx(expected, abs=0.02 * spread)
    assert values.std() == pytest.approx(spread, rel=0.02)


def test_the_inverse_of_the_error_function():
    x = np.concatenate([np.linspace(-3.5, 3.5, 1001), [0.0]])
    y = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(init._erfinv(y), x, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (2, 3, 2, 2), (8, 1, 2)])
def test_orthogonal(shape):
    w = init.orthogonal_(tt.zeros(*shape, dtype=tt.float64), gain=2.0, generator=tt.Generator(3))
    flat = w.numpy().reshape(shape[0], -1)
    small = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)
    again = init.orthogonal_(tt.zeros(*shape, dtype=tt.float64), gain=2.0, generator=tt.Generator(3))
    np.testing.assert_array_equal(w, again)


def test_orthogonal_signs_are_even():
    """Without its signs mended, a decomposition gives matrices whose diagonal is mostly of one sign."""
    tt.manual_seed(0)
    signs = [init.orthogonal_(tt.zeros(2, 2))[0, 0].item() > 0 for _ in range(200)]
    assert 60 < sum(signs) < 140


def test_identities():
    assert init.eye_(tt.ones(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    w = init.dirac_(tt.ones(4, 2, 3), groups=2)
    assert w.numpy()[:, :, 1].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert not w.numpy()[:, :, [0, 2]].any()


def test_sparse():
    tt.manual_seed(0)
    w = init.sparse_(tt.ones(40, 7), 0.33, std=2.0).numpy()
    assert ((w == 0).sum(0) == 14).all()
    assert w[w != 0].std() == pytest.approx(2, rel=0.15)
    assert len({tuple(column) for column in (w == 0).T}) == 7


@pytest.mark.parametrize(
    "call",
    [
        lambda: init.trunc_normal_(tt.zeros(2), std=0),
        lambda: init.trunc_normal_(tt.zeros(2), a=1, b=1),
        lambda: init.trunc_normal_(tt.zeros(2), a=50, b=51),
        lambda: init.orthogonal_(tt.zeros(2)),
        lambda: init.eye_(tt.zeros(2)),
        lambda: init.dirac_(tt.zeros(2, 2)),
        lambda: init.dirac_(tt.zeros(3, 2, 1), groups=2),
        lambda: init.sparse_(tt.zeros(2, 2), 1.5),
    ],
)
def test_more_errors(call):
    with pytest.raises(ValueError, match="_"):
        call()
