"""What is left where memory, disk or descriptors end: tests/resources.py in its short form, and what it found."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import optim

pytest.importorskip("safetensors")
PROGRAM = Path(__file__).with_name("resources.py")
pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs Linux")


def run(part: str) -> str:
    done = subprocess.run([sys.executable, str(PROGRAM), "--quick", part], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    if "skipped" in done.stdout:
        pytest.skip(done.stdout.strip())
    return done.stdout


@pytest.mark.parametrize("part", ["limit", "files", "leaks"])
def test_nothing_is_half_done(part: str) -> None:
    assert "no findings" in run(part)


SHORT = """
import ctypes, resource, sys
import tinytensor as tt
import safetensors
state = {f"w{i}": tt.rand(1000, 1000) for i in range(4)}
tt.save({"a": tt.ones(1)}, sys.argv[1])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 3000000, resource.getrlimit(resource.RLIMIT_AS)[1]))
tt.save(state, sys.argv[1])
"""


def test_saving_asks_for_no_memory_of_the_size_of_what_is_saved(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(tt.__file__).parent.parent)}
    command = [sys.executable, "-c", SHORT, str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert sum(t.numel() for t in tt.load(tmp_path / "x").values()) == 4_000_000


class NoRoom(dict):  # type: ignore[type-arg]
    """A state that cannot grow."""

    def __setitem__(self, key: object, value: object) -> None:
        raise MemoryError


def test_a_step_of_several_groups_is_made_whole_or_not_at_all() -> None:
    a, b = tt.ones(3, requires_grad=True), tt.ones(3, requires_grad=True)
    optimizer = optim.Adam([{"params": [a]}, {"params": [b]}], lr=0.1)
    (a.sum() + b.sum()).backward()
    whole = optimizer.state
    optimizer.state = NoRoom()  # type: ignore[assignment]
    with pytest.raises(MemoryError):
        optimizer.step()
    assert a.tolist() == b.tolist() == [1, 1, 1] and not optimizer.state
    optimizer.state = whole
    optimizer.step()
    assert [state["step"] for state in optimizer.state.values()] == [1, 1]


def test_the_second_groups_failure_takes_the_firsts_states_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneMore(dict):  # type: ignore[type-arg]
        def __setitem__(self, key: object, value: object) -> None:
            if self:
                raise MemoryError
            super().__setitem__(key, value)

    a, b = tt.ones(3, requires_grad=True), tt.ones(3, requires_grad=True)
    optimizer = optim.Adam([{"params": [a]}, {"params": [b]}], lr=0.1)
    (a.sum() + b.sum()).backward()
    optimizer.state = OneMore()  # type: ignore[assignment]
    with pytest.raises(MemoryError):
        optimizer.step()
    assert a.tolist() == b.tolist() == [1, 1, 1] and not optimizer.state


def test_the_second_groups_failure_puts_the_firsts_counts_back() -> None:
    class Full(dict):  # type: ignore[type-arg]
        def __setitem__(self, key: object, value: object) -> None:
            raise MemoryError

    a, b = tt.ones(3, requires_grad=True), tt.ones(3, requires_grad=True)
    optimizer = optim.NAdam([{"params": [a]}, {"params": [b]}], lr=0.1)
    a.sum().backward()
    optimizer.step()
    after, state = a.tolist(), optimizer.state[a]
    kept = {key: value if isinstance(value, (int, float)) else value.tolist() for key, value in state.items()}
    b.sum().backward()
    optimizer.state = Full({a: state})  # type: ignore[assignment]
    with pytest.raises(MemoryError):
        optimizer.step()
    assert a.tolist() == after and b.tolist() == [1, 1, 1] and list(optimizer.state) == [a]
    assert kept == {key: value if isinstance(value, (int, float)) else value.tolist() for key, value in state.items()}
    assert kept["mu_product"] < 1 and kept["step"] == 1


def test_a_list_that_cannot_grow_lets_go_of_no_item_twice() -> None:
    memory = pytest.importorskip("_testcapi")
    a, failed = np.ones(2, np.float32), 0
    held = [a] * 100
    tt.cat([a, a])
    for n in range(60):
        before = sys.getrefcount(a)
        memory.set_nomemory(n, n + 1)
        try:
            tt.cat([a, a])
        except MemoryError:
            failed += 1
        finally:
            memory.remove_mem_hooks()
        assert sys.getrefcount(a) >= before, f"allocation {n}: an item was let go of twice (Cython 3.3 does that)"
    assert failed > 10 and len(held) == 100


@pytest.mark.parametrize("make", [tt.no_grad, tt.detect_anomaly, lambda: tt.threads(3)])
def test_a_mode_is_put_back_where_there_is_no_memory(make: Callable[[], Any]) -> None:
    memory = pytest.importorskip("_testcapi")

    def modes() -> tuple[bool, bool, int]:
        return tt.is_grad_enabled(), tt.is_anomaly_enabled(), tt.get_num_threads()

    before, mode = modes(), make()
    mode.__enter__()
    leave = mode.__exit__
    gc.collect()  # empties the lists of tuples that wait for reuse
    memory.set_nomemory(0, 1)
    try:
        leave(None, None, None)
    except MemoryError:
        pass
    finally:
        memory.remove_mem_hooks()
    assert modes() == before
