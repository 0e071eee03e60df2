"""Scorers that answer together or in turn: how they are loaded, asked, awaited and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self, cast

from resift._util.arguments import as_list
from resift.errors import InputError, OverloadedError, ScorerError
from resift.models.options import Model
from resift.scorer import (
    AsyncScorer,
    Request,
    Scorer,
    ScorerTraits,
    Scores,
    WrapperScorer,
    check_scores,
    close_scorer,
    scorer_error,
)
from resift.scoring.load import load_scorer
from resift.scoring.queue import ScorerQueue, queue_of


def list_models(name: str, models: Iterable[Model]) -> list[Model]:
    """Return the models as a list, a single name as one of them. Raise InputError for what is no list of models."""
    if isinstance(models, str):
        return [models]
    if isinstance(models, Mapping):
        raise InputError(f"{name} is a {type(models).__name__}; give a list of models, as [one, other]")
    return as_list(name, models, of="models", example="[model]")


class Members(WrapperScorer):
    """Models that are asked as one. Each is whatever `Reranker` takes: a name, a folder or a `Scorer`.

    Those that are given by name are loaded here, and closed with `close`.

    Raises InputError for fewer than `minimum` models.
    """

    def __init__(self, models: Iterable[Model], *, minimum: int = 2) -> None:
        listed = list_models("models", models)
        if len(listed) < minimum:
            raise InputError(f"there is nothing to combine in {listed!r}: give two models or more, as [one, other]")
        scorers: list[Scorer] = []
        loaded: list[Scorer] = []
        try:
            for model in listed:
                scorers.append(load_scorer(model))
                loaded += [scorers[-1]] if scorers[-1] is not model else []
        except BaseException:
            for scorer in loaded:
                close_scorer(scorer)
            raise
        super().__init__(*scorers, loaded=loaded)
        self._queues = {id(scorer): queue_of(scorer) for scorer in scorers}  # held, and their threads with them

    @property
    def whole_lists(self) -> bool:
        """Always: half a list from one model and half from another would be no order."""
        return True

    @property
    def awaitable(self) -> bool:
        """Always: members that can be awaited are, and others have threads of their own."""
        return True

    def _around(self, scorers: Iterable[Scorer]) -> Self:
        copy = super()._around(scorers)
        copy._queues = {id(scorer): queue_of(scorer) for scorer in copy.scorers}
        return copy

    def _queue_of(self, scorer: Scorer) -> ScorerQueue:
        return self._queues.get(id(scorer)) or queue_of(scorer)  # ids are others in an unpickled copy

    def ask(self, scorer: Scorer, requests: Sequence[Request]) -> list[Scores]:
        """Return a member's answers, each with one finite score per document. Raises ScorerError where it has none."""
        call = self._queue_of(scorer).submit(requests)
        call.wait()
        return [
            check_scores(scorer, answer, range(len(request.documents)))
            for answer, request in zip(call.answers(), requests, strict=True)
        ]

    async def ask_async(self, scorer: Scorer, request: Request) -> Scores:
        """Do what `ask` does for one request: await the member if it can be awaited, else wait for its thread."""
        try:
            if ScorerTraits.of(scorer).awaitable:
                answer = await cast("AsyncScorer", scorer).ascore(request.query, request.documents)
            else:
                call = self._queue_of(scorer).submit([request])
                await call.wait_async()
                (answer,) = call.answers()
        except (InputError, OverloadedError, ScorerError):
            raise
        except Exception as error:  # as in score_many: callers catch one type, and the cause is chained
            raise scorer_error(scorer, error) from error
        return check_scores(scorer, answer, range(len(request.documents)))
