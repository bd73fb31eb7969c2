"""A library in a process of its own. It prepares a case, and times one block of repetitions for each line it is sent; the
parent goes from worker to worker, so that whatever the machine does in between is shared by all."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
from task import Task, Unavailable


class Row(NamedTuple):
    """A worker to be: its label in the tables, the function of the groups' modules that makes its tasks, and what is added
    to its environment."""

    label: str
    library: str
    environment: dict[str, str]


class Worker:
    """The parent's end: a child process."""

    def __init__(self, row: Row) -> None:
        self.label = row.label
        self._info: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), row.library],
            env={**os.environ, **row.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def info(self) -> dict[str, Any]:
        """Versions, threads and kernels of the library."""
        self._info = self._info or self.ask(do="info", rest=True)
        return self._info

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send one line, wait for the answer's. SystemExit if there is none: the worker has said why on standard error."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: {self.label} ended with status {self._process.wait()} at {command}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


def _info(library: str) -> dict[str, Any]:
    if library == "tinytensor":
        import tinytensor as tt

        with contextlib.redirect_stdout(io.StringIO()) as config:
            tt.show_config()
        isa = config.getvalue().partition("instruction set: ")[2].split()[0]
        return {"tinytensor": tt.__version__, "numpy": np.__version__, "isa": isa, "threads": tt.get_num_threads()}
    if library.startswith("torch"):
        import torch

        torch.set_num_threads(machine.cores())
        kernels = torch.backends.cpu.get_cpu_capability()
        return {"torch": torch.__version__, "kernels": kernels, "threads": torch.get_num_threads()}
    if library == "jax":
        import jax
        import jaxlib

        return {"jax": jax.__version__, "jaxlib": jaxlib.__version__, "device": str(jax.devices()[0])}
    from threadpoolctl import threadpool_info

    info = {"numpy": np.__version__, "blas": "unknown", "version": "unknown", "kernel": "unknown", "threads": 1}
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            kernel = pool.get("architecture", "unknown")
            info |= {"blas": pool["internal_api"], "version": pool["version"], "kernel": kernel}
            return info | {"threads": pool["num_threads"]}
    return info | {"machine": platform.machine()}


def _block(task: Task, repeats: int, warm_up: float) -> float:
    """Seconds for each of `repeats` runs, after `warm_up` seconds of them."""
    with task.mode():
        task.reset()
        end = time.perf_counter() + warm_up
        while True:
            task.run()
            if time.perf_counter() >= end:
                break
        task.reset()
        begin = time.perf_counter()
        for _ in range(repeats):
            task.run()
        return (time.perf_counter() - begin) / repeats


def _repeats(task: Task, seconds: float) -> int:
    """How many runs fill a block."""
    repeats = 1
    while (each := _block(task, repeats, 0)) * repeats < seconds / 2:
        repeats = max(2 * repeats, min(int(seconds / each), 10 * repeats))
    return max(1, round(seconds / each))


def _rest() -> None:
    """Wait until no thread of this process runs: those of OpenBLAS and OpenMP spin for up to 0.1 s after their work, and
    would take a core from the next worker."""
    for _ in range(200):
        before = time.process_time()
        time.sleep(0.005)
        if time.process_time() - before < 0.001:
            return


def _prepare(library: str, command: dict[str, Any]) -> tuple[Task | None, dict[str, Any]]:
    try:
        task: Task | None = getattr(importlib.import_module(command["group"]), library)(command["case"])
    except Unavailable as reason:
        return None, {"absent": str(reason)}
    if task is None:
        return None, {"absent": ""}
    with task.mode():
        task.run()
        task.reset()
        values = np.ravel(task.result()).astype(np.float64)
    sample = values[:: max(1, values.size // 64)].tolist()
    return task, {"result": sample, "repeats": _repeats(task, command["seconds"])}


def _serve(library: str) -> None:
    task, repeats = None, 1
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "info":
            answer = _info(library)
        elif command["do"] == "measure":
            answer = getattr(importlib.import_module(command["group"]), library)(command["what"], command["quick"])
        elif command["do"] == "prepare":
            task = None  # the last one's memory goes before the next one's comes
            task, answer = _prepare(library, command)
            repeats = answer.get("repeats", 1)
        else:
            assert task is not None
            answer = {"seconds": _block(task, repeats, command["warm_up"])}
        if command["rest"]:
            _rest()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
