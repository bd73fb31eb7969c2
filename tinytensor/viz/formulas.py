"""Local gradients in words: for each op the product of upstream and local gradient as its rule works it out, with shapes."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["formula", "gate", "needed_shape"]
Shape = tuple[int, ...]

_ROUTES = {"maximum", "minimum", "amax", "amin", "max", "min", "pick", "scatter_extreme"}
_DISTRIBUTES = {"add", "sub", "rsub"}

# of an elementwise op with inputs {0}, {1}, ..., output {out} and upstream {g}; None: no gradient
_POINTWISE: dict[str, tuple[str, ...]] = {
    "add": ("{g}", "{g}"),
    "sub": ("{g}", "-{g}"),
    "rsub": ("-{g}", "{g}"),
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
    "reshape": "{g} in {0}'s shape",
    "permute": "{g}, dimensions put back",
    "broadcast_to": "{g} summed over the copies",
    "getitem": "{g} at the index, else 0",
    "pick": "{g} to the picked element, else 0",
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
    return "max: routes" if op in _ROUTES else ""


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
    if place == 0:
        return _product(g, f"{y}^T", out, _turned(b))
    return _product(f"{x}^T", g, _turned(a), out)


def _linear(op: str, place: int, names: Sequence[str], shapes: Sequence[Shape], g: str, out: Shape) -> str:
    dz = g if op == "linear" else "dz"
    lead = "" if op == "linear" else f"dz = {g} through the activation, "
    rows, flat = (out, shapes[0]) if len(out) > 1 else ((1, *out), (1, *shapes[0]))
    if place == 0:
        return lead + _product(dz, names[1], rows, shapes[1])
    if place == 1:
        return lead + _product(f"{dz}^T", names[0], _turned(rows), flat)
    return f"{lead}{dz} summed over rows: {_text(rows)} -> {_text(shapes[2])}"


def formula(op: str, place: int, names: Sequence[str], shapes: Sequence[Shape], out: Shape, result: str) -> str:
    """upstream x local of one input in words: op by its name, which input, the inputs' names and shapes, and the output's
    shape and name. "by its rule" where the table does not know the op."""
    g = f"d{result}"
    found: str | None = None
    if op == "matmul" and len(shapes) == 2:
        found = _matmul(place, names, shapes, g, out)
    elif op in ("linear", "linear_activation", "linear_activation_of_input"):
        found = _linear(op, place, names, shapes, g, out)
    elif op == "cross_entropy":
        found = f"(softmax({names[0]}) - onehot(target)) * {g}" + ("" if out else ", averaged as the loss is")
    elif op in _POINTWISE and place < len(_POINTWISE[op]):
        found = _POINTWISE[op][place].format(*names, out=result, g=g)
        if shapes[place] != out:
            found += f", summed to {_text(shapes[place])}"
    elif op in _WHOLE and place == 0:
        size, kept = 1, 1
        for n in shapes[0]:
            size *= n
        for n in out:
            kept *= n
        found = _WHOLE[op].format(*names, out=result, g=g, count=size // max(kept, 1))
    elif op == "cat":
        found = f"the slice of {g} that {names[place]} became"
    if found is None:
        return "by its rule"
    return found


def needed_shape(op: str, place: int, shapes: Sequence[Shape | None], out: Shape) -> Shape:
    """The shape of an input that was not kept, from the other inputs' and the output's."""
    other = next((s for i, s in enumerate(shapes) if s is not None and i != place), None)
    if other is not None and op.startswith("linear") and place == 0 and len(shapes) > 1 and shapes[1] is not None:
        return (*out[:-1], shapes[1][-1])
    if other is not None and op == "matmul":
        if place == 0:
            return (*out[:-1], other[-2]) if len(other) > 1 else (*out, other[0])
        return (*out[:-2], other[-1], out[-1]) if len(other) > 1 and len(out) > 1 else other[-1:]
    return out
