"""The record of a graph: what each node computed, and the gradients that went through it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

__all__ = ["Edge", "Statistics", "Summary", "Trace", "TraceNode"]


@dataclass
class Statistics:
    """What stands for the elements of a large array: `histogram` counts them in 16 equal bins from `min` to `max`."""

    min: float
    max: float
    mean: float
    norm: float
    histogram: tuple[int, ...]


@dataclass
class Summary:
    """Statistics of a large node's value and of its gradient, each None where it is not known."""

    value: Statistics | None = None
    grad: Statistics | None = None


@dataclass
class Edge:
    """One use of a value: from the node that made it to an input place of another.

    `local` is the local gradient: numbers for up to 16 elements, else a formula with shapes; `downstream` is upstream x local,
    as backward computed it for this use. Both are None where they are not known.
    """

    source: int
    place: int
    local: str | NDArray[Any] | None = None
    downstream: NDArray[Any] | None = None


@dataclass
class TraceNode:
    """One value of a graph: a leaf, a parameter, a constant or what an op made of its inputs.

    `gate` is what it does to a gradient ("add: distributes", "mul: swaps", "max: routes", or ""), `module` the path of the module
    whose forward pass made it, `grad` the upstream gradient summed over its uses, `stored` what forward kept for backward, `line`
    the source line that made it. `value` and `grad` are None where they were not kept; a large one has a `summary`.
    """

    index: int
    op: str
    kind: str
    gate: str = ""
    name: str | None = None
    module: str | None = None
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    value: NDArray[Any] | None = None
    grad: NDArray[Any] | None = None
    summary: Summary | None = None
    inputs: list[Edge] = field(default_factory=list)
    line: str | None = None
    stored: list[str] = field(default_factory=list)


@dataclass
class Trace:
    """The nodes below `root`, in the order in which they were made; backward's order is the reverse."""

    nodes: list[TraceNode]
    root: int
