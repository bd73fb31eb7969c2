"""Fill Tensors in place with starting values, under `no_grad`, through the counter-based generator.
 Every function returns its Tensor. `generator=None` means the default one, which `tinytensor.manual_seed`
seeds. Elements are drawn in logical order, so that the values do not depend on how the Tensor lies in memory.
Sources: Glorot & Bengio 2010 (xavier), He et al. 2015 (kaiming).
"""

from __future__ import annotations

import math
from typing import TypeVar

from tinytensor.creation import full
from tinytensor.random import Generator, normal, uniform
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor

__all__ = [
    "calculate_gain", "constant_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "uniform_",
    "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip

T = TypeVar("T", bound=Tensor)


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with values uniform in [a, b). Raises ValueError unless a <= b."""
    if not a <= b:
        raise ValueError(f"uniform_ expects a range with a <= b, got a={a}, b={b}")
    with no_grad():
        tensor.copy_(uniform(tensor.shape, a, b, tensor.dtype, generator))
    return tensor


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with normal values. Raises ValueError unless std >= 0."""
    if not std >= 0:
        raise ValueError(f"normal_ expects std >= 0, got {std}")
    with no_grad():
        tensor.copy_(normal(tensor.shape, mean, std, tensor.dtype, generator))
    return tensor


def constant_(tensor: T, val: float) -> T:
    """Fill with one value."""
    with no_grad():
        tensor.copy_(full(tensor.shape, val, dtype=tensor.dtype))
    return tensor


def ones_(tensor: T) -> T:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: T) -> T:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return PyTorch's recommended gain for a nonlinearity; `param` is leaky_relu's negative slope (0.01)."""
    if nonlinearity in ("linear", "conv1d", "conv2d", "sigmoid"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, (int, float, type(None))):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Fill uniformly within +-gain * sqrt(6 / (fan_in + fan_out)). Raises ValueError below two dimensions."""
    fan_in, fan_out = _fans(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / max(fan_in + fan_out, 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with normal values, std gain * sqrt(2 / (fan_in + fan_out)). Raises ValueError below two axes."""
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(fan_in + fan_out, 1)), generator)


def kaiming_uniform_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Fill uniformly within +-gain * sqrt(3 / fan), gain as `calculate_gain(nonlinearity, a)`.

    Raises ValueError below two dimensions and for a mode that is not "fan_in" or "fan_out".
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: T,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> T:
    """Fill with normal values of std gain / sqrt(fan), gain as `calculate_gain(nonlinearity, a)`.

    Raises ValueError below two dimensions and for a mode that is not "fan_in" or "fan_out".
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise ValueError(
            f"Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, got {tuple(tensor.shape)}"
        )
    out, inner, *kernel = tensor.shape
    area = math.prod(kernel)
    return inner * area, out * area
