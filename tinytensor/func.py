"""Transforms of functions: gradients, products with Jacobians, Jacobians and Hessians, with `torch.func`'s names and meaning.

A function's arguments and outputs may be Tensors or nested lists, tuples and dicts of them; arrays and floats become Tensors.
Transforms compose, and a function may close over Tensors that require grad: results then have a history that leads to them,
and to arguments that require grad. As in torch.func a `no_grad` around a transform does not reach into the function: the
derivative is right, and has no history; one inside the function makes constants of what it encloses. A function must not change its
arguments in place. There is no vmap: ops broadcast, so write the batch dimension, or loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from . import _kernels, tape
from .creation import as_tensor, tensor
from .op import Array, op
from .ops.join import stack
from .tensor import Tensor

__all__ = ["grad", "hessian", "hvp", "jacfwd", "jacobian", "jacrev", "jvp", "value_and_grad", "vjp"]
Function = Callable[..., Any]


@op(view=True)
def _argument(x: Array) -> Any:
    """x as the argument of a transformed function: where the walk back of that transform ends."""
    return _kernels.owned(x[...])


@_argument.rule
def _(g: Any) -> Any:
    return g


# ----------------------------------------------------------------------------------------------------------------- trees
def _children(tree: Any) -> list[Any] | None:
    """The parts of a list, tuple or dict, none of None; None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.values())
    return list(tree) if isinstance(tree, (list, tuple)) else [] if tree is None else None


def _leaves(tree: Any) -> list[Any]:
    parts = _children(tree)
    return [tree] if parts is None else [leaf for part in parts for leaf in _leaves(part)]


def _built(like: Any, leaves: Any) -> Any:
    """The structure of `like` with the next leaves of an iterator."""
    if isinstance(like, dict):
        return {k: _built(v, leaves) for k, v in like.items()}
    if isinstance(like, (list, tuple)):
        parts = [_built(v, leaves) for v in like]
        return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)
    return None if like is None else next(leaves)


def _tree(like: Any, leaves: Sequence[Any]) -> Any:
    return _built(like, iter(leaves))


def _shape_of(tree: Any) -> Any:
    """The structure of a tree, for comparison and for errors."""
    if isinstance(tree, dict):
        return {k: _shape_of(v) for k, v in tree.items()}
    parts = _children(tree)
    return "*" if parts is None else (type(tree).__name__, *[_shape_of(p) for p in parts])


def _matched(what: str, name: str, tree: Any, like: Any, leaves: list[Tensor]) -> list[Tensor]:
    """The leaves of `tree` as Tensors in the shapes and dtypes of `leaves`, those of `like`."""
    if isinstance(tree, dict) and isinstance(like, dict) and tree.keys() == like.keys():
        tree = {k: tree[k] for k in like}  # keys in one order
    if _shape_of(tree) != _shape_of(like):
        raise ValueError(f"{what}: expected {name} in the structure {_shape_of(like)}, got {_shape_of(tree)}")
    found = []
    for v, t in zip(_leaves(tree), leaves):
        v = v if isinstance(v, Tensor) else as_tensor(v, t.dtype)
        if v.shape != t.shape:
            raise ValueError(f"{what}: expected {name} of shape {t.shape}, got {v.shape}")
        found.append(v if v.dtype == t.dtype else v.to(t.dtype))
    return found


# ----------------------------------------------------------------------------------------------------------- one function
def _float(what: str, name: str, value: Any) -> Tensor:
    """A float Tensor from an argument."""
    if isinstance(value, (bool, int)):
        raise TypeError(
            f"{what}: {name} is the {type(value).__name__} {value}; only floats have derivatives: pass {float(value)}"
        )
    if isinstance(value, (float, np.generic)):
        value = tensor(value)
    elif not isinstance(value, (Tensor, np.ndarray)):
        raise TypeError(
            f"{what}: {name} is a {type(value).__name__}; expected Tensors, arrays, floats, or lists, tuples and dicts of them"
        )
    t = as_tensor(value)
    if t.dtype.kind != "f":
        raise TypeError(
            f"{what}: {name} has dtype {t.dtype} and shape {t.shape}; only float32 and float64 have derivatives: use .to(tt.float32)"
        )
    return t


def _check_argnums(what: str, argnums: Any) -> None:
    if isinstance(argnums, bool) or not isinstance(argnums, (int, tuple)):
        raise TypeError(
            f"{what}: argnums is an int or a tuple of ints, got {type(argnums).__name__}; call {what}(f)(x), not {what}(f, x)"
        )


def _picked(what: str, args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> tuple[int, ...]:
    several = argnums if isinstance(argnums, tuple) else (argnums,)
    for i in several:
        if not -len(args) <= i < len(args):
            raise ValueError(f"{what}: argnums {argnums} names argument {i}, but the function was given {len(args)}")
    found = tuple(i % len(args) for i in several)
    if len(set(found)) < len(found):
        raise ValueError(f"{what}: argnums {argnums} names an argument twice")
    return found


class _Call:
    """One call of a function under a transform: its inputs (arguments by argnums), its outputs, and walks back between them."""

    def __init__(
        self,
        what: str,
        func: Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: int | tuple[int, ...],
        has_aux: bool,
    ) -> None:
        self.what = what
        self.recording = tape.mode.enabled
        places = _picked(what, args, argnums)
        self.like = args[places[0]] if isinstance(argnums, int) else tuple(args[i] for i in places)
        given, self.inputs, passed = [], [], list(args)
        with tape.enable_grad():
            for i in places:
                fresh = []
                for leaf in _leaves(args[i]):
                    t = _float(what, f"argument {i}", leaf)
                    given.append(t)
                    fresh.append(_argument(t if t._requires else Tensor._new(t._data).requires_grad_()))
                self.inputs += fresh
                passed[i] = _tree(args[i], fresh)
            places_on_tape = [t._node for t in self.inputs]
            result = func(*passed, **kwargs)
        if any(t._node is not node for t, node in zip(self.inputs, places_on_tape)):
            raise RuntimeError(f"{what}: the function changed an argument in place; let it change a clone() instead")
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(
                f"{what}: with has_aux=True the function returns (output, aux), got {type(result).__name__}"
            )
        self.tree, aux = result if has_aux else (result, None)
        self.outputs = [self._output(v) for v in _leaves(self.tree)]
        # does the result depend on what was made outside, and so have a history?
        self.outer = self.recording and (any(t._requires for t in given) or self._reaches_out())
        self.aux = _tree(aux, [self._left(v) for v in _leaves(aux)])

    def _output(self, v: Any) -> Tensor:
        if not isinstance(v, (Tensor, np.ndarray, np.generic, float)):
            raise TypeError(
                f"{self.what}: the function must return Tensors, or lists, tuples and dicts of them, got {type(v).__name__}"
            )
        t = as_tensor(v)
        if t.dtype.kind != "f":
            raise TypeError(
                f"{self.what}: the function returned {t.dtype} of shape {t.shape}; only floats have derivatives (has_aux=True returns others)"
            )
        return t

    def _reaches_out(self) -> bool:
        """Whether the outputs come from Tensors that require grad and are not the inputs."""
        own = {t._node for t in self.inputs}
        oldest = _oldest(self.inputs)
        if any(t._requires and t._node is None for t in self.outputs):
            return True
        seen: set[Any] = {t._node for t in self.outputs if t._node is not None} - own
        rest = list(seen)
        while rest:
            node = rest.pop()
            if node.number < oldest:
                return True
            for p in node.parents:
                if p is None or p in own or p in seen:
                    continue
                if not isinstance(p, tape.Node):
                    return True
                seen.add(p)
                rest.append(p)
        return False

    def _left(self, v: Any) -> Any:
        """An output or auxiliary as the caller gets it."""
        return v.detach() if isinstance(v, Tensor) and v._requires and not self.outer else v

    @property
    def value(self) -> Any:
        """The function's output, in its structure."""
        return _tree(self.tree, [self._left(t) for t in self.outputs])

    @property
    def scalar(self) -> Tensor:
        """The one output, which must be 0-d."""
        if _children(self.tree) is not None or self.outputs[0].ndim:
            shapes = [t.shape for t in self.outputs]
            raise ValueError(
                f"{self.what}: the function must return one 0-d Tensor, got {shapes[0] if len(shapes) == 1 else shapes}; reduce it, as by .sum()"
            )
        return self.outputs[0]

    def pull(self, ups: list[Any], create_graph: bool, keep: bool = True) -> list[Tensor]:
        """The vector-Jacobian product: a gradient of every input; ups are those of the outputs (None: none)."""
        return _walk(self.what, self.outputs, ups, self.inputs, create_graph, keep)

    def push(self) -> Callable[[list[Tensor], bool], list[Tensor]]:
        """What turns tangents of the inputs into tangents of the outputs: the vector-Jacobian product is linear in its upstream
        gradient, and its own vector-Jacobian product there is the Jacobian-vector product. It is recorded once."""
        with tape.enable_grad():
            ups = [_argument(Tensor._new(_generic(t)).requires_grad_()) for t in self.outputs]
        pulled = self.pull(ups, True)
        return lambda tangents, create_graph: _walk(self.what, pulled, tangents, ups, create_graph, True)


def _generic(t: Tensor) -> Any:
    """Numbers between 1/2 and 1, mostly different: no rule meets a special case in them. What is linear in them hides them."""
    a = _kernels.empty(t.shape, t.dtype)
    steps = np.arange(a.size, dtype=np.int64) * 40503 % 65521
    np.copyto(a.reshape(-1), (steps + 65536) / 131072)
    return a


def _oldest(inputs: list[Tensor]) -> int:
    return min((t._node.number for t in inputs if t._node is not None), default=0)


def _walk(
    what: str, outs: list[Tensor], ups: list[Any], inputs: list[Tensor], create_graph: bool, keep: bool
) -> list[Tensor]:
    """The gradients of outs to inputs, zeros where there are none, in memory of their own; nothing older than the inputs is touched."""
    roots = [
        (t._node, t._slot, tape.root_gradient(t, g, create_graph, what))
        for t, g in zip(outs, ups)
        if g is not None and t._node is not None
    ]
    before = tape.mode.enabled
    tape.mode.enabled = create_graph
    try:
        wanted = {(t._node, t._slot): i for i, t in enumerate(inputs)}
        found = tape.run(roots, create_graph, keep or create_graph, wanted) if inputs else []
    finally:
        tape.mode.enabled = before
    result = []
    for i, t in enumerate(inputs):
        if found[i] is None:
            zeros = _kernels.empty(t.shape, t.dtype)
            zeros.fill(0)
            result.append(Tensor._new(zeros))
        elif isinstance(found[i], np.ndarray):
            result.append(Tensor._new(found[i] if _kernels.alone(found, i) else _kernels.owned(found[i].copy())))
        else:
            result.append(found[i])
    return result


# ------------------------------------------------------------------------------------------------------------- gradients
def value_and_grad(func: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """A function that gives `(value, gradient)` of func, whose output must be one 0-d Tensor.

    argnums: the argument (or arguments: then a tuple) to differentiate to; the gradient has its structure and shapes, zeros where
    func does not depend on it. has_aux: func returns (output, aux), and `((value, aux), gradient)` comes back.
    ValueError for an output that is no scalar, TypeError for arguments that are not floats. Cost: one call and one walk back.
    """
    _check_argnums("value_and_grad", argnums)

    @wraps(func)
    def gives(*args: Any, **kwargs: Any) -> Any:
        call = _Call("value_and_grad", func, args, kwargs, argnums, has_aux)
        g = _tree(call.like, call.pull([_one(call.scalar)], call.outer, False))
        return ((call.value, call.aux), g) if has_aux else (call.value, g)

    return gives


def grad(func: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """A function that gives the gradient of func, whose output must be one 0-d Tensor; with has_aux `(gradient, aux)`.

    Arguments, errors and cost as value_and_grad's. `grad(grad(f))` is the second derivative of f of one number.
    """
    _check_argnums("grad", argnums)

    @wraps(func)
    def gives(*args: Any, **kwargs: Any) -> Any:
        call = _Call("grad", func, args, kwargs, argnums, has_aux)
        g = _tree(call.like, call.pull([_one(call.scalar)], call.outer, False))
        return (g, call.aux) if has_aux else g

    return gives


def _one(t: Tensor) -> Tensor:
    a = _kernels.empty(t.shape, t.dtype)
    a.fill(1)
    return Tensor._new(a)


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> Any:
    """`(output, vjp_fn)`, and aux behind them with has_aux: vjp_fn(cotangents) is v^T J for v in the output's structure and shapes.

    It gives a gradient in the structure of each primal (a tuple of them for several), and may be called again. J is never built:
    each call costs one walk back. ValueError for cotangents of other structure or shapes.
    """
    call = _Call("vjp", func, primals, {}, 0 if len(primals) == 1 else tuple(range(len(primals))), has_aux)

    def vjp_fn(cotangents: Any) -> Any:
        ups = _matched("vjp", "cotangents", cotangents, call.tree, call.outputs)
        record = tape.mode.enabled and (call.outer or any(u._requires for u in ups))
        return _tree(call.like, call.pull(ups, record))

    return (call.value, vjp_fn, call.aux) if has_aux else (call.value, vjp_fn)


def jvp(func: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...], *, has_aux: bool = False) -> Any:
    """`(output, J t)`, and aux behind them with has_aux: the directional derivative of func at primals along tangents.

    primals and tangents are tuples, one entry per argument of func, in one structure. The tape works backward, so this is the
    derivative of v^T J in v (which has J for its transposed Jacobian): it costs the call, a recorded walk back, and a walk back
    over that one: about three gradients, and the memory of two.
    """
    call, tangent = _pair("jvp", func, primals, tangents, "tangents", has_aux)
    record = tape.mode.enabled and (call.outer or any(t._requires for t in tangent))
    out = _tree(call.tree, call.push()(tangent, record))
    return (call.value, out, call.aux) if has_aux else (call.value, out)


def _pair(
    what: str, func: Function, primals: Any, tangents: Any, name: str, has_aux: bool
) -> tuple[_Call, list[Tensor]]:
    for v in (primals, tangents):
        if not isinstance(v, tuple):
            raise TypeError(f"{what}: expected a tuple with an entry for each argument, got {type(v).__name__}")
    call = _Call(what, func, primals, {}, tuple(range(len(primals))), has_aux)
    return call, _matched(what, name, tangents, call.like, call.inputs)


def hvp(func: Function, inputs: Any, v: Any) -> tuple[Tensor, Any]:
    """`(func(inputs), H v)` with the Hessian H of a function with one 0-d output, never built (torch.autograd.functional.hvp).

    inputs: the argument, or a tuple of arguments; v in its structure and shapes. Cost: the call, a recorded walk back, and a walk
    back over that one, as H is symmetric.
    """
    whole = inputs if isinstance(inputs, tuple) else (inputs,)
    call, vector = _pair("hvp", func, whole, v if isinstance(inputs, tuple) else (v,), "v", False)
    first = call.pull([_one(call.scalar)], True)
    record = tape.mode.enabled and (call.outer or any(t._requires for t in vector))
    product = _tree(call.like, _walk("hvp", first, vector, call.inputs, record, False))
    return call.value, product if isinstance(inputs, tuple) else product[0]


# ------------------------------------------------------------------------------------------------------ whole matrices
def jacobian(
    func: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *, diagonal: bool = False
) -> Function:
    """A function that gives the Jacobian of func: for each output and input a Tensor of shape output.shape + input.shape.

    The outputs' structure holds the arguments' structure (a tuple of them for several argnums). It is built by rows (one walk back
    per element of the outputs) or by columns, whichever are fewer. MemoryError where it is larger than the machine's memory.

    diagonal: func is elementwise, and what comes back is dy_i / dx_i in the shape of x, for the price of a few walks back.
    ValueError where func is not: walks back of random signed powers of two must scale each element by exactly that.
    """
    return _matrix("jacobian", func, argnums, has_aux, None, diagonal)


def jacrev(func: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """`jacobian` by rows: one walk back per element of the outputs."""
    return _matrix("jacrev", func, argnums, has_aux, True, False)


def jacfwd(func: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """`jacobian` by columns: one Jacobian-vector product per element of the inputs, all over one recorded walk back (see jvp)."""
    return _matrix("jacfwd", func, argnums, has_aux, False, False)


def hessian(func: Function, argnums: int | tuple[int, ...] = 0) -> Function:
    """A function that gives the Hessian of func: the Jacobian of its Jacobian, of shape output.shape + input.shape + input.shape.

    For one 0-d output a gradient is recorded once and walked back once per element of the inputs; `hvp` is one such walk alone,
    and `jacobian(grad(f), diagonal=True)` is the Hessian of a sum of functions of one element each.
    """
    return _matrix("hessian", jacrev(func, argnums), argnums, False, True, False)


def _matrix(what: str, func: Function, argnums: Any, has_aux: bool, by_rows: bool | None, diagonal: bool) -> Function:
    _check_argnums(what, argnums)

    @wraps(func)
    def gives(*args: Any, **kwargs: Any) -> Any:
        call = _Call(what, func, args, kwargs, argnums, has_aux)
        if diagonal:
            blocks = [_diagonal(call)]
        else:
            _check_size(call)
            rows = sum(t.numel() for t in call.outputs)
            columns = sum(t.numel() for t in call.inputs)
            blocks = _by_rows(call) if by_rows or (by_rows is None and rows <= 2 * columns) else _by_columns(call)
        result = _tree(call.tree, [_tree(call.like, b) for b in blocks])
        return (result, call.aux) if has_aux else result

    return gives


def _check_size(call: _Call) -> None:
    try:
        limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        limit = 1 << 43
    for o in call.outputs:
        for i in call.inputs:
            size = o.numel() * i.nbytes
            if size > limit:
                raise MemoryError(
                    f"{call.what}: the Jacobian of an output {o.shape} to an input {i.shape} has {o.numel()} x {i.numel()} elements, "
                    f"{size:.3g} bytes, more than the machine's {limit:.3g}; use vjp or jvp, or diagonal=True if it is elementwise"
                )


def _unit(t: Tensor, i: int) -> Tensor:
    a = _kernels.empty(t.shape, t.dtype)
    a.fill(0)
    a.reshape(-1)[i] = 1
    return Tensor._new(a)


def _by_rows(call: _Call) -> list[list[Tensor]]:
    blocks = []
    for at, o in enumerate(call.outputs):
        ups: list[Any] = [None] * len(call.outputs)

        def row(i: int, at: int = at, o: Tensor = o, ups: list[Any] = ups) -> list[Tensor]:
            ups[at] = _unit(o, i)
            return call.pull(ups, call.outer)

        blocks.append(
            [_joined(lines, o.shape, t.shape, t, 0) for t, lines in zip(call.inputs, _lines(row, o, call.inputs))]
        )
    return blocks


def _by_columns(call: _Call) -> list[list[Tensor]]:
    push = call.push()
    table: list[list[Tensor]] = [[] for _ in call.outputs]
    for at, x in enumerate(call.inputs):
        tangents: list[Any] = [None] * len(call.inputs)

        def column(i: int, at: int = at, x: Tensor = x, tangents: list[Any] = tangents) -> list[Tensor]:
            tangents[at] = _unit(x, i)
            return push(tangents, call.outer)

        for k, (o, lines) in enumerate(zip(call.outputs, _lines(column, x, call.outputs))):
            table[k].append(_joined(lines, o.shape, x.shape, o, o.ndim))
    return table


def _lines(line: Callable[[int], list[Tensor]], over: Tensor, parts: list[Tensor]) -> list[list[Tensor]]:
    """For each part its lines, one per element of `over`."""
    several = [line(i) for i in range(over.numel())]
    return [[s[k] for s in several] for k in range(len(parts))]


def _joined(lines: list[Tensor], out: tuple[int, ...], into: tuple[int, ...], like: Tensor, dim: int) -> Tensor:
    """Rows (dim 0) or columns as one Tensor of shape out + into."""
    if not lines:
        return Tensor._new(_kernels.empty((*out, *into), like.dtype))
    if any(t._requires for t in lines):
        whole: Tensor = stack(lines, dim).reshape((*out, *into))
        return whole
    array = _kernels.empty((*out, *into), like.dtype)
    flat = array.reshape((len(lines), -1) if dim == 0 else (-1, len(lines)))
    for i, t in enumerate(lines):
        flat[(i,) if dim == 0 else (slice(None), i)] = t._data.reshape(-1)
    return Tensor._new(array)


PROBES = 4  # two elements have one and the same probe each time by a chance of 1 in 3 million


def _diagonal(call: _Call) -> list[Tensor]:
    if _children(call.tree) is not None or any(t.shape != call.outputs[0].shape for t in call.inputs):
        raise ValueError(
            f"{call.what}: diagonal=True is for an elementwise function of inputs in the shape of its output: inputs "
            f"{[t.shape for t in call.inputs]}, outputs {[t.shape for t in call.outputs]}"
        )
    out = call.outputs[0]
    found = call.pull([_one(out)], call.outer)
    rng = np.random.default_rng(4096)
    for _ in range(PROBES):
        v = rng.choice([-1.0, 1.0], out.shape) * np.exp2(rng.integers(0, 21, out.shape))
        probe = tensor(np.asarray(v), dtype=out.dtype)
        # a power of two scales without rounding: of an elementwise function every bit is known
        for d, got in zip(found, call.pull([probe], False)):
            with np.errstate(all="ignore"):
                want = d._data * probe._data
                # what underflows is rounded all the same
                off = np.abs(got._data - want) > np.abs(probe._data) * np.finfo(d.dtype).tiny
            off = (off | (np.isnan(got._data) != np.isnan(want))) & (got._data != want)
            if off.any():
                at = tuple(int(i) for i in np.argwhere(off)[0])
                raise ValueError(
                    f"{call.what}: diagonal=True, but the function is not elementwise: outputs other than {at} depend on element {at} "
                    f"of the input {d.shape}"
                )
    return found
