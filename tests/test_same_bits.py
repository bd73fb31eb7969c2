"""The same program gives the same bits on any number of threads and on every set with fused multiply-add. The long form is
tests/model_bits.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import model_bits
import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels, nn

# Weights after 200 steps, by whether multiply-add is fused. A change here is a change of everybody's results: say why.
HASHES = {
    True: {
        "784-128-10 relu sgd float32": "909414b96006d2a196b2733077f869f95189d45afd3b18b5aef1b74aaef403ba",
        "300-200-100-10 gelu adamw float32": "a572195598be238595b0c5de80226a945b4e341f6e94e798dcfd673f5d98c090",
        "100-64-10 tanh nesterov float64": "358911e7722ce9f98e9391e177c48274b27f7c08b25c30029615b9d2eeae34f1",
        "A 784-128-10 relu sgd float32": "45c0cf1b7bad293be4e3a1584999513dbd1a2b2c70115892e0bbf6cb5dbff925",
        "C 784-512-256-10 relu adam float32": "ca5a4f339b55be993beefb653198bd12c12fdb34bf1d02254ad27c8675d9043b",
        "784-128-10 silu adam float64": "77157fe7b726e712b08dd5261f4bf3c8da90f8fb574ace97c48af5604720b4cb",
    },
    False: {
        "784-128-10 relu sgd float32": "a2c6c420140f6227aa5c3c4077ae93050be1b353f335ac83b9ecd390c5954c33",
        "300-200-100-10 gelu adamw float32": "4fee847e1906880348b21041586ce8f495069a5d4bf23970d6468b73d201b871",
        "100-64-10 tanh nesterov float64": "b8337500d9301c56c0a072509852a599f3374d599728b5461f796ee8fb3aa82f",
        "A 784-128-10 relu sgd float32": "6dbec9fe104ce4056d152ef83f76eafc922f385959fe594b814bc6713e24b12a",
        "C 784-512-256-10 relu adam float32": "6b04df24eb97821ff6afd22fa35c8a3cd0ac3270f674fd3808c01884bc4f51c0",
        "784-128-10 silu adam float64": "d6bd743c71da6f41a423ffd156b3a0cb349884b9a2d39a8d44e096624568cfa4",
    },
}


def run(threads: int, isa: str, *whoever: str) -> dict[str, tuple[str, int]]:
    env = {**os.environ, "TINYTENSOR_ISA": isa}
    script = Path(__file__).with_name("same_bits.py")
    out = subprocess.run(
        [sys.executable, str(script), str(threads), *whoever], env=env, capture_output=True, text=True, check=True
    )
    rows = [line.split(" ", 2) for line in out.stdout.splitlines()]
    return {name: (digest, int(seen)) for digest, seen, name in rows}


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 16])
def test_weights_after_200_steps_on_any_number_of_threads(threads: int) -> None:
    got = run(threads, _kernels.isa())
    assert {name: seen for name, (_, seen) in got.items()} == dict.fromkeys(got, threads)
    assert {name: digest for name, (digest, _) in got.items()} == HASHES[_kernels.fused()]


def test_weights_after_200_steps_whoever_does_a_part() -> None:
    got = run(3, _kernels.isa(), "whoever")
    assert {name: digest for name, (digest, _) in got.items()} == HASHES[_kernels.fused()]


@pytest.mark.parametrize("isa", [i for i in _kernels.isas() if i != _kernels.isa()])
def test_weights_after_200_steps_on_other_instruction_sets(isa: str) -> None:
    got = run(2, isa)
    assert {name: digest for name, (digest, _) in got.items()} == HASHES[isa != "generic"]


@pytest.mark.parametrize("dtype", [tt.float32, tt.float64])
def test_rows_of_a_forward_pass_do_not_depend_on_the_batch(dtype: np.dtype) -> None:
    tt.manual_seed(1)
    model = nn.Sequential(nn.Linear(784, 200), nn.GELU(), nn.Linear(200, 70), nn.Tanh(), nn.Linear(70, 10)).to(dtype)
    x = tt.randn(1024, 784, dtype=dtype)
    whole = model(x).detach().numpy()
    for batch in (1, 2, 7, 64, 1023, 1024):
        part = model(x[:batch]).detach().numpy()
        assert part.tobytes() == whole[:batch].tobytes(), batch


@pytest.mark.parametrize("dtype", [tt.float32, tt.float64])
def test_rows_do_not_depend_on_the_batch_for_any_width(dtype: np.dtype) -> None:
    for widths, activation in zip(model_bits.WIDTHS, model_bits.ACTIVATIONS, strict=True):
        assert model_bits.rows_that_differ(widths, activation, dtype, (1, 3, 17, 500)) == []


STEPS = 4


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    """Of networks of every kind of layer, by every optimizer, on one thread."""
    with tt.threads(1):
        return model_bits.every_network(STEPS)


@pytest.fixture
def divided() -> Iterator[None]:
    """Every kernel is divided, and the number of threads is given back."""
    before = tt.get_num_threads()
    _kernels.set_thread_work(1)
    yield
    _kernels.set_thread_work()
    tt.set_num_threads(before)


def test_networks_trained_with_another_number_of_threads_at_each_step(alone: dict[str, str], divided: None) -> None:
    assert len(set(alone.values())) == len(alone) == 2 * len(model_bits.NETWORKS)
    _kernels.seen_threads(reset=True)
    assert model_bits.every_network(STEPS, lambda i: tt.set_num_threads((2, 1, 3)[i % 3])) == alone
    assert _kernels.seen_threads() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_networks_trained_after_fork(alone: dict[str, str], divided: None) -> None:
    tt.set_num_threads(2)
    tt.tanh(tt.ones(1000))  # the team exists
    assert model_bits.in_a_child(lambda: model_bits.every_network(STEPS)) == alone
    assert model_bits.in_a_child(lambda: model_bits.every_network(1, lambda i: tt.set_num_threads(2))) == (
        model_bits.every_network(1)
    )


def test_the_long_form_names_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    report = model_bits.Report()
    for found in ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, {"a": "1", "b": "3"}, {"a": "1"}, {}):
        report.note("networks", "kind", "1 thread", found)
    assert report.bad == 3
    said = [line.split(" | ")[-1] for line in capsys.readouterr().out.splitlines()]
    assert said == ["all equal |", "all equal |", "FOUND: b |", "FOUND: b |", "FOUND: a; b |"]
