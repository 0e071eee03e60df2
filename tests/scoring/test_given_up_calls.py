"""Calls that were given up, at a deadline or by cancelling; and what a scorer or a wrapper may not do to others."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from resift import Cached, Ensemble, InputError, OverloadedError, Reranker, Scale, ScorerError
from resift.adapters import Lazy
from resift.scorer import Request, Scores, WrapperScorer
from resift.scoring import queue as queue_module
from resift.scoring.load import load_scorer
from resift.serving.service import BusyError, RerankService
from resift.testing import OverlapScorer


class Slow:
    """Takes its time, counts the threads inside, and notices when it is closed meanwhile."""

    name, scale = "slow", Scale.PROBABILITY

    def __init__(self, seconds: float = 0.3) -> None:
        self.seconds = seconds
        self.go_on = threading.Event()
        """Ends its work before."""
        self.inside = self.most_inside = 0
        self.closed_while_inside = False
        self._lock = threading.Lock()

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        self.go_on.wait(self.seconds)
        with self._lock:
            self.inside -= 1
        return [1.0] * len(documents)

    def close(self) -> None:
        self.closed_while_inside |= self.inside > 0


def test_close_returns_after_a_call_that_ended_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(60)
    monkeypatch.setattr("resift.reranking.held_scorer.load_scorer", lambda _: slow)
    reranker = Reranker("a name")
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(reranker.rank, "q", ["a"], deadline=0.1)
        while not slow.inside:
            time.sleep(0.01)
        closing = pool.submit(reranker.close)
        assert call.result(timeout=20).degraded == "0 of 1 scored within 0.1 s"
        slow.go_on.set()
        closing.result(timeout=20)
    assert not slow.closed_while_inside


async def test_close_in_a_thread_returns_after_an_awaited_or_cancelled_call() -> None:
    for cancelled in (False, True):
        reranker = Reranker(Ensemble([Slow(), Slow()]))
        call = asyncio.create_task(reranker.arank("q", ["a"]))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(asyncio.to_thread(reranker.close))
        await asyncio.sleep(0.05)
        if cancelled:
            call.cancel()
        await asyncio.wait_for(closing, 20)
        await asyncio.wait([call])


def test_one_thread_enters_a_scorer_also_where_others_are_made_of_it() -> None:
    class SlowWithIdentity(Slow):
        identity = "slow 1"

    slow = SlowWithIdentity(0.02)
    rerankers = [
        Reranker(slow),
        Reranker(slow, cache=":memory:"),
        Reranker(WrapperScorer(slow)),
        Reranker(Ensemble([slow, OverlapScorer()])),
        Reranker(Cached(slow)),
    ]
    with ThreadPoolExecutor(10) as pool:
        calls = [pool.submit(each.rank, f"q{number}", ["a"]) for number in range(6) for each in rerankers]
        assert all(call.result(timeout=60) for call in calls)
    assert slow.most_inside == 1


def test_calls_that_were_given_up_leave_their_texts_and_threads_count_until_they_end() -> None:
    slow = Slow(60)
    reranker = Reranker(slow)
    for number in range(30):
        reranker.rank("q", [f"{number}"], deadline=0.01)
    assert len(reranker._queue._waiting) <= 1
    slow.go_on.set()

    class SlowService(Slow):
        async def ascore(self, query: str, documents: Sequence[str]) -> list[float]:
            return await asyncio.to_thread(self.score, query, documents)

    slow_service = SlowService(60)
    service = Reranker(slow_service, max_pending=2)
    for _ in range(2):
        service.rank("q", ["a"], deadline=0.01)
    with pytest.raises(OverloadedError):
        service.rank("q", ["a"], deadline=0.01)
    slow_service.go_on.set()


async def test_a_service_over_a_scorer_that_is_awaited_is_bounded_too() -> None:
    service = RerankService(Ensemble([Slow(), OverlapScorer()]), batch_tokens=100, waiting_tokens=20)
    calls = [asyncio.create_task(service.score("q", ["a text of some length"])) for _ in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(outcome, BusyError) for outcome in outcomes)
    assert any(isinstance(outcome, Scores) for outcome in outcomes)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_no_error_of_a_scorer_ends_its_callers_loop(error: BaseException) -> None:
    class Leaving(OverlapScorer):
        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            raise error

    with pytest.raises(ScorerError, match=f"overlap failed: {type(error).__name__}"):
        await Reranker(Leaving()).arank("q", ["a"])


class Negated(WrapperScorer):
    """Turns the wrapped scorer's order round."""

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        return [Scores(tuple(-score for score in answer)) for answer in super().score_many(requests)]


def test_a_wrapper_that_scores_otherwise_is_not_taken_for_what_it_wraps() -> None:
    inner = load_scorer("resift:tiny")
    assert WrapperScorer(inner).identity == inner.identity  # type: ignore[attr-defined]  # an engine has one
    assert Negated(inner).identity is None
    with pytest.raises(InputError, match="has no identity"):
        Reranker(Negated(inner), cache=":memory:")


async def test_a_wrapper_that_scores_otherwise_is_asked_by_arank_too() -> None:
    class Awaited(OverlapScorer):
        async def ascore(self, query: str, documents: Sequence[str]) -> list[float]:
            return self.score(query, documents)

    negated = Negated(Awaited())
    assert not negated.awaitable
    reranker = Reranker(negated)
    documents = ["a red fox", "a whale"]
    assert (await reranker.arank("red fox", documents)).documents == reranker.rank("red fox", documents).documents
    assert reranker.rank("red fox", documents)[0].document == "a whale"
    with pytest.raises(TypeError, match="override score_many"):

        class OnlyScore(WrapperScorer):
            def score(self, query: str, documents: Sequence[str]) -> Scores:
                return Scores(())


@pytest.mark.parametrize(
    "answer", [Scores((1.0, 2.0), order=(0, 5)), Scores((1.0, 2.0), spans={7: (0, 1, True)}), "12", {"a": 1, "b": 2}]
)
def test_an_answer_that_fits_no_document_is_an_error_of_the_scorer(answer: object) -> None:
    class Odd(OverlapScorer):
        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            return answer  # type: ignore[return-value]  # what is tested

    with pytest.raises(ScorerError, match="overlap"):
        Reranker(Odd()).rank("q", ["a", "b"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_holds_a_lock_leaves_it_free_in_the_child() -> None:
    entered, go_on = threading.Event(), threading.Event()
    lazy = Lazy(lambda: entered.set() or (go_on.wait(60) and 3))
    loading = threading.Thread(target=lazy.get)
    loading.start()
    entered.wait(60)
    with queue_module._CHOOSING:
        child = os.fork()
        if child == 0:
            threading.Timer(20, lambda: os._exit(2)).start()
            go_on.set()
            found = Reranker(OverlapScorer()).rank("red fox", ["a fox"])
            os._exit(0 if len(found) == 1 and lazy.get() == 3 else 1)
    go_on.set()
    _, status = os.waitpid(child, 0)
    loading.join()
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_scorer_may_make_rerankers_while_its_attributes_are_read() -> None:
    class Curious(OverlapScorer):
        @property
        def identity(self) -> str:
            return Reranker(OverlapScorer()).scorer.name

    assert len(Reranker(Curious()).rank("q", ["a"])) == 1


class OneBadQuery:
    """Scores many requests in one pass, and fails at one query."""

    name, scale = "one-bad-query", Scale.PROBABILITY

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[list[float]]:
        if any(query == "bad" for query, _ in requests):
            raise RuntimeError("out of memory")
        return [[len(document) / 10 for document in documents] for _, documents in requests]


def test_a_query_that_fails_leaves_the_order_of_no_other_query() -> None:
    reranker = Reranker(OneBadQuery(), on_error="keep_order")
    rankings = reranker.rank_many(["good", "bad", "also good"], [["a", "bb"]] * 3)
    assert [ranking.documents for ranking in rankings] == [["bb", "a"], ["a", "bb"], ["bb", "a"]]
    assert [bool(ranking.degraded) for ranking in rankings] == [False, True, False]
