"""What was cut is said once per line of the user's, through LangChain's runnables, tasks and threads too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cutting import LONG, CuttingScorer, shown_by_default
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_resift import ResiftRerank, ResiftRetriever
from resift import Reranker, TruncationWarning


@pytest.fixture(scope="module")
def reranker() -> Iterator[Reranker]:
    with Reranker(CuttingScorer()) as cutting:
        yield cutting


def long(count: int) -> list[Document]:
    return [Document("abc"), *(Document(f"{LONG} {number}") for number in range(count))]


@pytest.fixture(scope="module")
def store() -> InMemoryVectorStore:
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=4))
    store.add_documents(long(5))
    return store


def test_a_compressor_warns_once_at_its_line(reranker: Reranker) -> None:
    compressor = ResiftRerank(reranker=reranker)
    with shown_by_default(globals()) as caught:
        for count in (1, 2, 3):
            compressor.compress_documents(long(count), "q")
    assert [(warning.category, warning.filename) for warning in caught] == [(TruncationWarning, __file__)]


async def test_so_does_an_awaited_one(reranker: Reranker) -> None:
    compressor = ResiftRerank(reranker=reranker)
    with shown_by_default(globals()) as caught:
        for count in (1, 2, 3):
            await compressor.acompress_documents(long(count), "q")
    assert [warning.filename for warning in caught] == [__file__]


async def test_so_do_retrievers(reranker: Reranker, store: InMemoryVectorStore) -> None:
    compression = ContextualCompressionRetriever(
        base_compressor=ResiftRerank(reranker=reranker), base_retriever=store.as_retriever()
    )
    for retriever in (compression, ResiftRetriever(first_stage=store, reranker=reranker)):
        with shown_by_default(globals()) as caught:
            for question in ("a", "b"):
                retriever.invoke(question)
                await retriever.ainvoke(question)
        assert [warning.filename for warning in caught] == [__file__] * 2, retriever


async def test_so_do_chains(reranker: Reranker, store: InMemoryVectorStore) -> None:
    compressor = ResiftRerank(reranker=reranker)
    chain = (
        {"query": RunnablePassthrough(), "documents": store.as_retriever()}
        | compressor.as_runnable()
        | RunnableLambda(len)
    )
    with shown_by_default(globals()) as caught:
        for question in ("a", "b"):
            chain.invoke(question)
            await chain.ainvoke(question)
            chain.batch([question, "c"])
            await chain.abatch([question, "c"])
    assert {warning.filename for warning in caught} == {__file__}
    assert len(caught) == 4
