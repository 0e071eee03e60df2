"""Threads that help their caller with one piece of work, also while the interpreter is ending.

`concurrent.futures` takes no more work once the main thread has ended, although other threads may go on for long.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

WAITING = 4  # tasks for each thread; then the caller does one, so that their inputs don't pile up

T = TypeVar("T")


class Task(Generic[T]):
    """A call that is made once, by whoever begins it first."""

    def __init__(self, function: Callable[[], T]) -> None:
        self.future: Future[T] = Future()
        self._calls = [function]  # let go of when it is begun: its inputs are large

    def begin(self) -> None:
        """Make the call, unless somebody has begun it."""
        try:
            function = self._calls.pop()
        except IndexError:
            return
        try:
            self.future.set_result(function())
        except BaseException as error:
            self.future.set_exception(error)
            if not isinstance(error, Exception):  # an interrupt ends the caller too
                raise


class HelperThreads:
    """At most `threads` daemon threads, started when they are needed, which end when nothing holds this any more.

    Nothing depends on them: whoever asks for a result makes the calls that no thread has begun.
    """

    def __init__(self, threads: int) -> None:
        self._most = threads
        self._started = 0
        self._tasks: SimpleQueue[Task[object] | None] = SimpleQueue()
        weakref.finalize(self, _end, self._tasks).atexit = False

    def submit(self, function: Callable[[], T]) -> Callable[[], T]:
        """Have the call made, and return the function that waits for what came of it, and raises what it raised."""
        task = Task(function)
        self._tasks.put(task)  # type: ignore[arg-type]  # nobody reads a result by way of the queue
        if self._started < self._most:
            thread = threading.Thread(target=_work, args=(self._tasks,), name="resift-helper", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # none can be started any more: the caller does it all
                self._most = self._started
            else:
                self._started += 1
        while self._tasks.qsize() > WAITING * self._most:
            self._help()

        def result() -> T:
            while not task.future.done() and self._help():
                pass
            return task.future.result()

        return result

    def _help(self) -> bool:
        """Make the call that waits longest. Return whether there was one."""
        try:
            task = self._tasks.get_nowait()
        except Empty:
            return False
        if task is not None:
            task.begin()
        return True


def _work(tasks: SimpleQueue[Task[object] | None]) -> None:
    while (task := tasks.get()) is not None:
        task.begin()
        del task  # what it computed is its caller's
    tasks.put(None)  # for the next


def _end(tasks: SimpleQueue[Task[object] | None]) -> None:
    """Drop the calls that nobody waits for any more, and end the threads."""
    try:
        while True:
            tasks.get_nowait()
    except Empty:
        tasks.put(None)
