"""Two stages: a bi-encoder fetches candidates fast and roughly, a cross-encoder puts the right ones first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from resift._util.worker import Worker
from resift.embedders.embedder import Embedder
from resift.embedders.static import StaticEmbedder
from resift.errors import InputError
from resift.reranking.ranking import Ranking
from resift.reranking.reranker import Reranker

CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class Passage:
    """What a first stage yields."""

    text: str
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    similarity: float | None = None
    """The bi-encoder's own: higher is nearer; comparable within one collection only."""


class FirstStage(Protocol):
    """Anything that fetches candidates."""

    def retrieve(self, query: str, k: int) -> Sequence[Passage]:
        """At most k passages, nearest first."""


@runtime_checkable
class AsyncFirstStage(Protocol):
    """A first stage that can be awaited without a thread."""

    async def aretrieve(self, query: str, k: int) -> Sequence[Passage]:
        """As `FirstStage.retrieve`."""


@runtime_checkable
class ManyFirstStage(Protocol):
    """A first stage that serves several queries in one go."""

    def retrieve_many(self, queries: Sequence[str], k: int) -> Sequence[Sequence[Passage]]:
        """One list per query, in their order."""


class TwoStageSearch:
    """`candidates` passages from the first stage, reranked.

    In a hit, `hit.document` is the `Passage` (id, text, metadata, the bi-encoder's similarity), `hit.index` its
    first-stage position from 0, `hit.score` and `hit.rank` the cross-encoder's.

    >>> texts = ["Stocks fell on Monday.", "The fox could not reach the grapes.", "Grapes grow on vines."]
    >>> search = TwoStageSearch(MemoryFirstStage(texts))
    >>> search.search("which animal wanted fruit?", top_k=1)[0].document.text
    'The fox could not reach the grapes.'
    """

    def __init__(
        self, first_stage: FirstStage, reranker: Reranker | None = None, *, candidates: int = CANDIDATES
    ) -> None:
        if candidates < 1:
            raise InputError(f"candidates must be at least 1, got {candidates}")
        self.first_stage = first_stage
        self.reranker = Reranker() if reranker is None else reranker
        self.candidates = candidates
        self._worker = Worker(limit=1024)

    def search(self, query: str, top_k: int | None = 5, *, min_relevance: float | None = None) -> Ranking[Passage]:
        """The best `top_k` of the candidates, best first; None keeps them all.

        Raises what the first stage raises, and what `Reranker.rank` does.
        """
        started = time.perf_counter()
        passages = self.first_stage.retrieve(_checked(query), self._depth(top_k))
        fetched = time.perf_counter()
        ranking = self.reranker.rank(query, passages, text=_text, top_k=top_k, min_relevance=min_relevance)
        return _timed(ranking, fetched - started)

    async def asearch(
        self, query: str, top_k: int | None = 5, *, min_relevance: float | None = None
    ) -> Ranking[Passage]:
        """`search` without blocking the event loop: neither stage runs on it."""
        started = time.perf_counter()
        depth = self._depth(top_k)
        if isinstance(self.first_stage, AsyncFirstStage):
            passages = await self.first_stage.aretrieve(_checked(query), depth)
        else:
            passages = await self._worker.run(partial(self.first_stage.retrieve, _checked(query), depth))
        fetched = time.perf_counter()
        ranking = await self.reranker.arank(query, passages, text=_text, top_k=top_k, min_relevance=min_relevance)
        return _timed(ranking, fetched - started)

    def search_many(
        self, queries: Sequence[str], top_k: int | None = 5, *, min_relevance: float | None = None
    ) -> list[Ranking[Passage]]:
        """`search` for many queries: one pass through each stage where it has one."""
        started = time.perf_counter()
        depth = self._depth(top_k)
        for query in queries:
            _checked(query)
        if isinstance(self.first_stage, ManyFirstStage):
            lists = self.first_stage.retrieve_many(queries, depth) if queries else []
        else:
            lists = [self.first_stage.retrieve(query, depth) for query in queries]
        spent = (time.perf_counter() - started) / max(1, len(queries))
        rankings = self.reranker.rank_many(queries, lists, text=_text, top_k=top_k, min_relevance=min_relevance)
        return [_timed(ranking, spent) for ranking in rankings]

    def _depth(self, top_k: int | None) -> int:
        """Never fewer candidates than results wanted."""
        return max(self.candidates, top_k or 0)


class MemoryFirstStage:
    """Passages held in memory, compared with the query one by one: right for thousands of them, not for millions.

    `embedder` is the bundled `StaticEmbedder` unless another is given, such as `DenseEmbedder()`.
    """

    def __init__(self, passages: Iterable[str | Passage], embedder: Embedder | None = None) -> None:
        self.passages = [Passage(one) if isinstance(one, str) else one for one in passages]
        self.embedder: Embedder = StaticEmbedder() if embedder is None else embedder
        self._vectors = self.embedder.embed([passage.text for passage in self.passages])

    def retrieve(self, query: str, k: int) -> list[Passage]:
        """The k passages whose vectors are nearest (cosine); passages equally near keep their order."""
        if not self.passages:
            return []
        similarities = self._vectors @ self.embedder.embed([query])[0]
        nearest = np.argsort(-similarities, kind="stable")[:k]
        return [replace(self.passages[place], similarity=float(similarities[place])) for place in nearest]


def _text(passage: Passage) -> str:
    return passage.text


def _checked(query: str) -> str:
    """Refused before the first stage runs: an embedding of nothing still finds neighbours."""
    if not query.strip():
        raise InputError(f"the query must be a text with something in it, got {query!r}")
    return query


def _timed(ranking: Ranking[Passage], first_stage: float) -> Ranking[Passage]:
    seconds = ranking.stats.seconds
    total = seconds.get("total", 0.0) + first_stage
    stats = replace(ranking.stats, seconds={"first_stage": first_stage, **seconds, "total": total})
    return replace(ranking, stats=stats)
