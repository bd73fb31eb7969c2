"""Activation functions with their derivatives, all in one figure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinytensor.nn import functional as F
from tinytensor.ops import PUBLIC
from tinytensor.tape import enable_grad
from tinytensor.tensor import Tensor
from tinytensor.viz.plots import _figure, _write

__all__ = ["ACTIVATIONS", "plot_activations"]

ACTIVATIONS: dict[str, Any] = {
    "Sigmoid": F.sigmoid,
    "Tanh": F.tanh,
    "ReLU": F.relu,
    "Leaky ReLU (0.1)": lambda x: F.leaky_relu(x, 0.1),
    "Maxout (-x/2 - 1/2, x)": lambda x: PUBLIC["maximum"](x, -0.5 * x - 0.5),
    "ELU": F.elu,
    "SELU": F.selu,
    "GELU": F.gelu,
    "SiLU": F.silu,
    "Softplus": F.softplus,
    "Mish": F.mish,
    "Hardtanh": F.hardtanh,
    "Softsign": F.softsign,
    "ReLU6 (6 at most)": F.relu6,
    "Hardswish": F.hardswish,
    "Hardsigmoid": F.hardsigmoid,
}
"""Activation functions of a number by name, as they are drawn; a maxout unit of two lines stands for its kind."""


def plot_activations(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> None:
    """Draw activation functions (default: all of `ACTIVATIONS`) and their derivatives, from backward, over [-4, 4], to a PNG.

    ValueError for a name that is not in `ACTIVATIONS`; ImportError without matplotlib, OSError if the file cannot be written.
    """
    if unknown := [name for name in names or () if name not in ACTIVATIONS]:
        raise ValueError(f"plot_activations: expected names among {', '.join(ACTIVATIONS)}, got {unknown[0]!r}")
    chosen: Mapping[str, Any] = {name: ACTIVATIONS[name] for name in names or ACTIVATIONS}
    across = min(4, len(chosen))
    down = -(-len(chosen) // across)
    figure = _figure(2.6 * across, 2.2 * down + 0.4)
    cells = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, (name, function) in zip(cells.reshape(-1), chosen.items()):
        x, y, slope = curve(function)
        jumps = np.abs(np.diff(slope)) > 0.05  # at a kink: two values, not a slanted line
        broken = np.insert(slope, np.flatnonzero(jumps) + 1, np.nan)
        axes.axhline(0, color="#999999", lw=0.7)
        axes.axvline(0, color="#999999", lw=0.7)
        axes.plot(x, y, color="#0072b2", lw=1.8)
        axes.plot(np.insert(x, np.flatnonzero(jumps) + 1, np.nan), broken, "--", color="#d55e00", lw=1.5)
        axes.set(ylim=(-2, 4), xlim=(-4, 4), yticks=[-2, 0, 2, 4], xticks=[-4, -2, 0, 2, 4])
        axes.set_title(name, fontsize=10)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in cells.reshape(-1)[len(chosen) :]:
        axes.set_axis_off()
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color="#0072b2", label="f(x)"), Line2D([], [], color="#d55e00", ls="--", label="f'(x)")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    _write(figure, path)


def curve(function: Any) -> tuple[Any, Any, Any]:
    """Places between -4 and 4, none of them a kink, and a function's values and derivatives there, in float64."""
    x = Tensor(np.linspace(-4, 4, 800), requires_grad=True)
    with enable_grad():
        y = function(x)
        y.sum().backward()
    assert x.grad is not None
    return x.detach().numpy(), y.detach().numpy(), x.grad.numpy()
