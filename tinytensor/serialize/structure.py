"""Nested structures as named arrays and JSON: what `save` takes apart and `load` puts together."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.creation import from_numpy
from tinytensor.tensor import Tensor

from .safetensors import Stored, code_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["restore", "take_apart"]

Path = tuple[str | int, ...]
_MAX_DEPTH = 100
_SCALARS = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)
_MAPPINGS: dict[str, Callable[[dict[Any, Any]], Any]] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # JSON has no such numbers


def take_apart(value: Any) -> tuple[dict[str, NDArray[Any]], Any]:
    """The arrays of a nested structure, named by their path, and a JSON-ready skeleton of the rest.

    A list is a JSON array; strings, true, false, null and numbers stand for themselves; all else is an object of one entry,
    named by its kind. TypeError naming the path of a value that is none of those `save` lists, ValueError for one that is
    nested more than 100 deep, as one that contains itself is.
    """
    arrays: dict[str, NDArray[Any]] = {}

    def keep(array: NDArray[Any], path: Path) -> str:
        # Lone surrogates, which names in the file may not have, become "?".
        base = ".".join(map(str, path)).encode(errors="replace").decode() or "value"
        name, count = base, 1
        while name in arrays or name == "__metadata__":
            count += 1
            name = f"{base}~{count}"
        arrays[name] = array
        return name

    def part(value: Any, path: Path) -> Any:
        if len(path) > _MAX_DEPTH:
            raise ValueError(f"save: more than {_MAX_DEPTH} levels at {_shown(path[:5])}...: does it contain itself?")
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return value if abs(value) < 2**63 else {"int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, Tensor):
            return {"tensor": keep(value.detach().numpy(), path)}
        if isinstance(value, np.ndarray):
            if code_of(value.dtype) is None:
                raise TypeError(f"save: {_shown(path)} is an array of {value.dtype}, which the format has not")
            return {"array": keep(value, path)}
        if isinstance(value, np.generic) and value.dtype.name in _SCALARS:
            return {"scalar": [value.dtype.name, value.astype(value.dtype.newbyteorder("<")).tobytes().hex()]}
        if kind is list:
            return [part(item, (*path, i)) for i, item in enumerate(value)]
        if kind is tuple:
            return {"tuple": [part(item, (*path, i)) for i, item in enumerate(value)]}
        if isinstance(value, Mapping):
            name = kind.__name__ if kind in (OrderedDict, Counter) else "dict"
            return {name: [[key(k, path), part(item, (*path, k))] for k, item in value.items()]}
        raise TypeError(
            f"save: {_shown(path)}: {kind.__name__} cannot be saved{_advice(value)}; expected dicts, lists and tuples of Tensors, arrays, "
            f"numbers, strings, bools and None"
        )

    def key(value: Any, path: Path) -> Any:
        if type(value) not in (str, int):
            raise TypeError(
                f"save: {_shown(path)}: expected str or int for a key, got {value!r}: {type(value).__name__}"
            )
        if type(value) is int and abs(value) >= 2**63:
            raise ValueError(f"save: {_shown(path)} has a key beyond 64 bits: {hex(value)[:40]}")
        return value

    return arrays, part(value, ())


def _advice(value: Any) -> str:
    """For a model, an optimizer or a schedule."""
    return ": save its state_dict()" if callable(getattr(value, "state_dict", None)) else ""


def _shown(path: Path) -> str:
    """optimizer.state[3].exp_avg"""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".") or "the value"


def restore(text: str, stored: Mapping[str, Stored]) -> Any:
    """What `take_apart` was given, of the skeleton's JSON. ValueError unless every array of the file is used, and used once."""
    import json

    unused = dict(stored)

    def array_of(name: Any) -> Stored:
        if type(name) is not str or name not in unused:
            raise ValueError(f"it refers to tensor {str(name)[:100]!r}, which the file has not, or twice")
        return unused.pop(name)

    def part(node: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} levels")
        if type(node) is list:
            return [part(item, depth + 1) for item in node]
        if type(node) is not dict:
            return node
        ((kind, content),) = node.items()
        if kind == "tensor":
            return from_numpy(array_of(content).widened(content))
        if kind == "array":
            return array_of(content).exact()
        if kind == "float" and type(content) is str and content in _SPECIAL:
            return _SPECIAL[content]
        if kind == "int" and type(content) is str:
            return int(content, 16)
        if kind == "scalar" and type(content) is list:
            return _scalar(*content) if len(content) == 2 else _unknown(kind)
        if kind == "tuple" and type(content) is list:
            return tuple(part(item, depth + 1) for item in content)
        if kind in _MAPPINGS and type(content) is list:
            return _MAPPINGS[kind](mapping(content, depth))
        return _unknown(kind)

    def mapping(pairs: list[Any], depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for pair in pairs:
            if type(pair) is not list or len(pair) != 2:
                raise ValueError("a dict without pairs")
            key = pair[0]
            if type(key) not in (str, int) or key in found:
                raise ValueError("a key is no string or whole number, or comes twice")
            found[key] = part(pair[1], depth + 1)
        return found

    try:
        skeleton = json.loads(text, object_pairs_hook=_entry, parse_constant=_unknown)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    value = part(skeleton, 0)
    if unused:
        raise ValueError(f"it does not refer to tensor {min(unused)[:100]!r}, which the file holds")
    return value


def _entry(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) != 1:
        raise ValueError("an entry is not of one kind")
    return dict(pairs)


def _scalar(name: Any, text: Any) -> Any:
    if type(name) is not str or name not in _SCALARS or type(text) is not str:
        return _unknown("scalar")
    dtype = np.dtype(name).newbyteorder("<")
    content = bytes.fromhex(text)
    if len(content) != dtype.itemsize or (name == "bool" and content not in (b"\0", b"\1")):
        raise ValueError(f"a scalar of {name} with {len(content)} bytes")
    return np.frombuffer(content, dtype).astype(name)[0]


def _unknown(kind: str) -> Any:
    raise ValueError(f"an entry {kind[:100]!r} that makes no sense")
