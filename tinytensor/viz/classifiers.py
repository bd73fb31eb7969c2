"""Pictures of classifiers: confusion matrix, worst mistakes, first-layer weights as images, boundaries between classes in the plane."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytensor.nn import Module
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor
from tinytensor.train.sources import float_dtype
from tinytensor.viz.plots import _figure, _write

__all__ = ["plot_boundaries", "plot_confusion", "plot_mistakes", "plot_weights"]

_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")  # Okabe and Ito
_MARKS = "o^sDvP*X"


def plot_confusion(matrix: Any, path: str | os.PathLike[str], classes: Sequence[str] = ()) -> None:
    """Draw a confusion matrix (C, C), true classes in rows (`metrics.confusion_matrix`), to a PNG: counts, coloured by the share of the row.

    Right answers are bold and leave the colours to the mistakes. ValueError for a matrix that is not square or not of
    counts, or another number of classes; ImportError without matplotlib, OSError.
    """
    counts = _array(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"plot_confusion: expected a matrix (C, C), got shape {counts.shape}")
    if not ((counts >= 0) & (counts % 1 == 0)).all():
        raise ValueError(
            "plot_confusion: expected counts, whole numbers >= 0; the colours are shares of the rows already"
        )
    counts = counts.astype(np.int64)
    width = len(counts)
    if classes and len(classes) != width:
        raise ValueError(f"plot_confusion: expected {width} classes for a matrix {counts.shape}, got {len(classes)}")
    names = list(classes) or [str(i) for i in range(width)]
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    wrong = np.where(np.eye(width, dtype=bool), 0, shares)
    longest = max(map(len, names))
    figure = _figure(2.6 + 0.5 * width + 0.07 * longest, 1.8 + 0.46 * width + 0.05 * longest)
    axes = figure.add_subplot()
    top = float(wrong.max()) or 1.0
    image = axes.imshow(wrong, cmap="Blues", vmin=0, vmax=top)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axes.text(
                j, i, str(count), ha="center", va="center", fontsize=8, color="white" if wrong[i, j] > 0.6 * top else "black",
                fontweight="bold" if i == j else "normal",
            )  # fmt: skip
    axes.set(xlabel="predicted", ylabel="true", xticks=range(width), yticks=range(width), yticklabels=names)
    axes.set_xticklabels(names, rotation=45 if classes else 0, ha="right" if classes else "center")
    right = 100 * np.trace(counts) / max(counts.sum(), 1)
    axes.set_title(f"{right:.2f} % of {counts.sum()} right")
    figure.colorbar(image, ax=axes, label="mistakes (% of the true class)", shrink=0.9)
    _write(figure, path)


def plot_mistakes(
    images: Any,
    labels: Any,
    scores: Any,
    path: str | os.PathLike[str],
    classes: Sequence[str] = (),
    count: int = 24,
) -> None:
    """Draw the images (N, H, W) that a classifier is most wrong about to a PNG: the mistakes of the largest cross-entropy, the worst first.

    labels: (N,); scores: (N, C), before softmax; above each stands what was said and with which probability, and the truth with its own.
    ValueError for shapes that do not fit, or no mistakes; ImportError without matplotlib, OSError.
    """
    images, own, raw = _array(images), _array(labels), _array(scores).astype(np.float64)
    if images.ndim != 3 or raw.ndim != 2 or own.shape != raw.shape[:1] or not len(images) == len(own) > 0 or count < 1:
        raise ValueError(
            f"plot_mistakes: expected images (N, H, W), labels (N,), scores (N, C) and count >= 1, got {images.shape}, {own.shape}, "
            f"{raw.shape} and {count}"
        )
    width = raw.shape[1]
    if own.dtype.kind not in "iu" or not ((own >= 0) & (own < width)).all() or (classes and len(classes) != width):
        raise ValueError(
            f"plot_mistakes: expected labels from 0 to {width - 1} and no classes or {width}, for scores {raw.shape}, got labels "
            f"{own.min()} to {own.max()} ({own.dtype}) and {len(classes)} classes"
        )
    chances = np.exp(raw - raw.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    said = raw.argmax(1)
    true = chances[np.arange(len(own)), own]
    wrong = np.flatnonzero(said != own)
    if not len(wrong):
        raise ValueError(f"plot_mistakes: all {len(own)} samples are right: there is no mistake to draw")
    worst = wrong[np.argsort(true[wrong], kind="stable")][:count]
    names = list(classes) or [str(i) for i in range(width)]
    across = min(8, len(worst))
    down = -(-len(worst) // across)
    figure = _figure(max(1.2 * across, 4.4), 0.5 + 1.5 * down)
    figure.suptitle(f"The worst {len(worst)} of {len(wrong)} mistakes", fontsize=12)
    cells = figure.subplots(down, across, squeeze=False).reshape(-1)
    for axes, i in zip(cells, worst):
        axes.imshow(images[i], cmap="gray_r")
        axes.set(xticks=[], yticks=[])
        axes.set_title(
            f"said {names[said[i]]} ({100 * chances[i, said[i]]:.0f} %)\nis {names[own[i]]} ({_percent(true[i])} %)",
            fontsize=7.5,
            pad=3,
        )
    for axes in cells[len(worst) :]:
        axes.set_axis_off()
    _write(figure, path)


def _array(x: Any) -> NDArray[Any]:
    return np.asarray(x.detach().numpy() if isinstance(x, Tensor) else x)


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share >= 1e-4 else "< 0.01"


def plot_weights(weight: Any, shape: tuple[int, int], path: str | os.PathLike[str], count: int = 40) -> None:
    """Draw the first `count` rows of a first layer's weight (units, H * W) as images of `shape` (H, W) to a PNG: a unit's template.

    Each is scaled by its own largest weight; red adds to the unit, blue takes from it, white is zero. ValueError for another shape;
    ImportError without matplotlib, OSError.
    """
    values = _array(weight)
    if values.ndim != 2 or values.shape[1] != shape[0] * shape[1] or not len(values) or count < 1:
        raise ValueError(
            f"plot_weights: expected a weight (units, {shape[0] * shape[1]}) and count >= 1, got {values.shape} and {count}"
        )
    shown = values[:count]
    across = min(10, len(shown))
    down = -(-len(shown) // across)
    figure = _figure(max(0.95 * across, 5.2), 0.4 + 1.1 * down)
    units = str(len(shown)) if len(shown) == len(values) else f"{len(shown)} of {len(values)}"
    figure.suptitle(f"Weights of {units} units (red: +, blue: -, each by its own scale)", fontsize=11)
    cells = figure.subplots(down, across, squeeze=False).reshape(-1)
    for number, (axes, row) in enumerate(zip(cells, shown)):
        bound = float(np.abs(row).max()) or 1.0
        axes.imshow(row.reshape(shape), cmap="RdBu_r", vmin=-bound, vmax=bound)
        axes.set(xticks=[], yticks=[])
        axes.set_title(str(number), fontsize=9, pad=2)
    for axes in cells[len(shown) :]:
        axes.set_axis_off()
    _write(figure, path)


def plot_boundaries(
    models: Mapping[str, Module | Callable[[Tensor], Tensor]],
    inputs: Any,
    labels: Any,
    path: str | os.PathLike[str],
    across: int = 3,
) -> None:
    """Draw what classifiers of points in the plane say everywhere, one panel each under its name, `across` in a row, to a PNG.

    models give scores (N, C) for points (N, 2); Modules are asked in eval mode. inputs (N, 2) and labels (N,) are drawn over it, a mark and
    colour a class (0 to 7), with the share of right ones in the title. ValueError for shapes that do not fit, no points or models, other
    classes, or inputs that are NaN or infinite; ImportError without matplotlib, OSError.
    """
    inputs, labels = _array(inputs), _array(labels)
    if inputs.ndim != 2 or inputs.shape[1] != 2 or labels.shape != inputs.shape[:1] or not (models and inputs.size):
        raise ValueError(
            f"plot_boundaries: expected at least one model and point, inputs (N, 2) and labels (N,), got {len(models)}, {inputs.shape}, {labels.shape}"
        )
    if not np.isfinite(inputs).all():
        raise ValueError("plot_boundaries: inputs have NaN or infinite values: leave those points out")
    if labels.min() < 0 or labels.max() >= len(_COLORS):
        raise ValueError(
            f"plot_boundaries: expected classes from 0 to {len(_COLORS) - 1}, got {labels.min()} to {labels.max()}"
        )
    low, high = inputs.min(0), inputs.max(0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    x, y = (np.linspace(low[i], high[i], 160) for i in (0, 1))
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    across = max(1, min(across, len(models)))
    down = -(-len(models) // across)
    figure = _figure(3.1 * across, 3.0 * down + 0.3)
    from matplotlib.colors import ListedColormap

    colors: Any = ListedColormap(list(_COLORS))
    cells = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).reshape(-1)
    for axes, (name, model) in zip(cells, models.items()):
        said = _ask(model, grid).reshape(len(y), len(x))
        axes.pcolormesh(x, y, said, cmap=colors, vmin=-0.5, vmax=len(_COLORS) - 0.5, alpha=0.35, rasterized=True)
        for kind in range(int(labels.max()) + 1):
            own = inputs[labels == kind]
            axes.plot(own[:, 0], own[:, 1], _MARKS[kind], color=_COLORS[kind], mec="black", mew=0.4, ms=4)
        right = 100 * float((_ask(model, inputs) == labels).mean())
        axes.set_title(f"{name}\n{right:.1f} % right", fontsize=9)
    for axes in cells[len(models) :]:
        axes.set_axis_off()
    figure.supxlabel("first input", fontsize=9)
    figure.supylabel("second input", fontsize=9)
    _write(figure, path)


def _ask(model: Module | Callable[[Tensor], Tensor], points: NDArray[Any]) -> NDArray[np.int64]:
    """The class of the largest score for each point."""
    dtype = float_dtype(model) if isinstance(model, Module) else np.dtype(np.float32)
    modes = [(m, m.training) for m in model.modules()] if isinstance(model, Module) else []
    try:
        for module, _ in modes:
            module.training = False
        with no_grad():
            scores = model(Tensor(points.astype(dtype)))
    finally:
        for module, training in modes:
            module.training = training
    answers: NDArray[np.int64] = scores.detach().numpy().argmax(1)
    return answers
