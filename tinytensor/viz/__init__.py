"""Pictures of training; needs matplotlib (`pip install tinytensor[train]`), which is imported only when one
is drawn."""

from tinytensor.viz.checkup import Diagnose
from tinytensor.viz.dependence import depends
from tinytensor.viz.health import FINDINGS, Diagnosis, Finding, LayerHealth, diagnose
from tinytensor.viz.plots import plot_digits, plot_histories

__all__ = [
    "Diagnose",
    "FINDINGS",
    "Diagnosis",
    "Finding",
    "LayerHealth",
    "depends",
    "diagnose",
    "plot_digits",
    "plot_histories",
]
