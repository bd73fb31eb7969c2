"""Ctrl-C that waits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interrupt", "uninterrupted"]


class Interrupt:
    """Ctrl-C waits from `begin` to `end`, until it is asked for: `pending`. A second one does not, unless `leaving`, where all is
    put back; nor one outside the main thread's own handler.

    Python 3.10 looks for signals where a `finally` begins, so what must be put back stands in a second one around that which sets
    `leaving`.
    """

    def __init__(self) -> None:
        self.pending = self.leaving = False
        self._before: Any = None

    def begin(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.default_int_handler
            signal.signal(signal.SIGINT, self._handle)

    def end(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.pending and not self.leaving:
            self.leaving = True
            raise KeyboardInterrupt
        self.pending = True


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C comes when all of it is done."""
    interrupt = Interrupt()
    interrupt.leaving = True  # a second one waits, too
    try:
        interrupt.begin()
        yield
    finally:
        interrupt.end()
    if interrupt.pending:
        raise KeyboardInterrupt
