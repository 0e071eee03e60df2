"""A query and a document as a network reads them: tokens, the words that they belong to, the score, the window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.pipeline import Pipeline
from resift.explanation.explanation import Explanation
from resift.explanation.words import Word, find_words, read_words, words_of_tokens
from resift.scorer import Request, Scorer, Span
from resift.text.batches import split_into_windows
from resift.text.tokenizer import Ids, Tokens

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReadPair:
    """One pair. Of a long document it has the window that gave the score, or the beginning."""

    query: str
    document: str
    score: float
    span: Span | None
    query_ids: Ids
    document_ids: Ids
    query_words: tuple[Word, ...]
    document_words: tuple[Word, ...]
    rows: NDArray[np.int64]
    """Index of the word of each query token, -1 for one that stands for none."""
    columns: NDArray[np.int64]
    """The same of each document token."""

    @classmethod
    def of(cls, pipeline: Pipeline, query: str, document: str) -> ReadPair:
        """Score a pair, and read it once more. Raise InputError for a query that is too long."""
        (scores,) = pipeline.score([Request(query, [document])])
        asked, read = pipeline.tokenizer.encode([query, document])
        span = scores.spans.get(0)
        start, stop = _window(read, pipeline.network.max_document_tokens(len(asked.ids)), span)
        place = (0, len(document)) if span is None else (span.start, span.end)
        query_words = read_words(find_words(query), asked.offsets)
        document_words = read_words(find_words(document, *place), read.offsets)
        space = pipeline.tokenizer.space_id
        return cls(
            query,
            document,
            scores.values[0],
            span,
            asked.ids,
            read.ids[start:stop],
            tuple(query_words),
            tuple(document_words),
            _owners(query_words, asked, space),
            _owners(document_words, Tokens(read.ids[start:stop], read.offsets[start:stop]), space),
        )

    def with_special_tokens(self, around: tuple[int, int]) -> ReadPair:
        """Return the pair with so many special tokens before and after the tokens of each text."""
        rows, columns = (np.pad(owners, around, constant_values=-1) for owners in (self.rows, self.columns))
        return replace(self, rows=rows, columns=columns)

    def by_word(self, pairs: Floats) -> Floats:
        """Return the sums over the tokens of each pair of words, (query words, document words)."""
        joined = np.zeros((len(self.query_words), len(self.document_words)))
        rows, columns = np.flatnonzero(self.rows >= 0), np.flatnonzero(self.columns >= 0)
        np.add.at(joined, np.ix_(self.rows[rows], self.columns[columns]), pairs[np.ix_(rows, columns)])
        return joined

    def by_document_word(self, values: Floats) -> Floats:
        """Return the sums over the tokens of each document word, (document words,)."""
        sums = np.zeros(len(self.document_words))
        kept = self.columns >= 0
        np.add.at(sums, self.columns[kept], values[kept])
        return sums

    def explanation(
        self,
        scorer: Scorer,
        method: str,
        contributions: Floats,
        matrix: Floats | None,
        *,
        parts: Mapping[str, float] | None = None,
        by_part: Mapping[str, Floats] | None = None,
    ) -> Explanation:
        """Return the explanation of this pair's score."""
        span = self.span
        return Explanation(
            query=self.query,
            document=self.document,
            score=self.score,
            scale=scorer.scale,
            model=scorer.name,
            method=method,
            query_words=self.query_words,
            document_words=self.document_words,
            contributions=contributions,
            matrix=matrix,
            parts=parts or {},
            by_part=by_part or {},
            span=None if span is None else (span.start, span.end),
            truncated=span is not None and span.truncated,
        )


def _owners(words: list[Word], tokens: Tokens, space: int | None) -> NDArray[np.int64]:
    """Return the index of each token's word, -1 for a space, whose place in the text is the word's first character."""
    owners = words_of_tokens(words, tokens.offsets)
    if space is not None:
        owners[tokens.ids == space] = -1
    return owners


def _window(read: Tokens, limit: int, span: Span | None) -> tuple[int, int]:
    """Return the tokens that gave the score: all, or the window that begins and ends where the span does."""
    if span is None:
        return 0, min(len(read.ids), limit)
    for start, stop in split_into_windows(len(read.ids), limit):
        if (int(read.offsets[start, 0]), int(read.offsets[stop - 1, 1])) == (span.start, span.end):
            return start, stop
    return 0, limit
