"""python bench/run.py [--group elementwise|matmul|train] [--quick] [--out DIR]

Compares tinytensor with NumPy. Each library runs in a process of its own, and blocks of repetitions alternate between the
processes (A B A B), starting with another one in each round. Tables show the median and (minimum) over the rounds.
Both libraries must compute the same values, or the run fails.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from statistics import median
from typing import Any

import machine
import numpy as np
import report
from worker import Worker

GROUPS = ("elementwise", "matmul", "train")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--group", choices=GROUPS, action="append", help="only this group (may be given more than once)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few cases, a few milliseconds each: a check, not a measurement"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for JSON and plots")
    options = parser.parse_args()
    print(f"machine: {machine.describe()}, load {machine.load():.2f}")
    peak = machine.peak(0.02 if options.quick else 1.0)
    if peak:
        print(
            f"peak, measured: {peak['GFLOP/s']:.0f} GFLOP/s of float32 multiply-adds, {peak['GB/s']:.1f} GB/s from memory"
        )
    else:
        print("peak: not measured, as there is no C compiler with OpenMP")
    workers = _workers()
    try:
        for worker in workers:
            print(f"{worker.label}: {', '.join(f'{k} {v}' for k, v in worker.info.items())}")
        for group in options.group or GROUPS:
            run = _measure(group, workers, options.quick)
            run |= {"machine": machine.describe(), "load": machine.load(), "peak": peak, "quick": options.quick}
            print(f"\nmicroseconds, median (minimum) of {run['rounds']} blocks\n{report.table(run)}")
            for path in report.write(run, options.out):
                print(f"wrote {path}")
    finally:
        for worker in workers:
            worker.close()
    return 0


def _workers() -> list[Worker]:
    """tinytensor on all threads and on one; NumPy as installed, and with the OpenBLAS kernels of two families of CPUs, of
    which OpenBLAS picks one by itself."""
    workers = [
        Worker("tinytensor", "tinytensor", {}),
        Worker("tinytensor, 1 thread", "tinytensor", {"TINYTENSOR_NUM_THREADS": "1"}),
        Worker(report.BASE, "numpy", {}),
    ]
    installed = workers[-1].info
    if installed["blas"] == "openblas" and machine.has_avx512():
        for kernel in ("SkylakeX", "Haswell"):
            if kernel == installed["kernel"]:
                print(f"OPENBLAS_CORETYPE={kernel} is what NumPy as installed uses here: no row of its own")
            else:
                workers.append(Worker(f"NumPy {kernel}", "numpy", {"OPENBLAS_CORETYPE": kernel}))
    return workers


def _measure(group: str, workers: list[Worker], quick: bool) -> dict[str, Any]:
    module = importlib.import_module(group)
    taking_part = workers if module.BLAS else [w for w in workers if not w.label.startswith("NumPy ")]
    rounds, seconds, warm_up = (3, 0.001, 0.001) if quick else (15, 0.02, 0.1 if module.BLAS else 0.04)
    rows = []
    for case in module.cases(quick):
        answers = {}
        for worker in taking_part:
            answers[worker.label] = worker.ask(do="prepare", group=group, case=case.name, seconds=seconds)
        _agree(case.name, {label: np.array(a["result"]) for label, a in answers.items()})
        blocks: dict[str, list[float]] = {worker.label: [] for worker in taking_part}
        for i in range(rounds):
            for worker in taking_part[i % len(taking_part) :] + taking_part[: i % len(taking_part)]:
                blocks[worker.label].append(worker.ask(do="time", warm_up=warm_up)["seconds"])
            times = [
                {
                    "label": label,
                    "median": median(b),
                    "min": min(b),
                    "rate": case.work / median(b) * module.UNIT,
                    "repeats": answers[label]["repeats"],
                    "blocks": b,
                }
                for label, b in blocks.items()
            ]
        rows.append({**case._asdict(), "times": times})
    return {
        "group": group,
        "rate": module.RATE,
        "rounds": rounds,
        "workers": [{"label": w.label, **w.info} for w in taking_part],
        "cases": rows,
    }


def _agree(case: str, results: dict[str, np.ndarray]) -> None:
    base = results[report.BASE]
    for label, values in results.items():
        if values.shape != base.shape or not np.allclose(
            values, base, rtol=1e-4, atol=1e-4 * float(np.abs(base).max())
        ):
            raise SystemExit(f"bench: {case}: {label} and {report.BASE} do not compute the same values")


if __name__ == "__main__":
    sys.exit(main())
