"""Lion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinytensor import _tape
from tinytensor.optim.optimizer import Optimizer, Params, check_ranges

__all__ = ["Lion"]


class Lion(Optimizer):
    """Steps of one size, in the direction of the sign of an interpolated momentum.

        c = beta1 * m + (1 - beta1) * grad                (-grad with maximize)
        p = p * (1 - lr * weight_decay) - lr * sign(c)
        m = beta2 * m + (1 - beta2) * grad

    The rate wants to be 3 to 10 times smaller than AdamW's, and weight_decay as much larger. PyTorch has no
    Lion; names and defaults are those of the authors' program. Raises ValueError for negative lr or weight_decay,
    and for betas outside [0, 1). State: "exp_avg". Source: Chen et al. 2023 (arXiv 2302.06675).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)

    def _prepare(self, group: dict[str, Any]) -> _tape.Batch:
        g = group
        beta1, beta2 = g["betas"]
        return _tape.lion_step(
            g["params"], self.state, g["lr"], beta1, beta2, g["weight_decay"], g["maximize"]
        )  # fmt: skip
