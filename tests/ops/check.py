"""What the runner does with a row of the table: inputs, values against the reference, gradients against its differences."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from table import Row, Shapes

import tinytensor as tt
from tinytensor import autograd

STEP = 5e-4  # of the differences: their error is STEP^4, and a rounding error over STEP
SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-40, -3e38]


def seed_of(*words: Any) -> int:
    """One seed for one row and case, the same in every process."""
    return zlib.crc32(repr(words).encode())


def draw(domain: str, rng: np.random.Generator, shape: tuple[int, ...], position: int) -> Any:
    """An input in float64 (or int64, bool), off the kinks: no number nearer to 0 than 0.1, `apart` ones no nearer to each other
    than 0.05, in whatever input they are."""
    n = math.prod(shape)
    if domain == "any":
        return rng.uniform(0.1, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
    if domain == "positive":
        return rng.uniform(0.1, 2.0, shape)
    if domain == "unit":
        return rng.uniform(0.1, 0.9, shape)
    if domain == "apart":
        return ((rng.permutation(n) - n // 2) * 0.3 + 0.17 + 0.1 * position).reshape(shape)
    if domain == "special":
        return np.resize(np.array(SPECIAL), shape)
    if domain == "bool":
        return rng.random(shape) < 0.5
    if domain == "int":
        return rng.integers(-9, 9, shape)
    assert domain == "small", domain
    return rng.integers(-1, 2, shape).astype(np.float64)


def inputs_of(r: Row, shapes: Shapes) -> list[Any]:
    """Inputs in float64 for one case of a row."""
    rng = np.random.default_rng(seed_of(r.id, shapes))
    return [np.asarray(draw(d, rng, s, i)) for i, (d, s) in enumerate(zip(r.domains, shapes))]


def cast(a: Any, dtype: Any) -> Any:
    """A float input in another dtype; others as they are."""
    return a.astype(dtype) if a.dtype.kind == "f" else a


def outputs(result: Any) -> list[Any]:
    """The arrays of a result, which may be a Tensor, an array, a number or several."""
    several = result if isinstance(result, (tuple, list)) else [result]
    return [np.asarray(v.detach().numpy() if isinstance(v, tt.Tensor) else v) for v in several]


def tensors(arrays: list[Any]) -> list[Any]:
    return [tt.from_numpy(a) for a in arrays]


def call(r: Row, arrays: list[Any]) -> list[Any]:
    """What the op gives, on Tensors."""
    return outputs(r.call(*tensors(arrays), **r.kwargs))


def expected(r: Row, arrays: list[Any]) -> list[Any]:
    """What the reference gives, in float64."""
    with np.errstate(all="ignore"):
        return outputs(r.reference(*(cast(a, np.float64) for a in arrays)))


def assert_close(got: Any, want: Any, ulps: float, scale: float) -> None:
    """Equal NaN and infinities; finite values within `ulps` of want's last place (of the larger of |want| and scale)."""
    assert got.shape == want.shape
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    rounded = want.astype(got.dtype)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(rounded))
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    where = np.maximum(np.abs(rounded[finite]), got.dtype.type(scale))
    # the reference is in double: its own error, up to two places, counts only there
    allowed = (ulps + (2.5 if got.dtype == np.float64 and ulps else 0)) * np.spacing(where).astype(np.float64)
    error = np.abs(got[finite].astype(np.float64) - want[finite])
    worst = float((error / allowed).max()) if error.size and ulps else float(error.max(initial=0.0))
    assert (error <= allowed).all(), f"off by {worst:.3g} of what is allowed"


def same_bits(a: Any, b: Any) -> None:
    """Equal bit for bit (NaN equal to NaN)."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b)) if a.dtype.kind == "f" else None
    assert (
        np.ascontiguousarray(np.where(a == a, a, 0)).tobytes() == np.ascontiguousarray(np.where(b == b, b, 0)).tobytes()
    )


# ---------------------------------------------------------------------------------------------------------- gradients
def differentiable(r: Row) -> bool:
    return bool(r.grads)


def leaves(r: Row, arrays: list[Any]) -> list[Any]:
    made = []
    for i, a in enumerate(arrays):
        t = tt.tensor(a)
        made.append(t.requires_grad_() if i in r.grads else t)
    return made


def float_outputs(result: Any) -> list[Any]:
    several = result if isinstance(result, (tuple, list)) else [result]
    return [v for v in several if v.dtype.kind == "f"]


def differences(f: Callable[[list[Any]], list[Any]], arrays: list[Any], which: list[int], ups: list[Any]) -> list[Any]:
    """Central differences, of fourth order, of sum(ups * f) to each element of some inputs."""
    found = []
    for i in which:
        flat = np.array(arrays[i], np.float64).reshape(-1)
        slope = np.zeros(flat.shape)
        for j in range(flat.size):
            total = 0.0
            for steps, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
                moved = flat.copy()
                moved[j] += steps * STEP
                values = f([*arrays[:i], moved.reshape(arrays[i].shape), *arrays[i + 1 :]])
                total += weight * sum(float((u * v).sum()) for u, v in zip(ups, values))
            slope[j] = total / (12 * STEP)
        found.append(slope.reshape(arrays[i].shape))
    return found


def assert_slopes(got: list[Any], want: list[Any], relative: float) -> None:
    """Each gradient within `relative` of the differences (and of their rounding error, at most 2e-10 of the largest)."""
    for g, w in zip(got, want):
        assert g.shape == w.shape
        allowed = relative * np.abs(w) + 2e-10 * max(1.0, float(np.abs(w).max(initial=0.0)))
        assert (np.abs(g - w) <= allowed).all(), f"gradient {g} against {w}"


def check_gradient(r: Row, shapes: Shapes) -> list[Any]:
    """The first derivative against the reference's own differences; the nodes that it went through come back."""
    arrays = inputs_of(r, shapes)
    made = leaves(r, arrays)
    outs = float_outputs(r.call(*made, **r.kwargs))
    rng = np.random.default_rng(seed_of(r.id, shapes, "up"))
    ups = [rng.uniform(0.5, 1.5, o.shape) * rng.choice([-1.0, 1.0], o.shape) for o in outs]
    nodes = walk(outs)
    autograd.tape.backward(outs, [tt.tensor(u) for u in ups])
    got = [made[i].grad.numpy() for i in r.grads]
    for i, g in zip(r.grads, got):
        assert g.dtype == np.float64
        assert g.shape == arrays[i].shape
    floats = lambda a: [o for o in expected(r, a) if o.dtype.kind == "f"]  # noqa: E731
    assert_slopes(got, differences(floats, arrays, list(r.grads), ups), 1e-8)
    return nodes


def check_second(r: Row, shapes: Shapes) -> None:
    """The second derivative: differences of the first against the gradient of the gradient."""
    arrays = inputs_of(r, shapes)
    rng = np.random.default_rng(seed_of(r.id, shapes, "second"))
    outs = float_outputs(r.call(*leaves(r, arrays), **r.kwargs))
    ups = [rng.uniform(0.5, 1.5, o.shape) * rng.choice([-1.0, 1.0], o.shape) for o in outs]
    turned = [rng.uniform(0.5, 1.5, arrays[i].shape) for i in r.grads]

    def first(everything: list[Any]) -> list[Any]:
        made = leaves(r, everything[: len(arrays)])
        y = float_outputs(r.call(*made, **r.kwargs))
        found = autograd.grad(y, [made[i] for i in r.grads], [tt.tensor(u) for u in everything[len(arrays) :]])
        return [g.numpy() for g in found]

    made, up = leaves(r, arrays), [tt.tensor(u, requires_grad=True) for u in ups]
    y = float_outputs(r.call(*made, **r.kwargs))
    xs = [made[i] for i in r.grads]
    firsts = autograd.grad(y, xs, up, create_graph=True)
    assert [g.requires_grad for g in firsts] == [True] * len(firsts)
    seconds = autograd.grad(firsts, [*xs, *up], [tt.tensor(t) for t in turned], allow_unused=True)
    got = [np.zeros(t.shape) if g is None else g.numpy() for g, t in zip(seconds, [*xs, *up])]
    places = [*r.grads, *range(len(arrays), len(arrays) + len(ups))]
    assert_slopes(got, differences(first, [*arrays, *ups], places, turned), 1e-8)


def walk(outs: list[Any]) -> list[Any]:
    """Every node behind some outputs."""
    seen: dict[int, Any] = {}
    stack = [o.grad_fn for o in outs if o.grad_fn is not None]
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen[id(node)] = node
            stack += [p for p in node.parents if isinstance(p, tt.tape.Node)]
    return list(seen.values())
