"""Chroma collections that two writing processes damaged: how it shows, and how to get the records out of them.

Chroma 1.5 lets two processes write into one folder, and each overwrites the vector index of the other. The records are
all there afterwards, with their texts. But some of them have no vector, so that no search finds them; searches return
others twice; or Chroma refuses every call. Writing the records again doesn't help: it left 85 of 92 unfindable. So the
collection is made anew from its records.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resift.errors import InputError

if TYPE_CHECKING:
    from chromadb import Collection

RECORDS_PER_PAGE = 2000
_DOCUMENT = "chroma:document"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record of a collection, without its vector."""

    id: str
    text: str | None
    metadata: dict[str, Any]


def find_damage(collection: Collection) -> str:
    """Return in words what is wrong with the vectors of a collection; "" where nothing is.

    A search for all records must find each of them once. For 5,000 passages it takes .2 s if the index must be loaded
    first, else .02 s. Reading all vectors takes .16 s, so they are read only where a search missed records, which a
    sound approximate index may do too.
    """
    from chromadb.errors import ChromaError

    try:
        count = collection.count()
        if not count:
            return ""
        sample: Any = collection.get(include=["embeddings"], limit=1)["embeddings"]
        ids = collection.query(query_embeddings=[sample[0]], n_results=count, include=[])["ids"][0]
        found = len(set(ids))
        if found < len(ids):
            return f"a search for all of its {count} records finds {found} of them, and some twice"
        if found < count:
            _read_vectors(collection)
    except ChromaError as error:
        return f"Chroma says: {error}"
    return ""


def read_records(database: Path, collection_id: str) -> list[StoredRecord]:
    """Return the records of a collection from the database itself: Chroma refuses to read some damaged collections.

    Raises InputError where the database doesn't have the tables of Chroma 1.0 to 1.5.
    """
    try:
        with closing(sqlite3.connect(database)) as connection:
            return list(_records(connection, collection_id))
    except sqlite3.Error as error:
        raise InputError(f"{database} can't be read: {error}") from error


def _read_vectors(collection: Collection) -> None:
    """Read all vectors. Raises ChromaError where a record has none."""
    offset = 0
    while ids := collection.get(include=["embeddings"], limit=RECORDS_PER_PAGE, offset=offset)["ids"]:
        offset += len(ids)


def _records(connection: sqlite3.Connection, collection_id: str) -> Iterator[StoredRecord]:
    rows = connection.execute(
        "SELECT embeddings.id, embedding_id FROM embeddings JOIN segments ON segments.id = segment_id "
        "WHERE collection = ? AND scope = 'METADATA' ORDER BY embeddings.id",
        (collection_id,),
    )
    arrays = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'embedding_metadata_array'").fetchone()
    for row, id in rows:
        metadata = {key: value for key, value in _values(connection, "embedding_metadata", row) if value is not None}
        text = metadata.pop(_DOCUMENT, None)
        for key, value in _values(connection, "embedding_metadata_array", row) if arrays else ():
            items = metadata[key] if isinstance(metadata.get(key), list) else metadata.setdefault(key, [])
            items.append(value)
        yield StoredRecord(id, text, metadata)


def _values(connection: sqlite3.Connection, table: str, row: int) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of a record."""
    columns = "key, string_value, int_value, float_value, bool_value"
    for key, text, whole, real, truth in connection.execute(
        f"SELECT {columns} FROM {table} WHERE id = ?",  # noqa: S608  # one of two names, above
        (row,),
    ):
        yield (
            key,
            next((value for value in (text, whole, real) if value is not None), None if truth is None else bool(truth)),
        )
