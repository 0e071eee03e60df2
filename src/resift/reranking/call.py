"""A call made ready: the documents of a query with their texts, and what the caller asks of the order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from resift.errors import InputError
from resift.scorer import Request, Scorer, ScorerTraits
from resift.scoring.scheduler import Patience

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RankCall(Generic[T]):
    """One query with its documents: `slots[i]` is the place of document i's text in `unique`."""

    query: str
    documents: tuple[T, ...]
    unique: list[str]
    slots: list[int]
    started: float

    @classmethod
    def of(cls, query: str, documents: Iterable[T], text: Callable[[T], str] | None) -> RankCall[T]:
        """Raises InputError for an empty query and for a document without text."""
        started = time.perf_counter()
        if not isinstance(query, str) or not query.strip():
            raise InputError(f"the query must be a text with something in it, got {query!r}")
        if isinstance(documents, str):
            raise InputError("documents is one text; give a list of documents, [text] for a single one")
        listed = tuple(documents)
        places: dict[str, int] = {}
        slots = [
            places.setdefault(_text_of(document, place, text), len(places)) for place, document in enumerate(listed)
        ]
        return cls(query, listed, list(places), slots, started)

    @classmethod
    def many(
        cls, queries: Sequence[str], documents: Sequence[Iterable[T]], text: Callable[[T], str] | None
    ) -> list[RankCall[T]]:
        """One job per query. Raises InputError unless there is a list of documents for each."""
        if len(queries) != len(documents):
            raise InputError(f"{len(queries)} queries but {len(documents)} lists of documents; give one list per query")
        return [cls.of(query, listed, text) for query, listed in zip(queries, documents, strict=True)]

    @property
    def request(self) -> Request:
        """What a scorer is asked."""
        return Request(self.query, self.unique)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is asked of a ranking: how many documents, how relevant, how soon, and when to stop looking."""

    top_k: int | None
    min_relevance: float | None
    deadline: float | None
    patience: int | None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k must be at least 1, got {self.top_k}; None keeps every document")
        if self.min_relevance is not None and not 0 <= self.min_relevance <= 1:
            raise InputError(f"min_relevance must lie between 0 and 1, got {self.min_relevance}")
        if self.deadline is not None and not self.deadline > 0:
            raise InputError(f"deadline must be more than 0 seconds, got {self.deadline}; None waits for every score")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience must be at least 1 document, got {self.patience}; None scores every document")

    def check(self, scorer: Scorer) -> Limits:
        """The same terms. Raises InputError where they make no sense for this scorer."""
        if self.min_relevance is not None and not scorer.scale.has_relevance:
            raise InputError(
                f"min_relevance={self.min_relevance} can't be used with {scorer.name}: its scores are on the "
                f"{scorer.scale} scale, which says nothing between 0 and 1; use top_k"
            )
        if self.patience is not None and ScorerTraits.of(scorer).whole_lists:
            raise InputError(
                f"patience={self.patience} can't be used with {scorer.name}: it orders a list as a whole, "
                "and can't stop in the middle"
            )
        return self

    @property
    def stopping(self) -> Patience | None:
        """The rule of early stopping; without a `top_k` every document is wanted."""
        return None if self.patience is None or self.top_k is None else Patience(self.patience, self.top_k)

    def left(self, job: RankCall[Any]) -> float | None:
        """Seconds until the deadline."""
        return None if self.deadline is None else max(0.0, job.started + self.deadline - time.perf_counter())


def _text_of(document: T, place: int, text: Callable[[T], str] | None) -> str:
    found: Any = document if text is None else text(document)
    if isinstance(found, str):
        return found
    if text is None:
        raise InputError(
            f"document {place} is a {type(found).__name__}, not a text; say where its text is, "
            "as in rank(query, documents, text=lambda document: document.text)"
        )
    raise InputError(f"text= gave a {type(found).__name__} for document {place}; it must give a str")
