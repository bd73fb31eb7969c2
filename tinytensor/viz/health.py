"""diagnose: what a network's activations, gradients and updates on one batch say about its health."""

from __future__ import annotations

import copy
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytensor import nn, optim
from tinytensor.nn import Module
from tinytensor.random import default_generator
from tinytensor.serialize import write_atomically
from tinytensor.tape import enable_grad, no_grad
from tinytensor.tensor import Tensor
from tinytensor.train.evaluation import Loss, classes, resolve_loss, scalar
from tinytensor.train.sources import dataset_of, float_dtype, pair, unpack
from tinytensor.viz.dependence import PERMUTATIONS, depends

__all__ = ["FINDINGS", "Diagnosis", "Finding", "LayerHealth", "diagnose"]

FINDINGS: dict[str, str] = {
    "not_finite": "look for a division by zero, log(0) or an overflow: with tt.detect_anomaly(): loss.backward()",
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
}
"""The names of all findings, each with what to do about it."""

# Thresholds. Each has a reason of its own; none was fitted to a network.
_RARE = 0.01  # a unit that is positive for fewer samples than this share is of no use
_SEEN = math.ceil(3 / _RARE)  # rule of three: 0 of n bounds a share by 3/n with 95 % (Hanley, Lippman-Hand 1983)
_LOST = 0.05  # of a layer's units: fewer are less than what is known about how many it needs
_FLAT = 0.05  # of the steepest derivative: the usual reading of "saturated" (tanh beyond 2.2, sigmoid beyond 4.4)
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

_STEEPEST = {nn.Sigmoid: 0.25, nn.Tanh: 1.0, nn.Softsign: 1.0, nn.Hardtanh: 1.0, nn.Hardsigmoid: 1 / 6}
_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Hardswish,
    nn.LogSigmoid, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink, nn.Threshold, *_STEEPEST,
)  # fmt: skip
_NOISE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.RReLU)
BINS = 16


@dataclass(frozen=True)
class Finding:
    """What is wrong (`name`, a key of `FINDINGS`), where (a layer's path, "" for the whole), the numbers, and what to do."""

    name: str
    layer: str
    detail: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.name}{f' in {self.layer}' if self.layer else ''}: {self.detail}; {self.suggestion}"


@dataclass
class LayerHealth:
    """One module with weights, or an activation, in the order of the forward pass. None: has no meaning there.

    mean, std, minimum, maximum, histogram (16 equal bins): of the outputs on the batch. dead: units of a ReLU that were never positive,
    saturated: units of a squashing activation with a derivative under 5 % of its steepest for all samples, of `units`, over all
    samples seen. weight_norm, grad_norm: of weights of two or more dimensions; update_ratio: norm of the optimizer's next update over weight_norm.
    """

    layer: str
    kind: str
    units: int
    mean: float
    std: float
    minimum: float
    maximum: float
    histogram: list[int]
    dead: int | None = None
    saturated: int | None = None
    weight_norm: float | None = None
    grad_norm: float | None = None
    update_ratio: float | None = None

    @property
    def relative_gradient(self) -> float | None:
        """grad_norm over weight_norm: the update ratio of plain descent at learning rate 1. None for weights that are all zero."""
        return self.grad_norm / self.weight_norm if self.grad_norm is not None and self.weight_norm else None


@dataclass
class Diagnosis:
    """What `diagnose` found: `findings` (none: healthy), `layers`, and numbers of the whole. str() is the table and the findings."""

    findings: list[Finding]
    layers: list[LayerHealth]
    samples: int
    loss: float
    chance: float | None
    """log(classes), the loss of guessing; None where nothing is classified."""
    loss_after: float | None
    """Of the same batch after the optimizer's next update; None without an optimizer."""
    update_ratio: float | None
    gain: float | None = None
    """That update's descent of the loss over gradient times update, what it would be without curvature: 1 for tiny steps."""
    class_counts: list[int] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The findings' names, each once."""
        return list(dict.fromkeys(finding.name for finding in self.findings))

    def __str__(self) -> str:
        head = ["layer", "kind", "mean", "std", "dead", "saturated", "gradient", "update/weight"]
        rows = [
            [
                x.layer or "(all)", x.kind, _short(x.mean), _short(x.std), _share(x.dead, x.units), _share(x.saturated, x.units),
                _short(x.grad_norm), _short(x.update_ratio),
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
        return "\n".join([*lines, f"{loss}; {self.samples} samples", *found])

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the layers to a CSV file with a header, whole or not at all; the histogram's counts stand in one column, with spaces."""
        import csv

        columns = [f.name for f in fields(LayerHealth)]
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([*columns, "relative_gradient"])
        for layer in self.layers:
            values = [getattr(layer, name) for name in columns]
            table.writerow(
                [
                    *(" ".join(map(str, v)) if isinstance(v, list) else v for v in values),
                    layer.relative_gradient,
                ]
            )
        write_atomically(path, text.getvalue().encode())

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw histograms of the activations, lost units, gradients and update ratios by layer to a PNG. ImportError without matplotlib."""
        from tinytensor.viz.health_figure import plot_diagnosis

        plot_diagnosis(self, path)


def diagnose(
    model: Module,
    batch: Any,
    loss: Loss | str = "cross_entropy",
    optimizer: optim.Optimizer | None = None,
    *,
    data: Any = None,
) -> Diagnosis:
    """Look at a network on one batch, before or during training, and name what is wrong with it.

    batch: (inputs..., targets), Tensors or arrays with the samples first; 300 or more of them, so that units that never fire can be called dead.
    loss: as for `train.fit`. optimizer: the one that trains the model; without it nothing is said about updates and left-out layers.
    data: samples over which dead and saturated units are counted (default: the batch), in whatever form `train.evaluate` takes.

    Model, optimizer, their state and the random numbers stay as they are: all is done on a copy (which takes their memory once more), with
    dropout off and normalization in the mode of training. Activations are seen where they are modules. Findings and what raises them:

    - not_finite: loss, gradient or activation is NaN or infinite; no more is looked at then.
    - not_in_optimizer: a parameter that requires grad and that the optimizer does not hold.
    - class_imbalance: the most frequent class has over 10 times the least frequent's samples, where 20 of each were expected.
    - labels_unrelated: neither of two tests (`viz.depends`) tells the targets from randomly ordered ones; from 100 samples on, of float or uint8 inputs.
    - loss_above_chance: cross-entropy over log(classes) + 1, where scores of variance 2 would be.
    - dead_units, saturated_units: over 5 % of a layer's units give nothing, or no gradient, for all of 300 or more samples (so, with 95 %
      confidence, for over 99 % of all samples: the rule of three).
    - vanishing_gradient, exploding_gradient: between two layers, gradient over weight differs by more than 1e4, so that no learning rate
      brings both near the healthy 1e-3.
    - learning_rate_too_large: the optimizer's next update is over 0.1 of the weights, 100 times the healthy 1e-3; or over 1e-2, and of the descent that the gradient promises for the very
      batch that it is made for less than a quarter comes (Nocedal and Wright's bound; on a parabola, more than 1.5 times the best step).
      learning_rate_too_small: it is under 1e-6 of them, while the loss is over half of chance. Not for LBFGS.

    Raises TypeError for a model, batch or optimizer that is none, ValueError for a loss that is no scalar.
    """
    if not isinstance(model, Module):
        raise TypeError(f"diagnose: model must be a Module, got {type(model).__name__}")
    if optimizer is not None and not isinstance(optimizer, optim.Optimizer):
        raise TypeError(f"diagnose: optimizer must be an Optimizer or None, got {type(optimizer).__name__}")
    function = resolve_loss(loss)
    dtype = float_dtype(model)
    inputs, targets, samples = unpack(batch, "diagnose")
    inputs = tuple(_apart(x, dtype) for x in inputs)
    left_out = _left_out(model, optimizer)
    model, optimizer, function = copy.deepcopy((model, optimizer, function))
    state = default_generator.get_state()
    try:
        for module in model.modules():
            module.training = not isinstance(module, _NOISE)
            module.__dict__.pop("_module_hooks", None)
        model.zero_grad()
        seen = _Seen(model)
        with enable_grad():
            outputs = seen.watch(model, inputs)
            value = scalar(function(outputs, targets))
            value.backward()
        _weigh(model, seen.layers)
        known = Diagnosis([], [layer for _, layer in seen.layers], samples, value.item(), None, None, None)
        found = known.findings
        if (what := _not_finite(known, model)) is not None:
            found.append(_finding("not_finite", *what))
            return known
        for name in left_out:
            found.append(_finding("not_in_optimizer", name, "its parameters are never updated"))
        _look_at_labels(known, inputs, outputs, targets, function)
        if data is None:
            counted = samples
        else:
            counted, source = 0, pair("diagnose", data, dataset_of(data, dtype), 256)
            for more, _, size in (unpack(b, "diagnose") for b in source.epoch()):
                with no_grad():
                    seen.again(model, more, fresh=counted == 0)
                counted += size
        _look_at_units(known, seen, counted)
        _look_at_gradients(known)
        if optimizer is not None and not isinstance(optimizer, optim.LBFGS):
            _look_at_update(known, seen, model, optimizer, lambda: function(model(*inputs), targets).item())
    finally:
        default_generator.set_state(state)
    return known


def _apart(x: Any, dtype: np.dtype[Any]) -> Any:
    """An input in the model's dtype, off the caller's tape."""
    if not isinstance(x, Tensor):
        return x
    return x.detach().to(dtype) if x.dtype.kind == "f" else x.detach()


class _Seen:
    """What goes through the modules of a model: outputs' statistics, and which units gave something."""

    def __init__(self, model: Module) -> None:
        self.layers: list[tuple[Module, LayerHealth]] = []
        self.alive: dict[int, NDArray[np.bool_]] = {}  # by place in `layers`: units that fired, or were steep, once
        self._places: dict[Module, int] = {}
        self._names = {module: name for name, module in model.named_modules()}
        self._channels_first = any(isinstance(m, (nn.Conv1d, nn.ConvTranspose1d)) for m in model.modules())

    def watch(self, model: Module, inputs: tuple[Any, ...], layers: bool = True) -> Any:
        """The model's outputs; of each module, its first call is looked at."""
        called: set[Module] = set()

        def after(module: Module, args: tuple[Any, ...], output: Any) -> None:
            if module in called or not isinstance(output, Tensor) or not output.numel():
                return
            called.add(module)
            if layers:
                self._places[module] = len(self.layers)
                self.layers.append((module, self._measure(module, output.detach().numpy())))
            if module in self._places:
                self._count(module, args[0], output)

        handles = [
            m.register_forward_hook(after)
            for m in model.modules()
            if isinstance(m, _ACTIVATIONS) or any(p.dim() > 1 for p in m._parameters.values() if p is not None)
        ]
        try:
            return model(*inputs)
        finally:
            for handle in handles:
                handle.remove()

    def again(self, model: Module, inputs: tuple[Any, ...], fresh: bool) -> None:
        """Count the units that gave something on more samples; fresh: forget those counted before."""
        if fresh:
            self.alive.clear()
        self.watch(model, inputs, layers=False)

    def _axis(self, values: NDArray[Any]) -> int:
        return 1 if values.ndim == 4 or (values.ndim == 3 and self._channels_first) else values.ndim - 1

    def _measure(self, module: Module, values: NDArray[Any]) -> LayerHealth:
        flat = values.astype(np.float64).reshape(-1)
        fine = flat[np.isfinite(flat)]
        low, high = (float(fine.min()), float(fine.max())) if fine.size else (math.nan, math.nan)
        counts = np.histogram(fine, BINS, (low, high if high > low else low + 1))[0] if fine.size else np.zeros(BINS)
        return LayerHealth(
            self._names[module],
            type(module).__name__,
            values.shape[self._axis(values)],
            float(flat.mean()),
            float(flat.std()),
            low if fine.size == flat.size else math.nan,
            high if fine.size == flat.size else math.nan,
            [int(n) for n in counts],
        )

    def _count(self, module: Module, x: Tensor, output: Tensor) -> None:
        steepest = _STEEPEST.get(type(module))
        if isinstance(module, (nn.ReLU, nn.ReLU6)):
            gives = output.detach().numpy() > 0
        elif steepest is not None:
            own = Tensor(x.detach().numpy().copy(), requires_grad=True)
            with enable_grad():
                module.forward(own).sum().backward()
            assert own.grad is not None
            gives = own.grad.numpy() >= _FLAT * steepest
        else:
            return
        axis = self._axis(gives)
        alive: Any = np.moveaxis(gives, axis, -1).reshape(-1, gives.shape[axis]).any(0)
        place = self._places[module]
        self.alive[place] = self.alive[place] | alive if place in self.alive else alive


def _weights(module: Module) -> list[Tensor]:
    return [p for p in module._parameters.values() if p is not None and p.requires_grad and p.dim() > 1]


def _norm(arrays: Sequence[NDArray[Any]]) -> float:
    return math.sqrt(math.fsum(float(np.square(a, dtype=np.float64).sum()) for a in arrays))


def _weigh(model: Module, layers: list[tuple[Module, LayerHealth]]) -> None:
    for module, layer in layers:
        if weights := _weights(module):
            layer.weight_norm = _norm([p.detach().numpy() for p in weights])
            layer.grad_norm = _norm([p.grad.numpy() for p in weights if p.grad is not None])


def _finding(name: str, layer: str, detail: str) -> Finding:
    return Finding(name, layer, detail, FINDINGS[name])


def _left_out(model: Module, optimizer: optim.Optimizer | None) -> list[str]:
    """Paths of the modules with parameters that should be trained and that the optimizer does not hold."""
    if optimizer is None:
        return []
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    names = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in held]
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _not_finite(known: Diagnosis, model: Module) -> tuple[str, str] | None:
    for layer in known.layers:
        if not (math.isfinite(layer.minimum) and math.isfinite(layer.maximum)):
            return layer.layer, "its output has NaN or infinite values"
    if not math.isfinite(known.loss):
        return "", f"the loss is {known.loss}"
    for name, p in model.named_parameters():
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


def _look_at_units(known: Diagnosis, seen: _Seen, samples: int) -> None:
    for place, alive in seen.alive.items():
        layer = known.layers[place]
        lost = int(np.count_nonzero(~alive))
        dies = layer.kind in ("ReLU", "ReLU6")
        if dies:
            layer.dead = lost
        else:
            layer.saturated = lost
        if samples >= _SEEN and lost > _LOST * layer.units:
            what = "never positive" if dies else "without a gradient"
            detail = f"{lost} of {layer.units} units are {what} on {samples} samples"
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
            detail = f"gradient over weight is {low:.1e}, {there.layer} has {high:.1e}"
            known.findings.append(_finding("vanishing_gradient", here.layer, detail))
        else:
            detail = f"gradient over weight is {high:.1e}, {here.layer} has {low:.1e}"
            known.findings.append(_finding("exploding_gradient", there.layer, detail))


def _look_at_update(known: Diagnosis, seen: _Seen, model: Module, optimizer: optim.Optimizer, loss: Any) -> None:
    before: dict[Tensor, NDArray[Any]] = {
        p: p.detach().numpy().copy() for p in model.parameters() if p.grad is not None
    }
    optimizer.step()
    moved = {p: p.detach().numpy().astype(np.float64) - old for p, old in before.items()}
    for module, layer in seen.layers:
        if layer.weight_norm:
            layer.update_ratio = _norm([moved[p] for p in _weights(module) if p in moved]) / layer.weight_norm
    with no_grad():
        known.loss_after = float(loss())
    size = _norm(list(before.values()))
    if not size:
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
    if ratio < _CRAWL and known.chance is not None and known.loss > known.chance / 2:
        detail = f"an update is {ratio:.1e} of the weights; about {_HEALTHY:g} is healthy"
        known.findings.append(_finding("learning_rate_too_small", "", detail))


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.2e}" if value and not 0.01 <= abs(value) < 1000 else f"{value:.3g}"


def _share(count: int | None, of: int) -> str:
    return "" if count is None else f"{count}/{of}"
