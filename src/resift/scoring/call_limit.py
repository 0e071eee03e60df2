"""How many calls a reranker lets in at a time, and that it lets none in after it was closed."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from resift._util.fork import renew_in_children
from resift.errors import InputError, OverloadedError


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

    def close(self) -> list[Future[Any]]:
        """Let no call in from now on. Return those that are inside."""
        with self._lock:
            self._closed = True
            return list(self._inside)

    def _leave(self, call: Future[Any]) -> None:
        with self._lock:
            self._inside.discard(call)

    def __reduce__(self) -> tuple[Any, ...]:
        return (CallLimit, (self.limit,))
