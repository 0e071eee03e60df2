"""`resift distill`: a first stage adapted to texts of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resift.cli._options import Json
from resift.cli._output import console, json_document, note, number, table
from resift.cli._pairs import check_paths, pairs_of_files_and_corpora

if TYPE_CHECKING:
    from resift.evaluation import Collection
    from resift.training import DistilledFirstStage, Recall

Folder = Annotated[Path, typer.Argument(help="Where the model goes; a run cut short goes on from there.")]
Pairs = Annotated[
    list[str] | None, typer.Option("--pairs", help="A jsonl file (query, positive), or FILE:ROWS; repeatable.")
]
Corpora = Annotated[
    list[Path] | None,
    typer.Option("--corpus", help="A corpus.jsonl: its titles and sentences are the queries; repeatable."),
]
Base = Annotated[str, typer.Option("--base", help="static, a table's folder, or a sentence-transformers bi-encoder's.")]
Teachers = Annotated[
    list[str] | None,
    typer.Option("--teacher", help="A reranker, or a bi-encoder's folder; `none` for no teacher; repeatable."),
]
Steps = Annotated[int, typer.Option("--steps", min=1)]
Batch = Annotated[int | None, typer.Option("--batch", help="Pairs per step.", show_default="by the base")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate", show_default="by the base")]
Lists = Annotated[int, typer.Option("--lists", help="Queries whose candidates the reranker scores.")]
Vectors = Annotated[int, typer.Option("--vectors", help="Texts that a bi-encoder as teacher reads.")]
Sentences = Annotated[int, typer.Option("--sentences", min=0, help="Of a document, made queries.")]
Runs = Annotated[int, typer.Option("--runs", min=1, help="Whose weights are averaged: less is left to chance.")]
Seed = Annotated[int, typer.Option("--seed")]
CollectionFolder = Annotated[
    Path | None, typer.Option("--eval", help="A judged collection: Recall@100 before and after.")
]
Name = Annotated[str, typer.Option("--name", help="The model's name.", show_default="the folder's")]
Licence = Annotated[str, typer.Option("--licence", help="Of the trained weights.")]


def distill(
    folder: Folder, pairs: Pairs = None, corpus: Corpora = None, base: Base = "static", teacher: Teachers = None,
    steps: Steps = 300, batch: Batch = None, learning_rate: LearningRate = None, lists: Lists = 2000,
    vectors: Vectors = 20_000, sentences: Sentences = 2, runs: Runs = 1, seed: Seed = 7,
    collection: CollectionFolder = None, name: Name = "", licence: Licence = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Teach a bi-encoder what a reranker knows, on pairs or on a corpus without queries. Needs the extra `train`."""
    check_paths(folder, pairs or [], corpus or [])
    from resift.training import Distillation, distill_first_stage

    chosen = pairs_of_files_and_corpora(pairs or [], corpus or [], seed, sentences)
    settings = Distillation(
        base=base, steps=steps, batch=batch, learning_rate=learning_rate, runs=runs, seed=seed, lists=lists,
        vectors=vectors,
    )  # fmt: skip
    judged = _collection(collection)
    distilled = distill_first_stage(
        chosen,
        folder,
        settings,
        teachers=["resift:small"] if teacher is None else [model for model in teacher if model != "none"],
        collection=judged,
        name=name,
        licence=licence,
        log=note,
    )
    if as_json:
        json_document(_report(distilled, len(chosen)))
    else:
        _show(distilled, judged)


def _collection(folder: Path | None) -> Collection | None:
    if folder is None:
        return None
    from resift.evaluation import read_collection

    return read_collection(folder)


def _recalls(distilled: DistilledFirstStage) -> dict[str, Recall]:
    measured = {"before": distilled.before, "after": distilled.after}
    return {when: recall for when, recall in measured.items() if recall is not None}


def _report(distilled: DistilledFirstStage, pairs: int) -> dict[str, Any]:
    values = {
        when: {"recall_at_100": recall.alone, "fused_with_bm25": recall.fused, "bm25": recall.bm25}
        for when, recall in _recalls(distilled).items()
    }
    return {"folder": str(distilled.folder), "bytes": distilled.size, "pairs": pairs, **values}


def _show(distilled: DistilledFirstStage, judged: Collection | None) -> None:
    typer.echo(f"{distilled.folder}: {distilled.size / 1e6:.1f} MB, {distilled.dimensions} dimensions")
    if judged is None or distilled.before is None:
        return
    rows = [("BM25", number(distilled.before.bm25), "")]
    rows += [(when, number(recall.alone), number(recall.fused)) for when, recall in _recalls(distilled).items()]
    typer.echo(f"{judged.name}, {len(judged.queries)} queries: Recall@100")
    console().print(table("", ("", ">alone", ">fused with BM25"), rows))
