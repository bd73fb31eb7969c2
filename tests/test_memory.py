"""Memory and depth: only what rules name is kept, nothing needs the collector, and no depth is too deep."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels

N = 1 << 16  # elements of a tensor whose arrays are counted
ARRAY = 4 * N


def most_arrays(work: Callable[[], object]) -> float:
    """The most arrays of N floats that lived at once while `work` ran: what it gave back waits in the pool."""
    if not _kernels.pool_limit():
        pytest.skip("this build keeps no memory back")
    _kernels.pool_clear()
    work()
    return _kernels.pool_bytes() // ARRAY


def chain(f: Callable[[Any], Any], length: int, x: Any) -> Any:
    for _ in range(length):
        x = f(x)
    return x


# ------------------------------------------------------------------------------------------------------------- what is kept
CHAINS: dict[str, tuple[Callable[[Any], Any], int]] = {  # a link, and how many arrays of it live on for backward
    "exp": (lambda y: tt.exp(y * 1e-3), 1), "add": (lambda y: y + 1.0, 0), "neg": (lambda y: -y, 0), "scale": (lambda y: y * 2.0, 0), "sin": (tt.sin, 1),
    "relu": (tt.relu, 1), "tanh": (tt.tanh, 1), "square": (tt.square, 1), "reshape": (lambda y: y.reshape(-1), 0), "own product": (lambda y: y * y, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_without_gradients_the_peak_does_not_grow_with_the_chain(name: str, no_collector: None) -> None:
    link, x = CHAINS[name][0], tt.full((N,), 0.5, requires_grad=True)
    with tt.no_grad():
        peaks = [most_arrays(lambda n=n: chain(link, n, x)) for n in (3, 50)]  # type: ignore[misc]
    assert peaks[0] == peaks[1] <= 3


@pytest.mark.parametrize("name", CHAINS)
def test_with_gradients_the_peak_is_what_the_rules_name(name: str, no_collector: None) -> None:
    (link, kept), x = CHAINS[name], tt.full((N,), 0.5, requires_grad=True)
    peaks = [most_arrays(lambda n=n: chain(link, n, x)) for n in (10, 50)]  # type: ignore[misc]
    assert peaks[1] - peaks[0] == 40 * kept
    assert peaks[0] <= 10 * kept + 3


def test_backward_needs_a_few_arrays_more_and_frees_as_it_goes(no_collector: None) -> None:
    x = tt.full((N,), 0.5, requires_grad=True)

    def work() -> None:
        x.grad = None
        chain(tt.sin, 50, x).sum().backward()

    assert 50 <= most_arrays(work) <= 53


def test_a_factor_is_kept_only_for_the_other_sides_gradient() -> None:
    x, constant = tt.full((N,), 0.5, requires_grad=True), tt.ones(N)
    y = (x * 1.0) * constant
    assert [v is constant._data for v in y.grad_fn.kept if v is not None] == [True]


# -------------------------------------------------------------------------------------------------------------------- depth
def in_small_stack(work: Callable[[], object]) -> None:
    """Run in a thread whose stack is of 256 KiB: what recursed would end the process."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as e:
            failed.append(e)

    before = threading.stack_size(256 * 1024)
    try:
        t = threading.Thread(target=run)
        t.start()
    finally:
        threading.stack_size(before)
    t.join()
    if failed:
        raise failed[0]


def test_a_deep_graph_walks_and_goes_in_a_small_stack() -> None:
    def work() -> None:
        x = tt.ones(1, requires_grad=True)
        y = chain(lambda v: -v, 200_000, x)
        y.backward()
        first = weakref.ref(y.grad_fn)
        del y
        assert first() is None
        assert x.grad.tolist() == [1]

    in_small_stack(work)


@pytest.mark.parametrize("kind", ["chain", "kept values", "two parents", "views", "in place"])
def test_a_deep_graph_that_never_ran_backward_goes_in_a_small_stack(kind: str) -> None:
    def work() -> None:
        x = tt.ones(2, requires_grad=True)
        y = x * 1
        first = weakref.ref(y.grad_fn)
        links: dict[str, Callable[[Any], Any]] = {
            "chain": lambda v: v + 1.0, "kept values": lambda v: tt.sin(v), "two parents": lambda v: v + v, "views": lambda v: v.reshape(1, 2).reshape(2), "in place": lambda v: v.mul_(1.0),
        }  # fmt: skip
        y = chain(links[kind], 100_000, y)
        assert first() is not None
        del y
        assert first() is None

    in_small_stack(work)


def test_a_deep_graph_of_gradients() -> None:
    """Double backward through a chain of 10,000: the graph of the gradient is as deep, and goes as quietly."""

    def work() -> None:
        x = tt.tensor([0.3], dtype=tt.float64, requires_grad=True)
        y = chain(lambda v: v * 1.0001 + 0.0001 * v * v, 10_000, x * 1e-3)
        (g,) = tt.autograd.grad(y, x, create_graph=True)
        (h,) = tt.autograd.grad(g, x, retain_graph=True)
        end = weakref.ref(g.grad_fn)
        del y, g
        assert end() is None
        a, d, s = 0.3e-3, 1e-3, 0.0
        for _ in range(10_000):  # the same by hand: value, first and second derivative
            a, d, s = 1.0001 * a + 0.0001 * a * a, (1.0001 + 0.0002 * a) * d, (1.0001 + 0.0002 * a) * s + 0.0002 * d * d
        np.testing.assert_allclose(h.item(), s, rtol=1e-9)

    in_small_stack(work)


def test_an_error_in_a_deep_walk_leaves_no_trace() -> None:
    x = tt.ones(2, requires_grad=True)
    y = chain(tt.sin, 1000, x)
    kept = y * 1
    y = chain(tt.sin, 1000, tt.square(kept))
    first = weakref.ref(y.grad_fn)
    with tt.no_grad():
        kept += 1
    with pytest.raises(RuntimeError, match="backward of square"):
        y.sum().backward()
    del y
    assert first() is None


# ------------------------------------------------------------------------------------------------------------------- growth
TRAINING = """
import gc
import numpy as np
import tinytensor as tt
from tinytensor import nn
tt.manual_seed(0)
net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4))
optimizer = tt.optim.AdamW(net.parameters())
x, y = tt.randn(16, 20), tt.randint(4, (16,))
def used():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096
gc.collect()
gc.disable()
for step in range(11_000):
    if step == 1000:
        before = used()
    optimizer.zero_grad()
    h = net(x)
    h = h * 1
    h[:, 0] += 0.1
    loss = nn.functional.cross_entropy(h.reshape(16, 4), y)
    loss.backward()
    optimizer.step()
print(used() - before)
"""


def run(program: str) -> str:
    """What a program prints, run where a package that is not built is not in the way."""
    elsewhere = Path(tt.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=elsewhere, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell a process's memory")
@pytest.mark.skipif(not _kernels.pool_limit(), reason="AddressSanitizer keeps what is freed for a while")
def test_ten_thousand_steps_without_the_collector_grow_by_less_than_a_megabyte() -> None:
    assert int(run(TRAINING)) < 1 << 20


# -------------------------------------------------------------------------------------------------------------- running sums
SUM = """
import tinytensor as tt
w = tt.tensor(2.0, requires_grad=True)
total = {start}
for step in range({steps}):
    loss = (w * w - 1.0) * 0.5
    {body}
print("done")
"""
HOLDS = "this running sum of scalars holds the graphs of 100 terms"


@pytest.mark.parametrize(
    ("start", "body"),
    [
        ("0.0", "loss.backward(); total += loss"), ("0.0", "total += loss; loss.backward()"), ("tt.zeros(())", "loss.backward(); total = total + loss"),
        ("tt.zeros(())", "total += loss; loss.backward(retain_graph=False)"), ("0.0", "loss.backward(); total = loss * 16 + total"), ("[0.0, 0.0]", "loss.backward(); total = [t + loss for t in total]"),
        ("0.0", "loss = w * w; loss.backward(); total = total + loss"),
    ],
)  # fmt: skip
def test_a_running_sum_that_holds_graphs_warns_once_at_its_line(start: str, body: str) -> None:
    printed = run(SUM.format(start=start, body=body, steps=500))
    assert printed.count(HOLDS) == 1
    assert "<string>:7: UserWarning" in printed
    assert "total += loss.item()" in printed


@pytest.mark.parametrize("loss", ["", "loss = w * w; "])
def test_it_warns_at_the_hundredth_term(loss: str) -> None:
    for steps, times in ((99, 0), (100, 1)):
        printed = run(SUM.format(start="0.0", body=loss + "loss.backward(); total += loss", steps=steps))
        assert printed.count(HOLDS) == times


@pytest.mark.parametrize(
    ("start", "body"),
    [
        ("0.0", "loss.backward(); total += loss.item()"), ("0.0", "loss.backward(); total += loss.detach()"), ("tt.zeros(())", "total = total + loss"),
        ("0.0", "total = (0.0 if step % 50 == 0 else total) + loss; step % 50 == 49 and total.backward()"), ("0.0", "loss.backward(retain_graph=True); total += loss"),
        ("w * 1.0", "total = loss + w; total.backward()"),
    ],
)  # fmt: skip
def test_other_sums_do_not_warn(start: str, body: str) -> None:
    assert run(SUM.format(start=start, body=body, steps=500)) == "done\n"


def test_a_long_sum_made_on_purpose_does_not_warn() -> None:
    x = tt.tensor(1.0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        total = chain(lambda v: v + x, 5000, x * 1.0)
        total.backward()
    assert x.grad.item() == 5001
