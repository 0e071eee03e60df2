"""The whole thing, offline: fables in Chroma, found, reranked, and put in a prompt."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from langchain_chroma import Chroma
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough

from langchain_resift import ResiftEmbeddings, ResiftRerank, ResiftRetriever
from resift import Reranker
from resift.chroma import StaticEmbedding

QUESTION = "Who could not reach the grapes?"
FOUND = "the-fox-and-the-grapes"


class Prompts(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], **about: Any) -> None:
        self.seen += [str(message.content) for message in messages[0]]


@pytest.fixture(scope="module")
def fables() -> list[dict[str, str]]:
    lines = files("resift").joinpath("demo/fables.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def answering(retriever: Runnable[str, list[Document]]) -> Runnable[str, str]:
    prompt = ChatPromptTemplate.from_template("Answer from this:\n{context}\n\nQuestion: {question}")
    return (
        {"context": retriever | _joined, "question": RunnablePassthrough()}
        | prompt
        | FakeListChatModel(responses=["The fox."])
        | StrOutputParser()
    )


def _joined(documents: list[Document]) -> str:
    return "\n---\n".join(f"[{document.id}] {document.page_content}" for document in documents)


async def check(chain: Runnable[str, str], fables: list[dict[str, str]]) -> None:
    text = next(fable["text"] for fable in fables if fable["id"] == FOUND)
    prompts = Prompts()
    assert chain.invoke(QUESTION, {"callbacks": [prompts]}) == "The fox."
    assert await chain.ainvoke(QUESTION, {"callbacks": [prompts]}) == "The fox."
    assert "".join(chain.stream(QUESTION, {"callbacks": [prompts]})) == "The fox."
    assert chain.batch([QUESTION], {"callbacks": [prompts]}) == ["The fox."]
    assert len(prompts.seen) == 4
    for seen in prompts.seen:
        assert seen.startswith(f"Answer from this:\n[{FOUND}] {text}")
        assert seen.endswith(f"Question: {QUESTION}")
        assert seen.count("---") == 1
        assert "relevance_score" not in seen


async def test_over_a_collection(
    fables: list[dict[str, str]], bundled: Reranker, collection: Callable[..., Any]
) -> None:
    shelf = collection(embedding_function=StaticEmbedding())
    shelf.add(ids=[fable["id"] for fable in fables], documents=[fable["text"] for fable in fables])
    await check(answering(ResiftRetriever(first_stage=shelf, k=2, candidates=5, reranker=bundled)), fables)


@pytest.fixture
def store(fables: list[dict[str, str]]) -> Any:
    store = Chroma("fables-of-the-chain", ResiftEmbeddings())
    store.add_documents(
        [Document(fable["text"], id=fable["id"], metadata={"title": fable["title"]}) for fable in fables]
    )
    yield store
    store.delete_collection()


async def test_over_langchain_chroma(store: Chroma, fables: list[dict[str, str]], bundled: Reranker) -> None:
    await check(answering(ResiftRetriever(first_stage=store, k=2, candidates=5, reranker=bundled)), fables)


async def test_by_contextual_compression(store: Chroma, fables: list[dict[str, str]], bundled: Reranker) -> None:
    retriever = ContextualCompressionRetriever(
        base_compressor=ResiftRerank(reranker=bundled, top_n=2),
        base_retriever=store.as_retriever(search_kwargs={"k": 5}),
    )
    await check(answering(retriever), fables)
