"""Heavy calls beside an event loop, for resift itself and for adapters: a bounded worker, and loading on first use.

Neither uses the event loop's default executor: that one is shared by the whole process and grows with the
machine, so heavy calls there starve every other user of it, and enter a model many at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

from resift.errors import OverloadedError

R = TypeVar("R")


class Renewable(Protocol):
    """What holds locks, threads or connections, none of which live on in a forked child."""

    def renew(self) -> None:
        """Called in the child, right after the fork: forget what was the parent's, and start empty."""


_RENEWED: WeakSet[Renewable] = WeakSet()


def renewed_in_children(one: Renewable) -> None:
    """Has `one.renew()` called in every child that this process forks, for as long as it lives."""
    _RENEWED.add(one)


def _renew() -> None:
    for one in list(_RENEWED):
        one.renew()


if hasattr(os, "register_at_fork"):  # Windows knows no fork
    os.register_at_fork(after_in_child=_renew)


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
                    f"{self._pending} calls are waiting for the reranker already, and max_pending={self.limit}: "
                    "try again later, or raise max_pending"
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
