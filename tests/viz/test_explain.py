"""The table that explain() gives, as text and as HTML."""

from __future__ import annotations

import re
from typing import Any

import pytest

import tinytensor as tt
import tinytensor.nn.functional as F


def leaf(value: float) -> tt.Tensor:
    return tt.tensor(value, dtype=tt.float64, requires_grad=True)


def without_lines(text: str) -> list[str]:
    """The table's lines without the source lines at their ends."""
    return [re.sub(r"\s*(line|-+|test_explain\.py:.*)$", "", line).rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("after", [False, True])
def test_the_lectures_table(after: bool) -> None:
    x, y, z = leaf(-2.0), leaf(5.0), leaf(-4.0)
    q = x + y
    f = q * z
    if after:
        f.backward()
    assert without_lines(str(f.explain()))[2:] == [
        "f = mul  mul: swaps        -12    1         q      -4     -4          q, z",
        "                                            z      3      3",
        "q = add  add: distributes  3      -4        x      1      -4",
        "                                            y      1      -4",
        "",
        "dx = -4   (leaf; x = -2)",
        "dy = -4   (leaf; y = 5)",
        "dz = 3   (leaf; z = -4)",
    ]
    head = str(f.explain()).splitlines()[0].split("  ")
    assert [h.strip() for h in head if h.strip()] == [
        "node", "gate", "value", "upstream", "input", "local", "downstream", "stored by forward", "line",
    ]  # fmt: skip
    assert "test_explain.py:" in str(f.explain())
    assert "f = q * z" in str(f.explain())


def test_columns_are_aligned() -> None:
    a, b = leaf(1.5), leaf(-2.25)
    lines = str(tt.exp(a * b).explain()).splitlines()
    starts = [m.start() for m in re.finditer(r"-+", lines[1])]
    for line in lines[2:5]:
        for start in starts[1:]:
            assert line[start - 2 : start].strip() == ""


def test_a_value_used_twice_says_how_its_gradient_adds() -> None:
    x = leaf(3.0)
    assert "dx = 3 + 4 = 7   (copy: adds; x = 3)" in str((x * 4 + x * 3).explain())
    assert "dx = (-1) + 2 = 1 " in str((x * 2 - x).explain())
    h = x * 2
    assert "dh = 5 + 1 = 6   (copy: adds; h = 6)" in str((h + h * 5).explain())


def test_the_whole_sigmoid_is_one_gate() -> None:
    s = leaf(1.0)
    f = tt.sigmoid(s)
    (row,) = f.explain().rows()
    assert row[:8] == ("f = sigmoid", "", "0.7311", "1", "s", "0.1966", "0.1966", "its value")


def test_formulas_with_shapes() -> None:
    x = tt.randn(64, 784)
    model = tt.nn.Sequential(tt.nn.Linear(784, 128), tt.nn.ReLU(), tt.nn.Linear(128, 10))
    out, y = model(x), tt.zeros(64, dtype=tt.int64)
    loss = F.cross_entropy(out, y)
    text = str(loss.explain())
    assert "@ 2.weight: (64,10)@(10,128)" in text
    assert "d0.weight = dz^T @ x: (128,64)@(64,784), dz = dlinear_relu" in text
    assert "summed over rows: (64,10) -> (10,)" in text
    assert "[2]" in text
    assert "dout = (softmax(out) - onehot(y)) * dloss / 64" in text
    assert "linear + relu" in text
    assert re.search(r"y +constant \(64,\) int64", text)
    loss.backward()
    assert ": (128,64)@(64,784)" in str(loss.explain())
    assert f"d2.bias = (10,) norm {float(tt.norm(model[2].bias.grad)):.4g}" in str(loss.explain())
    w, b = tt.randn(784, 64, requires_grad=True), tt.randn(64, requires_grad=True)
    z = x @ w + b
    text = str((z * z).sum().explain())
    assert "@ d" in text
    assert "(784,64)@(64,64)" in text
    assert "db = dz, summed to (64,)" in text


def test_a_hint_stands_where_something_was_not_kept() -> None:
    w = tt.randn(20, 20, requires_grad=True)
    loss = (tt.tanh(w) * 2).sum()
    loss.backward()
    hint = "?: not kept; run forward and backward within `with tt.inspect():`"
    assert str(loss.explain()).splitlines()[-1] == hint
    assert f"<p>{hint}</p>" in loss.explain()._repr_html_()
    with tt.inspect():
        loss = (tt.tanh(w) * 2).sum()
        loss.backward()
    assert "?" not in str(loss.explain())


def test_one_source_line_is_written_out_once() -> None:
    x = leaf(2.0)
    y = x * x + x
    text = str(y.explain())
    assert text.count("y = x * x + x") == 1
    assert len(re.findall(r"test_explain\.py:\d+", text)) == 2


def test_three_hundred_nodes() -> None:
    x = y = leaf(0.5)
    for _ in range(150):
        y = tt.sin(y * x)
    text = str(y.explain())
    assert len(text.splitlines()) == 2 + 450 + 2 + 0
    assert max(map(len, text.splitlines()[:-1])) < 160


def test_a_matrix_is_written_in_one_line() -> None:
    m = tt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert "dm = [[2, 2], [2, 2]]   (leaf; m = [[1, 2], [3, 4]])" in str((m * 2).sum().explain())


def test_a_leaf_alone_and_a_gradient() -> None:
    x = leaf(3.0)
    assert str(x.explain()) == "dx = 1   (leaf; x = 3)"
    v = tt.tensor([1.0, 2.0], requires_grad=True)
    y = v * 2
    assert "dv = ? (2,)" in str(y.explain())
    assert "dv = [2, 8]" in str(y.explain([1.0, 4.0]))


def test_html() -> None:
    x = leaf(2.0)
    y = tt.name(x * x, "<b>&")
    page = y.explain()._repr_html_()
    assert "&lt;b&gt;&amp; = mul" in page
    assert "<b>" not in page
    assert page.count("<tr") == 3  # the head and two inputs
    assert "dx = 2 + 2 = 4" in page


def test_needs_a_history() -> None:
    x: Any = tt.tensor(1.0)
    with pytest.raises(RuntimeError, match="does not require grad"):
        x.explain()


def test_a_hook_is_said_where_it_changed_a_gradient() -> None:
    x = leaf(3.0)
    x.register_hook(lambda g: g * 10)
    h = x * 2
    h.register_hook(lambda g: -g)
    f = h * 5
    f.backward()
    lines = str(f.explain()).splitlines()
    assert "dx = -10, by a hook -100   (leaf; x = 3)" in lines
    assert "dh = 5, by a hook -5   (op; h = 6)" in lines
