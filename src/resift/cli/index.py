"""`resift index`: folders of documents into a collection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resift.cli._options import COLLECTION, DB, Collection, Db, Json
from resift.cli._output import console, json_document, seconds

if TYPE_CHECKING:
    from resift.documents.ingest import Progress, Report


def index(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.", show_default=False)],
    collection: Collection = COLLECTION,
    db: Db = DB,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove the passages of files that are no longer in the folders.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Index txt, md, rst, html, pdf and jsonl files.

    Running it again adds nothing; an edited file is replaced; a killed run is completed by the next.
    """
    from resift.cli import _database
    from resift.documents import ingest
    from resift.documents.files import find

    find(paths)  # before the database is made: a mistyped path leaves nothing behind
    target = _database.create(db, collection)
    with _bar() as progress:
        report = ingest(target, paths, base=db.resolve().parent, prune=prune, progress=progress)
    if as_json:
        json_document({"collection": collection, "db": str(db), **asdict(report), "total": target.count()})
    else:
        console().print(_summary(report, collection, target.count()))
    for failure in report.failures:
        typer.echo(f"resift: {failure}", err=True)
    if report.failures:
        raise typer.Exit(1)


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar on stderr while a terminal watches; rich draws none elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("indexing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[passages]} passages"),
        TimeElapsedColumn(),
    )
    screen = console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("indexing", total=None, passages=0)
        yield lambda done, total, added: bar.update(task, completed=done, total=total, passages=added)


def _summary(report: Report, collection: str, total: int) -> str:
    kinds = {
        "new": report.new,
        "changed": report.changed,
        "completed": report.resumed,
        "unchanged": report.unchanged,
        "without text": report.empty,
        "removed": report.pruned,
        "failed": len(report.failures),
        "skipped": sum(report.skipped.values()),
    }
    files = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count) or "none"
    suffixes = ", ".join(f"{count} {suffix}" for suffix, count in report.skipped.items())
    speed = f" ({report.passages_per_second:,.0f} passages/s)" if report.added else ""
    return "\n".join(
        [
            f"files: {files}" + (f" ({suffixes})" if suffixes else ""),
            f"passages: {report.added} added, {report.removed} removed; {collection} holds {total}",
            f"time: {seconds(report.seconds)}{speed}",
        ]
    )
