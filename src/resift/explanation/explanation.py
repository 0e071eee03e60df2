"""An explanation as data: words, what they contribute, the parts of the score, and the best sentence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resift.explanation.words import Word
from resift.scorer import Scale
from resift.text.sentences import Sentence, find_sentences


class Evidence(NamedTuple):
    """The sentence of the document that speaks most for its score."""

    text: str
    start: int
    end: int
    contribution: float
    """What its words contribute, for each query word the most. See `Explanation.evidence`."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Explanation:
    """Which words of a document carried its score, for which words of the query.

    Places are characters of the caller's own texts. Contributions are in units of the score: above 0 a word speaks for
    the document, below 0 against it.
    """

    query: str
    document: str
    """The text that was scored."""
    score: float
    scale: Scale
    model: str
    method: str
    """"parts": the network's own sums, which add up to the score. "occlusion of words" (of sentences, of groups): by
    how much the score falls without them."""
    query_words: tuple[Word, ...]
    document_words: tuple[Word, ...]
    """The words of what was read of the document, punctuation too."""
    contributions: NDArray[np.float64]
    """What each document word contributes, (document words,)."""
    matrix: NDArray[np.float64] | None
    """What each pair contributes, (query words, document words); None where it was not asked for every pair."""
    parts: Mapping[str, float]
    """What each part of the network contributes; the parts are the whole score. Empty where no parts are known."""
    by_part: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Part → what each document word contributes to it, (document words,)."""
    span: tuple[int, int] | None = None
    """The part of the document that gave the score, as in `Hit.span`; None: all of it."""
    truncated: bool = False
    """Whether part of the document went unread."""
    pairs_scored: int = 1
    """Texts that the model was asked to score for this."""

    @property
    def adds_up(self) -> bool:
        """Whether contributions and `unassigned` are the score, exactly. Occlusion has no such sum."""
        return self.method == "parts"

    @property
    def unassigned(self) -> float | None:
        """What no word contributes: the network's constant, and special tokens. None unless it adds up."""
        return self.score - float(self.contributions.sum()) if self.adds_up else None

    def top_words(self, count: int = 5) -> list[tuple[Word, float]]:
        """Return the document's words that contribute most, the most first, and what they do. Punctuation is left out.

        Args:
            count: How many, at most.
        """
        spoken = [index for index, word in enumerate(self.document_words) if word.is_spoken]
        spoken.sort(key=lambda index: -self.contributions[index])
        return [(self.document_words[index], float(self.contributions[index])) for index in spoken[:count]]

    @property
    def evidence(self) -> Evidence | None:
        """The best sentence: each query word takes its best word there, so that a long one is no better for its length.

        Where pairs are not known, it is the sum of the words. None for a document without words.
        """
        start, end = self.span or (0, len(self.document))
        sentences = find_sentences(self.document, start, end)
        starts = np.array([word.start for word in self.document_words])
        best: Evidence | None = None
        for sentence in sentences:
            inside = slice(int(starts.searchsorted(sentence.start)), int(starts.searchsorted(sentence.end)))
            value = self._worth(inside)
            if inside.start < inside.stop and (best is None or value > best.contribution):
                best = _evidence(self.document, sentence, value)
        return best

    def _worth(self, words: slice) -> float:
        if self.matrix is None or not len(self.query_words) or words.start >= words.stop:
            return float(self.contributions[words].sum())
        return float(np.maximum(self.matrix[:, words].max(1), 0).sum())

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON-safe data."""
        evidence = self.evidence
        return {
            "query": self.query,
            "document": self.document,
            "model": self.model,
            "scale": str(self.scale),
            "score": self.score,
            "method": self.method,
            "pairs_scored": self.pairs_scored,
            "span": None if self.span is None else list(self.span),
            "truncated": self.truncated,
            "parts": dict(self.parts),
            "unassigned": self.unassigned,
            "query_words": [word._asdict() for word in self.query_words],
            "document_words": [
                {**word._asdict(), "contribution": float(contribution)}
                for word, contribution in zip(self.document_words, self.contributions, strict=True)
            ],
            "by_part": {name: values.tolist() for name, values in self.by_part.items()},
            "matrix": None if self.matrix is None else self.matrix.tolist(),
            "evidence": None if evidence is None else evidence._asdict(),
        }

    def to_svg(self) -> str:
        """Return the heat map of query words and document words as an SVG image, which needs nothing beside it."""
        from resift.explanation.svg import heat_map  # imported late: most callers want the numbers

        return heat_map(self)

    def to_png(self, path: str | os.PathLike[str]) -> None:
        """Write the heat map as a PNG image, for where an SVG can't be shown, such as slides. Needs `resift[eval]`.

        Args:
            path: The file to write; its name ends in .png.

        Raises:
            MissingExtraError: matplotlib is not installed.
            InputError: The name of another kind of file.
            OSError: The file can't be written.
        """
        from resift.explanation.png import write_png

        write_png(self, path)

    def to_html(self) -> str:
        """Return a page of its own: the document with its words marked, the heat map, and the parts of the score."""
        from resift.explanation.html import page

        return page(self)

    def to_text(self) -> str:
        """Return lines for a terminal without colours: the document with marks, the words and the parts."""
        from resift.explanation.terminal import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from resift.explanation.html import fragment

        return fragment(self)

    def __repr__(self) -> str:
        words = ", ".join(f"{word.text} {value:+.2f}" for word, value in self.top_words(3))
        return f"<Explanation of {self.score:.3f} by {self.model}, {self.method}: {words}>"


def _evidence(document: str, sentence: Sentence, contribution: float) -> Evidence:
    return Evidence(document[sentence.start : sentence.end], sentence.start, sentence.end, contribution)
