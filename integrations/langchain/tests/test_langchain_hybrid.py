"""ResiftRetriever(hybrid=True): words and vectors of collections that others filled, with their own embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import chromadb
import pytest
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from langchain_resift import ResiftEmbeddings, ResiftRetriever
from resift import HybridFirstStage, MemoryFirstStage, Reranker
from resift.chroma import ChromaFirstStage, StaticEmbedding
from resift.testing import OverlapScorer

DOCUMENTS = [
    Document("The disk is full.", id="full", metadata={"year": 2024}),
    Document("E4711 is what the log says.", id="code", metadata={"year": 2025}),
    Document("Pandas eat bamboo.", id="panda", metadata={"year": 2025}),
    Document("A red bus stops here.", id="bus", metadata={"year": 2024, "dense_rank": 99}),
]


@pytest.fixture
def store() -> Iterator[Chroma]:
    """Vectors that mean nothing: what is found, words have found."""
    store = Chroma(f"theirs-{uuid4()}", DeterministicFakeEmbedding(size=8), client=chromadb.EphemeralClient())
    store.add_documents(DOCUMENTS)
    yield store
    store.delete_collection()


def retriever(first_stage: Any, **options: Any) -> ResiftRetriever:
    return ResiftRetriever(first_stage=first_stage, reranker=Reranker(OverlapScorer()), hybrid=True, **options)


async def test_over_a_store_that_langchain_chroma_filled(store: Chroma) -> None:
    over_store = retriever(store, k=1)
    (best,) = over_store.invoke("E4711")
    assert best.id == "code"
    assert best.metadata["year"] == 2025
    assert best.metadata["lexical_rank"] == 1
    assert best.metadata["lexical_score"] > 0
    assert best.metadata["first_stage_score"] == pytest.approx(1 / 61 + 1 / (60 + best.metadata["dense_rank"]))
    assert await over_store.ainvoke("E4711") == [best]


def test_what_is_added_and_deleted_is_seen(store: Chroma) -> None:
    over_store = retriever(store, k=None)
    over_store.invoke("xylophone")
    store.add_documents([Document("A xylophone.", id="new")])
    found = {document.id: document.metadata for document in over_store.invoke("xylophone")}
    assert found["new"]["lexical_rank"] == 1
    store.update_document("new", Document("A trombone.", id="new", metadata={"year": 2026}))
    assert "lexical_rank" not in {d.id: d.metadata for d in over_store.invoke("xylophone")}["new"]
    store.delete(ids=["new"])
    assert "new" not in {document.id for document in over_store.invoke("trombone xylophone")}


def test_only_where_a_half_found_it(store: Chroma) -> None:
    bus = {document.id: document.metadata for document in retriever(store, k=None).invoke("E4711")}["bus"]
    assert bus["dense_rank"] <= 4
    assert "lexical_rank" not in bus


def test_filters_hold_for_both(store: Chroma) -> None:
    some = retriever(store, k=None, search_kwargs={"filter": {"year": 2024}})
    assert {document.id for document in some.invoke("E4711 bus")} == {"full", "bus"}
    contains = retriever(store, k=None, search_kwargs={"where_document": {"$contains": "bus"}})
    assert {document.id for document in contains.invoke("E4711 disk")} == {"bus"}
    with pytest.raises(ValidationError, match="not fetch_k="):
        retriever(store, search_kwargs={"fetch_k": 9})


def test_over_a_collection_and_over_stages(collection: Callable[..., Any]) -> None:
    chroma = collection(embedding_function=StaticEmbedding())
    chroma.add(ids=[str(d.id) for d in DOCUMENTS], documents=[d.page_content for d in DOCUMENTS])
    stage = ChromaFirstStage(chroma)
    for first_stage in (chroma, stage, HybridFirstStage(stage)):
        assert retriever(first_stage, k=1).invoke("E4711")[0].id == "code"
    without = ResiftRetriever(first_stage=HybridFirstStage(stage), reranker=Reranker(OverlapScorer()), k=1)
    assert without.invoke("E4711")[0].metadata["lexical_rank"] == 1


def test_the_index_lies_beside_a_store_on_disk(tmp_path: Path) -> None:
    store = Chroma("on-disk", ResiftEmbeddings(), persist_directory=str(tmp_path))
    store.add_documents(DOCUMENTS)
    assert retriever(store, k=1).invoke("E4711")[0].id == "code"
    assert list((tmp_path / "lexical").iterdir())
    chromadb.api.client.SharedSystemClient.clear_system_cache()


def test_what_has_no_words_to_index() -> None:
    for first_stage in (InMemoryVectorStore(ResiftEmbeddings()), MemoryFirstStage(["a"])):
        with pytest.raises(ValidationError, match="hybrid=True needs a langchain-chroma store"):
            retriever(first_stage)


def test_a_store_that_is_reset_is_followed(store: Chroma) -> None:
    over_store = retriever(store, k=1)
    assert over_store.invoke("E4711")[0].id == "code"
    store.reset_collection()
    store.add_documents([Document("E4711 again.", id="new")])
    assert over_store.invoke("E4711")[0].id == "new"


def test_another_filter_goes_on_with_the_same_index_of_words(store: Chroma) -> None:
    all_years = retriever(store, k=1)
    one_year = all_years.model_copy(update={"search_kwargs": {"filter": {"year": 2024}}})
    assert [found.id for found in one_year.invoke("E4711 or the disk")] == ["full"]
    assert one_year._opened[2].stage.lexical.index is all_years._opened[2].stage.lexical.index
    assert [found.id for found in all_years.invoke("E4711 is what")] == ["code"]


def test_two_filters_at_once_are_refused(store: Chroma) -> None:
    with pytest.raises(ValidationError, match="has filter and where"):
        retriever(store, search_kwargs={"filter": {"year": 2024}, "where": {"year": 2025}})
