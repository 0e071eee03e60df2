"""Blank texts are scored here and never sent: Voyage refuses a whole list for one of them and doesn't say which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from resift._util.arguments import is_blank
from resift.scorer import Scale, Scores

BLANK_SCORES = {Scale.PROBABILITY: 0.0, Scale.LOGIT: -100.0, Scale.SIMILARITY: -2.0, Scale.ORDINAL: -2.0}
"""What a text without a letter scores: below every logit and every cosine that a model gives; -100 is a relevance of
4e-44. The same in every list, so that lists can be compared."""


def filled_indices(documents: Sequence[str]) -> list[int]:
    r"""Return the indices of the documents that have something to see in them.

    >>> filled_indices(["red", "", " \u200b", "blue"])
    [0, 3]
    """
    return [index for index, text in enumerate(documents) if not is_blank(text)]


def add_blanks(scores: Scores, indices: Sequence[int], document_count: int, scale: Scale) -> Scores:
    """Return the scores of all documents of a list: `scores` at `indices`, and the lowest for the others.

    A service whose scores go below BLANK_SCORES gets a lower one. Of equal scores, the blank texts' come last.

    >>> add_blanks(Scores((0.0, 0.5), order=(1, 0)), [1, 2], 3, Scale.PROBABILITY)[:]
    (0.0, 0.0, 0.5)
    """
    if len(indices) == document_count:
        return scores
    by_index = dict(zip(indices, scores.values, strict=True))
    lowest = min(scores.values, default=0.0)
    blank = min(BLANK_SCORES[scale], lowest if scale is Scale.PROBABILITY else lowest - 1)
    blanks = [index for index in range(document_count) if index not in by_index]
    return replace(
        scores,
        values=tuple(by_index.get(index, blank) for index in range(document_count)),
        order=(*(indices[position] for position in scores.order), *blanks),
    )
