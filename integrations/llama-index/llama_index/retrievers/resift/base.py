"""The hybrid retriever: what an index finds by meaning and what its Chroma collection finds by words, fused by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores import MetadataFilters
from llama_index.core.vector_stores.types import BasePydanticVectorStore
from llama_index.core.vector_stores.utils import metadata_dict_to_node

from resift import HybridFirstStage, InputError, Passage
from resift.adapters import Worker, check_query, whole_number
from resift.chroma import LexicalFirstStage

NODE = "_node_content"
"""What LlamaIndex stores a node as, in the metadata of its record."""


class ResiftHybridRetriever(BaseRetriever):
    """Finds nodes by meaning and by words, over a `ChromaVectorStore` that is filled already, by whatever model.

        retriever = ResiftHybridRetriever(index, similarity_top_k=50)
        engine = RetrieverQueryEngine.from_args(retriever, node_postprocessors=[ResiftRerank(top_n=5)])

    The index's own embedding model embeds the query; BM25 over an index of words finds the others; both lists are fused
    by reciprocal rank. The index of words lies beside the collection's database, or else in memory. It is made with the
    first query, and keeps itself in step with the collection, whoever changes it.

    A node's score is the fused sum. Its metadata says where each half has it: `dense_rank`, `dense_score`,
    `lexical_rank` and `lexical_score`, as far as it was found there. No embedding model and no LLM reads these keys.

    Args:
        index: A `VectorStoreIndex` over a `ChromaVectorStore`, or such a store by itself.
        similarity_top_k: How many nodes to return (50, for a reranker).
        filters: Metadata filters; they hold for both halves.
        embed_model: What embeds the query where a store is given. None: `Settings.embed_model`.
        weights: What each half counts, the dense one first; 1 each unless given.
        depth: How many nodes each half fetches. None: twice as many as are returned, and at least 200.
        callback_manager: LlamaIndex's.

    Raises:
        InputError: Another vector store, an impossible number or weights.
    """

    def __init__(
        self,
        index: VectorStoreIndex | BasePydanticVectorStore,
        *,
        similarity_top_k: int = 50,
        filters: MetadataFilters | None = None,
        embed_model: BaseEmbedding | None = None,
        weights: Sequence[float] | None = None,
        depth: int | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        if not isinstance(index, VectorStoreIndex):
            _collection(index)
            index = VectorStoreIndex.from_vector_store(index, embed_model=embed_model)
        elif embed_model is not None:
            raise InputError("an index brings its embedding model: give embed_model with a vector store alone")
        self._index = index
        self._filters = filters
        self.similarity_top_k = whole_number("similarity_top_k", similarity_top_k, 1)
        where = None if filters is None else _where(filters) or None  # no filter at all where it has none
        self._words = _Words(LexicalFirstStage(_collection(index.vector_store), where=where), Worker(1024, "the words"))
        self._options: dict[str, Any] = {"weights": weights, "depth": depth}
        self._stage(QueryBundle("checks the options"))
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        stage = self._stage(query_bundle)
        return _nodes(stage.retrieve(check_query(query_bundle.query_str), self.similarity_top_k))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        stage = self._stage(query_bundle)
        return _nodes(await stage.aretrieve(check_query(query_bundle.query_str), self.similarity_top_k))

    def _stage(self, query: QueryBundle) -> HybridFirstStage:
        dense = _Vectors(self._index, self._filters, query, self._words.collection)
        return HybridFirstStage(dense, self._words, **self._options)


@dataclass(frozen=True)
class _Vectors:
    """The index's own retriever as a first stage, for one query: that may bring vectors or further texts to embed."""

    index: VectorStoreIndex
    filters: MetadataFilters | None
    query: QueryBundle
    collection: Any

    def retrieve(self, query: str, k: int) -> list[Passage]:  # noqa: ARG002  # it is in the bundle
        return _passages(self._retriever(k).retrieve(self.query))

    async def aretrieve(self, query: str, k: int) -> list[Passage]:  # noqa: ARG002
        return _passages(await self._retriever(k).aretrieve(self.query))

    def _retriever(self, k: int) -> BaseRetriever:
        return self.index.as_retriever(similarity_top_k=k, filters=self.filters)


@dataclass(frozen=True)
class _Words:
    """The lexical first stage, which can be awaited too: on a thread of its own."""

    stage: LexicalFirstStage
    worker: Worker

    @property
    def collection(self) -> Any:
        return self.stage.collection

    def retrieve(self, query: str, k: int) -> list[Passage]:
        return self.stage.retrieve(query, k)

    async def aretrieve(self, query: str, k: int) -> list[Passage]:
        return await self.worker.run(partial(self.stage.retrieve, query, k))

    def lacks(self, passages: Sequence[Passage]) -> bool:
        return self.stage.lacks(passages)


def _collection(store: Any) -> Any:
    """Return the collection of a Chroma store. Raises InputError for another one."""
    client = getattr(store, "client", None)
    if type(store).__name__ != "ChromaVectorStore" or client is None:
        raise InputError(
            f"ResiftHybridRetriever needs a VectorStoreIndex over a ChromaVectorStore, or such a store, not a "
            f"{type(store).__name__}"
        )
    return client


def _where(filters: MetadataFilters) -> dict[str, Any]:
    """Return Chroma's filter, by the store's own rule: both halves must have the same."""
    from llama_index.vector_stores.chroma.base import _to_chroma_filter

    where: dict[str, Any] = _to_chroma_filter(filters)
    return where


def _passages(nodes: Sequence[NodeWithScore]) -> list[Passage]:
    return [
        Passage(
            scored.node.get_content(MetadataMode.NONE),
            scored.node.node_id,
            {NODE: scored.node},
            similarity=scored.score,
        )
        for scored in nodes
    ]


def _nodes(passages: Sequence[Passage]) -> list[NodeWithScore]:
    return [NodeWithScore(node=_node(passage), score=passage.fused) for passage in passages]


def _node(passage: Passage) -> BaseNode:
    """Return the passage's node, with its places in the halves in the metadata."""
    stored = passage.metadata.get(NODE)
    if isinstance(stored, BaseNode):
        node = stored
    elif stored is not None:
        node = metadata_dict_to_node(dict(passage.metadata), text=passage.text)
    else:  # LlamaIndex didn't fill the collection
        node = TextNode(text=passage.text, id_=passage.id, metadata=dict(passage.metadata))
    places = {
        key: value
        for half, place in passage.found.items()
        for key, value in ((f"{half}_rank", place.rank), (f"{half}_score", place.score))
        if value is not None
    }
    hidden = {
        name: [*dict.fromkeys([*getattr(node, name), *places])]
        for name in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
    }
    return node.model_copy(update={"metadata": {**node.metadata, **places}, **hidden})
