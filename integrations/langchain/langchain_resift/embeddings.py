"""The bundled bi-encoders as LangChain embeddings: no download, no torch, no key."""

from __future__ import annotations

import os
from functools import partial

from langchain_core.embeddings import Embeddings

from resift import InputError, Worker, load_embedder


class ResiftEmbeddings(Embeddings):
    """Texts to unit vectors, offline. The fast first stage under a reranker; any other embeddings do as well.

    `model` is "resift:static" (the default), "resift:dense", or a folder that holds a model of either kind; `folder` is
    an older name for it. Raises ModelFileError when the folder is incomplete or damaged, UnknownModelError for
    another name.
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, *, folder: str | os.PathLike[str] | None = None
    ) -> None:
        if model is not None and folder is not None:
            raise InputError(f"model={model!r} and folder={folder!r} are two names for one thing: give model alone")
        self._embedder = load_embedder(folder if model is None else model)
        self._worker = Worker(limit=1024)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One unit vector per text, in their order; a text without a known token gives zeros."""
        vectors: list[list[float]] = self._embedder.embed(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The text's unit vector. Queries and documents are embedded alike."""
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents` without blocking the event loop."""
        return await self._worker.run(partial(self.embed_documents, texts))

    async def aembed_query(self, text: str) -> list[float]:
        """`embed_query` without blocking the event loop."""
        return await self._worker.run(partial(self.embed_query, text))
