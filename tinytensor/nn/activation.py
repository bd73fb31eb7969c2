"""Activations as modules: each calls the function of its name, elementwise unless it says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytensor.nn import functional as F
from tinytensor.nn.module import Module
from tinytensor.ops.product import ACTIVATIONS
from tinytensor.tensor import Tensor

__all__ = [
    "ELU", "GELU", "SELU", "LeakyReLU", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus",
    "Tanh",
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
