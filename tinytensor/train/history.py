"""The record of a training: a row an epoch, as a table in a CSV file and as curves in a picture."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from tinytensor.serialize import write_atomically
from tinytensor.serialize.files import open_regular

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["History", "labels", "write_png"]

Value = float | int | None
_TRAIN, _VALIDATION, _TEST, _BEST = "#1b6ca8", "#d98324", "#c0392b", "#5b6770"
_NAMES = {"mse": "MSE", "mae": "MAE", "r2": "R²", "f1": "F1"}
_SHARES = ("accuracy", "precision", "recall", "f1")


class History:
    """What `fit` returns. `rows` holds a dict an epoch: "epoch" (from 1), "step" (updates so far), "lr" (of the last update, first
    parameter group), "train_loss", "train_accuracy", "val_loss", "val_" and the name of each metric (where there are any),
    "seconds" (the epoch's, validation too), "samples_per_second" (of training alone).

    `monitor` and `mode` ("min", "max") say what the best epoch, `best_epoch`, is the best by; None before there is one.
    `stopped` is why training ended early, or None. `confusion_matrix` is that of the validation data for the weights the model
    was left with (int64, true classes in rows), None without validation or classes. `history["val_loss"]` is a column as a list.
    """

    def __init__(
        self, rows: list[dict[str, Value]] | None = None, monitor: str = "train_loss", mode: str = "min"
    ) -> None:
        self.rows: list[dict[str, Value]] = [] if rows is None else rows
        self.monitor = monitor
        self.mode = mode
        self.best_epoch: int | None = None
        self.stopped: str | None = None
        self.confusion_matrix: npt.NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Value]]:
        return iter(self.rows)

    def __getitem__(self, column: str) -> list[Any]:
        """A column, None where a row lacks it. KeyError, naming what there is, for one that no row has."""
        if column not in self.columns():
            raise KeyError(f"no column {column!r} in the history: it has {', '.join(self.columns())}")
        return [row.get(column) for row in self.rows]

    def columns(self) -> list[str]:
        """The names of all columns, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def best(self) -> dict[str, Value] | None:
        """The row of the best epoch."""
        return next((row for row in self.rows if row["epoch"] == self.best_epoch), None)

    def __repr__(self) -> str:
        last = ", ".join(f"{k}={v:.6g}" for k, v in (self.rows[-1] if self.rows else {}).items() if v is not None)
        return f"History({len(self.rows)} epochs{': ' + last if last else ''})"

    # --- files ------------------------------------------------------------------------------------
    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows to a CSV file with a header, whole or not at all; every number reads back as it was."""
        import csv

        text = io.StringIO()
        table = csv.DictWriter(text, self.columns(), lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_atomically(path, text.getvalue().encode())

    @classmethod
    def load_csv(cls, path: str | os.PathLike[str]) -> History:
        """Read what `save_csv` wrote. ValueError, naming the line, for what is no number or a row of another length; OSError, also
        for a pipe or a device."""
        import csv

        name, rows = os.fspath(path), []
        with open_regular(path) as raw, io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="") as file:
            lines = csv.reader(file)
            try:
                header = next(lines, [])
                if "epoch" not in header:
                    raise ValueError("not a history: line 1 names no column 'epoch'")
                for line in lines:
                    row = {column: _number(text) for column, text in zip(header, line, strict=True)}
                    if not isinstance(row["epoch"], int):
                        raise ValueError(f"expected a whole number for the epoch, got {row['epoch']}")
                    rows.append(row)
            except (ValueError, csv.Error) as error:  # csv.Error: of a field without end
                raise ValueError(f"{name}: line {lines.line_num or 1}: {error!s:.300}") from None
        return cls(rows)

    def plot(
        self,
        path: str | os.PathLike[str],
        *,
        step_losses: Sequence[float] = (),
        test: Mapping[str, float] | None = None,
    ) -> None:
        """Draw the learning curves to a PNG: a panel for the loss and one for each metric, training and validation, the best
        epoch marked. step_losses: the loss of each update in turn, drawn as a running mean behind. test: scores by name, marked at the
        end. ValueError for an empty history or another ending than .png, ImportError without matplotlib, OSError."""
        if not self.rows:
            raise ValueError("History.plot: there is no epoch to draw")
        try:
            from matplotlib.figure import Figure  # not pyplot: no window system, no global state
            from matplotlib.ticker import MaxNLocator
        except ImportError:
            raise ImportError("History.plot needs matplotlib: pip install 'tinytensor[train]'") from None
        names = self._panels()
        across = min(len(names), 3)
        down = -(-len(names) // across)
        figure = Figure(figsize=(4.6 * across, 3.5 * down), layout="constrained")
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.12, h_pad=0.08)
        panels = figure.subplots(down, across, squeeze=False).reshape(-1)
        epochs = self["epoch"]
        best = self.best() if self.monitor.startswith("val_") else None  # of the training loss the best is the last
        for axes, name in zip(panels, names):
            title, axis, percent = labels(name)
            if name == "loss" and len(step_losses):
                each = len(step_losses) / len(self.rows)
                x = epochs[0] - 1 + np.arange(1, len(step_losses) + 1) / each
                smooth = _running_mean(np.asarray(step_losses, float), max(1, round(each / 20)))
                axes.plot(x, smooth, color=_TRAIN, alpha=0.35, lw=1, label="training, running mean")
            if best is not None:
                axes.axvline(best["epoch"], color=_BEST, lw=1, ls=":", zorder=1)
            for column, label, color, mark in (
                (f"train_{name}", "training", _TRAIN, "o"),
                (f"val_{name}", "validation", _VALIDATION, "s"),
            ):
                points = [(row["epoch"], value) for row in self.rows if _drawable(value := row.get(column))]
                if points:
                    x, y = zip(*points)
                    values = [100 * v if percent else v for v in y]
                    size = 4 if len(points) <= 40 else 0
                    axes.plot(x, values, f"{mark}-", ms=size, lw=1.4, color=color, label=label)
                if best is not None and column == self.monitor and _drawable(value := best.get(column)):
                    shown = f"{100 * value:.2f} %" if percent else f"{value:.4g}"
                    axes.plot(
                        best["epoch"],
                        100 * value if percent else value,
                        "*",
                        ms=13,
                        color=color,
                        mec="white",
                        label=f"best: epoch {best['epoch']}, {shown}",
                    )
            if test is not None and _drawable(value := test.get(name)):
                shown = f"{100 * value:.2f} %" if percent else f"{value:.4g}"
                axes.plot(
                    epochs[-1],
                    100 * value if percent else value,
                    "*",
                    ms=13,
                    color=_TEST,
                    mec="white",
                    label=f"test, {shown}",
                )
            if name == "loss":
                values = [row[c] for row in self.rows for c in ("train_loss", "val_loss") if _drawable(row.get(c))]
                values += [v for v in step_losses if _drawable(v)]
                if values and min(values) > 0 and max(values) > 20 * min(values):
                    axes.set_yscale("log")
            axes.set(title=title, xlabel="epoch", ylabel=axis)
            start = 1 if name == "loss" and len(step_losses) else 0.5
            axes.set_xlim(epochs[0] - start, epochs[-1] + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(frameon=False, fontsize=9)
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        write_png(path, figure)

    def _panels(self) -> list[str]:
        found = [c.partition("_")[2] for c in self.columns() if c.startswith(("train_", "val_"))]
        return list(dict.fromkeys(["loss", *found]))


def write_png(path: str | os.PathLike[str], picture: Any) -> None:
    """Write a matplotlib figure, or the bytes of a PNG, whole or not at all. ValueError for another ending than .png, OSError."""
    if os.path.splitext(os.fsdecode(path))[1].lower() != ".png":
        raise ValueError(f"pictures of matplotlib are PNG files: {os.fsdecode(path)!r} should end in .png")
    if not isinstance(picture, bytes):
        made = io.BytesIO()
        picture.savefig(made, format="png", dpi=110)
        picture = made.getvalue()
    write_atomically(path, picture)


def _number(text: str) -> Value:
    if text == "":
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def _running_mean(values: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """The mean of the last `width` values at each place, of fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    mean: npt.NDArray[Any] = (sums[ends] - sums[starts]) / (ends - starts)
    return mean


def _drawable(value: Any) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def labels(name: str) -> tuple[str, str, bool]:
    """How a column is called in a picture: a panel's title, its axis, and whether it is a share, drawn in percent."""
    title = name.replace("_", "-") + " accuracy" if name.startswith("top_") else _NAMES.get(name, name)
    title = title[:1].upper() + title[1:]
    share = name in _SHARES or name.startswith("top_")
    return title, f"{title if name in _NAMES else title.lower()}{' (%)' if share else ''}", share
