"""ONNX sessions, and the network whose parts are encoded apart and joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions

from resift._util.lru import LRUCache
from resift.engines.common.pairs import Forward, to_logits
from resift.engines.common.pipeline import Counts
from resift.engines.common.session import Session
from resift.engines.split.encoder import Encoder
from resift.engines.split.terms import OpenGraph
from resift.errors import InputError, ModelFileError
from resift.text.tokenizer import Ids

QUERIES = 64  # remembered: calls that are scored piece by piece, in turns with others, ask again and again


def open_session(path: Path, threads: int | None) -> InferenceSession:
    """A CPU session whose threads sleep while there is nothing to do."""
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    options = SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # Threads that wait busily for the next operator take the cores from the other sessions of a split network, and from
    # everybody else on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only: its warnings speak of its own graph passes
    try:
        return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exception types share no base
        raise ModelFileError(f"{path} can't be loaded by ONNX Runtime: {error}") from error


def opener(threads: int | None) -> OpenGraph:
    """What opens graphs as sessions that know their limits."""
    return lambda graph: Session(partial(open_session, graph, threads), threads)


def pair_forward(session: InferenceSession) -> Forward:
    """A session's forward pass; it is fed the inputs its graph names."""
    names = [wanted.name for wanted in session.get_inputs()]

    def forward(inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = session.run(None, {name: inputs[name] for name in names})[0]
        return to_logits(output)

    return forward


class Asked(NamedTuple):
    """One query, as every document is read for it."""

    ids: NDArray[np.int64]
    states: NDArray[np.float32]
    """(tokens, width)."""
    vector: NDArray[np.float32]
    sought: NDArray[np.float32] | None
    """The terms it looks for, where there is a sparse encoder: see `Terms.expand`."""


@dataclass(frozen=True, slots=True)
class SplitNetwork:
    """Query and document encoded apart, then the query reads: its own part is computed once for a whole list."""

    encoder: Encoder
    reader: InferenceSession
    query_length: int
    document_length: int
    recent: LRUCache[bytes, Asked] = field(default_factory=lambda: LRUCache(QUERIES))

    def max_document_tokens(self, query_tokens: int) -> int:
        """The document has an input of its own; what the query takes only decides whether there is one at all."""
        extra = self.encoder.template.special_token_count
        return self.document_length - extra if query_tokens + extra <= self.query_length else 0

    def count_tokens(self, query_tokens: Counts, document_tokens: Counts) -> Counts:  # noqa: ARG002 - encoded before
        """Return the tokens computed for each pair, (pairs,): those of the document alone."""
        return document_tokens + self.encoder.template.special_token_count

    def prepare(self, queries: Sequence[Ids]) -> Reading:
        """Encodes every query once, also where its documents come in several rounds."""
        asked = self.recent.get_or_compute([query.tobytes() for query in queries], self._ask)
        return Reading(self.encoder, self.reader, asked)

    def _ask(self, keys: Sequence[bytes]) -> list[Asked]:
        ids, states, vectors = self.encoder.encode([np.frombuffer(key, np.int32) for key in keys])
        found = []
        for row, length in enumerate((ids != 0).sum(1)):
            own = states[row, :length]
            terms = self.encoder.terms
            sought = None if terms is None else terms.expand(own[:, -terms.table.shape[1] :])
            found.append(Asked(ids[row, :length].copy(), own.copy(), vectors[row].copy(), sought))
        return found


class Reading:
    """Scores batches of documents for the queries of one pass. `from_store` says which documents of the last batch had
    stored states.
    """

    def __init__(self, encoder: Encoder, reader: InferenceSession, asked: Sequence[Asked]) -> None:
        self.from_store: NDArray[np.bool_] = np.zeros(0, bool)
        self._encoder = encoder
        self._reader = reader
        self._lengths = np.array([len(one.ids) for one in asked])
        longest = int(self._lengths.max())
        self._ids = np.zeros((len(asked), longest), np.int64)
        self._states = np.zeros((len(asked), longest, asked[0].states.shape[1]), np.float32)
        for row, one in enumerate(asked):
            self._ids[row, : len(one.ids)] = one.ids
            self._states[row, : len(one.ids)] = one.states
        self._vectors = np.stack([one.vector for one in asked])
        sought = [one.sought for one in asked if one.sought is not None]
        self._sought = np.stack(sought) if sought else None

    def __call__(self, rows: Sequence[tuple[int, Ids]]) -> NDArray[np.float32]:
        """A logit per row."""
        owners = [number for number, _ in rows]
        longest = int(self._lengths[owners].max())
        read, self.from_store = self._encoder.read([document for _, document in rows])
        inputs = {
            "query_ids": self._ids[owners, :longest],
            "query_states": self._states[owners, :longest],
            "query_vector": self._vectors[owners],
            "document_ids": read.ids,
            "document_states": read.states,
            "document_vector": read.vector,
        }
        if self._sought is not None:
            inputs["query_terms"] = self._sought[owners]
        output: NDArray[np.float32] = self._reader.run(None, inputs)[0]
        return output
