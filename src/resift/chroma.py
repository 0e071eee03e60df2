"""Chroma as the first stage, and the bundled bi-encoders as its embedding functions. Needs `resift[chroma]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resift.search.chroma import ChromaFirstStage, DenseEmbedding, StaticEmbedding
from resift.search.hybrid import HybridFirstStage
from resift.search.results import RerankedResults, rerank_results

if TYPE_CHECKING:
    from resift.search.lexical import LexicalFirstStage as LexicalFirstStage

__all__ = [
    "ChromaFirstStage",
    "DenseEmbedding",
    "HybridFirstStage",
    "LexicalFirstStage",
    "RerankedResults",
    "StaticEmbedding",
    "rerank_results",
]


def __getattr__(name: str) -> Any:
    """Import the lexical first stage when it is first used: who searches vectors alone needs no tantivy."""
    if name != "LexicalFirstStage":
        raise AttributeError(f"module 'resift.chroma' has no attribute {name!r}")
    from resift.search.lexical import LexicalFirstStage

    return LexicalFirstStage
