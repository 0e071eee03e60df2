"""Async calls: the same answers, and neither the loop nor its default executor at work."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index.embeddings.resift import ResiftEmbedding
from llama_index.postprocessor.resift import ResiftRerank
from resift import OverloadedError, Reranker, StaticEmbedder
from resift.testing import OverlapScorer

QUERIES = ["what eats bamboo?", "how are bonds taxed?", "who sleeps all day?", "what is steel made of?"]
TEXTS = [
    "Pandas eat bamboo.",
    "Bond interest is taxed as income.",
    "Cats sleep most of the day.",
    "Steel is iron with a little carbon.",
    "Bamboo is a grass.",
]


class Forbidden(ThreadPoolExecutor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise AssertionError(f"the loop's default executor was asked to run {fn}")


@pytest.fixture
async def no_default_executor() -> None:
    asyncio.get_running_loop().set_default_executor(Forbidden(1))


def candidates(turn: int) -> list[NodeWithScore]:
    order = TEXTS[turn % 5 :] + TEXTS[: turn % 5]
    return [NodeWithScore(node=TextNode(text=text, id_=text), score=0.5) for text in order]


@pytest.mark.usefixtures("no_default_executor")
async def test_the_guard_guards() -> None:
    with pytest.raises(AssertionError, match="default executor"):
        await asyncio.to_thread(len, "")


@pytest.mark.usefixtures("no_default_executor")
async def test_fifty_at_once_equal_one_after_another(bundled: Reranker) -> None:
    rerank = ResiftRerank(reranker=bundled, top_n=3)
    calls = [(candidates(turn), QUERIES[turn % 4]) for turn in range(50)]
    serial = [rerank.postprocess_nodes(nodes, query_str=query) for nodes, query in calls]
    together = await asyncio.gather(*(rerank.apostprocess_nodes(nodes, query_str=query) for nodes, query in calls))
    assert [[hit.node_id for hit in hits] for hits in together] == [[hit.node_id for hit in hits] for hits in serial]
    for hits, alone in zip(together, serial, strict=True):  # calls share batches, which round otherwise
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in alone], abs=1e-5)


@pytest.mark.usefixtures("no_default_executor")
@pytest.mark.parametrize("loaded", [Reranker, StaticEmbedder])
async def test_the_first_call_loads_off_the_loop_and_once(loaded: type, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded_in = []
    original = loaded.__init__  # type: ignore[misc]

    def spied(self: object, *args: Any, **kwargs: Any) -> None:
        loaded_in.append(threading.current_thread())
        original(self, *args, **kwargs)

    monkeypatch.setattr(loaded, "__init__", spied)
    rerank, embedding = ResiftRerank(), ResiftEmbedding()
    if loaded is Reranker:
        await asyncio.gather(*(rerank.apostprocess_nodes(candidates(turn), query_str=QUERIES[0]) for turn in range(8)))
    else:
        await asyncio.gather(*(embedding.aget_query_embedding(query) for query in QUERIES))
    assert len(loaded_in) == 1
    assert loaded_in[0] is not threading.main_thread()


async def test_too_many_waiting_calls_are_turned_away() -> None:
    release = threading.Event()

    class Slow(OverlapScorer):
        def score(self, query: str, documents: Any) -> list[float]:
            release.wait(10)
            return super().score(query, documents)

    rerank = ResiftRerank(reranker=Reranker(Slow(), max_pending=1))
    first = asyncio.create_task(rerank.apostprocess_nodes(candidates(0), query_str=QUERIES[0]))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await rerank.apostprocess_nodes(candidates(0), query_str=QUERIES[0])
    release.set()
    assert len(await first) == 5


@pytest.mark.usefixtures("no_default_executor")
async def test_embeddings_are_the_same_async_and_leave_the_loop_its_turns() -> None:
    embedding = ResiftEmbedding()
    texts = [f"{text} {number}" for number in range(40) for text in TEXTS]
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    await embedding.aget_query_embedding("open the table")
    ticking = asyncio.create_task(tick())
    results = await embedding.aget_text_embedding_batch(texts)
    ticking.cancel()
    assert turns >= len(texts) // 32
    assert results == StaticEmbedder().embed(texts).tolist()
    assert await embedding.aget_text_embedding(texts[7]) == results[7]
    assert await embedding.aget_query_embedding(texts[7]) == results[7]
