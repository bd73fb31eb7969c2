"""What a group of cases hands to the bench: cases to list, and tasks to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """One row of a table. `work` is in floating-point operations, bytes or images, whatever the group's rate counts;
    `bounded`: the measured peak of the machine bounds that rate (memory traffic of arrays that fit a cache has no such bound)."""

    name: str
    panel: str
    work: float
    bounded: bool


class Task(NamedTuple):
    """A case prepared in one library: `run` is timed; `result` gives values that both libraries must agree on; `reset`
    goes back to the start before each block."""

    run: Callable[[], object]
    result: Callable[[], np.ndarray]
    reset: Callable[[], object] = lambda: None
