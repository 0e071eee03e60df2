"""Scorers that answer together or in turn: how they are loaded, asked, awaited and checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resift.errors import InputError, OverloadedError, ScorerError
from resift.models.options import Model
from resift.scorer import LongDocuments
from resift.scorer import AsyncScorer, Request, Scorer, Scores, check_scores, failed, score_many
from resift.scoring.load import load_scorer
from resift.scoring.scheduler import asked, lane_of


class Members:
    """Models that are asked as one. Each is whatever `Reranker` takes: a name, a folder or a `Scorer`."""

    def __init__(self, models: Iterable[Model]) -> None:
        listed = [models] if isinstance(models, str) else list(models)
        if len(listed) < 2:
            raise InputError(f"there is nothing to combine in {listed!r}: give two models or more, as [one, other]")
        self.scorers: tuple[Scorer, ...] = tuple(load_scorer(model) for model in listed)
        self._lanes = [lane_of(scorer) for scorer in self.scorers]  # held, and their threads with them

    whole_lists = True
    """Half a list from one model and half from another would be no order: a deadline takes all of it or nothing."""

    @property
    def long_documents(self) -> LongDocuments | None:
        """What all members that read texts do about long ones; None where they differ."""
        modes = {mode for scorer in self.scorers if (mode := getattr(scorer, "long_documents", None)) is not None}
        return modes.pop() if len(modes) == 1 else None

    async def aask(self, scorer: Scorer, request: Request) -> Scores:
        """`ask` for one request: a scorer that can be awaited is, any other runs on its own thread."""
        try:
            if isinstance(scorer, AsyncScorer):
                answer = await scorer.ascore(request.query, request.documents)
            else:
                (answer,) = await asked(scorer, [request]).await_(None)
        except (InputError, OverloadedError, ScorerError):
            raise
        except Exception as error:  # as in score_many: callers catch one type, and the cause is chained
            raise failed(scorer, error) from error
        return check_scores(scorer, answer, range(len(request.documents)))


def ask(scorer: Scorer, requests: Sequence[Request]) -> list[Scores]:
    """A member's answers, each with one finite score per document. Raises ScorerError where it has none."""
    # A scorer that waits for a service gains nothing from waiting in turn.
    answers: Sequence[Sequence[float]] = (
        score_many(scorer, requests) if isinstance(scorer, AsyncScorer) else asked(scorer, requests).wait(None)
    )
    return [
        check_scores(scorer, answer, range(len(request.documents)))
        for answer, request in zip(answers, requests, strict=True)
    ]
