"""Requests to a real server that misbehaves at random: right scores or a RemoteError, in time; the key stays here."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from faulty_server import FAULTS, FaultyServer
from rerank_server import overlap

from reliability import no_hang, setting, short_and_long
from resift import RemoteError, Reranker

KEY = "sk-secret-4d7a2f9b1c"
TIMEOUT, TOTAL_TIMEOUT = 1.0, 2.5
BUSY_SECONDS = 15.0  # what a busy machine may add
CALLERS = 24
DOCUMENTS = ["a red fox", "a whale", "the red house of a fox", "nothing", "red"]
SCHEMES = ("cohere", "jina", "compatible")


class Case:
    """One request, and what became of it."""

    def __init__(self, number: int, seed: int, server: FaultyServer) -> None:
        draw = random.Random(f"{seed}, {number}")
        self.number = number
        self.scheme = draw.choice(SCHEMES)
        self.faults = [] if draw.random() < 0.1 else [draw.choice(FAULTS) for _ in range(draw.choice([1, 1, 2, 3, 4]))]
        self.names = [fault.__name__ for fault in self.faults]
        server.plans[number] = (self.scheme, list(self.faults), draw)
        self.query = f"red fox case {number}"
        self.awaited = draw.random() < 0.5
        self.seconds = 0.0
        self.outcome: object = None

    async def ask(self, reranker: Reranker) -> None:
        started = time.monotonic()
        try:
            if self.awaited:
                self.outcome = await reranker.arank(self.query, DOCUMENTS)
            else:
                self.outcome = await asyncio.to_thread(reranker.rank, self.query, DOCUMENTS)
        except BaseException as error:
            self.outcome = error
        self.seconds = time.monotonic() - started

    def problem(self) -> str | None:
        """What is wrong with the outcome, if anything."""
        if self.seconds > TOTAL_TIMEOUT + BUSY_SECONDS:
            return f"{self.seconds:.1f} s"
        if isinstance(self.outcome, BaseException):
            text = "".join(traceback.format_exception(self.outcome))
            if KEY in text or KEY in repr(self.outcome):
                return "the key is in the error"
            message = str(self.outcome)
            if not isinstance(self.outcome, RemoteError):
                return f"no RemoteError: {text}"
            if not message.startswith(f"{self.scheme}:") or "\n" in message or len(message) > 700:
                return f"no good message: {message!r}"
            late = "no whole answer" in message  # on a busy machine
            return None if self.faults or late else f"an error for a right answer: {message}"
        expected = sorted(DOCUMENTS, key=lambda text: -overlap(self.query, text))
        scores = [hit.score for hit in self.outcome]  # type: ignore[attr-defined]  # a ranking
        if self.outcome.documents != expected and scores != sorted(scores, reverse=True):  # type: ignore[attr-defined]
            return f"wrong order: {self.outcome!r}"
        hits = list(self.outcome)  # type: ignore[call-overload]
        wrong = [hit for hit in hits if hit.score != overlap(self.query, hit.document)]
        return f"wrong scores: {wrong}" if wrong or len(scores) != len(DOCUMENTS) else None


@short_and_long(short=60, long=1000)
def test_requests_to_a_server_with_mixed_faults(
    size: int, caplog: pytest.LogCaptureFixture, record_property: Callable[[str, Any], None]
) -> None:
    seed = int(setting("RESIFT_SEED", 7))
    server = FaultyServer(KEY)
    caplog.set_level(logging.DEBUG)
    with server.running() as url, no_hang("requests to a server with faults", 60 + 4 * size):
        cases = [Case(number, seed, server) for number in range(size)]
        asyncio.run(ask_all(cases, url))
        assert not server.arrived_elsewhere, "a redirect was followed"
    problems = [f"seed {seed}, case {case.number} {case.names}: {case.problem()}" for case in cases if case.problem()]
    assert not problems, "\n".join(problems[:10])
    assert KEY not in caplog.text
    errors = Counter(isinstance(case.outcome, RemoteError) for case in cases)
    assert errors[True]
    assert errors[False]
    slowest = max(case.seconds for case in cases)
    record_property(
        "figure",
        f"services: {size} requests (seed {seed}) with total_timeout={TOTAL_TIMEOUT:g}: {errors[False]} answered "
        f"rightly, {errors[True]} a RemoteError, the slowest after {slowest:.2f} s; "
        f"the key in 0 messages and in 0 of {len(caplog.records)} records of logging, 0 redirects followed",
    )


async def ask_all(cases: list[Case], url: str) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(CALLERS))
    limit = asyncio.Semaphore(CALLERS)
    rerankers = {
        scheme: Reranker(
            f"compatible:{url}#m" if scheme == "compatible" else f"{scheme}:m",
            **({} if scheme == "compatible" else {"base_url": url}),
            api_key=KEY,
            timeout=TIMEOUT,
            total_timeout=TOTAL_TIMEOUT,
        )
        for scheme in SCHEMES
    }

    async def ask(case: Case) -> None:
        async with limit:
            await case.ask(rerankers[case.scheme])

    await asyncio.gather(*map(ask, cases))
    for reranker in rerankers.values():
        await reranker.aclose()
