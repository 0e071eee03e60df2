"""What an index of words costs at a million passages: time, bytes, and the time of a query.

    OMP_NUM_THREADS=1 python benchmarks/lexical.py DATA --passages 1000000

The passages are two sentences each, drawn from all collections of a folder (`corpus.jsonl`), so that words are as
frequent as they are; the queries are those of the collections. Times are of the process, on one thread.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from report import show
from resift.lexical.index import LexicalIndex, record_key

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
DEPTH = 200  # what each half of a hybrid first stage fetches
CHANGED = 100


def read(data: Path) -> tuple[list[str], list[str]]:
    """Return the sentences and the queries of all collections of a folder."""
    sentences: dict[str, None] = {}
    queries: list[str] = []
    for file in sorted(data.glob("*/corpus.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            parts = SENTENCE_END.split(json.loads(line)["text"])
            sentences.update(dict.fromkeys(part for part in parts if 20 < len(part) < 400))
        rows = (file.parent / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        queries += [json.loads(line)["text"] for line in rows[:200]]
    return list(sentences), queries


def main(
    data: Annotated[Path, typer.Argument(help="Folder of collections.")],
    passages: Annotated[int, typer.Option("--passages")] = 1_000_000,
    queries: Annotated[int, typer.Option("--queries")] = 200,
) -> None:
    """Print a table."""
    sentences, questions = read(data)
    draw = random.Random(7)
    asked = draw.sample(questions, min(queries, len(questions)))
    kept: list[tuple[str, str]] = []

    def records() -> Iterator[tuple[str, str]]:
        for number in range(passages):
            record = f"{number:032x}", " ".join(draw.choices(sentences, k=2))
            if number % (passages // CHANGED) == 0:
                kept.append(record)
            yield record

    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        index = LexicalIndex(Path(folder) / "index")
        index.change(records(), [])
        indexing = time.process_time() - started
        size = index.bytes()
        index = LexicalIndex(Path(folder) / "index")
        times = []
        for query in asked:
            started = time.process_time()
            index.search(query, DEPTH)
            times.append(1000 * (time.process_time() - started))
        started = time.process_time()
        index.change(((id, f"{text} changed") for id, text in kept), [record_key(*record) for record in kept])
        changing = time.process_time() - started
        started = time.process_time()
        keys = len(index.keys())
        comparing = time.process_time() - started
    show(f"| {passages:,} passages of {len(sentences):,} sentences, {len(asked)} queries | |\n|---|---|")
    show(f"| indexed | {indexing:.0f} s, {passages / indexing:,.0f} passages a second |")
    show(f"| on disk | {size / 1e6:.0f} MB, {size / passages:.0f} bytes a passage |")
    middle, slow = statistics.median(times), sorted(times)[int(0.95 * len(times))]
    show(f"| a query, {DEPTH} hits | median {middle:.1f} ms, 95th percentile {slow:.1f} ms |")
    show(f"| {len(kept)} passages replaced | {1000 * changing:.0f} ms |")
    show(f"| all {keys:,} keys read, to compare with the collection | {comparing:.1f} s |")


if __name__ == "__main__":
    typer.run(main)
