"""Activations as modules: each calls the function of its name, elementwise unless it says otherwise. With `inplace` the input itself
takes the values, and is what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytensor.creation import full
from tinytensor.device import check_device
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


def _dim_of(dim: int | None, x: Tensor) -> int:
    return dim if dim is not None else 0 if x.ndim in (0, 1, 3) else 1  # PyTorch's choice where none is told


def in_place(function: Any, x: Tensor, *more: Any) -> Tensor:
    """What a function of x is, with x changed to it."""
    y: Tensor = function(x, *more, inplace=True)
    return y


class ReLU(Module):
    """max(x, 0). The gradient at 0 is 0."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(x); x itself, changed, if in place."""
        y: Tensor = in_place(F.relu, x) if self.inplace else F.relu(x)
        return y

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


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

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Return leaky_relu(x)."""
        y: Tensor = (
            in_place(F.leaky_relu, x, self.negative_slope) if self.inplace else F.leaky_relu(x, self.negative_slope)
        )
        return y

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(Module):
    """x for x > 0, else alpha * (exp(x) - 1)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return elu(x)."""
        y: Tensor = in_place(F.elu, x, self.alpha) if self.inplace else F.elu(x, self.alpha)
        return y

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class SELU(Module):
    """The self-normalizing ELU of Klambauer et al. 2017, with its two fixed constants."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Return selu(x); x itself, changed, if in place."""
        y: Tensor = in_place(F.selu, x) if self.inplace else F.selu(x)
        return y

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class SiLU(Module):
    """x * sigmoid(x)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Return silu(x); x itself, changed, if in place."""
        y: Tensor = in_place(F.silu, x) if self.inplace else F.silu(x)
        return y

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


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

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return softmax(x) along dim."""
        return F.softmax(x, _dim_of(self.dim, x))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """log(softmax(x)) along `dim`, without the intermediate overflow."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return log_softmax(x) along dim."""
        return F.log_softmax(x, _dim_of(self.dim, x))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class ReLU6(Module):
    """min(max(x, 0), 6)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Return relu6(x); x itself, changed, if in place."""
        y: Tensor = in_place(F.relu6, x) if self.inplace else F.relu6(x)
        return y

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(Module):
    """x / 6 + 1/2 within [-3, 3], 0 below and 1 above."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Return hardsigmoid(x); x itself, changed, if in place."""
        y: Tensor = in_place(F.hardsigmoid, x) if self.inplace else F.hardsigmoid(x)
        return y


class Hardswish(Module):
    """x times hardsigmoid(x) (Howard et al. 2019)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Return hardswish(x); x itself, changed, if in place."""
        y: Tensor = in_place(F.hardswish, x) if self.inplace else F.hardswish(x)
        return y


class Mish(Module):
    """x tanh(softplus(x)) (Misra 2019)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Return mish(x); x itself, changed, if in place."""
        y: Tensor = in_place(F.mish, x) if self.inplace else F.mish(x)
        return y

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


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

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, x: Tensor) -> Tensor:
        """Return hardtanh(x)."""
        y: Tensor = (
            in_place(F.hardtanh, x, self.min_val, self.max_val)
            if self.inplace
            else F.hardtanh(x, self.min_val, self.max_val)
        )
        return y

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class CELU(Module):
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)) (Barron 2017)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return celu(x)."""
        y: Tensor = in_place(F.celu, x, self.alpha) if self.inplace else F.celu(x, self.alpha)
        return y

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


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

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        self.threshold = threshold
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Return threshold(x)."""
        y: Tensor = (
            in_place(F.threshold, x, self.threshold, self.value)
            if self.inplace
            else F.threshold(x, self.threshold, self.value)
        )
        return y

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


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

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return softmin(x)."""
        return F.softmin(x, _dim_of(self.dim, x))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """x for x > 0, else weight * x: one learnt slope, or one for each channel of dimension 1 (He et al. 2015)."""

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: Any = None, device: Any = None) -> None:
        super().__init__()
        check_device(device)
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, dtype=get_default_dtype() if dtype is None else dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return prelu(x)."""
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x for x > 0, else x times a slope drawn for each element from [lower, upper), in evaluation their mean (Xu et al. 2015)."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        self.lower = lower
        self.upper = upper

    def forward(self, x: Tensor) -> Tensor:
        """Return rrelu(x)."""
        y: Tensor = (
            in_place(F.rrelu, x, self.lower, self.upper, self.training)
            if self.inplace
            else F.rrelu(x, self.lower, self.upper, self.training)
        )
        return y

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")


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
