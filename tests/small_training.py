"""What programs of tests do in other processes, threads and moments: a small training with known bits, children, waiting."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

import tinytensor as tt
from tinytensor import _kernels, data, nn, optim
from tinytensor.nn import functional as F

DEADLINE = 60  # seconds, for what takes a fraction of one
Figures = dict[str, Any]


def digest(*arrays: Any) -> str:
    h = hashlib.sha256()
    for a in arrays:
        a = a.detach().numpy() if isinstance(a, tt.Tensor) else np.asarray(a)
        h.update(f"{a.dtype}{a.shape}".encode() + np.ascontiguousarray(a).tobytes())
    return h.hexdigest()


def network(seed: int) -> nn.Sequential:
    own = tt.Generator(seed)
    return nn.Sequential(nn.Linear(30, 64, generator=own), nn.GELU(), nn.Linear(64, 5, generator=own))


def advance(model: nn.Module, optimizer: optim.Optimizer, seed: int, steps: int) -> None:
    own = tt.Generator(seed + 1000)
    x, y = tt.randn(64, 30, generator=own), tt.randint(5, (64,), generator=own)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def training(seed: int, steps: int = 10) -> str:
    """The hash of the weights of a small training, every kernel of which is divided."""
    _kernels.set_thread_work(1)
    model = network(seed)
    advance(model, optim.Adam(model.parameters(), lr=1e-2), seed, steps)
    return digest(*model.parameters())


def state_of(model: nn.Module, optimizer: optim.Optimizer) -> str:
    """The hash of all weights, and of all that the optimizer keeps."""
    kept = optimizer.state_dict()["state"]
    flat = [v for n in sorted(kept) for _, v in sorted(kept[n].items())]
    arrays = [a for v in flat for a in (v if isinstance(v, list) else [v])]
    return digest(*model.parameters(), *arrays)


def loaded(workers: int) -> str:
    """What a loader with workers gives, in whatever process this runs."""
    images = np.arange(400 * 12, dtype=np.float32).reshape(400, 12)
    set_ = data.TensorDataset(tt.from_numpy(images), tt.arange(400))
    loader = data.DataLoader(set_, batch_size=32, shuffle=True, num_workers=workers, generator=tt.Generator(3))
    return digest(*[t for batch in loader for t in batch])


def forked(work: Callable[[], object]) -> int:
    """A child that does the work and ends with 0, or with 1 and a report, or at the deadline."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.alarm(DEADLINE)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def reap(child: int) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"a child ended with {status}" + (": no answer before the deadline" if status == -14 else "")


def wait_for_tasks(most: int) -> None:
    """Until there are no more threads than that: one that was told to end may still be doing so."""
    deadline = time.monotonic() + DEADLINE
    while len(os.listdir("/proc/self/task")) > most:
        assert time.monotonic() < deadline, f"{os.listdir('/proc/self/task')} are more than {most} threads"
        os.sched_yield()
