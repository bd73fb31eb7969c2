"""What it costs to call: small ops that are recorded, a chain of them, a small network, and an optimizer's step over many
small tensors. NumPy, which records nothing, does the same arithmetic; its chain has the gradients spelled out, and its step
is over one array, however many parameters there are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import by_hand
import numpy as np
import plots
import report
from task import Case, Pace, Run, Task
from train import TORCH_FORMS, forget, quickest

UNIT = 0.0
BLAS = False
VARIANTS: dict[str, dict[str, str]] = {"tinytensor": {}}
PACE, QUICK_PACE = Pace(15, 0.02, 0.02), Pace(2, 0.0005, 0)
CHAIN = 1000
TENSORS, ELEMENTS = 3000, 1000
COLUMNS = {"faster than the best peer": report.best_peer, "than PyTorch": report.against("PyTorch")}
STEPS = {
    f"{kind} step, {form}": (kind, form != "one flat tensor")
    for kind in ("SGD", "Adam")
    for form in (f"{TENSORS} tensors of {ELEMENTS}", "one flat tensor")
}
SCALE = 1e-3  # learning rate of the steps


def cases(quick: bool) -> list[Case]:
    calls = [
        Case("2 * x of one element, recorded", "a call"),
        Case("relu of 32x32, recorded", "a call"),
        Case(f"a product of 32x32 in a chain of {CHAIN}, and its backward", "a call", per=CHAIN),
        Case("784-128-10 forward, batch 1, no gradient", "a call"),
    ]
    return calls + [Case(name, f"a step over {TENSORS * ELEMENTS:,} parameters") for name in STEPS]


def remarks(run: Run) -> list[str]:
    """How many tensors compare with one of their total size."""
    lines = []
    for kind in ("SGD", "Adam"):
        many, flat = (
            {t["label"]: t["median"] for c in run["cases"] if c["name"] == name for t in c["times"]}
            for name, (k, _) in STEPS.items()
            if k == kind
        )
        ratios = [f"{label} {many[label] / flat[label]:.2f}x" for label in many if label in flat]
        lines.append(f"{kind}, {TENSORS} tensors of {ELEMENTS} against one flat tensor: {', '.join(ratios)}")
    return lines


def draw(run: Run, figure: Any) -> None:
    plots.bars(run, figure, "median microseconds; shorter is better")


def _data() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """x and w (32, 32), w near 1 so that the chain stays in range, and the weights and biases of the network."""
    random = np.random.default_rng(1)
    x = random.standard_normal((32, 32), dtype=np.float32)
    w = 1 + random.standard_normal((32, 32), dtype=np.float32) / np.float32(CHAIN)
    network = [random.standard_normal(s, dtype=np.float32) / np.float32(28) for s in ((784, 128), 128, (128, 10), 10)]
    return x, w, network


def _parameters() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    values, grads = (random.standard_normal(TENSORS * ELEMENTS, dtype=np.float32) for _ in range(2))
    return values, grads


def _eager(lib: Any, case: str, **options: Any) -> Task:
    """The case in tinytensor or PyTorch (`lib`)."""
    x, w, (w1, b1, w2, b2) = _data()
    if case in STEPS:
        return _optimizer(lib, *STEPS[case], **options)
    if case.startswith("784"):
        model = lib.nn.Sequential(lib.nn.Linear(784, 128), lib.nn.ReLU(), lib.nn.Linear(128, 10))
        with lib.no_grad():
            for layer, weight, bias in ((model[0], w1, b1), (model[2], w2, b2)):
                layer.weight.copy_(lib.from_numpy(weight).T)
                layer.bias.copy_(lib.from_numpy(bias))
        image = lib.from_numpy(np.linspace(0, 1, 784, dtype=np.float32)[None])
        return Task(
            lambda: model(image), lambda: model(image).numpy(), mode=getattr(lib, "inference_mode", lib.no_grad)
        )
    if "chain" in case:
        a, b = lib.from_numpy(x), lib.from_numpy(w).requires_grad_()

        def chain() -> None:
            b.grad = None
            y = a
            for _ in range(CHAIN):
                y = y * b
            y.sum().backward()

        def gradient() -> np.ndarray:
            chain()
            return b.grad.numpy()

        return Task(chain, gradient)
    if case.startswith("relu"):
        c = lib.from_numpy(x).requires_grad_()
        return Task(lambda: lib.relu(c), lambda: lib.relu(c).detach().numpy())
    one = lib.from_numpy(x[0, :1].copy()).requires_grad_()
    return Task(lambda: 2 * one, lambda: (2 * one).detach().numpy())


def _optimizer(lib: Any, kind: str, many: bool, **options: Any) -> Task:
    values, grads = _parameters()
    start = values.reshape(TENSORS if many else 1, -1)
    params = [lib.from_numpy(p.copy()).requires_grad_() for p in start]
    for p, g in zip(params, grads.reshape(start.shape)):
        p.grad = lib.from_numpy(g.copy())
    opt = getattr(lib.optim, kind)(params, lr=SCALE, **options)

    def reset() -> None:
        with lib.no_grad():
            for p, s in zip(params, start):
                p.copy_(lib.from_numpy(s))
        forget(opt)

    def result() -> np.ndarray:
        opt.step()
        return np.concatenate([p.detach().numpy() for p in params])

    return Task(opt.step, result, reset)


def tinytensor(case: str) -> Task:
    import tinytensor as tt

    return _eager(tt, case)


def torch(case: str) -> Task:
    import torch

    if case in STEPS:
        return quickest([_eager(torch, case, **form) for form in TORCH_FORMS])
    return _eager(torch, case)


def numpy(case: str) -> Task | None:
    x, w, (w1, b1, w2, b2) = _data()
    if case in STEPS:
        kind, many = STEPS[case]
        return None if many else _numpy_optimizer(kind)
    if case.startswith("784"):
        image = np.linspace(0, 1, 784, dtype=np.float32)[None]
        h, out, zero = np.empty((1, 128), np.float32), np.empty((1, 10), np.float32), np.float32(0)

        def forward() -> None:
            np.matmul(image, w1, out=h)
            np.add(h, b1, out=h)
            np.maximum(h, zero, out=h)
            np.matmul(h, w2, out=out)
            np.add(out, b2, out=out)

        return Task(forward, lambda: out)
    if "chain" in case:
        values = np.empty((CHAIN + 1, 32, 32), np.float32)
        values[0] = x
        steps = list(values)
        g, t, total = (np.empty_like(x) for _ in range(3))

        def chain() -> None:
            for a, b in pairwise(steps):
                np.multiply(a, w, out=b)
            g.fill(1)
            total.fill(0)
            for a in reversed(steps[:-1]):
                np.multiply(g, a, out=t)
                np.add(total, t, out=total)
                np.multiply(g, w, out=g)

        return Task(chain, lambda: total)
    if case.startswith("relu"):
        zero = np.float32(0)
        return Task(lambda: np.maximum(x, zero), lambda: np.maximum(x, zero))
    one = x[0, :1].copy()
    return Task(lambda: 2 * one, lambda: 2 * one)


def _numpy_optimizer(kind: str) -> Task:
    start, grads = _parameters()
    params = start.copy()
    update = by_hand.Update(params, grads, kind == "Adam", SCALE)

    def reset() -> None:
        np.copyto(params, start)
        update.reset()

    def result() -> np.ndarray:
        update.step()
        return params

    return Task(update.step, result, reset)
