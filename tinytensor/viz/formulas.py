"""Local gradients in words: for each op the product of upstream and local gradient as its rule works it out, with shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["OF_MODULES", "WORDED", "formula", "gate", "op_name"]
Shape = tuple[int, ...]

OF_MODULES = ("linear", "conv", "normalized", "embedding", "prelu")
"""How the names of ops begin that nn's modules run on parameters of their own."""
WORDED = ("matmul", "linear", "conv", "cross_entropy", "reshape", "permute")
"""How the names of ops begin whose local gradients are better in words than in numbers, but for scalars."""
_ROUTES = {"maximum", "amax", "pick", "scatter_extreme", "relu"}
_DISTRIBUTES = {"add", "sub", "sum"}

# of an elementwise op with inputs {0}, {1}, ..., output {out} and upstream {g}; None: no gradient
_POINTWISE: dict[str, tuple[str, ...]] = {
    "add": ("{g}", "{g}"),
    "sub": ("{g}", "-{g}"),
    "mul": ("{1} * {g}", "{0} * {g}"),
    "div": ("{g} / {1}", "-{out} / {1} * {g}"),
    "neg": ("-{g}",),
    "abs": ("sign({0}) * {g}",),
    "exp": ("{out} * {g}",),
    "log": ("{g} / {0}",),
    "log1p": ("{g} / (1 + {0})",),
    "expm1": ("({out} + 1) * {g}",),
    "sqrt": ("{g} / (2 {out})",),
    "rsqrt": ("-{out}^3 / 2 * {g}",),
    "square": ("2 {0} * {g}",),
    "reciprocal": ("-{out}^2 * {g}",),
    "pow": ("{1} * {0}^({1} - 1) * {g}", "{out} * log({0}) * {g}"),
    "sin": ("cos({0}) * {g}",),
    "cos": ("-sin({0}) * {g}",),
    "tan": ("(1 + {out}^2) * {g}",),
    "tanh": ("(1 - {out}^2) * {g}",),
    "sigmoid": ("{out} * (1 - {out}) * {g}",),
    "softplus": ("sigmoid({0}) * {g}",),
    "relu": ("{g} where {out} > 0, else 0",),
    "leaky_relu": ("{g} where {0} > 0, else slope * {g}",),
    "prelu": ("{g} where {0} > 0, else {1} * {g}", "{0} * {g} where {0} < 0, else 0"),
    "elu": ("{g} where {0} > 0, else alpha * exp({0}) * {g}",),
    "celu": ("{g} where {0} > 0, else exp({0} / alpha) * {g}",),
    "selu": ("scale * {g} where {0} > 0, else scale * alpha * exp({0}) * {g}",),
    "gelu": ("(Phi({0}) + {0} * phi({0})) * {g}, Phi and phi of the normal distribution",),
    "gelu_tanh": ("(Phi({0}) + {0} * Phi'({0})) * {g}, Phi by tanh",),
    "silu": ("sigmoid({0}) * (1 + {0} * (1 - sigmoid({0}))) * {g}",),
    "mish": ("(tanh(s) + {0} * (1 - tanh(s)^2) * sigmoid({0})) * {g}, s = softplus({0})",),
    "hardtanh": ("{g} between the bounds, else 0",),
    "hardsigmoid": ("{g} / 6 between -3 and 3, else 0",),
    "hardswish": ("(2 {0} + 3) / 6 * {g} between -3 and 3, {g} above, 0 below",),
    "logsigmoid": ("sigmoid(-{0}) * {g}",),
    "softsign": ("{g} / (1 + |{0}|)^2",),
    "tanhshrink": ("tanh({0})^2 * {g}",),
    "softshrink": ("{g} where {out} is not 0, else 0",),
    "erf": ("2 / sqrt(pi) * exp(-{0}^2) * {g}",),
    "sinh": ("cosh({0}) * {g}",),
    "cosh": ("sinh({0}) * {g}",),
    "log2": ("{g} / ({0} * log(2))",),
    "log10": ("{g} / ({0} * log(10))",),
    "exp2": ("{out} * log(2) * {g}",),
    "where": ("", "{g} where {0}, else 0", "0 where {0}, else {g}"),
    "bernoulli": ("({0} - {1}) / ({0} * (1 - {0})) * {g}", "(log(1 - {0}) - log({0})) * {g}"),
    "bernoulli_logits": (
        "(sigmoid({0}) - {1}) * {g}, positives by their weight",
        "-{0} * {g}, positives by their weight",
    ),
    "clamp": ("{g} within the bounds, else 0",),
    "maximum": ("{g} where {0} > {1}, half at a tie", "{g} where {1} > {0}, half at a tie"),
    "minimum": ("{g} where {0} < {1}, half at a tie", "{g} where {1} < {0}, half at a tie"),
    "cast": ("{g} in {0}'s dtype",),
}

# of ops that change the shape or mix elements
_WHOLE: dict[str, str] = {
    "sum": "{g} to every element",
    "mean": "{g} / {count} to every element",
    "amax": "{g} to the largest, in equal shares at a tie",
    "amin": "{g} to the smallest, in equal shares at a tie",
    "clone": "{g}",
    "floor_at": "{g} above the bound, else 0",
    "reshape": "{g} in {0}'s shape",
    "permute": "{g}, dimensions put back",
    "broadcast_to": "{g} summed over the copies",
    "getitem": "{g} at the index, else 0",
    "pick": "{g} to the largest of each window, else 0",
    "window_sum": "{g} to every element of its window",
    "bin_sum": "{g} to every element of its bin",
    "embedding": "{g} added to the rows that were looked up, else 0",
    "pad": "{g} without its border",
    "flip": "{g}, flipped back",
    "roll": "{g}, rolled back",
    "tile": "{g} summed over the copies",
    "triangle": "{g} in the triangle, else 0",
    "diagonal": "{g} on the diagonal, else 0",
    "unfold": "{g} added where the windows lay",
    "fold": "{g} in the windows",
    "cumsum": "the sum of {g} from each place on",
    "prod": "the product of the others * {g}",
    "norm2": "{0} / {out} * {g}",
    "glu": "with a, b the halves of {0}: sigmoid(b) * {g}, a * sigmoid(b) * (1 - sigmoid(b)) * {g}",
    "masked_softmax": "{out} * ({g} - sum({g} * {out}))",
    "softmax": "{out} * ({g} - sum({g} * {out}))",
    "log_softmax": "{g} - exp({out}) * sum({g})",
    "logsumexp": "softmax({0}) * {g}",
}


def gate(op: str) -> str:
    """What kind of gate an op is in the pictures of backpropagation; "" where its local derivative says it."""
    if op in _DISTRIBUTES:
        return "add: distributes"
    if op == "mul":
        return "mul: swaps"
    if op in ("minimum", "amin"):
        return "min: routes"
    return "max: routes" if op in _ROUTES else ""


def op_name(op: str, ndim: int, known: Mapping[str, Any]) -> str:
    """What explanations call an op: as a rule its name; an output of ndim dimensions tells conv2d and max_pool2d from 1d, and
    what the rule knows tells std from var, normalized about 0 from that about the mean."""
    if op == "var" and known.get("root"):
        return "std"
    if op == "normalized" and "center" in known:
        return "rms_normalized"
    names = {"pick": "max_pool", "window_sum": "window_sum", "conv": "conv"}
    return f"{names[op]}{ndim - 2}d" if op in names and ndim > 2 else op


def _product(left: str, right: str, a: Shape, b: Shape) -> str:
    return f"{left} @ {right}: {_text(a)}@{_text(b)}"


def _text(shape: Shape) -> str:
    return f"({','.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _turned(shape: Shape) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2])


def _matmul(place: int, names: Sequence[str], shapes: Sequence[Shape], g: str, out: Shape) -> str | None:
    (x, y), (a, b) = names, shapes
    if len(a) == len(b) == 1:
        return f"{names[1 - place]} * {g}"
    if len(a) == 1:
        return f"{g} @ {y}^T" if place == 0 else f"outer({x}, {g})"
    if len(b) == 1:
        return f"outer({g}, {y})" if place == 0 else f"{x}^T @ {g}"
    left, right = (out, _turned(b)) if place == 0 else (_turned(a), out)
    whole = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
    summed = f", summed to {_text(shapes[place])}" if shapes[place] != whole else ""
    return (_product(g, f"{y}^T", left, right) if place == 0 else _product(f"{x}^T", g, left, right)) + summed


def _conv(place: int, names: Sequence[str], shapes: Sequence[Shape], g: str, out: Shape) -> str:
    """What a convolution's rule does, which correlates input and kernel."""
    if place == 0:
        return f"{g} convolved with {names[1]}: {_text(out)}*{_text(shapes[1])}"
    if place == 1:
        return f"{names[0]} correlated with {g}: {_text(shapes[0])}*{_text(out)}"
    return f"{g} summed over samples and positions: {_text(out)} -> {_text(shapes[2])}"


def _normalized(
    place: int, names: Sequence[str], shapes: Sequence[Shape], g: str, out: Shape, known: Mapping[str, Any]
) -> str:
    """u stands for the input, centered (where the rule knows a center) and scaled."""
    h = f"{g} * {names[1]}" if len(names) > 1 and names[1] != "?" else g
    u = f"u = {names[0]} normalized"
    if place == 0:
        center = "" if "center" in known else " - mean(h)"
        return f"scale * (h{center} - u * mean(h * u)), h = {h}, {u}"
    summed = f", summed to {_text(shapes[place])}" if shapes[place] != out else ""
    return f"u * {g}{summed}, {u}" if place == 1 else f"{g}{summed}"


def _cross_entropy(names: Sequence[str], classes: int, g: str, known: Mapping[str, Any]) -> str:
    x, target = names[0], names[1] if len(names) > 1 else "target"
    s, even, ignored = known.get("smoothing", 0.0), "weight" in known, known.get("ignore", -100)
    found = f"softmax({x}) - onehot({target})"
    if s:
        rest = f"{s:.6g} / {classes}"
        found = (
            f"softmax({x}) - {1 - s:.6g} * onehot({target}) - {rest}" if even
            else f"{1 - s:.6g} * weight[{target}] * ({found}) + {rest} * (sum(weight) * softmax({x}) - weight)"
        )  # fmt: skip
    elif not even:
        found = f"weight[{target}] * ({found})"
    found = f"({found}) * {g}" if s or even else f"{found} * {g}"
    over = known.get("over")
    found += f" / {over:.6g}" if isinstance(over, (int, float)) and over != 1 else ""
    return found + (f", 0 where {target} is {ignored}" if ignored != -100 else "")


def _linear(op: str, place: int, names: Sequence[str], shapes: Sequence[Shape], g: str, out: Shape, result: str) -> str:
    act = op.partition("_")[2]
    dz, lead = g, ""
    if act:
        slope = _POINTWISE.get(act, ("",))[0].format("z", out=result, g=g)
        dz, lead = "dz", f", dz = {slope}" if slope else f", dz = {g} through {act}"
    rows, flat = (out, shapes[0]) if len(out) > 1 else ((1, *out), (1, *shapes[0]))
    if place == 1 and len(rows) > 2:
        count = math.prod(rows[:-1])
        rows, flat = (count, rows[-1]), (count, flat[-1])
        lead = f", all rows{lead}"
    if place == 0:
        return _product(dz, names[1], rows, shapes[1]) + lead
    if place == 1:
        return _product(f"{dz}^T", names[0], _turned(rows), flat) + lead
    return f"{dz} summed over rows: {_text(rows)} -> {_text(shapes[2])}{lead}"


def formula(
    op: str,
    place: int,
    names: Sequence[str],
    shapes: Sequence[Shape],
    out: Shape,
    result: str,
    known: Mapping[str, Any],
) -> str:
    """upstream x local of one input in words: op by its name, which input, the inputs' names and shapes, the output's shape and
    name, and what the rule knows that is no array (None: not given). "" where the table does not know the op."""
    g = f"d{result}"
    found: str | None = None
    if op == "matmul":
        found = _matmul(place, names, shapes, g, out)
    elif op.startswith("linear"):
        found = _linear(op, place, names, shapes, g, out, result)
    elif op == "conv":
        found = _conv(place, names, shapes, g, out)
    elif op == "normalized":
        found = _normalized(place, names, shapes, g, out, known)
    elif op == "cross_entropy":
        found = _cross_entropy(names, shapes[0][-1], g, known)
    elif op == "var":
        free = math.prod(shapes[0]) // max(math.prod(out), 1) - known.get("correction", 0)
        scale = f"/ ({free:.6g} * {result})" if known.get("root") else f"* 2 / {free:.6g}"
        found = f"({names[0]} - mean({names[0]})) {scale} * {g}"
    elif op in _POINTWISE and place < len(_POINTWISE[op]):
        found = _POINTWISE[op][place].format(*names, out=result, g=g)
        if shapes[place] != out:
            found += f", summed to {_text(shapes[place])}"
    elif op in _WHOLE and place == 0:
        count = math.prod(shapes[0]) // max(math.prod(out), 1)
        found = _WHOLE[op].format(*names, out=result, g=g, count=count)
    elif op == "overlay":
        found = f"{g} where the view lies" if place else f"{g}, 0 where the view was written"
    elif op == "cat":
        found = f"the slice of {g} that {names[place]} became"
    return found or ""
