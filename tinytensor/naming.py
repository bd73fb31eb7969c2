"""Names that a program gives to its tensors, for explanations and pictures of the graph."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from ._tape import Node
from .tensor import Tensor

__all__ = ["name", "name_of", "named_leaves"]
_leaves: dict[int, tuple[weakref.ref[Tensor], str]] = {}  # by id: tensors have no truth to be compared by
_nodes: WeakKeyDictionary[Node, dict[int, str]] = WeakKeyDictionary()


def name(tensor: Tensor, name: str) -> Tensor:
    """Call a tensor `name` in `explain()` and in pictures; the tensor comes back. What an op made keeps its name on the graph
    when the tensor is gone. TypeError where it is no Tensor or the name no str; ValueError for a name that is empty or not one line."""
    if not isinstance(tensor, Tensor) or not isinstance(name, str):
        raise TypeError(f"name: expected a Tensor and a str, got {type(tensor).__name__} and {type(name).__name__}")
    if not name.strip() or not name.isprintable():
        raise ValueError(f"name: expected one line of printable text, got {name!r}")
    if tensor._node is not None:
        _nodes.setdefault(tensor._node, {})[tensor._slot] = name
        return tensor
    key = id(tensor)

    def forget(ref: weakref.ref[Tensor]) -> None:
        if key in _leaves and _leaves[key][0] is ref:
            del _leaves[key]

    _leaves[key] = weakref.ref(tensor, forget), name
    return tensor


def name_of(what: Tensor | Node, slot: int = 0) -> str | None:
    """The name that a leaf, or an output of a node, was given; None for none."""
    if isinstance(what, Node):
        return _nodes.get(what, {}).get(slot)
    ref, known = _leaves.get(id(what), (None, None))
    return known if ref is not None and ref() is what else None


def named_leaves() -> Iterator[tuple[Tensor, str]]:
    """The tensors without history that were given names."""
    for ref, known in list(_leaves.values()):
        tensor = ref()
        if tensor is not None:
            yield tensor, known
