"""Fill Tensors in place with starting values, under `no_grad`, through the counter-based generator.
 Every function returns its Tensor. `generator=None` means the default one, which `tinytensor.manual_seed`
seeds. Elements are drawn in logical order, so that the values do not depend on how the Tensor lies in memory.
Sources: Glorot & Bengio 2010 (xavier), He et al. 2015 (kaiming), Saxe et al. 2013 (orthogonal), Martens 2010 (sparse).
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from tinytensor.creation import full
from tinytensor.ops.pointwise import erf, exp, log
from tinytensor.random import Generator, normal, randperm, uniform
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "orthogonal_",
    "sparse_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
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


def trunc_normal_(
    tensor: T,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> T:
    """Fill with normal values that lie within [a, b], not in units of std, by the inverse of their distribution.

    Raises ValueError unless std > 0 and a < b, and where next to nothing of the distribution lies within."""
    if not std > 0 or not a < b:
        raise ValueError(f"trunc_normal_ expects std > 0 and a < b, got std={std}, a={a}, b={b}")
    low, high = (math.erf((edge - mean) / (std * math.sqrt(2))) for edge in (a, b))
    if not high - low > 1e-12:
        raise ValueError(
            f"trunc_normal_: next to nothing of a normal distribution of mean {mean} and std {std} lies in [{a}, {b}]"
        )
    values = mean + std * math.sqrt(2) * _erfinv(uniform(tensor.shape, low, high, np.float64, generator))
    with no_grad():
        tensor.copy_(np.clip(values, a, b))
    return tensor


def _erfinv(y: Any) -> Any:
    """The inverse of erf in float64: Giles's (2012) polynomials, and two of Newton's steps."""
    one = np.minimum(1 - y * y, 1.0)
    w = -log(np.maximum(one, 1e-300))
    near, far = w - 2.5, np.sqrt(np.maximum(w, 5.0)) - 3.0
    inner: Any = 2.81022636e-08
    for c in (
        3.43273939e-07,
        -3.5233877e-06,
        -4.39150654e-06,
        0.00021858087,
        -0.00125372503,
        -0.00417768164,
        0.246640727,
        1.50140941,
    ):
        inner = c + inner * near
    outer: Any = -0.000200214257
    for c in (
        0.000100950558,
        0.00134934322,
        -0.00367342844,
        0.00573950773,
        -0.0076224613,
        0.00943887047,
        1.00167406,
        2.83297682,
    ):
        outer = c + outer * far
    x: Any = np.where(w < 5, inner, outer) * y
    for _ in range(2):
        x = x - (erf(x) - y) * exp(np.minimum(x * x, 700.0)) * (math.sqrt(math.pi) / 2)
    return x


def orthogonal_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Fill with a random matrix of orthonormal rows or columns (whichever are fewer) times gain; dimensions behind the first are
    one. NumPy's LAPACK divides it out, so that the last bits depend on the machine. Raises ValueError below two dimensions."""
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_ expects at least two dimensions, got {tuple(tensor.shape)}")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = normal((max(rows, columns), min(rows, columns)), 0.0, 1.0, np.float64, generator)
    q, r = np.linalg.qr(flat)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # evenly over all such matrices (Mezzadri 2007)
    with no_grad():
        tensor.copy_((gain * (q.T if rows < columns else q)).reshape(tensor.shape))
    return tensor


def eye_(tensor: T) -> T:
    """Fill with 1 on the diagonal and 0 elsewhere. Raises ValueError unless there are two dimensions."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_ expects two dimensions, got {tuple(tensor.shape)}")
    with no_grad():
        tensor.copy_(np.eye(*tensor.shape, dtype=tensor.dtype))
    return tensor


def dirac_(tensor: T, groups: int = 1) -> T:
    """Fill a convolution's weight (out, in, *kernel) so that each input channel passes through, as far as there are outputs.

    Raises ValueError unless there are three to five dimensions, and where groups do not divide the outputs."""
    if tensor.ndim not in (3, 4, 5) or tensor.shape[0] % groups:
        raise ValueError(
            f"dirac_ expects a weight of 3 to 5 dimensions whose first is a multiple of groups={groups}, got {tuple(tensor.shape)}"
        )
    values = np.zeros(tensor.shape, tensor.dtype)
    per = tensor.shape[0] // groups
    middle = tuple(n // 2 for n in tensor.shape[2:])
    for group in range(groups):
        for i in range(min(per, tensor.shape[1])):
            at = (group * per + i, i, *middle)
            values[at] = 1
    with no_grad():
        tensor.copy_(values)
    return tensor


def sparse_(tensor: T, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> T:
    """Fill with normal values, and a share `sparsity` of each column (rounded up) with 0.

    Raises ValueError unless there are two dimensions and 0 <= sparsity <= 1."""
    if tensor.ndim != 2 or not 0 <= sparsity <= 1:
        raise ValueError(
            f"sparse_ expects two dimensions and 0 <= sparsity <= 1, got {tuple(tensor.shape)} and {sparsity}"
        )
    rows, columns = tensor.shape
    values = normal((rows, columns), 0.0, std, tensor.dtype, generator)
    for column in range(columns):
        values[randperm(rows, generator=generator).numpy()[: math.ceil(sparsity * rows)], column] = 0
    with no_grad():
        tensor.copy_(values)
    return tensor


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
