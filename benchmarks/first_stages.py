"""Recall@100 of several first stages on a folder of judged collections, and what embedding the documents takes.

    python benchmarks/first_stages.py DATA --stage bm25 --stage static --stage bm25+static --stage dense \
        --stage st:FOLDER
    python benchmarks/first_stages.py DATA --stage dense --stage static --stage lexical --stage dense+lexical \
        --stage dense+lexical:1 --stage static+lexical --queries 200 --not-timed --depth 50 --depth 100

The first `--queries` queries of each collection are measured. Left out are collections that don't hold all their
documents (only the judged ones, or those of a run), since they say nothing about a first stage. `lexical` is the
lexical half of hybrid search, and `dense+lexical` is what `HybridFirstStage` makes of both: 200 of each half, fused
(`:1`: by plain reciprocal rank fusion). With `--vectors` what is embedded is kept in a folder. Then `static`,
`dense` and every `st:` stage embed the same documents in turns, and the documents per second are printed.
"""

from __future__ import annotations

import hashlib
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
from resift.evaluation.collection import Run
from resift.evaluation.first_stage import first_stage
from resift.evaluation.nearest import embedding_run
from resift.lexical.index import LexicalIndex
from resift.search.hybrid import DEPTH, TAIL, count_places

DOCUMENTS_TIMED = 200  # embedded in one round
ROUNDS = 3
Embed = Callable[[Sequence[str]], Any]


def limit_queries(collection: Collection, queries: int) -> Collection:
    """Return the collection with only its first `queries` queries."""
    ids = list(collection.queries)[:queries]
    texts = {query_id: collection.queries[query_id] for query_id in ids}
    qrels = {query_id: collection.qrels[query_id] for query_id in ids}
    return Collection(collection.name, collection.documents, texts, qrels)


def lexical_run(collection: Collection, depth: int) -> Run:
    """Return what the lexical half of hybrid search finds."""
    index = LexicalIndex()
    index.change(collection.documents.items(), [])
    return {query: [hit.id for hit in index.search(text, depth)] for query, text in collection.queries.items()}


def keep_vectors(folder: Path, name: str, embed: Embed) -> Embed:
    """Return an embedder whose vectors are kept in a folder: the dense one takes minutes."""

    def kept(texts: Sequence[str]) -> Any:
        file = folder / f"{name}-{hashlib.sha256(repr(list(texts)).encode()).hexdigest()[:16]}.npy"
        if not file.exists():
            np.save(file, embed(texts))
        return np.load(file)

    return kept


def run_of(name: str, collection: Collection, depth: int, vectors: Path | None) -> Run:
    """Return a first stage's run: `lexical`, a bundled bi-encoder with kept vectors, both fused, or any of resift's."""
    if name == "lexical":
        return lexical_run(collection, depth)
    if name in ("static", "dense") and vectors is not None:
        embed = StaticEmbedder().embed if name == "static" else DenseEmbedder().embed
        return embedding_run(keep_vectors(vectors, name, embed), collection, depth)
    first, plus, second = name.partition("+")
    if plus and second.startswith("lexical"):
        tail = float(second.partition(":")[2] or TAIL)
        dense, lexical = (run_of(half, collection, max(DEPTH, 2 * depth), vectors) for half in (first, "lexical"))
        run = {}
        for query in collection.queries:
            counts = count_places(dense.get(query, ()), lexical.get(query, ()), tail=tail)
            run[query] = sorted(counts, key=counts.__getitem__, reverse=True)[:depth]
        return run
    return first_stage(name, collection, depth)


def embedders(stages: Sequence[str]) -> dict[str, Embed]:
    """Return the bundled embedders, and those of the `st:` stages, by name."""
    embeds: dict[str, Embed] = {"static": StaticEmbedder().embed, "dense": DenseEmbedder().embed}
    for stage in stages:
        if stage.startswith("st:"):
            embeds["st"] = SentenceTransformer(stage.removeprefix("st:"), local_files_only=True).encode
    return embeds


def recall(collection: Collection, run: Run, depth: int) -> float:
    """Return the mean recall of the first `depth`."""
    recalls = measure(collection.qrels, run, (f"R@{depth}",))[f"R@{depth}"]
    return float(np.mean(list(recalls.values())))


def decimal(value: float) -> str:
    """Return .123 for 0.123."""
    return f"{value:.3f}".removeprefix("0")


def main(
    data: Annotated[Path, typer.Argument(help="Folder of collections.")],
    stage: Annotated[list[str], typer.Option("--stage")],
    queries: Annotated[int, typer.Option("--queries")] = 500,
    depth: Annotated[list[int] | None, typer.Option("--depth", help="Of the recall; may be repeated.")] = None,
    vectors: Annotated[Path | None, typer.Option("--vectors", help="Where vectors are kept.")] = None,
    timed: Annotated[bool, typer.Option("--timed/--not-timed", help="Needs a quiet machine.")] = True,
) -> None:
    """Print a table of recalls and a table of speeds."""
    depths = depth or [100]
    means: dict[str, list[list[float]]] = {name: [] for name in stage}
    names = " | ".join(name if "+" in name else name.partition(":")[0] for name in stage)
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
            run = run_of(name, collection, max(depths), vectors)
            means[name].append([recall(collection, run, each) for each in depths])
            cells.append(" / ".join(decimal(value) for value in means[name][-1]))
        show(f"| {folder.name} | {len(collection.queries)} | " + " | ".join(cells) + " |")
    averages = [" / ".join(map(decimal, np.mean(means[name], axis=0))) for name in stage]
    show("| average | | " + " | ".join(averages) + " |")
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
