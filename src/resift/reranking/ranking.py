"""What comes back: hits in order, what they cost, and why the order is degraded, if it is."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from resift._util.arguments import whole_number
from resift.errors import InputError
from resift.reranking.sentences import Pruned, ScoredSentence
from resift.scorer import Scale, Scorer

if TYPE_CHECKING:
    from resift.explanation.explain import Method
    from resift.explanation.explanation import Explanation
    from resift.explanation.occlusion import Unit

T = TypeVar("T")

ROWS_SHOWN = 50  # of a notebook table
ANSWERABLE = 0.2
"""The relevance from which on a hit may be an answer. Texts of another subject hardly reach it: docs/evidence.md."""


def not_enough(best: float, enough: float) -> str:
    """Return what an agent is told where nothing is relevant enough, with as many digits as show that.

    >>> not_enough(0.1972, 0.2)
    "Nothing here is relevant enough: the best has a relevance of 0.197. Don't answer from it."
    """
    shown = next((text for digits in range(2, 9) if float(text := f"{best:.{digits}f}") < enough), f"{best}")
    return f"Nothing here is relevant enough: the best has a relevance of {shown}. Don't answer from it."


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    """One document in its new place."""

    document: T
    """The caller's own object, untouched."""
    text: str
    """The text that was scored."""
    score: float
    """The model's own number, on the ranking's scale; NaN where the scorer failed and the order was kept."""
    relevance: float | None
    """The score as 0..1; None where the scale has no such reading, or the score is NaN."""
    index: int
    """Its index in the documents that were given: its first-stage position, from 0."""
    rank: int
    """Its rank now, from 1."""
    truncated: bool = False
    """Whether part of the text went unread."""
    span: tuple[int, int] | None = None
    """Character offsets in `text` of the part that gave the score; None when that is the whole text."""
    evidence: tuple[ScoredSentence, ...] = ()
    """The sentences that answer, best first, as many as were asked for (`evidence=`)."""
    pruned: Pruned | None = None
    """What is left of the text by `prune=`; None where nothing was asked, or the document has no score."""

    @property
    def pruned_text(self) -> str:
        """What is left of the text, for a prompt; the whole text where nothing was pruned."""
        return self.text if self.pruned is None else self.pruned.text

    @property
    def moved(self) -> int:
        """How many ranks it rose against the first stage; negative where it fell.

        >>> Hit("d", "d", 1.0, None, index=3, rank=1).moved
        3
        """
        return self.index + 1 - self.rank

    def to_dict(self) -> dict[str, Any]:
        """Return the hit as JSON-safe data; the text stands for the document."""
        return {
            "rank": self.rank,
            "index": self.index,
            "score": None if math.isnan(self.score) else self.score,
            "relevance": self.relevance,
            "truncated": self.truncated,
            "span": None if self.span is None else list(self.span),
            "evidence": [sentence.to_dict() for sentence in self.evidence],
            "pruned": None if self.pruned is None else self.pruned.to_dict(),
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Stats:
    """What a ranking cost, and what happened on the way."""

    documents: int = 0
    """Documents that came in."""
    pairs: int = 0
    """(query, text) pairs the model scored: duplicates once, each window of a long document."""
    tokens: int = 0
    padded_tokens: int = 0
    batches: int = 0
    truncated: int = 0
    """Documents of which part went unread."""
    cache_hits: int = 0
    states_kept: int = 0
    """Pairs whose document was encoded before and kept: they cost the reading alone, and no tokens."""
    not_english: int = 0
    """Documents that are plainly not English, where the model reads English only."""
    calls: int = 0
    """Requests to a service or an LLM."""
    billed: Mapping[str, float] = field(default_factory=dict)
    """What a service says it charges, by its own units (Cohere: `search_units`)."""
    sentences: int = 0
    """Sentences that were scored for `evidence=` and `prune=`, equal ones once. Their pairs, tokens and calls are among
    the others."""
    sentences_removed: int = 0
    """What `prune=` removed from the hits: sentences and headings, and characters."""
    characters_removed: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time by stage; `total` covers the whole call."""

    @property
    def padding_ratio(self) -> float:
        """The share of computed tokens that were padding, 0..1.

        >>> Stats(tokens=75, padded_tokens=100).padding_ratio
        0.25
        """
        return 1 - self.tokens / self.padded_tokens if self.padded_tokens else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON-safe data."""
        return {
            "documents": self.documents,
            "pairs": self.pairs,
            "tokens": self.tokens,
            "padding_ratio": self.padding_ratio,
            "batches": self.batches,
            "truncated": self.truncated,
            "cache_hits": self.cache_hits,
            "states_kept": self.states_kept,
            "not_english": self.not_english,
            "calls": self.calls,
            "billed": dict(self.billed),
            "sentences": self.sentences,
            "sentences_removed": self.sentences_removed,
            "characters_removed": self.characters_removed,
            "seconds": dict(self.seconds),
        }


@dataclass(frozen=True, slots=True)
class ScorerHandle:
    """Holds the scorer that can explain a ranking. It is left out of what is pickled, since it may hold a model."""

    scorer: Scorer | None = None

    def __copy__(self) -> ScorerHandle:
        return self

    def __deepcopy__(self, memo: Any) -> ScorerHandle:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (ScorerHandle, ())


@dataclass(frozen=True, slots=True, repr=False)
class Ranking(Sequence[Hit[T]]):
    """Hits, best first: an immutable sequence that says which model ordered it and what it cost."""

    query: str
    hits: tuple[Hit[T], ...]
    model: str
    scale: Scale
    stats: Stats = field(default_factory=Stats)
    degraded: str | None = None
    """None, or why the order is not (or not wholly) the model's."""
    scored_by: ScorerHandle = field(default=ScorerHandle(), compare=False)
    """For `explain`."""
    first_stage: str | None = field(default=None, compare=False)
    """What fetched the candidates, where `TwoStageSearch` did it."""

    @property
    def best_relevance(self) -> float | None:
        """The highest relevance of a hit; None where no hit has one."""
        return max((hit.relevance for hit in self.hits if hit.relevance is not None), default=None)

    @property
    def answerable(self) -> bool | None:
        """Whether anything here is relevant enough to answer from: whether `best_relevance` reaches `ANSWERABLE`.

        False without hits. None where nobody can tell: no hit has a relevance.
        """
        if not self.hits:
            return False
        best = self.best_relevance
        return None if best is None else best >= ANSWERABLE

    @property
    def documents(self) -> list[T]:
        """The documents alone, best first."""
        return [hit.document for hit in self.hits]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit[T]]:
        return iter(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit[T]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit[T], ...]: ...
    def __getitem__(self, index: int | slice) -> Hit[T] | tuple[Hit[T], ...]:
        return self.hits[index]

    def to_dict(self, document: Callable[[T], Any] | None = None) -> dict[str, Any]:
        """Return the ranking as JSON-safe data.

        Args:
            document: Turns a document into JSON-safe data of yours, which is added to each hit. None: texts alone.
        """
        hits = [hit.to_dict() for hit in self.hits]
        if document is not None:
            hits = [{**row, "document": document(hit.document)} for row, hit in zip(hits, self.hits, strict=True)]
        return {
            "query": self.query,
            "model": self.model,
            "scale": str(self.scale),
            "degraded": self.degraded,
            "answerable": self.answerable,
            "stats": self.stats.to_dict(),
            "hits": hits,
        }

    def explain(
        self, hit: Hit[T] | int = 0, *, method: Method | None = None, budget: int = 256, unit: Unit | None = None
    ) -> Explanation:
        """Return which words of a hit's text carry its score, for which words of the query.

        Args:
            hit: One of the hits, or its place in the ranking, from 0.
            method: As in `Reranker.explain`.
            budget: The same.
            unit: The same.

        Raises:
            InputError: As in `Reranker.explain`; also for a ranking that was pickled, or made by hand.
            ScorerError: The scorer failed.
        """
        from resift.explanation.explain import explain  # not at the top: ranking needs none of it

        if self.scored_by.scorer is None:
            raise InputError("this ranking was pickled or made by hand, and knows no scorer: use Reranker.explain")
        if isinstance(hit, int) and not -len(self.hits) <= hit < len(self.hits):
            raise InputError(f"there is no hit {hit}: this ranking has {len(self.hits)}")
        if not isinstance(hit, int | Hit):
            raise InputError(f"hit is a {type(hit).__name__}: give a hit of this ranking, or its place, from 0")
        text = self.hits[hit].text if isinstance(hit, int) else hit.text
        return explain(self.scored_by.scorer, self.query, text, method=method, budget=budget, unit=unit)

    async def aexplain(
        self, hit: Hit[T] | int = 0, *, method: Method | None = None, budget: int = 256, unit: Unit | None = None
    ) -> Explanation:
        """Do what `explain` does, without blocking the event loop. Arguments and errors are the same."""
        from resift.explanation.explain import in_background

        return await in_background(partial(self.explain, hit, method=method, budget=budget, unit=unit))

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        top: int = 10,
        title: Callable[[T], str] | None = None,
        first_stage: str | None = None,
    ) -> str:
        """Return a page that shows both stages side by side, what moved, and why: one file, which asks for nothing.

        Where the model's score is a sum of known parts, as that of the bundled ones, the words of the best ten hits
        are marked, which costs about two more scores of each.

        Args:
            path: A file to write it to as well.
            top: How many hits to show. Of those behind it nothing but their places is shown.
            title: What a document is called. None: what its metadata says (`path`, `source`, `title`, ...), its id, or
                the beginning of its text.
            first_stage: What the first order is called. None: what `TwoStageSearch` says, if it was one.

        Raises:
            InputError: `top` is below 1, or `title` is no function.
            OSError: The file can't be written.
        """
        from resift.report.page import written
        from resift.reranking.page import ranking_page

        whole_number("top", top, 1)
        return written(ranking_page(self, top=top, title=title, first_stage=first_stage), path)

    def to_svg(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        top: int = 5,
        title: Callable[[T], str] | None = None,
        first_stage: str | None = None,
    ) -> str:
        """Return a picture of what moved from the first stage to the final order, which needs nothing beside itself.

        Arguments and errors are those of `to_html`.
        """
        from resift.report.page import written
        from resift.reranking.page import ranking_picture

        whole_number("top", top, 1)
        return written(ranking_picture(self, top=top, title=title, first_stage=first_stage), path)

    def __repr__(self) -> str:
        head = f"<Ranking of {self.stats.documents} documents by {self.model}, {self.scale} scores>"
        flag = [] if self.degraded is None else [f"  degraded: {self.degraded}"]
        rows = [f"  {hit.rank:>3}  [{hit.index}] {hit.score:>8.3f}  {_one_line(hit.text)}" for hit in self.hits[:10]]
        rest = [f"  ... {len(self.hits) - 10} more"] if len(self.hits) > 10 else []
        return "\n".join([head, *flag, *rows, *rest])

    def _repr_html_(self) -> str:
        from resift.reranking.html import ranking_table  # not at the top: ranking needs none of it

        hits = self.hits[:ROWS_SHOWN]
        rows = [(hit.rank, hit.moved, f"{hit.score:.3f}", hit.relevance, hit.text, hit.span) for hit in hits]
        note = f"{self.stats.documents} documents, {self.model}, {self.scale} scores"
        return ranking_table(self.query, note, self.degraded, rows)


def _one_line(text: str, width: int = 80) -> str:
    line = " ".join(text[: width * 4].split())
    return line if len(line) <= width else line[: width - 1] + "…"
