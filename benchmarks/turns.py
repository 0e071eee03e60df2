"""How long calls wait for a scorer that many share, and what it computes, counted so that a busy machine will do.

    python benchmarks/turns.py

Clients send one request after another, each with 50 mixed passages, to the queue of `resift serve`. A round costs its
characters and a fixed part. The fair share of a request is its cost alone, times the number of clients. Work is what
`resift:small` computes, padding and starts of batches included, over that of the same requests in merged batches of 8.
Below it, requests of many sizes at once: how many times as long as alone the slowest hundredth of each size takes.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence

import typer

from resift import Scale
from resift.engines.onnx import BATCH_TOKENS as NETWORK_BATCH
from resift.scorer import Request, Scores
from resift.scoring.pending import ScoringCall
from resift.scoring.queue import ScorerQueue
from resift.serving.limits import BATCH_TOKENS
from resift.text.batches import BATCH_OVERHEAD, plan_batches, split_into_windows
from workload import QUERY, passages, word_pieces

ROUND_COST = 2_000  # characters' worth, for each round
SIZES = (2, 5, 10, 50, 300)
MERGED_REQUESTS = 8
WINDOW, SPECIAL_TOKENS = 254, 2


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
    rows = {
        text: _row_lengths(encoding.ids)
        for text, encoding in zip(texts, word_pieces().encode_batch(texts, add_special_tokens=False), strict=True)
    }
    merged = _work([length for text in texts for length in rows[text]] * MERGED_REQUESTS) / MERGED_REQUESTS
    typer.echo(f"{'clients':>8}{'rounds':>8}{'work':>8}{'p50/share':>11}{'p99/share':>11}")
    for clients in (1, 8, 32):
        waits, rounds = run(clients, requests, lambda number: Request(f"{QUERY} {number}", texts))
        shares = [wait / (clients * alone) for wait, alone, _ in waits]
        p50, p99 = (statistics.quantiles(shares, n=100)[index] for index in (49, 98))
        work = sum(_work([length for text in one for length in rows[text]]) for one in rounds)
        typer.echo(f"{clients:8}{len(rounds):8}{work / requests / merged:8.3f}{p50:11.2f}{p99:11.2f}")
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


def _row_lengths(ids: Sequence[int]) -> list[int]:
    """Return the lengths of the rows that a text of these tokens is scored in."""
    return [stop - start + SPECIAL_TOKENS for start, stop in split_into_windows(len(ids), WINDOW)]


def _work(lengths: Sequence[int]) -> float:
    """Return what rows of these lengths cost the network together, in tokens."""
    batches = plan_batches(lengths, NETWORK_BATCH)
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    return padded + NETWORK_BATCH * BATCH_OVERHEAD * len(batches)


def run(
    clients: int, requests: int, make: Callable[[int], Request]
) -> tuple[list[tuple[float, float, int]], list[list[str]]]:
    """Return each request's wait, its cost alone and its passages; and the texts of each round."""
    queue = ScorerQueue(Nothing(), round_tokens=BATCH_TOKENS)
    queue._thread = object()  # type: ignore[assignment]  # so that it starts none: the rounds are run here
    numbers = iter(range(requests))
    now = 0.0
    rounds: list[list[str]] = []
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
        rounds.append([text for chunk in chunks for text in chunk.request.documents])
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
