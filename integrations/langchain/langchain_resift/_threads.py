"""Work that must not run on the event loop, and must not fill the loop's default executor either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

R = TypeVar("R")


def in_thread(call: Callable[[], R]) -> Future[R]:
    """Starts `call` on a thread of its own, in the caller's context, so that tracing finds its parent."""
    future: Future[R] = Future()
    future.set_running_or_notify_cancel()  # from here a waiter's cancellation can't take the result from the others

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=copy_context().run, args=(work,), name="langchain-resift", daemon=True).start()
    return future


async def off_loop(call: Callable[[], R]) -> R:
    """The call's result, without blocking the event loop."""
    return await asyncio.wrap_future(in_thread(call))


class Lazy(Generic[R]):
    """A value built with the first `get` or `aget`: once, from however many threads and loops they come.

    What `build` raises is raised to all who wait for it, and the next call tries again. A pickled or deeply
    copied `Lazy` builds anew.
    """

    def __init__(self, build: Callable[[], R]) -> None:
        self.build = build
        self._lock = Lock()
        self._future: Future[R] | None = None

    def get(self) -> R:
        """The value. Blocks while it is built."""
        return self._started().result()

    async def aget(self) -> R:
        """The value, built without blocking the event loop."""
        return await asyncio.wrap_future(self._started())

    def _started(self) -> Future[R]:
        with self._lock:
            future = self._future
            if future is None or (future.done() and future.exception() is not None):
                future = self._future = in_thread(self.build)
            return future

    def __reduce__(self) -> tuple[type[Lazy[R]], tuple[Any]]:
        return (Lazy, (self.build,))
