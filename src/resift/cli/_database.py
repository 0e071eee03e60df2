"""The database of `--db` and a collection in it. Chroma's errors become ours. Needs `resift[chroma]`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from resift.chroma import StaticEmbedding  # first: its import says which extra is missing
from resift.errors import InputError
from resift.manifest import Manifest
from resift.models import STATIC, bundled_folder

# isort: split
import chromadb
from chromadb.api import ClientAPI
from chromadb.config import Settings
from chromadb.errors import ChromaError, NotFoundError

FILE = "chroma.sqlite3"
ENCODER = "resift_bi_encoder"
"""Key of the collection's metadata that says which table of token vectors made its vectors. Another resift may bring
another table, and vectors of two tables can't be compared: the search would find at random."""


def create(db: Path, collection: str) -> chromadb.Collection:
    """The collection, made if it isn't there. Raises InputError for a name Chroma refuses or a foreign embedding."""
    client = _client(db)
    try:
        found = client.get_or_create_collection(
            collection,
            metadata={ENCODER: _encoder()},
            embedding_function=StaticEmbedding(),  # type: ignore[arg-type]  # chromadb's own functions fail the same check
        )
    except (ChromaError, ValueError) as error:
        raise InputError(f"collection {collection!r} in {db} can't be used: {error}") from error
    return _checked(found, db)


def existing(db: Path, collection: str) -> chromadb.Collection:
    """The collection. Raises InputError, saying how to make it, where there is none."""
    if not (db / FILE).is_file():
        raise InputError(f"there is no database in {db}; make one with: resift index FOLDER{_option('db', db)}")
    client = _client(db)
    try:
        return _checked(client.get_collection(collection), db)
    except NotFoundError:
        names = ", ".join(sorted(one.name for one in client.list_collections())) or "none"
        raise InputError(
            f"there is no collection {collection!r} in {db} (there is: {names}); "
            f"make it with: resift index FOLDER --collection {collection}{_option('db', db)}"
        ) from None
    except (ChromaError, ValueError) as error:
        raise InputError(f"collection {collection!r} in {db} can't be used: {error}") from error


def _client(db: Path) -> ClientAPI:
    try:
        # Resolved, because Chroma keeps one database per path as it is written, whatever the current folder.
        return chromadb.PersistentClient(path=db.resolve(), settings=Settings(anonymized_telemetry=False))
    except (ChromaError, ValueError) as error:
        raise InputError(f"{db} can't be opened as a Chroma database: {error}") from error


def _checked(collection: chromadb.Collection, db: Path) -> chromadb.Collection:
    made_with = (collection.metadata or {}).get(ENCODER)
    if made_with not in (None, _encoder()):  # None: made in Python, where its maker looks after it
        raise InputError(
            f"collection {collection.name!r} in {db} was indexed with another version of the bundled bi-encoder: "
            f"index into a new one (--collection), or delete {db} and index again"
        )
    return collection


def _encoder() -> str:
    sums = Manifest.read(bundled_folder(STATIC)).files
    return hashlib.sha256("".join(sums[name] for name in sorted(sums)).encode()).hexdigest()[:16]


def _option(name: str, value: Path) -> str:
    return "" if str(value) == ".resift" else f" --{name} {value}"
