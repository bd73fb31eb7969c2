"""What makes an op of two functions: its value on arrays, and its rule. Called on arrays it gives an array; on Tensors it
gives a Tensor and records."""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, ParamSpec, Protocol, cast, overload

import numpy as np

from . import _kernels
from .tape import Node, mode
from .tensor import Tensor

P = ParamSpec("P")
_OWN = frozenset(("tinytensor", "tinytensor.ops", "tinytensor.nn"))  # whose lines are not the user's
Array = Any
"""An ndarray or a Python number inside an op; a Tensor, too, where the op is called."""


class Op(Protocol[P]):
    """An op as its callers see it: a plain function, with its description."""

    __name__: str
    op: Description

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...

    @overload
    def rule(self, function: Callable[..., Any], /) -> Callable[..., Any]: ...
    @overload
    def rule(self, /, **when: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...


class Description:
    """A differentiable function: `forward` on arrays, and `rule`, which gets the upstream gradient and what its parameters
    name: inputs, `out` (the value), `NAME_shape`, auxiliaries, other arguments, and `needs` (one flag per input)."""

    __name__: str
    forward: Callable[..., Any]
    inputs: tuple[str, ...]
    names: tuple[str, ...]
    order: tuple[str, ...]

    def __init__(self, forward: Callable[..., Any], aux: tuple[str, ...], view: bool) -> None:
        self.__name__ = forward.__name__.lstrip("_")  # `_sum` is what the public `sum` calls
        self.forward = forward
        self.aux = aux
        self.view = view
        self.function: Callable[..., Any] | None = None
        # read off the code object: inspect.signature would be a fifth of the import time
        code, kinds = forward.__code__, forward.__annotations__
        self.positional = code.co_varnames[: code.co_argcount]
        self.keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        self.parameters = (*self.positional, *self.keywords)
        self.inputs = tuple(n for n in self.parameters if kinds.get(n) in ("Array", "Array | None"))
        self.many = next((n for n in self.parameters if kinds.get(n) == "Sequence[Array]"), None)
        self.names = self.order = ()
        self.kinds: tuple[int, ...] = ()
        self.wants_needs = False
        self.when: dict[str, str] = {}

    def set_rule(self, function: Callable[..., Any], when: dict[str, str]) -> None:
        """Take the backward rule and what its parameters ask to be kept; when: {input: the input whose gradient needs it}."""
        self.function = function
        self.when = when
        names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
        self.wants_needs = "needs" in names
        known = (*self.parameters, *self.aux, "out", "needs", *(f"{n}_shape" for n in (*self.inputs, self.many)))
        for n in names:
            if n not in known:
                raise TypeError(f"the rule of {self.__name__} names {n!r}: not an argument, auxiliary, shape or 'out'")
        self.names = tuple(n for n in names if n != "needs")
        # which of the kept values are inputs (their position), the output (-1), or plain (-2)
        self.kinds = tuple(self.inputs.index(n) if n in self.inputs else -1 if n == "out" else -2 for n in self.names)
        self.order = names

    def call_rule(self, node: Node, upstream: list[Any], create_graph: bool) -> Any:
        """The gradients of the node's inputs."""
        kept = node.kept
        g = upstream[0]
        if create_graph:
            kept = tuple(
                _again(v, node, k) if k >= 0 else Tensor._made(v, node, 0) if k == -1 else v
                for v, k in zip(kept, self.kinds)
            )
        assert self.function is not None
        if not self.wants_needs:
            return self.function(g, *kept)
        values = iter(kept)
        needs = tuple(p is not None for p in node.parents)
        return self.function(g, *(needs if n == "needs" else next(values) for n in self.order))


def _again(value: Any, node: Node, i: int) -> Any:
    """The Tensor that an input was, from its array and its place on the tape."""
    parent = node.parents[i]
    if parent is None or not isinstance(value, np.ndarray):
        return Tensor._new(value) if isinstance(value, np.ndarray) else value
    if type(parent) is Node:
        return Tensor._made(value, parent, node.slots[i] if node.slots is not None else 0)
    if parent._data is not value:
        raise RuntimeError(
            "backward with create_graph: the data of a leaf was replaced since the op ran; derivatives of its gradient are lost"
        )
    return parent


@overload
def op(forward: Callable[P, Any], /) -> Op[P]: ...
@overload
def op(*, aux: tuple[str, ...] = (), view: bool = False) -> Callable[[Callable[P, Any]], Op[P]]: ...
def op(forward: Callable[..., Any] | None = None, /, *, aux: tuple[str, ...] = (), view: bool = False) -> Any:
    """Decorator: make an op of a function on arrays. `aux` names what it returns behind its value, for the rule alone;
    `view` says that its value may share its input's memory.

    Parameters annotated `Array` or `Array | None` may be Tensors; one annotated `Sequence[Array]` makes all of them inputs.
    Without a rule the op gives Tensors that need no gradient.
    """
    if forward is None:
        return lambda f: _callable(Description(f, aux, view))
    return _callable(Description(forward, aux, view))


def _callable(o: Description) -> Callable[..., Any]:
    env: dict[str, Any] = {
        "Tensor": Tensor, "Node": Node, "mode": mode, "forward": o.forward, "op": o, "version": _kernels.version,
        "new": Tensor._new, "make": Tensor.__new__, "getframe": sys._getframe, "own": _OWN,
        "remember_view": remember_view, "__package__": __package__,
    }  # fmt: skip
    # written out at its first call: compiling all ops would be most of the import time
    call: Any = _listed(o) if o.many else FunctionType(_FIRST_CALL, env)
    call.__name__ = call.__qualname__ = o.__name__
    call.__doc__ = o.forward.__doc__
    call.__module__ = o.forward.__module__
    call.__annotations__ = dict(o.forward.__annotations__)
    call.__wrapped__ = o.forward  # for inspect.signature
    call.op = o

    def written_out() -> Callable[..., Any]:
        full = _compiled(o, env)
        # the code last: another thread may call in between
        call.__defaults__, call.__kwdefaults__, call.__code__ = full.__defaults__, full.__kwdefaults__, full.__code__
        return cast("Callable[..., Any]", call)

    def rule(function: Callable[..., Any] | None = None, /, **when: str) -> Any:
        """Decorator for the backward rule. `x="y"`: x is kept only where y needs a gradient (the rule gets None else)."""
        if function is None:
            return lambda f: rule(f, **when)
        o.set_rule(function, when)
        return function

    env["written_out"] = written_out

    call.rule = rule
    return cast("Callable[..., Any]", call)


def _first_call(*args: Any, **kwargs: Any) -> Any:
    return written_out()(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821  (in each op's own globals)


_FIRST_CALL = _first_call.__code__


def remember_view(t: Tensor) -> None:
    """Let the owner of t's memory know of t, so that a change in place can reach it."""
    block = _kernels.block(t._data)
    if block is not None:
        if block.views is None:
            block.views = []
        elif len(block.views) > 8:
            block.views = [r for r in block.views if r() is not None]
        block.views.append(weakref.ref(t))


def _listed(o: Description) -> Callable[..., Any]:
    """The callable of an op whose first argument is a sequence of arrays."""

    def call(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        tensors = tuple(tensors)
        if not any(isinstance(t, Tensor) for t in tensors):
            return o.forward(tensors, *args, **kwargs)
        arrays = tuple(t._data if isinstance(t, Tensor) else t for t in tensors)
        out = o.forward(arrays, *args, **kwargs)
        if (
            o.function is None
            or not mode.enabled
            or out.dtype.kind != "f"
            or not any(isinstance(t, Tensor) and t._requires for t in tensors)
        ):
            return Tensor._new(out)
        bound = inspect.signature(o.forward).bind(tensors, *args, **kwargs)
        bound.apply_defaults()
        values = {**bound.arguments, f"{o.many}_shape": tuple(np.shape(a) for a in arrays)}
        frame = sys._getframe(1)
        while frame.f_globals.get("__package__") in _OWN and frame.f_back is not None:
            frame = frame.f_back
        flat = tuple(t if isinstance(t, Tensor) else None for t in tensors)
        node = Node(
            o,
            tuple((t._node if t._node is not None else t) if t is not None and t._requires else None for t in flat),
            tuple(t._slot if t is not None else 0 for t in flat),
            tuple(values[n] for n in o.names),
            None,
            ((out.shape, out.dtype),),
            frame.f_code,
            frame.f_lasti,
        )
        return Tensor._made(out, node, 0)

    return call


_CODE: dict[str, CodeType] = {}


def _compiled(o: Description, env: dict[str, Any]) -> Any:
    """The callable of an op with a fixed number of inputs, written out so that recording costs little."""
    inputs = o.inputs

    def passed(suffix: str) -> str:
        values = {n: n + suffix if n in inputs else n for n in o.parameters}
        return ", ".join([*(values[n] for n in o.positional), *(f"{n}={values[n]}" for n in o.keywords)])

    def kept(n: str) -> str:
        if n.endswith("_shape") and n[:-6] in inputs:
            return f"getattr({n[:-6]}_a, 'shape', ())"
        return f"{n}_a" if n in inputs else "_out" if n == "out" else n  # an input may be named `out`, too

    def if_needed(n: str, value: str) -> str:
        other = o.when.get(n)
        return f"{value} if {other}_t and {other}._requires else None" if other else value

    counted = [if_needed(n, f"version({kept(n)})") if n in inputs or n == "out" else "None" for n in o.names]
    star = ("*", *o.keywords) if o.keywords else ()
    lines = [f"def call({', '.join((*o.positional, *star))}):"]
    lines += [f"    {n}_t = isinstance({n}, Tensor)" for n in inputs]
    lines += [
        f"    if not ({' or '.join(f'{n}_t' for n in inputs)}):",
        f"        return forward({passed('')})" + ("[0]" if o.aux else ""),
    ]
    lines += [f"    {n}_a = {n}._data if {n}_t else {n}" for n in inputs]
    targets = ", ".join(("_out", *o.aux))
    lines += [f"    {targets} = forward({passed('_a')})"]
    if o.function is None:
        lines += ["    return new(_out)"]
        return _executed(o, lines, env)
    needs = " or ".join(f"{n}_t and {n}._requires" for n in inputs)
    lines += [f"    if not (mode.enabled and ({needs})) or _out.dtype.kind != 'f':", "        return new(_out)"]
    parents = "".join(f"({n}._node or {n}) if {n}_t and {n}._requires else None, " for n in inputs)
    slots = "".join(f"{n}._slot if {n}_t else 0, " for n in inputs)
    any_slot = " or ".join(f"{n}_t and {n}._slot" for n in inputs)
    lines += [
        "    frame = getframe(1)",
        "    while frame.f_globals.get('__package__') in own and frame.f_back is not None:",
        "        frame = frame.f_back",
        f"    node = Node(op, ({parents}), ({slots}) if {any_slot} else None, ({''.join(if_needed(n, kept(n)) + ', ' for n in o.names)}),",
        f"                {'(' + ', '.join(counted) + ',)' if any(c != 'None' for c in counted) else 'None'}, ((_out.shape, _out.dtype),), frame.f_code, frame.f_lasti)",
        "    t = make(Tensor)",
        "    t._data = _out",
        "    t._grad = t._hooks = None",
        "    t._requires = True",
        "    t._grad_ours = False",
        "    t._node = node",
        "    t._slot = 0",
        *(["    remember_view(t)"] if o.view else []),
        "    return t",
    ]
    return _executed(o, lines, env)


def _executed(o: Description, lines: list[str], env: dict[str, Any]) -> Any:
    text = "\n".join(lines)
    if text not in _CODE:  # ops of one signature share their code: compiling is most of the import time
        _CODE[text] = compile(text, "<tinytensor op>", "exec")
    made: dict[str, Any] = {}  # not env, which another thread may be filling, too
    exec(_CODE[text], env, made)
    call = made["call"]
    call.__code__ = call.__code__.replace(co_name=o.__name__)
    call.__defaults__, call.__kwdefaults__ = o.forward.__defaults__, o.forward.__kwdefaults__
    return call
