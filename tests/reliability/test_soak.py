"""32 callers at once on one scorer, in threads and in an event loop: answers, memory, threads, event-loop lag.

The long run takes 10 minutes, or as many seconds as RESIFT_SOAK_SECONDS says.
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from reliability import Resources, needs_proc, setting, short_and_long
from resift import Ranking, Reranker
from resift.demo import fables

CALLERS = 16  # threads, and as many tasks
LONG_SECONDS = 10  # from here on it is the long form
QUESTIONS = [
    "does gentleness work better than force?",
    "who was too proud to ask for help?",
    "what does the fox say about the grapes?",
    "which animal wins by being slow?",
    "why should a promise be kept?",
    "[SEP] what eats bamboo? [CLS]",
]
TOLERANCE = 1e-4  # what batches of other shapes may move a score by; measured: 1e-5
MEGABYTES_GROWN = 96  # after the first quarter: a heap that is used by many threads breathes
LAG_SECONDS = 2.0  # of the event loop, at most; the long run's figures are far below, a busy machine's are not


def texts() -> list[str]:
    stories = [story.text for story in fables()]
    cut = [text[: 40 * (number % 30 + 1)] for number, text in enumerate(stories)]
    return list(dict.fromkeys([*cut, "", " ", "bamboo", "🦊 " * 20, "a\0b", "word " * 600]))


class Soak:
    """The callers, what they may ask and what is right."""

    def __init__(self, seed: int, seconds: float) -> None:
        self.seed = seed
        self.texts = texts() if seconds >= LONG_SECONDS else texts()[::5]
        self.reranker = Reranker("resift:tiny", long_documents="first_window")
        self.expected = [
            dict(zip(self.texts, self.reranker.scorer.score(question, self.texts), strict=True))
            for question in QUESTIONS
        ]
        scorer = self.reranker.scorer
        self.rerankers = [
            self.reranker,
            Reranker(scorer),
            Reranker(scorer, top_k=3),
            Reranker(scorer, cache=":memory:"),
            Reranker(scorer, top_k=5, patience=10),
            Reranker(scorer, on_error="keep_order"),
        ]
        self.outcomes: Counter[str] = Counter()
        self.problems: list[str] = []
        self.lags: list[float] = []
        self._lock = threading.Lock()
        self.until = math.inf

    def note(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1

    def call(self, draw: random.Random) -> tuple[Reranker, int, list[str], float | None]:
        reranker = draw.choice(self.rerankers)
        count = draw.choice([0, 1, 2, 5, 10, 20, 40, 80])
        deadline = draw.choice([None, None, None, 10.0, 0.05, 0.005, 1e-6])
        return reranker, draw.randrange(len(QUESTIONS)), draw.choices(self.texts, k=count), deadline

    def check(self, ranking: Ranking[str], reranker: Reranker, question: int, documents: Sequence[str]) -> None:
        """Each document once, best first, with the score that it has alone; what has none is behind, and it is said."""
        indices = [hit.index for hit in ranking]
        wanted = len(documents) if reranker.top_k is None else min(reranker.top_k, len(documents))
        assert len(set(indices)) == len(indices) == wanted
        assert [hit.rank for hit in ranking] == list(range(1, wanted + 1))
        scored = [hit for hit in ranking if not math.isnan(hit.score)]
        assert [hit.index for hit in ranking[: len(scored)]] == [hit.index for hit in scored], "NaN is last"
        assert [(-hit.score, hit.index) for hit in scored] == sorted((-hit.score, hit.index) for hit in scored)
        for hit in scored:
            assert hit.document == documents[hit.index]
            assert abs(hit.score - self.expected[question][hit.document]) <= TOLERANCE
        if len(scored) < wanted:
            assert ranking.degraded is not None
        if ranking.degraded is None and scored:
            best = sorted((self.expected[question][text] for text in documents), reverse=True)[:wanted]
            assert [hit.score for hit in ranking] == pytest.approx(best, abs=TOLERANCE)
        self.note("right" if ranking.degraded is None else "right, degraded")

    def run_thread(self, number: int) -> None:
        draw = random.Random(f"{self.seed}, thread {number}")
        while time.monotonic() < self.until and not self.problems:
            reranker, question, documents, deadline = self.call(draw)
            try:
                if draw.random() < 0.2:
                    calls = [self.call(draw)[1:3] for _ in range(3)]
                    rankings = reranker.rank_many([QUESTIONS[at] for at, _ in calls], [each for _, each in calls])
                    for ranking, (at, each) in zip(rankings, calls, strict=True):
                        self.check(ranking, reranker, at, each)
                else:
                    ranking = reranker.rank(QUESTIONS[question], documents, deadline=deadline)
                    self.check(ranking, reranker, question, documents)
            except BaseException as error:
                self.problems.append(f"seed {self.seed}, thread {number}: {error!r}")
                raise

    async def run_task(self, number: int) -> None:
        draw = random.Random(f"{self.seed}, task {number}")
        while time.monotonic() < self.until and not self.problems:
            reranker, question, documents, deadline = self.call(draw)
            call = asyncio.ensure_future(reranker.arank(QUESTIONS[question], documents, deadline=deadline))
            try:
                if draw.random() < 0.3:
                    await asyncio.sleep(draw.choice([0, 0.001, 0.01, 0.1]))
                    call.cancel()
                    await asyncio.wait([call])
                    if call.cancelled():
                        self.note("cancelled")
                        continue
                self.check(await call, reranker, question, documents)
            except BaseException as error:
                self.problems.append(f"seed {self.seed}, task {number}: {error!r}")
                raise

    async def measure_lag(self) -> None:
        while time.monotonic() < self.until and not self.problems:
            started = time.perf_counter()
            await asyncio.sleep(0.02)
            self.lags.append(time.perf_counter() - started - 0.02)

    async def run_loop(self) -> None:
        await asyncio.gather(self.measure_lag(), *(self.run_task(number) for number in range(CALLERS)))


@needs_proc
@short_and_long(short=2.0, long=600.0)
def test_many_callers_at_once(size: float, record_property: Callable[[str, Any], None]) -> None:
    seconds = setting("RESIFT_SOAK_SECONDS", size) if size >= LONG_SECONDS else size
    seed = int(setting("RESIFT_SEED", 7))
    soak = Soak(seed, seconds)
    gc.collect()
    before = Resources.now()
    threads = [threading.Thread(target=soak.run_thread, args=(number,), daemon=True) for number in range(CALLERS)]
    loop = threading.Thread(target=asyncio.run, args=(soak.run_loop(),), daemon=True)
    samples: list[Resources] = []
    soak.until = time.monotonic() + seconds
    for thread in (*threads, loop):
        thread.start()
    while time.monotonic() < soak.until:
        time.sleep(min(1.0, seconds / 20))
        samples.append(Resources.now())
    for thread in (*threads, loop):
        thread.join(120)
    assert not soak.problems
    assert not any(thread.is_alive() for thread in (*threads, loop)), "a call never came back"
    gc.collect()
    after = Resources.now()
    settled, last = samples[len(samples) // 4 :], samples[-max(1, len(samples) // 10) :]
    grown = max(each.bytes for each in last) - settled[0].bytes
    lags = sorted(soak.lags)
    calls = sum(soak.outcomes.values())
    record_property(
        "figure",
        f"soak: {calls} calls of {2 * CALLERS} callers in {seconds:g} s (seed {seed}), {dict(soak.outcomes)}, 0 wrong; "
        f"memory {before.bytes >> 20} MB at the start, {settled[0].bytes >> 20} after a quarter, "
        f"{samples[-1].bytes >> 20} at the end; threads {before.threads} before, "
        f"{min(each.threads for each in settled)} to {max(each.threads for each in settled)} during, "
        f"{after.threads} after; descriptors {before.descriptors} before, "
        f"{max(each.descriptors for each in samples)} at most, {after.descriptors} after; event-loop lag "
        f"{1000 * lags[len(lags) // 2]:.1f} ms in the median, "
        f"{1000 * lags[int(len(lags) * 0.99)]:.1f} ms in 99 of 100, "
        f"{1000 * lags[-1]:.1f} ms at most",
    )
    assert soak.outcomes["right"]
    if size < LONG_SECONDS:  # a busy machine, or the tests before, would decide the rest
        return
    assert soak.outcomes["right"] > CALLERS
    assert soak.outcomes["cancelled"]
    assert grown < MEGABYTES_GROWN << 20
    assert max(each.threads for each in settled) - min(each.threads for each in settled) <= 2, "threads are flat"
    scorers = {id(reranker.scorer) for reranker in soak.rerankers}
    assert after.threads <= before.threads + len(scorers), "a thread for each scorer"
    assert max(each.descriptors for each in samples) <= before.descriptors + 8
    assert after.descriptors <= before.descriptors + 2
    assert lags[int(len(lags) * 0.99)] < LAG_SECONDS
