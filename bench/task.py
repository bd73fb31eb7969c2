"""What a group of cases hands to the bench: cases to list, and tasks to run.

A group is a module. Of those whose processes take turns: `cases(quick)` lists its rows; a function for each library, named
as `worker.Row.library`, makes the task of a row (None where the library has none); PACE and QUICK_PACE say how long to
measure; RATE and UNIT, how work becomes a rate. The others have `measure(rows, options)` instead. All of them: VARIANTS, the
rows of tinytensor and what each adds to the environment; BLAS, whether NumPy's kernels matter; COLUMNS, behind the times;
`draw(run, figure)`; and, where they have more to say, `remarks(run)` and `matrices(run)`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """One row of a table. `panel`: which table. `work`: floating-point operations or bytes, whatever the group's rate
    counts. `limit`: the figure of `machine.Peak` that bounds its rate, if any. `per`: how often the task does what the row
    names. `rows`: the labels of the workers that take part, where it is not all.
    `unit`: "us" for seconds to be shown in microseconds, "" or "%" for figures to be shown as they are."""

    name: str
    panel: str
    work: float = 0.0
    limit: str = ""
    per: int = 1
    rows: tuple[str, ...] = ()
    unit: str = "us"


class Task(NamedTuple):
    """A case prepared in one library: `run` is timed; `result` gives values that all libraries must agree on; `reset`
    goes back to the start before each block; `mode` makes the context in which all of it happens."""

    run: Callable[[], object]
    result: Callable[[], np.ndarray]
    reset: Callable[[], object] = lambda: None
    mode: Callable[[], AbstractContextManager[object]] = nullcontext


class Pace(NamedTuple):
    """How long a group is measured: rounds, seconds a block, seconds of warm-up before it. Threads of OpenBLAS and OpenMP
    that were asleep may first wake on the core of another one, and stay there for tens of milliseconds."""

    rounds: int
    seconds: float
    warm_up: float


class Unavailable(Exception):
    """This library cannot do the case here; the message says why."""


Run = dict[str, Any]
"""What a group's JSON holds: "group", "workers", "cases" (a Case's fields and "times", one entry a worker) and more."""
