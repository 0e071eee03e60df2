"""Chroma as the first stage, and the bundled bi-encoders as embedding functions. Needs `resift[chroma]`."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift.embedders.dense import DenseEmbedder, encoder_fingerprint
from resift.embedders.embedder import Embedder
from resift.embedders.static import StaticEmbedder, table_folder
from resift.errors import InputError, MissingExtraError
from resift.models.manifest import Manifest
from resift.search.two_stage import Passage

try:
    from chromadb import Collection
    from chromadb.api.types import Documents, EmbeddingFunction, Embeddings, Space
    from chromadb.utils.embedding_functions import register_embedding_function
except ImportError as error:
    raise MissingExtraError("resift.chroma", "chroma") from error


class _Embedding(EmbeddingFunction[Documents]):
    """What the two functions share: an embedder, and the folder it was asked for."""

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
        """What Chroma stores: the folder of a model of one's own (None: the bundled one), and which model it was."""
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

    With `states_file`, documents that are added have their states kept there, for `Reranker(states_file=...)`: a
    collection that is filled once serves both stages. Chroma doesn't store that option, so queries keep nothing.
    """

    def __init__(self, folder: str | None = None, *, states_file: str | os.PathLike[str] | None = None) -> None:
        super().__init__(DenseEmbedder(folder, states_file=states_file), folder)

    @staticmethod
    def name() -> str:
        """The name Chroma stores with a collection."""
        return "resift-dense"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> DenseEmbedding:
        """The reverse of `get_config`. Raises InputError where the encoder has changed since."""
        _check_model(DenseEmbedding.name(), config)
        return DenseEmbedding(config.get("folder"))


def check_vectors(collection: Collection) -> None:
    """Raise InputError for a collection whose vectors come from another version of its bundled bi-encoder.

    Chroma itself compares no more than names when a collection is opened with an embedding function.
    """
    if (stored := stored_embedding(collection)) in FINGERPRINTS:
        _check_model(stored, collection.configuration_json["embedding_function"]["config"])


def stored_embedding(collection: Collection) -> str:
    """Return the name of the embedding function that Chroma keeps with a collection; "" where there is none."""
    # The JSON, not the parsed `configuration`: parsing warns of collections without an embedding function.
    return str((collection.configuration_json.get("embedding_function") or {}).get("name") or "")


FINGERPRINTS: dict[str, Callable[[str | None], str]] = {
    StaticEmbedding.name(): lambda folder: Manifest.peek(table_folder(folder)).fingerprint,
    DenseEmbedding.name(): encoder_fingerprint,
}
"""Embedding function → what a folder's fingerprint is today, from its manifest alone."""


def _check_model(name: str, config: dict[str, Any]) -> None:
    """Read a manifest and no more: every stage that is made, and remade with another filter, asks this."""
    if config.get("fingerprint") != FINGERPRINTS[name](config.get("folder")):
        raise InputError(
            f"the collection was indexed with another version of the bi-encoder {name.replace('-', ':')}, and vectors "
            "of two versions can't be compared: index into a new collection"
        )


@dataclass(frozen=True)
class ChromaFirstStage:
    """A Chroma collection (ephemeral, persistent or over HTTP) as the first stage of `TwoStageSearch`.

    The collection's own embedding function embeds the query. `dataclasses.replace(stage, where=...)` gives the same
    stage with another filter.

    Args:
        collection: An open collection; not a client.
        where: Chroma's filter of metadata, passed through.
        where_document: Chroma's filter of texts, passed through.

    Raises:
        InputError: No collection, or one whose vectors come from another version of a bundled bi-encoder.
    """

    collection: Collection
    where: dict[str, Any] | None = None
    where_document: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _check_collection(self.collection)
        check_vectors(self.collection)

    def retrieve(self, query: str, k: int) -> list[Passage]:
        """Return at most k passages, nearest first. Raises InputError for a record without text."""
        return self.retrieve_many([query], k)[0]

    def retrieve_many(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """Return one list per query, all from one Chroma call."""
        found = self.collection.query(
            query_texts=list(queries),
            n_results=k,
            where=self.where,
            where_document=self.where_document,  # type: ignore[arg-type]  # chromadb's recursive TypedDicts refuse plain dicts
            include=["documents", "metadatas", "distances"],
        )
        similarity = SIMILARITY[self._space()]
        columns = zip(
            found["ids"], found["documents"] or [], found["metadatas"] or [], found["distances"] or [], strict=True
        )
        return [
            [
                Passage(_text(id, text, self.collection.name), id, dict(metadata or {}), similarity(distance))
                for id, text, metadata, distance in zip(*column, strict=True)
            ]
            for column in columns
        ]

    def _space(self) -> str:
        configuration = self.collection.configuration_json
        index = configuration.get("hnsw") or configuration.get("spann") or {}
        return str(index.get("space") or "l2")


SIMILARITY: dict[str, Callable[[float], float]] = {
    "cosine": lambda distance: 1 - distance,
    "ip": lambda distance: 1 - distance,  # Chroma's distance is 1 - dot product, so this is the dot product itself
    "l2": lambda distance: 1 / (1 + math.sqrt(max(0.0, distance))),  # Chroma's distance is squared
}
"""space → similarity from Chroma's distance; 1 for identical (unit) vectors, higher is nearer, in every space."""


def _check_collection(collection: Any) -> None:
    is_awaited = inspect.iscoroutinefunction(getattr(collection, "query", None))
    if hasattr(collection, "configuration_json") and callable(getattr(collection, "query", None)) and not is_awaited:
        return
    kind = type(collection).__name__
    if callable(getattr(collection, "get_collection", None)):
        raise InputError(f"this is a {kind}, not a collection: give client.get_collection(name)")
    if is_awaited:
        raise InputError(
            f"this is an {kind}, whose query is awaited: give a collection of a chromadb.HttpClient; "
            "asearch runs it beside the event loop"
        )
    raise InputError(f"this is a {kind}, not a Chroma collection: give client.get_collection(name)")


def _text(id: str, text: str | None, collection: str) -> str:
    if text is None:
        raise InputError(
            f"record {id!r} of collection {collection!r} has no document: a reranker reads text; "
            "store the text with add(documents=...) or filter such records out with where="
        )
    return text
