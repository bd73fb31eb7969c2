"""The checkpoint of a training: all that decides what comes next, and the check that it belongs to the training that resumes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tinytensor.nn import Module
from tinytensor.serialize import load
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor
from tinytensor.train.sources import set_states

if TYPE_CHECKING:
    from tinytensor.random import Generator
    from tinytensor.train.run import Run

__all__ = ["FORMAT", "capture", "compare", "name_of", "read", "restore"]

FORMAT = "tinytensor fit 1"


def read(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The checkpoint at `path`; None where there is no file. ValueError where it is damaged or none of `fit`, OSError."""
    try:
        state = load(path)
    except FileNotFoundError:
        return None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{os.fspath(path)}: not a checkpoint of fit (no format {FORMAT!r} in it)")
    return state


def capture(run: Run) -> dict[str, Any]:
    """All state of a training between two updates, for `tinytensor.save`."""
    return {
        "format": FORMAT,
        "run": describe(run),
        "model": run.model.state_dict(),
        "unsaved_buffers": dict(_unsaved(run.model)),
        "loss": run.loss_function.state_dict() if isinstance(run.loss_function, Module) else {},
        "ema": None if run.ema is None else run.ema.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "schedule": None if run.schedule is None else run.schedule.state_dict(),
        "generators": {
            "start": run.generator_starts,
            "epoch": run.generator_epochs,
            "now": [g.get_state() for g in run.generators],
        },
        "data": run.source.state_dict(),
        "progress": run.progress_state(),
        "early_stopping": None if run.early_stopping is None else run.early_stopping.state_dict(),
        "callbacks": [callback.state_dict() for callback in run.callbacks],
    }


def begin(generators: list[Generator], state: Mapping[str, Any], path: str | os.PathLike[str]) -> list[dict[str, int]]:
    """Put generators where they were when the training began: the states. ValueError for a damaged file."""
    try:
        starts = list(state["generators"]["start"])
        if len(starts) == len(generators):  # `compare` reports it otherwise
            set_states(generators, starts)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: damaged checkpoint ({type(error).__name__}: {error!s:.300})") from error
    return starts


def restore(run: Run, state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Put a training where `capture` saw it. ValueError for a damaged file."""
    try:
        run.model.load_state_dict(state["model"])
        with no_grad():
            for name, buffer in _unsaved(run.model):
                buffer.copy_(state["unsaved_buffers"][name])
        if isinstance(run.loss_function, Module):
            run.loss_function.load_state_dict(state["loss"])
        if run.ema is not None:
            run.ema.load_state_dict(state["ema"])
        run.optimizer.load_state_dict(state["optimizer"])
        if run.schedule is not None:
            run.schedule.load_state_dict(state["schedule"])
        run.restore_progress(state["progress"])
        if run.step and run.optimizer._opt_called is False:
            run.optimizer._opt_called = True  # it stepped, in the training before: schedules ask
        if run.early_stopping is not None:
            run.early_stopping.load_state_dict(state["early_stopping"])
        for callback, own in zip(run.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(own)
        generators = state["generators"]
        run.generator_starts, run.generator_epochs = generators["start"], generators["epoch"]
        run.source.load_state_dict(state["data"])
        set_states(run.generators, generators["start"])
        set_states(run.generators, generators["now"])  # last: a loader sets its own
    except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: damaged checkpoint ({type(error).__name__}: {error!s:.300})") from error


def describe(run: Run) -> dict[str, Any]:
    """What must be the same for a training to go on bit for bit, by the names of `fit`'s arguments."""
    stopping, schedule, validation = run.early_stopping, run.schedule, run.validation
    return {
        "model": {
            "class": type(run.model).__name__,
            **{name: f"{t.dtype} {tuple(t.shape)}" for name, t in run.model.state_dict().items()},
        },
        "loss": name_of(run.loss_function),
        "optimizer": {
            "class": type(run.optimizer).__name__,
            "parameters": [len(group["params"]) for group in run.optimizer.param_groups],
            **{name: _plain(value) for name, value in run.optimizer.defaults.items()},
        },
        "epochs": run.epochs,
        "data": run.source.describe(),
        "validation": None if validation is None else validation.describe(),
        "transform": None if run.transform is None else name_of(run.transform),
        "metrics": None if run.metrics is None else list(run.metrics),
        "schedule": None if schedule is None else {"class": type(schedule).__name__, "per": run.schedule_per},
        "clip_grad_norm": run.clip_grad_norm,
        "clip_grad_value": run.clip_grad_value,
        "accumulate": run.accumulate,
        "ema": run.ema_decay,
        "early_stopping": None
        if stopping is None
        else {"patience": stopping.patience, "min_delta": stopping.min_delta},
        "monitor": f"{run.history.monitor} ({run.history.mode})",
        "restore_best": run.restore_best,
        "callbacks": [name_of(callback) for callback in run.callbacks],
        "generators": len(run.generators),
    }


def compare(run: Run, state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """ValueError naming what differs between the training that wrote the checkpoint and this one."""
    found, here = state.get("run"), describe(run)
    if not isinstance(found, dict):
        raise ValueError(f"{os.fspath(path)}: damaged checkpoint (it does not say of which training)")
    differences = list(_differences(found, here))
    if differences:
        more = f"; and {len(differences) - 6} more" if len(differences) > 6 else ""
        raise ValueError(
            f"{os.fspath(path)}: the checkpoint is of another training: {'; '.join(differences[:6])}{more}. Give the same "
            "arguments to resume it, or resume=False to begin anew"
        )


def name_of(value: Any) -> str:
    """The name of a function, or of the class of an object."""
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _differences(found: Mapping[str, Any], here: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key in dict.fromkeys([*here, *found]):
        name = f"{path}{key}"
        there, own = found.get(key), here.get(key)
        if isinstance(there, dict) and isinstance(own, dict):
            yield from _differences(there, own, f"{name}.")
        elif there != own:
            yield f"{name.removesuffix('.class')} is {there} in the file, {own} here"


def _unsaved(model: Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers that `state_dict` leaves out."""
    kept = model.state_dict().keys()
    return ((name, buffer) for name, buffer in model.named_buffers() if name not in kept)


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)
