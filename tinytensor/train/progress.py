"""What a person sees while `fit` trains, on standard error: a bar in terminals and notebooks, and a line an epoch everywhere."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tinytensor.train.callbacks import Callback

if TYPE_CHECKING:
    from tinytensor.train.run import Run

__all__ = ["Bar", "Lines", "epoch_line", "progress_of"]


def progress_of(demanded: bool = False, stream: str = "stderr") -> Lines:
    """tqdm's bar where standard error is a terminal, or the program runs in a notebook; a plain line after each epoch there and
    in pipes. Without tqdm (in a notebook, ipywidgets too) there are lines only; `demanded` makes that an ImportError. stream:
    where lines go, "stderr" or "stdout"."""
    make = _bar_class(demanded)
    return Lines(stream) if make is None else Bar(make, stream)


class Lines(Callback):
    """A plain line an epoch."""

    def __init__(self, stream: str = "stderr") -> None:
        self._stream = stream  # by name: sys.stdout may be another one by the time a line is printed

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=getattr(sys, self._stream), flush=True)

    def on_epoch_end(self, run: Run) -> None:
        """Print the epoch's line."""
        self.say(epoch_line(run.history.rows[-1], run.epochs))

    def on_train_end(self, run: Run) -> None:
        """Say why training ended where it did so early."""
        self.close()
        if run.history.stopped is not None:
            self.say(f"stopped: {run.history.stopped}")

    def close(self) -> None:
        """Take away what is left on the screen, also after an error."""


class Bar(Lines):
    """A bar below the lines, which moves within an epoch."""

    def __init__(self, make: Any, stream: str = "stderr") -> None:
        super().__init__(stream)
        self._make = make
        self._bar: Any = None
        self._loss: float | None = None

    def on_epoch_begin(self, run: Run) -> None:
        """Start the bar anew."""
        self._begin(run)

    def on_step_end(self, run: Run) -> None:
        """Move the bar on; its loss is a running mean."""
        if self._bar is None:  # resumed inside an epoch
            self._begin(run)
            bar: Any = self._bar
            bar.n = run.epoch_samples - run.samples
        self._loss = run.loss if self._loss is None else 0.98 * self._loss + 0.02 * run.loss
        self._bar.set_postfix_str(f"loss {self._loss:.4f}", refresh=False)
        self._bar.update(run.samples)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            super().say(line)
        else:
            self._bar.write(line, file=getattr(sys, self._stream))
            getattr(sys, self._stream).flush()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _begin(self, run: Run) -> None:
        if self._bar is None:
            self._bar = self._make(unit=" samples", unit_scale=True, leave=False, file=sys.stderr, dynamic_ncols=True)
        self._bar.reset(total=run.samples_per_epoch)
        self._bar.set_description_str(f"epoch {run.epoch}/{run.epochs}", refresh=False)


def epoch_line(row: dict[str, Any], epochs: int) -> str:
    """An epoch in one line: "epoch  3/10  loss 0.1234  accuracy 97.12 %  val loss 0.1402  ...  lr 0.001  1.23 s  45,000 samples/s"."""
    parts = [f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}"]
    for column, value in row.items():
        kind, _, name = column.partition("_")
        if kind in ("train", "val") and value is not None:
            text = f"{100 * value:.2f} %" if name in ("accuracy",) or name.startswith("top_") else f"{value:.4f}"
            parts.append(f"{'val ' if kind == 'val' else ''}{name.replace('_', ' ')} {text}")
    parts += [f"lr {row['lr']:.3g}", f"{row['seconds']:.2f} s", f"{row['samples_per_second']:,.0f} samples/s"]
    return "  ".join(parts)


def _bar_class(demanded: bool) -> Any:
    terminal = sys.stderr is not None and sys.stderr.isatty()
    notebook = not terminal and _in_notebook()
    if find_spec("tqdm") is None:
        if demanded:
            raise ImportError("fit: progress=True needs tqdm: pip install 'tinytensor[train]'")
        return None
    if terminal:
        from tqdm import tqdm

        return tqdm
    if notebook and find_spec("ipywidgets") is not None:
        from tqdm.auto import tqdm as notebook_bar

        return notebook_bar
    return None


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config
