"""Gradients asked for by name, instead of accumulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import tape
from .anomaly import AnomalyError, detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from .tensor import Tensor

__all__ = ["AnomalyError", "detect_anomaly", "grad", "is_anomaly_enabled", "set_detect_anomaly"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    """The gradients of outputs (summed) with respect to inputs, as a tuple; `.grad` stays as it is.

    grad_outputs: an upstream gradient for each output (ones for scalars). create_graph: the gradients can be differentiated
    again. RuntimeError for an input that the outputs do not depend on, unless allow_unused (None then).
    """
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    given = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    ups = [None] * len(outs) if grad_outputs is None else given
    if len(ups) != len(outs):
        raise ValueError(f"grad: {len(outs)} outputs and {len(ups)} grad_outputs")
    roots = []
    for t, g in zip(outs, ups):
        if not t._requires:
            raise RuntimeError("grad: an output does not require grad and has no history")
        roots.append((t._node if t._node is not None else t, t._slot, tape.root_gradient(t, g, create_graph, "grad")))
    wanted: dict[Any, int] = {}
    places = []
    for t in ins:
        if not t._requires:
            raise RuntimeError("grad: an input does not require grad")
        key: Any = id(t) if t._node is None else (t._node, t._slot)
        places.append(wanted.setdefault(key, len(wanted)))
    before = tape.mode.enabled
    tape.mode.enabled = create_graph
    try:
        found = tape.run(roots, create_graph, create_graph if retain_graph is None else retain_graph, wanted)
    finally:
        tape.mode.enabled = before
    result = []
    for i, at in enumerate(places):
        g = found[at]
        if g is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs do not depend on input {i} (shape {ins[i].shape}); pass allow_unused=True for None"
            )
        if isinstance(g, np.ndarray):
            g = Tensor._new(g.copy() if places.count(at) > 1 or not g.flags.writeable else g)
        result.append(g)
    return tuple(result)
