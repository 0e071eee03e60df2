"""`arank` beside a running event loop: never blocking it, never in the process-wide executor, bounded."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from resift import InputError, OverloadedError, Reranker, Scale, ScorerError
from resift.testing import OverlapScorer, ScriptedScorer

DOCUMENTS = ["a blue whale", "the red fox", "a red whale"]
tracer: ContextVar[str] = ContextVar("tracer", default="none")


class Slow:
    """Takes until it is let go, and remembers which threads and contexts it ran in."""

    name, scale = "slow", Scale.LOGIT

    def __init__(self, held: bool = True) -> None:
        self.go_on = threading.Event()
        if not held:
            self.go_on.set()
        self.threads: set[str] = set()
        self.contexts: list[str] = []
        self.inside = 0
        self.max_inside = 0
        self.queries: list[str] = []

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        self.inside += 1
        self.max_inside = max(self.max_inside, self.inside)
        self.threads.add(threading.current_thread().name)
        self.contexts.append(tracer.get())
        self.queries.append(query)
        self.go_on.wait(20)
        self.inside -= 1
        return [float(len(document)) for document in documents]


class NoExecutor(ThreadPoolExecutor):
    """A default executor that nobody may use."""

    def submit(self, *_: object, **__: object) -> object:  # type: ignore[override]
        raise AssertionError("the event loop's default executor was used")


async def test_arank_equals_rank_and_leaves_the_default_executor_alone(bundled: Reranker) -> None:
    asyncio.get_running_loop().set_default_executor(NoExecutor())
    expected = bundled.rank("red fox", DOCUMENTS)
    rankings = await asyncio.gather(*(bundled.arank("red fox", DOCUMENTS) for _ in range(50)))
    assert all(ranking.hits == expected.hits for ranking in rankings)
    (many,) = await bundled.arank_many(["red fox"], [DOCUMENTS])
    assert many.hits == expected.hits


async def test_the_event_loop_stays_free_and_the_model_is_entered_once_at_a_time() -> None:
    scorer = Slow()
    reranker = Reranker(scorer)  # type: ignore[arg-type]
    beats = 0

    async def heartbeat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.001)
            beats += 1
            if beats == 10:
                scorer.go_on.set()

    heart = asyncio.create_task(heartbeat())
    await asyncio.gather(*(reranker.arank("q", DOCUMENTS) for _ in range(6)))
    heart.cancel()
    assert scorer.max_inside == 1
    assert all(name.startswith("resift") for name in scorer.threads)
    assert beats >= 10, "the loop goes on while the scorer is at work"


async def test_too_many_waiting_calls_are_refused_at_once() -> None:
    scorer = Slow()
    reranker = Reranker(scorer, max_pending=2)  # type: ignore[arg-type]
    waiting = [asyncio.create_task(reranker.arank("q", DOCUMENTS)) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(OverloadedError, match=r"2 calls are waiting.*max_pending=2"):
        await reranker.arank("q", DOCUMENTS)
    scorer.go_on.set()
    assert len(await asyncio.gather(*waiting)) == 2
    assert len(await reranker.arank("q", DOCUMENTS)) == 3, "room again"


async def test_calls_of_a_service_count_against_max_pending() -> None:
    class Service(OverlapScorer):
        async def ascore(self, query: str, documents: Sequence[str]) -> Sequence[float]:
            await answered.wait()
            return self.score(query, documents)

    answered = asyncio.Event()
    reranker = Reranker(Service(), max_pending=1)
    waiting = asyncio.create_task(reranker.arank("q", DOCUMENTS))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="max_pending=1"):
        await reranker.arank("q", DOCUMENTS)
    answered.set()
    await waiting
    assert len(await reranker.arank("q", DOCUMENTS)) == 3, "room again"


async def test_a_cancelled_call_that_waits_is_never_scored() -> None:
    scorer = Slow()
    reranker = Reranker(scorer, max_pending=2)  # type: ignore[arg-type]
    running = asyncio.create_task(reranker.arank("first", DOCUMENTS))
    cancelled = asyncio.create_task(reranker.arank("second", DOCUMENTS))
    while not scorer.queries:  # noqa: ASYNC110 - a thread is waited for, which knows no events of the loop
        await asyncio.sleep(0.001)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    scorer.go_on.set()
    await running
    await reranker.arank("third", DOCUMENTS)
    assert scorer.queries == ["first", "third"]


async def test_the_callers_context_travels_along() -> None:
    scorer = Slow(held=False)
    tracer.set("span 7")
    await Reranker(scorer).arank("q", DOCUMENTS)  # type: ignore[arg-type]
    assert scorer.contexts == ["span 7"]


async def test_an_async_scorer_is_awaited_without_a_thread() -> None:
    class Service:
        name, scale = "service", Scale.PROBABILITY

        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            raise AssertionError("the async form was there")

        async def ascore(self, query: str, documents: Sequence[str]) -> list[float]:
            if query == "fail":
                raise OSError("connection refused")
            await asyncio.sleep(0)
            return OverlapScorer().score(query, documents)

    reranker = Reranker(Service())
    assert (await reranker.arank("red fox", DOCUMENTS))[0].document == "the red fox"
    assert len(await reranker.arank("red fox", [])) == 0
    with pytest.raises(ScorerError, match="service failed: OSError: connection refused") as caught:
        await reranker.arank("fail", DOCUMENTS)
    assert isinstance(caught.value.__cause__, OSError)
    kept = await Reranker(Service(), on_error="keep_order").arank("fail", DOCUMENTS)
    assert kept.documents == DOCUMENTS
    assert kept.degraded is not None


async def test_arank_refuses_what_rank_refuses() -> None:
    with pytest.raises(InputError):
        await Reranker(OverlapScorer()).arank("", DOCUMENTS)
    with pytest.raises(ScorerError):
        await Reranker(ScriptedScorer([])).arank("q", DOCUMENTS)


def test_one_reranker_serves_loop_after_loop_and_many_threads(bundled: Reranker) -> None:
    expected = bundled.rank("red fox", DOCUMENTS).hits
    for _ in range(3):
        assert asyncio.run(bundled.arank("red fox", DOCUMENTS)).hits == expected
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: bundled.rank("red fox", DOCUMENTS).hits, range(40)))
    assert all(hits == expected for hits in found)


def _child(reranker: Reranker, answer: multiprocessing.Queue[list[int]]) -> None:
    answer.put([hit.index for hit in asyncio.run(reranker.arank("red fox", DOCUMENTS))])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_a_worker_of_its_own() -> None:
    reranker = Reranker(OverlapScorer())
    asyncio.run(reranker.arank("red fox", DOCUMENTS))  # the parent's thread is running: the child inherits none
    context = multiprocessing.get_context("fork")
    answer: multiprocessing.Queue[list[int]] = context.Queue()
    child = context.Process(target=_child, args=(reranker, answer), daemon=True)
    child.start()
    assert answer.get(timeout=20) == [1, 2, 0]
    child.join(10)
