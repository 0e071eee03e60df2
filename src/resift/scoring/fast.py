"""`resift:fast`: `resift:tiny` over a whole list, `resift:small` over its best, as one model with one scale."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from resift.engines.onnx import BATCH_TOKENS, OnnxScorer
from resift.engines.tiny import MAX_DOCUMENT_TOKENS, TinyScorer
from resift.models.bundled import BUNDLED, FAST, bundled_folder
from resift.models.options import ControlTokens
from resift.scorer import LongDocuments, Request, Scale, Scorer, Scores, Span, WrapperScorer, as_scores, score_many

DEPTH = 30  # documents that the second model reads: chosen on the development collections, docs/models.md


class FastScorer(WrapperScorer):
    """Scores a list with `resift:tiny`, and the best `DEPTH` of it again with `resift:small`.

    The best have the logits of `resift:small`. The others follow with those of `resift:tiny`, or with the lowest of
    the best where that is less: so all of them are log-odds, and the order is that of the scores. A list of up to
    `DEPTH` documents is scored by `resift:small` alone. A document's score depends on which others are in its list, so
    scores aren't cached, and a deadline takes a list whole or not at all.

    Args:
        long_documents: "max_window" scores overlapping windows of a long document and takes the best, "truncate" scores
            its beginning and warns, "first_window" scores its beginning without a warning.
        max_length: Tokens to read of a document, 1 to 256.
        batch_tokens: Tokens in one batch, padding included. Bounds memory, changes no score.
        control_tokens: "text" reads a special token that a text spells, such as `[SEP]`, as its letters, "model" as the
            token itself.
        threads: CPU threads. Default: one per core.
        keep_states: Bytes of document states to keep, of those that `resift:small` has read.
        states_file: A file for them, shared by processes.

    Raises:
        ModelFileError: A bundled file is damaged.
        InputError: An option is out of range.
    """

    def __init__(
        self,
        *,
        long_documents: LongDocuments = "max_window",
        max_length: int = MAX_DOCUMENT_TOKENS,
        batch_tokens: int = BATCH_TOKENS,
        control_tokens: ControlTokens = "text",
        threads: int | None = None,
        keep_states: int = 0,
        states_file: str | os.PathLike[str] | None = None,
    ) -> None:
        shared: dict[str, Any] = {
            "long_documents": long_documents,
            "max_length": max_length,
            "batch_tokens": batch_tokens,
            "control_tokens": control_tokens,
            "threads": threads,
        }
        states: dict[str, Any] = {"keep_states": keep_states, "states_file": states_file}
        first = TinyScorer(**shared)
        second = OnnxScorer(str(bundled_folder(BUNDLED[0])), **shared, **states)
        super().__init__(first, second, loaded=(first, second))
        self._options = {**shared, **states}

    @property
    def name(self) -> str:
        """The name that it is loaded by."""
        return f"resift:{FAST}"

    @property
    def scale(self) -> Scale:
        """Log-odds, as both models give."""
        return Scale.LOGIT

    @property
    def whole_lists(self) -> bool:
        """Always: which documents the second model reads depends on the whole list."""
        return True

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return one logit per document for each request, the documents of all requests batched together.

        Raise InputError if a query alone is longer than the models read.
        """
        first, second = self.scorers
        long = [index for index, request in enumerate(requests) if len(request.documents) > DEPTH]
        rough = dict(zip(long, _scores(first, [requests[index] for index in long]), strict=True))
        best = [
            _best(rough[index]) if index in rough else list(range(len(request.documents)))
            for index, request in enumerate(requests)
        ]
        read = [
            Request(request.query, [request.documents[index] for index in indices])
            for request, indices in zip(requests, best, strict=True)
        ]
        exact = _scores(second, read)
        return [
            _joined(rough[index], indices, answer) if index in rough else answer
            for index, (indices, answer) in enumerate(zip(best, exact, strict=True))
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(type(self), **self._options), ())


def _scores(scorer: Scorer, requests: Sequence[Request]) -> list[Scores]:
    """Return an engine's answers; nothing is asked where there are no requests."""
    answers = score_many(scorer, requests) if requests else []
    return [
        as_scores(scorer, answer, len(request.documents)) for request, answer in zip(requests, answers, strict=True)
    ]


def _best(rough: Scores) -> list[int]:
    """Return the indices of the best `DEPTH`; equal scores go by the order that was given."""
    return sorted(range(len(rough)), key=lambda index: -rough[index])[:DEPTH]


def _joined(rough: Scores, best: Sequence[int], exact: Scores) -> Scores:
    """Return the second model's scores for the best, and the first's, no higher than any of those, for the others."""
    lowest = min(exact.values)
    values = [min(score, lowest) for score in rough.values]
    for index, score in zip(best, exact.values, strict=True):
        values[index] = score
    order = sorted(range(len(best)), key=lambda position: -exact[position])
    taken = set(best)
    others = sorted((index for index in range(len(rough)) if index not in taken), key=lambda index: -rough[index])
    spans: Mapping[int, Span] = {
        **{index: span for index, span in rough.spans.items() if index not in taken},
        **{best[position]: span for position, span in exact.spans.items()},
    }
    return replace(
        exact,
        values=tuple(values),
        usage=replace(rough.usage + exact.usage, not_english=rough.usage.not_english),
        spans=spans,
        order=(*(best[position] for position in order), *others),
    )
