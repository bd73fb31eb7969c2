"""Elementwise kernels, softmax and sum, forward and backward, float32, in tables by size. All libraries but JAX, which has no
such thing, write into memory that waits for them: NumPy and PyTorch by `out=`, tinytensor from its pool. `NAME backward` is
the kernel that the rule calls, on arrays; add and mul have no kernel of their own there, so that theirs is the whole
`backward` of a recorded node into two fresh gradients. PyTorch's backward kernels are called by name through `torch.ops`,
which costs it 2 us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import by_hand
import numpy as np
import plots
import report
from machine import ARRAYS, FLOATS
from task import Case, Pace, Run, Task

RATE, UNIT = "GB/s", 1e-9
BLAS = False
VARIANTS: dict[str, dict[str, str]] = {"tinytensor": {}, "tinytensor, 1 thread": {"TINYTENSOR_NUM_THREADS": "1"}}
PACE, QUICK_PACE = Pace(15, 0.02, 0.04), Pace(2, 0.0005, 0)
SIZES, QUICK_SIZES = list(FLOATS), ["16 k"]
FORWARD = ["add", "mul", "relu", "exp", "log", "tanh", "sigmoid", "gelu", "silu", "softmax", "sum"]
BACKWARD = [f"{name} backward" for name in ["add", "mul", "relu", "tanh", "sigmoid", "gelu", "silu", "softmax"]]
# which traffic it is, and how often, were memory all that it waits for: add's gradient goes into two arrays of their own
BOUND = {"add": ("add", 1), "mul": ("add", 1), "relu": ("copy", 1), "sum": ("read", 1), "add backward": ("copy", 2),
         "mul backward": ("add", 2), "relu backward": ("add", 1), "tanh backward": ("add", 1), "sigmoid backward": ("add", 1)}  # fmt: skip
COLUMNS = {
    "faster than the best peer": report.best_peer,
    "than PyTorch": report.against("PyTorch"),
    RATE: report.rate,
    "of bandwidth": report.share,
}
Kernels = dict[str, Callable[[], Any]]


def cases(quick: bool) -> list[Case]:
    listed = []
    for size in QUICK_SIZES if quick else SIZES:
        for name in FORWARD + BACKWARD:
            pattern, times = BOUND.get(name, ("add" if name.endswith("backward") else "copy", 1))
            work = 4.0 * FLOATS[size] * ARRAYS[pattern] * times
            limit = f"{pattern} {size}" if name in BOUND and FLOATS[size] >= FLOATS["1 M"] else ""
            listed.append(Case(f"{name} of {size} floats", f"{size} floats", work, limit))
    return listed


def draw(run: Run, figure: Any) -> None:
    plots.speeds(run, figure)


def _inputs(case: str) -> tuple[str, np.ndarray, np.ndarray]:
    name, size = case.removesuffix(" floats").split(" of ")
    random = np.random.default_rng(1)
    shape = (FLOATS[size] // 1024, 1024)
    x, g = (random.standard_normal(shape, dtype=np.float32) for _ in range(2))
    if name in ("tanh backward", "sigmoid backward", "softmax backward"):  # these take the value
        _numpy_kernels(x, g, y := np.empty_like(x))[name.removesuffix(" backward")]()
        return name, y, g
    return name, np.abs(x) + np.float32(1e-3) if name == "log" else x, g


def tinytensor(case: str) -> Task:
    import tinytensor as tt
    from tinytensor.ops import activation, pointwise

    name, x, g = _inputs(case)
    a, b = tt.from_numpy(x), tt.from_numpy(g)
    if name in ("add backward", "mul backward"):
        return _walk(tt, name, a, b)
    kernels: Kernels = {
        "add": lambda: tt.add(a, b),
        "mul": lambda: tt.mul(a, b),
        "gelu": lambda: tt.gelu(a, approximate="tanh"),
        "softmax": lambda: tt.softmax(a, 1),
        "relu backward": lambda: activation.relu_grad(g, x),
        "tanh backward": lambda: pointwise.tanh_grad(g, x),
        "sigmoid backward": lambda: pointwise.sigmoid_grad(g, x),
        "gelu backward": lambda: activation.gelu_tanh_grad(g, x),
        "silu backward": lambda: activation.silu_grad(g, x),
        "softmax backward": lambda: activation.softmax_grad(g, x, 1),
    }
    plain = getattr(tt, name, None)
    run = kernels.get(name) or (lambda: plain(a))
    return Task(run, lambda: v.numpy() if isinstance(v := run(), tt.Tensor) else v)


def _walk(lib: Any, name: str, a: Any, b: Any) -> Task:
    """The gradients of a + b or a * b, in tinytensor or PyTorch."""
    a, b, upstream = a.requires_grad_(), b.requires_grad_(), b.detach()
    y = a + b if name == "add backward" else a * b

    def run() -> None:
        a.grad = b.grad = None
        y.backward(upstream, retain_graph=True)

    def result() -> np.ndarray:
        run()
        return np.concatenate([a.grad.numpy(), b.grad.numpy()])

    return Task(run, result)


def _numpy_kernels(x: np.ndarray, g: np.ndarray, o: np.ndarray) -> Kernels:
    t, u = np.empty_like(x), np.empty_like(x)
    row = np.empty((len(x), 1), np.float32)
    zero = np.float32(0)
    return {
        "add": lambda: np.add(x, g, out=o),
        "mul": lambda: np.multiply(x, g, out=o),
        "relu": lambda: np.maximum(x, zero, out=o),
        "exp": lambda: np.exp(x, out=o),
        "log": lambda: np.log(x, out=o),
        "tanh": lambda: np.tanh(x, out=o),
        "sigmoid": lambda: by_hand.sigmoid(x, o),
        "gelu": lambda: by_hand.gelu(x, o),
        "silu": lambda: by_hand.silu(x, o),
        "softmax": lambda: by_hand.softmax(x, o, row),
        "add backward": lambda: (np.copyto(o, g), np.copyto(t, g)),
        "mul backward": lambda: (np.multiply(g, g, out=o), np.multiply(g, x, out=t)),
        "relu backward": lambda: by_hand.relu_grad(g, x, o),
        "tanh backward": lambda: by_hand.tanh_grad(g, x, o),
        "sigmoid backward": lambda: by_hand.sigmoid_grad(g, x, o),
        "gelu backward": lambda: by_hand.gelu_grad(g, x, o, t, u),
        "silu backward": lambda: by_hand.silu_grad(g, x, o, t),
        "softmax backward": lambda: by_hand.softmax_grad(g, x, o, row),
        "both": lambda: np.concatenate([o, t]),
    }


def numpy(case: str) -> Task:
    name, x, g = _inputs(case)
    o, total = np.empty_like(x), np.empty((), np.float32)
    if name == "sum":
        return Task(lambda: np.add.reduce(x, axis=None, out=total), lambda: total)
    kernels = _numpy_kernels(x, g, o)
    return Task(kernels[name], kernels["both"] if name in ("add backward", "mul backward") else lambda: o)


def torch(case: str) -> Task:
    import torch

    name, x, g = _inputs(case)
    a, b = torch.from_numpy(x), torch.from_numpy(g)
    if name in ("add backward", "mul backward"):
        return _walk(torch, name, a, b)
    o, aten, nn = torch.empty_like(a), torch.ops.aten, torch._C._nn
    kernels: Kernels = {
        "add": lambda: torch.add(a, b, out=o),
        "mul": lambda: torch.mul(a, b, out=o),
        "relu": lambda: torch.clamp_min(a, 0, out=o),
        "gelu": lambda: nn.gelu(a, approximate="tanh", out=o),
        "silu": lambda: nn.silu(a, out=o),
        "softmax": lambda: torch.softmax(a, 1, out=o),
        "sum": lambda: torch.sum(a),
        "relu backward": lambda: aten.threshold_backward.grad_input(b, a, 0, grad_input=o),
        "tanh backward": lambda: aten.tanh_backward.grad_input(b, a, grad_input=o),
        "sigmoid backward": lambda: aten.sigmoid_backward.grad_input(b, a, grad_input=o),
        "gelu backward": lambda: aten.gelu_backward.grad_input(b, a, approximate="tanh", grad_input=o),
        "silu backward": lambda: aten.silu_backward.grad_input(b, a, grad_input=o),
        "softmax backward": lambda: aten._softmax_backward_data.out(b, a, 1, torch.float32, grad_input=o),
    }
    plain = getattr(torch, name, None)
    run = kernels.get(name) or (lambda: plain(a, out=o))
    return Task(run, lambda: run().numpy(), mode=torch.inference_mode)


def jax(case: str) -> Task | None:
    import jax
    import jax.numpy as jnp

    name, x, g = _inputs(case)
    if name == "add backward":
        return None  # nothing to compute: it hands the upstream gradient on
    forward: dict[str, Any] = {
        "add": jnp.add,
        "mul": jnp.multiply,
        "gelu": jax.nn.gelu,  # the tanh form
        "silu": jax.nn.silu,
        "softmax": lambda a: jax.nn.softmax(a, axis=1),
        "sigmoid": jax.nn.sigmoid,
        "relu": lambda a: jnp.maximum(a, 0),
    }
    backward: dict[str, Any] = {  # of the value where its rule takes that, as the other libraries' kernels do
        "mul backward": lambda b, a: jnp.concatenate([b * b, b * a]),
        "relu backward": lambda b, a: jnp.where(a > 0, b, 0),
        "tanh backward": lambda b, y: b * (1 - y * y),
        "sigmoid backward": lambda b, y: b * y * (1 - y),
        "gelu backward": lambda b, a: jax.vjp(jax.nn.gelu, a)[1](b)[0],
        "silu backward": lambda b, a: jax.vjp(jax.nn.silu, a)[1](b)[0],
        "softmax backward": lambda b, y: y * (b - (b * y).sum(axis=1, keepdims=True)),
    }
    a, b = jnp.asarray(x), jnp.asarray(g)
    args = (b, a) if name in backward else (a, b) if name in ("add", "mul") else (a,)
    compiled = jax.jit(backward.get(name) or forward.get(name) or getattr(jnp, name))
    return Task(lambda: compiled(*args).block_until_ready(), lambda: np.asarray(compiled(*args)))
