"""Sums of products over named dimensions, composed of permute, reshape and matmul: the gradients are those of the parts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..op import Array
from ..tensor import Tensor
from .pointwise import mul, sub
from .product import _matmul, dot
from .rearrange import _roll, broadcast_shapes, diagonal
from .reduction import sum
from .shape import broadcast_to, one_dim, permute, reshape

Labels = list[Any]
"""The name of each dimension of an operand: letters or numbers; those that an ellipsis stands for are ("...", i), i from behind."""


# ---------------------------------------------------------------------------------------------------------------- names
def _parsed(equation: str, operands: Sequence[Any]) -> tuple[list[Labels], Labels | None]:
    """Labels of each operand and of the result (None: not told)."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    names = left.split(",")
    if len(names) != len(operands):
        raise ValueError(f"einsum: {equation!r} names {len(names)} operands, got {len(operands)}")
    for part in (*names, right):
        letters = part.replace("...", "", 1)
        if not all(c.isalpha() and c.isascii() for c in letters):
            raise ValueError(f"einsum: {part!r} of {equation!r} is not made of letters and one ellipsis")
    return [_split(n) for n in names], _split(right) if arrow else None


def _split(part: str) -> Labels:
    before, dots, behind = part.partition("...")
    return [*before, *([Ellipsis] if dots else []), *behind]


def _named(what: str, labels: Labels, x: Any) -> Labels:
    """Labels with an ellipsis replaced by one for each dimension that it stands for."""
    n = x.ndim - len(labels) + (Ellipsis in labels)
    if n < 0 or (n and Ellipsis not in labels):
        raise ValueError(f"einsum: {what} names {len(labels)} dimensions, the operand has shape {tuple(x.shape)}")
    if Ellipsis not in labels:
        return labels
    i = labels.index(Ellipsis)
    return [*labels[:i], *(("...", k) for k in range(n, 0, -1)), *labels[i + 1 :]]


def _text(labels: Labels) -> str:
    return "".join("..." if v is Ellipsis else str(v) for v in labels)


def _once(x: Any, labels: Labels) -> tuple[Any, Labels]:
    """Repeated labels as diagonals."""
    for v in dict.fromkeys(labels):
        while labels.count(v) > 1:
            i = labels.index(v)
            j = labels.index(v, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ValueError(
                    f"einsum: {v!r} names dimensions of sizes {x.shape[i]} and {x.shape[j]} in {tuple(x.shape)}"
                )
            x = diagonal(x, 0, i, j)
            labels = [*(w for k, w in enumerate(labels) if k not in (i, j)), v]
    return x, labels


# ---------------------------------------------------------------------------------------------------------------- pairs
def _summed(x: Any, labels: Labels, kept: set[Any]) -> tuple[Any, Labels]:
    """x summed over the dimensions that nothing needs any more."""
    gone = tuple(i for i, v in enumerate(labels) if v not in kept)
    return (sum(x, gone), [v for v in labels if v in kept]) if gone else (x, labels)


def _ordered(x: Any, labels: Labels, order: Labels) -> Any:
    """x with its dimensions in the order of labels."""
    return x if labels == order else permute(x, [labels.index(v) for v in order])


def _pair(x: Any, a: Labels, y: Any, b: Labels, kept: set[Any]) -> tuple[Any, Labels]:
    """The product of two operands, summed over what is not kept: a batch of matrix products, or elementwise."""
    x, a = _summed(x, a, kept | set(b))
    y, b = _summed(y, b, kept | set(a))
    shared = [v for v in a if v in b]
    batch, gone = [v for v in shared if v in kept], [v for v in shared if v not in kept]
    mine, theirs = [v for v in a if v not in b], [v for v in b if v not in a]
    size = {**dict(zip(b, y.shape)), **dict(zip(a, x.shape))}
    out = [*batch, *mine, *theirs]
    if not gone or not (mine or theirs):
        x = reshape(
            _ordered(x, a, batch + mine + gone),
            tuple(size[v] for v in batch + mine) + (1,) * len(theirs) + tuple(size[v] for v in gone),
        )
        y = reshape(
            _ordered(y, b, batch + theirs + gone),
            tuple(size[v] for v in batch) + (1,) * len(mine) + tuple(size[v] for v in theirs + gone),
        )
        both = mul(x, y)
        return (sum(both, tuple(range(len(out), len(out) + len(gone)))) if gone else both), out
    many, m, n, k = (math.prod(size[v] for v in group) for group in (batch, mine, theirs, gone))
    lead = (many,) if batch else ()
    product = _matmul(
        reshape(_ordered(x, a, batch + mine + gone), (*lead, m, k)),
        reshape(_ordered(y, b, batch + gone + theirs), (*lead, k, n)),
    )
    return reshape(product, tuple(size[v] for v in out)), out


def _contracted(operands: list[Any], names: list[Labels], result: Labels) -> Any:
    """All operands, two at a time: next those whose product takes the fewest multiplications (of equals: the smallest)."""
    operands, names = list(operands), list(names)
    while len(operands) > 1:
        best = None
        for i, j in itertools.combinations(range(len(operands)), 2):
            kept = set(result).union(*(n for k, n in enumerate(names) if k not in (i, j)))
            size = {**dict(zip(names[i], operands[i].shape)), **dict(zip(names[j], operands[j].shape))}
            made = math.prod(n for v, n in size.items() if v in kept)
            cost = math.prod(size.values()), made
            if best is None or cost < best[0]:
                best = cost, i, j, kept
        assert best is not None
        _, i, j, kept = best
        y, b = operands.pop(j), names.pop(j)
        operands[i], names[i] = _pair(operands[i], names[i], y, b, kept)
    x, labels = _summed(operands[0], names[0], set(result))
    return _ordered(x, labels, result)


# --------------------------------------------------------------------------------------------------------------- public
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Einstein's sum: einsum("bij,bjk->bik", x, y), or einsum(x, [0, 1], y, [1, 2], [0, 2]).

    Letters name dimensions; those that the result does not name are summed over. One that an operand names twice is its
    diagonal. "..." stands for dimensions that broadcast; so do those of size 1. Without "->" the result has the ellipsis, then
    the letters that are there once, in alphabetical order. Several operands are multiplied two at a time in greedy order.
    ValueError for names and sizes that do not fit. Gradient: that of the products, sums and diagonals it is composed of.
    """
    result: Labels | None
    if isinstance(equation, str):
        given = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
        names, result = _parsed(equation, given)
    else:
        everything = [equation, *operands]
        result = list(everything.pop()) if len(everything) % 2 else None
        given, names = everything[::2], [list(n) for n in everything[1::2]]
    if not given:
        raise ValueError("einsum: expected at least one operand")
    written = [_text(n) for n in names]
    names = [_named(w, n, x) for w, n, x in zip(written, names, given)]
    dots = sorted({v for n in names for v in n if isinstance(v, tuple)}, reverse=True)
    if result is None:
        letters = [v for n in names for v in n if not isinstance(v, tuple)]
        result = [*dots, *sorted(v for v in set(letters) if letters.count(v) == 1)]
    elif Ellipsis in result:
        i = result.index(Ellipsis)
        result = [*result[:i], *dots, *result[i + 1 :]]
    known = {v for n in names for v in n}
    for v in result:
        if v not in known or result.count(v) > 1:
            raise ValueError(f"einsum: the result names {v!r} {'twice' if v in known else 'but no operand does'}")
    pairs = [_once(x, n) for x, n in zip(given, names)]
    return _contracted(*_narrowed(pairs), result)  # type: ignore[no-any-return]


def _narrowed(pairs: list[tuple[Any, Labels]]) -> tuple[list[Any], list[Labels]]:
    """Operands without their dimensions of size 1 where another has more; ValueError where sizes differ otherwise."""
    size: dict[Any, int] = {}
    for x, labels in pairs:
        for v, n in zip(labels, x.shape):
            if size.setdefault(v, n) == 1:
                size[v] = n
            elif n not in (1, size[v]):
                raise ValueError(
                    f"einsum: {v!r} names sizes {size[v]} and {n} in shapes {[tuple(x.shape) for x, _ in pairs]}"
                )
    operands, names = [], []
    for x, labels in pairs:
        kept = [v for v, n in zip(labels, x.shape) if n == size[v]]
        operands.append(x if kept == labels else reshape(x, tuple(size[v] for v in kept)))
        names.append(kept)
    return operands, names


def tensordot(x: Array, y: Array, dims: Any = 2) -> Tensor:
    """Sum of products over the last dims dimensions of x and the first of y, or over two lists of dimensions; the result has the
    others of x, then of y. ValueError where sizes differ. Gradient: that of the matrix product."""
    if isinstance(dims, (int, np.integer)):
        if not 0 <= dims <= min(x.ndim, y.ndim):
            raise ValueError(f"tensordot: dims = {dims} for shapes {tuple(x.shape)} and {tuple(y.shape)}")
        first, second = list(range(x.ndim - int(dims), x.ndim)), list(range(int(dims)))
    else:
        one, two = ([d] if isinstance(d, int) else list(d) for d in dims)
        first, second = ([one_dim("tensordot", z.ndim, d) for d in g] for z, g in ((x, one), (y, two)))
    if (
        [x.shape[d] for d in first] != [y.shape[d] for d in second]
        or len(set(first)) < len(first)
        or len(set(second)) < len(second)
    ):
        raise ValueError(
            f"tensordot: dims {first} of {tuple(x.shape)} and {second} of {tuple(y.shape)} must be of equal sizes, each once"
        )
    a: Labels = list(range(x.ndim))
    b: Labels = [first[second.index(d)] if d in second else x.ndim + d for d in range(y.ndim)]
    return _contracted([x, y], [a, b], [v for v in a if v not in b] + [v for v in b if v not in a])  # type: ignore[no-any-return]


def inner(x: Array, y: Array) -> Tensor:
    """Sum of products over the last dimensions: (..., k) and (*, k) -> (..., *); with a 0-d tensor, x * y."""
    if x.ndim == 0 or y.ndim == 0:
        return mul(x, y)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"inner: the last dimensions of {tuple(x.shape)} and {tuple(y.shape)} differ")
    return tensordot(x, y, ([-1], [-1]))


def vdot(x: Array, y: Array) -> Tensor:
    """dot: sum of products of two vectors -> 0-d (numbers are real here)."""
    return dot(x, y)


def kron(x: Array, y: Array) -> Tensor:
    """Kronecker's product: each element of x times all of y, (m, n) and (p, q) -> (m p, n q); the one of fewer dimensions gets
    leading ones. Gradient: that of the products."""
    n = max(x.ndim, y.ndim)
    a, b = ((1,) * (n - z.ndim) + tuple(z.shape) for z in (x, y))
    wide = reshape(x, tuple(s for m in a for s in (m, 1)))
    product = mul(wide, reshape(y, tuple(s for m in b for s in (1, m))))
    return reshape(product, tuple(m * k for m, k in zip(a, b)))


def cross(x: Array, y: Array, dim: int | None = None) -> Tensor:
    """Vector product along a dimension of size 3 (None: the first of that size), the others broadcast. ValueError where there is
    none. Gradient: y x g to x, g x x to y."""
    shape = broadcast_shapes(tuple(x.shape), tuple(y.shape))
    if x.ndim != y.ndim:
        raise ValueError(f"cross: shapes {tuple(x.shape)} and {tuple(y.shape)} must have as many dimensions")
    if dim is None:
        if 3 not in shape:
            raise ValueError(f"cross: no dimension of {shape} has size 3")
        dim = shape.index(3)
    d = one_dim("cross", len(shape), dim)
    if x.shape[d] != 3 or y.shape[d] != 3:
        raise ValueError(f"cross: dim {dim} of {tuple(x.shape)} and {tuple(y.shape)} must have size 3")
    x, y = (z if tuple(z.shape) == shape else broadcast_to(z, shape) for z in (x, y))
    first, second = _roll(x, (-1,), (d,)), _roll(y, (-1,), (d,))
    return sub(mul(first, _roll(second, (-1,), (d,))), mul(_roll(first, (-1,), (d,)), second))
