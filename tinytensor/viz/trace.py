"""The graph behind a tensor as plain data: what explanations and pictures are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

__all__ = ["Edge", "Summary", "Trace", "TraceNode"]
Array = npt.NDArray[Any]


@dataclass
class Summary:
    """What a large array is like; NaN and infinities count in none but `bad`. histogram: 16 equal bins from min to max."""

    min: float
    max: float
    mean: float
    norm: float
    histogram: list[int]
    bad: int = 0
    grad: Summary | None = None  # of the gradient, where this is of the value


@dataclass
class Edge:
    """One use of a value: from what made it to an input of a node.

    local: where numbers, of the input's shape (times upstream, broadcast, it is downstream) or the Jacobian, (outputs, inputs);
    else the product of upstream and local in words. downstream: what reaches the input along this edge, None where unknown.
    """

    source: int
    place: int
    local: str | Array | None
    downstream: Array | None


@dataclass
class TraceNode:
    """A leaf, a constant or an op that ran. grad: the upstream gradient, summed over the uses; None where it was not kept.

    kind: "leaf", "parameter", "constant" or "op". gate: "add: distributes", "mul: swaps", "max: routes", "copy: adds" or "".
    stored: what the forward pass worked out and kept for backward. changed: its value was changed in place since.
    """

    index: int
    op: str
    kind: str
    gate: str
    name: str | None
    module: str | None
    shape: tuple[int, ...]
    dtype: str
    value: Array | None
    grad: Array | None
    summary: Summary | None
    inputs: list[Edge]
    line: str | None
    stored: list[str] = field(default_factory=list)
    changed: bool = False


@dataclass
class Trace:
    """The graph behind a tensor: nodes in the order of creation (backward's is the reverse), and the tensor's own index."""

    nodes: list[TraceNode]
    root: int
