"""A tensor's graph as a table: upstream x local = downstream, node by node in backward order."""

from __future__ import annotations

import html
import linecache
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ..tensor import Tensor
from .trace import OTHER, Edge, Trace, TraceNode, short_name, trace

__all__ = ["Explanation", "explain"]
HEADS = ("node", "gate", "value", "upstream", "input", "local", "downstream", "stored by forward", "line")
SHOWN = 6  # elements of an array that are written out


def explain(root: Tensor, gradient: Any = None) -> Explanation:
    """What `root.explain()` gives; see `Tensor.explain`."""
    return Explanation(trace(root, gradient))


class Explanation:
    """The table of a Trace: `str()` is plain text, a notebook shows HTML. `trace` is what it was made from."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def rows(self) -> list[tuple[str, ...]]:
        """The cells, one tuple for each input of each node (HEADS names them); those of the node itself in its first alone."""
        found = []
        for n in reversed(self.trace.nodes):
            if n.kind != "op" or n.op == OTHER:
                continue
            kept = ", ".join(n.stored)
            first = (self._title(n), n.gate, self._value(n), _number(n.grad, n.shape))
            edges: list[Edge | None] = [*n.inputs] or [None]
            for i, e in enumerate(edges):
                cells = first if i == 0 else ("",) * len(first)
                last = (kept, line_text(n.line)) if i == 0 else ("", "")
                found.append((*cells, *self._edge(e), *last))
        return found

    def leaves(self) -> list[str]:
        """What leaves and values that are used more than once get: `dx = 3 + 4 = 7`."""
        uses: dict[int, list[Edge]] = {}
        for n in reversed(self.trace.nodes):
            for e in n.inputs if n.op != OTHER else ():
                uses.setdefault(e.source, []).append(e)
        found = []
        for n in self.trace.nodes:
            edges = uses.get(n.index, [])
            if n.kind == "constant" or (n.kind == "op" and len(edges) < 2):
                continue
            total = _number(n.grad, n.shape)
            parts = [_number(e.downstream, n.shape) for e in edges]
            adds = f"{' + '.join(f'({p})' if p.startswith('-') else p for p in parts)} = " if len(parts) > 1 else ""
            what = "copy: adds" if adds else n.kind
            found.append(f"d{short_name(n)} = {adds}{total}   ({what}; {short_name(n)} = {self._value(n)})")
        return found

    def _title(self, n: TraceNode) -> str:
        name = f"{n.name} = " if n.name else ""
        return f"{name}{n.op}{n.index if not n.name else ''}" + (f" [{n.module}]" if n.module else "")

    def _value(self, n: TraceNode) -> str:
        if n.changed:
            return f"{_shape(n.shape)}, changed since"
        return _number(n.value, n.shape)

    def _edge(self, e: Edge | None) -> tuple[str, str, str]:
        if e is None:
            return "", "", ""
        source = self.trace.nodes[e.source]
        if source.kind == "constant":
            return (
                (
                    source.name
                    or (_number(source.value, source.shape) if source.value is not None else _shape(source.shape))
                ),
                "constant",
                "",
            )
        local = e.local if isinstance(e.local, str) else _number(e.local, None if e.local is None else e.local.shape)
        return short_name(source), local, _number(e.downstream, source.shape)

    def __str__(self) -> str:
        rows = self.rows()
        if not rows:
            return "\n".join(self.leaves())
        table = [HEADS, *rows]
        used = [c for c in range(len(HEADS)) if any(row[c] for row in rows)]
        widths = {c: max(len(row[c]) for row in table) for c in used}
        lines = ["  ".join(row[c].ljust(widths[c]) for c in used).rstrip() for row in table]
        lines.insert(1, "  ".join("-" * widths[c] for c in used))
        return "\n".join([*lines, "", *self.leaves()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(_cell("th", h) for h in HEADS)
        body = "".join(f"<tr>{''.join(_cell('td', c) for c in row)}</tr>" for row in self.rows())
        leaves = "".join(f"<li>{html.escape(text)}</li>" for text in self.leaves())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{leaves}</ul>"


def _cell(tag: str, text: str) -> str:
    return f"<{tag} style='text-align:left'>{html.escape(text)}</{tag}>"


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _number(a: npt.NDArray[Any] | None, shape: tuple[int, ...] | None) -> str:
    """A value in few characters: the number, the elements, or shape and norm; `?` where it was not kept."""
    if a is None:
        return "?" if not shape else f"? {_shape(shape)}"
    if a.ndim == 0:
        return f"{a.item():.4g}"
    if a.size <= SHOWN:
        return np.array2string(a, separator=", ", formatter={"all": lambda v: f"{v:.4g}"}).replace("\n", "")
    return f"{_shape(a.shape)} norm {float(np.linalg.norm(a.astype(np.float64))):.4g}"


def line_text(line: str | None) -> str:
    """The name of the file, the line, and its text where it can be read."""
    if line is None:
        return ""
    file, _, number = line.rpartition(":")
    text = linecache.getline(file, int(number)).strip() if number.isdigit() else ""
    return f"{os.path.basename(file)}:{number}" + (f"  {text}" if text else "") if file else line
