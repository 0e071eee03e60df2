"""A value that is made on first use, once, however many threads and event loops ask for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from resift._util.fork import renew_in_children

R = TypeVar("R")


class Lazy(Generic[R]):
    """The value that `make` returns, made once however many threads and event loops ask for it, never on a loop.

    If `make` fails, everyone who waits gets the error, and the next call tries again. Deep copies share the value. A
    pickle contains `make`, which must be picklable, and not the value.

    Args:
        make: Makes the value. It is called in a thread: the caller's for `get`, a new one for `aget`.

    >>> numbers = Lazy(lambda: [1, 2, 3])
    >>> numbers.get() is numbers.get()
    True
    """

    def __init__(self, make: Callable[[], R]) -> None:
        self.make = make
        self._future: Future[R] | None = None
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Forget a value that was being made: in a forked child the thread that made it is gone."""
        self._lock = threading.Lock()
        if self._future is not None and not self._future.done():
            self._future = None

    def get(self) -> R:
        """Return the value. It is made in this thread if nobody has asked before."""
        future, is_first = self._claim()
        if is_first:
            self._fulfil(future)
        return future.result()

    async def aget(self) -> R:
        """Return the value. It is made in a new thread if nobody has asked before."""
        import asyncio  # takes 60 ms to import; whoever awaits has imported it already

        future, is_first = self._claim()
        if is_first:
            call = copy_context().run
            threading.Thread(target=call, args=(self._fulfil, future), name="resift-load", daemon=True).start()
        return future.result() if future.done() else await asyncio.wrap_future(future)

    def _claim(self) -> tuple[Future[R], bool]:
        """Return the future of the value, and whether this caller has to fulfil it."""
        with self._lock:
            is_first = self._future is None
            if self._future is None:
                self._future = Future()
                # A running future can't be cancelled: a task that gives up takes the value from nobody else.
                self._future.set_running_or_notify_cancel()
            return self._future, is_first

    def _fulfil(self, future: Future[R]) -> None:
        try:
            value = self.make()
        except BaseException as error:  # whatever it is: those who wait must get it, or they wait for ever
            with self._lock:
                self._future = None
            future.set_exception(error)
        else:
            future.set_result(value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Lazy[R]:
        return self

    def __reduce__(self) -> tuple[type[Lazy[R]], tuple[Callable[[], R]]]:
        return (Lazy, (self.make,))
