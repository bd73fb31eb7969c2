"""Hashes of the value and the gradients of every row of the table of ops, and of larger calls that each thread has a part of:
`python tests/ops/row_bits.py THREADS [whole]` prints them; `whole`: all shapes and both dtypes of each row, not the first alone.

The tests run it under several thread counts and instruction sets; every kernel is divided, however small its work.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from check import cast, float_outputs, inputs_of, leaves, outputs
from table import ROWS

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import _kernels

# kinds of inputs and the call: f float, i int64 below 50, p in (0, 1)
Case = tuple[str, list[tuple[int, ...]], Callable[..., Any]]
LARGE: dict[str, Case] = {
    "matmul": ("ff", [(67, 130), (130, 93)], tt.matmul),
    "matmul, tall": ("ff", [(1500, 7), (7, 3)], tt.matmul),
    "matmul of transposes": ("ff", [(130, 67), (93, 130)], lambda a, b: a.T @ b.T),
    "matmul, a long sum": ("ff", [(3, 20_000), (20_000, 5)], tt.matmul),
    "matmul with a vector": ("ff", [(300, 200), (200,)], tt.matmul),
    "bmm": ("ff", [(9, 31, 40), (9, 40, 17)], tt.bmm),
    "einsum": ("ff", [(6, 31, 40), (17, 31, 6)], lambda a, b: tt.einsum("bij,kib->jk", a, b)),
    "dot": ("ff", [(70_000,), (70_000,)], tt.dot),
    "linear with GELU": ("fff", [(65, 100), (70, 100), (70,)], lambda x, w, b: F.gelu(F.linear(x, w, b))),
    "conv1d": ("fff", [(5, 4, 200), (7, 4, 5), (7,)], lambda x, w, b: F.conv1d(x, w, b, padding=2)),
    "conv2d": ("fff", [(5, 3, 23, 21), (8, 3, 3, 3), (8,)], lambda x, w, b: F.conv2d(x, w, b, padding=1)),
    "conv2d, strided": ("ff", [(5, 4, 23, 21), (8, 2, 3, 3)], lambda x, w: F.conv2d(x, w, stride=2, groups=2)),
    "max_pool2d": ("f", [(6, 5, 30, 31)], lambda x: F.max_pool2d(x, 3, 2)),
    "avg_pool2d": ("f", [(6, 5, 30, 31)], lambda x: F.avg_pool2d(x, 3, 2)),
    "layer_norm": ("fff", [(130, 77), (77,), (77,)], lambda x, w, b: F.layer_norm(x, 77, w, b)),
    "layer_norm far from 0": ("f", [(130, 77)], lambda x: F.layer_norm(x + 1e8, 77)),
    "batch_norm": ("fff", [(40, 6, 9, 9), (6,), (6,)], lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
    "group_norm": ("fff", [(20, 6, 9, 9), (6,), (6,)], lambda x, w, b: F.group_norm(x, 3, w, b)),
    "softmax": ("f", [(130, 77)], lambda x: F.softmax(x, 1)),
    "softmax of columns": ("f", [(130, 77)], lambda x: F.softmax(x, 0)),
    "log_softmax": ("f", [(130, 77)], lambda x: F.log_softmax(x, 1)),
    "logsumexp": ("f", [(130, 77)], lambda x: tt.logsumexp(x, 1)),
    "cross_entropy": ("fi", [(300, 50), (300,)], F.cross_entropy),
    "attention": ("fff", [(4, 3, 33, 16), (4, 3, 40, 16), (4, 3, 40, 16)], F.scaled_dot_product_attention),
    "embedding": ("if", [(40, 30), (50, 24)], F.embedding),
    "gather": ("fi", [(60, 80), (60, 90)], lambda x, i: tt.gather(x, 1, i)),
    "index_select": ("fi", [(60, 80), (900,)], lambda x, i: tt.index_select(x, 0, i)),
    "index_add": ("fif", [(60, 80), (900,), (900, 80)], lambda x, i, y: tt.index_add(x, 0, i, y)),
    "scatter_add": ("fif", [(60, 80), (60, 80), (60, 80)], lambda x, i, y: tt.scatter_add(x, 1, i, y)),
    "cumsum": ("f", [(90, 90)], lambda x: tt.cumsum(x, 1)),
    "cumprod": ("p", [(90, 90)], lambda x: tt.cumprod(x, 0)),
    "sort": ("f", [(90, 90)], lambda x: tt.sort(x, 1)[0]),
    "sum": ("f", [(70_000,)], tt.sum),
    "sum of columns": ("f", [(301, 203)], lambda x: tt.sum(x, 0)),
    "prod": ("p", [(301, 203)], lambda x: tt.prod(x + 0.5, 1)),
    "amax": ("f", [(301, 203)], lambda x: tt.amax(x, 0)),
    "var": ("f", [(301, 203)], lambda x: tt.var(x, 1)),
    "norm": ("f", [(301, 203)], lambda x: tt.norm(x, 2, 0)),
    "logcumsumexp": ("f", [(90, 90)], lambda x: tt.logcumsumexp(x, 0)),
    "dropout": ("f", [(301, 203)], F.dropout),
    "where": ("ff", [(301, 203), (203,)], lambda a, b: tt.where(a > 0, a * b, b)),
    "random numbers": ("f", [(301, 203)], lambda x: x * tt.randn_like(x) + tt.rand_like(x)),
}  # fmt: skip


def bits(values: list[Any]) -> str:
    """A hash of arrays; all NaNs are one."""
    sha = hashlib.sha256()
    for v in values:
        a = np.ascontiguousarray(v)
        sha.update(np.where(a == a, a, np.nan).tobytes() if a.dtype.kind == "f" else a.tobytes())
    return sha.hexdigest()[:16]


def slopes(result: Any, made: list[Any]) -> list[Any]:
    """The gradients of the inputs, from ones scaled down along the outputs."""
    outs = [o for o in float_outputs(result) if o.requires_grad]
    if not outs:
        return []
    ups = [tt.linspace(1, 0.5, max(o.numel(), 1), dtype=o.dtype)[: o.numel()].reshape(o.shape) for o in outs]
    tt.tape.backward(outs, ups)
    return [t.grad.numpy() for t in made if t.grad is not None]


def large(dtype: str) -> Iterator[tuple[str, str]]:
    for name, (kinds, shapes, call) in LARGE.items():
        rng = np.random.default_rng(len(name))
        tt.manual_seed(1)
        made = []
        for kind, shape in zip(kinds, shapes):
            if kind == "i":
                made.append(tt.tensor(rng.integers(0, 50, shape)))
            else:
                a = rng.uniform(0, 1, shape) if kind == "p" else rng.normal(size=shape)
                made.append(tt.tensor(a.astype(dtype), requires_grad=True))
        result = call(*made)
        yield f"large: {name} {dtype}", bits([*outputs(result), *slopes(result, made)])


def rows(whole: bool) -> Iterator[tuple[str, str]]:
    for r in ROWS:
        for dtype in r.dtypes if whole else r.dtypes[:1]:
            shapes = [*(r.shapes if whole else r.shapes[:1])]
            if r.elementwise:
                shapes += [((3, 1501),) * len(r.domains), ((3, 1501), (1501,), (3, 1))[: len(r.domains)]]
            values = []
            for each in shapes:
                tt.manual_seed(1)
                made = leaves(r, [cast(a, dtype) for a in inputs_of(r, each)])
                result = r.call(*made, **r.kwargs)
                values += [*outputs(result), *slopes(result, made)]
            yield f"{r.id} {dtype}", bits(values)


def hashes(threads: int, whole: bool) -> dict[str, str]:
    """Of all, by the name of the row or case and the dtype; RuntimeError unless every thread had a part in one."""
    before = tt.get_num_threads()
    _kernels.set_thread_work(1)
    _kernels.set_helpful(False)  # every thread does its part
    try:
        tt.set_num_threads(threads)
        _kernels.seen_threads(reset=True)
        found = {**dict(large("float32")), **(dict(large("float64")) if whole else {}), **dict(rows(whole))}
        if _kernels.seen_threads() != threads:
            raise RuntimeError(f"{_kernels.seen_threads()} threads had a part, expected {threads}")
    finally:
        tt.set_num_threads(before)
        _kernels.set_thread_work()
    return found


if __name__ == "__main__":
    for name, digest in hashes(int(sys.argv[1]), sys.argv[2:] == ["whole"]).items():
        print(digest, name)
