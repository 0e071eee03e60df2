"""What is read of a LangChain document, and what is written on its copy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from resift import Hit, Ranking


def noted(document: Document, notes: Mapping[str, Any]) -> Document:
    """A copy (same id, same class) whose metadata has the notes; a note that is None takes its key out."""
    kept = {key: value for key, value in document.metadata.items() if key not in notes}
    fresh = {key: value for key, value in notes.items() if value is not None}
    return document.model_copy(update={"metadata": {**kept, **fresh}})


def scored_text(document: Document, metadata_keys: Sequence[str]) -> str:
    """The values of these metadata fields, a line each, then the content. Fields that are missing are left out."""
    values = [document.metadata.get(key) for key in metadata_keys]
    return "\n".join([*(str(value) for value in values if value is not None), document.page_content])


def reranked(ranking: Ranking[Document]) -> list[Document]:
    """Copies of the ranking's documents that carry their score, or the flag that there is none."""
    degraded = ranking.degraded is not None or None
    return [noted(hit.document, {"relevance_score": _score(hit), "rerank_degraded": degraded}) for hit in ranking]


def report(ranking: Ranking[Document]) -> dict[str, Any]:
    """The ranking for a tracer: JSON-safe, without the texts, which the traced inputs hold already."""
    whole = ranking.to_dict()
    return {**whole, "hits": [{key: hit[key] for key in hit if key != "text"} for hit in whole["hits"]]}


def _score(hit: Hit[Document]) -> float | None:
    if hit.relevance is not None:
        return hit.relevance
    return None if math.isnan(hit.score) else hit.score
