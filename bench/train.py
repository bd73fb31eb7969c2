"""One training step: forward, loss, backward, update. tinytensor as its users write it; NumPy as a good engineer writes it
by hand: every buffer preallocated, everything in place, all parameters in one array so that an update is few calls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from task import Case, Task

RATE, UNIT = "images/s", 1.0
BLAS = True
BATCHES = 32  # of random images and labels, walked round; weights go back to the start before each timed block


class Network(NamedTuple):
    widths: tuple[int, ...]
    batch: int
    adam: bool


NETWORKS = {
    "784-128-10 batch 64 SGD": Network((784, 128, 10), 64, False),
    "784-512-256-10 batch 128 Adam": Network((784, 512, 256, 10), 128, True),
}
LR = {False: 0.1, True: 1e-3}
CHECKED = 5  # losses of these first steps must agree


def cases(quick: bool) -> list[Case]:
    del quick
    return [Case(name, "step", float(network.batch), False) for name, network in NETWORKS.items()]


def _inputs(network: Network) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    random = np.random.default_rng(1)
    x = random.random((BATCHES, network.batch, network.widths[0]), dtype=np.float32)
    y = random.integers(0, network.widths[-1], (BATCHES, network.batch))
    weights = [
        random.uniform(-(n**-0.5), n**-0.5, (n, m)).astype(np.float32)
        for n, m in zip(network.widths, network.widths[1:])
    ]
    return x, y, weights


def tinytensor(case: str) -> Task:
    import tinytensor as tt
    from tinytensor import nn, optim

    network = NETWORKS[case]
    x, y, weights = _inputs(network)
    batches = [(tt.from_numpy(a), tt.from_numpy(b)) for a, b in zip(x, y)]
    layers: list[nn.Module] = []
    for n, m in zip(network.widths, network.widths[1:]):
        layers += [nn.Linear(n, m), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    loss_function = nn.CrossEntropyLoss()
    losses: list[tt.Tensor] = []
    state: dict[str, object] = {}

    def reset() -> None:
        with tt.no_grad():
            for layer, w in zip(linears, weights):
                layer.weight.copy_(tt.from_numpy(w).T)
                layer.bias.zero_()
        kind = optim.Adam if network.adam else optim.SGD
        state["optimizer"] = kind(model.parameters(), lr=LR[network.adam])
        state["step"] = 0

    def run() -> None:
        optimizer, at = state["optimizer"], state["step"]
        a, b = batches[at % BATCHES]
        loss = loss_function(model(a), b)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state["step"] = at + 1
        state["loss"] = loss

    def result() -> np.ndarray:
        losses.clear()
        for _ in range(CHECKED):
            run()
            losses.append(state["loss"])
        return np.array([loss.item() for loss in losses])

    reset()
    return Task(run, result, reset)


def numpy(case: str) -> Task:
    network = NETWORKS[case]
    images, labels, start = _inputs(network)
    widths, batch, lr = network.widths, network.batch, np.float32(LR[network.adam])
    depth = len(start)
    sizes = [w.size for w in start] + [w.shape[1] for w in start]
    params, grads = (np.zeros(sum(sizes), np.float32) for _ in range(2))
    parts, grad_parts = (np.split(a, np.cumsum(sizes)[:-1]) for a in (params, grads))
    w, gw = ([p.reshape(s.shape) for p, s in zip(q, start)] for q in (parts, grad_parts))
    b, gb = parts[depth:], grad_parts[depth:]
    z = [np.empty((batch, m), np.float32) for m in widths[1:]]
    dz = [np.empty_like(a) for a in z]
    masks = [np.empty_like(a) for a in z]
    row, picked = np.empty((batch, 1), np.float32), np.empty(batch, np.float32)
    rows, ones = np.arange(batch), np.ones(batch, np.float32)
    first, second = (np.zeros_like(params) for _ in range(2))
    block = 1 << 15  # an update in pieces that stay in the second-level cache
    spans = [slice(i, i + block) for i in range(0, params.size, block)]
    scratch = np.empty(block, np.float32)
    zero, mean = np.float32(0), np.float32(1 / batch)
    state = {"step": 0, "loss": 0.0}

    def reset() -> None:
        params.fill(0)
        first.fill(0)
        second.fill(0)
        for to, frm in zip(w, start):
            np.copyto(to, frm)
        state["step"] = 0

    def sgd() -> None:
        np.multiply(grads, lr, out=grads)
        np.subtract(params, grads, out=params)

    def adam(step: int) -> None:
        rate = np.float32(LR[True] * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step))
        eps = np.float32(1e-8 * (1 - 0.999**step) ** 0.5)
        b1, b2, r1, r2 = np.float32(0.9), np.float32(0.999), np.float32(0.1), np.float32(0.001)
        for span in spans:
            p, g, m, v = params[span], grads[span], first[span], second[span]
            t = scratch[: p.size]
            np.multiply(g, g, out=t)
            np.multiply(t, r2, out=t)
            np.multiply(v, b2, out=v)
            np.add(v, t, out=v)
            np.multiply(g, r1, out=g)
            np.multiply(m, b1, out=m)
            np.add(m, g, out=m)
            np.sqrt(v, out=t)
            np.add(t, eps, out=t)
            np.divide(m, t, out=t)
            np.multiply(t, rate, out=t)
            np.subtract(p, t, out=p)

    def run() -> None:
        at = state["step"]
        x, y = images[at % BATCHES], labels[at % BATCHES]
        h = x
        for i in range(depth):
            np.matmul(h, w[i], out=z[i])
            np.add(z[i], b[i], out=z[i])
            if i + 1 < depth:
                h = np.maximum(z[i], zero, out=z[i])
        logits, d = z[-1], dz[-1]
        np.maximum.reduce(logits, axis=1, out=row, keepdims=True)
        np.subtract(logits, row, out=logits)
        np.exp(logits, out=d)
        np.add.reduce(d, axis=1, out=row, keepdims=True)
        picked[:] = logits[rows, y]
        state["loss"] = float(np.log(row).sum() - picked.sum()) / batch
        np.divide(d, row, out=d)
        d[rows, y] -= 1
        np.multiply(d, mean, out=d)
        for i in reversed(range(depth)):
            np.matmul((z[i - 1] if i else x).T, dz[i], out=gw[i])
            np.matmul(ones, dz[i], out=gb[i])
            if i:
                np.matmul(dz[i], w[i].T, out=dz[i - 1])
                np.greater(z[i - 1], zero, out=masks[i - 1])
                np.multiply(dz[i - 1], masks[i - 1], out=dz[i - 1])
        state["step"] = at + 1
        if network.adam:
            adam(at + 1)
        else:
            sgd()

    def result() -> np.ndarray:
        losses = []
        for _ in range(CHECKED):
            run()
            losses.append(state["loss"])
        return np.array(losses)

    reset()
    return Task(run, result, reset)
