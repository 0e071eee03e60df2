from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from langchain_resift import ResiftEmbeddings, ResiftRetriever
from resift import InputError, MemoryFirstStage, Reranker
from resift.chroma import ChromaFirstStage, StaticEmbedding
from resift.testing import OverlapScorer, ScriptedScorer

TEXTS = ["a blue whale", "a red bus", "the red fox", "some green grapes", "a grey wolf", "an old crow"]


def overlap() -> Reranker:
    return Reranker(OverlapScorer())


def in_memory(documents: list[Document]) -> InMemoryVectorStore:
    store = InMemoryVectorStore(ResiftEmbeddings())
    store.add_documents(documents)
    return store


class TestStandard(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return ResiftRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"first_stage": in_memory([Document(text) for text in TEXTS]), "reranker": overlap()}

    @property
    def retriever_query_example(self) -> str:
        return "red fox"


def texts(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


async def test_over_a_vector_store(documents: list[Document]) -> None:
    retriever = ResiftRetriever(first_stage=in_memory(documents), reranker=overlap(), k=2)
    results = retriever.invoke("red fox")
    assert [document.id for document in results] == ["fox", "bus"]
    assert results == await retriever.ainvoke("red fox")
    assert results[0].metadata["source"] == "wood.txt"
    assert results[0].metadata["relevance_score"] == 1.0
    assert results[0].metadata["first_stage_rank"] == 1


async def test_a_store_without_scores(documents: list[Document]) -> None:
    class Plain(InMemoryVectorStore):
        def similarity_search_with_score(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        async def asimilarity_search_with_score(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
            return documents[:k]

        async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
            return documents[:k]

    retriever = ResiftRetriever(first_stage=Plain(DeterministicFakeEmbedding(size=8)), reranker=overlap(), k=1)
    (document,) = retriever.invoke("red fox")
    assert document.metadata == {"source": "wood.txt", "first_stage_rank": 3, "relevance_score": 1.0}
    assert await retriever.ainvoke("red fox") == [document]


async def test_a_stale_first_stage_score_is_taken_out(documents: list[Document]) -> None:
    old = [document.model_copy(update={"metadata": {"first_stage_score": 5.0}}) for document in documents]
    retriever = ResiftRetriever(first_stage=RunnableLambda(lambda _: old), reranker=overlap(), k=1)
    assert retriever.invoke("red fox")[0].metadata == {"first_stage_rank": 3, "relevance_score": 1.0}
    assert old[0].metadata == {"first_stage_score": 5.0}


async def test_a_store_s_retriever_is_asked_for_all_candidates() -> None:
    store = in_memory([Document(text) for text in TEXTS])
    for first_stage, seen in ((store.as_retriever(), 6), (store.as_retriever(search_kwargs={"k": 3}), 3)):
        retriever = ResiftRetriever(first_stage=first_stage, reranker=overlap(), k=None)
        assert len(retriever.invoke("red fox")) == len(await retriever.ainvoke("red fox")) == seen


@pytest.mark.parametrize(("score", "kept"), [(np.float32(0.5), {"first_stage_score": 0.5}), (float("nan"), {})])
def test_first_stage_scores_are_plain_numbers(documents: list[Document], score: Any, kept: dict[str, float]) -> None:
    class Numpy(InMemoryVectorStore):
        def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
            return [(documents[2], score)]

    store = Numpy(DeterministicFakeEmbedding(size=8))
    (document,) = ResiftRetriever(first_stage=store, reranker=overlap()).invoke("red fox")
    assert document.metadata == {"source": "wood.txt", "first_stage_rank": 1, "relevance_score": 1.0, **kept}
    assert json.loads(json.dumps(document.metadata, allow_nan=False)) == document.metadata


def test_candidates_and_search_kwargs_reach_the_store() -> None:
    calls: list[tuple[int, dict[str, Any]]] = []

    class Spy(InMemoryVectorStore):
        def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
            calls.append((k, kwargs))
            return []

    store = Spy(DeterministicFakeEmbedding(size=8))
    retriever = ResiftRetriever(first_stage=store, candidates=20, search_kwargs={"filter": "f"}, reranker=overlap())
    assert retriever.invoke("red fox") == []
    retriever.invoke("red fox", k=30)
    assert calls == [(20, {"filter": "f"}), (30, {"filter": "f"})]  # never fewer candidates than results


@pytest.mark.parametrize("space", ["cosine", "l2", "ip"])
async def test_a_chroma_collection_in_every_space(collection: Callable[..., Any], space: str) -> None:
    shelf = collection(embedding_function=StaticEmbedding(), configuration={"hnsw": {"space": space}})
    shelf.add(ids=list("012345"), documents=TEXTS, metadatas=[{"position": position} for position in range(6)])
    retriever = ResiftRetriever(first_stage=shelf, reranker=overlap(), k=None)
    results = retriever.invoke("the red fox")
    assert (results[0].id, results[0].page_content) == ("2", "the red fox")
    assert results[0].metadata["position"] == 2
    assert results[0].metadata["first_stage_score"] == pytest.approx(1, abs=1e-3)
    by_rank = sorted(results, key=lambda document: document.metadata["first_stage_rank"])
    similarities = [document.metadata["first_stage_score"] for document in by_rank]
    assert similarities == sorted(similarities, reverse=True)  # higher is nearer
    assert results == await retriever.ainvoke("the red fox")


def test_a_chroma_collection_with_filters(collection: Callable[..., Any]) -> None:
    shelf = collection(embedding_function=StaticEmbedding())
    shelf.add(ids=list("012345"), documents=TEXTS, metadatas=[{"position": position} for position in range(6)])
    filtered = ResiftRetriever(first_stage=shelf, search_kwargs={"where": {"position": {"$lt": 2}}}, reranker=overlap())
    assert texts(filtered.invoke("red fox")) == ["a red bus", "a blue whale"]
    stage = ChromaFirstStage(shelf, where_document={"$contains": "grapes"})
    assert texts(ResiftRetriever(first_stage=stage, reranker=overlap()).invoke("red fox")) == ["some green grapes"]
    with pytest.raises(ValidationError, match="where="):
        ResiftRetriever(first_stage=shelf, search_kwargs={"filter": {"position": 1}})


def test_an_empty_collection_finds_nothing(collection: Callable[..., Any]) -> None:
    retriever = ResiftRetriever(first_stage=collection(embedding_function=StaticEmbedding()), reranker=overlap())
    assert retriever.invoke("red fox") == []


def test_langchain_chroma_gives_its_distance(collection: Callable[..., Any]) -> None:
    store = Chroma("distances", ResiftEmbeddings(), collection_configuration={"hnsw": {"space": "cosine"}})
    store.add_texts(TEXTS)
    results = ResiftRetriever(first_stage=store, reranker=overlap(), k=1).invoke("the red fox")
    assert results[0].metadata["first_stage_score"] == pytest.approx(0, abs=1e-3)  # lower is nearer
    store.delete_collection()


@pytest.mark.parametrize("k", [0, -1])
def test_a_k_that_gives_nothing_is_refused(documents: list[Document], k: int) -> None:
    with pytest.raises(ValidationError):
        ResiftRetriever(first_stage=in_memory(documents), k=k)
    with pytest.raises(InputError, match="at least 1"):
        ResiftRetriever(first_stage=in_memory(documents), reranker=overlap()).invoke("red fox", k=k)


def test_min_relevance(documents: list[Document]) -> None:
    retriever = ResiftRetriever(first_stage=in_memory(documents), reranker=overlap(), min_relevance=0.9)
    assert texts(retriever.invoke("red fox")) == ["the red fox"]


def test_arguments_of_a_call_are_checked(documents: list[Document]) -> None:
    retriever = ResiftRetriever(first_stage=in_memory(documents), reranker=overlap())
    with pytest.raises(TypeError, match="top_n"):
        retriever.invoke("red fox", top_n=3)


def test_arguments_it_does_not_have_are_refused(documents: list[Document]) -> None:
    wrong: dict[str, Any] = {"top_n": 3}
    with pytest.raises(ValidationError, match="no option top_n: say k="):
        ResiftRetriever(first_stage=in_memory(documents), **wrong)


@pytest.mark.parametrize("wrong", [None, "a store", 3, TEXTS, OverlapScorer()])
def test_a_first_stage_must_be_one(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="first_stage must be"):
        ResiftRetriever(first_stage=wrong)


def test_search_kwargs_nobody_reads_are_refused(documents: list[Document]) -> None:
    with pytest.raises(ValidationError, match="its own settings"):
        ResiftRetriever(first_stage=in_memory(documents).as_retriever(), search_kwargs={"k": 9})


def test_a_failure_can_keep_the_first_stage_s_order(documents: list[Document]) -> None:
    reranker = Reranker(ScriptedScorer(OSError("down")), on_error="keep_order")
    results = ResiftRetriever(first_stage=RunnableLambda(lambda _: documents), reranker=reranker, k=2).invoke("red fox")
    assert [document.id for document in results] == ["whale", "bus"]
    assert results[0].metadata == {"source": "sea.txt", "first_stage_rank": 1, "rerank_degraded": True}


def test_fields_can_be_made_configurable(documents: list[Document]) -> None:
    retriever = ResiftRetriever(first_stage=in_memory(documents), reranker=overlap())
    configurable = retriever.configurable_fields(k=ConfigurableField("k"))
    assert texts(configurable.invoke("red fox", {"configurable": {"k": 1}})) == ["the red fox"]
    assert len(configurable.invoke("red fox")) == 3


def test_dumps_and_pickles() -> None:
    retriever = ResiftRetriever(first_stage=MemoryFirstStage(TEXTS), reranker=overlap(), k=2)
    dumped = json.loads(retriever.model_dump_json())
    assert (dumped["k"], dumped["candidates"]) == (2, 50)
    assert not {"first_stage", "reranker"} & dumped.keys()
    assert texts(pickle.loads(pickle.dumps(retriever)).invoke("red fox")) == texts(retriever.invoke("red fox"))


def test_chromadb_is_imported_by_nobody_who_has_no_collection() -> None:
    code = """
import sys
from langchain_resift import ResiftRetriever
from resift import MemoryFirstStage
ResiftRetriever(first_stage=MemoryFirstStage(["a"]))
sys.exit("chromadb" in sys.modules or "torch" in sys.modules or "onnxruntime" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_a_collection_that_keeps_no_embedding_function_asks_for_one(collection: Callable[..., Any]) -> None:
    """As langchain-chroma makes it: Chroma's default function must not answer in its place."""
    shelf = collection(embedding_function=None)
    embeddings = ResiftEmbeddings()
    shelf.add(ids=list("012345"), documents=TEXTS, embeddings=embeddings.embed_documents(TEXTS))
    with pytest.raises(ValidationError, match=r"keeps no embedding function.*embed=function"):
        ResiftRetriever(first_stage=shelf, reranker=overlap())
    kwargs = {"embed": embeddings.embed_documents}
    retriever = ResiftRetriever(first_stage=shelf, search_kwargs=kwargs, reranker=overlap(), k=1)
    assert texts(retriever.invoke("red fox")) == texts(await retriever.ainvoke("red fox")) == ["the red fox"]


def test_a_collection_is_compared_with_its_function_once(collection: Callable[..., Any]) -> None:
    calls: list[list[str]] = []

    def counted(given: list[str]) -> Any:
        calls.append(given)
        return StaticEmbedding()(given)

    shelf = collection(embedding_function=StaticEmbedding())
    shelf.add(ids=list("012345"), documents=TEXTS)
    shelf._embedding_function = counted
    retriever = ResiftRetriever(first_stage=shelf, reranker=overlap(), k=1)
    for _ in range(2):
        retriever.invoke("red fox")
    assert calls == [["a blue whale"], ["red fox"], ["red fox"]]


def test_an_async_collection_is_refused_with_the_way_out() -> None:
    from chromadb.api.models.AsyncCollection import AsyncCollection

    with pytest.raises(ValidationError, match=r"AsyncCollection, whose query is awaited.*chromadb\.HttpClient"):
        ResiftRetriever(first_stage=AsyncCollection.__new__(AsyncCollection))


async def test_a_first_stage_of_texts_and_one_that_is_only_awaited() -> None:
    class Plain:
        def retrieve(self, query: str, k: int) -> list[str]:
            return TEXTS

    class Awaited:
        async def aretrieve(self, query: str, k: int) -> list[str]:
            return TEXTS

    class Odd:
        def retrieve(self, query: str, k: int) -> Any:
            return [3]

    plain = ResiftRetriever(first_stage=Plain(), reranker=overlap(), k=1)
    awaited = ResiftRetriever(first_stage=Awaited(), reranker=overlap(), k=1)
    assert texts(plain.invoke("red fox")) == texts(await awaited.ainvoke("red fox")) == ["the red fox"]
    with pytest.raises(InputError, match="Awaited has aretrieve and no retrieve: call ainvoke"):
        awaited.invoke("red fox")
    with pytest.raises(InputError, match="what Odd retrieves must be a list"):
        ResiftRetriever(first_stage=Odd(), reranker=overlap()).invoke("red fox")


@pytest.mark.parametrize("query", ["", " \n", None, 3, {"query": "red fox"}, [("human", "red fox")]])
async def test_a_query_that_is_no_text_never_reaches_a_store(documents: list[Document], query: Any) -> None:
    class Untouched(InMemoryVectorStore):
        def similarity_search_with_score(self, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("the store was asked")

        asimilarity_search_with_score = similarity_search_with_score  # type: ignore[assignment]

    for first_stage in (Untouched(ResiftEmbeddings()), Untouched(ResiftEmbeddings()).as_retriever()):
        retriever = ResiftRetriever(first_stage=first_stage, reranker=overlap())
        with pytest.raises(InputError, match="the query must be a text with something in it"):
            retriever.invoke(query)
        with pytest.raises(InputError, match="the query must be a text with something in it"):
            await retriever.ainvoke(query)
        with pytest.raises(InputError, match="the query must be a text with something in it"):
            retriever.batch([query])
