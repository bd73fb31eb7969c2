"""Pictures: the graph behind a tensor, and of training. What needs matplotlib (`pip install tinytensor[train]`) imports it
only when it draws."""

from tinytensor.viz.draw import Drawing, draw
from tinytensor.viz.explain import Explanation, explain
from tinytensor.viz.plots import plot_digits, plot_histories
from tinytensor.viz.trace import Edge, Summary, Trace, TraceNode, trace

__all__ = [
    "Drawing", "Edge", "Explanation", "Summary", "Trace", "TraceNode", "draw", "explain", "plot_digits", "plot_histories", "trace",
]  # fmt: skip
