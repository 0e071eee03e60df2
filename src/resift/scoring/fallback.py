"""Scorers that are asked in turn, until one answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from resift.errors import InputError, ScorerError
from resift.models.options import Model
from resift.scorer import Request, Scale, Scorer, Scores
from resift.scoring.members import Members, ask

logger = logging.getLogger(__name__)


class Fallback(Members):
    """Asks the first model, and the next where it fails: a service, then a model on this machine.

    A ranking bears the name and scale of the model that answered; where that wasn't the first, `degraded` says which
    did and why. A model that failed isn't asked again for `rest` seconds, so that a service that is down
    costs its timeout once, not with every query. What resift itself refuses (InputError) is no failure.

    `scale` is the first model's, or that of one whose scores have no relevance: with such a one among them,
    `min_relevance` is refused from the start, not on the day the service is down.

    >>> from resift import Reranker
    >>> from resift.testing import OverlapScorer, ScriptedScorer
    >>> down = ScriptedScorer(OSError("no route to host"), name="service")
    >>> ranking = Reranker(Fallback([down, OverlapScorer()])).rank("red fox", ["a whale", "the red fox"])
    >>> ranking.documents, ranking.model
    (['the red fox', 'a whale'], 'overlap')
    >>> ranking.degraded
    'overlap answered: service failed: OSError: no route to host'
    """

    def __init__(self, models: Iterable[Model], *, rest: float = 0.0) -> None:
        if not rest >= 0:
            raise InputError(f"rest is a number of seconds, 0 or more, got {rest}")
        super().__init__(models)
        self.rest = rest
        self.name = ", else ".join(scorer.name for scorer in self.scorers)
        self._failures: dict[int, tuple[float, str]] = {}

    @property
    def scale(self) -> Scale:
        """What the numbers of every member can be read as."""
        scales = [scorer.scale for scorer in self.scorers]
        return next((scale for scale in scales if not scale.has_relevance), scales[0])

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """The scores of the first model that has any. Raises ScorerError, with every model's reason, where none has."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries, all answered by the same model."""
        reasons: list[str] = []
        failure: ScorerError | None = None
        for place, scorer in self._turns(reasons):
            try:
                return [_signed(scorer, answer, reasons) for answer in ask(scorer, requests)]
            except ScorerError as error:
                failure = self._note(place, error, reasons)
        raise ScorerError(f"no model answered: {'; '.join(reasons)}") from failure

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """`score` without blocking the event loop."""
        reasons: list[str] = []
        failure: ScorerError | None = None
        for place, scorer in self._turns(reasons):
            try:
                return _signed(scorer, await self.aask(scorer, Request(query, documents)), reasons)
            except ScorerError as error:
                failure = self._note(place, error, reasons)
        raise ScorerError(f"no model answered: {'; '.join(reasons)}") from failure

    def _turns(self, reasons: list[str]) -> Iterator[tuple[int, Scorer]]:
        """The models to ask, in turn. One that rests is passed over, for the reason it gave, but never the last."""
        for place, scorer in enumerate(self.scorers):
            until, reason = self._failures.get(place, (0.0, ""))
            if time.monotonic() < until and place < len(self.scorers) - 1:
                reasons.append(reason)
            else:
                yield place, scorer

    def _note(self, place: int, error: ScorerError, reasons: list[str]) -> ScorerError:
        logger.warning("the next model is asked: %s", error)
        reasons.append(str(error))
        self._failures[place] = (time.monotonic() + self.rest, str(error))
        return error


def _signed(scorer: Scorer, answer: Scores, failures: Sequence[str]) -> Scores:
    """The answer with the name and scale of the model that gave it, and why it was its turn."""
    model = answer.model or scorer.name
    reasons = [f"{model} answered: {'; '.join(failures)}"] if failures else []
    reasons += [] if answer.degraded is None else [answer.degraded]
    return replace(answer, degraded="; ".join(reasons) or None, model=model, scale=answer.scale or scorer.scale)
