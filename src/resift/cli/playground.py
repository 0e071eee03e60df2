"""`resift playground`: a local page over an indexed collection."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resift.cli._models import no_truncation_warning, reranker
from resift.cli._options import COLLECTION, DB, STATES, Collection, EmbedderName, LongDocuments
from resift.errors import InputError

if TYPE_CHECKING:
    from resift.playground.session import Playground
    from resift.reranking.reranker import Reranker

PORT = 8765
DRAIN_SECONDS = 2.0  # for a search that is under way when the playground ends

Folder = Annotated[
    Path | None,
    typer.Argument(help="Index this first, as `resift index` does.", metavar="FOLDER", show_default="what is indexed"),
]
Db = Annotated[
    Path | None,
    typer.Option(
        "--database", "--db", help="Folder of the database.", show_default=f"{DB}; for a FOLDER, one that is not kept"
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="A model to choose besides the bundled ones, the first; may be repeated."),
]
JudgementsFolder = Annotated[
    Path | None,
    typer.Option(
        "--judgements",
        help="Folder of what is marked.",
        show_default=f"{DB}/judgements/COLLECTION, or the FOLDER's name",
    ),
]
Host = Annotated[str, typer.Option("--host", help="A name of this machine; the page has no password.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the address.")]
Embedder = Annotated[
    EmbedderName | None,
    typer.Option(
        "--embedder",
        help="The bi-encoder of a FOLDER, or of a collection that keeps no embedding function.",
        show_default="dense for a FOLDER, else the collection's own",
    ),
]


def playground(
    folder: Folder = None,
    collection: Collection = COLLECTION,
    database: Db = None,
    model: Models = None,
    embedder: Embedder = None,
    judgements: JudgementsFolder = None,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    no_browser: NoBrowser = False,
) -> None:
    """Open a page to search a collection, see both stages and why, and mark what is right or wrong."""
    from resift.playground.asgi import application  # first: names the extra
    from resift.serving.listening import open_socket
    from resift.serving.server import run

    check_host(host)
    with open_socket(host, port, None) as listening, _ended_by_sigterm(), _database(folder, database) as db:
        if folder is not None:
            _index(folder, collection, db, embedder, kept=database is not None)
        made = make_playground(
            collection,
            db,
            models=model or [],
            judgements=judgements or default_judgements(folder, collection, database),
            embedder=None if folder is not None else embedder,
            temporary=folder is not None and database is None,
        )
        app = application(made)
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listening.getsockname()[1]}/"
        typer.echo(f"the playground is at {address} (Ctrl+C ends it)")
        typer.echo(f"what you mark is kept in {made.judgements.folder}")
        if not no_browser:
            open_browser(address)
        with no_truncation_warning():  # the page says it
            run(app, listening, drain_seconds=DRAIN_SECONDS)


def default_judgements(folder: Path | None, collection: str, database: Path | None) -> Path:
    """Return where marks are kept: beside the database, by the collection; of one that is not kept, by the folder."""
    named = folder is not None and database is None
    return (database or DB) / "judgements" / ((folder.resolve().name if folder and named else "") or collection)


def make_playground(
    collection: str,
    db: Path,
    *,
    models: list[str],
    judgements: Path,
    embedder: EmbedderName | None = None,
    temporary: bool = False,
) -> Playground:
    """Return the playground over a collection. Raises InputError where it isn't there, or is empty."""
    from resift.cli import _database as databases
    from resift.cli._search import embedding_advice
    from resift.playground.code import Source
    from resift.playground.judgements import Judgements
    from resift.playground.session import Playground
    from resift.search.chroma import ChromaFirstStage, bi_encoder_of, get_count
    from resift.search.hybrid import HybridFirstStage

    opened = databases.existing(db, collection, embedder and embedder.value)
    if not get_count(opened):
        empty = "no passage could be made of the folder" if temporary else f"collection {collection!r} in {db} is empty"
        raise InputError(f"{empty}: there is nothing to search")

    def make(model: str, long_documents: str | None) -> Reranker:
        chosen = None if long_documents is None else LongDocuments(long_documents)
        return reranker(model, chosen, db / STATES)

    with embedding_advice():
        vectors = ChromaFirstStage(opened)
    return Playground(
        vectors,
        hybrid=None if find_spec("tantivy") is None else HybridFirstStage(vectors),
        models=[*models, *_bundled_rerankers(bi_encoder_of(opened))],
        make_reranker=make,
        judgements=Judgements(judgements, collection),
        source=Source(db.resolve(), collection, bi_encoder_of(opened), db.resolve() / STATES),
        temporary=temporary,
    )


def _bundled_rerankers(bi_encoder: str | None) -> list[str]:
    """Return the names of those whose files are here, first the one that goes with a bi-encoder."""
    from resift.models.bundled import installed_rerankers

    return sorted(installed_rerankers(), key=lambda name: name != f"resift:{bi_encoder}")


def check_host(host: str) -> None:
    """Raise InputError for an address that other machines reach."""
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host}: {getattr(error, 'strerror', None) or error}") from None
    if not all(ipaddress.ip_address(address).is_loopback for address in found):
        raise InputError(
            f"--host {host}: the playground has no password, so it listens where this machine alone reaches it "
            f"(127.0.0.1, ::1, localhost); from another machine use a tunnel: ssh -L {PORT}:127.0.0.1:{PORT} HOST"
        )


def open_browser(address: str) -> None:
    """Open the page where there is a screen, without waiting for the browser."""
    on_screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if on_screen:  # without one, Python would start a browser of the terminal
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process as Ctrl+C does, so that a database that is not kept is removed."""
    if threading.current_thread() is not threading.main_thread():  # where no signal can be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _database(folder: Path | None, given: Path | None) -> Iterator[Path]:
    """Give the folder of the database: for a folder that is indexed, a temporary one unless one is given."""
    if folder is None or given is not None:
        yield given or DB
        return
    with tempfile.TemporaryDirectory(prefix="resift-playground-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)


def _index(folder: Path, collection: str, db: Path, embedder: EmbedderName | None, *, kept: bool) -> None:
    """Do what `resift index` does. Files that can't be read are named, and the others are searched.

    A database that is not kept stands somewhere else: the paths of files are then told from the current folder.
    """
    from resift.cli.index import index_paths

    base = db.resolve().parent if kept else Path.cwd()
    try:
        index_paths([folder], collection, db, base=base, embedder=embedder)
    except typer.Exit:
        typer.echo("note: the playground goes on with what could be read", err=True)
