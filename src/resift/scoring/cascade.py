"""Less work for a long list: a cheap scorer over all of it, better ones over the best of what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from resift.errors import InputError
from resift.models.options import Model
from resift.scorer import Request, Scale, Scores, Span, Usage, as_scores, refuse_nonfinite, score_many
from resift.scoring.load import load_scorer


class Cascade:
    """Scorers one after another: the first over every text, each further one over the best `keep` of the one before.

    `stages` are scorers or models' names, cheapest first; `keep` is how many texts go on to the next stage, one
    number for each step. Texts that don't go on keep the order they have, behind those that do.

    Numbers of two models can't be compared, so a score says only how many texts of the list it beats
    (`Scale.ORDINAL`): there is no relevance, and no `min_relevance`. A deadline takes the list whole or not at all.

    Raises InputError for fewer than two stages, and for a `keep` that doesn't shrink from step to step.

    >>> from resift.testing import OverlapScorer
    >>> cheap = OverlapScorer()
    >>> list(Cascade([cheap, None], keep=2).score("red fox", ["a red fox", "the red fox", "red wine", "a whale"]))[2:]
    [1.0, 0.0]
    """

    scale = Scale.ORDINAL

    def __init__(self, stages: Sequence[Model], keep: int | Sequence[int]) -> None:
        self.keep = (keep,) if isinstance(keep, int) else tuple(keep)
        if len(stages) < 2 or len(self.keep) != len(stages) - 1:
            raise InputError(
                f"a cascade has two stages or more and a keep for each step between them, got {len(stages)} stages "
                f"and keep={keep}"
            )
        if min(self.keep) < 1 or list(self.keep) != sorted(set(self.keep), reverse=True):
            raise InputError(f"keep must be at least 1 and shrink from step to step, got {keep}")
        self.stages = tuple(load_scorer(stage) for stage in stages)
        self.name = " > ".join(stage.name for stage in self.stages)

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """How many of the documents each one beats. Raises what the stages raise."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries, their documents batched together in every stage."""
        runs = [_Run(request) for request in requests]
        for stage, going_on in zip(self.stages, (None, *self.keep), strict=True):
            asked = [run.best(going_on) for run in runs]
            filled = [run for run, places in zip(runs, asked, strict=True) if places]
            answers = score_many(stage, [run.part(places) for run, places in zip(runs, asked, strict=True) if places])
            for run, places, answer in zip(filled, filter(None, asked), answers, strict=True):
                scores = as_scores(stage, answer, len(places))
                refuse_nonfinite(stage, dict(zip(places, scores, strict=True)))
                run.sort(places, scores)
        return [run.scores() for run in runs]


class _Run:
    """One list on its way through the stages: groups of texts that nothing tells apart, best first."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.order: list[list[int]] = [list(range(len(request.documents)))]
        self.known = Scores((), Usage())

    def best(self, count: int | None) -> list[int]:
        """The places of the best `count` texts; ties go by a stage's own order, or else the first stage's."""
        return [place for group in self.order for place in group][:count]

    def part(self, places: Sequence[int]) -> Request:
        return Request(self.request.query, [self.request.documents[place] for place in places])

    def sort(self, places: Sequence[int], scores: Scores) -> None:
        """Puts these places in the order of their scores, in front of all others."""
        by_score: dict[float, list[int]] = {}
        ties = scores.order or sorted(range(len(places)), key=places.__getitem__)
        for number in sorted(ties, key=lambda number: -scores[number]):
            by_score.setdefault(scores[number], []).append(places[number])
        taken = set(places)
        behind = [[place for place in group if place not in taken] for group in self.order]
        self.order = [*by_score.values(), *filter(None, behind)]
        spans: dict[int, Span] = {place: span for place, span in self.known.spans.items() if place not in taken}
        spans |= {places[number]: span for number, span in scores.spans.items()}
        usage = self.known.usage + scores.usage
        self.known = replace(self.known, usage=usage, spans=spans, degraded=self.known.degraded or scores.degraded)

    def scores(self) -> Scores:
        values = [0.0] * len(self.request.documents)
        behind = len(values)
        for group in self.order:
            behind -= len(group)
            for place in group:
                values[place] = float(behind)
        return replace(self.known, values=tuple(values), order=tuple(self.best(None)))
