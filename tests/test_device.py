"""The one device: programs that ask for one by name go on, those that ask for another hear so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt


def test_the_usual_choice_is_the_cpu() -> None:
    chosen = tt.device("cuda" if tt.cuda.is_available() else "mps" if tt.backends.mps.is_available() else "cpu")
    assert chosen.type == "cpu" and str(chosen) == "cpu" and chosen == tt.device(chosen) == tt.device("cpu", 0)
    assert repr(chosen) == "device(type='cpu')" and hash(chosen) == hash(tt.device("cpu")) and chosen != "cpu"
    assert not tt.accelerator.is_available() and tt.cuda.device_count() == 0


def test_what_programs_say_to_get_the_same_numbers_twice() -> None:
    state = tt.manual_seed(0).get_state()
    tt.cuda.manual_seed(3)
    tt.cuda.manual_seed_all(3)
    tt.use_deterministic_algorithms(True)
    tt.backends.cudnn.deterministic, tt.backends.cudnn.benchmark = True, False
    assert tt.random.default_generator.get_state() == state and not tt.backends.cudnn.is_available()


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "cpu:1", 3])
def test_no_other(name: Any) -> None:
    with pytest.raises(RuntimeError, match=f"device: tinytensor computes on the CPU, got {name!r}; use 'cpu'"):
        tt.device(name)


MAKERS: list[Callable[..., Any]] = [
    lambda **k: tt.tensor([1.0], **k), lambda **k: tt.as_tensor([1.0], **k), lambda **k: tt.empty(2, **k), lambda **k: tt.zeros(2, **k),
    lambda **k: tt.ones(2, **k), lambda **k: tt.full((2,), 3.0, **k), lambda **k: tt.arange(3, **k), lambda **k: tt.linspace(0, 1, 3, **k),
    lambda **k: tt.logspace(0, 1, 3, **k), lambda **k: tt.eye(2, **k), lambda **k: tt.zeros_like(tt.ones(2), **k),
    lambda **k: tt.ones_like(tt.ones(2), **k), lambda **k: tt.empty_like(tt.ones(2), **k), lambda **k: tt.full_like(tt.ones(2), 1, **k),
    lambda **k: tt.rand(2, **k), lambda **k: tt.randn(2, **k), lambda **k: tt.randint(3, (2,), **k), lambda **k: tt.randperm(3, **k),
    lambda **k: tt.rand_like(tt.ones(2), **k), lambda **k: tt.randn_like(tt.ones(2), **k), lambda **k: tt.ones(2).to(**k),
    lambda **k: tt.ones(2).new_zeros(2, **k),
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS, ids=range(len(MAKERS)))
def test_new_tensors_may_be_told_where(make: Callable[..., Any]) -> None:
    assert make(device="cpu").device == make(device=tt.device("cpu")).device == tt.device("cpu")
    with pytest.raises(RuntimeError, match="got 'cuda'"):
        make(device="cuda")


def test_tensors_go_where_they_are() -> None:
    x = tt.ones(2)
    assert x.cpu() is x and x.to("cpu") is x and x.to(x.device, non_blocking=True) is x and not x.is_cuda
    assert (
        x.to("cpu", tt.float64).dtype
        == x.to(tt.float64).dtype
        == x.to(device="cpu", dtype=tt.float64).dtype
        == tt.float64
    )
    assert x.to(tt.ones(1, dtype=tt.int64)).dtype == tt.int64
    assert x.to(tt.float32, True) is x and x.to(copy=False) is x
    for z in (x.to(tt.float32, False, True), x.to("cpu", tt.float32, False, True), x.to(copy=True)):
        assert z is not x and not np.shares_memory(z.numpy(), x.numpy())
    y = x.to("cpu", copy=True)
    assert y is not x and y.data.add_(1) is not None and x.tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="got 'mps'"):
        x.to("mps")
    with pytest.raises(TypeError, match="expected a dtype, a device or a tensor"):
        x.to()
    with pytest.raises(TypeError, match="to: got unexpected keywords memory"):
        x.to("cpu", memory=1)


def test_new_tensors_of_a_tensors_kind() -> None:
    x = tt.ones(2, 3, dtype=tt.float64)
    assert x.new_tensor([1, 2]).dtype == tt.float64 and x.new_tensor([1, 2]).tolist() == [1, 2]
    assert x.new_zeros(2, 1).tolist() == [[0], [0]] and x.new_ones((2,)).tolist() == [1, 1]
    assert x.new_full((2,), 7).tolist() == [7, 7] and x.new_full((2,), 7).dtype == tt.float64
    assert x.new_empty(4, dtype=tt.int64).dtype == tt.int64 and x.new_zeros(1, requires_grad=True).requires_grad
