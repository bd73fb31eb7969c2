"""Random programs: graphs of 5 to 30 smooth ops on random shapes, against differences at two steps, and against PyTorch."""

from __future__ import annotations

import collections
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import tinytensor as tt
import tinytensor.nn.functional as F

PROGRAMS = 50
STEPS = (4e-4, 2e-4)
Call = Callable[..., Any]  # the library, then operands
OURS = SimpleNamespace(m=tt, F=F, of=tt.from_numpy)


@dataclass
class Program:
    """Inputs, and lines that each make one value of earlier ones. Its result is a weighted sum of what no line uses."""

    inputs: list[Any]
    lines: list[tuple[str, Call, tuple[int, ...]]] = field(default_factory=list)

    def run(self, lib: Any, inputs: list[Any]) -> Any:
        """The result, on another library's tensors."""
        values = list(inputs)
        for _, call, at in self.lines:
            values.append(call(lib, *(values[i] for i in at)))
        used = {i for _, _, at in self.lines for i in at}
        total = None
        for i, v in enumerate(values):
            if i not in used:
                weights = lib.of(np.cos(np.arange(math.prod(v.shape)) + i).reshape(tuple(v.shape)))
                part = (v * weights).sum()
                total = part if total is None else total + part
        return total

    def __repr__(self) -> str:
        return f"{[a.shape for a in self.inputs]} " + " ".join(f"{name}{at}" for name, _, at in self.lines)


# -------------------------------------------------------------------------------------------------------------------- ops
# smooth everywhere: what has an edge gets an argument that keeps away from it
POINTWISE: dict[str, Call] = {
    "exp": lambda lib, x: lib.m.exp(lib.m.tanh(x)), "log": lambda lib, x: lib.m.log(x * x + 0.5), "sqrt": lambda lib, x: lib.m.sqrt(x * x + 0.5),
    "rsqrt": lambda lib, x: lib.m.rsqrt(x * x + 0.5), "tanh": lambda lib, x: lib.m.tanh(x), "sigmoid": lambda lib, x: lib.m.sigmoid(x), "sin": lambda lib, x: lib.m.sin(x),
    "cos": lambda lib, x: lib.m.cos(x), "erf": lambda lib, x: lib.m.erf(x), "expm1": lambda lib, x: lib.m.expm1(lib.m.sin(x)), "log1p": lambda lib, x: lib.m.log1p(x * x),
    "square": lambda lib, x: lib.m.square(x), "reciprocal": lambda lib, x: lib.m.reciprocal(x * x + 1), "cube": lambda lib, x: x**3, "power": lambda lib, x: (x * x + 0.5) ** 1.5,
    "base": lambda lib, x: 1.5**x, "neg": lambda lib, x: -x, "scalar": lambda lib, x: 2.5 - 0.5 * x, "over": lambda lib, x: 3.0 / (x * x + 2),
    "softplus": lambda lib, x: lib.F.softplus(x), "gelu": lambda lib, x: lib.F.gelu(x), "gelu_tanh": lambda lib, x: lib.F.gelu(x, approximate="tanh"), "silu": lambda lib, x: lib.F.silu(x),
    "clone": lambda lib, x: x.clone(), "reshape": lambda lib, x: x.reshape(-1), "unsqueeze": lambda lib, x: x.unsqueeze(-1), "all": lambda lib, x: lib.m.sum(x), "average": lambda lib, x: lib.m.mean(x),
}  # fmt: skip
ALONG: dict[str, Call] = {  # with a dim, and whether it is kept
    "sum": lambda lib, x, d, k: lib.m.sum(x, d, keepdim=k), "mean": lambda lib, x, d, k: lib.m.mean(x, d, keepdim=k), "prod": lambda lib, x, d, k: lib.m.prod(x, d, keepdim=k),
    "logsumexp": lambda lib, x, d, k: lib.m.logsumexp(x, d, keepdim=k), "softmax": lambda lib, x, d, k: lib.m.softmax(x, d), "log_softmax": lambda lib, x, d, k: lib.m.log_softmax(x, d),
    "var": lambda lib, x, d, k: lib.m.var(x, d, correction=0, keepdim=k), "norm": lambda lib, x, d, k: lib.m.norm(lib.m.cos(x) + 1.5, dim=d, keepdim=k),
    "transpose": lambda lib, x, d, k: lib.m.transpose(x, d, -1 if k else 0), "first": lambda lib, x, d, k: x.narrow(d, 0, 1), "double": lambda lib, x, d, k: lib.m.cat([x, x * 0.5], d),
}  # fmt: skip
BROADCAST: dict[str, Call] = {
    "add": lambda lib, x, y: x + y, "sub": lambda lib, x, y: x - y, "mul": lambda lib, x, y: x * y, "div": lambda lib, x, y: x / (y * y + 1),
    "pow": lambda lib, x, y: (x * x + 0.5) ** lib.m.tanh(y), "hypot": lambda lib, x, y: (x * x + y * y + 0.1).sqrt(), "where": lambda lib, x, y: lib.m.where(x > 100.0, x, y * x),
}  # fmt: skip
OTHER = (
    "matmul",
    "outer",
    "linear",
    "stack",
    "cat",
    "mse_loss",
    "cross_entropy",
    "slice",
    "rows",
    "gather",
    "index_select",
    "expand",
    "masked_fill",
)
NAMES = sorted([*POINTWISE, *ALONG, *BROADCAST, *OTHER])


def line_of(r: random.Random, name: str, shapes: list[tuple[int, ...]]) -> tuple[Call, tuple[int, ...]] | None:
    """A call of an op on values of some shapes; None where none fits. Later values are taken more often: programs grow deep."""

    def pick(fits: Callable[[tuple[int, ...]], bool]) -> int | None:
        found = [i for i, s in enumerate(shapes) if fits(s)][-6:]
        return r.choice(found) if found else None

    def fits_with(s: tuple[int, ...]) -> Callable[[tuple[int, ...]], bool]:
        return lambda t: all(a == b or 1 in (a, b) for a, b in zip(reversed(s), reversed(t)))

    x = pick(lambda s: True if name in POINTWISE or name in BROADCAST else len(s) > 0)
    if x is None:
        return None
    shape = shapes[x]
    if name in POINTWISE:
        return POINTWISE[name], (x,)
    if name in ALONG:
        d, keep = r.randrange(-len(shape), len(shape)), r.random() < 0.5
        return lambda lib, x: ALONG[name](lib, x, d, keep), (x,)
    if name in BROADCAST:
        y = pick(fits_with(shape))
        return None if y is None else (BROADCAST[name], (x, y))
    n = shape[0]
    index = np.array([r.randrange(n) for _ in range(r.randint(1, 4))], np.int64)
    if name == "slice":
        start, step = r.randrange(n), r.randint(1, 2)
        return lambda lib, x: x[start::step, ...], (x,)
    if name == "rows":
        return lambda lib, x: x[lib.of(index)], (x,)
    if name == "index_select":
        return lambda lib, x: lib.m.index_select(x, 0, lib.of(index)), (x,)
    if name == "gather":
        whole = np.broadcast_to(index.reshape(-1, *[1] * (len(shape) - 1)), (len(index), *shape[1:])).copy()
        return lambda lib, x: lib.m.gather(x, 0, lib.of(whole)), (x,)
    if name == "expand":
        return lambda lib, x: x.unsqueeze(0).expand(2, *shape), (x,)
    if name == "masked_fill":
        mask = (np.arange(math.prod(shape)) % 3 == 0).reshape(shape)
        return lambda lib, x: lib.m.masked_fill(x, lib.of(mask), 0.25), (x,)
    if name == "cross_entropy":
        x = pick(lambda s: len(s) == 2)
        if x is None:
            return None
        rows, classes = shapes[x]
        target = np.arange(rows, dtype=np.int64) % classes
        return lambda lib, x: lib.F.cross_entropy(x, lib.of(target), label_smoothing=0.1), (x,)
    if name in ("cat", "stack", "mse_loss"):
        y = pick(lambda t: t == shape)
        calls: dict[str, Call] = {"cat": lambda lib, x, y: lib.m.cat([x, y]), "stack": lambda lib, x, y: lib.m.stack([x, y], 1), "mse_loss": lambda lib, x, y: lib.F.mse_loss(x, y, reduction="none")}  # fmt: skip
        return None if y is None else (calls[name], (x, y))
    if name == "outer":
        a, b = pick(lambda s: len(s) == 1), pick(lambda s: len(s) == 1)
        return None if a is None or b is None else (lambda lib, x, y: lib.m.outer(x, y), (a, b))
    if name == "linear":
        w = pick(lambda t: len(t) == 2 and t[1] == shape[-1])
        return None if w is None else (lambda lib, x, w: lib.m.tanh(lib.F.linear(x, w, w.mean(1))), (x, w))
    assert name == "matmul", name

    def inner(t: tuple[int, ...]) -> bool:
        return len(t) > 0 and t[-2 if len(t) > 1 else 0] == shape[-1] and fits_with(shape[:-2])(t[:-2])

    y = pick(inner)
    if y is None and len(shape) == 1:
        return None
    return (lambda lib, x: lib.m.matmul(x, x.mT), (x,)) if y is None else (lambda lib, x, y: lib.m.matmul(x, y), (x, y))


def tamed(call: Call) -> Call:
    """With its result brought back near 1."""
    return lambda lib, *operands: lib.m.tanh(call(lib, *operands) * 0.1)


@st.composite
def programs(draw: Any) -> Program:
    """A program that runs, with values of moderate size throughout."""
    r = draw(
        st.randoms(use_true_random=True)
    )  # its seed alone is hypothesis's, whose mutations make programs too alike
    shapes = [tuple(r.randint(1, 4) for _ in range(r.randint(0, 3))) for _ in range(r.randint(2, 4))]
    program = Program(
        [np.asarray([r.uniform(0.1, 1.5) * r.choice([-1, 1]) for _ in range(math.prod(s))]).reshape(s) for s in shapes]
    )
    values = [tt.from_numpy(a) for a in program.inputs]
    for name in r.choices(NAMES, k=r.randint(5, 30)):
        line = line_of(r, name, [v.shape for v in values]) or (POINTWISE["tanh"], (len(values) - 1,))
        call, at = line
        value = call(OURS, *(values[i] for i in at))
        if value.numel() > 200 or value.ndim > 5:
            call, at = POINTWISE["average"], (len(values) - 1,)
            name = "average"
        elif value.abs().max().item() > 3:
            call = tamed(call)
        program.lines.append((name if line[0] is not POINTWISE["tanh"] else "tanh", call, at))
        values.append(call(OURS, *(values[i] for i in at)))
    return program


def over_programs(check: Callable[[Program], None]) -> list[Program]:
    """Run a check on 50 programs, the same every time."""
    seen: list[Program] = []

    @seed(20261122)
    @settings(
        max_examples=PROGRAMS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def run(program: Program) -> None:
        seen.append(program)
        check(program)

    run()
    return seen


def ours(program: Program) -> tuple[Any, list[Any]]:
    """The value of a program and its gradients."""
    inputs = [tt.tensor(a, requires_grad=True) for a in program.inputs]
    value = program.run(OURS, inputs)
    found = tt.autograd.grad([value], inputs, allow_unused=True)
    return value.item(), [np.zeros(a.shape) if g is None else g.numpy() for g, a in zip(found, program.inputs)]


def slopes(program: Program, step: float) -> list[Any]:
    """Central differences of fourth order, by every element of every input."""
    found = []
    for i, a in enumerate(program.inputs):
        slope = np.zeros(a.size)
        for j in range(a.size):
            for k, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
                moved = [np.array(b) for b in program.inputs]
                moved[i].reshape(-1)[j] += k * step
                slope[j] += weight * program.run(OURS, [tt.from_numpy(b) for b in moved]).item()
        found.append(slope.reshape(a.shape) / (12 * step))
    return found


# ------------------------------------------------------------------------------------------------------------------ tests
def test_gradients_of_random_programs_are_their_differences_at_two_steps() -> None:
    def check(program: Program) -> None:
        _, gradients = ours(program)
        for g, one, two in zip(gradients, *(slopes(program, h) for h in STEPS)):
            scale = max(1.0, float(np.abs(one).max(initial=0.0)))
            assert np.abs(one - two).max(initial=0.0) <= 2e-8 * scale, "the differences do not agree"
            assert np.abs(g - two).max(initial=0.0) <= 2e-8 * scale, program

    seen = over_programs(check)
    assert len({repr(p) for p in seen}) == PROGRAMS
    lengths = [len(p.lines) for p in seen]
    assert (min(lengths) >= 5, max(lengths) <= 30, sum(n >= 20 for n in lengths) >= 5) == (True, True, True)
    counts = collections.Counter(name for p in seen for name, _, _ in p.lines)
    assert len(set(NAMES) - set(counts)) <= 5, "too few ops are in any program"
    assert counts["average"] + counts["tanh"] <= counts.total() / 3, "too many lines are stand-ins for what did not fit"


@pytest.mark.filterwarnings("ignore:.*torch:DeprecationWarning")
def test_random_programs_agree_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    theirs = SimpleNamespace(m=torch, F=torch.nn.functional, of=torch.from_numpy)
    worst = 0.0

    def check(program: Program) -> None:
        nonlocal worst
        value, gradients = ours(program)
        inputs = [torch.tensor(a, requires_grad=True) for a in program.inputs]
        result = program.run(theirs, inputs)
        found = torch.autograd.grad(result, inputs, allow_unused=True)
        for got, want in [(value, result.item()), *zip(gradients, (0.0 if g is None else g.numpy() for g in found))]:
            error = float(np.abs(got - want).max(initial=0.0) / max(1e-3, float(np.abs(want).max(initial=0.0))))
            worst = max(worst, error)
            assert error <= 1e-10, program

    assert len(over_programs(check)) == PROGRAMS
    print(f"the largest relative distance from PyTorch: {worst:.2g}")
