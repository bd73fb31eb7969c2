"""Every op gives the same bits, value and gradients, on any number of threads and on every set with fused multiply-add. All
shapes, dtypes and numbers of threads: tests/model_bits.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import row_bits
from table import ROWS

import tinytensor as tt
from tinytensor import _kernels


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    return row_bits.hashes(1, False)


def test_on_three_threads(alone: dict[str, str]) -> None:
    assert len(alone) == len(ROWS) + len(row_bits.LARGE)
    assert row_bits.hashes(3, False) == alone


@pytest.mark.parametrize("isa", [i for i in _kernels.isas() if i not in (_kernels.isa(), "generic")])
def test_on_other_instruction_sets(alone: dict[str, str], isa: str) -> None:
    if not _kernels.fused():
        pytest.skip("the best set here has no fused multiply-add, and bits of its own")
    package = str(Path(tt.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, str(Path(row_bits.__file__)), "1"],
        env={**os.environ, "TINYTENSOR_ISA": isa, "PYTHONPATH": package},
        capture_output=True, text=True, check=True, cwd=package,
    )  # fmt: skip
    there = {name: digest for digest, name in (line.split(" ", 1) for line in done.stdout.splitlines())}
    assert {name: (alone[name], there.get(name)) for name in alone if there.get(name) != alone[name]} == {}
