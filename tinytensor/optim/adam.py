"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinytensor import _tape
from tinytensor.optim.optimizer import Optimizer, Params

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

        g = grad + weight_decay * p                       (-grad with maximize)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p -= lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)     (with amsgrad the largest v so far)

    Raises ValueError for negative lr, eps or weight_decay, and for betas outside [0, 1).
    State: "step" (int), "exp_avg", "exp_avg_sq", "max_exp_avg_sq" (amsgrad).
    Source: Kingma & Ba 2015; Reddi et al. 2018 (amsgrad).
    """

    _decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        if not options["lr"] >= 0:
            raise ValueError(f"Invalid learning rate: {options['lr']}")
        if not options["eps"] >= 0:
            raise ValueError(f"Invalid epsilon value: {options['eps']}")
        for i, beta in enumerate(options["betas"]):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        if not options["weight_decay"] >= 0:
            raise ValueError(f"Invalid weight_decay value: {options['weight_decay']}")

    def _update(self, group: dict[str, Any]) -> None:
        g = group
        beta1, beta2 = g["betas"]
        _tape.adam_step(
            g["params"], self.state, g["lr"], beta1, beta2, g["eps"], g["weight_decay"], g["amsgrad"], self._decoupled,
            g["maximize"],
        )  # fmt: skip


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr * weight_decay first, nothing added to the gradient.

    Raises as `Adam` does; the same state. Source: Loshchilov & Hutter 2019.
    """

    _decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
