"""Why a loss is NaN or infinite: the first cause that can be found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.anomaly import AnomalyError, describe, detect_anomaly
from tinytensor.tape import enable_grad, no_grad
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.nn import Module

__all__ = ["bad_gradients", "bad_loss", "bad_parameters"]


def bad_loss(model: Module, compute: Callable[[], Tensor], inputs: tuple[Any, ...], targets: Any) -> str:
    """What made a loss NaN or infinite: values of the batch, of parameters or buffers (from an earlier update, then), or the first
    op that does when `compute` makes the loss again under detect_anomaly. Buffers and gradients are left as they were."""
    for name, value in (
        *((f"inputs[{i}]" if i else "the inputs", v) for i, v in enumerate(inputs)),
        ("the targets", targets),
    ):
        if isinstance(value, Tensor) and not _finite(value):
            return f"{name} of this batch are not finite ({describe(value.detach().numpy())}): clean the data"
    if cause := bad_parameters(model):
        return cause
    wrong = [name for name, b in model.named_buffers() if not _finite(b)]
    if wrong:
        return f"{_list(wrong, 'buffer')} not finite: look at the data of the batches before"
    buffers = [(b, b.detach().numpy().copy()) for b in model.buffers()]
    gradients = [(p, p.grad) for p in model.parameters()]
    try:
        for p, _ in gradients:
            p.grad = None
        with detect_anomaly(), enable_grad():
            compute().backward()
    except AnomalyError as error:
        return f"training diverged, or the loss is not defined there; {error}\ntry a lower learning rate, clip_grad_norm, or scaled inputs"
    finally:
        with no_grad():
            for b, before in buffers:
                b.copy_(Tensor(before))
        for p, g in gradients:
            p.grad = g
    return "batch and parameters are finite, and the loss is when made again: it is not a function of these alone"


def bad_parameters(model: Module) -> str | None:
    """Which parameters are not finite; None where all are."""
    wrong = [name for name, p in model.named_parameters() if not _finite(p)]
    if not wrong:
        return None
    return (
        f"{_list(wrong, 'parameter')} not finite since an earlier update: its gradients overflowed, or were NaN where its loss "
        "was not; try a lower learning rate, or clip_grad_norm=1.0, which also names the gradients"
    )


def bad_gradients(named: Iterable[tuple[str, Tensor]], norm: float) -> str:
    """Which gradients are not finite where the loss is."""
    wrong = [name for name, p in named if p.grad is not None and not _finite(p.grad)]
    if not wrong:
        return (
            f"the norm of the gradients is {norm} though each is finite: they are too large; try a lower learning rate"
        )
    return (
        f"the loss is finite but the gradients of {', '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''} are not: an op has no "
        "finite derivative there (sqrt or norm at 0, log near 0); `with tt.detect_anomaly():` around fit names it"
    )


def _finite(t: Tensor) -> bool:
    a = t.detach().numpy()
    return a.dtype.kind != "f" or np.count_nonzero(np.isfinite(a)) == a.size


def _list(names: list[str], what: str) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names[:5])}{more} {'are' if len(names) > 1 else 'is'}"
