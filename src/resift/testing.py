"""Scorers without a model for tests of your own, and the checks that every scorer must pass.

>>> from resift import Reranker
>>> Reranker(OverlapScorer()).rank("red fox", ["a blue whale", "the red fox"])[0].document
'the red fox'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from resift.scorer import Request, Scale, Scorer, check_scores, score_many


@dataclass(frozen=True, slots=True)
class OverlapScorer:
    """The share of the query's words that a text contains, 0..1. Deterministic, no model."""

    name: str = "overlap"
    scale: Scale = Scale.PROBABILITY

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one share per document."""
        words = _words(query)
        return [len(words & _words(document)) / max(1, len(words)) for document in documents]


@dataclass(slots=True)
class ScriptedScorer:
    """Gives the same answer to every request, and keeps the requests in `calls`.

    `answer` may be an exception, which is raised.
    """

    answer: Sequence[float] | Exception
    name: str = "scripted"
    scale: Scale = Scale.LOGIT
    calls: list[Request] = field(default_factory=list)

    def score(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        """Return the answer, or raise it."""
        self.calls.append(Request(query, tuple(documents)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def check_scorer(scorer: Scorer, tolerance: float = 1e-4) -> None:
    """Check what every scorer promises.

    Scores are finite, one per document and in their order. They are the same alone, together with others, in another
    order, and together with another query.

    Args:
        scorer: Yours.
        tolerance: By how much the same score may differ.

    Raises:
        AssertionError: It says which promise is broken.
    """
    query, other = "which animal eats bamboo?", "how are bonds taxed?"
    documents = ["Pandas eat bamboo all day.", "Bond interest is taxed as income.", "", "Bamboo " * 40]
    scores = check_scores(scorer, scorer.score(query, documents), range(len(documents)))
    assert isinstance(scorer.scale, Scale), f"scale is a Scale, not {scorer.scale!r}"
    assert scorer.name, "a scorer has a name"
    _same("scored alone", scores, [scorer.score(query, [document])[0] for document in documents], tolerance)
    _same("in reverse order", scores, list(scorer.score(query, documents[::-1]))[::-1], tolerance)
    together = score_many(scorer, [Request(other, documents), Request(query, documents)])
    _same("asked with another query", scores, together[1], tolerance)
    assert len(scorer.score(query, [])) == 0, "no documents, no scores"


def _same(how: str, expected: Sequence[float], found: Sequence[float], tolerance: float) -> None:
    worst = max(abs(before - after) for before, after in zip(expected, found, strict=True))
    assert worst <= tolerance, f"{how}, a score differs by {worst} (tolerance {tolerance})"


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
