"""Pictures of training; needs matplotlib (`pip install tinytensor[train]`), which is imported only when one
is drawn."""

from tinytensor.viz.plots import plot_digits, plot_histories

__all__ = ["plot_digits", "plot_histories"]
