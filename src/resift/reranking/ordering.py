"""From scores to an order: ties, cuts, and documents without a score all have their place."""

from __future__ import annotations

import math
import time
from typing import TypeVar

from resift.errors import ScorerError
from resift.reranking.call import Limits, RankCall
from resift.reranking.ranking import Hit, Ranking, Stats
from resift.scorer import Scorer, Scores, check_scores
from resift.scoring.scheduler import Task

T = TypeVar("T")


def ordered(scorer: Scorer, job: RankCall[T], task: Task, terms: Limits) -> Ranking[T]:
    """Best first, ties in the scorer's own order or else the first stage's; behind them what was not scored.

    Raises ScorerError for scores that can't be used, or that `min_relevance` can't cut.
    """
    answer, unscored = task.answer()
    scores = check_scores(scorer, answer, job.slots, unscored)
    waiting = [place for place, slot in enumerate(job.slots) if slot in unscored]
    scored = [place for place in scores.order or range(len(scores)) if job.slots[place] not in unscored]
    scored.sort(key=lambda place: -scores[place])  # stable
    scale = scores.scale or scorer.scale
    if terms.min_relevance is not None and not scale.has_relevance:
        named = f"{scores.model or scorer.name} answered on the {scale} scale"
        raise ScorerError(f"{named}, which min_relevance={terms.min_relevance} can't cut")
    relevance = {place: scale.relevance(scores[place]) for place in scored}
    if terms.min_relevance is not None:  # only what has a score can be found too low
        scored = [place for place in scored if (relevance[place] or 0.0) >= terms.min_relevance]
    order = [*scored, *waiting][: terms.top_k]
    hits = [_hit(job, place, rank, scores, relevance.get(place)) for rank, place in enumerate(order, 1)]
    reasons = [scores.degraded, _unfinished(len(scores) - len(waiting), len(scores), task, terms)]
    return _ranking(scorer, job, hits, scores, "; ".join(filter(None, reasons)) or None)


def kept(scorer: Scorer, job: RankCall[T], error: ScorerError, terms: Limits) -> Ranking[T]:
    """The first-stage order, flagged; `min_relevance` can't cut what has no score."""
    none = Scores((math.nan,) * len(job.documents))
    hits = [_hit(job, place, place + 1, none, None) for place in range(len(job.documents))[: terms.top_k]]
    return _ranking(scorer, job, hits, none, f"first-stage order kept: {error}")


def _unfinished(scored: int, documents: int, task: Task, terms: Limits) -> str | None:
    """Why some documents have no score."""
    if scored == documents:
        return None
    if task.stopped:
        return f"{scored} of {documents} scored: the last {terms.patience} brought none into the best {terms.top_k}"
    return f"{scored} of {documents} scored within {terms.deadline:g} s"


def _hit(job: RankCall[T], place: int, rank: int, scores: Scores, relevance: float | None) -> Hit[T]:
    span = scores.spans.get(place)
    return Hit(
        document=job.documents[place],
        text=job.unique[job.slots[place]],
        score=scores[place],
        relevance=relevance,
        index=place,
        rank=rank,
        truncated=span is not None and span.truncated,
        span=None if span is None else (span.start, span.end),
    )


def _ranking(scorer: Scorer, job: RankCall[T], hits: list[Hit[T]], scores: Scores, degraded: str | None) -> Ranking[T]:
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
        calls=usage.calls,
        billed=usage.billed,
        seconds={**usage.seconds, "total": time.perf_counter() - job.started},
    )
    model, scale = scores.model or scorer.name, scores.scale or scorer.scale
    return Ranking(job.query, tuple(hits), model, scale, stats, degraded)
