"""Functions with a rule of their own: `Function` as PyTorch has it, and `custom_vjp` as JAX has it."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from . import _kernels
from ._tape import Node, Op, bind_view, cause, check_made, here, keep_value
from .ops.inplace import SEALED, check_kin, renew_kin
from .random import default_generator, fork_rng
from .tape import mode, no_grad
from .tensor import Tensor

__all__ = ["Function", "FunctionCtx", "custom_vjp", "tensors_in"]
_INPUT, _OUTPUT, _OTHER, _CONSTANT = range(4)
_HOLE = object()  # where a Tensor was


class _Saved:
    """A saved Tensor: its array, and where it stands on the tape, by number where it is an input or output of the node."""

    __slots__ = ("array", "history", "index", "kind", "version")

    def __init__(self, tensor: Tensor, kind: int, index: int) -> None:
        self.array, self.kind, self.index = tensor._data, kind, index
        self.history: Any = (tensor._node or tensor) if kind == _OTHER else None
        self.version = _kernels.version(self.array)


class FunctionCtx:
    """What `forward` hands on to `backward`. Attributes of any name may be set on it; Tensors go through save_for_backward.

    needs_input_grad: for each argument of forward whether its gradient is asked for; False for what is no Tensor.
    """

    needs_input_grad: tuple[bool, ...]

    def __init__(self, name: str, rule: Callable[..., Any], needs: tuple[bool, ...]) -> None:
        self._name, self._rule, self.needs_input_grad = name, rule, needs
        self._given: tuple[Tensor | None, ...] | None = ()
        self._saved: tuple[_Saved | None, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._constant: tuple[Any, ...] = ()
        self._materialize = True
        self._slots: tuple[int | None, ...] = ()
        self._node: Callable[[], Node | None] = lambda: None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, outputs or other Tensors (or None) for backward, which finds them in `saved_tensors`.

        Inputs and outputs keep their history there, so that backward can be differentiated; other Tensors that forward made
        have none: a second derivative through them raises, unless they are marked as not differentiable. TypeError for what
        is no Tensor.
        """
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"{self._name}: save_for_backward takes Tensors and None, got {type(t).__name__}; set it on ctx instead"
                )
        self._given = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The Tensors of save_for_backward. RuntimeError where one was changed in place since, or they were freed."""
        if self._given is not None:
            return self._given
        return tuple(self._unpacked(i) for i in range(len(self._saved)))

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these outputs have no gradient (integers never have one), or that these saved Tensors are constants."""
        self._constant = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that forward changed these inputs in place; each must be among the outputs, and comes back as itself."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """False: backward gets None, not zeros, for outputs that no gradient reached."""
        self._materialize = bool(value)

    def _unpacked(self, i: int) -> Tensor | None:
        saved, node = self._saved[i], self._node()
        if saved is None:
            return None
        if node is None or not isinstance(node.kept, tuple):
            raise RuntimeError(
                f"{self._name}: the saved tensors were freed after backward; pass retain_graph=True to the first one"
            )
        array = saved.array
        if _kernels.version(array) != saved.version:
            block = _kernels.block(array)
            by = cause(block.changed) if block is not None and block.changed else ""
            raise RuntimeError(
                f"backward of {self._name} (made at {node.line}) needs a saved tensor of shape {array.shape} that was changed "
                f"in place{by} after forward saved it: change a clone() instead, or do it before"
            )
        if saved.kind == _OUTPUT:
            return Tensor._made(array, node, saved.index)
        if saved.kind == _CONSTANT:
            if saved.index and mode.enabled and array.dtype.kind == "f":
                lost = Node(
                    _LOST, node.parents, node.slots, (self,), ((array.shape, array.dtype),), node.code, node.offset
                )
                return Tensor._made(array, lost, 0)
            return Tensor._new(array)
        parent: Any = saved.history
        slot = saved.index
        if saved.kind == _INPUT:
            parent, slot = node.parents[saved.index], node.slots[saved.index] if node.slots is not None else 0
        if parent is None:
            return Tensor._new(array)
        if isinstance(parent, Node):
            return Tensor._made(array, parent, slot)
        if parent._data is array:
            return parent  # type: ignore[no-any-return]
        if mode.enabled:
            raise RuntimeError(
                f"backward of {self._name} with create_graph: the data of a leaf was replaced since forward saved it; "
                "derivatives of its gradient are lost"
            )
        return Tensor._new(array)


def _applied(ctx: FunctionCtx) -> Any:
    """Stands for the forward of a Function, which ran before its node was made."""
    raise RuntimeError("a Function is called by its apply")


def _rule(g: Any, ctx: FunctionCtx, node: Node) -> tuple[Any, ...]:
    """The rule of every Function: calls its backward on Tensors."""
    ctx._node = weakref.ref(node)
    grads = g if type(g) is list else [g]
    higher = any(isinstance(one, Tensor) for one in grads)
    ups: list[Tensor | None] = []
    for slot in ctx._slots:
        one = None if slot is None else grads[slot]
        if one is None and slot is not None and ctx._materialize:
            one = _kernels.empty(*node.outputs[slot])
            one.fill(0)
        ups.append(one if one is None or isinstance(one, Tensor) else Tensor._new(one))
    versions = [0 if t is None else _kernels.version(t._data) for t in ups]
    result = ctx._rule(ctx, *ups)
    if any(t is not None and _kernels.version(t._data) != v for t, v in zip(ups, versions)):
        raise RuntimeError(
            f"{ctx._name}.backward changed an upstream gradient in place, which others may hold, too: make a new Tensor"
        )
    found = list(result) if isinstance(result, (tuple, list)) else [result]
    n = len(node.parents)
    if len(found) < n or any(one is not None for one in found[n:]):
        raise RuntimeError(
            f"{ctx._name}.backward gave {len(found)} gradients; expected {n}, one for each argument of forward (None for what "
            "has none)"
        )
    for i, one in enumerate(found):
        if one is not None and not isinstance(one, Tensor):
            raise TypeError(f"{ctx._name}.backward: gradient {i} must be a Tensor or None, got {type(one).__name__}")
    return tuple([one if one is None or higher else one._data for one in found[:n]])


def _no_rule(g: Any, ctx: FunctionCtx, node: Node) -> Any:
    """The rule of a saved Tensor that forward made unrecorded: a gradient that comes here would be lost silently."""
    raise RuntimeError(
        f"{ctx._name} (made at {node.line}): a second derivative needs the history of a saved tensor of shape "
        f"{node.outputs[0][0]} that forward made: save inputs or outputs, or mark it with ctx.mark_non_differentiable if it is "
        "a constant"
    )


def _op_named(name: str, rule: Callable[..., Any] = _rule) -> Op[...]:
    op: Op[...] = Op(FunctionType(_applied.__code__, globals(), name), (), False, None)
    op.rule(rule)
    return op


_LOST = _op_named("saved_tensor", _no_rule)


def _run(
    op: Op[...],
    forward: Callable[..., Any],
    rule: Callable[..., Any],
    args: tuple[Any, ...],
    setup: Callable[..., Any] | None = None,
) -> Any:
    """Run forward without recording, and put one node for it on the tape."""
    name = op.__name__
    needs = tuple([isinstance(a, Tensor) and a._requires for a in args])
    ctx = FunctionCtx(name, rule, needs)
    with no_grad():
        if setup is None:
            raw = forward(ctx, *args)
        else:
            raw = forward(*args)
            setup(ctx, args, raw)
    if isinstance(raw, list):
        raise TypeError(f"{name}.forward: return a Tensor or a tuple of them, got a list")
    outs = list(raw) if isinstance(raw, tuple) else [raw]
    recorded = mode.enabled and any(needs)
    mark = here(name)
    inputs = {id(a): i for i, a in enumerate(args) if isinstance(a, Tensor)}
    _check_dirty(ctx, args, outs, recorded)
    for t in ctx._dirty:
        _kernels.changed(t._data, mark)
    node = None
    tensors = [t for t in outs if isinstance(t, Tensor)]
    if recorded and tensors:
        parents = tuple([(a._node or a) if need else None for a, need in zip(args, needs)])
        numbers = tuple([a._slot if need else 0 for a, need in zip(args, needs)])
        metas = tuple([(t.shape, t.dtype) for t in tensors])
        node = Node(op, parents, numbers if any(numbers) else None, (ctx,), metas, *mark[:2])
        _keep(ctx, inputs, {id(t): i for i, t in enumerate(tensors)})
    ctx._given = None
    constant, dirty, seen = {id(t) for t in ctx._constant}, {id(t) for t in ctx._dirty}, set(inputs)
    check_made(
        name,
        [(f"argument {i}", a._data) for i, a in enumerate(args) if isinstance(a, Tensor)],
        [("result", t._data) for t in tensors],
        node,
    )
    memory = [a for a in args if isinstance(a, Tensor)]
    places: list[int | None] = []
    result = []
    at = -1
    for t in outs:
        if not isinstance(t, Tensor):
            places.append(None)
            result.append(t)
            continue
        at += 1
        places.append(at)
        differentiable = t._data.dtype.kind == "f" and id(t) not in constant
        if id(t) in dirty:
            if node is not None and differentiable:
                t._rebase(node, at)
                renew_kin(t, mark)
            result.append(t)
            continue
        array = t._data
        if id(t) in seen or t._requires:
            array = array.view()  # somebody else's memory: a change of it in place is that of a view
        seen.add(id(t))
        if node is None or not differentiable:
            result.append(t if array is t._data else Tensor._new(array))
            continue
        keep_value(node, at, array)
        made = Tensor._made(array, node, at)
        block = _kernels.block(array)
        base = next((m for m in memory if block is not None and _kernels.block(m._data) is block), None)
        if base is not None:
            bind_view(base, made)
            SEALED[id(made)] = made
        memory.append(made)
        result.append(made)
    ctx._slots = tuple(places)
    ctx._dirty = ctx._constant = ()
    return tuple(result) if isinstance(raw, tuple) else result[0]


def _check_dirty(ctx: FunctionCtx, args: tuple[Any, ...], outs: list[Any], recorded: bool) -> None:
    for t in ctx._dirty:
        if not any(t is a for a in args) or not any(t is o for o in outs):
            raise RuntimeError(
                f"{ctx._name}: a tensor that is marked dirty must be both an argument and an output of forward"
            )
        if not recorded:
            continue
        if t._requires and t._node is None:
            raise RuntimeError(
                f"{ctx._name}: a leaf that requires grad cannot be changed in place; pass a clone(), or do it under no_grad"
            )
        if t._data.base is not None and isinstance(t._data.base, type(t._data)):
            raise RuntimeError(
                f"{ctx._name}: a view cannot be changed in place while gradients are recorded; pass its base, or a clone()"
            )
        check_kin(ctx._name, t)
        if t._requires and any(t is c for c in ctx._constant):
            raise RuntimeError(f"{ctx._name}: a dirty tensor that requires grad cannot be non-differentiable")


def _keep(ctx: FunctionCtx, inputs: dict[int, int], slots: dict[int, int]) -> None:
    """Take note of what was saved, without keeping the outputs themselves: they keep the node."""
    saved: list[_Saved | None] = []
    dirty, constant = {id(t) for t in ctx._dirty}, {id(t) for t in ctx._constant}
    for t in ctx._given or ():
        if t is None:
            saved.append(None)
        elif id(t) in constant or t._data.dtype.kind != "f":
            saved.append(_Saved(t, _CONSTANT, 0))
        elif id(t) in inputs and id(t) not in dirty:
            saved.append(_Saved(t, _INPUT, inputs[id(t)]))
        elif id(t) in slots:
            saved.append(_Saved(t, _OUTPUT, slots[id(t)]))
        elif t._requires:
            saved.append(_Saved(t, _OTHER, t._slot))
        else:
            saved.append(_Saved(t, _CONSTANT, 1))
    ctx._saved = tuple(saved)


class Function:
    """A function with a rule of its own: subclass it, define `forward` and `backward`, and call `apply`.

    >>> class Multiply(tt.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x, y):
    ...         ctx.save_for_backward(x, y)
    ...         return x * y
    ...     @staticmethod
    ...     def backward(ctx, dz):
    ...         x, y = ctx.saved_tensors
    ...         return [y * dz, x * dz]
    >>> z = Multiply.apply(x, y)

    forward gets any arguments, runs unrecorded and returns a Tensor or a tuple; backward gets one gradient per output and
    returns one per argument, None for what has none. Made of tensor ops, backward can itself be differentiated. Names and
    meaning are those of torch.autograd.Function, `setup_context` included. Two things are refused that PyTorch lets pass:
    an upstream gradient changed in place, and second derivatives through a saved tensor whose history nobody has.
    """

    _op: Op[...]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = _op_named(cls.__name__)

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is not to be instantiated: call {type(self).__name__}.apply(...)")

    @staticmethod
    def forward(*args: Any) -> Any:
        """Compute the outputs: forward(ctx, *args), or forward(*args) where setup_context is defined."""
        raise NotImplementedError("a Function must define the static method forward")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:
        """Fill ctx where forward does not take it: called after forward with its arguments and what it returned."""
        raise NotImplementedError("setup_context is not defined")

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        """The gradient for each argument of forward, from that of each output."""
        raise NotImplementedError("a Function must define the static method backward before it is differentiated")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call forward, and record one node named after the class where an argument requires grad.

        TypeError for keyword arguments.
        """
        if kwargs:
            raise TypeError(
                f"{cls.__name__}.apply takes no keyword arguments, got {', '.join(kwargs)}: pass them by position"
            )
        if cls is Function:
            raise TypeError("Function.apply: subclass Function and define forward and backward")
        apart = cls.setup_context is not Function.setup_context
        return _run(cls._op, cls.forward, cls.backward, args, cls.setup_context if apart else None)


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """The Tensors in nested tuples, lists and dicts."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (tuple, list, dict)):
        for one in tree.values() if isinstance(tree, dict) else tree:
            yield from tensors_in(one)


def _with(tree: Any, tensors: Iterator[Any]) -> Any:
    """The tree with the next of `tensors` in the place of each Tensor."""
    if isinstance(tree, Tensor) or tree is _HOLE:
        return next(tensors)
    if isinstance(tree, dict):
        return {key: _with(one, tensors) for key, one in tree.items()}
    if isinstance(tree, (tuple, list)):
        made = [_with(one, tensors) for one in tree]
        if isinstance(tree, tuple):
            return type(tree)(*made) if hasattr(tree, "_fields") else tuple(made)
        return made
    return tree


class custom_vjp:
    """Decorator: give a function of Tensors a rule of its own, in JAX's form.

    >>> @tt.custom_vjp
    ... def log1pexp(x):
    ...     return tt.log(1 + tt.exp(x))
    >>> def fwd(x):
    ...     return log1pexp(x), x                 # the output, and what bwd needs: Tensors in tuples, lists and dicts
    >>> def bwd(x, g):
    ...     return (g * tt.sigmoid(x),)           # a tuple: one gradient for each argument, None for zero
    >>> log1pexp.defvjp(fwd, bwd)

    fwd and bwd run unrecorded. With create_graph, fwd runs again, recorded and with the same random numbers, so that what it
    hands on has a history; for this the arguments are kept, too. Tensors that require grad must be arguments themselves, not
    inside of lists (TypeError), and what the function takes from around it gets no gradient.
    Source: jax.custom_vjp.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._signature = inspect.signature(function)
        self._op = _op_named(getattr(function, "__name__", "function"))
        self._fwd: Callable[..., Any] | None = None
        self._bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the rule: fwd(*args) -> (output, residuals), and bwd(residuals, gradient of output) -> a tuple of gradients."""
        self._fwd, self._bwd = fwd, bwd

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fwd is None or self._bwd is None:
            raise RuntimeError(
                f"custom_vjp: {self._op.__name__} has no rule; call {self._op.__name__}.defvjp(fwd, bwd) first"
            )
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(f"custom_vjp: {self._op.__name__} has parameters by name alone: {', '.join(bound.kwargs)}")
        for i, a in enumerate(bound.args):
            if not isinstance(a, Tensor) and any(t._requires for t in tensors_in(a)):
                raise TypeError(
                    f"custom_vjp: argument {i} of {self._op.__name__} is a {type(a).__name__} with Tensors that require grad: "
                    "pass each as an argument"
                )
        if not mode.enabled or not any(isinstance(a, Tensor) and a._requires for a in bound.args):
            with no_grad():
                return self._function(*bound.args)
        return _run(self._op, self._forward, self._backward, bound.args)

    def _run_fwd(self, args: tuple[Any, ...]) -> tuple[Any, Any]:
        assert self._fwd is not None
        pair = self._fwd(*args)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"custom_vjp: fwd of {self._op.__name__} must return a pair (output, residuals), got {type(pair).__name__}"
            )
        return pair

    def _forward(self, ctx: Any, *args: Any) -> Any:
        ctx.random = default_generator.get_state()
        output, residuals = self._run_fwd(args)
        kept = list(tensors_in(residuals))
        ctx.save_for_backward(*[a if isinstance(a, Tensor) else None for a in args], *kept)
        ctx.others = [None if isinstance(a, Tensor) else a for a in args]
        ctx.residuals = _with(residuals, iter([_HOLE] * len(kept)))
        ctx.many = isinstance(output, tuple)
        return output

    def _backward(self, ctx: Any, *grads: Tensor | None) -> Any:
        assert self._bwd is not None
        n = len(ctx.others)
        if mode.enabled:
            args = [ctx._unpacked(i) if ctx._saved[i] is not None else other for i, other in enumerate(ctx.others)]
            with fork_rng():
                default_generator.set_state(ctx.random)
                residuals = self._run_fwd(tuple(args))[1]
        else:
            residuals = _with(ctx.residuals, iter([ctx._unpacked(i) for i in range(n, len(ctx._saved))]))
        found = self._bwd(residuals, grads if ctx.many else grads[0])
        if not isinstance(found, (tuple, list)) or len(found) != n:
            got = f"{len(found)} of them" if isinstance(found, (tuple, list)) else type(found).__name__
            raise RuntimeError(
                f"custom_vjp: bwd of {self._op.__name__} must return a tuple of {n} gradients, got {got}"
            )
        return found
