"""From scores to an order: ties, cuts, and documents without a score."""

from __future__ import annotations

import math
import time
from typing import TypeVar

from resift.errors import ScorerError
from resift.reranking.call import RankCall
from resift.reranking.limits import Limits
from resift.reranking.ranking import Hit, Ranking, ScorerHandle, Stats
from resift.scorer import Scorer, Scores, check_scores
from resift.scoring.pending import PendingRequest
from resift.text.half_pairs import original_place

T = TypeVar("T")


def order_by_score(scorer: Scorer, call: RankCall[T], pending: PendingRequest, limits: Limits) -> Ranking[T]:
    """Return the ranking of a call: best first, and behind them the documents that were not scored.

    Ties keep the scorer's own order, or else the first stage's. Raises ScorerError for scores that can't be used, or
    that `min_relevance` can't cut.
    """
    answer, unscored = pending.answer()
    scores = check_scores(scorer, answer, call.slots, unscored)
    values = scores.values
    waiting = [index for index, slot in enumerate(call.slots) if slot in unscored]
    scored = [index for index in scores.order or range(len(values)) if call.slots[index] not in unscored]
    scored.sort(key=lambda index: -values[index])  # stable
    scale = scores.scale or scorer.scale
    if limits.min_relevance is not None and not scale.has_relevance:
        model = f"{scores.model or scorer.name} answered on the {scale} scale"
        raise ScorerError(f"{model}, which min_relevance={limits.min_relevance} can't cut")
    relevance = {index: scale.relevance(values[index]) for index in scored}
    if limits.min_relevance is not None:  # only what has a score can be found too low
        scored = [index for index in scored if (relevance[index] or 0.0) >= limits.min_relevance]
    order = [*scored, *waiting][: limits.top_k]
    hits = [_hit(call, index, rank, scores, relevance.get(index)) for rank, index in enumerate(order, 1)]
    reasons = [scores.degraded, _why_unscored(len(values) - len(waiting), len(values), pending, limits)]
    return _ranking(scorer, call, hits, scores, "; ".join(filter(None, reasons)) or None)


def keep_first_stage_order(scorer: Scorer, call: RankCall[T], error: ScorerError, limits: Limits) -> Ranking[T]:
    """Return the documents as they came, flagged; `min_relevance` can't cut what has no score."""
    scores = Scores((math.nan,) * len(call.documents))
    hits = [_hit(call, index, index + 1, scores, None) for index in range(len(call.documents))[: limits.top_k]]
    return _ranking(scorer, call, hits, scores, f"first-stage order kept: {error}")


def _why_unscored(scored: int, documents: int, pending: PendingRequest, limits: Limits) -> str | None:
    if scored == documents:
        return None
    if pending.stopped_early:
        return f"{scored} of {documents} scored: the last {limits.patience} brought none into the best {limits.top_k}"
    return f"{scored} of {documents} scored within {limits.deadline:g} s"


def _hit(call: RankCall[T], index: int, rank: int, scores: Scores, relevance: float | None) -> Hit[T]:
    span = scores.spans.get(index)
    text = call.unique[call.slots[index]]
    return Hit(
        document=call.documents[index],
        text=text,
        score=scores.values[index],
        relevance=relevance,
        index=index,
        rank=rank,
        truncated=span is not None and span.truncated,
        span=None if span is None else (original_place(text, span.start), original_place(text, span.end)),
    )


def _ranking(scorer: Scorer, call: RankCall[T], hits: list[Hit[T]], scores: Scores, degraded: str | None) -> Ranking[T]:
    usage = scores.usage
    stats = Stats(
        documents=len(call.documents),
        pairs=usage.pairs,
        tokens=usage.tokens,
        padded_tokens=usage.padded_tokens,
        batches=usage.batches,
        truncated=sum(span.truncated for span in scores.spans.values()),
        cache_hits=usage.cache_hits,
        states_kept=usage.states_kept,
        not_english=min(usage.not_english, len(call.documents)),  # several models may have met the same one
        calls=usage.calls,
        billed=usage.billed,
        seconds={**usage.seconds, "total": time.perf_counter() - call.started},
    )
    model, scale = scores.model or scorer.name, scores.scale or scorer.scale
    return Ranking(call.query, tuple(hits), model, scale, stats, degraded, ScorerHandle(scorer))
