"""Is anything here relevant enough? How far the best relevance tells questions with an answer from those without one.

    python benchmarks/answerable.py DATA/dev/squad-dev DATA/dev/trecqa DATA/dev/selqa --queries 100

For each query of a judged collection its first candidates are ranked: as they are, with a relevant one among them;
again without the relevant ones, as if the corpus had no answer ("near": what is left is about the same thing); and the
candidates of another query ("far"). A threshold calls a query answerable if its best hit reaches it. "Found" is the
share of the first that are called so, "near" and "far" are the shares of the others that are; precision is that of a
call where there are as many without an answer nearby as with one. Unjudged documents count as no answer, though some
are one. Any machine gives the same figures.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from judged import Judged
from resift import Reranker
from resift.evaluation.bm25 import bm25_run
from resift.evaluation.runs import read_run

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
FAR = 5  # candidates of another query


def main(
    folders: Annotated[list[Path], typer.Argument(help="Judged collections.")],
    model: Annotated[str | None, typer.Option("--model")] = None,
    queries: Annotated[int, typer.Option("--queries", help="Of each collection, at most, at random.")] = 100,
    candidates: Annotated[int, typer.Option("--candidates")] = 10,
) -> None:
    """Print a table with a row for each collection and threshold."""
    reranker = Reranker(model)
    typer.echo("| collection, queries | threshold | found | near | far | precision |\n|---|---|---|---|---|---|")
    for folder in folders:
        best = measure(reranker, folder, queries, candidates)
        for threshold in THRESHOLDS:
            found, near, far = (best >= threshold).mean(0)
            precision = found / max(found + near, 1e-9)
            shares = " | ".join(f"{share:.0%}" for share in (found, near, far, precision))
            typer.echo(f"| {folder.name}, {len(best)} | {threshold} | {shares} |")


def measure(reranker: Reranker, folder: Path, queries: int, candidates: int) -> np.ndarray:
    """Return each query's best relevance: with its relevant documents, without them, and of another, (queries, 3)."""
    judged = Judged.read(folder)
    collection = judged.collection
    run = bm25_run(collection, 100) if judged.stage == "bm25" else read_run(Path(judged.stage), collection)
    chosen = sorted(set(run) & set(collection.qrels))
    random.Random(7).shuffle(chosen)
    lists: dict[str, tuple[list[str], list[str]]] = {}
    for query in chosen:
        ids = list(run[query])[:candidates]
        relevant = [id for id in ids if collection.qrels[query].get(id, 0) > 0]
        others = [id for id in ids if id not in relevant]
        if relevant and others and len(lists) < queries:  # else the first stage has missed it, or it's all there is
            lists[query] = (relevant, others)

    def best(query: str, ids: Sequence[str]) -> float:
        texts = [collection.documents[id] for id in ids]
        return reranker.rank(collection.queries[query], texts).best_relevance or 0.0

    asked = list(lists)
    rows = []
    for query, other in zip(asked, [*asked[1:], *asked[:1]], strict=True):
        relevant, others = lists[query]
        near = best(query, others)
        elsewhere = [id for part in lists[other] for id in part if collection.qrels[query].get(id, 0) <= 0]
        far = best(query, elsewhere[:FAR])
        rows.append((max(near, best(query, relevant)), near, far))
    return np.array(rows)


if __name__ == "__main__":
    typer.run(main)
