"""Chroma databases in folders, and the collections in them. Chroma's errors become ours. Needs `resift[chroma]`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from resift._util.lock import FolderLockedError, lock_folder
from resift._util.sqlite import LOCKED
from resift.embedders.load import BUNDLED_EMBEDDERS, full_name
from resift.errors import InputError
from resift.models.bundled import STATIC
from resift.models.manifest import Manifest
from resift.search.chroma import (  # first: names the extra
    DenseEmbedding,
    StaticEmbedding,
    bi_encoder_of,
    check_vectors,
    embedding_name,
)
from resift.search.damage import StoredRecord, find_damage, read_records

# isort: split
import chromadb
from chromadb.api import ClientAPI
from chromadb.config import Settings
from chromadb.errors import ChromaError

DATABASE_FILE = "chroma.sqlite3"
DEFAULT_EMBEDDING = "dense"  # finds more: a reranker can only put right what was fetched
LOCK_FILE = ".resift.lock"
REBUILT = ".resift-rebuilt"
"""What the name of a collection ends with while it is filled to take the place of a damaged one."""
RECORDS_PER_WRITE = 256
LOCK_SECONDS = 10.0  # `resift index` writes for less than one at a time
_OPENED: set[str] = set()
EF_SEARCH = 200  # Chroma's 100 now and then misses one of 50 candidates, and what is not fetched can't be reranked


class CollectionNotFoundError(InputError):
    """The database has no such collection. `names` are those it has."""

    def __init__(self, message: str, *, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.names = tuple(names)


class DatabaseLockedError(InputError):
    """Another process writes into the database, or keeps it locked. It is fine once that process is done."""


class OtherEmbeddingError(InputError):
    """The collection was indexed with another bi-encoder. `own` is its own, None where it is none of ours."""

    def __init__(self, message: str, *, own: str | None = None) -> None:
        super().__init__(message)
        self.own = own


@contextmanager
def lock_database(folder: Path) -> Iterator[None]:
    """Be the only process that writes into the database of a folder. The lock ends with its process.

    Chroma has no such lock, and two writing processes overwrite each other's vectors.

    Raises:
        DatabaseLockedError: Another process holds the lock. It is an InputError.
        InputError: Chroma fails while it is held.
    """
    try:
        with lock_folder(folder, LOCK_FILE):
            yield
    except ChromaError as error:  # it has no word for a full disk
        raise InputError(
            f"{folder} can't be written: {error}. Is the disk full? With room on it, the same command completes it; "
            f"`resift doctor {folder}` looks for damage"
        ) from error
    except FolderLockedError as error:
        raise DatabaseLockedError(
            f"{error} is writing into {folder}: run the command again when it is done, or give another --db"
        ) from None


def has_database(folder: Path) -> bool:
    """Return whether there is a Chroma database in a folder."""
    return (folder / DATABASE_FILE).is_file()


def list_collections(folder: Path) -> list[chromadb.Collection]:
    """Return the collections of the database in a folder, by name. Raises InputError where Chroma can't open it."""
    try:
        return sorted(_client(folder).list_collections(), key=lambda collection: collection.name)
    except (ChromaError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the collections in {folder} can't be listed: {error}") from error


def open_collection(folder: Path, name: str | None = None, embedding: str | None = None) -> chromadb.Collection:
    """Open a collection of the database in a folder. Nothing is created.

    Args:
        folder: The folder of the database.
        name: The collection; None for the only one there is.
        embedding: "static", "dense" or "multilingual", for a collection that keeps no embedding function; None for its
            own.

    Returns:
        The collection, with the embedding function.

    Raises:
        InputError: There is no database, Chroma can't open it or the collection, or the collection keeps another
            embedding function.
        CollectionNotFoundError: There is no such collection, or several and no name. It is an InputError.
    """
    if not has_database(folder):
        raise InputError(f"there is no Chroma database in {folder}")
    client = _client(folder)
    try:
        names = sorted(collection.name for collection in client.list_collections())
        if name is None and len(names) == 1:
            name = names[0]
        if name is None or name not in names:
            which = "no single collection" if name is None else f"no collection {name!r}"
            message = f"there is {which} in {folder} (there is: {', '.join(names) or 'none'})"
            raise CollectionNotFoundError(message, names=names)
        if embedding is None:
            return client.get_collection(name)
        kept = client.get_collection(name)
        if bi_encoder_of(kept) not in (None, embedding):  # Chroma compares no more than names
            raise InputError(
                f"collection {name!r} in {folder} is embedded with {embedding_name(kept)}: leave out {embedding}"
            )
        return client.get_collection(name, embedding_function=_embedding_function(embedding, None))  # type: ignore[arg-type]  # as below
    except (ChromaError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"collection {name!r} in {folder} can't be used: {error}") from error


def create_collection(
    folder: Path, name: str, embedding: str | None = None, states_file: Path | None = None
) -> chromadb.Collection:
    """Open a collection of the database in a folder for writing; create either where it isn't there.

    Args:
        folder: The folder of the database.
        name: The collection.
        embedding: "static", "dense" or "multilingual"; None for the collection's own, or "dense" for a new one.
        states_file: Where a dense one keeps the document states that it encodes; None keeps none.

    Returns:
        The collection, with its embedding function.

    Raises:
        InputError: Chroma refuses the name or can't open the database, or the vectors of the collection come from
            another version of its bi-encoder.
        OtherEmbeddingError: The collection was indexed with another bi-encoder. It is an InputError.
    """
    client = _client(folder)
    try:
        _finish_rebuilding(client, name)
        stored = next((found for found in client.list_collections() if found.name == name), None)
        own = None if stored is None else bi_encoder_of(stored)
        # Vectors of another's may have the length of ours, and then Chroma would mix them in silence.
        if stored is not None and (own is None or embedding not in (None, own)):
            stored_name = embedding_name(stored) or "vectors of its own"
            raise OtherEmbeddingError(
                f"collection {name!r} in {folder} was indexed with {stored_name}, and vectors of two models can't be "
                "compared",
                own=own,
            )
        function = _embedding_function(own or embedding or DEFAULT_EMBEDDING, states_file)
        collection = _get_or_create(client, name, function)
    except (ChromaError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"collection {name!r} in {folder} can't be used: {error}") from error
    check_vectors(collection)
    return collection


def rebuild_collection(
    folder: Path, damaged: chromadb.Collection, states_file: Path | None = None
) -> chromadb.Collection:
    """Make a damaged collection of `create_collection` anew: all its records, embedded again. A kill loses nothing.

    Args:
        folder: The folder of the database, which this process has locked.
        damaged: The collection.
        states_file: As in `create_collection`.

    Returns:
        The new collection, under the name of the damaged one.

    Raises:
        InputError: It has records without text, which can't be embedded, or Chroma refuses.
    """
    client = _client(folder)
    name = damaged.name
    # All of them before Chroma writes: its SQLite and Python's don't see each other's locks within a process.
    records = read_records(folder / DATABASE_FILE, str(damaged.id))
    own = bi_encoder_of(damaged)
    if own is None:
        raise InputError(f"collection {name!r} in {folder} was filled by another function: fill a new collection")
    try:
        if name + REBUILT in _names(client):
            client.delete_collection(name + REBUILT)  # a rebuilding that was killed
        rebuilt = _get_or_create(client, name + REBUILT, _embedding_function(own, states_file), damaged.metadata)
        for start in range(0, len(records), RECORDS_PER_WRITE):
            _add(rebuilt, records[start : start + RECORDS_PER_WRITE])
        if damage := find_damage(rebuilt):
            raise InputError(f"collection {name!r} in {folder} can't be made anew: {damage}")
        client.delete_collection(name)
        rebuilt.modify(name=name)
        return rebuilt
    except (ChromaError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"collection {name!r} in {folder} can't be made anew: {error}") from error


def _add(collection: chromadb.Collection, records: Sequence[StoredRecord]) -> None:
    texts = [record.text for record in records if record.text is not None]
    if len(texts) < len(records):
        raise InputError(
            f"collection {collection.name.removesuffix(REBUILT)!r} has lost vectors of records that have no text, and "
            "they can't be computed again: index into a new --collection"
        )
    metadatas: list[Any] = [record.metadata or None for record in records]
    collection.add(ids=[record.id for record in records], documents=texts, metadatas=metadatas)


def _finish_rebuilding(client: ClientAPI, name: str) -> None:
    """Give a rebuilt collection its name, where the process was killed just before it did so."""
    names = _names(client)
    if name not in names and name + REBUILT in names:
        client.get_collection(name + REBUILT).modify(name=name)


def _names(client: ClientAPI) -> list[str]:
    return [collection.name for collection in client.list_collections()]


def _get_or_create(
    client: ClientAPI,
    name: str,
    function: StaticEmbedding | DenseEmbedding,
    metadata: Mapping[str, Any] | None = None,
) -> chromadb.Collection:
    return client.get_or_create_collection(
        name,
        configuration={"hnsw": {"space": "cosine", "ef_search": EF_SEARCH}},
        metadata=None if metadata is None else dict(metadata),
        embedding_function=function,  # type: ignore[arg-type]  # chromadb's own functions fail the same check
    )


def _client(folder: Path) -> ClientAPI:
    """Open the database in a folder; create it where there is none."""
    path = folder.resolve()  # Chroma keeps one database per path as it is written, whatever the current folder
    if str(path) not in _OPENED:
        check_unlocked(path / DATABASE_FILE)
    try:
        client = chromadb.PersistentClient(path=path, settings=Settings(anonymized_telemetry=False))
        _OPENED.add(str(path))
        return client
    except (ChromaError, ValueError) as error:
        way_out = f"`resift doctor {folder}` says what to do"
        if "readonly" in str(error):
            way_out = "Chroma writes into its folder even to read from it: copy it to where you may write"
        raise InputError(f"{folder} can't be opened as a Chroma database: {error}; {way_out}") from error


def check_unlocked(database: Path) -> None:
    """Raise DatabaseLockedError where another program keeps the file locked: Chroma would wait without end or word.

    Chroma writes when it opens a database. Not to be called once this process has the file open: closing it ends all
    locks that the process has on it.
    """
    if not database.is_file():
        return
    try:
        with closing(sqlite3.connect(database, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in LOCKED:
            raise DatabaseLockedError(
                f"{database} has been locked by another program for {LOCK_SECONDS:g} s: close that program, or wait "
                "until it is done, and run this again"
            ) from None  # whatever else it is, Chroma has a word for it


def _embedding_function(bi_encoder: str, states_file: Path | None) -> StaticEmbedding | DenseEmbedding:
    """Return the function of a name that `bi_encoder_of` gives."""
    if bi_encoder == STATIC:
        return StaticEmbedding()
    if bi_encoder in BUNDLED_EMBEDDERS:
        return DenseEmbedding(full_name(bi_encoder), states_file=states_file)
    if Manifest.peek(Path(bi_encoder)).kind == STATIC:
        return StaticEmbedding(bi_encoder)
    return DenseEmbedding(bi_encoder, states_file=states_file)
