"""What a hit says of its sentences: those that answer, and what is left of its text."""

from __future__ import annotations

from typing import Any, NamedTuple


class ScoredSentence(NamedTuple):
    """A sentence of a document, with its score for the query."""

    text: str
    start: int
    """Its place: text[start:end] of the document's own text."""
    end: int
    score: float
    """The model's own number."""
    relevance: float | None
    """The score as 0..1; None where the scale has no such reading."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-safe data."""
        return self._asdict()


class Pruned(NamedTuple):
    """What is left of a document's text."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Places in the document's own text of what is left, in order."""
    sentences_removed: int
    """Sentences and headings that are gone."""
    characters_removed: int
    """White space between sentences counts where a sentence beside it is gone."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-safe data."""
        return {**self._asdict(), "spans": [list(span) for span in self.spans]}
