"""Results of `collection.query`, reranked: the same shape, every column moved along."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import chromadb
import numpy as np
import pytest

from resift import InputError, Reranker
from resift.chroma import StaticEmbedding, rerank_results
from resift.testing import OverlapScorer

COLUMNS = ["documents", "metadatas", "distances", "embeddings", "uris"]
TEXTS = ["a whale swims", "a fox", "a red fox", "a red whale", "the tax", "red"]


@pytest.fixture(scope="module")
def collection() -> Iterator[chromadb.Collection]:
    client = chromadb.EphemeralClient()
    collection = client.get_or_create_collection("rerank-results", embedding_function=StaticEmbedding())
    collection.upsert(
        ids=[f"id{number}" for number in range(len(TEXTS))],
        documents=TEXTS,
        metadatas=[{"number": number} for number in range(len(TEXTS))],
    )
    yield collection
    client.delete_collection("rerank-results")


@pytest.fixture
def reranker() -> Reranker:
    return Reranker(OverlapScorer())


def test_every_column_moves_along(collection: chromadb.Collection, reranker: Reranker) -> None:
    queries = ["red fox", "red whale"]
    results: Any = collection.query(query_texts=queries, n_results=4, include=COLUMNS)  # type: ignore[arg-type]  # a list of str
    before = deepcopy(results)
    reranked = rerank_results(results, queries, reranker)
    assert list(reranked) == list(results)
    assert [row[0] for row in reranked["documents"]] == ["a red fox", "a red whale"]
    assert reranked["included"] == results["included"]
    for row, query in enumerate(queries):
        assert [hit.score for hit in reranked.rankings[row]] == sorted(
            OverlapScorer().score(query, results["documents"][row]), reverse=True
        )
        was = {id: place for place, id in enumerate(results["ids"][row])}
        assert set(was) == set(reranked["ids"][row])
        for place, id in enumerate(reranked["ids"][row]):
            for name in ("documents", "metadatas", "distances", "uris"):
                assert reranked[name][row][place] == results[name][row][was[id]]
            assert np.array_equal(reranked["embeddings"][row][place], results["embeddings"][row][was[id]])
    assert str(results) == str(before)


def test_what_was_not_included_stays_none_and_cuts_cut_every_column(
    collection: chromadb.Collection, reranker: Reranker
) -> None:
    results = collection.query(query_texts=["red fox"], n_results=5, include=["documents"])
    reranked = rerank_results(results, "red fox", reranker, top_k=2)
    assert reranked["documents"] == [["a red fox", reranked["documents"][0][1]]]
    assert [len(row) for row in reranked["ids"]] == [2]
    assert reranked["distances"] is None
    assert len(rerank_results(results, "red fox", reranker, min_relevance=0.9)["ids"][0]) == 1


def test_no_records_and_records_without_text(collection: chromadb.Collection, reranker: Reranker) -> None:
    nothing = collection.query(query_texts=["red fox", "tax"], where={"number": 99})
    assert rerank_results(nothing, ["red fox", "tax"], reranker)["ids"] == [[], []]
    results = {"ids": [["a", "b"]], "documents": [[None, "red fox"]], "metadatas": [[None, {"x": 1}]]}
    assert rerank_results(results, "red fox", reranker)["metadatas"] == [[{"x": 1}, None]]


def test_arrays_move_along_too(reranker: Reranker) -> None:
    results: Any = {
        "ids": np.array([["a", "b"]]),
        "documents": [np.array(["tax", "red fox"], dtype=object)],
        "distances": np.array([[0.1, 0.2]]),
        "embeddings": np.arange(4).reshape(1, 2, 2),
    }
    reranked = rerank_results(results, "red fox", reranker)
    assert [list(row) for row in reranked["ids"]] == [["b", "a"]]
    assert [list(row) for row in reranked["documents"]] == [["red fox", "tax"]]
    assert np.array(reranked["distances"]).tolist() == [[0.2, 0.1]]
    assert np.array(reranked["embeddings"]).tolist() == [[[2, 3], [0, 1]]]
    assert [hit.index for hit in reranked.rankings[0]] == [1, 0]


@pytest.mark.parametrize(
    "column",
    [
        {"documents": [["red fox"]]},
        {"documents": [["red fox", "tax", "whale"]]},
        {"distances": [[0.1]]},
        {"distances": np.array([[0.1, 0.2, 0.3]])},
        {"metadatas": [[{"x": 1}, {"x": 2}], [{"x": 3}, {"x": 4}]]},
        {"embeddings": [np.arange(2).reshape(1, 2)]},
    ],
)
def test_a_column_of_another_length_is_no_row_of_these_records(reranker: Reranker, column: dict[str, Any]) -> None:
    results = {"ids": [["a", "b"]], "documents": [["tax", "red fox"]], **column}
    (name,) = column
    with pytest.raises(InputError, match=f"{name} .* than ids"):
        rerank_results(results, "red fox", reranker)


def test_what_can_not_be_reranked(collection: chromadb.Collection, reranker: Reranker) -> None:
    results = collection.query(query_texts=["red fox"], include=["distances"])
    with pytest.raises(InputError, match=r"no documents: give what collection\.query"):
        rerank_results(results, "red fox", reranker)
    with pytest.raises(InputError, match=r"as those of collection\.get"):
        rerank_results(collection.get(), "red fox", reranker)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(InputError, match="2 queries came with results of 1"):
        rerank_results(collection.query(query_texts=["red fox"]), ["red fox", "tax"], reranker)
    with pytest.raises(InputError, match="no query results but a list"):
        rerank_results([], "red fox", reranker)  # type: ignore[arg-type]  # the mistake
    for queries in (None, 5):
        with pytest.raises(InputError, match="queries are a text or one for each row"):
            rerank_results({"ids": [["a"]], "documents": [["x"]]}, queries, reranker)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(InputError, match="reranker is a str"):
        rerank_results({"ids": [["a"]], "documents": [["x"]]}, "x", "resift:tiny")  # type: ignore[arg-type]  # the mistake


def test_evidence_is_in_the_rankings_and_the_texts_stay_whole() -> None:
    results = {"ids": [["a", "b"]], "documents": [["A whale.", "Rain fell. A red fox."]]}
    before = deepcopy(results)
    reranked = rerank_results(results, "red fox", Reranker(OverlapScorer()), evidence=1, prune=0.5)
    best = reranked.rankings[0][0]
    assert (reranked["documents"][0][0], best.evidence[0].start, best.pruned_text) == (
        "Rain fell. A red fox.",
        11,
        "A red fox.",
    )
    assert results == before
