"""What a run of the bench leaves: tables on the terminal and in files, JSON, and plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BASE = "NumPy"


def _lines(run: dict[str, Any]) -> list[list[str]]:
    labels, rate = [w["label"] for w in run["workers"]], run["rate"]
    shares = rate in run["peak"] and any(case["bounded"] for case in run["cases"])
    lines = [[run["group"], *labels, f"against {BASE}", rate] + (["of peak"] if shares else [])]
    for case in run["cases"]:
        times = {t["label"]: t for t in case["times"]}
        cells = [f"{_short(t['median'])} ({_short(t['min'])})" for t in times.values()]
        ours = times["tinytensor"]
        line = [case["name"], *cells, f"{times[BASE]['median'] / ours['median']:.2f}x", f"{ours['rate']:,.4g}"]
        if shares:
            line.append(f"{100 * ours['rate'] / run['peak'][rate]:.0f} %" if case["bounded"] else "")
        lines.append(line)
    return lines


def _short(seconds: float) -> str:
    us = seconds * 1e6
    return f"{us:.2f}" if us < 10 else f"{us:.1f}" if us < 100 else f"{us:,.0f}"


def table(run: dict[str, Any]) -> str:
    """The cases of one group: median and (min) microseconds of each worker, and how tinytensor's median compares."""
    lines = _lines(run)
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))).rstrip()
        for line in lines
    )


def _markdown(run: dict[str, Any]) -> str:
    head, *rows = ["| " + " | ".join(line) + " |" for line in _lines(run)]
    return "\n".join([head, "| --- |" + " ---: |" * (len(_lines(run)[0]) - 1), *rows]) + "\n"


def write(run: dict[str, Any], folder: Path) -> list[Path]:
    """Write GROUP.json, GROUP.md (the table) and GROUP.png into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{run['group']}.{suffix}" for suffix in ("json", "md", "png")]
    files[0].write_text(json.dumps(run, indent=1) + "\n")
    files[1].write_text(_markdown(run))
    _plot(run, files[2])
    return files


def _plot(run: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(case["panel"] for case in run["cases"]))
    labels = [w["label"] for w in run["workers"]]
    rows = max(sum(case["panel"] == panel for case in run["cases"]) for panel in panels)
    figure = Figure(figsize=(3 + 4.2 * len(panels), 2 + 0.17 * rows * (len(labels) + 1)), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        cases = [case for case in run["cases"] if case["panel"] == panel]
        height = 0.8 / len(labels)
        for i, label in enumerate(labels):
            speeds = []
            for case in cases:
                times = {t["label"]: t["median"] for t in case["times"]}
                speeds.append(times[BASE] / times[label])
            at = [y + (i - (len(labels) - 1) / 2) * height for y in range(len(cases))]
            axes.barh(at, speeds, height, color=f"C{i}", label=label)
        axes.axvline(1, color="black", linewidth=0.8)
        names = [c["name"].removesuffix(f" {panel}") for c in cases]
        axes.set_yticks(range(len(cases)), names)
        axes.margins(y=0.01)
        axes.invert_yaxis()
        axes.set_xlabel(f"speed, {BASE} = 1 (more is better)")
        axes.set_title(f"{run['group']}, {panel}" if len(panels) > 1 else run["group"])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(labels)))
    figure.savefig(path, dpi=120)
