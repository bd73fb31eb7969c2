"""Every optimizer gives the same bits on any number of threads and on every set with fused multiply-add."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from formulas import IDS

from tinytensor import _kernels


@functools.cache
def run(threads: int, isa: str) -> tuple[dict[str, str], set[int]]:
    """The hash of each run, and how many threads took part in those of the fused optimizers."""
    script = Path(__file__).with_name("bits.py")
    out = subprocess.run(
        [sys.executable, str(script), str(threads)],
        env={**os.environ, "TINYTENSOR_ISA": isa}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [line.split(" ", 2) for line in out.stdout.splitlines()]
    assert len(rows) == 2 * (len(IDS) + 3)
    return {name: digest for digest, _, name in rows}, {int(seen) for _, seen, _ in rows} - {0}


@pytest.mark.parametrize("threads", [3])
def test_on_any_number_of_threads(threads: int) -> None:
    hashes, seen = run(threads, _kernels.isa())
    alone, seen_alone = run(1, _kernels.isa())
    assert hashes == alone
    assert seen == {threads}
    assert seen_alone == {1}
    assert len(set(alone.values())) == len(alone)


@pytest.mark.parametrize("isa", [i for i in _kernels.isas() if i not in (_kernels.isa(), "generic")])
def test_on_other_instruction_sets(isa: str) -> None:
    if not _kernels.fused():
        pytest.skip("the best set here has no fused multiply-add, and bits of its own")
    assert run(1, isa) == run(1, _kernels.isa())
