"""For all tests: every thread does its own part of a kernel, however late it comes, so that tests of threads test threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tinytensor import _kernels


@pytest.fixture(autouse=True, scope="session")
def _each_thread_does_its_part() -> Iterator[None]:
    _kernels.set_helpful(False)
    yield
    _kernels.set_helpful(True)
