"""resift: the precision stage for RAG. Put retrieved documents in the order a cross-encoder gives them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resift._util.lazy import Lazy
    from resift._util.secret import ApiKey
    from resift._util.worker import Worker
    from resift.cache import Cached
    from resift.cascade import Cascade
    from resift.combine import Ensemble, Fallback, Fused, diversify, fuse
    from resift.embedders.dense import DenseEmbedder
    from resift.embedders.embedder import Embedder
    from resift.embedders.load import load_embedder
    from resift.embedders.static import StaticEmbedder
    from resift.errors import (
        InputError,
        MissingExtraError,
        ModelFileError,
        OverloadedError,
        RemoteError,
        ResiftError,
        ScorerError,
        StatesWarning,
        TruncationWarning,
        UnknownModelError,
    )
    from resift.load import load_scorer
    from resift.models.options import ModelOptions
    from resift.ranking import Hit, Ranking, Stats
    from resift.reranker import Reranker
    from resift.scorer import AsyncScorer, ManyScorer, Request, Scale, Scorer, Scores, Span, Usage
    from resift.search import FirstStage, MemoryFirstStage, Passage, TwoStageSearch

_HOMES = {
    "ApiKey": "_util.secret",
    "AsyncScorer": "scorer",
    "Cached": "cache",
    "Cascade": "cascade",
    "DenseEmbedder": "embedders.dense",
    "Embedder": "embedders.embedder",
    "Ensemble": "combine",
    "Fallback": "combine",
    "FirstStage": "search",
    "Fused": "combine",
    "Hit": "ranking",
    "InputError": "errors",
    "Lazy": "_util.lazy",
    "ManyScorer": "scorer",
    "MemoryFirstStage": "search",
    "MissingExtraError": "errors",
    "ModelFileError": "errors",
    "ModelOptions": "models.options",
    "OverloadedError": "errors",
    "Passage": "search",
    "Ranking": "ranking",
    "RemoteError": "errors",
    "Request": "scorer",
    "Reranker": "reranker",
    "ResiftError": "errors",
    "Scale": "scorer",
    "Scorer": "scorer",
    "ScorerError": "errors",
    "Scores": "scorer",
    "Span": "scorer",
    "StatesWarning": "errors",
    "StaticEmbedder": "embedders.static",
    "Stats": "ranking",
    "TruncationWarning": "errors",
    "TwoStageSearch": "search",
    "UnknownModelError": "errors",
    "Usage": "scorer",
    "Worker": "_util.worker",
    "diversify": "combine",
    "fuse": "combine",
    "load_embedder": "embedders.load",
    "load_scorer": "load",
}

__all__ = [
    "ApiKey",
    "AsyncScorer",
    "Cached",
    "Cascade",
    "DenseEmbedder",
    "Embedder",
    "Ensemble",
    "Fallback",
    "FirstStage",
    "Fused",
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
    "RemoteError",
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
    "diversify",
    "fuse",
    "load_embedder",
    "load_scorer",
]


def __getattr__(name: str) -> Any:
    """Names are imported when they are used: `import resift` itself stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'resift' has no attribute {name!r}")
    return getattr(import_module(f"resift.{_HOMES[name]}"), name)
