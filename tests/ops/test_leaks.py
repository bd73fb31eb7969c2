"""Ten thousand mixed ops, forward and backward, and what raises among them: no object and no byte is left behind."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from typing import Any

import pytest
from check import inputs_of, leaves
from table import ROWS

import tinytensor as tt
from tinytensor import _kernels


class Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def taken() -> tuple[int, int]:
    """Blocks of Python's allocator, and bytes of C's."""
    gc.collect()
    _kernels.pool_clear()
    blocks = sys.getallocatedblocks()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo
    info = mallinfo2()
    return blocks, info.uordblks + info.hblkhd


def back(results: Any) -> None:
    """Walk back from every result that has a gradient."""
    several = results if isinstance(results, (tuple, list)) else [results]
    for t in several:
        if isinstance(t, tt.Tensor) and t.requires_grad:
            t.sum().backward(retain_graph=True)


def everything() -> int:
    """Each row at each of its shapes once, twice with arguments that it refuses."""
    count = 0
    for row in ROWS:
        for shapes in row.shapes:
            count += 1
            given = leaves(row, inputs_of(row, shapes))
            back(row.call(*given, **row.kwargs))
            for wrong in (given[:-1], [*given[:-1], "no number"]):
                with suppress(Exception):
                    count += 1
                    back(row.call(*wrong, **row.kwargs))
    return count


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="this C library does not tell what it gave")
@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 makes a cache for a function at its 1024th call")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_ten_thousand_mixed_ops_leave_nothing_behind() -> None:
    """What is made once (caches, free lists) comes in the first rounds; a leak comes in every one: some round leaves nothing."""
    blocks, size = taken()
    grown = []
    while not grown or (grown[-1][0] > 64 or grown[-1][1] > 256):
        assert len(grown) < 15, f"more blocks of Python's and bytes of C's in each round: {grown}"
        assert everything() >= 10_000
        now = taken()
        grown.append((now[0] - blocks, now[1] - size))
        blocks, size = now
