"""Learning-rate schedules: each `step()` writes the next rate into the optimizer's parameter groups.

A schedule takes effect when it is made (epoch 0); call `step()` after `optimizer.step()`, once an epoch or
once a batch. StepLR, MultiStepLR, ExponentialLR, ConstantLR, LinearLR, PolynomialLR, CosineAnnealingLR and
MultiplicativeLR scale the rate that is there, as PyTorch's do, so that several may act on one optimizer; their
numbers follow the closed formulas in their docstrings. The others set the rate.
"""

from __future__ import annotations

import math
import sys
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, SupportsFloat

from tinytensor.optim.optimizer import Optimizer

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


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
        self._last_lr: list[float] = []
        if optimizer._opt_called is None and optimizer._tells:
            optimizer._opt_called = False
        self._begin()

    def _begin(self) -> None:
        """Take the first step, from the rates that are there."""
        self._step_count = 0
        self.step()

    def _restart(self) -> None:
        """Go to epoch 0 when another schedule held the rates before."""
        self.last_epoch = 0
        self._set(self._first_lr())

    def _undo(self) -> None:
        """Take back the step of the constructor."""
        self.last_epoch -= 1

    def _rewind(self) -> None:
        """Go to before epoch 0."""
        self.last_epoch = -1

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `last_epoch`; called by `step`."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr")

    def _first_lr(self) -> list[float]:
        """Return the rates of epoch 0, from the initial ones where they scale."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """Return the rate that is in force for each parameter group."""
        return self._last_lr

    def step(self) -> None:
        """Go on by one epoch (or batch: the unit is the caller's) and set the rates.

        Warns (UserWarning) when the optimizer has not stepped since the schedule was made: the first rate would
        never be used.
        """
        if self._step_count == 1 and self.optimizer._opt_called is False:
            _warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the opposite order: "
                "otherwise the first value of the learning rate schedule is skipped."
            )
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def _set(self, rates: Sequence[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=False):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer; save the optimizer's own state_dict beside it."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` of such a schedule returned."""
        self.__dict__.update(state_dict)


class _ChainedLR(LRScheduler):
    """A schedule that scales the rate it finds: `_next` turns the rate before (at epoch 0 the initial one) into this epoch's."""

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `last_epoch`."""
        groups = self.optimizer.param_groups
        if self._step_count == 1 and self.last_epoch > 0:
            # Resumed: the optimizer's state already holds the rate of this epoch.
            return [group["lr"] for group in groups]
        return [self._next(group["lr"], base) for group, base in zip(groups, self.base_lrs, strict=False)]

    def _first_lr(self) -> list[float]:
        return [self._next(base, base) for base in self.base_lrs]

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


class MultiStepLR(_ChainedLR):
    """lr = initial * gamma^(number of `milestones` <= epoch). A milestone given twice counts twice."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        return lr * self.gamma ** self.milestones[self.last_epoch]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` of such a schedule returned."""
        super().load_state_dict(state_dict)
        # JSON makes a plain dict of it, with text for keys.
        self.milestones = Counter({int(epoch): n for epoch, n in self.milestones.items()})


class ExponentialLR(_ChainedLR):
    """lr = initial * gamma^epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        return lr * self.gamma if self.last_epoch > 0 else lr


class ConstantLR(_ChainedLR):
    """lr = initial * factor while epoch < total_iters, then initial.

    Raises ValueError unless 0 < factor <= 1 (from 0 no factor leads back).
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 < factor <= 1:
            raise ValueError(
                f"Constant multiplicative factor expected to be greater than 0 and less or equal to 1, but got {factor}"
            )
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        if self.last_epoch == 0:
            return lr * self.factor
        return lr * (1.0 / self.factor) if self.last_epoch == self.total_iters else lr

    def _first_lr(self) -> list[float]:
        return super()._first_lr() if self.total_iters > 0 else list(self.base_lrs)


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


class PolynomialLR(_ChainedLR):
    """lr = initial * (1 - min(epoch, total_iters) / total_iters)^power. Raises ValueError unless total_iters >= 1."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        if total_iters < 1:
            raise ValueError(f"Expected total_iters >= 1, but got {total_iters}")
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        if self.last_epoch == 0 or self.last_epoch > self.total_iters:
            return lr
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        ratio: float = ((1.0 - self.last_epoch / self.total_iters) / before) ** self.power
        return lr * ratio


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


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (initial - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2, T_cur counted from the last restart.

    The first period T_i is `T_0`, each later one `T_mult` times the one before; at its end the rate jumps back to
    its start. `step(epoch)` goes to any epoch, also between two: epoch + batch / batches. Raises ValueError unless
    T_0 >= 1 and T_mult >= 1 are ints, and for a negative epoch. Source: Loshchilov & Hutter 2017 (SGDR).
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        _positive("T_0", T_0)
        if isinstance(T_mult, bool) or not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `T_cur`."""
        factor = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * factor for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on by one epoch, or to `epoch`, and set the rates. Warns as the others do."""
        if epoch is not None and not epoch >= 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        self._place(self.last_epoch + 1 if epoch is None else epoch)
        super().step()

    def _restart(self) -> None:
        self._place(0)
        super()._restart()

    def _place(self, epoch: float) -> None:
        self.T_i = self.T_0
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            self.T_cur = epoch
            while self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        self.last_epoch = math.floor(epoch) - 1  # `step` counts on


class _FunctionLR(LRScheduler):
    """Schedules by functions of the epoch: one for all groups, or a list of one each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        _require_optimizer(optimizer)
        count = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, Sequence) else [lr_lambda] * count
        if len(self.lr_lambdas) != count:
            raise ValueError(f"Expected {count} lr_lambdas, but got {len(self.lr_lambdas)}")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and the functions (callable objects give their attributes)."""
        state = super().state_dict()
        state["lr_lambdas"] = [dict(getattr(fn, "__dict__", {})) or None for fn in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` of such a schedule returned; the functions stay this one's own."""
        count, saved = len(self.lr_lambdas), state_dict["lr_lambdas"]
        if len(saved) != count:
            raise ValueError(
                f"loaded state dict has {len(saved)} functions of the epoch, this {type(self).__name__} {count}"
            )
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for fn, attributes in zip(self.lr_lambdas, saved, strict=True):
            if attributes:
                fn.__dict__.update(attributes)


class LambdaLR(_FunctionLR):
    """lr = initial * lr_lambda(epoch), with one function for all groups or a list of one each.

    `state_dict` keeps the attributes of callable objects, and nothing of plain functions.
    Raises ValueError when the list is not as long as the groups, TypeError for what cannot be called.
    """

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `last_epoch`."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=False)
        return [base * lr_lambda(self.last_epoch) for base, lr_lambda in pairs]


class MultiplicativeLR(_FunctionLR):
    """lr = initial * lr_lambda(1) * ... * lr_lambda(epoch): each step scales the rate that is there.

    One function for all groups or a list of one each; state and errors as of `LambdaLR`. In `SequentialLR`, as in
    PyTorch's, lr_lambda(0) scales the rate too where this schedule is not the first.
    """

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `last_epoch`."""
        groups = self.optimizer.param_groups
        if self._step_count == 1:
            return [group["lr"] for group in groups]
        return [group["lr"] * fn(self.last_epoch) for group, fn in zip(groups, self.lr_lambdas, strict=False)]

    def _first_lr(self) -> list[float]:
        pairs = zip(self.optimizer.param_groups, self.lr_lambdas, strict=False)
        return [group["lr"] * fn(self.last_epoch) for group, fn in pairs]


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
                _set_momentum(group, self.use_beta1, momentum)
        return rates

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start


class CyclicLR(LRScheduler):
    """The rate goes up from base_lr to max_lr in `step_size_up` steps and down in `step_size_down` (None: as many).

    lr = base_lr + (max_lr - base_lr) * share * scale, where share goes 0, 1, 0 over a cycle and scale is 1 with mode
    "triangular", 1 / 2^(cycle - 1) with "triangular2", gamma^step with "exp_range"; or scale_fn(cycle), or
    scale_fn(step) with scale_mode "iterations". `cycle_momentum` moves momentum (Adam: beta1) the other way, from
    max_momentum to base_momentum and back. Rates and momenta may be lists, one value a group. Step it after every
    batch. Raises ValueError for options outside their range. Source: Smith 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        _require_optimizer(optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"mode {mode!r} is invalid and scale_fn is None")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"scale_mode must be one of 'cycle' or 'iterations', instead got {scale_mode!r}")
        if not step_size_up > 0 or (step_size_down is not None and not step_size_down > 0):
            raise ValueError(f"Expected positive step sizes, but got {step_size_up} up and {step_size_down} down")
        self.use_beta1 = "betas" in optimizer.defaults
        if cycle_momentum and not self.use_beta1 and "momentum" not in optimizer.defaults:
            raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        groups = optimizer.param_groups
        lows = _per_group("base_lr", base_lr, len(groups))
        self.max_lrs = _per_group("max_lr", max_lr, len(groups))
        self.base_momentums = _per_group("base_momentum", base_momentum, len(groups))
        self.max_momentums = _per_group("max_momentum", max_momentum, len(groups))
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self.scale_mode = scale_mode if scale_fn else "iterations" if mode == "exp_range" else "cycle"
        self._scale_fn_custom = scale_fn
        self.cycle_momentum = cycle_momentum
        if last_epoch == -1:
            for group, low in zip(groups, lows, strict=True):
                group["lr"] = low
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows  # not what a schedule before called initial
        self._set(self.get_lr())

    def scale_fn(self, x: float) -> float:
        """Return the scale of cycle x (from 1), or of step x with scale_mode "iterations"."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "exp_range":
            power: float = self.gamma**x
            return power
        return 1.0 if self.mode == "triangular" else 1 / 2.0 ** (x - 1)

    def get_lr(self) -> list[float]:
        """Return the rate of each parameter group for `last_epoch`, and set its momentum."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        share = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        share *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(
                self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=False
            ):
                _set_momentum(group, self.use_beta1, high - (high - low) * share)
        return [low + (high - low) * share for low, high in zip(self.base_lrs, self.max_lrs, strict=False)]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and `scale_fn` (a callable object gives its attributes)."""
        state = super().state_dict()
        state["_scale_fn_custom"] = dict(getattr(self._scale_fn_custom, "__dict__", {})) or None
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` of such a schedule returned; the function stays this one's own."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_scale_fn_custom"})
        if state_dict["_scale_fn_custom"]:
            self._scale_fn_custom.__dict__.update(state_dict["_scale_fn_custom"])


class ReduceLROnPlateau(LRScheduler):
    """lr *= factor once a measure has not improved for more than `patience` epochs: call `step(measure)`.

    Better is, with `mode` "min" and `threshold_mode` "rel", less than best * (1 - threshold), with "abs" less than
    best - threshold; with "max" more than best * (1 + threshold) or best + threshold. After a reduction `cooldown`
    epochs are not counted. No rate falls below `min_lr` (a number, or one a group), nor by less than `eps`. Raises
    ValueError unless factor < 1, and for other modes.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        _require_optimizer(optimizer)
        if not factor < 1.0:
            raise ValueError(f"Factor should be < 1.0, but got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown: expected 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown: expected 'rel' or 'abs'")
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs = _per_group("min_lr", min_lr, len(optimizer.param_groups))
        self.default_min_lr = None if isinstance(min_lr, Sequence) else min_lr
        self.eps = eps
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    @property
    def in_cooldown(self) -> bool:
        """Whether epochs are not counted for now."""
        return self.cooldown_counter > 0

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Take the measure of an epoch, and reduce the rates if it is time. A NaN is no improvement."""
        value = float(metrics)
        self.last_epoch += 1
        if self._is_better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * value > sign * (self.best * (1.0 + sign * self.threshold))
        return sign * value > sign * (self.best + sign * self.threshold)

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"The number of param groups in the optimizer ({len(groups)}) differs from when "
                    f"ReduceLROnPlateau was made ({len(self.min_lrs)}): give `min_lrs` a value for each"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, least)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr


class _Compound(LRScheduler):
    """A schedule of schedules, all of one optimizer."""

    _schedulers: list[LRScheduler]

    def _take(self, optimizer: Optimizer | None, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        if len(schedulers) < 1:
            raise ValueError(f"{name} expects at least one scheduler, but got no scheduler.")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name} expects schedulers, but got {type(scheduler).__name__} at index {i}.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` as its `step` needs a measure, but got one at "
                    f"index {i} in the given schedulers sequence."
                )
            optimizer = scheduler.optimizer if optimizer is None else optimizer
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but that of "
                    f"{type(scheduler).__name__} at index {i} is another one."
                )
        self._schedulers = list(schedulers)
        self.optimizer = self._schedulers[0].optimizer

    def _undo(self) -> None:
        for scheduler in self._schedulers:
            scheduler._undo()

    def _rewind(self) -> None:
        for scheduler in self._schedulers:
            scheduler._rewind()

    def _restart(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._rewind()
        self._begin()

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer; of the schedulers their state_dicts."""
        state = super().state_dict()
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` of a schedule of such schedules returned."""
        count, saved = len(self._schedulers), len(state_dict["_schedulers"])
        if saved != count:
            raise ValueError(f"loaded state dict has {saved} schedules, this {type(self).__name__} {count}")
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(_Compound):
    """One schedule after the other: `schedulers[i]` begins, at its epoch 0, at epoch `milestones[i - 1]`.

    A warm-up: `SequentialLR(opt, [LinearLR(opt, 0.1, total_iters=5), CosineAnnealingLR(opt, 95)], [5])`. Making it
    takes back what the schedulers did to the rates when they were made. Raises ValueError unless there is one
    milestone fewer than schedulers and all have this optimizer, and for ReduceLROnPlateau among them.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        _require_optimizer(optimizer)
        self._take(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got number of schedulers {len(schedulers)} and the number of milestones to be "
                f"equal to {len(milestones)}"
            )
        self._milestones = list(milestones)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo()
        self._begin()
        self.last_epoch = last_epoch + 1

    def _begin(self) -> None:
        self.last_epoch = 0
        scheduler = self._schedulers[bisect_right(self._milestones, 0)]
        scheduler._begin()
        self._last_lr = scheduler.get_last_lr()

    def step(self) -> None:
        """Go on by one epoch and set the rates."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Compound):
    """All schedules at once: each step calls one after the other, and those that scale the rate multiply.

    `optimizer` is that of the schedulers where it is left out. Raises ValueError unless all have the same, and for
    ReduceLROnPlateau among them.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._take(optimizer, schedulers)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _begin(self) -> None:
        for scheduler in self._schedulers:
            scheduler._begin()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        """Go on by one epoch and set the rates."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


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


def _set_momentum(group: dict[str, Any], use_beta1: bool, momentum: float) -> None:
    if use_beta1:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def _warn(text: str) -> None:
    """Warn of the first line outside this file that led here."""
    depth = 1
    while sys._getframe(depth).f_code.co_filename == __file__:
        depth += 1
    warnings.warn(text, UserWarning, stacklevel=depth + 1)
