"""resift in LlamaIndex: a reranking postprocessor. Its embedding models are in `llama_index.embeddings.resift`."""

from llama_index.postprocessor.resift.base import ResiftRerank

__all__ = ["ResiftRerank"]
