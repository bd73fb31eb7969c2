"""The figure of a diagnosis: activations, lost units, gradients and updates, layer by layer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.viz.plots import _figure, _write

if TYPE_CHECKING:
    from tinytensor.viz.health import Diagnosis
    from tinytensor.viz.observed import LayerHealth

__all__ = ["plot_diagnosis"]

_BLUE, _ORANGE, _GRAY = "#0072b2", "#d55e00", "#555555"  # of Okabe and Ito's palette, told apart by the colour-blind

_FAR = 20.0


def plot_diagnosis(diagnosis: Diagnosis, path: str | os.PathLike[str]) -> None:
    """Draw a diagnosis to a PNG. A column each: histograms of the outputs, lost units, gradient over weight, update over weight (with the
    healthy 1e-3 and the bound 0.1 as lines); a row a layer; the findings' names in the title. ImportError without matplotlib, OSError."""
    layers = diagnosis.layers
    figure = _figure(11, 1.7 + 0.42 * max(len(layers), 3))
    names = diagnosis.names
    figure.suptitle("Findings: " + ", ".join(names) if names else "No findings", color=_ORANGE if names else "black")
    shape, lost, gradient, update = figure.subplots(1, 4, sharey=True, width_ratios=[1.3, 1, 1, 1])
    rows = np.arange(len(layers))
    for row, layer in zip(rows, layers):
        counts = np.array(layer.histogram, float)
        edges = np.linspace(layer.minimum, max(layer.maximum, layer.minimum + 1e-9), len(counts) + 1)
        if np.isfinite(edges).all() and counts.any():
            # drawn upwards from the row's line, each with its own height
            shape.stairs(row + 0.4 - 0.8 * counts / counts.max(), edges, baseline=row + 0.4, fill=True, color=_BLUE)
    shape.axvline(0, color=_GRAY, lw=0.8, ls=":")
    shape.set(title="Outputs", xlabel="value (heights by layer)", yticks=rows)
    shape.set_yticklabels([_name(layer) for layer in layers])
    if any(max(abs(layer.minimum), abs(layer.maximum)) > _FAR for layer in layers):
        shape.set_xscale("symlog", linthresh=1)  # one far value would press all others into a line
        shape.xaxis.get_major_locator().set_params(numticks=5)
    if layers:
        shape.set_ylim(len(layers) - 0.5, -0.5)
    _bars(lost, layers, [_lost(layer) for layer in layers])
    lost.set(title="Dead or saturated", xlabel="units (%)", xlim=(0, 100))
    _points(gradient, [layer.relative_gradient for layer in layers])
    gradient.set(title="Gradient", xlabel="gradient / weight (norms)")
    _points(update, [layer.update_ratio for layer in layers], (1e-3, 1e-1))
    update.set(title="Next update", xlabel="update / weight (norms)")
    for axes in (shape, lost, gradient, update):
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    _write(figure, path)


def _name(layer: LayerHealth) -> str:
    return layer.layer if layer.layer.startswith(f"{layer.kind}(") else f"{layer.layer or 'all'}  {layer.kind}"


def _lost(layer: LayerHealth) -> float | None:
    count = layer.saturated if layer.dead is None else layer.dead
    return None if count is None else 100 * count / layer.units


def _bars(axes: Any, layers: list[LayerHealth], shares: list[float | None]) -> None:
    known = [(row, layer, share) for row, (layer, share) in enumerate(zip(layers, shares)) if share is not None]
    axes.barh([row for row, _, _ in known], [share for _, _, share in known], height=0.5, color=_ORANGE)
    for row, layer, share in known:
        count = layer.saturated if layer.dead is None else layer.dead
        inside = share > 70
        axes.text(
            share - 2 if inside else share + 2, row, f"{count} of {layer.units}", va="center", ha="right" if inside else "left",
            fontsize=8, color="white" if inside else "black",
        )  # fmt: skip


def _points(axes: Any, values: list[float | None], lines: tuple[float, ...] = ()) -> None:
    known = [(value, row) for row, value in enumerate(values) if value is not None and value > 0]
    if not known:
        axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=_GRAY)
        axes.set_xticks([])
        return
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    numbers = [value for value, _ in known]
    low, high = min([*numbers, *lines]), max([*numbers, *lines])
    # whole decades, so that at least two ticks have a number
    axes.set_xlim(10 ** np.floor(np.log10(low / 2)), 10 ** np.ceil(np.log10(high * 2)))
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.plot(*zip(*known), "o-", color=_BLUE, ms=5, lw=1)
    for line, name, style in zip(lines, ("healthy", "too large"), ("--", "-")):
        axes.axvline(line, color=_GRAY if name == "healthy" else _ORANGE, lw=1, ls=style, label=f"{name}: {line:g}")
    if lines:  # below the axis: inside it would cover points
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=5, ncols=2, fontsize=7, frameon=False)
