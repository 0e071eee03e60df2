"""The queue before a scorer: what many threads and event loops ask is scored in shared rounds, in fair shares."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, cast
from weakref import WeakValueDictionary

from resift._util.daemon import DaemonThread, exiting
from resift._util.fork import RenewedLock, renew_in_children
from resift.errors import InputError, OverloadedError, ScorerError
from resift.scorer import (
    AsyncScorer,
    ManyScorer,
    Request,
    Scorer,
    ScorerTraits,
    as_scores,
    entry_of,
    score_many,
    scorer_error,
)
from resift.scoring.call_limit import CallLimit
from resift.scoring.pending import CHARACTERS_READ, Chunk, ChunkLimits, EarlyStopping, PendingRequest, ScoringCall
from resift.scoring.turns import FairTurns, Worker

CHARACTERS_PER_TOKEN = 4  # of English text; an estimate is enough to share out work, the engine counts exactly
ROUND_CHARACTERS = 16_000  # scored at once, some 4,000 tokens: what a call behind a large one waits for at most
ROUND_STRETCH = 2  # times its size, where calls end in it that are ...
ALIKE = 4  # ... at most so many times as large as the smallest: it ends only when all of the round do
CHUNK_CHARACTERS = 8_000  # and ...
CHUNK_TEXTS = 32  # ... texts that a deadline or early stopping looks up after: about one batch
OURS = (InputError, OverloadedError, ScorerError)  # errors that pass through as they are
SPEED_WEIGHT = 0.2  # of the last round in the average speed


class ScorerQueue:
    """The one thread that enters a scorer, and the calls that wait for it.

    Work is done in rounds of some 4,000 tokens, or of as many as the scorer's `round_tokens` says. Calls have their
    turns in the order in which they would end with equal shares (`FairTurns`), so a small call behind a large one waits
    for a round, not for all of it; and calls that come together are batched together. Calls of similar size are scored
    whole in rounds of up to twice the size, since texts of few calls need more padding. A call that may end with a part
    of its scores, at a deadline or early, gets them in parts, in turn with others.

    Scorers without `score_many` take one call after another. Scorers that order whole lists take each list whole.
    An awaitable scorer waits for a service and gains nothing from waiting in turn: each call has a thread of its own.

    Args:
        scorer: What scores.
        round_tokens: Tokens in a round. None: the scorer's own, and 4,000 at least.
    """

    def __init__(self, scorer: Scorer, round_tokens: int | None = None) -> None:
        self.scorer = scorer
        self._entry = entry_of(scorer)  # held, so that it is made once
        self.traits = traits = ScorerTraits.of(scorer)
        self._many = isinstance(scorer, ManyScorer)
        self._in_chunks = self._many and not traits.whole_lists and not traits.awaitable
        characters = max(ROUND_CHARACTERS, CHARACTERS_PER_TOKEN * traits.round_tokens)
        if round_tokens is not None:
            characters = CHARACTERS_PER_TOKEN * round_tokens
        self._round_characters = characters if self._in_chunks else math.inf
        self._characters_read = math.inf if traits.long_documents == "max_window" else CHARACTERS_READ
        self.seconds_per_character = 2.5e-5
        """Average speed of late."""
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Start empty, without a thread: in a forked child those of the parent are gone."""
        self._lock = threading.Lock()
        self._waiting: list[PendingRequest] = []
        """Who came first is first, and who has had a part is behind the others."""
        self._turns = FairTurns()
        self._worker = Worker(self.scorer)
        self._busy = False
        self._alone_cost = 0.0
        self._thread: DaemonThread | None = None

    @property
    def waiting_tokens(self) -> int:
        """About how many tokens wait, besides the round that runs."""
        with self._lock:
            waiting = sum(pending.waiting_cost for pending in self._waiting if not pending.over)
            return int(waiting + self._alone_cost) // CHARACTERS_PER_TOKEN

    def pending(
        self, request: Request, stopping: EarlyStopping | None = None, *, by_deadline: bool = False
    ) -> PendingRequest:
        """Return the request made ready: its texts in first-stage order if it may end early, else by length."""
        indices = range(len(request.documents))
        if (by_deadline or stopping) and not self.traits.whole_lists:
            limits = ChunkLimits(CHUNK_CHARACTERS, CHUNK_TEXTS, self._characters_read)
            return PendingRequest(request, indices, limits, stopping)
        if not self._in_chunks:
            return PendingRequest(request, indices, ChunkLimits())
        # Texts of a length go together, so that chunks cost no more padding than the whole would.
        longest_first = sorted(indices, key=lambda index: -len(request.documents[index]))
        return PendingRequest(request, longest_first, ChunkLimits(characters_read=self._characters_read))

    def submit(
        self,
        requests: Sequence[Request],
        stopping: EarlyStopping | None = None,
        *,
        by_deadline: bool = False,
        limit: CallLimit | None = None,
    ) -> ScoringCall:
        """Have the requests scored in turn with those of others; wait for the call that is returned.

        Raises OverloadedError or InputError, at once, where `limit` lets no more calls in, and ScorerError in a scorer
        that would wait for itself.
        """
        if exiting():
            raise ScorerError(f"{self.scorer.name} can't be asked any more: the interpreter is ending")
        call = ScoringCall([self.pending(request, stopping, by_deadline=by_deadline) for request in requests])
        worker = Worker(self.scorer) if self.traits.awaitable else self._worker
        call.begin_wait(worker)
        # A thread of its own counts until it ends, also after its caller has given up.
        ticket: Future[Any] = Future() if self.traits.awaitable else call.future
        try:
            if limit is not None:
                limit.enter(ticket)
        except BaseException:
            call.end_wait()
            raise
        try:
            if call.over:  # there are no documents
                call.finish()
                ticket.cancel()
            elif self.traits.awaitable:
                threading.Thread(
                    target=self._score_alone, args=(call, ticket, worker), name="resift", daemon=True
                ).start()
            else:
                call.on_give_up = self._drop_given_up
                self._enqueue(call)
        except BaseException as error:  # no thread can be started
            ticket.cancel()
            self._fail([call], error)
        return call

    def _enqueue(self, call: ScoringCall) -> None:
        with self._lock:
            if not self._busy:
                if self._thread is None:
                    self._thread = DaemonThread(self, name="resift")
                self._busy = True
                self._thread.wake()
            if self._in_chunks:  # others are served as they come
                call.set_turns(self._turns.enter(call.waiting_cost))
            self._waiting.extend(call.pending)

    def _drop_given_up(self) -> None:
        """Let go of the texts of calls that nobody waits for any more."""
        with self._lock:
            self._drop_over()

    def _drop_over(self) -> None:
        waiting, self._waiting = self._waiting, []
        for pending in waiting:
            call = pending.call
            if not pending.over:
                self._waiting.append(pending)
            elif call is not None and call.over and call.waiting_cost:
                self._turns.leave(call.ends)
                call.ends = math.nan  # once

    def work(self) -> None:
        """Score rounds until nothing waits. Whatever goes wrong ends the calls that wait, never the thread."""
        try:
            with self._worker.at_work():
                while not exiting() and (chunks := self._next_round()):
                    self._score(chunks)
        except BaseException as error:  # the last resort: nobody may wait for ever
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._turns = FairTurns()
            self._busy = False
        self._fail([pending.call for pending in waiting if pending.call is not None], error)

    def _fail(self, calls: Sequence[ScoringCall], error: BaseException) -> None:
        failure = chain(self.scorer, error)
        for call in dict.fromkeys(calls):
            call.fail(failure)

    def _score_alone(self, call: ScoringCall, ticket: Future[Any], worker: Worker) -> None:
        cost = call.waiting_cost
        with self._lock:
            self._alone_cost += cost
        try:
            with worker.at_work():
                while chunks := [pending.next_chunk() for pending in call.pending if not pending.over]:
                    self._score(chunks)
        except BaseException as error:  # as above
            self._fail([call], error)
        finally:
            with self._lock:
                self._alone_cost -= cost
            ticket.cancel()

    def _next_round(self) -> list[Chunk]:
        with self._lock:
            self._drop_over()
            self._busy = bool(self._waiting)
            if not self._waiting:
                self._turns = FairTurns()
                return []
            self._waiting.sort(key=lambda pending: pending.turn)  # who came first stays first among equals
            size = self._round_characters
            chunks: list[Chunk] = []
            taken, smallest = 0.0, math.inf
            for pending in self._waiting:
                if chunks and not self._many:
                    break
                room, stretched = size - taken, min(ROUND_STRETCH * size - taken, ALIKE * smallest)
                if chunks and pending.waiting_cost > room and pending.ends_within(stretched):
                    room = stretched
                chunk = pending.next_chunk(room)
                if chunks and chunk.cost > room:  # a text longer than what is left of the round
                    break
                chunks.append(chunk)
                pending.hand_out(chunk.cost)
                taken, smallest = taken + chunk.cost, min(smallest, chunk.cost)
            self._turns.advance(taken)
            return chunks

    def _score(self, chunks: Sequence[Chunk]) -> None:
        calls = list(dict.fromkeys(chunk.pending.call for chunk in chunks if chunk.pending.call is not None))
        started = time.perf_counter()
        try:
            answers = calls[0].context.run(score_many, self.scorer, [chunk.request for chunk in chunks])
        except BaseException as caught:  # even SystemExit: it must not leave the others waiting
            error = caught if isinstance(caught, OURS) else chain(self.scorer, caught)
            # One query may be at fault: the others must not pay for it. A service that is down is not asked for each.
            if len(calls) > 1 or (len(chunks) > 1 and not self.traits.awaitable):
                for chunk in chunks:
                    self._score([chunk])
                return
            # A scorer that failed may do better with the rest; a call that makes no sense ends here.
            failing = [chunk.pending for chunk in chunks] if isinstance(error, ScorerError) else calls[0].pending
            for pending in failing:
                pending.error = error
        else:
            spent = (time.perf_counter() - started) / sum(chunk.cost for chunk in chunks)
            self.seconds_per_character += SPEED_WEIGHT * (spent - self.seconds_per_character)
            for chunk, answer in zip(chunks, answers, strict=True):
                self._take_in(chunk, answer)
        for call in calls:
            if call.over:
                call.finish()

    def _take_in(self, chunk: Chunk, answer: Sequence[float]) -> None:
        try:
            chunk.pending.add(chunk.indices, as_scores(self.scorer, answer, len(chunk.indices)))
        except (InputError, ScorerError) as error:
            chunk.pending.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return (queue_of, (self.scorer,))


def chain(scorer: Scorer, error: BaseException) -> ScorerError:
    """Return the ScorerError for whatever a scorer raised, its cause chained."""
    failure = scorer_error(scorer, error)
    failure.__cause__ = error
    return failure


_QUEUES: WeakValueDictionary[int, ScorerQueue] = WeakValueDictionary()
_CHOOSING = RenewedLock()


def queue_of(scorer: Scorer) -> ScorerQueue:
    """Return the scorer's queue: one, however many rerankers share the scorer."""
    with _CHOOSING:
        queue = _QUEUES.get(id(scorer))  # a queue holds its scorer, so the id is taken for as long as there is one
    if queue is None:
        new = ScorerQueue(scorer)  # outside the lock: a scorer's attributes may run code of its own
        with _CHOOSING:
            queue = _QUEUES.setdefault(id(scorer), new)
    return queue


async def score_awaited(scorer: Scorer, pending: PendingRequest, seconds: float | None) -> None:
    """Score a request with a scorer that is awaited, for at most so many seconds; an error is left in `pending`.

    Cancelling it ends the work.
    """
    import asyncio  # not at the top: importing it takes 60 ms, and who awaits has done so

    awaited = cast("AsyncScorer", scorer)
    try:
        async with asyncio.timeout(seconds) as deadline:
            while not pending.over:
                chunk = pending.next_chunk()
                answer = await awaited.ascore(*chunk.request)
                pending.add(chunk.indices, as_scores(scorer, answer, len(chunk.indices)))
    except OURS as error:
        pending.error = error
    except Exception as error:  # as in score_many: callers catch one type, and the cause is chained
        if not deadline.expired():
            pending.error = chain(scorer, error)
