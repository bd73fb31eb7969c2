"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinytensor import _tape
from tinytensor.optim.optimizer import Optimizer, Params, check_ranges

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent with momentum, Nesterov's momentum and weight decay.

        d = grad + weight_decay * p                       (-grad with maximize)
        buf = momentum * buf + (1 - dampening) * d        (buf = d on the first step)
        p -= lr * buf                                     (d + momentum * buf with nesterov, d without momentum)

    Raises ValueError for negative lr, momentum or weight_decay, and for nesterov without momentum or with
    dampening. State: "momentum_buffer". Source: Sutskever et al. 2013, in PyTorch's form.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)
        if options["nesterov"] and (options["momentum"] == 0 or options["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _prepare(self, group: dict[str, Any]) -> _tape.Batch:
        g = group
        return _tape.sgd_step(
            g["params"], self.state, g["lr"], g["momentum"], g["dampening"], g["weight_decay"], g["nesterov"], g["maximize"]
        )  # fmt: skip
