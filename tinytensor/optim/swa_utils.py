"""Averages of weights over training: equally weighted (SWA), or of the recent ones (EMA)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinytensor import _tape
from tinytensor.device import check_device
from tinytensor.nn.module import Module
from tinytensor.nn.normalization import _BatchNorm
from tinytensor.optim.lr_scheduler import LRScheduler, _per_group, _require_optimizer
from tinytensor.optim.optimizer import Optimizer
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip

AvgFn = Callable[[Tensor, Tensor, Tensor], Any]
MultiAvgFn = Callable[[list[Tensor], list[Tensor], Tensor], None]


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAvgFn:
    """Return the update average = decay * average + (1 - decay) * current of whole lists, one C call each.

    Raises ValueError for a decay outside [0, 1].
    """
    _check_decay(decay)

    def ema_update(averaged: list[Tensor], current: list[Tensor], num_averaged: Tensor) -> None:
        _move_towards(averaged, current, 1 - decay)

    return ema_update


def get_swa_multi_avg_fn() -> MultiAvgFn:
    """Return the update average += (current - average) / (n + 1) of whole lists, one C call each."""

    def swa_update(averaged: list[Tensor], current: list[Tensor], num_averaged: Tensor) -> None:
        _move_towards(averaged, current, 1 / (int(num_averaged) + 1))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> AvgFn:
    """Return decay * average + (1 - decay) * current as a function of one Tensor each.

    Raises ValueError for a decay outside [0, 1].
    """
    _check_decay(decay)

    def ema_update(averaged: Tensor, current: Tensor, num_averaged: Tensor) -> Tensor:
        return decay * averaged + (1 - decay) * current

    return ema_update


def get_swa_avg_fn() -> AvgFn:
    """Return average + (current - average) / (n + 1) as a function of one Tensor each."""

    def swa_update(averaged: Tensor, current: Tensor, num_averaged: Tensor) -> Tensor:
        return averaged + (current - averaged) / (int(num_averaged) + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of `model` whose parameters are averages of those that `update_parameters` was given.

    The first update copies, each later one calls `multi_avg_fn(averages, currents, n)` on lists of one dtype, in
    place, or `avg_fn(average, current, n)` for each, which returns the new average; n, a Tensor, counts the
    updates before. Without both all updates weigh the same. `use_buffers` averages buffers too (integers are
    rounded down); else they are copied. Calling it calls the copy, `module`. The functions are no part of
    `state_dict`; "n_averaged" is. Raises ValueError for both functions.
    Source: Izmailov et al. 2018 (SWA); Polyak & Juditsky 1992.

    Example: `ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))`, after each step
    `ema.update_parameters(model)`, in the end `ema(x)`.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        *,
        avg_fn: AvgFn | None = None,
        multi_avg_fn: MultiAvgFn | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", Tensor(np.array(0)))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the averaged copy."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the parameters of `model` (and its buffers) into the averages.

        Raises ValueError when they are not as many or not shaped as the copy's (and then has changed nothing).
        """
        pairs = _pairs(list(self.module.parameters()), list(model.parameters()), "parameter")
        buffers = _pairs(list(self.module.buffers()), list(model.buffers()), "buffer")
        copied = [] if self.use_buffers else buffers
        if self.use_buffers:
            pairs += buffers
        if int(self.n_averaged) == 0:
            copied, pairs = copied + pairs, []
        with no_grad():
            if self.avg_fn is not None:
                for average, current in pairs:
                    average.copy_(self.avg_fn(average, current, self.n_averaged))
            else:
                update = self.multi_avg_fn or get_swa_multi_avg_fn()
                for dtype in dict.fromkeys(average.dtype for average, _ in pairs):
                    chosen = [pair for pair in pairs if pair[0].dtype == dtype]
                    update([average for average, _ in chosen], [current for _, current in chosen], self.n_averaged)
            for average, current in copied:
                average.copy_(current)
            self.n_averaged.add_(1)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the running statistics of every BatchNorm of `model` to those of the batches of `loader`, in one pass of it: averaged
    weights have none of their own.

    A batch is the input, or a tuple or list that starts with it. Each batch weighs the same. Modes and momenta are as before
    in the end; a model without BatchNorm is left alone. RuntimeError for another device than the CPU.
    """
    check_device(device)
    layers = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    if not layers:
        return
    modes = {m: m.training for m in model.modules()}
    model.train()
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        with no_grad():
            for batch in loader:
                model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    finally:
        for layer, momentum in layers.items():
            layer.momentum = momentum
        for module, mode in modes.items():
            module.training = mode


class SWALR(LRScheduler):
    """The rate goes from where it is to `swa_lr` within `anneal_epochs`, and stays there.

    lr = start + (swa_lr - start) * share, share rising from 0 to 1 as (1 - cos(pi * t)) / 2, or as t with
    anneal_strategy "linear"; t = min(epoch / anneal_epochs, 1). It scales from the rate that is there, so that
    another schedule may act before it. swa_lr may be a list, one value a group. Raises ValueError for another
    strategy, and unless anneal_epochs is an int >= 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        _require_optimizer(optimizer)
        rates = _per_group("swa_lr", swa_lr, len(optimizer.param_groups))
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if isinstance(anneal_epochs, bool) or not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs = anneal_epochs
        self.anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for the steps taken."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            goal = group.get("swa_lr", group["lr"])
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates

    def _share(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t


def _check_decay(decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _move_towards(averaged: list[Tensor], current: list[Tensor], weight: float) -> None:
    if averaged and averaged[0].dtype.kind != "f":
        for average, now in zip(averaged, current, strict=True):
            average.copy_((average * (1 - weight) + now * weight).detach())
        return
    _tape.lerp_step(averaged, current, weight)()


def _pairs(own: Sequence[Tensor], other: Sequence[Tensor], what: str) -> list[tuple[Tensor, Tensor]]:
    if len(own) != len(other):
        raise ValueError(f"update_parameters: expected a model of {len(own)} {what}s, got one of {len(other)}")
    for i, (a, b) in enumerate(zip(own, other, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise ValueError(
                f"update_parameters: expected {what} {i} to be {a.dtype} {tuple(a.shape)}, got {b.dtype} {tuple(b.shape)}"
            )
    return [(a.detach(), b.detach()) for a, b in zip(own, other, strict=True)]
