"""What goes into a ranking call and comes out of it, as both adapters have it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from resift.reranking.ranking import Hit, Ranking

ScoreKind = Literal["relevance", "raw"]
"""What an adapter writes as a document's score: the relevance 0..1, or the model's own number."""


def choose_score(hit: Hit[Any], kind: ScoreKind) -> float | None:
    """Return the score to write on a document, or None where the model gave none.

    Args:
        hit: A hit of a ranking.
        kind: "relevance" is 0..1, or the model's own number where its scale has no such reading; "raw" is always
            the model's own number (a logit for most cross-encoders).

    >>> choose_score(Hit("d", "d", 2.5, 0.9, index=0, rank=1), "relevance")
    0.9
    """
    if math.isnan(hit.score):  # the scorer failed and the order was kept
        return None
    return hit.relevance if kind == "relevance" and hit.relevance is not None else hit.score


EVIDENCE_KEY = "rerank_evidence"
"""The metadata key of the sentences that answer, best first: each with text, start, end, score and relevance."""
SPANS_KEY = "rerank_spans"
"""The metadata key of the places in the whole text, [start, end], of what `prune` left of it."""


def sentence_entries(hit: Hit[Any]) -> dict[str, Any]:
    """Return what an adapter adds to a copy's metadata; None where there is nothing to say.

    Args:
        hit: A hit of a ranking.

    >>> sentence_entries(Hit("d", "d", 2.5, 0.9, index=0, rank=1))
    {'rerank_evidence': None, 'rerank_spans': None}
    """
    return {
        EVIDENCE_KEY: [sentence.to_dict() for sentence in hit.evidence] or None,
        SPANS_KEY: None if hit.pruned is None else [list(span) for span in hit.pruned.spans],
    }


def show_value(value: Any) -> str:
    """Return a metadata value as a text to read: a list, which Chroma stores too, without brackets and quotes.

    None, and NaN as tables have it, are nothing; an object's fields are `name: value`.

    >>> show_value(["red", "blue"]), show_value(1867), show_value(None), show_value({"page": 3})
    ('red, blue', '1867', '', 'page: 3')
    """
    value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {text}" for name, item in value.items() if (text := show_value(item)))
    if isinstance(value, set | frozenset):
        return ", ".join(sorted(map(show_value, value)))
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(show_value, value)))
    return str(value)


def report_ranking(ranking: Ranking[Any]) -> dict[str, Any]:
    """Return the ranking for a tracer: JSON-safe, without the texts, which the traced inputs hold already."""
    whole = ranking.to_dict()
    return {**whole, "hits": [_without_texts(hit) for hit in whole["hits"]]}


def _without_texts(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_texts(value) for key, value in data.items() if key != "text"}
    return [_without_texts(value) for value in data] if isinstance(data, list) else data
