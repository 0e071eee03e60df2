"""A value that is made on first use, once, however many threads and event loops ask for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Lazy(Generic[R]):
    """What `make` gives, made once however many threads and event loops ask for it, and never on a loop.

    A failure is raised to everyone who waits, and forgotten: the next call tries again. Deep copies share the
    value; pickling leaves it behind, so `make` must be picklable.

    >>> numbers = Lazy(lambda: [1, 2, 3])
    >>> numbers.get() is numbers.get()
    True
    """

    def __init__(self, make: Callable[[], R]) -> None:
        self.make = make
        self._lock = threading.Lock()
        self._future: Future[R] | None = None

    def get(self) -> R:
        """The value, made in this thread if it is the first to ask."""
        future, mine = self._claim()
        if mine:
            self._fulfil(future)
        return future.result()

    async def aget(self) -> R:
        """The value, made in a thread of its own if this is the first to ask."""
        import asyncio  # only now, as above

        future, mine = self._claim()
        if mine:
            call = copy_context().run
            threading.Thread(target=call, args=(self._fulfil, future), name="resift-load", daemon=True).start()
        return future.result() if future.done() else await asyncio.wrap_future(future)

    def _claim(self) -> tuple[Future[R], bool]:
        """The one future, and whether this caller is to fulfil it."""
        with self._lock:
            mine = self._future is None
            if self._future is None:
                self._future = Future()
                # Running futures can't be cancelled: one task that gives up takes nothing from the others.
                self._future.set_running_or_notify_cancel()
            return self._future, mine

    def _fulfil(self, future: Future[R]) -> None:
        try:
            value = self.make()
        except BaseException as error:  # whoever waits has to hear of it, whatever it is
            with self._lock:
                self._future = None
            future.set_exception(error)
        else:
            future.set_result(value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Lazy[R]:
        return self

    def __reduce__(self) -> tuple[type[Lazy[R]], tuple[Callable[[], R]]]:
        return (Lazy, (self.make,))
