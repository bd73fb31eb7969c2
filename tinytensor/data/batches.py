"""Batches of images and labels: shuffled, gathered and scaled from bytes to floats in one C pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import _kernels
from tinytensor.creation import from_numpy
from tinytensor.data.dataset import check_transform, generator_of, pass_key, scale_of
from tinytensor.random import Generator, randperm
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["batches"]


def batches(
    images: NDArray[Any] | Tensor,
    labels: NDArray[Any] | Tensor,
    batch_size: int,
    generator: Generator | None = None,
    *,
    shuffle: bool = True,
    dtype: DTypeLike = np.float32,
    scale: float | None = None,
    shift: float = 0.0,
    transform: Callable[..., Any] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go once through the data: yields `(x, y)` with x = images * scale + shift, `dtype` (B, ...), and y
    int64 (B,). `scale` is 1 / 255 for bytes and 1 for floats where none is given.

    `images` (N, ...) is uint8, float32 or float64, `labels` (N,) whole numbers. The order is drawn from
    `generator` (default: the one that `manual_seed` sets), or is the given one with `shuffle=False`. B is
    `batch_size`, less in the last batch if N is no multiple of it. `transform`, one of tinytensor.data.transforms or
    any callable on a Tensor, makes x; what it draws is fixed by `generator` and the batch's number. Raises ValueError
    for sizes that do not fit, TypeError for other dtypes.
    """
    x_source = np.ascontiguousarray(images.detach().numpy() if isinstance(images, Tensor) else images)
    y_source = np.asarray(labels.detach().numpy() if isinstance(labels, Tensor) else labels)
    if x_source.dtype.name not in ("uint8", "float32", "float64") or y_source.dtype.kind not in "ui":
        raise TypeError(
            "batches: expected uint8, float32 or float64 images and integer labels, "
            f"got {x_source.dtype} and {y_source.dtype}"
        )
    if y_source.ndim != 1 or x_source.ndim < 1 or len(x_source) != len(y_source):
        raise ValueError(
            f"batches: expected images (N, ...) and labels (N,), got {x_source.shape} and {y_source.shape}"
        )
    if batch_size < 1:
        raise ValueError(f"batches: batch_size must be at least 1, got {batch_size}")
    check_transform(transform, x_source.shape, "batches")
    count, key = len(x_source), 0 if transform is None else pass_key(generator)
    order = randperm(count, generator=generator).numpy() if shuffle else np.arange(count)
    y_source = y_source.astype(np.int64, copy=False)
    plain = _gather(x_source, y_source, order, batch_size, np.dtype(dtype), scale_of(scale, x_source), shift)
    if transform is None:
        return plain
    from tinytensor.data.transforms import transformed  # loaded by programs that have one

    return ((transformed(transform, x, generator_of(key, i)), y) for i, (x, y) in enumerate(plain))


def _gather(
    images: NDArray[Any],
    labels: NDArray[np.int64],
    order: NDArray[np.int64],
    batch_size: int,
    dtype: np.dtype[Any],
    scale: float,
    shift: float,
) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(order), batch_size):
        index = order[start : start + batch_size]
        x = _kernels.gather_rows(images, index, dtype, scale, shift)
        yield from_numpy(x), from_numpy(labels[index])
