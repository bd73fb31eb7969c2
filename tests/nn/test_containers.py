"""ModuleList, ModuleDict, Unflatten and Maxout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn


def layers(*sizes: int) -> list[Any]:
    return [nn.Linear(n, 1) for n in sizes]


def test_a_list_of_modules() -> None:
    a, b, c, d = layers(1, 2, 3, 4)
    several = nn.ModuleList([a, b])
    several += [c]
    assert several.append(d) is several
    assert list(several) == [a, b, c, d]
    assert several[-1] is d
    assert list(several[1:3]) == [b, c]
    assert [n for n, _ in several.named_parameters()][:2] == ["0.weight", "0.bias"]
    assert several.pop(1) is b
    assert list(several._modules) == ["0", "1", "2"]
    several.insert(1, b)
    several[0] = d
    del several[2:]
    assert list(several) == [d, b]
    joined = several + [a]  # noqa: RUF005
    assert list(joined) == [d, b, a]
    assert len(nn.ModuleList()) == 0


def test_a_list_of_modules_refuses() -> None:
    several = nn.ModuleList(layers(1))
    with pytest.raises(IndexError, match="index 1 is out of range for a ModuleList of 1"):
        several[1]
    with pytest.raises(IndexError, match="index -2 is out of range"):
        del several[-2]
    with pytest.raises(TypeError, match="int is not a Module"):
        several.append(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="int is not a Module"):
        several.insert(0, 3)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="ModuleList"):
        several(tt.ones(1))


def test_a_dictionary_of_modules() -> None:
    a, b, c = layers(1, 2, 3)
    named = nn.ModuleDict({"one": a})
    named["two"] = b
    named.update([("one", c)])
    assert dict(named.items()) == {"one": c, "two": b}
    assert list(named) == list(named.keys()) == ["one", "two"]
    assert "two" in named
    assert named.one is c
    assert named.pop("two") is b
    assert list(named.values()) == [c]
    del named["one"]
    assert len(named) == 0
    named["x"] = a
    named.clear()
    assert len(named) == 0
    with pytest.raises(KeyError):
        named["one"]
    with pytest.raises(KeyError, match="contain"):
        named["a.b"] = a
    with pytest.raises(TypeError, match="str is not a Module"):
        named["x"] = "y"  # type: ignore[assignment]


def test_unflatten_undoes_flatten() -> None:
    x = tt.arange(24).reshape(2, 3, 4)
    layer = nn.Unflatten(1, (3, -1))
    assert layer(nn.Flatten()(x)).tolist() == x.tolist()
    assert repr(layer) == "Unflatten(dim=1, unflattened_size=(3, -1))"


# -------------------------------------------------------------------------------------------------------------- maxout
def with_slopes(slope: float) -> Any:
    """A Maxout of three features whose second piece is `slope` times the first."""
    layer = nn.Maxout(3, 3, bias=False, dtype=tt.float64)
    weight = np.zeros((6, 3))
    weight[::2], weight[1::2] = np.eye(3), slope * np.eye(3)
    with tt.no_grad():
        layer.linear.weight.copy_(tt.from_numpy(weight))
    return layer


@pytest.mark.parametrize(("slope", "same"), [(0.0, nn.ReLU()), (0.01, nn.LeakyReLU()), (-1.0, None)])
def test_maxout_holds_relu_leaky_relu_and_the_absolute_value(slope: float, same: Any) -> None:
    x = tt.randn(5, 3, dtype=tt.float64, generator=tt.Generator(2)).requires_grad_()
    y = with_slopes(slope)(x)
    other = x.detach().requires_grad_()
    want = other.abs() if same is None else same(other)
    np.testing.assert_array_equal(y.detach(), want.detach())
    y.sum().backward()
    want.sum().backward()
    np.testing.assert_array_equal(x.grad, other.grad)


def test_maxout_of_one_piece_is_linear() -> None:
    layer = nn.Maxout(4, 2, 1)
    x = tt.randn(3, 4)
    np.testing.assert_array_equal(layer(x).detach(), layer.linear(x).detach())


def test_maxout_says_what_it_is_and_what_it_takes() -> None:
    assert "Maxout(\n  in_features=4, out_features=2, pieces=3" in repr(nn.Maxout(4, 2, 3))
    with pytest.raises(ValueError, match="pieces must be a whole number >= 1, got 0"):
        nn.Maxout(4, 2, 0)
    with pytest.raises(ValueError, match=r"expected .*\(\*, 4\)"):
        nn.Maxout(4, 2)(tt.ones(3, 5))


def test_a_list_of_parameters() -> None:
    held = nn.ParameterList([nn.Parameter(tt.ones(2)), tt.zeros(2, 3)])
    held.append(tt.ones(1)).extend([nn.Parameter(tt.ones(4))])
    held += [tt.ones(5)]
    assert [tuple(p.shape) for p in held] == [(2,), (2, 3), (1,), (4,), (5,)]
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in held)
    assert [n for n, _ in held.named_parameters()] == list(held.state_dict()) == ["0", "1", "2", "3", "4"]
    held[-1] = tt.zeros(6)
    assert held[4].shape == (6,) and len(held[1:3]) == 2 and held[1:3][0] is held[1] and len(held) == 5
    assert "(1): Parameter containing: [float32 of size 2x3]" in repr(held)
    with pytest.raises(IndexError):
        held[7] = tt.ones(1)
    with pytest.raises(TypeError, match="expected a Parameter or a Tensor, got int"):
        held.append(3)
    for one in (tt.ones(3, 2), nn.Parameter(tt.ones(1))):
        with pytest.raises(TypeError, match="ParameterList: expected several Parameters or Tensors, got one"):
            nn.ParameterList(one)


def test_a_dictionary_of_parameters() -> None:
    held = nn.ParameterDict({"a": tt.ones(2), "b": nn.Parameter(tt.zeros(3))})
    held["c"] = tt.ones(1)
    held.update([("a", tt.zeros(2))])
    assert (
        list(held) == list(held.keys()) == list(held.state_dict()) == ["a", "b", "c"] and "b" in held and len(held) == 3
    )
    assert held["a"].tolist() == [0, 0] and [p.numel() for p in held.values()] == [2, 3, 1]
    b = held["b"]
    assert held.pop("b") is b and [k for k, _ in held.items()] == ["a", "c"]
    del held["c"]
    assert "(a): Parameter containing: [float32 of size 2]" in repr(held) and next(held.parameters()) is held["a"]
    model = nn.Module()
    model.held = held
    assert [n for n, _ in model.named_parameters()] == ["held.a"]
    with pytest.raises(TypeError, match="expected a Parameter or a Tensor, got str"):
        held["d"] = "x"
    assert held.get("a") is held["a"] and held.get("z") is None and held.get("z", 3) == 3
    assert nn.ParameterDict(held)["a"] is held["a"]
    held.clear()
    assert len(held) == 0 and "ParameterDict()" in repr(held)


def test_a_transposed_convolution_is_the_gradient_of_the_convolution() -> None:
    for n, kind, plain in ((1, nn.ConvTranspose1d, nn.Conv1d), (2, nn.ConvTranspose2d, nn.Conv2d)):
        grow = kind(3, 2, 3, stride=2, padding=1, output_padding=1, dtype=tt.float64)
        shrink = plain(2, 3, 3, stride=2, padding=1, bias=False, dtype=tt.float64)
        assert grow.weight.shape == shrink.weight.shape
        shrink.load_state_dict({"weight": grow.weight})
        g = tt.randn(2, 3, *[4] * n, dtype=tt.float64)
        x = tt.zeros(2, 2, *[8] * n, dtype=tt.float64, requires_grad=True)
        shrink(x).backward(g)
        np.testing.assert_allclose(
            grow(g).detach().numpy(),
            x.grad.numpy() + grow.bias.detach().numpy().reshape(1, -1, *[1] * n),
            rtol=1e-10,
            atol=1e-12,
        )
        bound = 1 / (2 * 3**n) ** 0.5
        assert grow.bias.abs().max().item() <= bound and grow.weight.abs().max().item() <= bound
    with pytest.raises(ValueError, match="ConvTranspose2d: padding must be numbers, got 'same'"):
        nn.ConvTranspose2d(1, 1, 3, padding="same")
    with pytest.raises(ValueError, match="padding_mode must be 'zeros', got 'reflect'"):
        nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect")
