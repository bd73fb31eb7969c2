"""Whether targets have anything to do with inputs: two permutation tests that need no model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_SAMPLES", "PERMUTATIONS", "depends", "shared"]

PERMUTATIONS = 999
"""Random orders of the targets; p = 1/1000 is the least that they can show (Phipson and Smyth 2010)."""

LEAST_SAMPLES = 100
"""With fewer samples neither test can be trusted to see a dependence that is there."""

_MOST_SAMPLES = 512  # all pairs are compared
_AT_ONCE = 111  # orders in one product


def depends(inputs: NDArray[Any], targets: NDArray[Any]) -> bool | None:
    """Whether the targets of inputs (N, ...) are more alike for like inputs than in any of `PERMUTATIONS` random orders.

    targets: whole-number classes (N,) or numbers (N, ...). Two statistics are compared, of features with mean 0 and variance 1: how alike
    the targets of nearest neighbours are (Schilling 1986, Henze 1988) and the squared covariance of features and targets (HSIC with linear
    kernels, Gretton et al. 2005). Each is exact: of unrelated targets it says "related" once in 1000 times. None where it cannot be said:
    fewer than `LEAST_SAMPLES` samples, targets or inputs all alike, values that are not finite. The first 512 samples are looked at.
    """
    known = _neighbours(inputs, targets)
    if known is None:
        return None
    y, x, nearest = known
    count, wide = y.shape
    # |x^T y|^2, or where there are more features than samples, y^T (x x^T) y
    thin = x.shape[1] < count
    factor = (x.T if thin else x @ x.T).astype(np.float32)

    def statistics(orders: NDArray[Any]) -> NDArray[Any]:
        """Of targets in each of the orders (B, N): (2, B). All in one product, as thin ones are slow."""
        own = y.astype(np.float32)[orders.T].reshape(count, -1)
        product = factor @ own
        parts = np.stack([(own * own[nearest]).sum(0), (product * (product if thin else own)).sum(0)])
        sums: NDArray[Any] = parts.reshape(2, -1, wide).sum(2)
        return sums

    observed = statistics(np.arange(count)[None])
    generator = np.random.default_rng(0)  # its own: a diagnosis draws nothing from the program's
    beaten = np.zeros(2, bool)
    left = PERMUTATIONS
    while left and not beaten.all():
        orders = generator.permuted(np.tile(np.arange(count), (min(left, _AT_ONCE), 1)), axis=1)
        beaten |= (statistics(orders) >= observed).any(1)
        left -= len(orders)
    return not bool(beaten.all())


def shared(inputs: NDArray[Any], targets: NDArray[Any]) -> float | None:
    """The share of the targets' variance that nearest neighbours have in common: near 0 for noise, 1 where neighbours agree; None as for `depends`."""
    known = _neighbours(inputs, targets)
    if known is None:
        return None
    y, _, nearest = known
    return float((y * y[nearest]).sum() / np.square(y).sum())


def _neighbours(
    inputs: NDArray[Any], targets: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]] | None:
    """Targets with mean 0, (N, columns), features with mean 0 and variance 1, (N, features), and each one's nearest neighbour."""
    count = min(len(targets), _MOST_SAMPLES)
    x = np.asarray(inputs[:count], np.float64).reshape(count, -1)
    y = _columns(np.asarray(targets[:count]))
    if count < LEAST_SAMPLES or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    x, y = x - x.mean(0), y - y.mean(0)
    spread = x.std(0)
    x = x[:, spread > 0] / spread[spread > 0]
    if not x.size or not (y.std(0) > 0).any():
        return None
    kernel = x @ x.T
    squares = np.diagonal(kernel)
    distances = squares[:, None] + squares - 2 * kernel
    np.fill_diagonal(distances, np.inf)
    return y, x, distances.argmin(1)


def _columns(targets: NDArray[Any]) -> NDArray[Any]:
    """Classes as one-hot rows, numbers as they are."""
    if targets.ndim == 1 and targets.dtype.kind in "iub":
        known, place = np.unique(targets, return_inverse=True)
        return np.eye(len(known))[place]
    return targets.reshape(len(targets), -1).astype(np.float64)
