"""Calls as PyTorch's and NumPy's users write them: `input=`, `other=`, `axis=`, `keepdims=`, `inplace=True`, for functions whose
parameters have other names. Asked only for a call that does not fit: others cost nothing."""

from __future__ import annotations

from typing import Any

from . import _tape

__all__ = ["IN_PLACE", "public"]

IN_PLACE: dict[str, Any] = {}
"""The functions that take PyTorch's `inplace`, by name, and what each does then: `ops` fills it."""

_ANYWHERE = {"axis": "dim", "keepdims": "keepdim", "size": "shape"}
_OWN = {
    "where": {"input": "x", "other": "y"},
    "max": {"other": "dim"},
    "min": {"other": "dim"},
    "pow": {"exponent": "y"},
    "float_power": {"exponent": "y"},
    "mm": {"mat2": "y"},
    "bmm": {"mat2": "y"},
    "mv": {"vec": "y"},
    "outer": {"vec2": "y"},
    "dot": {"tensor": "y"},
    "split": {"tensor": "x"},
    "tensordot": {"a": "x", "b": "y"},
    "expand": {"size": "sizes"},
    "repeat": {"repeats": "sizes"},
    "flip": {"dims": "args"},
    "tile": {"dims": "args"},
    "tensor_split": {"sections": "indices_or_sections", "indices": "indices_or_sections"},
    "hsplit": {"sections": "indices_or_sections", "indices": "indices_or_sections"},
    "vsplit": {"sections": "indices_or_sections", "indices": "indices_or_sections"},
    "dsplit": {"sections": "indices_or_sections", "indices": "indices_or_sections"},
}


def _meant(function: Any, name: str) -> str | None:
    """The parameter that a keyword means."""
    known: tuple[str | None, ...] = (*function.parameters, getattr(function, "rest", None))
    own = name if name in known else _OWN.get(function.__name__, {}).get(name) or _ANYWHERE.get(name)
    if own is not None and own in known:
        return own
    if name in ("input", "self"):
        return known[0]
    if name == "other" and len(function.parameters) > 1 and known[:2] in (("x", "y"), ("y", "x")):
        return known[1]
    return None


def respell(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """(function, args, kwargs) of a call that means the same, or None where it cannot be read otherwise."""
    named: dict[str, Any] = {}
    instead, changed = function, False
    changes = IN_PLACE.get(function.__name__)
    count = getattr(function, "positional", len(function.parameters))  # an Op of these has no others
    if changes is not None and not kwargs and len(args) == count + 1 and isinstance(args[-1], bool):
        args, kwargs = args[:-1], {"inplace": args[-1]}
    for name, value in kwargs.items():
        if name in function.parameters:
            named[name] = value
        elif name == "inplace" and changes is not None:
            instead, changed = changes if value else instead, True
        else:
            meant = _meant(function, name)
            if meant is None or meant in named:
                return None
            named[meant] = value
            changed = True
    if not changed:
        return None
    rest = getattr(function, "rest", None)
    if rest in named:  # f(x, *rest): those before it go by position, too
        before = [named.pop(p) for p in function.parameters[len(args) : function.positional] if p in named]
        args = (*args, *before, named.pop(rest))
    elif instead is not function and not args and function.parameters[0] in named:
        args = (named.pop(function.parameters[0]),)  # a method takes what it changes by position
    return instead, args, named


_public: dict[Any, _tape.Composed] = {}


def public(function: Any, module: str = "tinytensor.ops") -> Any:
    """A function as it is called from outside: an Op is itself, one composed of ops also takes PyTorch's spellings."""
    if isinstance(function, (_tape.Op, _tape.Composed)):
        return function
    if function not in _public:
        _public[function] = _tape.Composed(function, module)
    return _public[function]


_tape.set_respell(respell)
