"""What a bi-encoder and a cross-encoder cost for 1, 100 and a million documents (docs/concepts/encoders.md).

    OMP_NUM_THREADS=1 python benchmarks/complexity.py

Processor time of one core. A million documents are not read: 100 are, and the time is multiplied.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import typer

from resift import DenseEmbedder, Reranker
from workload import QUERY, passages

MILLION = 1_000_000
SENTENCES = 10_000
PAIRS = SENTENCES * (SENTENCES - 1) // 2  # of the Sentence-BERT paper: which two of 10,000 sentences are most alike?


def main(rounds: int = 5) -> None:
    """Print what a query costs with either."""
    texts = passages(100, "mixed")
    embedder, reranker = DenseEmbedder(threads=1), Reranker(threads=1)
    block = np.random.default_rng(0).standard_normal((MILLION // 10, 384), dtype=np.float32)
    vector = block[0]
    number = iter(range(10_000))  # a new query each time: nothing is remembered
    encode_query = _seconds(lambda: embedder.embed([f"{QUERY} {next(number)}"]), rounds)
    encode_documents = _seconds(lambda: embedder.embed([f"{next(number)} {text}" for text in texts]), rounds)
    compare = {
        1: _seconds(lambda: [block[0] @ vector for _ in range(10_000)], rounds) / 10_000,
        100: _seconds(lambda: [block[:100] @ vector for _ in range(1_000)], rounds) / 1_000,
        MILLION: _seconds(lambda: block @ vector, rounds) * 10,
    }
    read = {
        count: _seconds(lambda count=count: reranker.rank(f"{QUERY} {next(number)}", texts[:count]), rounds)
        for count in (1, 100)
    }
    read[MILLION] = read[100] * MILLION / 100
    typer.echo(f"bi-encoder, the query: {_show(encode_query)}")
    for count in (1, 100, MILLION):
        stored = encode_documents * count / 100
        typer.echo(f"{count:>9,} documents: bi-encoder once {_show(stored)}, each query {_show(compare[count])}")
        typer.echo(f"{'':>20} cross-encoder each query {_show(read[count])}")
    typer.echo(
        f"{PAIRS:,} pairs of {SENTENCES:,} sentences: cross-encoder {_show(read[100] / 100 * PAIRS)}, ", nl=False
    )
    typer.echo(f"bi-encoder {_show(encode_documents / 100 * SENTENCES + compare[MILLION] * SENTENCES**2 / MILLION)}")


def _seconds(run: Callable[[], object], rounds: int) -> float:
    run()
    times = []
    for _ in range(rounds):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return statistics.median(times)


def _show(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("min", 60), ("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


if __name__ == "__main__":
    typer.run(main)
