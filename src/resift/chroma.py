"""Chroma as the first stage, and the bundled bi-encoders as its embedding functions. Needs `resift[chroma]`."""

from __future__ import annotations

from resift.search.chroma import ChromaFirstStage, DenseEmbedding, StaticEmbedding

__all__ = ["ChromaFirstStage", "DenseEmbedding", "StaticEmbedding"]
