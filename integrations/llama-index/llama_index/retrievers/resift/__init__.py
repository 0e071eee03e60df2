"""resift in LlamaIndex: a retriever by words and vectors. Its reranker is in `llama_index.postprocessor.resift`."""

from llama_index.retrievers.resift.base import ResiftHybridRetriever

__all__ = ["ResiftHybridRetriever"]
