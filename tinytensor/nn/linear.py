"""Linear and Maxout, and the modules that only pass or reshape: Identity, Flatten, Unflatten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinytensor.creation import empty
from tinytensor.device import check_device
from tinytensor.nn import init
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.ops.product import linear, linear_activation
from tinytensor.ops.reduction import max
from tinytensor.ops.shape import flatten, unflatten
from tinytensor.random import Generator
from tinytensor.tensor import Tensor

__all__ = ["Flatten", "Identity", "Linear", "Maxout", "Unflatten"]


class Linear(Module):
    """y = x W^T + b: (*, in_features) -> (*, out_features).

    `weight` has shape (out_features, in_features) and is stored transposed, so that the product of a single
    sample runs along contiguous outputs; `bias` has shape (out_features,), or is None with `bias=False`. Both
    start uniform within +-1/sqrt(in_features), drawn from `generator` (default: the one that `manual_seed`
    sets), weight first. Raises ValueError for sizes that are not whole numbers >= 0, and for an input whose
    last axis is not in_features.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: Any = None,
        device: Any = None,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        check_device(device)
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(size, bool) or not hasattr(size, "__index__") or size < 0:
                raise ValueError(f"Linear: {name} must be a whole number >= 0, got {size!r}")
        self.in_features = int(in_features)
        self.out_features = int(out_features)
        self.weight = Parameter(empty(self.in_features, self.out_features, dtype=dtype).T)
        self.register_parameter("bias", Parameter(empty(self.out_features, dtype=dtype)) if bias else None)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw weight (Kaiming uniform, a = sqrt(5), as PyTorch does) and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def forward(self, x: Tensor, *, activation: tuple[Any, ...] | None = None) -> Tensor:
        """Return x W^T + b of shape (*, out_features), and through `activation`, as Sequential may ask, in the same op."""
        own = self._parameters
        try:
            if activation is not None:
                return linear_activation(x, own["weight"], own["bias"], *activation)
            return linear(x, own["weight"], own["bias"])
        except (IndexError, RuntimeError, ValueError):
            shape = tuple(x.shape)
            if shape and shape[-1] == self.in_features:
                raise
            raise ValueError(f"expected (*, {self.in_features}), got {shape}") from None  # __call__ adds the place

    def _brief(self) -> str:
        return f"Linear {self.in_features} -> {self.out_features}"

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Maxout(Module):
    """y = max over k pieces of x W_i^T + b_i: (*, in_features) -> (*, out_features) (Goodfellow et al. 2013).

    `linear` is one Linear to k * out_features; output j takes the largest of its rows j k to j k + k - 1. With two pieces, one of
    them zero, it is ReLU; one a multiple of the other, leaky ReLU. The gradient goes to the piece that won (the first of equals).
    Raises ValueError for sizes that are not whole numbers >= 1, and for an input whose last axis is not in_features.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pieces: int = 2,
        bias: bool = True,
        dtype: Any = None,
        device: Any = None,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        check_device(device)
        if isinstance(pieces, bool) or not hasattr(pieces, "__index__") or pieces < 1:
            raise ValueError(f"Maxout: pieces must be a whole number >= 1, got {pieces!r}")
        self.in_features, self.out_features, self.pieces = in_features, out_features, int(pieces)
        self.linear = Linear(in_features, out_features * self.pieces, bias, dtype, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the largest piece, of shape (*, out_features)."""
        z = unflatten(self.linear(x), -1, (self.out_features, self.pieces))
        largest: Tensor = max(z, -1).values
        return largest

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, pieces={self.pieces}"


class Identity(Module):
    """Return the input as it is; takes and ignores any arguments, so that it can stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


class Flatten(Module):
    """Join the axes from `start_dim` to `end_dim` into one: (N, 28, 28) -> (N, 784) by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        """Return x with the axes joined; a view where the memory allows it."""
        return flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Divide the axis `dim` into the sizes `unflattened_size`, one of which may be -1: (N, 784) -> (N, 28, 28)."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with the axis divided."""
        return unflatten(x, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
