"""Moving elements about: flips, tiles, padding, diagonals, windows. PyTorch's names; views where PyTorch gives views."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _kernels
from ..op import Array, op
from ..tensor import Tensor
from .index import getitem
from .join import cat, narrow, stack
from .reduction import sum
from .shape import broadcast_to, clone, one_dim, permute, reshape, transpose, view

swapdims = transpose


def _listed(values: tuple[Any, ...], named: Any = None) -> tuple[Any, ...]:
    """(a, b) from f(a, b), from f([a, b]) and from f(name=[a, b])."""
    if named is not None:
        values = (named if isinstance(named, (list, tuple)) else [named],)
    return tuple(values[0]) if len(values) == 1 and isinstance(values[0], (list, tuple)) else values


def _dims(name: str, ndim: int, dims: Sequence[int]) -> tuple[int, ...]:
    """Each dim as a non-negative int; a 0-d tensor counts as one dimension. ValueError when one is named twice."""
    found = tuple(one_dim(name, max(ndim, 1), int(d)) for d in dims)
    if len(set(found)) < len(found):
        raise ValueError(f"{name}: dims {tuple(dims)} name a dimension twice")
    return found if ndim else ()


# ---------------------------------------------------------------------------------------------------- flips and rolls
@op
def _flip(x: Array, dims: tuple[int, ...]) -> Any:
    return clone(np.flip(x, dims))


@_flip.rule
def _(g: Any, dims: tuple[int, ...]) -> Any:
    return _flip(g, dims)


def flip(x: Array, *args: Any, dims: Any = None) -> Tensor:
    """The elements in reverse order along dims, flip(0, 1) or flip([0, 1]) (a copy). Gradient: g flipped back."""
    return _flip(x, _dims("flip", x.ndim, _listed(args, dims)))


def fliplr(x: Array) -> Tensor:
    """flip along dim 1. ValueError below 2 dimensions."""
    if x.ndim < 2:
        raise ValueError(f"fliplr: expected at least 2 dimensions, got shape {tuple(x.shape)}")
    return _flip(x, (1,))


def flipud(x: Array) -> Tensor:
    """flip along dim 0. ValueError for a 0-d tensor."""
    if x.ndim < 1:
        raise ValueError("flipud: expected at least 1 dimension, got a 0-d tensor")
    return _flip(x, (0,))


@op
def _roll(x: Array, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    return clone(np.roll(x, shifts, dims))


@_roll.rule
def _(g: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    return _roll(g, tuple(-s for s in shifts), dims)


def roll(x: Array, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved on by shifts along dims, those that fall out coming in at the other end (dims None: over the flattened
    tensor). A copy. ValueError where there are not as many shifts as dims. Gradient: g rolled back."""
    by = (int(shifts),) if isinstance(shifts, (int, np.integer)) else tuple(int(s) for s in shifts)
    along = () if dims is None else (dims,) if isinstance(dims, (int, np.integer)) else tuple(dims)
    if not along and len(by) == 1:
        return reshape(_roll(reshape(x, (math.prod(x.shape),)), by, (0,)), tuple(x.shape))
    if len(by) != len(along):
        raise ValueError(f"roll: {len(by)} shifts {by} for {len(along)} dims {along}; give one for each")
    return _roll(x, by, tuple(one_dim("roll", x.ndim, d) for d in along))


def rot90(x: Array, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned k times by 90 degrees from the first of two dims towards the second (a copy). Gradient: g turned back."""
    if len(dims) != 2 or x.ndim < 2:
        raise ValueError(f"rot90: expected 2 dims of at least 2, got dims {tuple(dims)} of shape {tuple(x.shape)}")
    a, b = _dims("rot90", x.ndim, dims)
    if k % 4 == 0:
        return clone(x)
    if k % 4 == 2:
        return _flip(x, (a, b))
    return transpose(_flip(x, (b,) if k % 4 == 1 else (a,)), a, b)


# ------------------------------------------------------------------------------------------------------------ repeats
@op
def _tile(x: Array, times: tuple[int, ...]) -> Any:
    """times: one for each dimension of x."""
    out = _kernels.empty(tuple(t * n for t, n in zip(times, x.shape)), x.dtype)
    parts = out.reshape(tuple(s for t, n in zip(times, x.shape) for s in (t, n)))
    np.copyto(parts, x.reshape(tuple(s for n in x.shape for s in (1, n))))
    return out


@_tile.rule
def _(g: Any, x_shape: tuple[int, ...], times: tuple[int, ...]) -> Any:
    parts = reshape(g, tuple(s for t, n in zip(times, x_shape) for s in (t, n)))
    return sum(parts, tuple(range(0, 2 * len(times), 2)))


def _tiled(name: str, x: Any, times: tuple[Any, ...]) -> Tensor:
    times = tuple(int(t) for t in times)
    if min(times, default=0) < 0:
        raise ValueError(f"{name}: expected sizes of at least 0, got {times}")
    return _tile(reshape(x, (*(1,) * (len(times) - x.ndim), *x.shape)), times)


def repeat(x: Array, *sizes: Any) -> Tensor:
    """x that often along each dimension (leading ones are new): (2,).repeat(3, 2) -> (3, 4). A copy. ValueError for fewer sizes
    than dimensions. Gradient: the sum of g over the repeats."""
    times = _listed(sizes)
    if len(times) < x.ndim:
        raise ValueError(
            f"repeat: sizes {times} are fewer than the {x.ndim} dimensions of shape {tuple(x.shape)}; use tile"
        )
    return _tiled("repeat", x, times)


def tile(x: Array, *args: Any, dims: Any = None) -> Tensor:
    """repeat, where dimensions in front that are not named stay as they are. Gradient: the sum of g over the repeats."""
    times = _listed(args, dims)
    return _tiled("tile", x, (1,) * (x.ndim - len(times)) + tuple(times))


def repeat_interleave(x: Array, repeats: Any, dim: int | None = None) -> Tensor:
    """Each element along dim (None: of the flattened tensor) `repeats` times in a row: an int, or integers (n,) for each.
    ValueError for negative repeats, or another number of them. Gradient: the sum of g over the repeats."""
    x = reshape(x, (math.prod(x.shape),)) if dim is None or x.ndim == 0 else x
    d = 0 if dim is None else one_dim("repeat_interleave", x.ndim, dim)
    times = np.asarray(repeats._data if isinstance(repeats, Tensor) else repeats)
    if times.dtype.kind not in "iu" or times.ndim > 1 or np.count_nonzero(times < 0):
        raise ValueError(f"repeat_interleave: expected repeats as a number or vector of integers >= 0, got {repeats!r}")
    if times.size not in (1, x.shape[d]):
        raise ValueError(f"repeat_interleave: {times.size} repeats for size {x.shape[d]} of dim {dim}")
    return getitem(x, _at(d, np.repeat(np.arange(x.shape[d], dtype=np.int64), times)))


def _at(dim: int, index: Any) -> Any:
    return (*(slice(None),) * dim, index) if dim else index


# ---------------------------------------------------------------------------------------------------------------- pad
@op
def _pad(x: Array, widths: tuple[tuple[int, int], ...], value: Any) -> Any:
    out = _kernels.empty(tuple(n + a + b for n, (a, b) in zip(x.shape, widths)), x.dtype)
    out.fill(value)
    out[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, widths))] = x
    return out


@_pad.rule
def _(g: Any, x_shape: tuple[int, ...], widths: tuple[tuple[int, int], ...]) -> Any:
    return getitem(g, tuple(slice(a, a + n) for n, (a, _) in zip(x_shape, widths)))


def _border(mode: str, n: int, before: int, after: int) -> Any:
    """Which element each place of a padded dimension shows."""
    i = np.arange(-before, n + after, dtype=np.int64)
    longest = max(before, after)
    limit = {"reflect": n - 1, "circular": n, "replicate": longest if n else 0}[mode]
    if longest > max(limit, 0):
        raise ValueError(f"pad: mode {mode} can pad a dimension of size {n} by at most {max(limit, 0)}, got {longest}")
    if mode == "replicate":
        return i.clip(0, n - 1)
    if mode == "circular":
        return i % n
    i = np.abs(i)
    return np.where(i >= n, 2 * (n - 1) - i, i)


def pad(x: Array, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """x with a border (a copy). pad: (before, after) of the last dimension, then of the one before it, and so on; negative
    ones cut off. mode: "constant" (value, or 0), "reflect" (without the edge), "replicate" or "circular".
    Gradient: g inside; what a border shows adds up on the element that it shows. ValueError where a size does not suffice."""
    given = tuple(int(p) for p in pad)
    if len(given) % 2 or len(given) > 2 * x.ndim:
        raise ValueError(
            f"pad: expected (before, after) for at most {x.ndim} dimensions of shape {tuple(x.shape)}, got {given}"
        )
    pairs = list(zip(given[::2], given[1::2]))[::-1]
    kept = x.ndim - len(pairs)
    for n, (a, b) in zip(x.shape[kept:], pairs):
        if n + a + b < 0 or min(a, 0) + min(b, 0) + n < 0:
            raise ValueError(f"pad: {given} cuts more off than shape {tuple(x.shape)} has")
    if mode != "constant":
        if mode not in ("reflect", "replicate", "circular"):
            raise ValueError(f"pad: expected mode constant, reflect, replicate or circular, got {mode!r}")
        if value is not None:
            raise ValueError(f"pad: mode {mode} takes no value")
        if not pairs:
            return clone(x)
        borders = [_border(mode, n, a, b) for n, (a, b) in zip(x.shape[kept:], pairs)]
        return getitem(x, (*(slice(None),) * kept, *np.ix_(*borders)))
    if any(p < 0 for p in given):
        cuts = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape[kept:], pairs))
        x = getitem(x, (*(slice(None),) * kept, *cuts))
    return _pad(x, ((0, 0),) * kept + tuple((max(a, 0), max(b, 0)) for a, b in pairs), 0 if value is None else value)


# -------------------------------------------------------------------------------------------------- parts and windows
def select(x: Array, dim: int, index: int) -> Tensor:
    """The slice number `index` along dim, without that dimension (a view)."""
    d = one_dim("select", x.ndim, dim)
    if not -x.shape[d] <= int(index) < x.shape[d]:
        raise IndexError(f"select: index {int(index)} is out of range for size {x.shape[d]} of dim {dim}")
    return getitem(x, (*(slice(None),) * d, int(index)))


def unbind(x: Array, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices along dim, without that dimension (views)."""
    d = one_dim("unbind", x.ndim, dim)
    return tuple(select(x, d, i) for i in range(x.shape[d]))


def _windows(x: Any, d: int, size: int, step: int) -> Any:
    """(..., n, ..., size): a read-only view whose chain of bases ends where that of x does, or one of a copy."""
    root = x
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not root.flags.c_contiguous:  # foreign memory with gaps
        root = x = clone(x)
    offset = x.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    shape = (*x.shape[:d], (x.shape[d] - size) // step + 1, *x.shape[d + 1 :], size)
    strides = (*x.strides[:d], x.strides[d] * step, *x.strides[d + 1 :], x.strides[d])
    if math.prod(shape) == 0:
        return _kernels.empty(shape, x.dtype)
    view: Any = np.ndarray(shape, x.dtype, root, offset, strides)
    view.flags.writeable = False  # one write would change several elements
    return view


@op(view=True)
def _unfold(x: Array, d: int, size: int, step: int) -> Any:
    return _windows(x, d, size, step)


@_unfold.rule
def _(g: Any, x_shape: tuple[int, ...], d: int, size: int, step: int) -> Any:
    return _unfold_grad(g, x_shape, d, size, step)


@op
def _unfold_grad(g: Array, shape: tuple[int, ...], d: int, size: int, step: int) -> Any:
    """Zeros of `shape` with each window of g added, in the order of g."""
    out = _kernels.empty(shape, g.dtype)
    out.fill(0)
    places = _windows(np.arange(out.size, dtype=np.int64).reshape(shape), d, size, step)
    _kernels.scatter_add(out.reshape(-1), places.reshape(-1), g.reshape(-1))
    return out


@_unfold_grad.rule
def _(u: Any, d: int, size: int, step: int) -> Any:
    return _unfold(u, d, size, step)


def unfold(x: Array, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements along a dimension, `step` apart, as a new last dimension: (..., n, ...) -> (...,
    (n - size) // step + 1, ..., size). A read-only view (of memory from elsewhere with gaps, a copy). Gradient: what windows
    share adds up, in one order. ValueError where no window fits."""
    d = one_dim("unfold", x.ndim, dimension)
    if not 0 < size <= x.shape[d] or step <= 0:
        raise ValueError(
            f"unfold: expected 0 < size <= {x.shape[d]} (dim {dimension}) and step > 0, got {size} and {step}"
        )
    return _unfold(x, d, size, step)


def movedim(x: Array, source: Any, destination: Any) -> Tensor:
    """Dimensions source moved to the places destination; the others keep their order (a view)."""
    one = isinstance(source, (int, np.integer)), isinstance(destination, (int, np.integer))
    if one[0] != one[1] or (not one[0] and len(source) != len(destination)):
        raise ValueError(f"movedim: source {source} and destination {destination} must be of one length")
    a = _dims("movedim", x.ndim, (source,) if one[0] else source)
    b = _dims("movedim", x.ndim, (destination,) if one[1] else destination)
    order = [d for d in range(x.ndim) if d not in a]
    for to, d in sorted(zip(b, a)):
        order.insert(to, d)
    return permute(x, order)


moveaxis = movedim


def swapaxes(x: Array, axis0: int, axis1: int) -> Tensor:
    """transpose, with NumPy's names of its arguments."""
    return transpose(x, axis0, axis1)


def view_as(x: Array, other: Array) -> Tensor:
    """view in the shape of other."""
    return view(x, tuple(other.shape))


def reshape_as(x: Array, other: Array) -> Tensor:
    """reshape to the shape of other."""
    return reshape(x, tuple(other.shape))


# ---------------------------------------------------------------------------------------------- diagonals and triangles
@op(view=True)
def _diagonal(x: Array, offset: int, dim1: int, dim2: int) -> Any:
    part = x.diagonal(offset, dim1, dim2)
    if x.flags.writeable:  # NumPy gives it read-only
        part.flags.writeable = True
    return _kernels.owned(part)


@_diagonal.rule
def _(g: Any, x_shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Any:
    return _diag_embed(g, x_shape, offset, dim1, dim2)


@op
def _diag_embed(x: Array, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Any:
    """Zeros of `shape` with x on a diagonal."""
    out = _kernels.empty(shape, x.dtype)
    out.fill(0)
    part = out.diagonal(offset, dim1, dim2)
    part.flags.writeable = True
    part[...] = x
    return out


@_diag_embed.rule
def _(u: Any, offset: int, dim1: int, dim2: int) -> Any:
    return _diagonal(u, offset, dim1, dim2)


def diagonal(x: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Elements [i, i + offset] of dims dim1 and dim2 as a new last dimension (a view). Gradient: g on that diagonal of zeros."""
    if x.ndim < 2:
        raise ValueError(
            f"diagonal: expected at least 2 dimensions, got shape {tuple(x.shape)}; diag makes one of a vector"
        )
    a, b = _dims("diagonal", x.ndim, (dim1, dim2))
    return _diagonal(x, _within("diagonal", offset, x.shape[a], x.shape[b]), a, b)


def _within(name: str, offset: Any, rows: int, columns: int) -> int:
    """An offset no farther out than the first empty diagonal: NumPy's own arithmetic wraps around far out."""
    try:
        return max(-rows, min(operator.index(offset), columns))
    except TypeError:
        raise TypeError(f"{name}: expected a whole number as offset, got {offset!r:.100}") from None


def diag_embed(x: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Zeros with the last dimension of x on the diagonal of new dims dim1 and dim2. Gradient: that diagonal of g."""
    if x.ndim < 1:
        raise ValueError("diag_embed: expected at least 1 dimension, got a 0-d tensor")
    a, b = _dims("diag_embed", x.ndim + 1, (dim1, dim2))
    n = x.shape[-1] + abs(offset)
    shape = list(x.shape[:-1])
    for d in sorted((a, b)):
        shape.insert(d, n)
    return _diag_embed(x, tuple(shape), offset, a, b)


def diag(x: Array, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a matrix; of a matrix, its diagonal (a copy). ValueError for other shapes."""
    if x.ndim == 1:
        return diag_embed(x, diagonal)
    if x.ndim != 2:
        raise ValueError(f"diag: expected a vector or a matrix, got shape {tuple(x.shape)}; use diagonal or diag_embed")
    return clone(_diagonal(x, _within("diag", diagonal, *x.shape), 0, 1))


def trace(x: Array) -> Tensor:
    """Sum of the diagonal of a matrix -> 0-d. ValueError for other shapes. Gradient: g on the diagonal."""
    if x.ndim != 2:
        raise ValueError(f"trace: expected a matrix, got shape {tuple(x.shape)}; use diagonal(...).sum(-1) for a batch")
    return sum(_diagonal(x, 0, 0, 1))


@op
def _triangle(x: Array, diagonal: int, upper: bool) -> Any:
    kept = np.tri(x.shape[-2], x.shape[-1], diagonal - upper, dtype=bool) != upper
    out = _kernels.empty(x.shape, x.dtype)
    out.fill(0)
    np.copyto(out, x, where=kept)
    return out


@_triangle.rule
def _(g: Any, diagonal: int, upper: bool) -> Any:
    return _triangle(g, diagonal, upper)


def _matrices(name: str, x: Any) -> Any:
    if x.ndim < 2:
        raise ValueError(f"{name}: expected at least 2 dimensions, got shape {tuple(x.shape)}")
    return x


def tril(x: Array, diagonal: int = 0) -> Tensor:
    """Matrices (..., m, n) with 0 above a diagonal (a copy). Gradient: g with 0 there."""
    return _triangle(_matrices("tril", x), diagonal, False)


def triu(x: Array, diagonal: int = 0) -> Tensor:
    """Matrices (..., m, n) with 0 below a diagonal (a copy). Gradient: g with 0 there."""
    return _triangle(_matrices("triu", x), diagonal, True)


# --------------------------------------------------------------------------------------- more dimensions, joins, splits
def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that tensors of these shapes broadcast to. ValueError where they do not."""
    each = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    try:
        return np.broadcast_shapes(*each)
    except ValueError:
        raise ValueError(f"broadcast_shapes: shapes {each} cannot be broadcast together") from None


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Tensors in the one shape that they broadcast to (read-only views)."""
    each = _listed(tensors)
    shape = broadcast_shapes(*(tuple(t.shape) for t in each))
    return tuple(broadcast_to(t, shape) for t in each)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid: vectors (n,), (m,) ... -> tensors (n, m, ...), number i varying along dim i (read-only views);
    indexing "xy" exchanges the first two dimensions."""
    each = _listed(tensors)
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: expected indexing 'ij' or 'xy', got {indexing!r}")
    if not each or any(t.ndim > 1 for t in each):
        raise ValueError(f"meshgrid: expected vectors, got shapes {[tuple(t.shape) for t in each]}")
    shape = tuple(math.prod(t.shape) for t in each)
    grids = [
        broadcast_to(reshape(t, tuple(n if i == j else 1 for j in range(len(shape)))), shape)
        for i, (t, n) in enumerate(zip(each, shape))
    ]
    return tuple(transpose(g, 0, 1) if indexing == "xy" and len(shape) > 1 else g for g in grids)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of elements of vectors, the last varying fastest: (n,), (m,) -> (n m, 2)."""
    each = _listed(tensors)
    if len(each) == 1 and each[0].ndim == 1:
        return clone(each[0])
    return stack([reshape(g, (-1 if math.prod(g.shape) else 0,)) for g in meshgrid(*each)], 1)


def _at_least(n: int, name: str) -> Any:
    def widened(x: Any) -> Any:
        shape = tuple(x.shape)
        if len(shape) >= n:
            return x
        front = (1,) if n > 1 and len(shape) < 2 else ()
        grown = (*front, *(shape or (1,)))
        return reshape(x, (*grown, *(1,) * (n - len(grown))))

    def function(*tensors: Any) -> Any:
        if len(tensors) == 1 and not isinstance(tensors[0], (list, tuple)):
            return widened(tensors[0])
        return tuple(widened(t) for t in _listed(tensors))

    function.__name__ = name
    function.__doc__ = (
        f"Tensors with at least {n} dimension{'s' * (n > 1)} (views): one gives one, several give a tuple."
    )
    return function


atleast_1d = _at_least(1, "atleast_1d")
atleast_2d = _at_least(2, "atleast_2d")
atleast_3d = _at_least(3, "atleast_3d")


def _some(name: str, tensors: Sequence[Any]) -> list[Any]:
    if len(tensors) == 0:
        raise ValueError(f"{name}: expected at least one tensor")
    return list(tensors)


def hstack(tensors: Sequence[Array]) -> Tensor:
    """Tensors joined along dim 1 (vectors: dim 0)."""
    each = [atleast_1d(t) for t in _some("hstack", tensors)]
    return cat(each, 0 if each[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Array]) -> Tensor:
    """Tensors joined along dim 0, vectors as rows."""
    return cat([atleast_2d(t) for t in _some("vstack", tensors)], 0)


def dstack(tensors: Sequence[Array]) -> Tensor:
    """Tensors joined along dim 2, as of at least three dimensions."""
    return cat([atleast_3d(t) for t in _some("dstack", tensors)], 2)


def column_stack(tensors: Sequence[Array]) -> Tensor:
    """Tensors joined along dim 1, vectors as columns."""
    each = _some("column_stack", tensors)
    return cat([reshape(t, (math.prod(t.shape), 1)) if t.ndim < 2 else t for t in each], 1)


def block_diag(*tensors: Any) -> Tensor:
    """Matrices along the diagonal of a matrix of zeros; vectors are rows. Gradient: the blocks of g."""
    each = [atleast_2d(t) for t in _some("block_diag", tensors)]
    for t in each:
        if t.ndim > 2:
            raise ValueError(f"block_diag: expected at most 2 dimensions, got shape {tuple(t.shape)}")
    ends = np.cumsum([t.shape[1] for t in each]).tolist()
    return cat([pad(t, (end - t.shape[1], ends[-1] - end)) for t, end in zip(each, ends)], 0)


def tensor_split(x: Array, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts along dim (views): that many, the first ones longer by 1 where they do not come out even, or cut at the indices."""
    d = one_dim("tensor_split", x.ndim, dim)
    n = x.shape[d]
    at = np.asarray(indices_or_sections._data if isinstance(indices_or_sections, Tensor) else indices_or_sections)
    if at.ndim == 0:
        parts = int(at)
        if not 0 < parts < 2**31:
            raise ValueError(f"tensor_split: expected a positive number of sections, below 2^31, got {parts}")
        sizes = [n // parts + (i < n % parts) for i in range(parts)]
        starts = [0, *np.cumsum(sizes).tolist()]
        return tuple(narrow(x, d, a, s) for a, s in zip(starts, sizes))
    cuts = [slice(None, int(i)).indices(n)[1] for i in at]
    return tuple(narrow(x, d, a, max(b - a, 0)) for a, b in zip([0, *cuts], [*cuts, n]))


def _split(name: str, x: Any, indices_or_sections: Any, dim: int, least: int) -> tuple[Tensor, ...]:
    if x.ndim < least:
        raise ValueError(f"{name}: expected at least {least} dimension{'s' * (least > 1)}, got shape {tuple(x.shape)}")
    if isinstance(indices_or_sections, int) and (indices_or_sections <= 0 or x.shape[dim] % indices_or_sections):
        raise ValueError(
            f"{name}: size {x.shape[dim]} of dim {dim} does not divide into {indices_or_sections} parts; use tensor_split"
        )
    return tensor_split(x, indices_or_sections, dim)


def hsplit(x: Array, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """tensor_split along dim 1 (a vector: dim 0); ValueError where a number of parts does not divide the size."""
    return _split("hsplit", x, indices_or_sections, 0 if x.ndim == 1 else 1, 1)


def vsplit(x: Array, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """tensor_split along dim 0; ValueError where a number of parts does not divide the size."""
    return _split("vsplit", x, indices_or_sections, 0, 2)


def dsplit(x: Array, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """tensor_split along dim 2; ValueError where a number of parts does not divide the size."""
    return _split("dsplit", x, indices_or_sections, 2, 3)
