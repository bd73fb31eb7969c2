"""The graph behind a tensor as plain data: what explanations and pictures are made of."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .._tape import Node, close_again, kept_names, noted, number_of, open_again, try_rule
from ..anomaly import modules_of, path_of
from ..function import _rule as function_rule
from ..naming import name_of
from ..tensor import Tensor
from .formulas import formula, gate, needed_shape

__all__ = ["Edge", "Summary", "Trace", "TraceNode", "short_name", "trace"]
Array = npt.NDArray[Any]
OTHER = "another output"
FEW = 16
"""Arrays of more elements are shown by a summary, local gradients of more by a formula."""


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


def trace(root: Tensor, gradient: Any = None) -> Trace:
    """The graph behind `root`, with gradients: as backward kept them where it ran from here, else by the rules, as it would.

    Nothing is freed and no .grad changes. gradient: the upstream gradient where backward has not run; without it, a root of more
    than one element gives no gradients. Names are those of `tt.name`, paths of parameters in modules, and variables of the
    caller. RuntimeError where root does not require grad, or gradient has another shape.
    """
    if not isinstance(root, Tensor) or not root._requires:
        raise RuntimeError(
            "trace: this tensor does not require grad and has no history; set requires_grad=True on its leaves"
        )
    builder = _Builder(root, _names(sys._getframe(1)))
    builder.build()
    builder.gradients(_start(root, gradient))
    return Trace(builder.nodes, builder.at[builder.key(root._node or root, root._slot)])


def _start(root: Tensor, gradient: Any) -> Array | None:
    if gradient is not None:
        g = np.array(gradient._data if isinstance(gradient, Tensor) else gradient, root.dtype)
        if g.shape != root.shape:
            raise RuntimeError(f"trace: expected a gradient of shape {root.shape}, got {g.shape}")
        return g
    return np.ones(root.shape, root.dtype) if root._data.size == 1 else None


def _names(frame: Any) -> dict[Any, str]:
    """Names of what the caller's variables hold: of leaves by id, of nodes by (node, slot), parameters by their paths."""
    from ..nn import Module

    while frame is not None and (frame.f_globals.get("__package__") or "").partition(".")[0] == "tinytensor":
        frame = frame.f_back
    found: dict[Any, str] = {}
    items = list(frame.f_locals.items()) if frame is not None else []
    modules = [v for _, v in items if isinstance(v, Module)]
    below = {id(m) for top in modules for m in top.modules() if m is not top}
    for top in sorted(modules, key=lambda m: id(m) in below):  # whole models first: the longest paths
        for path, p in top.named_parameters():
            found.setdefault(id(p), path)
    for variable, v in items:
        if isinstance(v, Tensor) and not variable.startswith("_"):
            found.setdefault(id(v) if v._node is None else (v._node, v._slot), variable)
    return found


class _Builder:
    """Makes the nodes of a trace, then finds their gradients."""

    def __init__(self, root: Tensor, names: dict[Any, str]) -> None:
        self.root, self.names = root, names
        self.nodes: list[TraceNode] = []
        self.at: dict[Any, int] = {}
        self.made: list[Any] = []  # the Node, or None, of each TraceNode

    @staticmethod
    def key(what: Any, slot: int = 0) -> Any:
        return (what, slot) if isinstance(what, Node) else id(what)

    def build(self) -> None:
        start = self.root._node
        if start is None:
            self.leaf(self.root)
            return
        uses: dict[Any, set[int]] = {start: {self.root._slot}}
        stack = [start]
        while stack:
            node = stack.pop()
            for i, parent in enumerate(node.parents):
                if isinstance(parent, Node):
                    if parent not in uses:
                        uses[parent] = set()
                        stack.append(parent)
                    uses[parent].add(node.slots[i] if node.slots is not None else 0)
        for node in sorted(uses, key=number_of):
            self.op(node, sorted(uses[node] | {0}))
        count: dict[int, int] = {}
        for n in self.nodes:
            for e in n.inputs:
                count[e.source] = count.get(e.source, 0) + 1
        for n in self.nodes:
            if n.kind != "op" and n.kind != "constant" and count.get(n.index, 0) > 1:
                n.gate = "copy: adds"

    def put(self, key: Any, made: Any, **what: Any) -> TraceNode:
        n = TraceNode(index=len(self.nodes), grad=None, summary=None, **what)
        if n.value is not None and n.value.size > FEW:
            n.summary = summary(n.value)
        self.nodes.append(n)
        self.made.append(made)
        if key is not None:
            self.at[key] = n.index
        return n

    def leaf(self, t: Tensor) -> int:
        from ..nn import Parameter

        if id(t) not in self.at:
            parameter = isinstance(t, Parameter)
            name = name_of(t) or self.names.get(id(t))
            self.put(
                id(t), t, op="parameter" if parameter else "leaf", kind="parameter" if parameter else "leaf", gate="", name=name,
                module=name.rpartition(".")[0] or None if parameter and name else None, shape=t.shape, dtype=str(t.dtype),
                value=t._data.copy(), inputs=[], line=None,
            )  # fmt: skip
        return self.at[id(t)]

    def constant(self, node: Node, place: int, v: Any) -> int:
        value = None if v is None else np.array(v)
        if value is None:
            shapes = [
                p.shape if isinstance(p, Tensor) else p.outputs[0][0] if isinstance(p, Node) else None
                for p in node.parents
            ]
            shape, dtype = needed_shape(node.op.__name__, place, shapes, node.outputs[0][0]), str(node.outputs[0][1])
        else:
            shape, dtype = value.shape, str(value.dtype)
        return self.put(
            None, None, op="constant", kind="constant", gate="", name=None, module=None, shape=shape, dtype=dtype, value=value,
            inputs=[], line=None,
        ).index  # fmt: skip

    def op(self, node: Node, slots: list[int]) -> None:
        kept = kept_names(node)
        value, same, _, _, _, constants = noted(node)
        inputs = []
        for i, parent in enumerate(node.parents):
            if parent is None:
                given = [v for _, place, v, _ in kept if place == i] + [constants[i] if constants else None]
                v = next((v for v in given if v is not None), None)
                if v is None and self.absent(node, i):
                    continue
                source = self.constant(node, i, v)
            elif isinstance(parent, Node):
                source = self.at[self.key(parent, node.slots[i] if node.slots is not None else 0)]
            else:
                source = self.leaf(parent)
            inputs.append(Edge(source, i, None, None))
        values = value if isinstance(value, list) else [value]
        outputs = node.outputs
        modules = modules_of(node)
        path = path_of(modules) if modules else ""
        stored = [name for name, _, v, array in kept if array and (v is None or isinstance(v, np.ndarray))]
        if not path:  # the module of the parameters that it takes
            path = next(
                (self.nodes[e.source].module or "" for e in inputs if self.nodes[e.source].kind == "parameter"), ""
            )
        main = -1
        for slot in slots:
            one = values[slot] if slot < len(values) else None
            if one is None and node is self.root._node and slot == self.root._slot:
                one = self.root._data
            name = name_of(node, slot) or self.names.get((node, slot))
            n = self.put(
                (node, slot), node, op=node.op.__name__ if slot == 0 else OTHER, kind="op",
                gate=gate(node.op.__name__) if slot == 0 else "", name=name, module=path or None, shape=outputs[slot][0],
                dtype=str(outputs[slot][1]), value=None if one is None or not same else one.copy(),
                inputs=inputs if slot == 0 else [Edge(main, slot, None, None)], line=node.line,
                stored=stored if slot == 0 else [], changed=not same,
            )  # fmt: skip
            main = n.index if slot == 0 else main

    @staticmethod
    def absent(node: Node, i: int) -> bool:
        """Whether an input without gradient may not be there at all: an optional one, an argument of a Function."""
        names = node.op.inputs
        return i >= len(names) or str(node.op.forward.__annotations__[names[i]]).endswith("None")

    # ------------------------------------------------------------------------------------------------- gradients
    def gradients(self, start: Array | None) -> None:
        """Walk back as backward does, from the same upstream gradient, and by the same rules."""
        root = self.root._node
        walk = 0 if root is None else noted(root)[2]
        sums: dict[int, list[Array | None]] = {self.at[self.key(root or self.root, self.root._slot)]: [start]}
        for n in reversed(self.nodes):
            made = self.made[n.index]
            n.grad = _total(sums.get(n.index, []))
            if isinstance(made, Node):
                slot = 0 if n.op != OTHER else n.inputs[0].place
                ran = walk > 0 and noted(made)[2] == walk
                if ran:
                    up = noted(made)[3]
                    stored = up[slot] if isinstance(up, list) else up
                    n.grad = n.grad if stored is None else stored
                if n.op != OTHER:
                    self.step(n, made, ran)
                    for e in n.inputs:
                        sums.setdefault(e.source, []).append(e.downstream)
            elif made is not None and n.grad is None and walk and made._grad is not None:
                n.grad = made._grad._data
            if n.grad is not None:
                n.grad = n.grad.copy()
                if n.grad.size > FEW and n.summary is not None:
                    n.summary.grad = summary(n.grad)
                elif n.grad.size > FEW:
                    n.summary = Summary(0.0, 0.0, 0.0, 0.0, [], grad=summary(n.grad))

    def step(self, n: TraceNode, node: Node, ran: bool) -> None:
        """The local and downstream gradients of one node."""
        try:
            checkpointed = open_again(node)
        except RuntimeError:  # what it would be computed from was changed: only words are left
            checkpointed = None
        try:
            downs = noted(node)[4] if ran else None
            if downs is None and not (ran and node.hooks):
                downs = self.by_rule(n, node)
            jacobians = _jacobians(node, n.shape)
        finally:
            close_again(node, checkpointed)
        names = ["?"] * len(node.parents)
        shapes: list[tuple[int, ...]] = [()] * len(node.parents)
        for e in n.inputs:
            names[e.place], shapes[e.place] = short_name(self.nodes[e.source]), self.nodes[e.source].shape
        for e in n.inputs:
            down = None if downs is None else downs[e.place]
            e.downstream = None if down is None else down.copy()
            if self.nodes[e.source].kind == "constant":
                continue
            number = None if jacobians is None else jacobians[e.place]
            if number is not None:
                e.local = number
            elif node.op.function is function_rule:
                e.local = "by its own backward"
            else:
                e.local = formula(node.op.__name__, e.place, names, shapes, n.shape, short_name(n))

    def by_rule(self, n: TraceNode, node: Node) -> list[Array | None] | None:
        count = len(node.outputs)
        ups = [self.nodes[self.at[node, slot]].grad if (node, slot) in self.at else None for slot in range(count)]
        ups[0] = n.grad
        if all(up is None for up in ups):
            return None
        return try_rule(node, ups if count > 1 else ups[0])


def summary(a: Array) -> Summary:
    """Range, mean, norm and histogram of the finite elements of an array; zeros where there are none."""
    finite = a[np.isfinite(a)].astype(np.float64)
    if not finite.size:
        return Summary(0.0, 0.0, 0.0, 0.0, [0] * 16, a.size)
    low, high = float(finite.min()), float(finite.max())
    counts = np.histogram(finite, 16, (low, high))[0] if high - low > 0 else np.eye(1, 16, 8)[0] * finite.size
    return Summary(
        low, high, float(finite.mean()), float(np.linalg.norm(finite)), [int(c) for c in counts], a.size - finite.size
    )


def _jacobians(node: Node, out: tuple[int, ...]) -> list[Array | None] | None:
    """For each input the local gradient in numbers, where output and input are small, found by the rule on unit gradients."""
    size = math.prod(out)
    shapes = [p.outputs[node.slots[i] if node.slots is not None else 0][0] if isinstance(p, Node) else None if p is None else p.shape
              for i, p in enumerate(node.parents)]  # fmt: skip
    wanted = [
        s is not None and 0 < math.prod(s) <= FEW and (size == 1 or s == out or size * math.prod(s) <= FEW)
        for s in shapes
    ]
    single = size == 1 and all(s is None or math.prod(s) == 1 for s in shapes)
    words = node.op.function is function_rule or node.op.__name__.startswith(("matmul", "linear", "cross_entropy"))
    if not any(wanted) or not 0 < size <= FEW or len(node.outputs) > 1 or (words and not single):
        return None
    rows = []
    for k in range(size):
        unit = np.zeros(size, node.outputs[0][1])
        unit[k] = 1
        found = try_rule(node, unit.reshape(out))
        if found is None:
            return None
        rows.append(found)
    result: list[Array | None] = []
    for i, shape in enumerate(shapes):
        if not wanted[i] or shape is None or any(row[i] is None for row in rows):
            result.append(None)
            continue
        j = np.stack([np.asarray(row[i]).reshape(-1) for row in rows])
        if size == 1:
            result.append(j.reshape(shape))
        elif shape == out and not (j * (1 - np.eye(size))).any():
            result.append(np.diagonal(j).reshape(shape).copy())
        else:
            result.append(j if j.size <= FEW else None)
    return result


def short_name(n: TraceNode) -> str:
    """How a node is called in words: its name, a constant's number, or its op and index."""
    if n.name:
        return n.name
    if n.kind == "constant" and n.value is not None and n.value.size == 1:
        return f"{n.value.item():.4g}"
    return f"{n.op}{n.index}"


def _total(found: list[Array | None]) -> Array | None:
    """The sum of what reached a value along its uses, in the order in which backward adds; None where one is unknown."""
    total: Array | None = None
    for one in found:
        if one is None:
            return None
        total = one if total is None else np.asarray(total + one)
    return total
