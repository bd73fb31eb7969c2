"""Five thousand calls with drawn arguments against NumPy; and that the judge of them sees what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fuzz_values
import numpy as np
import pytest
from fuzz_draw import CASES, Call, Draw

import tinytensor as tt


def test_five_thousand_calls() -> None:
    counts, wrong = fuzz_values.run(7, 0, 5000)
    assert not wrong, "\n".join(wrong)
    assert sum(counts.values()) == 5000
    assert min(counts[kind] for kind in ("returned", "raised", "gradient", "dtypes")) > 10


def test_every_case_can_be_drawn_and_every_call_is_repeatable() -> None:
    for name in CASES:
        first, again = (CASES[name](Draw("3")) for _ in range(2))
        assert first.text == again.text
        for a, b in zip(first.arrays, again.arrays):
            assert a.tobytes() == b.tobytes()


WRONG: dict[str, tuple[Any, Any, str]] = {
    "a value": (lambda x: x.exp() * (1 + 1e-14), np.exp, "off by"),
    "a NaN": (lambda x: tt.where(x > 0, float("nan"), x), lambda x: x, "gave"),
    "a dtype": (lambda x: x.to(tt.float32), lambda x: x, "float32, not float64"),
    "a shape": (lambda x: x.reshape(1, 3), lambda x: x, r"shape \(1, 3\), not \(3,\)"),
    "an error": (lambda x: x.sum(1), np.sum, "raised IndexError"),
    "no error": (lambda x: x, lambda x: x[5], "raised nothing; the reference IndexError"),
    "another kind of error": (lambda x: x + None, lambda x: x.reshape(2), "expected ValueError"),
    "an undocumented error": (lambda x: x.nothing, lambda x: x, "raised AttributeError"),
    "a number too few": (lambda x: (x, x), lambda x: (x,), "gave 2 results, not 1"),
    "an argument changed": (lambda x: x.clone() + 0 * x.mul_(2.0) - x / 2, lambda x: 0 * x, "changed an argument"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_seen(name: str) -> None:
    ours, theirs, says = WRONG[name]
    call = Call(name, [np.array([0.5, 1.5, -2.5])], ours, theirs, 1.0)
    d = Draw("0 1")
    with pytest.raises(fuzz_values.Wrong, match=says), np.errstate(all="ignore"):
        fuzz_values.once(d, call)


class Half(tt.autograd.Function):
    """A square with half its gradient."""

    @staticmethod
    def forward(ctx: Any, x: tt.Tensor) -> tt.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: tt.Tensor) -> tt.Tensor:
        (x,) = ctx.saved_tensors
        return g * x


def test_a_wrong_gradient_is_seen() -> None:
    x = np.array([0.5, 1.5, -2.5])
    assert fuzz_values.differentiate(Draw("0"), Call("square", [x], tt.square, np.square), []) == "gradient"
    assert (
        fuzz_values.differentiate(Draw("0"), Call("sign", [x * 0 + 1.5e-4], lambda x: x.abs() * 3, np.abs), [])
        == "kink"
    )
    with pytest.raises(fuzz_values.Wrong, match="along a direction"):
        fuzz_values.differentiate(Draw("0"), Call("square", [x], Half.apply, np.square), [])


def test_the_program_exits_with_what_it_found() -> None:
    """A run of a few calls from a later index, as a failure's line says to repeat it."""
    root = Path(__file__).parent
    command = [sys.executable, str(root / "fuzz_values.py"), "7", "20", "--from", "500"]
    place = Path(tt.__file__).parent.parent
    done = subprocess.run(
        command, cwd=place, env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 calls of" in done.stdout
    assert ": 0 wrong;" in done.stdout
