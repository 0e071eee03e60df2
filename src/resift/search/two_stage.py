"""Two stages: a bi-encoder fetches candidates fast and roughly, a cross-encoder puts the right ones first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypedDict, runtime_checkable

import numpy as np

from resift._util.arguments import check_query, helps_with_names, shown, whole_number
from resift._util.worker import Worker
from resift.embedders.embedder import Embedder
from resift.embedders.static import StaticEmbedder
from resift.errors import InputError
from resift.reranking.limits import Limits
from resift.reranking.ranking import Ranking
from resift.reranking.reranker import Reranker
from resift.search.candidates import Passage as Passage  # its place for who searches
from resift.search.candidates import as_passages, check_first_stage, check_queries, found_by, name_of_stage
from resift.text.half_pairs import replace_half_pairs

CANDIDATES = 50


class FirstStage(Protocol):
    """Anything that fetches candidates."""

    def retrieve(self, query: str, k: int) -> Sequence[Passage | str]:
        """At most k passages, or plain texts, nearest first."""


@runtime_checkable
class AsyncFirstStage(Protocol):
    """A first stage that can be awaited without a thread."""

    async def aretrieve(self, query: str, k: int) -> Sequence[Passage | str]:
        """As `FirstStage.retrieve`."""


@runtime_checkable
class ManyFirstStage(Protocol):
    """A first stage that serves several queries in one go."""

    def retrieve_many(self, queries: Sequence[str], k: int) -> Sequence[Sequence[Passage | str]]:
        """One list per query, in their order."""


class TwoStageSearch:
    """Fetches `candidates` passages from a first stage and reranks them.

    In a hit, `hit.document` is the `Passage` (id, text, metadata, the bi-encoder's similarity), `hit.index` its
    first-stage position from 0, `hit.score` and `hit.rank` the cross-encoder's.

    Args:
        first_stage: What fetches candidates: `MemoryFirstStage`, `resift.chroma.ChromaFirstStage`, or an object of
            yours with `retrieve(query, k)`, which gives passages or plain texts. With `aretrieve` alone, which is
            awaited, it serves `asearch`.
        reranker: What orders them. None: `Reranker()`.
        candidates: How many passages to fetch for a query; never fewer than `top_k`.

    Raises:
        InputError: An object that is no first stage, or an impossible number of candidates.

    >>> texts = ["Stocks fell on Monday.", "The fox could not reach the grapes.", "Grapes grow on vines."]
    >>> search = TwoStageSearch(MemoryFirstStage(texts))
    >>> search.search("which animal wanted fruit?", top_k=1)[0].document.text
    'The fox could not reach the grapes.'
    """

    @helps_with_names
    def __init__(
        self,
        first_stage: FirstStage | AsyncFirstStage,
        reranker: Reranker | None = None,
        *,
        candidates: int = CANDIDATES,
    ) -> None:
        whole_number("candidates", candidates, 1)
        self.first_stage = check_first_stage(first_stage)
        if reranker is not None and not isinstance(reranker, Reranker):
            raise InputError(
                f"reranker is a {type(reranker).__name__}: give a Reranker, as in Reranker({shown(reranker, 80)})"
            )
        self.reranker = Reranker() if reranker is None else reranker
        self.candidates = candidates
        self._worker = Worker(limit=1024, name="the first stage")

    @helps_with_names
    def search(
        self,
        query: str,
        top_k: int | None = 5,
        *,
        min_relevance: float | None = None,
        evidence: int | None = None,
        prune: float | None = None,
        instruction: str | None = None,
    ) -> Ranking[Passage]:
        """Return the best `top_k` of the candidates, best first.

        Args:
            query: The question; a text with something in it.
            top_k: How many passages to keep. None keeps all candidates.
            min_relevance: As `Reranker.rank` has it.
            evidence: The same.
            prune: The same.
            instruction: The same.

        Raises:
            InputError: As `Reranker.rank` does; the first stage gives something else than passages or texts, or can
                only be awaited.
            ScorerError, OverloadedError: As `Reranker.rank` does.
            Exception: Whatever the first stage raises.
        """
        started = time.perf_counter()
        limits = _SentenceLimits(evidence=evidence, prune=prune)
        depth = self._depth(top_k, min_relevance, limits)
        passages = as_passages(self._blocking().retrieve(check_query(query), depth), self._found)
        fetched = time.perf_counter()
        ranking = self.reranker.rank(
            query,
            passages,
            text=_text,
            top_k=_count(top_k, passages),
            min_relevance=min_relevance,
            instruction=instruction,
            **limits,
        )
        return self._finished(ranking, fetched - started)

    @helps_with_names
    async def asearch(
        self,
        query: str,
        top_k: int | None = 5,
        *,
        min_relevance: float | None = None,
        evidence: int | None = None,
        prune: float | None = None,
        instruction: str | None = None,
    ) -> Ranking[Passage]:
        """Do what `search` does, without blocking the event loop: neither stage runs on it."""
        started = time.perf_counter()
        limits = _SentenceLimits(evidence=evidence, prune=prune)
        depth = self._depth(top_k, min_relevance, limits)
        check_query(query)
        found: Any
        if isinstance(self.first_stage, AsyncFirstStage):
            found = await self.first_stage.aretrieve(query, depth)
        else:
            found = await self._worker.run(partial(self._blocking().retrieve, query, depth))
        passages = as_passages(found, self._found)
        fetched = time.perf_counter()
        ranking = await self.reranker.arank(
            query,
            passages,
            text=_text,
            top_k=_count(top_k, passages),
            min_relevance=min_relevance,
            instruction=instruction,
            **limits,
        )
        return self._finished(ranking, fetched - started)

    @helps_with_names
    def search_many(
        self,
        queries: Sequence[str],
        top_k: int | None = 5,
        *,
        min_relevance: float | None = None,
        evidence: int | None = None,
        prune: float | None = None,
        instruction: str | None = None,
    ) -> list[Ranking[Passage]]:
        """Return a ranking for each query, in one pass through each stage where it has one."""
        started = time.perf_counter()
        limits = _SentenceLimits(evidence=evidence, prune=prune)
        depth = self._depth(top_k, min_relevance, limits)
        queries = check_queries(queries)
        found: Any
        if isinstance(self.first_stage, ManyFirstStage):
            found = self.first_stage.retrieve_many(queries, depth) if queries else []
        else:
            found = [self._blocking().retrieve(query, depth) for query in queries]
        if not isinstance(found, Sequence):
            raise InputError(f"{self._found} must be a list for each query, and is a {type(found).__name__}")
        lists = [as_passages(passages, self._found) for passages in found]
        spent = (time.perf_counter() - started) / max(1, len(queries))
        longest = max(lists, key=len, default=())
        rankings = self.reranker.rank_many(
            queries,
            lists,
            text=_text,
            top_k=_count(top_k, longest),
            min_relevance=min_relevance,
            instruction=instruction,
            **limits,
        )
        return [self._finished(ranking, spent) for ranking in rankings]

    def _finished(self, ranking: Ranking[Passage], first_stage: float) -> Ranking[Passage]:
        """Return the ranking with the first stage's name and time."""
        seconds = ranking.stats.seconds
        total = seconds.get("total", 0.0) + first_stage
        stats = replace(ranking.stats, seconds={"first_stage": first_stage, **seconds, "total": total})
        return replace(ranking, stats=stats, first_stage=name_of_stage(self.first_stage))

    @property
    def _found(self) -> str:
        return found_by(self.first_stage)

    def _blocking(self) -> FirstStage:
        """Return the first stage. Raises InputError where it can only be awaited."""
        if not callable(getattr(self.first_stage, "retrieve", None)):
            raise InputError(
                f"{type(self.first_stage).__name__} has aretrieve and no retrieve: search with asearch, which awaits it"
            )
        stage: FirstStage = self.first_stage
        return stage

    def _depth(self, top_k: int | None, min_relevance: float | None, limits: _SentenceLimits) -> int:
        """Return how many candidates to fetch: never fewer than results are wanted.

        Raises InputError for what no reranker takes, before a first stage runs.
        """
        Limits(top_k, min_relevance, None, None, limits["evidence"] or 0, limits["prune"]).check(self.reranker.scorer)
        return max(self.candidates, top_k or 0)


class _SentenceLimits(TypedDict):
    evidence: int | None
    prune: float | None


class MemoryFirstStage:
    """Passages held in memory, compared with the query one by one: right for thousands of them, not for millions.

    Args:
        passages: Texts or passages.
        embedder: The bi-encoder. None: the bundled `StaticEmbedder`; `DenseEmbedder()` finds more.

    Raises:
        InputError: One text in place of a list, or something in it that is neither a text nor a passage.
    """

    @helps_with_names
    def __init__(self, passages: Iterable[str | Passage], embedder: Embedder | None = None) -> None:
        if isinstance(passages, str | bytes):
            raise InputError("passages is one text; give a list of texts, [text] for a single one")
        self.passages = as_passages(passages, "passages")
        self.embedder: Embedder = StaticEmbedder() if embedder is None else embedder
        self._vectors = self.embedder.embed([replace_half_pairs(passage.text) for passage in self.passages])

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.embedder.name}, in memory"

    def retrieve(self, query: str, k: int) -> list[Passage]:
        """Return the k passages whose vectors are nearest (cosine); passages equally near keep their order."""
        check_query(query)
        whole_number("k", k, 1)
        if not self.passages:
            return []
        similarities = self._vectors @ self.embedder.embed([replace_half_pairs(query)])[0]
        nearest = np.argsort(-similarities, kind="stable")[:k]
        return [replace(self.passages[index], similarity=float(similarities[index])) for index in nearest]


def _text(passage: Passage) -> str:
    return passage.text


def _count(top_k: int | None, passages: Sequence[Passage]) -> int:
    """Return how many passages to keep: None means all of them, whatever `top_k` the reranker has."""
    return max(1, len(passages)) if top_k is None else top_k
