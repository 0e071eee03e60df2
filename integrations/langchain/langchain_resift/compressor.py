"""The reranker where LangChain expects one: a document compressor, and the same as a Runnable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable
from pydantic import Field

from langchain_resift._reranking import Reranking, RerankInput


class ResiftRerank(Reranking, BaseDocumentCompressor):
    """Puts retrieved documents in the order a cross-encoder gives them, and keeps the best `top_n`.

        ContextualCompressionRetriever(base_compressor=ResiftRerank(), base_retriever=store.as_retriever(...))

    It returns copies, best first, with the id, the class and the metadata of the documents that went in, and with
    keys of its own; keys of these names that were there before are replaced:

    - `metadata["relevance_score"]`: the relevance, 0..1, or the model's own score where its scale has no such reading
      (`resift.Scale`) or with `score="raw"`.
    - `metadata["rerank_degraded"]`: True if the ranking could not be made (`on_error="keep_order"`): then there is no
      score. True too if a `deadline` ended it: then there are scores for what was read by then.
    - `metadata["rerank_evidence"]`, with `evidence=`: the sentences that answer, best first, each a dict of `text`,
      `start` and `end` (its place in the content of the document that went in), `score` and `relevance`.
    - `metadata["rerank_spans"]`, with `prune=`: the places, [start, end], of what is left of that content.

    Handlers see a chain run "ResiftRerank", and in it a custom event "resift_rerank" with model, scale, scores
    and what the ranking cost. What resift raises (`InputError`, `ScorerError`, ...) passes through unchanged.

    Args:
        top_n: How many documents to keep (3), also where `reranker` has a `top_k`; None keeps them all.
        min_relevance: Keep only documents at least this relevant, 0..1; applied before `top_n`.
        deadline: Seconds a call may take; what is not scored by then keeps its order behind what is.
        evidence: How many sentences that answer to find in each document; True is one. They are scored too, which costs
            a service or an LLM one more request.
        prune: Keep only sentences at least this relevant, 0..1, and their headings; at least the best.
        score: What `relevance_score` is: "relevance" (0..1) or "raw" (the model's own number).
        metadata_keys: Metadata fields whose values are scored with the text, such as `["title"]`.
        model: A folder, a Hugging Face id or `scheme:name`; None is the bundled cross-encoder.
        on_error: "raise", or "keep_order" to answer a failing model with the order the documents came in.
        max_pending, patience, cache, calibration: As `resift.Reranker` has them.
        long_documents, max_length, batch_tokens, threads, keep_states, states_file, device, instruction, revision,
            local_files_only, trust_remote_code: As `resift.ModelOptions` has them. None leaves it to the engine, which
            refuses what makes no sense for it.
        engine_options: Further `resift.ModelOptions`, such as `base_url`, `api_key` and `timeout` of a service.
        reranker: A `resift.Reranker` of your own, which brings the options of its model.
    """

    top_n: int | None = Field(
        default=3,
        ge=1,
        description="How many documents to keep, also where `reranker` has a `top_k`; None keeps them all.",
    )

    _count_option: ClassVar[str] = "top_n"

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the best documents, best first; no documents give none.

        Raises what `resift.Reranker.rank` raises, and with the first call what `load` raises.
        """
        return self.as_runnable().invoke({"query": query, "documents": documents}, {"callbacks": callbacks})

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """`compress_documents` without blocking the event loop: on the reranker's own thread."""
        return await self.as_runnable().ainvoke({"query": query, "documents": documents}, {"callbacks": callbacks})

    def as_runnable(self) -> Runnable[RerankInput, list[Document]]:
        """Return the same for LCEL: it takes `{"query": ..., "documents": [...]}` and gives the documents.

        {"query": RunnablePassthrough(), "documents": retriever} | ResiftRerank().as_runnable()
        """
        return self._step(self.top_n)
