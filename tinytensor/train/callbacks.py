"""What is called while `fit` trains, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytensor.train.run import Run

__all__ = ["Callback", "EarlyStopping", "better"]


class Callback:
    """Base class of what `fit` calls; each method gets the `Run` and may read all of it, change the model, and `run.stop()`.
    After Ctrl-C or an error, `run.history` and the model are what they were after the last update.

    Order: on_train_begin; for each epoch on_epoch_begin, on_step_end after each update (the schedule has stepped, nothing is
    saved yet), on_epoch_end (validated, the row is in `run.history`, the best is known); on_train_end (the best weights are
    back, if asked for), also where training was stopped but not where an error or Ctrl-C ended it. Several callbacks are called
    in the order they were given in. A checkpoint holds what `state_dict()` returns (tensors, numbers, text, and lists and dicts
    of these), taken between two calls; `fit(..., resume=True)` hands it to `load_state_dict` before on_train_begin.
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first epoch, or before what is left of the training resumed."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before the first batch of an epoch; not again for an epoch that is resumed inside."""

    def on_step_end(self, run: Run) -> None:
        """After an update."""

    def on_epoch_end(self, run: Run) -> None:
        """After an epoch."""

    def on_train_end(self, run: Run) -> None:
        """At the end."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold of it: nothing here."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""


class EarlyStopping:
    """Stop once `patience` epochs in a row have not improved the monitor by more than `min_delta`.

    `fit(..., early_stopping=5)` is EarlyStopping(5). NaN is no improvement. ValueError for patience < 1 or min_delta < 0.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ValueError(f"EarlyStopping: patience must be a whole number >= 1, got {patience!r}")
        if not isinstance(min_delta, (int, float)) or not 0 <= min_delta < math.inf:
            raise ValueError(f"EarlyStopping: min_delta must be a number >= 0, got {min_delta!r}")
        self.patience = patience
        self.min_delta = float(min_delta)
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self.best: float | None = None
        self.waited = 0

    def update(self, value: float, mode: str) -> bool:
        """Take an epoch's value; returns whether it is time to stop. mode: "min" or "max"."""
        if better(value, self.best, mode, self.min_delta):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.best, self.waited = state["best"], int(state["waited"])


def better(value: float, than: float | None, mode: str, by: float = 0.0) -> bool:
    """Whether a value beats the best so far (None: there is none) by more than `by`; NaN never does."""
    if math.isnan(value):
        return False
    if than is None:
        return True
    return value > than + by if mode == "max" else value < than - by
