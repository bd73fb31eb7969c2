"""Shifts and divisors of integers, which have no gradient; and, or, xor and not are in pointwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import Array, op
from ..tensor import Tensor
from .promotion import cast_to, result_type


def _whole(name: str, function: Any, text: str) -> Any:
    def forward(x: Array, y: Array) -> Any:
        dtype = result_type(x, y)
        if dtype.kind not in "iu":
            raise TypeError(f"{name}: expected int64 or uint8 tensors, got {dtype}; use .to(tt.int64)")
        return np.asarray(function(cast_to(x, dtype, name), cast_to(y, dtype, name)))

    forward.__name__ = name
    forward.__doc__ = f"{text} of int64 or uint8 tensors, broadcast. No gradient. TypeError for bools and floats."
    return op(forward)


bitwise_left_shift = _whole(
    "bitwise_left_shift", np.left_shift, "x 2^y without what leaves the dtype (y < 0 or too large: 0)"
)
bitwise_right_shift = _whole(
    "bitwise_right_shift", np.right_shift, "x / 2^y rounded down (y < 0 or too large: 0, or -1 for x < 0)"
)
gcd = _whole("gcd", np.gcd, "Greatest common divisor, not negative,")
lcm = _whole("lcm", np.lcm, "Least common multiple, not negative,")


def rlshift(x: Array, y: Array) -> Tensor:
    """y << x."""
    return bitwise_left_shift(y, x)  # type: ignore[no-any-return]


def rrshift(x: Array, y: Array) -> Tensor:
    """y >> x."""
    return bitwise_right_shift(y, x)  # type: ignore[no-any-return]
