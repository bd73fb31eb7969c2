"""How well a model does on a data set: losses and metrics by name, and the walk over all of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinytensor import metrics as measures
from tinytensor.creation import from_numpy
from tinytensor.nn import Module
from tinytensor.nn import functional as F
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor
from tinytensor.train.sources import Source, dataset_of, float_dtype, pair, unpack

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "LOSSES", "METRICS", "Loss", "Metric", "Metrics", "Scores", "classes", "counts_right", "direction", "evaluate", "resolve_loss",
    "resolve_metrics", "scalar", "score",
]  # fmt: skip

Loss: TypeAlias = Callable[[Any, Any], Tensor]
Metric: TypeAlias = Callable[[Any, Any], float]
Metrics: TypeAlias = "Iterable[str | Metric] | Mapping[str, Metric] | None"

LOSSES: dict[str, Loss] = {
    "cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,
    "multi_margin": F.multi_margin_loss,
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "huber": F.huber_loss,
    "bce": F.binary_cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "poisson_nll": F.poisson_nll_loss,
}
"""Losses by name; those of `nn.functional`, `mse_loss` too for `mse`."""

METRICS: dict[str, tuple[Metric, str]] = {
    "accuracy": (measures.accuracy, "max"),
    "precision": (measures.precision, "max"),
    "recall": (measures.recall, "max"),
    "f1": (measures.f1_score, "max"),
    "mse": (measures.mean_squared_error, "min"),
    "mae": (measures.mean_absolute_error, "min"),
    "r2": (measures.r2_score, "max"),
}
"""Metrics by name, with what is better; precision, recall and f1 are means over the classes. `top_5` and the like too."""

_TOP = re.compile(r"top_([1-9]\d*)")


class Scores(dict[str, float]):
    """What `evaluate` returns: "loss" and the metrics by name. `outputs` and `targets`, Tensors, are those of all samples in
    order, None where no metric was asked for."""

    outputs: Tensor | None = None
    targets: Tensor | None = None

    def confusion_matrix(self, num_classes: int | None = None) -> npt.NDArray[np.int64]:
        """True classes in rows, predicted ones in columns (`metrics.confusion_matrix`). ValueError where the model does not
        classify, or nothing was kept."""
        if not self.classifies():
            raise ValueError(
                "confusion_matrix: expected outputs (N, C) and whole-number targets (N,) of a classification"
            )
        return measures.confusion_matrix(self.outputs, self.targets, num_classes)  # type: ignore[arg-type]

    def classifies(self) -> bool:
        """Whether the outputs are scores of classes (N, C) and the targets classes (N,)."""
        return self.outputs is not None and classes(self.outputs, self.targets)


def evaluate(
    model: Module,
    data: Any,
    loss: Loss | str,
    metrics: Metrics = (),
    *,
    batch_size: int = 256,
) -> Scores:
    """Loss and metrics of `model` over all of `data`, in eval mode and without gradients; each module's mode is put back.

    data: (inputs, targets) as Tensors or arrays (N, ...), a Dataset, a DataLoader, or an iterable of batches (inputs, targets).
    loss: (outputs, targets) -> scalar, a loss of nn, or a name ("cross_entropy", "mse"). metrics: names ("accuracy", "top_5",
    "precision", "recall", "f1", "mse", "mae", "r2") and functions of all outputs and all targets (Tensors), or a mapping from names to such;
    () gives accuracy where outputs (N, C) meet whole-number targets (N,); None none. "loss" is the mean of the batches' losses,
    each weighted by its samples. ValueError for unknown names and no samples, TypeError for other data.
    """
    if not isinstance(model, Module):
        raise TypeError(f"evaluate: model must be a Module, got {type(model).__name__}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"evaluate: batch_size must be a whole number >= 1, got {batch_size!r}")
    source = pair("evaluate", data, dataset_of(data, float_dtype(model)), batch_size)
    return score(model, source, resolve_loss(loss), resolve_metrics(metrics))


def score(
    model: Module,
    source: Source,
    loss: Loss,
    chosen: dict[str, Metric] | None,
    interrupted: Callable[[], None] = lambda: None,
) -> Scores:
    """`evaluate` with everything resolved; `interrupted` is called between batches and may raise."""
    modes = [(module, module.training) for module in model.modules()]
    if isinstance(loss, Module):
        modes += [(module, module.training) for module in loss.modules()]
    total, count = [], 0
    outputs: list[npt.NDArray[Any]] = []
    targets: list[npt.NDArray[Any]] = []
    try:
        for module, _ in modes:
            module.training = False
        with no_grad():
            for batch in source.epoch():
                interrupted()
                inputs, y, size = unpack(batch, "evaluate")
                out = model(*inputs)
                total.append(size * scalar(loss(out, y)).item())
                count += size
                if chosen is None:
                    chosen = {"accuracy": measures.accuracy} if classes(out, y) else {}
                if chosen:
                    if not isinstance(out, Tensor) or not isinstance(y, Tensor):
                        raise TypeError(
                            f"evaluate: metrics ({', '.join(chosen)}) need a model whose outputs are a Tensor, and Tensor "
                            f"targets, got {type(out).__name__} and {type(y).__name__}: metrics=None leaves them out"
                        )
                    outputs.append(out.numpy())
                    targets.append(y.numpy())
    finally:
        for module, training in modes:
            module.training = training
    source.next_epoch()
    if not count:
        raise ValueError(
            "evaluate: the data gave no batches (an iterator can be gone through only once: give a list, a Dataset or a function)"
        )
    scores = Scores(loss=math.fsum(total) / count)
    if chosen:
        scores.outputs, scores.targets = (from_numpy(np.concatenate(parts)) for parts in (outputs, targets))
        for name, metric in chosen.items():
            scores[name] = float(metric(scores.outputs, scores.targets))
    return scores


def classes(outputs: Any, targets: Any) -> bool:
    """Whether outputs are scores (N, C) and targets whole-number classes (N,)."""
    return (
        isinstance(outputs, Tensor)
        and isinstance(targets, Tensor)
        and outputs.dim() == 2
        and targets.dim() == 1
        and targets.dtype.kind in "iu"
    )


def resolve_loss(loss: Loss | str) -> Loss:
    """A loss by name, or the one given. ValueError for an unknown name, TypeError for what cannot be called."""
    if isinstance(loss, str):
        name = loss if loss in LOSSES else loss.removesuffix("_loss").replace("binary_cross_entropy", "bce")
        if name not in LOSSES:
            raise ValueError(f"loss must be a function, a module or one of {', '.join(LOSSES)}, got {loss!r}")
        return LOSSES[name]
    if not callable(loss):
        raise TypeError(f"loss must be a function, a module or a name, got {type(loss).__name__}")
    return loss


def resolve_metrics(chosen: Metrics) -> dict[str, Metric] | None:
    """Functions by name; None stands for accuracy where classes are predicted. ValueError for an unknown name."""
    if chosen is None:
        return {}
    if isinstance(chosen, Mapping):
        wrong = [name for name, metric in chosen.items() if not callable(metric)]
        if wrong or "loss" in chosen:
            raise ValueError(f"metrics must map names other than 'loss' to functions, got {', '.join(wrong) or 'loss'}")
        return dict(chosen)
    names = [chosen] if isinstance(chosen, str) else list(chosen)
    if not names:
        return None
    return dict(_named(name) for name in names)


def _named(name: str | Metric) -> tuple[str, Metric]:
    if not isinstance(name, str):
        if not callable(name):
            raise TypeError(f"metrics must be names and functions, got {type(name).__name__}")
        own = getattr(name, "__name__", type(name).__name__)
        if own in ("<lambda>", "loss"):
            raise ValueError(f"metrics: a function called {own} gives its column no name: give {{'name': function}}")
        return own, name
    if top := _TOP.fullmatch(name):
        return name, partial(measures.top_k_accuracy, k=int(top[1]))
    if name not in METRICS:
        raise ValueError(f"metrics must be among {', '.join(METRICS)}, top_k (as top_5), or functions, got {name!r}")
    return name, METRICS[name][0]


def counts_right(chosen: Mapping[str, Metric]) -> bool:
    """Whether the accuracy asked for is the share of right answers, which training counts too, and no function of that name."""
    return chosen.get("accuracy") is measures.accuracy


def direction(monitor: str) -> str | None:
    """Whether less ("min") or more ("max") of a column of the history is better; None where its name does not say."""
    name = monitor.removeprefix("val_").removeprefix("train_")
    if name == "loss":
        return "min"
    if _TOP.fullmatch(name):
        return "max"
    return METRICS[name][1] if name in METRICS else None


def scalar(value: Any) -> Tensor:
    """A loss as it came. ValueError unless it is a Tensor of one element."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"a Tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"loss must return a scalar Tensor, got {got}: use reduction='mean', or .mean() of a loss per sample"
        )
    return value
