"""Dropout as a module."""

from __future__ import annotations

from tinytensor.nn import functional as F
from tinytensor.nn.module import Module
from tinytensor.tensor import Tensor

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, zero each element with probability `p` and scale the rest by 1 / (1 - p); else pass x on.

    The mask comes from the default generator (`manual_seed`). Raises ValueError unless 0 <= p <= 1.
    Source: Srivastava et al. 2014.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return x with elements dropped, of the same shape."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        # PyTorch's text; dropping in place is not offered.
        return f"p={self.p}, inplace=False"
