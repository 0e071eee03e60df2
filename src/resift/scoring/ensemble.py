"""Scorers that are all asked, and one number made of what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Literal

from resift._util.arguments import number
from resift.errors import InputError, ScorerError
from resift.models.options import Model
from resift.scorer import Request, Scale, Scores, Span, Usage
from resift.scoring.fusion import check_weights, reciprocal_ranks
from resift.scoring.members import Members

By = Literal["relevance", "standard", "rank"]
SCALES: dict[By, Scale] = {"relevance": Scale.PROBABILITY, "standard": Scale.ORDINAL, "rank": Scale.ORDINAL}


class Ensemble(Members):
    """Asks every model and combines their answers. If one fails, so does the ensemble.

    `by` says what a score is:

    - "relevance": the weighted mean of the members' relevances, 0..1. Members whose scale has none are refused.
    - "standard": the weighted mean of scores standardised within the list (mean 0, deviation 1). Any scales mix.
    - "rank": the sum of weight / (60 + rank), reciprocal rank fusion. Any scales mix, and distances don't count.

    Scores of the last two depend on the whole list: they order one query's documents and mean no more. Async calls ask
    members that can be awaited (services) all at once.

    Args:
        models: Two models or more, each whatever `Reranker` takes. Those given by name are closed with the ensemble.
        weights: One number per model; 1 each unless given.
        by: "relevance", "standard" or "rank".

    Raises:
        InputError: Fewer than two models, impossible weights, or a member without relevance for `by="relevance"`.

    >>> from resift import Reranker
    >>> from resift.testing import OverlapScorer, ScriptedScorer
    >>> both = Reranker(Ensemble([OverlapScorer(), ScriptedScorer([0.0, 0.0])], weights=[3, 1]))
    >>> [(hit.document, hit.score) for hit in both.rank("red fox", ["a whale", "the red fox"])]
    [('the red fox', 0.875), ('a whale', 0.125)]
    """

    def __init__(
        self, models: Iterable[Model], *, weights: Sequence[float] | None = None, by: By = "relevance"
    ) -> None:
        if by not in tuple(SCALES):
            raise InputError(f"by is one of {', '.join(SCALES)}, not {by!r}")
        super().__init__(models)
        self.weights = check_weights(weights, len(self.scorers))
        self.by = by
        for scorer in self.scorers:
            if by == "relevance" and not scorer.scale.has_relevance:
                raise InputError(
                    f"{scorer.name} scores on the {scorer.scale} scale, which has no relevance to average: "
                    "use by='standard' or by='rank'"
                )

    @property
    def scale(self) -> Scale:
        """What `by` makes of the members' scores."""
        return SCALES[self.by]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return one answer per request, in one pass through each member. Raises what a member raises."""
        answers = [self.ask(scorer, requests) for scorer in self.scorers]
        return [self._join(listed) for listed in zip(*answers, strict=True)]

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """Return `score` without blocking the event loop; members that can be awaited are asked all at once."""
        tasks = [asyncio.create_task(self.ask_async(scorer, Request(query, documents))) for scorer in self.scorers]
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
        if self.by == "rank":
            totals = reciprocal_ranks([_order(answer) for answer in answers], self.weights)
            return [totals[index] for index in range(len(answers[0]))]
        columns = [_standardise(answer) for answer in answers] if self.by == "standard" else self._relevances(answers)
        return [fmean(row, self.weights) for row in zip(*columns, strict=True)]

    def _relevances(self, answers: Sequence[Scores]) -> list[list[float]]:
        columns = []
        for scorer, answer in zip(self.scorers, answers, strict=True):
            scale = answer.scale or scorer.scale
            column = [relevance for score in answer if (relevance := scale.relevance(score)) is not None]
            if len(column) != len(answer):
                raise ScorerError(
                    f"{answer.model or scorer.name} answered on the {scale} scale, which has no relevance"
                )
            columns.append(column)
        return columns


class Fused(Ensemble):
    """Fuses a model's order with the first stage's by reciprocal rank.

    The order in which documents are given is the first stage's. A score is weight / (60 + first-stage rank) plus
    (1 - weight) / (60 + the model's rank).

    Args:
        model: Whatever `Reranker` takes.
        weight: The first stage's share, 0..1.

    Raises:
        InputError: A weight outside 0..1.

    >>> from resift import Reranker
    >>> from resift.testing import ScriptedScorer
    >>> reversed = ScriptedScorer([1.0, 2.0, 3.0])
    >>> Reranker(Fused(reversed, weight=0.6)).rank("q", ["a", "b", "c"]).documents
    ['a', 'b', 'c']
    """

    def __init__(self, model: Model = None, *, weight: float = 0.3) -> None:
        if not 0 <= number("weight", weight) <= 1:
            raise InputError(f"weight is the first stage's share, between 0 and 1, got {weight}")
        super().__init__([FirstStageOrder(), model], weights=[weight, 1 - weight], by="rank")

    @property
    def name(self) -> str:
        """The model's name and the first stage."""
        return f"{self.scorers[1].name} + first stage"


class FirstStageOrder:
    """The order in which documents came, as a scorer."""

    name, scale = "first stage", Scale.ORDINAL

    def score(self, query: str, documents: Sequence[str]) -> list[float]:  # noqa: ARG002  # the order came from it
        """Return 0, -1, -2, ...: scores that reproduce the given order."""
        return [-float(index) for index in range(len(documents))]

    async def ascore(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return `score`; there is nothing to wait for."""
        return self.score(query, documents)

    def with_instruction(self, instruction: str) -> FirstStageOrder:  # noqa: ARG002  # it changes no order of arrival
        """Return the same: no instruction changes it."""
        return self


def _order(scores: Scores) -> list[int]:
    """Return the indices, best first; equal scores in the scorer's own order, or else in the given one."""
    return sorted(scores.order or range(len(scores)), key=lambda index: -scores[index])


def _standardise(scores: Sequence[float]) -> list[float]:
    """Return the scores with mean 0 and deviation 1; all 0 where they are the same."""
    if not scores:
        return []
    mean, deviation = fmean(scores), pstdev(scores)
    return [(score - mean) / deviation if deviation else 0.0 for score in scores]


def _spans(by_member: Sequence[Mapping[int, Span]]) -> dict[int, Span]:
    """Return what the members together read of each document; it is truncated where any member cut it."""
    spans: dict[int, Span] = {}
    for index in sorted({index for spans_of_member in by_member for index in spans_of_member}):
        parts = [spans_of_member[index] for spans_of_member in by_member if index in spans_of_member]
        start, end = min(part.start for part in parts), max(part.end for part in parts)
        spans[index] = Span(start, end, any(part.truncated for part in parts))
    return spans
