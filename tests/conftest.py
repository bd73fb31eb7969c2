"""For all tests: every thread does its own part of a kernel, however late it comes, so that tests of threads test threads."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tinytensor import _kernels, manual_seed


@pytest.fixture(autouse=True, scope="session")
def _each_thread_does_its_part() -> Iterator[None]:
    _kernels.set_helpful(False)
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
