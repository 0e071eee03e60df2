"""A bundled bi-encoder as a LlamaIndex embedding model."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr, model_validator

from llama_index.postprocessor.resift._component import Component, PathText
from resift import StaticEmbedder, load_embedder
from resift.adapters import Embedder, Recipe, Worker, path_text

NAME = "resift:static"

TEXTS_PER_TURN = 32  # texts between two turns of the event loop: a few milliseconds


class ResiftEmbedding(Component, BaseEmbedding):
    """Texts to unit vectors, offline, thousands a second on one core: the first stage before `ResiftRerank`.

    The model opens with the first call. With `resift:static`, async calls compute on the event loop, in short turns:
    handing so little work to a thread costs more than the work. Any other model computes on a thread of its own.

    Args:
        model: "resift:static" (None), "resift:dense", "resift:multilingual", or a folder with a model of either kind.
        model_name: The name in events; by default that of `model`. It chooses no model.
        embed_batch_size: Texts embedded between two events (256).

    >>> vector = ResiftEmbedding().get_text_embedding("Pandas eat bamboo.")
    >>> len(vector), type(vector[0])
    (256, <class 'float'>)
    """

    model: PathText | None = Field(
        default=None,
        frozen=True,
        description="resift:static (None), resift:dense, resift:multilingual, or a folder with either kind.",
    )
    model_name: str = Field(default=NAME, description="The name in events; a folder goes by its own.")
    embed_batch_size: int = Field(default=256, gt=0, le=2048, description="Texts embedded between two events.")

    _worker: Worker = PrivateAttr(default_factory=lambda: Worker(limit=1024, name="the embedder"))

    @classmethod
    def class_name(cls) -> str:
        """Return the name serialised components go by."""
        return "ResiftEmbedding"

    @model_validator(mode="before")
    @classmethod
    def _name_by_model(cls, data: Any) -> Any:
        """Name a model by itself. A name alone would name one model in events and open another."""
        if not isinstance(data, dict):
            return data
        model, name = data.get("model"), data.get("model_name", NAME)
        if model is None and name != NAME:
            raise ValueError(f"model_name={name!r} is no more than the name in events: say model={name!r} to open it")
        return data if model is None else {"model_name": path_text(model), **data}

    def _recipe(self) -> Recipe[Embedder]:
        return Recipe(load_embedder, {"model": self.model})

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
        for start in range(0, len(texts), TEXTS_PER_TURN):
            vectors += embedder.embed(texts[start : start + TEXTS_PER_TURN]).tolist()
            await asyncio.sleep(0)
        return vectors
