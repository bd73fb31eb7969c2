"""Optimizers that scale by past squares of the gradient alone: Adagrad, RMSprop, Adadelta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinytensor import _tape
from tinytensor.optim.optimizer import Optimizer, Params, check_ranges

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class Adagrad(Optimizer):
    """Steps scaled by the root of the sum of all squared gradients.

        g = grad + weight_decay * p                       (-grad with maximize)
        sum = sum + g^2                                   (from initial_accumulator_value)
        p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(sum) + eps)

    Raises ValueError for a negative option. State: "step" (int), "sum"; made at a parameter's first step.
    Source: Duchi, Hazan & Singer 2011.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)

    def _prepare(self, group: dict[str, Any]) -> _tape.Batch:
        g = group
        return _tape.adagrad_step(
            g["params"], self.state, g["lr"], g["lr_decay"], g["eps"], g["weight_decay"],
            g["initial_accumulator_value"], g["maximize"],
        )  # fmt: skip


class RMSprop(Optimizer):
    """Steps scaled by the root of a running mean of squared gradients.

        g = grad + weight_decay * p                       (-grad with maximize)
        v = alpha * v + (1 - alpha) * g^2
        a = alpha * a + (1 - alpha) * g                   (centered, else a = 0)
        s = g / (sqrt(v - a^2) + eps)
        buf = momentum * buf + s                          (buf = s without momentum)
        p -= lr * buf

    A variance v - a^2 that rounding makes negative counts as 0. Raises ValueError for a negative option.
    State: "step" (int), "square_avg", "momentum_buffer" (momentum), "grad_avg" (centered).
    Source: Hinton 2012 (Coursera, lecture 6); Graves 2013 (centered).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)

    def _prepare(self, group: dict[str, Any]) -> _tape.Batch:
        g = group
        return _tape.rmsprop_step(
            g["params"], self.state, g["lr"], g["alpha"], g["eps"], g["weight_decay"], g["momentum"], g["centered"],
            g["maximize"],
        )  # fmt: skip


class Adadelta(Optimizer):
    """Steps of the size of past steps, scaled by a running mean of squared gradients.

        g = grad + weight_decay * p                       (-grad with maximize)
        v = rho * v + (1 - rho) * g^2
        s = sqrt(u + eps) / sqrt(v + eps) * g
        u = rho * u + (1 - rho) * s^2
        p -= lr * s

    Raises ValueError for negative lr, eps or weight_decay, and for rho outside [0, 1].
    State: "step" (int), "square_avg", "acc_delta". Source: Zeiler 2012.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)
        if not 0 <= options["rho"] <= 1:
            raise ValueError(f"Invalid rho value: {options['rho']}")

    def _prepare(self, group: dict[str, Any]) -> _tape.Batch:
        g = group
        return _tape.adadelta_step(
            g["params"], self.state, g["lr"], g["rho"], g["eps"], g["weight_decay"], g["maximize"]
        )  # fmt: skip
