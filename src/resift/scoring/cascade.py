"""Less work for a long list: a cheap scorer over all of it, better ones over the best of what is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from resift._util.arguments import whole_number
from resift.errors import InputError
from resift.models.options import Model
from resift.scorer import Request, Scale, Scores, Span, Usage, as_scores, refuse_nonfinite, score_many
from resift.scoring.members import Members, list_models


class Cascade(Members):
    """Scorers one after another: the first over every text, each further one over the best `keep` of the one before.

    Texts that don't go on keep the order they have, behind those that do. Numbers of two models can't be compared, so
    a score says only how many texts of the list it beats (`Scale.ORDINAL`): there is no relevance, and no
    `min_relevance`. A deadline takes the list whole or not at all.

    Args:
        stages: Two models or more, each whatever `Reranker` takes, the cheapest first. Those given by name are closed
            with the cascade.
        keep: How many texts go on to the next stage: one number for each step, or one number for a single step.

    Raises:
        InputError: Fewer than two stages, or a `keep` that is no whole number or doesn't shrink from step to step.

    >>> from resift.testing import OverlapScorer
    >>> cheap = OverlapScorer()
    >>> list(Cascade([cheap, None], keep=2).score("red fox", ["a red fox", "the red fox", "red wine", "a whale"]))[2:]
    [1.0, 0.0]
    """

    def __init__(self, stages: Iterable[Model], keep: int | Sequence[int]) -> None:
        listed = list_models("stages", stages)
        steps = list(keep) if isinstance(keep, Iterable) and not isinstance(keep, str | bytes) else [keep]
        self.keep = tuple(whole_number("keep", step, 1) for step in steps)
        if len(listed) < 2 or len(self.keep) != len(listed) - 1:
            raise InputError(
                f"a cascade has two stages or more and a keep for each step between them, got {len(listed)} "
                f"stage{'' if len(listed) == 1 else 's'} and keep={keep}"
            )
        if list(self.keep) != sorted(set(self.keep), reverse=True):
            raise InputError(f"keep must shrink from step to step, got {keep}")
        super().__init__(listed)

    @property
    def name(self) -> str:
        """All stages' names, in turn."""
        return " > ".join(stage.name for stage in self.scorers)

    @property
    def scale(self) -> Scale:
        """Only the order means something."""
        return Scale.ORDINAL

    @property
    def awaitable(self) -> bool:
        """Never: the stages compute, one after another."""
        return False

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return how many of the documents each one beats, per request. Raises what the stages raise.

        The documents of all requests are batched together in every stage.
        """
        lists = [_CascadeList(request) for request in requests]
        for stage, count in zip(self.scorers, (None, *self.keep), strict=True):
            best = [(each, indices) for each in lists if (indices := each.best(count))]
            answers = score_many(stage, [each.request_for(indices) for each, indices in best])
            for (each, indices), answer in zip(best, answers, strict=True):
                scores = as_scores(stage, answer, len(indices))
                refuse_nonfinite(stage, dict(zip(indices, scores, strict=True)))
                each.sort(indices, scores)
        return [each.scores() for each in lists]


class _CascadeList:
    """One list on its way through the stages: groups of texts that nothing tells apart, best first."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.groups: list[list[int]] = [list(range(len(request.documents)))]
        self.known = Scores((), Usage())

    def best(self, count: int | None) -> list[int]:
        """Return the indices of the best `count` texts; ties go by a stage's own order, or else the first stage's."""
        return [index for group in self.groups for index in group][:count]

    def request_for(self, indices: Sequence[int]) -> Request:
        return Request(self.request.query, [self.request.documents[index] for index in indices])

    def sort(self, indices: Sequence[int], scores: Scores) -> None:
        """Put these texts in the order of their scores, in front of all others."""
        by_score: dict[float, list[int]] = {}
        ties = scores.order or sorted(range(len(indices)), key=indices.__getitem__)
        for position in sorted(ties, key=lambda position: -scores[position]):
            by_score.setdefault(scores[position], []).append(indices[position])
        taken = set(indices)
        behind = [[index for index in group if index not in taken] for group in self.groups]
        self.groups = [*by_score.values(), *filter(None, behind)]
        spans: dict[int, Span] = {index: span for index, span in self.known.spans.items() if index not in taken}
        spans |= {indices[position]: span for position, span in scores.spans.items()}
        usage = self.known.usage + scores.usage
        self.known = replace(self.known, usage=usage, spans=spans, degraded=self.known.degraded or scores.degraded)

    def scores(self) -> Scores:
        values = [0.0] * len(self.request.documents)
        behind = len(values)
        for group in self.groups:
            behind -= len(group)
            for index in group:
                values[index] = float(behind)
        return replace(self.known, values=tuple(values), order=tuple(self.best(None)))
