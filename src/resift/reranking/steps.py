"""The steps of a ranking call: submit, wait, order; and, where sentences are wanted, the same again for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

from resift.errors import ScorerError
from resift.reranking.call import RankCall
from resift.reranking.limits import Limits
from resift.reranking.observers import observed
from resift.reranking.ordering import keep_first_stage_order, order_by_score
from resift.reranking.ranking import Ranking
from resift.scorer import Request, Scorer
from resift.scoring.call_limit import CallLimit
from resift.scoring.pending import PendingRequest, ScoringCall
from resift.scoring.queue import ScorerQueue, score_awaited

if TYPE_CHECKING:
    from resift.reranking.evidence import SentenceCall

T = TypeVar("T")
OnError = Literal["raise", "keep_order"]


class RankSteps:
    """What `Reranker` does with calls that are checked."""

    scorer: Scorer
    on_error: OnError
    _queue: ScorerQueue
    _call_limit: CallLimit

    def _rank(self, calls: list[RankCall[T]], limits: Limits) -> list[Ranking[T]]:
        with observed(self.scorer, calls, limits) as report, self._one_call(limits) as limit:
            scoring = self._submit(calls, limits, limit)
            scoring.wait(_seconds_left(calls, limits))
            rankings = self._rankings(calls, scoring.pending, limits)
            if limits.of_sentences:
                asked = self._sentences_of(calls, rankings)
                scoring = self._submit(asked, limits, None)
                scoring.wait(_seconds_left(calls, limits))
                rankings = self._with_sentences(asked, scoring.pending, limits)
            report(rankings)
        return rankings

    async def _arank(self, calls: list[RankCall[T]], limits: Limits) -> list[Ranking[T]]:
        with observed(self.scorer, calls, limits) as report, self._one_call(limits) as limit:
            scoring = self._submit(calls, limits, limit)
            await scoring.wait_async(_seconds_left(calls, limits))
            rankings = self._rankings(calls, scoring.pending, limits)
            if limits.of_sentences:
                asked = self._sentences_of(calls, rankings)
                scoring = self._submit(asked, limits, None)
                await scoring.wait_async(_seconds_left(calls, limits))
                rankings = self._with_sentences(asked, scoring.pending, limits)
            report(rankings)
        return rankings

    async def _await_scorer(self, call: RankCall[T], limits: Limits) -> Ranking[T]:
        """Rank with a scorer that is awaited on the event loop itself."""
        pending = self._queue.pending(call.request, limits.stopping, by_deadline=limits.deadline is not None)
        ticket: Future[None] = Future()
        self._call_limit.enter(ticket)
        with observed(self.scorer, [call], limits) as report:
            try:
                await score_awaited(self.scorer, pending, limits.seconds_left(call))
                rankings = self._rankings([call], [pending], limits)
                if limits.of_sentences:
                    asked = self._sentences_of([call], rankings)
                    pending = self._queue.pending(asked[0].request, by_deadline=limits.deadline is not None)
                    await score_awaited(self.scorer, pending, limits.seconds_left(call))
                    rankings = self._with_sentences(asked, [pending], limits)
            finally:
                ticket.cancel()
            report(rankings)
        return rankings[0]

    @contextmanager
    def _one_call(self, limits: Limits) -> Iterator[CallLimit | None]:
        """Count a call that asks twice as one that waits, from its beginning to its end."""
        if not limits.of_sentences:
            yield self._call_limit
            return
        ticket: Future[None] = Future()
        self._call_limit.enter(ticket)
        try:
            yield None
        finally:
            ticket.cancel()

    def _submit(
        self, calls: Sequence[RankCall[T]] | Sequence[SentenceCall[T]], limits: Limits, limit: CallLimit | None
    ) -> ScoringCall:
        requests: list[Request] = [call.request for call in calls]
        # Early stopping is for candidates in first-stage order.
        stopping = limits.stopping if all(isinstance(call, RankCall) for call in calls) else None
        return self._queue.submit(requests, stopping, by_deadline=limits.deadline is not None, limit=limit)

    def _rankings(
        self, calls: Sequence[RankCall[T]], pending: Sequence[PendingRequest], limits: Limits
    ) -> list[Ranking[T]]:
        return [self._ranking(call, scored, limits) for call, scored in zip(calls, pending, strict=True)]

    def _ranking(self, call: RankCall[T], pending: PendingRequest, limits: Limits) -> Ranking[T]:
        try:
            if pending.error is not None:
                raise pending.error
            return order_by_score(self.scorer, call, pending, limits)
        except ScorerError as error:
            if self.on_error == "raise":
                raise
            return keep_first_stage_order(self.scorer, call, error, limits)

    def _sentences_of(self, calls: Sequence[RankCall[T]], rankings: Sequence[Ranking[T]]) -> list[SentenceCall[T]]:
        from resift.reranking.evidence import SentenceCall  # not at the top: most calls want no sentences

        traits = self._queue.traits
        return [SentenceCall.of(traits, call, ranking) for call, ranking in zip(calls, rankings, strict=True)]

    def _with_sentences(
        self, asked: Sequence[SentenceCall[T]], pending: Sequence[PendingRequest], limits: Limits
    ) -> list[Ranking[T]]:
        return [self._finished(each, scored, limits) for each, scored in zip(asked, pending, strict=True)]

    def _finished(self, asked: SentenceCall[T], pending: PendingRequest, limits: Limits) -> Ranking[T]:
        try:
            return asked.finish(self.scorer, pending, limits)
        except ScorerError as error:
            if self.on_error == "raise":
                raise
            return asked.without(error)


def _seconds_left(calls: Sequence[RankCall[T]], limits: Limits) -> float | None:
    return limits.seconds_left(calls[0]) if calls else None
