"""Two stages in one retriever: many candidates, found fast and roughly; the few right ones, read closely."""

from __future__ import annotations

from operator import is_not
from typing import Any, ClassVar, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from langchain_resift._first_stage import Source, collection_of, open_source
from langchain_resift._reranking import Reranking
from resift import InputError
from resift.adapters import check_option_names, check_query, replace_half_pairs


class ResiftRetriever(Reranking, BaseRetriever):
    """The best `k` of `candidates` that a first stage finds, in the cross-encoder's order.

        ResiftRetriever(first_stage=store, k=5).invoke("what eats bamboo?")

    Documents come back as `ResiftRerank` gives them, with two more entries in the metadata: `first_stage_rank`,
    from 1, and `first_stage_score`, where the first stage has one. For a Chroma collection and a
    `resift.FirstStage` that is a similarity, higher is nearer. For a vector store it is what its
    `similarity_search_with_score` gives: langchain-chroma's is a distance, lower is nearer.

    Handlers see the retriever's run, and within it those of a retriever that is the first stage and of the
    reranking. An empty query, or one that is no text, is an InputError before the first stage runs; what the stages
    raise passes through unchanged.

    Args:
        first_stage: A VectorStore, a retriever (or any Runnable from query to documents), a Chroma collection, or any
            `resift.FirstStage`. A retriever decides itself how many candidates there are. Not serialised.
        k: How many documents to return (5), also where `reranker` has a `top_k`; None returns all candidates. A call
            can want another number: `retriever.invoke(query, k=1)`. It can have another `instruction` as well.
        candidates: How many documents the first stage is asked for (50), and at least k.
        search_kwargs: For the first stage: what a vector store's search takes (`filter`), or a collection's `where`
            and `where_document`, and `embed`, what embeds queries for a collection that keeps no embedding function.
        hybrid: Find candidates by words too, and fuse both lists by rank: over a langchain-chroma store, a Chroma
            collection or a `resift.chroma.ChromaFirstStage`, whoever filled it. The index of words is made with the
            first query and keeps itself in step (`resift.HybridFirstStage`). Filters hold for both. `first_stage_score`
            is then the fused sum, and `dense_rank`, `dense_score` (a similarity), `lexical_rank` and `lexical_score`
            (BM25) say where each half has a document.
        min_relevance, deadline, evidence, prune, score, metadata_keys, model, on_error, max_pending, patience, cache,
            calibration, long_documents, max_length, batch_tokens, threads, keep_states, states_file, device,
            instruction, revision, local_files_only, trust_remote_code, engine_options, reranker: As `ResiftRerank` has
            them.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    first_stage: Any = Field(
        exclude=True,
        repr=False,
        description="A VectorStore, a retriever, a Chroma collection or any `resift.FirstStage`. Not serialised.",
    )
    k: int | None = Field(
        default=5,
        ge=1,
        description="How many documents to return, also where `reranker` has a `top_k`; None returns all candidates.",
    )
    candidates: int = Field(
        default=50, ge=1, description="How many documents the first stage is asked for, and at least k."
    )
    search_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="For the first stage: a store's `filter`, a collection's `where`, `where_document` and `embed`.",
    )

    hybrid: bool = Field(
        default=False, description="Find candidates by words too (BM25), and fuse both lists; over Chroma."
    )

    _count_option: ClassVar[str] = "k"
    _opened: tuple[tuple[Any, Any], tuple[dict[str, Any], bool], Source] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_first_stage(self) -> Self:
        self._source()
        return self

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        instruction: str | None = None,
        **unknown: Any,
    ) -> list[Document]:
        query, top_k = self._check_call(query, k, unknown)
        candidates = self._source().fetch(query, self._depth(top_k), run_manager.get_child())
        step = self._step(top_k, instruction)
        return step.invoke({"query": query, "documents": candidates}, {"callbacks": run_manager.get_child()})

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        instruction: str | None = None,
        **unknown: Any,
    ) -> list[Document]:
        query, top_k = self._check_call(query, k, unknown)
        candidates = await self._source().afetch(query, self._depth(top_k), run_manager.get_child())
        step = self._step(top_k, instruction)
        return await step.ainvoke({"query": query, "documents": candidates}, {"callbacks": run_manager.get_child()})

    def _check_call(self, query: str, k: int | None, unknown: dict[str, Any]) -> tuple[str, int | None]:
        try:
            check_option_names("a call of ResiftRetriever", unknown, ["k", "instruction"], "k")
        except InputError as error:
            raise TypeError(str(error)) from None  # as for any call with a wrong keyword
        # A store or a retriever of another package may send the query somewhere, which half a surrogate pair prevents.
        return replace_half_pairs(check_query(query)), self.k if k is None else k

    def _source(self) -> Source:
        """Return the source, opened once for a first stage and its options: a Chroma collection is checked then."""
        opened = self._opened
        over = (self.first_stage, collection_of(self.first_stage) if self.hybrid else None)
        options = (dict(self.search_kwargs), self.hybrid)
        if opened is None or any(map(is_not, opened[0], over)) or opened[1] != options:
            last = None if opened is None else opened[2]
            source = open_source(self.first_stage, self.search_kwargs, hybrid=self.hybrid, last=last)
            self._opened = opened = (over, options, source)
        return opened[2]

    def _depth(self, top_k: int | None) -> int:
        return max(self.candidates, top_k or 0)
