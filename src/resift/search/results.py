"""What Chroma's `collection.query(...)` returned, in the order of a reranker and in the same shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from resift.errors import InputError
from resift.reranking.ranking import Ranking
from resift.reranking.reranker import Reranker

if TYPE_CHECKING:
    from chromadb.api.types import QueryResult

WAY_OUT = "give what collection.query(query_texts=..., include=['documents', ...]) returned"

COLUMNS = ("ids", "documents", "metadatas", "distances", "embeddings", "uris", "data")
"""What Chroma's results have for every record."""


class RerankedResults(dict[str, Any]):
    """A query result of Chroma: the same keys, the rows of each query in their new order.

    `rankings` has a `Ranking` per query, with the scores; the index of a hit is its row in what Chroma returned.
    """

    rankings: list[Ranking[str]]


def rerank_results(
    results: QueryResult | Mapping[str, Any],
    queries: str | Sequence[str],
    reranker: Reranker | None = None,
    *,
    top_k: int | None = None,
    min_relevance: float | None = None,
    evidence: int | None = None,
    prune: float | None = None,
) -> RerankedResults:
    """Return what `collection.query` returned, reranked. Every included column moves along; nothing else changes.

    A record without a text is ranked as an empty one.

    Args:
        results: A query result with its documents, for one query or several.
        queries: The text of the query, or one for each row of the results.
        reranker: None for the bundled one.
        top_k: How many records to keep of each query, as `Reranker.rank` takes it.
        min_relevance: The same.
        evidence: The same; the sentences are in the hits of `rankings`.
        prune: The same. The texts of the result stay whole.

    Returns:
        A dict of the same shape, and its `rankings`.

    Raises:
        InputError: No query result, one without documents or with columns of other lengths, or another number of
            queries than it has rows.
        ScorerError, OverloadedError: As `Reranker.rank_many`.

    >>> texts = ["Stocks fell.", "Pandas eat bamboo."]
    >>> results = {"ids": [["a", "b"]], "documents": [texts], "distances": [[0.1, 0.2]]}
    >>> reranked = rerank_results(results, "what eats bamboo?")
    >>> reranked["ids"], reranked["distances"]
    ([['b', 'a']], [[0.2, 0.1]])
    """
    if not isinstance(queries, Iterable):
        raise InputError(f"queries are a text or one for each row of the results, not a {type(queries).__name__}")
    if reranker is not None and not isinstance(reranker, Reranker):
        raise InputError(f"reranker is a {type(reranker).__name__}: give a Reranker")
    texts = [queries] if isinstance(queries, str) else list(queries)
    ids, documents = _rows(results, "ids"), _rows(results, "documents")
    if len(texts) != len(ids):
        raise InputError(f"{len(texts)} queries came with results of {len(ids)}: {WAY_OUT} for the same queries")
    moved = {name for name, column in results.items() if _is_column(name, column, ids)}
    if reranker is None:
        with Reranker() as bundled:
            return rerank_results(
                results, texts, bundled, top_k=top_k, min_relevance=min_relevance, evidence=evidence, prune=prune
            )
    texts_of = [[text or "" for text in row] for row in documents]
    rankings = reranker.rank_many(
        texts, texts_of, top_k=top_k, min_relevance=min_relevance, evidence=evidence, prune=prune
    )
    order = [[hit.index for hit in ranking] for ranking in rankings]
    reranked = RerankedResults(
        {name: _in_order(column, order) if name in moved else column for name, column in results.items()}
    )
    reranked.rankings = rankings
    return reranked


def _rows(results: Any, name: str) -> list[Sequence[Any]]:
    """Return a column as a list per query."""
    if not isinstance(results, Mapping):
        raise InputError(f"these are no query results but a {type(results).__name__}: {WAY_OUT}")
    column = results.get(name)
    if column is None:
        raise InputError(f"the results have no {name}: {WAY_OUT}")
    if not all(_is_row(row) for row in column):
        raise InputError(f"the results have no list of {name} for each query, as those of collection.get: {WAY_OUT}")
    return list(column)


def _is_row(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)


def _is_column(name: str, column: Any, ids: Sequence[Sequence[Any]]) -> bool:
    """Return whether a value of the results has an item for every record; `included` and what wasn't asked have not.

    Raises:
        InputError: A column of Chroma's that has more or fewer: nobody knows which item belongs to which record.
    """
    if not _is_row(column) or not all(_is_row(row) for row in column):
        return False
    lengths, wanted = [len(row) for row in column], [len(row) for row in ids]
    if lengths != wanted and name in COLUMNS:
        raise InputError(f"{name} are {lengths}, more or fewer than ids, which are {wanted} in the rows: {WAY_OUT}")
    return lengths == wanted


def _in_order(column: Any, order: Sequence[Sequence[int]]) -> list[Any]:
    # Embeddings are an array per query, from which a list of positions takes rows.
    return [
        row[positions] if isinstance(row, np.ndarray) else [row[position] for position in positions]
        for row, positions in zip(column, order, strict=True)
    ]
