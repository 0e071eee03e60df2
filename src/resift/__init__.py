"""resift: the precision stage for RAG. Put retrieved documents in the order a cross-encoder gives them.

These are the names that users hold. `resift.scorer` is for authors of scorers, `resift.adapters` for authors of
adapters to frameworks. `resift.chroma`, `resift.llm`, `resift.evaluation`, `resift.training` and `resift.testing` are
public too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resift.embedders.dense import DenseEmbedder as DenseEmbedder
    from resift.embedders.load import load_embedder as load_embedder
    from resift.embedders.static import StaticEmbedder as StaticEmbedder
    from resift.errors import BatchWarning as BatchWarning
    from resift.errors import InputError as InputError
    from resift.errors import LanguageWarning as LanguageWarning
    from resift.errors import LexicalWarning as LexicalWarning
    from resift.errors import MissingExtraError as MissingExtraError
    from resift.errors import ModelFileError as ModelFileError
    from resift.errors import OverloadedError as OverloadedError
    from resift.errors import RemoteError as RemoteError
    from resift.errors import ResiftError as ResiftError
    from resift.errors import ScorerError as ScorerError
    from resift.errors import StatesWarning as StatesWarning
    from resift.errors import TruncationWarning as TruncationWarning
    from resift.errors import UnknownModelError as UnknownModelError
    from resift.explanation.explanation import Explanation as Explanation
    from resift.models.options import ModelOptions as ModelOptions
    from resift.reranking.diversity import diversify as diversify
    from resift.reranking.ranking import Hit as Hit
    from resift.reranking.ranking import Ranking as Ranking
    from resift.reranking.ranking import Stats as Stats
    from resift.reranking.reranker import Reranker as Reranker
    from resift.reranking.sentences import Pruned as Pruned
    from resift.reranking.sentences import ScoredSentence as ScoredSentence
    from resift.scorer import Scale as Scale
    from resift.scorer import Scorer as Scorer
    from resift.scoring.cached import Cached as Cached
    from resift.scoring.cascade import Cascade as Cascade
    from resift.scoring.ensemble import Ensemble as Ensemble
    from resift.scoring.ensemble import Fused as Fused
    from resift.scoring.fallback import Fallback as Fallback
    from resift.scoring.fusion import fuse as fuse
    from resift.scoring.load import load_scorer as load_scorer
    from resift.search.hybrid import HybridFirstStage as HybridFirstStage
    from resift.search.two_stage import FirstStage as FirstStage
    from resift.search.two_stage import MemoryFirstStage as MemoryFirstStage
    from resift.search.two_stage import Passage as Passage
    from resift.search.two_stage import TwoStageSearch as TwoStageSearch

_MODULES = {  # module → its public names; a test holds it to the imports above, which are for type checkers and editors
    "embedders.dense": ("DenseEmbedder",),
    "embedders.load": ("load_embedder",),
    "embedders.static": ("StaticEmbedder",),
    "errors": (
        "BatchWarning",
        "InputError",
        "LanguageWarning",
        "LexicalWarning",
        "MissingExtraError",
        "ModelFileError",
        "OverloadedError",
        "RemoteError",
        "ResiftError",
        "ScorerError",
        "StatesWarning",
        "TruncationWarning",
        "UnknownModelError",
    ),
    "explanation.explanation": ("Explanation",),
    "models.options": ("ModelOptions",),
    "reranking.diversity": ("diversify",),
    "reranking.ranking": ("Hit", "Ranking", "Stats"),
    "reranking.reranker": ("Reranker",),
    "reranking.sentences": ("Pruned", "ScoredSentence"),
    "scorer": ("Scale", "Scorer"),
    "scoring.cached": ("Cached",),
    "scoring.cascade": ("Cascade",),
    "scoring.ensemble": ("Ensemble", "Fused"),
    "scoring.fallback": ("Fallback",),
    "scoring.fusion": ("fuse",),
    "scoring.load": ("load_scorer",),
    "search.hybrid": ("HybridFirstStage",),
    "search.two_stage": ("FirstStage", "MemoryFirstStage", "Passage", "TwoStageSearch"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import resift` itself stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'resift' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"resift.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    """Show the public names, used already or not."""
    return __all__
