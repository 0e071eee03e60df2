"""`resift train`: a reranker from pairs of your own."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from resift.cli._options import Json
from resift.cli._output import json_document, note
from resift.cli._pairs import chosen_pairs, file_and_rows
from resift.errors import InputError


def train(
    folder: Annotated[Path, typer.Argument(help="Where the model goes; a run cut short goes on from there.")],
    pairs: Annotated[
        list[str], typer.Option("--pairs", help="A jsonl file (query, positive), or FILE:ROWS; may be repeated.")
    ],
    base: Annotated[
        str, typer.Option("--base", help="What to start from: an exported model, or a Hugging Face encoder.")
    ] = "resift:small",
    network: Annotated[
        Literal["split", "cls"],
        typer.Option("--network", help="cls: a plain cross-encoder. split: see docs/models.md."),
    ] = "split",
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher",
            help="MODEL or MODEL=SCALE: its scores are learned too. Also miner, or base: itself at the start.",
        ),
    ] = None,
    miner: Annotated[
        str | None,
        typer.Option("--miner", help="Bi-encoder folder that finds negatives [default: its own, or resift:static]."),
    ] = None,
    negatives: Annotated[int, typer.Option("--negatives", min=1, help="Mined for each pair.")] = 7,
    hard: Annotated[float, typer.Option("--hard", min=0, max=1, help="Weight of the labels beside teachers.")] = 0.5,
    epochs: Annotated[float, typer.Option("--epochs", help="Times through the data.")] = 1.0,
    queries: Annotated[int, typer.Option("--queries", min=1, help="Lists per step.")] = 16,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="At its highest.")] = 5e-5,
    blend: Annotated[
        float, typer.Option("--blend", help="The trained weights' share in the result; the rest is the start's.")
    ] = 1.0,
    max_length: Annotated[int, typer.Option("--max-length", min=8, help="Tokens read in training.")] = 128,
    held_out: Annotated[int, typer.Option("--held-out", min=2, help="Queries kept back to measure on.")] = 200,
    judged: Annotated[
        list[str] | None,
        typer.Option("--calibrate", help="Judged collection to fit relevance on, or FOLDER=FIRST_STAGE; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same model.")] = 7,
    float32: Annotated[bool, typer.Option("--float32", help="Export full-size weights.")] = False,
    name: Annotated[str, typer.Option("--name", help="The model's name [default: the folder's].")] = "",
    licence: Annotated[str, typer.Option("--licence", help="Of the trained weights, for the manifest.")] = "",
    as_json: Json = False,
) -> None:
    """Train a reranker: mine hard negatives, learn from labels and teachers, export for use as --model FOLDER."""
    from resift.embedders.static import StaticEmbedder
    from resift.training.calibrate import calibrate, judged_lists
    from resift.training.finish import card, export
    from resift.training.held_out import logits
    from resift.training.lesson import prepare_once
    from resift.training.networks import build, own_embed
    from resift.training.progress import no_bars
    from resift.training.recipe import Recipe
    from resift.training.teachers import Known, Teacher, dense_embed
    from resift.training.train import train as run

    recipe = Recipe(
        base=base,
        network=network,
        max_length=max_length,
        negatives=negatives,
        hard=hard,
        epochs=epochs,
        queries=queries,
        learning_rate=learning_rate,
        blend=blend,
        held_out=held_out,
        seed=seed,
    )
    known = [one for spec in judged or [] for one in judged_lists(spec)]  # now: a wrong folder is told before training
    teachers = [Teacher.parse(text) for text in teacher or []]
    files = [file_and_rows(spec)[0] for spec in pairs]
    chosen = chosen_pairs(pairs, seed)
    model = build(recipe)
    embed = (own_embed(model) or StaticEmbedder().embed) if miner is None else dense_embed(miner)
    lesson = prepare_once(chosen, recipe, Known(embed, partial(logits, model)), teachers, folder, note)
    no_bars()
    figures = run(model, lesson, recipe, folder, note)
    calibration = (1.0, 0.0)
    try:
        calibration = calibrate(model, known or lesson.held_out)
    except InputError as error:  # an hour of training is worth more than its last step
        note(f"relevance is not calibrated: {error}")
    manifest = export(model, folder, recipe, int8=not float32, licence=licence, name=name)
    card(
        folder,
        recipe,
        files=files,
        teachers=teachers,
        pairs=len(chosen),
        figures=figures,
        calibration=calibration,
        judged=judged or (),
    )
    size = sum((folder / name).stat().st_size for name in manifest.files)
    if as_json:
        json_document({"folder": str(folder), "bytes": size, "held_out": dict(figures), "files": dict(manifest.files)})
    else:
        before, after = figures["before"], figures["after"]
        typer.echo(f"{folder}: {size / 1e6:.1f} MB, held-out nDCG@10 {before:.3f} before, {after:.3f} after")
