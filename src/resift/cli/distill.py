"""`resift distill`: a first stage adapted to texts of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resift.cli._options import Json
from resift.cli._output import console, json_document, note, number, table
from resift.errors import InputError

if TYPE_CHECKING:
    from resift.training.pairs import TrainingPair
    from resift.training.recall import Recall


def distill(
    folder: Annotated[Path, typer.Argument(help="Where the model goes; a run cut short goes on from there.")],
    pairs: Annotated[
        list[str] | None, typer.Option("--pairs", help="A jsonl file (query, positive), or FILE:ROWS; repeatable.")
    ] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option("--corpus", help="A corpus.jsonl: its titles and sentences are the queries; repeatable."),
    ] = None,
    base: Annotated[
        str, typer.Option("--base", help="static, a table's folder, or a sentence-transformers bi-encoder's.")
    ] = "static",
    teacher: Annotated[
        list[str] | None,
        typer.Option("--teacher", help="A reranker, or a bi-encoder's folder; `none` for no teacher; repeatable."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1)] = 300,
    batch: Annotated[int | None, typer.Option("--batch", help="Pairs per step [default: by the base].")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="[default: by the base]")] = None,
    lists: Annotated[int, typer.Option("--lists", help="Queries whose candidates the reranker scores.")] = 2000,
    vectors: Annotated[int, typer.Option("--vectors", help="Texts that a bi-encoder as teacher reads.")] = 20_000,
    sentences: Annotated[int, typer.Option("--sentences", min=0, help="Of a document, made queries.")] = 2,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Whose weights are averaged: less is left to chance.")] = 1,
    seed: Annotated[int, typer.Option("--seed")] = 7,
    collection: Annotated[
        Path | None, typer.Option("--eval", help="A judged collection: Recall@100 before and after.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The model's name [default: the folder's].")] = "",
    licence: Annotated[str, typer.Option("--licence", help="Of the trained weights.")] = "",
    as_json: Json = False,
) -> None:
    """Teach a bi-encoder what a reranker knows, on pairs or on a corpus without queries. Needs the extra `train`."""
    from resift.training.distill import Distillation
    from resift.training.distill import distill as learn
    from resift.training.progress import no_bars
    from resift.training.students import embed, open_student

    no_bars()
    chosen = _pairs(pairs or [], corpus or [], seed, sentences)
    labels = _labels(teacher if teacher is not None else ["resift:small"], lists, vectors)
    settings = Distillation(
        base=base, steps=steps, batch=batch, learning_rate=learning_rate, runs=runs, seed=seed, labels=labels
    )
    judged = None
    found: dict[str, Recall] = {}
    if collection is not None:
        from resift.evaluation import read_collection
        from resift.training.recall import recall

        judged = read_collection(collection)  # before training: a fault in it should cost no hours
        start = open_student(base).model
        found["before"] = recall(judged, lambda texts: embed(start, texts))
    student = learn(chosen, settings, folder, note, name=name, licence=licence)
    if judged is not None:
        written = open_student(str(folder)).model  # as it was written: in 8 bits, where it is a table
        found["after"] = recall(judged, lambda texts: embed(written, texts))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if as_json:
        json_document(_report(folder, size, len(chosen), found))
        return
    typer.echo(f"{folder}: {size / 1e6:.1f} MB, {student.model.get_embedding_dimension()} dimensions")
    if judged is not None:
        _show(judged.name, len(judged.queries), found)


def _pairs(specs: list[str], corpora: list[Path], seed: int, sentences: int) -> list[TrainingPair]:
    from resift.cli._pairs import chosen_pairs
    from resift.training.questions import make_pairs, read_corpus

    if not specs and not corpora:
        raise InputError("nothing to learn from: give --pairs FILE.jsonl, or --corpus corpus.jsonl")
    found = chosen_pairs(specs, seed)
    for corpus in corpora:
        found += make_pairs(read_corpus(corpus), seed=seed, sentences=sentences)
    return found


def _labels(names: list[str], lists: int, vectors: int) -> Any:
    from resift.training.curriculum import Labels, bi_encoder_folder
    from resift.training.teachers import Teacher

    wanted = [name for name in names if name != "none"]
    read = {name: bi_encoder_folder(name) for name in wanted}
    encoders = [folder for folder in read.values() if folder is not None]
    if len(encoders) > 1:
        raise InputError(f"one bi-encoder can teach at a time, got {', '.join(encoders)}")
    scoring = tuple(Teacher.parse(name) for name in wanted if read[name] is None)
    return Labels(scoring, encoders[0] if encoders else None, lists=lists, vectors=vectors)


def _report(folder: Path, size: int, pairs: int, found: dict[str, Recall]) -> dict[str, Any]:
    values = {
        when: {"recall_at_100": each.alone, "fused_with_bm25": each.fused, "bm25": each.bm25}
        for when, each in found.items()
    }
    return {"folder": str(folder), "bytes": size, "pairs": pairs, **values}


def _show(name: str, queries: int, found: dict[str, Recall]) -> None:
    rows = [("BM25", number(found["before"].bm25), "")]
    rows += [(when, number(each.alone), number(each.fused)) for when, each in found.items()]
    typer.echo(f"{name}, {queries} queries: Recall@100")
    console().print(table("", ("", ">alone", ">fused with BM25"), rows))
