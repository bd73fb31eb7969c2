"""What a run of the bench leaves: tables for the terminal and for Markdown, JSON, and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, NamedTuple

from task import Case, Run

BASE = "NumPy"
OURS = "tinytensor"
Column = Callable[[dict[str, Any], Run], str]
"""What a column says of a case; where it says nothing of any case, the column is left out."""


class Table(NamedTuple):
    """A title and lines of cells, the first of them the headings."""

    title: str
    lines: list[list[str]]


def measured(case: Case, blocks: dict[str, list[float]], unit: float = 0.0) -> dict[str, Any]:
    """A case as JSON keeps it: its fields, and figures of each worker from what its blocks gave; `unit` makes a rate of
    the work."""
    times = []
    for label, b in blocks.items():
        entry: dict[str, Any] = {"label": label, "median": median(b), "min": min(b), "blocks": b}
        if unit:
            entry["rate"] = case.work / median(b) * unit
        times.append(entry)
    return {**case._asdict(), "times": times}


def medians(case: dict[str, Any]) -> dict[str, float]:
    return {t["label"]: t["median"] for t in case["times"]}


def ours(case: dict[str, Any]) -> dict[str, Any]:
    """The first row of tinytensor."""
    first: dict[str, Any] = next(t for t in case["times"] if t["label"].startswith(OURS))
    return first


def best_peer(case: dict[str, Any], run: Run) -> str:
    """How many times the quickest peer's time ours goes into, and which peer it is."""
    peers = {label: m for label, m in medians(case).items() if not label.startswith(OURS)}
    if not peers:
        return ""
    best = min(peers, key=lambda label: peers[label])
    return f"{_ratio(peers[best], ours(case)['median'])} {best}"


def against(label: str) -> Column:
    """How many times that peer's time ours goes into."""

    def column(case: dict[str, Any], run: Run) -> str:
        found = medians(case)
        return _ratio(found[label], ours(case)["median"]) if label in found else ""

    return column


def _ratio(theirs: float, mine: float) -> str:
    return f"{theirs / mine:.2f}x" if mine > 0 else ""


def rate(case: dict[str, Any], run: Run) -> str:
    return f"{ours(case)['rate']:,.3g}"


def limit(case: dict[str, Any], run: Run) -> float:
    """Seconds that the work would take at the measured peak that bounds it; 0 where none does, or none was measured."""
    at = run["peak"].get(case["limit"], 0)
    return case["work"] / (at * 1e9) if at else 0.0


def at_limit(case: dict[str, Any], run: Run) -> str:
    seconds = limit(case, run)
    return number(seconds * 1e6) if seconds else ""


def share(case: dict[str, Any], run: Run) -> str:
    """How much of the measured peak our median reaches."""
    return f"{100 * limit(case, run) / ours(case)['median']:.0f} %" if limit(case, run) else ""


def number(value: float, unit: str = "") -> str:
    """Three digits, or what a percentage needs."""
    size = abs(value)
    if unit == "%":
        return f"{value:.2f}"
    return f"{value:.2f}" if size < 10 else f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def _cell(entry: dict[str, Any] | None, unit: str) -> str:
    if entry is None:
        return "-"
    scale = 1e6 if unit == "us" else 1
    middle, low = (number(entry[name] * scale, unit) for name in ("median", "min"))
    return middle if len(entry["blocks"]) == 1 else f"{middle} ({low})"


def tables(run: Run, module: ModuleType) -> list[Table]:
    """A table for each panel: a row a case, a column for each worker that took part, then those that the group names; and
    the tables that the group makes of its own."""
    made = []
    for panel in dict.fromkeys(case["panel"] for case in run["cases"]):
        cases = [case for case in run["cases"] if case["panel"] == panel]
        labels = [w["label"] for w in run["workers"] if any(w["label"] in medians(case) for case in cases)]
        columns: dict[str, Column] = {
            head: column for head, column in module.COLUMNS.items() if any(column(case, run) for case in cases)
        }
        lines = [[panel, *labels, *columns]]
        for case in cases:
            entries = {t["label"]: t for t in case["times"]}
            cells = [_cell(entries.get(label), case["unit"]) for label in labels]
            lines.append(
                [case["name"].removesuffix(f" of {panel}"), *cells, *(column(case, run) for column in columns.values())]
            )
        made.append(Table(panel, lines))
    return made + (module.matrices(run) if hasattr(module, "matrices") else [])


def head(run: Run) -> list[str]:
    """What the figures are, and what they were taken on."""
    lines = [f"machine: {run['machine']}, load {run['load'][0]:.2f} before, {run['load'][1]:.2f} after"]
    lines += run["peak_lines"]
    for worker in run["workers"]:
        lines.append(f"{worker['label']}: {', '.join(f'{k} {v}' for k, v in worker.items() if k != 'label')}")
    return [*lines, run["meaning"]]


def text(run: Run, module: ModuleType) -> str:
    """The tables and remarks for a terminal."""
    parts = []
    for table in tables(run, module):
        widths = [max(map(len, column)) for column in zip(*table.lines)]
        parts.append(
            "\n".join(
                "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths)))
                for line in table.lines
            )
        )
    return "\n\n".join([*parts, "\n".join(run["remarks"])]).rstrip()


def _markdown(run: Run, module: ModuleType) -> str:
    parts = [f"# {run['group']}", "\n".join(f"- {line}" for line in head(run))]
    for table in tables(run, module):
        first, *rows = ["| " + " | ".join(line) + " |" for line in table.lines]
        parts.append(
            "\n".join([f"## {table.title}\n", first, "| --- |" + " ---: |" * (len(table.lines[0]) - 1), *rows])
        )
    if run["remarks"]:
        parts.append("\n".join(f"- {line}" for line in run["remarks"]))
    return "\n\n".join(parts) + "\n"


def write(run: Run, module: ModuleType, folder: Path) -> list[Path]:
    """Write GROUP.json, GROUP.md (the tables) and GROUP.png into the folder."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{run['group']}.{suffix}" for suffix in ("json", "md", "png")]
    files[0].write_text(json.dumps(run, indent=1) + "\n")
    files[1].write_text(_markdown(run, module))
    figure = Figure(layout="constrained")
    module.draw(run, figure)
    figure.savefig(files[2], dpi=120)
    return files
