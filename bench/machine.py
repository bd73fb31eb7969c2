"""What the bench runs on: the processor, its caches, and the most it can do."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

FLOATS = {"1 k": 1 << 10, "16 k": 1 << 14, "1 M": 1 << 20, "16 M": 1 << 24}  # sizes of arrays in the bench, by name
ARRAYS = {"read": 1, "copy": 2, "add": 3}  # arrays that each pattern of traffic goes through: x; x to z; x and y to z
Peak = dict[str, float]
"""Measured GFLOP/s as "float32" and "float64", and GB/s as "PATTERN SIZE", such as "copy 1 M"."""


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == field), "")


def describe() -> str:
    """The processor and how many of its cores this process may use, the system and Python."""
    family = f" (family {_cpuinfo('cpu family')}, model {_cpuinfo('model')})" if _cpuinfo("model") else ""
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    return (
        f"{name}{family}, {cores()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Processes that wanted a core in the last minute."""
    return os.getloadavg()[0]


def has_avx512() -> bool:
    return "avx512f" in _cpuinfo("flags").split()


def _caches() -> dict[str, int]:
    """Bytes of the caches that data goes through, the first core's: {"L1": ..., "L2": ..., "L3": ...}."""
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K"):
            sizes[f"L{level}"] = int(size[:-1]) << 10
    return sizes


def holds(size: int) -> str:
    """The smallest level of memory that holds `size` bytes when all cores share them: L1 and L2 are a core's own."""
    for level, capacity in _caches().items():
        if size <= capacity * (cores() if level in ("L1", "L2") else 1):
            return level
    return "memory"


def peak(seconds: float, sizes: list[str]) -> Peak:
    """Measure all threads with peak.c, for `seconds` a figure; empty without a C compiler that knows OpenMP."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        return {}
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-fopenmp"]
    names = {str(FLOATS[size]): size for size in sizes}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        source = Path(__file__).with_name("peak.c")
        try:
            subprocess.run([compiler, *flags, str(source), "-o", str(program)], check=True, capture_output=True)
            done = subprocess.run([str(program), str(seconds), *names], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError):
            return {}
    measured = {}
    for line in done.stdout.splitlines():
        name, rate = line.rsplit(" ", 1)
        kind, _, floats = name.partition(" ")
        measured[f"{kind} {names[floats]}" if floats else kind] = float(rate)
    return measured


def peak_lines(measured: Peak) -> list[str]:
    """The measured peak in words, a line for the arithmetic and one for each pattern of traffic."""
    if not measured:
        return ["peak: not measured, as there is no C compiler with OpenMP"]
    lines = [f"multiply-adds: {measured['float32']:.0f} GFLOP/s of float32, {measured['float64']:.0f} of float64"]
    for pattern, arrays in ARRAYS.items():
        figures = []
        for size, floats in FLOATS.items():
            if f"{pattern} {size}" in measured:
                bytes_ = 4 * floats * arrays
                set_ = f"{bytes_ / 2**20:.0f} MiB" if bytes_ >= 1 << 20 else f"{bytes_ / 2**10:.0f} KiB"
                figures.append(f"{measured[f'{pattern} {size}']:.0f} GB/s at {size} ({set_}: {holds(bytes_)})")
        if figures:
            lines.append(f"{pattern}, {arrays} array{'s' if arrays > 1 else ''} of float32: {', '.join(figures)}")
    return lines
