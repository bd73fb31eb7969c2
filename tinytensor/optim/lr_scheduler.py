"""Learning-rate schedules: each `step()` writes the next rate into the optimizer's parameter groups.
 A schedule takes effect when it is made (epoch 0); call `step()` after `optimizer.step()`, once an epoch or
once a batch. LinearLR, CosineAnnealingLR and StepLR scale the rate that is there, as PyTorch's do, so that
several may act on one optimizer; their numbers follow the closed formulas in their docstrings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinytensor.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "LRScheduler", "LambdaLR", "LinearLR", "OneCycleLR", "StepLR"]


class LRScheduler:
    """Base class of the schedules: subclasses define `get_lr`, which reads `self.last_epoch`.

    `last_epoch` other than -1 goes on with an optimizer whose groups already hold "initial_lr" (KeyError
    otherwise). Groups that are added to the optimizer later keep their own rate. Raises TypeError when
    `optimizer` is none.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        _require_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] when resuming an optimizer")
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._last_lr: list[float] = []
        self.step()

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `last_epoch`; called by `step`."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr")

    def get_last_lr(self) -> list[float]:
        """Return the rate that is in force for each parameter group."""
        return self._last_lr

    def step(self) -> None:
        """Go on by one epoch (or batch: the unit is the caller's) and set the rates."""
        self._step_count += 1
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=False):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer; save the optimizer's own state_dict beside it."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` of such a schedule returned."""
        self.__dict__.update(state_dict)


class _ChainedLR(LRScheduler):
    """A schedule that scales the rate it finds: `_next` turns the rate before into this epoch's."""

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `last_epoch`."""
        groups = self.optimizer.param_groups
        if self._step_count == 1 and self.last_epoch > 0:
            # Resumed: the optimizer's state already holds the rate of this epoch.
            return [group["lr"] for group in groups]
        return [self._next(group["lr"], base) for group, base in zip(groups, self.base_lrs, strict=False)]

    def _next(self, lr: float, base: float) -> float:
        raise NotImplementedError


class StepLR(_ChainedLR):
    """lr = initial * gamma^floor(epoch / step_size). Raises ValueError unless step_size >= 1."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if step_size < 1:
            raise ValueError(f"Expected step_size >= 1, but got {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        return lr * self.gamma if self.last_epoch > 0 and self.last_epoch % self.step_size == 0 else lr


class LinearLR(_ChainedLR):
    """lr = initial * (start_factor + (end_factor - start_factor) * min(epoch, total_iters) / total_iters).

    Raises ValueError unless 0 < start_factor <= 1, 0 <= end_factor <= 1 and total_iters >= 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal to 1, "
                f"but got {start_factor}"
            )
        if not 0 <= end_factor <= 1:
            raise ValueError(f"Ending multiplicative factor expected to be between 0 and 1, but got {end_factor}")
        if total_iters < 1:
            raise ValueError(f"Expected total_iters >= 1, but got {total_iters}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        if self.last_epoch == 0:
            return lr * self.start_factor
        if self.last_epoch > self.total_iters:
            return lr
        rise = self.end_factor - self.start_factor
        return lr * (1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))


class CosineAnnealingLR(_ChainedLR):
    """lr = eta_min + (initial - eta_min) * (1 + cos(pi * epoch / T_max)) / 2; rises again after T_max.

    Raises ValueError unless T_max >= 1. Source: Loshchilov & Hutter 2017 (SGDR), without the restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_max < 1:
            raise ValueError(f"Expected T_max >= 1, but got {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        if self.last_epoch == 0:
            return lr
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # The rate before was eta_min, from which no ratio leads up.
            return lr + (base - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2
        ratio = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / (
            1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        )
        return ratio * (lr - self.eta_min) + self.eta_min


class LambdaLR(LRScheduler):
    """lr = initial * lr_lambda(epoch), with one function for all groups or a list of one each.

    `state_dict` keeps the attributes of callable objects, and nothing of plain functions.
    Raises ValueError when the list is not as long as the groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        _require_optimizer(optimizer)
        count = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != count:
            raise ValueError(f"Expected {count} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `last_epoch`."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=False)
        return [base * lr_lambda(self.last_epoch) for base, lr_lambda in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and the functions (callable objects give their attributes)."""
        state = super().state_dict()
        state["lr_lambdas"] = [dict(getattr(fn, "__dict__", {})) or None for fn in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` of such a schedule returned; the functions stay this one's own."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for fn, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes:
                fn.__dict__.update(attributes)


class OneCycleLR(LRScheduler):
    """One cycle of the rate, up and down, to be stepped after every batch.

    From max_lr / div_factor up to max_lr within the share `pct_start` of `total_steps` (or of epochs *
    steps_per_epoch), then down to max_lr / (div_factor * final_div_factor). `anneal_strategy` is "cos" or
    "linear". `cycle_momentum` moves momentum (Adam: beta1) the other way, from max_momentum to base_momentum
    and back. `three_phase` goes back to the first rate as slowly as it rose, and only then to the last.
    max_lr and the momenta may be lists, one value a group. Raises ValueError for options outside their range,
    and when stepped more than total_steps times. Source: Smith & Topin 2018, in fastai's form.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        _require_optimizer(optimizer)
        if total_steps is not None:
            self.total_steps = _positive("total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = _positive("epochs", epochs) * _positive("steps_per_epoch", steps_per_epoch)
        else:
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        if isinstance(pct_start, bool) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        # Each phase: its last step, then the names of the groups' rates and momenta at its two ends.
        rise = pct_start * self.total_steps - 1
        self._phases: list[tuple[float, str, str, str, str]] = [
            (rise, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        ]
        if three_phase:
            self._phases += [
                (2 * rise, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                (self.total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            self._phases.append((self.total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"))
        groups = optimizer.param_groups
        self.use_beta1 = "betas" in optimizer.defaults
        if cycle_momentum and not self.use_beta1 and "momentum" not in optimizer.defaults:
            raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        if last_epoch == -1:
            highs = _per_group("max_momentum", max_momentum, len(groups))
            lows = _per_group("base_momentum", base_momentum, len(groups))
            rates = _per_group("max_lr", max_lr, len(groups))
            for group, rate, high, low in zip(groups, rates, highs, lows, strict=True):
                first = rate / div_factor
                group.update(initial_lr=first, max_lr=rate, min_lr=first / final_div_factor)
                if cycle_momentum:
                    group.update(max_momentum=high, base_momentum=low)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `last_epoch`, and set its momentum."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        start = 0.0
        for phase in self._phases:
            if step <= phase[0] or phase is self._phases[-1]:
                break
            start = phase[0]
        end, lr_from, lr_to, m_from, m_to = phase
        # The step after the last keeps the last rate; a phase without length is at its end.
        share = min((step - start) / (end - start), 1.0) if end > start else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[lr_from], group[lr_to], share))
            if self.cycle_momentum:
                momentum = self._between(group[m_from], group[m_to], share)
                if self.use_beta1:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return rates

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start


def _require_optimizer(optimizer: object) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"Expected positive integer {name}, but got {value}")
    return value


def _per_group(name: str, value: float | Sequence[float], count: int) -> list[float]:
    if not isinstance(value, Sequence):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {count}."
        )
    return list(value)
