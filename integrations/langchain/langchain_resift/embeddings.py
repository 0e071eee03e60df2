"""The bundled bi-encoders as LangChain embeddings: no download, no torch, no key."""

from __future__ import annotations

import os
from functools import partial
from typing import Never

from langchain_core.embeddings import Embeddings

from resift import load_embedder
from resift.adapters import Worker, check_option_names


class ResiftEmbeddings(Embeddings):
    """Texts to unit vectors, offline. The fast first stage under a reranker; any other embeddings do as well.

    Args:
        model: "resift:static" (the default), "resift:dense", "resift:multilingual", or a folder that holds a model of
            either kind.

    Raises:
        ModelFileError: The folder is incomplete or damaged.
        UnknownModelError: The name is none of these.
        MissingExtraError: The files of "resift:multilingual" are not installed.
    """

    def __init__(self, model: str | os.PathLike[str] | None = None, **unknown: Never) -> None:
        check_option_names("ResiftEmbeddings", unknown, ["model"])
        self._embedder = load_embedder(model)
        self._worker = Worker(limit=1024, name="the embedder")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one unit vector per text, in their order; a text without a known token gives zeros.

        Such a text says nothing to the model. As a query it is near to nothing in Chroma, and a ValueError in
        LangChain's InMemoryVectorStore.
        """
        vectors: list[list[float]] = self._embedder.embed(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the text's unit vector. Queries and documents are embedded alike."""
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents` without blocking the event loop."""
        return await self._worker.run(partial(self.embed_documents, texts))

    async def aembed_query(self, text: str) -> list[float]:
        """`embed_query` without blocking the event loop."""
        return await self._worker.run(partial(self.embed_query, text))
