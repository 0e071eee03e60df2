"""resift: the precision stage for RAG. Put retrieved documents in the order a cross-encoder gives them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resift.concurrency import Lazy, Worker
    from resift.dense import DenseEmbedder
    from resift.embedding import Embedder, load_embedder
    from resift.errors import (
        InputError,
        MissingExtraError,
        ModelFileError,
        OverloadedError,
        ResiftError,
        ScorerError,
        StatesWarning,
        TruncationWarning,
        UnknownModelError,
    )
    from resift.load import ModelOptions, load_scorer
    from resift.ranking import Hit, Ranking, Stats
    from resift.reranker import Reranker
    from resift.scorer import AsyncScorer, ManyScorer, Request, Scale, Scorer, Scores, Span, Usage
    from resift.search import FirstStage, MemoryFirstStage, Passage, TwoStageSearch
    from resift.static import StaticEmbedder

_HOMES = {
    "AsyncScorer": "scorer",
    "DenseEmbedder": "dense",
    "Embedder": "embedding",
    "FirstStage": "search",
    "Hit": "ranking",
    "InputError": "errors",
    "Lazy": "concurrency",
    "ManyScorer": "scorer",
    "MemoryFirstStage": "search",
    "MissingExtraError": "errors",
    "ModelFileError": "errors",
    "ModelOptions": "load",
    "OverloadedError": "errors",
    "Passage": "search",
    "Ranking": "ranking",
    "Request": "scorer",
    "Reranker": "reranker",
    "ResiftError": "errors",
    "Scale": "scorer",
    "Scorer": "scorer",
    "ScorerError": "errors",
    "Scores": "scorer",
    "Span": "scorer",
    "StatesWarning": "errors",
    "StaticEmbedder": "static",
    "Stats": "ranking",
    "TruncationWarning": "errors",
    "TwoStageSearch": "search",
    "UnknownModelError": "errors",
    "Usage": "scorer",
    "Worker": "concurrency",
    "load_embedder": "embedding",
    "load_scorer": "load",
}

__all__ = [
    "AsyncScorer",
    "DenseEmbedder",
    "Embedder",
    "FirstStage",
    "Hit",
    "InputError",
    "Lazy",
    "ManyScorer",
    "MemoryFirstStage",
    "MissingExtraError",
    "ModelFileError",
    "ModelOptions",
    "OverloadedError",
    "Passage",
    "Ranking",
    "Request",
    "Reranker",
    "ResiftError",
    "Scale",
    "Scorer",
    "ScorerError",
    "Scores",
    "Span",
    "StatesWarning",
    "StaticEmbedder",
    "Stats",
    "TruncationWarning",
    "TwoStageSearch",
    "UnknownModelError",
    "Usage",
    "Worker",
    "load_embedder",
    "load_scorer",
]


def __getattr__(name: str) -> Any:
    """Names are imported when they are used: `import resift` itself stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'resift' has no attribute {name!r}")
    return getattr(import_module(f"resift.{_HOMES[name]}"), name)
