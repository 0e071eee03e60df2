"""A worker thread for heavy calls beside an event loop, with a bound on how many may wait.

It does not use the event loop's default executor: the whole process shares that one, and it grows with the machine, so
heavy calls there hold up all its other users, and several would enter a model at the same time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from resift._util.daemon import DaemonThread, exiting
from resift._util.fork import renew_in_children
from resift.errors import OverloadedError

R = TypeVar("R")


class Worker:
    """Runs calls one at a time, in order of arrival. The thread starts with the first call, in a forked child too.

    At interpreter exit the call that runs is waited for, for some seconds; calls that wait are not begun.

    Args:
        limit: Calls that may be waiting or running. One more is refused.
        name: What the calls wait for, as the error names it: "the first stage", "the embedder".
    """

    def __init__(self, limit: int, name: str) -> None:
        self.limit = limit
        self.name = name
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Start without calls and without a thread: in a forked child those of the parent are gone."""
        self._lock = threading.Lock()
        self._pending = 0
        self._calls: deque[Callable[[], None]] = deque()
        self._thread: DaemonThread | None = None

    async def run(self, call: Callable[[], R]) -> R:
        """Return the call's result.

        If the task is cancelled, a call that waits is dropped; one that runs is completed, and its result is lost.

        Raises:
            OverloadedError: `limit` calls are waiting or running already. It is raised at once.
        """
        import asyncio  # takes 60 ms to import; whoever awaits has imported it already

        return await asyncio.wrap_future(self._submit(call))

    def work(self) -> None:
        """Run the calls that wait, in the worker's thread."""
        while not exiting():
            with self._lock:
                if not self._calls:
                    return
                run = self._calls.popleft()
            run()

    def _submit(self, call: Callable[[], R]) -> Future[R]:
        future: Future[R] = Future()
        with self._lock:
            if self._pending >= self.limit:
                raise OverloadedError(
                    f"{self._pending} calls are waiting for {self.name} already, the most it takes: try again later"
                )
            if self._thread is None:
                self._thread = DaemonThread(self, name="resift")
            self._pending += 1
            # In the caller's context, so that tracing inside a scorer finds its parent span.
            self._calls.append(partial(_run, future, partial(copy_context().run, call)))
            self._thread.wake()
        future.add_done_callback(self._count_done)
        return future

    def _count_done(self, _: Future[Any]) -> None:
        with self._lock:
            self._pending -= 1

    def __reduce__(self) -> tuple[type[Worker], tuple[int, str]]:
        return (Worker, (self.limit, self.name))


def _run(future: Future[R], call: Callable[[], R]) -> None:
    """Run the call, unless nobody waits for its result any more."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # whoever waits gets it: the thread goes on
        future.set_exception(error)
    else:
        future.set_result(result)
