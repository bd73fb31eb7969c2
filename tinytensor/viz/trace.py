"""The graph behind a tensor as plain data: what explanations and pictures are made of."""

from __future__ import annotations

import math
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from types import FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _kernels
from .._tape import (
    HOOK_AFTER,
    Node,
    changed_leaves,
    close_again,
    kept_names,
    noted,
    number_of,
    open_again,
    try_rule,
    walk_of,
)
from ..anomaly import modules_of, path_of
from ..function import _rule as function_rule
from ..naming import name_of, named_leaves
from ..tensor import Tensor
from .formulas import OF_MODULES, WORDED, formula, gate, op_name

__all__ = ["Edge", "Names", "Summary", "Trace", "TraceNode", "short_name", "trace"]
Array = npt.NDArray[Any]
OTHER = "another output"
STORED = {"out": "its value", "lse": "logsumexp"}  # what rules keep, in words
SHOWN = (
    "target",
    "weight",
    "ids",
)  # arrays among an op's other arguments that are shown as inputs; and what has a name
LISTED = 64  # elements of a list, and attributes of an object, that are looked at for names
BINS = 16  # of histograms
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

    words: the product of upstream and local in words. local: where numbers, of the input's shape (times upstream, broadcast, it is downstream) or the Jacobian, (outputs, inputs);
    else `words`. downstream: what reaches the input along this edge, None where unknown.
    """

    source: int
    place: int
    local: str | Array | None
    downstream: Array | None
    words: str | None = None


@dataclass
class TraceNode:
    """A leaf, a constant or an op that ran. grad: the upstream gradient, summed over the uses; None where it was not kept.

    kind: "leaf", "parameter", "constant" or "op". gate: "add: distributes", "mul: swaps", "max: routes", "copy: adds" or "".
    stored: what the forward pass worked out and kept for backward. changed: its value was changed in place since;
    a leaf has the value of now, and is known to have been changed where a rule keeps it.
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
    before: Array | None = None
    """The gradient before a hook changed it, None where none did."""


@dataclass
class Trace:
    """The graph behind a tensor: nodes in the order of creation (backward's is the reverse), and the tensor's own index.

    modules: the class of the module at each path, as far as it is known.
    """

    nodes: list[TraceNode]
    root: int
    modules: dict[str, str] = field(default_factory=dict)


def trace(root: Tensor, gradient: Any = None) -> Trace:
    """The graph behind `root`, with gradients: as backward kept them where it ran from here, else by the rules, as it would.

    Nothing is freed and no .grad changes. gradient: the upstream gradient; without it, that of the backward that passed here
    last, or 1 for a single element. Of a backward from further on only what goes through root counts. Names are those of
    `tt.name`, paths of parameters in modules, and variables of the caller, also inside its lists, dicts and objects. Hooks run in backward alone: what they change shows after it.
    The module of an op is known within `tt.inspect()`; without, only that of an op of nn with parameters, and of what is written
    in the forward of a module that there is once.
    TypeError where root is no Tensor or gradient no array of numbers, RuntimeError where root does not require grad or gradient
    has another shape.
    """
    if not isinstance(root, Tensor):
        raise TypeError(f"trace: expected a Tensor, got {type(root).__name__}")
    if not root._requires:
        raise RuntimeError(
            "trace: this tensor does not require grad and has no history; set requires_grad=True on its leaves"
        )
    builder = _Builder(root)
    builder.build(Names(sys._getframe(1), builder.found))
    builder.gradients(_start(root, gradient), given=gradient is not None)
    return Trace(builder.nodes, builder.at[builder.key(root._node or root, root._slot)], builder.names.kinds)


def _start(root: Tensor, gradient: Any) -> Array | None:
    if gradient is not None:
        try:
            g = np.array(gradient._data if isinstance(gradient, Tensor) else gradient, root.dtype)
        except (TypeError, ValueError) as e:
            raise TypeError(f"trace: expected a gradient of numbers of shape {root.shape}, got {gradient!r}") from e
        if g.shape != root.shape:
            raise RuntimeError(f"trace: expected a gradient of shape {root.shape}, got {g.shape}")
        return g
    return np.ones(root.shape, root.dtype) if root._data.size == 1 else None


class Names:
    """What the caller calls the parts of a graph whose nodes and leaves are `found`."""

    def __init__(self, frame: FrameType | None, found: Container[Any]) -> None:
        from ..nn import Module

        while frame is not None and (frame.f_globals.get("__package__") or "").partition(".")[0] == "tinytensor":
            frame = frame.f_back
        self.of: dict[Any, str] = {}
        """of leaves by id, of nodes by (node, slot), of arrays by array_key"""
        self.prefixes: dict[int, str] = {}
        """of whole models, by id: what stands before the paths in them"""
        self.kinds: dict[str, str] = {}
        """of modules by path: their class"""
        self.forwards: dict[Any, list[str]] = {}
        """paths of the modules whose forward is this code"""
        self.values: dict[Any, Array] = {}
        """of nodes by (node, slot), where the caller has the tensor and its memory was never changed in place"""
        for t, name in named_leaves():
            self.of.setdefault(array_key(t._data), name)
        items = [] if frame is None else [*frame.f_locals.items(), *frame.f_globals.items()]
        items = [(name, v) for name, v in items if name.isidentifier() and not name.startswith("_")]
        items += [pair for name, v in items for pair in _parts(name, v)]
        tops: dict[int, tuple[str, Any]] = {}
        for variable, v in items:
            if issubclass(type(v), Module) and any(id(p) in found for p in v.parameters()):
                tops.setdefault(id(v), (variable, v))
        below = {id(m) for _, top in tops.values() for m in top.modules() if m is not top}
        whole = [pair for key, pair in tops.items() if key not in below]
        for variable, top in whole:
            own = any(id(p) in found for p in top._parameters.values() if p is not None)
            prefix = self.prefixes[id(top)] = variable if own or len(whole) > 1 else ""
            for path, p in top.named_parameters():
                self.of.setdefault(id(p), f"{prefix}.{path}" if prefix else path)
            for path, m in top.named_modules():
                self.kinds[f"{prefix}.{path}".strip(".")] = type(m).__name__
                code = getattr(type(m).forward, "__code__", None)
                if code is not None:
                    self.forwards.setdefault(code, []).append(f"{prefix}.{path}".strip("."))
        for variable, v in items:
            if issubclass(type(v), Tensor):
                self.of.setdefault(id(v) if v._node is None else (v._node, v._slot), variable)
                block = _kernels.block(v._data)
                if v._node is not None and block is not None and block.version == 0:
                    self.values[v._node, v._slot] = v._data
                if not v._requires:
                    self.of.setdefault(array_key(v._data), variable)
            elif issubclass(type(v), np.ndarray):
                self.of.setdefault(array_key(v), variable)


def _parts(name: str, v: Any) -> Iterator[tuple[str, Any]]:
    """What a list, a dict, or an object of the caller's holds, as it would be written."""
    if type(v) in (list, tuple):
        yield from ((f"{name}[{i}]", item) for i, item in enumerate(v[:LISTED]))
    elif type(v) is dict:
        yield from ((f"{name}[{key!r}]", item) for key, item in list(v.items())[:LISTED] if type(key) in (str, int))
    elif not issubclass(type(v), (Tensor, ModuleType, FunctionType, type)):
        try:
            held = vars(v)
        except Exception:  # it has none; or it stands for something that is not there, and says so
            return
        for key, item in list(held.items())[:LISTED]:
            yield f"{name}.{key}", item
            if type(item) in (list, tuple):
                yield from _parts(f"{name}.{key}", item)


def array_key(a: Any) -> Any:
    """What tells an array from others: the same for another view of just the same elements."""
    if not isinstance(a, np.ndarray):
        return "gone", id(a)
    place = a.__array_interface__
    return place["data"][0], a.shape, a.strides, a.dtype.str


class _Builder:
    """Makes the nodes of a trace, then finds their gradients."""

    def __init__(self, root: Tensor) -> None:
        self.root = root
        self.nodes: list[TraceNode] = []
        self.at: dict[Any, int] = {}
        self.made: list[Any] = []  # the Node, or None, of each TraceNode
        self.found: dict[Any, set[int]] = {}
        """Nodes with the outputs of theirs that are used, ids of leaves."""
        if root._node is None:
            self.found[id(root)] = {0}
            return
        self.found[root._node] = {root._slot}
        stack = [root._node]
        while stack:
            node = stack.pop()
            for i, parent in enumerate(node.parents):
                if parent is None:
                    continue
                key = parent if isinstance(parent, Node) else id(parent)
                if key not in self.found:
                    self.found[key] = set()
                    if isinstance(parent, Node):
                        stack.append(parent)
                self.found[key].add(node.slots[i] if node.slots is not None else 0)

    @staticmethod
    def key(what: Any, slot: int = 0) -> Any:
        return (what, slot) if isinstance(what, Node) else id(what)

    def build(self, names: Names) -> None:
        self.names = names
        if self.root._node is None:
            self.leaf(self.root)
            return
        for node in sorted((n for n in self.found if isinstance(n, Node)), key=number_of):
            self.op(node, sorted(self.found[node] | {0}))
        count: dict[int, int] = {}
        for n in self.nodes:
            for e in n.inputs:
                count[e.source] = count.get(e.source, 0) + 1
        for n in self.nodes:
            if n.kind != "op" and n.kind != "constant" and count.get(n.index, 0) > 1:
                n.gate = "copy: adds"

    def put(self, key: Any, made: Any, **what: Any) -> TraceNode:
        n = TraceNode(index=len(self.nodes), grad=None, summary=None, **what)
        n.name, n.module = _shown(n.name), _shown(n.module)
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
            name = name_of(t) or self.names.of.get(id(t))
            self.put(
                id(t), t, op="parameter" if parameter else "leaf", kind="parameter" if parameter else "leaf", gate="", name=name,
                module=name.rpartition(".")[0] or None if parameter and name else None, shape=t.shape, dtype=str(t.dtype),
                value=t._data.copy(), inputs=[], line=None,
            )  # fmt: skip
        return self.at[id(t)]

    def constant(self, v: Any, which: Any, name: str | None = None) -> int:
        """The node of an input without gradient: its value where it is there, and what tells its array from others."""
        key = None if which is None else array_key(which[0])
        if key is not None and key in self.at:
            n = self.nodes[self.at[key]]
            if n.value is None and v is not None:
                n.value = np.array(v)
                n.summary = summary(n.value) if n.value.size > FEW else None
            return n.index
        value = None if v is None else np.array(v)
        shape, dtype = (value.shape, value.dtype) if which is None and value is not None else ((), "")
        if which is not None:
            _, shape, dtype = which
        return self.put(
            key, None, op="constant", kind="constant", gate="", name=self.names.of.get(key) or name, module=None, shape=shape,
            dtype=str(dtype), value=value, inputs=[], line=None,
        ).index  # fmt: skip

    def op(self, node: Node, slots: list[int]) -> None:
        kept = kept_names(node)
        value, same, _, _, _, _, constants = noted(node)
        inputs = []
        for i, parent in enumerate(node.parents):
            if parent is None:
                given = [(v, which) for _, place, v, _, which in kept if place == i]
                given += constants[i : i + 1] if constants else []
                v, which = next((g for g in given if g[0] is not None or g[1] is not None), (None, None))
                if v is None and which is None and self.absent(node, i):
                    continue
                source = self.constant(v, which)
            elif isinstance(parent, Node):
                source = self.at[self.key(parent, node.slots[i] if node.slots is not None else 0)]
            else:
                source = self.leaf(parent)
            inputs.append(Edge(source, i, None, None))
        for t in changed_leaves(node):
            self.nodes[self.leaf(t)].changed = True
        place = len(node.parents)
        for argument, at, v, array, which in kept:
            if at >= 0 or array or which is None:
                continue
            if argument in SHOWN or array_key(which[0]) in self.names.of:
                inputs.append(Edge(self.constant(v, which, argument), place, None, None))
                place += 1
        values = value if isinstance(value, list) else [value]
        outputs = node.outputs
        title = op_name(node.op.__name__, len(outputs[0][0]), _known(kept))
        main = -1
        for slot in slots:
            one = values[slot] if slot < len(values) else None
            if one is None and node is self.root._node and slot == self.root._slot:
                one = self.root._data
            if one is None and (node, slot) in self.names.values:
                one = self.names.values[node, slot]
            name = name_of(node, slot) or self.names.of.get((node, slot))
            n = self.put(
                (node, slot), node, op=title if slot == 0 else OTHER, kind="op",
                gate=gate(node.op.__name__) if slot == 0 else "", name=name, module=self.module(node, inputs), shape=outputs[slot][0],
                dtype=str(outputs[slot][1]), value=None if one is None or not same else one.copy(),
                inputs=inputs if slot == 0 else [Edge(main, slot, None, None)], line=node.line, changed=not same,
            )  # fmt: skip
            if slot == 0:
                main = n.index
                called = {e.place: short_name(self.nodes[e.source]) for e in inputs}
                stored = [
                    called.get(at, STORED.get(name, name))
                    for name, at, v, array, _ in kept
                    if array and (v is None or isinstance(v, np.ndarray))
                ]
                n.stored = list(dict.fromkeys(stored))

    def module(self, node: Node, inputs: list[Edge]) -> str | None:
        """The path of the module that an op ran in, as far as it is known."""
        modules = modules_of(node)
        if modules:
            within = f"{self.names.prefixes.get(id(modules[0]), '')}.{path_of(modules)}".strip(".")
            self.names.kinds[within] = type(modules[-1]).__name__
            return within or None
        sources = (self.nodes[e.source] for e in inputs)
        path = next((n.module for n in sources if n.kind == "parameter" and n.module), None)
        here = self.names.forwards.get(node.code, [])
        if path and (path in here or node.op.__name__.startswith(OF_MODULES)):
            return path
        return here[0] or None if len(here) == 1 else None

    @staticmethod
    def absent(node: Node, i: int) -> bool:
        """Whether an input without gradient may not be there at all: an optional one, an argument of a Function."""
        names = node.op.inputs
        return i >= len(names) or str(node.op.forward.__annotations__[names[i]]).endswith("None")

    # ------------------------------------------------------------------------------------------------- gradients
    def gradients(self, start: Array | None, given: bool) -> None:
        """Walk back as backward does, from the same upstream gradient, and by the same rules."""
        root = self.root._node
        walk, start = (0, start) if root is None else self.walk(root, start, given)
        sums: dict[int, list[Array | None]] = {self.at[self.key(root or self.root, self.root._slot)]: [start]}
        for n in reversed(self.nodes):
            made = self.made[n.index]
            n.grad = total = _total(sums.get(n.index, []))
            hooks = None
            if isinstance(made, Node):
                hooks = made.hooks
                slot = 0 if n.op != OTHER else n.inputs[0].place
                ran = walk > 0 and noted(made)[2] == walk
                if ran:
                    stored = _output(noted(made)[4], slot)
                    n.grad = total if stored is None else stored
                if n.op != OTHER:
                    self.step(n, made, ran)
                    for e in n.inputs:
                        sums.setdefault(e.source, []).append(e.downstream)
            elif made is not None and made._grad is not None and walk_of(made) == walk > 0:
                hooks = made._hooks
                n.grad = made._grad._data if total is None or hooks else total
            if hooks and total is not None and _differ(total, n.grad):
                n.before = total.copy()
            if n.grad is not None:
                n.grad = n.grad.copy()
                if n.grad.size > FEW and n.summary is not None:
                    n.summary.grad = summary(n.grad)
                elif n.grad.size > FEW:
                    n.summary = Summary(0.0, 0.0, 0.0, 0.0, [], grad=summary(n.grad))

    def walk(self, root: Node, start: Array | None, given: bool) -> tuple[int, Array | None]:
        """The walk that began at the root, with the gradient that it got; where another passed, 0: its sums are of other ways, too."""
        _, _, walk, here, up, _, _ = noted(root)
        stored = _output(up, self.root._slot)
        if isinstance(up, list):
            here = here and stored is not None and sum(one is not None for one in up) == 1
        if given and (not here or stored is None or _differ(stored, start)):
            return 0, start
        return walk if here else 0, start if stored is None else stored

    def step(self, n: TraceNode, node: Node, ran: bool) -> None:
        """The local and downstream gradients of one node."""
        try:
            checkpointed = open_again(node)
        except RuntimeError:  # what it would be computed from was changed: only words are left
            checkpointed = None
        try:
            downs = noted(node)[5] if ran else None
            if downs is None and not (ran and any(kind == HOOK_AFTER for kind, *_ in node.hooks or ())):
                downs = self.by_rule(n, node)
            jacobians = _jacobians(node, n.shape)
            known = _known(kept_names(node))
        finally:
            close_again(node, checkpointed)
        size = max([len(node.parents), *(e.place + 1 for e in n.inputs)])
        names = ["?"] * size
        shapes: list[tuple[int, ...]] = [()] * size
        for e in n.inputs:
            names[e.place], shapes[e.place] = short_name(self.nodes[e.source]), self.nodes[e.source].shape
        for e in n.inputs:
            down = downs[e.place] if downs is not None and e.place < len(downs) else None
            e.downstream = None if down is None else down.copy()
            if self.nodes[e.source].kind == "constant":
                continue
            if node.op.function is function_rule:
                e.words = "by its own backward"
            else:
                words = formula(node.op.__name__, e.place, names, shapes, n.shape, short_name(n), known)
                e.words = f"d{names[e.place]} = {words}" if words else "by its rule"
            number = None if jacobians is None else jacobians[e.place]
            e.local = e.words if number is None else number

    def by_rule(self, n: TraceNode, node: Node) -> list[Array | None] | None:
        count = len(node.outputs)
        ups = [self.nodes[self.at[node, slot]].grad if (node, slot) in self.at else None for slot in range(count)]
        ups[0] = n.grad
        if all(up is None for up in ups):
            return None
        return try_rule(node, ups if count > 1 else ups[0])


def _shown(name: str | None) -> str | None:
    """A name with a mark for each character that pictures and tables cannot show: line ends, control characters, halves of pairs."""
    return name and "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def summary(a: Array) -> Summary:
    """Range, mean, norm and histogram of the finite elements of an array; zeros where there are none."""
    finite = a[np.isfinite(a)].astype(np.float64)
    if not finite.size:
        return Summary(0.0, 0.0, 0.0, 0.0, [0] * BINS, a.size)
    low, high = float(finite.min()), float(finite.max())
    top = max(-low, high) or 1.0
    unit = finite / top  # sums of squares of large numbers overflow
    mean, norm = float(unit.mean()) * top, float(np.linalg.norm(unit)) * top
    return Summary(low, high, mean, norm, histogram(finite), a.size - finite.size)


def histogram(finite: Array) -> list[int]:
    """Counts in `BINS` equal bins from the least to the largest of finite float64 numbers; of equal ones all in the middle."""
    if not finite.size:
        return [0] * BINS
    low, high = float(finite.min()), float(finite.max())
    half = high / 2 - low / 2  # np.histogram refuses a width that overflows, and one of few roundings
    share = (finite / 2 - low / 2) / half if half > 0 else np.full(finite.shape, 0.5)
    counts = np.bincount(np.minimum(share.reshape(-1) * BINS, BINS - 1).astype(np.intp), minlength=BINS)
    return [int(c) for c in counts]


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
    words = node.op.function is function_rule or node.op.__name__.startswith(WORDED)
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
        elif not np.isfinite(j[np.eye(*j.shape) == 0]).all():
            result.append(None)  # 0 * infinity: no part of the local gradient
        elif shape == out and not j[np.eye(size) == 0].any():
            result.append(np.diagonal(j).reshape(shape).copy())
        else:
            result.append(j if j.size <= FEW else None)
    return result


def _output(up: Any, slot: int) -> Array | None:
    """The upstream gradient of one output."""
    found: Array | None = up[slot] if isinstance(up, list) else up
    return found


def _known(kept: list[tuple[str, int, Any, bool, Any]]) -> dict[str, Any]:
    """What a rule knows that is no array: numbers, words, and None for what was not given."""
    return {name: v for name, _, v, array, which in kept if which is None and not (array and v is None)}


def _differ(total: Array | None, grad: Array | None) -> bool:
    return total is not None and grad is not None and not np.array_equal(total, grad, equal_nan=True)


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
