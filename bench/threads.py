"""Threads: whether the default is the best choice at every size, whether NumPy's threads and ours get in each other's way,
and what more of them bring."""

from __future__ import annotations

import os
from typing import Any

import machine
import numpy as np
import plots
import report
from task import Case, Pace, Run, Task
from train import NETWORKS, WORKLOADS, Network, step

UNIT = 0.0
BLAS = False
PACE, QUICK_PACE = Pace(11, 0.02, 0.06), Pace(2, 0.0005, 0)
WIDTHS, QUICK_WIDTHS = [8, 16, 32, 64, 128, 256, 512, 1024, 2048], [8, 512]
BATCH_SIZES, QUICK_BATCH_SIZES = [1, 4, 16, 64, 256, 1024], [1, 64]
SWEEP, TURNS, SCALING = "Adam step of 10-w-10", "np.matmul and a training step in one process", "more threads"
ALONE = ("np.matmul of 128x128x128, alone", "workload A, alone")
IN_TURN = "both in turn"
MATRIX = 128


_WORK = "BENCH_THREAD_WORK"  # tells our worker how many ns of work are worth a thread


def _label(n: int) -> str:
    return f"tinytensor, {n} thread{'s' if n > 1 else ''}"


COUNTS = sorted({min(1 << i, machine.cores()) for i in range(machine.cores().bit_length() + 1)})
ALL = _label(COUNTS[-1]).replace(", ", ", always ")
FORCED = (_label(1), ALL)
VARIANTS: dict[str, dict[str, str]] = (
    {"tinytensor": {}} | {_label(n): {"TINYTENSOR_NUM_THREADS": str(n)} for n in COUNTS} | {ALL: {_WORK: "1"}}
)


def cases(quick: bool) -> list[Case]:
    widths, batch_sizes = (QUICK_WIDTHS, QUICK_BATCH_SIZES) if quick else (WIDTHS, BATCH_SIZES)
    sweep = [
        Case(f"width {w}, batch {b}", SWEEP, _network(w, b).work(), rows=("tinytensor", *FORCED))
        for w in widths
        for b in batch_sizes
    ]
    turns = [Case(name, TURNS, rows=("tinytensor", "PyTorch")) for name in (*ALONE, IN_TURN)]
    scaling = [
        Case(name, SCALING, network.work(), rows=tuple(map(_label, COUNTS)))
        for name, network in NETWORKS.items()
        if name[0] in ("A" if quick else "ACD")
    ]
    return sweep + turns + scaling


def _over_best(case: dict[str, Any], run: Run) -> str:
    return f"{_excess(case):.2f}" if case["panel"] == SWEEP else ""


def _speed_up(case: dict[str, Any], run: Run) -> str:
    found = list(report.medians(case).values())
    return f"{found[0] / found[-1]:.2f}x" if case["panel"] == SCALING else ""


COLUMNS = {"default / best": _over_best, "all against 1": _speed_up}


def _excess(case: dict[str, Any], figure: str = "median") -> float:
    """The default's time over that of the best number of threads."""
    found = {t["label"]: t[figure] for t in case["times"]}
    default: float = found.pop("tinytensor")
    return default / float(min(found.values()))


def _grid(run: Run) -> tuple[list[str], list[str], dict[tuple[str, str], dict[str, Any]]]:
    """Widths, batch sizes, and the case of each pair."""
    fields = {tuple(case["name"].split(", ")): case for case in run["cases"] if case["panel"] == SWEEP}
    widths, batch_sizes = (list(dict.fromkeys(names)) for names in zip(*fields))
    return widths, batch_sizes, fields


def matrices(run: Run) -> list[report.Table]:
    widths, batch_sizes, fields = _grid(run)
    lines = [["default / best of " + f"1 and {COUNTS[-1]} threads", *batch_sizes]]
    lines += [[w, *(f"{_excess(fields[w, b]):.2f}" for b in batch_sizes)] for w in widths]
    return [report.Table("The default against the best choice", lines)]


def remarks(run: Run) -> list[str]:
    sweep = [case for case in run["cases"] if case["panel"] == SWEEP]
    worst = max(sweep, key=_excess)
    lines = [
        f"default against the best number of threads, worst: {_excess(worst):.2f} at {worst['name']} (by the minima "
        f"{max(_excess(case, 'min') for case in sweep):.2f}); over 1.1 in {sum(_excess(case) > 1.1 for case in sweep)} "
        f"of {len(sweep)}"
    ]
    turns = {case["name"]: report.medians(case) for case in run["cases"] if case["panel"] == TURNS}
    for label, both in turns[IN_TURN].items():
        apart = sum(turns[name][label] for name in ALONE)
        lines.append(f"np.matmul and a step in turn against the two apart: {label} {both / apart:.2f}x")
    return lines


def draw(run: Run, figure: Any) -> None:
    widths, batch_sizes, fields = _grid(run)
    figure.set_size_inches(13, 1.8 + 0.42 * max(6, len(widths)))
    left, middle, right = figure.subplots(1, 3, width_ratios=(4, 4, 3))
    columns = [b.removeprefix("batch ") for b in batch_sizes]
    rows = [w.removeprefix("width ") for w in widths]
    plots.heat(
        left,
        [[_excess(fields[w, b]) for b in batch_sizes] for w in widths],
        rows,
        columns,
        "default time / best choice's",
    )
    gains = []
    for w in widths:
        found = [report.medians(fields[w, b]) for b in batch_sizes]
        gains.append([f[FORCED[-1]] / f[FORCED[0]] for f in found])
    plots.heat(middle, gains, rows, columns, f"time on always {COUNTS[-1]} threads / on 1")
    for axes in (left, middle):
        axes.set_xlabel("batch")
        axes.set_ylabel("width w")
    for case in run["cases"]:
        if case["panel"] == SCALING:
            times = list(report.medians(case).values())
            right.plot(COUNTS, [times[0] / m for m in times], marker="o", label=f"workload {case['name'][0]}")
    right.plot(COUNTS, COUNTS, color="black", linewidth=0.8, linestyle=":", label="as many times as threads")
    right.set_xticks(COUNTS)
    right.set_xlabel("threads")
    right.set_title("speed, 1 thread = 1", fontsize=10)
    right.legend(fontsize=8)
    figure.suptitle("threads: Adam step of 10-w-10 by width and batch; training steps by number of threads")


def _network(width: int, batch: int) -> Network:
    return Network((10, width, 10), batch, "Adam")


def _task(lib: Any, case: str) -> Task:
    if case in NETWORKS:
        return step(lib, NETWORKS[case])
    if case.startswith("width"):
        width, batch = (int(part.split()[1]) for part in case.split(", "))
        return step(lib, _network(width, batch))
    random = np.random.default_rng(1)
    a, b = (random.standard_normal((MATRIX, MATRIX), dtype=np.float32) for _ in range(2))
    c = np.empty_like(a)
    training = step(lib, WORKLOADS["A"])
    if case == ALONE[1]:
        return training
    if case == ALONE[0]:
        return Task(lambda: np.matmul(a, b, out=c), lambda: c)

    def both() -> None:
        np.matmul(a, b, out=c)
        training.run()

    return Task(both, training.result, training.reset)


def tinytensor(case: str) -> Task:
    import tinytensor as tt

    if _WORK in os.environ:
        tt._kernels.set_thread_work(float(os.environ[_WORK]))
    return _task(tt, case)


def torch(case: str) -> Task:
    import torch

    return _task(torch, case)
