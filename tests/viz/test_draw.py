"""The picture: what it says and where, that no label overlaps anything, and its formats."""

import re
import struct
import sys
import xml.etree.ElementTree as ET

import graphs
import numpy as np
import pytest

import tinytensor as tt
from tinytensor.viz import draw, scene
from tinytensor.viz.scene import fused, numbers
from tinytensor.viz.trace import Summary, Trace

ALL = {
    "formula": graphs.formula,
    "copied": graphs.copied,
    "matrices": graphs.matrices,
    "network": graphs.network,
    "chain": lambda: graphs.chain(61),
}
SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing, role):
    return [(label.node, label.text) for label in drawing.scene.labels if label.role == role]


@pytest.mark.parametrize("name", ALL)
def test_no_label_overlaps_another_or_a_box_or_a_histogram_or_a_wire(name):
    scene = draw(ALL[name]()).scene
    places = [("label", label.rectangle()) for label in scene.labels if label.anchor == "start"]
    places += [("bars", (b.x, b.y, b.width, b.height)) for b in scene.bars]
    boxes = [("box", (b.x, b.y, b.width, b.height)) for b in scene.boxes if b.role != "frame"]
    wires = [
        ("wire", (x0, min(y0, y1) - 0.6, x1 - x0, abs(y1 - y0) + 1.2))
        for wire in scene.wires
        for x0, y0, x1, y1 in wire.pieces
        if abs(y1 - y0) < 1e-6
    ]
    for i, (kind, (x, y, w, h)) in enumerate(places):
        assert x >= 0 and x + w <= scene.width and y >= 0 and y + h <= scene.height
        for other, (p, q, v, u) in places[:i] + boxes + wires:
            assert not (x < p + v and p < x + w and y < q + u and q < y + h), (kind, other)


@pytest.mark.parametrize("name", ALL)
def test_text_of_a_box_fits_in_it(name):
    scene = draw(ALL[name]()).scene
    boxes = {b.node: b for b in scene.boxes if b.role != "frame"}
    inner = [label for label in scene.labels if label.anchor == "middle"]
    assert len(inner) >= len(boxes)
    for label in inner:
        x, y, width, height = label.rectangle()
        box = boxes[label.node]
        assert box.x + 4 <= x and x + width <= box.x + box.width - 4
        assert box.y <= y and y + height <= box.y + box.height


def test_values_stand_above_and_gradients_below_their_wire():
    drawing = draw(graphs.formula())
    assert texts(drawing, "value") == [(0, "-2"), (1, "5"), (2, "-4"), (3, "3"), (4, "-12")]
    assert texts(drawing, "grad") == [(0, "-4"), (1, "-4"), (2, "3"), (3, "-4"), (4, "1")]
    assert [text for _, text in texts(drawing, "op")] == ["x", "y", "z", "add", "mul"]
    assert texts(drawing, "small") == [(3, "q"), (4, "f")]
    for wire in drawing.scene.wires:
        start = min(wire.pieces)
        above = [label for label in drawing.scene.labels if label.node == wire.node and label.role == "value"]
        below = [label for label in drawing.scene.labels if label.node == wire.node and label.role == "grad"]
        assert above[0].y < start[1] < below[0].rectangle()[1]


def test_each_use_of_a_value_has_its_part_of_the_gradient():
    drawing = draw(graphs.copied())
    assert texts(drawing, "edge") == [(1, "3"), (1, "3"), (2, "1")]
    assert texts(drawing, "grad")[0] == (0, "7")
    assert [wire.node for wire in drawing.scene.wires if wire.dot] == [0]
    assert texts(draw(graphs.formula()), "edge") == []


def test_large_tensors_have_shape_norm_and_histograms():
    trace = graphs.network()
    drawing = draw(trace)
    first = trace.nodes[1]
    assert (1, "64×784") in texts(drawing, "small")
    assert (1, f"norm {first.summary.norm:.3g}") in texts(drawing, "value")
    assert (1, f"norm {first.summary.grad.norm:.3g}") in texts(drawing, "grad")
    assert {bars.role for bars in drawing.scene.bars if bars.node == 1} == {"value", "grad"}
    assert (3, "fused: linear + relu") in texts(drawing, "small")
    assert [text for _, text in texts(drawing, "frame")] == ["0.linear", "2.linear", "4.linear"]


def test_nothing_known_but_the_ops():
    drawing = draw(Trace([graphs.node(0, "leaf", "leaf", (100,)), graphs.node(1, "exp", "op", (100,))], 1))
    assert texts(drawing, "small") == [(0, "100"), (1, "100")]
    assert not drawing.scene.bars and not texts(drawing, "value")


def test_a_summary_for_the_gradient_alone_and_one_with_nan():
    alone = Summary(0.0, 0.0, 0.0, 0.0, [], grad=Summary(-1.0, 1.0, 0.0, 2.5, [1] * 16, bad=3))
    drawing = draw(Trace([graphs.node(0, "exp", "op", (100,), summary=alone)], 0))
    assert (texts(drawing, "value"), texts(drawing, "grad")) == ([], [(0, "norm 2.5"), (0, "3 not finite")])
    assert [bars.role for bars in drawing.scene.bars] == ["grad"]


def test_a_constant_is_its_number():
    drawing = draw(graphs.chain(3))
    assert texts(drawing, "op") == [(0, "x"), (1, "1"), (2, "add")]
    assert [node for node, _ in texts(drawing, "value")] == [0, 2]


@pytest.mark.parametrize(
    ("array", "lines"),
    [
        (np.array(0.731058), ["0.7311"]),
        (np.array(-12.0), ["-12"]),
        (np.array([[3]]), ["[[3]]"]),
        (np.array([True, False]), ["[True, False]"]),
        (np.array([0.22, np.nan]), ["[0.22, nan]"]),
        (np.arange(6), ["[0, 1, 2, 3,", " 4, 5]"]),
        (np.eye(2), ["[1, 0]", "[0, 1]"]),
        (np.array([[0.1, 0.5], [-0.3, 12]]), ["[ 0.1, 0.5]", "[-0.3,  12]"]),
        (np.zeros((0, 3)), ["[]"]),
        (np.zeros(0), ["[]"]),
    ],
)
def test_numbers(array, lines):
    assert numbers(array) == lines


def test_fused_ops():
    assert fused("linear_gelu") == "linear + gelu"
    assert fused("cross_entropy") == "log_softmax + nll"
    assert fused("mul") is None


def test_fused_ops_are_recorded_under_these_names():
    x, w, b = (tt.rand(*shape, requires_grad=True) for shape in ((3, 4), (4, 4), (4,)))
    target = tt.tensor([0, 1, 2])
    f = tt.nn.functional
    recorded = {
        "linear": f.linear(x, w, b),
        "cross_entropy": f.cross_entropy(x, target),
        "bernoulli_logits": f.binary_cross_entropy_with_logits(x, x.detach()),
        "normalized": f.layer_norm(x, (4,), b, b),
        "rms_normalized": f.rms_norm(x, (4,), b),
    }
    assert set(recorded) == set(scene._FUSED)
    for name, made in recorded.items():
        assert name in {n.op for n in made.explain().trace.nodes}


@pytest.mark.parametrize("name", ALL)
def test_svg_is_well_formed_and_its_text_is_text(name):
    drawing = draw(ALL[name]())
    root = ET.fromstring(drawing.svg)
    assert root.tag == SVG + "svg" and root.find(SVG + "title").text.startswith("Graph of ")
    found = [(int(e.get("data-i", -1)), e.text) for e in root.iter(SVG + "text")]
    assert found == [(label.node, label.text) for label in drawing.scene.labels]
    assert drawing._repr_svg_() == drawing.svg
    assert not re.search(r"(href|src|@import|url\()", drawing.svg)


def test_svg_is_readable_in_light_and_dark():
    from tinytensor.viz.draw import COLORS

    def luminance(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(
            w * (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4)
            for w, p in zip((0.2126, 0.7152, 0.0722), parts)
        )

    def contrast(a, b):
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    svg = draw(graphs.formula()).svg
    assert svg.index("prefers-color-scheme:dark") < svg.index(COLORS["ink"][1])
    for scheme in (0, 1):
        for ink in ("ink", "faint"):
            for paper in ("paper", "leaf", "parameter", "constant", "op", "fused", "frame"):
                assert contrast(COLORS[ink][scheme], COLORS[paper][scheme]) >= 4.5, (ink, paper, scheme)
        for ink in ("value", "grad"):
            for paper in ("paper", "frame"):
                assert contrast(COLORS[ink][scheme], COLORS[paper][scheme]) >= 4.5, (ink, paper, scheme)


def test_saves_svg_and_dot(tmp_path):
    drawing = draw(graphs.copied())
    drawing.save(tmp_path / "a.SVG")
    assert ET.parse(tmp_path / "a.SVG").getroot().tag == SVG + "svg"
    drawing.save(str(tmp_path / "a.dot"))
    text = (tmp_path / "a.dot").read_text()
    assert text.startswith("digraph") and text.count("->") == 4
    assert 'n0 -> n1 [label="3\\nd 3"]' in text and 'n0 [label="<x>&"]' in text
    assert 'subgraph cluster_0 { label="0.linear"; n3 }' in draw(graphs.network()).dot
    assert 'n4 [label="mul\\nf\\n-12\\nd 1"]' in draw(graphs.formula()).dot  # no edge leaves the root
    assert {path.name for path in tmp_path.iterdir()} == {"a.SVG", "a.dot"}


@pytest.mark.parametrize("name", ["formula", "network"])
def test_saves_png_of_the_same_size(tmp_path, name):
    pytest.importorskip("matplotlib")
    drawing = draw(ALL[name]())
    drawing.save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert abs(width - 2 * drawing.scene.width) <= 2 and abs(height - 2 * drawing.scene.height) <= 2


def test_png_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install 'tinytensor\[train\]'"):
        draw(graphs.formula()).save(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'.*a\.pdf' should end in \.svg, \.html, \.png or \.dot"):
        draw(graphs.formula()).save(tmp_path / "a.pdf")


def test_an_empty_trace_is_refused():
    with pytest.raises(ValueError, match="no node"):
        draw(Trace([], 0))
