"""Chroma databases in folders, and the collections in them. Chroma's errors become ours. Needs `resift[chroma]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resift.errors import InputError
from resift.search.chroma import (  # first: names the extra
    DenseEmbedding,
    StaticEmbedding,
    check_vectors,
    stored_embedding,
)

# isort: split
import chromadb
from chromadb.api import ClientAPI
from chromadb.config import Settings
from chromadb.errors import ChromaError

DATABASE_FILE = "chroma.sqlite3"
EMBEDDINGS: dict[str, type[StaticEmbedding] | type[DenseEmbedding]] = {
    "static": StaticEmbedding,
    "dense": DenseEmbedding,
}
"""Bi-encoder → its embedding function."""
DEFAULT_EMBEDDING = "dense"  # finds more: a reranker can only put right what was fetched
EF_SEARCH = 200  # Chroma's 100 now and then misses one of 50 candidates, and what is not fetched can't be reranked


class CollectionNotFoundError(InputError):
    """The database has no such collection. `names` are those it has."""

    def __init__(self, message: str, *, names: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.names = tuple(names)


class OtherEmbeddingError(InputError):
    """The collection was indexed with another bi-encoder. `own` is its own, None where it is none of ours."""

    def __init__(self, message: str, *, own: str | None = None) -> None:
        super().__init__(message)
        self.own = own


def has_database(folder: Path) -> bool:
    """Return whether there is a Chroma database in a folder."""
    return (folder / DATABASE_FILE).is_file()


def open_collection(folder: Path, name: str | None = None) -> chromadb.Collection:
    """Open a collection of the database in a folder. Nothing is created.

    Args:
        folder: The folder of the database.
        name: The collection; None for the only one there is.

    Returns:
        The collection, with the embedding function that Chroma keeps with it.

    Raises:
        InputError: There is no database, or Chroma can't open it or the collection.
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
        return client.get_collection(name)
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
        embedding: "static" or "dense"; None for the collection's own, or "dense" for a new one.
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
        stored = _stored_embedding(client, name)
        own = next((known for known, function in EMBEDDINGS.items() if function.name() == stored), None)
        # Vectors of another's may have the length of ours, and then Chroma would mix them in silence.
        if stored is not None and (own is None or embedding not in (None, own)):
            stored_name = stored.replace("-", ":") or "vectors of its own"
            raise OtherEmbeddingError(
                f"collection {name!r} in {folder} was indexed with {stored_name}, and vectors of two models can't be "
                "compared",
                own=own,
            )
        collection = client.get_or_create_collection(
            name,
            configuration={"hnsw": {"space": "cosine", "ef_search": EF_SEARCH}},
            embedding_function=_embedding_function(own or embedding or DEFAULT_EMBEDDING, states_file),  # type: ignore[arg-type]  # chromadb's own functions fail the same check
        )
    except (ChromaError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"collection {name!r} in {folder} can't be used: {error}") from error
    check_vectors(collection)
    return collection


def _client(folder: Path) -> ClientAPI:
    """Open the database in a folder; create it where there is none."""
    try:
        # Resolved, because Chroma keeps one database per path as it is written, whatever the current folder.
        return chromadb.PersistentClient(path=folder.resolve(), settings=Settings(anonymized_telemetry=False))
    except (ChromaError, ValueError) as error:
        raise InputError(f"{folder} can't be opened as a Chroma database: {error}") from error


def _stored_embedding(client: ClientAPI, name: str) -> str | None:
    """Return the name of the embedding function that Chroma keeps with a collection; None: no such collection."""
    collections = client.list_collections()
    return next((stored_embedding(collection) for collection in collections if collection.name == name), None)


def _embedding_function(name: str, states_file: Path | None) -> StaticEmbedding | DenseEmbedding:
    return DenseEmbedding(states_file=states_file) if name == "dense" else StaticEmbedding()
