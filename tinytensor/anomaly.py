"""Anomaly mode: the first op whose result has NaN or inf that its operands had not stops the program and says all about it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from types import CodeType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ._tape import Node, mode

__all__ = ["AnomalyError", "detect_anomaly", "is_anomaly_enabled", "set_detect_anomaly"]

_NAN, _INF = 1, 2
_modules: WeakKeyDictionary[Node, tuple[Any, ...]] = WeakKeyDictionary()
module_calls: set[CodeType] = set()
"""The code of the method that runs a module, told by `nn`; its `self` is the module."""


class AnomalyError(RuntimeError):
    """NaN or inf where the operands had none; raised inside `detect_anomaly`."""


class _Mode(contextlib.ContextDecorator):
    """A mode of this thread, from its entry to its exit."""

    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._before: list[int] = []

    def __enter__(self) -> None:
        self._before.append(mode.anomaly)
        mode.anomaly = self._flags

    def __exit__(self, *error: object) -> None:
        mode.anomaly = self._before[-1]  # first, and asks for no memory, as pop may
        self._before.pop()


class detect_anomaly(_Mode):
    """`with tt.detect_anomaly():` raises AnomalyError at the first op, forward or backward, and at the first step of an
    optimizer, whose result has NaN or inf that no operand had; as a decorator, inside a function.

    The error names the op, the source line, the module, and shape and range of each operand. A number given as an argument
    is an operand: masking with -inf is no anomaly. check_inf=False lets infinities be (log(0) on purpose), check_nan=False
    NaN. Backward from a tensor that has NaN or inf already raises, too: nothing inside made it. For this thread only.
    """

    def __init__(self, check_nan: bool = True, check_inf: bool = True) -> None:
        super().__init__(_NAN * bool(check_nan) | _INF * bool(check_inf))


class set_detect_anomaly(_Mode):
    """Switch anomaly mode on or off for this thread, at once; as a context manager, until its end."""

    def __init__(self, mode_: bool, check_nan: bool = True, check_inf: bool = True) -> None:
        super().__init__((_NAN * bool(check_nan) | _INF * bool(check_inf)) if mode_ else 0)
        super().__enter__()
        self._entered = True  # already, by its making

    def __enter__(self) -> None:
        if self._entered:
            self._entered = False
        else:
            super().__enter__()


def is_anomaly_enabled() -> bool:
    """Whether this thread is in anomaly mode."""
    return mode.anomaly != 0


# ------------------------------------------------------------------------------------------------------------- modules
def running() -> tuple[Any, ...]:
    """The modules whose calls are under way in this thread, outermost first."""
    found = []
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code in module_calls:
            found.append(frame.f_locals["self"])
        frame = frame.f_back
    return tuple(reversed(found))


def remember(node: Node) -> None:
    """Note in which modules a node was made, for the report of its backward."""
    modules = running()
    if modules:
        _modules[node] = modules


def modules_of(node: Node) -> tuple[Any, ...]:
    """The modules that a node was made in, outermost first; () unless it was made in anomaly mode."""
    return _modules.get(node, ())


def path_of(modules: tuple[Any, ...]) -> str:
    """Where the last of the modules lies in the tree of the first: "2", "body.1.1"; "" for the first itself."""
    path, above = "", modules[0]
    for module in modules[1:]:
        if module is above:
            continue
        step = next((name for name, below in above.named_modules() if below is module), "")
        path = f"{path}.{step}" if path and step else step
        above = module
    return path


def place_of(modules: tuple[Any, ...]) -> str:
    """The last of the modules with its sizes, and its path: "Model.body.1 (Linear 128 -> 10)"."""
    path, brief = path_of(modules), modules[-1]._brief()
    return f"{type(modules[0]).__name__}.{path} ({brief})" if path else str(brief)


# -------------------------------------------------------------------------------------------------------------- report
def _kinds(values: Iterable[Any]) -> int:
    found = 0
    for v in values:
        a = np.asarray(v) if isinstance(v, (float, np.ndarray, np.floating)) else None
        if a is not None and a.dtype.kind == "f":
            found |= _NAN * bool(np.isnan(a).any()) | _INF * bool(np.isinf(a).any())
    return found


def _names(kinds: int) -> str:
    return " and ".join(name for flag, name in ((_NAN, "NaN"), (_INF, "inf")) if kinds & flag)


def describe(v: Any) -> str:
    """Dtype, shape, range of the finite elements, and how many are not: `float32 (2, 3), min -1, max 4, 2 NaN`."""
    if not isinstance(v, np.ndarray):
        return repr(v)
    text = f"{v.dtype} {v.shape}"
    if v.dtype.kind != "f":
        return f"{text}, min {v.min()}, max {v.max()}" if v.size else text
    finite = v[np.isfinite(v)]
    if finite.size:
        text += f", min {finite.min():.6g}, max {finite.max():.6g}"
    for name, bad in (("NaN", np.isnan(v)), ("inf", np.isposinf(v)), ("-inf", np.isneginf(v))):
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            text += f", {int(bad.sum())} {name} (first at {first})" if first else f", {name}"
    return text


def examine(
    flags: int,
    what: str,
    operands: list[tuple[str, Any]],
    results: list[tuple[str, Any]],
    line: str,
    modules: tuple[Any, ...],
) -> None:
    """Raise AnomalyError when the results have NaN or inf (as flags ask) that no operand has."""
    had = _kinds(x for _, v in operands for x in (v if isinstance(v, (tuple, list)) else (v,)))
    new = _kinds(v for _, v in results) & ~had & flags
    if not new:
        return
    where = f"\n  in module {place_of(modules)}" if modules else ""
    rows = [f"\n  {name}: {describe(v)}" for name, v in operands + [r for r in results if r[1] is not None]]
    raise AnomalyError(f"{what} made {_names(new)} of operands that have none\n  at {line}{where}{''.join(rows)}")


def examine_root(flags: int, what: str, value: Any, origin: str) -> None:
    """Raise AnomalyError when backward starts from a value that has NaN or inf already."""
    found = _kinds([value]) & flags
    if found:
        raise AnomalyError(
            f"{what}: it starts from {_names(found)} ({describe(value)}, {origin}), and no op inside detect_anomaly made that of "
            "finite operands: it came with the data or the parameters (look at them with tt.isfinite), or was made outside of "
            "the block"
        )
