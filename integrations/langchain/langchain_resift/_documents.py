"""What is read of a LangChain document, and what is written on its copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from resift import Hit, InputError, Ranking
from resift.adapters import ScoreKind, choose_score, sentence_entries, show_value


def copy_with_metadata(document: Document, entries: Mapping[str, Any]) -> Document:
    """Return a copy (same id, same class) with these entries in its metadata; an entry that is None removes its key."""
    others = {key: value for key, value in document.metadata.items() if key not in entries}
    new = {key: value for key, value in entries.items() if value is not None}
    return document.model_copy(update={"metadata": {**others, **new}})


def get_text(document: Document, metadata_keys: Sequence[str]) -> str:
    """Return the text to score: the values of these metadata fields, a line each, then the content.

    Fields that the document doesn't have are left out; a list is its items, with commas between them. Raises InputError
    for an object that is no document.
    """
    if not isinstance(document, Document):
        raise InputError(f"documents must be LangChain documents, and hold a {type(document).__name__}")
    values = [show_value(document.metadata.get(key)) for key in metadata_keys]
    return "\n".join([*filter(None, values), document.page_content])


def get_body(document: Document) -> str:
    """Return what evidence is taken from: the content alone, so that places are places there."""
    return document.page_content


def copy_with_scores(ranking: Ranking[Document], kind: ScoreKind) -> list[Document]:
    """Return copies of the ranking's documents, best first, with their score in the metadata, and pruned if asked.

    A document that has no score, and a ranking that is not the model's alone, has the flag `rerank_degraded`.
    """
    degraded = True if ranking.degraded is not None else None
    return [_copy(hit, {"relevance_score": choose_score(hit, kind), "rerank_degraded": degraded}) for hit in ranking]


def _copy(hit: Hit[Document], entries: Mapping[str, Any]) -> Document:
    copy = copy_with_metadata(hit.document, {**entries, **sentence_entries(hit)})
    return copy if hit.pruned is None else copy.model_copy(update={"page_content": hit.pruned.text})
