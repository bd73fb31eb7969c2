"""The page of all ops, made from the table that tests them: `python tests/ops/document.py` writes docs/ops.md anew."""

from __future__ import annotations

import inspect
import math
import sys
from pathlib import Path
from typing import Any

from check import float_outputs, inputs_of, leaves
from table import ROWS, Row

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor.ops import PUBLIC

PAGE = Path(__file__).parents[2] / "docs" / "ops.md"
HEAD = """# Every operation

Made by `python tests/ops/document.py` from the table that tests them (tests/ops/table.py and its parts); a test fails when
it is out of date. Every row of that table is run in float32 and float64, on Tensors and arrays, contiguous and strided.

- **value**: the largest distance from the reference (NumPy in float64, or the definition in plain Python), in units in the
  last place of the result; `+` where that is of the largest term of a sum.
- **gradient**: the inputs that have one, checked against central differences in float64; `2nd`: the second derivative is, too.
- **broadcast**: inputs of different shapes are among those tested. **edges**: tested on 0-d, empty, and with NaN in an input.
- **runs as**: one node on the tape (`kernel`: an elementwise kernel in C that makes the value), or which nodes it is
  composed of. Composed ones get the values, gradients and speed of their parts.
"""


def functions() -> dict[str, Any]:
    """Every public op by the name that the page gives it."""
    found = {f"tt.{n}": f for n, f in PUBLIC.items()}
    for name in F.__all__:
        if getattr(F, name) is not PUBLIC.get(name):
            found[f"F.{name}"] = getattr(F, name)
    linalg = getattr(tt, "linalg", None)
    for name in getattr(linalg, "__all__", ()):
        found[f"tt.linalg.{name}"] = getattr(linalg, name)
    return found


def rows_of(name: str, function: Any) -> list[Row]:
    """The rows that test an op: under its name, or under another name of the same function."""
    same = {n for n, f in functions().items() if f is function} | {name}
    bare = {n.removeprefix("tt.") if n.startswith("tt.") or n[2:] in PUBLIC else n[2:] for n in same}
    return [r for r in ROWS if r.name in bare]


def nodes_of(r: Row) -> list[str]:
    """The ops that one call of a row records, the last first, each once."""
    arrays = inputs_of(r, r.shapes[0])
    found: dict[str, int] = {}
    seen: set[int] = set()
    waiting = [t.grad_fn for t in float_outputs(r.call(*leaves(r, arrays), **r.kwargs)) if t.grad_fn is not None]
    while waiting:
        node = waiting.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        found.setdefault(node.op.__name__, node.op.kernel)
        waiting += [p for p in node.parents if p is not None and not isinstance(p, tt.Tensor)]
    return [f"kernel `{n}`" if k >= 0 else f"`{n}`" for n, k in found.items()]


def runs_as(rows: list[Row]) -> str:
    """How the plainest row with a gradient is recorded."""
    with_gradient = [r for r in rows if r.grads]
    if not with_gradient:
        return "not recorded"
    nodes = nodes_of(with_gradient[0])
    return nodes[0] if len(nodes) == 1 else "composed: " + ", ".join(nodes) if nodes else "its input"


def line(name: str, function: Any) -> str:
    """One line of the page."""
    rows = rows_of(name, function)
    ulps = max((r.ulps * (r.dtype not in ("bool", "int64")) for r in rows), default=math.nan)
    grads = sorted({i for r in rows for i in r.grads})
    second = all(r.gradgrad for r in rows if r.grads)
    several = any(len(set(shapes)) > 1 for r in rows for shapes in r.shapes if len(shapes) > 1)
    every = [s for r in rows for shapes in r.shapes for s in shapes]
    edges = [
        label
        for label, there in (
            ("0-d", () in every),
            ("empty", any(0 in s for s in every)),
            ("NaN", any(r.nan for r in rows)),
        )
        if there
    ]
    summary = (inspect.getdoc(function) or "").split("\n\n")[0].split(". ")[0].replace("\n", " ").replace("|", "\\|")
    value = "exact" if ulps == 0 else f"{ulps:g}" + ("+" if any(r.scale for r in rows) else "")
    gradient = ", ".join(map(str, grads)) + ("; 2nd" if second else "") if grads else "-"
    cells = [
        f"`{name}`",
        summary.rstrip("."),
        value,
        gradient,
        "yes" if several else "-",
        ", ".join(edges) or "-",
        runs_as(rows),
    ]
    return "| " + " | ".join(cells) + " |"


def page() -> str:
    """The whole page."""
    head = "| op | what it is | value | gradient | broadcast | edges | runs as |\n|---|---|---|---|---|---|---|"
    return f"{HEAD}\n{head}\n" + "\n".join(line(n, f) for n, f in sorted(functions().items())) + "\n"


if __name__ == "__main__":
    sys.exit(0 if PAGE.write_text(page()) else 1)
