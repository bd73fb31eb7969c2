"""What the bench runs on: the processor, its instruction sets, and the most it can do."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == field), "")


def describe() -> str:
    """The processor and how many of its cores this process may use."""
    family = f" (family {_cpuinfo('cpu family')}, model {_cpuinfo('model')})" if _cpuinfo("model") else ""
    return f"{_cpuinfo('model name') or platform.processor() or platform.machine()}{family}, {cores()} cores"


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Processes that wanted a core in the last minute."""
    return os.getloadavg()[0]


def has_avx512() -> bool:
    return "avx512f" in _cpuinfo("flags").split()


def peak(seconds: float) -> dict[str, float]:
    """Measured GFLOP/s and GB/s of all threads, from peak.c; empty without a C compiler that knows OpenMP."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        return {}
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-fopenmp"]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        source = Path(__file__).with_name("peak.c")
        try:
            subprocess.run([compiler, *flags, str(source), "-o", str(program)], check=True, capture_output=True)
            done = subprocess.run([str(program), str(seconds)], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError):
            return {}
    flops, memory = map(float, done.stdout.split())
    return {"GFLOP/s": flops, "GB/s": memory}
