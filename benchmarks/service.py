"""`resift serve` under load: throughput over that of one merged batch, latencies, and the time to the first answer.

    python benchmarks/service.py --clients 1 --clients 8 --clients 32

Each client is a connection that sends one request after another, each with 50 mixed passages and a query of its own.

- Throughput is compared with one merged batch: the same model in this process scores as many such requests in one
  `score_many` call, before and after each load, while the service is idle.
- Fair share: clients times the time of a request alone. The 99th percentile is divided by it.
- Start: from the command to the first answer, to a request of two passages, the service's process included.

It needs `resift[serve,remote]` and a quiet machine.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import httpx
import typer

from resift import load_scorer
from resift.scorer import Request, Scorer, score_many
from workload import QUERY, passages

DOCUMENTS = 50
MERGED_REQUESTS = 8


def main(
    clients: Annotated[list[int] | None, typer.Option("--clients")] = None,
    model: Annotated[str, typer.Option("--model")] = "resift:small",
    requests: Annotated[int, typer.Option("--requests", help="Of all clients together, per load.")] = 64,
) -> None:
    """Print a row for each number of clients."""
    scorer = load_scorer(model)
    texts = passages(DOCUMENTS, "mixed")
    command = [sys.executable, "-m", "resift", "serve", "--port", "0", "--model", model]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        try:
            asyncio.run(_load(found[0], texts[:2], 1, 1))
            typer.echo(f"first answer {time.perf_counter() - started:.2f} s after the command")
            alone = statistics.median(asyncio.run(_load(found[0], texts, 1, 5))[0])
            typer.echo(f"{'clients':>8}{'requests/s':>12}{'of merged':>11}{'p50 ms':>9}{'p99 ms':>9}{'p99/share':>11}")
            for number in clients or (1, 8, 32):
                before = _merged_seconds(scorer, texts)
                latencies, seconds = asyncio.run(_load(found[0], texts, number, requests))
                merged = (before + _merged_seconds(scorer, texts)) / 2
                p50, p99 = (statistics.quantiles(latencies, n=100)[index] for index in (49, 98))
                rate = len(latencies) / seconds
                typer.echo(
                    f"{number:8}{rate:12.2f}{rate * merged:11.2f}{1000 * p50:9.0f}{1000 * p99:9.0f}"
                    f"{p99 / (number * alone):11.2f}"
                )
            typer.echo(f"memory of the service, at its highest: {_peak_megabytes(process.pid):.0f} MB")
        finally:
            process.terminate()


async def _load(url: str, texts: Sequence[str], clients: int, requests: int) -> tuple[list[float], float]:
    """Return the seconds of each request, and of all of them together."""
    left = iter(range(requests))
    latencies: list[float] = []

    async def ask() -> None:
        # Without TLS settings: reading them takes 25 ms for each client, in which the service would wait for all.
        async with httpx.AsyncClient(base_url=url, timeout=600, verify=False) as http:
            for number in left:
                body = {"query": f"{QUERY} {clients} {number}", "documents": texts}
                started = time.perf_counter()
                (await http.post("/v2/rerank", json=body)).raise_for_status()
                latencies.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(clients)))
    return latencies, time.perf_counter() - started


def _merged_seconds(scorer: Scorer, texts: Sequence[str]) -> float:
    """Return the seconds per request of one merged batch."""
    batch = [Request(f"{QUERY} merged {number} {time.time()}", texts) for number in range(MERGED_REQUESTS)]
    started = time.perf_counter()
    score_many(scorer, batch)
    return (time.perf_counter() - started) / MERGED_REQUESTS


def _peak_megabytes(process: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1000 if found else float("nan")


if __name__ == "__main__":
    typer.run(main)
