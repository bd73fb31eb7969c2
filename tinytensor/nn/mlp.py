"""MLP: Linear layers with what stands between them, as one Sequential."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from tinytensor.nn.activation import ReLU
from tinytensor.nn.containers import Sequential
from tinytensor.nn.dropout import Dropout
from tinytensor.nn.linear import Linear
from tinytensor.nn.module import Module
from tinytensor.random import Generator

__all__ = ["MLP"]


class MLP(Sequential):
    """Linear layers from sizes[0] to sizes[-1], and behind each but the last: norm(size), activation(), Dropout(dropout).

    MLP([784, 128, 10]) is Sequential(Linear(784, 128), ReLU(), Linear(128, 10)). activation and norm are modules' classes, or
    functions that make a module, of nothing and of a layer's size; norm may be None. ValueError for fewer than two sizes.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[], Module] = ReLU,
        norm: Callable[[int], Module] | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        dtype: Any = None,
        *,
        generator: Generator | None = None,
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"MLP: expected at least two sizes, of input and output, got {list(sizes)}")
        for name, made in (("activation", activation), ("norm", norm)):
            if made is not None and (not callable(made) or isinstance(made, Module)):
                raise TypeError(f"MLP: expected {name} as what makes a module, such as a module's class, got {made!r}")
        layers: list[Module] = []
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            layers.append(Linear(fan_in, fan_out, bias, dtype, generator=generator))
            if i == len(sizes) - 2:
                break
            if norm is not None:
                layers.append(norm(fan_out))
            layers.append(activation())
            if dropout:
                layers.append(Dropout(dropout))
        super().__init__(*layers)

    def __getitem__(self, index: Any) -> Any:
        """The layer at a place; a slice is a plain Sequential of these layers."""
        return Sequential(*list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)
