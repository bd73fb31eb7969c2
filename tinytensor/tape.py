"""Gradient modes. The tape itself is in _tape.pyx."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

from ._tape import FREED, Node, accumulate, backward, check_versions, mode, root_gradient, run, where

F = TypeVar("F", bound=Callable[..., Any])
__all__ = [
    "FREED", "Node", "accumulate", "backward", "check_versions", "enable_grad", "inspect", "is_grad_enabled", "mode", "no_grad",
    "root_gradient", "run", "set_grad_enabled", "where",
]  # fmt: skip


class _Switch:
    """A context manager and decorator that sets the grad mode inside, and puts the old one back."""

    _to: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.enabled)
        mode.enabled = self._to

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        mode.enabled = self._before[-1]  # first, and asks for no memory, as pop may
        self._before.pop()

    def __call__(self, function: F) -> F:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with type(self)() if type(self) is not set_grad_enabled else _Fixed(self._to):
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


class no_grad(_Switch):
    """Ops inside record nothing; for this thread only. Use as `with tt.no_grad():` or `@tt.no_grad()`."""

    _to = False


class enable_grad(_Switch):
    """Ops inside record again, within a `no_grad`; for this thread only."""

    _to = True


class _Fixed(_Switch):
    def __init__(self, enabled: bool) -> None:
        super().__init__()
        self._to = enabled


class set_grad_enabled(_Switch):
    """Switch recording on or off, at once; as a context manager, until its end."""

    def __init__(self, mode_: bool) -> None:
        super().__init__()
        self._to = bool(mode_)
        super().__enter__()
        self._entered = True  # already, by its making

    def __enter__(self) -> None:
        if self._entered:
            self._entered = False
        else:
            super().__enter__()

    def __call__(self, function: F) -> F:
        if self._entered:  # a decorator changes the mode inside alone
            self._entered = False
            mode.enabled = self._before.pop()
        return super().__call__(function)


class inspect(_Switch):
    """`with tt.inspect():` keeps all that explanations want: values of nodes made inside and the modules that made them, and
    from backward their upstream and downstream gradients, whatever their size; outside only up to 16 elements stay.

    A graph made inside keeps all when its backward runs later, too. For this thread only; also a decorator. Memory lasts as
    long as the graph. With it a second backward adds to `.grad` after the product, not inside it: last bits may differ there.
    """

    def __enter__(self) -> None:
        self._before.append(mode.inspecting)
        mode.inspecting = True

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        mode.inspecting = self._before[-1]
        self._before.pop()


def is_grad_enabled() -> bool:
    """Whether ops of this thread record."""
    return mode.enabled
