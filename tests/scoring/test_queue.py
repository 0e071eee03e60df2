"""One worker per scorer: shared rounds, fair shares, cancellation, closing; and scores that depend on none of it."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resift import Ensemble, Fallback, InputError, OverloadedError, Reranker, Scale, ScorerError, load_scorer
from resift.engines.common.session import CorePool
from resift.scorer import Request
from resift.scoring.queue import CHARACTERS_PER_TOKEN, ROUND_CHARACTERS, queue_of
from resift.testing import OverlapScorer


class Held:
    """Scores a text by its length; waits for `release` where it is held, and remembers every pass."""

    name, scale = "held", Scale.LOGIT

    def __init__(self) -> None:
        self.passes: list[list[Request]] = []
        self.inside = self.most_inside = 0
        self.entered = threading.Semaphore(0)
        self.release = threading.Semaphore(0)
        self.free = True

    def score(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Sequence[float]]:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.passes.append([Request(query, tuple(documents)) for query, documents in requests])
        self.entered.release()
        if not self.free:
            assert self.release.acquire(timeout=20)
        self.inside -= 1
        if any("impossible" in query for query, _ in requests):
            raise InputError("an impossible query")
        if any("broken" in query for query, _ in requests):
            raise OSError("out of order")
        return [[float(len(document)) for document in documents] for _, documents in requests]

    @contextmanager
    def held(self) -> Iterator[None]:
        self.free = False
        yield
        self.free = True
        for _ in range(100):
            self.release.release()


def texts(count: int, length: int = 100) -> list[str]:
    return [f"{number:05}".ljust(length + number % 7, "x") for number in range(count)]


def queries(scorer: Held) -> list[list[str]]:
    return [[query for query, _ in one] for one in scorer.passes]


async def test_calls_that_come_while_the_scorer_works_are_scored_together() -> None:
    scorer = Held()
    reranker = Reranker(scorer)
    with scorer.held():
        first = asyncio.create_task(reranker.arank("first", texts(3)))
        await asyncio.to_thread(scorer.entered.acquire)
        waiting = [asyncio.create_task(reranker.arank(f"q{number}", texts(3))) for number in range(5)]
        thread = asyncio.create_task(asyncio.to_thread(reranker.rank, "from a thread", texts(3)))
        await waiting_for(reranker, 7)
    rankings = await asyncio.gather(first, *waiting, thread)
    assert queries(scorer) == [["first"], ["q0", "q1", "q2", "q3", "q4", "from a thread"]]
    assert scorer.most_inside == 1
    assert all(ranking.hits == reranker.rank("q", texts(3)).hits for ranking in rankings)


async def test_a_small_call_is_not_behind_all_of_a_large_one() -> None:
    scorer = Held()
    reranker = Reranker(scorer)
    with scorer.held():
        large = asyncio.create_task(reranker.arank("large", texts(2000)))
        await asyncio.to_thread(scorer.entered.acquire)
        small = asyncio.create_task(reranker.arank("small", texts(5)))
        await asyncio.sleep(0)
    assert len(await small) == 5
    assert queries(scorer)[:2] == [["large"], ["small", "large"]], "it had a part in the very next round"
    assert (await large).documents == sorted(texts(2000), key=lambda text: -len(text))
    for one in scorer.passes:
        assert sum(len(document) for _, documents in one for document in documents) <= ROUND_CHARACTERS
    sizes = [len(document) for one in scorer.passes for query, part in one if query == "large" for document in part]
    assert sizes == sorted(sizes, reverse=True), "texts of a length go together"


async def test_a_quick_scorer_does_more_in_a_round() -> None:
    quick = Held()
    quick.round_tokens = 24_000  # type: ignore[attr-defined]  # read where a scorer has it
    for scorer, rounds in ((Held(), 15), (quick, 3)):  # 2,000 texts of 100 letters and what stands around them
        await Reranker(scorer).arank("q", texts(2000))
        assert len(scorer.passes) == pytest.approx(rounds, abs=1)
    assert load_scorer("resift:tiny").round_tokens > 4 * ROUND_CHARACTERS / CHARACTERS_PER_TOKEN  # type: ignore[attr-defined]  # as above


async def test_nobody_starves_however_many_keep_coming() -> None:
    scorer = Held()
    reranker = Reranker(scorer)
    with scorer.held():
        large = [asyncio.create_task(reranker.arank(f"large{number}", texts(300))) for number in range(20)]
        small = [asyncio.create_task(reranker.arank(f"small{number}", texts(2))) for number in range(20)]
        await waiting_for(reranker, 40)
    await asyncio.gather(*large, *small)
    # The first round may have begun before the others came.
    assert {f"small{number}" for number in range(20)} <= {query for one in queries(scorer)[:2] for query in one}
    order = list(dict.fromkeys(query for one in queries(scorer) for query in one if query.startswith("large")))
    assert order == [f"large{number}" for number in range(20)], "equal calls: who came first is done first"


async def test_what_was_cancelled_is_not_scored_any_further() -> None:
    scorer = Held()
    reranker = Reranker(scorer)
    with scorer.held():
        running = asyncio.create_task(reranker.arank("running", texts(2000)))
        await asyncio.to_thread(scorer.entered.acquire)
        waiting = asyncio.create_task(reranker.arank("waiting", texts(5)))
        await asyncio.sleep(0)
        for task in (running, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not reranker._call_limit._inside, "their places are free at once"
    assert len(await reranker.arank("next", texts(3))) == 3
    assert queries(scorer) == [["running"], ["next"]]


async def test_one_calls_bad_query_is_not_the_others_error() -> None:
    scorer = Held()
    reranker = Reranker(scorer)
    with scorer.held():
        first = asyncio.create_task(reranker.arank("first", texts(1)))
        await asyncio.to_thread(scorer.entered.acquire)
        calls = [asyncio.create_task(reranker.arank(query, texts(3))) for query in ("good", "impossible", "broken")]
        await asyncio.sleep(0)
    await first
    good, impossible, broken = await asyncio.gather(*calls, return_exceptions=True)
    assert not isinstance(good, BaseException)
    assert len(good) == 3
    assert isinstance(impossible, InputError)
    assert isinstance(broken, ScorerError)
    assert "out of order" in str(broken)
    with pytest.raises(InputError, match="impossible"):
        reranker.rank_many(["impossible", "good"], [texts(2), texts(2)])


def test_rerankers_that_share_a_scorer_share_its_worker() -> None:
    scorer = Held()
    one, other = Reranker(scorer), Reranker(scorer, top_k=1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: (one, other)[number % 2].rank("q", texts(3)), range(40)))
    assert scorer.most_inside == 1
    assert queue_of(scorer) is one._queue is other._queue
    copy = pickle.loads(pickle.dumps(Reranker(OverlapScorer(), max_pending=7)))
    assert queue_of(copy.scorer) is copy._queue
    assert copy._call_limit.limit == 7


def test_members_are_asked_in_turn_with_whoever_else_asks_them() -> None:
    scorer = Held()
    both = Ensemble([scorer, OverlapScorer()], by="rank")
    combined = (Reranker(both), Reranker(Fallback([scorer, OverlapScorer()])))
    with ThreadPoolExecutor(4) as pool, scorer.held():
        calls = [pool.submit(one.rank, "q", texts(3)) for one in (Reranker(scorer), *combined)]
        calls.append(pool.submit(asyncio.run, combined[0].arank("q", texts(3))))
        assert scorer.entered.acquire(timeout=20)
        assert not scorer.entered.acquire(timeout=0.3)
    assert [len(call.result(timeout=20)) for call in calls] == [3] * 4
    assert scorer.most_inside == 1


async def test_threads_and_tasks_count_alike_against_max_pending() -> None:
    scorer = Held()
    reranker = Reranker(scorer, max_pending=2)
    with scorer.held():
        task = asyncio.create_task(reranker.arank("task", texts(1)))
        thread = asyncio.create_task(asyncio.to_thread(reranker.rank, "thread", texts(1)))
        await waiting_for(reranker, 2)
        with pytest.raises(OverloadedError, match="2 calls are waiting"):
            await reranker.arank("third", texts(1))
        with pytest.raises(OverloadedError, match="max_pending=2"):
            reranker.rank("third", texts(1))
    await asyncio.gather(task, thread)
    assert len(reranker.rank("room again", texts(1))) == 1


async def test_closing_finishes_what_is_under_way_and_refuses_the_rest() -> None:
    scorer = Held()
    async with Reranker(scorer) as reranker:
        with scorer.held():
            under_way = asyncio.create_task(reranker.arank("q", texts(3)))
            await asyncio.to_thread(scorer.entered.acquire)
            closing = asyncio.create_task(reranker.aclose())
            await asyncio.sleep(0)
            with pytest.raises(InputError, match="closed; make a new one"):
                await reranker.arank("late", texts(3))
        await closing
        assert under_way.done()
    with Reranker(OverlapScorer()) as short:
        assert len(short.rank("q", texts(1))) == 1
    with pytest.raises(InputError, match="closed"):
        short.rank("q", texts(1))


def test_only_a_scorer_that_was_loaded_is_closed_along(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closable(Held):
        closed = False

        def close(self) -> None:
            self.closed = True

    given_one = Closable()
    Reranker(given_one).close()
    assert not given_one.closed, "its owner may go on using it"
    monkeypatch.setattr("resift.reranking.held_scorer.load_scorer", lambda _: given_one)
    Reranker("a name").close()
    assert given_one.closed


def test_nothing_is_left_of_a_reranker_that_is_gone() -> None:
    reranker = Reranker(Held())
    reranker.rank("q", texts(1))
    thread = reranker._queue._thread.thread  # type: ignore[union-attr]
    del reranker
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.parametrize("model", ["resift:small", "resift:tiny", "resift:fast", "bert-small"])
def test_a_dropped_reranker_is_freed_without_a_search_for_garbage(model: str, exported: Callable[[str], Path]) -> None:
    """A new one for each request would else hold a model each until Python looks for circles of objects."""
    gc.collect()
    gc.disable()
    try:
        reranker = Reranker(model if model.startswith("resift:") else exported(model))
        reranker.rank("q", texts(2))
        asyncio.run(reranker.arank("q", texts(1)))
        reranker.rank_many(["q", "r"], [texts(2), texts(1)])
        gone, thread = weakref.ref(reranker.scorer), reranker._queue._thread.thread  # type: ignore[union-attr]
        del reranker
        thread.join(timeout=20)
        assert gone() is None
    finally:
        gc.enable()


async def waiting_for(reranker: Reranker, tasks: int) -> None:
    while len(reranker._queue._waiting) < tasks:  # noqa: ASYNC110 - the queue knows threads, not events
        await asyncio.sleep(0.001)


LISTS = st.lists(
    st.tuples(st.sampled_from(["red fox", "what do pandas eat?"]), st.lists(st.integers(0, 60), max_size=12)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=12, deadline=None)
@given(LISTS, st.booleans())
def test_scores_of_merged_calls_are_those_of_single_ones(
    bundled: Reranker, lists: list[tuple[str, list[int]]], threads: bool
) -> None:
    calls = [(query, [f"pandas {'eat bamboo ' * (size % 9)}{size}" for size in sizes]) for query, sizes in lists]
    expected = [list(bundled.scorer.score(query, documents)) for query, documents in calls]

    async def together() -> list[list[float]]:
        rank = (lambda *call: asyncio.to_thread(bundled.rank, *call)) if threads else bundled.arank
        rankings = await asyncio.gather(*(rank(*call) for call in calls))
        return [[hit.score for hit in sorted(ranking, key=lambda hit: hit.index)] for ranking in rankings]

    for found, alone in zip(asyncio.run(together()), expected, strict=True):
        assert found == pytest.approx(alone, abs=1e-4)


def test_a_long_list_cut_into_rounds_scores_as_the_scorer_does(exported: Callable[[str], Path]) -> None:
    reranker = Reranker(exported("bert-small"))
    documents = [f"{number} " + "pandas eat bamboo all day " * (number % 40) for number in range(80)]
    assert sum(map(len, documents)) > 2 * ROUND_CHARACTERS
    ranking = reranker.rank("what eats bamboo?", documents)
    found = {hit.index: hit.score for hit in ranking}
    alone = reranker.scorer.score("what eats bamboo?", documents)
    assert [found[place] for place in range(80)] == pytest.approx(list(alone), abs=1e-4)
    assert ranking.stats.pairs == 80


def test_no_more_threads_compute_than_there_are_cores() -> None:
    cores = CorePool(4)
    busy = most = 0
    lock = threading.Lock()

    def compute(wanted: int | None) -> None:
        nonlocal busy, most
        with cores.borrow(wanted):
            taken = 4 if wanted is None else min(4, wanted)
            with lock:
                busy += taken
                most = max(most, busy)
            time.sleep(0.001)
            with lock:
                busy -= taken

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(compute, [1, 2, None, 9, 1, 3] * 10))
    assert busy == 0
    assert 2 <= most <= 4


def _in_child(reranker: Reranker, answers: multiprocessing.Queue[list[float]]) -> None:
    documents = [f"{number} pandas eat bamboo " * 30 for number in range(20)]
    answers.put([hit.score for hit in reranker.rank("what eats bamboo?", documents)])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_reranker_that_has_worked_works_in_a_child(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    reranker = Reranker(threads=2)
    documents = [f"{number} pandas eat bamboo " * 30 for number in range(20)]
    expected = [hit.score for hit in reranker.rank("what eats bamboo?", documents)]
    context = multiprocessing.get_context(method)
    answers: multiprocessing.Queue[list[float]] = context.Queue()
    child = context.Process(target=_in_child, args=(reranker, answers), daemon=True)
    child.start()
    assert answers.get(timeout=120) == pytest.approx(expected, abs=1e-4)
    child.join(20)
    assert child.exitcode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_call_starts_empty() -> None:
    scorer = Held()
    reranker = Reranker(scorer, max_pending=1)
    child: int | None = None
    with scorer.held(), ThreadPoolExecutor(1) as pool:
        running = pool.submit(reranker.rank, "in the parent", texts(3))
        assert scorer.entered.acquire(timeout=20)
        child = os.fork()
        if child == 0:
            scorer.free = True
            os._exit(0 if len(reranker.rank("in the child", texts(3))) == 3 else 1)
        _, status = os.waitpid(child, 0)
        scorer.release.release()
        assert len(running.result(timeout=20)) == 3
    assert os.waitstatus_to_exitcode(status) == 0


def test_the_sessions_of_a_parent_are_opened_again(fresh_scorer: Callable[[], object]) -> None:
    scorer = fresh_scorer()
    session = scorer.pipeline.network.encoder.session  # type: ignore[attr-defined]
    before, known = session.current, scorer.score("q", ["a text"])  # type: ignore[attr-defined]
    session.renew()
    assert session.current is not before
    assert list(scorer.score("q", ["a text"])) == list(known)  # type: ignore[attr-defined]


@pytest.fixture
def fresh_scorer() -> Callable[[], object]:
    return lambda: Reranker().scorer
