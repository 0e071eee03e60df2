"""A bounded worker thread for heavy calls beside an event loop.

It does not use the event loop's default executor: that one is shared by the whole process and grows with the
machine, so heavy calls there starve every other user of it, and enter a model many at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from resift.errors import OverloadedError

R = TypeVar("R")


class Worker:
    """Runs calls one at a time, in order of arrival; at most `limit` may be waiting or running.

    The thread starts with the first call. A forked child starts its own.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._pending = 0
        self._owner = -1
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[[], R]) -> R:
        """The call's result. Cancelling takes a waiting call out of the queue; a running one finishes unheard.

        Raises OverloadedError, at once, when `limit` calls are already there.
        """
        import asyncio  # only now: it takes 60 ms to import, and who awaits has it

        return await asyncio.wrap_future(self._submit(call))

    def _submit(self, call: Callable[[], R]) -> Future[R]:
        with self._lock:
            if self._owner != os.getpid():
                self._executor, self._owner, self._pending = None, os.getpid(), 0
            if self._pending >= self.limit:
                raise OverloadedError(
                    f"{self._pending} calls are waiting already, and at most {self.limit} may wait: try again later"
                )
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="resift")
            self._pending += 1
            # The caller's context travels along, so that tracing in a scorer finds its parent.
            future: Future[R] = self._executor.submit(copy_context().run, call)
        future.add_done_callback(self._release)
        return future

    def _release(self, _: Future[Any]) -> None:
        with self._lock:
            self._pending -= 1

    def __reduce__(self) -> tuple[type[Worker], tuple[int]]:
        return (Worker, (self.limit,))
