"""What fuzz_values.py calls of functions that move elements, make or convert tensors, and measure, and what NumPy says of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fuzz_draw import Array, Call, Draw, axes_of, axis_of, case, method, promoted, refuse

import tinytensor as tt
import tinytensor.nn.functional as F


# fmt: off
# ------------------------------------------------------------------------------------------------------------------ shapes
def moved(text: str, arrays: list[Array], ours: Any, theirs: Any, **more: Any) -> Call:
    """A call that moves elements and computes nothing."""
    return Call(text, arrays, ours, theirs, bits=True, **more)


@case("reshape permute transpose squeeze unsqueeze flatten broadcast_to expand movedim flip roll rot90 t ravel swapaxes unflatten contiguous clone")
def shapes(d: Draw, name: str) -> Call:
    x = d.array(d.shape(), "n")
    n = x.ndim
    f = method(d, name)
    if name == "reshape":
        sizes = list(x.shape)
        d.r.shuffle(sizes)
        if len(sizes) > 1 and d.chance(0.6):
            sizes[:2] = [sizes[0] * sizes[1]]
        if sizes and d.chance(0.4):
            sizes[d.r.randrange(len(sizes))] = -1
        if d.chance(0.05):
            sizes = [*sizes, d.one_of([2, -1, -2])]
        to = tuple(sizes)
        return moved(f"reshape{to}", [x], lambda x: f(x, *to) if to and d.chance(0.5) else f(x, to), lambda x: x.reshape(to))
    if name == "permute":
        order = d.r.sample(range(n), n)
        order = [o - n if d.chance(0.2) else o for o in order]
        if n and d.chance(0.05):
            order[0] = d.one_of([n, order[-1]])
        return moved(f"permute{order}", [x], lambda x: f(x, order), lambda x: x.transpose(order))
    if name in ("transpose", "swapaxes"):
        a, b = (d.dim(n) for _ in range(2))
        return moved(f"{name}({a}, {b})", [x], lambda x: f(x, a, b), lambda x: x.swapaxes(a, b))
    if name == "squeeze":
        dim = d.dims(n)
        def squeezed(x: Any) -> Any:
            axes = axes_of(x, dim)
            return x.reshape([k for i, k in enumerate(x.shape) if k != 1 or (axes is not None and i not in axes)])
        return moved(f"squeeze({dim})", [x], lambda x: f(x, dim) if dim is not None else f(x), squeezed)
    if name == "unsqueeze":
        dim = d.dim(n + 1)
        return moved(f"unsqueeze({dim})", [x], lambda x: f(x, dim), lambda x: np.expand_dims(x, dim))
    if name == "flatten":
        a, b = d.dim(n), d.dim(n)
        def flat(x: Any) -> Any:
            if not x.ndim:
                return (axes_of(x, a), axes_of(x, b), x.reshape(1))[2]
            i, j = axis_of(x, a), axis_of(x, b)
            refuse(ValueError, i > j)
            return x.reshape((*x.shape[:i], math.prod(x.shape[i : j + 1]), *x.shape[j + 1 :]))
        return moved(f"flatten({a}, {b})", [x], lambda x: f(x, a, b), flat)
    if name in ("broadcast_to", "expand"):
        to = tuple(d.one_of([2, 3, k]) if k == 1 else k for k in x.shape)
        to = (*d.shape(0, 2, large=False), *to)
        if d.chance(0.06):
            to = d.shape(0, 3, large=False)
        return moved(f"{name}{to}", [x], lambda x: f(x, to), lambda x: np.broadcast_to(x, to))
    if name == "movedim":
        a, b = d.dim(n), d.dim(n)
        return moved(f"movedim({a}, {b})", [x], lambda x: f(x, a, b), lambda x: np.moveaxis(x, axes_of(x, a)[0], axes_of(x, b)[0]) if x.ndim else (axes_of(x, a), axes_of(x, b), x)[2])
    if name == "flip":
        some = tuple(d.r.sample(range(-n, 0), d.r.randint(0, n))) if n else ()
        return moved(f"flip{some}", [x], lambda x: f(x, some), lambda x: np.flip(x, some))
    if name == "roll":
        by = d.r.randint(-20, 20)
        dim = None if d.chance(0.3) else d.dim(n)
        return moved(f"roll({by}, {dim})", [x], lambda x: f(x, by, dim), lambda x: np.roll(x, by, None if dim is None else axis_of(x, dim)))
    if name == "rot90":
        k = d.r.randint(-5, 5)
        return moved(f"rot90({k})", [x], lambda x: f(x, k), lambda x: np.rot90(x, k))
    if name == "t":
        return moved("t", [x], f, lambda x: (refuse(ValueError, x.ndim > 2), x.T)[1])
    if name == "unflatten":
        x = d.array((6, 4), "n")
        to = d.one_of([(2, 3), (-1, 2), (3, -1), (6,), (4, -1), (2, 2)])
        return moved(f"unflatten{to}", [x], lambda x: f(x, 0, to), lambda x: x.reshape((*to, 4)))
    return moved(name, [x], f, lambda x: x.reshape(-1) if name == "ravel" else x)


@case("repeat tile repeat_interleave pad unfold narrow select split chunk tensor_split unbind diagonal diag diag_embed tril triu atleast_2d")
def parts(d: Draw, name: str) -> Call:
    x = d.array(d.shape(0, 3, large=False), "n")
    n = x.ndim
    f = method(d, name)
    dim = d.dim(n)
    if name in ("repeat", "tile"):
        times = tuple(d.r.randint(0, 3) for _ in range(max(0, n + d.r.randint(-1, 1))))
        def tiled(x: Any) -> Any:
            refuse(ValueError, name == "repeat" and len(times) < x.ndim)
            return np.tile(x, times)
        return moved(f"{name}{times}", [x], lambda x: f(x, times), tiled)
    if name == "repeat_interleave":
        times = d.r.randint(-1 if d.chance(0.1) else 0, 3)
        one = None if d.chance(0.3) else dim
        def repeated(x: Any) -> Any:
            refuse(ValueError, times < 0 and (one is None or x.ndim == 0 or -x.ndim <= one < x.ndim))
            return np.repeat(x, times, None if one is None else axes_of(x, one)[0] if x.ndim else (axes_of(x, one), None)[1])
        return moved(f"{name}({times}, {one})", [x], lambda x: f(x, times, one), repeated)
    if name == "pad":
        pairs = [(d.r.randint(0, 3), d.r.randint(0, 3)) for _ in range(d.r.randint(0, n))]
        mode = d.one_of(["constant", "constant", "reflect", "replicate", "circular"])
        flat = tuple(p for pair in pairs[::-1] for p in pair)
        def padded(x: Any) -> Any:
            full = [(0, 0)] * (x.ndim - len(pairs)) + pairs
            for (a, b), k in zip(full, x.shape):
                limit = {"constant": 99, "reflect": k - 1, "circular": k, "replicate": 99 if k else 0}[mode]
                refuse(ValueError, mode != "constant" and len(pairs) > 0 and max(a, b) > max(limit, 0) and (a, b) != (0, 0))
            return np.pad(x, full, {"replicate": "edge", "circular": "wrap"}.get(mode, mode)) if full else x  # type: ignore[call-overload]
        return moved(f"pad({flat}, {mode})", [x], lambda x: f(x, flat, mode), padded)
    if name == "unfold":
        size, step = d.r.randint(0, 4), d.r.randint(0, 3)
        def windows(x: Any) -> Any:
            a = axis_of(x, dim)
            refuse(ValueError, not 0 < size <= x.shape[a] or step <= 0)
            view = np.lib.stride_tricks.sliding_window_view(x, size, a)
            return view[(*(slice(None),) * a, slice(None, None, step))]
        return moved(f"unfold({dim}, {size}, {step})", [x], lambda x: f(x, dim, size, step), windows)
    if name == "narrow":
        start, count = d.r.randint(-4, 5), d.r.randint(0, 4)
        def narrowed(x: Any) -> Any:
            a = axis_of(x, dim)
            k = x.shape[a]
            begin = start + k if -k <= start < 0 else start
            refuse(ValueError, not 0 <= begin <= begin + count <= k)
            return x[(*(slice(None),) * a, slice(begin, begin + count))]
        return moved(f"narrow({dim}, {start}, {count})", [x], lambda x: f(x, dim, start, count), narrowed)
    if name == "select":
        i = d.r.randint(-4, 4)
        return moved(f"select({dim}, {i})", [x], lambda x: f(x, dim, i), lambda x: x[(*(slice(None),) * axis_of(x, dim), i)])
    if name in ("split", "chunk", "tensor_split", "unbind"):
        k = d.r.randint(0 if d.chance(0.1) else 1, 5)
        def cut(x: Any) -> Any:
            a = axis_of(x, dim)
            m = x.shape[a]
            if name == "unbind":
                return tuple(np.moveaxis(x, a, 0))
            refuse(ValueError, k <= 0)
            if name == "tensor_split":
                return tuple(np.array_split(x, k, a))
            step = k if name == "split" else max(1, -(-m // k))
            return tuple(np.split(x, range(step, m, step), a))
        return moved(f"{name}({k}, {dim})", [x], (lambda x: f(x, dim)) if name == "unbind" else lambda x: f(x, k, dim), cut)
    if name == "atleast_2d":
        return moved(name, [x], f, np.atleast_2d)
    k = d.r.randint(-4, 4)
    if name == "diagonal":
        return moved(f"diagonal({k})", [x], lambda x: f(x, k), lambda x: (refuse(IndexError, x.ndim < 2), np.diagonal(x, k))[1])
    if name == "diag":
        return moved(f"diag({k})", [x], lambda x: f(x, k), lambda x: (refuse(ValueError, x.ndim not in (1, 2)), np.diag(x, k))[1])
    if name == "diag_embed":
        def embedded(x: Any) -> Any:
            refuse(ValueError, x.ndim == 0)
            size = x.shape[-1] + abs(k)
            out = np.zeros((*x.shape[:-1], size, size), x.dtype)
            for i in range(x.shape[-1]):
                out[..., i + max(-k, 0), i + max(k, 0)] = x[..., i]
            return out
        return moved(f"diag_embed({k})", [x], lambda x: f(x, k), embedded)
    g = np.tril if name == "tril" else np.triu
    return moved(f"{name}({k})", [x], lambda x: f(x, k), lambda x: (refuse(ValueError, x.ndim < 2), g(x, k))[1])


@case("cat stack hstack vstack dstack column_stack block_diag meshgrid broadcast_tensors cartesian_prod")
def joined(d: Draw, name: str) -> Call:
    base = d.shape(1 if name in ("block_diag",) else 0, 3 if name in ("cat", "stack") else 2, large=False)
    dim = d.dim(len(base) + (name == "stack"))
    count = d.r.randint(1, 3)
    kinds = d.dtype("n")
    shapes = []
    for _ in range(count):
        shape = list(base)
        if name == "cat" and base and -len(base) <= dim < len(base):
            shape[dim] = d.r.randint(0, 4)
        if d.chance(0.04) and shape:
            shape[d.r.randrange(len(shape))] += 1
        shapes.append(tuple(shape) if name not in ("meshgrid", "cartesian_prod") else (d.r.randint(0, 4),))
    arrays = [d.array(s, kinds if d.chance(0.8) else "n") for s in shapes]
    if name == "broadcast_tensors":
        arrays = [d.array(d.broadcastable(base), "n") for _ in range(count)]
        return moved(name, arrays, lambda *x: tt.broadcast_tensors(*x), lambda *x: tuple(v.astype(a.dtype) for v, a in zip(np.broadcast_arrays(*x), arrays)), told=True)
    if name == "meshgrid":
        arrays = [d.array(s, kinds) for s in shapes]
        return moved(name, arrays, lambda *x: tt.meshgrid(*x), lambda *x: tuple(np.meshgrid(*x, indexing="ij")))
    if name == "cartesian_prod":
        arrays = [d.array(s, kinds) for s in shapes]
        return moved(name, arrays, lambda *x: tt.cartesian_prod(*x), lambda *x: x[0] if len(x) == 1 else np.stack([v.ravel() for v in np.meshgrid(*x, indexing="ij")], 1))
    result = promoted([a if a.ndim else a.reshape(1) for a in arrays])
    if name == "block_diag":
        def blocks(*each: Any) -> Any:
            refuse(ValueError, any(x.ndim > 2 for x in each))
            two = [np.atleast_2d(x) for x in each]
            out = np.zeros(np.sum([x.shape for x in two], 0), result if result.kind != "f" else np.float64)
            r = c = 0
            for x in two:
                out[r : r + x.shape[0], c : c + x.shape[1]] = x
                r, c = r + x.shape[0], c + x.shape[1]
            return out
        arrays = [d.array(s, kinds) for s in shapes]
        result = arrays[0].dtype
        return moved(name, arrays, lambda *x: tt.block_diag(*x), blocks)
    def theirs(*x: Any) -> Any:
        x = tuple(v if result.kind == "f" else v.astype(result) for v in x)
        if name == "cat":
            whole = [v for v in x if v.shape != (0,)] or list(x)
            refuse(ValueError, whole[0].ndim == 0)
            return np.concatenate(whole, axis_of(whole[0], dim))
        if name == "stack":
            return np.stack(x, dim)
        return getattr(np, name)(x)
    f = getattr(tt, name)
    return moved(f"{name}({dim})", arrays, (lambda *x: f(x, dim)) if name in ("cat", "stack") else lambda *x: f(x), theirs, promote=True)


# ----------------------------------------------------------------------------------------------------------------- indices
@case("getitem setitem gather take_along_dim index_select masked_fill take scatter_add index_add index_fill masked_select nonzero bincount isin one_hot index_copy put")
def indexed(d: Draw, name: str) -> Call:
    x = d.array(d.shape(0, 3, large=False), "n")
    n = x.ndim
    dim = d.dim(n)
    here = n > 0 and -n <= dim < n
    a = dim % n if here else 0
    size = x.shape[a] if here else 1
    f = method(d, name)
    at = (slice(None),) * a
    if name in ("getitem", "setitem"):
        key: list[Any] = []
        some = d.r.randint(0, n)
        advanced = d.chance(0.5)
        for k in range(some):
            m = x.shape[k]
            kinds = ["int", "slice", "slice", "all"] + (["array"] if advanced else [])
            what = d.one_of(kinds)
            edge = lambda m=m: d.one_of([None, 0, 1, -1, m, m + 2, -m - 2])  # noqa: E731
            key.append(d.r.randint(-m - (d.chance(0.03)), m) if what == "int" else slice(None) if what == "all" else slice(edge(), edge(), d.one_of([None, 1, 2, -1, -2])) if what == "slice" else d.index((2,), m, True))
        if d.chance(0.2):
            key.insert(d.r.randint(0, len(key)), None)
        if d.chance(0.2):
            key.append(Ellipsis)
        whole: Any = tuple(key) if len(key) != 1 or d.chance(0.5) else key[0]
        if d.chance(0.1):
            whole = d.array(x.shape, "b")
        if name == "getitem":
            return moved(f"x[{whole!r}]", [x], lambda x: x[whole], lambda x: x[whole])
        value = d.array((), str(x.dtype))
        def assigned(x: Any, v: Any) -> Any:
            out = np.array(x)
            out[whole] = v
            return out
        def assign(x: Any, v: Any) -> Any:
            out = x.clone()
            out[whole] = v
            return out
        return moved(f"x[{whole!r}] = v", [x, value], assign, assigned)
    if name in ("gather", "take_along_dim"):
        shape = tuple(d.r.randint(0, 4) if k == a else (d.r.randint(0, m) if name == "gather" else m) for k, m in enumerate(x.shape)) if here else d.shape(0, 2, large=False)
        i = d.index(shape, size, name == "take_along_dim")
        def taken(x: Any) -> Any:
            k = axis_of(x, dim)
            refuse(ValueError, i.ndim != x.ndim)
            refuse(IndexError, name == "gather" and bool((i < 0).any()))
            part = x[tuple(slice(0, m) if j != k else slice(None) for j, m in enumerate(i.shape))] if name == "gather" else x
            return np.take_along_axis(part, i, k)
        return moved(f"{name}({dim}, {i.tolist()!r:.60})", [x], lambda x: f(x, dim, i) if name == "gather" else f(x, i, dim), taken)
    if name == "index_select":
        i = d.index(d.one_of([(), (3,), (0,)]), size)
        def selected(x: Any) -> Any:
            k = axis_of(x, dim)
            refuse(IndexError, bool(((i < 0) | (i >= x.shape[k])).any()))
            return np.take(x, i.reshape(-1), k)
        return moved(f"{name}({dim}, {i.tolist()})", [x], lambda x: f(x, dim, i), selected)
    if name == "take":
        i = d.index(d.shape(0, 2, large=False), x.size, True)
        return moved(f"take({i.tolist()!r:.60})", [x], lambda x: f(x, i), lambda x: np.take(x.reshape(-1), i) if x.size or not i.size else refuse(IndexError, True))
    if name in ("scatter_add", "index_add", "index_copy", "put"):
        x = d.array(x.shape, d.one_of(["float32", "float64", "int64"]))
        if name == "put":
            i = d.index((3,), x.size, True)
            s = d.array((3,), str(x.dtype))
            def put(x: Any, s: Any) -> Any:
                flat = np.array(x).reshape(-1)
                refuse(IndexError, not flat.size)
                for k, v in zip(i, s):
                    flat[k] = v
                return flat.reshape(x.shape)
            return moved(f"put({i.tolist()})", [x, s], lambda x, s: f(x, i, s), put)
        if name == "scatter_add":
            shape = tuple(d.r.randint(0, 3) if k == a else d.r.randint(0, m) for k, m in enumerate(x.shape)) if here else (2,)
            i, s = d.index(shape, size), d.array(shape, str(x.dtype))
        else:
            i = d.index((d.r.randint(0, 3),), size, True)
            s = d.array((*x.shape[:a], i.size, *x.shape[a + 1 :]) if here else (2,), str(x.dtype))
        def spread(x: Any, s: Any) -> Any:
            k = axis_of(x, dim)
            refuse(ValueError, i.ndim != x.ndim and name == "scatter_add")
            out = np.array(x)
            if name == "scatter_add":
                refuse(IndexError, bool((i < 0).any()))
                for where in np.ndindex(*i.shape):
                    out[(*where[:k], i[where], *where[k + 1 :])] += s[where]
            elif name == "index_add":
                np.add.at(out, (*at, i), s)
            else:
                for j, place in enumerate(i):
                    out[(*at, place)] = s[(*at, j)]
            return out
        total = lambda x, s: np.full((), np.abs(x).max(initial=0) + np.abs(s).sum())  # noqa: E731
        return Call(f"{name}({dim}, {i.tolist()!r:.60})", [x, s], lambda x, s: f(x, dim, i, s), spread, 8.0, total if name != "index_copy" else None)
    if name in ("masked_fill", "masked_select"):
        m = d.array(d.broadcastable(x.shape) if name == "masked_fill" else x.shape, "b")
        if name == "masked_select":
            return moved(name, [x], lambda x: f(x, m), lambda x: x[m])
        value = d.one_of([0, 1, 2])
        def filled(x: Any) -> Any:
            refuse(ValueError, np.broadcast_shapes(m.shape, x.shape) != x.shape)
            return np.where(m, np.asarray(value).astype(x.dtype), x)
        return moved(f"masked_fill({value})", [x], lambda x: f(x, m, value), filled)
    if name == "index_fill":
        i = d.index((2,), size, True)
        def filled_rows(x: Any) -> Any:
            k = axis_of(x, dim)
            refuse(IndexError, np.any((i < -x.shape[k]) | (i >= x.shape[k])))
            out = np.array(x)
            out[(*(slice(None),) * k, i)] = 1
            return out
        return moved(f"index_fill({dim}, {i.tolist()})", [x], lambda x: f(x, dim, i, 1), filled_rows)
    if name == "nonzero":
        return Call(name, [x], f, lambda x: np.argwhere(x))
    if name == "isin":
        y = d.array(d.shape(0, 2, large=False), str(x.dtype))
        return Call(name, [x, y], lambda x, y: tt.isin(x, y), np.isin)
    v = d.index((d.r.randint(0, 30),), 7)
    if name == "bincount":
        v = v.clip(-9, 9)
        return Call(name, [v], tt.bincount, lambda v: np.bincount(v), plain={0})
    def hot(v: Any) -> Any:
        refuse(IndexError, bool(((v < 0) | (v >= 7)).any()))
        return np.eye(7, dtype=np.int64)[v]
    return Call(name, [v], lambda v: F.one_hot(v, 7), hot, plain={0})


# ---------------------------------------------------------------------------------------------------- creation, conversion
@case("arange linspace logspace eye full zeros ones tril_indices triu_indices")
def created(d: Draw, name: str) -> Call:
    r = d.r
    kinds = d.one_of([None, "float32", "float64", "int64", "uint8", "bool"])
    how = {} if kinds is None else {"dtype": kinds}
    if name == "arange":
        start, end, step = d.one_of([(r.randint(-9, 9), r.randint(-9, 99), r.choice([1, 2, 3, -1, -2, 0])), (r.uniform(-2, 2), r.uniform(-2, 9), r.choice([0.5, 0.1, -0.3, 1.0]))])
        def ranged() -> Any:
            refuse(ValueError, step == 0 or (end - start) * step < 0)
            n = math.ceil((end - start) / step)
            a = start + np.arange(n) * step
            return a.astype(kinds or (np.int64 if isinstance(start, int) else np.float32))
        if kinds in ("bool", "uint8"):
            how, kinds = {}, None
        return Call(f"arange({start}, {end}, {step}, {kinds})", [], lambda: tt.arange(start, end, step, **how), ranged, 1.0, told=True)
    if name in ("linspace", "logspace"):
        start, end, steps = r.uniform(-3, 3), r.uniform(-3, 3), r.randint(-1, 40)
        if kinds not in (None, "float32", "float64"):
            how, kinds = {}, None
        def spaced() -> Any:
            refuse(ValueError, steps < 0)
            return getattr(np, name)(start, end, steps).astype(kinds or np.float32)
        return Call(f"{name}({start}, {end}, {steps}, {kinds})", [], lambda: getattr(tt, name)(start, end, steps, **how), spaced, 1.0 if name == "linspace" else 2.0, told=True)
    if name == "eye":
        m, n = r.randint(-1, 9), r.choice([None, 0, 3, 8])
        return Call(f"eye({m}, {n}, {kinds})", [], lambda: tt.eye(m, n, **how), lambda: np.eye(m, n, dtype=kinds or "float32"), told=True)
    if name in ("tril_indices", "triu_indices"):
        m, n, k = r.randint(0, 6), r.randint(0, 6), r.randint(-4, 4)
        return Call(f"{name}({m}, {n}, {k})", [], lambda: getattr(tt, name)(m, n, k), lambda: np.array(getattr(np, name)(m, k, n), np.int64))
    shape = d.shape(0, 3)
    if d.chance(0.05):
        shape = (*shape, -1)
    value = {"zeros": 0, "ones": 1, "full": r.choice([0, 3, 2.5, True])}[name]
    kind = kinds or ("float32" if name != "full" or isinstance(value, float) else "bool" if isinstance(value, bool) else "int64")
    f = getattr(tt, name)
    return Call(f"{name}({shape}, {value}, {kinds})", [], (lambda: f(shape, value, **how)) if name == "full" else (lambda: f(*shape, **how)) if d.chance(0.5) and shape else (lambda: f(shape, **how)), lambda: np.full(shape, value, kind), told=True)


@case("to tolist array_protocol item float_ fancy_copy")
def converted(d: Draw, name: str) -> Call:
    x = d.array(d.shape(), "n")
    if d.regime in ("spread", "special") and x.dtype.kind == "f" and name == "to":
        x = np.asarray(np.nan_to_num(x, nan=1.0).clip(-1e4, 1e4))  # what becomes of others is C's affair
    if name == "to":
        kind = d.dtype("n")
        if kind == "uint8":
            x = np.asarray(np.abs(x.astype(np.float64)).clip(0, 255)).astype(x.dtype)
        return Call(f"to({kind})", [x], lambda x: x.to(kind), lambda x: x.astype(kind if not kind.startswith("float") else np.float32 if kind == "float32" else np.float64), told=True)
    if name == "tolist":
        return Call(name, [x], lambda x: np.array(x.detach().tolist(), x.dtype).reshape(x.shape), lambda x: x, smooth=False)
    if name == "array_protocol":
        return Call(name, [x], lambda x: np.asarray(x.detach()), lambda x: x, smooth=False)
    if name == "item":
        return Call(name, [x], lambda x: np.asarray(x.detach().item(), x.dtype), lambda x: (refuse(ValueError, x.size != 1), x.reshape(()))[1], smooth=False)
    if name == "float_":
        return Call(name, [x], lambda x: np.asarray(float(x.detach()), np.float64), lambda x: (refuse(ValueError, x.size != 1), np.asarray(float(x.reshape(()))))[1], smooth=False, told=True)
    return Call(name, [x], lambda x: x.T if x.ndim == 2 else x.flip(0) if x.ndim == 1 else x.clone(), lambda x: x.T if x.ndim == 2 else x[::-1] if x.ndim == 1 else x)


# ----------------------------------------------------------------------------------------------------------------- metrics
@case("accuracy top_k_accuracy confusion_matrix mean_squared_error mean_absolute_error r2_score precision recall")
def measured(d: Draw, name: str) -> Call:
    m = tt.metrics
    d.regime = d.regime if d.regime in ("plain", "whole") else "plain"
    n, c = d.r.randint(1, 12), d.r.randint(2, 5)
    if name in ("mean_squared_error", "mean_absolute_error", "r2_score"):
        shape = (n,) if name == "r2_score" else d.shape(1, 3, False, large=False)
        x, y = d.array(shape, "f"), d.array(shape if d.chance(0.96) else (n + 1, 2, 2, 2), "f")
        def scored(x: Any, y: Any) -> Any:
            refuse(ValueError, x.shape != y.shape)
            if name == "r2_score":
                e, s = ((y - x) ** 2).sum(), ((y - y.mean()) ** 2).sum()
                return 1 - e / s if (y != y[0]).any() else 0.0 if e > 0 else 1.0
            return ((x - y) ** 2).mean() if name == "mean_squared_error" else np.abs(x - y).mean()
        if name == "r2_score" and n < 3:
            x, y = d.array((3,), "f"), np.arange(3.0)
        return Call(name, [x, y], lambda x, y: np.asarray(getattr(m, name)(x, y), np.float64), scored, 500.0, lambda x, y: np.full((), 10.0), smooth=False, told=True)
    t = d.n.integers(0, c, n)
    k = d.r.randint(1, c)
    x = d.array((n, c), "float32") if name in ("top_k_accuracy",) or d.chance(0.6) else d.n.integers(0, c, n)
    def counted(x: Any, t: Any) -> Any:
        p = x.argmax(1) if x.ndim == 2 else x
        if name == "accuracy":
            return (p == t).mean()
        if name == "top_k_accuracy":
            order = np.argsort(-x, 1, kind="stable")[:, :k]
            return (order == t[:, None]).any(1).mean()
        size = x.shape[1] if x.ndim == 2 else 1 + max(p.max(), t.max())
        table = np.zeros((size, size), np.int64)
        np.add.at(table, (t, p), 1)
        if name == "confusion_matrix":
            return table
        hits, of = np.diag(table), table.sum(0 if name == "precision" else 1)
        return np.mean([h / o if o else 0.0 for h, o in zip(hits, of)])
    ours = (lambda x, t: m.top_k_accuracy(x, t, k)) if name == "top_k_accuracy" else getattr(m, name)
    return Call(f"{name}({k})", [x, t], lambda x, t: np.asarray(ours(x, t)), counted, 8.0, smooth=False, told=True, plain={1})
# fmt: on
