"""Trains three small networks and prints a hash of all weights for each: `python tests/same_bits.py THREADS`.

The tests run it under several thread counts and instruction sets; every kernel is divided, however small its work.
"""

from __future__ import annotations

import hashlib
import sys
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
    sizes: list[int], activation: type[nn.Module], batch: int, steps: int, dtype: np.dtype, optimizer: str
) -> str:
    tt.manual_seed(7)
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), activation(), nn.Dropout(0.1)]
    model = nn.Sequential(*layers[:-2]).to(dtype)
    kinds = {
        "sgd": lambda: optim.SGD(model.parameters(), lr=0.1),
        "momentum": lambda: optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
        "adam": lambda: optim.AdamW(model.parameters(), lr=1e-3),
    }
    opt = kinds[optimizer]()
    for _ in range(steps):
        x = tt.rand(batch, sizes[0], dtype=dtype)
        y = tt.randint(0, sizes[-1], (batch,))
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y, label_smoothing=0.05)
        loss.backward()
        opt.step()
    return weights_hash(model)


RUNS = {
    "784-128-10 relu sgd float32": ([784, 128, 10], nn.ReLU, 64, 200, tt.float32, "sgd"),
    "300-200-100-10 gelu adamw float32": ([300, 200, 100, 10], nn.GELU, 128, 200, tt.float32, "adam"),
    "100-64-10 tanh nesterov float64": ([100, 64, 10], nn.Tanh, 65, 200, tt.float64, "momentum"),
}

if __name__ == "__main__":
    count = int(sys.argv[1])
    tt.set_num_threads(count)
    _kernels.set_thread_work(1)
    for name, arguments in RUNS.items():
        _kernels.seen_threads(reset=True)
        print(f"{trained(*arguments)} {_kernels.seen_threads()} {name}")
