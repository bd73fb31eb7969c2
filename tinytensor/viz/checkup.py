"""Diagnose: the health of a network, looked at while `fit` trains it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinytensor.train.callbacks import Callback
from tinytensor.viz.health import Diagnosis, Finding, diagnose

if TYPE_CHECKING:
    from tinytensor.train.run import Run

__all__ = ["Diagnose"]


class Diagnose(Callback):
    """`diagnose` the model before training, after every `every` epochs and at the end, on the same batch: `fit(..., callbacks=[Diagnose(batch)])`.

    `diagnoses` holds (epoch, Diagnosis) in order, epoch 0 before training. report: gets (epoch, finding) the first time that a finding is made
    in a layer; by default a line on standard error. batch (of the training data), data: as for `diagnose`, which sees the run's history too;
    overfitting is no finding where `fit` is to stop early. Training goes as it would without it, bit for bit. ValueError for every < 1.
    """

    def __init__(
        self, batch: Any, every: int = 1, *, data: Any = None, report: Callable[[int, Finding], object] | None = None
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"Diagnose: every must be a whole number of epochs >= 1, got {every!r}")
        self.batch, self.every, self.data = batch, every, data
        self.report = _print if report is None else report
        self.diagnoses: list[tuple[int, Diagnosis]] = []

    def on_train_begin(self, run: Run) -> None:
        """Begin anew, with the network as it is."""
        self.diagnoses = []
        self._look(run)

    def on_epoch_end(self, run: Run) -> None:
        """Every `every` epochs."""
        if run.epoch % self.every == 0:
            self._look(run)

    def on_train_end(self, run: Run) -> None:
        """Once more, where the last epoch was not looked at."""
        if self.diagnoses[-1][0] != run.epoch:
            self._look(run)

    def _look(self, run: Run) -> None:
        known = {(f.name, f.layer) for _, d in self.diagnoses for f in d.findings}
        made = diagnose(run.model, self.batch, run.loss_function, run.optimizer, data=self.data, history=run.history)
        if run.early_stopping is not None:  # the remedy is on its way
            made.findings = [finding for finding in made.findings if finding.name != "overfitting"]
        self.diagnoses.append((run.epoch, made))
        for finding in made.findings:
            if (finding.name, finding.layer) not in known:
                self.report(run.epoch, finding)


def _print(epoch: int, finding: Finding) -> None:
    print(f"epoch {epoch}: {finding}", file=sys.stderr)
