"""Rows of rearrange: flips, tiles, padding, diagonals, windows, joins and splits. References are NumPy's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from table import UNARY, row, wrap

import tinytensor as tt
from tinytensor.ops import rearrange

# a row is a line
# fmt: off
TWO = (((3, 4),), ((1, 1),), ((2, 3, 2),), ((0, 3),), ((3, 0),))


def cut(x: Any, size: int, step: int, d: int) -> Any:
    return np.moveaxis(np.stack([np.take(x, range(i, i + size), d) for i in range(0, x.shape[d] - size + 1, step)], d), d + 1, -1)


def overlapped(g: Any) -> Any:
    """Windows of 3 in a row of 5, added up."""
    out = np.zeros((g.shape[0], 5))
    for i in range(3):
        out[:, i : i + 3] += g[:, i]
    return out


def padded(x: Any, pad: Any, mode: str, **more: Any) -> Any:
    pairs = [(a, b) for a, b in zip(pad[::2], pad[1::2])][::-1]
    return np.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs, {"replicate": "edge", "circular": "wrap"}.get(mode, mode), **more)


def on_diagonal(x: Any, offset: int = 0) -> Any:
    out = np.zeros((*x.shape[:-1], x.shape[-1] + abs(offset), x.shape[-1] + abs(offset)))
    for i in range(x.shape[-1]):
        out[..., i + max(-offset, 0), i + max(offset, 0)] = x[..., i]
    return out


def blocks(*each: Any) -> Any:
    each = [np.atleast_2d(x) for x in each]
    out = np.zeros(np.sum([x.shape for x in each], 0))
    r = c = 0
    for x in each:
        out[r : r + x.shape[0], c : c + x.shape[1]] = x
        r, c = r + x.shape[0], c + x.shape[1]
    return out


row("flip", lambda x: np.flip(x, 0), "any", (((3, 4),), ((5,),), ((0, 2),)), wrap(tt.flip, dims=0), ulps=0)
row("flip", lambda x: np.flip(x, (0, -1)), "any", (((3, 4),), ((2, 3, 2),)), lambda x: tt.flip(x, 0, -1), ulps=0, label="two")
row("flip", lambda x: x, "any", (((),), ((3,),)), lambda x: tt.flip(x, ()), ulps=0, label="none")
row("fliplr", np.fliplr, "any", TWO, ulps=0)
row("flipud", np.flipud, "any", (*TWO, ((3,),)), ulps=0)
row("roll", lambda x: np.roll(x, 2, 0), "any", (((3, 4),), ((5,),), ((1,),), ((0, 2),)), wrap(tt.roll, shifts=2, dims=0), ulps=0)
row("roll", lambda x: np.roll(x, -5), "any", (((3, 4),), ((),), ((0,),)), wrap(tt.roll, shifts=-5), ulps=0, label="flat")
row("roll", lambda x: np.roll(x, (1, -3), (0, 1)), "any", (((3, 4),), ((2, 3, 2),)), wrap(tt.roll, shifts=(1, -3), dims=(0, 1)), ulps=0, label="two")
for k in (0, 1, 2, 3, -1):
    row("rot90", wrap(np.rot90, k=k), "any", TWO, wrap(tt.rot90, k=k), ulps=0, label=str(k))
row("rot90", lambda x: np.rot90(x, 1, (2, 0)), "any", (((2, 3, 2),),), lambda x: tt.rot90(x, 1, (2, 0)), ulps=0, label="dims")
row("repeat", lambda x: np.tile(x, (2, 1, 3)), "any", (((3, 4),), ((2,),), ((),), ((0, 2),), ((2, 1, 2),)), lambda x: tt.repeat(x, 2, 1, 3), ulps=0)
row("repeat", lambda x: np.tile(x, (0, 2)), "any", (((3, 4),),), lambda x: tt.repeat(x, (0, 2)), ulps=0, label="0", nan=())
row("tile", lambda x: np.tile(x, 2), "any", (((3, 4),), ((2,),), ((),), ((0, 2),)), wrap(tt.tile, dims=(2,)), ulps=0)
row("tile", lambda x: np.tile(x, (2, 3)), "any", (((3, 4),), ((2, 1, 2),)), wrap(tt.tile, dims=(2, 3)), ulps=0, label="two")
row("repeat_interleave", lambda x: np.repeat(x, 2), "any", UNARY, lambda x: tt.repeat_interleave(x, 2), ulps=0)
row("repeat_interleave", lambda x: np.repeat(x, [2, 0, 1], 1), "any", (((2, 3),), ((0, 3),), ((2, 3, 2),)), lambda x: tt.repeat_interleave(x, np.array([2, 0, 1]), 1), ulps=0, label="each", nan=())
row("pad", lambda x: padded(x, (1, 2), "constant"), "any", (((3, 4),), ((2,),), ((0,),), ((2, 0),)), wrap(tt.pad, pad=(1, 2)), ulps=0)
row("pad", lambda x: padded(x, (0, 2, 1, 0), "constant", constant_values=2.5), "any", (((3, 4),), ((2, 2, 2),)), wrap(tt.pad, pad=(0, 2, 1, 0), value=2.5), ulps=0, label="value")
row("pad", lambda x: padded(x[1:, :-1], (1, 0, 0, 2), "constant"), "any", (((3, 4),), ((2, 1),)), wrap(tt.pad, pad=(1, -1, -1, 2)), ulps=0, label="cut", nan=())
for mode, pads in (("reflect", (1, 2)), ("replicate", (3, 1)), ("circular", (2, 3))):
    row("pad", wrap(padded, pad=pads, mode=mode), "any", (((2, 3),), ((4,),), ((2, 1, 3),)), wrap(tt.pad, pad=pads, mode=mode), ulps=0, label=mode)
    row("pad", wrap(padded, pad=(*pads, 1, 1), mode=mode), "any", (((2, 3),), ((2, 3, 4),)), wrap(tt.pad, pad=(*pads, 1, 1), mode=mode), ulps=0, label=f"{mode} two")
row("select", lambda x: x[:, -2], "any", (((3, 4),), ((0, 2),), ((2, 3, 2),)), wrap(tt.select, dim=1, index=-2), ulps=0, nan=())
row("unbind", lambda x: tuple(x), "any", (((3, 4),), ((2,),)), ulps=0)
row("unbind", lambda x: (x[:, 0], x[:, 1]), "any", (((3, 2),), ((0, 2),)), wrap(tt.unbind, dim=-1), ulps=0, label="dim")
for size, step, d in ((2, 1, 0), (2, 2, 0), (3, 1, -1), (1, 2, 1)):
    row("unfold", lambda x, s=size, t=step, d=d: cut(x, s, t, d % x.ndim), "any", (((3, 4),), ((2, 3, 3),)) if d else (((3, 4),), ((5,),), ((2, 0),)),
        wrap(tt.unfold, dimension=d, size=size, step=step), ulps=0, label=f"{size} {step} {d}", nan=(0,) if (size, step) != (2, 2) else ())
row("unfold_grad", overlapped, "any", (((2, 3, 3),), ((0, 3, 3),)), lambda g: rearrange._unfold_grad(g, (g.shape[0], 5), 1, 3, 1), scale=6)
row("movedim", lambda x: np.moveaxis(x, 0, -1), "any", (((2, 3, 4),), ((3, 4),), ((0, 1),)), wrap(tt.movedim, source=0, destination=-1), ulps=0)
row("movedim", lambda x: np.moveaxis(x, (0, 2), (1, 0)), "any", (((2, 3, 4),),), wrap(tt.movedim, source=(0, 2), destination=(1, 0)), ulps=0, label="two")
row("swapaxes", lambda x: x.swapaxes(0, -1), "any", (((2, 3, 4),), ((1,),), ((0, 2),)), wrap(tt.swapaxes, axis0=0, axis1=-1), ulps=0)
row("view_as", lambda x: x.reshape(2, 6), "any", (((3, 4),), ((12,),)), lambda x: tt.view_as(tt.contiguous(x), np.zeros((2, 6))), ulps=0)
row("reshape_as", lambda x: x.reshape(2, 6), "any", (((3, 4),), ((12,),)), lambda x: tt.reshape_as(x, np.zeros((2, 6))), ulps=0)
for offset in (0, 1, -2, 5):
    row("diagonal", wrap(np.diagonal, offset=offset), "any", (((3, 4),), ((2, 3, 2),), ((4, 1),), ((0, 2),)), wrap(tt.diagonal, offset=offset), ulps=0, label=str(offset), nan=())
    row("diag_embed", wrap(on_diagonal, offset=offset), "any", (((3,),), ((2, 3),), ((0,),), ((1, 1),)), wrap(tt.diag_embed, offset=offset), ulps=0, label=str(offset))
    row("diag", wrap(np.diag, k=offset), "any", (((3,),), ((1,),)), wrap(tt.diag, diagonal=offset), ulps=0, label=f"vector {offset}")
    row("tril", wrap(np.tril, k=offset), "any", TWO, wrap(tt.tril, diagonal=offset), ulps=0, label=str(offset), nan=())
    row("triu", wrap(np.triu, k=offset), "any", TWO, wrap(tt.triu, diagonal=offset), ulps=0, label=str(offset), nan=())
row("diagonal", lambda x: np.diagonal(x, 1, 2, 0), "any", (((2, 3, 4),), ((3, 1, 3),)), wrap(tt.diagonal, offset=1, dim1=-1, dim2=0), ulps=0, label="dims", nan=())
row("diag", wrap(np.diag, k=1), "any", (((3, 4),), ((2, 2),), ((0, 3),)), wrap(tt.diag, diagonal=1), ulps=0, nan=())
row("trace", np.trace, "any", (((3, 4),), ((1, 1),), ((0, 2),), ((4, 2),)), scale=6)
row("broadcast_tensors", lambda x, y: tuple(np.broadcast_arrays(x, y)), "any any", (((3, 1), (4,)), ((), (2,)), ((0,), (1,))), ulps=0)
for how in ("ij", "xy"):
    row("meshgrid", lambda *x, how=how: tuple(np.meshgrid(*x, indexing=how)), "any any any", (((3,), (2,), (1,)), ((1,), (2,), (2,)), ((0,), (2,), (1,))), wrap(tt.meshgrid, indexing=how), ulps=0, label=how)
row("meshgrid", lambda x, y: (np.full((1, 2), x), y[None]), "any any", (((), (2,)),), ulps=0, label="number")
row("cartesian_prod", lambda *x: np.array(list(itertools.product(*x))).reshape(-1, 2), "any any", (((3,), (2,)), ((1,), (1,)), ((0,), (2,))), ulps=0)
row("cartesian_prod", lambda x: x, "any", (((3,),), ((0,),)), ulps=0, label="one")
for n in (1, 2, 3):
    row(f"atleast_{n}d", getattr(np, f"atleast_{n}d"), "any", UNARY, ulps=0)
    row(f"atleast_{n}d", lambda *x, n=n: tuple(getattr(np, f"atleast_{n}d")(v) for v in x), "any any", (((3,), ()),), ulps=0, label="two")
for name in ("hstack", "vstack", "dstack", "column_stack"):
    row(name, lambda *x, n=name: getattr(np, n)(x), "any any", (((3,), (3,)), ((3, 2), (3, 2)), ((2, 1, 2), (2, 1, 2)), ((0, 2), (0, 2)), ((1,), (1,))), lambda *x, n=name: getattr(tt, n)(x), ulps=0)
row("hstack", lambda *x: np.hstack(x), "any any", (((), (2,)), ((), ())), lambda *x: tt.hstack(x), ulps=0, label="numbers")
row("block_diag", blocks, "any any any", (((2, 3), (2,), ()), ((1, 1), (0, 2), (2, 2))), ulps=0)
row("tensor_split", lambda x: tuple(np.array_split(x, 3)), "any", (((5, 2),), ((3,),), ((1,),), ((0, 2),)), wrap(tt.tensor_split, indices_or_sections=3), ulps=0)
row("tensor_split", lambda x: tuple(np.split(x, [1, 3], 1)), "any", (((2, 4),), ((2, 2),)), wrap(tt.tensor_split, indices_or_sections=[1, 3], dim=1), ulps=0, label="at")
row("hsplit", lambda x: tuple(np.hsplit(x, 2)), "any", (((3, 4),), ((4,),), ((0, 2),)), wrap(tt.hsplit, indices_or_sections=2), ulps=0)
row("vsplit", lambda x: tuple(np.vsplit(x, [1])), "any", (((3, 4),), ((2, 1, 2),)), wrap(tt.vsplit, indices_or_sections=[1]), ulps=0)
row("dsplit", lambda x: tuple(np.dsplit(x, 2)), "any", (((2, 1, 4),), ((0, 2, 2),)), wrap(tt.dsplit, indices_or_sections=2), ulps=0)
