"""The class people hold: numbers from a scorer become an order, and every oddity a defined outcome."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, Unpack

from resift.concurrency import Worker
from resift.errors import InputError, ScorerError, TruncationWarning
from resift.load import ModelOptions, load_scorer
from resift.ranking import Hit, Ranking, Stats
from resift.scorer import AsyncScorer, Request, Scorer, Scores, check_scores, failed, score_many

T = TypeVar("T")
OnError = Literal["raise", "keep_order"]

logger = logging.getLogger(__name__)

PACKAGE = str(Path(__file__).parent) + os.sep


class Reranker:
    """Puts documents in the order a cross-encoder (or any `Scorer`) gives them.

    `model`: None for the bundled cross-encoder; a folder; a Hugging Face id; `scheme:name`; or a `Scorer`.
    `top_k` keeps the best k, `min_relevance` (0..1, applied first) only what is relevant enough.
    `on_error="keep_order"` answers a scorer's failure with the first-stage order, flagged in `degraded`.
    `max_pending` bounds the async calls that may wait. Further options go to the engine, which checks them:
    see `ModelOptions`.

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
        max_pending: int = 1024,
        **options: Unpack[ModelOptions],
    ) -> None:
        if on_error not in ("raise", "keep_order"):
            raise InputError(f"on_error is 'raise' or 'keep_order', not {on_error!r}")
        self.scorer: Scorer = load_scorer(model, **options)
        self.top_k = top_k
        self.min_relevance = min_relevance
        self.on_error = on_error
        self._worker = Worker(max_pending)
        self._check_cuts(top_k, min_relevance)

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
    ) -> Ranking[T]:
        """The documents, best first.

        `documents` are in first-stage order and may be any objects; `text` gives an object's text, as `key`
        does for `sorted`. `top_k` and `min_relevance` override the reranker's own. Documents with equal
        scores keep their first-stage order; equal texts are scored once and all returned.

        Raises InputError (empty query, a document without text, an impossible `top_k`, a query longer than
        the model can read) and ScorerError (the scorer failed, or gave a wrong number of scores, NaN or inf).
        """
        ranking = self._rank(_Job.of(query, documents, text), top_k, min_relevance)
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
    ) -> Ranking[T]:
        """`rank` without blocking the event loop: on the reranker's own thread, one call at a time.

        Raises what `rank` raises, and OverloadedError when `max_pending` calls are waiting already.
        """
        job = _Job.of(query, documents, text)
        if isinstance(self.scorer, AsyncScorer):
            ranking = await self._await_scorer(job, self.scorer, top_k, min_relevance)
        else:
            ranking = await self._worker.run(partial(self._rank, job, top_k, min_relevance))
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
    ) -> list[Ranking[T]]:
        """One ranking per query over its own documents, all of them scored in one pass.

        Each ranking equals what `rank` gives for it alone; `stats.batches` counts the batches it had a part in.
        """
        rankings = self._rank_all(_jobs(queries, documents, text), top_k, min_relevance)
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
    ) -> list[Ranking[T]]:
        """`rank_many` without blocking the event loop, as `arank`."""
        jobs = _jobs(queries, documents, text)
        rankings = await self._worker.run(partial(self._rank_all, jobs, top_k, min_relevance))
        self._warn_of_truncation(*(ranking.stats for ranking in rankings))
        return rankings

    def _rank(self, job: _Job[T], top_k: int | None, min_relevance: float | None) -> Ranking[T]:
        return self._rank_all([job], top_k, min_relevance)[0]

    def _rank_all(self, jobs: list[_Job[T]], top_k: int | None, min_relevance: float | None) -> list[Ranking[T]]:
        cuts = self._check_cuts(top_k, min_relevance)
        requests = [Request(job.query, job.unique) for job in jobs if job.unique]
        try:
            answers = iter(score_many(self.scorer, requests) if requests else [])
        except ScorerError as error:
            return [self._degrade(job, error, cuts) for job in jobs]
        return [self._order(job, next(answers) if job.unique else (), cuts) for job in jobs]

    async def _await_scorer(
        self, job: _Job[T], scorer: AsyncScorer, top_k: int | None, min_relevance: float | None
    ) -> Ranking[T]:
        cuts = self._check_cuts(top_k, min_relevance)
        if not job.unique:
            return self._order(job, (), cuts)
        try:
            answer = await scorer.ascore(job.query, job.unique)
        except InputError:
            raise
        except ScorerError as error:
            return self._degrade(job, error, cuts)
        except Exception as error:  # as in score_many: callers catch one type, and the cause is chained
            wrapped = failed(self.scorer, error)
            wrapped.__cause__ = error
            return self._degrade(job, wrapped, cuts)
        return self._order(job, answer, cuts)

    def _check_cuts(self, top_k: int | None, min_relevance: float | None) -> _Cuts:
        """The cuts that apply to a call. Raises InputError where they make no sense for this scorer."""
        top_k = self.top_k if top_k is None else top_k
        floor = self.min_relevance if min_relevance is None else min_relevance
        if top_k is not None and top_k < 1:
            raise InputError(f"top_k must be at least 1, got {top_k}; None keeps every document")
        if floor is not None and not 0 <= floor <= 1:
            raise InputError(f"min_relevance must lie between 0 and 1, got {floor}")
        if floor is not None and not self.scorer.scale.has_relevance:
            raise InputError(
                f"min_relevance={floor} can't be used with {self.scorer.name}: its scores are on the "
                f"{self.scorer.scale} scale, which says nothing between 0 and 1; use top_k"
            )
        return _Cuts(top_k, floor)

    def _order(self, job: _Job[T], answer: Sequence[float], cuts: _Cuts) -> Ranking[T]:
        try:
            scores = check_scores(self.scorer, answer, job.slots)
        except ScorerError as error:
            return self._degrade(job, error, cuts)
        relevance = [self.scorer.scale.relevance(score) for score in scores]
        order = sorted(range(len(scores)), key=lambda place: -scores[place])  # stable: ties keep first-stage order
        if cuts.min_relevance is not None:
            order = [place for place in order if (relevance[place] or 0.0) >= cuts.min_relevance]
        hits = [job.hit(place, rank, scores, relevance[place]) for rank, place in enumerate(order[: cuts.top_k], 1)]
        return self._ranking(job, hits, scores, None)

    def _degrade(self, job: _Job[T], error: ScorerError, cuts: _Cuts) -> Ranking[T]:
        """The first-stage order, flagged, or the error itself; `min_relevance` can't cut what has no score."""
        if self.on_error == "raise":
            raise error
        logger.warning("first-stage order kept for %d documents: %s", len(job.documents), error)
        none = Scores((math.nan,) * len(job.documents))
        hits = [job.hit(place, place + 1, none, None) for place in range(len(job.documents))[: cuts.top_k]]
        return self._ranking(job, hits, none, f"first-stage order kept: {error}")

    def _ranking(self, job: _Job[T], hits: list[Hit[T]], scores: Scores, degraded: str | None) -> Ranking[T]:
        usage = scores.usage
        stats = Stats(
            documents=len(job.documents),
            pairs=usage.pairs,
            tokens=usage.tokens,
            padded_tokens=usage.padded_tokens,
            batches=usage.batches,
            truncated=sum(span.truncated for span in scores.spans.values()),
            cache_hits=usage.cache_hits,
            states_kept=usage.states_kept,
            seconds={**usage.seconds, "total": time.perf_counter() - job.started},
        )
        return Ranking(job.query, tuple(hits), self.scorer.name, self.scorer.scale, stats, degraded)

    def _warn_of_truncation(self, *stats: Stats) -> None:
        truncated = sum(one.truncated for one in stats)
        if not truncated or getattr(self.scorer, "long_documents", None) == "first_window":
            return
        level, frame = 2, sys._getframe(1)  # the first frame outside this package is the caller's
        while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
            level, frame = level + 1, frame.f_back
        documents = sum(one.documents for one in stats)
        warnings.warn(
            f"{truncated} of {documents} documents are longer than the model reads: only their beginning was scored. "
            "long_documents='max_window' scores all of it, 'first_window' says the beginning is enough",
            TruncationWarning,
            stacklevel=level,
        )


@dataclass(frozen=True, slots=True)
class _Cuts:
    top_k: int | None
    min_relevance: float | None


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    """One query with its documents, made ready: `slots[i]` is the place of document i's text in `unique`."""

    query: str
    documents: tuple[T, ...]
    unique: list[str]
    slots: list[int]
    started: float

    @classmethod
    def of(cls, query: str, documents: Iterable[T], text: Callable[[T], str] | None) -> _Job[T]:
        started = time.perf_counter()
        if not isinstance(query, str) or not query.strip():
            raise InputError(f"the query must be a text with something in it, got {query!r}")
        if isinstance(documents, str):
            raise InputError("documents is one text; give a list of documents, [text] for a single one")
        listed = tuple(documents)
        places: dict[str, int] = {}
        slots = [
            places.setdefault(_text_of(document, place, text), len(places)) for place, document in enumerate(listed)
        ]
        return cls(query, listed, list(places), slots, started)

    def hit(self, place: int, rank: int, scores: Scores, relevance: float | None) -> Hit[T]:
        span = scores.spans.get(place)
        return Hit(
            document=self.documents[place],
            text=self.unique[self.slots[place]],
            score=scores[place],
            relevance=relevance,
            index=place,
            rank=rank,
            truncated=span is not None and span.truncated,
            span=None if span is None else (span.start, span.end),
        )


def _jobs(queries: Sequence[str], documents: Sequence[Iterable[T]], text: Callable[[T], str] | None) -> list[_Job[T]]:
    if len(queries) != len(documents):
        raise InputError(f"{len(queries)} queries but {len(documents)} lists of documents; give one list per query")
    return [_Job.of(query, listed, text) for query, listed in zip(queries, documents, strict=True)]


def _text_of(document: T, place: int, text: Callable[[T], str] | None) -> str:
    found: Any = document if text is None else text(document)
    if isinstance(found, str):
        return found
    if text is None:
        raise InputError(
            f"document {place} is a {type(found).__name__}, not a text; say where its text is, "
            "as in rank(query, documents, text=lambda document: document.text)"
        )
    raise InputError(f"text= gave a {type(found).__name__} for document {place}; it must give a str")
