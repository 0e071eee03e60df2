"""What kept document states gain and cost: time side by side, bytes a document, nDCG@10 with and without rounding.

    python benchmarks/states.py --queries 20
    python benchmarks/states.py --quality DATA/trec-dl19-pool --quality DATA/squad-dev

Times need a quiet machine. Each round asks a question and ranks the same documents three ways, one after the other, so
that noise hits all alike: encoded as they come, with states kept in memory, and with states kept in a file.
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

MEMORY = 1_000_000_000


def passages(count: int, words: int) -> list[str]:
    """So many different passages of about so many words, from the fables, each numbered apart."""
    running = cycle(" ".join(story.text for story in fables()).split())
    return [f"{number}. {' '.join(islice(running, words))}" for number in range(count)]


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
    found = timed(model, passages(documents, words), queries, threads)
    found["quality"] = {folder.name: _quality(model, folder) for folder in quality or []}
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        typer.echo(f"{name}: {value}")


def timed(model: str, texts: list[str], queries: int, threads: int | None) -> dict[str, object]:
    """Median seconds a ranking by each way, their ratios, and what was kept."""
    options: ModelOptions = {"long_documents": "first_window"}
    if threads is not None:
        options["threads"] = threads
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "states.sqlite3"
        ways = {
            "computed": Reranker(model, **options),
            "memory": Reranker(model, keep_states=MEMORY, **options),
            "file": Reranker(model, states_file=file, **options),
        }
        tokens = [reranker.rank("warm up", texts).stats.tokens for reranker in ways.values()]
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for question in islice(cycle(QUESTIONS), queries):
            for name, reranker in ways.items():
                started = time.perf_counter()
                stats = reranker.rank(question.text, texts).stats
                spent[name].append(time.perf_counter() - started)
                assert stats.states_kept == (0 if name == "computed" else stats.pairs)
        size = file.stat().st_size
    medians = {name: statistics.median(each) for name, each in spent.items()}
    return {
        "documents": len(texts),
        "tokens": tokens[0],
        "median_seconds": medians,
        "times_faster": {name: medians["computed"] / median for name, median in medians.items()},
        "file_bytes_per_document": size / len(texts),
        "file_bytes_per_token": size / tokens[0],
    }


def _quality(model: str, folder: Path) -> dict[str, float]:
    """nDCG@10 of the collection's `candidates.jsonl` (else BM25), exact and from rounded states."""
    judged = Judged.read(folder)
    rerankers = {
        "exact": Reranker(model, long_documents="first_window"),
        "rounded": Reranker(model, long_documents="first_window", keep_states=MEMORY),
    }
    report = evaluate(judged.collection, rerankers, stage=judged.stage, depth=100)
    return {each.name: each.metrics["nDCG@10"] for each in report.evaluations}


if __name__ == "__main__":
    typer.run(main)
