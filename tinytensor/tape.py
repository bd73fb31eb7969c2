"""Gradient modes. The tape itself is in _tape.pyx."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from ._tape import FREED, Node, Switch, accumulate, backward, check_versions, mode, root_gradient, run, where

F = TypeVar("F", bound=Callable[..., Any])
__all__ = [
    "FREED", "Node", "accumulate", "backward", "check_versions", "enable_grad", "inspect", "is_grad_enabled", "mode", "no_grad",
    "root_gradient", "run", "set_grad_enabled", "where",
]  # fmt: skip


class _Switch(Switch):
    """A context manager and decorator that sets a mode inside, and puts the old one back."""

    _which = "enabled"
    _to = True

    def __init__(self) -> None:
        super().__init__(self._which, self._to)

    def __call__(self, function: F) -> F:
        which, to = self._which, self.to

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with Switch(which, to):
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


class no_grad(_Switch):
    """Ops inside record nothing; for this thread only. Use as `with tt.no_grad():` or `@tt.no_grad()`."""

    _to = False


class enable_grad(_Switch):
    """Ops inside record again, within a `no_grad`; for this thread only."""

    _to = True


class set_grad_enabled(_Switch):
    """Switch recording on or off, at once; as a context manager, until its end."""

    def __init__(self, mode_: bool) -> None:
        Switch.__init__(self, "enabled", bool(mode_))
        self.at_once()

    def __call__(self, function: F) -> F:
        self.not_at_once()  # a decorator changes the mode inside alone
        return super().__call__(function)


class inspect(_Switch):
    """`with tt.inspect():` keeps all that explanations want: values of nodes made inside and the modules that made them, and
    from backward their upstream and downstream gradients, whatever their size; outside only up to 16 elements stay.

    A graph made inside keeps all when its backward runs later, too. For this thread only; also a decorator. Memory lasts as
    long as the graph. With it a second backward adds to `.grad` after the product, not inside it: last bits may differ there.
    """

    _which = "inspecting"


def is_grad_enabled() -> bool:
    """Whether ops of this thread record."""
    return mode.enabled
