"""Optimizer: parameter groups and the state per parameter. The formulas live in the subclasses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tinytensor._tape import make_steps
from tinytensor.tape import enable_grad
from tinytensor.tensor import Tensor

__all__ = ["Optimizer", "Params", "check_ranges"]

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


class Optimizer:
    """Base class of the optimizers.

    `params` is an iterable of leaf Tensors, or of dicts (parameter groups) with the Tensors under "params"
    and options that differ from the defaults. `param_groups` is the list of groups, each with all its
    options: change `group["lr"]` and the next step uses it. `state` maps a parameter to what the optimizer
    keeps for it. Subclasses define `_check` (validate options) and `_update` (one step of one group).
    """

    _opt_called: bool | None = None  # whether `step` ran since a schedule was attached; None: there is none
    _tells = True  # whether `step` keeps _opt_called; one that a subclass defines need not know of it

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "step" in cls.__dict__ and "_tells" not in cls.__dict__:
            cls._tells = False

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self._check(defaults)
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        if isinstance(params, (Tensor, np.ndarray, str)):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}"
            )
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _check(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError for an option outside its range."""

    def _prepare(self, group: dict[str, Any]) -> Callable[[], None]:
        """Return what makes one step of one parameter group; to raise here leaves everything as it was."""
        return partial(self._update, group)

    def _update(self, group: dict[str, Any]) -> None:
        """Make one step of one parameter group, in place."""
        raise NotImplementedError(f"{type(self).__name__} does not define _update")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group {"params": Tensor or list of Tensors, option: value}; the rest takes the defaults.

        Raises TypeError when the group is no dict, or holds something other than Tensors, or a set;
        ValueError for a non-leaf Tensor, a Tensor that the optimizer already has, or an option outside its
        range.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of "
                "tensors in sets will change between runs. Please use a list instead."
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if p.dtype.kind != "f":
                raise ValueError(f"can't optimize a Tensor of dtype {p.dtype}: it must be float32 or float64")
            if id(p) in known:
                raise ValueError("some parameters appear in more than one parameter group, or twice in one")
            known.add(id(p))
        group = {**self.defaults, **param_group, "params": params}
        self._check(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop every parameter's gradient, or with `set_to_none=False` fill it with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p.grad is not None:
                    p.grad = p.grad.detach().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in place; the tape does not see it.

        `closure`, if given, is called first, with gradients enabled, to compute the loss anew; its result is
        returned. Raises TypeError or ValueError, naming the parameter, when one of them or its state cannot be
        worked on, MemoryError where there is none for it, and then no parameter and no state of any group has
        changed.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        groups = self.param_groups
        if len(groups) == 1:
            self._prepare(groups[0])()  # a list would cost as much as the step of a small network
        else:
            make_steps([self._prepare(group) for group in groups])
        if self._opt_called is False:
            self._opt_called = True
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return {"state": {number: {...}}, "param_groups": [...]}, parameters as numbers in order.

        The Tensors in it are the optimizer's own: copy them to keep a moment.
        """
        numbers = {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        return {
            "state": {numbers[id(p)]: state for p, state in self.state.items()},
            "param_groups": [
                {
                    **{k: v for k, v in group.items() if k != "params"},
                    "params": [numbers[id(p)] for p in group["params"]],
                }
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over options and state from `state_dict()` of an optimizer with the same groups.

        Tensors are copied, cast to their parameter's dtype and laid out as it is. Raises ValueError when the
        groups or a Tensor's shape do not fit (and then has changed nothing).
        """
        saved_groups = state_dict["param_groups"]
        if len(saved_groups) != len(self.param_groups):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(saved_groups)} instead "
                f"of {len(self.param_groups)}"
            )
        params: dict[Any, Tensor] = {}
        for i, (own, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            if len(own["params"]) != len(saved["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                    f"group: group {i} has {len(saved['params'])} parameters instead of {len(own['params'])}"
                )
            params.update(zip(saved["params"], own["params"], strict=True))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, entries in state_dict["state"].items():
            if number not in params:
                raise ValueError(f"loaded state dict has state for parameter {number}, which is in none of its groups")
            p = params[number]
            state[p] = {key: self._restored(key, value, p, number) for key, value in entries.items()}
        for saved in saved_groups:
            self._check({**self.defaults, **saved})
        self.state = state
        for own, saved in zip(self.param_groups, saved_groups, strict=True):
            own.update({k: v for k, v in saved.items() if k != "params"})

    def _restored(self, key: str, value: Any, p: Tensor, number: Any) -> Any:
        """Return a copy of one saved entry of state, Tensors cast and laid out as the parameter is."""
        if key in _NUMBERS:
            return _NUMBERS[key](value)
        if not isinstance(value, (Tensor, np.ndarray)):
            return value
        if tuple(value.shape) != tuple(p.shape):
            raise ValueError(
                f"loaded state dict has {key} of shape {tuple(value.shape)} for parameter {number} "
                f"of shape {tuple(p.shape)}"
            )
        copy = np.empty_like(p._data)
        copy[...] = value._data if isinstance(value, Tensor) else value
        return Tensor(copy)

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
        return text + ")"


_NUMBERS: dict[str, Callable[[Any], Any]] = {"step": int, "mu_product": float}  # states that PyTorch keeps as Tensors

_NOT_NEGATIVE = {
    "lr": "learning rate",
    "eps": "epsilon value",
    "momentum": "momentum value",
    "weight_decay": "weight_decay value",
    "momentum_decay": "momentum_decay value",
    "lr_decay": "lr_decay value",
    "initial_accumulator_value": "initial_accumulator_value value",
    "alpha": "alpha value",
}


def check_ranges(options: Mapping[str, Any]) -> None:
    """Raise ValueError, as PyTorch does, for an option that is negative (or NaN), and for a beta outside [0, 1)."""
    for key, text in _NOT_NEGATIVE.items():
        if key in options and not options[key] >= 0:
            raise ValueError(f"Invalid {text}: {options[key]}")
    for i, beta in enumerate(options.get("betas", ())):
        if not 0 <= beta < 1:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
