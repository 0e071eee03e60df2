"""Two first stages as one: what a bi-encoder finds by meaning and what an index finds by words, fused by rank."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from resift._util.arguments import check_query, helps_with_names, number, whole_number
from resift._util.worker import Worker
from resift.errors import InputError
from resift.scoring.fusion import RANK_CONSTANT, check_weights
from resift.search.candidates import (
    Found,
    Passage,
    as_passages,
    check_first_stage,
    check_queries,
    found_by,
    name_of_stage,
)
from resift.search.two_stage import AsyncFirstStage, FirstStage, ManyFirstStage

DENSE, LEXICAL = "dense", "lexical"
TOP, TAIL = 10, 0.3
"""What only words find is at the top of the lexical half. Behind its tenth place, most share only common words with
the query, and would push out what vectors find (docs/hybrid.md has the figures)."""
DEPTH = 200  # of each half, or twice as many as are wanted: what is far down in both may be among the best of all


class HybridFirstStage:
    """A dense and a lexical first stage, fused by reciprocal rank.

        search = TwoStageSearch(HybridFirstStage(ChromaFirstStage(collection)))

    A passage counts weight / (60 + rank) in each half that found it, behind the lexical half's tenth place `tail` of
    that; of two that count the same, the one that the dense
    half ranks higher comes first, or else the one that only it has. Passages are told apart by their ids, or where they
    have none, by their texts. `Passage.found` holds rank and score of each half that found it, `Passage.fused` the sum.

    Args:
        dense: What finds by meaning: a `ChromaFirstStage`, or any first stage.
        lexical: What finds by words. None: a `resift.chroma.LexicalFirstStage` of the same collection and filters.
        weights: What each half counts, the dense first; 1 each unless given.
        tail: What lexical places behind the tenth count of their weight, 0.3; 1 is plain reciprocal rank fusion.
        depth: How many passages each half fetches. None: twice as many as are wanted, and at least 200.

    Raises:
        InputError: No first stages, impossible weights, two halves of one collection with different filters, or no
            `lexical` where `dense` is not over Chroma.
        MissingExtraError: tantivy is not installed.
    """

    @helps_with_names
    def __init__(
        self,
        dense: FirstStage | AsyncFirstStage,
        lexical: FirstStage | AsyncFirstStage | None = None,
        *,
        weights: Sequence[float] | None = None,
        tail: float = TAIL,
        depth: int | None = None,
    ) -> None:
        self.dense = check_first_stage(dense)
        self.lexical = _lexical_of(dense) if lexical is None else check_first_stage(lexical)
        _check_filters(self.dense, self.lexical)
        self.weights = check_weights(weights, 2)
        self.tail = number("tail", tail)
        if not 0 <= self.tail <= 1:
            raise InputError(f"tail must be from 0 to 1, got {tail}")
        self.depth = None if depth is None else whole_number("depth", depth, 1)
        self._worker = Worker(limit=1024, name="the first stage")

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{name_of_stage(self.dense)} + {name_of_stage(self.lexical)}"

    @property
    def collection(self) -> Any:
        """The Chroma collection that both halves search; None where they don't search the same one."""
        own = getattr(self.dense, "collection", None)
        return own if getattr(self.lexical, "collection", None) is own else None

    def filtered(
        self, where: dict[str, Any] | None = None, where_document: dict[str, Any] | None = None
    ) -> HybridFirstStage:
        """Return the same stage over the same collection with other filters in both halves.

        Raises:
            InputError: A filter that Chroma doesn't take, or halves that are not over Chroma.
        """
        try:
            dense = replace(self.dense, where=where, where_document=where_document)
            lexical = self.lexical.filtered(where, where_document)
        except (TypeError, AttributeError):
            raise InputError("only a ChromaFirstStage with a LexicalFirstStage takes Chroma's filters") from None
        return HybridFirstStage(dense, lexical, weights=self.weights, tail=self.tail, depth=self.depth)

    def retrieve(self, query: str, k: int) -> list[Passage]:
        """Return at most k passages, those that count most first.

        Raises what the halves raise, and InputError where one of them can only be awaited.
        """
        return self.retrieve_many([query], k)[0]

    def retrieve_many(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """Return one list per query. Raises as `retrieve` does."""
        texts, depth = check_queries(queries), self._depth(k)
        dense, lexical = (_retrieve_many(stage, texts, depth) for stage in (self.dense, self.lexical))
        if self._is_behind([passage for half in dense for passage in half]):
            lexical = _retrieve_many(self.lexical, texts, depth)
        return [self._fused(*halves, k) for halves in zip(dense, lexical, strict=True)]

    async def aretrieve(self, query: str, k: int) -> list[Passage]:
        """`retrieve` without blocking the event loop; halves that can be awaited are awaited, both at the same time."""
        import asyncio  # takes 60 ms to import; whoever awaits has imported it already

        text, depth = check_query(query), self._depth(k)
        halves = (self._aretrieve(stage, text, depth) for stage in (self.dense, self.lexical))
        dense, lexical = await asyncio.gather(*halves)
        if self._is_behind(dense):
            lexical = await self._aretrieve(self.lexical, text, depth)
        return self._fused(dense, lexical, k)

    async def _aretrieve(self, stage: Any, query: str, depth: int) -> list[Passage]:
        if isinstance(stage, AsyncFirstStage):
            return as_passages(await stage.aretrieve(query, depth), found_by(stage))
        return as_passages(await self._worker.run(partial(stage.retrieve, query, depth)), found_by(stage))

    def _is_behind(self, dense: Sequence[Passage]) -> bool:
        """Return whether the lexical half lacks what the dense one found in the same collection."""
        if self.collection is None:
            return False
        lacks: Callable[[Sequence[Passage]], bool] = getattr(self.lexical, "lacks", lambda _: False)
        return lacks(dense)

    def _depth(self, k: int) -> int:
        wanted = whole_number("k", k, 1)
        return max(2 * wanted, DEPTH) if self.depth is None else self.depth

    def _fused(self, dense: Sequence[Passage], lexical: Sequence[Passage], k: int) -> list[Passage]:
        halves = {DENSE: _by_identity(dense), LEXICAL: _by_identity(lexical)}
        counts = count_places(*halves.values(), weights=self.weights, tail=self.tail)
        found: dict[str, dict[str, Found]] = {identity: {} for identity in counts}
        for name, half in halves.items():
            for rank, (identity, passage) in enumerate(half.items(), 1):
                own = passage.found.get(name)
                found[identity][name] = Found(rank, passage.similarity if own is None else own.score)
        passages = halves[LEXICAL] | halves[DENSE]  # the dense half's has its similarity
        best = sorted(counts, key=counts.__getitem__, reverse=True)[:k]  # stable: equal ones stay in the halves' order
        return [replace(passages[item], found=found[item], fused=counts[item]) for item in best]


def count_places(
    dense: Iterable[str], lexical: Iterable[str], *, weights: Sequence[float] = (1, 1), tail: float = TAIL
) -> dict[str, float]:
    """Return what each item of two orders counts, those of the dense one first: the sum of weight / (60 + rank).

    The weight of a lexical place behind the tenth is multiplied by `tail`.
    """
    counts: dict[str, list[float]] = {}
    for order, weight, share in ((dense, weights[0], 1.0), (lexical, weights[1], tail)):
        for rank, item in enumerate(order, 1):
            counts.setdefault(item, []).append(weight * (1 if rank <= TOP else share) / (RANK_CONSTANT + rank))
    return {item: math.fsum(parts) for item, parts in counts.items()}  # fsum: no order of adding changes it


def _by_identity(passages: Sequence[Passage]) -> dict[str, Passage]:
    """Return the passages of a half by what tells them apart; of a repeated one the first."""
    by_identity: dict[str, Passage] = {}
    for passage in passages:
        by_identity.setdefault(_identity(passage), passage)
    return by_identity


def _identity(passage: Passage) -> str:
    return passage.text if passage.id is None else passage.id


def _retrieve_many(stage: Any, queries: Sequence[str], depth: int) -> list[list[Passage]]:
    if isinstance(stage, ManyFirstStage):
        return [as_passages(found, found_by(stage)) for found in stage.retrieve_many(queries, depth)] if queries else []
    if not callable(getattr(stage, "retrieve", None)):
        raise InputError(f"{type(stage).__name__} has aretrieve and no retrieve: search with asearch, which awaits it")
    return [as_passages(stage.retrieve(query, depth), found_by(stage)) for query in queries]


def _lexical_of(dense: Any) -> Any:
    collection = getattr(dense, "collection", None)
    if collection is None:
        raise InputError(
            f"dense is a {type(dense).__name__}, which is not over a Chroma collection: give lexical too, a first "
            "stage that finds by words"
        )
    from resift.search.lexical import LexicalFirstStage  # here: only this needs Chroma and tantivy

    return LexicalFirstStage(collection, getattr(dense, "where", None), getattr(dense, "where_document", None))


def _check_filters(dense: Any, lexical: Any) -> None:
    """Raise InputError where both halves are over Chroma and have different filters."""
    for name in ("where", "where_document"):
        if hasattr(dense, name) and hasattr(lexical, name) and getattr(dense, name) != getattr(lexical, name):
            raise InputError(f"the two halves have different filters: {name} must be the same for both")
