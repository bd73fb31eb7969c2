"""csrc/vmath.h against libm, compiled for each instruction set of this machine: errors in ulp, special values, equal bits."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tinytensor import _kernels

ROOT = Path(__file__).parents[1]
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"]
ARCH = {"generic": "x86-64", "avx2": "x86-64-v3", "avx512": "x86-64-v4"}
CC = shutil.which(os.environ.get("CC", "cc"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """For each set the rows of the check: name, largest error, worst input ..., monotone, hash."""
    if CC is None:
        pytest.skip("there is no C compiler")
    out = {}
    for isa in _kernels.isas():
        binary = tmp_path_factory.mktemp(isa) / "check"
        arch = [f"-march={ARCH[isa]}"] if isa in ARCH and os.uname().machine == "x86_64" else []
        source = str(ROOT / "tests" / "c" / "vmath_check.c")
        subprocess.run([CC, *FLAGS, *arch, f"-I{ROOT / 'csrc'}", source, "-o", str(binary), "-lm"], check=True)
        done = subprocess.run([str(binary), "8191", "50000"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout  # the check's own bounds, 1 to 2.5 ulp
        out[isa] = [line.split() for line in done.stdout.splitlines()[1:]]
    return out


def test_errors_and_special_values(tables: dict[str, list[list[str]]]) -> None:
    for isa, rows in tables.items():
        assert len(rows) >= 44, isa
        assert max(float(row[1]) for row in rows if row[0].endswith("_f32")) <= 2, isa
        assert max(float(row[1]) for row in rows if row[0].endswith("_f64")) <= 4, isa


def test_sets_with_fused_multiply_add_give_equal_bits(tables: dict[str, list[list[str]]]) -> None:
    hashes = {isa: {row[0]: row[-1] for row in rows} for isa, rows in tables.items() if isa != "generic"}
    if len(hashes) < 2:
        pytest.skip("this machine runs fewer than two such sets")
    assert hashes["avx2"] == hashes["avx512"]
