"""Float32 products (m, k) @ (k, n), named m x n x k. NumPy writes into a buffer that waits for it."""

from __future__ import annotations

import numpy as np
from task import Case, Task

RATE, UNIT = "GFLOP/s", 1e-9
BLAS = True
SHAPES = {
    "1024x1024x1024": (1024, 1024, 1024, False),
    "512x1024x1024": (512, 1024, 1024, False),
    "128x512x784": (128, 512, 784, False),
    "64x128x784": (64, 128, 784, False),
    "784x128x64 transposed": (784, 128, 64, True),
    "128x10x512": (128, 10, 512, False),
    "64x64x64": (64, 64, 64, False),
    "1x200x784": (1, 200, 784, False),
}


def cases(quick: bool) -> list[Case]:
    names = ["64x64x64", "784x128x64 transposed"] if quick else list(SHAPES)
    return [Case(name, "product", 2.0 * m * n * k, True) for name in names for m, n, k, _ in [SHAPES[name]]]


def _inputs(case: str) -> tuple[np.ndarray, np.ndarray]:
    m, n, k, transposed = SHAPES[case]
    random = np.random.default_rng(1)
    a = random.standard_normal((k, m) if transposed else (m, k), dtype=np.float32)
    return a.T if transposed else a, random.standard_normal((k, n), dtype=np.float32)


def tinytensor(case: str) -> Task:
    import tinytensor as tt

    a, b = (tt.from_numpy(x) for x in _inputs(case))
    return Task(lambda: a @ b, lambda: (a @ b).numpy())


def numpy(case: str) -> Task:
    a, b = _inputs(case)
    c = np.empty((len(a), b.shape[1]), np.float32)
    return Task(lambda: np.matmul(a, b, out=c), lambda: c)
