"""python bench/run.py [--group NAME] [--peers numpy,torch,jax] [--isa avx512,avx2,generic] [--quick] [--out DIR]

Compares tinytensor with NumPy, PyTorch and JAX. Each library runs in a process of its own, and blocks of repetitions
alternate between the processes (A B A B), starting with another one in each round. Tables show the median and (minimum)
over the rounds. All libraries must compute the same values, or the run fails.

  elementwise  kernels at four sizes, forward and backward, beside the bandwidth measured at those sizes
  matmul       products, beside the measured peak of multiply-adds
  train        whole training steps of five networks
  overhead     what a call costs: small ops recorded, many small parameters
  threads      the default number of threads at all sizes, beside NumPy's threads, and how time falls with more
  memory       page faults, growth and peak of a training step, and a million small tensors
  mnist        the command `tinytensor train` and the same recipe in PyTorch
"""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import machine
import numpy as np
import report
from task import Run
from worker import Row, Worker

GROUPS = ("elementwise", "matmul", "train", "overhead", "threads", "memory", "mnist")
BY_ISA = ("elementwise", "matmul", "train", "overhead")  # the groups that --isa makes rows in
PEERS = ("numpy", "torch", "jax")
ISAS = ("avx512", "avx2", "generic")


def main() -> int:
    options = _options()
    peak: machine.Peak = {}
    for group in options.group:
        module = importlib.import_module(group)
        if hasattr(module, "RATE"):  # the most that was seen so far: a busy moment must not lower the roof
            now = machine.peak(*((0.005, ["1 M"]) if options.quick else (0.3, list(machine.FLOATS))))
            peak = {name: max(rate, peak.get(name, 0)) for name, rate in now.items()}
        run = _measure(group, module, peak, options)
        print("\n".join(["", group, *report.head(run), "", report.text(run, module)]), flush=True)
        for path in report.write(run, module, options.out):
            print(f"wrote {path}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--group", choices=GROUPS, action="append", help="only this group (may be given more than once)"
    )
    installed = [peer for peer in PEERS if find_spec(peer)]
    parser.add_argument(
        "--peers",
        type=lambda names: _names(names, PEERS),
        default=installed,
        help=f"libraries to compare with, numpy always among them (default: those installed, {','.join(installed)})",
    )
    parser.add_argument(
        "--isa",
        type=lambda names: _names(names, ISAS),
        default=[],
        help=f"rows of tinytensor for these instruction sets, in {', '.join(BY_ISA)}",
    )
    parser.add_argument("--seeds", type=int, help="runs of mnist (default: 5)")
    parser.add_argument(
        "--quick", action="store_true", help="few cases, a few milliseconds each: a check, not a measurement"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for JSON and plots")
    options = parser.parse_args()
    options.seeds = options.seeds or (1 if options.quick else 5)
    for peer in options.peers:
        if not find_spec(peer):
            parser.error(f"{peer} is not installed: pip install {peer}")
    options.group = options.group or (BY_ISA if options.isa else GROUPS)
    if options.isa and not set(options.group) <= set(BY_ISA):
        parser.error(f"--isa makes rows in the groups {', '.join(BY_ISA)} only")
    return options


def _names(text: str, known: tuple[str, ...]) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return names


def _rows(module: ModuleType, options: argparse.Namespace) -> list[Row]:
    """The workers of a group, tinytensor's first, but for NumPy with other kernels than it takes by itself."""
    variants = {f"tinytensor {isa}": {"TINYTENSOR_ISA": isa} for isa in options.isa} or module.VARIANTS
    rows = [Row(label, "tinytensor", environment) for label, environment in variants.items()]
    rows.append(Row(report.BASE, "numpy", {}))
    if "torch" in options.peers:
        rows.append(Row("PyTorch", "torch", {}))
        if not options.quick:
            rows.append(Row("PyTorch compile", "torch_compile", {}))
    if "jax" in options.peers:
        rows.append(Row("JAX", "jax", {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}))
    return [row for row in rows if hasattr(module, row.library)]


def _other_kernels(installed: dict[str, Any]) -> list[Row]:
    """NumPy with the OpenBLAS kernels of two families of CPUs, of which OpenBLAS picks one by itself."""
    if installed["blas"] != "openblas" or not machine.has_avx512():
        return []
    kernels = [kernel for kernel in ("SkylakeX", "Haswell") if kernel != installed["kernel"]]
    return [Row(f"NumPy {kernel}", "numpy", {"OPENBLAS_CORETYPE": kernel}) for kernel in kernels]


def _measure(group: str, module: ModuleType, peak: machine.Peak, options: argparse.Namespace) -> Run:
    rows, before = _rows(module, options), machine.load()
    workers = [Worker(row) for row in rows]
    try:
        if module.BLAS:
            at = next(i for i, row in enumerate(rows) if row.label == report.BASE)
            workers[at + 1 : at + 1] = map(Worker, _other_kernels(workers[at].info))
        infos = [{"label": worker.label, **worker.info} for worker in workers]
        if hasattr(module, "measure"):
            cases, meaning = module.measure(rows, options)
        else:
            cases = _take_turns(group, module, workers, options.quick)
            pace = module.QUICK_PACE if options.quick else module.PACE
            meaning = f"microseconds, median (minimum) of {pace.rounds} blocks"
    finally:
        for worker in workers:
            worker.close()
    run = {
        "group": group,
        "quick": options.quick,
        "machine": machine.describe(),
        "load": [before, machine.load()],
        "peak": peak,
        "peak_lines": machine.peak_lines(peak) if hasattr(module, "RATE") else [],
        "meaning": meaning,
        "workers": infos,
        "cases": cases,
    }
    return run | {"remarks": module.remarks(run) if hasattr(module, "remarks") else []}


def _take_turns(group: str, module: ModuleType, workers: list[Worker], quick: bool) -> list[dict[str, Any]]:
    rounds, seconds, warm_up = module.QUICK_PACE if quick else module.PACE
    measured, listed = [], module.cases(quick)
    for n, case in enumerate(listed):
        if sys.stderr.isatty():
            print(f"\r{group} {n + 1}/{len(listed)}: {case.name:70}", end="", file=sys.stderr)
        answers, taking_part = {}, []
        for worker in workers:
            if case.rows and worker.label not in case.rows:
                continue
            answer = worker.ask(do="prepare", group=group, case=case.name, seconds=seconds, rest=not quick)
            if "result" in answer:
                taking_part.append(worker)
                answers[worker.label] = np.array(answer["result"])
            elif answer["absent"]:
                print(f"{case.name}: no row {worker.label}: {answer['absent']}")
        _agree(case.name, answers)
        blocks: dict[str, list[float]] = {worker.label: [] for worker in taking_part}
        for i in range(rounds):
            for worker in taking_part[i % len(taking_part) :] + taking_part[: i % len(taking_part)]:
                answer = worker.ask(do="time", warm_up=warm_up, rest=not quick)
                blocks[worker.label].append(answer["seconds"] / case.per)
        measured.append(report.measured(case, blocks, module.UNIT))
    return measured


def _agree(case: str, results: dict[str, np.ndarray]) -> None:
    base = report.BASE if report.BASE in results else next(iter(results))
    expected = results[base]
    for label, values in results.items():
        if values.shape != expected.shape or not np.allclose(
            values, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max())
        ):
            raise SystemExit(f"bench: {case}: {label} and {base} do not compute the same values")


if __name__ == "__main__":
    sys.exit(main())
