"""The loop of a training: updates, epochs, what is kept of them, and where it may be interrupted."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

import numpy as np

from tinytensor import metrics as measures
from tinytensor import optim
from tinytensor.interrupt import Interrupt
from tinytensor.nn import Module
from tinytensor.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm
from tinytensor.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from tinytensor.optim.swa_utils import AveragedModel
from tinytensor.random import Generator, default_generator
from tinytensor.serialize import save
from tinytensor.tensor import Tensor
from tinytensor.train import failure, resume
from tinytensor.train.callbacks import Callback, EarlyStopping, better
from tinytensor.train.evaluation import Loss, Metric, Scores, classes, counts_right, scalar, score
from tinytensor.train.history import History
from tinytensor.train.progress import Lines
from tinytensor.train.sources import Source, set_states, unpack

__all__ = ["Run"]


class Run:
    """A training under way, as callbacks see it: what `fit` was given, under its names, and where it is.

    `epoch`: the one under way, from 1. `step`: updates so far. `loss`: of the last update, `samples`: how many it saw. `lr`: of
    the first parameter group now. `history`: rows of the epochs that are over. `scores`: the last validation's, with its outputs.
    `samples_per_epoch`, `steps_per_epoch`: None where they are not known. `stop(reason)` ends training after what is under way.
    """

    def __init__(
        self,
        model: Module,
        source: Source,
        loss_function: Loss,
        optimizer: optim.Optimizer,
        epochs: int,
        validation: Source | None,
        interrupt: Interrupt,
    ) -> None:
        self.model = model
        self.source = source
        self.loss_function = loss_function
        self.optimizer = optimizer
        self.epochs = epochs
        self.validation = validation
        self.transform: Callable[[Tensor], Tensor] | None = None
        self.metrics: dict[str, Metric] | None = None
        self.schedule: LRScheduler | None = None
        self.schedule_per = "step"
        self.clip_grad_norm: float | None = None
        self.clip_grad_value: float | None = None
        self.accumulate = 1
        self.ema: AveragedModel | None = None
        self.ema_decay: float | None = None
        self.early_stopping: EarlyStopping | None = None
        self.restore_best = False
        self.save_best: str | os.PathLike[str] | None = None
        self.checkpoint: str | os.PathLike[str] | None = None
        self.save_every: int | str | timedelta = "epoch"
        self.callbacks: list[Callback] = []
        self.display: Lines | None = None
        self.generators: list[Generator] = []
        self.generator_starts: list[dict[str, int]] = []  # before the validation part was drawn
        self.generator_epochs: list[dict[str, int]] = []  # before the epoch under way
        self._resumed = False  # inside an epoch

        self.epoch = self.step = self.samples = 0
        self.loss = math.nan
        self.history = History()
        self.scores: Scores | None = None
        self._inside = False  # an epoch
        self._done = False
        self._best: dict[str, Any] = {"value": None, "weights": None, "confusion": None}
        self._last_confusion: Any = None
        # of the epoch under way
        self._total, self._count, self._right = 0.0, 0, 0
        self._seconds, self._lr = 0.0, math.nan
        self._clock: float | None = None
        self._counts: bool | None = None  # whether right answers are counted; None: the first batch will say
        self._interrupt = interrupt
        self._saved = time.perf_counter()  # the checkpoint

    # --- for callbacks ----------------------------------------------------------------------------
    @property
    def lr(self) -> float:
        """The learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def epoch_samples(self) -> int:
        """Training samples that the epoch has seen so far."""
        return self._count

    @property
    def samples_per_epoch(self) -> int | None:
        """Training samples, where they are known."""
        return self.source.samples

    @property
    def steps_per_epoch(self) -> int | None:
        """Updates an epoch, where they are known."""
        return None if self.source.size is None else -(-self.source.size // self.accumulate)

    def judged(self) -> Module:
        """The model that is validated and kept: the averages, where there are any."""
        return self.model if self.ema is None else self.ema.module

    def stop(self, reason: str = "a callback stopped it") -> None:
        """End training: the epoch under way ends here, is validated and recorded, and is the last."""
        self.history.stopped = reason

    def total(self) -> int | None:
        """How often the schedule steps in the whole training, where that is known."""
        if self.schedule_per == "epoch":
            return self.epochs
        return None if self.steps_per_epoch is None else self.epochs * self.steps_per_epoch

    # --- the loop ---------------------------------------------------------------------------------
    def train(self) -> None:
        """Train until the end, from wherever it is."""
        shown = [] if self.display is None else [self.display]
        everyone = [*self.callbacks, *shown]
        loss_modules = list(self.loss_function.modules()) if isinstance(self.loss_function, Module) else []
        modes = [(module, module.training) for module in [*self.model.modules(), *loss_modules]]
        after_step = [c.on_step_end for c in everyone if _overrides(c, "on_step_end")]
        try:
            try:
                for module, _ in modes:
                    module.training = True
                for callback in everyone:
                    callback.on_train_begin(self)
                while not self._done and (self._inside or self.history.stopped is None):
                    if not self._inside:
                        self._begin_epoch(everyone)
                    if self.history.stopped is not None and not self._count:
                        break  # before its first batch: there is nothing to record
                    self._steps(after_step)
                    self._end_epoch(everyone)
                self._keep_weights()
                for callback in everyone:
                    callback.on_train_end(self)
            finally:
                self._interrupt.leaving = True  # no call before this: a signal could come in
        finally:
            for module, training in modes:
                module.training = training
            if self.display is not None:
                self.display.close()

    def _begin_epoch(self, callbacks: list[Callback]) -> None:
        self.epoch += 1
        self._total, self._count, self._right, self._seconds = 0.0, 0, 0, 0.0
        self.source.next_epoch()
        self.generator_epochs = [g.get_state() for g in self.generators]
        for callback in callbacks:
            callback.on_epoch_begin(self)
        self._inside = True

    def _steps(self, after_step: Sequence[Callable[[Run], None]]) -> None:
        batches = self._batches()
        schedule = self.schedule if self.schedule_per == "step" else None
        self._clock = time.perf_counter()
        try:
            while self.history.stopped is None:
                group = list(islice(batches, self.accumulate))
                if not group:
                    break
                self._lr = self.optimizer.param_groups[0]["lr"]
                self._update(group)
                if schedule is not None:
                    schedule.step()
                self.step += 1
                for call in after_step:
                    call(self)
                if self.checkpoint is not None and self._due():
                    self._save()
                if self._interrupt.pending:
                    self._check_interrupt()
        finally:
            self._seconds += time.perf_counter() - self._clock
            self._clock = None
            batches.close()  # type: ignore[attr-defined]  # a generator

    def _batches(self) -> Iterator[Any]:
        if not self._resumed:
            return self.source.epoch()
        self._resumed = False
        # An iterable that draws an order when it begins must draw the epoch's again.
        now = [g.get_state() for g in self.generators]
        set_states(self.generators, self.generator_epochs)
        try:
            return self.source.epoch()
        finally:
            set_states(self.generators, now)

    def _update(self, group: list[Any]) -> None:
        parts = [unpack(batch, "fit") for batch in group]
        if self.transform is not None:
            parts = [((self.transform(inputs[0]), *inputs[1:]), targets, size) for inputs, targets, size in parts]
        self.samples = parts[0][2] if len(parts) == 1 else sum(size for _, _, size in parts)
        if isinstance(self.optimizer, optim.LBFGS):
            first = True

            def closure() -> float:
                nonlocal first
                counted, first = first, False
                return self._backward(parts, counted)

            self.loss = float(self.optimizer.step(closure))
        else:
            self.loss = self._backward(parts, True)
            self.optimizer.step()
        if self.ema is not None:
            self.ema.update_parameters(self.model)

    def _backward(self, parts: list[tuple[tuple[Any, ...], Any, int]], counted: bool) -> float:
        """Gradients of the mean loss over the parts, clipped; returns that loss. `counted`: it is the epoch's, and must be finite."""
        self.optimizer.zero_grad()
        mean = 0.0
        for inputs, targets, size in parts:
            offset = default_generator.offset
            outputs = self.model(*inputs)
            loss = self.loss_function(outputs, targets)
            try:
                value = loss.item()
            except (AttributeError, RuntimeError, TypeError, ValueError):
                scalar(loss)
                raise
            if counted and not math.isfinite(value):
                raise self._failed(f"the loss is {value}", self._cause(inputs, targets, offset))
            (loss if size == self.samples else loss * (size / self.samples)).backward()
            mean += value * (size / self.samples)
            if counted:
                self._total += value * size
                self._count += size
                if self._counts is not False:
                    self._tally(outputs, targets)
        if self.clip_grad_norm is not None or self.clip_grad_value is not None:
            self._clip()
        return mean

    def _clip(self) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        if self.clip_grad_norm is not None:
            total = get_total_norm(p.grad for p in parameters if p.grad is not None)
            if not math.isfinite(norm := total.item()):
                cause = failure.bad_gradients(self.model.named_parameters(), norm)
                raise self._failed(f"the norm of the gradients is {norm}", cause)
            clip_grads_with_norm_(parameters, self.clip_grad_norm, total)
        if self.clip_grad_value is not None:
            clip_grad_value_(parameters, self.clip_grad_value)

    def _cause(self, inputs: tuple[Any, ...], targets: Any, offset: int) -> str:
        def again() -> Tensor:
            default_generator.offset = offset  # the same dropout
            return self.loss_function(self.model(*inputs), targets)

        return failure.bad_loss(self.model, again, inputs, targets)

    def _failed(self, what: str, cause: str) -> FloatingPointError:
        return FloatingPointError(
            f"fit: {what} at step {self.step + 1}, in epoch {self.epoch}, with learning rate {self._lr:g}: {cause}"
        )

    def _tally(self, outputs: Any, targets: Any) -> None:
        """Count the right answers of a batch; the first one says whether there are such."""
        if self._counts is None:
            self._counts = classes(outputs, targets) if self.metrics is None else counts_right(self.metrics)
            if self._counts and self.metrics is not None:
                measures.accuracy(outputs, targets)  # says what is wrong where accuracy has no meaning
        if self._counts:
            scores = outputs._data
            guessed = scores.argmax(1) if scores.ndim == 2 else scores
            self._right += int(np.count_nonzero(guessed == targets._data))

    # --- the end of an epoch ----------------------------------------------------------------------
    def _end_epoch(self, callbacks: list[Callback]) -> None:
        if not self._count:
            raise ValueError(
                f"fit: the data gave no batches in epoch {self.epoch}: an iterator can be gone through only once: give a list, a "
                "Dataset, or a function that makes the iterator"
            )
        if cause := failure.bad_parameters(self.model):  # else the last update's would go unseen
            raise FloatingPointError(f"fit: after step {self.step}, the last of epoch {self.epoch}: {cause}")
        started = time.perf_counter()
        row: dict[str, float | int | None] = {"epoch": self.epoch, "step": self.step, "lr": self._lr}
        row["train_loss"] = self._total / self._count
        if self._counts:
            row["train_accuracy"] = self._right / self._count
        if self.validation is not None:
            self.scores = score(self.judged(), self.validation, self.loss_function, self.metrics, self._check_interrupt)
            row.update({f"val_{name}": value for name, value in self.scores.items()})
            self._last_confusion = self._confusion(self.scores)
        row["seconds"] = self._seconds + time.perf_counter() - started
        row["samples_per_second"] = self._count / max(self._seconds, 1e-9)
        history = self.history
        value = row.get(history.monitor)
        if value is None:
            known = [name for name in row if name.startswith(("train_", "val_"))]
            raise ValueError(
                f"fit: monitor={history.monitor!r} is no column of the history: expected {', '.join(known)}"
            )
        history.rows.append(row)
        if better(value, self._best["value"], history.mode):
            history.best_epoch = self.epoch
            self._best["value"], self._best["confusion"] = value, self._last_confusion
            if self.restore_best:
                self._best["weights"] = {name: t.numpy().copy("K") for name, t in self.judged().state_dict().items()}
            if self.save_best is not None:
                save(self.judged().state_dict(), self.save_best)
        if (
            self.early_stopping is not None
            and self.early_stopping.update(value, history.mode)
            and history.stopped is None
        ):
            history.stopped = f"{history.monitor} has not improved for {self.early_stopping.waited} epochs (best: epoch {history.best_epoch})"
        if self.schedule is not None and self.schedule_per == "epoch":
            if isinstance(self.schedule, ReduceLROnPlateau):
                self.schedule.step(value)
            else:
                self.schedule.step()
        self._inside = False
        for callback in callbacks:
            callback.on_epoch_end(self)
        self._done = self.epoch >= self.epochs or history.stopped is not None
        if self.checkpoint is not None and (self._done or self.save_every == "epoch"):
            self._save()
        if not self._done:
            self._check_interrupt()

    def _check_interrupt(self) -> None:
        if not self._interrupt.pending:
            return
        self._interrupt.pending = False
        written = ""
        if self.checkpoint is not None:
            self._save()
            written = f"; resume=True goes on from {os.fspath(self.checkpoint)}"
        raise KeyboardInterrupt(
            f"fit: interrupted after step {self.step}, in epoch {self.epoch} of {self.epochs}{written}"
        )

    def _confusion(self, scores: Scores) -> Any:
        if not scores.classifies() or scores.outputs is None or scores.targets is None:
            return None
        target = scores.targets.numpy()
        outside = np.count_nonzero((target < 0) | (target >= scores.outputs.shape[1]))
        return None if outside else scores.confusion_matrix()

    def _keep_weights(self) -> None:
        weights = self._best["weights"] if self.restore_best else None
        self.history.confusion_matrix = self._last_confusion if weights is None else self._best["confusion"]
        if weights is not None:
            self.model.load_state_dict(weights)
        elif self.ema is not None:
            self.model.load_state_dict(self.ema.module.state_dict())

    # --- the checkpoint ---------------------------------------------------------------------------
    def _due(self) -> bool:
        """Whether the checkpoint is to be written after an update."""
        if isinstance(self.save_every, timedelta):
            return time.perf_counter() - self._saved >= self.save_every.total_seconds()
        return isinstance(self.save_every, int) and self.step % self.save_every == 0

    def _save(self) -> None:
        assert self.checkpoint is not None
        save(resume.capture(self), self.checkpoint)
        self._saved = time.perf_counter()

    def progress_state(self) -> dict[str, Any]:
        """Where the training is, for a checkpoint."""
        running = 0.0 if self._clock is None else time.perf_counter() - self._clock
        return {
            "epoch": self.epoch,
            "step": self.step,
            "inside": self._inside,
            "done": self._done,
            "rows": self.history.rows,
            "best_epoch": self.history.best_epoch,
            "stopped": self.history.stopped,
            "best": self._best,
            "confusion": self._last_confusion,
            "total": self._total,
            "count": self._count,
            "right": self._right,
            "counts": self._counts,
            "lr": self._lr,
            "seconds": self._seconds + running,
        }

    def restore_progress(self, state: Mapping[str, Any]) -> None:
        """Take over what `progress_state` returned."""
        self.epoch, self.step = state["epoch"], state["step"]
        self._inside, self._done = state["inside"], state["done"]
        self.history.rows, self.history.best_epoch = state["rows"], state["best_epoch"]
        self.history.stopped = state["stopped"]
        self._best, self._last_confusion = state["best"], state["confusion"]
        self._total, self._count, self._right = state["total"], state["count"], state["right"]
        self._counts, self._lr, self._seconds = state["counts"], state["lr"], state["seconds"]
        self._resumed = self._inside


def _overrides(callback: Callback, name: str) -> bool:
    return getattr(getattr(callback, name), "__func__", None) is not getattr(Callback, name)
