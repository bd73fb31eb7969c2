"""repr: PyTorch's layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "data,text",
    [
        ([1.0, 2.0], "tensor([1., 2.])"),
        ([1.0, -2.5], "tensor([ 1.0000, -2.5000])"),
        ([0.1234567], "tensor([0.1235])"),
        ([1, -2], "tensor([ 1, -2])"),
        ([True, False], "tensor([ True, False])"),
        (3.0, "tensor(3.)"),
        (2.5, "tensor(2.5000)"),
        (7, "tensor(7)"),
        ([], "tensor([])"),
        ([[1, 2], [3, 4]], "tensor([[1, 2],\n        [3, 4]])"),
        ([[[1], [2]], [[3], [4]]], "tensor([[[1],\n         [2]],\n\n        [[3],\n         [4]]])"),
        ([1e-5, 1.0], "tensor([1.0000e-05, 1.0000e+00])"),
        ([1e9, 1.5], "tensor([1.0000e+09, 1.5000e+00])"),
        ([1e9, 1.0], "tensor([1.0000e+09, 1.0000e+00])"),
        ([NAN, 1.0], "tensor([nan, 1.])"),
        ([INF, -INF, 0.5], "tensor([   inf,   -inf, 0.5000])"),
        ([0.0, 0.0], "tensor([0., 0.])"),
        ([-0.0], "tensor([-0.])"),
    ],
    ids=str,
)
def test_layout(data: Any, text: str) -> None:
    assert repr(tt.tensor(data)) == text
    assert str(tt.tensor(data)) == text


def test_what_is_told_behind() -> None:
    assert repr(tt.ones(2, dtype=tt.float64)) == "tensor([1., 1.], dtype=tinytensor.float64)"
    assert repr(tt.ones(2, dtype=tt.uint8)) == "tensor([1, 1], dtype=tinytensor.uint8)"
    assert repr(tt.ones(2, requires_grad=True)) == "tensor([1., 1.], requires_grad=True)"
    assert repr(tt.ones(2, requires_grad=True) * 2) == "tensor([2., 2.], grad_fn=<MulBackward>)"
    assert repr(tt.ones(2, requires_grad=True).sum()) == "tensor(2., grad_fn=<SumBackward>)"
    assert repr(tt.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert repr(tt.zeros(0, dtype=tt.int64)) == "tensor([], dtype=tinytensor.int64)"


def test_long_ones_are_cut() -> None:
    assert repr(tt.arange(1001)) == "tensor([   0,    1,    2, ...,  998,  999, 1000])"
    text = repr(tt.arange(1000))
    assert "..." not in text
    assert max(len(line) for line in text.split("\n")) <= 82
    square = repr(tt.zeros(50, 50))
    assert square.split("\n")[0] == "tensor([[0., 0., 0., ..., 0., 0., 0.],"
    assert square.split("\n")[3] == "        ...,"
    assert len(square.split("\n")) == 7
    big = tt.zeros(2000)
    big[1000] = 123456.5  # out of sight: it does not decide how the others look
    assert repr(big) == "tensor([0., 0., 0., ..., 0., 0., 0.])"


def test_lines_are_wrapped_and_aligned() -> None:
    lines = repr(tt.arange(30)).split("\n")
    assert len(lines) > 1
    assert all(line.startswith("        ") for line in lines[1:])
    body = repr(tt.tensor(np.linspace(-1, 1, 40)))
    assert np.allclose(
        [float(v) for v in body[8 : body.index("]")].replace("\n", "").split(",")], np.linspace(-1, 1, 40), atol=6e-5
    )
