"""`resift train`: a reranker from pairs of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from resift.cli._options import Json
from resift.cli._output import json_document, note
from resift.cli._pairs import check_paths, chosen_pairs, file_and_rows

Folder = Annotated[Path, typer.Argument(help="Where the model goes; a run cut short goes on from there.")]
Pairs = Annotated[
    list[str], typer.Option("--pairs", help="A jsonl file (query, positive), or FILE:ROWS; may be repeated.")
]
Base = Annotated[str, typer.Option("--base", help="What to start from: an exported model, or a Hugging Face encoder.")]
Network = Annotated[
    Literal["split", "cls"],
    typer.Option("--network", help="cls: a plain cross-encoder. split: see docs/models.md."),
]
Teachers = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher",
        help="MODEL or MODEL=SCALE: its scores are learned too. Also miner, base (itself at the start) or none.",
        show_default="base, for split",
    ),
]
Miner = Annotated[
    str | None,
    typer.Option("--miner", help="Bi-encoder folder that finds negatives.", show_default="its own, or resift:static"),
]
Negatives = Annotated[int, typer.Option("--negatives", min=1, help="Mined for each pair.")]
Hard = Annotated[float, typer.Option("--hard", min=0, max=1, help="Weight of the labels beside teachers.")]
BY_SIZE = "by the number of queries"
Epochs = Annotated[float | None, typer.Option("--epochs", help="Times through the data.", show_default=BY_SIZE)]
Batch = Annotated[int | None, typer.Option("--batch", min=1, help="Lists of a step.", show_default=BY_SIZE)]
LearningRate = Annotated[
    float | None, typer.Option("--learning-rate", help="At its highest.", show_default="by what learns")
]
Blend = Annotated[
    float | None,
    typer.Option("--blend", help="The trained weights' share; the rest is the start's.", show_default=BY_SIZE),
]
Length = Annotated[
    float | None,
    typer.Option("--length", help="What a document's length counts, 0 for nothing.", show_default="as in the base"),
]
Brevity = Annotated[
    float | None,
    typer.Option("--brevity", help="How much more words count in a query of two.", show_default="as in the base"),
]
MaxLength = Annotated[int, typer.Option("--max-length", min=8, help="Tokens read in training.")]
HeldOut = Annotated[
    int | None,
    typer.Option("--held-out", min=2, help="Queries kept back to measure on.", show_default="a fifth, at most 200"),
]
Judged = Annotated[
    list[str] | None,
    typer.Option("--calibrate", help="Judged collection to fit relevance on, or FOLDER=FIRST_STAGE; repeatable."),
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same model.")]
Float32 = Annotated[bool, typer.Option("--float32", help="Export full-size weights.")]
Name = Annotated[str, typer.Option("--name", help="The model's name.", show_default="the folder's")]
Licence = Annotated[str, typer.Option("--licence", help="Of the trained weights, for the manifest.")]


def train(
    folder: Folder, pairs: Pairs, base: Base = "resift:small", network: Network = "split", teacher: Teachers = None,
    miner: Miner = None, negatives: Negatives = 7, hard: Hard = 0.5, epochs: Epochs = None,
    batch: Batch = None, learning_rate: LearningRate = None, blend: Blend = None, length: Length = None,
    brevity: Brevity = None, max_length: MaxLength = 128, held_out: HeldOut = None, judged: Judged = None,
    seed: Seed = 7, float32: Float32 = False, name: Name = "",
    licence: Licence = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Train a reranker: mine hard negatives, learn from labels and teachers, export for use as --model FOLDER."""
    check_paths(folder, pairs)
    from resift.training import Recipe, train_reranker

    recipe = Recipe(
        base=base, network=network, max_length=max_length, negatives=negatives, hard=hard, epochs=epochs,
        batch=batch, learning_rate=learning_rate, blend=blend, length=length, brevity=brevity,
        held_out=held_out, seed=seed,
    )  # fmt: skip
    trained = train_reranker(
        chosen_pairs(pairs, seed),
        folder,
        recipe,
        teachers=None if teacher is None else [model for model in teacher if model != "none"],
        miner=miner,
        judged=judged or (),
        int8=not float32,
        name=name,
        licence=licence,
        data_files=[file_and_rows(spec)[0] for spec in pairs],
        log=note,
    )
    if as_json:
        files = dict(trained.manifest.files)
        json_document(
            {
                "folder": str(folder),
                "bytes": trained.size,
                "steps": trained.steps,
                "held_out": trained.held_out.to_dict(),
                "verdict": trained.verdict,
                "files": files,
            }
        )
    else:
        typer.echo(f"{folder}: {trained.size / 1e6:.1f} MB, {trained.held_out.in_words()}")
        typer.echo(trained.verdict)
