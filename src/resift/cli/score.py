"""`resift score`: a relevance for every row of a file or folder, here or on a Ray cluster."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resift.cli._options import Json, Long, Model
from resift.cli._output import json_document, note, seconds
from resift.cli._progress import bar
from resift.errors import InputError

if TYPE_CHECKING:
    from resift.bulk import BulkReport, Columns


class Engine(StrEnum):
    """Where rows are scored."""

    LOCAL = "local"
    RAY = "ray"


class OnBadRow(StrEnum):
    """What a row without a query or document does; `resift.bulk.job.OnBadRow`, as an option."""

    STOP = "stop"
    NULL = "null"


Source = Annotated[Path, typer.Argument(metavar="INPUT", help="A JSONL or Parquet file, or a folder of such.")]
Target = Annotated[Path, typer.Argument(metavar="OUTPUT", help="A file of the same format, or a folder of parts.")]
EngineOption = Annotated[Engine, typer.Option("--engine", help="Score in this process, or with workers on Ray.")]
ColumnNames = Annotated[
    str, typer.Option("--columns", metavar="NAMES", help="Names of columns that differ, as query=q,document=passage.")
]
OnBadRowOption = Annotated[
    OnBadRow,
    typer.Option("--on-bad-row", help="A row without query or document: stop before any is scored, or a null score."),
]
BlockRows = Annotated[
    int, typer.Option("--block-rows", min=1, help="Rows written at once: the most that a killed run loses.")
]
WorkerCount = Annotated[
    int | None, typer.Option("--workers", min=1, help="Ray: processes with a model each.", show_default="by the CPUs")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads of the model; of each, with --workers.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what a finished or a different run wrote.")]


def score(
    source: Source,
    target: Target,
    model: Model = None,
    engine: EngineOption = Engine.LOCAL,
    columns: ColumnNames = "",
    on_bad_row: OnBadRowOption = OnBadRow.STOP,
    block_rows: BlockRows = 1000,
    workers: WorkerCount = None,
    threads: Threads = None,
    long_documents: Long = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Score the rows of a file, and go on where an earlier run was cut short."""
    from resift.bulk import BulkJob, Workers, score_files
    from resift.models.options import ModelOptions

    ray = engine is Engine.RAY
    if workers is not None and not ray:
        raise InputError("--workers is for --engine ray")
    job = BulkJob(
        source, target, _columns(columns), block_rows=block_rows, on_bad_row=on_bad_row.value, overwrite=overwrite
    )
    options: ModelOptions = {} if long_documents is None else {"long_documents": long_documents.value}
    if threads is not None and not ray:
        options["threads"] = threads
    on_ray = Workers(workers, threads or 1) if ray else None
    with bar("rows") as progress:
        report = score_files(job, model, workers=on_ray, progress=progress, **options)
    _show(report, as_json)


def _show(report: BulkReport, as_json: bool) -> None:
    if as_json:
        json_document(report.to_dict())
    else:
        typer.echo(f"{report.target}: {report.rows} rows scored by {report.model} in {seconds(report.seconds)}")
        if report.done_before:
            note(f"{report.done_before} of them by an earlier run that was cut short")
    if report.damaged:
        parts, their = ("1 part", "its") if report.damaged == 1 else (f"{report.damaged} parts", "their")
        note(f"{parts} of an earlier run didn't match {their} checksum: {their} rows were scored again")
    if report.tally.unscored:
        rows = "1 row has" if report.tally.unscored == 1 else f"{report.tally.unscored} rows have"
        note(f"{rows} a null score: no query, no document, or a query too long for the model")
    if report.tally.truncated:
        texts, their = (
            ("1 text is", "its") if report.tally.truncated == 1 else (f"{report.tally.truncated} texts are", "their")
        )
        note(
            f"{texts} longer than the model reads: only {their} beginning was scored "
            "(--long-documents max_window scores all of it)"
        )


def _columns(text: str) -> Columns:
    """Return the columns of `query=q,document=passage`; those not named keep their names."""
    from resift.bulk import Columns

    names = dict(item.partition("=")[::2] for item in text.split(",") if item)
    unknown = sorted(set(names) - set(Columns.__slots__))
    if unknown or not all(names.values()):
        raise InputError(f"--columns takes name=column of {', '.join(Columns.__slots__)}, not {text!r}")
    return Columns(**names)
