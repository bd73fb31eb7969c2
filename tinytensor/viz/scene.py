"""What a picture of a graph is made of: boxes, labels, wires and small histograms, with their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from tinytensor.viz.layout import Block, layout
from tinytensor.viz.trace import Summary, Trace, TraceNode

__all__ = ["Bars", "Box", "Label", "Scene", "Wire", "fused", "numbers", "scene", "title_of"]

SIZES = {"op": 12.5, "small": 10.0, "value": 11.0, "grad": 11.0, "edge": 10.0, "frame": 11.0}  # of letters, by role
ADVANCE = 0.62  # width of a letter of a monospaced font, as a share of its size; 0.6 in nearly all of them
_LINE, _SPARK_WIDTH, _SPARK_HEIGHT = 13.0, 48.0, 14.0
_MARGIN = 14.0
_FUSED = {  # ops by the names that a trace gives them
    "linear": "x @ W.T + b",
    "cross_entropy": "log_softmax + nll",
    "bernoulli_logits": "sigmoid + log loss",
    "rms_normalized": "scale, weight",
    "normalized": "center, scale, weight, bias",
}


@dataclass
class Label:
    """A line of text: `x` is its left end or, with anchor "middle", its middle; `y` its baseline."""

    x: float
    y: float
    text: str
    role: str
    node: int
    anchor: str = "start"

    def rectangle(self) -> tuple[float, float, float, float]:
        """x, y, width and height of the place it takes."""
        size = SIZES[self.role]
        width = len(self.text) * size * ADVANCE
        return self.x - (width / 2 if self.anchor == "middle" else 0.0), self.y - 0.8 * size, width, size


@dataclass
class Box:
    """A rectangle: a node's, whose role is its kind or "fused", or a "frame"."""

    x: float
    y: float
    width: float
    height: float
    role: str
    node: int


@dataclass
class Wire:
    """The way of one value: pieces (x0, y0, x1, y1), arrow heads (x, y of the tip) and a dot where it branches."""

    node: int
    pieces: list[tuple[float, float, float, float]]
    tips: list[tuple[float, float]] = field(default_factory=list)
    dot: tuple[float, float] | None = None


@dataclass
class Bars:
    """A small histogram standing on y + height."""

    x: float
    y: float
    width: float
    height: float
    counts: list[int]
    role: str
    node: int


@dataclass
class Scene:
    """A picture before it is written in any format."""

    width: float
    height: float
    boxes: list[Box] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    bars: list[Bars] = field(default_factory=list)


def numbers(array: NDArray[Any]) -> list[str]:
    """Up to 16 elements as lines of text: a number, a vector in fours, or a line for each row of a matrix, its columns aligned."""

    def one(x: Any, digits: int) -> str:
        return str(x) if isinstance(x, bool | int) else f"{x:.{digits}g}"

    if array.ndim == 0 or array.size == 1:
        text = one(array.reshape(-1)[0].item(), 4)
        return ["[" * array.ndim + text + "]" * array.ndim]
    columns = array.shape[-1] if array.ndim > 1 and 0 < array.shape[-1] <= 4 else 4
    flat = [one(x.item(), 3) for x in array.reshape(-1)]
    if array.ndim > 1 and columns == array.shape[-1]:  # the columns of a matrix stand below each other
        widths = [max(map(len, flat[j::columns]), default=0) for j in range(columns)]
        flat = [text.rjust(widths[i % columns]) for i, text in enumerate(flat)]
    lines = [", ".join(flat[i : i + columns]) for i in range(0, len(flat), columns)] or [""]
    if array.ndim > 1 and columns == array.shape[-1]:
        return [f"[{line}]" for line in lines]
    return [("[" if i == 0 else " ") + line + ("]" if i == len(lines) - 1 else ",") for i, line in enumerate(lines)]


def title_of(node: TraceNode) -> str:
    """What stands in a node's box: an op's name, a leaf's, a constant's number."""
    if node.kind == "op":
        op = node.op.lstrip("_")
        return "linear" if op.startswith("linear_") else op
    if node.kind == "constant" and node.value is not None and node.value.size == 1:
        return node.name or numbers(node.value)[0]
    return node.name or node.op


def fused(op: str) -> str | None:
    """What an op does at once that a graph could also show as several, or None."""
    op = op.lstrip("_")
    if op.startswith("linear_"):
        return f"linear + {op[7:]}"
    return " + ".join(op.split("+")) if "+" in op and op != "+" else _FUSED.get(op)


def scene(trace: Trace) -> Scene:
    """Place a trace's nodes with their labels; ValueError for a trace without a node."""
    if not trace.nodes:
        raise ValueError("draw: the trace has no node")
    uses = [0] * len(trace.nodes)
    for node in trace.nodes:
        for edge in node.inputs:
            uses[edge.source] += 1
    faces = [_Face(node, uses, node.index == trace.root) for node in trace.nodes]
    edges = [(edge.source, node.index, edge.place) for node in trace.nodes for edge in node.inputs]
    ins = [{place: i for i, place in enumerate(sorted(e.place for e in node.inputs))} for node in trace.nodes]
    placed = layout(
        [face.block for face in faces],
        [(source, target, ins[target][place]) for source, target, place in edges],
        [_path(node) for node in trace.nodes],
        titles := {tuple(path.split(".")): f"{path} {kind}" for path, kind in trace.modules.items()},
    )
    result = Scene(placed.width + 2 * _MARGIN, placed.height + 2 * _MARGIN)
    for frame in placed.frames:
        x, y = frame.x + _MARGIN, frame.y + _MARGIN
        result.boxes.append(Box(x, y, frame.width, frame.height, "frame", -1))
        result.labels.append(Label(x + 8, y + 13, titles.get(frame.path, ".".join(frame.path)), "frame", -1))
    wires = [Wire(node.index, []) for node in trace.nodes]
    for source, x0, y0, x1, y1 in placed.pieces:
        wires[source].pieces.append((x0 + _MARGIN, y0 + _MARGIN, x1 + _MARGIN, y1 + _MARGIN))
    for face, (x, y) in zip(faces, placed.at):
        face.put(result, wires, x + _MARGIN, y + _MARGIN, uses)
    result.wires = [wire for wire in wires if wire.pieces]
    return result


def _path(node: TraceNode) -> tuple[str, ...] | None:
    if not node.inputs:
        return () if node.kind == "leaf" else None
    return tuple(node.module.split(".")) if node.module else ()


def _width(lines: Sequence[str], role: str) -> float:
    return max((len(line) for line in lines), default=0) * SIZES[role] * ADVANCE


def _labels(array: NDArray[Any] | None, summary: Summary | None) -> tuple[list[str], list[int]]:
    if array is not None and array.size <= 16:
        return numbers(array), []
    if summary is not None and summary.histogram:  # else it is there for the gradient alone
        return [f"norm {summary.norm:.3g}"] + ([f"{summary.bad} not finite"] if summary.bad else []), summary.histogram
    return [], []


class _Face:
    """A node as it is drawn: the box with its text, stubs of wires at both sides, labels at the stubs."""

    def __init__(self, node: TraceNode, uses: list[int], root: bool) -> None:
        self.node, self.root = node, root
        summary = node.summary
        self.values, self.spark = _labels(node.value, summary)
        self.grads, self.grad_spark = _labels(node.grad, summary.grad if summary else None)
        title = title_of(node)
        if node.kind == "constant" and not node.name and title == "".join(self.values):
            self.values = []  # its number is its title
        self.lines = [(title, "op")]
        if node.kind == "op" and node.name:
            self.lines.append((node.name, "small"))
        also = fused(node.op) if node.kind == "op" else None
        if also:
            self.lines.append((f"fused: {also}", "small"))
        if node.shape and not (
            node.value is not None and node.value.size <= 16 and self.values and node.value.ndim < 2
        ):
            self.lines.append(("×".join(map(str, node.shape)), "small"))
        self.role = "fused" if also else node.kind
        self.edges: dict[int, str] = {}
        inputs = sorted(node.inputs, key=lambda e: e.place)
        for i, edge in enumerate(inputs):
            if edge.downstream is not None and uses[edge.source] > 1:
                small = numbers(edge.downstream) if edge.downstream.size <= 4 else []
                if len(small) == 1:
                    self.edges[i] = small[0]
        self.stub_in = (12.0 if inputs else 0.0) + (
            _width(list(self.edges.values()), "edge") + 4 if self.edges else 0.0
        )
        spark = _SPARK_WIDTH if self.spark or self.grad_spark else 0.0
        label = max(_width(self.values, "value"), _width(self.grads, "grad"), spark)
        self.stub_out = (label + 12 if label else 0.0) or (8.0 if uses[node.index] else 0.0)
        self.box_width = max(max(_width([text], role) for text, role in self.lines) + 16, 30.0)
        self.box_height = max(len(self.lines) * 14.0 + 10, 18.0 * (len(inputs) + 1) if inputs else 0.0)
        above = len(self.values) * _LINE + (_SPARK_HEIGHT + 2 if self.spark else 0.0) + 4
        below = len(self.grads) * _LINE + (_SPARK_HEIGHT + 2 if self.grad_spark else 0.0) + 6
        self.middle = max(self.box_height / 2, above)
        self.top = self.middle - self.box_height / 2
        ports = [self.top + self.box_height * (i + 1) / (len(inputs) + 1) for i in range(len(inputs))]
        self.sources = [edge.source for edge in inputs]
        height = self.middle + max(self.box_height / 2, below)
        self.block = Block(self.stub_in + self.box_width + self.stub_out, height, ports, self.middle)

    def put(self, to: Scene, wires: list[Wire], x: float, y: float, uses: list[int]) -> None:
        """Add the shapes, with the block's upper left corner at x, y."""
        index = self.node.index
        left, wire_y = x + self.stub_in, y + self.middle
        right = left + self.box_width
        to.boxes.append(Box(left, y + self.top, self.box_width, self.box_height, self.role, index))
        baseline = wire_y - len(self.lines) * 7.0 + 10.5
        for i, (text, role) in enumerate(self.lines):
            to.labels.append(Label(left + self.box_width / 2, baseline + 14 * i, text, role, index, "middle"))
        for i, (source, port) in enumerate(zip(self.sources, self.block.ins)):
            wires[source].pieces.append((x, y + port, left, y + port))
            wires[source].tips.append((left, y + port))
            if i in self.edges:
                to.labels.append(Label(x + 2, y + port + 11, self.edges[i], "edge", index))
        if self.stub_out:
            wires[index].pieces.append((right, wire_y, x + self.block.width, wire_y))
        if uses[index] > 1:
            wires[index].dot = (x + self.block.width, wire_y)
        for i, text in enumerate(reversed(self.values)):
            to.labels.append(Label(right + 6, wire_y - 5 - _LINE * i, text, "value", index))
        for i, text in enumerate(self.grads):
            to.labels.append(Label(right + 6, wire_y + 12 + _LINE * i, text, "grad", index))
        if self.spark:
            high = wire_y - 4 - _LINE * len(self.values) - _SPARK_HEIGHT
            to.bars.append(Bars(right + 6, high, _SPARK_WIDTH, _SPARK_HEIGHT, self.spark, "value", index))
        if self.grad_spark:
            low = wire_y + 5 + _LINE * len(self.grads)
            to.bars.append(Bars(right + 6, low, _SPARK_WIDTH, _SPARK_HEIGHT, self.grad_spark, "grad", index))
