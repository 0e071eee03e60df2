"""What waits to be scored: requests, the chunks they are scored in, and the calls they belong to."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import NamedTuple

from resift.scorer import Request, Scores, Span, Usage
from resift.scoring.turns import Worker

CHARACTERS_READ = 4_000  # of a text: most models read no more of it
CHARACTERS_AROUND = 16  # what the special tokens of a pair are worth


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Enough is scored when the last `texts` texts of the first stage brought none into the best `top_k`."""

    texts: int
    top_k: int

    def is_enough(self, values: Sequence[float]) -> bool:
        """Return whether to stop after these scores, given in first-stage order.

        >>> EarlyStopping(texts=2, top_k=1).is_enough([1.0, 3.0, 2.0])
        False
        >>> EarlyStopping(texts=2, top_k=1).is_enough([3.0, 1.0, 3.0])
        True
        """
        best: list[float] = []
        since = 0
        for value in values:
            since += 1
            if len(best) < self.top_k:
                heapq.heappush(best, value)
                since = 0
            elif value > best[0]:
                heapq.heapreplace(best, value)
                since = 0
        return since >= self.texts


class ChunkLimits(NamedTuple):
    """How large a chunk may be, and how many characters of a text count."""

    characters: float = math.inf
    texts: float = math.inf
    characters_read: float = CHARACTERS_READ


class PendingRequest:
    """One request on its way: what is scored already, and what comes next.

    Args:
        request: The query and its texts.
        order: Indices of the texts in the order in which they are to be scored.
        limits: How large a chunk may be.
        stopping: When to end early; None scores everything.
    """

    def __init__(
        self, request: Request, order: Sequence[int], limits: ChunkLimits, stopping: EarlyStopping | None = None
    ) -> None:
        self.request = request
        self.stopping = stopping
        self.error: BaseException | None = None
        self.stopped_early = False
        self.call: ScoringCall | None = None
        self._order = order
        self._limits = limits
        self._parts: list[tuple[Sequence[int], Scores]] = []
        self._next = 0
        self._costs = [
            min(len(text), limits.characters_read) + len(request.query) + CHARACTERS_AROUND
            for text in request.documents
        ]
        self.waiting_cost = sum(self._costs)
        """Characters that have not been handed out yet."""
        self.turn = 0.0
        """Whose is less is served before; the queue's `FairTurns` says what it counts."""

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do, or nobody left to do it for."""
        call = self.call  # its caller may let go of it at any time
        done = self.error is not None or self.stopped_early or self._next == len(self._order)
        return done or (call is not None and call.future.cancelled())

    def next_chunk(self, room: float = math.inf) -> Chunk:
        """Return the texts to score next: at least one, as many as fit into `room` characters."""
        room = min(room, self._limits.characters)
        stop = self._next
        cost = 0.0
        while stop < len(self._order) and stop - self._next < self._limits.texts:
            cost_of_text = self._costs[self._order[stop]]
            if cost + cost_of_text > room and stop > self._next:
                break
            cost += cost_of_text
            stop += 1
        return Chunk(self, self._order[self._next : stop], cost)

    def ends_within(self, room: float) -> bool:
        """Return whether all that waits of its call may be scored at once, and fits into `room` characters."""
        requests = [self] if self.call is None else self.call.pending
        waiting = sum(request.waiting_cost for request in requests)
        texts = max(len(request._order) - request._next for request in requests)
        return waiting <= min(room, self._limits.characters) and texts <= self._limits.texts

    def hand_out(self, cost: float) -> None:
        """Note that texts of this cost are about to be scored."""
        self.waiting_cost -= cost
        if self.call is not None and self.waiting_cost and self._limits.characters < math.inf:
            self.call.set_turn(self)

    @property
    def cost_of_turn(self) -> float:
        """Characters that must be scored before they are worth something to the caller: all that wait, or a part."""
        return min(self.waiting_cost, self._limits.characters)

    def add(self, indices: Sequence[int], scores: Scores) -> None:
        """Take in the scores of a chunk."""
        self._parts.append((indices, scores))
        self._next += len(indices)
        if self.stopping is not None and self._next < len(self._order):
            self.stopped_early = self.stopping.is_enough([value for _, part in self._parts for value in part.values])

    def answer(self) -> tuple[Scores, frozenset[int]]:
        """Return scores for all texts, and the indices of those without one, whose score is NaN."""
        parts = list(self._parts)  # a deadline may pass while the worker adds to them
        if len(parts) == 1 and parts[0][0] == range(len(self._order)):
            return parts[0][1], frozenset()
        values = [math.nan] * len(self._order)
        whole = Scores((), Usage())
        spans: dict[int, Span] = {}
        order: list[int] = []
        for indices, scores in parts:
            for position, index in enumerate(indices):
                values[index] = scores.values[position]
            spans |= {indices[position]: span for position, span in scores.spans.items()}
            order += [indices[position] for position in scores.order]
            usage, degraded = whole.usage + scores.usage, whole.degraded or scores.degraded
            whole = replace(scores, usage=usage, degraded=degraded)
        unscored = frozenset(range(len(values))).difference(*(indices for indices, _ in parts))
        return replace(whole, values=tuple(values), spans=spans, order=tuple(order)), unscored


class Chunk(NamedTuple):
    """Some texts of a request, scored in one round. `cost` is in characters."""

    pending: PendingRequest
    indices: Sequence[int]
    cost: float

    @property
    def request(self) -> Request:
        """What the scorer is asked."""
        query, documents = self.pending.request
        return Request(query, [documents[index] for index in self.indices])


def _nothing() -> None:
    """Do nothing."""


class ScoringCall:
    """Requests that one caller waits for together. The caller reads what came of them in its own thread."""

    def __init__(self, pending: Sequence[PendingRequest]) -> None:
        self.pending = pending
        self.future: Future[None] = Future()
        # The caller's context travels along, so that tracing in a scorer finds its parent.
        self.context = copy_context()
        self.on_give_up: Callable[[], None] = _nothing
        """Called when the caller has stopped waiting before the work was done."""
        self._worker: Worker | None = None
        self._waiting_worker: Worker | None = None
        self.ends = math.nan
        """When it would end if all that wait had equal shares; NaN where turns don't count."""
        self._last_turn = math.nan
        for request in pending:
            request.call = self

    @property
    def waiting_cost(self) -> float:
        """Characters that have not been handed out yet."""
        return sum(request.waiting_cost for request in self.pending)

    def set_turns(self, begins: float) -> None:
        """Give the requests their turns, one after the other, from this time of `FairTurns` on."""
        self._last_turn, self.ends = begins, begins + self.waiting_cost
        for request in self.pending:
            self.set_turn(request)

    def set_turn(self, request: PendingRequest) -> None:
        """Give one of the requests its turn, or its next, after all others of this call."""
        self._last_turn += request.cost_of_turn
        request.turn = self._last_turn

    @property
    def over(self) -> bool:
        """Whether every request is scored, has failed, or is not wanted any more."""
        return all(request.over for request in self.pending)

    def finish(self) -> None:
        """Wake the caller, unless it has stopped waiting."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_result(None)

    def fail(self, error: BaseException) -> None:
        """End all requests that are not over with this error, and wake the caller."""
        for request in self.pending:
            if not request.over:
                request.error = error
        self.finish()

    def begin_wait(self, worker: Worker) -> None:
        """Note that the worker in this thread, if one runs here, waits for the one that will score.

        Raises ScorerError where they would wait for each other for ever.
        """
        self._waiting_worker = worker.begin_wait()
        self._worker = worker

    def end_wait(self) -> None:
        """Note that nobody waits any more. Waiting does this itself."""
        if self._worker is not None:
            self._worker.end_wait(self._waiting_worker)
            self._worker = None

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the scores, at most so many seconds; then the work is given up, and what there is stays."""
        with self._waiting():
            try:
                self.future.result(seconds)
            except TimeoutError:
                if not self.future.cancel():
                    self.future.result()  # it came in this moment

    async def wait_async(self, seconds: float | None = None) -> None:
        """Do the same without blocking the event loop. Cancelling it ends the work."""
        import asyncio  # not at the top: importing it takes 60 ms, and who awaits has done so

        with self._waiting():
            waiting = asyncio.wrap_future(self.future)
            await asyncio.wait([waiting], timeout=seconds)
            if waiting.done() or not self.future.cancel():
                await waiting

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Give up, at the end, what is not done: an interrupt or a deadline may have ended the wait."""
        try:
            yield
        finally:
            self.end_wait()
            self.future.cancel()
            if self.future.cancelled():
                self.on_give_up()
            self._let_go()

    def _let_go(self) -> None:
        """Hold neither the queue, and with it a whole model, nor, when all is scored, the requests that hold this call.

        As a circle they would stay in memory until Python looks for garbage.
        """
        self.on_give_up = _nothing
        if not self.future.cancelled() and not self.waiting_cost:
            for request in self.pending:
                request.call = None

    def answers(self) -> list[Scores]:
        """Return the scores of every request. Raises the first error that one of them came to."""
        for request in self.pending:
            if request.error is not None:
                raise request.error
        return [request.answer()[0] for request in self.pending]
