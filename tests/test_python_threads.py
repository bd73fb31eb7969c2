"""Threads of Python: modes are each thread's own, models train at once with the bits they have alone, graphs and leaves may be shared."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.autograd import AnomalyError


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*works: Callable[[], Any]) -> list[Any]:
    """The results of functions, each run in a thread of its own, all let go at once."""
    results: list[Any] = [None] * len(works)
    gate = threading.Barrier(len(works))

    def run(i: int) -> None:
        gate.wait()
        try:
            results[i] = works[i]()
        except BaseException as e:
            results[i] = e

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(works))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for r in results:
        if isinstance(r, BaseException):
            raise r
    return results


def training(seed: int) -> list[Any]:
    """Losses and weights of a training of its own."""
    own = tt.Generator(seed)
    net = nn.Sequential(nn.Linear(30, 40, generator=own), nn.ReLU(), nn.Linear(40, 5, generator=own))
    optimizer = tt.optim.Adam(net.parameters(), lr=1e-2)
    x, y = tt.randn(64, 30, generator=own), tt.randint(5, (64,), generator=own)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [losses, *[p.tolist() for p in net.parameters()]]


def test_models_trained_at_once_have_the_bits_they_have_alone() -> None:
    alone = [training(seed) for seed in (1, 2, 3)]
    assert together(*[lambda s=s: training(s) for s in (1, 2, 3)]) == alone  # type: ignore[misc]


def test_modes_are_each_threads_own() -> None:
    gate = threading.Barrier(3)

    def with_modes(grad: bool, anomaly: bool) -> list[Any]:
        with tt.set_grad_enabled(grad), tt.set_detect_anomaly(anomaly):
            gate.wait()
            x = tt.tensor([0.0, 1.0], requires_grad=True)
            seen = [tt.is_grad_enabled(), tt.is_anomaly_enabled(), (x * 2).requires_grad]
            try:
                tt.log(x)
                seen.append(False)
            except AnomalyError:
                seen.append(True)
            gate.wait()
        return [*seen, tt.is_grad_enabled(), tt.is_anomaly_enabled()]

    wanted = [(True, False), (False, True), (True, True)]
    found = together(*[lambda w=w: with_modes(*w) for w in wanted])  # type: ignore[misc]
    assert found == [[g, a, g, a, True, False] for g, a in wanted]


def test_backward_of_a_graph_made_in_another_thread() -> None:
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    (made,) = together(lambda: tt.sin(x * x).sum())
    together(made.backward)
    np.testing.assert_allclose(x.grad.tolist(), np.cos([1.0, 4.0]) * [2, 4], rtol=1e-6)
    (y,) = together(lambda: (x * 3).sum())
    with tt.no_grad():  # this thread's mode is not the graph's
        y.backward()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("size", [3, 3_000_000])  # a large addition releases the GIL
def test_additions_to_a_leaf_that_threads_share_are_all_there(size: int) -> None:
    shared = tt.zeros(size, requires_grad=True)

    def work() -> None:
        for k in range(12):
            (shared * float(k)).sum().backward()

    together(*[work] * 4)
    assert shared.grad.numpy().min() == shared.grad.numpy().max() == 4 * sum(range(12))


def test_weights_that_threads_share_get_all_gradients() -> None:
    """A layer's rule adds into the gradient itself; whole numbers, so that the order of the sums does not show."""
    layer = nn.Linear(64, 128)
    x = tt.ones(32, 64)

    def work() -> None:
        for _ in range(40):
            layer(x).sum().backward()

    together(*[work] * 4)
    assert layer.weight.grad.numpy().min() == layer.weight.grad.numpy().max() == 160 * 32
    assert layer.bias.grad.numpy().min() == layer.bias.grad.numpy().max() == 160 * 32


def test_hooks_may_walk_back_while_gradients_are_added() -> None:
    """A walk inside a walk, in one thread, does not wait for itself."""
    x, w = tt.ones(3, requires_grad=True), tt.ones(3, requires_grad=True)

    @tt.enable_grad()
    def walk(g: tt.Tensor) -> None:
        (w * g).sum().backward()

    x.register_hook(walk)

    def work() -> None:
        for _ in range(20):
            (x * 2).sum().backward()

    together(work, work)
    assert x.grad.tolist() == [80] * 3
    assert w.grad.tolist() == [80] * 3


def test_a_second_walk_of_one_graph_raises_in_one_of_two_threads() -> None:
    for _ in range(20):
        x = tt.ones(100, requires_grad=True)
        y = x
        for _ in range(30):
            y = tt.sin(y)
        end, failed = y.sum(), []

        def work(end: Any = end, failed: list[str] = failed) -> None:
            try:
                end.backward()
            except RuntimeError as e:
                failed.append(str(e))

        together(work, work)
        assert len(failed) <= 1
        assert all("a second time" in text for text in failed)


def test_numbers_of_nodes_are_told_once() -> None:
    x = tt.ones(1, requires_grad=True)
    found = together(*[lambda: [(x * 1).grad_fn.number for _ in range(2000)]] * 4)
    assert len({n for numbers in found for n in numbers}) == 8000
    assert all(numbers == sorted(numbers) for numbers in found)


def test_views_and_changes_in_threads() -> None:
    """Views of one tensor, made and dropped in several threads, and each thread's own changes."""
    x = tt.ones(8, 4, requires_grad=True)
    base = x * 1

    def work(i: int) -> Any:
        for _ in range(200):
            base[i].reshape(2, 2).T.sum()
        own = x * 1
        own[i] *= float(i + 2)
        return tt.autograd.grad(own.sum(), x)[0].sum().item()

    assert together(*[lambda i=i: work(i) for i in range(4)]) == [28 + 4 * (i + 2) for i in range(4)]  # type: ignore[misc]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_during_a_backward_can_walk_back() -> None:
    """The lock on gradients is not the parent's in a child."""
    shared, stop = tt.zeros(50_000, requires_grad=True), threading.Event()

    def work() -> None:
        while not stop.is_set():
            (shared * 2).sum().backward()

    t = threading.Thread(target=work)
    t.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                own = tt.ones(3, requires_grad=True)
                for _ in range(2):
                    (own * 2).sum().backward()
                os._exit(0 if own.grad.tolist() == [4, 4, 4] else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        t.join()
