"""Adam and its relatives: AdamW, NAdam, RAdam, Adamax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinytensor import _tape
from tinytensor.optim.optimizer import Optimizer, Params, check_ranges

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

        g = grad + weight_decay * p                       (-grad with maximize)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p -= lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)     (with amsgrad the largest v so far)

    `decoupled_weight_decay` makes it AdamW. Raises ValueError for negative lr, eps or weight_decay, and for
    betas outside [0, 1). State: "step" (int), "exp_avg", "exp_avg_sq", "max_exp_avg_sq" (amsgrad).
    Source: Kingma & Ba 2015; Reddi et al. 2018 (amsgrad).
    """

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
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)

    def _prepare(self, group: dict[str, Any]) -> _tape.Batch:
        g = group
        beta1, beta2 = g["betas"]
        return _tape.adam_step(
            g["params"], self.state, g["lr"], beta1, beta2, g["eps"], g["weight_decay"], g["amsgrad"],
            g["decoupled_weight_decay"], g["maximize"],
        )  # fmt: skip


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr * weight_decay first, nothing added to the gradient.

    Raises as `Adam` does; the same state. Source: Loshchilov & Hutter 2019.
    """

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
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True
        )  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over options and state, an Adam's too; the weight decay stays decoupled. Raises as `Adam` does."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


class NAdam(Optimizer):
    """Adam with Nesterov's momentum, whose weight grows over the steps.

        g = grad + weight_decay * p                       (-grad with maximize; not with decoupled_weight_decay,
                                                           which does p *= 1 - lr * weight_decay instead)
        mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        n = (1 - mu_t) * g / (1 - mu_1 ... mu_t) + mu_(t+1) * m / (1 - mu_1 ... mu_(t+1))
        p -= lr * n / (sqrt(v / (1 - beta2^t)) + eps)

    Raises ValueError for negative lr, eps, weight_decay or momentum_decay, and for betas outside [0, 1).
    State: "step" (int), "mu_product" (float: mu_1 ... mu_t), "exp_avg", "exp_avg_sq". Source: Dozat 2016.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)

    def _prepare(self, group: dict[str, Any]) -> _tape.Batch:
        g = group
        beta1, beta2 = g["betas"]
        return _tape.nadam_step(
            g["params"], self.state, g["lr"], beta1, beta2, g["eps"], g["weight_decay"], g["momentum_decay"],
            g["decoupled_weight_decay"], g["maximize"],
        )  # fmt: skip


class RAdam(Optimizer):
    """Rectified Adam: no division by the second moment until enough steps have made it known.

        g = grad + weight_decay * p                       (-grad with maximize; not with decoupled_weight_decay,
                                                           which does p *= 1 - lr * weight_decay instead)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        rho = rho_inf - 2 * t * beta2^t / (1 - beta2^t),  rho_inf = 2 / (1 - beta2) - 1
        r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        p -= lr / (1 - beta1^t) * m * (r * sqrt(1 - beta2^t) / (sqrt(v) + eps) where rho > 5, else 1)

    Raises ValueError for negative lr, eps or weight_decay, and for betas outside [0, 1).
    State: "step" (int), "exp_avg", "exp_avg_sq". Source: Liu et al. 2020.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)

    def _prepare(self, group: dict[str, Any]) -> _tape.Batch:
        g = group
        beta1, beta2 = g["betas"]
        return _tape.radam_step(
            g["params"], self.state, g["lr"], beta1, beta2, g["eps"], g["weight_decay"], g["decoupled_weight_decay"],
            g["maximize"],
        )  # fmt: skip


class Adamax(Optimizer):
    """Adam with a decaying maximum of the gradient's size in place of the mean of its square.

        g = grad + weight_decay * p                       (-grad with maximize)
        m = beta1 * m + (1 - beta1) * g
        u = max(beta2 * u, |g| + eps)
        p -= lr / (1 - beta1^t) * m / u

    Raises ValueError for negative lr, eps or weight_decay, and for betas outside [0, 1).
    State: "step" (int), "exp_avg", "exp_inf". Source: Kingma & Ba 2015, section 7.1.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)

    def _prepare(self, group: dict[str, Any]) -> _tape.Batch:
        g = group
        beta1, beta2 = g["betas"]
        return _tape.adamax_step(
            g["params"], self.state, g["lr"], beta1, beta2, g["eps"], g["weight_decay"], g["maximize"]
        )  # fmt: skip
