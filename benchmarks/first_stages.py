"""Recall@100 of several first stages on a folder of judged collections, and what embedding the documents takes.

    python benchmarks/first_stages.py DATA --stage bm25 --stage static --stage bm25+static --stage dense \
        --stage st:FOLDER

The first `--queries` queries of each collection are measured. Left out are collections that don't hold all their
documents (only the judged ones, or those of a run), since they say nothing about a first stage. Then `static`, `dense`
and every `st:` stage embed the same documents in turns, and the documents per second are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from sentence_transformers import SentenceTransformer

from judged import Judged, folders
from report import show
from resift import DenseEmbedder, StaticEmbedder
from resift.evaluation import Collection, measure
from resift.evaluation.first_stage import first_stage

RECALL = "R@100"
DOCUMENTS_TIMED = 200  # embedded in one round
ROUNDS = 3
Embed = Callable[[Sequence[str]], Any]


def limit_queries(collection: Collection, queries: int) -> Collection:
    """Return the collection with only its first `queries` queries."""
    ids = list(collection.queries)[:queries]
    texts = {query_id: collection.queries[query_id] for query_id in ids}
    qrels = {query_id: collection.qrels[query_id] for query_id in ids}
    return Collection(collection.name, collection.documents, texts, qrels)


def embedders(stages: Sequence[str]) -> dict[str, Embed]:
    """Return the bundled embedders, and those of the `st:` stages, by name."""
    embeds: dict[str, Embed] = {"static": StaticEmbedder().embed, "dense": DenseEmbedder().embed}
    for stage in stages:
        if stage.startswith("st:"):
            embeds["st"] = SentenceTransformer(stage.removeprefix("st:"), local_files_only=True).encode
    return embeds


def main(
    data: Annotated[Path, typer.Argument(help="Folder of collections.")],
    stage: Annotated[list[str], typer.Option("--stage")],
    queries: Annotated[int, typer.Option("--queries")] = 500,
    timed: Annotated[bool, typer.Option("--timed/--not-timed", help="Needs a quiet machine.")] = True,
) -> None:
    """Print a table of recalls and a table of speeds."""
    names = " | ".join(name.partition(":")[0] for name in stage)
    show(f"| | queries | {names} |\n|---|---{'|---' * len(stage)}|")
    texts: list[str] = []
    for folder in folders(data):
        judged = Judged.read(folder)
        if judged.official or judged.pool:
            continue
        collection = limit_queries(judged.collection, queries)
        texts += list(collection.documents.values())
        cells = []
        for name in stage:
            recalls = measure(collection.qrels, first_stage(name, collection, 100))[RECALL]
            cells.append(f"{np.mean(list(recalls.values())):.3f}".removeprefix("0"))
        show(f"| {folder.name} | {len(collection.queries)} | " + " | ".join(cells) + " |")
    if not timed:
        return
    systems = embedders(stage)
    speeds: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(ROUNDS + 1):
        sample = texts[number :: max(1, len(texts) // DOCUMENTS_TIMED)][:DOCUMENTS_TIMED]
        for name, embed in systems.items():
            started = time.perf_counter()
            embed(sample)
            if number:  # the first round warms up
                speeds[name].append(len(sample) / (time.perf_counter() - started))
    show("\n| | documents a second |\n|---|---|")
    for name, rates in speeds.items():
        show(f"| {name} | {statistics.median(rates):,.0f} |")


if __name__ == "__main__":
    typer.run(main)
