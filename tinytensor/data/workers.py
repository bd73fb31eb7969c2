"""Threads that fetch ahead, and that Ctrl-C in the main thread can neither break nor hold up."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from tinytensor.interrupt import uninterrupted

__all__ = ["Workers"]


class Workers:
    """`count` threads, which call `work` with what is given to `ask`, in this order, after `begin` with their number. Between them
    and the caller lie only queues written in C: Ctrl-C can leave the locks of concurrent.futures locked, or unlocked twice.
    """

    def __init__(self, count: int, begin: Callable[[int], None] | None, work: Callable[..., Any]) -> None:
        self._tasks: SimpleQueue[Any] = SimpleQueue()
        failed: list[BaseException] = []
        left = weakref.ref(self, self._tasks.put)  # ends the threads as None does; __del__ could swallow Ctrl-C
        self._threads = [
            threading.Thread(target=_run, args=(self._tasks, left, n, begin, work, failed), name=f"tinytensor-loader_{n}", daemon=True)
            for n in range(count)
        ]  # fmt: skip
        with uninterrupted():
            for t in self._threads:
                t.start()

    def ask(self, *task: Any) -> Callable[[], Any]:
        """A function that waits for what `work` returns, or raises what it raised."""
        answer: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._tasks.put((task, answer))

        def wait() -> Any:
            result, error = answer.get()
            if error is None:
                return result
            try:
                raise error
            finally:
                del error  # its traceback holds this frame

        return wait

    def close(self) -> None:
        """The threads end after what they are at; what they have not begun is left out."""
        try:
            while True:
                self._tasks.get_nowait()
        except Empty:
            self._tasks.put(None)
        while self._threads and not sys.is_finalizing():  # then they are stopped for good
            self._threads[-1].join()
            with uninterrupted():  # Python's own set of threads swallows it
                self._threads.pop()


def _run(
    tasks: SimpleQueue[Any],
    left: object,
    number: int,
    begin: Callable[[int], None] | None,
    work: Callable[..., Any],
    failed: list[BaseException],
) -> None:
    try:
        if begin is not None:
            begin(number)
    except BaseException as error:
        failed.append(error)
    while isinstance(asked := tasks.get(), tuple):
        task, answer = asked
        try:
            if failed:
                raise failed[0]
            answer.put((work(*task), None))
        except BaseException as error:
            answer.put((None, error))
        del asked, task, answer  # the last batch is not kept while this waits
    tasks.put(None)  # for the next thread
