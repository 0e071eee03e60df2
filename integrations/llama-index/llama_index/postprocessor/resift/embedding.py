"""The bundled bi-encoder as a LlamaIndex embedding model."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, model_validator

from llama_index.postprocessor.resift._component import Component
from resift import StaticEmbedder

TURN = 32  # texts between two turns of the event loop: a few milliseconds


class ResiftEmbedding(Component, BaseEmbedding):
    """Texts to unit vectors, offline, thousands a second on one core: the first stage before `ResiftRerank`.

    The table of token vectors opens with the first call. Async calls compute on the event loop, in short turns:
    handing so little work to a thread costs more than the work.

    >>> vector = ResiftEmbedding().get_text_embedding("Pandas eat bamboo.")
    >>> len(vector), type(vector[0])
    (256, <class 'float'>)
    """

    folder: str | None = Field(
        default=None, frozen=True, description="A table of token vectors of your own; None is the bundled one."
    )
    model_name: str = Field(default="resift:static", description="The name in events; a folder goes by its own.")
    embed_batch_size: int = Field(default=256, gt=0, le=2048, description="Texts embedded between two events.")

    _makes: ClassVar[type[StaticEmbedder]] = StaticEmbedder

    @classmethod
    def class_name(cls) -> str:
        """The name serialised components go by."""
        return "ResiftEmbedding"

    @model_validator(mode="before")
    @classmethod
    def _named_by_folder(cls, data: Any) -> Any:
        """A folder is its own name."""
        if not isinstance(data, dict) or data.get("folder") is None:
            return data
        return {"model_name": data["folder"], **data}

    def _options(self) -> dict[str, Any]:
        return {"folder": self.folder}

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
        vectors: list[list[float]] = []
        for start in range(0, len(texts), TURN):
            vectors += embedder.embed(texts[start : start + TURN]).tolist()
            await asyncio.sleep(0)
        return vectors
