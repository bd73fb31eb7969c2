"""jacobian: the matrix of a function's derivatives as a picture."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytensor import func
from tinytensor.tensor import Tensor
from tinytensor.train.history import write_png
from tinytensor.viz.plots import _figure

__all__ = ["JacobianPicture", "jacobian"]

_NUMBERS = 12  # up to so many rows and columns the numbers are written into the cells
_CELLS = 192  # rows and columns of a picture; a thin diagonal of more would fall between its pixels
_LONG = 12  # a matrix so many times longer than wide is stretched


class JacobianPicture:
    """A Jacobian as a heat map: `matrix` (outputs, inputs), both flattened in C order; `out_shape`, `in_shape`. Shows itself in a notebook."""

    def __init__(self, matrix: NDArray[Any], out_shape: tuple[int, ...], in_shape: tuple[int, ...]) -> None:
        self.matrix, self.out_shape, self.in_shape = matrix, out_shape, in_shape

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a PNG, whole or not at all. ValueError for another ending than .png, ImportError without matplotlib, OSError."""
        write_png(path, self._repr_png_())

    def _repr_png_(self) -> bytes:
        rows, columns = self.matrix.shape
        steps = -(-rows // _CELLS), -(-columns // _CELLS)
        cells = _strongest(_strongest(self.matrix, 1, steps[1]), 0, steps[0])
        cell = min(0.5, 6 / max(cells.shape))
        figure = _figure(
            max(3.4 if max(steps) == 1 else 4.6, cells.shape[1] * cell + 1.8), max(2.4, cells.shape[0] * cell + 1.3)
        )
        axes = figure.add_subplot()
        bound = float(np.abs(cells[np.isfinite(cells)]).max(initial=0)) or 1.0
        axes.set_facecolor("#bbbbbb")  # shows through where there is no number: zero is white
        image = axes.imshow(
            cells, cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest",
            extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
            aspect="auto" if max(rows, columns) > _LONG * min(rows, columns) else columns * cells.shape[0] / (rows * cells.shape[1]),
        )  # fmt: skip
        of = f"\neach cell: the furthest from 0 of {steps[0]} x {steps[1]}" if max(steps) > 1 else ""
        axes.set(
            title=f"Jacobian {rows} x {columns}{of}",
            xlabel=f"inputs {self.in_shape}",
            ylabel=f"outputs {self.out_shape}",
        )
        from matplotlib.ticker import MaxNLocator

        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))
        for shape, draw in ((self.in_shape, axes.axvline), (self.out_shape, axes.axhline)):
            if len(shape) > 1 and shape[-1] > 1 and math.prod(shape) // shape[-1] <= 64:
                for at in range(shape[-1], math.prod(shape), shape[-1]):  # blocks: one row of a matrix each
                    draw(at - 0.5, color="#555555", lw=0.8)
        if max(rows, columns) <= _NUMBERS:
            for (i, j), value in np.ndenumerate(self.matrix):
                dark = 0.6 * bound < abs(value) < math.inf
                axes.text(
                    j, i, f"{value:.3g}", ha="center", va="center", fontsize=8, color="white" if dark else "black"
                )
        figure.colorbar(image, ax=axes, label="d output / d input", shrink=0.8)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=110)
        return png.getvalue()


def _strongest(matrix: NDArray[Any], axis: int, step: int) -> NDArray[Any]:
    """Of every `step` numbers along the axis the one furthest from 0."""
    if step == 1:
        return matrix
    starts = np.arange(0, matrix.shape[axis], step)
    high, low = np.maximum.reduceat(matrix, starts, axis), np.minimum.reduceat(matrix, starts, axis)
    return np.where(high >= -low, high, low)


def jacobian(f: Callable[[Any], Any], x: Any) -> JacobianPicture:
    """The derivatives of the Tensor f(x) with respect to the Tensor or array x, as a picture: rows are outputs, columns inputs, blue negative
    and red positive, grey NaN and infinities; lines part the rows of a matrix, so that y = W x shows its blocks. Of more than 192 rows or columns a cell shows the
    number furthest from 0 of those that share it, so that a thin diagonal stays visible. Computed by `func.jacobian`.

    Raises TypeError for a function that does not return one Tensor, ValueError for one without elements.
    """
    own = x if isinstance(x, Tensor) else Tensor(np.asarray(x))
    shape: list[tuple[int, ...]] = []

    def watched(t: Any) -> Any:
        y = f(t)
        if not isinstance(y, Tensor):
            raise TypeError(f"jacobian: f must return one Tensor, got {type(y).__name__}")
        shape.append(tuple(y.shape))
        return y

    full = func.jacobian(watched)(own)
    out_shape, in_shape = shape[0], tuple(own.shape)
    if not full.numel():
        raise ValueError(f"jacobian: nothing to draw from inputs {in_shape} to outputs {out_shape}")
    matrix = full.detach().numpy().reshape(math.prod(out_shape), math.prod(in_shape))
    return JacobianPicture(matrix, out_shape, in_shape)
