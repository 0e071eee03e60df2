"""What the page is told: a search with both stages, and an explanation, as data that its scripts draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from resift.documents.passages import body
from resift.explanation.explanation import Explanation
from resift.explanation.shades import figures, shown, strengths
from resift.explanation.svg import heat_map_cells
from resift.reranking.ranking import Ranking
from resift.search.candidates import Passage

TOP_WORDS = 8


def describe_passage(passage: Passage) -> dict[str, Any]:
    """Return where a passage comes from, and its text without the line that says so."""
    metadata = passage.metadata
    title, section = str(metadata.get("title", "")), str(metadata.get("section", ""))
    page = f"page {metadata['page']}" if "page" in metadata else ""
    source = [part for part in (str(metadata.get("path", passage.id)), section or title, page) if part]
    return {
        "id": passage.id,
        "source": source[0],
        "place": " · ".join(source[1:]),
        "body": body(passage.text, title, section),
        "similarity": _finite(passage.similarity),
    }


def describe_search(
    ranking: Ranking[Passage],
    base: Ranking[Passage],
    kept: Sequence[bool],
    grades: Sequence[int | None],
) -> dict[str, Any]:
    """Return a search as the page shows it.

    Args:
        ranking: All candidates in their final order.
        base: The same in the model's own order, which is another one where it was fused with the first stage's.
        kept: For each hit, whether the chosen number and threshold keep it.
        grades: For each hit, its mark.
    """
    own = {hit.index: hit for hit in base}
    hits = [
        {
            **describe_passage(hit.document),
            "rank": hit.rank,
            "was": hit.index + 1,
            "moved": hit.moved,
            "score": _finite(own[hit.index].score),
            "relevance": own[hit.index].relevance,
            "fused": hit.score if ranking is not base else None,
            "found": {half: place.rank for half, place in hit.document.found.items()},
            "truncated": own[hit.index].truncated,
            "kept": keep,
            "mark": mark_of(grade),
        }
        for hit, keep, grade in zip(ranking, kept, grades, strict=True)
    ]
    return {
        "query": base.query,
        "model": base.model,
        "scale": str(base.scale),
        "degraded": base.degraded,
        "truncated": base.stats.truncated,
        "stages": _stages(base),
        "pairs": base.stats.pairs,
        "hits": hits,
    }


def mark_of(grade: int | None) -> str | None:
    """Return what the page calls a grade."""
    return None if grade is None else "right" if grade > 0 else "wrong"


def describe_explanation(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as pieces of text with what they contribute, a heat map and the parts of the score."""
    rows, columns, values = heat_map_cells(explanation)
    evidence = explanation.evidence
    return {
        "model": explanation.model,
        "method": explanation.method,
        "score": explanation.score,
        "pairs_scored": explanation.pairs_scored,
        "truncated": explanation.truncated,
        "pieces": _pieces(explanation),
        "evidence": None if evidence is None else evidence.text,
        "parts": [{"name": name, "value": value} for name, value in figures(explanation)],
        "words": [{"text": word.text, "value": value} for word, value in explanation.top_words(TOP_WORDS) if value > 0],
        "map": {
            "rows": rows,
            "columns": columns,
            "values": np.round(values, 4).tolist(),
            "largest": float(np.abs(values).max(initial=0)),
        },
    }


def _pieces(explanation: Explanation) -> list[dict[str, Any]]:
    """Return the shown part of the document in pieces: words with a strength, and what lies between them."""
    start, end = shown(explanation)
    evidence = explanation.evidence
    cited = (evidence.start, evidence.end) if evidence is not None else (0, 0)
    pieces: list[dict[str, Any]] = []
    if start > 0:
        pieces.append({"text": "… "})
    place = start
    shares = strengths(explanation.contributions).tolist()
    for word, contribution, share in zip(
        explanation.document_words, explanation.contributions.tolist(), shares, strict=True
    ):
        if word.start < start or word.end > end:
            continue
        pieces += _between(explanation.document, place, word.start, cited)
        inside = cited[0] <= word.start and word.end <= cited[1]
        piece = {"text": explanation.document[word.start : word.end], "value": contribution, "strength": share}
        pieces.append({**piece, "evidence": inside})
        place = word.end
    pieces += _between(explanation.document, place, end, cited)
    if end < len(explanation.document):
        pieces.append({"text": " …"})
    return pieces


def _between(document: str, start: int, end: int, cited: tuple[int, int]) -> list[dict[str, Any]]:
    if start >= end:
        return []
    return [{"text": document[start:end], "evidence": cited[0] <= start and end <= cited[1]}]


def _stages(ranking: Ranking[Passage]) -> list[dict[str, Any]]:
    """Return the times of both stages, and what the second is made of where the engine says it."""
    seconds = dict(ranking.stats.seconds)
    first, total = seconds.pop("first_stage", 0.0), seconds.pop("total", 0.0)
    second = max(0.0, total - first)
    details = [{"name": name, "seconds": spent} for name, spent in seconds.items() if 0 < spent <= second]
    return [
        {"name": "first stage", "seconds": first, "details": []},
        {"name": "reranking", "seconds": second, "details": details},
    ]


def _finite(number: float | None) -> float | None:
    """Return a number that JSON holds; None for NaN, which a failing model or a vector without length gives."""
    return number if number is not None and math.isfinite(number) else None
