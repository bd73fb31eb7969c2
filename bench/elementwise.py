"""Elementwise kernels, softmax and sum, forward and backward, float32. NumPy writes into buffers that wait for it; several
of its formulas were tried, and the quickest is here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from task import Case, Task

RATE, UNIT = "GB/s", 1e-9
BLAS = False
# arrays read and written once each, were every kernel a single pass
ARRAYS = {"add": 3, "mul": 3, "sum": 1, "relu'": 3, "tanh'": 3, "sigmoid'": 3, "gelu'": 3, "softmax'": 3}
NAMES = ["relu", "exp", "log", "tanh", "sigmoid", "gelu", "add", "mul", "sum", "softmax", "relu'", "tanh'", "sigmoid'", "gelu'", "softmax'"]  # fmt: skip
SIZES = {"64 KiB": 1 << 14, "4 MiB": 1 << 20, "64 MiB": 1 << 24}


def cases(quick: bool) -> list[Case]:
    sizes = {"64 KiB": SIZES["64 KiB"]} if quick else SIZES
    return [
        Case(f"{n} {s}", s, 4.0 * size * ARRAYS.get(n, 2), s == "64 MiB") for s, size in sizes.items() for n in NAMES
    ]


def _inputs(case: str) -> tuple[str, np.ndarray, np.ndarray]:
    name, _, label = case.partition(" ")
    random = np.random.default_rng(1)
    shape = (SIZES[label] // 1024, 1024)
    x, g = (random.standard_normal(shape, dtype=np.float32) for _ in range(2))
    return name, np.abs(x) + np.float32(1e-3) if name == "log" else x, g


def tinytensor(case: str) -> Task:
    """Public functions on Tensors; for a backward kernel, the op that the rule calls, on arrays."""
    import tinytensor as tt
    from tinytensor.ops import activation, pointwise

    name, x, g = _inputs(case)
    if name.endswith("'"):
        y = _values(name[:-1], x)
        kernels: dict[str, Callable[[], np.ndarray]] = {
            "relu'": lambda: activation.relu_grad(g, y),
            "tanh'": lambda: pointwise.tanh_grad(g, y),
            "sigmoid'": lambda: pointwise.sigmoid_grad(g, y),
            "gelu'": lambda: activation.gelu_tanh_grad(g, x),
            "softmax'": lambda: activation.softmax_grad(g, y, 1),
        }
        return Task(kernels[name], kernels[name])
    a, b = tt.from_numpy(x), tt.from_numpy(g)
    functions: dict[str, Callable[[], tt.Tensor]] = {
        "add": lambda: tt.add(a, b),
        "mul": lambda: tt.mul(a, b),
        "gelu": lambda: tt.gelu(a, approximate="tanh"),
        "softmax": lambda: tt.softmax(a, 1),
    }
    plain = getattr(tt, name)
    run = functions.get(name) or (lambda: plain(a))
    return Task(run, lambda: run().numpy())


def _values(name: str, x: np.ndarray) -> np.ndarray:
    task = numpy(name, x)
    task.run()
    return task.result()


def numpy(case: str, given: np.ndarray | None = None) -> Task:
    """The same in place, in preallocated float32. GELU is the tanh form on both sides: NumPy has no erf."""
    name, x, g = _inputs(case) if given is None else (case, given, given)
    y = _values(name[:-1], x) if name.endswith("'") and name != "gelu'" else x
    o, t, u = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    row = np.empty((len(x), 1), np.float32)
    total = np.empty((), np.float32)
    zero, half, one, three = np.float32(0), np.float32(0.5), np.float32(1), np.float32(3)
    c = np.float32(0.7978845608028654)
    d = np.float32(0.7978845608028654 * 0.044715)

    def sigmoid() -> None:  # quicker than exp, add, divide
        np.multiply(x, half, out=o)
        np.tanh(o, out=o)
        np.multiply(o, half, out=o)
        np.add(o, half, out=o)

    def gelu() -> None:
        np.multiply(x, x, out=o)
        np.multiply(o, d, out=o)
        np.add(o, c, out=o)
        np.multiply(o, x, out=o)
        np.tanh(o, out=o)
        np.add(o, one, out=o)
        np.multiply(o, x, out=o)
        np.multiply(o, half, out=o)

    def softmax() -> None:
        np.maximum.reduce(x, axis=1, out=row, keepdims=True)
        np.subtract(x, row, out=o)
        np.exp(o, out=o)
        np.add.reduce(o, axis=1, out=row, keepdims=True)
        np.reciprocal(row, out=row)
        np.multiply(o, row, out=o)

    def relu_grad() -> None:
        np.greater(y, zero, out=o)
        np.multiply(o, g, out=o)

    def tanh_grad() -> None:
        np.multiply(y, y, out=o)
        np.subtract(one, o, out=o)
        np.multiply(o, g, out=o)

    def sigmoid_grad() -> None:
        np.subtract(one, y, out=o)
        np.multiply(o, y, out=o)
        np.multiply(o, g, out=o)

    def gelu_grad() -> None:  # h (1 + t) + h x (1 - t^2) (c + 3 d x^2), h = 1/2
        np.multiply(x, x, out=u)
        np.multiply(u, d, out=u)
        np.add(u, c, out=t)
        np.multiply(t, x, out=t)
        np.tanh(t, out=t)
        np.multiply(u, three, out=u)
        np.add(u, c, out=u)
        np.multiply(u, x, out=u)
        np.subtract(one, t, out=o)
        np.multiply(u, o, out=u)
        np.add(u, one, out=u)
        np.add(t, one, out=t)
        np.multiply(u, t, out=u)
        np.multiply(u, half, out=u)
        np.multiply(u, g, out=o)

    def softmax_grad() -> None:
        np.multiply(g, y, out=o)
        np.add.reduce(o, axis=1, out=row, keepdims=True)
        np.subtract(g, row, out=o)
        np.multiply(o, y, out=o)

    functions: dict[str, Callable[[], object]] = {
        "relu": lambda: np.maximum(x, zero, out=o),
        "exp": lambda: np.exp(x, out=o),
        "log": lambda: np.log(x, out=o),
        "tanh": lambda: np.tanh(x, out=o),
        "sigmoid": sigmoid,
        "gelu": gelu,
        "add": lambda: np.add(x, g, out=o),
        "mul": lambda: np.multiply(x, g, out=o),
        "sum": lambda: np.add.reduce(x, axis=None, out=total),
        "softmax": softmax,
        "relu'": relu_grad,
        "tanh'": tanh_grad,
        "sigmoid'": sigmoid_grad,
        "gelu'": gelu_grad,
        "softmax'": softmax_grad,
    }
    return Task(functions[name], lambda: total if name == "sum" else o)
