"""A bundled bi-encoder as a LlamaIndex embedding model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr, model_validator

from llama_index.postprocessor.resift._component import Component
from resift import Embedder, StaticEmbedder, Worker, load_embedder

TURN = 32  # texts between two turns of the event loop: a few milliseconds


class ResiftEmbedding(Component, BaseEmbedding):
    """Texts to unit vectors, offline, thousands a second on one core: the first stage before `ResiftRerank`.

    The model opens with the first call. With `resift:static`, async calls compute on the event loop, in short turns:
    handing so little work to a thread costs more than the work. Any other model computes on a thread of its own.

    >>> vector = ResiftEmbedding().get_text_embedding("Pandas eat bamboo.")
    >>> len(vector), type(vector[0])
    (256, <class 'float'>)
    """

    model: str | None = Field(
        default=None, frozen=True, description="resift:static (None), resift:dense, or a folder with either kind."
    )
    folder: str | None = Field(default=None, frozen=True, description="An older name for `model`.")
    model_name: str = Field(default="resift:static", description="The name in events; a folder goes by its own.")
    embed_batch_size: int = Field(default=256, gt=0, le=2048, description="Texts embedded between two events.")

    _makes: ClassVar[Callable[..., Embedder]] = staticmethod(load_embedder)

    _worker: Worker = PrivateAttr(default_factory=lambda: Worker(limit=1024))

    @classmethod
    def class_name(cls) -> str:
        """The name serialised components go by."""
        return "ResiftEmbedding"

    @model_validator(mode="before")
    @classmethod
    def _named_by_model(cls, data: Any) -> Any:
        """A model is its own name."""
        if not isinstance(data, dict):
            return data
        given = [data[name] for name in ("model", "folder") if data.get(name) is not None]
        if len(given) > 1:
            raise ValueError(
                f"model={given[0]!r} and folder={given[1]!r} are two names for one thing: give model alone"
            )
        return {"model_name": given[0], **data} if given else data

    def _options(self) -> dict[str, Any]:
        return {"model": self.folder if self.model is None else self.model}

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embeddings([query])[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._loaded.get().embed(texts).tolist()
        return vectors

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await self._aget_text_embeddings([query]))[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        embedder = await self._loaded.aget()
        if not isinstance(embedder, StaticEmbedder):
            return await self._worker.run(lambda: embedder.embed(texts).tolist())
        vectors: list[list[float]] = []
        for start in range(0, len(texts), TURN):
            vectors += embedder.embed(texts[start : start + TURN]).tolist()
            await asyncio.sleep(0)
        return vectors
