"""Many async callers at once: total time over one merged batch, each call's time over its fair share, event-loop lag.

    python benchmarks/callers.py --callers 16 --model resift:small

Every caller ranks its own list of 5, 10 or 30 mixed passages for its own query. All call at the same moment.

- Fair share of a call: its time when it runs alone, times the number of callers, but at most the time of all together.
- Lag: a task sleeps for a millisecond again and again; the lag is how much too late it wakes. The lag of an idle event
  loop is printed beside it.

Each round measures the merged batch, single calls and all callers one after the other, so that other load on the
machine affects all of them alike. It needs a quiet machine.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from itertools import cycle, islice
from typing import Annotated, NamedTuple

import typer

from resift import Reranker
from resift.scorer import Request, score_many
from workload import QUERY, passages

LIST_SIZES = (5, 10, 30)
SLEEP_SECONDS = 0.001
IDLE_SECONDS = 1.0


class Round(NamedTuple):
    """The figures of one round: seconds, and a ratio."""

    merged: float
    together: float
    worst_share: float
    """The largest ratio of a call's time to its fair share."""
    lag: float


def main(
    callers: Annotated[int, typer.Option("--callers")] = 16,
    model: Annotated[str, typer.Option("--model")] = "resift:small",
    rounds: Annotated[int, typer.Option("--rounds")] = 5,
    keep: Annotated[int, typer.Option("--keep-states", help="Bytes; filled by the first round.")] = 0,
) -> None:
    """Print the medians of all rounds."""
    reranker = Reranker(model, keep_states=keep, long_documents="first_window") if keep else Reranker(model)
    texts = passages(sum(islice(cycle(LIST_SIZES), callers)), "mixed")
    lists = [[texts.pop() for _ in range(size)] for size in islice(cycle(LIST_SIZES), callers)]
    asyncio.run(_measure_round(reranker, lists, 0))  # warms up
    results = [asyncio.run(_measure_round(reranker, lists, number)) for number in range(1, rounds + 1)]
    idle = asyncio.run(_measure_idle_lag())
    merged, together, share, lag = (statistics.median(column) for column in zip(*results, strict=True))
    typer.echo(f"{callers} callers, {sum(map(len, lists))} passages, {model}, median of {rounds}")
    for name, figure in (
        ("one merged batch", f"{1000 * merged:10.1f} ms"),
        ("all callers", f"{1000 * together:10.1f} ms"),
        (
            "callers over merged batch",
            f"{statistics.median(result.together / result.merged for result in results):10.2f}",
        ),
        ("worst call over its fair share", f"{share:10.2f}"),
        ("event-loop lag, at most", f"{1000 * lag:10.1f} ms"),
        ("the same of an idle loop", f"{1000 * idle:10.1f} ms"),
    ):
        typer.echo(f"{name:34}{figure}")


async def _measure_round(reranker: Reranker, lists: list[list[str]], number: int) -> Round:
    # New queries each time, since the encoding of a repeated query is kept.
    batch, single, requests = (
        [Request(f"{QUERY} {number} {caller} {kind}", texts) for caller, texts in enumerate(lists)] for kind in range(3)
    )
    started = time.perf_counter()
    score_many(reranker.scorer, batch)
    merged = time.perf_counter() - started
    alone = {}
    for request in single[: len(LIST_SIZES)]:
        alone[len(request.documents)] = await _time_call(reranker, request)
    lag = asyncio.create_task(_measure_lag())
    started = time.perf_counter()
    times = await asyncio.gather(*(_time_call(reranker, request) for request in requests))
    together = time.perf_counter() - started
    lag.cancel()
    shares = [
        seconds / min(together, len(lists) * alone[len(request.documents)])
        for seconds, request in zip(times, requests, strict=True)
    ]
    return Round(merged, together, max(shares), await lag)


async def _time_call(reranker: Reranker, request: Request) -> float:
    started = time.perf_counter()
    await reranker.arank(request.query, request.documents)
    return time.perf_counter() - started


async def _measure_lag() -> float:
    """Return the longest delay of a short sleep, in seconds, once this task is cancelled."""
    worst = 0.0
    try:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(SLEEP_SECONDS)
            worst = max(worst, time.perf_counter() - started - SLEEP_SECONDS)
    except asyncio.CancelledError:
        return worst


async def _measure_idle_lag() -> float:
    lag = asyncio.create_task(_measure_lag())
    await asyncio.sleep(IDLE_SECONDS)
    lag.cancel()
    return await lag


if __name__ == "__main__":
    typer.run(main)
