"""What goes into a scorer and what comes out of it: requests, scores, and what the numbers mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, overload


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
    """What scoring cost: counts, and seconds by stage. Usages add up with `+`.

    - `pairs`: what the network read; a long document may be several windows.
    - `tokens`: what it had to read; `padded_tokens`: what it did read, padding included.
    - `batches`: batches of the network that took part.
    - `cache_hits`: texts whose score was kept.
    - `states_kept`: pairs whose document was encoded before. They are among `pairs`; their tokens are in neither count.
    - `not_english`: documents that are plainly not English, where the model reads English only.
    - `calls`: requests to a service or an LLM; `billed`: what a service says it charges, by its own units.
    - `seconds`: wall time by stage.
    """

    pairs: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    batches: int = 0
    cache_hits: int = 0
    states_kept: int = 0
    not_english: int = 0
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
            self.not_english + other.not_english,
            self.calls + other.calls,
            _sums(self.billed, other.billed),
            _sums(self.seconds, other.seconds),
        )


def _sums(left: Mapping[str, float], right: Mapping[str, float]) -> dict[str, float]:
    return {name: left.get(name, 0.0) + right.get(name, 0.0) for name in {**left, **right}}


class Span(NamedTuple):
    """The part of a text that gave its score: character offsets, and whether text outside it went unread."""

    start: int
    end: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Scores(Sequence[float]):
    """Scores with what an engine knows beside them. A plain list of floats does as well for a small scorer.

    - `values`: one number per document, in the documents' order.
    - `spans`: index of a document that was not read whole → the part that was.
    - `degraded`: why the scores are not, or not all, what the scorer should have given; it becomes `Ranking.degraded`.
    - `order`: the documents' indices, best first. It decides between equal scores: services round them after sorting.
    - `model`, `scale`: those of the scorer that answered, where another one stood in.
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
