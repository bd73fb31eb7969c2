"""Runs of L-BFGS and of schedules that read the same in tinytensor and in PyTorch: `package` is either.

What PyTorch gives lies in pytorch_runs.json, so that a machine without PyTorch has it, too. Where PyTorch is installed,
`python tests/optim/pytorch_runs.py` writes that file again. Beside those that are spelled out there are drawn ones, "drawn 7", with
options by chance, many left at their defaults.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("pytorch_runs.json")
START = [-1.2, 1.0, 0.7, -0.3]
FAR = [2.0, -1.5, 0.4, 1.1]
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "rosenbrock": lambda v: (100 * (v[1:] - v[:-1] ** 2) ** 2 + (1 - v[:-1]) ** 2).sum(),
    "waves": lambda v: (v**2).sum() / 20 + (3 * v).cos().sum() + v[0] * v[1],
    "steep": lambda v: (v**4).sum() + (v[1:] * v[:-1]).sum() / 3 + (2 * v).exp().sum(),
    "kinks": lambda v: (v * 3 - 1).abs().sum() + (v**2).sum(),
    "flat": lambda v: (1e-3 * v**2).sum() + 1,
    "growing waves": lambda v: (v.sin() * v).sum(),
}
WOLFE = {"line_search_fn": "strong_wolfe"}
# the last bit decides which way these go
UNSTABLE = {("flat", "few calls"), ("flat", "long steps"), ("growing waves", "long steps")}
LBFGS: dict[str, tuple[str, dict[str, Any], list[float]]] = {
    f"{function} {name}": (function, options, FAR if name == "from afar" else START)
    for function in FUNCTIONS
    for name, options in {
        "three": {**WOLFE, "max_iter": 3},
        "short history": {**WOLFE, "max_iter": 30, "history_size": 4},
        "short steps": {**WOLFE, "lr": 0.001, "max_iter": 4},
        "few calls": {**WOLFE, "lr": 0.01, "max_eval": 9},
        "long steps": {**WOLFE, "lr": 50.0, "max_iter": 5},
        "from afar": {**WOLFE, "max_iter": 6},
        "too long": {**WOLFE, "lr": 4e4, "max_iter": 3},
        "loose": {**WOLFE, "tolerance_grad": 0.5, "tolerance_change": 0.01},
        "no search": {"lr": 0.002, "max_iter": 10},
        "no search, short": {"lr": 0.002, "history_size": 3, "max_eval": 6},
    }.items()
    if (function, name) not in UNSTABLE
}
SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "step": lambda m, o: m.StepLR(o, 3, 0.5),
    "multistep": lambda m, o: m.MultiStepLR(o, [2, 5, 5, 9], 0.5),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.9),
    "constant": lambda m, o: m.ConstantLR(o, 0.25, 4),
    "linear": lambda m, o: m.LinearLR(o, 0.2, 0.9, 8),
    "polynomial": lambda m, o: m.PolynomialLR(o, 9, 2.0),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 8, 0.001),
    "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2, 0.001),
    "restarts equal": lambda m, o: m.CosineAnnealingWarmRestarts(o, 4),
    "lambda": lambda m, o: m.LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (e + 1)]),
    "multiplicative": lambda m, o: m.MultiplicativeLR(o, lambda e: 0.8 + 0.01 * e),
    "cycle": lambda m, o: m.OneCycleLR(o, [0.7, 0.1], total_steps=30),
    "cycle in three": lambda m, o: m.OneCycleLR(
        o, 0.7, epochs=5, steps_per_epoch=6, three_phase=True, anneal_strategy="linear"
    ),
    "triangular": lambda m, o: m.CyclicLR(o, 0.01, [0.5, 0.1], 3, 5),
    "triangular2": lambda m, o: m.CyclicLR(o, [0.01, 0.02], 0.5, 4, mode="triangular2"),
    "exp range": lambda m, o: m.CyclicLR(o, 0.01, 0.5, 4, mode="exp_range", gamma=0.9, cycle_momentum=False),
    "own scale": lambda m, o: m.CyclicLR(o, 0.01, 0.5, 4, scale_fn=lambda x: 1 / x),
    "own scale by step": lambda m, o: m.CyclicLR(o, 0.01, 0.5, 4, scale_fn=lambda x: 0.9**x, scale_mode="iterations"),
    "warm-up": lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, 1.0, 5), m.CosineAnnealingLR(o, 20)], [5]),
    "three in turn": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o, 0.1, 3), m.ExponentialLR(o, 0.9), m.StepLR(o, 2, 0.5)], [3, 9]
    ),
    "in turn, later": lambda m, o: m.SequentialLR(o, [m.LambdaLR(o, lambda e: 0.5**e), m.PolynomialLR(o, 6)], [4]),
    "multiplicative second": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o, 0.5, 9), m.MultiplicativeLR(o, lambda e: 0.9)], [4]
    ),
    "restarts second": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.5, 1.0, 4), m.CosineAnnealingWarmRestarts(o, 3, 2)], [4]
    ),
    "chained": lambda m, o: m.ChainedScheduler([m.LinearLR(o, 0.1, 1.0, 5), m.ExponentialLR(o, 0.9)]),
}
PLATEAUS: dict[str, dict[str, Any]] = {
    "patient": {"patience": 1},
    "largest": {"mode": "max", "patience": 0, "factor": 0.5, "min_lr": [0.1, 0.01]},
    "absolute": {"patience": 1, "threshold": 0.3, "threshold_mode": "abs", "cooldown": 2},
    "least change": {"mode": "max", "patience": 2, "threshold": 0.2, "threshold_mode": "abs", "eps": 0.1},
    "change below eps": {"patience": 0, "factor": 0.75, "eps": 0.1},
}
MEASURES = [1.0, 0.9, 0.95, 0.94, math.nan, 0.8, 0.8, 0.9, 1.5, 1.4, 1.6, 0.1, 0.1, 0.2, 0.2, 0.2]
SWALR = {"half": (0.1,), "each linear": ([0.1, 0.3], 4, "linear"), "at once": (0.1, 0)}


DRAWN = {"lbfgs": 120, "schedule": 90, "plateau": 20, "swalr": 12}


# ------------------------------------------------------------------------------------------------------------------ drawn
def some(rng: random.Random, **options: Any) -> dict[str, Any]:
    """Each of the options or, by chance, its default."""
    return {name: value for name, value in options.items() if rng.random() < 0.6}


def one_or_each(rng: random.Random, low: float, high: float) -> Any:
    """A number for both groups, or one for each."""
    return rng.uniform(low, high) if rng.random() < 0.5 else [rng.uniform(low, high), rng.uniform(low, high)]


def drawn_lbfgs(rng: random.Random) -> tuple[str, dict[str, Any], list[float]]:
    function = rng.choice(list(FUNCTIONS))
    options = some(
        rng,
        lr=10 ** rng.uniform(-3, 0.5),
        max_iter=rng.randint(1, 12),
        max_eval=rng.randint(1, 14),
        tolerance_grad=10 ** rng.uniform(-9, 0),
        tolerance_change=10 ** rng.uniform(-9, -0.5),
        history_size=rng.randint(1, 5),
        line_search_fn="strong_wolfe",
    )
    return function, options, [rng.uniform(-2, 2) for _ in range(4)]


def drawn_schedule(rng: random.Random, m: Any, o: Any, depth: int = 0) -> Any:
    kind = rng.choice(
        ["Step", "MultiStep", "Exponential", "Constant", "Linear", "Polynomial", "Cosine", "Restarts", "Lambda"]
    )
    if depth == 0:
        kind = rng.choice([kind, kind, "OneCycle", "Cyclic", "Sequential", "Chained"])
    after = rng.randint(1, 9)
    if kind == "Step":
        return m.StepLR(o, after, **some(rng, gamma=rng.uniform(0.3, 1.2)))
    if kind == "MultiStep":
        return m.MultiStepLR(o, [rng.randint(0, 12) for _ in range(3)], **some(rng, gamma=rng.uniform(0.3, 1.2)))
    if kind == "Exponential":
        return m.ExponentialLR(o, rng.uniform(0.7, 1.1))
    if kind == "Constant":
        return m.ConstantLR(o, **some(rng, factor=rng.uniform(0.1, 1), total_iters=after))
    if kind == "Linear":
        return m.LinearLR(
            o, **some(rng, start_factor=rng.uniform(0.1, 1), end_factor=rng.uniform(0.1, 1), total_iters=after)
        )
    if kind == "Polynomial":
        return m.PolynomialLR(o, **some(rng, total_iters=after, power=rng.uniform(0.5, 3)))
    if kind == "Cosine":
        return m.CosineAnnealingLR(o, after, **some(rng, eta_min=rng.uniform(0, 0.01)))
    if kind == "Restarts":
        return m.CosineAnnealingWarmRestarts(
            o, after, **some(rng, T_mult=rng.randint(1, 3), eta_min=rng.uniform(0, 0.01))
        )
    if kind == "Lambda":
        base = rng.uniform(0.5, 1)
        return m.LambdaLR(o, lambda epoch: base**epoch)
    if kind == "OneCycle":
        length: dict[str, Any] = {"total_steps": rng.randint(20, 30)}
        if rng.random() < 0.3:
            length = {"epochs": rng.randint(4, 6), "steps_per_epoch": rng.randint(5, 7)}
        return m.OneCycleLR(o, one_or_each(rng, 0.1, 0.9), **length, **some(
            rng, pct_start=rng.uniform(0.1, 0.45), anneal_strategy=rng.choice(["cos", "linear"]), cycle_momentum=rng.random() < 0.7,
            base_momentum=one_or_each(rng, 0.7, 0.8), max_momentum=one_or_each(rng, 0.85, 0.95), div_factor=rng.uniform(5, 30),
            final_div_factor=rng.uniform(10, 1e3), three_phase=rng.random() < 0.5,
        ))  # fmt: skip
    if kind == "Cyclic":
        return m.CyclicLR(o, one_or_each(rng, 0.01, 0.05), one_or_each(rng, 0.1, 0.5), **({} if rng.random() < 0.1 else {"step_size_up": after}), **some(
            rng, step_size_down=rng.randint(1, 6), mode=rng.choice(["triangular2", "exp_range"]), gamma=rng.uniform(0.8, 0.99),
            cycle_momentum=rng.random() < 0.7, base_momentum=one_or_each(rng, 0.7, 0.8), max_momentum=one_or_each(rng, 0.85, 0.95),
        ))  # fmt: skip
    parts = [drawn_schedule(rng, m, o, 1) for _ in range(rng.randint(2, 3))]
    if kind == "Chained":
        return m.ChainedScheduler(parts, **some(rng, optimizer=o))
    if rng.random() < 0.2:
        parts[0] = m.ChainedScheduler(parts[:1])
    return m.SequentialLR(o, parts, sorted(rng.sample(range(1, 12), len(parts) - 1)))


# ------------------------------------------------------------------------------------------------------------------- runs
def lbfgs(package: Any, name: str, ulps: float = 0) -> list[list[float]]:
    """Four steps: the loss, the parameters, and how many calls and iterations it took so far; from a point a little beside."""
    function, options, start = drawn_lbfgs(random.Random(name)) if name.startswith("drawn") else LBFGS[name]
    start = [x * (1 + ulps * 2**-52) for x in start]
    v = package.tensor(start, dtype=package.float64, requires_grad=True)
    optimizer = package.optim.LBFGS([v], **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = FUNCTIONS[function](v)
        loss.backward()
        return loss

    rows = []
    for _ in range(4):
        loss = optimizer.step(closure)
        state = optimizer.state[v]
        rows.append([loss.item(), *v.tolist(), state["func_evals"], state["n_iter"], state.get("t", 0)])
    return rows


def optimizer_of(package: Any, kind: str = "SGD") -> Any:
    """An optimizer with two groups."""
    groups = [{"params": [package.ones(2, requires_grad=True)], "lr": lr} for lr in (0.5, 0.02)]
    return package.optim.Adam(groups) if kind == "Adam" else package.optim.SGD(groups, momentum=0.9)


def rates(optimizer: Any) -> list[float]:
    return [
        x
        for group in optimizer.param_groups
        for x in (float(group["lr"]), group["betas"][0] if "betas" in group else group["momentum"])
    ]


def schedule(package: Any, name: str) -> list[list[float]]:
    """Rates and momenta of 25 steps; of the drawn ones 18, some of them resumed after a few."""
    if name.startswith("drawn"):
        return drawn_rates(package, name)
    optimizer = optimizer_of(package)
    scheduler = SCHEDULES[name](package.optim.lr_scheduler, optimizer)
    rows = [[*rates(optimizer), *map(float, scheduler.get_last_lr())]]
    for _ in range(25):
        optimizer.step()
        scheduler.step()
        rows.append([*rates(optimizer), *map(float, scheduler.get_last_lr())])
    return rows


def drawn_rates(package: Any, name: str) -> list[list[float]]:
    def made() -> tuple[Any, Any]:
        optimizer = optimizer_of(package, kind)
        return optimizer, drawn_schedule(random.Random(name), package.optim.lr_scheduler, optimizer)

    rng = random.Random(f"how {name}")
    kind, resumed = rng.choice(["SGD", "Adam"]), rng.choice([None, None, rng.randint(1, 12)])
    optimizer, scheduler = made()
    rows = [rates(optimizer)]
    for step in range(18):
        if step == resumed:
            states = optimizer.state_dict(), scheduler.state_dict()
            optimizer, scheduler = made()
            optimizer.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
        optimizer.step()
        scheduler.step()
        rows.append(rates(optimizer))
    return rows


def plateau(package: Any, name: str) -> list[list[float]]:
    options, measures = PLATEAUS.get(name, {}), MEASURES
    if name.startswith("drawn"):
        rng = random.Random(name)
        options = some(
            rng,
            mode=rng.choice(["min", "max"]),
            factor=rng.uniform(0.2, 0.8),
            patience=rng.randint(0, 4),
            threshold=rng.uniform(0, 0.3),
            threshold_mode=rng.choice(["rel", "abs"]),
            cooldown=rng.randint(0, 3),
            min_lr=one_or_each(rng, 0, 0.1),
            eps=rng.uniform(0, 0.05),
        )
        measures = [round(rng.uniform(0, 1), 2) for _ in range(12)] + [0.5] * 13
    optimizer = optimizer_of(package)
    scheduler = package.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rows = []
    for measure in measures:
        scheduler.step(measure)
        rows.append([*rates(optimizer), scheduler.in_cooldown, scheduler.num_bad_epochs])
    return rows


def swalr(package: Any, name: str) -> list[list[float]]:
    """Rates of 15 steps, after three of another schedule; in drawn ones somebody changes them in the end."""
    optimizer = optimizer_of(package)
    before = package.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    if name.startswith("drawn"):
        rng = random.Random(name)
        more = some(rng, anneal_epochs=rng.randint(0, 7), anneal_strategy="linear")
        scheduler = package.optim.swa_utils.SWALR(optimizer, one_or_each(rng, 0.01, 0.2), **more)
    else:
        scheduler = package.optim.swa_utils.SWALR(optimizer, *SWALR[name])
    rows = []
    for epoch in range(15):
        optimizer.step()
        (before if epoch < 3 else scheduler).step()
        rows.append(rates(optimizer))
        if epoch == 13 and name.startswith("drawn"):
            optimizer.param_groups[0]["lr"] = 0.75
    return rows


RUNS: dict[str, tuple[Callable[[Any, str], list[list[float]]], Any]] = {
    "lbfgs": (lbfgs, LBFGS),
    "schedule": (schedule, SCHEDULES),
    "plateau": (plateau, PLATEAUS),
    "swalr": (swalr, SWALR),
}
NAMES = [
    f"{kind}: {name}"
    for kind, (_, names) in RUNS.items()
    for name in (*names, *(f"drawn {n}" for n in range(DRAWN[kind])))
]


def run(package: Any, named: str, *beside: float) -> list[list[float]]:
    kind, name = named.split(": ")
    function: Any = RUNS[kind][0]
    return [[float(x) for x in row] for row in function(package, name, *beside)]


def tolerance(named: str) -> dict[str, float]:
    """How far from the record a run may be: each step of L-BFGS multiplies what rounding did in the one before."""
    return {"rtol": 1e-6, "atol": 1e-9} if named.startswith("lbfgs") else {"rtol": 1e-12, "atol": 1e-15}


def recorded() -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = json.loads(FILE.read_text())["runs"]
    return found


def is_stable(package: Any, named: str) -> bool:
    """Whether a run of L-BFGS goes the same way from points a few ulp beside."""
    first = run(package, named)
    for ulps in (-3, -2, -1, 1, 2, 3):
        for row, other in zip(first, run(package, named, ulps), strict=True):
            if any(not abs(x - y) <= 1e-10 + 1e-7 * abs(x) for x, y in zip(row, other, strict=True)):
                return False
    return True


if __name__ == "__main__":
    import warnings

    import torch
    import torch.optim.swa_utils

    warnings.simplefilter("ignore")
    kept = [n for n in NAMES if not n.startswith("lbfgs: drawn") or is_stable(torch, n)]
    runs = ",\n".join(f"{json.dumps(n)}: {json.dumps(run(torch, n))}" for n in kept)
    FILE.write_text(f'{{"made by": "PyTorch {torch.__version__}", "runs": {{\n{runs}\n}}}}\n')
    print(f"{len(kept)} of {len(NAMES)}")
