"""Part of the table of ops: what changes in place are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from table import row

from tinytensor.ops.inplace import overlay

AT, OF = np.array([1, 2, 7]), np.array([0, 5, 3])


def overlaid(x: Any, value: Any) -> Any:
    """Elements 1, 2 and 7 of x are elements 0, 5 and 3 of value."""
    out = x.copy()
    out.reshape(-1)[AT] = value.reshape(-1)[OF]
    return out


row(
    "overlay",
    overlaid,
    "any any",
    (((3, 4), (2, 3)), ((8,), (6,))),
    lambda x, value: overlay(x, value, AT, OF),
    ulps=0,
    nan=(0, 1),
)
row("overlay", lambda x, value: x + 0 * value.sum(), "any any", (((3, 4), (2, 3)), ((), (0,))), lambda x, value: overlay(x, value, AT[:0], OF[:0]), ulps=0, label="nothing", nan=(0,))  # fmt: skip
