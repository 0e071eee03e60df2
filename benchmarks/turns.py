"""How long calls wait for a scorer that many share, counted in characters and rounds, so that a busy machine will do.

    python benchmarks/turns.py

Clients send one request after another, each with 50 mixed passages, to the queue of `resift serve`. A round costs its
characters and a fixed part. The fair share of a request is its cost alone, times the number of clients. Below it,
requests of many sizes at once: how many times as long as alone the slowest hundredth of each size takes.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence

import typer

from resift import Scale
from resift.scorer import Request, Scores
from resift.scoring.pending import ScoringCall
from resift.scoring.queue import ScorerQueue
from resift.serving.limits import BATCH_TOKENS
from workload import QUERY, passages

ROUND_COST = 2_000  # characters' worth, for each round
SIZES = (2, 5, 10, 50, 300)


class Nothing:
    """A scorer whose rounds are not run, but counted."""

    name, scale = "nothing", Scale.LOGIT

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[list[float]]:
        return [[0.0] * len(documents) for _, documents in requests]


def main(requests: int = 256) -> None:
    """Print a row for each number of clients, then one for each size."""
    texts = passages(50, "mixed")
    typer.echo(f"{'clients':>8}{'rounds':>8}{'p50/share':>11}{'p99/share':>11}")
    for clients in (1, 8, 32):
        waits, rounds = run(clients, requests, lambda number: Request(f"{QUERY} {number}", texts))
        shares = [wait / (clients * alone) for wait, alone, _ in waits]
        p50, p99 = (statistics.quantiles(shares, n=100)[index] for index in (49, 98))
        typer.echo(f"{clients:8}{rounds:8}{p50:11.2f}{p99:11.2f}")
    rng = random.Random(5)
    drawn = [
        Request(f"{QUERY} {n}", [rng.choice(texts) + str(i) for i in range(rng.choice(SIZES))]) for n in range(600)
    ]
    waits, _ = run(32, 600, drawn.__getitem__)
    typer.echo(f"\n{'passages':>8}{'p50/alone':>11}{'p99/alone':>11}   32 clients")
    for size in SIZES:
        ratios = [wait / alone for wait, alone, number in waits if number == size]
        p50, p99 = (statistics.quantiles(ratios, n=100)[index] for index in (49, 98))
        typer.echo(f"{size:8}{p50:11.1f}{p99:11.1f}")


def run(clients: int, requests: int, make: Callable[[int], Request]) -> tuple[list[tuple[float, float, int]], int]:
    """Return each request's wait, its cost alone and its passages; and how many rounds there were."""
    queue = ScorerQueue(Nothing(), round_tokens=BATCH_TOKENS)
    queue._thread = object()  # type: ignore[assignment]  # so that it starts none: the rounds are run here
    numbers = iter(range(requests))
    now, rounds = 0.0, 0
    waiting: dict[ScoringCall, tuple[float, float, int]] = {}
    waits: list[tuple[float, float, int]] = []

    def send() -> None:
        if (number := next(numbers, None)) is None:
            return
        request = make(number)
        call = ScoringCall([queue.pending(request)])
        waiting[call] = (now, call.waiting_cost + ROUND_COST, len(request.documents))
        queue._busy = True
        queue._enqueue(call)

    for _ in range(clients):
        send()
    while waiting:
        chunks = queue._next_round()
        rounds += 1
        now += ROUND_COST + sum(chunk.cost for chunk in chunks)
        for chunk in chunks:
            chunk.pending.add(chunk.indices, Scores((0.0,) * len(chunk.indices)))
        for call in [call for call in waiting if call.over]:
            came, alone, size = waiting.pop(call)
            waits.append((now - came, alone, size))
            send()
    return waits, rounds


if __name__ == "__main__":
    typer.run(main)
