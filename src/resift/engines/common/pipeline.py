"""The way from requests to scores that every local engine shares: tokenise, cut, batch, run, gather."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resift.errors import InputError
from resift.models.options import LongDocuments
from resift.scorer import Request, Scores, Span, Usage
from resift.text.batches import plan, windows
from resift.text.tokenizer import Ids, TextTokenizer, Tokens

ScoreBatch = Callable[[Sequence[tuple[int, Ids]]], ArrayLike]
"""Logits of one batch: each row is (number of its query, document ids). Read once all batches are under way."""


@runtime_checkable
class Keeping(Protocol):
    """A `ScoreBatch` that may find what it would compute of a document where it was kept."""

    taken: NDArray[np.bool_]
    """Which rows of its last batch were: for those nothing but the reading was computed."""


MODES: tuple[LongDocuments, ...] = ("truncate", "max_window", "first_window")
LEAST_DOCUMENT = 8  # tokens that must be left for the document; with fewer, a query is too long to be answered


class Network(Protocol):
    """What differs between engines: limits, cost, and the forward pass."""

    def room(self, query: int) -> int:
        """Document tokens that fit beside a query of so many; less than one when the query alone is too long."""

    def length(self, query: int, document: int) -> int:
        """Tokens the network computes for such a pair, special tokens included."""

    def open(self, queries: Sequence[Ids]) -> ScoreBatch:
        """Makes the queries ready, once, and returns what scores batches of documents for them."""


class Wording(NamedTuple):
    """What stands around texts and is tokenised with them."""

    before_query: str = ""
    after_query: str = ""
    before_document: str = ""


AS_IT_IS = Wording()


class TokenRow(NamedTuple):
    """One thing to score: tokens start..stop of a document, for a query."""

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
    wording: Wording = AS_IT_IS

    def __post_init__(self) -> None:
        if self.long_documents not in MODES:
            raise InputError(f"long_documents is one of {', '.join(MODES)}, not {self.long_documents!r}")
        if self.batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, got {self.batch_tokens}")

    def score(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores for each request, in order. Raises InputError for a query that leaves a document no room."""
        if not requests:
            return []
        started = time.perf_counter()
        before, after, _ = self.wording
        asked = [f"{before}{request.query}{after}" for request in requests]
        queries = [tokens.ids for tokens in self.tokenizer.encode(asked)]
        rooms = [self._room(query, request.query) for query, request in zip(queries, requests, strict=True)]
        documents = self._tokenize(requests, max(rooms))
        groups = [
            [
                TokenRow(number, place, start, stop)
                for place, tokens in enumerate(listed)
                for start, stop in self._parts(len(tokens.ids), room)
            ]
            for number, (listed, room) in enumerate(zip(documents, rooms, strict=True))
        ]
        rows = list(chain.from_iterable(groups))
        tokenized = time.perf_counter()
        work = self._run(rows, queries, documents)
        seconds = {"tokenize": tokenized - started, "model": time.perf_counter() - tokenized}
        return [
            self._gather(range(stop - len(group), stop), rows, listed, work, seconds)
            for group, stop, listed in zip(groups, accumulate(map(len, groups)), documents, strict=True)
        ]

    def _room(self, query: Ids, text: str) -> int:
        room = self.network.room(len(query))
        if room < LEAST_DOCUMENT:
            raise InputError(
                f"the query has {len(query)} tokens, which leaves {max(room, 0)} for a document ({LEAST_DOCUMENT} are "
                f"the least): shorten the query {text[:40]!r}… or use a model with a longer input"
            )
        return room

    def _tokenize(self, requests: Sequence[Request], room: int) -> list[list[Tokens]]:
        """Every different text once, however many queries share it."""
        places: dict[str, int] = {}
        for request in requests:
            for text in request.documents:
                places.setdefault(text, len(places))
        enough = None if self.long_documents == "max_window" else room
        tokens = self.tokenizer.encode([f"{self.wording.before_document}{text}" for text in places], enough)
        return [[tokens[places[text]] for text in request.documents] for request in requests]

    def _parts(self, tokens: int, room: int) -> list[tuple[int, int]]:
        """Which tokens of a document are scored: all, a beginning, or overlapping windows."""
        if self.long_documents == "max_window":
            return windows(tokens, room)
        return [(0, min(tokens, room))]

    def _run(self, rows: Sequence[TokenRow], queries: Sequence[Ids], documents: Sequence[Sequence[Tokens]]) -> _Work:
        lengths = np.array([self.network.length(len(queries[row.request]), row.stop - row.start) for row in rows], int)
        work = _Work(
            np.empty(len(rows), np.float64),
            lengths,
            lengths.copy(),
            np.zeros(len(rows), int),
            np.zeros(len(rows), bool),
        )
        run = self.network.open(queries)
        found: list[tuple[list[int], ArrayLike]] = []
        for number, batch in enumerate(plan(lengths.tolist(), self.batch_tokens)):
            inputs = [rows[row] for row in batch]
            logits = run(
                [(row.request, documents[row.request][row.document].ids[row.start : row.stop]) for row in inputs]
            )
            found.append((batch, logits))
            work.padded[batch] = lengths[batch].max()
            if isinstance(run, Keeping):
                work.taken[batch] = run.taken
            work.batch[batch] = number
        for batch, logits in found:
            work.logits[batch] = logits
        return work

    def _gather(
        self, mine: range, rows: Sequence[TokenRow], documents: Sequence[Tokens], work: _Work, seconds: dict[str, float]
    ) -> Scores:
        """One request's scores: each document's best part. Requests share a pass's time by the tokens they brought."""
        best: dict[int, int] = {}
        for row in mine:
            place = rows[row].document
            if place not in best or work.logits[row] > work.logits[best[place]]:
                best[place] = row
        spans = {}
        for place, row in best.items():
            _, _, start, stop = rows[row]
            offsets = documents[place].offsets
            if stop - start < len(offsets):
                whole = self.long_documents == "max_window"
                first, last = int(offsets[start, 0]), int(offsets[stop - 1, 1])
                lead = len(self.wording.before_document)
                spans[place] = Span(max(first - lead, 0), last - lead, truncated=not whole)
        own = slice(mine.start, mine.stop)
        computed = ~work.taken[own]
        share = int(work.padded[own].sum()) / max(1, int(work.padded.sum()))
        usage = Usage(
            pairs=len(mine),
            tokens=int(work.lengths[own][computed].sum()),
            padded_tokens=int(work.padded[own][computed].sum()),
            batches=len(set(work.batch[own].tolist())),
            states_kept=int(work.taken[own].sum()),
            seconds={stage: spent * share for stage, spent in seconds.items()},
        )
        return Scores(tuple(work.logits[best[place]].item() for place in range(len(documents))), usage, spans)


@dataclass(frozen=True, slots=True)
class _Work:
    """What running the rows gave, one entry per row."""

    logits: NDArray[np.float64]
    lengths: NDArray[np.int_]
    padded: NDArray[np.int_]
    batch: NDArray[np.int_]
    taken: NDArray[np.bool_]
