"""Losses as modules: (prediction, target) -> scalar, or elementwise with reduction="none"."""

from __future__ import annotations

from tinytensor.nn import functional as F
from tinytensor.nn.module import Module
from tinytensor.tensor import Tensor

__all__ = ["CrossEntropyLoss", "MSELoss", "NLLLoss"]


class _Loss(Module):
    def __init__(self, reduction: str) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"{reduction!r} is not a valid value for reduction: use 'mean', 'sum' or 'none'")
        self.reduction = reduction


class MSELoss(_Loss):
    """(input - target)^2 of two equal shapes, reduced. Shapes that would only broadcast are refused."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the squared error."""
        return F.mse_loss(input, target, reduction=self.reduction)


class NLLLoss(_Loss):
    """-input[i, target[i]] for log-probabilities (N, C) and classes (N,), reduced.

    `weight` (C,) scales each class and is a buffer; targets equal to `ignore_index` do not count.
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the negative log-likelihood of the targets."""
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """Softmax and negative log-likelihood of logits (N, C), classes (N,) or probabilities (N, C), reduced.

    `weight` (C,) scales each class and is a buffer; targets equal to `ignore_index` do not count;
    `label_smoothing` in [0, 1] mixes the target with the uniform distribution.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy of the targets under softmax(input)."""
        own = self.__dict__
        return F.cross_entropy(
            input,
            target,
            weight=own["_buffers"]["weight"],
            ignore_index=own["ignore_index"],
            reduction=own["reduction"],
            label_smoothing=own["label_smoothing"],
        )
