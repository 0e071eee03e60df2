"""The reranker where LangChain expects one: a document compressor, and the same as a Runnable."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable
from pydantic import Field

from langchain_resift._reranking import Reranking, RerankInput


class ResiftRerank(Reranking, BaseDocumentCompressor):
    """Puts retrieved documents in the order a cross-encoder gives them, and keeps the best `top_n`.

        ContextualCompressionRetriever(base_compressor=ResiftRerank(), base_retriever=store.as_retriever(...))

    What comes back are copies, best first, with the id, the class and the metadata of the documents that went in.
    `metadata["relevance_score"]` is the relevance, 0..1, or, where the model's scale has no such reading
    (`resift.Scale`), its own score; one that was there before is replaced. A ranking that could not be made
    (`on_error="keep_order"`) has `metadata["rerank_degraded"] = True` instead, and no score; one that a `deadline`
    ended has the flag, and scores for what was read by then.

    Handlers see a chain run "ResiftRerank", and in it a custom event "resift_rerank" with model, scale, scores
    and what the ranking cost. What resift raises (`InputError`, `ScorerError`, ...) passes through unchanged.
    """

    top_n: int | None = Field(default=3, ge=1)
    """How many documents to keep, also where `reranker` has a `top_k`; None keeps them all."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The best documents, best first; no documents give none.

        Raises what `resift.Reranker.rank` raises, and with the first call what `load` raises.
        """
        return self.as_runnable().invoke({"query": query, "documents": documents}, {"callbacks": callbacks})

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """`compress_documents` without blocking the event loop: on the reranker's own thread."""
        return await self.as_runnable().ainvoke({"query": query, "documents": documents}, {"callbacks": callbacks})

    def as_runnable(self) -> Runnable[RerankInput, list[Document]]:
        """The same for LCEL: takes `{"query": ..., "documents": [...]}`, gives the documents.

        {"query": RunnablePassthrough(), "documents": retriever} | ResiftRerank().as_runnable()
        """
        return self._step(self.top_n)
