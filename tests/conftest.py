"""For all tests: every thread does its own part of a kernel, however late it comes, so that tests of threads test threads; in
tests that train, as users have it, the caller does what no thread has begun: else each step waits for the other processes' tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytensor import _kernels, manual_seed

TRAINING = {
    "cli",
    "sklearn",
    "train",
    "viz",
    "test_docs.py",
    "test_mnist.py",
    "test_pytorch_scripts.py",
    "test_readme.py",
    "test_sklearn.py",
}


@pytest.fixture(autouse=True, scope="module")
def _each_thread_does_its_part(request: pytest.FixtureRequest) -> Iterator[None]:
    _kernels.set_helpful(not TRAINING.isdisjoint(request.path.relative_to(Path(__file__).parent).parts))
    yield
    _kernels.set_helpful(True)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The garbage collector off: what is freed is freed by counting references."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def _each_test_draws_the_same_numbers() -> None:
    manual_seed(0)
