"""Products (m, k) @ (k, n), named m x n x k, float32 where it is not said. NumPy and PyTorch write into memory that waits
for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plots
import report
from task import Case, Pace, Run, Task

RATE, UNIT = "GFLOP/s", 1e-9
BLAS = True
VARIANTS: dict[str, dict[str, str]] = {"tinytensor": {}, "tinytensor, 1 thread": {"TINYTENSOR_NUM_THREADS": "1"}}
PACE, QUICK_PACE = Pace(15, 0.02, 0.1), Pace(2, 0.001, 0)
COLUMNS = {
    "faster than the best peer": report.best_peer,
    "than PyTorch": report.against("PyTorch"),
    RATE: report.rate,
    "at peak": report.at_limit,
    "of peak": report.share,
}


class Shape(NamedTuple):
    m: int
    n: int
    k: int
    transposed: bool = False
    dtype: str = "float32"

    def intensity(self) -> float:
        """Operations a byte, were each matrix moved once."""
        return 2 * self.m * self.n * self.k / (np.dtype(self.dtype).itemsize * self.elements())

    def elements(self) -> int:
        return self.m * self.k + self.k * self.n + self.m * self.n


SHAPES = {
    "2048x2048x2048": Shape(2048, 2048, 2048),
    "1024x1024x1024": Shape(1024, 1024, 1024),
    "512x1024x1024": Shape(512, 1024, 1024),
    "128x512x784": Shape(128, 512, 784),
    "64x128x784": Shape(64, 128, 784),
    "784x128x64 transposed": Shape(784, 128, 64, True),
    "128x10x512": Shape(128, 10, 512),
    "64x64x64": Shape(64, 64, 64),
    "1x200x784": Shape(1, 200, 784),
    "1024x1024x1024 float64": Shape(1024, 1024, 1024, dtype="float64"),
    "128x512x784 float64": Shape(128, 512, 784, dtype="float64"),
    "64x128x784 float64": Shape(64, 128, 784, dtype="float64"),
}
QUICK = ("64x64x64", "784x128x64 transposed", "64x128x784 float64")


def cases(quick: bool) -> list[Case]:
    return [
        Case(name, "m x n x k", 2.0 * s.m * s.n * s.k, s.dtype)
        for name, s in SHAPES.items()
        if not quick or name in QUICK
    ]


def draw(run: Run, figure: Any) -> None:
    plots.roofline(run, figure, {name: shape.intensity() for name, shape in SHAPES.items()})


def _inputs(case: str) -> tuple[np.ndarray, np.ndarray]:
    m, n, k, transposed, dtype = SHAPES[case]
    random = np.random.default_rng(1)
    a = random.standard_normal((k, m) if transposed else (m, k), dtype=np.dtype(dtype))
    return a.T if transposed else a, random.standard_normal((k, n), dtype=np.dtype(dtype))


def tinytensor(case: str) -> Task:
    import tinytensor as tt

    a, b = (tt.from_numpy(x) for x in _inputs(case))
    return Task(lambda: a @ b, lambda: (a @ b).numpy())


def numpy(case: str) -> Task:
    a, b = _inputs(case)
    c = np.empty((len(a), b.shape[1]), a.dtype)
    return Task(lambda: np.matmul(a, b, out=c), lambda: c)


def torch(case: str) -> Task:
    import torch

    a, b = (torch.from_numpy(x) for x in _inputs(case))
    c = torch.empty(len(a), b.shape[1], dtype=a.dtype)
    return Task(lambda: torch.mm(a, b, out=c), lambda: c.numpy(), mode=torch.inference_mode)


def jax(case: str) -> Task:
    import jax
    import jax.numpy as jnp

    a, b = _inputs(case)
    if SHAPES[case].transposed:
        product = jax.jit(lambda at, b: at.T @ b)
        x, y = jnp.asarray(a.T), jnp.asarray(b)
    else:
        product = jax.jit(lambda a, b: a @ b)
        x, y = jnp.asarray(a), jnp.asarray(b)
    return Task(lambda: product(x, y).block_until_ready(), lambda: np.asarray(product(x, y)))
