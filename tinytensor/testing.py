"""Checks for tests: derivatives against differences, and values that are close, with `torch.testing`'s and `torch.autograd`'s names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import autograd, tape
from .creation import as_tensor
from .tensor import Tensor

__all__ = ["GradcheckError", "assert_close", "gradcheck", "gradgradcheck"]
Names = tuple[list[str], list[str]]


class GradcheckError(RuntimeError):
    """A derivative that gradcheck found wrong."""


# ----------------------------------------------------------------------------------------------------------- derivatives
class _Subject:
    """A function with its inputs: runs it on the inputs, or moved ones, and walks back from what it gives."""

    def __init__(self, func: Callable[..., Any], inputs: Any, what: str, allow_float32: bool) -> None:
        self.func, self.what = func, what
        self.inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        self.which = [i for i, v in enumerate(self.inputs) if isinstance(v, Tensor) and v.requires_grad]
        if not self.which:
            raise ValueError(f"{what}: no input requires grad; pass tensors with requires_grad=True")
        for i in self.which:
            t = self.inputs[i]
            if t.dtype != np.float64 and not allow_float32:
                raise ValueError(
                    f"{what}: input {i} is {t.dtype} of shape {t.shape}: a difference over so small a step leaves no digits of it; "
                    "use .double(), or pass allow_float32=True with eps, atol and rtol of about 1e-2"
                )
        self.arrays = [self.inputs[i].detach().numpy() for i in self.which]

    def run(self, arrays: list[Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Fresh leaves on some arrays, and the float outputs of the function of them."""
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        args = list(self.inputs)
        for i, leaf in zip(self.which, leaves):
            args[i] = leaf
        result = self.func(*args)
        several = result if isinstance(result, (tuple, list)) else [result]
        return leaves, [v for v in several if isinstance(v, Tensor) and v.dtype.kind == "f"]

    def values(self, arrays: list[Any]) -> list[Any]:
        return [np.array(o.detach().numpy(), np.float64) for o in self.run(arrays)[1]]

    def gradients(self, leaves: list[Tensor], outs: list[Tensor], ups: list[Any]) -> list[Any]:
        """The gradient of every leaf, for upstream gradients of the outputs (None: that output is not walked back from)."""
        pairs = [(o, u) for o, u in zip(outs, ups) if u is not None and o.requires_grad]
        if not pairs:
            return [np.zeros(t.shape) for t in leaves]
        try:
            found = autograd.grad([o for o, _ in pairs], leaves, [u for _, u in pairs], True, allow_unused=True)
        except RuntimeError as e:
            raise GradcheckError(f"{self.what}: backward failed: {e}") from e
        return [
            np.zeros(t.shape) if g is None else np.array(g.detach().numpy(), np.float64) for g, t in zip(found, leaves)
        ]


def _generator() -> np.random.Generator:
    """The same numbers in every call: a check does not pass by chance one day, and fail the next."""
    return np.random.default_rng(20261122)


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape), dtype)


def _strided(a: Any) -> Any:
    """The same values with gaps between them."""
    wide = np.zeros((*a.shape, 2), a.dtype)
    wide[..., 0] = a
    return wide[..., 0]


def _close(a: list[Any], b: list[Any], rtol: float) -> bool:
    return all(np.allclose(x, y, rtol=rtol, atol=rtol, equal_nan=True) for x, y in zip(a, b))


def _side_checks(s: _Subject, nondet_tol: float, check_undefined_grad: bool) -> list[int]:
    """What must hold beside the numbers; the sizes of the outputs come back."""
    before = [a.tobytes() for a in s.arrays]
    leaves, outs = s.run(s.arrays)
    if not outs:
        raise ValueError(f"{s.what}: the function gives no float Tensor, nor a tuple or list with one")
    rng = _generator()
    dtypes = [o.dtype for o in outs]
    ups = [_random(rng, o.shape, o.dtype) for o in outs]
    tensors = [Tensor(u) for u in ups]
    first = s.gradients(leaves, outs, tensors)
    for again in (s.gradients(leaves, outs, tensors), s.gradients(*s.run(s.arrays), tensors)):
        for i, a, b in zip(s.which, first, again):
            if not np.allclose(a, b, rtol=0, atol=nondet_tol, equal_nan=True):
                raise GradcheckError(
                    f"{s.what}: backward is not deterministic: two runs differ by {np.nanmax(np.abs(a - b)):.3g} in the gradient of input {i}; "
                    "nondet_tol allows for it"
                )
    rtol = 1e-9 if all(d == np.float64 for d in dtypes) else 1e-4
    if not _close(s.gradients(leaves, outs, [Tensor(_strided(u)) for u in ups]), first, rtol):
        raise GradcheckError(
            f"{s.what}: the gradients depend on the strides of the upstream gradient: the rule reads a non-contiguous one wrongly"
        )
    ones = [np.ones((), d) for d in dtypes]
    repeated = [Tensor(np.broadcast_to(one, o.shape)) for one, o in zip(ones, outs)]
    if not _close(
        s.gradients(leaves, outs, repeated),
        s.gradients(leaves, outs, [Tensor(np.ones(o.shape, o.dtype)) for o in outs]),
        rtol,
    ):
        raise GradcheckError(
            f"{s.what}: the gradients are wrong for an upstream gradient that is broadcast (strides of 0)"
        )
    for k in range(len(outs) if check_undefined_grad and len(outs) > 1 else 0):
        alone = s.gradients(leaves, outs, [t if i == k else None for i, t in enumerate(tensors)])
        zeros = s.gradients(
            leaves, outs, [t if i == k else Tensor(np.zeros(t.shape, t.dtype)) for i, t in enumerate(tensors)]
        )
        if not _close(alone, zeros, rtol):
            raise GradcheckError(
                f"{s.what}: the gradient of output {k} alone differs from that with zeros for the others: an undefined gradient is not taken for 0"
            )
    for i, a, b in zip(s.which, s.arrays, before):
        if a.tobytes() != b:
            raise GradcheckError(f"{s.what}: the function or its backward changed input {i} in place")
    return [o.numel() for o in outs]


def _moved(s: _Subject, at: int, direction: Any, eps: float) -> list[Any]:
    """Central differences of every output, along a direction of one input."""
    ends = []
    for sign in (1.0, -1.0):
        arrays = [np.array(a) for a in s.arrays]
        arrays[at] = np.asarray(arrays[at] + sign * eps * direction, arrays[at].dtype)
        ends.append((arrays[at].astype(np.float64), s.values(arrays)))
    (high, above), (low, below) = ends
    size = np.abs(direction).max(initial=0.0)
    step = float(np.abs(high - low).max(initial=0.0) / size) if size else 2 * eps  # as it was after rounding
    return [(a - b) / step for a, b in zip(above, below)]


def _slow(s: _Subject, sizes: list[int], eps: float, atol: float, rtol: float, names: Names) -> None:
    """Every element of every Jacobian."""
    leaves, outs = s.run(s.arrays)
    rows: list[list[list[Any]]] = []
    for k, o in enumerate(outs):
        rows.append([])
        for j in range(sizes[k]):
            up = np.zeros(o.shape, o.dtype)
            up.reshape(-1)[j] = 1
            rows[k].append(s.gradients(leaves, outs, [Tensor(up) if i == k else None for i in range(len(outs))]))
    worst: tuple[float, str] | None = None
    for at, a in enumerate(s.arrays):
        numeric: list[list[Any]] = [[] for _ in outs]
        for j in range(a.size):
            unit = np.zeros(a.shape)
            unit.reshape(-1)[j] = 1
            for k, d in enumerate(_moved(s, at, unit, eps)):
                numeric[k].append(d.reshape(-1))
        for k, o in enumerate(outs):
            if not a.size or not sizes[k]:
                continue
            got = np.stack([r[at].reshape(-1) for r in rows[k]])
            want = np.stack(numeric[k], 1)
            allowed = atol + rtol * np.abs(want)
            excess = np.abs(got - want) / allowed
            excess[np.isnan(excess)] = np.inf
            if (excess <= 1).all() or (worst is not None and excess.max() <= worst[0]):
                continue
            j, i = divmod(int(excess.argmax()), a.size)
            out_at, in_at = (tuple(int(v) for v in np.unravel_index(p, q)) for p, q in ((j, o.shape), (i, a.shape)))
            text = (
                f"{names[0][k] if names[0] else f'output {k}'} {o.shape} by {names[1][at] if names[1] else f'input {s.which[at]}'} {a.shape}: "
                f"at output index {out_at} and input index {in_at} analytic {got[j, i]:.10g}, numeric {want[j, i]:.10g}, a difference of "
                f"{abs(got[j, i] - want[j, i]):.3g} where {allowed[j, i]:.3g} is allowed; {int((excess > 1).sum())} of {excess.size} elements differ"
            )
            worst = (float(excess.max()), text)
    if worst is not None:
        raise GradcheckError(f"{s.what}: the worst derivative is of {worst[1]}")


def _fast(s: _Subject, eps: float, atol: float, rtol: float, names: Names) -> None:
    """One number of each Jacobian: between a random direction of the input and one of the output."""
    leaves, outs = s.run(s.arrays)
    rng = _generator()
    ups = [_random(rng, o.shape) for o in outs]
    rows = [
        s.gradients(leaves, outs, [Tensor(np.asarray(u, o.dtype)) if i == k else None for i in range(len(outs))])
        for k, (o, u) in enumerate(zip(outs, ups))
    ]
    for at, a in enumerate(s.arrays):
        direction = _random(rng, a.shape)
        for k, d in enumerate(_moved(s, at, direction, eps)):
            got, want = float((rows[k][at] * direction).sum()), float((d * ups[k]).sum())
            if not abs(got - want) <= atol + rtol * abs(want):
                raise GradcheckError(
                    f"{s.what}: {names[0][k] if names[0] else f'output {k}'} {outs[k].shape} by {names[1][at] if names[1] else f'input {s.which[at]}'} {a.shape}: "
                    f"along random directions analytic {got:.10g}, numeric {want:.10g}, a difference of {abs(got - want):.3g} where "
                    f"{atol + rtol * abs(want):.3g} is allowed; fast_mode=False tells the element"
                )


def _checked(
    what: str, func: Callable[..., Any], inputs: Any, eps: float, atol: float, rtol: float, raise_exception: bool, nondet_tol: float,
    check_undefined_grad: bool, fast_mode: bool, allow_float32: bool, names: Names,
) -> bool:  # fmt: skip
    with tape.enable_grad():
        s = _Subject(func, inputs, what, allow_float32)
        try:
            sizes = _side_checks(s, nondet_tol, check_undefined_grad)
            if fast_mode:
                _fast(s, eps, atol, rtol, names)
            else:
                _slow(s, sizes, eps, atol, rtol, names)
        except GradcheckError:
            if raise_exception:
                raise
            return False
    return True


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-4,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    fast_mode: bool = False,
    allow_float32: bool = False,
) -> bool:
    """Whether backward through func agrees with central differences of step eps: |analytic - numeric| <= atol + rtol |numeric|.

    inputs: a Tensor or a sequence; those that require grad are checked, func gets copies of them. It returns a Tensor, or several
    in a tuple or list; only float ones count. Every element of every Jacobian is compared (one walk back per element of the
    outputs, two calls per element of the inputs); fast_mode compares each Jacobian between one pair of random directions, the same
    in every call: it finds a wrong rule, though not an error that is small in its sum. The tolerances are tighter than PyTorch's, which pass a rule
    that is wrong by 0.1 %.

    Also checked: two runs give the same bits (within nondet_tol), strided and broadcast upstream gradients give the same
    gradients, an undefined gradient of one output counts as 0, no input was changed in place.
    GradcheckError names the worst element with both values, or False comes back with raise_exception=False. ValueError where no
    input requires grad, and for float32, unless allow_float32 (with eps and tolerances to suit).
    """
    return _checked("gradcheck", func, inputs, eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, fast_mode, allow_float32, ([], []))  # fmt: skip


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-4,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    fast_mode: bool = False,
    allow_float32: bool = False,
) -> bool:
    """gradcheck of the gradient of func: of its vector-Jacobian product, by the inputs and by the upstream gradients.

    grad_outputs: the upstream gradients at which it is taken (random ones if left out). Other arguments and errors: gradcheck's.
    """
    with tape.enable_grad():
        s = _Subject(func, inputs, "gradgradcheck", allow_float32)
        outs = s.run(s.arrays)[1]
    if grad_outputs is None:
        rng = _generator()
        ups = [Tensor(_random(rng, o.shape, o.dtype), requires_grad=True) for o in outs]
    else:
        ups = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
        if [u.shape for u in ups] != [o.shape for o in outs]:
            raise ValueError(
                f"gradgradcheck: expected grad_outputs of shapes {[o.shape for o in outs]}, got {[u.shape for u in ups]}"
            )
    n = len(s.inputs)

    def first(*args: Any) -> tuple[Tensor, ...]:
        result = func(*args[:n])
        several = result if isinstance(result, (tuple, list)) else [result]
        pairs = [
            (o, u)
            for o, u in zip((v for v in several if isinstance(v, Tensor) and v.dtype.kind == "f"), args[n:])
            if o.requires_grad
        ]
        leaves = [args[i] for i in s.which]
        found: Sequence[Any] = [None] * len(leaves)
        if pairs:
            try:
                found = autograd.grad(
                    [o for o, _ in pairs], leaves, [u for _, u in pairs], create_graph=True, allow_unused=True
                )
            except RuntimeError as e:
                raise GradcheckError(f"gradgradcheck: backward failed: {e}") from e
        return tuple(t * 0.0 if g is None else g for g, t in zip(found, leaves))

    names = (
        [f"the gradient of input {i}" for i in s.which],
        [f"input {i}" for i in s.which] + [f"grad_output {k}" for k, u in enumerate(ups) if u.requires_grad],
    )
    return _checked("gradgradcheck", first, [*s.inputs, *ups], eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, fast_mode, allow_float32, names)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- values
TOLERANCES = {np.dtype("float32"): (1.3e-6, 1e-5), np.dtype("float64"): (1e-7, 1e-7)}  # rtol, atol: PyTorch's


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol |expected| everywhere (torch.testing.assert_close).

    Tensors, arrays, numbers, and sequences and mappings of them, compared in pairs. Tolerances left out are those of the dtype (of the
    wider one): float32 rtol 1.3e-6, atol 1e-5; float64 1e-7 both; others 0. Both or neither are given, else ValueError. msg: the error's
    text, or a function that makes it from the one it would have been.
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"assert_close: pass both rtol and atol, or neither; got rtol={rtol}, atol={atol}")
    found = _differing(actual, expected, rtol, atol, equal_nan, check_dtype, check_stride, "")
    if found is not None:
        raise AssertionError(found if msg is None else msg(found) if callable(msg) else msg)


def _differing(
    actual: Any, expected: Any, rtol: float | None, atol: float | None, equal_nan: bool, check_dtype: bool, check_stride: bool, where: str
) -> str | None:  # fmt: skip
    """What differs, or None."""
    at = f" at {where}" if where else ""
    numbers = (Tensor, np.ndarray, np.generic, bool, int, float)
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            return f"the keys differ{at}: {list(actual)} and {list(expected)}"
        pairs = [(f"{where}[{k!r}]", actual[k], expected[k]) for k in actual]
    elif isinstance(actual, (list, tuple)) and isinstance(expected, (list, tuple)):
        if len(actual) != len(expected):
            return f"the lengths differ{at}: {len(actual)} and {len(expected)}"
        pairs = [(f"{where}[{i}]", a, e) for i, (a, e) in enumerate(zip(actual, expected))]
    elif isinstance(actual, numbers) and isinstance(expected, numbers):
        return _differing_values(actual, expected, rtol, atol, equal_nan, check_dtype, check_stride, at)
    else:
        return f"cannot compare{at}: {type(actual).__name__} and {type(expected).__name__}"
    for place, a, e in pairs:
        found = _differing(a, e, rtol, atol, equal_nan, check_dtype, check_stride, place)
        if found is not None:
            return found
    return None


def _array(v: Any) -> Any:
    """A value as an array; Python's floats are doubles."""
    return np.asarray(v) if isinstance(v, (bool, int, float)) else as_tensor(v).detach().numpy()


def _differing_values(
    actual: Any, expected: Any, rtol: float | None, atol: float | None, equal_nan: bool, check_dtype: bool, check_stride: bool, at: str
) -> str | None:  # fmt: skip
    a, e = _array(actual), _array(expected)
    if a.shape != e.shape:
        return f"the shapes differ{at}: {a.shape} and {e.shape}"
    if check_dtype and a.dtype != e.dtype:
        return f"the dtypes differ{at}: {a.dtype} and {e.dtype}; check_dtype=False allows it"
    if check_stride and a.strides != e.strides:
        return f"the strides differ{at}: {a.strides} and {e.strides} bytes"
    known = [TOLERANCES.get(d, (0.0, 0.0)) for d in (a.dtype, e.dtype)]
    r = max(t[0] for t in known) if rtol is None else rtol
    b = max(t[1] for t in known) if atol is None else atol
    if a.dtype.kind in "biu" and e.dtype.kind in "biu" and not r and not b:
        off = np.abs(a.astype(np.float64) - e.astype(np.float64))
        close = a == e
        allowed = np.zeros(a.shape)
    else:
        a, e = a.astype(np.float64), e.astype(np.float64)
        with np.errstate(invalid="ignore"):
            off, allowed = np.abs(a - e), b + r * np.abs(e)
            close = (a == e) | (np.isfinite(e) & (off <= allowed))
    if equal_nan:
        close = close | ((a != a) & (e != e))
    if close.all():
        return None
    size = np.where(close, 0.0, np.where(np.isnan(off), np.inf, off))
    i = np.unravel_index(int(size.argmax()), size.shape)
    index = f" at index {tuple(int(v) for v in i)}" if a.ndim else ""
    count = (
        f"{int((~close).sum())} of {close.size} elements are not close{at}: "
        if a.ndim
        else f"the numbers are not close{at}: "
    )
    return f"{count}the worst{index} is {a[i]!s}, expected {e[i]!s}, a difference of {off[i]:.3g} where {allowed[i]:.3g} is allowed (rtol={r:.3g}, atol={b:.3g})"
