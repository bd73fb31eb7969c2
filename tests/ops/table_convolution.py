"""Rows of the table of ops: convolution and pooling. The references visit one window after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from table import Shapes, row, wrap

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor.ops import convolution, pooling
from tinytensor.ops.convolution import Windows

# a row is a line
# fmt: off


def pair(v: Any, d: int) -> tuple[int, ...]:
    return (v,) * d if isinstance(v, int) else tuple(v)


def spots(size: Any, kernel: Any, stride: Any, before: Any, after: Any, dilation: Any) -> Iterator[tuple[Any, Any]]:
    """Each window's place in the output, and its index in the padded input."""
    counts = [(n + a + b - e * (k - 1) - 1) // s + 1 for n, a, b, e, k, s in zip(size, before, after, dilation, kernel, stride)]
    for at in itertools.product(*map(range, counts)):
        yield at, tuple(slice(i * s, i * s + e * (k - 1) + 1, e) for i, s, e, k in zip(at, stride, dilation, kernel))


def conv(x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """Cross-correlation by its definition."""
    d = w.ndim - 2
    if x.ndim == d + 1:
        return conv(x[None], w, b, stride, padding, dilation, groups)[0]
    stride, dilation = pair(stride, d), pair(dilation, d)
    total = [e * (k - 1) for e, k in zip(dilation, w.shape[2:])] if padding == "same" else [2 * p for p in pair(0 if padding == "valid" else padding, d)]
    before, after = [t // 2 for t in total], [t - t // 2 for t in total]
    padded = np.pad(x, [(0, 0), (0, 0), *zip(before, after)])
    o, c = w.shape[0] // groups, w.shape[1]
    found = {}
    for at, window in spots(x.shape[2:], w.shape[2:], stride, before, after, dilation):
        seen = padded[(slice(None), slice(None), *window)]
        parts = [np.tensordot(seen[:, g * c : (g + 1) * c], w[g * o : (g + 1) * o], (range(1, d + 2),) * 2) for g in range(groups)]
        found[at] = np.concatenate(parts, 1) + (0 if b is None else b)
    out = np.zeros((x.shape[0], w.shape[0], *(m + 1 for m in max(found))))
    for at, v in found.items():
        out[(slice(None), slice(None), *at)] = v
    return out


def conv_transpose(x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:
    """Each input times the kernel, added where a convolution would have read it."""
    d = w.ndim - 2
    if x.ndim == d + 1:
        return conv_transpose(x[None], w, b, stride, padding, output_padding, groups, dilation)[0]
    stride, dilation, before, more = (pair(v, d) for v in (stride, dilation, padding, output_padding))
    size = [(n - 1) * s + e * (k - 1) + 1 + m for n, s, e, k, m in zip(x.shape[2:], stride, dilation, w.shape[2:], more)]
    c, o = w.shape[0] // groups, w.shape[1]
    out = np.zeros((x.shape[0], o * groups, *size))
    for at in np.ndindex(*x.shape[2:]):
        window = tuple(slice(i * s, i * s + e * (k - 1) + 1, e) for i, s, e, k in zip(at, stride, dilation, w.shape[2:]))
        value = x[(slice(None), slice(None), *at)]
        for g in range(groups):
            out[(slice(None), slice(g * o, (g + 1) * o), *window)] += np.einsum("nc,co...->no...", value[:, g * c : (g + 1) * c], w[g * c : (g + 1) * c])
    out = out[(slice(None), slice(None), *(slice(p, n - p) for p, n in zip(before, size)))]
    return out if b is None else out + b.reshape(-1, *(1,) * d)


PLAIN: tuple[Shapes, ...] = (
    ((2, 3, 4, 3), (2, 3, 2, 3), (2,)), ((2, 4, 4), (3, 2, 3, 2), (3,)), ((1, 1, 1, 1), (1, 1, 1, 1), (1,)), ((0, 3, 4, 5), (2, 3, 2, 2), (2,)), ((1, 1, 9, 9), (1, 1, 2, 2), (1,)),
)
row("conv2d", conv, "any any any", PLAIN, scale=80)
for label, how, shapes in (
    ("no bias", {}, (((2, 2, 3, 4), (3, 2, 2, 2)), ((2, 4, 4), (1, 2, 3, 3)))),
    ("stride", {"stride": (2, 3), "padding": (1, 0)}, (((2, 2, 5, 4), (2, 2, 3, 2)),)),
    ("dilation", {"dilation": (1, 2), "padding": 2, "stride": 2}, (((1, 2, 4, 4), (2, 2, 2, 3)),)),
    ("same", {"padding": "same", "dilation": (2, 1)}, (((1, 2, 4, 3), (2, 2, 2, 3)), ((2, 3, 3), (1, 2, 4, 1)))),
    ("valid", {"padding": "valid"}, (((1, 2, 3, 3), (2, 2, 2, 3)),)),
    ("groups", {"groups": 2, "padding": 1}, (((2, 4, 3, 2), (6, 2, 2, 2)),)),
    ("depthwise", {"groups": 3}, (((2, 3, 3, 4), (6, 1, 2, 2)), ((1, 3, 2, 2), (3, 1, 1, 1)))),
    ("1x1", {}, (((2, 3, 3, 2), (4, 3, 1, 1)), ((2, 2, 8, 8), (1, 2, 1, 1)))),
    ("1x1 stride", {"stride": 2, "padding": 1}, (((2, 3, 3, 2), (2, 3, 1, 1)),)),
):
    row("conv2d", wrap(conv, **how), "any any", shapes, wrap(tt.conv2d, **how), label=label, scale=80, nan=(1,) if label == "1x1 stride" else (0, 1))  # which skips elements
row("conv1d", conv, "any any any", (((2, 3, 5), (2, 3, 2), (2,)), ((2, 4), (3, 2, 4), (3,)), ((1, 1, 70), (1, 1, 3), (1,)), ((0, 1, 3), (2, 1, 2), (2,))), scale=40)
row("conv1d", wrap(conv, stride=2, padding=1, dilation=2, groups=2), "any any", (((2, 4, 6), (4, 2, 3)),), wrap(tt.conv1d, stride=2, padding=1, dilation=2, groups=2), label="all", scale=40)
row("conv1d", wrap(conv, padding="same"), "any any", (((2, 2, 5), (2, 2, 4)),), wrap(tt.conv1d, padding="same"), label="same", scale=40)
row("conv_transpose2d", conv_transpose, "any any any", (((2, 3, 2, 3), (3, 2, 2, 3), (2,)), ((2, 2, 2), (2, 3, 3, 2), (3,)), ((1, 1, 1, 1), (1, 1, 1, 1), (1,)), ((0, 3, 2, 2), (3, 2, 2, 2), (2,))), scale=60)
for label, how, shapes in (
    ("stride", {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2)}, (((2, 2, 3, 2), (2, 2, 3, 2)),)),
    ("dilation", {"dilation": (3, 2), "padding": 1, "output_padding": (2, 1)}, (((1, 2, 3, 3), (2, 2, 2, 2)),)),
    ("groups", {"groups": 2}, (((2, 4, 2, 2), (4, 3, 2, 2)),)),
):
    row("conv_transpose2d", wrap(conv_transpose, **how), "any any", shapes, wrap(tt.conv_transpose2d, **how), label=label, scale=60)
row("conv_transpose1d", conv_transpose, "any any any", (((2, 3, 4), (3, 2, 3), (2,)), ((2, 3), (2, 1, 2), (1,))), scale=40)
row("conv_transpose1d", wrap(conv_transpose, stride=3, padding=1, output_padding=1, groups=2, dilation=2), "any any", (((2, 4, 3), (4, 1, 3)),),
    wrap(tt.conv_transpose1d, stride=3, padding=1, output_padding=1, groups=2, dilation=2), label="all", scale=40)

W = Windows((4, 3), (2, 2), (2, 1), (1, 0), (1, 2), (2, 1))


def conv_weight_grad(g: Any, x: Any) -> Any:
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)])
    out = np.zeros((4, 1, 2, 2))
    for at, window in spots(x.shape[2:], W.kernel, W.stride, (1, 0), (1, 0), W.dilation):
        if at[0] < W.out[0]:
            seen = padded[(slice(None), slice(None), *window)]
            for o in range(4):
                out[o, 0] += np.einsum("n,nij->ij", g[(slice(None), o, *at)], seen[:, o // 2])
    return out


row("conv_weight_grad", conv_weight_grad, "any any", (((2, 4, 2, 1), (2, 2, 4, 3)), ((0, 4, 2, 1), (0, 2, 4, 3))), lambda g, x: convolution.conv_weight_grad(g, x, W, 2), scale=40)


def unfold(x: Any, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    kernel, stride, padding, dilation = (pair(v, 2) for v in (kernel, stride, padding, dilation))
    padded = np.pad(x, [*((0, 0),) * (x.ndim - 2), *((p, p) for p in padding)])
    seen = [padded[(..., *w)] for _, w in spots(x.shape[-2:], kernel, stride, padding, padding, dilation)]
    return np.stack(seen, -1).reshape(*x.shape[:-3], -1 if x.size else x.shape[-3] * math.prod(kernel), len(seen))


def fold(cols: Any, size: Any, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    kernel, stride, padding, dilation = (pair(v, 2) for v in (kernel, stride, padding, dilation))
    out = np.zeros((*cols.shape[:-2], cols.shape[-2] // math.prod(kernel), *(n + 2 * p for n, p in zip(size, padding))) if cols.ndim == 2 else
                   (cols.shape[0], cols.shape[1] // math.prod(kernel), *(n + 2 * p for n, p in zip(size, padding))))
    for j, (_, w) in enumerate(spots(size, kernel, stride, padding, padding, dilation)):
        out[(..., *w)] += cols[..., j].reshape(*out.shape[:-2], *kernel)
    return out[(..., *(slice(p, p + n) for p, n in zip(padding, size)))]


for label, how in (("plain", {}), ("all", {"stride": (2, 1), "padding": 1, "dilation": (1, 2)})):
    row("F.unfold", wrap(unfold, kernel=(2, 3), **how), "any", (((2, 2, 3, 4),), ((2, 3, 4),)), wrap(F.unfold, kernel_size=(2, 3), **how), label=f"columns {label}", ulps=0)
row("F.unfold", wrap(unfold, kernel=1), "any", (((2, 2, 3, 2),), ((0, 2, 2, 2),)), wrap(F.unfold, kernel_size=1), label="columns 1x1", ulps=0)
row("fold", wrap(fold, size=(3, 4), kernel=(2, 3)), "any", (((2, 6, 4),), ((12, 4),), ((0, 6, 4),)), wrap(F.fold, output_size=(3, 4), kernel_size=(2, 3)), scale=8)
row("fold", wrap(fold, size=(3, 4), kernel=2, stride=(2, 1), padding=1, dilation=(1, 2)), "any", (((2, 8, 8),),),
    wrap(F.fold, output_size=(3, 4), kernel_size=2, stride=(2, 1), padding=1, dilation=(1, 2)), label="all", scale=8, nan=())  # some columns are of the padding


# --------------------------------------------------------------------------------------------------------------- pooling
def stretches(n: int, k: int, s: int, p: int, e: int, ceil: bool) -> list[list[int]]:
    """The places along one dimension under each window, with those in the padding."""
    free = n + 2 * p - e * (k - 1) - 1
    count = (math.ceil(free / s) if ceil else free // s) + 1
    starts = [i * s - p for i in range(count) if not ceil or i * s - p < n]
    return [[a + e * j for j in range(k)] for a in starts]


def pooled(x: Any, d: int, lists: list[list[list[int]]], function: Callable[[Any, Any], Any]) -> Any:
    """function(rows of the elements in the input, their flat places) for each combination of stretches."""
    size = x.shape[-d:]
    out = []
    for places in itertools.product(*lists):
        inside = [[p for p in each if 0 <= p < n] for each, n in zip(places, size)]
        flat = np.ravel_multi_index(np.ix_(*inside), size).ravel()
        out.append(function(x.reshape(*x.shape[:-d], math.prod(size))[..., flat], (flat, places)))
    return out


def gathered(x: Any, d: int, lists: Any, values: list[Any]) -> Any:
    return np.stack(values, -1).reshape(*x.shape[:-d], *(len(each) for each in lists))


def windows_of(x: Any, d: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> Any:
    kernel, stride = pair(kernel, d), pair(kernel if stride is None else stride, d)
    return [stretches(*v, ceil) for v in zip(x.shape[-d:], kernel, stride, pair(padding, d), pair(dilation, d))]


def largest(x: Any, d: int, lists: Any) -> Any:
    values = pooled(x, d, lists, lambda v, w: v.max(-1))
    places = pooled(x, d, lists, lambda v, w: w[0][v.argmax(-1)])
    return gathered(x, d, lists, values), gathered(x, d, lists, places)


def max_pool(x: Any, d: int, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Any:
    return largest(x, d, windows_of(x, d, kernel_size, stride, padding, dilation, ceil_mode))


def avg_pool(x: Any, d: int, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Any = None) -> Any:
    lists = windows_of(x, d, kernel_size, stride, padding, 1, ceil_mode)
    ends = [n + p for n, p in zip(x.shape[-d:], pair(padding, d))]

    def mean(v: Any, w: Any) -> Any:
        n = math.prod(sum(p < end for p in each) for each, end in zip(w[1], ends)) if count_include_pad else v.shape[-1]
        return v.sum(-1) / (divisor_override or n)

    return gathered(x, d, lists, pooled(x, d, lists, mean))


def bins(x: Any, d: int, output: Any) -> Any:
    return [[list(range(i * n // m, -(-(i + 1) * n // m))) for i in range(m)] for n, m in zip(x.shape[-d:], (n if m is None else m for n, m in zip(x.shape[-d:], (output,) * d if not isinstance(output, tuple) else output)))]


def adaptive_avg(x: Any, d: int, output_size: Any) -> Any:
    lists = bins(x, d, output_size)
    return gathered(x, d, lists, pooled(x, d, lists, lambda v, w: v.mean(-1)))


IMAGES: tuple[Shapes, ...] = (((2, 2, 4, 5),), ((2, 5, 4),), ((1, 1, 3, 3),), ((0, 2, 4, 4),))
LINES: tuple[Shapes, ...] = (((2, 3, 6),), ((2, 5),), ((1, 1, 3),), ((0, 2, 4),))
for label, how in (
    ("plain", {"kernel_size": 2}), ("overlapping", {"kernel_size": 3, "stride": 1, "padding": 1}), ("ceil", {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True}),
):
    for d, shapes in ((1, LINES), (2, IMAGES)):
        row(f"max_pool{d}d", wrap(max_pool, d=d, **how), "apart", shapes, wrap(getattr(tt, f"max_pool{d}d"), return_indices=True, **how), label=label, ulps=0)
        row(f"avg_pool{d}d", wrap(avg_pool, d=d, **how), "any", shapes, wrap(getattr(tt, f"avg_pool{d}d"), **how), label=label, scale=4)
        row(f"avg_pool{d}d", wrap(avg_pool, d=d, count_include_pad=False, **how), "any", shapes[:2], wrap(getattr(tt, f"avg_pool{d}d"), count_include_pad=False, **how), label=f"inside {label}", scale=4)
row("max_pool2d", lambda x: max_pool(x, 2, (2, 1), (1, 2), (1, 0), (2, 1))[0], "apart", IMAGES[:2], lambda x: tt.max_pool2d(x, (2, 1), (1, 2), (1, 0), (2, 1)), label="dilation", ulps=0)
row("avg_pool2d", wrap(avg_pool, d=2, kernel_size=(2, 3), stride=(1, 2), divisor_override=5), "any", IMAGES[:2], wrap(tt.avg_pool2d, kernel_size=(2, 3), stride=(1, 2), divisor_override=5), label="divisor", scale=4)
for size in (1, 3, 5, 7):
    row("adaptive_avg_pool1d", wrap(adaptive_avg, d=1, output_size=size), "any", LINES, wrap(tt.adaptive_avg_pool1d, output_size=size), label=f"{size}", scale=4)
    row("adaptive_max_pool1d", lambda x, m=size: largest(x, 1, bins(x, 1, m)), "apart", LINES, lambda x, m=size: tt.adaptive_max_pool1d(x, m, True), label=f"{size}", ulps=0)
for sizes in (1, (2, 3), (None, 2), (5, 4)):
    row("adaptive_avg_pool2d", wrap(adaptive_avg, d=2, output_size=sizes), "any", IMAGES, wrap(tt.adaptive_avg_pool2d, output_size=sizes), label=f"{sizes}", scale=4)
    row("adaptive_max_pool2d", lambda x, m=sizes: largest(x, 2, bins(x, 2, m)), "apart", IMAGES, lambda x, m=sizes: tt.adaptive_max_pool2d(x, m, True), label=f"{sizes}", ulps=0)

PLACES = np.array([[[1, 5, 1]], [[0, 4, 2]]])


def placed(g: Any) -> Any:
    out = np.zeros((2, 1, 6))
    for n, j in itertools.product(range(2), range(3)):
        out[n, 0, PLACES[n, 0, j]] += g[n, 0, j]
    return out.reshape(2, 1, 2, 3)


row("max_pool_grad", placed, "any", (((2, 1, 3),),), lambda g: pooling.max_pool_grad(g, (2, 1, 2, 3), PLACES), ulps=1)
row("avg_pool_grad", lambda g: fold(np.repeat(g.reshape(2, 1, 1, 2), 4, 2).reshape(2, 4, 2), (3, 3), 2, (1, 2), 0), "any", (((2, 1, 2, 1),),),
    lambda g: pooling.avg_pool_grad(g, Windows((3, 3), (2, 2), (1, 2), (0, 0), (1, 1), (2, 1))), ulps=1, scale=4)


def spread(g: Any) -> Any:
    out = np.zeros((len(g), 5))
    out[:, 0:3] += g[:, :1]
    out[:, 2:5] += g[:, 1:]
    return out


row("adaptive_avg_pool_grad", spread, "any", (((2, 2),), ((0, 2),)), lambda g: pooling.adaptive_avg_pool_grad(g, 5, 1, ((0, 3), (2, 5))), ulps=1, scale=4)
