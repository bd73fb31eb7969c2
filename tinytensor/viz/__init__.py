"""Pictures: of a graph with its values and gradients (`draw`), of training (these need matplotlib, `pip install
'tinytensor[train]'`, which is imported only when one is drawn)."""

from tinytensor.viz.draw import Drawing, draw
from tinytensor.viz.plots import plot_digits, plot_histories

__all__ = ["Drawing", "draw", "plot_digits", "plot_histories"]
