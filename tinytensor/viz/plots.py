"""The two pictures of a training run: its curves, and images with what the network made of them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinytensor.serialize import write_atomically

if TYPE_CHECKING:
    from tinytensor.train import EpochRecord

__all__ = ["plot_curves", "plot_digits"]

_RIGHT, _WRONG, _HELD = "#1b6ca8", "#c0392b", "#d98324"
_COLUMNS, _ROWS = 10, 3  # of each half of the picture of digits


def plot_curves(
    history: Sequence[EpochRecord],
    step_losses: Sequence[float],
    path: str | os.PathLike[str],
    test_accuracy: float | None = None,
) -> None:
    """Draw loss (each step and each epoch) and accuracy (each epoch, and the test's at the end) to a PNG at
    `path`.

    Raises ImportError without matplotlib, OSError if the file cannot be written.
    """
    figure = _figure(9.0, 3.6)
    from matplotlib.ticker import LogLocator, NullLocator

    losses, accuracies = figure.subplots(1, 2)
    epochs = np.array([record.epoch for record in history])
    steps = np.asarray(step_losses, dtype=float)
    each = len(steps) / len(epochs)

    smooth = _running_mean(steps, max(1, round(each / 20)))
    losses.plot(
        np.arange(1, len(steps) + 1) / each,
        smooth,
        color=_RIGHT,
        alpha=0.45,
        lw=1,
        label="train, running mean",
    )
    losses.plot(epochs, [record.train_loss for record in history], "o-", color=_RIGHT, label="train, epoch mean")
    losses.set(title="Loss", xlabel="epoch", ylabel="cross-entropy (nats)", yscale="log")
    losses.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    losses.yaxis.set_major_formatter("{x:g}")
    losses.yaxis.set_minor_locator(NullLocator())

    accuracies.plot(epochs, [100 * record.train_accuracy for record in history], "o-", color=_RIGHT, label="train")
    held = [record for record in history if record.holdout_loss is not None and record.holdout_accuracy is not None]
    if held:
        held_epochs = [record.epoch for record in held]
        losses.plot(held_epochs, [record.holdout_loss for record in held], "s-", color=_HELD, label="holdout")
        shown = [100 * (record.holdout_accuracy or 0.0) for record in held]
        accuracies.plot(held_epochs, shown, "s-", color=_HELD, label="holdout")
    if test_accuracy is not None:
        accuracies.plot(
            epochs[-1],
            100 * test_accuracy,
            "*",
            ms=14,
            color=_WRONG,
            label=f"test, {100 * test_accuracy:.2f} %",
        )
    accuracies.set(title="Accuracy", xlabel="epoch", ylabel="right answers (%)")

    for axes in (losses, accuracies):
        axes.set_xlim(0, epochs[-1] * 1.04)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    _write(figure, path)


def plot_digits(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    path: str | os.PathLike[str],
) -> None:
    """Draw the first images with their predictions, and below them the first mistakes, to a PNG at `path`.

    A mistake has a red frame and reads "4, is 9". Raises ImportError without matplotlib, OSError if the file
    cannot be written.
    """
    half = _COLUMNS * _ROWS
    mistakes = np.flatnonzero(predictions != labels)
    parts = [
        (f"The first {min(half, len(labels))} of {len(labels)} test images", np.arange(len(labels))[:half]),
        (f"The first {min(half, len(mistakes))} of {len(mistakes)} mistakes", mistakes[:half]),
    ]
    parts = [(title, chosen) for title, chosen in parts if len(chosen)]
    rows = [-(-len(chosen) // _COLUMNS) for _, chosen in parts]
    figure = _figure(9.6, 0.3 + sum(0.5 + 1.16 * count for count in rows))
    accuracy = 100 * float((predictions == labels).mean())
    figure.suptitle(f"Predictions, {accuracy:.2f} % right; mistakes in red, with the right answer", fontsize=13)
    halves = figure.subfigures(len(parts), 1, height_ratios=rows, squeeze=False)[:, 0]
    for part, (title, chosen), count in zip(halves, parts, rows, strict=True):
        part.suptitle(title, fontsize=11)
        cells = part.subplots(count, _COLUMNS, squeeze=False).reshape(-1)
        for axes, index in zip(cells, chosen, strict=False):
            _draw_image(axes, images[index], int(labels[index]), int(predictions[index]))
        for axes in cells[len(chosen) :]:
            axes.set_axis_off()
    _write(figure, path)


def _draw_image(axes: Any, image: NDArray[np.uint8], label: int, prediction: int) -> None:
    right = prediction == label
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.set_title(
        f"{prediction}" if right else f"{prediction}, is {label}",
        fontsize=10,
        pad=3,
        color="black" if right else _WRONG,
        fontweight="normal" if right else "bold",
    )
    for spine in axes.spines.values():
        spine.set(color="#bbbbbb" if right else _WRONG, linewidth=0.8 if right else 2.0)


def _running_mean(values: NDArray[Any], width: int) -> NDArray[Any]:
    """The mean of the last `width` values at each place, of fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    mean: NDArray[Any] = (sums[ends] - sums[starts]) / (ends - starts)
    return mean


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure  # not pyplot: no window system, no global state
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install tinytensor[train]") from None
    return Figure(figsize=(width, height), layout="constrained")


def _write(figure: Any, path: str | os.PathLike[str]) -> None:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    write_atomically(path, png.getvalue())
