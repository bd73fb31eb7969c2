"""Training of any model: `fit`, the loop that nobody has to write."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import numpy as np

from tinytensor import _kernels, optim
from tinytensor.data import IterableDataset
from tinytensor.interrupt import Interrupt
from tinytensor.nn import Module
from tinytensor.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau
from tinytensor.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tinytensor.random import Generator
from tinytensor.tensor import Tensor
from tinytensor.train import resume as _resume
from tinytensor.train.callbacks import Callback, EarlyStopping
from tinytensor.train.evaluation import Loss, Metric, Metrics, counts_right, direction, resolve_loss, resolve_metrics
from tinytensor.train.history import History
from tinytensor.train.progress import progress_of
from tinytensor.train.run import Run
from tinytensor.train.sources import dataset_of, find_generators, float_dtype, pair, set_states, split

__all__ = ["OPTIMIZERS", "SCHEDULES", "fit"]

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "nadam": optim.NAdam,
    "radam": optim.RAdam,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
    "adadelta": optim.Adadelta,
    "lion": optim.Lion,
    "lbfgs": optim.LBFGS,
}
"""Optimizers by name, with their default options."""

SCHEDULES = ("onecycle", "cosine", "linear")
"""Schedules by name: one cycle up to the optimizer's rate and down, and two falls from it to 0, over the whole training."""

_SCHEDULED = ("lr", "momentum", "betas")  # what a schedule changes in an optimizer


def fit(
    model: Module,
    data: Any,
    loss: Loss | str,
    optimizer: optim.Optimizer | Callable[..., optim.Optimizer] | str,
    epochs: int,
    *,
    validation: Any = None,
    batch_size: int | None = None,
    shuffle: bool = True,
    transform: Callable[[Tensor], Tensor] | None = None,
    metrics: Metrics = (),
    schedule: LRScheduler | Callable[[optim.Optimizer, int], LRScheduler] | str | None = None,
    schedule_per: str = "step",
    clip_grad_norm: float | None = None,
    clip_grad_value: float | None = None,
    accumulate: int = 1,
    ema: float | None = None,
    early_stopping: int | EarlyStopping | None = None,
    monitor: str | None = None,
    mode: str | None = None,
    restore_best: bool | None = None,
    save_best: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    save_every: int | str | timedelta | None = None,
    resume: bool = False,
    callbacks: Iterable[Callback] = (),
    progress: bool | None = None,
    generator: Generator | None = None,
    flush_denormal: bool = True,
) -> History:
    """Train `model` in place for `epochs` times through `data`; returns the history, a row an epoch.

    data: (inputs, targets) as Tensors or arrays (N, ...) (several inputs, as the model takes them, may come before the targets;
    float arrays are taken in the model's dtype), a Dataset, a DataLoader, or an iterable of batches (inputs, targets), or a
    function that returns one. batch_size (32) and shuffle are for the first two. transform: maps the first input of each
    training batch, augmentation for example. validation: data of any of these kinds, or a share (float) or count (int) of the
    samples, which is held out at random. Orders and the held-out part are drawn from `generator` (None: manual_seed's).
    loss: (outputs, targets) -> scalar, a loss of nn, or a name: "cross_entropy", "mse", ... optimizer: an Optimizer, a class or
    function of the parameters, or a name: "adam", "sgd", ...

    metrics: as for `evaluate`, on the validation data; of the training batches, accuracy alone (before each update, dropout
    on), with the mean loss, each batch's weighted by its samples. schedule: a schedule, a function of the optimizer and the
    number of its steps in the whole training, or a name: "onecycle", "cosine", "linear"; it steps after every update, or with
    schedule_per="epoch" after every epoch, as ReduceLROnPlateau always does, fed with the monitor; the rates that one made here has
    changed are put back at the end, so that the optimizer can be used again. Gradients are clipped to a
    norm (all together), then to a value. accumulate: one update for that many batches (what is left at the end of an epoch makes
    a smaller one); its gradient is the mean over all their samples, as of one large batch, where the loss is a mean over its
    batch. ema: decay of an average of the weights, updated after each update; then it is the averages that are
    validated, are the best, and stay in the model at the end.

    monitor: the column of the history that is watched (default: "val_loss", "train_loss" without validation); mode says whether
    "min" or "max" is better where the name does not. early_stopping: an EarlyStopping, or its patience. restore_best: put the
    best epoch's weights back at the end (default: with early_stopping). save_best: file to write them to whenever there are
    better ones: the model's state_dict.
    checkpoint: file that is written, whole or not at all, after each epoch (save_every="epoch", as None), or every `save_every`
    updates, or whenever a timedelta has passed, and at the end.
    With resume=True training goes on where the file was written, bit for bit as if it had not been interrupted (data that comes
    as an iterable of batches must give the same ones again; transforms and data sets that draw random numbers must use our
    generators, in this thread); without a file it begins. callbacks: see Callback. progress: False shows nothing, None a bar
    in terminals and notebooks and a line an epoch everywhere, on standard error; True insists on tqdm.
    flush_denormal: whether kernels take subnormal numbers for zeros meanwhile (False: as set_flush_denormal says): the moments and
    gradients of units that no sample reaches decay into them, and processors compute with them up to a hundred times slower.

    The model is put into training mode, and each module's mode back at the end. Ctrl-C takes effect after the update under way:
    the checkpoint is written, if there is one, model and history stay as they are, and KeyboardInterrupt is raised (a second
    Ctrl-C does not wait, and writes nothing).
    Raises FloatingPointError, before the update, for a loss or a norm of gradients that is NaN or infinite, naming the first
    cause that is found; ValueError for arguments out of range, no samples, or a checkpoint of another training; TypeError for
    data of other kinds.
    """
    _check(
        epochs,
        batch_size,
        accumulate,
        clip_grad_norm,
        clip_grad_value,
        schedule_per,
        mode,
        "epoch" if save_every is None else save_every,
    )
    if not isinstance(flush_denormal, bool):
        raise TypeError(f"fit: flush_denormal must be True or False, got {flush_denormal!r}")
    for name, given in (("resume=True", resume), ("save_every", save_every is not None)):
        if given and checkpoint is None:
            raise ValueError(f"fit: {name} needs checkpoint=, the file that holds the training")
    save_every = "epoch" if save_every is None else save_every
    callbacks = _objects(model, generator, callbacks)
    _check_files(checkpoint, save_best)
    if isinstance(early_stopping, EarlyStopping):
        early_stopping.reset()
    elif early_stopping is not None:
        early_stopping = EarlyStopping(early_stopping)
    state = _resume.read(checkpoint) if resume and checkpoint is not None else None
    loss = resolve_loss(loss)
    optimizer = _optimizer(optimizer, model)
    dataset = dataset_of(data, float_dtype(model))
    if dataset is None and batch_size is not None and not isinstance(data, IterableDataset):
        raise ValueError(f"fit: batch_size={batch_size} has no meaning for data that comes in batches already")
    batch_size = 32 if batch_size is None else batch_size

    rates = [{key: group[key] for key in _SCHEDULED if key in group} for group in optimizer.param_groups]
    generators = find_generators(generator, data, transform, loss, *model.modules())
    before = [g.get_state() for g in generators]
    interrupt, ready = Interrupt(), False
    try:
        try:
            interrupt.begin()
            starts = before
            if state is not None and checkpoint is not None:
                starts = _resume.begin(generators, state, checkpoint)
            if isinstance(validation, (int, float, np.integer, np.floating)):
                if isinstance(validation, bool) or dataset is None:
                    raise ValueError(
                        f"fit: validation={validation} needs data with a length and indices to hold a part of it out: give "
                        "(inputs, targets) or a Dataset, or validation data of its own"
                    )
                dataset, validation = split(dataset, validation, generator)
            source = pair("fit", data, dataset, batch_size, shuffle, generator)
            held = None
            if validation is not None:
                own = dataset_of(validation, float_dtype(model))
                held = pair("fit: validation", validation, own, max(256, batch_size))
            run = Run(model, source, loss, optimizer, epochs, held, interrupt)
            run.generators, run.generator_starts = generators, starts
            run.transform, run.accumulate = transform, accumulate
            run.clip_grad_norm, run.clip_grad_value = clip_grad_norm, clip_grad_value
            run.metrics = resolve_metrics(metrics)
            run.schedule_per = "epoch" if isinstance(schedule, ReduceLROnPlateau) else schedule_per
            run.schedule = _schedule(schedule, optimizer, run.total())
            if isinstance(run.schedule, ReduceLROnPlateau):
                run.schedule_per = "epoch"
            if ema is not None:
                run.ema_decay = float(ema)
                run.ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema))
            run.early_stopping = early_stopping
            run.restore_best = early_stopping is not None if restore_best is None else restore_best
            run.save_best, run.checkpoint, run.save_every = save_best, checkpoint, save_every
            run.callbacks = callbacks
            run.history.monitor, run.history.mode = _monitor(monitor, mode, held is not None, run.metrics)
            if held is None and run.metrics and (len(run.metrics) > 1 or not counts_right(run.metrics)):
                raise ValueError(
                    f"fit: the metrics {', '.join(run.metrics or ())} are taken on validation data: give validation=, or call evaluate"
                )
            if state is not None and checkpoint is not None:
                _resume.compare(run, state, checkpoint)
            ready = True
            if state is not None and checkpoint is not None:
                _resume.restore(run, state, checkpoint)
            run.display = None if progress is False else progress_of(progress is True)
            with _kernels.Flushing(flush_denormal):
                run.train()
        finally:
            interrupt.leaving = True  # no call before this: a signal could come in
    finally:
        if not ready:
            set_states(generators, before)
        if not ready or run.schedule is not schedule:
            _put_back(optimizer, rates)
        interrupt.end()
    if interrupt.pending:  # it came after the last update
        raise KeyboardInterrupt
    return run.history


def _put_back(optimizer: optim.Optimizer, rates: list[dict[str, Any]]) -> None:
    for group, own in zip(optimizer.param_groups, rates):
        group.update(own)


def _check(
    epochs: int,
    batch_size: int | None,
    accumulate: int,
    clip_grad_norm: float | None,
    clip_grad_value: float | None,
    schedule_per: str,
    mode: str | None,
    save_every: int | str | timedelta,
) -> None:
    counts = [("epochs", epochs), ("batch_size", 1 if batch_size is None else batch_size), ("accumulate", accumulate)]
    if save_every != "epoch" and not isinstance(save_every, timedelta):
        counts.append(("save_every", save_every))  # type: ignore[arg-type]
    for name, value in counts:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            also = ", a timedelta, or 'epoch'" if name == "save_every" else ""
            raise ValueError(f"fit: {name} must be a whole number >= 1{also}, got {value!r}")
    for name, limit in (("clip_grad_norm", clip_grad_norm), ("clip_grad_value", clip_grad_value)):
        if limit is not None and (not isinstance(limit, (int, float, np.number)) or not 0 < limit < math.inf):
            raise ValueError(f"fit: {name} must be a number > 0, got {limit!r}")
    if schedule_per not in ("step", "epoch"):
        raise ValueError(f"fit: schedule_per must be 'step' or 'epoch', got {schedule_per!r}")
    if mode not in (None, "min", "max"):
        raise ValueError(f"fit: mode must be 'min' or 'max', got {mode!r}")


def _objects(model: Any, generator: Any, callbacks: Any) -> list[Callback]:
    """The callbacks as a list. TypeError, naming the argument, for what is no Module, Generator or Callback."""
    if not isinstance(model, Module):
        raise TypeError(f"fit: model must be a Module, got {type(model).__name__}")
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"fit: generator must be a Generator or None, got {type(generator).__name__}")
    found = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for callback in found:
        if not isinstance(callback, Callback):
            name = f"the class {callback.__name__}" if isinstance(callback, type) else type(callback).__name__
            raise TypeError(f"fit: callbacks must be objects of classes derived from Callback, got {name}")
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"fit: callbacks must be a list, got one {type(callbacks).__name__}: put it in a list")
    return found


def _check_files(checkpoint: str | os.PathLike[str] | None, save_best: str | os.PathLike[str] | None) -> None:
    """What would stop a training at its first writing is said before it begins."""
    paths = {}
    for name, path in (("checkpoint", checkpoint), ("save_best", save_best)):
        if path is None:
            continue
        paths[name] = own = os.path.realpath(os.fspath(path))
        folder = os.path.dirname(own)
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"fit: {name}={os.fspath(path)!r}: there is no folder {folder!r}: make it first")
        if os.path.isdir(own):
            raise IsADirectoryError(f"fit: {name}={os.fspath(path)!r} is a folder: name a file")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"fit: {name}={os.fspath(path)!r}: may not write in the folder {folder!r}")
    if len(paths) == 2 and paths["checkpoint"] == paths["save_best"]:
        raise ValueError(
            f"fit: checkpoint and save_best are one file, {os.fspath(checkpoint or '')!r}: give each its own"
        )


def _optimizer(optimizer: optim.Optimizer | Callable[..., optim.Optimizer] | str, model: Module) -> optim.Optimizer:
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            raise ValueError(
                f"fit: optimizer must be an Optimizer or one of {', '.join(OPTIMIZERS)}, got {optimizer!r}"
            )
        optimizer = OPTIMIZERS[optimizer]
    if not isinstance(optimizer, optim.Optimizer) and not callable(optimizer):
        raise TypeError(f"fit: optimizer must be an Optimizer, its class or its name, got {type(optimizer).__name__}")
    made = optimizer if isinstance(optimizer, optim.Optimizer) else optimizer(model.parameters())
    if not isinstance(made, optim.Optimizer):
        raise TypeError(f"fit: optimizer must be, or make, an Optimizer, got {type(made).__name__}")
    held = {id(p) for group in made.param_groups for p in group["params"]}
    if held.isdisjoint(map(id, model.parameters())):
        raise ValueError("fit: the optimizer holds no parameter of the model: make it of this model's parameters()")
    return made


def _schedule(
    schedule: LRScheduler | Callable[[optim.Optimizer, int], LRScheduler] | str | None,
    optimizer: optim.Optimizer,
    total: int | None,
) -> LRScheduler | None:
    if schedule is None:
        return None
    if isinstance(schedule, LRScheduler):
        if schedule.optimizer is not optimizer:
            raise ValueError("fit: the schedule is of another optimizer: make it of the one that is given")
        return schedule
    if isinstance(schedule, str) and schedule not in SCHEDULES:
        raise ValueError(f"fit: schedule must be a schedule or one of {', '.join(SCHEDULES)}, got {schedule!r}")
    if total is None:
        raise ValueError(
            "fit: how many updates there will be is not known for this data, so no schedule can be made for them: give a "
            "schedule, or schedule_per='epoch'"
        )
    if schedule == "onecycle":
        cycles = any("momentum" in g or "betas" in g for g in optimizer.param_groups)
        cycles = cycles and all(g.get("momentum", 1) for g in optimizer.param_groups)
        peaks = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, max_lr=peaks, total_steps=total, cycle_momentum=cycles)
    if schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=total)
    if schedule == "linear":
        return LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=total)
    if not callable(schedule):
        raise TypeError(f"fit: schedule must be a schedule, a function or a name, got {type(schedule).__name__}")
    made = schedule(optimizer, total)
    if not isinstance(made, LRScheduler):
        raise TypeError(f"fit: schedule must be, or make, a schedule, got {type(made).__name__}")
    return made


def _monitor(
    monitor: str | None, mode: str | None, validated: bool, metrics: dict[str, Metric] | None
) -> tuple[str, str]:
    """The column that is watched, and what is better."""
    if monitor is None:
        monitor = "val_loss" if validated else "train_loss"
    names = ["accuracy"] if metrics is None else list(metrics)  # by default, whether it has a meaning is seen later
    known = ["train_loss", *(["train_accuracy"] if metrics is None or counts_right(metrics) else [])]
    if validated:
        known += ["val_loss", *(f"val_{name}" for name in names)]
    if monitor not in known:
        raise ValueError(f"fit: monitor={monitor!r} is no column of the history: expected {', '.join(known)}")
    better_is = mode or direction(monitor)
    if better_is is None:
        raise ValueError(
            f"fit: whether less or more of {monitor!r} is better is not known: give mode='min' or mode='max'"
        )
    return monitor, better_is
