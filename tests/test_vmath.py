"""csrc/vmath.h against libm, compiled for each instruction set of this machine: errors in ulp, special values, equal bits. The
long form is tests/numerics.py."""

from __future__ import annotations

import subprocess

import numerics
import pytest

from tinytensor import _kernels


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The rows of the check: name, largest error, worst input, monotone, hash, set."""
    if numerics.CC is None:
        pytest.skip("there is no C compiler")
    binary = numerics.compiled(tmp_path_factory.mktemp("vmath"))
    done = subprocess.run([str(binary), "16381", "25000"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout  # the check's own bounds, mostly 1 to 2.5 ulp
    return numerics.rows_of(done.stdout)


def test_errors_and_special_values(table: list[list[str]]) -> None:
    for isa in _kernels.isas():
        rows = [row for row in table if row[5] == isa and not row[0].startswith("gelu_tanh")]
        assert len(rows) >= 52, isa
        assert max(float(row[1]) for row in rows if row[0].endswith("_f32")) <= 2, isa
        assert max(float(row[1]) for row in rows if row[0].endswith("_f64")) <= 4, isa


def test_what_rises_never_steps_back(table: list[list[str]]) -> None:
    rises = {row[0] for row in table if row[3] == "yes"}
    for name in ("exp", "log", "tanh", "sigmoid", "erf", "exp2", "log2", "log10", "sqrt"):
        assert f"{name}_f32" in rises


def test_sets_with_fused_multiply_add_give_equal_bits(table: list[list[str]]) -> None:
    hashes: dict[str, set[str]] = {}
    for row in table:
        if row[5] != "generic":
            hashes.setdefault(row[0], set()).add(row[4])
    if len(set(_kernels.isas()) - {"generic"}) < 2:
        pytest.skip("this machine runs fewer than two such sets")
    assert [name for name, each in hashes.items() if len(each) > 1] == []
