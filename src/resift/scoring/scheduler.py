"""One worker per scorer: what many threads and event loops ask is scored in shared rounds, in fair shares."""

from __future__ import annotations

import heapq
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from resift._util.fork import renewed_in_children
from resift.errors import InputError, OverloadedError, ScorerError
from resift.scorer import (
    AsyncScorer,
    ManyScorer,
    Request,
    Scorer,
    ScorerTraits,
    Scores,
    Span,
    Usage,
    as_scores,
    scorer_error,
    score_many,
)

R = TypeVar("R")

ROUND = 16_000  # characters scored at once, some 4,000 tokens: what a call that comes now waits for at most
PER_TOKEN = 4  # characters: a scorer's own `round_tokens`, or two of its batches, may be more than that
SHARERS = 8  # calls that share a round at most, so that pieces stay worth a batch
PIECE = 8_000  # characters, and ...
PIECE_TEXTS = 32  # ... texts that a deadline or early stopping looks up after: about one batch
READ = 4_000  # characters of a text that count: most models read no more of it
AROUND = 16  # characters that the special tokens of a pair are worth


@dataclass(frozen=True, slots=True)
class Patience:
    """Early stopping: enough is scored when the last `texts` of the first stage brought none into the best `top_k`."""

    texts: int
    top_k: int

    def is_out(self, values: Sequence[float]) -> bool:
        """Whether to stop after these scores, in first-stage order.

        >>> Patience(texts=2, top_k=1).is_out([1.0, 3.0, 2.0]), Patience(texts=2, top_k=1).is_out([3.0, 1.0, 3.0])
        (False, True)
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


class Most(NamedTuple):
    """How large a piece of a task may be, and how much of a text counts, in characters."""

    characters: float = math.inf
    texts: float = math.inf
    read: float = READ


class Task:
    """One query and its texts on their way: what is scored already, and what comes next."""

    def __init__(self, request: Request, order: Sequence[int], most: Most, patience: Patience | None = None) -> None:
        self.request = request
        self.patience = patience
        self.error: BaseException | None = None
        self.stopped = False
        """Whether patience ended it."""
        self.call: Call[Any] | None = None
        self._order = order
        self._most = most
        self._parts: list[tuple[Sequence[int], Scores]] = []
        self._next = 0

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do, or nobody left to do it for."""
        done = self.error is not None or self.stopped or self._next == len(self._order)
        return done or (self.call is not None and self.call.future.cancelled())

    def piece(self, room: float = math.inf) -> Piece:
        """The texts to score next: at least one, as many as fit into `room` characters."""
        room = min(room, self._most.characters)
        stop = self._next
        while stop < len(self._order) and stop - self._next < self._most.texts:
            room -= self._cost(self._order[stop])
            if room < 0 and stop > self._next:
                break
            stop += 1
        places = self._order[self._next : stop]
        return Piece(self, places, sum(map(self._cost, places)))

    def _cost(self, place: int) -> float:
        return min(len(self.request.documents[place]), self._most.read) + len(self.request.query) + AROUND

    def add(self, places: Sequence[int], scores: Scores) -> None:
        """Takes in the scores of a piece."""
        self._parts.append((places, scores))
        self._next += len(places)
        if self.patience is not None and self._next < len(self._order):
            self.stopped = self.patience.is_out([value for _, part in self._parts for value in part])

    def answer(self) -> tuple[Scores, frozenset[int]]:
        """Scores for all texts, and the places of those that have none yet and so are NaN."""
        parts = list(self._parts)  # a deadline may pass while the worker adds to them
        if len(parts) == 1 and parts[0][0] == range(len(self._order)):
            return parts[0][1], frozenset()
        values = [math.nan] * len(self._order)
        whole = Scores((), Usage())
        spans: dict[int, Span] = {}
        order: list[int] = []
        for places, scores in parts:
            for number, place in enumerate(places):
                values[place] = scores[number]
            spans |= {places[number]: span for number, span in scores.spans.items()}
            order += [places[number] for number in scores.order]
            usage, degraded = whole.usage + scores.usage, whole.degraded or scores.degraded
            whole = replace(scores, usage=usage, degraded=degraded)
        unscored = frozenset(range(len(values))).difference(*(places for places, _ in parts))
        return replace(whole, values=tuple(values), spans=spans, order=tuple(order)), unscored


class Piece(NamedTuple):
    """Some texts of a task, scored in one round."""

    task: Task
    places: Sequence[int]
    cost: float

    @property
    def request(self) -> Request:
        """What the scorer is asked."""
        query, documents = self.task.request
        return Request(query, [documents[place] for place in self.places])


class Call(Generic[R]):
    """Tasks that one caller waits for together. `finish` makes the result of what they hold."""

    def __init__(self, tasks: Sequence[Task], finish: Callable[[], R]) -> None:
        self.tasks = tasks
        self.finish = finish
        self.future: Future[R] = Future()
        # The caller's context travels along, so that tracing in a scorer finds its parent.
        self.context = copy_context()
        for task in tasks:
            task.call = self

    @property
    def over(self) -> bool:
        """Whether every task is."""
        return all(task.over for task in self.tasks)

    def conclude(self) -> None:
        """Gives whoever waits the result, unless they have stopped waiting."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.finish()
        except BaseException as error:  # whoever waits has to hear of it, whatever it is
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def wait(self, seconds: float | None) -> R:
        """The result; after so many seconds, what is made of what there is by then."""
        try:
            return self.future.result(seconds)
        except TimeoutError:
            return self.finish() if self.future.cancel() else self.future.result()
        finally:
            self.future.cancel()  # no one waits any longer, if it was an interrupt that ended the wait

    async def await_(self, seconds: float | None) -> R:
        """`wait` for an event loop. Cancelling it ends the work."""
        import asyncio  # only now: it takes 60 ms to import, and who awaits has it

        waiting = asyncio.wrap_future(self.future)
        try:
            await asyncio.wait([waiting], timeout=seconds)
            if not waiting.done() and self.future.cancel():
                return self.finish()
            return await waiting
        finally:
            self.future.cancel()


class Lane:
    """The one thread that enters a scorer, and who waits for it.

    Work is done in rounds of some 4,000 tokens, or of as many as the scorer's `round_tokens` says. Every waiting call
    has a share in a round, so a small call behind a large one waits for a round, not for all of it; and calls that
    come together are batched together.
    Scorers without `score_many` take one call after another, and scorers that only give an order, or wait for a
    service, take each list whole.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._many = isinstance(scorer, ManyScorer)
        self._in_pieces = self._many and not ScorerTraits.of(scorer).whole_lists and not isinstance(scorer, AsyncScorer)
        tokens = getattr(scorer, "round_tokens", 2 * getattr(scorer, "batch_tokens", 0))
        self._round = max(ROUND, PER_TOKEN * tokens) if self._in_pieces else math.inf
        self._read = math.inf if getattr(scorer, "long_documents", None) == "max_window" else READ
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """Nobody waits, and no thread has been started."""
        self._lock = threading.Lock()
        self._waiting: deque[Task] = deque()
        self._busy = False
        self._executor: ThreadPoolExecutor | None = None

    def task(self, request: Request, patience: Patience | None, by_deadline: bool) -> Task:
        """The task of scoring a request; its texts in first-stage order if it may end early, else by length."""
        places = range(len(request.documents))
        if (by_deadline or patience) and not ScorerTraits.of(self.scorer).whole_lists:
            return Task(request, places, Most(PIECE, PIECE_TEXTS, self._read), patience)
        if not self._in_pieces:
            return Task(request, places, Most())
        # Texts of a length go together, so that pieces cost no more padding than the whole would.
        longest_first = sorted(places, key=lambda place: -len(request.documents[place]))
        return Task(request, longest_first, Most(read=self._read))

    def submit(self, call: Call[Any]) -> None:
        """Scores the call's tasks in turn with those of others, then concludes it."""
        if call.over:  # there are no documents
            call.conclude()
            return
        with self._lock:
            self._waiting.extend(call.tasks)
            if not self._busy:
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="resift")
                self._executor.submit(self._drain)
                self._busy = True

    def _drain(self) -> None:
        while pieces := self._next_round():
            self._score(pieces)

    def _next_round(self) -> list[Piece]:
        with self._lock:
            waiting = deque(task for task in self._waiting if not task.over)
            self._busy = bool(waiting)
            if not waiting:
                self._waiting.clear()
                return []
            room = self._round
            share = max(room / len(waiting), room / SHARERS)
            pieces: list[Piece] = []
            while waiting and room > 0 and (self._many or not pieces):
                piece = waiting.popleft().piece(min(share, room))
                pieces.append(piece)
                room -= piece.cost
            # Who has had a share goes to the back.
            self._waiting = deque([*waiting, *(piece.task for piece in pieces)])
            return pieces

    def _score(self, pieces: list[Piece]) -> None:
        calls = list(dict.fromkeys(piece.task.call for piece in pieces if piece.task.call is not None))
        try:
            answers = calls[0].context.run(score_many, self.scorer, [piece.request for piece in pieces])
        except BaseException as error:  # even SystemExit: it must not leave the others waiting
            if len(calls) > 1:  # one call's query may be at fault: the others must not pay for it
                for call in calls:
                    self._score([piece for piece in pieces if piece.task.call is call])
                return
            # A scorer that failed may do better with the rest; a call that makes no sense ends here.
            failing = [piece.task for piece in pieces] if isinstance(error, ScorerError) else calls[0].tasks
            for task in failing:
                task.error = error
        else:
            for piece, answer in zip(pieces, answers, strict=True):
                self._take_in(piece, answer)
        for call in calls:
            if call.over:
                call.conclude()

    def _take_in(self, piece: Piece, answer: Sequence[float]) -> None:
        try:
            piece.task.add(piece.places, as_scores(self.scorer, answer, len(piece.places)))
        except ScorerError as error:
            piece.task.error = error
        except (TypeError, ValueError) as error:  # a score that is no number
            piece.task.error = scorer_error(self.scorer, error)

    def __reduce__(self) -> tuple[Any, ...]:
        return (lane_of, (self.scorer,))


_LANES: WeakValueDictionary[int, Lane] = WeakValueDictionary()
_CHOOSING = threading.Lock()


def lane_of(scorer: Scorer) -> Lane:
    """The scorer's lane: one, however many rerankers share the scorer."""
    with _CHOOSING:
        lane = _LANES.get(id(scorer))  # a lane holds its scorer, so the id is taken for as long as there is one
        if lane is None:
            lane = _LANES[id(scorer)] = Lane(scorer)
        return lane


def asked(scorer: Scorer, requests: Sequence[Request]) -> Call[list[Scores]]:
    """What a scorer that others are made of says, in its own lane: whoever else asks it has a turn too.

    Waiting for the call raises what the scorer raises, as `score_many` does.
    """
    lane = lane_of(scorer)
    tasks = [lane.task(request, None, by_deadline=False) for request in requests]

    def answers() -> list[Scores]:
        for task in tasks:
            if task.error is not None:
                raise task.error
        return [task.answer()[0] for task in tasks]

    call = Call(tasks, answers)
    lane.submit(call)
    return call


class Gate:
    """Counts a reranker's calls: at most `limit` waiting or running, and none after it was closed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._closed = False
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """No call is there."""
        self._lock = threading.Lock()
        self._inside: set[Future[Any]] = set()

    def enter(self, call: Future[Any]) -> None:
        """Lets a call in until it is done. Raises OverloadedError and, after closing, InputError."""
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
        """Lets no one in from now on; the calls that are inside."""
        with self._lock:
            self._closed = True
            return list(self._inside)

    def _leave(self, call: Future[Any]) -> None:
        with self._lock:
            self._inside.discard(call)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Gate, (self.limit,))
