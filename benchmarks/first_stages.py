"""Recall@100 of several first stages on a folder of judged collections, and what embedding the documents takes.

    python benchmarks/first_stages.py DATA --stage bm25 --stage static --stage bm25+static --stage dense \
        --stage st:FOLDER

Collections of which all documents are given are measured, with their first `--queries` queries; those that hold no more
than each query's judged documents, or a run's, say nothing of a first stage. Then as many documents are embedded by
`static`, `dense` and every `st:` stage in turns, and their documents a second are printed.
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
TIMED = 200  # documents embedded in one turn
ROUNDS = 3
Embed = Callable[[Sequence[str]], Any]


def first(collection: Collection, queries: int) -> Collection:
    """The collection with so many of its queries."""
    chosen = list(collection.queries)[:queries]
    asked = {query: collection.queries[query] for query in chosen}
    qrels = {query: collection.qrels[query] for query in chosen}
    return Collection(collection.name, collection.documents, asked, qrels)


def embedders(stages: Sequence[str]) -> dict[str, Embed]:
    """Those of the stages that embed, and the bundled ones."""
    found: dict[str, Embed] = {"static": StaticEmbedder().embed, "dense": DenseEmbedder().embed}
    for stage in stages:
        if stage.startswith("st:"):
            found["st"] = SentenceTransformer(stage.removeprefix("st:"), local_files_only=True).encode
    return found


def main(
    data: Annotated[Path, typer.Argument(help="Folder of collections.")],
    stage: Annotated[list[str], typer.Option("--stage")],
    queries: Annotated[int, typer.Option("--queries")] = 500,
    timed: Annotated[bool, typer.Option("--timed/--not-timed", help="Needs a quiet machine.")] = True,
) -> None:
    """Print two tables."""
    names = " | ".join(one.partition(":")[0] for one in stage)
    show(f"| | queries | {names} |\n|---|---{'|---' * len(stage)}|")
    texts: list[str] = []
    for folder in folders(data):
        judged = Judged.read(folder)
        if judged.official or judged.pool:
            continue
        collection = first(judged.collection, queries)
        texts += list(collection.documents.values())
        cells = []
        for name in stage:
            recalls = measure(collection.qrels, first_stage(name, collection, 100))[RECALL]
            cells.append(f"{np.mean(list(recalls.values())):.3f}".removeprefix("0"))
        show(f"| {folder.name} | {len(collection.queries)} | " + " | ".join(cells) + " |")
    if not timed:
        return
    systems = embedders(stage)
    spent: dict[str, list[float]] = {name: [] for name in systems}
    for turn in range(ROUNDS + 1):
        some = texts[turn :: max(1, len(texts) // TIMED)][:TIMED]
        for name, embed in systems.items():
            started = time.perf_counter()
            embed(some)
            if turn:  # the first warms up
                spent[name].append(len(some) / (time.perf_counter() - started))
    show("\n| | documents a second |\n|---|---|")
    for name, rates in spent.items():
        show(f"| {name} | {statistics.median(rates):,.0f} |")


if __name__ == "__main__":
    typer.run(main)
