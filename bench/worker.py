"""A library in a process of its own. It prepares a case, and times one block of repetitions for each line it is sent; the
parent goes from worker to worker, so that whatever the machine does in between is shared by all."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from task import Task


class Worker:
    """The parent's end: a child process with extra environment variables."""

    def __init__(self, label: str, library: str, environment: dict[str, str]) -> None:
        self.label, self.library = label, library
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), library],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.info = self.ask(do="info")

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send one line, wait for the answer's."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"bench: the worker {self.label!r} ended with status {self.process.wait()} at {command}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self.process.communicate()


def _info(library: str) -> dict[str, Any]:
    info: dict[str, Any] = {"numpy": np.__version__}
    if library == "tinytensor":
        import tinytensor as tt
        from tinytensor import _kernels

        return {**info, "tinytensor": tt.__version__, "isa": _kernels.isa(), "threads": tt.get_num_threads()}
    from threadpoolctl import threadpool_info

    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            kernel = pool.get("architecture", "unknown")
            return {
                **info,
                "blas": pool["internal_api"],
                "version": pool["version"],
                "kernel": kernel,
                "threads": pool["num_threads"],
            }
    return {**info, "blas": "unknown", "version": "unknown", "kernel": "unknown", "threads": 1}


def _block(task: Task, repeats: int, warm_up: float) -> float:
    """Seconds for each of `repeats` runs, after `warm_up` seconds of them: a thread that was asleep may first wake on the
    core of another one, and stay there for tens of milliseconds."""
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
    while (each := _block(task, repeats, seconds)) * repeats < seconds / 2:
        repeats = max(2 * repeats, min(int(seconds / each), 10 * repeats))
    return max(1, round(seconds / each))


def _rest() -> None:
    """Wait until no thread of this process runs: OpenBLAS's spin for 0.1 s after a product, and would take a core from the
    next worker."""
    for _ in range(200):
        before = time.process_time()
        time.sleep(0.005)
        if time.process_time() - before < 0.001:
            return


def _serve(library: str) -> None:
    task, repeats = Task(lambda: None, lambda: np.zeros(1)), 1
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "info":
            answer = _info(library)
        elif command["do"] == "prepare":
            del task
            task = getattr(importlib.import_module(command["group"]), library)(command["case"])
            task.run()
            task.reset()
            values = np.ravel(task.result()).astype(np.float64)
            repeats = _repeats(task, command["seconds"])
            answer = {"result": values[:: max(1, values.size // 64)].tolist(), "repeats": repeats}
        else:
            answer = {"seconds": _block(task, repeats, command["warm_up"])}
        _rest()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
