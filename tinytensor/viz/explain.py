"""A tensor's graph as a table: upstream x local = downstream, node by node in backward order."""

from __future__ import annotations

import html
import linecache
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ..tensor import Tensor
from .scene import fused
from .trace import OTHER, Edge, Trace, TraceNode, short_name, trace

__all__ = ["Explanation", "explain", "line_text"]
HINT = "?: not kept; run forward and backward within `with tt.inspect():`"
HEADS = ("node", "gate", "value", "upstream", "input", "local", "downstream", "stored by forward", "line")
SHOWN = 6  # elements of an array that are written out
WIDEST = 60  # letters of a source line
_STYLE = """<style>
.tt-explain { overflow-x: auto }
.tt-explain table, .tt-explain ul { font: 12px/1.5 ui-monospace, Menlo, Consolas, monospace }
.tt-explain table { border-collapse: collapse }
.tt-explain table th, .tt-explain table td { text-align: left; vertical-align: top; padding: 2px 14px 2px 0; max-width: 34em;
  white-space: nowrap; overflow-wrap: break-word; font-variant-numeric: tabular-nums }
.tt-explain table td.number { text-align: right }
.tt-explain table td.long { white-space: normal; min-width: 20em }
.tt-explain table thead th { border-bottom: 1px solid }
.tt-explain table tbody tr.first td { border-top: 1px solid rgb(128 128 128 / 40%) }
.tt-explain ul { padding-left: 1.2em }
</style>"""


def explain(root: Tensor, gradient: Any = None) -> Explanation:
    """What `root.explain()` gives; see `Tensor.explain`."""
    return Explanation(trace(root, gradient))


class Explanation:
    """The table of a Trace: `str()` is plain text, a notebook shows HTML. `trace` is what it was made from."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def rows(self) -> list[tuple[str, ...]]:
        """The cells, one tuple for each input of each node (HEADS names them); those of the node itself in its first alone."""
        found, before = [], None
        for n in reversed(self.trace.nodes):
            if n.kind != "op" or n.op == OTHER:
                continue
            kept = ", ".join(n.stored)
            line, before = line_text(n.line, n.line == before), n.line
            first = (self._title(n), n.gate or fused(n.op) or "", self._value(n), _number(n.grad, n.shape))
            edges: list[Edge | None] = [*n.inputs] or [None]
            for i, e in enumerate(edges):
                cells = first if i == 0 else ("",) * len(first)
                last = (kept, line) if i == 0 else ("", "")
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
            if n.kind == "constant" or (n.kind == "op" and len(edges) < 2 and not (n.before is not None and edges)):
                continue
            total = _number(n.grad, n.shape)
            if n.before is not None:
                total = f"{_number(n.before, n.shape)}, by a hook {total}"
            parts = [_number(e.downstream, n.shape) for e in edges]
            adds = " + ".join(f"({p})" if p.startswith("-") and len(parts) > 1 else p for p in parts)
            adds = f"{adds} = " if len(parts) > 1 else ""
            what = "copy: adds" if len(parts) > 1 else n.kind
            found.append(f"d{short_name(n)} = {adds}{total}   ({what}; {short_name(n)} = {self._value(n)})")
        return found

    def _title(self, n: TraceNode) -> str:
        name = f"{n.name} = " if n.name else ""
        return f"{name}{n.op}{n.index if not n.name else ''}" + (f" [{n.module}]" if n.module else "")

    def _value(self, n: TraceNode) -> str:
        if n.changed and n.kind != "op":
            return f"{_number(n.value, n.shape)}, changed since"
        if n.changed:
            return f"{_shape(n.shape)}, changed since"
        return _number(n.value, n.shape)

    def _edge(self, e: Edge | None) -> tuple[str, str, str]:
        if e is None:
            return "", "", ""
        source = self.trace.nodes[e.source]
        if source.kind == "constant":
            if source.name:
                return source.name, f"constant {_number(source.value, source.shape)}", ""
            shape = _shape(source.shape) if source.dtype else "?"
            return _number(source.value, source.shape) if source.value is not None else shape, "constant", ""
        few = isinstance(e.local, np.ndarray) and (e.local.size <= SHOWN or e.words in (None, "by its rule"))
        local = _number(e.local, e.local.shape) if isinstance(e.local, np.ndarray) and few else e.words or ""
        return short_name(source), local, _number(e.downstream, source.shape)

    def __str__(self) -> str:
        rows = self.rows()
        if not rows:
            return "\n".join([*self.leaves(), *self._hint()])
        table = [HEADS, *rows]
        used = [c for c in range(len(HEADS)) if any(row[c] for row in rows)]
        widths = {c: max(len(row[c]) for row in table) for c in used}
        lines = ["  ".join(row[c].ljust(widths[c]) for c in used).rstrip() for row in table]
        lines.insert(1, "  ".join("-" * widths[c] for c in used))
        return "\n".join([*lines, "", *self.leaves(), *self._hint()])

    def _hint(self) -> list[str]:
        """What to do where something is unknown."""
        cells = [cell for row in self.rows() for cell in row[2:7]] + self.leaves()
        return ["", HINT] if any(cell.startswith("?") or " ? " in cell for cell in cells) else []

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = self.rows()
        head = "".join(f"<th>{h}</th>" for h in HEADS)
        body = "".join(
            f"<tr{' class=first' if row[0] else ''}>{''.join(_cell(i, c) for i, c in enumerate(row))}</tr>"
            for row in rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
        leaves = "".join(f"<li>{html.escape(text)}</li>" for text in self.leaves())
        hint = "".join(f"<p>{html.escape(text)}</p>" for text in self._hint() if text)
        return f"{_STYLE}<div class='tt-explain'>{table}<ul>{leaves}</ul>{hint}</div>"


def _cell(column: int, text: str) -> str:
    number = column in (2, 3, 5, 6) and _is_number(text)
    kind = " class=number" if number else " class=long" if len(text) > 24 else ""
    return f"<td{kind}>{html.escape(text)}</td>"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _number(a: npt.NDArray[Any] | None, shape: tuple[int, ...] | None) -> str:
    """A value in few characters: the number, the elements, or shape and norm; `?` where it was not kept."""
    if a is None:
        return "?" if not shape else f"? {_shape(shape)}"
    if a.ndim == 0:
        return f"{a.item():.4g}"
    if a.size <= SHOWN:
        return " ".join(np.array2string(a, separator=", ", formatter={"all": lambda v: f"{v:.4g}"}).split())
    if a.dtype.kind != "f":
        return f"{_shape(a.shape)} {a.dtype}"
    return f"{_shape(a.shape)} norm {float(np.linalg.norm(a.astype(np.float64))):.4g}"


def line_text(line: str | None, again: bool = False) -> str:
    """The name of the file, the line, and, unless it was said before, its text where it can be read."""
    if line is None:
        return ""
    file, _, number = line.rpartition(":")
    text = linecache.getline(file, int(number)).strip() if number.isdigit() and not again else ""
    text = text if len(text) <= WIDEST else text[: WIDEST - 4] + " ..."
    return f"{os.path.basename(file)}:{number}" + (f"  {text}" if text else "") if file else line
