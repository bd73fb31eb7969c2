"""Convolution as matrix products: the windows of the input become columns, a bounded part of the batch at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .pointwise import add
from .promotion import array_of, cast_to, result_type
from .reduction import sum
from .shape import reshape

ADD = _kernels.OPS["add"]
SCRATCH = 1 << 22  # what is still near when the product reads it
"""Bytes that the columns of one part of the batch may take (one sample's at least)."""
Sizes = int | Sequence[int]


class Windows(NamedTuple):
    """Where a kernel lies over the last dimensions of an input, one number for each of them."""

    size: tuple[int, ...]
    """of the input"""
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    """how much is padded in front; behind, it is as much as the last window needs"""
    dilation: tuple[int, ...]
    out: tuple[int, ...]
    """how many windows there are"""

    @property
    def room(self) -> tuple[int, ...]:
        """Sizes of the padded input."""
        reach = [(c - 1) * s + d * (k - 1) + 1 for c, s, d, k in zip(self.out, self.stride, self.dilation, self.kernel)]
        return tuple(max(b + n, r) for b, n, r in zip(self.before, self.size, reach))

    @property
    def inside(self) -> tuple[Any, ...]:
        """The index of the input within its padded self."""
        return (..., *(slice(b, b + n) for b, n in zip(self.before, self.size)))

    def places(self) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
        """Each offset in the kernel, the last dimension quickest, with the index of what lies under it in every window."""
        for k in itertools.product(*map(range, self.kernel)):
            starts = [i * d for i, d in zip(k, self.dilation)]
            yield k, (..., *(slice(a, a + (c - 1) * s + 1, s) for a, c, s in zip(starts, self.out, self.stride)))


def numbers(name: str, what: str, value: Any, d: int, least: int) -> tuple[int, ...]:
    """An int or a sequence of `d` (or one), each at least `least`."""
    several = (value,) * d if isinstance(value, (int, np.integer)) else tuple(value)
    several = several * d if len(several) == 1 else several
    if len(several) != d or not all(isinstance(v, (int, np.integer)) and v >= least for v in several):
        raise ValueError(f"{name}: expected {what} to be an int, or {d}, of at least {least}, got {value!r}")
    return tuple(int(v) for v in several)


def padded(x: Any, w: Windows, value: float = 0.0) -> Any:
    """x with `value` around it, or x itself where nothing is around it."""
    if w.room == w.size:
        return x
    out = _kernels.empty((*x.shape[:2], *w.room), x.dtype)
    out.fill(value)
    out[w.inside] = x
    return out


def columns(x: Any, w: Windows, joint: bool) -> Any:
    """(N, C, *size) -> (N, C, *kernel, *out), or `joint` (C, *kernel, N, *out), in this order of memory; a view where the
    kernel has one element and each input is under it once."""
    d = len(w.size)
    source = padded(x, w)
    if math.prod(w.kernel) == 1:
        (_, place), *_ = w.places()
        found = source[place]
        found = found.swapaxes(0, 1) if joint else found
        lead = 1 if joint else 2
        return np.ascontiguousarray(found).reshape((*found.shape[:lead], *w.kernel, *found.shape[lead:]))
    n, c = x.shape[:2]
    shape = (c, *w.kernel, n, *w.out) if joint else (n, c, *w.kernel, *w.out)
    out = _kernels.empty(shape, x.dtype)
    seen = np.moveaxis(out, d + 1, 0) if joint else out
    for k, place in w.places():
        slot: Any = (slice(None), slice(None), *k)
        seen[slot] = source[place]
    return out


def overlap(cols: Any, w: Windows) -> Any:
    """(N, C, *kernel, *out) -> (N, C, *size): each window's elements added where they came from, one kernel offset after
    the other."""
    out = _kernels.empty((*cols.shape[:2], *w.room), cols.dtype)
    out.fill(0)
    apart = all(s > d * (k - 1) for s, d, k in zip(w.stride, w.dilation, w.kernel))
    moved = None if apart else _kernels.empty(out.shape, out.dtype)
    for i, (k, place) in enumerate(w.places()):
        slot: Any = (slice(None), slice(None), *k)
        if moved is None or i == 0:
            out[place] = cols[slot]
        elif out.size:
            moved.fill(0)
            moved[place] = cols[slot]
            _kernels.map2(ADD, out, moved, out)  # several times as quick as adding to a strided part
    return out if w.room == w.size else np.ascontiguousarray(out[w.inside])


def _parts(n: int, channels: int, w: Windows, itemsize: int) -> list[slice]:
    """The batch in parts whose size depends on one sample's alone."""
    one = channels * math.prod(w.kernel) * math.prod(w.out) * itemsize
    step = max(1, SCRATCH // max(1, one))
    return [slice(at, min(n, at + step)) for at in range(0, n, step)] or [slice(0, 0)]


def _one_dtype(name: str, *arrays: Any) -> list[Any]:
    dtype = result_type(*arrays)
    if dtype.kind != "f":
        raise TypeError(f"{name}: expected float tensors, got {' and '.join(str(a.dtype) for a in arrays)}")
    return [cast_to(a, dtype, name) for a in arrays]


@op
def _conv(x: Array, weight: Array, bias: Array | None, windows: Any, groups: int) -> Any:
    """(N, C, *size), (O, C / groups, *kernel) -> (N, O, *out): each output one chain over channels, then kernel offsets, and
    the bias after it."""
    x, weight, *rest = _one_dtype("conv", *(a for a in (x, weight, bias) if a is not None))
    n, c = x.shape[:2]
    o, length = weight.shape[0], math.prod(windows.out)
    matrix = np.ascontiguousarray(weight).reshape(groups, o // groups, math.prod(weight.shape[1:]))
    out = _kernels.empty((n, o, *windows.out), x.dtype)
    joint = length < 64  # many small products cost more than turning the result of one
    for part in _parts(n, c, windows, x.itemsize):
        cols, to = columns(x[part], windows, joint), out[part].reshape(-1, groups, o // groups, length)
        if joint:
            made = _kernels.matmul(matrix, cols.reshape(groups, matrix.shape[2], to.shape[0] * length))
            to[...] = np.moveaxis(made.reshape(groups, o // groups, to.shape[0], length), 2, 0)
        else:
            to[...] = _kernels.matmul(matrix, cols.reshape(-1, groups, matrix.shape[2], length))
    return _kernels.map2(ADD, out, rest[0].reshape(-1, *(1,) * len(windows.out)), out) if rest and out.size else out


@_conv.rule(x="weight", weight="x")
def _(g: Any, x: Any, weight: Any, windows: Any, groups: int, needs: Any) -> Any:
    return (
        conv_input_grad(g, weight, windows, groups) if needs[0] else None,
        conv_weight_grad(g, x, windows, groups) if needs[1] else None,
        sum(g, (0, *range(2, g.ndim))) if needs[2] else None,
    )


@op
def conv_input_grad(g: Array, weight: Array, windows: Any, groups: int) -> Any:
    """(N, O, *out), (O, C / groups, *kernel) -> (N, C, *size): what `_conv` turned round takes to its input; transposed
    convolution. Each element is a sum over kernel offsets of chains over output channels."""
    g, weight = _one_dtype("conv", g, weight)
    n, o = g.shape[:2]
    c, length = weight.shape[1] * groups, math.prod(windows.out)
    matrix = np.ascontiguousarray(weight).reshape(groups, o // groups, math.prod(weight.shape[1:])).swapaxes(1, 2)
    out = _kernels.empty((n, c, *windows.size), g.dtype)
    up = np.ascontiguousarray(g).reshape(n, groups, o // groups, length)
    for part in _parts(n, c, windows, g.itemsize):
        cols = _kernels.matmul(matrix, up[part])
        out[part] = overlap(cols.reshape(cols.shape[0], c, *windows.kernel, *windows.out), windows)
    return out


@conv_input_grad.rule(g="weight", weight="g")
def _(u: Any, g: Any, weight: Any, windows: Any, groups: int, needs: Any) -> Any:
    return (
        _conv(u, weight, None, windows, groups) if needs[0] else None,
        conv_weight_grad(g, u, windows, groups) if needs[1] else None,
    )


@op
def conv_weight_grad(g: Array, x: Array, windows: Any, groups: int) -> Any:
    """(N, O, *out), (N, C, *size) -> (O, C / groups, *kernel): each element one chain over the windows of a part of the
    batch; the parts are added in their order."""
    g, x = _one_dtype("conv", g, x)
    n, c = x.shape[:2]
    o, length = g.shape[1], math.prod(windows.out)
    total = None
    for part in _parts(n, c, windows, x.itemsize):
        up = np.ascontiguousarray(g[part].swapaxes(0, 1))
        many = up.shape[1] * length
        cols = columns(x[part], windows, True).reshape(groups, c // groups * math.prod(windows.kernel), many)
        made = _kernels.matmul(up.reshape(groups, o // groups, many), cols.swapaxes(1, 2))
        total = made if total is None else _kernels.map2(ADD, total, made, total)
    assert total is not None
    return total.reshape(o, c // groups, *windows.kernel)


@conv_weight_grad.rule(g="x", x="g")
def _(u: Any, g: Any, x: Any, windows: Any, groups: int, needs: Any) -> Any:
    return (
        _conv(x, u, None, windows, groups) if needs[0] else None,
        conv_input_grad(g, u, windows, groups) if needs[1] else None,
    )


def batched(name: str, x: Any, d: int) -> Any:
    """x as (N, C, *size): itself, or with N = 1 before it."""
    if x.ndim not in (d + 1, d + 2):
        raise ValueError(f"{name}: expected input of {d + 1} or {d + 2} dimensions, got shape {tuple(x.shape)}")
    return x if x.ndim == d + 2 else reshape(x, (1, *x.shape))


def _checked(name: str, x: Any, weight: Any, bias: Any, groups: int, d: int, transposed: bool) -> None:
    """That channels of (batched) input, weight and bias fit."""
    shapes = f"input {tuple(x.shape)}, weight {tuple(weight.shape)}"
    if weight.ndim != d + 2:
        raise ValueError(f"{name}: expected a weight of {d + 2} dimensions, got {shapes}")
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(
            f"{name}: groups {groups} must divide the {weight.shape[0]} channels of weight {tuple(weight.shape)}"
        )
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if x.shape[1] != expected:
        raise ValueError(f"{name}: expected {expected} input channels (groups {groups}), got {x.shape[1]}: {shapes}")
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise ValueError(f"{name}: expected a bias of shape ({outputs},), got {tuple(bias.shape)}")
    if min(weight.shape[2:]) < 1:
        raise ValueError(f"{name}: expected a kernel of at least one element, got weight {tuple(weight.shape)}")


def _convolved(
    name: str, d: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    z = batched(name, x, d)
    _checked(name, z, weight, bias, groups, d, False)
    size, kernel = tuple(z.shape[2:]), tuple(weight.shape[2:])
    steps, spread = numbers(name, "stride", stride, d, 1), numbers(name, "dilation", dilation, d, 1)
    if padding == "same":
        if steps != (1,) * d:
            raise ValueError(f"{name}: padding='same' needs stride 1, got {stride!r}")
        total = tuple(s * (k - 1) for s, k in zip(spread, kernel))
        before = tuple(t // 2 for t in total)
    else:
        if isinstance(padding, str) and padding != "valid":
            raise ValueError(f"{name}: expected padding to be 'same', 'valid', an int or {d} of them, got {padding!r}")
        before = (0,) * d if padding == "valid" else numbers(name, "padding", padding, d, 0)
        total = tuple(2 * b for b in before)
    count = tuple((n + t - e * (k - 1) - 1) // s + 1 for n, t, e, k, s in zip(size, total, spread, kernel, steps))
    if min(count) < 1:
        raise ValueError(
            f"{name}: the kernel {kernel}, dilation {spread}, is larger than the padded input {size}, padding {padding!r}"
        )
    y = _conv(z, weight, bias, Windows(size, kernel, steps, before, spread, count), groups)
    return y if x.ndim == d + 2 else reshape(y, tuple(y.shape[1:]))


def _transposed(
    name: str, d: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, extra: Any, groups: int, dilation: Any
) -> Any:
    z = batched(name, x, d)
    _checked(name, z, weight, bias, groups, d, True)
    count, kernel = tuple(z.shape[2:]), tuple(weight.shape[2:])
    steps, spread = numbers(name, "stride", stride, d, 1), numbers(name, "dilation", dilation, d, 1)
    before, more = numbers(name, "padding", padding, d, 0), numbers(name, "output_padding", extra, d, 0)
    if any(m >= max(s, e) for m, s, e in zip(more, steps, spread)):
        raise ValueError(f"{name}: output_padding {more} must be smaller than stride {steps} or dilation {spread}")
    size = tuple(
        (n - 1) * s - 2 * b + e * (k - 1) + m + 1
        for n, s, b, e, k, m in zip(count, steps, before, spread, kernel, more)
    )
    if min(count) < 1 or min(size) < 1:
        raise ValueError(
            f"{name}: the output would have size {size}: input {tuple(x.shape)}, kernel {kernel}, padding {before}"
        )
    y = conv_input_grad(z, weight, Windows(size, kernel, steps, before, spread, count), groups)
    if bias is not None:
        y = add(y, reshape(bias, (-1, *(1,) * d)))
    return y if x.ndim == d + 2 else reshape(y, tuple(y.shape[1:]))


def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: str | Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of x (N, C, L) or (C, L) with weight (O, C / groups, k), plus bias (O) -> (N, O, L'), with L' =
    (L + 2 padding - dilation (k - 1) - 1) // stride + 1. padding: an int, "valid" (0) or "same" (L' = L, the odd one behind).
    The gradients are convolutions, too. ValueError where shapes do not fit, TypeError for integers."""
    return _convolved("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)  # type: ignore[no-any-return]


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: str | Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of x (N, C, H, W) or (C, H, W) with weight (O, C / groups, kh, kw), plus bias (O) -> (N, O, H', W'), with
    H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1. padding: an int, two, "valid" (0) or "same" (H' = H). Each
    output is one chain of multiply-adds over channels, then the kernel, whatever the batch and the threads. The gradients
    are convolutions, too. ValueError where shapes do not fit, TypeError for integers."""
    return _convolved("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)  # type: ignore[no-any-return]


def conv_transpose1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """conv1d's gradient to its input as a function: x (N, C, L) or (C, L), weight (C, O / groups, k), bias (O) -> (N, O, L'), with
    L' = (L - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1. ValueError where shapes do not fit."""
    return _transposed("conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation)  # type: ignore[no-any-return]


def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """conv2d's gradient to its input as a function: x (N, C, H, W) or (C, H, W), weight (C, O / groups, kh, kw), bias (O) -> (N, O,
    H', W'), with H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1. ValueError where shapes do not fit."""
    return _transposed("conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation)  # type: ignore[no-any-return]


@op
def _unfold(x: Array, windows: Any) -> Any:
    """(N, C, *size) -> (N, C, *kernel, *out)."""
    found = columns(array_of(x, "unfold"), windows, False)
    return _kernels.owned(found.copy() if math.prod(windows.kernel) == 1 else found)


@_unfold.rule
def _(g: Any, windows: Any) -> Any:
    return _fold(g, windows)


@op
def _fold(x: Array, windows: Any) -> Any:
    """(N, C, *kernel, *out) -> (N, C, *size)."""
    if x.dtype.kind != "f":
        raise TypeError(f"fold: expected a float tensor, got {x.dtype}")
    return overlap(x, windows)


@_fold.rule
def _(u: Any, windows: Any) -> Any:
    return _unfold(u, windows)


def _patches(name: str, size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Windows:
    kernel, spread = numbers(name, "kernel_size", kernel_size, 2, 1), numbers(name, "dilation", dilation, 2, 1)
    before, steps = numbers(name, "padding", padding, 2, 0), numbers(name, "stride", stride, 2, 1)
    count = tuple((n + 2 * b - e * (k - 1) - 1) // s + 1 for n, b, e, k, s in zip(size, before, spread, kernel, steps))
    if min(count) < 1:
        raise ValueError(
            f"{name}: the kernel {kernel}, dilation {spread}, is larger than the padded input {tuple(size)}, padding {before}"
        )
    return Windows(tuple(size), kernel, steps, before, spread, count)


def unfold(x: Array, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """The windows of x (N, C, H, W) or (C, H, W) as columns -> (N, C kh kw, windows). Gradient: fold."""
    z = batched("unfold", x, 2)
    w = _patches("unfold", z.shape[2:], kernel_size, dilation, padding, stride)
    lead = (z.shape[0],) if x.ndim == 4 else ()
    return reshape(_unfold(z, w), (*lead, z.shape[1] * math.prod(w.kernel), math.prod(w.out)))


def fold(
    x: Array, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Columns (N, C kh kw, windows) added where unfold would take them from -> (N, C, *output_size). Gradient: unfold."""
    z = batched("fold", x, 1)
    w = _patches("fold", numbers("fold", "output_size", output_size, 2, 1), kernel_size, dilation, padding, stride)
    each = math.prod(w.kernel)
    if z.shape[1] % each or z.shape[2] != math.prod(w.out):
        raise ValueError(
            f"fold: expected (N, C * {each}, {math.prod(w.out)}) for output_size {w.size}, kernel_size {w.kernel}, got {tuple(x.shape)}"
        )
    y = _fold(reshape(z, (z.shape[0], z.shape[1] // each, *w.kernel, *w.out)), w)
    return y if x.ndim == 3 else reshape(y, tuple(y.shape[1:]))
