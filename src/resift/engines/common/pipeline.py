"""The path from requests to scores that every local engine shares: tokenise, cut, batch, run the network, collect."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resift.errors import InputError
from resift.scorer import LongDocuments, Request, Scores, Span, Usage
from resift.text.batches import plan_batches, split_into_windows
from resift.text.language import EnglishCheck
from resift.text.tokenizer import Ids, TextTokenizer, Tokens

Counts = NDArray[np.int_]
"""Numbers of tokens, one per pair of query and document, (pairs,)."""

BatchScorer = Callable[[Sequence[tuple[int, Ids]]], ArrayLike]
"""Takes one batch, a row being (index of its query, token ids of its document), and returns a logit per row.

The logits are read after the last batch was started, so a GPU can compute while the next batches are prepared.
"""


@runtime_checkable
class StateReusingScorer(Protocol):
    """A `BatchScorer` that can take a document's states from a store instead of computing them."""

    from_store: NDArray[np.bool_]
    """(rows,) of the last batch: True where the document's states came from the store."""
    computed: Counts | None
    """(rows,) of the last batch: the tokens that were computed for each, padding included, 0 for those from the store.
    None where all rows were padded to the longest."""
    batch_factor: int
    """How many times as many tokens as usual a batch may have: reading takes less memory than encoding."""


LONG_DOCUMENT_MODES: tuple[LongDocuments, ...] = ("truncate", "max_window", "first_window")
MIN_DOCUMENT_TOKENS = 8  # a query that leaves fewer tokens for the document is refused


class Network(Protocol):
    """What differs between engines: how much fits, what a pair costs, and the forward pass."""

    def max_document_tokens(self, query_tokens: int) -> int:
        """Return how many document tokens fit beside a query of `query_tokens`; below 1 if the query is too long."""

    def count_tokens(self, query_tokens: Counts, document_tokens: Counts) -> Counts:
        """Return the tokens that the network computes for each pair, special tokens included, (pairs,)."""

    def prepare(self, queries: Sequence[Ids]) -> BatchScorer:
        """Compute what depends on the queries alone, once, and return the scorer for batches of their documents."""


class PromptText(NamedTuple):
    """Text that is put around every query and document, and tokenised together with it."""

    before_query: str = ""
    after_query: str = ""
    before_document: str = ""


NO_PROMPT = PromptText()


class TokenRow(NamedTuple):
    """One row for the network: tokens `start` to `stop` of a document, scored for the query of a request."""

    request: int
    document: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Scores requests with a tokenizer and a network. Holds no state between calls: any thread may use it."""

    tokenizer: TextTokenizer
    network: Network
    long_documents: LongDocuments
    batch_tokens: int
    prompt: PromptText = NO_PROMPT
    english: EnglishCheck | None = None
    """Counts the documents that are plainly not English, for a model that reads nothing else."""

    def __post_init__(self) -> None:
        if self.long_documents not in LONG_DOCUMENT_MODES:
            raise InputError(f"long_documents is one of {', '.join(LONG_DOCUMENT_MODES)}, not {self.long_documents!r}")
        if self.batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, got {self.batch_tokens}")

    def score(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the scores of each request, in order. Raise InputError for a query that is too long."""
        if not requests:
            return []
        started = time.perf_counter()
        before, after, _ = self.prompt
        query_texts = [f"{before}{request.query}{after}" for request in requests]
        queries = [tokens.ids for tokens in self.tokenizer.encode(query_texts)]
        limits = [self._document_limit(query, request.query) for query, request in zip(queries, requests, strict=True)]
        documents = self._tokenize_documents(requests, max(limits))
        rows_by_request = [
            [
                TokenRow(request_index, document_index, start, stop)
                for document_index, tokens in enumerate(request_documents)
                for start, stop in self._select_parts(len(tokens.ids), limit)
            ]
            for request_index, (request_documents, limit) in enumerate(zip(documents, limits, strict=True))
        ]
        rows = list(chain.from_iterable(rows_by_request))
        tokenized = time.perf_counter()
        results = self._run_network(rows, queries, documents)
        seconds = {"tokenize": tokenized - started, "model": time.perf_counter() - tokenized}
        return [
            self._collect_scores(
                range(stop - len(request_rows), stop), rows, request, request_documents, results, seconds
            )
            for request_rows, stop, request, request_documents in zip(
                rows_by_request, accumulate(map(len, rows_by_request)), requests, documents, strict=True
            )
        ]

    def _document_limit(self, query: Ids, text: str) -> int:
        limit = self.network.max_document_tokens(len(query))
        if limit < MIN_DOCUMENT_TOKENS:
            raise InputError(
                f"the query has {len(query)} tokens, which leaves {max(limit, 0)} for a document "
                f"(at least {MIN_DOCUMENT_TOKENS} are needed): shorten the query {text[:40]!r}… or use a model with a "
                "longer input"
            )
        return limit

    def _tokenize_documents(self, requests: Sequence[Request], limit: int) -> list[list[Tokens]]:
        """Return each request's tokenised documents. A text that occurs several times is tokenised once."""
        indices: dict[str, int] = {}
        for request in requests:
            for text in request.documents:
                indices.setdefault(text, len(indices))
        needed_tokens = None if self.long_documents == "max_window" else limit
        tokens = self.tokenizer.encode([f"{self.prompt.before_document}{text}" for text in indices], needed_tokens)
        return [[tokens[indices[text]] for text in request.documents] for request in requests]

    def _select_parts(self, tokens: int, limit: int) -> list[tuple[int, int]]:
        """Return the token ranges of a document that are scored: the whole, its beginning, or overlapping windows."""
        if self.long_documents == "max_window":
            return split_into_windows(tokens, limit)
        return [(0, min(tokens, limit))]

    def _run_network(
        self, rows: Sequence[TokenRow], queries: Sequence[Ids], documents: Sequence[Sequence[Tokens]]
    ) -> _RowResults:
        query_tokens = np.array([len(queries[row.request]) for row in rows], int)
        document_tokens = np.array([row.stop - row.start for row in rows], int)
        lengths = self.network.count_tokens(query_tokens, document_tokens)
        results = _RowResults(
            np.empty(len(rows), np.float64),
            lengths,
            lengths.copy(),
            np.zeros(len(rows), int),
            np.zeros(len(rows), bool),
        )
        score_batch = self.network.prepare(queries)
        stateful = score_batch if isinstance(score_batch, StateReusingScorer) else None  # slow to ask for each batch
        batch_logits: list[tuple[list[int], ArrayLike]] = []
        batch_tokens = self.batch_tokens * (1 if stateful is None else stateful.batch_factor)
        for batch_index, batch in enumerate(plan_batches(lengths.tolist(), batch_tokens)):
            logits = score_batch(
                [
                    (row.request, documents[row.request][row.document].ids[row.start : row.stop])
                    for row in (rows[index] for index in batch)
                ]
            )
            batch_logits.append((batch, logits))
            results.padded_lengths[batch] = lengths[batch].max()
            if stateful is not None:
                results.from_store[batch] = stateful.from_store
                if stateful.computed is not None:
                    results.padded_lengths[batch] = np.where(
                        stateful.from_store, lengths[batch].max(), stateful.computed
                    )
            results.batches[batch] = batch_index
        for batch, logits in batch_logits:
            results.logits[batch] = logits
        return results

    def _collect_scores(
        self,
        request_rows: range,
        rows: Sequence[TokenRow],
        request: Request,
        documents: Sequence[Tokens],
        results: _RowResults,
        seconds: dict[str, float],
    ) -> Scores:
        """Return one request's scores, each the best of its document's rows.

        The seconds of a pass are shared out among its requests in proportion to their padded tokens.
        """
        best_rows: dict[int, int] = {}
        for row in request_rows:
            index = rows[row].document
            if index not in best_rows or results.logits[row] > results.logits[best_rows[index]]:
                best_rows[index] = row
        spans = {}
        for index, row in best_rows.items():
            _, _, start, stop = rows[row]
            offsets = documents[index].offsets
            if stop - start < len(offsets):
                first, last = int(offsets[start, 0]), int(offsets[stop - 1, 1])
                prompt = len(self.prompt.before_document)
                truncated = self.long_documents != "max_window"
                spans[index] = Span(max(first - prompt, 0), last - prompt, truncated)
        own = slice(request_rows.start, request_rows.stop)
        computed = ~results.from_store[own]
        share = int(results.padded_lengths[own].sum()) / max(1, int(results.padded_lengths.sum()))
        usage = Usage(
            pairs=len(request_rows),
            tokens=int(results.lengths[own][computed].sum()),
            padded_tokens=int(results.padded_lengths[own][computed].sum()),
            batches=len(set(results.batches[own].tolist())),
            states_kept=int(results.from_store[own].sum()),
            not_english=0 if self.english is None else self.english.count(request.documents, documents),
            seconds={stage: spent * share for stage, spent in seconds.items()},
        )
        values = tuple(results.logits[best_rows[index]].item() for index in range(len(documents)))
        return Scores(values, usage, spans)


@dataclass(frozen=True, slots=True)
class _RowResults:
    """Results of running the network, one entry per row."""

    logits: NDArray[np.float64]
    lengths: Counts
    """Tokens that the network computes for the row."""
    padded_lengths: Counts
    """The same with padding: the length of the longest row of its batch."""
    batches: NDArray[np.int_]
    """Index of the batch that the row was in."""
    from_store: NDArray[np.bool_]
