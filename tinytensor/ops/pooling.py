"""Pooling over windows of the last one or two dimensions."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .convolution import ADD, Sizes, Windows, batched, numbers, overlap, padded
from .pointwise import div
from .shape import reshape

Bins = tuple[tuple[int, int], ...]


def _float(name: str, x: Any) -> Any:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: expected a float tensor, got {x.dtype}; use .to(tt.float32)")
    return x


def _windows(
    name: str, size: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Windows:
    d = len(size)
    kernel = numbers(name, "kernel_size", kernel_size, d, 1)
    steps = kernel if stride is None else numbers(name, "stride", stride, d, 1)
    before, spread = numbers(name, "padding", padding, d, 0), numbers(name, "dilation", dilation, d, 1)
    reach = tuple(e * (k - 1) + 1 for e, k in zip(spread, kernel))
    if any(b > r // 2 for b, r in zip(before, reach)):
        raise ValueError(f"{name}: padding {before} must be at most half of the kernel {kernel}, dilation {spread}")
    count = []
    for n, b, r, s in zip(size, before, reach, steps):
        free = n + 2 * b - r
        c = (-(-free // s) if ceil_mode else free // s) + 1
        count.append(c - 1 if ceil_mode and (c - 1) * s >= n + b else c)  # a window starts in the input or before it
    w = Windows(size, kernel, steps, before, spread, tuple(count))
    ends = zip(_starts(w), _skipped(w), spread, kernel, size)
    if min(count) < 1 or any(np.count_nonzero((skip >= k) | (start + skip * d >= n)) for start, skip, d, k, n in ends):
        raise ValueError(
            f"{name}: kernel {kernel}, stride {steps}, dilation {spread}, padding {before} leave a window without an element of the input {size}"
        )
    return w


def _starts(w: Windows) -> list[Any]:
    """Where each window starts, along each dimension: in front of the input below 0."""
    return [np.arange(c) * s - b for c, s, b in zip(w.out, w.stride, w.before)]


def _skipped(w: Windows) -> list[Any]:
    """How many of each window's elements lie in front of the input, along each dimension."""
    return [np.maximum(0, -(start // d)) for start, d in zip(_starts(w), w.dilation)]


def _along(places: Iterable[Any], size: Sequence[int]) -> Any:
    """Places along each dimension as those in the flattened size."""
    return functools.reduce(lambda flat, pair: flat * pair[1] + pair[0], zip(places, size), 0)


# ----------------------------------------------------------------------------------------------------------------- max
@op
def _max_indices(x: Array, windows: Any) -> Any:
    """Where in the flattened last dimensions each window's largest element is: the first of equals, the last NaN."""
    w = windows
    source = padded(_float("max_pool", x), w, -math.inf)
    best = np.full((*x.shape[:2], *w.out), -math.inf, x.dtype)
    which = np.empty(best.shape, np.int32)  # element of the kernel
    which[...] = _along(np.ix_(*_skipped(w)), w.kernel)
    steps = [math.prod(w.size[i + 1 :]) for i in range(len(w.size))]
    moves = []
    for i, (k, place) in enumerate(w.places()):
        part = np.ascontiguousarray(source[place])
        better = (part > best) | (part != part)  # what is outside is -inf, and never better
        np.maximum(best, part, out=best)
        np.maximum(which, better * np.int32(i), out=which)  # without a branch for each element
        moves.append(sum(a * d * s for a, d, s in zip(k, w.dilation, steps)))
    base = functools.reduce(np.add, np.ix_(*(start * s for start, s in zip(_starts(w), steps))))
    return base + np.array(moves).take(which)


def _flat(shape: tuple[int, ...], indices: Any) -> Any:
    """Indices into the flattened last dimensions of (N, C, *size), as indices into all of it."""
    rows = np.arange(shape[0] * shape[1]).reshape(*shape[:2], *(1,) * (indices.ndim - 2))
    return indices + rows * math.prod(shape[2:])


@op
def _pick(x: Array, indices: Any) -> Any:
    """x (N, C, *size) at indices (N, C, *out) into its flattened last dimensions."""
    return _kernels.owned(x.reshape(x.size).take(_flat(x.shape, indices)))


@_pick.rule
def _(g: Any, x_shape: Any, indices: Any) -> Any:
    return max_pool_grad(g, x_shape, indices)


@op
def max_pool_grad(g: Array, shape: Any, indices: Any) -> Any:
    """Zeros of `shape` with g added at indices, in the order of g."""
    out = _kernels.empty(shape, g.dtype)
    out.fill(0)
    if g.size:
        _kernels.scatter_add(out.reshape(-1), _flat(shape, indices).reshape(-1), np.ascontiguousarray(g).reshape(-1))
    return out


@max_pool_grad.rule
def _(u: Any, indices: Any) -> Any:
    return _pick(u, indices)


def _taken(x: Any, z: Any, indices: Any, d: int, return_indices: bool) -> Any:
    """z (x, or its batch of one) at indices, with them where they are wanted."""
    i = indices._data if isinstance(indices, Tensor) else indices
    values = _pick(z, i)
    if x.ndim != d + 2:
        values, indices = reshape(values, tuple(values.shape[1:])), reshape(indices, i.shape[1:])
    return (values, indices) if return_indices else values


def _max_pool(
    name: str,
    d: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    z = batched(name, x, d)
    w = _windows(name, tuple(z.shape[2:]), kernel_size, stride, padding, dilation, ceil_mode)
    return _taken(x, z, _max_indices(z, w), d, return_indices)


def max_pool1d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of x (N, C, L) or (C, L), padded with -inf; NaN wins. stride None: kernel_size.
    return_indices: a pair with the int64 places in L. ceil_mode: a last window may reach over the end. Gradient: to the
    returned place (the first of equals). ValueError where a window would be empty, TypeError for integers."""
    return _max_pool("max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of x (N, C, H, W) or (C, H, W), padded with -inf; NaN wins. stride None: kernel_size.
    return_indices: a pair with the int64 places in the flattened H W. ceil_mode: last windows may reach over the end.
    Gradient: to the returned place (the first of equals). ValueError where a window would be empty, TypeError for integers."""
    return _max_pool("max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


# ----------------------------------------------------------------------------------------------------------------- average
@op
def _window_sum(x: Array, windows: Any) -> Any:
    """The sum of each window, one kernel offset after the other."""
    source = padded(_float("avg_pool", x), windows)
    (_, first), *others = windows.places()
    out = _kernels.empty((*x.shape[:2], *windows.out), x.dtype)
    out[...] = source[first]
    for _, place in others:
        _kernels.map2(ADD, out, np.ascontiguousarray(source[place]), out)
    return out


@_window_sum.rule
def _(g: Any, windows: Any) -> Any:
    return avg_pool_grad(g, windows)


@op
def avg_pool_grad(g: Array, windows: Any) -> Any:
    """Each g added to all elements of its window."""
    d = len(windows.size)
    each = g.reshape(*g.shape[:2], *(1,) * d, *windows.out)
    return overlap(np.broadcast_to(each, (*g.shape[:2], *windows.kernel, *windows.out)), windows)


@avg_pool_grad.rule
def _(u: Any, windows: Any) -> Any:
    return _window_sum(u, windows)


def _shares(sizes: list[Any], x: Any) -> Any:
    """The number of elements of each window from its sizes: one number where all are equal."""
    counts = math.prod(np.ix_(*sizes), start=np.ones((), np.int64))
    return float(counts.flat[0]) if (counts == counts.flat[0]).all() else counts.astype(x.dtype)


def _avg_pool(
    name: str,
    d: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Any:
    z = batched(name, x, d)
    w = _windows(name, tuple(z.shape[2:]), kernel_size, stride, padding, 1, ceil_mode)
    if divisor is not None and divisor == 0:
        raise ValueError(f"{name}: divisor_override must not be 0")
    sizes = []
    for n, k, s, b, c in zip(w.size, w.kernel, w.stride, w.before, w.out):
        start = np.arange(c) * s - b
        end = np.minimum(start + k, n + b)  # what ceil_mode lets stand over the padding never counts
        sizes.append(end - start if count_include_pad else np.minimum(end, n) - np.maximum(start, 0))
    y = div(_window_sum(z, w), _shares(sizes, z) if divisor is None else float(divisor))
    return y if x.ndim == d + 2 else reshape(y, tuple(y.shape[1:]))


def avg_pool1d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of x (N, C, L) or (C, L), padded with 0 (which counts, or not). stride None: kernel_size. ceil_mode: a
    last window may reach over the end. Gradient: g / n to its elements. ValueError where a window would be empty."""
    return _avg_pool("avg_pool1d", 1, x, kernel_size, stride, padding, ceil_mode, count_include_pad, None)  # type: ignore[no-any-return]


def avg_pool2d(
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of x (N, C, H, W) or (C, H, W), padded with 0 (which counts, or not), or its sum over divisor_override.
    stride None: kernel_size. ceil_mode: last windows may reach over the end. Gradient: g / n to its elements. ValueError
    where a window would be empty."""
    return _avg_pool("avg_pool2d", 2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------------------------------------- adaptive
def _stretch(dim: int, start: int, end: int) -> tuple[slice, ...]:
    """The index of start to end along dim."""
    return (*(slice(None),) * dim, slice(start, end))


@op
def _bin_sum(x: Array, dim: int, bins: Any) -> Any:
    """Sums over stretches of dim."""
    parts = [x[_stretch(dim, *b)] for b in bins]
    return _kernels.owned(np.concatenate([_kernels.reduce(_kernels.SUM, p, (dim,), True) for p in parts], dim))


@_bin_sum.rule
def _(g: Any, x_shape: Any, dim: int, bins: Any) -> Any:
    return adaptive_avg_pool_grad(g, x_shape[dim], dim, bins)


@op
def adaptive_avg_pool_grad(g: Array, size: int, dim: int, bins: Any) -> Any:
    """Each g added to its stretch of dim, one stretch after the other."""
    out = _kernels.empty((*g.shape[:dim], size, *g.shape[dim + 1 :]), g.dtype)
    out.fill(0)
    done = 0
    for i, (start, end) in enumerate(bins if g.size else ()):
        part, up = out[_stretch(dim, start, end)], g[_stretch(dim, i, i + 1)]
        if start >= done:
            part[...] = up
        else:
            _kernels.map2(ADD, part, np.broadcast_to(up, part.shape), part)
        done = end
    return out


@adaptive_avg_pool_grad.rule
def _(u: Any, dim: int, bins: Any) -> Any:
    return _bin_sum(u, dim, bins)


MOST_WINDOWS = 1 << 26  # each is a pair of Python's numbers, of which many more would fill the machine


def _bins(name: str, x: Any, output_size: Any, d: int) -> list[Bins]:
    """PyTorch's stretches along each of the last d dimensions: from floor(i n / m) to ceil((i + 1) n / m)."""
    sizes = tuple(x.shape[2:])
    given = (output_size,) * d if isinstance(output_size, int) else tuple(output_size)
    wanted = [n if m is None else m for m, n in zip(given, sizes)] if len(given) == d else given
    counts = numbers(name, "output_size", wanted, d, 1)
    if math.prod(counts) > MOST_WINDOWS:
        raise MemoryError(f"{name}: output_size {tuple(counts)} is too large: at most {MOST_WINDOWS} windows")
    if min(sizes) < 1:
        raise ValueError(f"{name}: expected no empty dimension behind the channels, got shape {tuple(x.shape)}")
    if max(counts) > 1 << 20:
        _kernels.empty((*x.shape[:2], *counts), x.dtype)  # MemoryError before a list of all stretches is made
    return [tuple((i * n // m, -(-(i + 1) * n // m)) for i in range(m)) for m, n in zip(counts, sizes)]


def _adaptive_avg(name: str, d: int, x: Any, output_size: Any) -> Any:
    z = batched(name, x, d)
    bins = _bins(name, _float(name, z), output_size, d)
    y = z
    for dim in range(d + 1, 1, -1):
        if any(b - a != 1 for a, b in bins[dim - 2]):
            y = _bin_sum(y, dim, bins[dim - 2])
    y = div(y, _shares([np.array([b - a for a, b in each]) for each in bins], z))
    return y if x.ndim == d + 2 else reshape(y, tuple(y.shape[1:]))


def adaptive_avg_pool1d(x: Array, output_size: Sizes) -> Tensor:
    """x (N, C, L) or (C, L) as output_size means of stretches of L, which overlap where it does not divide L. Gradient: g / n to
    the elements of each. ValueError for empty dimensions."""
    return _adaptive_avg("adaptive_avg_pool1d", 1, x, output_size)  # type: ignore[no-any-return]


def adaptive_avg_pool2d(x: Array, output_size: Any) -> Tensor:
    """x (N, C, H, W) or (C, H, W) as output_size (an int or two; None: as it is) means of rectangles, which overlap where it does not
    divide. Gradient: g / n to the elements of each. ValueError for empty dimensions."""
    return _adaptive_avg("adaptive_avg_pool2d", 2, x, output_size)  # type: ignore[no-any-return]


@op
def _bin_max_indices(x: Array, bins: Any) -> Any:
    """Where in the flattened last dimensions the largest element of each rectangle is: the first of equals, the last NaN."""
    size = x.shape[2:]
    found = np.empty((*x.shape[:2], *(len(b) for b in bins)), np.int64)
    for at in itertools.product(*(range(len(b)) for b in bins)):
        stretches = [slice(*b[i]) for i, b in zip(at, bins)]
        here: Any = (..., *stretches)
        there: Any = (..., *at)
        part = x[here]
        rows = part.reshape(*x.shape[:2], math.prod(part.shape[2:]))
        nan = np.isnan(rows)
        last = rows.shape[-1] - 1 - np.argmax(nan[..., ::-1], -1)
        best = np.where(nan.any(-1), last, np.argmax(rows, -1))
        places = np.unravel_index(best, part.shape[2:])
        found[there] = _along([p + s.start for p, s in zip(places, stretches)], size)
    return found


def _adaptive_max(name: str, d: int, x: Any, output_size: Any, return_indices: bool) -> Any:
    z = batched(name, x, d)
    bins = tuple(_bins(name, _float(name, z), output_size, d))
    return _taken(x, z, _bin_max_indices(z, bins), d, return_indices)


def adaptive_max_pool1d(x: Array, output_size: Sizes, return_indices: bool = False) -> Any:
    """x (N, C, L) or (C, L) as output_size largest elements of the stretches of adaptive_avg_pool1d; NaN wins. Gradient: to the
    returned place (the first of equals). ValueError for empty dimensions."""
    return _adaptive_max("adaptive_max_pool1d", 1, x, output_size, return_indices)


def adaptive_max_pool2d(x: Array, output_size: Any, return_indices: bool = False) -> Any:
    """x (N, C, H, W) or (C, H, W) as output_size largest elements of the rectangles of adaptive_avg_pool2d; NaN wins. Gradient: to
    the returned place (the first of equals). ValueError for empty dimensions."""
    return _adaptive_max("adaptive_max_pool2d", 2, x, output_size, return_indices)
