"""Scorers that are asked in turn, until one answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from resift._util.arguments import number
from resift.errors import InputError, ScorerError
from resift.models.options import Model
from resift.scorer import Request, Scale, Scorer, Scores
from resift.scoring.members import Members

logger = logging.getLogger(__name__)


class Fallback(Members):
    """Asks the first model, and the next where it fails: a service, then a model on this machine.

    A ranking bears the name and scale of the model that answered. Where that wasn't the first, `degraded` says which
    one did and why. What resift itself refuses (InputError) is no failure.

    `scale` is the first model's, or that of a member whose scores have no relevance: with such a member,
    `min_relevance` is refused from the start, not on the day the service is down.

    Args:
        models: Two models or more, each whatever `Reranker` takes, the preferred first. Those given by name are closed
            with the fallback.
        rest: Seconds for which a model that failed isn't asked again, so that a service that is down costs its timeout
            once, not with every query.

    Raises:
        InputError: Fewer than two models, or an impossible `rest`.

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
        if not number("rest", rest) >= 0:
            raise InputError(f"rest is a number of seconds, 0 or more, got {rest}")
        super().__init__(models)
        self.rest = rest
        self._failures: dict[int, tuple[float, str]] = {}

    @property
    def name(self) -> str:
        """All members' names, in turn."""
        return ", else ".join(scorer.name for scorer in self.scorers)

    @property
    def scale(self) -> Scale:
        """What the numbers of every member can be read as."""
        scales = [scorer.scale for scorer in self.scorers]
        return next((scale for scale in scales if not scale.has_relevance), scales[0])

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return one answer per request, all of the first model that has any.

        Raises ScorerError, with every model's reason, where none has.
        """
        reasons: list[str] = []
        failure: ScorerError | None = None
        for index, scorer in self._turns(reasons):
            try:
                return [_name_model(scorer, answer, reasons) for answer in self.ask(scorer, requests)]
            except ScorerError as error:
                failure = self._note_failure(index, error, reasons)
        raise ScorerError(f"no model answered: {'; '.join(reasons)}") from failure

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """Return `score` without blocking the event loop."""
        reasons: list[str] = []
        failure: ScorerError | None = None
        for index, scorer in self._turns(reasons):
            try:
                return _name_model(scorer, await self.ask_async(scorer, Request(query, documents)), reasons)
            except ScorerError as error:
                failure = self._note_failure(index, error, reasons)
        raise ScorerError(f"no model answered: {'; '.join(reasons)}") from failure

    def _turns(self, reasons: list[str]) -> Iterator[tuple[int, Scorer]]:
        """Yield the models to ask, in turn. One that rests is passed over with its last reason, but never the last."""
        for index, scorer in enumerate(self.scorers):
            until, reason = self._failures.get(index, (0.0, ""))
            if time.monotonic() < until and index < len(self.scorers) - 1:
                reasons.append(reason)
            else:
                yield index, scorer

    def _note_failure(self, index: int, error: ScorerError, reasons: list[str]) -> ScorerError:
        logger.warning("the next model is asked: %s", error)
        reasons.append(str(error))
        self._failures[index] = (time.monotonic() + self.rest, str(error))
        return error


def _name_model(scorer: Scorer, answer: Scores, failures: Sequence[str]) -> Scores:
    """Return the answer with the name and scale of the model that gave it, and why it was that one's turn."""
    model = answer.model or scorer.name
    reasons = [f"{model} answered: {'; '.join(failures)}"] if failures else []
    reasons += [] if answer.degraded is None else [answer.degraded]
    return replace(answer, degraded="; ".join(reasons) or None, model=model, scale=answer.scale or scorer.scale)
