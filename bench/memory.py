"""Memory: page faults and growth a step, the most that a training step's process takes, and the size of small tensors. Each
figure comes from a fresh process of its library."""

from __future__ import annotations

import argparse
import gc
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plots
import report
from task import Case, Run, Task
from train import NETWORKS, numpy_step, step
from worker import Row, Worker

BLAS = False
VARIANTS: dict[str, dict[str, str]] = {"tinytensor": {}}
WARM_UP, STEPS, BATCHES = 10, 50, 4
COUNT, QUICK_COUNT = 1_000_000, 50_000
SMALL = "bytes a tensor"
COLUMNS = {"NumPy / tinytensor": report.against("NumPy"), "PyTorch / tinytensor": report.against("PyTorch")}


def _workload(quick: bool) -> str:
    return next(name for name in NETWORKS if name[0] == ("E" if quick else "D"))


def _steps_of(quick: bool) -> int:
    return 5 if quick else STEPS


def measure(rows: list[Row], options: argparse.Namespace) -> tuple[list[dict[str, Any]], str]:
    """The cases, measured, and what their figures are."""
    blocks: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for what in ("steps", "small"):
            worker = Worker(row)
            try:
                figures = worker.ask(do="measure", group="memory", what=what, quick=options.quick, rest=False)
            finally:
                worker.close()
            for name, value in figures.items():
                blocks.setdefault(name, {})[row.label] = [value]
    panels = {name: f"workload {_workload(options.quick)}" for name in blocks}
    panels[SMALL] = f"{QUICK_COUNT if options.quick else COUNT:,} tensors of one element"
    cases = [report.measured(Case(name, panels[name], unit=""), found) for name, found in blocks.items()]
    return cases, f"each figure from a fresh process; {_steps_of(options.quick)} steps after {WARM_UP} of warm-up"


def draw(run: Run, figure: Any) -> None:
    plots.bars(run, figure, "less is better")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _most() -> int:
    """The most resident memory since the last `_forget_most`."""
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def _forget_most() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _steps(prepare: Callable[[], Task], quick: bool) -> dict[str, float]:
    gc.collect()
    before = _resident()
    _forget_most()
    task = prepare()
    for _ in range(WARM_UP):
        task.run()
    steps = _steps_of(quick)
    resident, faults = _resident(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        task.run()
    # read before anything else happens: the reading itself may fault
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    growth, most = _resident() - resident, _most()
    return {
        "page faults a step": faults / steps,
        "growth a step, bytes": growth / steps,
        "peak, MB": most / 1e6,
        "peak above what the import takes, MB": (most - before) / 1e6,
    }


def _small(make: Callable[[], Any], quick: bool) -> dict[str, float]:
    count = QUICK_COUNT if quick else COUNT
    kept: list[Any] = [make() for _ in range(1000)]  # whatever the first ones bring with them
    kept.extend([None] * count)
    gc.collect()
    before = _resident()
    for i in range(count):
        kept[1000 + i] = make()
    return {SMALL: (_resident() - before) / count}


def _eager(lib: Any, what: str, quick: bool, **options: Any) -> dict[str, float]:
    network = NETWORKS[_workload(quick)]
    if what == "small":
        return _small(lambda: lib.tensor([1.0]), quick)
    return _steps(lambda: step(lib, network, BATCHES, **options), quick)


def tinytensor(what: str, quick: bool) -> dict[str, float]:
    import tinytensor as tt

    return _eager(tt, what, quick)


def torch(what: str, quick: bool) -> dict[str, float]:
    import torch

    return _eager(torch, what, quick, fused=True)  # no memory beside the parameters


def numpy(what: str, quick: bool) -> dict[str, float]:
    if what == "small":
        return _small(lambda: np.array([1.0], np.float32), quick)
    return _steps(lambda: numpy_step(NETWORKS[_workload(quick)], BATCHES), quick)
