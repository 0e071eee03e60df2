"""Where candidates come from: a vector store, another retriever, a Chroma collection or any `resift.FirstStage`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from langchain_resift._documents import copy_with_metadata
from resift import FirstStage, HybridFirstStage, InputError, Passage
from resift.adapters import Worker, as_passages, check_first_stage, found_by


class Source(Protocol):
    """Fetches candidates, nearest first, with their first-stage rank and score in the metadata."""

    def fetch(self, query: str, k: int, callbacks: Callbacks) -> list[Document]:
        """Return about k candidates."""

    async def afetch(self, query: str, k: int, callbacks: Callbacks) -> list[Document]:
        """`fetch` without blocking the event loop."""


def open_source(
    first_stage: Any, search_kwargs: dict[str, Any], *, hybrid: bool = False, last: Source | None = None
) -> Source:
    """Return the source for a first stage of any kind; a hybrid one goes on with the index of words of the last one.

    Raises InputError for anything that yields no candidates.
    """
    if hybrid:
        stage = _hybrid_stage(first_stage, search_kwargs)
        return _Passages(stage if stage is first_stage else _with_words_of(stage, last))
    if isinstance(first_stage, VectorStore):
        return _Store(first_stage, search_kwargs)
    if _is_collection(first_stage):
        return _Passages(_collection_stage(first_stage, search_kwargs))
    if search_kwargs:
        raise InputError(
            f"search_kwargs={search_kwargs} go to a vector store or a Chroma collection; "
            f"a {type(first_stage).__name__} has its own settings: set them there"
        )
    if isinstance(first_stage, Runnable):
        return _Retriever(first_stage)
    if callable(getattr(first_stage, "retrieve", None)) or callable(getattr(first_stage, "aretrieve", None)):
        return _Passages(check_first_stage(first_stage))
    raise InputError(
        f"first_stage must be a VectorStore, a retriever, a Chroma collection or a resift.FirstStage, "
        f"not a {type(first_stage).__name__}"
    )


@dataclass(frozen=True)
class _Store:
    """A vector store. The score is its own: a distance with some (langchain-chroma), a similarity with others."""

    store: VectorStore
    search_kwargs: dict[str, Any]

    def fetch(self, query: str, k: int, callbacks: Callbacks) -> list[Document]:  # noqa: ARG002  # stores take no callbacks
        try:
            return _add_ranks(self.store.similarity_search_with_score(query, k=k, **self.search_kwargs))
        except NotImplementedError:  # scores are optional for a store
            return _without_scores(self.store.similarity_search(query, k=k, **self.search_kwargs))

    async def afetch(self, query: str, k: int, callbacks: Callbacks) -> list[Document]:  # noqa: ARG002
        try:
            return _add_ranks(await self.store.asimilarity_search_with_score(query, k=k, **self.search_kwargs))
        except NotImplementedError:
            return _without_scores(await self.store.asimilarity_search(query, k=k, **self.search_kwargs))


@dataclass(frozen=True)
class _Retriever:
    """A retriever. It decides itself how many documents it gives; only a store's default of four is raised to k."""

    retriever: Runnable[str, list[Document]]

    def fetch(self, query: str, k: int, callbacks: Callbacks) -> list[Document]:
        return _without_scores(self.retriever.invoke(query, {"callbacks": callbacks}, **self._depth(k)))

    async def afetch(self, query: str, k: int, callbacks: Callbacks) -> list[Document]:
        return _without_scores(await self.retriever.ainvoke(query, {"callbacks": callbacks}, **self._depth(k)))

    def _depth(self, k: int) -> dict[str, int]:
        default = isinstance(self.retriever, VectorStoreRetriever) and "k" not in self.retriever.search_kwargs
        return {"k": k} if default else {}


@dataclass(frozen=True)
class _Passages:
    """A `resift.FirstStage`. The score is a similarity: higher is nearer, whatever space a collection has."""

    stage: FirstStage

    def fetch(self, query: str, k: int, callbacks: Callbacks) -> list[Document]:  # noqa: ARG002  # nor do first stages
        if not callable(getattr(self.stage, "retrieve", None)):
            raise InputError(
                f"{type(self.stage).__name__} has aretrieve and no retrieve: call ainvoke, which awaits it"
            )
        return _from_passages(as_passages(self.stage.retrieve(query, k), found_by(self.stage)))

    async def afetch(self, query: str, k: int, callbacks: Callbacks) -> list[Document]:  # noqa: ARG002
        aretrieve = getattr(self.stage, "aretrieve", None)
        found = await (aretrieve(query, k) if aretrieve else _WORKER.run(partial(self.stage.retrieve, query, k)))
        return _from_passages(as_passages(found, found_by(self.stage)))


_WORKER = Worker(limit=1024, name="the first stage")  # one thread for all retrievers: a first stage takes milliseconds


def _is_collection(first_stage: Any) -> bool:
    """Check it without importing chromadb: where nobody has imported it, nobody holds a collection."""
    chromadb = sys.modules.get("chromadb")
    if chromadb is None:
        return False
    awaited = sys.modules.get("chromadb.api.models.AsyncCollection")
    return isinstance(first_stage, chromadb.Collection) or (
        awaited is not None and isinstance(first_stage, awaited.AsyncCollection)  # which is refused with a reason
    )


def _collection_stage(collection: Any, search_kwargs: dict[str, Any]) -> FirstStage:
    from resift.chroma import ChromaFirstStage

    unknown = search_kwargs.keys() - {"where", "where_document", "embed"}
    if unknown:
        names = ", ".join(sorted(unknown))
        raise InputError(f"a Chroma collection takes where=, where_document= and embed=, not {names}=")
    return ChromaFirstStage(collection, **search_kwargs)


def collection_of(store: Any) -> Any:
    """Return the Chroma collection of a langchain-chroma store, another one once it is reset; None of other stores.

    Raises InputError where the store has deleted it.
    """
    if not isinstance(store, VectorStore):
        return None
    try:
        return getattr(store, "_collection", None)  # langchain-chroma has no public name for it
    except ValueError as error:  # its property's, after delete_collection
        raise InputError(f"the store has no collection any more: {error}") from error


def _with_words_of(stage: HybridFirstStage, last: Source | None) -> HybridFirstStage:
    """Return the stage with the index of the last one over the same collection: in memory, it is dear to make."""
    words: Any = getattr(getattr(last, "stage", None), "lexical", None)
    own: Any = stage.lexical
    if stage.collection is None or getattr(words, "collection", None) is not stage.collection:
        return stage
    lexical = words.filtered(own.where, own.where_document)
    return HybridFirstStage(stage.dense, lexical, weights=stage.weights, tail=stage.tail, depth=stage.depth)


def _hybrid_stage(first_stage: Any, search_kwargs: dict[str, Any]) -> HybridFirstStage:
    """Return the hybrid stage over a store, a collection or a stage of Chroma. Raises InputError for others."""
    if isinstance(first_stage, HybridFirstStage):
        return first_stage
    collection, options = first_stage, dict(search_kwargs)
    if isinstance(first_stage, VectorStore):
        collection = collection_of(first_stage)
        embeddings = first_stage.embeddings
        if embeddings is not None:
            options["embed"] = partial(_embed_queries, embeddings)
        if "filter" in options:
            if "where" in options:
                raise InputError("search_kwargs has filter and where: they are the same filter, give one")
            options["where"] = options.pop("filter")
    if _is_collection(collection):
        return HybridFirstStage(_collection_stage(collection, options))
    if hasattr(first_stage, "collection") and not search_kwargs:
        return HybridFirstStage(first_stage)
    raise InputError(
        "hybrid=True needs a langchain-chroma store, a Chroma collection or a ChromaFirstStage (without "
        f"search_kwargs), not a {type(first_stage).__name__}; resift.HybridFirstStage fuses any two first stages"
    )


def _embed_queries(embeddings: Embeddings, queries: list[str]) -> list[list[float]]:
    return [embeddings.embed_query(query) for query in queries]


def _from_passages(passages: Iterable[Passage]) -> list[Document]:
    return _add_ranks(
        (
            copy_with_metadata(
                Document(passage.text, id=passage.id, metadata=dict(passage.metadata)), _places(passage)
            ),
            _score(passage),
        )
        for passage in passages
    )


def _score(passage: Passage) -> float | None:
    fused: float | None = getattr(passage, "fused", None)  # a first stage may yield objects of its own
    return passage.similarity if fused is None else fused


def _places(passage: Passage) -> dict[str, Any]:
    """Return where the halves of a hybrid stage have a passage, as entries of metadata; none for other stages."""
    if not getattr(passage, "found", None):  # a first stage may yield objects of its own
        return {}
    halves = {half: passage.found.get(half) for half in ("dense", "lexical")}
    return {
        key: value
        for half, place in halves.items()
        for key, value in (
            (f"{half}_rank", place and place.rank),
            (f"{half}_score", None if place is None else _plain_number(place.score)),
        )
    }


def _without_scores(documents: Sequence[Document]) -> list[Document]:
    return _add_ranks((document, None) for document in documents)


def _add_ranks(candidates: Iterable[tuple[Document, float | None]]) -> list[Document]:
    return [
        copy_with_metadata(document, {"first_stage_rank": rank, "first_stage_score": _plain_number(score)})
        for rank, (document, score) in enumerate(candidates, 1)
    ]


def _plain_number(score: float | None) -> float | None:
    """Return a plain float: stores give numpy's, which JSON can't hold. None for NaN and infinity."""
    return None if score is None or not math.isfinite(score) else float(score)
