"""Chroma as the first stage, and the bundled bi-encoders as embedding functions. Needs `resift[chroma]`."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift._util.arguments import helps_with_names, whole_number
from resift.embedders.dense import EMBEDDER_FILES, DenseEmbedder, encoder_fingerprint, encoder_folder
from resift.embedders.embedder import Embedder
from resift.embedders.load import full_name
from resift.embedders.static import StaticEmbedder, table_folder
from resift.errors import InputError, MissingExtraError
from resift.models.bundled import BUNDLED, DENSE, MULTILINGUAL, SCHEME
from resift.models.manifest import Manifest
from resift.search.candidates import Passage, check_queries, is_awaited

try:
    from chromadb import Collection
    from chromadb.api.types import Documents, EmbeddingFunction, Embeddings, GetResult, Space
    from chromadb.errors import ChromaError, InternalError, NotFoundError
    from chromadb.utils.embedding_functions import register_embedding_function
    from httpx import HTTPError  # what chromadb's HTTP client lets through where its server doesn't answer

    from resift.search.filters import check_filters
    from resift.search.query_embedding import EmbedQueries, QueryEmbedding, stored_embedding
except ImportError as error:
    raise MissingExtraError("resift.chroma", "chroma") from error


class _Embedding(EmbeddingFunction[Documents]):
    """What the two functions share: an embedder, and the model it was asked for."""

    def __init__(self, embedder: Embedder, folder: str | None) -> None:
        self._embedder = embedder
        self._folder = folder

    def __call__(self, input: Documents) -> Embeddings:
        """One unit vector per text."""
        vectors: list[NDArray[np.float32]] = list(self._embedder.embed(input))
        return vectors  # type: ignore[return-value]  # chromadb types vectors invariantly, as float32 or int32 arrays

    def default_space(self) -> Space:
        """Cosine."""
        return "cosine"

    def get_config(self) -> dict[str, Any]:
        """What Chroma stores: the model that was named (None: the bundled one), and which version of it that was."""
        return {"folder": self._folder, "fingerprint": self._embedder.fingerprint}


@register_embedding_function
class StaticEmbedding(_Embedding):
    """The fast bundled bi-encoder for a Chroma collection: offline, thousands of documents a second.

        collection = client.create_collection("notes", embedding_function=StaticEmbedding())

    Chroma keeps its name with the collection and rebuilds it on reopening, in a process that has imported
    `resift.chroma`.
    """

    def __init__(self, folder: str | None = None) -> None:
        super().__init__(StaticEmbedder(folder), folder)

    @staticmethod
    def name() -> str:
        """The name Chroma stores with a collection."""
        return "resift-static"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> StaticEmbedding:
        """The reverse of `get_config`. Raises InputError where the table has changed since."""
        _check_model(StaticEmbedding.name(), config)
        return StaticEmbedding(config.get("folder"))


@register_embedding_function
class DenseEmbedding(_Embedding):
    """The bi-encoder inside the bundled cross-encoder, for a Chroma collection: slower than the static one, finds more.

    `DenseEmbedding("resift:multilingual")` is the one for many languages, and a folder's name a model of your own.
    With `states_file`, documents that are added have their states kept there, for `Reranker(states_file=...)`: a
    collection that is filled once serves both stages. Chroma doesn't store that option, so queries keep nothing.
    """

    def __init__(self, model: str | None = None, *, states_file: str | os.PathLike[str] | None = None) -> None:
        named = None if model == f"{SCHEME}{DENSE}" else model  # one way to say it in what is stored
        super().__init__(DenseEmbedder(model, states_file=states_file), named)

    @staticmethod
    def name() -> str:
        """The name Chroma stores with a collection."""
        return "resift-dense"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> DenseEmbedding:
        """The reverse of `get_config`. Raises InputError where the encoder has changed since."""
        _check_model(DenseEmbedding.name(), config)
        return DenseEmbedding(config.get("folder"))


def bi_encoder_of(collection: Collection) -> str | None:
    """Return the bi-encoder of resift's that embeds a collection; None where another function does.

    "static", "dense" or "multilingual" as in `resift.embedders.load`, or the folder of a model of one's own.
    """
    stored = stored_embedding(collection)
    if stored not in FINGERPRINTS:
        return None
    return _bi_encoder(stored, collection.configuration_json["embedding_function"]["config"])


def network_of(collection: Collection) -> str:
    """Return the bundled network that goes with a collection: its tokens cut passages, and it reranks them."""
    return MULTILINGUAL if bi_encoder_of(collection) == MULTILINGUAL else BUNDLED[0]


def embedding_name(collection: Collection) -> str:
    """Return what messages call the function that embeds a collection, such as "resift:dense"; "" where it has none."""
    own = bi_encoder_of(collection)
    return stored_embedding(collection) if own is None else full_name(own)


def _bi_encoder(stored: str, config: dict[str, Any]) -> str:
    folder: str | None = config.get("folder")
    return stored.removeprefix("resift-") if folder is None else folder.removeprefix(SCHEME)


def check_vectors(collection: Collection) -> None:
    """Raise InputError for a collection whose vectors come from another version of its bundled bi-encoder.

    Chroma itself compares no more than names when a collection is opened with an embedding function.
    """
    if (stored := stored_embedding(collection)) in FINGERPRINTS:
        _check_model(stored, collection.configuration_json["embedding_function"]["config"])


def check_model_files(collection: Collection) -> None:
    """Verify the files of the model that embeds a collection. It reads all of them: only `resift doctor` asks this.

    Of a bundled network these are all its files, since it reranks too; of a folder of one's own, what embeds.

    Raises:
        ModelFileError: A file is damaged or missing.
        MissingExtraError: The model isn't installed.
    """
    stored = stored_embedding(collection)
    if stored not in FINGERPRINTS:
        return
    model: str | None = collection.configuration_json["embedding_function"]["config"].get("folder")
    if stored == StaticEmbedding.name():
        Manifest.read(table_folder(model))
    else:
        own = model is not None and not model.startswith(SCHEME)
        Manifest.read(encoder_folder(model), EMBEDDER_FILES if own else None)


FINGERPRINTS: dict[str, Callable[[str | None], str]] = {
    StaticEmbedding.name(): lambda folder: Manifest.peek(table_folder(folder)).fingerprint,
    DenseEmbedding.name(): encoder_fingerprint,
}
"""Embedding function → what a folder's fingerprint is today, from its manifest alone."""


def _check_model(name: str, config: dict[str, Any]) -> None:
    """Read a manifest and no more: every stage that is made, and remade with another filter, asks this."""
    if config.get("fingerprint") != FINGERPRINTS[name](config.get("folder")):
        bi_encoder = full_name(_bi_encoder(name, config))
        raise InputError(
            f"the collection was indexed with another version of the bi-encoder {bi_encoder}, and vectors "
            "of two versions can't be compared: index into a new collection"
        )


MOST_RESULTS = 2**31 - 1  # what Chroma can be asked for, and more than it holds
PAUSES = (0.1, 0.2, 0.4, 0.8)  # seconds; while another process writes, Chroma can't read now and then


@dataclass(frozen=True, init=False)
class ChromaFirstStage:
    """A Chroma collection (ephemeral, persistent or over HTTP) as the first stage of `TwoStageSearch`.

    The function that filled the collection embeds the query. With the first query, the vector that it gives to one of
    the collection's texts is compared with the one that is kept. `dataclasses.replace(stage, where=...)` gives the same
    stage with another filter.

    Args:
        collection: An open collection; not a client, and no `AsyncCollection`.
        where: Chroma's filter of metadata, passed through.
        where_document: Chroma's filter of texts, passed through.
        embed: What embeds queries, a function from a list of texts to their vectors, for a collection that keeps no
            embedding function: langchain-chroma makes such. None: the collection's own.

    Raises:
        InputError: No collection, one that keeps no embedding function without `embed`, one whose vectors come from
            another version of a bundled bi-encoder, or a filter that Chroma doesn't take.
    """

    collection: Collection
    where: dict[str, Any] | None
    where_document: dict[str, Any] | None
    embed: EmbedQueries | None
    _queries: QueryEmbedding = field(repr=False, compare=False)

    @helps_with_names
    def __init__(
        self,
        collection: Collection,
        where: dict[str, Any] | None = None,
        where_document: dict[str, Any] | None = None,
        embed: EmbedQueries | None = None,
        *,
        _queries: QueryEmbedding | None = None,  # from `dataclasses.replace`
    ) -> None:
        check_collection(collection)
        if embed is not None and not callable(embed):
            raise InputError(
                f"embed is a {type(embed).__name__}: give a function from a list of texts to their vectors"
            )
        check_filters(where, where_document)
        if embed is None:
            check_vectors(collection)
        if _queries is None or _queries.collection is not collection or _queries.embed is not embed:
            _queries = QueryEmbedding(collection, embed)
        fields = {"collection": collection, "where": where, "where_document": where_document, "embed": embed}
        for name, value in {**fields, "_queries": _queries}.items():
            object.__setattr__(self, name, value)  # it is frozen

    @property
    def name(self) -> str:
        """What reports call it: what embeds, and the collection."""
        embedding = "a function of your own" if self.embed is not None else embedding_name(self.collection)
        return f"{embedding or 'vectors'}, collection {self.collection.name}"

    def retrieve(self, query: str, k: int) -> list[Passage]:
        """Return at most k passages, nearest first.

        Raises:
            InputError: A record without text, a query or a number that makes no sense, a collection that was filled by
                another function than its own, or one that Chroma can't search.
            ScorerError: The embedding function failed.
        """
        return self.retrieve_many([query], k)[0]

    def retrieve_many(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """Return one list per query, all from one Chroma call. Raises as `retrieve` does."""
        texts = check_queries(queries)
        wanted = min(whole_number("k", k, 1), MOST_RESULTS)
        if not texts:
            return []
        vectors = self._queries(texts)
        found = self._find(vectors, wanted)
        if deleted := self._deleted(found):
            more = min(wanted + 2 * len(deleted), MOST_RESULTS)
            found = self._find(vectors, more)
            deleted |= self._deleted(found)
        return [
            [_passage(row, self.collection.name) for row in rows if row[0] not in deleted][:wanted] for rows in found
        ]

    def _find(self, vectors: list[NDArray[np.float32]], k: int) -> list[list[_Row]]:
        """Return id, text, metadata and similarity of the nearest records of each vector."""
        found = self._query(vectors, k)
        similarity = SIMILARITY[self._space()]
        columns = zip(found["ids"], found["documents"], found["metadatas"], found["distances"], strict=True)
        return [
            [(id, text, metadata, similarity(distance)) for id, text, metadata, distance in zip(*column, strict=True)]
            for column in columns
        ]

    def _query(self, vectors: list[NDArray[np.float32]], k: int) -> Any:
        name = self.collection.name
        for pause in (*PAUSES, None):
            try:
                return self.collection.query(
                    query_embeddings=list(vectors),  # type: ignore[arg-type]  # float32 or int32, invariantly
                    n_results=k,
                    where=self.where,
                    where_document=self.where_document,  # type: ignore[arg-type]  # chromadb's recursive TypedDicts refuse plain dicts
                    include=["documents", "metadatas", "distances"],
                )
            except InternalError as error:
                if pause is None:
                    raise _reading_error(name, error) from error
                time.sleep(pause)
            except (ChromaError, ValueError, HTTPError) as error:
                raise _reading_error(name, error) from error
        raise AssertionError  # the last turn returned or raised

    def _deleted(self, found: list[list[_Row]]) -> set[str]:
        """Return the ids found that the collection has no more: another process deleted them since it was opened."""
        without_text = {id for rows in found for id, text, *_ in rows if text is None}
        if not without_text:
            return without_text
        return without_text - set(get_records(self.collection, ids=list(without_text), include=[])["ids"])

    def _space(self) -> str:
        configuration = self.collection.configuration_json
        index = configuration.get("hnsw") or configuration.get("spann") or {}
        return str(index.get("space") or "l2")


_Row = tuple[str, str | None, dict[str, Any] | None, float]
"""Id, text, metadata and similarity of a record."""
SIMILARITY: dict[str, Callable[[float], float]] = {
    "cosine": lambda distance: 1 - distance,
    "ip": lambda distance: 1 - distance,  # Chroma's distance is 1 - dot product, so this is the dot product itself
    "l2": lambda distance: 1 / (1 + math.sqrt(max(0.0, distance))),  # Chroma's distance is squared
}
"""space → similarity from Chroma's distance; 1 for identical (unit) vectors, higher is nearer, in every space."""


def get_records(collection: Collection, **which: Any) -> GetResult:
    """Return what `collection.get` returns.

    Raises:
        InputError: The collection is gone, or can't be read.
    """
    try:
        return collection.get(**which)
    except (ChromaError, ValueError, HTTPError) as error:
        raise _reading_error(collection.name, error) from error


def get_count(collection: Collection) -> int:
    """Return how many records a collection has. Raises InputError as `get_records` does."""
    try:
        return collection.count()
    except (ChromaError, ValueError, HTTPError) as error:
        raise _reading_error(collection.name, error) from error


def _reading_error(name: str, error: Exception) -> InputError:
    """Return the error for what Chroma raised where a collection was searched or read."""
    if isinstance(error, NotFoundError):
        return InputError(f"collection {name!r} is no longer there: it was deleted or made anew; open it again")
    if "unable to open database file" in str(error):  # Chroma opens its files again for a second reader, say
        return InputError(
            f"collection {name!r} can't be searched now: {error}; its folder was moved or deleted, or the client has a "
            "relative path and the process another current folder by now: give an absolute path to PersistentClient"
        )
    if isinstance(error, InternalError):
        return InputError(
            f"collection {name!r} can't be searched now: {error}; where another process writes into it, "
            "try again when it is done, or in a new process, since one that opened it while it was empty "
            "doesn't see what is added; else `resift doctor FOLDER` says whether it is damaged"
        )
    if isinstance(error, HTTPError):
        return InputError(f"collection {name!r} can't be reached: {error}; is its Chroma server running?")
    return InputError(f"collection {name!r} can't be searched: {error}")


def check_collection(collection: Any) -> None:
    """Raise InputError for what is no open collection, with the way to one."""
    query = getattr(collection, "query", None)
    if hasattr(collection, "configuration_json") and callable(query) and not is_awaited(query):
        return
    kind = type(collection).__name__
    if callable(getattr(collection, "get_collection", None)):
        raise InputError(f"this is a {kind}, not a collection: give client.get_collection(name)")
    if is_awaited(query):
        raise InputError(
            f"this is an {kind}, whose query is awaited: give a collection of a chromadb.HttpClient; "
            "asearch runs it beside the event loop"
        )
    raise InputError(f"this is a {kind}, not a Chroma collection: give client.get_collection(name)")


def _passage(row: _Row, collection: str) -> Passage:
    id, text, metadata, similarity = row
    if text is None:
        raise InputError(
            f"record {id!r} of collection {collection!r} has no document: a reranker reads text; "
            "store the text with add(documents=...) or filter such records out with where="
        )
    return Passage(text, id, dict(metadata or {}), similarity)
