"""The one small protocol every engine meets: a query and texts go in, one number per text comes out."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple, Protocol, overload, runtime_checkable

from resift.errors import InputError, ScorerError


class Scale(StrEnum):
    """What a scorer's numbers mean. Higher is always better; only some scales say how relevant a text is.

    >>> Scale.LOGIT.relevance(0.0), Scale.PROBABILITY.relevance(0.25), Scale.ORDINAL.relevance(3.0)
    (0.5, 0.25, None)
    """

    LOGIT = "logit"
    """Log-odds of being relevant; `relevance` is its sigmoid, in float64."""
    PROBABILITY = "probability"
    """Already 0..1, as many services answer; `relevance` is the score itself."""
    SIMILARITY = "similarity"
    """Comparable within one model (a cosine, a MaxSim sum), but no probability of anything."""
    ORDINAL = "ordinal"
    """Only the order means something."""

    @property
    def has_relevance(self) -> bool:
        """Whether scores of this scale can be read as 0..1, and so be cut by `min_relevance`."""
        return self in (Scale.LOGIT, Scale.PROBABILITY)

    def relevance(self, score: float) -> float | None:
        """The score as 0..1, or None where this scale has no such reading."""
        if self is Scale.PROBABILITY:
            return score
        if self is not Scale.LOGIT:
            return None
        # Two branches, so that neither end overflows.
        return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


class Request(NamedTuple):
    """One query and the texts to score for it."""

    query: str
    documents: Sequence[str]


@dataclass(frozen=True, slots=True)
class Usage:
    """What scoring cost: counts, and seconds by stage. Usages of one pass add up with `+`.

    `pairs` counts what the network read (a long document may be several windows), `tokens` what it had to
    read, `padded_tokens` what it did read, padding included; `calls` the requests to a service or an LLM,
    `billed` what a service says it will charge, by its own units. `states_kept` counts the pairs whose document
    was encoded before and kept: they are among `pairs`, and their tokens in neither count.
    """

    pairs: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    batches: int = 0
    cache_hits: int = 0
    states_kept: int = 0
    calls: int = 0
    billed: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.pairs + other.pairs,
            self.tokens + other.tokens,
            self.padded_tokens + other.padded_tokens,
            self.batches + other.batches,
            self.cache_hits + other.cache_hits,
            self.states_kept + other.states_kept,
            self.calls + other.calls,
            _sums(self.billed, other.billed),
            _sums(self.seconds, other.seconds),
        )


def _sums(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


class Span(NamedTuple):
    """The part of a text that gave its score: character offsets, and whether text outside it went unread."""

    start: int
    end: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Scores(Sequence[float]):
    """Scores with what an engine knows beside them. A plain list of floats does as well for a small scorer.

    `spans` holds an entry for each document that did not go through whole, by its place. `degraded` says why
    the scores are not, or not wholly, what the scorer should have given; it becomes `Ranking.degraded`.
    `order`, if given, has the documents' places, best first, and decides between equal scores: services round
    them after sorting.
    `model` and `scale` are those of the scorer that answered, where another stood in for the one that was asked.
    """

    values: tuple[float, ...]
    usage: Usage = field(default_factory=Usage)
    spans: Mapping[int, Span] = field(default_factory=dict)
    degraded: str | None = None
    order: tuple[int, ...] = ()
    model: str | None = None
    scale: Scale | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[float]:
        return iter(self.values)

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[float, ...]: ...
    def __getitem__(self, index: int | slice) -> float | tuple[float, ...]:
        return self.values[index]


class Scorer(Protocol):
    """Anything that can say how well each text answers a query.

    `score` returns one finite number per document, in the documents' order, higher is better. Two more
    methods are optional, with defaults that are right for every scorer: `score_many` (`ManyScorer`) where
    several queries can share the work, `ascore` (`AsyncScorer`) where scoring waits rather than computes.
    """

    @property
    def name(self) -> str:
        """Names the model in results and errors."""

    @property
    def scale(self) -> Scale:
        """What the numbers mean."""

    def score(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        """One number per document, in their order."""


@runtime_checkable
class ManyScorer(Protocol):
    """A scorer that serves several queries in one pass."""

    def score_many(self, requests: Sequence[Request]) -> Sequence[Sequence[float]]:
        """One sequence of scores per request, in their order."""


@runtime_checkable
class AsyncScorer(Protocol):
    """A scorer that can be awaited without a thread, such as a service client."""

    async def ascore(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        """As `Scorer.score`."""


def takes_whole_lists(scorer: Scorer) -> bool:
    """Whether its scores can be compared within one call only: an order, or the answer of whichever model could."""
    return scorer.scale is Scale.ORDINAL or getattr(scorer, "whole_lists", False)


def score_many(scorer: Scorer, requests: Sequence[Request]) -> list[Sequence[float]]:
    """The scores of every request, in one pass where the scorer has one.

    Raises ScorerError when the scorer fails or answers for another number of requests. What resift itself
    refuses (`InputError`: an impossible query) passes through unchanged.
    """
    try:
        if isinstance(scorer, ManyScorer):
            answers = list(scorer.score_many(requests))
        else:
            answers = [scorer.score(query, documents) for query, documents in requests]
    except (InputError, ScorerError):
        raise
    except Exception as error:  # an engine may raise anything; callers catch one type, and the cause is chained
        raise failed(scorer, error) from error
    if len(answers) != len(requests):
        raise ScorerError(f"{scorer.name}: {len(requests)} requests went in, {len(answers)} answers came out")
    return answers


def failed(scorer: Scorer, error: Exception) -> ScorerError:
    """The ScorerError that says which scorer failed and how."""
    return ScorerError(f"{scorer.name} failed: {type(error).__name__}: {error}")


def counted(scorer: Scorer, answer: Sequence[float], texts: int) -> Scores:
    """The answer for so many texts as `Scores` of plain floats. Raises ScorerError on a wrong count."""
    known = answer if isinstance(answer, Scores) else Scores(())
    values = tuple(float(value) for value in answer)
    if len(values) != texts:
        raise ScorerError(f"{scorer.name}: {texts} texts went in, {len(values)} scores came out")
    return replace(known, values=values)


def refuse_nonfinite(scorer: Scorer, scores: Mapping[int, float]) -> None:
    """Raises ScorerError where a score is NaN or infinite, naming the documents' places."""
    bad = tuple(place for place, score in scores.items() if not math.isfinite(score))
    if bad:
        shown = ", ".join(f"document {place}: {scores[place]}" for place in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise ScorerError(
            f"{scorer.name}: {len(bad)} of {len(scores)} scores are not finite ({shown}{more})", places=bad
        )


def check_scores(
    scorer: Scorer, answer: Sequence[float], slots: Sequence[int], unscored: Container[int] = ()
) -> Scores:
    """The answer for unique texts as `Scores` of plain floats for every document.

    `slots[i]` is the place of document i's text among the unique texts that were scored; those in `unscored`
    were left out on purpose and may be NaN. Raises ScorerError on a wrong count, and on NaN or infinite scores,
    naming the documents' places.
    """
    known = counted(scorer, answer, len(set(slots)))
    spread = tuple(known[slot] for slot in slots)
    refuse_nonfinite(scorer, {place: spread[place] for place, slot in enumerate(slots) if slot not in unscored})
    spans = {place: known.spans[slot] for place, slot in enumerate(slots) if slot in known.spans}
    rank = {slot: place for place, slot in enumerate(known.order)}
    order = sorted(range(len(slots)), key=lambda place: rank.get(slots[place], len(known))) if rank else ()
    return replace(known, values=spread, spans=spans, order=tuple(order))
