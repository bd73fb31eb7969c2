"""What a run ran on: enough to run it again, and to know why it should differ."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tinytensor import __version__, _kernels, get_num_threads

__all__ = ["environment"]


def environment() -> dict[str, Any]:
    """Versions, system, processor, instruction set and threads of this process, as text and numbers; no time, no path, no host name,
    so that equal environments give equal stamps."""
    import platform

    return {
        "tinytensor": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "isa": _kernels.isa(),
        "threads": get_num_threads(),
        "flush_denormal": bool(_kernels.get_flush_denormal()),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return "unknown"
