"""What goes through a network: outputs of its layers and activations, and which units gave something, on batch after batch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytensor import nn
from tinytensor._tape import Node, kept_names, newest_number, noted, number_of, try_rule
from tinytensor.nn import Module
from tinytensor.ops.product import ACTIVATIONS
from tinytensor.random import manual_seed
from tinytensor.tape import enable_grad, inspect
from tinytensor.tensor import Tensor
from tinytensor.viz.trace import histogram

__all__ = ["REDRAWS", "LayerHealth", "Observed", "lost_by_the_draw"]

_FLAT = 0.05  # of the steepest derivative: the usual reading of "saturated" (tanh beyond 2.2, sigmoid beyond 4.4)
REDRAWS = 99
"""Fresh weights that lost units are compared with; p = 1/100 is the least that they can show (Phipson and Smyth 2010)."""

_STEEPEST_MODULES = {nn.Sigmoid: 0.25, nn.Tanh: 1.0, nn.Softsign: 1.0, nn.Hardtanh: 1.0, nn.Hardsigmoid: 1 / 6}
_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Hardswish,
    nn.LogSigmoid, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink, nn.Threshold, *_STEEPEST_MODULES,
)  # fmt: skip
_STEEPEST = {"sigmoid": 0.25, "tanh": 1.0, "softsign": 1.0, "hardtanh": 1.0, "hardsigmoid": 1 / 6}
_OPS = frozenset(
    ("relu", "leaky_relu", "elu", "celu", "selu", "gelu", "gelu_tanh", "silu", "mish", "softplus", "hardswish", "logsigmoid", *_STEEPEST)
)  # fmt: skip
_MOVES = ("reshape", "transpose", "permute", "t", "mT", "flatten", "view", "squeeze", "unsqueeze", "cast")


@dataclass
class LayerHealth:
    """One module or parameter with weights, or an activation, in the order of the forward pass. None: has no meaning there.

    layer: the path of the module; of a parameter used without one, its name; of an activation applied as a function "relu(fc1)", after what it
    is applied to. kind: class of the module, or the op. mean, std, minimum, maximum, histogram (16 equal bins): of the outputs on the batch.
    dead: units of a ReLU that were never positive, saturated: units of a squashing activation with a derivative under 5 % of its steepest for
    all samples, of `units`, over all samples seen. weight_norm, grad_norm: of weights of two or more dimensions; update_ratio: norm of the
    optimizer's next update over weight_norm.
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


class Observed:
    """Watches a network, a Module or any function of the inputs, with its parameters by name.

    After `watch`: `layers` in order, `weights` (by place in `layers`, the parameters of two or more dimensions that are trained),
    `alive` (by place, which units fired, or were steep, at least once since it was last cleared).
    """

    def __init__(self, model: Callable[..., Any], named: Mapping[str, Tensor]) -> None:
        self.model = model
        self.layers: list[LayerHealth] = []
        self.weights: dict[int, list[Tensor]] = {}
        self.alive: dict[int, NDArray[np.bool_]] = {}
        self.rectifies: set[int] = set()  # places of activations that are 0 for what is not positive
        modules = list(model.named_modules()) if isinstance(model, Module) else []
        self._paths = {m: name for name, m in modules}
        self._hooked = [m for m in self._paths if isinstance(m, _MODULES) or _is_layer(m)]
        owned = {id(p) for m in self._hooked for p in m._parameters.values()}
        self._loose = [(name, p) for name, p in named.items() if p.requires_grad and p.dim() > 1 and id(p) not in owned]
        self._channels_first = any(isinstance(m, (nn.Conv1d, nn.ConvTranspose1d)) for m in self._paths)
        self._places: dict[Any, int] = {}  # by module, or by op and how many of it came before

    def watch(self, inputs: tuple[Any, ...]) -> Any:
        """The network's outputs. The first time `layers` is filled, with the first call of each module; then units are counted on."""
        first = not self._places
        produced: dict[Node, str] = {}
        # number of the node, key in _places, health, weights, units that gave something
        made: list[tuple[int, Any, LayerHealth | None, list[Tensor], Any]] = []
        called: set[Module] = set()

        def after(module: Module, args: tuple[Any, ...], output: Any) -> None:
            if module in called or not isinstance(output, Tensor) or not output.numel():
                return
            called.add(module)
            if output._node is not None:
                produced[output._node] = self._paths[module] or type(module).__name__
            values = output.detach().numpy()
            health = self._measure(self._paths[module], type(module).__name__, values) if first else None
            made.append((newest_number(), module, health, _trained(module), self._given(module, args, values)))

        handles = [m.register_forward_hook(after) for m in self._hooked]
        try:
            with enable_grad(), inspect():
                outputs = self.model(*inputs)
        finally:
            for handle in handles:
                handle.remove()
        made += self._on_the_tape(outputs, produced, first)
        made.sort(key=lambda one: one[0])
        for _, key, health, weights, given in made:
            if health is not None:
                self._places[key] = len(self.layers)
                if weights:
                    self.weights[len(self.layers)] = weights
                self.layers.append(health)
            place = self._places.get(key)
            if place is None or given is None:
                continue
            alive, rectifier = given
            if len(alive) != self.layers[place].units:
                continue  # a graph that changes from batch to batch
            if rectifier:
                self.rectifies.add(place)
            self.alive[place] = self.alive[place] | alive if place in self.alive else alive
        return outputs

    def lost(self) -> dict[int, int]:
        """By place, how many units gave nothing on all samples since `alive` was last cleared."""
        return {place: int(np.count_nonzero(~alive)) for place, alive in self.alive.items()}

    # ------------------------------------------------------------------------------------- what no module stands for
    def _on_the_tape(self, outputs: Any, produced: dict[Node, str], first: bool) -> list[tuple[Any, ...]]:
        """Parameters and activations that are used by ops alone, found in the graph behind the outputs."""
        nodes = _graph(outputs)
        found: list[tuple[Any, ...]] = []
        modular = set(produced)
        for name, p in self._loose:
            node = _user(nodes, p)
            if node is None or node in produced:
                continue
            produced[node] = name
            value = _value(node)
            if first and value is not None and value.ndim > 1 and value.size:
                kind = node.op.__name__.strip("_")
                found.append((number_of(node), ("weights", name), self._measure(name, kind, value), [p], None))
        seen: dict[str, int] = {}
        titles: dict[str, int] = {}
        for node in nodes:
            fused = _fused(node)
            op = fused or node.op.__name__.strip("_")
            rectifier = op == "relu" or (op in ("hardtanh", "clamp", "maximum") and _floor(node) == 0.0)
            if node in modular or not (rectifier or op in _OPS):
                continue
            seen[op] = seen.get(op, 0) + 1
            value = _value(node)
            if value is None or value.ndim < 2 or not value.size:
                continue
            of = produced.get(node) or _source(node, produced)
            title = f"{op}({of})" if of else op
            titles[title] = titles.get(title, 0) + 1
            title += f" {titles[title]}" if titles[title] > 1 else ""
            produced[node] = of or op
            given = None
            if rectifier:
                given = self._any(value > 0), True
            elif op in _STEEPEST:
                local = _slope(node, fused, value)
                if local is not None:
                    given = self._any(local >= _FLAT * _STEEPEST[op]), False
            health = self._measure(title, op, value) if first else None
            found.append((number_of(node), (op, seen[op]), health, [], given))
        return found

    # ------------------------------------------------------------------------------------------------- measurements
    def _axis(self, values: NDArray[Any]) -> int:
        return 1 if values.ndim == 4 or (values.ndim == 3 and self._channels_first) else values.ndim - 1

    def _any(self, gives: NDArray[np.bool_]) -> NDArray[np.bool_]:
        axis = self._axis(gives)
        found: Any = np.moveaxis(gives, axis, -1).reshape(-1, gives.shape[axis]).any(0)
        return np.asarray(found)

    def _measure(self, layer: str, kind: str, values: NDArray[Any]) -> LayerHealth:
        flat = values.astype(np.float64).reshape(-1)
        fine = flat[np.isfinite(flat)]
        low, high = (float(fine.min()), float(fine.max())) if fine.size else (math.nan, math.nan)
        whole = fine.size == flat.size
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and inf stand in the table
            mean, std = float(flat.mean()), float(flat.std())
        return LayerHealth(
            layer, kind, values.shape[self._axis(values)], mean, std,
            low if whole else math.nan, high if whole else math.nan, histogram(fine),
        )  # fmt: skip

    def _given(
        self, module: Module, args: tuple[Any, ...], values: NDArray[Any]
    ) -> tuple[NDArray[np.bool_], bool] | None:
        """Which units of an activation gave something for a sample, and whether it is a ReLU; None for other modules."""
        if isinstance(module, (nn.ReLU, nn.ReLU6)):
            return self._any(values > 0), True
        steepest = _STEEPEST_MODULES.get(type(module))
        if steepest is None:
            return None
        own = Tensor(args[0].detach().numpy().copy(), requires_grad=True)
        with enable_grad():
            module.forward(own).sum().backward()
        assert own.grad is not None
        return self._any(own.grad.numpy() >= _FLAT * steepest), False


def _is_layer(module: Module) -> bool:
    """Whether its weights are one layer: all of `nn` are, others where they have one matrix."""
    count = sum(p is not None and p.dim() > 1 for p in module._parameters.values())
    return count == 1 or (count > 1 and type(module).__module__.startswith("tinytensor.nn"))


def _trained(module: Module) -> list[Tensor]:
    return [p for p in module._parameters.values() if p is not None and p.requires_grad and p.dim() > 1]


def _graph(outputs: Any) -> list[Node]:
    """The nodes behind the Tensors among outputs (a Tensor, or tuples, lists and dicts of such), in the order of creation."""
    stack, seen = [outputs], set()
    while stack:
        one = stack.pop()
        if isinstance(one, Tensor):
            one = one._node
        if isinstance(one, Mapping):
            stack += one.values()
        elif isinstance(one, (tuple, list)):
            stack += one
        elif isinstance(one, Node) and one not in seen:
            seen.add(one)
            stack += [p for p in one.parents if isinstance(p, Node)]
    return sorted(seen, key=number_of)


def _value(node: Node) -> NDArray[Any] | None:
    value, same, *_ = noted(node)
    return value if same and isinstance(value, np.ndarray) else None


def _fused(node: Node) -> str | None:
    """The activation that a linear layer ran in its own pass."""
    fused, _, activation = node.op.__name__.partition("_")
    known = ACTIVATIONS.get(activation) if fused == "linear" else None
    return None if known is None or known.keeps_input else activation


def _slope(node: Node, fused: str | None, value: NDArray[Any]) -> NDArray[Any] | None:
    """The derivative of a squashing activation where it was applied."""
    if fused is not None:
        slope: NDArray[Any] = value * (1 - value) if fused == "sigmoid" else 1 - value * value
        return slope
    return (try_rule(node, np.ones(value.shape, value.dtype)) or [None])[0]


def _user(nodes: Iterable[Node], p: Tensor) -> Node | None:
    """The first op that computes with a parameter; to transpose or reshape it is none."""
    same: list[Any] = [p]
    for node in nodes:
        if any(parent is one for parent in node.parents for one in same):
            if node.op.__name__.strip("_") not in _MOVES:
                return node
            same.append(node)
    return None


def _floor(node: Node) -> float | None:
    """The lower bound of a clamp, hardtanh, or maximum with a constant."""
    op = node.op.__name__.strip("_")
    if op == "maximum":
        constants = [v for _, at, v, *_ in kept_names(node) if at >= 0 and node.parents[at] is None]
        return 0.0 if len(constants) == 1 and not np.any(constants[0]) else None
    return next((float(v) for name, _, v, *_ in kept_names(node) if name == "low" and v is not None), None)


def _source(node: Node, produced: Mapping[Node, str]) -> str:
    """The name of the layer whose output, shifted or reshaped perhaps, reaches a node; "" where none does."""
    level: list[Any] = list(node.parents)
    while level:
        known = [produced[p] for p in level if isinstance(p, Node) and p in produced]
        if known:
            return known[0]
        level = [q for p in level if isinstance(p, Node) for q in p.parents]
    return ""


def lost_by_the_draw(model: Any, named: Sequence[str], inputs: tuple[Any, ...], counts: Mapping[int, int]) -> set[int]:
    """Which of the counts of lost units (by place) the draw of the weights explains: one of `REDRAWS` fresh draws loses as many or more.

    The inputs are centred for it, and scaled up where they are narrow, so that a network that loses units because they are not is not excused. Without a
    `reset_parameters` for all weights but embeddings nothing can be drawn, and nothing is explained. Draws from the default generator.
    """
    if not isinstance(model, Module):
        return set()
    fresh = copy.deepcopy(model)
    if any(
        _trained(m) and not (hasattr(m, "reset_parameters") or isinstance(m, nn.Embedding)) for m in fresh.modules()
    ):
        return set()
    inputs = (_standard(inputs[0]), *inputs[1:])
    explained: set[int] = set()
    manual_seed(0)
    watched = Observed(fresh, dict(zip(named, fresh.parameters())))
    for _ in range(REDRAWS):
        for module in fresh.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        watched.alive.clear()
        watched.watch(inputs)
        lost = watched.lost()
        explained |= {place for place, count in counts.items() if lost.get(place, 0) >= count}
        if len(explained) == len(counts):
            break
    return explained


def _standard(x: Any) -> Any:
    """Float inputs with mean 0 of each feature (of each channel of images), narrow ones as wide as evenly spread numbers from -1 to 1."""
    if not isinstance(x, Tensor) or x.dtype.kind != "f" or x.dim() < 2:
        return x
    values = x.detach().numpy()
    axes = (0, 2, 3) if values.ndim == 4 else 0
    spread = values.std(axes, keepdims=True) * math.sqrt(3)
    return Tensor((values - values.mean(axes, keepdims=True)) / np.where((spread > 0) & (spread < 1), spread, 1))
