"""Local gradients in words, read as NumPy: they give the numbers that backward gives."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F

NAMES = {
    "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh, "sign": np.sign,
    "sqrt": np.sqrt, "pi": np.pi, "sum": np.sum,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "onehot": lambda t: np.eye(3)[t],
    "mean": lambda x: x.mean(-1, keepdims=True),
    "Phi": np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2),
    "phi": lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
}  # fmt: skip

POINTWISE: dict[str, Any] = {
    **{name: getattr(tt, name) for name in ("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "square", "reciprocal",
       "sin", "cos", "tan", "tanh", "sinh", "cosh", "sigmoid", "erf", "abs", "neg")},
    **{name: getattr(F, name) for name in ("softplus", "logsigmoid", "softsign", "tanhshrink", "silu", "gelu", "mish")},
    "cube": lambda x: x**3,
    "power": lambda x: 2**x,
    "over": lambda x: 3 / x,
    "var": lambda x: x.var(1, keepdim=True),
    "biased var": lambda x: x.var(1, keepdim=True, correction=0),
    "std": lambda x: x.std(1, keepdim=True),
    "rms": lambda x: F.rms_norm(x, (5,), eps=0.0),
    "layer": lambda x: F.layer_norm(x, (5,), eps=0.0),
    "softmax": lambda x: F.softmax(x[0], 0),
    "logsumexp": lambda x: tt.logsumexp(x[0], 0),
}  # fmt: skip


def value(words: str, **known: Any) -> Any:
    """What a formula comes to; `known` are the arrays that it names. Parts behind commas define letters, or are remarks."""
    text = (
        words.split(" = ", 1)[1].replace("^T", ".T").replace("^", "**").replace("weight[t]", "weight[t].reshape(-1,1)")
    )
    text = re.sub(r"\|(\w+)\|", r"abs(\1)", text)
    text = re.sub(r"(?<=[\w)]) (?=\w+\.T)", "*", re.sub(r"\b2 (?=[\w(])", "2 * ", text))
    first, *rest = text.split(", ")
    scope = {**NAMES, **known}
    for part in reversed(rest):
        if " = " in part:
            letter, _, meaning = part.partition(" = ")
            scope[letter] = known["unit"] if meaning.endswith(" normalized") else eval(meaning, scope)
    return eval(first.split(": (")[0], scope)


@pytest.mark.parametrize("name", POINTWISE)
def test_words_give_the_numbers(name: str) -> None:
    x = tt.rand(4, 5, dtype=tt.float64, requires_grad=True)
    y = POINTWISE[name](x)
    up = np.random.default_rng(1).normal(size=y.shape)
    t = y.explain(up).trace
    n = t.nodes[t.root]
    e = next(e for e in n.inputs if t.nodes[e.source].kind != "constant")
    assert e.words is not None
    v = t.nodes[e.source].value
    v = x._data if v is None else v
    centered = v - v.mean(-1, keepdims=True) if name == "layer" else v
    scale = 1 / np.sqrt((centered**2).mean(-1, keepdims=True))
    names = {t.nodes[e.source].name or f"{t.nodes[e.source].op}{e.source}": v, "y": y._data, "dy": up}
    np.testing.assert_allclose(
        value(e.words, **names, unit=centered * scale, scale=scale), e.downstream, rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropys_words(smoothing: float, weighted: bool, reduction: str) -> None:
    x, t = tt.randn(4, 3, dtype=tt.float64, requires_grad=True), tt.tensor([0, 2, 1, 2])
    weight = tt.tensor([1.0, 2.0, 5.0], dtype=tt.float64) if weighted else None
    y = F.cross_entropy(x, t, weight, reduction=reduction, label_smoothing=smoothing)
    (e,) = [e for e in y.explain().trace.nodes[-1].inputs if e.words]
    rows = None if weight is None else weight._data
    found = value(e.words, x=x._data, t=t._data, weight=rows, dy=1.0)
    np.testing.assert_allclose(found, e.downstream, rtol=1e-10)
    ignoring = F.cross_entropy(x, t, ignore_index=2)
    assert ignoring.explain().trace.nodes[-1].inputs[0].words.endswith(" / 2, 0 where t is 2")


def shapes(words: str) -> Any:
    """The shapes of a product in words, and what is said of the result."""
    left, right, said = re.fullmatch(r".*: \(([\d,]+)\)@\(([\d,]+)\)(.*)", words).groups()
    a, b = (tuple(map(int, s.split(","))) for s in (left, right))
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1]) if a[-1] == b[-2] else None, said


@pytest.mark.parametrize("a, b", [((2, 5, 6), (6, 4)), ((5, 6), (2, 6, 4)), ((1, 5, 6), (3, 6, 4)), ((5, 6), (6, 4))])
def test_products_of_broadcast_matrices(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = tt.randn(a, requires_grad=True), tt.randn(b, requires_grad=True)
    p = x @ y
    for e, shape in zip(p.explain().trace.nodes[-1].inputs, (a, b), strict=True):
        product, said = shapes(e.words or "")
        assert product is not None
        assert said == ("" if product == shape else f", summed to ({','.join(map(str, shape))})")


def test_a_layers_weight_gathers_all_rows() -> None:
    x, w = tt.randn(2, 5, 6), tt.randn(4, 6, requires_grad=True)
    (e,) = [e for e in F.linear(x, w).explain().trace.nodes[-1].inputs if e.words]
    assert shapes(e.words or "") == ((4, 6), ", all rows")


def test_what_ops_are_called() -> None:
    x = tt.randn(4, 5, requires_grad=True)
    called = [
        t.nodes[-1].op for t in (x.std().explain().trace, x.var().explain().trace, F.rms_norm(x, (5,)).explain().trace)
    ]
    assert called == ["std", "var", "rms_normalized"]
    assert " scale, weight " in str(F.rms_norm(x, (5,)).explain())
