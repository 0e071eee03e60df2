"""The bundled network at run time: queries and documents are encoded apart, then a second graph reads the two together.

Also the ONNX Runtime sessions that its graphs, and those of pair networks, run in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from onnxruntime import InferenceSession, SessionOptions

from resift._util.helper_threads import HelperThreads
from resift._util.lru import LRUCache
from resift._util.model_files import way_out
from resift.engines.common.pipeline import Counts
from resift.engines.common.session import Session
from resift.engines.split.encoder import Encoder
from resift.engines.split.sparse_encoder import OpenGraph
from resift.engines.split.states import DocumentState
from resift.errors import InputError, ModelFileError
from resift.text.tokenizer import Ids

ROUNDED_FACTOR = 4  # what is computed for a query is then shared by more documents
MOST_PARTS = 8  # each thread has a session, of some megabytes
PART_TOKENS = 512  # at least that are worth a thread
CACHED_QUERIES = 64  # a call whose documents are scored in several rounds, between others, needs its query again


def open_session(path: Path, threads: int | None) -> InferenceSession:
    """Open a graph as a CPU session whose threads sleep while there is nothing to do."""
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    options = SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # Threads that spin while they wait for the next operator take the cores from the other sessions of a split network,
    # and from every other program on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A pattern sets a block aside for each shape of batch, beside the memory that the graph has already: 8 MB more for
    # passages of 256 tokens, and no faster.
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # errors only: its warnings are about its own graph passes
    try:
        return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exception types have no common base
        raise ModelFileError(f"{path} can't be loaded by ONNX Runtime: {error}; {way_out(path)}") from error


def graph_opener(threads: int | None) -> OpenGraph:
    """Return the function that opens a graph as a `Session` of this many threads (None: one per core)."""
    return lambda graph: Session(partial(open_session, graph, threads), threads)


class EncodedQuery(NamedTuple):
    """A query, encoded once, ready to score any document."""

    ids: NDArray[np.int64]
    """(tokens,)."""
    states: NDArray[np.float32]
    """(tokens, width)."""
    vector: NDArray[np.float32]
    """(width,), of unit length."""
    terms: NDArray[np.float32] | None
    """Its expansion terms; None without a sparse encoder. See `SparseEncoder.expand`."""


@dataclass(frozen=True, slots=True)
class SplitNetwork:
    """Encodes queries and documents apart, then reads each pair. A query is encoded once for its whole list."""

    encoder: Encoder
    reader: Session
    query_length: int
    document_length: int
    reads_rounded: bool = False
    """The reader takes states as the encoder's store has them (and is a `SessionPool`); else they are restored."""
    threads: int = 1
    """How many parts of a batch such a reader reads at once; with 2, two parts of a query are encoded at once too."""
    query_cache: LRUCache[bytes, EncodedQuery] = field(default_factory=lambda: LRUCache(CACHED_QUERIES))

    def max_document_tokens(self, query_tokens: int) -> int:
        """Return how many document tokens are read, whatever the query; 0 if the query is too long."""
        special = self.encoder.template.special_token_count
        return self.document_length - special if query_tokens + special <= self.query_length else 0

    def count_tokens(self, query_tokens: Counts, document_tokens: Counts) -> Counts:  # noqa: ARG002 - encoded before
        """Return the tokens computed for each pair, (pairs,): those of the document alone."""
        return document_tokens + self.encoder.template.special_token_count

    def prepare(self, queries: Sequence[Ids]) -> SplitBatchScorer:
        """Encode each query once, also when its documents come in several rounds, and return the scorer for batches."""
        keys = [query.tobytes() for query in queries]
        encoded = self.query_cache.get_or_compute(keys, self.encode_queries)
        return SplitBatchScorer(
            self.encoder, self.reader, encoded, min(self.threads, MOST_PARTS) if self.reads_rounded else None
        )

    def encode_queries(self, keys: Sequence[bytes]) -> list[EncodedQuery]:
        """Return what is encoded of queries, each given by the bytes of its ids."""
        texts = [np.frombuffer(key, np.int32) for key in keys]
        ids = self.encoder.template.assemble(texts)
        # Not by ids other than 0: a query that spells [PAD] may have one inside.
        lengths = [len(text) + self.encoder.template.special_token_count for text in texts]
        inputs = (["states", "vector"], {"input_ids": ids})
        sparse = self.encoder.terms
        terms: list[NDArray[np.float32]] | None = None
        if sparse is None:
            states, vectors = self.encoder.session.run(*inputs)
        else:
            sparse_states = sparse.encode(ids)
            # The vocabulary takes as long as the encoder, and one core.
            run = partial(self.encoder.session.run, *inputs)
            encoding = HelperThreads(1).submit(run) if self.threads > 1 else run
            terms = [sparse.expand(sparse_states[row, :length]) for row, length in enumerate(lengths)]
            states, vectors = encoding()
            states = np.concatenate([states, sparse_states], axis=2)
        return [
            EncodedQuery(
                ids[row, :length].copy(),
                states[row, :length].copy(),
                vectors[row].copy(),
                None if terms is None else terms[row],
            )
            for row, length in enumerate(lengths)
        ]


class SplitBatchScorer:
    """Scores batches of documents for the queries of one pass.

    `from_store` says which documents of the last batch had stored states.
    """

    def __init__(
        self, encoder: Encoder, reader: Session, queries: Sequence[EncodedQuery], rounded_parts: int | None = None
    ) -> None:
        self.from_store: NDArray[np.bool_] = np.zeros(0, bool)
        self.computed: NDArray[np.int_] | None = None
        self._encoder = encoder
        self._reader = reader
        self._rounded_parts = rounded_parts
        self._helpers: HelperThreads | None = None
        self.batch_factor = 1 if rounded_parts is None else ROUNDED_FACTOR
        self._lengths = np.array([len(query.ids) for query in queries])
        longest = int(self._lengths.max())
        self._ids = np.zeros((len(queries), longest), np.int64)
        self._states = np.zeros((len(queries), longest, queries[0].states.shape[1]), np.float32)
        for row, query in enumerate(queries):
            self._ids[row, : len(query.ids)] = query.ids
            self._states[row, : len(query.ids)] = query.states
        self._vectors = np.stack([query.vector for query in queries])
        terms = [query.terms for query in queries if query.terms is not None]
        self._terms = np.stack(terms) if terms else None

    def __call__(self, rows: Sequence[tuple[int, Ids]]) -> ArrayLike:
        """Return a logit for each row, a row being (index of its query, token ids of its document)."""
        queries = [query for query, _ in rows]
        texts = [ids for _, ids in rows]
        store = self._encoder.store
        if self._rounded_parts is not None and store is not None:
            states, self.computed = self._encoder.find_or_encode(texts, store)
            self.from_store = self.computed == 0
            return self._start_reading(queries, texts, states, self._rounded_parts)
        exact, self.from_store = self._encoder.encode_or_load(texts)
        inputs: dict[str, NDArray[Any]]
        inputs = {"document_ids": exact.ids, "document_states": exact.states, "document_vector": exact.vector}
        return self._reader.run(None, self._query_inputs(queries) | inputs)[0]

    def _start_reading(
        self, queries: list[int], texts: list[Ids], states: list[DocumentState], threads: int
    ) -> ArrayLike:
        """Let threads read a batch, each a part of it: within a graph, threads would wait after every operator."""
        ends = np.cumsum([len(state.scales) for state in states])
        parts = max(1, min(threads, int(ends[-1]) // PART_TOKENS))
        if threads == 1 or (ends[-1] < PART_TOKENS and self._helpers is None):
            return self._reader.run(None, self._rounded_inputs(queries, texts, states))[0]
        self._helpers = self._helpers or HelperThreads(threads - 1)  # this one reads too
        stops = [0, *np.searchsorted(ends, ends[-1] * np.arange(1, parts) / parts, "right").tolist(), len(states)]
        readings = []
        for start, stop in pairwise(stops):
            if start < stop:
                part = slice(start, stop)
                inputs = self._rounded_inputs(queries[part], texts[part], states[part])
                readings.append(self._helpers.submit(partial(self._reader.run, None, inputs)))
        return _Reading(readings)

    def _rounded_inputs(
        self, queries: list[int], texts: Sequence[Ids], states: Sequence[DocumentState]
    ) -> dict[str, NDArray[Any]]:
        documents = self._encoder.join(texts, states)
        if min(queries) == max(queries):
            queries = queries[:1]  # what depends on the query alone is then computed once
        return self._query_inputs(queries) | {
            "document_ids": documents.ids,
            "document_numbers": documents.states.numbers,
            "document_scales": documents.states.scales,
            "document_vector": documents.vector,
        }

    def _query_inputs(self, queries: Sequence[int]) -> dict[str, NDArray[Any]]:
        longest = int(self._lengths[queries].max())
        inputs: dict[str, NDArray[Any]] = {
            "query_ids": self._ids[queries, :longest],
            "query_states": self._states[queries, :longest],
            "query_vector": self._vectors[queries],
        }
        if self._terms is not None:
            inputs["query_terms"] = self._terms[queries]
        return inputs


class _Reading:
    """Logits that threads compute, as an array: whoever needs it waits for it."""

    def __init__(self, parts: Sequence[Callable[[], list[NDArray[np.float32]]]]) -> None:
        self._parts = parts

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the logits of all parts, in order."""
        return np.concatenate([part()[0] for part in self._parts], dtype=dtype)
