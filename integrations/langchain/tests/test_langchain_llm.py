"""LLM rerankers in LangChain: a chat model of its own, and an endpoint by name."""

from __future__ import annotations

import pytest
from chat_server import completion, serving
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel

from langchain_resift import ResiftRerank, ResiftRetriever
from resift import InputError, MemoryFirstStage, Reranker
from resift.llm import LlmScorer


async def test_a_chat_model(documents: list[Document]) -> None:
    model = FakeListChatModel(responses=["[3] > [2] > [1]"])
    rerank = ResiftRerank(reranker=Reranker(LlmScorer(model)), top_n=2)
    results = rerank.compress_documents(documents, "red fox")
    assert [(document.id, document.metadata["relevance_score"]) for document in results] == [("fox", 3), ("bus", 2)]
    assert await rerank.acompress_documents(documents, "red fox") == results


async def test_by_name(documents: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with serving(lambda _: completion("[3] > [2]")) as server:
        rerank = ResiftRerank(model="openai:panda-2", engine_options={"base_url": server.url})
        results = rerank.compress_documents(documents, "red fox")
        assert await rerank.acompress_documents(documents, "red fox") == results
    assert [document.id for document in results] == ["fox", "bus", "whale"]
    assert results[0].metadata["rerank_degraded"], "passage 1 was missing in the answer"
    assert "sk-secret" not in repr(rerank) + rerank.model_dump_json()


async def test_an_instruction_of_the_step_and_of_a_call(documents: list[Document]) -> None:
    with serving(lambda _: completion("[3] > [2] > [1]")) as server:
        options = {"model": "openai:m", "engine_options": {"base_url": server.url}, "instruction": "Prefer animals."}
        ResiftRerank(**options).compress_documents(documents, "red fox")
        first_stage = MemoryFirstStage([document.page_content for document in documents])
        retriever = ResiftRetriever(first_stage=first_stage, **options)
        retriever.invoke("red fox")
        retriever.invoke("red fox", instruction="Prefer buses.")
        await retriever.ainvoke("red fox", instruction="Prefer whales.")
    systems = [request["messages"][0]["content"] for request in server.requests]
    words = ["animals" if "animals" in text else "buses" if "buses" in text else "whales" for text in systems]
    assert words == ["animals", "animals", "buses", "whales"]
    with pytest.raises(InputError, match="resift:small reads no instruction"):
        ResiftRetriever(first_stage=first_stage).invoke("red fox", instruction="Prefer buses.")
