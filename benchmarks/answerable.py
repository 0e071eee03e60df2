"""Is anything here relevant enough? How far the best relevance tells questions with an answer from those without one.

    python benchmarks/answerable.py DATA/dev/squad-dev DATA/dev/fairytaleqa DATA/dev/trecqa --queries 100

For each query of a judged collection its first candidates are ranked: as they are, with a relevant one among them, and
again without the relevant ones, as if the corpus had no answer. A threshold calls a query answerable if its best hit
reaches it. "Found" is the share of answerable queries that are called so, "false" the share of the others that are, and
"precision" is the share of right calls where both are equally many. Unjudged documents count as no answer, though some
are one. Any machine gives the same figures.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from judged import Judged
from resift import Reranker
from resift.evaluation.bm25 import bm25_run
from resift.evaluation.runs import read_run

THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


def main(
    folders: Annotated[list[Path], typer.Argument(help="Judged collections.")],
    model: Annotated[str | None, typer.Option("--model")] = None,
    queries: Annotated[int, typer.Option("--queries", help="Of each collection, at most, at random.")] = 100,
    candidates: Annotated[int, typer.Option("--candidates")] = 20,
) -> None:
    """Print a table with a row for each collection."""
    reranker = Reranker(model)
    columns = " | ".join(f"{threshold} found / false" for threshold in THRESHOLDS)
    typer.echo(f"| collection | queries | {columns} | precision at 0.1 |\n|---|{'---|' * (len(THRESHOLDS) + 2)}")
    for folder in folders:
        best = measure(reranker, folder, queries, candidates)
        rates = [(best > threshold).mean(0) for threshold in THRESHOLDS]
        cells = " | ".join(f"{found:.0%} / {false:.0%}" for found, false in rates)
        found, false = rates[THRESHOLDS.index(0.1)]
        typer.echo(f"| {folder.name} | {len(best)} | {cells} | {found / max(found + false, 1e-9):.0%} |")


def measure(reranker: Reranker, folder: Path, queries: int, candidates: int) -> np.ndarray:
    """Return the best relevance of each query with and without its relevant documents, (queries, 2)."""
    judged = Judged.read(folder)
    collection = judged.collection
    run = bm25_run(collection, 100) if judged.stage == "bm25" else read_run(Path(judged.stage), collection)
    chosen = sorted(set(run) & set(collection.qrels))
    random.Random(7).shuffle(chosen)
    rows = []
    for query in chosen:
        ids = list(run[query])[:candidates]
        grades = [collection.qrels[query].get(id, 0) for id in ids]
        if len(rows) == queries:
            break
        if max(grades) <= 0 or min(grades) > 0:  # the first stage has missed it, or there is nothing else
            continue
        ranking = reranker.rank(collection.queries[query], [collection.documents[id] for id in ids])
        relevance = {hit.index: hit.relevance or 0.0 for hit in ranking}
        without = max(value for index, value in relevance.items() if grades[index] <= 0)
        rows.append((max(relevance.values()), without))
    return np.array(rows)


if __name__ == "__main__":
    typer.run(main)
