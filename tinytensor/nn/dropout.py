"""Dropout as a module."""

from __future__ import annotations

from tinytensor.nn import functional as F
from tinytensor.nn.activation import in_place
from tinytensor.nn.module import Module
from tinytensor.tensor import Tensor

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d"]


class Dropout(Module):
    """In training, zero each element with probability `p` and scale the rest by 1 / (1 - p); else pass x on.

    The mask comes from the default generator (`manual_seed`). Raises ValueError unless 0 <= p <= 1.
    Source: Srivastava et al. 2014.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """Return x with elements dropped, of the same shape."""
        y: Tensor = (
            in_place(F.dropout, x, self.p, self.training) if self.inplace else F.dropout(x, self.p, self.training)
        )
        return y

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class AlphaDropout(Dropout):
    """In training, set elements to SELU's lowest value with probability `p` and keep mean and variance (Klambauer et al. 2017)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with what was drawn dropped, of the same shape."""
        y: Tensor = (
            in_place(F.alpha_dropout, x, self.p, self.training)
            if self.inplace
            else F.alpha_dropout(x, self.p, self.training)
        )
        return y


class Dropout1d(Dropout):
    """Dropout of whole channels of (N, C, L) or (C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with what was drawn dropped, of the same shape."""
        y: Tensor = (
            in_place(F.dropout1d, x, self.p, self.training) if self.inplace else F.dropout1d(x, self.p, self.training)
        )
        return y


class Dropout2d(Dropout):
    """Dropout of whole channels of (N, C, H, W) (Tompson et al. 2015)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with what was drawn dropped, of the same shape."""
        y: Tensor = (
            in_place(F.dropout2d, x, self.p, self.training) if self.inplace else F.dropout2d(x, self.p, self.training)
        )
        return y
