"""Draws from distributions that Tensors tell: normal, Bernoulli, multinomial. Their bits depend on the generator alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _kernels
from .random import Generator, rand, randn
from .tensor import Tensor

__all__ = ["bernoulli", "multinomial", "normal"]


def normal(mean: Any, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None) -> Tensor:
    """Normal numbers: of one mean and deviation in the shape `size`, or of Tensors of them, broadcast. ValueError for a negative
    deviation, or for two numbers without a size. No gradient."""
    shapes = [tuple(t.shape) for t in (mean, std) if isinstance(t, Tensor)]
    if not shapes and size is None:
        raise ValueError("normal: expected size with a mean and a deviation that are numbers")
    least = std._data.min() if isinstance(std, Tensor) and std.numel() else 0 if isinstance(std, Tensor) else std
    if not least >= 0:
        raise ValueError(f"normal: expected deviations >= 0, got {least}")
    shape = tuple(size) if size is not None else np.broadcast_shapes(*shapes)
    plain = [t.detach() if isinstance(t, Tensor) else t for t in (mean, std)]
    wide = any(isinstance(t, Tensor) and t.dtype == np.float64 for t in plain)
    return randn(shape, generator=generator, dtype=np.float64 if wide else None) * plain[1] + plain[0]


def _probabilities(name: str, input: Any) -> Any:
    if not isinstance(input, Tensor) or not input.is_floating_point():
        raise TypeError(
            f"{name}: expected a floating-point Tensor, got {getattr(input, 'dtype', type(input).__name__)}"
        )
    return input._data.astype(np.float64)


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that input tells, else 0, in its shape and dtype. ValueError outside [0, 1]. No gradient."""
    p = _probabilities("bernoulli", input)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("bernoulli: expected probabilities between 0 and 1")
    u = rand(input.shape, generator=generator, dtype=np.float64).numpy()
    return Tensor._new(_kernels.owned((u < p).astype(input.dtype)))


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """`num_samples` indices, each drawn with a probability in proportion to input: weights (N) or rows of them (M, N) -> int64
    (num_samples) or (M, num_samples). Without replacement an index comes at most once (Efraimidis and Spirakis 2006).

    TypeError for weights that are no floats, ValueError for negative, infinite or all-zero ones, and for more samples than
    there are positive ones without replacement. No gradient."""
    weights = _probabilities("multinomial", input)
    if weights.ndim not in (1, 2) or num_samples < 1:
        raise ValueError(
            f"multinomial: expected weights (N) or (M, N) and samples >= 1, got {weights.shape} and {num_samples}"
        )
    rows = weights.reshape(-1, weights.shape[-1])
    positive = rows > 0
    if not (np.isfinite(rows) & (rows >= 0)).all() or not positive.any(1).all():
        raise ValueError("multinomial: expected finite weights >= 0, and one above 0 in each row")
    rows = rows / rows.max(1, keepdims=True)  # their sum is finite then
    if replacement:
        sums = np.add.accumulate(rows, 1)  # one after the other: the same bits everywhere
        u = rand(len(rows), num_samples, generator=generator, dtype=np.float64).numpy()
        last = rows.shape[1] - 1 - np.argmax(positive[:, ::-1], 1)
        found = [
            np.minimum(np.searchsorted(s, at * s[-1], side="right"), end)
            for s, at, end in zip(sums, u, last, strict=True)
        ]
        index = np.array(found, np.int64).reshape(len(rows), num_samples)
    else:
        fewest = positive.sum(1).min(initial=num_samples)
        if fewest < num_samples:
            raise ValueError(f"multinomial: {num_samples} samples without replacement of {fewest} positive weights")
        even = rand(*rows.shape, generator=generator, dtype=np.float64)
        with np.errstate(over="ignore"):
            late = (-(1 - even).log()).numpy() / np.where(positive, rows, 1.0)  # when each one's bell rings first
        late = np.minimum(late, np.finfo(np.float64).max)  # before those that never do
        index = np.argsort(np.where(positive, late, np.inf), 1, kind="stable")[:, :num_samples].astype(np.int64)
    return Tensor._new(_kernels.owned(index.reshape(*weights.shape[:-1], num_samples)))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1, each with probability p, and 0. Gradient: 0."""
    given = p if isinstance(p, Tensor) else Tensor(np.array(float(p)))
    u = Tensor(np.broadcast_to(given._data.astype(np.float64), self.shape).copy())
    filled: Tensor = self.copy_(bernoulli(u, generator=generator))
    return filled


for _name, _method in (("bernoulli", bernoulli), ("bernoulli_", bernoulli_), ("multinomial", multinomial)):
    setattr(Tensor, _name, _method)
