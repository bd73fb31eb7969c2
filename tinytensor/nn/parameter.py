"""Parameter: a Tensor that a Module registers when it is assigned to an attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A leaf over the memory of `data` (Tensor or array), with gradient by default, that Modules register.

    Raises TypeError when a gradient is asked of data that is not floating point, as `requires_grad_` does.
    """

    __slots__ = ()

    def __init__(self, data: Tensor | npt.NDArray[np.generic], requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)
