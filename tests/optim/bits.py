"""Prints a hash of parameters and state after a few steps of each optimizer: `python tests/optim/bits.py THREADS`."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
from formulas import CASES, IDS

import tinytensor as tt
from tinytensor import _kernels, optim
from tinytensor.optim import swa_utils


def parameters(dtype):
    """Of several layouts, and of more elements than one thread takes at a time."""
    tt.manual_seed(3)
    big = tt.randn(300, 113, dtype=dtype).numpy()
    arrays = [big, np.asfortranarray(big * 2), np.array(0.5, dtype), big[:, :5].copy()]
    return [tt.from_numpy(a).requires_grad_() for a in arrays]


def digest(tensors):
    sha = hashlib.sha256()
    for t in tensors:
        sha.update(np.ascontiguousarray(t.detach().numpy()).tobytes())
    return sha.hexdigest()


def fused(kind, options, dtype):
    params = parameters(dtype)
    optimizer = kind(params, lr=0.01, **options)
    for _ in range(8):
        for p in params:
            p.grad = tt.randn(*p.shape, dtype=dtype)
        optimizer.step()
    kept = [v for p in params for v in optimizer.state[p].values() if isinstance(v, tt.Tensor)]
    return digest([*params, *kept])


def lbfgs(dtype, **options):
    params = parameters(dtype)
    optimizer = optim.LBFGS(params, lr=0.5, max_iter=4, **options)

    def closure():
        optimizer.zero_grad()
        loss = sum((p * p * p * p + p).sum() for p in params)
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    return digest(params)


def averages(dtype):
    averaged = parameters(dtype)
    update = swa_utils.get_ema_multi_avg_fn(0.9)
    for _ in range(3):
        update([p.detach() for p in averaged], [tt.randn(*p.shape, dtype=dtype) for p in averaged], tt.tensor(1))
    return digest(averaged)


if __name__ == "__main__":
    tt.set_num_threads(int(sys.argv[1]))
    _kernels.set_thread_work(1)
    _kernels.set_helpful(False)  # every thread does its part
    for dtype in (tt.float32, tt.float64):
        for (kind, _, options), name in zip(CASES, IDS, strict=True):
            _kernels.seen_threads(reset=True)
            print(f"{fused(kind, options, dtype)} {_kernels.seen_threads()} {name} {dtype}")
        print(f"{lbfgs(dtype)} 0 LBFGS {dtype}")
        print(f"{lbfgs(dtype, line_search_fn='strong_wolfe')} 0 LBFGS-wolfe {dtype}")
        print(f"{averages(dtype)} 0 EMA {dtype}")
