"""Connection pools: kept between calls, one per event loop, and never shared with a forked child."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from rerank_server import RerankServer

from resift import Reranker
from resift.scorer import AsyncScorer
from resift.services.rerank.scorer import RemoteScorer


class CountingServer(RerankServer):
    """A server that counts its connections."""

    connections = 0


@pytest.fixture
def server() -> Iterator[CountingServer]:
    server = CountingServer("jina")
    accept = server._http.get_request

    def count_and_accept() -> object:
        server.connections += 1
        return accept()

    server._http.get_request = count_and_accept  # type: ignore[method-assign,assignment]
    with server.running():
        yield server


@pytest.fixture
def scorer(server: RerankServer) -> RemoteScorer:
    return RemoteScorer("jina", "m", base_url=server.url)


def test_connections_are_kept_between_calls(server: CountingServer, scorer: RemoteScorer) -> None:
    for _ in range(5):
        scorer.score("red", ["red"])
    assert server.connections == 1
    scorer.close()
    scorer.close()
    scorer.score("red", ["red"])
    assert server.connections == 2


async def test_connections_are_kept_between_async_calls(server: CountingServer, scorer: RemoteScorer) -> None:
    assert isinstance(scorer, AsyncScorer)
    for _ in range(5):
        await scorer.ascore("red", ["red"])
    assert server.connections == 1
    await scorer.aclose()
    await scorer.aclose()
    await scorer.ascore("red", ["red"])
    assert server.connections == 2


def test_each_event_loop_has_its_own_pool(server: CountingServer, scorer: RemoteScorer) -> None:
    reranker = Reranker(scorer)
    for _ in range(3):
        assert asyncio.run(reranker.arank("red", ["blue", "red"]))[0].index == 1
    assert server.connections == 3
    assert len(scorer._client._by_loop) == 1, "closed loops are forgotten"
    assert all(pool.client.is_closed for pool in scorer._client._by_loop.values())


@pytest.mark.parametrize("calls", [1, 5])
def test_a_scorer_deleted_with_its_loop_leaves_no_socket_open(server: CountingServer, calls: int) -> None:
    """A socket left open would be a warning, and so an error here."""

    async def work() -> None:
        scorer = RemoteScorer("jina", "m", base_url=server.url)
        await asyncio.gather(*(scorer.ascore("red", ["red"]) for _ in range(calls)))

    asyncio.run(work())
    gc.collect()
    assert server.connections == calls


async def test_a_scorer_deleted_before_its_loop_leaves_no_socket_open(server: CountingServer) -> None:
    scorer = RemoteScorer("jina", "m", base_url=server.url)
    await asyncio.gather(*(scorer.ascore("red", ["red"]) for _ in range(3)))
    (pool,) = scorer._client._by_loop.values()
    del scorer
    gc.collect()
    for _ in range(300):
        await asyncio.sleep(0.02)
        if pool.client.is_closed:
            break
    assert pool.client.is_closed
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})  # the client counts as closed before it is


def test_loops_in_several_threads_at_once(scorer: RemoteScorer) -> None:
    async def work() -> list[float]:
        answers = await asyncio.gather(*(scorer.ascore("red", ["red", "blue"]) for _ in range(5)))
        return [score for scores in answers for score in scores]

    with ThreadPoolExecutor(4) as threads:
        for scores in threads.map(lambda _: asyncio.run(work()), range(4)):
            assert scores == [1.0, 0.0] * 5


def test_threads_share_one_pool(scorer: RemoteScorer) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda word: scorer.score("red", [word])[0], ["red", "blue"] * 10)) == [1.0, 0.0] * 10
    assert len(scorer._client._by_process) == 1


async def test_awaiting_starts_no_thread(scorer: RemoteScorer) -> None:
    before = {thread for thread in threading.enumerate() if thread.name.startswith(("resift", "asyncio"))}
    await Reranker(scorer).arank("red", ["red", "blue"])
    assert {thread for thread in threading.enumerate() if thread.name.startswith(("resift", "asyncio"))} == before
    await scorer.aclose()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the server's thread is not ours
def test_a_forked_child_makes_connections_of_its_own(server: CountingServer, scorer: RemoteScorer) -> None:
    scorer.score("red", ["red"])
    context = multiprocessing.get_context("fork")
    _INHERITED[:] = [scorer]
    with context.Pool(1) as pool:
        assert pool.apply_async(_score_in_child).get(60) == [1.0, 0.0]
    _INHERITED.clear()
    scorer.score("red", ["red"])
    assert server.connections == 2, "one connection of the parent, one of the child"


_INHERITED: list[RemoteScorer] = []


def _score_in_child() -> list[float]:
    return list(_INHERITED[0].score("red", ["red", "blue"]))


async def test_with_closes(server: CountingServer) -> None:
    with RemoteScorer("jina", "m", base_url=server.url) as scorer:
        scorer.score("red", ["red"])
    assert not scorer._client._by_process
    async with RemoteScorer("jina", "m", base_url=server.url) as scorer:
        await scorer.ascore("red", ["red"])
        scorer.score("red", ["red"])
    assert not scorer._client._by_loop
    assert not scorer._client._by_process


def test_a_deleted_scorer_leaves_no_socket_open(server: CountingServer) -> None:
    RemoteScorer("jina", "m", base_url=server.url).score("red", ["red"])
    gc.collect()
