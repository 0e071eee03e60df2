"""A worker thread with a bound: calls in order, one too many is turned away in words that its caller can follow."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from resift import OverloadedError, Passage, Reranker, TwoStageSearch
from resift._util.worker import Worker
from resift.llm import LlmScorer
from resift.testing import OverlapScorer


async def overload(worker: Worker) -> str:
    """The message of a call that is one too many."""
    release = threading.Event()
    waiting = asyncio.create_task(worker.run(lambda: release.wait(10)))
    await asyncio.sleep(0.01)
    try:
        with pytest.raises(OverloadedError) as caught:
            await worker.run(lambda: None)
    finally:
        release.set()
        await waiting
    return str(caught.value)


async def test_one_call_too_many_says_what_is_waited_for_and_names_no_option() -> None:
    assert await overload(Worker(1, "the embedder")) == (
        "1 calls are waiting for the embedder already, the most it takes: try again later"
    )
    again: Worker = pickle.loads(pickle.dumps(Worker(limit=1, name="the first stage")))
    assert "for the first stage already" in await overload(again)


class OneText:
    """A first stage that waits for its release."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def retrieve(self, query: str, k: int) -> list[Passage]:
        self.release.wait(10)
        return [Passage("panda")]


def search() -> tuple[Any, threading.Event]:
    stage = OneText()
    return TwoStageSearch(stage, Reranker(OverlapScorer())), stage.release


def llm() -> tuple[Any, threading.Event]:
    release = threading.Event()
    scorer = LlmScorer(lambda prompt: release.wait(10) and "[1]")

    class Calls(LlmScorer):
        async def asearch(self, query: str) -> Sequence[float]:
            return await scorer.ascore(query, ["panda", "tax"])

    calls = Calls(lambda prompt: "[1]")
    calls._worker = scorer._worker
    return calls, release


@pytest.mark.parametrize(("make", "name"), [(search, "the first stage"), (llm, "the LLM")])
async def test_whoever_uses_a_worker_names_itself(make: Any, name: str) -> None:
    owner, release = make()
    owner._worker.limit = 1
    waiting = asyncio.create_task(owner.asearch("panda"))
    await asyncio.sleep(0.05)
    try:
        with pytest.raises(
            OverloadedError, match=f"1 calls are waiting for {name} already, .*: try again later"
        ) as error:
            await owner.asearch("panda")
    finally:
        release.set()
        await waiting
    assert "max_pending" not in str(error.value)


def test_calls_that_wait_are_not_begun_when_the_interpreter_ends() -> None:
    script = """
import asyncio, threading, time
from resift._util.worker import Worker
worker, begun = Worker(100, "the first stage"), threading.Event()
def call():
    begun.set()
    time.sleep(0.2)
    print("ran", flush=True)
def wait_for(call):
    threading.Thread(target=lambda: asyncio.run(worker.run(call)), daemon=True).start()
wait_for(call)
begun.wait()
for _ in range(50):
    wait_for(call)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("ran") <= 2
    assert not done.stderr
