"""The page that steps through a run: forward node by node, then backward; one file, which loads nothing."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytensor.viz.draw import svg
from tinytensor.viz.explain import line_text
from tinytensor.viz.scene import Scene, fused, numbers, title_of
from tinytensor.viz.trace import Edge, Summary, Trace, TraceNode
from tinytensor.viz.trace import summary as summarized

__all__ = ["page"]


def page(trace: Trace, scene: Scene, title: str) -> str:
    """The page as HTML: the picture of `scene`, controls, and the numbers of the step's node.

    Buttons, a slider and a click on a node move it, and so do the arrow keys, Home and End; the space bar plays. The address ends in
    #step=7 for the eighth step, so a link leads to it.
    """
    data = json.dumps(_data(trace), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    parts = {"TITLE": escape(title), "PICTURE": svg(scene, title, "group"), "DATA": data}
    return re.sub("@(TITLE|PICTURE|DATA)@", lambda found: parts[found[1]], _PAGE)  # in one pass: a name may hold @DATA@


def _data(trace: Trace) -> dict[str, Any]:
    uses: list[list[NDArray[Any] | None]] = [[] for _ in trace.nodes]
    for node in trace.nodes:
        for edge in node.inputs:
            uses[edge.source].append(edge.downstream)
    backward = [node.index for node in reversed(trace.nodes) if node.kind != "constant"]
    return {
        "nodes": [_node(node, trace, uses[node.index]) for node in trace.nodes],
        "steps": [[i, 0] for i in range(len(trace.nodes))] + [[i, 1] for i in backward],
        "forward": len(trace.nodes),
    }


def _node(node: TraceNode, trace: Trace, uses: list[NDArray[Any] | None]) -> dict[str, Any]:
    summary = node.summary
    upstream = _text(node.grad, summary.grad if summary else None)
    if node.before is not None:
        upstream = f"{_text(node.before, summarized(node.before))}, by a hook {upstream}"
    if len(uses) > 1 and upstream:
        parts = [numbers(u)[0] for u in uses if u is not None and u.size == 1]
        if len(parts) == len(uses):
            upstream = " + ".join(f"({p})" if p.startswith("-") else p for p in parts) + f" = {upstream}"
        else:
            upstream += f"\nsum over {len(uses)} uses"
    constants = {e.source for e in node.inputs if trace.nodes[e.source].kind == "constant"}
    also = fused(node.op) if node.kind == "op" else None
    about = [f"fused: {also}"] if also else []
    about += [node.gate] if node.gate else []
    about += [f"in {node.module}"] if node.module else []
    about += [f"kept for backward: {', '.join(node.stored)}"] if node.stored else []
    about += ["changed in place since"] if node.changed else []
    return {
        "title": _title(node),
        "kind": f"{node.kind}, {'×'.join(map(str, node.shape)) or 'one number'}, {node.dtype}",
        "about": about,
        "line": line_text(node.line),
        "value": _text(node.value, summary),
        "upstream": None if node.kind == "constant" else upstream,
        "inputs": [
            {
                "name": _title(trace.nodes[edge.source]),
                "value": _of(trace.nodes[edge.source]),
                "local": None if edge.source in constants else _local(edge),
                "downstream": None if edge.source in constants else _text(edge.downstream, None),
            }
            for edge in sorted(node.inputs, key=lambda e: e.place)
        ],
    }


def _local(edge: Edge) -> str:
    return edge.local if isinstance(edge.local, str) else _text(edge.local, None)


def _title(node: TraceNode) -> str:
    return f"{node.name} = {title_of(node)}" if node.kind == "op" and node.name else title_of(node)


def _of(node: TraceNode) -> str:
    return _text(node.value, node.summary)


def _text(array: NDArray[Any] | None, summary: Summary | None) -> str:
    if array is not None and array.size <= 16:
        return "\n".join(numbers(np.asarray(array)))
    if summary is not None and summary.histogram:
        s = summary
        text = f"{s.min:.3g} to {s.max:.3g}, mean {s.mean:.3g}, norm {s.norm:.3g}"
        return f"{text}, {s.bad} not finite" if s.bad else text
    return "×".join(map(str, array.shape)) if array is not None else ""


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@TITLE@</title>
<style>
:root{color-scheme:light dark}
body{margin:0;height:100vh;display:flex;flex-direction:column;color:var(--ink);--now:#bc4c00}
@media (prefers-color-scheme:dark){body{--now:#ffa657}}
header,#bar,#panel{padding:8px 14px;font:14px/1.45 system-ui,sans-serif}
header{display:flex;gap:16px;align-items:baseline;flex-wrap:wrap;border-bottom:1px solid var(--wire)}
h1,h2,#line{overflow-wrap:anywhere}h1{font-size:16px;margin:0}header p{margin:0;color:var(--faint)}
kbd{font:12px ui-monospace,monospace;border:1px solid var(--wire);border-radius:3px;padding:0 4px}
#stage{flex:1 1 0;min-height:80px;overflow:auto;display:flex}#stage svg{display:block;margin:auto;flex:none}
#bar{display:flex;flex-wrap:wrap;gap:6px;align-items:center;border-top:1px solid var(--wire);border-bottom:1px solid var(--wire)}
#bar input{flex:1 1 140px;min-width:60px}#bar output{min-width:15em;text-align:right;font-variant-numeric:tabular-nums}
button{font:inherit;min-width:38px;padding:3px 8px}#play{min-width:66px}
:focus-visible{outline:3px solid var(--now);outline-offset:1px}
#panel{height:34vh;overflow:auto;box-sizing:border-box}
h2{font-size:16px;margin:0 0 2px}#kind,#about{margin:0;color:var(--faint)}
#line{margin:2px 0 6px;font:13px ui-monospace,monospace}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:6px 0}dd{margin:0}
dd,td{font:13px/1.4 ui-monospace,monospace;white-space:pre-wrap}
table{border-collapse:collapse}th,td{text-align:left;vertical-align:top;padding:2px 18px 2px 0}th{font-weight:600}
@media (max-width:40em){th,td{padding-right:8px;overflow-wrap:anywhere}}
.v{color:var(--value)}.g{color:var(--grad)}
#stage rect[data-i]{cursor:pointer}#stage text.op,#stage text.small{pointer-events:none}
#stage .later{opacity:.28}#stage .hidden{visibility:hidden}
#stage rect.now{stroke:var(--now);stroke-width:3}#stage path.wire.now{stroke:var(--now);stroke-width:2.4}
</style>
</head>
<body class="tt-graph">
<header><h1>@TITLE@</h1>
<p><kbd>←</kbd> <kbd>→</kbd> step, <kbd>space</kbd> plays, <kbd>Home</kbd> <kbd>End</kbd>; a click on a node goes to it</p></header>
<main id="stage" aria-label="the graph">
@PICTURE@</main>
<div id="bar" role="group" aria-label="steps">
<button id="first" aria-label="first step">|◀&#xFE0E;</button>
<button id="back" aria-label="one step back">◀&#xFE0E;</button>
<button id="play">Play</button>
<button id="next" aria-label="one step on">▶&#xFE0E;</button>
<button id="last" aria-label="last step">▶&#xFE0E;|</button>
<input id="scrub" type="range" min="0" value="0" step="1" aria-label="step">
<output id="where" for="scrub"></output>
</div>
<section id="panel" aria-live="polite" aria-label="the node of this step">
<h2 id="what"></h2><p id="kind"></p><p id="about"></p><p id="line"></p>
<dl><dt>value</dt><dd id="value" class="v"></dd><dt id="which"></dt><dd id="upstream" class="g"></dd></dl>
<table id="inputs"><thead><tr><th>input</th><th>its value</th><th>local gradient</th><th>downstream = upstream × local</th></tr></thead>
<tbody id="rows"></tbody></table>
</section>
<script id="data" type="application/json">@DATA@</script>
<script>
"use strict";
const {nodes, steps, forward} = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id), stage = at("stage"), scrub = at("scrub");
const parts = nodes.map(() => ({box: null, wires: [], made: [], values: [], grads: []}));
for (const e of stage.querySelectorAll("[data-i]")) {
  const part = parts[e.dataset.i], kind = e.classList;
  if (e.tagName === "rect") part.box = e;
  if (kind.contains("wire")) part.wires.push(e);
  if (kind.contains("value")) part.values.push(e);
  else if (kind.contains("grad") || kind.contains("edge")) part.grads.push(e);
  else part.made.push(e);
}
const last = steps.length - 1, at_forward = [], at_backward = [];
steps.forEach(([node, back], k) => { (back ? at_backward : at_forward)[node] = k; });
scrub.max = last;
let step = -1, shown = 0, timer = 0, saving = 0;

function reveal(k, on) {  // what step k adds to the picture
  const [node, back] = steps[k], part = parts[node];
  if (back) part.grads.forEach(e => e.classList.toggle("hidden", !on));
  else {
    part.made.forEach(e => e.classList.toggle("later", !on));
    part.values.forEach(e => e.classList.toggle("hidden", !on));
  }
}
function mark(k, on) {
  const part = parts[steps[k][0]];
  part.box.classList.toggle("now", on);
  part.wires.forEach(e => e.classList.toggle("now", on));
}
function cell(row, text, kind) {
  const made = row.insertCell();
  made.textContent = text;
  if (kind) made.className = kind;
}
function show(k) {
  k = Math.max(0, Math.min(last, k));
  if (k === step) return;
  for (; shown <= k; shown++) reveal(shown, true);
  for (; shown > k + 1; shown--) reveal(shown - 1, false);
  if (step >= 0) mark(step, false);
  step = k;
  mark(k, true);
  const [index, back] = steps[k], node = nodes[index];
  const kept = text => text === null ? "none: a constant" : text || "not kept";
  const gradient = text => back || text === null ? kept(text) : "comes in the backward pass";
  at("what").textContent = (back ? "Backward: " : "Forward: ") + node.title;
  at("kind").textContent = node.kind;
  at("about").textContent = node.about.join("; ");
  at("line").textContent = node.line;
  at("value").textContent = kept(node.value);
  at("which").textContent = node.inputs.length ? "upstream gradient" : "gradient";
  at("upstream").textContent = gradient(node.upstream);
  at("inputs").hidden = !node.inputs.length;
  const rows = at("rows");
  rows.textContent = "";
  for (const input of node.inputs) {
    const row = rows.insertRow();
    cell(row, input.name);
    cell(row, kept(input.value), "v");
    cell(row, kept(input.local));
    cell(row, gradient(input.downstream), "g");
  }
  const place = back ? `backward ${k - forward + 1} of ${steps.length - forward}` : `forward ${k + 1} of ${forward}`;
  at("where").textContent = place;
  scrub.value = k;
  scrub.setAttribute("aria-valuetext", `${place}: ${node.title}`);
  const box = parts[index].box, x = +box.getAttribute("x"), y = +box.getAttribute("y");
  stage.scrollLeft = x - stage.clientWidth / 2;  // without effect where the picture fits
  stage.scrollTop = y - stage.clientHeight / 2;
  clearTimeout(saving);  // browsers refuse many changes of the address in a short time
  saving = setTimeout(() => history.replaceState(null, "", "#step=" + step), 250);
}
function stop() {
  clearInterval(timer);
  timer = 0;
  at("play").textContent = "Play";
}
function play() {
  if (timer) return stop();
  if (step === last) show(0);
  at("play").textContent = "Pause";
  timer = setInterval(() => { show(step + 1); if (step === last) stop(); }, Math.max(80, Math.min(900, 30000 / steps.length)));
}
const picture = stage.firstElementChild, size = picture.viewBox.baseVal;
function fit() {  // a small picture is enlarged, a large one scrolls
  const scale = Math.max(1, Math.min(2, stage.clientWidth / size.width, stage.clientHeight / size.height));
  picture.setAttribute("width", size.width * scale);
  picture.setAttribute("height", size.height * scale);
}
addEventListener("resize", fit);
fit();
const go = k => { stop(); show(k); };
const moves = {first: () => go(0), back: () => go(step - 1), next: () => go(step + 1), last: () => go(last), play};
for (const name in moves) at(name).addEventListener("click", moves[name]);
scrub.addEventListener("input", () => go(+scrub.value));
stage.addEventListener("click", event => {
  const box = event.target.closest("rect[data-i]");
  if (!box) return;
  const node = box.dataset.i, back = at_backward[node];
  go(steps[step][1] && back !== undefined ? back : at_forward[node]);
});
const keys = {ArrowLeft: "back", ArrowRight: "next", Home: "first", End: "last", " ": "play"};
document.addEventListener("keydown", event => {
  const move = keys[event.key];
  if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === " " && event.target.tagName === "BUTTON") return;  // it presses the button
  event.preventDefault();
  moves[move]();
});
const asked = () => { const found = /step=(\\d+)/.exec(location.hash); return found ? +found[1] : 0; };
addEventListener("hashchange", () => go(asked()));
for (let k = last; k >= 0; k--) reveal(k, false);
parts.forEach(part => part.grads.forEach(e => e.classList.add("hidden")));
show(asked());
</script>
</body>
</html>
"""
