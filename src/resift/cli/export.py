"""`resift export`: a cross-encoder into a folder that runs without torch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from resift.cli._options import Json
from resift.cli._output import json_document, note
from resift.errors import InputError
from resift.models.manifest import MANIFEST_FILE
from resift.models.options import check_source


def export(
    model: Annotated[str, typer.Argument(help="A folder or a Hugging Face id.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Where the exported model goes.", show_default=False)],
    precision: Annotated[
        str, typer.Option("--precision", help="float32, int8 (weights alone) or int8-dynamic (products too).")
    ] = "float32",
    int8: Annotated[bool, typer.Option("--int8", help="Small and fast: short for --precision int8-dynamic.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that is in the folder.")] = False,
    as_json: Json = False,
) -> None:
    """Export a cross-encoder to ONNX, for use as --model FOLDER. Needs the extra `export` and torch."""
    if int8 and precision not in ("float32", "int8-dynamic"):
        raise InputError(f"--int8 and --precision {precision} say different things: give one of them")
    # Before torch is loaded, which takes a while.
    check_source(model)
    if (folder / MANIFEST_FILE).exists() and not overwrite:
        raise InputError(f"{folder} holds a model: give another folder, or --overwrite to replace it")
    folder.mkdir(parents=True, exist_ok=True)
    from resift.export.pair import export_model  # only now: it brings torch

    if not as_json:
        note(f"exporting {model} takes a minute or so")
    try:
        manifest = export_model(model, folder, precision="int8-dynamic" if int8 else precision)
    except BaseException:
        with suppress(OSError):  # something is in it
            folder.rmdir()
        raise
    size = sum(file.stat().st_size for file in folder.iterdir())
    if as_json:
        json_document({"folder": str(folder), "bytes": size, "manifest": asdict(manifest)})
    else:
        typer.echo(f"{folder}: {manifest.name}, {size / 1e6:.1f} MB, {manifest.precision}")
