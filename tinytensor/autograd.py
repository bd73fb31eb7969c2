"""Gradients asked for by name instead of accumulated, functions with a rule of their own, and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _kernels, tape
from ._tape import call_post_accumulate
from .anomaly import AnomalyError, detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from .checkpoint import checkpoint
from .function import Function, FunctionCtx, custom_vjp
from .tensor import Tensor

__all__ = [
    "AnomalyError", "Function", "FunctionCtx", "backward", "checkpoint", "custom_vjp", "detect_anomaly", "grad",
    "is_anomaly_enabled", "set_detect_anomaly",
]  # fmt: skip


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of outputs (summed) with respect to inputs, as a tuple; `.grad` stays as it is.

    An input may be a leaf or made by an op; rules that do not lead to an input are not run, and what they keep is not freed.
    grad_outputs: an upstream gradient for each output (None: one, for an output of one element). retain_graph (default:
    create_graph): the kept values stay. create_graph: the gradients can be differentiated again. An input that the outputs do
    not depend on: RuntimeError, None with allow_unused, zeros with materialize_grads. RuntimeError for an input or output
    without a gradient; ValueError where the numbers of outputs and gradients differ.
    """
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not ins:
        raise ValueError("grad: at least one input is needed")
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "grad: materialize_grads=True gives zeros for unused inputs: leave allow_unused out, or pass True"
        )
    found = _walk("grad", outputs, grad_outputs, ins, retain_graph, create_graph)
    for i, g in enumerate(found):
        if g is None and materialize_grads:
            found[i] = Tensor._new(_zeros(ins[i]))
        elif g is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs do not depend on input {i} (shape {ins[i].shape}); pass allow_unused=True for None"
            )
    return tuple(found)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of `tensors` (summed) to `.grad` of every leaf, or of `inputs` alone, which ops may have made.

    grad_tensors: an upstream gradient for each tensor (None: one, for a tensor of one element). RuntimeError for a tensor
    without history or where it was freed; ValueError where the numbers of tensors and gradients differ.
    """
    if inputs is None:
        outs, ups = _pairs("backward", tensors, grad_tensors)
        tape.backward(outs, ups, retain_graph, create_graph)
        return
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not ins:
        raise ValueError("backward: inputs is empty; leave it out to accumulate into every leaf")
    unique = list({id(t): t for t in ins}.values())
    for t, g in zip(unique, _walk("backward", tensors, grad_tensors, unique, retain_graph, create_graph)):
        if g is not None:
            tape.accumulate(t, g if create_graph else g._data)
            if t._node is None:
                call_post_accumulate(t)


def _pairs(what: str, outputs: Tensor | Sequence[Tensor], gradients: Any) -> tuple[list[Tensor], list[Any]]:
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if gradients is None:
        return outs, [None] * len(outs)
    one = isinstance(gradients, Tensor) or not isinstance(gradients, Sequence)
    ups = [gradients] if one else list(gradients)
    if len(ups) != len(outs):
        raise ValueError(f"{what}: {len(outs)} outputs and {len(ups)} grad_outputs")
    return outs, ups


def _walk(
    what: str,
    outputs: Tensor | Sequence[Tensor],
    gradients: Any,
    inputs: list[Tensor],
    retain_graph: bool | None,
    create_graph: bool,
) -> list[Tensor | None]:
    """The gradient of each input, in memory of its own; None where the outputs do not depend on it."""
    outs, ups = _pairs(what, outputs, gradients)
    roots = []
    for t, g in zip(outs, ups):
        if not t._requires:
            raise RuntimeError(f"{what}: an output does not require grad and has no history")
        roots.append((t._node if t._node is not None else t, t._slot, tape.root_gradient(t, g, create_graph, what)))
    wanted: dict[Any, int] = {}
    places = []
    for t in inputs:
        if not t._requires:
            raise RuntimeError(f"{what}: an input does not require grad")
        key: Any = id(t) if t._node is None else (t._node, t._slot)
        places.append(wanted.setdefault(key, len(wanted)))
    before = tape.mode.enabled
    tape.mode.enabled = create_graph
    try:
        found = tape.run(roots, create_graph, create_graph if retain_graph is None else retain_graph, wanted)
    finally:
        tape.mode.enabled = before
    result: list[Tensor | None] = []
    for at in places:  # an input named twice has an array that is not alone any more
        if isinstance(found[at], np.ndarray):
            result.append(Tensor._new(found[at] if _kernels.alone(found, at) else _copy(found[at])))
        else:
            result.append(found[at])
    return result


def _copy(a: Any) -> Any:
    copy = _kernels.empty(a.shape, a.dtype)
    np.copyto(copy, a)
    return copy


def _zeros(t: Tensor) -> Any:
    zeros = _kernels.empty(t.shape, t.dtype)
    zeros.fill(0)
    return zeros
