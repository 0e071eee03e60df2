"""Gain and cost of kept document states: time, bytes per document, nDCG@10 with and without rounding.

    python benchmarks/states.py --queries 20
    python benchmarks/states.py --quality DATA/trec-dl19-pool --quality DATA/squad-dev

Each round takes a question and ranks the same documents in three ways, one after the other, so that other load on the
machine affects all alike: encoded anew, with states kept in memory, and with states kept in a file. Times need a quiet
machine.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import typer

from judged import Judged
from resift import Reranker
from resift.demo import QUESTIONS, fables
from resift.evaluation import evaluate
from resift.models.options import ModelOptions

STATES_BYTES = 1_000_000_000


def passages(count: int, words: int) -> list[str]:
    """Return `count` passages of `words` words from the fables, made different by a number in front."""
    endless_words = cycle(" ".join(story.text for story in fables()).split())
    return [f"{number}. {' '.join(islice(endless_words, words))}" for number in range(count)]


def main(
    model: Annotated[str, typer.Option("--model")] = "resift:small",
    documents: Annotated[int, typer.Option("--documents")] = 100,
    words: Annotated[int, typer.Option("--words", help="In a document.")] = 75,
    queries: Annotated[int, typer.Option("--queries", help="Rounds.")] = 20,
    threads: Annotated[int | None, typer.Option("--threads")] = None,
    quality: Annotated[list[Path] | None, typer.Option("--quality", help="A collection's folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Print medians and ratios, bytes, and nDCG@10."""
    figures = measure_time(model, passages(documents, words), queries, threads)
    figures["quality"] = {folder.name: _measure_quality(model, folder) for folder in quality or []}
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        typer.echo(f"{name}: {value}")


def measure_time(model: str, texts: list[str], queries: int, threads: int | None) -> dict[str, object]:
    """Return each way's median seconds per ranking, the ratios, and the bytes that are kept."""
    options: ModelOptions = {"long_documents": "first_window"}
    if threads is not None:
        options["threads"] = threads
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "states.sqlite3"
        ways = {
            "computed": Reranker(model, **options),
            "memory": Reranker(model, keep_states=STATES_BYTES, **options),
            "file": Reranker(model, states_file=file, **options),
        }
        tokens = [reranker.rank("warm up", texts).stats.tokens for reranker in ways.values()]
        times: dict[str, list[float]] = {name: [] for name in ways}
        for question in islice(cycle(QUESTIONS), queries):
            for name, reranker in ways.items():
                started = time.perf_counter()
                stats = reranker.rank(question.text, texts).stats
                times[name].append(time.perf_counter() - started)
                assert stats.states_kept == (0 if name == "computed" else stats.pairs)
        size = file.stat().st_size
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return {
        "documents": len(texts),
        "tokens": tokens[0],
        "median_seconds": medians,
        "times_faster": {name: medians["computed"] / median for name, median in medians.items()},
        "file_bytes_per_document": size / len(texts),
        "file_bytes_per_token": size / tokens[0],
    }


def _measure_quality(model: str, folder: Path) -> dict[str, float]:
    """Return nDCG@10 over the collection's `candidates.jsonl` (else BM25), exact and with rounded states."""
    judged = Judged.read(folder)
    rerankers = {
        "exact": Reranker(model, long_documents="first_window"),
        "rounded": Reranker(model, long_documents="first_window", keep_states=STATES_BYTES),
    }
    report = evaluate(judged.collection, rerankers, stage=judged.stage, depth=100)
    return {evaluation.name: evaluation.metrics["nDCG@10"] for evaluation in report.evaluations}


if __name__ == "__main__":
    typer.run(main)
