"""The reranker in LanceDB's own searches: vector, full-text and hybrid; what comes back, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from resift import InputError, Reranker, ScorerError
from resift.testing import OverlapScorer, ScriptedScorer

ROWS = [
    {"id": "whale", "text": "a blue whale", "vector": [1.0, 0.0], "page": 1},
    {"id": "bus", "text": "a red bus", "vector": [0.9, 0.1], "page": 2},
    {"id": "fox", "text": "the red fox", "vector": [0.0, 1.0], "page": 3},
    {"id": "none", "text": None, "vector": [0.5, 0.5], "page": 4},
]


def package() -> Any:
    """The adapter, which imports LanceDB: 2 s, which only the worker that runs this file has to spend."""
    import resift_lancedb

    return resift_lancedb


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import lancedb
    from lancedb.index import FTS

    schema = pa.schema(
        [("id", pa.string()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), 2)), ("page", pa.int64())]
    )
    made = lancedb.connect(tmp_path_factory.mktemp("lance")).create_table("facts", ROWS, schema=schema)
    made.create_index("text", config=FTS())
    return made


def overlap(**options: Any) -> Any:
    return package().ResiftReranker(reranker=Reranker(OverlapScorer()), **options)


def test_a_vector_search(table: Any) -> None:
    found = table.search([1.0, 0.0]).limit(4).rerank(overlap(), query_string="red fox").to_arrow()
    assert found["id"].to_pylist() == ["fox", "bus", "whale", "none"]
    assert found["_relevance_score"].to_pylist() == [1.0, 0.5, 0.0, 0.0]
    assert found["page"].to_pylist() == [3, 2, 1, 4]
    assert "_distance" not in found.column_names
    kept = table.search([1.0, 0.0]).limit(2).rerank(overlap(return_score="all"), query_string="red fox").to_list()
    assert [row["id"] for row in kept] == ["bus", "whale"]
    assert kept[1]["_distance"] == 0


def test_a_full_text_search(table: Any) -> None:
    found = table.search("red", query_type="fts").rerank(overlap()).to_list()
    assert {row["id"]: row["_relevance_score"] for row in found} == {"bus": 1.0, "fox": 1.0}
    fox = table.search("red fox", query_type="fts").rerank(overlap()).limit(1).to_list()
    assert [(row["id"], "_score" in row) for row in fox] == [("fox", False)]


@pytest.mark.parametrize("scores", ["relevance", "all"])
def test_a_hybrid_search_has_every_row_once(table: Any, scores: Any) -> None:
    search = table.search(query_type="hybrid").vector([1.0, 0.0]).text("red fox")
    found = search.rerank(overlap(return_score=scores)).limit(4).to_list()
    assert [row["id"] for row in found] == ["fox", "bus", "whale", "none"]
    assert [row["_relevance_score"] for row in found] == [1.0, 0.5, 0.0, 0.0]
    assert ("_distance" in found[0]) is (scores == "all")


def test_a_search_that_finds_nothing(table: Any) -> None:
    for search in (
        table.search("zebra", query_type="fts").rerank(overlap()),
        table.search([1.0, 0.0]).where("page > 9").rerank(overlap(), query_string="red fox"),
        table.search(query_type="hybrid").vector([1.0, 0.0]).text("zebra").where("page > 9").rerank(overlap()),
        table.search(query_type="hybrid")
        .vector([1.0, 0.0])
        .text("z")
        .where("page > 9")
        .rerank(overlap(return_score="all")),
    ):
        assert search.to_list() == []


def test_the_bundled_model_its_options_and_its_name(table: Any) -> None:
    reranker = package().ResiftReranker(min_relevance=0.3, threads=1)
    found = table.search([1.0, 0.0]).limit(4).rerank(reranker, query_string="what colour is the whale?").to_list()
    assert [row["id"] for row in found] == ["whale"]
    assert str(reranker) == "ResiftReranker('resift:small', column='text')"


def test_a_failing_model_is_an_error_or_the_given_order(table: Any) -> None:
    broken = ScriptedScorer(OSError("down"))
    search = table.search([1.0, 0.0]).limit(2)
    with pytest.raises(ScorerError, match="down"):
        search.rerank(package().ResiftReranker(reranker=Reranker(broken)), query_string="q").to_list()
    kept = package().ResiftReranker(reranker=Reranker(broken, on_error="keep_order"))
    rows = table.search([1.0, 0.0]).limit(2).rerank(kept, query_string="q").to_list()
    assert [(row["id"], row["_relevance_score"]) for row in rows] == [("whale", None), ("bus", None)]


def test_what_makes_no_sense_is_refused(table: Any) -> None:
    with pytest.raises(InputError, match="return_score is 'relevance' or 'all'"):
        package().ResiftReranker(return_score="some")
    with pytest.raises(InputError, match="not beside reranker="):
        package().ResiftReranker("resift:tiny", reranker=Reranker(OverlapScorer()))
    with pytest.raises(InputError, match="has no option wheels"):
        package().ResiftReranker(wheels=4).load()
    found = table.search([1.0, 0.0]).limit(2).to_arrow()
    for query, column, message in (
        (None, "text", r"say rerank\(reranker, query_string=...\)"),
        (" ", "text", "the query must be a text"),
        ("q", "body", "there is no column 'body' to read: .* of id, text, vector, page"),
        ("q", "page", "the column 'page' holds no texts"),
    ):
        with pytest.raises(InputError, match=message):
            overlap(column=column).rerank_vector(query, found)  # type: ignore[arg-type]


def test_the_package_says_what_it_needs() -> None:
    folder = Path(package().__file__).parent
    project = tomllib.loads((folder.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == ["lancedb>=0.30", "resift>=0.1,<0.2"]
    assert package().__version__ in ("", project["version"])
    assert (folder / "py.typed").exists()
