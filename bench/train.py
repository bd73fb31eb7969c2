"""One training step: zero_grad, forward, cross-entropy, backward, update. tinytensor and PyTorch run the same program, as
their users write it; PyTorch's optimizer is the quickest of its forms (foreach, fused), and a row is compiled; JAX is one
jitted function whose parameters are donated; NumPy is written by hand with the gradients spelled out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import by_hand
import numpy as np
import plots
import report
from task import Case, Pace, Run, Task, Unavailable

RATE, UNIT = "GFLOP/s", 1e-9
BLAS = True
VARIANTS: dict[str, dict[str, str]] = {"tinytensor": {}}
PACE, QUICK_PACE = Pace(15, 0.02, 0.1), Pace(2, 0.001, 0)
BATCHES = 32  # of random images and labels, walked round; weights go back to the start before each timed block
CHECKED = 5  # losses of these first steps must agree
LR = {"SGD": 0.1, "Adam": 1e-3}
COLUMNS = {
    "faster than the best peer": report.best_peer,
    "than PyTorch": report.against("PyTorch"),
    RATE: report.rate,
    "arithmetic at peak": report.at_limit,
    "of peak": report.share,
}


class Network(NamedTuple):
    widths: tuple[int, ...]
    batch: int
    optimizer: str
    activation: str = "relu"

    def work(self) -> float:
        """Multiplications and additions of all products in a step; nobody asks for the gradient of the images."""
        first, *rest = (n * m for n, m in zip(self.widths, self.widths[1:]))
        return 2.0 * self.batch * (2 * first + 3 * sum(rest))


NETWORKS = {
    "A 784-128-10, batch 64, SGD, relu": Network((784, 128, 10), 64, "SGD"),
    "B 784-200-10, batch 1, SGD, sigmoid": Network((784, 200, 10), 1, "SGD", "sigmoid"),
    "C 784-512-256-10, batch 128, Adam, relu": Network((784, 512, 256, 10), 128, "Adam"),
    "D 784-1024-1024-10, batch 512, SGD, relu": Network((784, 1024, 1024, 10), 512, "SGD"),
    "E 10-46-46-10, batch 128, Adam, relu": Network((10, 46, 46, 10), 128, "Adam"),
}
WORKLOADS = {name[0]: network for name, network in NETWORKS.items()}


def cases(quick: bool) -> list[Case]:
    return [
        Case(name, "one step", network.work(), "float32")
        for name, network in NETWORKS.items()
        if not quick or name[0] in "ABE"
    ]


def draw(run: Run, figure: Any) -> None:
    plots.bars(run, figure, "median microseconds of one step; shorter is better")


def inputs(network: Network, batches: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Images (batches, batch, widths[0]), labels (batches, batch) and the weight (n, m) of each layer."""
    random = np.random.default_rng(1)
    x = random.random((batches, network.batch, network.widths[0]), dtype=np.float32)
    y = random.integers(0, network.widths[-1], (batches, network.batch))
    weights = [
        random.uniform(-(n**-0.5), n**-0.5, (n, m)).astype(np.float32)
        for n, m in zip(network.widths, network.widths[1:])
    ]
    return x, y, weights


def _losses(run: Callable[[], Any], loss: Callable[[], float]) -> np.ndarray:
    values = []
    for _ in range(CHECKED):
        run()
        values.append(loss())
    return np.array(values)


def forget(optimizer: Any) -> None:
    """Put the optimizer's state back to where it was before the first step, in place."""
    for state in optimizer.state.values():
        for name, value in state.items():
            if hasattr(value, "zero_"):
                value.zero_()
            else:
                state[name] = 0


def step(lib: Any, network: Network, batches: int = BATCHES, compiled: str = "", **options: Any) -> Task:
    """The step in tinytensor or PyTorch (`lib`), as a user of either writes it; `options` go to the optimizer, and
    `compiled` names what torch.compile is for: "forward" (and backward with it), "forward, update" or nothing."""
    nn, optim, F = lib.nn, lib.optim, lib.nn.functional
    x, y, weights = inputs(network, batches)
    pairs = [(lib.from_numpy(a), lib.from_numpy(b)) for a, b in zip(x, y)]
    activation = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}[network.activation]
    layers: list[Any] = []
    for n, m in zip(network.widths, network.widths[1:]):
        layers += [nn.Linear(n, m), activation()]
    model = nn.Sequential(*layers[:-1])
    opt = getattr(optim, network.optimizer)(model.parameters(), lr=LR[network.optimizer], **options)
    state: dict[str, Any] = {"at": 0}

    def loss_of(a: Any, b: Any) -> Any:
        return F.cross_entropy(model(a), b)

    forward = lib.compile(loss_of) if "forward" in compiled else loss_of
    update = lib.compile(opt.step) if "update" in compiled else opt.step

    def reset() -> None:
        with lib.no_grad():
            for layer, w in zip(layers[::2], weights):
                layer.weight.copy_(lib.from_numpy(w).T)
                layer.bias.zero_()
        forget(opt)
        state["at"] = 0

    def run() -> None:
        a, b = pairs[state["at"] % batches]
        opt.zero_grad()
        loss = forward(a, b)
        loss.backward()
        update()
        state["at"] += 1
        state["loss"] = loss

    reset()
    return Task(run, lambda: _losses(run, lambda: state["loss"].item()), reset)


def quickest(tasks: Sequence[Task]) -> Task:
    """The task with the shortest run, each tried three times for a few hundredths of a second."""

    def seconds(task: Task) -> float:
        task.run()
        end, best = time.perf_counter() + 0.05, float("inf")
        while True:
            begin = time.perf_counter()
            task.run()
            now = time.perf_counter()
            best = min(best, now - begin)
            if now > end:
                return best

    times = [min(seconds(task) for _ in range(3)) for task in tasks]
    return tasks[times.index(min(times))]


TORCH_FORMS: tuple[dict[str, Any], ...] = ({"foreach": False}, {"foreach": True}, {"fused": True})


def tinytensor(case: str) -> Task:
    import tinytensor as tt

    return step(tt, NETWORKS[case])


def torch(case: str) -> Task:
    import torch

    return quickest([step(torch, NETWORKS[case], **form) for form in TORCH_FORMS])


def torch_compile(case: str) -> Task:
    import torch

    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise Unavailable("there is no C++ compiler")
    network = NETWORKS[case]
    tasks = [
        step(torch, network, compiled="forward, update", foreach=True),
        step(torch, network, compiled="forward", fused=True),
    ]
    try:
        return quickest(tasks)
    except Exception as error:  # whatever the compiler or its toolchain stumbles over
        raise Unavailable(f"torch.compile failed: {type(error).__name__}: {str(error).splitlines()[0]}") from error


def jax(case: str) -> Task:
    import jax
    import jax.numpy as jnp

    network = NETWORKS[case]
    lr, adam = LR[network.optimizer], network.optimizer == "Adam"
    images, labels, start = inputs(network, BATCHES)
    pairs = [(jnp.asarray(a), jnp.asarray(b)) for a, b in zip(images, labels)]
    activation = {"relu": lambda z: jnp.maximum(z, 0), "sigmoid": jax.nn.sigmoid}[network.activation]

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        for i, (w, b) in enumerate(params):
            x = (activation(x) if i else x) @ w + b
        return jnp.mean(jax.nn.logsumexp(x, axis=1) - jnp.take_along_axis(x, y[:, None], axis=1)[:, 0])

    def update(params: Any, moments: Any, at: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        tree = jax.tree_util.tree_map
        if not adam:
            return tree(lambda p, g: p - lr * g, params, grads), moments, at, loss
        at = at + 1
        first = tree(lambda m, g: 0.9 * m + 0.1 * g, moments[0], grads)
        second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], grads)
        c = jnp.sqrt(1 - 0.999**at)
        rate, eps = lr * c / (1 - 0.9**at), 1e-8 * c
        params = tree(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + eps), params, first, second)
        return params, (first, second), at, loss

    jitted = jax.jit(update, donate_argnums=(0, 1, 2))
    state: dict[str, Any] = {}

    def reset() -> None:
        state["params"] = [(jnp.array(w), jnp.zeros(w.shape[1], jnp.float32)) for w in start]
        zeros = [jax.tree_util.tree_map(jnp.zeros_like, state["params"]) for _ in range(2)] if adam else ()
        state.update(moments=tuple(zeros), adam_at=jnp.float32(0), at=0)

    def run() -> None:
        x, y = pairs[state["at"] % BATCHES]
        out = jitted(state["params"], state["moments"], state["adam_at"], x, y)
        state["params"], state["moments"], state["adam_at"], state["loss"] = jax.block_until_ready(out)
        state["at"] += 1

    reset()
    return Task(run, lambda: _losses(run, lambda: float(state["loss"])), reset)


def numpy(case: str) -> Task:
    return numpy_step(NETWORKS[case])


def numpy_step(network: Network, batches: int = BATCHES) -> Task:
    """The step by hand: every array waits, all parameters are parts of one, so that an update is few calls."""
    images, labels, start = inputs(network, batches)
    widths, batch, depth = network.widths, network.batch, len(start)
    sizes = [w.size for w in start] + [w.shape[1] for w in start]
    params, grads = (np.zeros(sum(sizes), np.float32) for _ in range(2))
    parts, grad_parts = (np.split(a, np.cumsum(sizes)[:-1]) for a in (params, grads))
    w, gw = ([p.reshape(s.shape) for p, s in zip(q, start)] for q in (parts, grad_parts))
    b, gb = parts[depth:], grad_parts[depth:]
    z = [np.empty((batch, m), np.float32) for m in widths[1:]]
    dz = [np.empty_like(a) for a in z]
    scratch = [np.empty_like(a) for a in z]
    row, rows, ones = np.empty((batch, 1), np.float32), np.arange(batch), np.ones(batch, np.float32)
    zero, mean = np.float32(0), np.float32(1 / batch)
    relu = network.activation == "relu"
    gradient = by_hand.relu_grad if relu else by_hand.sigmoid_grad
    update = by_hand.Update(params, grads, network.optimizer == "Adam", LR[network.optimizer])
    state: dict[str, Any] = {"at": 0, "loss": 0.0}

    def reset() -> None:
        params.fill(0)
        for to, frm in zip(w, start):
            np.copyto(to, frm)
        update.reset()
        state["at"] = 0

    def run() -> None:
        x, y = images[state["at"] % batches], labels[state["at"] % batches]
        h = x
        for i in range(depth):
            h = np.matmul(h, w[i], out=z[i])
            np.add(h, b[i], out=h)
            if i + 1 < depth:
                if relu:
                    np.maximum(h, zero, out=h)
                else:
                    by_hand.sigmoid(h, h)
        d = dz[-1]
        by_hand.softmax(h, d, row)
        state["loss"] = -float(np.log(d[rows, y]).sum()) / batch
        d[rows, y] -= 1
        np.multiply(d, mean, out=d)
        for i in reversed(range(depth)):
            below = z[i - 1] if i else x
            if batch == 1:  # an outer product: OpenBLAS is slower at it
                np.multiply(below.T, dz[i], out=gw[i])
                np.copyto(gb[i], dz[i][0])
            else:
                np.matmul(below.T, dz[i], out=gw[i])
                np.matmul(ones, dz[i], out=gb[i])
            if i:
                np.matmul(dz[i], w[i].T, out=scratch[i - 1])
                gradient(scratch[i - 1], z[i - 1], dz[i - 1])
        update.step()
        state["at"] += 1

    reset()
    return Task(run, lambda: _losses(run, lambda: state["loss"]), reset)
