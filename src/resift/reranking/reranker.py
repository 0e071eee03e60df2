"""The class people hold: numbers from a scorer become an order, and every oddity a defined outcome."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Literal, Self, TypeVar, Unpack

from resift.errors import InputError, OverloadedError, ScorerError, TruncationWarning
from resift.models.options import ModelOptions
from resift.reranking.call import Limits, RankCall
from resift.reranking.ordering import kept, ordered
from resift.reranking.ranking import Ranking, Stats
from resift.scorer import AsyncScorer, Scorer, as_scores, scorer_error
from resift.scoring.load import load_scorer
from resift.scoring.scheduler import Call, Gate, Lane, Task, lane_of

T = TypeVar("T")
OnError = Literal["raise", "keep_order"]

logger = logging.getLogger(__name__)

IN_MEMORY = ":memory:"  # SQLite's own name for it
PACKAGE = str(Path(__file__).parent.parent) + os.sep


class Reranker:
    """Puts documents in the order a cross-encoder (or any `Scorer`) gives them.

    `model`: None for the bundled cross-encoder; a folder; a Hugging Face id; `scheme:name`; or a `Scorer`.
    `top_k` keeps the best k, `min_relevance` (0..1, applied first) only what is relevant enough.
    `on_error="keep_order"` answers a scorer's failure with the first-stage order, flagged in `degraded`.
    `deadline` (seconds) ranks what is scored by then, and `patience` stops when so many documents in a row
    brought none into the best `top_k`; the rest keeps its first-stage order behind, flagged in `degraded`.
    `cache` remembers scores in a file, or for ":memory:" in memory alone: see `Cached`.
    `max_pending` bounds the calls, from threads and event loops alike, that may wait. Further options go to the
    engine, which checks them: see `ModelOptions`.

    One thread enters a scorer, whoever calls and however many rerankers share it, and calls that come together
    are scored together. `close`, or `with`, ends it.

    >>> ranking = Reranker().rank("what eats bamboo?", ["Stocks fell.", "Pandas eat bamboo."])
    >>> [(hit.rank, hit.index, hit.document) for hit in ranking]
    [(1, 1, 'Pandas eat bamboo.'), (2, 0, 'Stocks fell.')]
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Scorer | None = None,
        *,
        top_k: int | None = None,
        min_relevance: float | None = None,
        on_error: OnError = "raise",
        deadline: float | None = None,
        patience: int | None = None,
        cache: str | os.PathLike[str] | None = None,
        max_pending: int = 1024,
        **options: Unpack[ModelOptions],
    ) -> None:
        if on_error not in ("raise", "keep_order"):
            raise InputError(f"on_error is 'raise' or 'keep_order', not {on_error!r}")
        self.scorer: Scorer = load_scorer(model, **options)
        self._owned: list[Scorer] = [] if self.scorer is model else [self.scorer]
        if cache is not None:
            from resift.scoring.cached import Cached  # only now: for those who keep scores

            self.scorer = Cached(self.scorer, None if cache == IN_MEMORY else cache)
            self._owned.append(self.scorer)
        self.top_k = top_k
        self.min_relevance = min_relevance
        self.on_error = on_error
        self.deadline = deadline
        self.patience = patience
        self._gate = Gate(max_pending)
        self._lane = lane_of(self.scorer)
        self._terms(None, None, None)

    def __repr__(self) -> str:
        return f"Reranker({self.scorer.name!r}, top_k={self.top_k}, min_relevance={self.min_relevance})"

    def rank(
        self,
        query: str,
        documents: Iterable[T],
        *,
        text: Callable[[T], str] | None = None,
        top_k: int | None = None,
        min_relevance: float | None = None,
        deadline: float | None = None,
    ) -> Ranking[T]:
        """The documents, best first.

        `documents` are in first-stage order and may be any objects; `text` gives an object's text, as `key`
        does for `sorted`. `top_k`, `min_relevance` and `deadline` override the reranker's own. Documents with
        equal scores keep their first-stage order (a service's own, where one ranked them); equal texts are scored
        once and all returned.

        Raises InputError (empty query, a document without text, an impossible `top_k`, a query longer than
        the model can read, a closed reranker), ScorerError (the scorer failed, or gave a wrong number of scores,
        NaN or inf) and OverloadedError when `max_pending` calls are waiting already.
        """
        terms = self._terms(top_k, min_relevance, deadline)
        (ranking,) = self._rank([RankCall.of(query, documents, text)], terms)
        self._warn_of_truncation(ranking.stats)
        return ranking

    async def arank(
        self,
        query: str,
        documents: Iterable[T],
        *,
        text: Callable[[T], str] | None = None,
        top_k: int | None = None,
        min_relevance: float | None = None,
        deadline: float | None = None,
    ) -> Ranking[T]:
        """`rank` without blocking the event loop. Cancelling it ends the work."""
        terms = self._terms(top_k, min_relevance, deadline)
        job = RankCall.of(query, documents, text)
        if isinstance(self.scorer, AsyncScorer):
            ranking = await self._await_scorer(job, self.scorer, terms)
        else:
            (ranking,) = await self._arank([job], terms)
        self._warn_of_truncation(ranking.stats)
        return ranking

    def rank_many(
        self,
        queries: Sequence[str],
        documents: Sequence[Iterable[T]],
        *,
        text: Callable[[T], str] | None = None,
        top_k: int | None = None,
        min_relevance: float | None = None,
        deadline: float | None = None,
    ) -> list[Ranking[T]]:
        """One ranking per query over its own documents, their batches shared.

        Each ranking equals what `rank` gives for it alone; `stats.batches` counts the batches it had a part in.
        """
        terms = self._terms(top_k, min_relevance, deadline)
        rankings = self._rank(RankCall.many(queries, documents, text), terms)
        self._warn_of_truncation(*(ranking.stats for ranking in rankings))
        return rankings

    async def arank_many(
        self,
        queries: Sequence[str],
        documents: Sequence[Iterable[T]],
        *,
        text: Callable[[T], str] | None = None,
        top_k: int | None = None,
        min_relevance: float | None = None,
        deadline: float | None = None,
    ) -> list[Ranking[T]]:
        """`rank_many` without blocking the event loop, as `arank`."""
        terms = self._terms(top_k, min_relevance, deadline)
        rankings = await self._arank(RankCall.many(queries, documents, text), terms)
        self._warn_of_truncation(*(ranking.stats for ranking in rankings))
        return rankings

    def close(self) -> None:
        """Refuses new calls and waits for those under way; a scorer it has loaded itself is closed too."""
        wait(self._gate.close())
        for scorer in self._owned:
            if close := getattr(scorer, "close", None):
                close()

    async def aclose(self) -> None:
        """`close` without blocking the event loop."""
        import asyncio  # only now: it takes 60 ms to import, and who awaits has it

        if inside := self._gate.close():
            await asyncio.wait([asyncio.wrap_future(call) for call in inside])
        for scorer in self._owned:
            if aclose := getattr(scorer, "aclose", None):
                await aclose()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _terms(self, top_k: int | None, min_relevance: float | None, deadline: float | None) -> Limits:
        """What applies to a call. Raises InputError where it makes no sense for this scorer."""
        return Limits(
            self.top_k if top_k is None else top_k,
            self.min_relevance if min_relevance is None else min_relevance,
            self.deadline if deadline is None else deadline,
            self.patience,
        ).check(self.scorer)

    def _rank(self, jobs: list[RankCall[T]], terms: Limits) -> list[Ranking[T]]:
        return self._submit(jobs, terms).wait(_seconds(jobs, terms))

    async def _arank(self, jobs: list[RankCall[T]], terms: Limits) -> list[Ranking[T]]:
        return await self._submit(jobs, terms).await_(_seconds(jobs, terms))

    def _submit(self, jobs: list[RankCall[T]], terms: Limits) -> Call[list[Ranking[T]]]:
        # A scorer that waits for a service gains nothing from waiting in turn: each call has a thread of its own.
        lane = Lane(self.scorer) if isinstance(self.scorer, AsyncScorer) else self._lane
        tasks = [lane.task(job.request, terms.stopping, terms.deadline is not None) for job in jobs]
        call = Call(tasks, partial(self._rankings, jobs, tasks, terms))
        self._gate.enter(call.future)
        lane.submit(call)
        return call

    async def _await_scorer(self, job: RankCall[T], scorer: AsyncScorer, terms: Limits) -> Ranking[T]:
        import asyncio  # only now, as above

        task = self._lane.task(job.request, terms.stopping, terms.deadline is not None)
        ticket: Future[None] = Future()
        self._gate.enter(ticket)
        try:
            async with asyncio.timeout(terms.left(job)) as limit:
                while not task.over:
                    piece = task.piece()
                    answer = await scorer.ascore(*piece.request)
                    task.add(piece.places, as_scores(self.scorer, answer, len(piece.places)))
        except (InputError, OverloadedError, ScorerError) as error:
            task.error = error
        except Exception as error:  # as in score_many: callers catch one type, and the cause is chained
            if not limit.expired():
                task.error = scorer_error(self.scorer, error)
                task.error.__cause__ = error
        finally:
            ticket.cancel()
        return self._ranking(job, task, terms)

    def _rankings(self, jobs: list[RankCall[T]], tasks: list[Task], terms: Limits) -> list[Ranking[T]]:
        return [self._ranking(job, task, terms) for job, task in zip(jobs, tasks, strict=True)]

    def _ranking(self, job: RankCall[T], task: Task, terms: Limits) -> Ranking[T]:
        try:
            if task.error is not None:
                raise task.error
            return ordered(self.scorer, job, task, terms)
        except ScorerError as error:
            if self.on_error == "raise":
                raise
            logger.warning("first-stage order kept for %d documents: %s", len(job.documents), error)
            return kept(self.scorer, job, error, terms)

    def _warn_of_truncation(self, *stats: Stats) -> None:
        truncated = sum(one.truncated for one in stats)
        if not truncated or getattr(self.scorer, "long_documents", None) == "first_window":
            return
        level, frame = 2, sys._getframe(1)  # the first frame outside this package is the caller's
        while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
            level, frame = level + 1, frame.f_back
        documents = sum(one.documents for one in stats)
        advice = ""
        if getattr(self.scorer, "long_documents", None) is not None:  # an LLM or a service has no such choice
            advice = ". long_documents='max_window' scores all of it, 'first_window' says the beginning is enough"
        warnings.warn(
            f"{truncated} of {documents} documents are longer than the model reads: only their beginning was scored"
            + advice,
            TruncationWarning,
            stacklevel=level,
        )


def _seconds(jobs: Sequence[RankCall[T]], terms: Limits) -> float | None:
    return terms.left(jobs[0]) if jobs else None
