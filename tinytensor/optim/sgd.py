"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinytensor import _kernels
from tinytensor.optim.optimizer import Optimizer, Params, zeros_like_param

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
        if not options["lr"] >= 0:
            raise ValueError(f"Invalid learning rate: {options['lr']}")
        if not options["momentum"] >= 0:
            raise ValueError(f"Invalid momentum value: {options['momentum']}")
        if not options["weight_decay"] >= 0:
            raise ValueError(f"Invalid weight_decay value: {options['weight_decay']}")
        if options["nesterov"] and (options["momentum"] == 0 or options["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _update(self, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        # Two calls at most: parameters that have a momentum buffer (or need none), and those that start one now.
        warm: tuple[list[Any], ...] = ([], [], [])
        fresh: tuple[list[Any], ...] = ([], [], [])
        for p in group["params"]:
            grad = p._grad
            if grad is None:
                continue
            call = warm
            if momentum != 0:
                state = self.state[p]
                buffer = state.get("momentum_buffer")
                if buffer is None:
                    call = fresh
                    buffer = state["momentum_buffer"] = zeros_like_param(p)
                call[2].append(buffer._data)
            call[0].append(p._data)
            call[1].append(grad._data)
        for params, grads, buffers in (warm, fresh):
            if params:
                _kernels.sgd_step(
                    params,
                    grads,
                    buffers if momentum != 0 else None,
                    group["lr"],
                    momentum,
                    group["dampening"],
                    group["weight_decay"],
                    group["nesterov"],
                    group["maximize"],
                    params is fresh[0],
                )
