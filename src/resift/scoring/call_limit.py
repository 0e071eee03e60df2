"""How many calls a reranker lets in at a time, and that it lets none in after it was closed."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from resift._util.fork import renew_in_children
from resift.errors import InputError, OverloadedError

POLL_SECONDS = 0.01  # between two looks at calls that are inside


class CallLimit:
    """At most `limit` calls waiting or running, from threads and event loops alike."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._closed = False
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Start without a call: in a forked child those of the parent are gone."""
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._inside: set[Future[Any]] = set()

    def enter(self, call: Future[Any]) -> None:
        """Count the call until it is done. Raises OverloadedError when it is one too many, InputError after closing."""
        with self._lock:
            if self._closed:
                raise InputError("this reranker was closed; make a new one")
            if len(self._inside) >= self.limit:
                raise OverloadedError(
                    f"{len(self._inside)} calls are waiting for the reranker already, and max_pending={self.limit}: "
                    "try again later, or raise max_pending"
                )
            self._inside.add(call)
        call.add_done_callback(self._leave)

    def close(self) -> None:
        """Let no call in from now on, and wait until those that are inside have left."""
        with self._left:
            self._closed = True
            self._left.wait_for(lambda: not self._inside)

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        import asyncio  # not at the top: importing it takes 60 ms, and who awaits has done so

        with self._lock:
            self._closed = True
        while self._inside:  # noqa: ASYNC110 - threads leave too, and they know no asyncio.Event
            await asyncio.sleep(POLL_SECONDS)

    def _leave(self, call: Future[Any]) -> None:
        with self._left:
            self._inside.discard(call)
            self._left.notify_all()

    def __reduce__(self) -> tuple[Any, ...]:
        return (CallLimit, (self.limit,))
