"""resift in LlamaIndex: the bundled bi-encoders as embedding models."""

from llama_index.embeddings.resift.base import ResiftEmbedding

__all__ = ["ResiftEmbedding"]
