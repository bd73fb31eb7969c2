"""diagnose: what a network's activations, gradients and updates on one batch say about its health."""

from __future__ import annotations

import copy
import io
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytensor import nn, optim
from tinytensor.naming import name_of
from tinytensor.nn import Module
from tinytensor.random import default_generator
from tinytensor.serialize import write_atomically
from tinytensor.tape import enable_grad, inspect, no_grad
from tinytensor.tensor import Tensor
from tinytensor.train.evaluation import Loss, classes, resolve_loss, scalar
from tinytensor.train.history import History
from tinytensor.train.sources import dataset_of, pair, unpack
from tinytensor.viz.dependence import PERMUTATIONS, depends
from tinytensor.viz.fitting import decay_holds, guessing, has_stalled, overfits, unexplained
from tinytensor.viz.observed import LayerHealth, Observed, lost_by_the_draw
from tinytensor.viz.trace import Names

__all__ = ["FINDINGS", "Diagnosis", "Finding", "LayerHealth", "diagnose"]

FINDINGS: dict[str, str] = {
    "not_finite": "look for numbers missing in the data, a division by zero, log(0) or an overflow: with tt.detect_anomaly(): loss.backward()",
    "not_in_optimizer": "give the optimizer model.parameters(), or freeze the layer with requires_grad_(False)",
    "class_imbalance": "weight the loss by class (cross_entropy's weight=), or draw the rare classes more often",
    "labels_unrelated": "compare a few samples with their labels: one of the two files may be in another order",
    "loss_above_chance": "start the last layer with smaller weights, and check that targets and outputs mean the same classes",
    "dead_units": "lower the learning rate, centre the inputs, use nn.init.kaiming_normal_, or LeakyReLU or ELU instead of ReLU",
    "saturated_units": "scale the inputs and start with smaller weights (nn.init.xavier_uniform_), or use ReLU",
    "vanishing_gradient": "use ReLU with nn.init.kaiming_normal_, a normalization layer between, or fewer layers",
    "exploding_gradient": "start with smaller weights (nn.init.xavier_uniform_), or clip the gradient's norm",
    "learning_rate_too_large": "divide the learning rate by 10, and again until the finding is gone",
    "learning_rate_too_small": "multiply the learning rate by 10, and again until updates are about 1e-3 of the weights",
    "overfitting": "stop at the best epoch (fit's early_stopping), more data or augmentation, weight decay, dropout, or a smaller network",
    "underfitting": "wider or more layers; first a larger learning rate, if updates are far under 1e-3 of the weights, and less dropout",
    "weight_decay_too_strong": "divide the optimizer's weight_decay by 10, and again until the training loss falls",
}
"""The names of all findings, each with what to do about it."""

# Thresholds. Each has a reason of its own; none was fitted to a network.
_RARE = 0.01  # a unit that is positive for fewer samples than this share is of no use
_SEEN = math.ceil(3 / _RARE)  # rule of three: 0 of n bounds a share by 3/n with 95 % (Hanley, Lippman-Hand 1983)
_LOST = 0.05  # of a layer's units: fewer are less than what is known about how many it needs
_HEALTHY = 1e-3  # updates over weights (Karpathy, CS231n: "somewhere around 1e-3")
# Layers whose gradients, over their weights, lie further apart: no learning rate puts all within a factor 100 of 1e-3.
_APART = 1e4
# Scores of variance 1, as a last layer of unit gain makes them, cost log(C) + 1/2; twice that variance log(C) + 1.
_ABOVE_CHANCE = 1.0
_LEAP = 100 * _HEALTHY  # too large whatever the loss does: ten such updates turn a weight over
_STEP = 10 * _HEALTHY  # too large where the loss does not follow; smaller steps never
_GAIN = 0.25  # of the descent that the gradient promises; less: the step is too long (Nocedal and Wright 2006, algorithm 4.1)
_CRAWL = 1e-3 * _HEALTHY  # a million updates to change a weight by itself
_UNEVEN = 10.0  # most against least frequent class; chance alone gives < 2.5 where 20 samples of each are expected
_OF_EACH = 20

_NOISE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.RReLU)


@dataclass(frozen=True)
class Finding:
    """What is wrong (`name`, a key of `FINDINGS`), where (a layer's path, "" for the whole), the numbers, and what to do."""

    name: str
    layer: str
    detail: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.name}{f' in {self.layer}' if self.layer else ''}: {self.detail}; {self.suggestion}"


@dataclass(repr=False)
class Diagnosis:
    """What `diagnose` found: `findings` (none: healthy), `layers`, and numbers of the whole. It shows itself as the table and the findings."""

    findings: list[Finding]
    layers: list[LayerHealth]
    samples: int
    loss: float
    chance: float | None
    """log(classes), the loss of guessing; None where nothing is classified."""
    loss_after: float | None
    """Of the same batch after the optimizer's next update; None without an optimizer."""
    update_ratio: float | None
    counted: int = 0
    """Samples that dead and saturated units are counted on."""
    gain: float | None = None
    """That update's descent of the loss over gradient times update, what it would be without curvature: 1 for tiny steps."""
    class_counts: list[int] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The findings' names, each once."""
        return list(dict.fromkeys(finding.name for finding in self.findings))

    def __str__(self) -> str:
        head = ["layer", "kind", "mean", "std", "dead", "saturated", "gradient", "gradient/weight", "update/weight"]
        rows = [
            [
                x.layer or "(all)", x.kind, _short(x.mean), _short(x.std), _share(x.dead, x.units), _share(x.saturated, x.units),
                _short(x.grad_norm), _short(x.relative_gradient), _short(x.update_ratio),
            ]
            for x in self.layers
        ]  # fmt: skip
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        lines = [
            "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()
            for row in [head, *rows]
        ]
        loss = f"loss {self.loss:.4g}"
        if self.chance is not None:
            loss += f" (guessing: {self.chance:.4g})"
        if self.loss_after is not None:
            loss += f", after the next update {self.loss_after:.4g}"
        if self.class_counts:
            loss += f"; classes: {min(self.class_counts)} to {max(self.class_counts)} samples"
        found = [f"- {finding}" for finding in self.findings] or ["no findings"]
        counted = f", units counted on {self.counted}" if self.counted != self.samples else ""
        return "\n".join([*lines, f"{loss}; {self.samples} samples{counted}", *found])

    __repr__ = __str__

    def rows(self) -> list[dict[str, Any]]:
        """The layers as dicts, for a table of one's own (`pandas.DataFrame(d.rows())`): the fields of `LayerHealth` and relative_gradient."""
        return [{**asdict(layer), "relative_gradient": layer.relative_gradient} for layer in self.layers]

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `rows()` to a CSV file with a header, whole or not at all; the histogram's counts stand in one column, with spaces."""
        import csv

        text = io.StringIO()
        columns = [*(f.name for f in fields(LayerHealth)), "relative_gradient"]
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows({**row, "histogram": " ".join(map(str, row["histogram"]))} for row in self.rows())
        write_atomically(path, text.getvalue().encode())

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw histograms of the activations, lost units, gradients and update ratios by layer to a PNG. ImportError without matplotlib."""
        from tinytensor.viz.health_figure import plot_diagnosis

        plot_diagnosis(self, path)


def diagnose(
    model: Callable[..., Any],
    batch: Any,
    loss: Loss | str = "cross_entropy",
    optimizer: optim.Optimizer | None = None,
    *,
    data: Any = None,
    parameters: Mapping[str, Tensor] | Sequence[Tensor] | None = None,
    history: History | None = None,
) -> Diagnosis:
    """Look at a network on one batch, before, during or after training, and name what is wrong with it.

    model: a Module, or any function of the inputs; its parameters are then `parameters` (a list, or a dict with their names; without names
    those of `tt.name` and of the caller's variables), else what its own `parameters()` gives, else the optimizer's.
    batch: (inputs..., targets) of the training data, Tensors or arrays with the samples first; 300 or more of them, so that units that never
    fire can be called dead. loss: as for `train.fit`. optimizer: the one that trains the model; without it nothing is said about updates and
    left-out layers. data: the whole data set, in whatever form `train.evaluate` takes: dead and saturated units are then counted on all of it,
    however small it is. history: what `fit` returned, or has so far.

    Model, optimizer, their state and the random numbers stay as they are: all is done on a copy (which takes their memory once more; a function
    is called as it is, with copies in its parameters), with dropout off and normalization in the mode of training. Activations are seen as modules
    and as functions (`relu(x)`). Findings and what raises them:

    - not_finite: loss, gradient or activation is NaN or infinite, because numbers of the batch are, or by itself; no more is looked at then.
    - not_in_optimizer: a parameter that requires grad and that the optimizer does not hold.
    - class_imbalance: the most frequent class has over 10 times the least frequent's samples, where 20 of each were expected.
    - labels_unrelated: neither of two tests (`viz.depends`) tells the targets from randomly ordered ones; from 100 samples on, of float or uint8 inputs.
    - loss_above_chance: cross-entropy over log(classes) + 1, where scores of variance 2 would be.
    - dead_units, saturated_units: over 5 % of a layer's units give nothing, or no gradient, for all of `data`, or for all of 300 or more samples
      (so, with 95 % confidence, for over 99 % of all samples: the rule of three); and more of them than in any of 99 networks with freshly drawn
      weights, on inputs centred and not narrower than [-1, 1], by over 5 % too: in two dimensions a default network loses a tenth of its ReLUs
      by the draw, harmlessly. Without modules nothing can be drawn, and 5 % is all that is asked.
    - vanishing_gradient, exploding_gradient: between two layers, gradient over weight differs by more than 1e4, so that no learning rate
      brings both near the healthy 1e-3. Named is the first layer that is so far behind, or the one with the largest.
    - learning_rate_too_large: the optimizer's next update is over 0.1 of the weights, 100 times the healthy 1e-3; or over 1e-2, and of the descent
      that the gradient promises for the very batch that it is made for less than a quarter comes (Nocedal and Wright's bound; on a parabola,
      more than 1.5 times the best step).
      learning_rate_too_small: it is under 1e-6 of them, while the loss is over half of chance and no schedule has lowered the rate. Not for LBFGS.
    - overfitting: in the last three epochs of the history the validation loss is over 5 % above its least (Prechelt 1998: GL_5 and UP_3), while the
      training loss fell and lies below it by over a tenth of guessing's. Not where early stopping has ended the training.
    - underfitting: over the last quarter of 8 or more epochs the training loss fell by less than 5 %, it is over a tenth of guessing's, and what the
      network leaves of the targets still depends on the inputs (`viz.depends`, and neighbours share over a tenth of it), so it is no noise.
      For cross-entropy and mean squares, where nothing else is found that would explain it.
    - weight_decay_too_strong: the same, and decay takes off at least half of what the data let the weights grow by, and larger weights would
      lower the loss by a tenth of guessing's, or weights are under a tenth of what they start with. Units and gradients that die of it, and
      updates that are its own, are no findings beside it.

    Raises TypeError for a model, batch, parameters or optimizer that is none, or for a Module that cannot be copied; ValueError for a loss that is no
    scalar, and where no parameter requires grad.
    """
    if not callable(model):
        raise TypeError(f"diagnose: model must be a Module or a function of the inputs, got {type(model).__name__}")
    if optimizer is not None and not isinstance(optimizer, optim.Optimizer):
        raise TypeError(f"diagnose: optimizer must be an Optimizer or None, got {type(optimizer).__name__}")
    if history is not None and not isinstance(history, History):
        raise TypeError(f"diagnose: history must be a History, as fit returns it, got {type(history).__name__}")
    function = resolve_loss(loss)
    named = _named_parameters(model, optimizer, parameters, sys._getframe(1))
    if not any(p.requires_grad for p in named.values()):
        raise ValueError(
            f"diagnose: none of the model's {len(named)} parameters requires grad: there is nothing to train"
        )
    dtype = next(p.dtype for p in named.values())
    inputs, targets, samples = unpack(batch, "diagnose")
    inputs = tuple(_apart(x, dtype) for x in inputs)
    left_out = _left_out(named, optimizer)
    state = default_generator.get_state()
    try:
        with _aside(model, named, optimizer, function) as (model, named, optimizer, function):
            seen = Observed(model, named)
            with enable_grad(), inspect():
                outputs = seen.watch(inputs)
                value = scalar(function(outputs, targets))
                value.backward()
            _weigh(seen)
            known = Diagnosis([], seen.layers, samples, value.item(), None, None, None, samples)
            if (what := _not_finite(known, named)) is not None:
                known.findings.append(_finding("not_finite", *(_missing(inputs, targets) or what)))
                return known
            for name in left_out:
                known.findings.append(_finding("not_in_optimizer", name, "its parameters are never updated"))
            _look_at_labels(known, inputs, outputs, targets, function)
            if data is not None:
                known.counted = 0
                source = pair("diagnose", data, dataset_of(data, dtype), 256)
                seen.alive.clear()
                for more, _, size in (unpack(b, "diagnose") for b in source.epoch()):
                    seen.watch(more)
                    known.counted += size

            def again() -> float:
                return float(function(model(*inputs), targets).item())

            guess = None if history is None else guessing(outputs, targets, function)
            slow = (
                history is not None
                and has_stalled(history)
                and unexplained(inputs[0], outputs, targets, known.loss, function)
            )
            held = decay_holds(optimizer, known.loss, guess, again) if slow and guess is not None else None
            _look_at_units(known, seen, list(named), inputs, data is not None, held is None)
            if held is not None:
                known.findings.append(_finding("weight_decay_too_strong", "", held))
            else:
                _look_at_gradients(known)
            if optimizer is not None and not isinstance(optimizer, optim.LBFGS):
                _look_at_update(known, seen, named, optimizer, again, held is None)
            if slow and guess is not None and not set(known.names) - {"class_imbalance"}:
                detail = f"the training loss no longer falls, the batch's is {known.loss:.3g} (guessing: {guess:.3g}), and its errors depend on the inputs"
                known.findings.append(_finding("underfitting", "", detail))
            if history is not None and (rise := overfits(history, guess)) is not None:
                known.findings.append(_finding("overfitting", "", rise))
    finally:
        default_generator.set_state(state)
    return known


@contextmanager
def _aside(
    model: Callable[..., Any], named: dict[str, Tensor], optimizer: optim.Optimizer | None, function: Loss
) -> Iterator[tuple[Callable[..., Any], dict[str, Tensor], optim.Optimizer | None, Loss]]:
    """Copies that may be changed; of a function's parameters, which no copy of it would hold, the arrays and gradients alone."""
    if isinstance(model, Module):
        try:
            model, optimizer, function = copy.deepcopy((model, optimizer, function))
        except (TypeError, RuntimeError) as error:
            raise TypeError(
                f"diagnose: works on copies, and {type(model).__name__}, its optimizer or the loss cannot be copied ({error!s:.300}): "
                "detach the Tensors that a module keeps as attributes; keep locks and files outside of it"
            ) from error
        for module in model.modules():
            module.training = not isinstance(module, _NOISE)
            module.__dict__.pop("_module_hooks", None)
        model.zero_grad()
        yield model, dict(model.named_parameters()), optimizer, function
        return
    held = [] if optimizer is None else [p for group in optimizer.param_groups for p in group["params"]]
    own = list({id(p): p for p in [*named.values(), *held]}.values())
    before = [(p._data, p._grad, p._grad_ours) for p in own]
    optimizer, function = copy.deepcopy((optimizer, function), {id(p): p for p in own})
    try:
        for p, (array, _, _) in zip(own, before):
            p._data, p._grad = array.copy(), None
        yield model, named, optimizer, function
    finally:
        for p, (array, gradient, ours) in zip(own, before):
            p._data, p._grad, p._grad_ours = array, gradient, ours


def _named_parameters(model: Any, optimizer: optim.Optimizer | None, given: Any, frame: Any) -> dict[str, Tensor]:
    if isinstance(model, Module) and given is None:
        return dict(model.named_parameters())
    if given is None and callable(getattr(model, "parameters", None)):
        given = model.parameters()
    if given is None and optimizer is not None:
        given = [p for group in optimizer.param_groups for p in group["params"]]
    found = list(given.items()) if isinstance(given, Mapping) else [("", p) for p in given or ()]
    for name, p in found:
        if not isinstance(p, Tensor) or not p.is_leaf:
            raise TypeError(
                f"diagnose: parameters must be Tensors that no op made, got {name or type(p).__name__}: {p!r:.60}"
            )
    if not found:
        raise ValueError("diagnose: a model that is no Module needs parameters=, or the optimizer that holds them")
    local = Names(frame, {id(p) for _, p in found}).of
    return {name or name_of(p) or local.get(id(p)) or f"p{i}": p for i, (name, p) in enumerate(found)}


def _apart(x: Any, dtype: np.dtype[Any]) -> Any:
    """An input in the model's dtype, off the caller's tape."""
    if not isinstance(x, Tensor):
        return x
    return x.detach().to(dtype) if x.dtype.kind == "f" else x.detach()


def _norm(arrays: Sequence[NDArray[Any]]) -> float:
    with np.errstate(over="ignore"):
        return math.sqrt(math.fsum(float(np.square(a, dtype=np.float64).sum()) for a in arrays))


def _weigh(seen: Observed) -> None:
    for place, weights in seen.weights.items():
        seen.layers[place].weight_norm = _norm([p.detach().numpy() for p in weights])
        seen.layers[place].grad_norm = _norm([p.grad.numpy() for p in weights if p.grad is not None])


def _finding(name: str, layer: str, detail: str) -> Finding:
    return Finding(name, layer, detail, FINDINGS[name])


def _left_out(named: Mapping[str, Tensor], optimizer: optim.Optimizer | None) -> list[str]:
    """Paths of the modules with parameters that should be trained and that the optimizer does not hold."""
    if optimizer is None:
        return []
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    names = [name for name, p in named.items() if p.requires_grad and id(p) not in held]
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _missing(inputs: tuple[Any, ...], targets: Any) -> tuple[str, str] | None:
    for what, given in (*(("inputs", x) for x in inputs), ("targets", targets)):
        if isinstance(given, Tensor) and given.dtype.kind == "f" and not np.isfinite(given.detach().numpy()).all():
            return "", f"the batch's {what} have NaN or infinite values"
    return None


def _not_finite(known: Diagnosis, named: Mapping[str, Tensor]) -> tuple[str, str] | None:
    for layer in known.layers:
        if not (math.isfinite(layer.minimum) and math.isfinite(layer.maximum)):
            return layer.layer, "its output has NaN or infinite values"
    if not math.isfinite(known.loss):
        return "", f"the loss is {known.loss}"
    for name, p in named.items():
        if p.grad is not None and not np.isfinite(p.grad.numpy()).all():
            return name, "its gradient has NaN or infinite values"
    return None


def _look_at_labels(known: Diagnosis, inputs: tuple[Any, ...], outputs: Any, targets: Any, function: Loss) -> None:
    arrays = [t.detach().numpy() for t in (inputs[0], targets) if isinstance(t, Tensor)]
    # numbers that name things (words' indices, a class for each pixel) are neither near nor far
    measured = len(arrays) == 2 and arrays[0].dtype.name in ("float32", "float64", "uint8")
    if measured and (arrays[1].ndim == 1 or arrays[1].dtype.kind == "f") and depends(arrays[0], arrays[1]) is False:
        detail = f"they fit the inputs no better than in {PERMUTATIONS} random orders"
        known.findings.append(_finding("labels_unrelated", "", detail))
    if not classes(outputs, targets):
        return
    width = outputs.shape[1]
    own = targets.numpy()
    known.class_counts = np.bincount(own[(own >= 0) & (own < width)], minlength=width).tolist()
    most, least = max(known.class_counts), min(known.class_counts)
    if known.samples >= _OF_EACH * width and most > _UNEVEN * least:
        detail = f"class {known.class_counts.index(least)} has {least} samples, class {known.class_counts.index(most)} has {most}"
        known.findings.append(_finding("class_imbalance", "", detail))
    if function is resolve_loss("cross_entropy") or (
        isinstance(function, nn.CrossEntropyLoss) and function.reduction == "mean"
    ):
        known.chance = math.log(width)
        if known.loss > known.chance + _ABOVE_CHANCE:
            detail = f"{known.loss:.3g}, where giving {width} classes the same score costs {known.chance:.3g}"
            known.findings.append(_finding("loss_above_chance", "", detail))


def _look_at_units(
    known: Diagnosis, seen: Observed, names: list[str], inputs: tuple[Any, ...], whole: bool, judge: bool
) -> None:
    suspects = {}
    for place, lost in seen.lost().items():
        layer = known.layers[place]
        if place in seen.rectifies:
            layer.dead = lost
        else:
            layer.saturated = lost
        if judge and lost > _LOST * layer.units and (whole or known.counted >= _SEEN):
            suspects[place] = lost
    least = {place: math.ceil(lost - _LOST * known.layers[place].units) for place, lost in suspects.items()}
    excused = lost_by_the_draw(seen.model, names, inputs, least) if suspects else set()
    for place, lost in suspects.items():
        if place not in excused:
            layer, dies = known.layers[place], place in seen.rectifies
            what = "never positive" if dies else "without a gradient"
            detail = f"{lost} of {layer.units} units are {what} on {known.counted} samples"
            known.findings.append(_finding("dead_units" if dies else "saturated_units", layer.layer, detail))


def _look_at_gradients(known: Diagnosis) -> None:
    sized = [(layer.relative_gradient, layer) for layer in known.layers if layer.grad_norm is not None]
    found = [(r, layer) for r, layer in sized if r is not None]
    if len(found) < 2 or len(found) < len(sized):  # a layer of zeros lets nothing through, on purpose
        return
    smallest = min(range(len(found)), key=lambda i: found[i][0])
    largest = max(range(len(found)), key=lambda i: found[i][0])
    (low, here), (high, there) = found[smallest], found[largest]
    if high > _APART * low:
        if smallest < largest:
            low, here = next((r, layer) for r, layer in found[:largest] if high > _APART * r)
            detail = f"gradient over weight is {low:.1e}, {there.layer} has {high:.1e}"
            known.findings.append(_finding("vanishing_gradient", here.layer, detail))
        else:
            detail = f"gradient over weight is {high:.1e}, {here.layer} has {low:.1e}"
            known.findings.append(_finding("exploding_gradient", there.layer, detail))


def _look_at_update(
    known: Diagnosis,
    seen: Observed,
    named: Mapping[str, Tensor],
    optimizer: optim.Optimizer,
    loss: Callable[[], float],
    judge: bool,
) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    trained = [p for p in named.values() if p.grad is not None and id(p) in held]
    before: dict[Tensor, NDArray[Any]] = {p: p.detach().numpy().copy() for p in trained}
    optimizer.step()
    moved = {p: p.detach().numpy().astype(np.float64) - old for p, old in before.items()}
    for place, weights in seen.weights.items():
        if norm := known.layers[place].weight_norm:
            known.layers[place].update_ratio = _norm([moved[p] for p in weights if p in moved]) / norm
    with no_grad():
        known.loss_after = loss()
    size = _norm(list(before.values()))
    if not size or not judge:
        return
    known.update_ratio = ratio = _norm(list(moved.values())) / size
    slope = math.fsum(float(np.vdot(p.grad.numpy(), step)) for p, step in moved.items() if p.grad is not None)
    known.gain = gain = (known.loss_after - known.loss) / slope if slope < 0 else None
    strays = gain is not None and not gain >= _GAIN  # NaN: the loss after it is not finite
    if ratio > _LEAP or (ratio > _STEP and strays):
        detail = (
            f"an update is {ratio:.1e} of the weights (about {_HEALTHY:g} is healthy); by the gradient the batch's loss should change by "
            f"{slope:.3g}, it goes from {known.loss:.3g} to {known.loss_after:.3g}"
        )
        known.findings.append(_finding("learning_rate_too_large", "", detail))
    ends = any(
        group["lr"] < 0.5 * max(group.get(k, 0.0) for k in ("initial_lr", "max_lr")) for group in optimizer.param_groups
    )
    # what a schedule has lowered is small on purpose
    if ratio < _CRAWL and known.chance is not None and known.loss > known.chance / 2 and not ends:
        detail = f"an update is {ratio:.1e} of the weights; about {_HEALTHY:g} is healthy"
        known.findings.append(_finding("learning_rate_too_small", "", detail))


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.2e}" if value and not 0.01 <= abs(value) < 1000 else f"{value:.3g}"


def _share(count: int | None, of: int) -> str:
    return "" if count is None else f"{count}/{of}"
