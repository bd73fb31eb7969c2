"""Pictures: the graph behind a tensor, the health of a network, and of training. What needs matplotlib
(`pip install tinytensor[train]`) imports it only when it draws."""

from tinytensor.viz.activations import ACTIVATIONS, plot_activations
from tinytensor.viz.checkup import Diagnose
from tinytensor.viz.classifiers import plot_boundaries, plot_confusion, plot_mistakes, plot_weights
from tinytensor.viz.dependence import depends
from tinytensor.viz.draw import Drawing, draw
from tinytensor.viz.explain import Explanation, explain
from tinytensor.viz.health import FINDINGS, Diagnosis, Finding, diagnose
from tinytensor.viz.jacobians import JacobianPicture, jacobian
from tinytensor.viz.observed import LayerHealth
from tinytensor.viz.plots import plot_digits, plot_histories
from tinytensor.viz.trace import Edge, Summary, Trace, TraceNode, trace

__all__ = [
    "ACTIVATIONS", "FINDINGS", "Diagnose", "Diagnosis", "Drawing", "Edge", "Explanation", "Finding", "JacobianPicture", "LayerHealth",
    "Summary", "Trace", "TraceNode", "depends", "diagnose", "draw", "explain", "jacobian", "plot_activations", "plot_boundaries",
    "plot_confusion", "plot_digits", "plot_histories", "plot_mistakes", "plot_weights", "trace",
]  # fmt: skip
