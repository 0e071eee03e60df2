"""Scorers that are all asked, and one number made of what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Literal

from resift.errors import InputError, ScorerError
from resift.models.options import Model
from resift.scorer import Request, Scale, Scores, Span, Usage
from resift.scoring.fusion import check_weights, reciprocal_ranks
from resift.scoring.members import Members, ask

By = Literal["relevance", "standard", "rank"]
SCALES: dict[By, Scale] = {"relevance": Scale.PROBABILITY, "standard": Scale.ORDINAL, "rank": Scale.ORDINAL}


class Ensemble(Members):
    """Asks every model and combines what they say. If one fails, so does the ensemble.

    What a score is, `by` says:

    - "relevance": the weighted mean of the members' relevances, 0..1. Members whose scale has none are refused.
    - "standard": the weighted mean of scores standardised within the list (mean 0, deviation 1). Any scales mix.
    - "rank": the sum of weight / (60 + rank), reciprocal rank fusion. Any scales mix, and distances don't count.

    The last two depend on the whole list, so that they order one query's documents and mean no more. All weights are
    1 unless given. Async calls ask members that can be awaited (services) all at once.

    >>> from resift import Reranker
    >>> from resift.testing import OverlapScorer, ScriptedScorer
    >>> both = Reranker(Ensemble([OverlapScorer(), ScriptedScorer([0.0, 0.0])], weights=[3, 1]))
    >>> [(hit.document, hit.score) for hit in both.rank("red fox", ["a whale", "the red fox"])]
    [('the red fox', 0.875), ('a whale', 0.125)]
    """

    def __init__(
        self, models: Iterable[Model], *, weights: Sequence[float] | None = None, by: By = "relevance"
    ) -> None:
        if by not in SCALES:
            raise InputError(f"by is one of {', '.join(SCALES)}, not {by!r}")
        super().__init__(models)
        self.weights = check_weights(weights, len(self.scorers))
        self.by = by
        self.name = " + ".join(scorer.name for scorer in self.scorers)
        self.scale = SCALES[by]
        for scorer in self.scorers:
            if by == "relevance" and not scorer.scale.has_relevance:
                raise InputError(
                    f"{scorer.name} scores on the {scorer.scale} scale, which has no relevance to average: "
                    "use by='standard' or by='rank'"
                )

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One number per document. Raises what a member raises."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries, in one pass through each member."""
        answers = [ask(scorer, requests) for scorer in self.scorers]
        return [self._join(listed) for listed in zip(*answers, strict=True)]

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """`score` without blocking the event loop."""
        tasks = [asyncio.create_task(self.aask(scorer, Request(query, documents))) for scorer in self.scorers]
        try:
            return self._join(await asyncio.gather(*tasks))
        finally:
            for task in tasks:  # those still running when one has failed: nobody will read their answers
                task.cancel()

    def _join(self, answers: Sequence[Scores]) -> Scores:
        reasons = [answer.degraded for answer in answers if answer.degraded is not None]
        return Scores(
            tuple(self._values(answers)),
            sum((answer.usage for answer in answers), Usage()),
            _spans([answer.spans for answer in answers]),
            "; ".join(reasons) or None,
        )

    def _values(self, answers: Sequence[Scores]) -> list[float]:
        places = range(len(answers[0]))
        if self.by == "rank":
            totals = reciprocal_ranks([_order(answer) for answer in answers], self.weights)
            return [totals[place] for place in places]
        columns = [_standardised(answer) for answer in answers] if self.by == "standard" else self._relevances(answers)
        return [fmean(row, self.weights) for row in zip(*columns, strict=True)]

    def _relevances(self, answers: Sequence[Scores]) -> list[list[float]]:
        columns = []
        for scorer, answer in zip(self.scorers, answers, strict=True):
            scale = answer.scale or scorer.scale
            found = [relevance for score in answer if (relevance := scale.relevance(score)) is not None]
            if len(found) != len(answer):
                raise ScorerError(
                    f"{answer.model or scorer.name} answered on the {scale} scale, which has no relevance"
                )
            columns.append(found)
        return columns


class Fused(Ensemble):
    """A model's order fused with the first stage's by reciprocal rank, where the first stage weighs `weight`, 0..1.

    The order in which documents are given is the first stage's. A score is weight / (60 + first-stage rank) plus
    (1 - weight) / (60 + the model's rank).

    >>> from resift import Reranker
    >>> from resift.testing import ScriptedScorer
    >>> reversed = ScriptedScorer([1.0, 2.0, 3.0])
    >>> Reranker(Fused(reversed, weight=0.6)).rank("q", ["a", "b", "c"]).documents
    ['a', 'b', 'c']
    """

    def __init__(self, model: Model = None, *, weight: float = 0.3) -> None:
        if not 0 <= weight <= 1:
            raise InputError(f"weight is the first stage's share, between 0 and 1, got {weight}")
        super().__init__([FirstStageOrder(), model], weights=[weight, 1 - weight], by="rank")
        self.name = f"{self.scorers[1].name} + first stage"


class FirstStageOrder:
    """The order in which documents came, as a scorer."""

    name, scale = "first stage", Scale.ORDINAL

    def score(self, query: str, documents: Sequence[str]) -> list[float]:  # noqa: ARG002  # the order came from it
        """Less and less."""
        return [-float(place) for place in range(len(documents))]

    async def ascore(self, query: str, documents: Sequence[str]) -> list[float]:
        """As `score`: there is nothing to wait for."""
        return self.score(query, documents)


def _order(scores: Scores) -> list[int]:
    """Places, best first; equal scores in the scorer's own order, or else in that in which they came."""
    return sorted(scores.order or range(len(scores)), key=lambda place: -scores[place])


def _standardised(scores: Sequence[float]) -> list[float]:
    """Mean 0 and deviation 1; all 0 where the scores are the same."""
    if not scores:
        return []
    mean, deviation = fmean(scores), pstdev(scores)
    return [(score - mean) / deviation if deviation else 0.0 for score in scores]


def _spans(found: Sequence[Mapping[int, Span]]) -> dict[int, Span]:
    """What the members read of each document that didn't go through whole; cut is cut, whichever member did it."""
    spans: dict[int, Span] = {}
    for place in sorted({place for one in found for place in one}):
        parts = [one[place] for one in found if place in one]
        start, end = min(part.start for part in parts), max(part.end for part in parts)
        spans[place] = Span(start, end, any(part.truncated for part in parts))
    return spans
