"""Many async callers at once: total time over one merged batch, each call's time over its fair share, event-loop lag.

    python benchmarks/callers.py --callers 16 --model resift:small

Every caller ranks a list of its own, of 5, 10 or 30 mixed passages, with a query of its own, all at the same moment.
A call's fair share is what it takes alone, times the callers, and no more than all of them take together. Lag is how
late a task wakes that sleeps for a millisecond again and again; beside it, the same while nothing else runs. Rounds
take turns, so that noise hits all alike. It needs a quiet machine.
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

SIZES = (5, 10, 30)
NAP = 0.001  # seconds
IDLE = 1.0  # seconds


class Round(NamedTuple):
    """One round's figures, in seconds."""

    merged: float
    together: float
    worst_share: float
    """The largest of the calls' times over their fair shares."""
    lag: float


def main(
    callers: Annotated[int, typer.Option("--callers")] = 16,
    model: Annotated[str, typer.Option("--model")] = "resift:small",
    rounds: Annotated[int, typer.Option("--rounds")] = 5,
    keep: Annotated[int, typer.Option("--keep-states", help="Bytes; filled by the first round.")] = 0,
) -> None:
    """Print a table."""
    reranker = Reranker(model, keep_states=keep, long_documents="first_window") if keep else Reranker(model)
    texts = passages(sum(islice(cycle(SIZES), callers)), "mixed")
    lists = [[texts.pop() for _ in range(size)] for size in islice(cycle(SIZES), callers)]
    found = [asyncio.run(_round(reranker, lists, turn)) for turn in range(rounds + 1)][1:]  # the first warms up
    idle = asyncio.run(_idle())
    merged, together, share, lag = (statistics.median(column) for column in zip(*found, strict=True))
    typer.echo(f"{callers} callers, {sum(map(len, lists))} passages, {model}, median of {rounds}")
    for name, figure in (
        ("one merged batch", f"{1000 * merged:10.1f} ms"),
        ("all callers", f"{1000 * together:10.1f} ms"),
        ("callers over merged batch", f"{statistics.median(one.together / one.merged for one in found):10.2f}"),
        ("worst call over its fair share", f"{share:10.2f}"),
        ("event-loop lag, at most", f"{1000 * lag:10.1f} ms"),
        ("the same of an idle loop", f"{1000 * idle:10.1f} ms"),
    ):
        typer.echo(f"{name:34}{figure}")


async def _round(reranker: Reranker, lists: list[list[str]], turn: int) -> Round:
    # Other queries each time: a query that was asked before is remembered.
    batch, single, requests = (
        [Request(f"{QUERY} {turn} {caller} {way}", texts) for caller, texts in enumerate(lists)] for way in range(3)
    )
    started = time.perf_counter()
    score_many(reranker.scorer, batch)
    merged = time.perf_counter() - started
    alone = {}
    for request in single[: len(SIZES)]:
        alone[len(request.documents)] = await _timed(reranker, request)
    watch = asyncio.create_task(_lag())
    started = time.perf_counter()
    spent = await asyncio.gather(*(_timed(reranker, request) for request in requests))
    together = time.perf_counter() - started
    watch.cancel()
    shares = [
        seconds / min(together, len(lists) * alone[len(request.documents)])
        for seconds, request in zip(spent, requests, strict=True)
    ]
    return Round(merged, together, max(shares), await watch)


async def _timed(reranker: Reranker, request: Request) -> float:
    started = time.perf_counter()
    await reranker.arank(request.query, request.documents)
    return time.perf_counter() - started


async def _lag() -> float:
    """The longest delay of a nap until this task is cancelled."""
    worst = 0.0
    try:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(NAP)
            worst = max(worst, time.perf_counter() - started - NAP)
    except asyncio.CancelledError:
        return worst


async def _idle() -> float:
    watch = asyncio.create_task(_lag())
    await asyncio.sleep(IDLE)
    watch.cancel()
    return await watch


if __name__ == "__main__":
    typer.run(main)
