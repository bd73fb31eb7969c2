"""Trains six networks and prints a hash of all weights for each: `python tests/same_bits.py THREADS [whoever]`.

The tests run it under several thread counts and instruction sets; every kernel is divided, however small its work.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np

import tinytensor as tt
from tinytensor import _kernels, nn, optim
from tinytensor.nn import functional as F


def weights_hash(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for p in model.parameters():
        digest.update(np.ascontiguousarray(p.detach().numpy()).tobytes())
    return digest.hexdigest()


def trained(
    sizes: list[int],
    activation: type[nn.Module],
    batch: int,
    dtype: np.dtype,
    make: Callable[[nn.Module], optim.Optimizer],
    dropout: float,
) -> str:
    """The hash after 200 steps."""
    tt.manual_seed(7)
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), activation(), *([nn.Dropout(dropout)] if dropout else [])]
    model = nn.Sequential(*layers[: -2 if dropout else -1]).to(dtype)
    opt = make(model)
    for _ in range(200):
        x = tt.rand(batch, sizes[0], dtype=dtype)
        y = tt.randint(0, sizes[-1], (batch,))
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y, label_smoothing=0.05)
        loss.backward()
        opt.step()
    return weights_hash(model)


def sgd(model: nn.Module) -> optim.Optimizer:
    return optim.SGD(model.parameters(), lr=0.1)


def nesterov(model: nn.Module) -> optim.Optimizer:
    return optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)


def adam(model: nn.Module) -> optim.Optimizer:
    return optim.Adam(model.parameters(), lr=1e-3)


def adamw(model: nn.Module) -> optim.Optimizer:
    return optim.AdamW(model.parameters(), lr=1e-3)


RUNS = {
    "784-128-10 relu sgd float32": ([784, 128, 10], nn.ReLU, 64, tt.float32, sgd, 0.1),
    "300-200-100-10 gelu adamw float32": ([300, 200, 100, 10], nn.GELU, 128, tt.float32, adamw, 0.1),
    "100-64-10 tanh nesterov float64": ([100, 64, 10], nn.Tanh, 65, tt.float64, nesterov, 0.1),
    # as the bench has them: layers with their activations in one op
    "A 784-128-10 relu sgd float32": ([784, 128, 10], nn.ReLU, 64, tt.float32, sgd, 0),
    "C 784-512-256-10 relu adam float32": ([784, 512, 256, 10], nn.ReLU, 128, tt.float32, adam, 0),
    "784-128-10 silu adam float64": ([784, 128, 10], nn.SiLU, 64, tt.float64, adam, 0),
}

if __name__ == "__main__":
    count = int(sys.argv[1])
    tt.set_num_threads(count)
    _kernels.set_thread_work(1)
    _kernels.set_helpful(len(sys.argv) > 2)  # if not, every thread does its part
    for name, arguments in RUNS.items():
        _kernels.seen_threads(reset=True)
        print(f"{trained(*arguments)} {_kernels.seen_threads()} {name}", flush=True)
