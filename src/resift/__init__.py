"""resift: the precision stage for RAG. Put retrieved documents in the order a cross-encoder gives them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resift._util.lazy import Lazy
    from resift._util.secret import ApiKey
    from resift._util.worker import Worker
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
    from resift.models.options import ModelOptions
    from resift.reranking.diversity import diversify
    from resift.reranking.ranking import Hit, Ranking, Stats
    from resift.reranking.reranker import Reranker
    from resift.scorer import AsyncScorer, ManyScorer, Request, Scale, Scorer, Scores, Span, Usage
    from resift.scoring.cached import Cached
    from resift.scoring.cascade import Cascade
    from resift.scoring.ensemble import Ensemble, Fused
    from resift.scoring.fallback import Fallback
    from resift.scoring.fusion import fuse
    from resift.scoring.load import load_scorer
    from resift.search.two_stage import FirstStage, MemoryFirstStage, Passage, TwoStageSearch

_HOMES = {
    "ApiKey": "_util.secret",
    "AsyncScorer": "scorer",
    "Cached": "scoring.cached",
    "Cascade": "scoring.cascade",
    "DenseEmbedder": "embedders.dense",
    "Embedder": "embedders.embedder",
    "Ensemble": "scoring.ensemble",
    "Fallback": "scoring.fallback",
    "FirstStage": "search.two_stage",
    "Fused": "scoring.ensemble",
    "Hit": "reranking.ranking",
    "InputError": "errors",
    "Lazy": "_util.lazy",
    "ManyScorer": "scorer",
    "MemoryFirstStage": "search.two_stage",
    "MissingExtraError": "errors",
    "ModelFileError": "errors",
    "ModelOptions": "models.options",
    "OverloadedError": "errors",
    "Passage": "search.two_stage",
    "Ranking": "reranking.ranking",
    "RemoteError": "errors",
    "Request": "scorer",
    "Reranker": "reranking.reranker",
    "ResiftError": "errors",
    "Scale": "scorer",
    "Scorer": "scorer",
    "ScorerError": "errors",
    "Scores": "scorer",
    "Span": "scorer",
    "StatesWarning": "errors",
    "StaticEmbedder": "embedders.static",
    "Stats": "reranking.ranking",
    "TruncationWarning": "errors",
    "TwoStageSearch": "search.two_stage",
    "UnknownModelError": "errors",
    "Usage": "scorer",
    "Worker": "_util.worker",
    "diversify": "reranking.diversity",
    "fuse": "scoring.fusion",
    "load_embedder": "embedders.load",
    "load_scorer": "scoring.load",
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
