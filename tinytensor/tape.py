"""The tape: which op made a tensor, from what, and the walk back. No mathematics but accumulation."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from heapq import heappop, heappush
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from . import _kernels

if TYPE_CHECKING:
    from .tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])
_ADD = _kernels.OPS["add"]


class _Mode(threading.local):
    """Whether ops record: one switch for each thread of Python."""

    enabled = True


mode = _Mode()
next_number = itertools.count(1).__next__


class _Switch:
    """A context manager and decorator that sets the grad mode inside, and puts the old one back."""

    _to: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.enabled)
        mode.enabled = self._to

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        mode.enabled = self._before.pop()

    def __call__(self, function: F) -> F:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with type(self)() if type(self) is not set_grad_enabled else _Fixed(self._to):
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


class no_grad(_Switch):
    """Ops inside record nothing; for this thread only. Use as `with tt.no_grad():` or `@tt.no_grad()`."""

    _to = False


class enable_grad(_Switch):
    """Ops inside record again, within a `no_grad`; for this thread only."""

    _to = True


class _Fixed(_Switch):
    def __init__(self, enabled: bool) -> None:
        super().__init__()
        self._to = enabled


class set_grad_enabled(_Switch):
    """Switch recording on or off, at once; as a context manager, until its end."""

    def __init__(self, mode_: bool) -> None:
        super().__init__()
        self._to = bool(mode_)
        super().__enter__()
        self._entered = True  # already, by its making

    def __enter__(self) -> None:
        if self._entered:
            self._entered = False
        else:
            super().__enter__()

    def __call__(self, function: F) -> F:
        if self._entered:  # a decorator changes the mode inside alone
            self._entered = False
            mode.enabled = self._before.pop()
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether ops of this thread record."""
    return mode.enabled


class Freed:
    """What stands in a node's place for kept values after backward."""


FREED = Freed()


class Node:
    """One op that ran: its rule, what the rule needs, and where the inputs came from.

    parents: for each differentiable input its Node, its leaf Tensor, or None (needs no gradient).
    slots: which output of the parent Node the input was. kept: (arguments of the rule). versions: the version of each kept
    array, None where it does not count. number: creation order, which is a topological order. shapes: of the outputs.
    """

    __slots__ = (
        "op",
        "parents",
        "slots",
        "kept",
        "versions",
        "number",
        "outputs",
        "code",
        "offset",
        "hooks",
        "__weakref__",
    )

    op: Any
    parents: tuple[Any, ...]
    slots: tuple[int, ...] | None
    kept: Any
    versions: Any
    number: int
    outputs: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
    code: CodeType | None
    offset: int
    hooks: list[tuple[int, Callable[[Any], Any]]] | None

    def __init__(
        self, op: Any, parents: tuple[Any, ...], slots: tuple[int, ...] | None, kept: Any, versions: Any,
        outputs: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...], code: CodeType | None, offset: int,
    ) -> None:  # fmt: skip
        self.op = op
        self.parents = parents
        self.slots = slots
        self.kept = kept
        self.versions = versions
        self.outputs = outputs
        self.code = code
        self.offset = offset
        self.hooks = None
        self.number = next_number()

    def __lt__(self, other: Node) -> bool:
        """Later ops come first out of a heap."""
        return self.number > other.number

    @property
    def name(self) -> str:
        """The op's name in PyTorch's style, such as AddBackward."""
        return "".join(w.capitalize() for w in self.op.__name__.strip("_").split("_")) + "Backward"

    @property
    def line(self) -> str:
        """The source line that made it: `file:line`."""
        return where(self.code, self.offset)

    def __repr__(self) -> str:
        return f"<{self.name}>"


def where(code: CodeType | None, offset: int) -> str:
    """`file:line` of an instruction."""
    if code is None:
        return "unknown line"
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= offset < end and number is not None:
            line = number
    return f"{code.co_filename}:{line}"


def _stale(node: Node, i: int) -> RuntimeError:
    block = _kernels.block(node.kept[i])
    by = f"changed in place at {where(*block.changed)}" if block is not None and block.changed else "changed in place"
    return RuntimeError(
        f"backward of {node.op.__name__} (made at {node.line}) needs an array of shape {node.kept[i].shape} that was {by} "
        "after the op kept it: change a clone() instead, or do it before the op"
    )


def check_versions(node: Node) -> None:
    """Raise when an array that the rule needs was changed in place after it was kept."""
    kept = node.kept
    if kept is FREED:
        raise RuntimeError(
            f"backward through {node.op.__name__} (made at {node.line}) a second time: its kept values were freed. "
            "Pass retain_graph=True to the first backward"
        )
    versions = node.versions
    if versions is not None:
        for i, v in enumerate(versions):
            if v is not None and _kernels.version(kept[i]) != v:
                raise _stale(node, i)


def _as_list(result: Any) -> list[Any]:
    return list(result) if type(result) is tuple or type(result) is list else [result]


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum a gradient back to the shape of an input that was broadcast."""
    if type(g) is np.ndarray:
        extra = g.ndim - len(shape)
        axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
        r = _kernels.reduce(_kernels.SUM, g, axes) if axes else g
        return r.reshape(shape)
    extra = g.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    return (g.sum(axes) if axes else g).reshape(shape)


def _fitted(g: Any, shape: tuple[int, ...], dtype: np.dtype[Any], node: Node) -> Any:
    """A gradient in its input's shape and dtype."""
    if g.shape != shape:
        try:
            g = sum_to(g, shape)
        except ValueError:
            raise RuntimeError(
                f"backward of {node.op.__name__}: its rule gave a gradient of shape {g.shape} for an input of shape {shape}"
            ) from None
    if g.dtype != dtype:
        g = g.astype(dtype) if type(g) is np.ndarray else g.to(dtype)
    return g


def accumulate(leaf: Tensor, grads: list[Any], i: int) -> None:
    """Add grads[i] to leaf.grad; only memory that the tape allocated is written to."""
    g = grads[i]
    old = leaf._grad
    if type(g) is not np.ndarray:  # create_graph: gradients are tensors with a past
        leaf._grad = g.clone() if old is None else old + g  # a clone: other leaves may get the same tensor
        leaf._grad_ours = False
        return
    if old is None:
        del g
        if not _kernels.alone(grads, i):
            copy = _kernels.empty(grads[i].shape, grads[i].dtype)
            np.copyto(copy, grads[i])
            grads[i] = copy
        leaf._grad = leaf._wrap(grads[i])
        leaf._grad_ours = True
    elif leaf._grad_ours and not old.requires_grad:
        _kernels.map2(_ADD, old._data, g, old._data)
        _kernels.changed(old._data)
    else:
        with no_grad():
            leaf._grad = old + leaf._wrap(g)
        leaf._grad_ours = True


def run(
    roots: Sequence[tuple[Any, int, Any]], create_graph: bool, retain_graph: bool, wanted: dict[Any, int] | None = None
) -> list[Any]:
    """Walk back from roots (node or leaf, output slot, gradient) in descending creation order.

    With `wanted` ({leaf tensor's id, or (node, slot)}: index) nothing is accumulated: the gradients of the wanted come back,
    None where unreached. Gradients are arrays, or Tensors when create_graph.
    """
    found: list[Any] = [None] * (max(wanted.values()) + 1 if wanted else 0)
    pending: dict[Node, list[Any]] = {}
    owned: set[tuple[Node, int]] = set()
    heap: list[Node] = []
    hooked: dict[int, tuple[Tensor, Any]] = {}  # leaves whose hooks wait for the whole gradient

    def arrive(parent: Any, slot: int, grads: list[Any], i: int) -> None:
        if type(parent) is not Node:
            if wanted is None and parent._hooks:
                before = hooked.get(id(parent))
                hooked[id(parent)] = (parent, grads[i] if before is None else plus(before[1], grads[i]))
            elif wanted is None:
                accumulate(parent, grads, i)
            elif id(parent) in wanted:
                if parent._hooks:
                    hooked[id(parent)] = (parent, None)
                at = wanted[id(parent)]
                found[at] = grads[i] if found[at] is None else plus(found[at], grads[i])
            return
        got = pending.get(parent)
        if got is None:
            got = pending[parent] = [None] * len(parent.outputs)
            heappush(heap, parent)
        if got[slot] is None:
            got[slot] = grads[i]
        elif (parent, slot) in owned:
            _kernels.map2(_ADD, got[slot], grads[i], got[slot])
        else:
            got[slot] = plus(got[slot], grads[i])
            if not create_graph:
                owned.add((parent, slot))

    def plus(a: Any, b: Any) -> Any:
        return _kernels.map2(_ADD, a, b) if type(a) is np.ndarray else a + b

    def call_hook(hook: Callable[[Any], Any], g: Any) -> Any:
        from .tensor import Tensor

        t = g if isinstance(g, Tensor) else Tensor._new(g)
        r = hook(t)
        if r is None:
            return g
        if not isinstance(r, Tensor) or r.shape != t.shape:
            raise RuntimeError(
                f"a gradient hook must return None or a Tensor of shape {t.shape}, got {r if not isinstance(r, Tensor) else r.shape}"
            )
        return r if create_graph else r._data

    for node, slot, g in roots:
        arrive(node, slot, [g], 0)
    while heap:
        node = heappop(heap)
        upstream = pending.pop(node)
        if node.hooks:
            for slot_, hook in list(node.hooks):
                if upstream[slot_] is not None:
                    upstream[slot_] = call_hook(hook, upstream[slot_])
        if wanted:
            for slot, g in enumerate(upstream):
                at_ = wanted.get((node, slot))
                if at_ is not None:
                    found[at_] = g
        check_versions(node)
        parents = node.parents
        slots = node.slots
        grads = _as_list(node.op.call_rule(node, upstream, create_graph))
        if len(grads) != len(parents):
            raise RuntimeError(
                f"backward of {node.op.__name__}: its rule gave {len(grads)} gradients for {len(parents)} inputs"
            )
        if not retain_graph:
            node.kept = FREED
        del upstream
        for i, parent in enumerate(parents):
            if parent is None or grads[i] is None:
                continue
            slot = slots[i] if slots is not None else 0
            shape, dtype = parent.outputs[slot] if type(parent) is Node else (parent._data.shape, parent._data.dtype)
            g = grads[i]
            if g.shape != shape or g.dtype != dtype:
                grads[i] = _fitted(g, shape, dtype, node)
            del g
            arrive(parent, slot, grads, i)
    for leaf, whole in hooked.values():
        if wanted:
            whole = found[wanted[id(leaf)]]
        for hook in list((leaf._hooks or {}).values()):
            whole = call_hook(hook, whole)
        if wanted:
            found[wanted[id(leaf)]] = whole
        else:
            accumulate(leaf, [whole], 0)
    return found


def root_gradient(t: Tensor, gradient: Any, create_graph: bool, what: str) -> Any:
    """The gradient a walk starts with: ones for a scalar, or what the caller gave, checked."""
    from .tensor import Tensor

    if gradient is None:
        if t._data.size != 1:
            raise RuntimeError(
                f"{what}: the gradient of a tensor of shape {t.shape} needs to be told: pass gradient=, or reduce it to a scalar"
            )
        g: Any = np.ones(t._data.shape, t._data.dtype)
        return Tensor._new(g) if create_graph else g
    if not isinstance(gradient, Tensor):
        gradient = Tensor._new(np.asarray(gradient, dtype=t._data.dtype))
    if gradient.shape != t.shape:
        raise RuntimeError(f"{what}: expected a gradient of shape {t.shape}, got {gradient.shape}")
    if gradient.dtype != t.dtype:
        gradient = gradient.to(t.dtype)
    return gradient if create_graph else gradient._data


def backward(
    tensors: Iterable[Tensor], gradients: Iterable[Any], retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Accumulate into `.grad` of every leaf that the tensors came from."""
    roots = []
    for t, g in zip(tensors, gradients):
        if not t.requires_grad:
            raise RuntimeError(
                "backward: this tensor does not require grad and has no history; set requires_grad=True on what it came from"
            )
        roots.append((t._node if t._node is not None else t, t._slot, root_gradient(t, g, create_graph, "backward")))
    keep = create_graph if retain_graph is None else retain_graph
    before = mode.enabled
    mode.enabled = create_graph
    try:
        run(roots, create_graph, keep)
    finally:
        mode.enabled = before
