"""Pictures of training, and the health of a network; matplotlib (`pip install tinytensor[train]`) is imported only when a picture
is drawn."""

from tinytensor.viz.activations import ACTIVATIONS, plot_activations
from tinytensor.viz.checkup import Diagnose
from tinytensor.viz.classifiers import plot_boundaries, plot_confusion, plot_mistakes, plot_weights
from tinytensor.viz.dependence import depends
from tinytensor.viz.health import FINDINGS, Diagnosis, Finding, LayerHealth, diagnose
from tinytensor.viz.jacobians import JacobianPicture, jacobian
from tinytensor.viz.plots import plot_digits, plot_histories

__all__ = [
    "ACTIVATIONS", "FINDINGS", "Diagnose", "Diagnosis", "Finding", "JacobianPicture", "LayerHealth", "depends", "diagnose", "jacobian",
    "plot_activations", "plot_boundaries", "plot_confusion", "plot_digits", "plot_histories", "plot_mistakes", "plot_weights",
]  # fmt: skip
