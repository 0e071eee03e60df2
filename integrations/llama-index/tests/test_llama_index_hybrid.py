"""ResiftHybridRetriever over collections that LlamaIndex filled itself, with an embedding model of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import chromadb
import pytest
from llama_index.core import MockEmbedding, Settings, StorageContext, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import MetadataMode, QueryBundle, TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters, SimpleVectorStore
from llama_index.vector_stores.chroma import ChromaVectorStore

from llama_index.embeddings.resift import ResiftEmbedding
from llama_index.postprocessor.resift import ResiftRerank
from llama_index.retrievers.resift import ResiftHybridRetriever
from resift import InputError, Reranker

NODES = {
    "full": ("The disk is full.", 2024),
    "code": ("E4711 is what the log says.", 2025),
    "panda": ("Pandas eat bamboo.", 2025),
    "bus": ("A red bus stops here.", 2024),
}
YEAR = MetadataFilters(filters=[MetadataFilter(key="year", value=2025, operator=FilterOperator.EQ)])


def nodes() -> list[TextNode]:
    return [TextNode(text=text, id_=id, metadata={"year": year}) for id, (text, year) in NODES.items()]


def filled(client: Any) -> ChromaVectorStore:
    store = ChromaVectorStore(chroma_collection=client.create_collection(f"nodes-{uuid4()}"))
    storage = StorageContext.from_defaults(vector_store=store)
    VectorStoreIndex(nodes(), storage_context=storage, embed_model=MockEmbedding(8))  # all vectors are the same
    return store


@pytest.fixture
def store() -> Iterator[ChromaVectorStore]:
    client = chromadb.EphemeralClient()
    store = filled(client)
    yield store
    client.delete_collection(store.client.name)


@pytest.fixture
def index(store: ChromaVectorStore) -> VectorStoreIndex:
    return VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(8))


def ids(found: Any) -> list[str]:
    return [hit.node_id for hit in found]


async def test_words_find_what_vectors_do_not(index: VectorStoreIndex) -> None:
    retriever = ResiftHybridRetriever(index, similarity_top_k=2)
    found = retriever.retrieve("E4711")
    best = found[0]
    assert best.node_id == "code"
    assert best.node.metadata["year"] == 2025
    assert best.node.metadata["lexical_rank"] == 1
    assert best.node.metadata["lexical_score"] > 0
    assert best.score == pytest.approx(1 / 61 + 1 / (60 + best.node.metadata["dense_rank"]))
    assert best.node.get_content(MetadataMode.LLM) == "year: 2025\n\nE4711 is what the log says."
    assert ids(await retriever.aretrieve("E4711")) == ids(found)
    assert "lexical_rank" not in found[1].node.metadata


def test_over_a_store_alone(store: ChromaVectorStore) -> None:
    retriever = ResiftHybridRetriever(store, embed_model=MockEmbedding(8), similarity_top_k=1)
    assert ids(retriever.retrieve("bamboo")) == ["panda"]
    Settings.embed_model = MockEmbedding(8)
    try:
        assert ids(ResiftHybridRetriever(store, similarity_top_k=1).retrieve("bamboo")) == ["panda"]
    finally:
        Settings._embed_model = None


def test_what_is_inserted_and_deleted_is_seen(index: VectorStoreIndex) -> None:
    retriever = ResiftHybridRetriever(index, similarity_top_k=1)
    assert ids(retriever.retrieve("bamboo")) == ["panda"]
    index.insert_nodes([TextNode(text="A xylophone.", id_="new")])
    assert ids(retriever.retrieve("xylophone")) == ["new"]
    index.vector_store.delete_nodes(["new"])
    assert "new" not in ids(retriever.retrieve("xylophone"))


def test_filters_hold_for_both(index: VectorStoreIndex) -> None:
    retriever = ResiftHybridRetriever(index, filters=YEAR)
    assert set(ids(retriever.retrieve("bus E4711"))) == {"code", "panda"}


def test_no_filters_in_a_list_of_them_filter_nothing(index: VectorStoreIndex) -> None:
    found = ResiftHybridRetriever(index, filters=MetadataFilters(filters=[])).retrieve("E4711 or the bus")
    assert len(found) == len(NODES)  # as with the index's own retriever


def test_a_query_with_texts_of_its_own_to_embed(index: VectorStoreIndex) -> None:
    seen: list[list[str]] = []

    class Watched(MockEmbedding):
        def get_agg_embedding_from_queries(self, queries: list[str], agg_fn: Any = None) -> list[float]:
            seen.append(queries)
            return [0.5] * 8

    watched = VectorStoreIndex.from_vector_store(index.vector_store, embed_model=Watched(8))
    bundle = QueryBundle("bamboo", custom_embedding_strs=["a made up answer"])
    assert ids(ResiftHybridRetriever(watched, similarity_top_k=1).retrieve(bundle)) == ["panda"]
    assert seen == [["a made up answer"]]


def test_a_collection_that_llama_index_did_not_fill() -> None:
    client = chromadb.EphemeralClient()
    collection = client.create_collection(f"theirs-{uuid4()}", embedding_function=None)
    collection.add(ids=["a"], documents=["Pandas eat bamboo."], embeddings=[[0.5] * 8], metadatas=[{"year": 1}])
    store = ChromaVectorStore(chroma_collection=collection)
    (found,) = ResiftHybridRetriever(store, embed_model=MockEmbedding(8)).retrieve("bamboo")
    assert (found.node_id, found.text, found.node.metadata["year"]) == ("a", "Pandas eat bamboo.", 1)
    client.delete_collection(collection.name)


def test_before_the_reranker(store: ChromaVectorStore, bundled: Reranker) -> None:
    retriever = ResiftHybridRetriever(store, embed_model=ResiftEmbedding() and MockEmbedding(8))
    rerank = ResiftRerank(reranker=bundled, top_n=1)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), node_postprocessors=[rerank])
    assert ids(engine.query("What do pandas eat?").source_nodes) == ["panda"]


def test_the_index_lies_beside_a_database_on_disk(tmp_path: Path) -> None:
    store = filled(chromadb.PersistentClient(str(tmp_path)))
    assert ids(ResiftHybridRetriever(store, embed_model=MockEmbedding(8), similarity_top_k=1).retrieve("red bus")) == [
        "bus"
    ]
    assert list((tmp_path / "lexical").iterdir())
    chromadb.api.client.SharedSystemClient.clear_system_cache()


def test_what_it_refuses(index: VectorStoreIndex) -> None:
    with pytest.raises(InputError, match="over a ChromaVectorStore, or such a store, not a SimpleVectorStore"):
        ResiftHybridRetriever(SimpleVectorStore())
    for options in ({"weights": [1]}, {"depth": 0}, {"embed_model": MockEmbedding(8)}, {"similarity_top_k": 0}):
        with pytest.raises(InputError):
            ResiftHybridRetriever(index, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="query"):
        ResiftHybridRetriever(index).retrieve(" ")
