"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinytensor import _kernels
from tinytensor.optim.optimizer import Optimizer, Params, zeros_like_param

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
        amsgrad = group["amsgrad"]
        # A parameter that missed a step (no gradient) counts fewer: one call per count, as a rule one in all.
        calls: dict[int, tuple[list[Any], ...]] = {}
        for p in group["params"]:
            grad = p._grad
            if grad is None:
                continue
            state = self.state[p]
            if not state:
                state.update(step=0, exp_avg=zeros_like_param(p), exp_avg_sq=zeros_like_param(p))
            if amsgrad and "max_exp_avg_sq" not in state:
                state["max_exp_avg_sq"] = zeros_like_param(p)
            step = state["step"] = state["step"] + 1
            call = calls.get(step)
            if call is None:
                call = calls[step] = ([], [], [], [], [])
            call[0].append(p._data)
            call[1].append(grad._data)
            call[2].append(state["exp_avg"]._data)
            call[3].append(state["exp_avg_sq"]._data)
            if amsgrad:
                call[4].append(state["max_exp_avg_sq"]._data)
        beta1, beta2 = group["betas"]
        for step, (params, grads, means, squares, largest) in calls.items():
            _kernels.adam_step(
                params,
                grads,
                means,
                squares,
                largest if amsgrad else None,
                group["lr"],
                beta1,
                beta2,
                group["eps"],
                group["weight_decay"],
                self._decoupled,
                step,
                group["maximize"],
            )


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
