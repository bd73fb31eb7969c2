"""Activations as modules: each calls the function of its name, elementwise unless it says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytensor.creation import full
from tinytensor.nn import functional as F
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.ops.product import ACTIVATIONS
from tinytensor.tensor import Tensor, get_default_dtype

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid",
    "LogSoftmax", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softmin",
    "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold",
]  # fmt: skip


class ReLU(Module):
    """max(x, 0). The gradient at 0 is 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x)."""
        return F.relu(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        """Return sigmoid(x)."""
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """Return tanh(x)."""
        return F.tanh(x)


class GELU(Module):
    """x times the standard normal distribution function of x; `approximate="tanh"` for the tanh formula."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """Return gelu(x)."""
        return F.gelu(x, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class LeakyReLU(Module):
    """x for x > 0, else negative_slope * x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Return leaky_relu(x)."""
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x for x > 0, else alpha * (exp(x) - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return elu(x)."""
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class SELU(Module):
    """The self-normalizing ELU of Klambauer et al. 2017, with its two fixed constants."""

    def forward(self, x: Tensor) -> Tensor:
        """Return selu(x)."""
        return F.selu(x)


class SiLU(Module):
    """x * sigmoid(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return silu(x)."""
        return F.silu(x)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Return softplus(x)."""
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """exp(x) scaled to sum to 1 along `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return softmax(x) along dim."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """log(softmax(x)) along `dim`, without the intermediate overflow."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return log_softmax(x) along dim."""
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class ReLU6(Module):
    """min(max(x, 0), 6)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return relu6(x)."""
        y: Tensor = F.relu6(x)
        return y


class Hardsigmoid(Module):
    """x / 6 + 1/2 within [-3, 3], 0 below and 1 above."""

    def forward(self, x: Tensor) -> Tensor:
        """Return hardsigmoid(x)."""
        y: Tensor = F.hardsigmoid(x)
        return y


class Hardswish(Module):
    """x times hardsigmoid(x) (Howard et al. 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return hardswish(x)."""
        y: Tensor = F.hardswish(x)
        return y


class Mish(Module):
    """x tanh(softplus(x)) (Misra 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return mish(x)."""
        y: Tensor = F.mish(x)
        return y


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return softsign(x)."""
        y: Tensor = F.softsign(x)
        return y


class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return tanhshrink(x)."""
        y: Tensor = F.tanhshrink(x)
        return y


class LogSigmoid(Module):
    """log(sigmoid(x)), without overflow."""

    def forward(self, x: Tensor) -> Tensor:
        """Return logsigmoid(x)."""
        y: Tensor = F.logsigmoid(x)
        return y


class Hardtanh(Module):
    """x limited to [min_val, max_val]. The gradient at the bounds is 0."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, x: Tensor) -> Tensor:
        """Return hardtanh(x)."""
        return F.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class CELU(Module):
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)) (Barron 2017)."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return celu(x)."""
        return F.celu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Softshrink(Module):
    """x drawn towards 0 by lambd, and 0 within it."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        """Return softshrink(x)."""
        return F.softshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Hardshrink(Module):
    """x outside [-lambd, lambd], 0 within."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        """Return hardshrink(x)."""
        return F.hardshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Threshold(Module):
    """x above the threshold, else value."""

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Return threshold(x)."""
        return F.threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


class GLU(Module):
    """The first half along dim times sigmoid of the second (Dauphin et al. 2017)."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return glu(x)."""
        return F.glu(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmin(Module):
    """exp(-x) scaled to sum to 1 along `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return softmin(x)."""
        return F.softmin(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """x for x > 0, else weight * x: one learnt slope, or one for each channel of dimension 1 (He et al. 2015)."""

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, dtype=get_default_dtype() if dtype is None else dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return prelu(x)."""
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x for x > 0, else x times a slope drawn for each element from [lower, upper), in evaluation their mean (Xu et al. 2015)."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper

    def forward(self, x: Tensor) -> Tensor:
        """Return rrelu(x)."""
        return F.rrelu(x, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


def _gelu(m: Any) -> tuple[Any, ...] | None:
    name = {"none": "gelu", "tanh": "gelu_tanh"}.get(m.approximate)
    return None if name is None else (ACTIVATIONS[name],)


_FUSED: dict[type[Module], Callable[[Any], tuple[Any, ...] | None]] = {
    ReLU: lambda m: (ACTIVATIONS["relu"],),
    Sigmoid: lambda m: (ACTIVATIONS["sigmoid"],),
    Tanh: lambda m: (ACTIVATIONS["tanh"],),
    GELU: _gelu,
    LeakyReLU: lambda m: (ACTIVATIONS["leaky_relu"], float(m.negative_slope)),
    ELU: lambda m: (ACTIVATIONS["elu"], float(m.alpha)),
    SELU: lambda m: (ACTIVATIONS["selu"],),
    SiLU: lambda m: (ACTIVATIONS["silu"],),
    Softplus: lambda m: (ACTIVATIONS["softplus"], float(m.beta), float(m.threshold)),
}


def fused(module: Module | None) -> tuple[Any, ...] | None:
    """The activation, and its parameters, that a Linear before `module` may run in its own pass; None for another module,
    and for subclasses and instances with a forward of their own or hooks, which may do something else."""
    make = _FUSED.get(type(module))  # type: ignore[arg-type]
    return None if make is None or module is None or not module.runs_plainly() else make(module)
