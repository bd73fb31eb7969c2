"""Clipping of gradients, and parameters as one vector: PyTorch's `torch.nn.utils`."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tinytensor.ops.join import cat
from tinytensor.ops.reduction import norm
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor

__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm", "parameters_to_vector",
    "vector_to_parameters",
]  # fmt: skip


def _listed(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The p-norm of all elements of all tensors together, as a 0-d tensor: the norm of their norms, 0 for none.

    RuntimeError, if asked for, where it is NaN or infinite."""
    with no_grad():
        norms = [norm(t.detach(), norm_type) for t in _listed(tensors)]
        wide = {t.dtype for t in norms}
        if len(wide) > 1:
            norms = [t.double() for t in norms]
        total = norm(cat([t.reshape(1) for t in norms]), norm_type) if norms else Tensor(np.zeros((), np.float32))
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"the total norm of order {norm_type} is {total.item()}, so gradients cannot be clipped by it; "
            "error_if_nonfinite=False scales them by it all the same"
        )
    return total


def clip_grads_with_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor) -> None:
    """Multiply the gradients, in place, by max_norm / (total_norm + 1e-6) where that is below 1."""
    with no_grad():
        grads = _gradients(parameters)
        factor = float(max_norm) / (total_norm.item() + 1e-6)
        if factor < 1 or factor != factor:  # NaN spreads, as in PyTorch
            for g in grads:
                g.detach().mul_(factor)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale the gradients of parameters in place so that their norm, taken together, is at most max_norm; returns the norm from
    before (Pascanu et al. 2013). RuntimeError, if asked for, for a norm that is NaN or infinite: nothing is changed then."""
    parameters = _listed(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of the gradients, in place, to [-clip_value, clip_value]."""
    with no_grad():
        for g in _gradients(parameters):
            g.detach().clamp_(-float(clip_value), float(clip_value))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters in one vector, each parameter in C order. Gradient: each one's part."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy a vector's parts into parameters. TypeError for no Tensor, ValueError where the lengths differ: nothing is changed."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a Tensor, got {type(vec).__name__}")
    own = _listed(parameters)
    count = sum(p.numel() for p in own)
    if tuple(vec.shape) != (count,):
        raise ValueError(f"vector_to_parameters: expected a vector of {count} elements, got shape {tuple(vec.shape)}")
    with no_grad():
        at = 0
        for p in own:
            p.copy_(vec.detach()[at : at + p.numel()].reshape(p.shape))
            at += p.numel()
