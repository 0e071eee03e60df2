"""Whose turn it is: nobody ends later than with equal shares. Who waits for whom: nobody waits for himself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resift import Ensemble, Fallback, Reranker, Scale, ScorerError
from resift.engines.onnx import BATCH_TOKENS as NETWORK_BATCH
from resift.scorer import Request, Scores
from resift.scoring.pending import EarlyStopping, ScoringCall
from resift.scoring.queue import CHARACTERS_PER_TOKEN, CHUNK_CHARACTERS, CHUNK_TEXTS, ROUND_CHARACTERS, ScorerQueue
from resift.serving.limits import BATCH_TOKENS
from resift.testing import OverlapScorer
from resift.text.batches import BATCH_OVERHEAD, plan_batches

TEXT = "x" * 983  # costs 1,000 with its query and what stands around them
TEXTS_OF_A_ROUND = ROUND_CHARACTERS // 1000


class ManyOverlap(OverlapScorer):
    """Scores several queries in one pass, so that calls share rounds."""

    def score_many(self, requests: Sequence[Request]) -> list[list[float]]:
        return [self.score(query, documents) for query, documents in requests]


class Rounds:
    """A queue whose rounds are run by hand: a text takes a unit of time."""

    def __init__(self, round_tokens: int | None = None) -> None:
        self.queue = ScorerQueue(ManyOverlap(), round_tokens)
        self.queue._thread = object()  # type: ignore[assignment]  # so that it starts none
        self.now = 0.0
        self.ends: dict[ScoringCall, float] = {}
        self.calls: list[ScoringCall] = []
        self.passes: list[list[Request]] = []

    def submit(self, *sizes: int, by_deadline: bool = False, stopping: EarlyStopping | None = None) -> ScoringCall:
        requests = [Request("q", [TEXT] * size) for size in sizes]
        return self.send(*requests, by_deadline=by_deadline, stopping=stopping)

    def send(self, *requests: Request, by_deadline: bool = False, stopping: EarlyStopping | None = None) -> ScoringCall:
        call = ScoringCall([self.queue.pending(one, stopping, by_deadline=by_deadline) for one in requests])
        call.on_give_up = self.queue._drop_given_up
        self.queue._busy = True
        self.queue._enqueue(call)
        self.calls.append(call)
        return call

    def run(self) -> list[int]:
        """Score a round. Return how many texts of each call it had."""
        chunks = self.queue._next_round()
        self.passes.append([chunk.request for chunk in chunks])
        for chunk in chunks:
            chunk.pending.add(chunk.indices, Scores((0.0,) * len(chunk.indices)))
            self.now += len(chunk.indices)
        for call in self.calls:
            if call.over:
                self.ends.setdefault(call, self.now)
        return [sum(len(chunk.indices) for chunk in chunks if chunk.pending.call is call) for call in self.calls]

    def run_all(self) -> None:
        while any(self.run()):
            pass


def ends_with_equal_shares(calls: Sequence[tuple[float, int]]) -> list[float]:
    """Return when calls of (arrival, texts) would end if a scorer of one text per unit of time served all at once."""
    left, ends, now = [float(size) for _, size in calls], [0.0] * len(calls), 0.0
    while any(left):
        active = [place for place, (arrival, _) in enumerate(calls) if arrival <= now and left[place]]
        arrivals = [arrival for arrival, _ in calls if arrival > now]
        if not active:
            now = min(arrivals)
            continue
        share = min([min(left[place] for place in active), *((one - now) / len(active) for one in arrivals)])
        now += share * len(active)
        if arrivals and abs(now - min(arrivals)) < 1e-9:
            now = min(arrivals)
        for place in active:
            left[place] = 0.0 if left[place] - share < 1e-9 else left[place] - share
            if not left[place]:
                ends[place] = now
    return ends


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60)), min_size=1, max_size=12))
def test_no_call_ends_later_than_with_equal_shares_and_three_rounds(calls: list[tuple[int, int]]) -> None:
    rounds, sent = Rounds(), []
    waits = sorted((float(arrival * 7), size) for arrival, size in calls)
    for arrival, size in waits:
        while rounds.now < arrival and any(rounds.run()):
            pass
        rounds.now = max(rounds.now, arrival)  # nothing waited
        sent.append(rounds.submit(size))
    rounds.run_all()
    for call, equal in zip(sent, ends_with_equal_shares(waits), strict=True):
        assert rounds.ends[call] <= equal + 3 * TEXTS_OF_A_ROUND


def test_equal_calls_end_one_after_the_other_and_not_all_at_the_end() -> None:
    rounds = Rounds()
    calls = [rounds.submit(2 * TEXTS_OF_A_ROUND) for _ in range(8)]
    rounds.run_all()
    assert [rounds.ends[call] for call in calls] == [2 * TEXTS_OF_A_ROUND * (place + 1) for place in range(8)]


def test_whole_calls_of_similar_size_may_double_a_round() -> None:
    alike = Rounds()
    for _ in range(5):
        alike.submit(7)
    assert [alike.run(), alike.run()] == [[7, 7, 7, 7, 0], [0, 0, 0, 0, 7]], "four are 28, and two rounds 32"
    mixed = Rounds()
    for size in (2, 10, 10):
        mixed.submit(size)
    assert mixed.run() == [2, 10, 4], "the small call waits no longer for others"
    alone = Rounds()
    alone.submit(20)
    assert [alone.run(), alone.run()] == [[16], [4]]


def test_no_round_is_longer_for_a_call_that_does_not_end_in_it() -> None:
    rounds = Rounds()
    for _ in range(5):
        rounds.submit(3)
    short = Request("q", ["x" * 83] * 2 * CHUNK_TEXTS)  # each costs 100: by their characters all might be in one chunk
    rounds.send(short, by_deadline=True)
    assert rounds.run() == [3, 3, 3, 3, 3, 10], "what is left of a usual round"


def test_a_small_call_that_comes_while_a_large_one_is_scored_waits_for_a_round_of_usual_size() -> None:
    rounds = Rounds()
    rounds.submit(40)
    assert rounds.run() == [16]
    rounds.submit(3)
    assert rounds.run() == [13, 3]


def work_of(requests: Sequence[Request]) -> float:
    """Return the tokens that a network computes for these requests in one pass, with padding and starts of batches."""
    lengths = [len(text) // CHARACTERS_PER_TOKEN for request in requests for text in request.documents]
    batches = plan_batches(lengths, NETWORK_BATCH)
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    return padded + NETWORK_BATCH * BATCH_OVERHEAD * len(batches)


def test_requests_of_many_clients_cost_hardly_more_than_in_merged_batches() -> None:
    rng = random.Random(3)
    tokens = [min(254, max(20, int(rng.lognormvariate(4.4, 0.65)))) for _ in range(32 * 50)]
    texts = iter(["x" * (CHARACTERS_PER_TOKEN * number) for number in tokens])
    requests = [Request("q", list(islice(texts, 50))) for _ in range(32)]
    rounds = Rounds(BATCH_TOKENS)
    for request in requests:
        rounds.send(request)
    rounds.run_all()
    merged = sum(work_of(requests[start : start + 8]) for start in range(0, 32, 8))
    assert sum(map(work_of, rounds.passes)) < 1.025 * merged
    assert sum(map(len, rounds.passes)) == 32, "none is cut in two"


def test_a_large_call_is_served_however_many_small_ones_keep_coming() -> None:
    rounds = Rounds()
    large = rounds.submit(100)
    for _ in range(4):
        rounds.submit(1000)  # and with other large ones, which come later
    for _ in range(60):
        for _ in range(4):
            rounds.submit(3)  # three quarters of a round
        rounds.run()
    assert large.over


def test_a_call_of_many_queries_counts_as_one() -> None:
    rounds = Rounds()
    rounds.submit(*[3] * 100)
    assert rounds.run() == [TEXTS_OF_A_ROUND], "no whole call of similar size waits"
    single = rounds.submit(3)
    rounds.run()
    assert single.over


def test_who_may_end_with_a_part_gets_parts_in_turn() -> None:
    rounds = Rounds()
    late = [rounds.submit(40, by_deadline=True) for _ in range(3)]
    part = CHUNK_CHARACTERS // 1000
    assert [rounds.run() for _ in range(3)] == [[part, part, 0], [part, 0, part], [0, part, part]]
    rounds.run_all()
    assert all(call.over for call in late)
    several = Rounds()
    several.submit(40, 40, by_deadline=True)
    several.run()
    assert [pending._next for pending in several.calls[0].pending] == [part, part], "each query has its part"


def test_calls_that_end_with_work_left_take_no_share_any_more() -> None:
    rounds = Rounds()
    for _ in range(50):
        call = rounds.submit(1000)
        rounds.run()
        call.future.cancel()
        call.on_give_up()
        stopped = rounds.submit(1000, 1000, stopping=EarlyStopping(texts=2, top_k=1))
        waiting = rounds.submit(4)
        while not (stopped.over and waiting.over):
            rounds.run()
        assert len(rounds.queue._turns._ends) <= 3
    rounds.run_all()
    assert not rounds.queue._turns._ends


class Ranks:
    """Ranks with a reranker before it answers."""

    scale = Scale.PROBABILITY

    def __init__(self, name: str) -> None:
        self.name = name
        self.ask: Callable[[str, Sequence[str]], object] = lambda query, documents: None

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        self.ask(query, documents)
        return OverlapScorer().score(query, documents)


def circle(*names: str) -> list[Ranks]:
    scorers = [Ranks(name) for name in names]
    for scorer, other in zip(scorers, [*scorers[1:], scorers[0]], strict=True):
        scorer.ask = Reranker(other).rank
    return scorers


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("a", "a ranks with a reranker over itself: it would wait for itself"),
        ("ab", "b ranks with a reranker over a, which waits for b: they would wait for each other"),
        ("abc", "c ranks with a reranker over a, which waits for b, which waits for c: they would wait for each other"),
    ],
)
def test_scorers_that_rank_with_each_other_are_an_error_and_no_endless_wait(names: str, message: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        reranker = Reranker(circle(*names)[0])
        for _ in range(2):  # nobody is left waiting
            with pytest.raises(ScorerError, match=message):
                pool.submit(reranker.rank, "q", ["a"]).result(timeout=20)
            with pytest.raises(ScorerError, match=message):
                pool.submit(asyncio.run, reranker.arank("q", ["a"])).result(timeout=20)


@pytest.mark.parametrize("awaited", [False, True])
def test_nor_through_scorers_with_members(awaited: bool) -> None:
    first = Ranks("first")
    ensemble, fallback = (Reranker(kind([first, OverlapScorer()])) for kind in (Ensemble, Fallback))
    with ThreadPoolExecutor(1) as pool:
        first.ask = lambda *call: asyncio.run(ensemble.arank(*call)) if awaited else ensemble.rank(*call)
        with pytest.raises(ScorerError, match=r"ranks with a reranker over (first|itself)"):
            pool.submit(Reranker(first).rank, "q", ["a"]).result(timeout=20)
        first.ask = lambda *call: asyncio.run(fallback.arank(*call)) if awaited else fallback.rank(*call)
        ranking = pool.submit(fallback.rank, "q", ["a"]).result(timeout=20)
        assert len(ranking) == 1  # the other member's: a Fallback goes on where one fails


def test_scorers_that_ask_each_other_for_calls_of_others_do_not_hang_either() -> None:
    """Each alone would be fine: `a` asks `b` for one call, and `b` asks `a` for another."""
    a, b = circle("a", "b")
    ask_a, ask_b = b.ask, a.ask
    a.ask = lambda query, documents: ask_b("from a", documents) if query == "to a" else None
    b.ask = lambda query, documents: ask_a("from b", documents) if query == "to b" else None
    ended = 0
    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            calls = [pool.submit(Reranker(one).rank, f"to {one.name}", ["a"]) for one in (a, b)]
            for call in calls:
                error = call.exception(timeout=20)
                assert error is None or "would wait for each other" in str(error)
                ended += 1
    assert ended == 40


def test_a_scorer_may_rank_with_others_also_many_at_a_time() -> None:
    first, second, last = Ranks("first"), Ranks("second"), OverlapScorer()
    first.ask, second.ask = Reranker(second).rank, Reranker(Ensemble([last, ManyOverlap()])).rank
    with ThreadPoolExecutor(8) as pool:
        rerankers = [Reranker(one) for one in (first, second, last)]
        calls = [pool.submit(rerankers[number % 3].rank, "red fox", ["a whale", "a fox"]) for number in range(60)]
        assert {call.result(timeout=20)[0].document for call in calls} == {"a fox"}
