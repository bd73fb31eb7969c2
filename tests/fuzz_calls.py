"""Calls of every public function with arguments that nobody should give: the interpreter must live, and what is raised must be of
a documented kind.

    python tests/fuzz_calls.py [SEED=0] [CALLS=10000] [--last FILE] [--only PART] [--without PART]

Each call is written to FILE before it is made, so that the one that ends the process is known. Prints the number of calls by
outcome; exits 1 with the calls that raised what they should not.
"""

from __future__ import annotations

import argparse
import collections
import inspect
import io
import itertools
import os
import random
import resource
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import Any

import numpy as np

import tinytensor as tt
from tinytensor import _kernels, autograd, func, linalg, metrics, nn, optim
from tinytensor.nn import functional as F

ALLOWED = (
    TypeError, ValueError, RuntimeError, IndexError, KeyError, MemoryError, OverflowError, ZeroDivisionError, AttributeError, BufferError
)  # fmt: skip
"""AttributeError: of what is no tensor (None, a number), as in NumPy. NotImplementedError is a RuntimeError."""

SKIPPED = {
    "set_num_threads", "set_flush_denormal", "load", "save", "threads", "set_detect_anomaly", "detect_anomaly", "set_grad_enabled", "manual_seed",
    "set_spin", "set_thread_work", "use_deterministic_algorithms", "load_library", "download", "exec", "pool_clear",
}  # fmt: skip


def functions() -> list[tuple[str, Callable[..., Any]]]:
    """Every public callable, by name; methods of Tensor take the tensor as their first argument."""
    found: dict[str, Callable[..., Any]] = {}
    for prefix, room in (
        ("tt", tt),
        ("F", F),
        ("linalg", linalg),
        ("func", func),
        ("metrics", metrics),
        ("autograd", autograd),
    ):
        for name in getattr(room, "__all__", dir(room)):
            what = getattr(room, name)
            if (
                callable(what)
                and not name.startswith("_")
                and name not in SKIPPED
                and not (inspect.isclass(what) and issubclass(what, BaseException))
            ):
                found[f"{prefix}.{name}"] = what
    for name in dir(tt.Tensor):
        what = getattr(tt.Tensor, name)
        if callable(what) and (not name.startswith("_") or name in OPERATORS):
            found[f"Tensor.{name}"] = what
    for name in dir(_kernels):
        what = getattr(_kernels, name)
        if callable(what) and not name.startswith("_") and not inspect.isclass(what) and name not in SKIPPED:
            found[f"_kernels.{name}"] = what
    for room in (nn, optim):
        for name in room.__all__:
            what = getattr(room, name)
            if inspect.isclass(what):
                found[f"{room.__name__}.{name}"] = what
    return sorted(found.items())


OPERATORS = {
    "__add__", "__sub__", "__mul__", "__truediv__", "__pow__", "__matmul__", "__getitem__", "__setitem__", "__iadd__", "__imul__", "__neg__", "__abs__",
    "__lt__", "__eq__", "__len__", "__bool__", "__float__", "__int__", "__array__", "__iter__", "__contains__", "__repr__", "__rpow__", "__invert__",
}  # fmt: skip


class Draw:
    """Arguments from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numpy = np.random.default_rng(seed)

    def shape(self) -> tuple[int, ...]:
        sizes = [0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33]
        return tuple(self.random.choice(sizes) for _ in range(self.random.choice([0, 1, 1, 2, 2, 2, 3, 4, 5])))

    def array(self, shape: tuple[int, ...] | None = None) -> np.ndarray[Any, Any]:
        """Values and memory of all kinds."""
        r = self.random
        shape = self.shape() if shape is None else shape
        dtype = np.dtype(
            r.choice("fffffdddddlllii?BBhe")
            if r.random() < 0.97
            else r.choice(["U3", "O", "c8", "c16", "M8[s]", "V4", "S2"])
        )
        if dtype.kind in "fiuc?":
            base = self.numpy.standard_normal(shape) * r.choice([0, 1, 1, 1, 3, 1e3, 1e30])
            if dtype.kind == "f":
                special = [np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e-40, 1e38, -1e308]
                mask = self.numpy.random(shape) < r.choice([0, 0, 0.1, 0.5])
                base = np.where(mask, self.numpy.choice(special, shape), base)
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                a = (
                    np.asarray(base).astype(dtype)
                    if dtype.kind != "u"
                    else np.asarray(np.abs(base) % 200).astype(dtype)
                )
        else:
            a = np.zeros(shape, dtype)
        way = r.randrange(12)
        if way == 0 and a.ndim:
            a = a[::-1]
        elif way == 1 and a.ndim > 1:
            a = a.T
        elif way == 2:
            a = np.asfortranarray(a)
        elif way == 3 and a.ndim and dtype.kind != "O":
            a = np.lib.stride_tricks.as_strided(a, a.shape, (0,) * a.ndim) if a.size else a
        elif way == 4 and dtype.kind not in "OVUS":
            raw = np.zeros(a.nbytes + 1, np.uint8)
            odd = raw[1:].view(dtype).reshape(a.shape) if a.nbytes else a
            if a.nbytes:
                odd[...] = a
            a = odd
        elif way == 5 and dtype.kind in "fi" and dtype.itemsize > 1:
            a = a.astype(dtype.newbyteorder())
        elif way == 6:
            a = a.copy()
            a.flags.writeable = False
        elif way == 7 and a.ndim:
            a = np.repeat(a, 2, axis=-1)[..., ::2]
        elif way == 8 and a.ndim == 1 and a.size > 1 and dtype.kind != "O":
            a = np.lib.stride_tricks.as_strided(a, (a.size - 1, 2), (a.itemsize, a.itemsize))  # overlaps itself
        return a

    def tensor(self, shape: tuple[int, ...] | None = None) -> Any:
        try:
            t = tt.from_numpy(self.array(shape)) if self.random.random() < 0.3 else tt.tensor(self.array(shape))
        except ALLOWED:
            return tt.zeros(2, 3)
        if t.dtype in (tt.float32, tt.float64) and self.random.random() < 0.4:
            t = t.detach().requires_grad_()
            if self.random.random() < 0.3:
                t = t * 1.0
        return t

    def integer(self) -> Any:
        return self.random.choice(
            [0, 1, -1, 2, 3, -2, 5, 100, -100, 2**31, 2**63, -(2**63), 2**100, True, np.int64(1), np.uint8(3)]
        )

    def value(self, last: Any) -> Any:
        """One argument; often of the shape of the one before."""
        r = self.random
        k = r.randrange(20)
        if k < 6:
            return self.tensor(
                tuple(last.shape) if isinstance(last, tt.Tensor | np.ndarray) and r.random() < 0.6 else None
            )
        if k < 8:
            return self.array(
                tuple(last.shape) if isinstance(last, tt.Tensor | np.ndarray) and r.random() < 0.6 else None
            )
        if k < 11:
            return self.integer()
        if k == 11:
            return r.choice([0.5, -1.0, 0.0, 1e-5, float("nan"), float("inf"), 1e300, -0.0, np.float32(2), 1 + 2j])
        if k == 12:
            return tuple(self.integer() for _ in range(r.randrange(4)))
        if k == 13:
            return [self.tensor() for _ in range(r.randrange(4))]
        if k == 14:
            return r.choice(
                [None, "mean", "sum", "none", "relu", "reflect", "zeros", "ij,jk", "ij->ji", "", "float32", "é\x00"]
            )
        if k == 15:
            return r.choice([tt.float32, tt.float64, tt.int64, tt.bool, float, int, "float16", np.dtype("c8"), object])
        if k == 16:
            return self.shape()
        if k == 17:
            return r.choice(
                [
                    slice(None),
                    slice(None, None, -1),
                    slice(5, 1),
                    slice(0, 10**30),
                    Ellipsis,
                    (slice(None), None),
                    (0, Ellipsis),
                    slice("a", None),
                ]
            )
        if k == 18:
            return r.choice(
                [
                    lambda *a: a[0],
                    lambda x: x * 2,
                    tt.sum,
                    nn.Linear(3, 2),
                    len,
                    iter([1, 2]),
                    {},
                    {"a": 1},
                    object(),
                    b"x",
                    [],
                    [[]],
                    [[1], [1, 2]],
                ]
            )
        return r.choice([True, False])

    def call(self, function: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional arguments about as many as it takes, and at times keywords of its own."""
        args: list[Any] = []
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (ValueError, TypeError):
            parameters = []
        needed = sum(
            p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters
        )
        count = (
            max(0, needed + self.random.choice([0, 0, 0, 0, 0, 1, 1, 2, -1]))
            if parameters
            else self.random.randrange(4)
        )
        for i in range(count):
            args.append(
                self.tensor() if i == 0 and self.random.random() < 0.7 else self.value(args[-1] if args else None)
            )
        kwargs = {}
        names = [p.name for p in parameters[count:] if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
        for name in names:
            if self.random.random() < 0.15:
                kwargs[name] = self.value(args[-1] if args else None)
        return args, kwargs


def describe(v: Any) -> str:
    """An argument in words from which it can be seen again."""
    if isinstance(v, tt.Tensor):
        return f"T{tuple(v.shape)}{v.dtype}{'g' if v.requires_grad else ''}"
    if isinstance(v, np.ndarray):
        return f"A{v.shape}{v.dtype}{v.strides}"
    if isinstance(v, list | tuple):
        return f"{type(v).__name__}({', '.join(map(describe, v))})"
    return repr(v)[:60]


def results(v: Any) -> Iterator[tt.Tensor]:
    if isinstance(v, tt.Tensor):
        yield v
    elif isinstance(v, list | tuple):
        for one in v:
            yield from results(one)


def use(out: Any) -> None:
    """Read what came out, all of it, and walk back through it."""
    for t in itertools.islice(results(out), 4):
        np.array(t.detach().numpy(), copy=True)
        if t.requires_grad and t.dtype in (tt.float32, tt.float64):
            t.sum().backward()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("calls", type=int, nargs="?", default=10_000)
    parser.add_argument("--last", default=None)
    parser.add_argument("--only", default="")
    parser.add_argument("--without", default=None)
    options = parser.parse_args()
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):  # which reserves more than that
        # what asks for too much is refused, and does not fill the machine
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    every = [
        (name, f)
        for name, f in functions()
        if options.only in name and (options.without is None or options.without not in name)
    ]
    counts: collections.Counter[str] = collections.Counter()
    wrong: dict[str, str] = {}
    last = open(options.last, "w+") if options.last else None  # noqa: SIM115 - open for the whole run
    warnings.simplefilter("ignore")
    for i in range(options.calls):
        draw = Draw(options.seed * 1_000_003 + i)
        name, function = draw.random.choice(every)
        args, kwargs = draw.call(function)
        text = f"{i} {name}({', '.join([*map(describe, args), *(f'{k}={describe(v)}' for k, v in kwargs.items())])})"
        if last:
            last.seek(0)
            last.write(text + "\n")
            last.truncate()
            last.flush()
        try:
            with redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
                use(function(*args, **kwargs))
            counts["returned"] += 1
        except ALLOWED as error:
            counts[type(error).__name__] += 1
            if not str(error) and not isinstance(error, MemoryError):  # Python's own has no words
                wrong.setdefault(f"{name} without a message", text)
        except Exception as error:
            counts[f"! {type(error).__name__}"] += 1
            wrong.setdefault(f"{name} {type(error).__name__}: {error}", text)
    print(f"{options.calls} calls of {len(every)} functions: {dict(counts.most_common())}")
    for what, text in wrong.items():
        print(f"{what}\n    {text}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
