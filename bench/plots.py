"""Pictures of a run: speeds side by side, the roofline, maps and bars. One colour a worker in all of them."""

from __future__ import annotations

from typing import Any

import report
from task import Run

# tinytensor's rows blue, NumPy's grey, PyTorch's orange, JAX's green
FAMILIES = {
    "tinytensor": ("#08519c", "#4292c6", "#9ecae1", "#6a51a3"),
    "NumPy": ("#525252", "#969696", "#bdbdbd"),
    "PyTorch": ("#d94801", "#fd8d3c"),
    "JAX": ("#238b45",),
}
MARKERS = {"tinytensor": "o", "NumPy": "s", "PyTorch": "^", "JAX": "D"}


def _colours(run: Run) -> dict[str, str]:
    taken: dict[str, int] = {}
    colours = {}
    for worker in run["workers"]:
        family = next(f for f in FAMILIES if worker["label"].startswith(f))
        at = taken[family] = taken.get(family, -1) + 1
        colours[worker["label"]] = FAMILIES[family][at % len(FAMILIES[family])]
    return colours


def _marker(label: str) -> str:
    return next(marker for family, marker in MARKERS.items() if label.startswith(family))


def _panels(run: Run) -> dict[str, list[dict[str, Any]]]:
    panels: dict[str, list[dict[str, Any]]] = {}
    for case in run["cases"]:
        panels.setdefault(case["panel"], []).append(case)
    return panels


def _legend(figure: Any, axes: Any, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)), frameon=False)


def speeds(run: Run, figure: Any) -> None:
    """A line for each case, a mark on it for each worker: its speed, with that of the base as 1."""
    panels, colours = _panels(run), _colours(run)
    rows = max(map(len, panels.values()))
    figure.set_size_inches(2.2 + 3.6 * len(panels), 1.6 + 0.27 * rows)
    every = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (panel, cases) in zip(every, panels.items()):
        for y in range(len(cases)):
            axes.axhline(y, color="#eeeeee", zorder=0)
        for label, colour in colours.items():
            pairs = [
                (found[report.BASE] / found[label], y)
                for y, found in enumerate(map(report.medians, cases))
                if label in found and report.BASE in found
            ]
            big = label.startswith(report.OURS)
            axes.scatter(
                *zip(*pairs),
                s=42 if big else 24,
                marker=_marker(label),
                color=colour,
                label=label,
                zorder=3 if big else 2,
            )
        axes.axvline(1, color="black", linewidth=0.8, zorder=1)
        _times_axis(axes, "x")
        axes.set_yticks(range(len(cases)), [case["name"].removesuffix(f" of {panel}") for case in cases])
        axes.set_xlabel(f"speed, {report.BASE} = 1 (right is quicker)")
        axes.set_title(panel)
    every[0].set_ylim(rows - 0.5, -0.5)
    figure.suptitle(f"{run['group']}: speed against {report.BASE}")
    _legend(figure, every[0], 2 * len(panels))


def _times_axis(axes: Any, which: str) -> None:
    """A logarithmic axis of ratios, labelled 0.5, 1, 2, 5, 10."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def bars(run: Run, figure: Any, title: str) -> None:
    """For each case a bar a worker, on a scale of its own; a line for the time at the measured peak, where the case has
    one."""
    colours = _colours(run)
    cases = run["cases"]
    wide = min(3, len(cases))
    high = -(-len(cases) // wide)
    most = max(len(case["times"]) for case in cases)
    figure.set_size_inches(4.9 * wide, high * (1.0 + 0.3 * most) + 0.5)
    every = figure.subplots(high, wide, squeeze=False).ravel()
    for axes in every[len(cases) :]:
        axes.set_visible(False)
    for axes, case in zip(every, cases):
        found = report.medians(case)
        scale = 1e6 if case["unit"] == "us" else 1
        axes.barh(range(len(found)), [m * scale for m in found.values()], color=[colours[label] for label in found])
        for y, m in enumerate(found.values()):
            axes.annotate(f" {report.number(m * scale, case['unit'])}", (m * scale, y), va="center", fontsize=8)
        at = report.limit(case, run)
        if at:
            axes.axvline(at * scale, color="#b2182b", linestyle="--", linewidth=1)
            axes.annotate(
                f" at peak {report.number(at * scale)}", (at * scale, len(found) - 0.45), color="#b2182b", fontsize=7.5, va="center"
            )  # fmt: skip
        axes.set_yticks(range(len(found)), list(found), fontsize=8)
        axes.set_ylim(len(found) - 0.2 if at else len(found) - 0.5, -0.6)
        axes.set_xlim(0, 1.22 * max(found.values()) * scale or 1)
        axes.set_title(case["name"], fontsize=9.5)
        axes.tick_params(axis="x", labelsize=8)
        axes.ticklabel_format(axis="x", style="plain")
        axes.locator_params(axis="x", nbins=5)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{run['group']}: {title}")


def roofline(run: Run, figure: Any, intensity: dict[str, float]) -> None:
    """Each case at its operations a byte, were each operand moved once, under the measured arithmetic peak and the
    bandwidths of the levels of memory. One panel a type of number."""
    colours = _colours(run)
    kinds = list(dict.fromkeys(case["limit"] for case in run["cases"]))
    figure.set_size_inches(7.4 * len(kinds), 6.2)
    every = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    lowest = min(t["rate"] for case in run["cases"] for t in case["times"])
    for axes, kind in zip(every, kinds):
        cases = [case for case in run["cases"] if case["limit"] == kind]
        at: list[float] = []
        for case in cases:  # those of one intensity side by side
            at.append(intensity[case["name"]])
            at[-1] *= 1.2 ** sum(abs(x / at[-1] - 1) < 0.01 for x in at[:-1])
        left, right = min(at) / 2, max(at) * 2
        _roofs(axes, run, kind, left, right)
        for label, colour in colours.items():
            pairs = [
                (x, t["rate"]) for x, case in zip(at, cases) for t in case["times"] if t["label"] == label
            ]  # fmt: skip
            if pairs:
                axes.scatter(*zip(*pairs), s=36, marker=_marker(label), color=colour, label=label, alpha=0.85, zorder=3)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _times_axis(axes, "x")
        _times_axis(axes, "y")
        axes.set_xlim(left, right)
        axes.set_ylim(
            lowest / 6, 1.7 * max(run["peak"].get("float32", 0), *(t["rate"] for c in cases for t in c["times"]))
        )
        for x, case in zip(at, cases):
            axes.annotate(
                case["name"].replace(f" {kind}", ""),
                (x, min(t["rate"] for t in case["times"])),
                xytext=(0, -9),
                textcoords="offset points",
                rotation=-90,
                ha="center",
                va="top",
                fontsize=7.5,
                color="#444444",
            )
        axes.set_xlabel("operations a byte, each matrix moved once")
        axes.set_title(f"{run['group']}, {kind}, under the measured roof")
    every[0].set_ylabel("GFLOP/s")
    _legend(figure, every[0], 4)


def _roofs(axes: Any, run: Run, kind: str, left: float, right: float) -> None:
    peak = run["peak"]
    if kind not in peak:
        return
    axes.axhline(peak[kind], color="#b2182b", linewidth=1.2)
    axes.annotate(
        f"multiply-adds, {peak[kind]:.0f} GFLOP/s", (right, peak[kind]), xytext=(-4, 3), textcoords="offset points",
        ha="right", fontsize=8, color="#b2182b",
    )  # fmt: skip
    for size, style in (("16 k", ":"), ("1 M", "--"), ("16 M", "-")):
        bandwidth = peak.get(f"add {size}")
        if bandwidth:
            knee = peak[kind] / bandwidth
            axes.plot([left, knee], [left * bandwidth, peak[kind]], color="#b2182b", linewidth=0.9, linestyle=style,
                      label=f"bandwidth at arrays of {size} floats: {bandwidth:.0f} GB/s", zorder=1)  # fmt: skip


def heat(axes: Any, values: list[list[float]], rows: list[str], columns: list[str], title: str) -> None:
    """A map of ratios, 1 white, more red, less blue, each field with its number."""
    from matplotlib.colors import TwoSlopeNorm

    most = min(2, max(1.2, *(v for line in values for v in line)))  # beyond twice the time all is as red
    axes.imshow(values, cmap="RdBu_r", norm=TwoSlopeNorm(1, 1 / most, most), aspect="auto")
    for y, line in enumerate(values):
        for x, v in enumerate(line):
            dark = v > 1 + 0.7 * (most - 1) or v < 1 - 0.7 * (1 - 1 / most)
            axes.text(x, y, f"{v:.2f}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title(title, fontsize=10)
