"""The compiled walk: where a rule may add, order, several outputs, whose memory, lines, and how little a tensor takes."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels, tape
from tinytensor.op import Array, op
from tinytensor.tape import Node


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(list(values), dtype=tt.float32, requires_grad=True)


# -------------------------------------------------------------------------------------------------- where a rule may add
def into_op(into_seen: list[Any]) -> Any:
    """x * y whose rule adds into the gradients that it may add into."""

    @op
    def times(x: Array, y: Array) -> Any:
        return x * y

    @times.rule
    def _(g: Any, x: Any, y: Any, into: Any) -> Any:
        into_seen.append(tuple(i is not None for i in into))
        result = []
        for to, other in zip(into, (y, x)):
            if to is None:
                result.append(g * other)
            else:
                to += g * other
                result.append(to)
        return tuple(result)

    return times


def test_a_rule_adds_into_gradients_of_leaves_that_the_tape_allocated() -> None:
    seen: list[Any] = []
    times = into_op(seen)
    x, y = leaf(1, 2), leaf(3, 4)
    for i in range(1, 4):
        times(x, y * 1).sum().backward()
        assert x.grad.tolist() == [3 * i, 4 * i]
        assert y.grad.tolist() == [1 * i, 2 * i]
    assert seen == [(False, False), (True, False), (True, False)]  # y * 1 is no leaf
    before, memory = _kernels.version(x.grad._data), x.grad._data
    times(x, 2.0).sum().backward()
    assert x.grad._data is memory
    assert x.grad.tolist() == [11, 14]
    assert _kernels.version(memory) == before + 1
    assert not np.shares_memory(x.grad.numpy(), y.grad.numpy())


def test_a_rule_does_not_add_where_it_must_not() -> None:
    seen: list[Any] = []
    times = into_op(seen)

    def fresh() -> Any:
        x = leaf(1, 2)
        (x * 10).sum().backward()
        seen.clear()
        return x

    x = fresh()
    times(x, x).sum().backward()  # one leaf twice
    assert (seen, x.grad.tolist()) == ([(False, False)], [12, 14])
    x = fresh()
    x.register_hook(lambda g: g * 2)
    times(x, 1.0).sum().backward()
    assert (seen, x.grad.tolist()) == ([(False, False)], [12, 12])
    x, mine = fresh(), tt.tensor([5.0, 5.0])
    x.grad = mine
    times(x, 1.0).sum().backward()
    assert (seen, x.grad.tolist(), mine.tolist()) == ([(False, False)], [6, 6], [5, 5])
    x = fresh()
    (g,) = tt.autograd.grad(times(x, 3.0).sum(), x)
    assert (seen, g.tolist(), x.grad.tolist()) == ([(False, False)], [3, 3], [10, 10])
    x = fresh()
    times(x, tt.tensor([3.0, 3.0], dtype=tt.float64)).sum().backward()  # in double
    assert (seen, x.grad.tolist()) == ([(False, False)], [13, 13])
    x = fresh()
    times(x, x.grad).sum().backward()  # the rule reads x.grad
    assert (seen, x.grad.tolist()) == ([(False, False)], [20, 20])
    x = leaf(*[1.0] * 20)
    (x * 10).sum().backward()
    seen.clear()
    times(x, 3.0).backward(x.grad)  # the upstream gradient is x.grad; a small one is copied first
    assert (seen, x.grad.tolist()) == ([(False, False)], [40] * 20)
    x = fresh()
    tt.mul(x, 3.0).sum().backward(create_graph=True)
    times(x, 1.0).sum().backward()
    assert (seen, x.grad.tolist()) == ([(False, False)], [14, 14])
    x = fresh()
    times(x, 3.0).sum().backward(create_graph=True)
    assert (seen, x.grad.tolist()) == ([(False, False)], [13, 13])
    x = fresh()
    before = x.grad._data
    before.flags.writeable = False
    times(x, 1.0).sum().backward()
    assert (seen, x.grad.tolist(), before.tolist()) == ([(False, False)], [11, 11], [10, 10])


# ------------------------------------------------------------------------------------------------------- the compiled walk
def test_a_random_graph_is_walked_in_descending_order_and_each_node_once() -> None:
    numbers: list[int] = []
    rng = np.random.default_rng(0)
    x = leaf(1)
    made = [x]
    for _ in range(300):
        made.append(made[rng.integers(len(made))] + made[rng.integers(len(made))] * 0.5)
        made[-1].register_hook(lambda g, n=made[-1].grad_fn.number: numbers.append(n))
    ends = [made[i] for i in rng.choice(300, 40, replace=False) + 1]
    tape.backward(ends, [None] * len(ends))
    assert len(numbers) > 100
    assert numbers == sorted(set(numbers), reverse=True)
    again = np.random.default_rng(0)
    values = [1.0]
    for _ in range(300):
        a, b = values[again.integers(len(values))], values[again.integers(len(values))]
        values.append(a + b * 0.5)  # linear in x, so its slope is its value at 1
    want = sum(values[i] for i in again.choice(300, 40, replace=False) + 1)
    np.testing.assert_allclose(x.grad.numpy(), [want], rtol=1e-5)


def test_a_node_with_several_outputs() -> None:
    """Its rule gets a list of gradients, None for an output that nothing came from."""
    seen: list[Any] = []

    @op
    def parts(x: Array) -> Any:
        raise AssertionError

    @parts.rule
    def _(g: Any) -> Any:
        seen.append([None if v is None else v.tolist() for v in g])
        return np.concatenate([np.zeros(2, np.float32) if v is None else v for v in g])

    x = leaf(1, 2, 3, 4)
    outputs = (((2,), np.float32), ((2,), np.float32))
    assert Node(parts, (x,), None, (), outputs, None, 0).outputs == (((2,), tt.float32), ((2,), tt.float32))
    for used, want in (((0, 1), [2, 2, 3, 3]), ((1,), [0, 0, 3, 3]), ((1, 1, 0), [2, 2, 6, 6])):
        node = Node(parts, (x,), None, (), outputs, None, 0)
        a = [tt.Tensor._made(np.ones(2, np.float32), node, i) for i in (0, 1)]
        x.grad = None
        tape.backward([(a[i] * (i + 2)).sum() for i in used], [None] * len(used))
        assert x.grad.tolist() == want
    assert seen == [[[2, 2], [3, 3]], [None, [3, 3]], [[2, 2], [6, 6]]]


def test_threads_walk_one_graph_at_once() -> None:
    w = leaf(*np.linspace(-1, 1, 50))
    y = w * 1
    for _ in range(50):
        y = tt.tanh(y * 0.5 + w)
    end, found = y.sum(), []
    (want,) = tt.autograd.grad(end, w, retain_graph=True)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work() -> None:
        for _ in range(5):
            found.append(tt.autograd.grad(end, w, retain_graph=True)[0].tolist())

    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(before)
    assert found == [want.tolist()] * 20


def test_gradients_that_a_rule_keeps_are_not_taken() -> None:
    kept: list[Any] = []

    @op
    def twice(x: Array, y: Array) -> Any:
        return x + y

    @twice.rule
    def _(g: Any) -> Any:
        kept.append((tt.mul(g, 1), tt.mul(g, 2)))
        return kept[-1]

    x, y = leaf(1), leaf(2)
    twice(x, y).backward()
    twice(x, y).backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([2], [4])
    assert [[a.tolist() for a in k] for k in kept] == [[[1], [2]]] * 2


def test_more_dimensions_than_lie_in_a_node() -> None:
    x = tt.ones(1, 2, 1, 3, 1, 2, requires_grad=True)
    y = x * 2
    assert y.grad_fn.outputs == (((1, 2, 1, 3, 1, 2), tt.float32),)
    (y * tt.ones(2, 2, 1, 1, 5, 1)).sum().backward()
    assert x.grad.tolist() == (tt.ones(1, 2, 1, 3, 1, 2) * 20).tolist()


def test_cycles_through_hooks_are_collected() -> None:
    x = leaf(1)
    x.register_hook(lambda g, x=x: None)
    y = leaf(2) * 2
    y.register_hook(lambda g, y=y: None)
    watched = [weakref.ref(x), weakref.ref(y.grad_fn)]
    del x, y
    gc.collect()
    assert [r() for r in watched] == [None, None]


def test_lines_are_those_of_the_first_frame_outside_the_package() -> None:
    class Own(tt.nn.Module):
        def forward(self, x: Any) -> Any:
            return tt.exp(x)

    x, net = tt.ones(2, 3, requires_grad=True), tt.nn.Sequential(tt.nn.Linear(3, 2), tt.nn.Sequential(tt.nn.ReLU()))
    y = net(x)
    z = (
        tt.nn.Sequential(Own())(x)
    )  # fmt: skip
    start = test_lines_are_those_of_the_first_frame_outside_the_package.__code__.co_firstlineno
    assert y.grad_fn.line == y.grad_fn.parents[0].line == f"{__file__}:{start + 6}"
    assert z.grad_fn.line == f"{__file__}:{start + 3}"
    assert (lambda: x.mean())().grad_fn.line == f"{__file__}:{start + 13}"


MEMORY = """
import gc, sys
import numpy as np
import tinytensor as tt
make = {"numpy": lambda: np.array(1.0, np.float32), "tensor": lambda: tt.tensor(1.0),
        "numpy op": lambda x=np.ones(1, np.float32): x + x, "op": lambda x=tt.ones(1): x + x}[sys.argv[1]]
def used():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096
held = [None] * 100_000
gc.collect()
before = used()
for i in range(len(held)):
    held[i] = make()
print((used() - before) / len(held))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell a process's memory")
@pytest.mark.skipif(not _kernels.pool_limit(), reason="a sanitizer takes memory beside each block")
def test_small_tensors_take_little_memory() -> None:
    """At most 2.5 times what NumPy's arrays of one element take."""

    def measured(what: str) -> float:
        elsewhere = Path(tt.__file__).parents[1]
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, what], cwd=elsewhere, capture_output=True, text=True, check=True
        )
        return float(run.stdout)

    for array, tensor in (("numpy", "tensor"), ("numpy op", "op")):
        assert 50 < measured(tensor) <= 2.5 * measured(array)
