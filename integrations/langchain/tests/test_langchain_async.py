from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import Document

from langchain_resift import ResiftEmbeddings, ResiftRerank, ResiftRetriever
from langchain_resift import _reranking as reranking
from resift import MemoryFirstStage, Reranker, Scale
from resift.testing import OverlapScorer

TOPICS = ["fox", "whale", "bus"]


def shelf(number: int) -> list[Document]:
    """Documents of one call, different in each: which one is right depends on the question alone."""
    return [Document(f"the {topic} number {number}", id=f"{topic} {number}") for topic in TOPICS]


async def test_fifty_at_once_equal_one_by_one(bundled: Reranker, forbidden_executor: Any) -> None:
    asyncio.get_running_loop().set_default_executor(forbidden_executor)
    step = ResiftRerank(reranker=bundled)
    calls = [(shelf(number), f"where is {TOPICS[number % 3]} {number}?") for number in range(50)]
    together = await asyncio.gather(*(step.acompress_documents(documents, query) for documents, query in calls))
    alone = [step.compress_documents(documents, query) for documents, query in calls]
    assert [[document.id for document in results] for results in together] == [
        [document.id for document in results] for results in alone
    ]
    for results, expected in zip(together, alone, strict=True):  # calls share batches, which round otherwise
        scores = [[document.metadata["relevance_score"] for document in documents] for documents in (results, expected)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)


async def test_the_first_use_loads_once_and_off_the_loop(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch, forbidden_executor: Any
) -> None:
    built: list[int] = []
    loop_runs_on = threading.Event()

    def build(*about: Any, **options: Any) -> Reranker:
        built.append(threading.get_ident())
        assert loop_runs_on.wait(timeout=5)
        return Reranker(OverlapScorer())

    monkeypatch.setattr(reranking, "Reranker", build)
    asyncio.get_running_loop().set_default_executor(forbidden_executor)
    step = ResiftRerank(top_n=1)
    first = asyncio.create_task(step.acompress_documents(documents, "red fox"))
    others = [asyncio.create_task(step.acompress_documents(documents, "red fox")) for _ in range(20)]
    await asyncio.sleep(0.01)
    first.cancel()  # which must not take the reranker from the calls that wait for the same reranker
    await asyncio.sleep(0)
    loop_runs_on.set()
    results = await asyncio.gather(*others)
    assert {tuple(document.id for document in found) for found in results} == {("fox",)}
    assert len(built) == 1
    assert built[0] != threading.get_ident()
    with pytest.raises(asyncio.CancelledError):
        await first


def test_threads_share_one_loading(documents: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Reranker] = []

    def build(*about: Any, **options: Any) -> Reranker:
        time.sleep(0.02)
        built.append(Reranker(OverlapScorer()))
        return built[-1]

    monkeypatch.setattr(reranking, "Reranker", build)
    step = ResiftRerank()
    results: list[Reranker] = []
    threads = [threading.Thread(target=lambda: results.append(step.load())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert results == built * 20


async def test_a_scorer_that_can_be_awaited_is(documents: list[Document]) -> None:
    class Remote:
        name, scale = "remote", Scale.PROBABILITY

        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            raise AssertionError("the blocking call")

        async def ascore(self, query: str, texts: Sequence[str]) -> list[float]:
            return [0.1, 0.2, 0.3]

    results = await ResiftRerank(reranker=Reranker(Remote()), top_n=1).acompress_documents(documents, "red fox")
    assert results[0].id == "fox"


async def test_nothing_of_ours_uses_the_default_executor(documents: list[Document], forbidden_executor: Any) -> None:
    asyncio.get_running_loop().set_default_executor(forbidden_executor)
    embeddings = ResiftEmbeddings()
    assert await embeddings.aembed_query("a fox") == embeddings.embed_query("a fox")
    assert await embeddings.aembed_documents(["a fox", "a bus"]) == embeddings.embed_documents(["a fox", "a bus"])
    stage = MemoryFirstStage([document.page_content for document in documents])
    retriever = ResiftRetriever(first_stage=stage, reranker=Reranker(OverlapScorer()), k=1)
    assert (await retriever.ainvoke("red fox"))[0].page_content == "the red fox"


async def test_a_first_stage_that_can_be_awaited_is(documents: list[Document]) -> None:
    class Remote(MemoryFirstStage):
        def retrieve(self, query: str, k: int) -> Any:
            raise AssertionError("the blocking call")

        async def aretrieve(self, query: str, k: int) -> Any:
            return MemoryFirstStage.retrieve(self, query, k)

    stage = Remote([document.page_content for document in documents])
    retriever = ResiftRetriever(first_stage=stage, reranker=Reranker(OverlapScorer()), k=1)
    assert (await retriever.ainvoke("red fox"))[0].page_content == "the red fox"
