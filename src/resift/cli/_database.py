"""The database of `--db` and a collection in it. Chroma's errors become ours. Needs `resift[chroma]`."""

from __future__ import annotations

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
from chromadb.errors import ChromaError, NotFoundError

FILE = "chroma.sqlite3"
EMBEDDINGS: dict[str, type[StaticEmbedding] | type[DenseEmbedding]] = {
    "static": StaticEmbedding,
    "dense": DenseEmbedding,
}
DEFAULT = "dense"  # finds more: a reranker can only put right what was fetched
EF_SEARCH = 200  # Chroma's 100 now and then misses one of 50 candidates, and what is not fetched can't be reranked


def create(db: Path, collection: str, embedder: str | None = None, states: Path | None = None) -> chromadb.Collection:
    """The collection, made if it isn't there, with the bi-encoder of that name (None: its own; a new one's is dense).

    With `states`, what a dense one encodes is kept in that file. Raises InputError for a name Chroma refuses, and for
    a collection that has another embedding.
    """
    client = _client(db)
    try:
        stored = _stored(client, collection)
        own = next((name for name, one in EMBEDDINGS.items() if one.name() == stored), None)
        # Vectors of another's may have the length of ours, and then Chroma would mix them in silence.
        if stored is not None and (own is None or embedder not in (None, own)):
            had = stored.replace("-", ":") or "vectors of its own"
            raise InputError(
                f"collection {collection!r} in {db} was indexed with {had}, and vectors of two models can't be "
                f"compared: {'' if own is None else 'leave out --embedder, or '}index into a new --collection"
            )
        found = client.get_or_create_collection(
            collection,
            configuration={"hnsw": {"space": "cosine", "ef_search": EF_SEARCH}},
            embedding_function=_embedding(own or embedder or DEFAULT, states),  # type: ignore[arg-type]  # chromadb's own functions fail the same check
        )
    except (ChromaError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"collection {collection!r} in {db} can't be used: {error}") from error
    check_vectors(found)
    return found


def _stored(client: ClientAPI, collection: str) -> str | None:
    """The name of the embedding function that Chroma keeps with the collection; None: no such collection."""
    return next((stored_embedding(one) for one in client.list_collections() if one.name == collection), None)


def _embedding(name: str, states: Path | None) -> StaticEmbedding | DenseEmbedding:
    return DenseEmbedding(states_file=states) if name == "dense" else StaticEmbedding()


def existing(db: Path, collection: str) -> chromadb.Collection:
    """The collection. Raises InputError, saying how to make it, where there is none."""
    if not (db / FILE).is_file():
        raise InputError(f"there is no database in {db}; make one with: resift index FOLDER{_option('db', db)}")
    client = _client(db)
    try:
        return client.get_collection(collection)
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


def _option(name: str, value: Path) -> str:
    return "" if str(value) == ".resift" else f" --{name} {value}"
