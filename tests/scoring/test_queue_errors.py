"""Whatever goes wrong in a scorer's worker ends the calls that wait, with an error, and leaves the worker usable."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from linecache import getline
from types import CodeType, FrameType
from typing import Any

import pytest

from resift import Ensemble, Fallback, Reranker, Scale, ScorerError
from resift.scorer import Request
from resift.scoring.pending import PendingRequest
from resift.scoring.queue import ScorerQueue
from resift.testing import OverlapScorer

DOCUMENTS = ["a whale", "a red fox", "the red wine"]


class GeneratorScorer:
    """Answers with a generator, as fastembed's `rerank` does, which raises while it is read."""

    name, scale = "generator", Scale.LOGIT

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def score(self, query: str, documents: Sequence[str]) -> Any:
        def scores() -> Iterator[float]:
            for document in documents:
                if self.error is not None:
                    raise self.error
                yield float(len(document))

        return scores()


@pytest.mark.parametrize("error", [RuntimeError("in the middle"), KeyboardInterrupt(), SystemExit(3)])
async def test_an_answer_that_raises_while_it_is_read_ends_its_call_alone(error: BaseException) -> None:
    scorer = GeneratorScorer(error)
    reranker = Reranker(scorer)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            with pytest.raises(ScorerError, match=f"generator failed: {type(error).__name__}"):
                pool.submit(reranker.rank, "red", DOCUMENTS).result(timeout=20)
        with pytest.raises(ScorerError, match="generator failed"):
            await reranker.arank("red", DOCUMENTS)
        kept = pool.submit(Reranker(scorer, on_error="keep_order").rank, "red", DOCUMENTS).result(timeout=20)
        assert kept.documents == DOCUMENTS
        both = Reranker(Fallback([scorer, OverlapScorer()]))
        assert pool.submit(both.rank, "red fox", DOCUMENTS).result(timeout=20)[0].document == "a red fox"
        with pytest.raises(ScorerError, match="generator failed"):
            pool.submit(Reranker(Ensemble([scorer, OverlapScorer()])).rank, "red", DOCUMENTS).result(timeout=20)
        scorer.error = None
        assert pool.submit(reranker.rank, "red", DOCUMENTS).result(timeout=20)[0].document == "the red wine"
        pool.submit(reranker.close).result(timeout=20)


class LineError(Exception):
    """What the tracer below raises."""


WATCHED: set[CodeType] = {
    function.__code__
    for function in (
        ScorerQueue._next_round,
        ScorerQueue._score,
        ScorerQueue._take_in,
        PendingRequest.next_chunk,
        PendingRequest.add,
    )
}


class ManyOverlap(OverlapScorer):
    """Scores several queries in one pass, so that calls share rounds."""

    def score_many(self, requests: Sequence[Request]) -> list[list[float]]:
        return [self.score(query, documents) for query, documents in requests]


FILE = ScorerQueue._next_round.__code__.co_filename


def test_an_error_at_any_line_of_the_workers_loop_leaves_nobody_waiting() -> None:
    """The tracer raises at the n-th line that the worker runs, for every n there is."""
    line, raised = 0, True
    while raised:
        line, raised = line + 1, False
        lines = 0
        over = threading.Event()

        def trace(frame: FrameType, event: str, _: Any, at: int = line, over: threading.Event = over) -> Any:
            nonlocal lines, raised
            if frame.f_code not in WATCHED:
                return None
            # The exit of a `with` is an event of its line too: raised there, an error would leave the lock held.
            if (
                event == "line"
                and not (raised or over.is_set())
                and "with self._lock" not in getline(FILE, frame.f_lineno)
            ):
                lines += 1
                if lines == at:
                    raised = True
                    raise LineError(f"line {frame.f_lineno} of {frame.f_code.co_name}")
            return trace

        reranker = Reranker(ManyOverlap())
        with ThreadPoolExecutor(2) as pool:
            threading.settrace(trace)
            try:
                calls = [pool.submit(reranker.rank_many, ["red fox", "whale"], [DOCUMENTS, DOCUMENTS])]
                calls.append(pool.submit(reranker.rank, "wine", DOCUMENTS))
                for call in calls:
                    error = call.exception(timeout=20)
                    assert error is None or isinstance(error, (ScorerError, LineError)), error
            finally:
                threading.settrace(None)  # type: ignore[arg-type]  # typeshed says a function; None ends tracing
                over.set()  # the worker's thread is still traced: let it be
            assert pool.submit(reranker.rank, "red fox", DOCUMENTS).result(timeout=20)[0].document == "a red fox"
    assert line > 30, "the loop has more lines than that"


def test_work_that_nobody_can_receive_any_more_does_not_run() -> None:
    """Twenty daemon threads wait for a scorer that takes a second for each; the interpreter ends after the first."""
    script = """
    import threading, time
    from resift import Reranker, Scale

    class Slow:
        name, scale = "slow", Scale.LOGIT

        def score(self, query, documents):
            print("scored", flush=True)
            time.sleep(1)
            return [0.0 for _ in documents]

    reranker = Reranker(Slow())
    for _ in range(20):
        threading.Thread(target=reranker.rank, args=("q", ["a"]), daemon=True).start()
    time.sleep(0.5)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.count("scored") <= 2
    assert not done.stderr


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 2),
    reason="Python 3.12.0 and 3.12.1 start no thread then (python/cpython#113964)",
)
def test_a_thread_that_lives_on_is_served_after_the_main_thread_has_ended() -> None:
    script = """
    import threading, time
    from resift import Reranker
    from resift.testing import OverlapScorer

    reranker = Reranker(OverlapScorer())

    def later():
        time.sleep(0.5)
        print(reranker.rank("red fox", ["a whale", "a red fox"])[0].document)

    threading.Thread(target=later).start()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout == "a red fox\n"
