"""The numerical gradient against the analytic one: how far it is off for each step size, and how long it takes."""

import math
import sys
import textwrap
import timeit
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor.testing import GradcheckError, gradcheck

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)
tt.manual_seed(0)
x, y = tt.randn(20, 4, dtype=tt.float64), tt.randint(0, 3, (20,))


def loss(theta: tt.Tensor) -> tt.Tensor:
    """A two-layer network; its weights, H x 4 and 3 x H, are one vector."""
    H = theta.numel() // 7
    W1, W2 = theta[: 4 * H].reshape(H, 4), theta[4 * H :].reshape(3, H)
    return tt.cross_entropy(tt.tanh(x.to(theta.dtype) @ W1.T) @ W2.T, y)


def analytic(theta: tt.Tensor) -> tt.Tensor:
    leaf = theta.clone().requires_grad_()
    loss(leaf).backward()
    return leaf.grad


def forward_difference(theta: tt.Tensor, h: float) -> tt.Tensor:
    """(f(x + h) - f(x)) / h, one weight at a time."""
    at, steps = loss(theta).item(), h * tt.eye(len(theta), dtype=theta.dtype)
    slopes = [(loss(theta + step).item() - at) / h for step in steps]
    return tt.tensor(slopes, dtype=tt.float64)


def central_difference(theta: tt.Tensor, h: float) -> tt.Tensor:
    """(f(x + h) - f(x - h)) / 2h, one weight at a time."""
    steps = h * tt.eye(len(theta), dtype=theta.dtype)
    ends = [(loss(theta + step).item(), loss(theta - step).item()) for step in steps]
    return tt.tensor([(up - down) / (2 * h) for up, down in ends], dtype=tt.float64)


theta = tt.randn(7 * 8, dtype=tt.float64)
right = analytic(theta)


def error(gradient: tt.Tensor) -> float:
    return ((gradient.double() - right).norm() / right.norm()).item()


def power(x: float) -> str:
    return f"1e{round(math.log10(x)):+03d}"


steps = [10.0**-k for k in range(1, 13)]
curves = {}
for bits, dtype in ((32, tt.float32), (64, tt.float64)):
    at = theta.to(dtype)
    curves[f"forward float{bits}"] = [error(forward_difference(at, h)) for h in steps]
    curves[f"central float{bits}"] = [error(central_difference(at, h)) for h in steps]
print("step h", *(f"{name:>15}" for name in curves))
for h, *errors in zip(steps, *curves.values()):
    print(f"{h:6.0e}", *(f"{power(e):>15}" for e in errors))
print("backward() float32:", power(error(analytic(theta.float()))))

sizes, times = [56, 280, 1400], []
for size in sizes:
    theta = tt.randn(size, dtype=tt.float64)
    runs = [partial(analytic, theta), partial(forward_difference, theta, 1e-7)]
    runs.append(partial(central_difference, theta, 1e-5))
    times.append([1e3 * min(timeit.repeat(run, number=1, repeat=3)) for run in runs])
    a, b, c = (f"{t:.1f} ms" for t in times[-1])
    print(f"{size} weights: backward() {a}")
    print(f"    forward, {1 + size} losses, {b}; central, {2 * size} losses, {c}")

figure = Figure(figsize=(8.4, 4), layout="constrained")
left, right = figure.subplots(1, 2, subplot_kw={"xscale": "log", "yscale": "log"})
for (name, errors), style in zip(curves.items(), ("o--", "o-", "s--", "s-")):
    left.plot(steps, errors, style, color="#d55e00" if "32" in name else "#0072b2", ms=4, label=name)
for name, style, taken in zip(("backward()", "forward", "central"), ("D:", "s--", "s-"), zip(*times)):
    right.plot(sizes, taken, style, color="#0072b2", ms=4, label=name)
left.set(xlabel="step h", ylabel="relative error of the gradient", ylim=(1e-13, 1e2))
right.set(xlabel="weights", ylabel="time (ms)", xticks=sizes, xticklabels=sizes)
right.minorticks_off()
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend()
figure.savefig(out / "g_error.png", dpi=110)

v = tt.tensor([1.0, -3.0], dtype=tt.float64, requires_grad=True)
print("x * x:", gradcheck(lambda x: x * x, v))
try:
    gradcheck(lambda x: x * x.detach(), v)  # forgets one of the two uses of x
except GradcheckError as e:
    print(textwrap.fill(str(e), 90))
