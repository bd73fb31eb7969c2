"""Recompute instead of keep: what a part of the graph would hold for backward is made again when backward comes there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from . import _kernels
from ._tape import Node, cause, newest_number, number_of
from .function import tensors_in
from .random import default_generator, fork_rng
from .tape import enable_grad, mode

__all__ = ["checkpoint"]


def checkpoint(function: Callable[..., Any], *args: Any, preserve_rng_state: bool = True, **kwargs: Any) -> Any:
    """function(*args, **kwargs), of which only the arguments are kept for backward: it runs again there, once.

    The graph is the same as without, so gradients have the same bits, of any order, for arguments and for Tensors that the
    function takes from around it; hooks inside run once per backward. What the function computes must depend on nothing but
    its arguments and Tensors that stay as they are until backward: a RuntimeError there says what was changed, or which op is
    another one now. With preserve_rng_state it draws the same numbers from the default generator again. Outputs may be nested
    tuples, lists and dicts; checkpoints may lie in checkpoints.
    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
    """
    if not mode.enabled:
        return function(*args, **kwargs)
    region = _Region(function, args, kwargs, preserve_rng_state)
    start = newest_number()
    result = function(*args, **kwargs)
    nodes = _nodes_since(start, result)
    region.count = len(nodes)
    for i, node in enumerate(nodes):
        node.let_go(region.again, i)
    return result


class _Region:
    """One call of a function that is to run again."""

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, preserve_rng_state: bool) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.random = default_generator.get_state() if preserve_rng_state else None
        self.versions = [(t, t._data, _kernels.version(t._data)) for t in tensors_in([args, kwargs])]
        self.count = 0
        self.made: list[Node | None] = []

    def again(self, index: int) -> Node:
        """The node of that number, with what its rule needs. Those that are not asked for yet wait."""
        node = self.made[index] if self.made else None
        if node is None:
            self.run()
            node = self.made[index]
            assert node is not None
        self.made[index] = None
        return node

    def run(self) -> None:
        for t, array, version in self.versions:
            if _kernels.version(array) != version or t._data is not array:
                block = _kernels.block(array)
                by = f" in place{cause(block.changed)}" if block is not None and block.changed else ""
                raise RuntimeError(
                    f"checkpoint: an argument of shape {array.shape} was changed{by}, so the function cannot run again as it "
                    "did: pass a clone(), or change it after backward"
                )
        start = newest_number()
        with enable_grad(), nullcontext() if self.random is None else fork_rng():
            if self.random is not None:
                default_generator.set_state(self.random)
            result = self.function(*self.args, **self.kwargs)
        nodes = _nodes_since(start, result)
        self.made = [node if node.kept != () else None for node in nodes]  # the others are not asked for
        if len(self.made) != self.count:
            self.made = []
            raise RuntimeError(
                f"checkpoint: the function recorded {self.count} ops at first and {len(nodes)} when it ran again; it must depend on "
                "nothing but its arguments and tensors that stay"
            )


def _nodes_since(start: int, result: Any) -> list[Node]:
    """The nodes behind `result` that are younger than `start`, in the order of creation."""
    stack = [t._node for t in tensors_in(result) if t._node is not None and t._node.number > start]
    found = set(stack)
    while stack:
        for parent in stack.pop().parents:
            if isinstance(parent, Node) and parent.number > start and parent not in found:
                found.add(parent)
                stack.append(parent)
    return sorted(found, key=number_of)
