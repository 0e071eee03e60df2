"""A scorer that cuts, and the warnings that Python shows of it by default."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from resift.scorer import Request, Scale, ScorerBase, Scores, Span

LONG = "a text that is longer than three letters"


class CuttingScorer(ScorerBase):
    """Reads three letters of a text."""

    name = "cutting"
    scale = Scale.SIMILARITY
    long_documents = "truncate"

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the lengths of the texts, with a span where there are more than three letters."""
        return [
            Scores(
                tuple(float(len(text)) for text in documents),
                spans={index: Span(0, 3, truncated=True) for index, text in enumerate(documents) if len(text) > 3},
            )
            for _, documents in requests
        ]


@contextmanager
def shown_by_default(module: dict[str, Any]) -> Iterator[list[warnings.WarningMessage]]:
    """Yield the warnings that Python shows by default, as if none had been shown before at this module's lines."""
    module.pop("__warningregistry__", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        yield caught
