"""The long form of the checks of numbers: elementary functions over all 2^32 floats, and reductions of adversarial data.

    python tests/numerics.py [--stride 1] [--samples 20000000] [--elements 100000000]

Needs a C compiler. Prints Markdown tables and exits with 1 if anything is out of its bound. With the values above, about
35 minutes on two cores, and 2 GB of memory; `--stride 4099 --samples 100000 --elements 1000000` takes half a minute. The
short form is tests/test_numerics.py and tests/test_vmath.py.

functions   tests/c/vmath_check.c, each instruction set of this machine in one walk: every float (every stride-th and its
            neighbour) against libm in double; `samples` doubles against libm in long double, half of them near roots, poles,
            turning points and where an argument reduction begins. One row for sets that give equal bits everywhere.
reductions  sum, mean, var, std, norm, dot, logsumexp and matmul of data that is bad for them, in several layouts, against
            sums in Python's exact arithmetic; the error as a share of its bound. And 10^8 ones (`elements`).
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tinytensor as tt
from tinytensor import _kernels

ROOT = Path(__file__).parents[1]
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", f"-I{ROOT / 'csrc'}"]
ARCH = {"generic": "x86-64", "avx2": "x86-64-v3", "avx512": "x86-64-v4"}
CC = shutil.which(os.environ.get("CC", "cc"))


# ----------------------------------------------------------------------------------------------------- elementary functions
def compiled(folder: Path, *options: str) -> Path:
    """tests/c/vmath_check.c with the tables of every instruction set that this machine runs."""
    assert CC is not None
    source = str(ROOT / "tests" / "c" / "vmath_check.c")
    first, *others = _kernels.isas()

    def arch(isa: str) -> list[str]:
        return [f"-march={ARCH[isa]}"] if isa in ARCH and os.uname().machine == "x86_64" else []

    objects = [str(folder / f"{isa}.o") for isa in others]
    for isa, made in zip(others, objects):
        subprocess.run(
            [CC, *FLAGS, "-fopenmp-simd", *arch(isa), f"-DVM_TABLE={isa}", "-c", source, "-o", made], check=True
        )
    tables = " ".join(f"X({isa})" for isa in others)
    named = [f"-DVM_SET={first}", f"-DVM_OTHERS={tables}"]
    binary = folder / "vmath_check"
    subprocess.run(
        [
            CC,
            *FLAGS,
            *(options or ("-fopenmp-simd",)),
            *arch(first),
            *named,
            source,
            *objects,
            "-o",
            str(binary),
            "-lm",
        ],
        check=True,
    )
    return binary


def rows_of(output: str) -> list[list[str]]:
    """The table of vmath_check: name, largest error, worst input, monotone, hash, set, and perhaps EXCEEDED."""
    lines = output.splitlines()
    return [line.split() for line in lines[1 + next(i for i, line in enumerate(lines) if line.startswith("name ")) :]]


def functions(stride: int, samples: int) -> int:
    """Print the table of functions; 1 if a bound is exceeded, bits differ, or the program fails."""
    with tempfile.TemporaryDirectory() as name:
        binary = compiled(Path(name), "-fopenmp")
        done = subprocess.run([str(binary), str(stride), str(samples)], capture_output=True, text=True)
    rows = rows_of(done.stdout)
    print(*[line for line in done.stdout.splitlines() if "expected" in line or "wrong" in line], sep="\n")
    walked = "all 2^32 floats" if stride == 1 else f"every {stride}th float and its neighbour"
    print(f"\n{walked}; {samples} doubles. Errors in units in the last place (ulp).\n")
    print("| function | instruction sets | worst ulp | at | monotone |\n| --- | --- | --- | --- | --- |")
    bad = done.returncode != 0
    for name in dict.fromkeys(row[0] for row in rows):
        same: dict[str, list[list[str]]] = {}
        for row in rows:
            if row[0] == name:
                same.setdefault(row[4], []).append(row)
        fused = {row[4] for each in same.values() for row in each if row[5] != "generic"}
        if len(fused) > 1:
            print(f"FOUND: {name} has different bits on sets with fused multiply-add")
            bad = True
        for each in same.values():
            _, ulp, at, monotone, _, _, *exceeded = each[0]
            if monotone.startswith("no:"):
                _, count, fall = monotone.split(":")
                monotone = f"no: {count} steps back, by at most {fall} ulp"
            said = " **too much**" if exceeded else ""
            print(f"| {name} | {', '.join(row[5] for row in each)} | {ulp}{said} | {at} | {monotone} |")
    return int(bad)


# --------------------------------------------------------------------------------------------------------------- reductions
def adversaries(n: int, dtype: Any) -> dict[str, Any]:
    """Vectors of n that a careless sum gets wrong."""
    rng = np.random.default_rng(n)
    wide = rng.normal(size=n) * 10.0 ** rng.integers(-6, 7, n)
    one_large = np.ones(n)
    one_large[0] = 2.0 / np.finfo(dtype).eps
    half = rng.normal(size=n // 2) * 1e4
    cancelling = np.concatenate([half, -half[::-1], np.ones(n - 2 * (n // 2))])
    cancelling[n // 2 :] += rng.normal(size=n - n // 2) * 1e-3
    made = {
        "ones": np.ones(n),
        "tenths": np.full(n, 0.1),
        "alternating, large": (1.0 - 2.0 * (np.arange(n) % 2)) * (1e6 + np.arange(n) % 7),
        "ascending": np.sort(np.exp(rng.normal(size=n) * 3)),
        "descending": -np.sort(-np.exp(rng.normal(size=n) * 3)),
        "one large, many small": one_large,
        "cancelling": cancelling,
        "of all sizes": wide,
        "far from 0": 1e8 + rng.normal(size=n) * 1e3,
        "subnormal": np.full(n, float(np.finfo(dtype).tiny) / 8),
    }
    return {name: v.astype(dtype) for name, v in made.items()}


def layouts(x: Any) -> Iterator[tuple[str, Any, int]]:
    """Tensors in which x stands along one dimension, once or several times; and that dimension."""
    wide = np.zeros(2 * x.size, x.dtype)
    wide[::2] = x
    yield "vector", tt.from_numpy(x), 0
    yield "every other element", tt.from_numpy(wide[::2]), 0
    yield "back to front", tt.from_numpy(x[::-1].copy()[::-1]), 0
    yield "columns", tt.from_numpy(np.repeat(x[:, None], 3, 1)), 0
    yield "transposed", tt.from_numpy(np.repeat(x[None], 3, 0).T), 0
    yield "the middle of three", tt.from_numpy(np.repeat(np.repeat(x[None, :, None], 2, 0), 2, 2)), 1
    yield "expanded", tt.from_numpy(x).reshape(1, -1, 1).expand(2, x.size, 2), 1


def steps(n: int, dtype: Any) -> float:
    """Roundings on the longest way of an element to the sum: 32 in its block, one for each level of the tree."""
    lanes = 16 if dtype == np.float32 else 8
    return 32 + math.log2(max(n / (32 * lanes), 1)) + math.log2(lanes) + 1


class Found:
    """The largest error over its bound for each reduction, and where."""

    def __init__(self) -> None:
        self.worst: dict[tuple[str, str], tuple[float, str]] = {}

    def note(self, name: str, where: str, got: Any, want: float, bound: float) -> None:
        dtype = str(got.dtype)
        values = np.asarray(got.detach().numpy(), np.float64)
        # the last rounding, into the subnormals perhaps, besides
        allowed = bound + float(np.finfo(got.dtype).eps) * abs(want) + float(np.finfo(got.dtype).smallest_subnormal)
        share = float(np.abs(values - want).max()) / allowed
        if not share <= self.worst.get((name, dtype), (-1.0, ""))[0]:  # NaN is noted
            self.worst[name, dtype] = (share, where)

    def bad(self) -> dict[tuple[str, str], tuple[float, str]]:
        return {k: v for k, v in self.worst.items() if not v[0] <= 1}


def reduce_all(found: Found, n: int, dtype: Any) -> None:
    """Note the errors of every reduction of every vector in every layout."""
    eps = float(np.finfo(dtype).eps) / 2
    for name, x in adversaries(n, dtype).items():
        exact = [float(v) for v in x]
        total, size = math.fsum(exact), math.fsum(abs(v) for v in exact)
        mean = total / n
        d = [v - mean for v in exact]  # a mean's rounding is put right to first order, as in var
        var = (math.fsum(v * v for v in d) - math.fsum(d) ** 2 / n) / (n - 1)
        s = steps(n, dtype)
        squares = math.fsum(v * v for v in exact)
        high = max(exact)
        lse = high + math.log(math.fsum(math.exp(v - high) for v in exact))
        spread = math.fsum(math.exp(v - high) * (high - v) for v in exact) / math.exp(lse - high)
        # of a variance: 2 s of the squares, and what the first mean's error leaves in each distance (see ops/reduction.py)
        off = min(1.0, eps * s * size / n / math.sqrt(var)) if var > 0 else 0.0
        var_bound = eps * (2 * s + 8 + 4 * off * s) * var if var > 0 else 0.0
        for layout, t, dim in layouts(x):
            where = f"{name}, {layout}, n = {n}"
            found.note("sum", where, t.sum(dim), total, s * eps * size)
            found.note("mean", where, t.mean(dim), mean, (s + 1) * eps * size / n)
            found.note("logsumexp", where, t.logsumexp(dim), lse, eps * (s + 8 + 2 * spread + abs(lse)))
            if name != "subnormal":  # whose squares are 0
                found.note("var", where, t.var(dim), var, var_bound)
                found.note("std", where, t.std(dim), math.sqrt(var), var_bound / math.sqrt(var) if var else 0.0)
                found.note("norm", where, t.norm(2, dim), math.sqrt(squares), eps * (s + 2) * math.sqrt(squares))
        other = x[::-1].copy()
        products = [a * b for a, b in zip(exact, exact[::-1])]
        both, absolute = math.fsum(products), math.fsum(abs(v) for v in products)
        if name == "subnormal":
            continue
        where = f"{name}, n = {n}"
        a, b = tt.from_numpy(x), tt.from_numpy(other)
        found.note("dot", where, tt.dot(a, b), both, (s + 1) * eps * absolute)
        # one chain of fused multiply-adds: its bound grows with n
        found.note("matmul", where, tt.matmul(a.reshape(1, -1), b.reshape(-1, 1)), both, n * eps * absolute)


def ones(n: int) -> list[str]:
    """What is wrong with sums of n ones in float32; n may be beyond 2^24, where one more makes no difference to a float."""
    wrong = []
    vectors: dict[str, Callable[[], Any]] = {"stored": lambda: tt.ones(n), "expanded": lambda: tt.ones(1).expand(n)}
    for name, make in vectors.items():
        x = make()
        for got, want, what in (
            (x.sum(), n, "sum"), (x.mean(), 1, "mean"), (x.var(), 0, "var"), (tt.dot(x, x), n, "dot"), (x.norm() ** 2, n, "norm^2")
        ):  # fmt: skip
            if abs(got.item() - want) > (1e-6 * want if what == "norm^2" else 0):
                wrong.append(f"{what} of {n} ones, {name}: {got.item()!r}")
        if n % 4 == 0:
            for dim in (0, 1):
                y = x.reshape(4, -1) if dim else x.reshape(-1, 4)
                if y.sum(dim).tolist() != [n / 4] * 4:
                    wrong.append(f"sum of {n} ones, {name}, over dim {dim} of {y.shape}: {y.sum(dim).tolist()}")
        del x
    return wrong


def reductions(elements: int) -> int:
    """Print the table of reductions; 1 if a bound is exceeded."""
    found = Found()
    for dtype in (np.float32, np.float64):
        for n in (2, 3, 17, 100, 1000, 4097, 65_537, *([1_000_003] if elements >= 10_000_000 else [])):
            reduce_all(found, n, dtype)
    print("\n| reduction | dtype | largest error / bound | where |\n| --- | --- | --- | --- |")
    for (name, dtype), (share, where) in found.worst.items():
        print(f"| {name} | {dtype} | {share:.3f}{'' if share <= 1 else ' **too much**'} | {where} |")
    wrong = ones(elements)
    print(f"\n{elements} ones in float32: {'; '.join(wrong) or 'all sums exact'}")
    return int(bool(found.bad() or wrong))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--samples", type=int, default=20_000_000)
    parser.add_argument("--elements", type=int, default=100_000_000)
    given = parser.parse_args()
    return functions(given.stride, given.samples) | reductions(given.elements)


if __name__ == "__main__":
    sys.exit(main())
