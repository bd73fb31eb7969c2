"""The picture of a graph: SVG, PNG, Graphviz's DOT or the page that steps through it, all from one scene."""

from __future__ import annotations

import io
import os
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tinytensor.serialize import write_atomically
from tinytensor.viz.scene import SIZES, Bars, Box, Label, Scene, Wire, fused, numbers, title_of
from tinytensor.viz.scene import scene as scene_of
from tinytensor.viz.trace import Trace, trace

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

__all__ = ["Drawing", "draw", "svg"]

COLORS = {  # light, dark
    "paper": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "faint": ("#59636e", "#9aa4af"),
    "wire": ("#8c959f", "#6e7781"),
    "value": ("#116329", "#56d364"),
    "grad": ("#b3121d", "#ff8e86"),
    "leaf": ("#fff8c5", "#3b2e00"),
    "parameter": ("#ddf4ff", "#0c2d52"),
    "constant": ("#eff1f3", "#21262d"),
    "op": ("#ffffff", "#161b22"),
    "fused": ("#fbefff", "#2f1a4d"),
    "frame": ("#f6f8fa", "#11161d"),
}

STYLE = """.tt-graph{--SCHEME0;background:var(--paper);font-family:ui-monospace,monospace}
@media (prefers-color-scheme:dark){.tt-graph{--SCHEME1}}
.tt-graph text{fill:var(--ink);white-space:pre}.tt-graph text.small,.tt-graph text.frame{fill:var(--faint)}
.tt-graph text.value{fill:var(--value)}.tt-graph text.grad,.tt-graph text.edge{fill:var(--grad)}
.tt-graph text.op{font-weight:600}
.tt-graph path.wire{fill:none;stroke:var(--wire);stroke-width:1.3}.tt-graph .head{fill:var(--wire)}
.tt-graph rect{stroke:var(--wire);rx:5px}.tt-graph rect.frame{fill:var(--frame);stroke-dasharray:4 3;rx:8px}
.tt-graph rect.paper{fill:var(--paper);stroke:none;rx:0}
"""
for _scheme in (0, 1):
    STYLE = STYLE.replace(f"--SCHEME{_scheme}", ";".join(f"--{name}:{pair[_scheme]}" for name, pair in COLORS.items()))
STYLE += "".join(
    f".tt-graph rect.{kind}{{fill:var(--{kind})}}" for kind in ("leaf", "parameter", "constant", "op", "fused")
)
STYLE += "\n.tt-graph .bars.value{fill:var(--value)}.tt-graph .bars.grad{fill:var(--grad)}\n"


def draw(root: Tensor | Trace) -> Drawing:
    """The picture of the graph behind a tensor (or of a trace of it), from the inputs at the left to the root at the right.

    Above each wire stands its value (green), below it the gradient (red): the numbers of up to 16 elements, else the norm and a
    histogram. Where a value is used more than once, each use has its own part of the gradient. Calls of modules are frames.
    """
    return Drawing(root if isinstance(root, Trace) else trace(root))


class Drawing:
    """The picture of a graph; a notebook shows it by itself. ValueError for a trace without a node or with an edge backwards."""

    def __init__(self, of: Trace) -> None:
        self.trace = of
        self.scene: Scene = scene_of(of)

    @cached_property
    def svg(self) -> str:
        """The picture as SVG: text that can be selected, generic fonts, light and dark as the reader has it."""
        return svg(self.scene, _title(self.trace))

    def _repr_svg_(self) -> str:
        return self.svg

    @property
    def html(self) -> str:
        """The page that steps through the run, forward and backward; one file, which loads nothing."""
        from tinytensor.viz.page import page

        return page(self.trace, self.scene, _title(self.trace))

    @property
    def dot(self) -> str:
        """The graph in Graphviz's language."""
        return _dot(self.trace)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture, in the format of the ending: .svg, .html (the page), .png (needs matplotlib) or .dot.

        The file appears whole or not at all. Raises ValueError for another ending, ImportError without matplotlib, OSError if the
        file cannot be written.
        """
        ending = os.path.splitext(os.fsdecode(path))[1].lower()
        if ending == ".svg":
            content = ('<?xml version="1.0" encoding="UTF-8"?>\n' + self.svg).encode()
        elif ending == ".html":
            content = self.html.encode()
        elif ending == ".png":
            content = _png(self.scene)
        elif ending == ".dot":
            content = self.dot.encode()
        else:
            raise ValueError(f"Drawing.save: {os.fsdecode(path)!r} should end in .svg, .html, .png or .dot")
        write_atomically(path, content)


def _title(graph: Trace) -> str:
    root = graph.nodes[graph.root]
    return f"Graph of {root.name or root.op}: {len(graph.nodes)} nodes"


def svg(scene: Scene, title: str, role: str = "img") -> str:
    """A scene as an <svg> element. What belongs to a node carries its index as data-i, for the page."""
    width, height = f"{scene.width:.0f}", f"{scene.height:.0f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tt-graph" role="{role}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{width}" height="{height}"/>'
    ]
    parts += [_svg_box(box) for box in scene.boxes if box.role == "frame"]
    parts += [_svg_wire(wire) for wire in scene.wires]
    parts += [_svg_box(box) for box in scene.boxes if box.role != "frame"]
    parts += [_svg_bars(bars) for bars in scene.bars]
    parts += [_svg_label(label) for label in scene.labels]
    return "\n".join(parts) + "\n</svg>\n"


def _of(node: int) -> str:
    return f' data-i="{node}"' if node >= 0 else ""


def _svg_box(box: Box) -> str:
    return (
        f'<rect class="{box.role}"{_of(box.node)} x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}"/>'
    )


def _svg_label(label: Label) -> str:
    anchor = ' text-anchor="middle"' if label.anchor == "middle" else ""
    return (
        f'<text class="{label.role}"{_of(label.node)} x="{label.x:.1f}" y="{label.y:.1f}" font-size="{SIZES[label.role]:g}"'
        f"{anchor}>{escape(label.text)}</text>"
    )


def _svg_wire(wire: Wire) -> str:
    path = []
    for x0, y0, x1, y1 in wire.pieces:
        middle = (x0 + x1) / 2
        level = abs(y0 - y1) < 0.05
        path.append(
            f"M{x0:.1f} {y0:.1f}"
            + (f"H{x1:.1f}" if level else f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}")
        )
    made = f'<path class="wire"{_of(wire.node)} d="{"".join(path)}"/>'
    if wire.tips:
        heads = "".join(f"M{x:.1f} {y:.1f}l-6 -3v6z" for x, y in wire.tips)
        made += f'<path class="head"{_of(wire.node)} d="{heads}"/>'
    if wire.dot:
        made += f'<circle class="head"{_of(wire.node)} cx="{wire.dot[0]:.1f}" cy="{wire.dot[1]:.1f}" r="2.6"/>'
    return made


def _svg_bars(bars: Bars) -> str:
    path = "".join(f"M{x:.1f} {bars.y + bars.height:.1f}h{w:.1f}v{-h:.1f}h{-w:.1f}z" for x, w, h in _columns(bars))
    return f'<path class="bars {bars.role}"{_of(bars.node)} d="{path}"/>'


def _columns(bars: Bars) -> list[tuple[float, float, float]]:
    """x, width and height of a histogram's columns; one that is not empty is seen."""
    step, most = bars.width / len(bars.counts), max(*bars.counts, 1)
    return [
        (bars.x + i * step, step - 0.5, max(1.0, bars.height * count / most))
        for i, count in enumerate(bars.counts)
        if count
    ]


def _png(scene: Scene) -> bytes:
    try:
        from matplotlib.figure import Figure  # not pyplot: no window system, no global state
        from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon, Rectangle
        from matplotlib.path import Path
    except ImportError:
        raise ImportError("a picture as .png needs matplotlib: pip install 'tinytensor[train]'") from None
    color = {name: pair[0] for name, pair in COLORS.items()}
    dots = min(2.0, 16000 / max(scene.width, scene.height))  # a pixel of the SVG; files of a sane size
    figure = Figure(figsize=(scene.width / 72, scene.height / 72), dpi=72 * dots)
    axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.set_axis_off()
    for box in scene.boxes:
        style = f"round,pad=0,rounding_size={8 if box.role == 'frame' else 5}"
        dash = (0, (4, 3)) if box.role == "frame" else "-"
        axes.add_patch(
            FancyBboxPatch(
                (box.x, box.y),
                box.width,
                box.height,
                style,
                fc=color[box.role],
                ec=color["wire"],
                ls=dash,
                zorder=1 if box.role == "frame" else 3,
            )
        )
    for wire in scene.wires:
        points, codes = [], []
        for x0, y0, x1, y1 in wire.pieces:
            points += [(x0, y0), ((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1), (x1, y1)]
            codes += [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        axes.add_patch(PathPatch(Path(points, codes), fc="none", ec=color["wire"], lw=1.3, zorder=2))
        for x, y in wire.tips:
            axes.add_patch(Polygon([(x, y), (x - 6, y - 3), (x - 6, y + 3)], color=color["wire"], lw=0, zorder=2))
        if wire.dot:
            axes.add_patch(Circle(wire.dot, 2.6, color=color["wire"], lw=0, zorder=2))
    for bars in scene.bars:
        for x, width, height in _columns(bars):
            axes.add_patch(
                Rectangle((x, bars.y + bars.height - height), width, height, color=color[bars.role], lw=0, zorder=4)
            )
    shades = {"op": "ink", "small": "faint", "frame": "faint", "edge": "grad"}
    for label in scene.labels:
        axes.text(
            label.x,
            label.y,
            label.text,
            family="monospace",
            size=SIZES[label.role],
            color=color[shades.get(label.role, label.role)],
            weight="bold" if label.role == "op" else "normal",
            ha="center" if label.anchor == "middle" else "left",
            va="baseline",
            parse_math=False,
            zorder=5,
        )
    made = io.BytesIO()
    figure.savefig(made, format="png", facecolor=color["paper"])
    return made.getvalue()


def _numbers(value: NDArray[Any] | None, grad: NDArray[Any] | None) -> list[str]:
    above, below = (numbers(a) if a is not None and a.size <= 16 else [] for a in (value, grad))
    return above + [f"d {line}" for line in below]


def _dot(graph: Trace) -> str:
    def quoted(text: str) -> str:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + text.replace("\n", "\\n") + '"'

    lines = [
        "digraph graph_ {",
        "  rankdir=LR; node [shape=box style=rounded fontname=monospace]; edge [fontname=monospace]",
    ]
    members: dict[str, list[int]] = {}
    for node in graph.nodes:
        text = [title_of(node)]
        text += [part for part in (node.name if node.kind == "op" else None, fused(node.op)) if part]
        if node.shape:
            text.append("×".join(map(str, node.shape)))
        if node.index == graph.root:  # no edge leaves it
            text += _numbers(node.value, node.grad)
        lines.append(f"  n{node.index} [label={quoted(chr(10).join(text))}]")
        if node.module and node.inputs:
            members.setdefault(node.module, []).append(node.index)
    for number, (path, nodes) in enumerate(members.items()):
        inside = " ".join(f"n{node}" for node in nodes)
        lines.append(f"  subgraph cluster_{number} {{ label={quoted(path)}; {inside} }}")
    for node in graph.nodes:
        for edge in node.inputs:
            source = graph.nodes[edge.source]
            label = "\n".join(_numbers(source.value, edge.downstream))
            lines.append(f"  n{edge.source} -> n{node.index}" + (f" [label={quoted(label)}]" if label else ""))
    return "\n".join([*lines, "}"]) + "\n"
