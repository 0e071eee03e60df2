"""resift in LlamaIndex: a reranking postprocessor, and the bundled bi-encoder as an embedding model."""

from llama_index.postprocessor.resift.base import ResiftRerank
from llama_index.postprocessor.resift.embedding import ResiftEmbedding

__all__ = ["ResiftEmbedding", "ResiftRerank"]
