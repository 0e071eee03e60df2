"""Chroma as the first stage, and the bundled bi-encoders as its embedding functions. Needs `resift[chroma]`."""

from __future__ import annotations

from resift.search.chroma import ChromaFirstStage, DenseEmbedding, StaticEmbedding
from resift.search.results import RerankedResults, rerank_results

__all__ = ["ChromaFirstStage", "DenseEmbedding", "RerankedResults", "StaticEmbedding", "rerank_results"]
