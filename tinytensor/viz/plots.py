"""Pictures of training runs: learning curves, and images with what a network made of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tinytensor.train.history import History

__all__ = ["plot_digits", "plot_histories"]

_WRONG = "#c0392b"
_COLUMNS, _ROWS = 10, 3  # of each half of the picture of digits


def plot_histories(histories: Mapping[str, History], path: str | os.PathLike[str]) -> None:
    """Draw the learning curves of runs, by name, to a PNG: of one as `History.plot` does, of several in one panel for the loss and one
    for each metric that two of them have; each run in its colour, training dashed and validation solid.

    Raises ValueError for none, or one without an epoch; ImportError without matplotlib, OSError if the file cannot be written.
    """
    empty = [name for name, history in histories.items() if not history.rows]
    if empty or not histories:
        raise ValueError(f"plot_histories: no epoch to draw{f' in {empty[0]}' if empty else ''}")
    if len(histories) == 1:
        next(iter(histories.values())).plot(path)
        return
    columns = [
        name for history in histories.values() for name in history.columns() if name.startswith(("train_", "val_"))
    ]
    panels = [
        "loss",
        *dict.fromkeys(n for c in columns if columns.count(c) > 1 and (n := c.partition("_")[2]) != "loss"),
    ]
    across = min(len(panels), 3)
    down = -(-len(panels) // across)
    entries = len(histories) + 2
    legend = max(
        1, min(5, entries, int(4.8 * across / (0.6 + 0.08 * max(10, *map(len, histories)))))
    )  # columns, as wide as the longest
    figure = _figure(4.8 * across, 3.6 * down + 0.25 * -(-entries // legend))
    from matplotlib import colormaps
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    from tinytensor.train.history import labels

    colors: Any = colormaps["tab10" if len(histories) <= 10 else "tab20"]
    cells = figure.subplots(down, across, squeeze=False).reshape(-1)
    for axes, name in zip(cells, panels):
        title, axis, share = labels(name)
        for number, history in enumerate(histories.values()):
            for column, style in ((f"train_{name}", "--"), (f"val_{name}", "-")):
                points = [(row["epoch"], value) for row in history if (value := row.get(column)) is not None]
                if points:
                    x, y = np.array(points, float).T
                    mark = "o" if len(points) == 1 else ""
                    axes.plot(x, 100 * y if share else y, style + mark, lw=1.4, color=colors(number % colors.N))
        if name == "loss" and all((np.asarray(line.get_ydata()) > 0).all() for line in axes.get_lines()):
            axes.set_yscale("log")
        axes.set(title=title, xlabel="epoch", ylabel=axis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in cells[len(panels) :]:
        axes.set_axis_off()
    handles = [Line2D([], [], color=colors(i % colors.N), label=name) for i, name in enumerate(histories)]
    handles += [
        Line2D([], [], color="#555555", ls=style, label=label)
        for style, label in (("--", "training"), ("-", "validation"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=legend, frameon=False, fontsize=9)
    _write(figure, path)


def plot_digits(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    path: str | os.PathLike[str],
    classes: Sequence[str] = (),
) -> None:
    """Draw the first images with their predictions, and below them the first mistakes, to a PNG at `path`.

    A mistake has a red frame and reads "4, is 9"; `classes` are names to be read instead of numbers. Raises ImportError without matplotlib, OSError if the file
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
            _draw_image(axes, images[index], int(labels[index]), int(predictions[index]), classes)
        for axes in cells[len(chosen) :]:
            axes.set_axis_off()
    _write(figure, path)


def _draw_image(axes: Any, image: NDArray[np.uint8], label: int, prediction: int, classes: Sequence[str]) -> None:
    right = prediction == label
    said, truth = (classes[i] if classes else str(i) for i in (prediction, label))
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.set_title(
        said if right else f"{said},{chr(10) if classes else ' '}is {truth}",
        fontsize=7.5 if classes else 10,
        pad=3,
        color="black" if right else _WRONG,
        fontweight="normal" if right else "bold",
    )
    for spine in axes.spines.values():
        spine.set(color="#bbbbbb" if right else _WRONG, linewidth=0.8 if right else 2.0)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure  # not pyplot: no window system, no global state
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install tinytensor[train]") from None
    return Figure(figsize=(width, height), layout="constrained")


def _write(figure: Any, path: str | os.PathLike[str]) -> None:
    from tinytensor.train.history import write_png

    write_png(path, figure)
