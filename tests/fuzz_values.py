"""Calls with drawn arguments against NumPy: values, dtypes, shapes, NaN and infinities, errors, gradients; no argument is changed.

    python tests/fuzz_values.py [SEED=0] [CALLS=10000] [--from INDEX] [--only NAME]

A call is a case of fuzz_cases.py, or a row of the table of ops (tests/ops/table.py), with arrays of drawn dtype, shape, values (ties,
zeros of both signs, NaN, infinities, subnormals, magnitudes over the dtype's whole range) and memory (Fortran order, negative and wide
strides, broadcast, overlapping, read-only, misaligned, byte-swapped), as Tensors that share that memory or as arrays. The reference
works in doubles. What it raises must be raised, and nothing else. One call in six of smooth functions is differentiated and compared
with a difference along a drawn direction.

A wrong call prints one line with its seed and index, from which `SEED 1 --from INDEX` makes it again. Exits 1 where there is one.
One million calls take about six minutes of one core that does nothing else; seeds split them.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "ops")]

import fuzz_cases  # noqa: E402, F401 - registers
import fuzz_moves  # noqa: E402, F401 - registers
import table  # noqa: E402
from fuzz_draw import CASES, NARROW, REFUSED, Array, Call, Draw, promoted  # noqa: E402
from table import Row  # noqa: E402

import tinytensor as tt  # noqa: E402
from tinytensor import _kernels  # noqa: E402

ERRORS = (ValueError, IndexError, TypeError, ZeroDivisionError, np.linalg.LinAlgError)
ROWS = [r for r in table.ROWS if r.id != "linear-softplus"]  # whose reference ends at its threshold
SLACK = 4.0  # of a row's bound, which is stated for the row's own inputs


class Wrong(Exception):
    """What a call did that it should not."""


# ------------------------------------------------------------------------------------------------------------- comparison
def compare(call: Call, result: Any, want: Any, doubles: list[Array], dtype: np.dtype[Any]) -> None:
    """One result: dtype, shape, NaN and infinities exactly; finite values within the bound."""
    want = np.asarray(want)
    got = result.detach().numpy() if isinstance(result, tt.Tensor) else result
    if not isinstance(got, np.ndarray):
        raise Wrong(f"gave {type(got).__name__}")
    if got.shape != want.shape:
        raise Wrong(f"gave shape {got.shape}, not {want.shape}")
    expected = dtype if want.dtype.kind == "f" and not call.told else want.dtype
    if got.dtype != expected and not (
        isinstance(result, np.ndarray) and got.dtype.newbyteorder("=") == expected
    ):  # arrays in, arrays out
        raise Wrong(f"gave {got.dtype}, not {expected}")
    if got.dtype.kind != "f" or call.bits:
        rounded = want.astype(got.dtype)
        equal = (got == rounded) | ((got != got) & (rounded != rounded))
        if got.dtype.kind == "f":
            equal &= (np.signbit(got) == np.signbit(rounded)) | (got != got)
        if not equal.all():
            raise Wrong(f"gave {got[~equal][:3]}, not {rounded[~equal][:3]}")
        return
    top = float(np.finfo(got.dtype).max)
    size = np.abs(want)
    if call.size is not None:
        without = (np.where(np.isfinite(a), np.abs(a), 0.0) if a.dtype.kind == "f" else a for a in doubles)
        size = np.maximum(np.where(np.isfinite(want), size, 0.0), np.broadcast_to(call.size(*without), want.shape))
    rounded = want.astype(got.dtype)
    sure = (
        np.ones(want.shape, bool) if call.size is None else size < 0.5 * top
    )  # else a sum may leave the dtype on its way
    edge = (np.abs(want) > top * (1 - 1e-5)) & np.isfinite(want)  # rounds to the largest number or to infinity
    check = sure & ~edge
    nan = np.isnan(got) != np.isnan(rounded)
    if (nan & check).any():
        raise Wrong(f"gave {got[nan & check][:3]}, not {want[nan & check][:3]}")
    inf = check & ~np.isnan(rounded) & np.isinf(want)
    if (got[inf] != rounded[inf]).any():
        raise Wrong(f"gave {got[inf][:3]}, not {rounded[inf][:3]}")
    whole = check & np.isfinite(want)
    exact, found = want[whole], got[whole].astype(np.float64)
    ulps = call.ulps + (2.5 if got.dtype == np.float64 and call.ulps else 0)
    allowed = ulps * np.spacing(np.maximum(size[whole], np.abs(rounded[whole])).astype(got.dtype)).astype(np.float64)
    error = np.abs(found - exact)
    bad = ~(error <= allowed)
    if bad.any():
        i = int(np.argmax(np.where(bad, np.nan_to_num(error / np.maximum(allowed, 5e-324), nan=np.inf), 0)))
        raise Wrong(f"gave {found[i]!r}, not {exact[i]!r}: off by {error[i]:.3g}, allowed {allowed[i]:.3g}")


def several(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def prepared(call: Call) -> tuple[list[Array], np.dtype[Any]]:
    """The reference's arrays, and the float dtype of the result."""
    if not call.arrays:
        return [], np.dtype("float32")
    common = promoted(call.arrays)
    if call.floats and common.kind != "f":
        common = np.dtype("float32")
    dtype = common if common.kind == "f" else np.dtype("float32")
    found = []
    for a in call.arrays:
        if call.promote or (call.floats and a.dtype.kind != "f"):
            a = a.astype(common)
        found.append(a.astype(np.float64) if a.dtype.kind == "f" else a)
    return found, dtype


# ----------------------------------------------------------------------------------------------------------------- calling
def given(d: Draw, call: Call, i: int, a: Array) -> Any:
    """An argument: a Tensor on drawn memory, or, behind a Tensor, an array."""
    if not i and call.changes:
        return tt.from_numpy(d.laid(a.copy(), foreign=False))
    if d.chance(0.04) and a.size and call.free and i not in call.plain:
        a = call.arrays[i] = d.shared(a)
        d.tied = True
    way = d.r.random()
    if i in call.plain:
        return d.laid(a)
    if i and way < 0.1:
        return d.laid(a)  # an array
    if way < 0.2:
        return tt.tensor(d.laid(a))
    if way < 0.25:
        return tt.as_tensor(d.laid(a))
    if way < 0.28:
        return tt.Tensor(d.laid(a))
    return tt.from_numpy(d.laid(a, foreign=False))


def differentiate(d: Draw, call: Call, doubles: list[Array]) -> str:
    """backward against a difference along a direction; of two steps, so that kinks are left out."""
    xs = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in call.arrays]
    which = [i for i, a in enumerate(xs) if a.dtype.kind == "f" and i not in call.plain]
    leaves = [tt.tensor(a, requires_grad=i in which) for i, a in enumerate(xs)]
    outs = [
        o for o in several(call.ours(*leaves)) if isinstance(o, tt.Tensor) and o.dtype == tt.float64 and o.requires_grad
    ]
    if not outs or not which:
        return "no gradient"
    ups = [d.n.uniform(-1, 1, o.shape) for o in outs]
    tt.autograd.backward(outs, [tt.tensor(np.asarray(u)) for u in ups])
    turn = [d.n.uniform(-1, 1, a.shape) for a in xs]
    slope = size = 0.0
    for i in which:
        g = leaves[i].grad
        if g is not None:
            if g.shape != xs[i].shape or g.dtype != tt.float64:
                raise Wrong(f"gradient of {g.dtype} {g.shape}")
            slope += float((g.numpy() * turn[i]).sum())
            size += float(np.abs(g.numpy() * turn[i]).sum())

    def value(t: float) -> float:
        moved = [tt.tensor(a + t * v if i in which else a) for i, (a, v) in enumerate(zip(xs, turn))]
        found = [o for o in several(call.ours(*moved)) if isinstance(o, tt.Tensor) and o.dtype == tt.float64]
        return sum(float((u * o.numpy()).sum()) for u, o in zip(ups, found))

    def difference(h: float) -> float:
        return (8 * (value(h) - value(-h)) - value(2 * h) + value(-2 * h)) / (12 * h)

    first, second = difference(2e-4), difference(1e-4)
    scale = 1 + abs(second) + size
    if not np.isfinite(first + second) or abs(first - second) > 1e-7 * scale:
        return "kink"
    if not abs(slope - second) <= 2e-6 * scale:
        raise Wrong(f"gradient {slope!r} along a direction, difference {second!r}")
    return "gradient"


def once(d: Draw, call: Call) -> str:
    """Make a call and judge it; what kind of outcome it had."""
    args = [given(d, call, i, a) for i, a in enumerate(call.arrays)]
    before = [np.array(a) for a in call.arrays]
    doubles, dtype = prepared(call)
    error: Any = None
    try:
        want: Any = call.theirs(*doubles)
    except (*ERRORS, OverflowError) as e:
        error = e
    if call.changes:
        dtype = call.arrays[0].dtype
    if call.changes and not args[0].numpy().flags.writeable:
        error = ValueError("read-only")
    try:
        got = call.ours(*args)
    except ERRORS as e:
        if error is None:
            raise Wrong(f"raised {type(e).__name__}: {e}") from None
        if isinstance(error, TypeError) != isinstance(e, TypeError):
            raise Wrong(f"raised {type(e).__name__}: {e}; expected {type(error).__name__}: {error}") from None
        return "raised"
    except Exception as e:
        raise Wrong(f"raised {type(e).__name__}: {e}") from None
    if error is not None:
        raise Wrong(f"raised nothing; the reference {type(error).__name__}: {error}")
    if call.changes and got is not args[0]:
        raise Wrong("gave something else than what it changed")
    mine, theirs = several(got), several(want)
    if len(mine) != len(theirs):
        raise Wrong(f"gave {len(mine)} results, not {len(theirs)}")
    for g, w in zip(mine, theirs):
        compare(call, g, w, doubles, dtype)
    for a, b in list(zip(args, before))[call.changes :]:
        now = a.detach().numpy() if isinstance(a, tt.Tensor) else a
        if not ((now == b) | ((now != now) & (b != b))).all():
            raise Wrong("changed an argument")
    if call.smooth and d.regime == "plain" and not d.tied and d.chance(0.17) and sum(a.size for a in call.arrays) < 400:
        return differentiate(d, call, doubles)
    return "returned"


def row_call(d: Draw, r: Row) -> Call:
    """A row of the table with other inputs of its domains."""
    shapes = d.one_of(r.shapes)
    dtype = d.one_of(r.dtypes)
    d.regime = "plain"
    arrays = []
    for i, (domain, shape) in enumerate(zip(r.domains, shapes)):
        n = d.n
        if domain == "positive":
            a = n.uniform(0.1, 2.0, shape)
        elif domain == "unit":
            a = n.uniform(0.1, 0.9, shape)
        elif domain == "apart":
            count = int(np.prod(shape))
            a = ((n.permutation(count) - count // 2) * 0.3 + 0.17 + 0.1 * i).reshape(shape)
        elif domain == "bool":
            a = n.random(shape) < 0.5
        elif domain == "int":
            a = n.integers(-9, 9, shape)
        elif domain == "small":
            a = n.integers(-1, 2, shape).astype(np.float64)
        else:
            a = n.uniform(0.1, 2.0, shape) * n.choice([-1.0, 1.0], shape)
        a = np.asarray(a)
        arrays.append(a.astype(dtype) if a.dtype.kind == "f" else a)
    scale = r.scale
    size = None if not scale else lambda *a: np.full((), scale)
    return Call(
        f"row {r.id} {shapes}",
        arrays,
        lambda *x: r.call(*x, **r.kwargs),
        r.reference,
        SLACK * r.ulps,
        size,
        smooth=bool(r.grads),
        told=r.dtype == "float64",
        free=False,
    )


def refused_dtypes(d: Draw) -> str:
    """What from_numpy, tensor and asarray do with dtypes that are not among the five, and with foreign memory."""
    a = d.array(d.shape(0, 3, large=False), "float32").clip(-100, 100)
    a = np.nan_to_num(a)
    narrow, refused = d.one_of(list(NARROW)), d.one_of(REFUSED)
    b = np.abs(a).astype(narrow)
    for make in (tt.tensor, tt.as_tensor):
        t = make(b)
        if str(t.dtype) != NARROW[narrow] or not (t.numpy() == b.astype(NARROW[narrow])).all():
            raise Wrong(f"{make.__name__} made {t.dtype} of {narrow}")
        try:
            make(np.zeros(a.shape, refused))
        except TypeError:
            continue
        raise Wrong(f"{make.__name__} took {refused}")
    odd = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype) if a.size else a.astype(">f4")
    for wrong in (b, np.zeros(a.shape, refused), a.astype(">f4"), odd, a.tolist()):
        try:
            tt.from_numpy(wrong)  # type: ignore[arg-type]
        except TypeError:
            continue
        raise Wrong(f"from_numpy took {wrong!r:.60}")
    return "dtypes"


def make(seed: int, index: int, only: str) -> tuple[Draw, Any, str]:
    """The draw of a call, its maker's choice, and its name."""
    d = Draw(f"{seed} {index}")
    if only:
        names = [n for n in CASES if only in n]
        rows = [r for r in ROWS if only in r.id]
        if names and (not rows or d.chance(0.5)):
            return d, CASES[d.one_of(names)], "case"
        return d, d.one_of(rows), "row"
    if d.chance(0.005):
        return d, None, "dtypes"
    if d.chance(0.25):
        return d, d.one_of(ROWS), "row"
    return d, CASES[d.one_of(NAMES)], "case"


NAMES = sorted(CASES)


def run(seed: int, start: int, calls: int, only: str = "") -> tuple[collections.Counter[str], list[str]]:
    """Outcomes by kind, and the lines of wrong calls."""
    counts: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(start, start + calls):
            d, what, kind = make(seed, i, only)
            text, arrays = kind, []
            try:
                if kind == "dtypes":
                    counts[refused_dtypes(d)] += 1
                    continue
                call = what(d) if kind == "case" else row_call(d, what)
                text, arrays = call.text, call.arrays
                split = d.chance(0.03)  # kernels of little work divided among threads, too
                if split:
                    _kernels.set_thread_work(1)
                try:
                    counts[once(d, call)] += 1
                finally:
                    if split:
                        _kernels.set_thread_work()
            except Wrong as e:
                shapes = " ".join(f"{a.dtype}{a.shape}" for a in arrays)
                wrong.append(f"{seed} {i} {text} [{shapes}] {d.regime}: {e}")
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("calls", type=int, nargs="?", default=10_000)
    parser.add_argument("--from", dest="start", type=int, default=0, metavar="INDEX")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    begin = time.perf_counter()
    counts, wrong = run(options.seed, options.start, options.calls, options.only)
    print("\n".join(wrong))
    seconds = time.perf_counter() - begin
    print(
        f"{options.calls} calls of {len(CASES)} functions and {len(ROWS)} rows, seed {options.seed}, {seconds:.0f} s: {len(wrong)} wrong; {dict(counts.most_common())}"
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
