"""`resift index`: folders of documents into a collection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resift.cli._models import note_states_warnings
from resift.cli._options import COLLECTION, DB, STATES, Collection, Db, EmbedderName, Json
from resift.cli._output import console, json_document, note, seconds
from resift.cli._progress import bar

if TYPE_CHECKING:
    from resift.documents.ingest import IngestProgress, IngestReport


BUNDLED_READ = 254
"""Tokens of a passage that resift:small, resift:tiny and resift:dense read at once."""
FAILURES = "failed-files.json"
"""The file beside the database that remembers which content can't be read."""


Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.", show_default=False)]
Prune = Annotated[
    bool, typer.Option("--prune", help="Also remove the passages of files that are no longer in the folders.")
]
Embedder = Annotated[
    EmbedderName | None,
    typer.Option(
        "--embedder",
        help="The bi-encoder of the first stage: dense finds more, static is many times as fast.",
        show_default="the collection's own, or dense",
    ),
]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Also index files outside the folders that links in them lead to.")
]
KeepStates = Annotated[
    bool,
    typer.Option("--keep-states", help="Also store what the reranker encodes of each passage: searches get faster."),
]
ChunkTokens = Annotated[
    int | None,
    typer.Option(
        "--chunk-tokens",
        min=32,
        help="Tokens of a passage, its headings included. Another size cuts all files anew.",
        show_default="the collection's own, or 240, which the bundled models read at once",
    ),
]
ChunkOverlap = Annotated[
    int | None,
    typer.Option(
        "--chunk-overlap",
        min=0,
        help="Tokens that two parts of a paragraph share, where it is longer than a passage.",
        show_default="an eighth of a passage",
    ),
]


def index(
    paths: Paths,
    collection: Collection = COLLECTION,
    db: Db = DB,
    prune: Prune = False,
    embedder: Embedder = None,
    keep_states: KeepStates = False,
    follow_links: FollowLinks = False,
    chunk_tokens: ChunkTokens = None,
    chunk_overlap: ChunkOverlap = None,
    as_json: Json = False,
) -> None:
    """Index folders of text, Markdown, HTML, PDF, Office files, tables, notebooks, e-books, mails and source code.

    Running it again adds nothing; an edited file is replaced; a killed run is completed by the next.
    """
    index_paths(
        paths,
        collection,
        db,
        base=db.resolve().parent,
        prune=prune,
        embedder=embedder,
        keep_states=keep_states,
        follow_links=follow_links,
        chunk_tokens=chunk_tokens,
        chunk_overlap=chunk_overlap,
        as_json=as_json,
    )


def index_paths(
    paths: list[Path],
    collection: str,
    db: Path,
    *,
    base: Path,
    prune: bool = False,
    embedder: EmbedderName | None = None,
    keep_states: bool = False,
    follow_links: bool = False,
    chunk_tokens: int | None = None,
    chunk_overlap: int | None = None,
    as_json: bool = False,
) -> None:
    """Do what `index` does, for other commands: `base` is what the paths of files are told relative to."""
    from resift.cli import _database
    from resift.documents import ingest
    from resift.documents import keep_states as add_states
    from resift.documents.files import find_files
    from resift.models.bundled import bundled_folder
    from resift.search.collections import list_collections, lock_database
    from resift.search.in_step import CollectionIndex, remove_others

    # Before the database is made: a mistyped path, or a model that isn't installed, leaves nothing behind.
    find_files(paths)
    if embedder is EmbedderName.MULTILINGUAL:
        bundled_folder(embedder.value)
    states_file = db / STATES if keep_states else None
    with lock_database(db), note_states_warnings():
        target = _database.create(db, collection, embedder and embedder.value, states_file)
        target = _database.repair(db, target, states_file)
        lexical = CollectionIndex(target)
        lexical.mark()
        with _bar() as progress:
            report = ingest(
                target,
                paths,
                base=base,
                prune=prune,
                progress=progress,
                follow_links=follow_links,
                failures_file=db / FAILURES,
                chunk_tokens=chunk_tokens,
                chunk_overlap=chunk_overlap,
            )
        remove_others(db, list_collections(db))
        with bar("indexing words") as words_progress:
            lexical.update(locked=True, progress=words_progress)
        if states_file is None:
            size = None
        else:
            with bar("encoding passages") as states_progress:
                size = add_states(target, states_file, states_progress)
    if chunk_tokens is not None and chunk_tokens > BUNDLED_READ:
        note(
            f"the bundled models read {BUNDLED_READ} tokens at once: longer passages are read in windows, which takes "
            "longer, and a search shows less of where its answer lies"
        )
    if as_json:
        states = {} if size is None else {"states_bytes": size}
        totals = {"total": target.count(), "lexical_bytes": lexical.bytes(), **states}
        json_document({"collection": collection, "db": str(db), **asdict(report), **totals})
    else:
        console().print(_summary(report, collection, target.count()))
        if size is not None:
            console().print(f"states: {states_file}, {size / 1e6:.2f} MB")
    for path in report.without_text:
        note(f"{path}: there is no text in it")
    for failure in report.failures:
        typer.echo(f"resift: {failure}", err=True)
    if report.failures:
        raise typer.Exit(1)


@contextmanager
def _bar() -> Iterator[IngestProgress]:
    """Show a bar on stderr, where that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    screen = console(stderr=True)
    if not screen.is_terminal:  # as in _progress.bar
        yield lambda *_: None
        return
    columns = (
        TextColumn("indexing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[passages]} passages"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("indexing", total=None, passages=0)
        yield lambda done, total, added: bar.update(task, completed=done, total=total, passages=added)


def _summary(report: IngestReport, collection: str, total: int) -> str:
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
