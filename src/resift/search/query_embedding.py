"""What embeds the queries of a Chroma collection: the function that filled it, and never another one.

Chroma keeps an embedding function's name with a collection, if it was given one. langchain-chroma and others embed the
texts themselves and give Chroma vectors alone: no function is kept. Reopened, such a collection has Chroma's default
function, which would download a model, or find neighbours in another space where its vectors are as long. LlamaIndex
gives vectors too, into a collection that keeps the default function all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from chromadb import Collection
from chromadb.errors import ChromaError
from chromadb.utils.embedding_functions import DefaultEmbeddingFunction  # where 1.0 has it too
from httpx import HTTPError
from numpy.typing import ArrayLike, NDArray

from resift.errors import InputError, ScorerError
from resift.text.half_pairs import replace_half_pairs

EmbedQueries = Callable[[list[str]], ArrayLike]
"""Texts → vectors, a row each."""

RECORDS_COMPARED = 4
SAME_MODEL = 0.3
"""The cosine that a text's vector and the one kept for it have at least, where one model made both.

Vectors of two models are as good as random to each other: of 256 numbers, one pair in a million has such a cosine. A
model that read more than the text that is kept, such as LlamaIndex's lines of metadata, gives .5 and more.
"""
_LLAMA_INDEX = "_node_content"  # a key of the metadata of each of its records


class UnknownEmbeddingError(InputError):
    """Nobody knows which function filled a collection, or the one that is known did not. `reason` has no way out."""

    def __init__(self, reason: str, way_out: str) -> None:
        super().__init__(f"{reason}; {way_out}")
        self.reason = reason


class QueryEmbedding:
    """Embeds queries for one collection.

    Args:
        collection: The collection.
        embed: What embeds its queries. None: the function that filled it.

    Raises:
        UnknownEmbeddingError: There is no `embed`, and none that is known to have filled the collection.
    """

    def __init__(self, collection: Collection, embed: EmbedQueries | None = None) -> None:
        self.collection = collection
        self.embed = embed
        self._name = stored_embedding(collection)
        self._own: Any = None
        self._compared = False
        if embed is None and not self._name and _given(collection) is None:
            raise UnknownEmbeddingError(
                f"collection {collection.name!r} keeps no embedding function: it isn't known what embedded its texts, "
                f"and a query needs the same",
                self._way_out,
            )

    def __call__(self, queries: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return a vector per query.

        Raises:
            UnknownEmbeddingError: The vectors of the collection come from another function.
            InputError: Vectors that can't be used, or a function that can't be built.
            ScorerError: The function failed.
        """
        texts = [replace_half_pairs(query) for query in queries]
        if self.embed is not None:
            return list(self._vectors(self.embed, texts))
        function = self._function()
        if not self._compared:
            self._compare(function)
        return list(self._vectors(getattr(function, "embed_query", function), texts))

    @property
    def _way_out(self) -> str:
        name = self.collection.name
        return (
            f"say what does: ChromaFirstStage(collection, embed=function), with a function from texts to vectors, or "
            f"client.get_collection({name!r}, embedding_function=...)"
        )

    def _function(self) -> Any:
        """Return the collection's own function: the one it was opened with, or else the one that Chroma keeps."""
        if self._own is None:
            own = _given(self.collection)
            if own is None and self._name:
                try:
                    own = self.collection.configuration["embedding_function"]
                except ValueError as error:
                    if isinstance(error, InputError):
                        raise
                    raise InputError(
                        f"the embedding function {self._name!r} of collection {self.collection.name!r} can't be built: "
                        f"{error}; {self._way_out}"
                    ) from error
            self._own = own
        return self._own

    def _compare(self, function: Any) -> None:
        """Embed a few of the collection's texts, and compare with their vectors. Raises UnknownEmbeddingError."""
        name = self.collection.name
        try:
            kept: Any = self.collection.get(limit=RECORDS_COMPARED, include=["documents", "embeddings", "metadatas"])
        except (ChromaError, HTTPError):  # another process writes, or vectors are damaged: the query itself will tell
            return
        rows = zip(kept["documents"], kept["embeddings"], kept["metadatas"], strict=True)
        records = [(text, np.asarray(vector, np.float32), metadata) for text, vector, metadata in rows if text]
        if not records:
            return
        if self._name == "default" and any(_LLAMA_INDEX in (metadata or {}) for *_, metadata in records):
            raise UnknownEmbeddingError(
                f"collection {name!r} was filled by LlamaIndex with a model of its own, not by the default function of "
                "Chroma, which it keeps",
                self._way_out,
            )
        highest = -1.0
        for text, kept_vector, _ in records:  # the first one tells, as a rule
            (vector,) = self._vectors(function, [replace_half_pairs(text)])
            if len(vector) != len(kept_vector):
                found = f"gives {len(vector)} numbers for a text, and the collection holds {len(kept_vector)}"
                break
            highest = max(highest, _cosine(vector, kept_vector))
            if highest >= SAME_MODEL:
                self._compared = True
                return
            found = f"gives texts of the collection other vectors than it holds: their cosine is {highest:.2f} at most"
        raise UnknownEmbeddingError(
            f"collection {name!r} was filled by another function than {self._name or type(function).__name__}, which "
            f"{found}",
            self._way_out,
        )

    def _vectors(self, function: Any, texts: list[str]) -> NDArray[np.float32]:
        name = self._name or getattr(function, "__name__", type(function).__name__)
        try:
            vectors = np.asarray(function(texts), np.float32)
        except InputError:
            raise
        except Exception as error:  # a function may do anything: load models, ask a service
            raise ScorerError(
                f"the embedding function {name!r} of collection {self.collection.name!r} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise InputError(
                f"the embedding function {name!r} of collection {self.collection.name!r} gave an array of shape "
                f"{vectors.shape} for {len(texts)} texts; it must give one vector of finite numbers per text"
            )
        return vectors


def stored_embedding(collection: Collection) -> str:
    """Return the name of the embedding function that Chroma keeps with a collection; "" where there is none."""
    # The JSON, not the parsed `configuration`: parsing warns of collections without an embedding function.
    return str((collection.configuration_json.get("embedding_function") or {}).get("name") or "")


def _given(collection: Collection) -> Any:
    """Return the function that a collection was opened with; None for none, and for the one that Chroma puts in."""
    function = getattr(collection, "_embedding_function", None)
    return None if isinstance(function, DefaultEmbeddingFunction) else function


def _cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / norms if norms else 1.0  # a text without a known word has zeros, and tells nothing
