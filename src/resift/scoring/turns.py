"""Whose turn it is at a scorer that many callers share, and who waits for whom."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator
from contextlib import contextmanager

from resift._util.fork import RenewedLock
from resift.errors import ScorerError
from resift.scorer import Scorer


class FairTurns:
    """The order in which calls would end if all that wait shared the scorer equally all the time.

    Served in this order, each as a whole, no call ends later than with equal shares, and most end far sooner: a small
    call still passes a large one, but equal calls don't slow each other down until all end late together. Nobody
    starves: whoever comes later ends later, unless it is smaller. (Friedman and Henderson, "Fairness and efficiency in
    web server protocols", 2003.)

    It keeps a clock of equal shares: while n calls wait, it goes on by 1/n for each character that is scored.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._ends: list[float] = []
        """When the calls would end, on that clock; sorted. Some of them may have ended in fact."""

    def enter(self, cost: float) -> float:
        """Return the time at which a call of this cost comes."""
        insort(self._ends, self._now + cost)
        return self._now

    def leave(self, end: float) -> None:
        """Forget a call that has ended with work left, and that would have ended then: it needs no share any more."""
        place = bisect_left(self._ends, end)
        if self._ends[place : place + 1] == [end]:
            del self._ends[place]

    def advance(self, cost: float) -> None:
        """Let the clock go on: so much was scored."""
        ended = 0
        for place, end in enumerate(self._ends):
            waiting = len(self._ends) - place
            if cost < (end - self._now) * waiting:
                self._now += cost / waiting
                break
            cost -= (end - self._now) * waiting
            self._now, ended = end, place + 1
        del self._ends[:ended]


_WAITING = RenewedLock()
_HERE = threading.local()


class Worker:
    """A thread that enters a scorer, and the workers that it waits for while it is inside: scorers may rank too."""

    def __init__(self, scorer: Scorer) -> None:
        self.name = scorer.name
        self._waits_for: list[Worker] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let this thread be the worker."""
        _HERE.worker = self
        try:
            yield
        finally:
            del _HERE.worker

    def begin_wait(self) -> Worker | None:
        """Note that the worker that runs in this thread, if one does, waits for this one from now on.

        Returns:
            The worker in this thread.

        Raises:
            ScorerError: This one waits for that one, so both would wait for ever.
        """
        waiting: Worker | None = getattr(_HERE, "worker", None)
        if waiting is None:
            return None
        with _WAITING:
            names = self._names_up_to(waiting)
            if len(names) == 1:
                raise ScorerError(f"{self.name} ranks with a reranker over itself: it would wait for itself")
            if names:
                others = ", which waits for ".join(names)
                raise ScorerError(f"{waiting.name} ranks with a reranker over {others}: they would wait for each other")
            waiting._waits_for.append(self)
        return waiting

    def end_wait(self, waiting: Worker | None) -> None:
        """Note that the wait which `begin_wait` began is over."""
        if waiting is not None:
            with _WAITING:
                waiting._waits_for.remove(self)

    def _names_up_to(self, other: Worker) -> list[str]:
        """Return the names from this worker to the other along who waits for whom; none if it doesn't wait for it."""
        if self is other:
            return [self.name]
        for next_one in self._waits_for:
            if names := next_one._names_up_to(other):
                return [self.name, *names]
        return []
