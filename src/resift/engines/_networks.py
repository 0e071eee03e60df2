"""ONNX sessions, and the network whose parts are encoded apart and joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions

from resift.engines._encoder import Encoded, Encoder
from resift.engines._pairs import Forward, as_logits
from resift.engines._session import Session
from resift.engines._terms import OpenGraph
from resift.engines._tokenize import Ids
from resift.errors import InputError, ModelFileError


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
        return as_logits(output)

    return forward


@dataclass(frozen=True, slots=True)
class SplitNetwork:
    """Query and document encoded apart, then the query reads: its own part is computed once for a whole list."""

    encoder: Encoder
    reader: InferenceSession
    query_length: int
    document_length: int

    def room(self, query: int) -> int:
        """The document has an input of its own; what the query takes only decides whether there is one at all."""
        extra = self.encoder.frame.extra
        return self.document_length - extra if query + extra <= self.query_length else 0

    def length(self, query: int, document: int) -> int:  # noqa: ARG002 - the query was encoded before
        """What is encoded for a pair: the document."""
        return document + self.encoder.frame.extra

    def open(self, queries: Sequence[Ids]) -> Reading:
        """Encodes every query once."""
        return Reading(self.encoder, self.reader, self.encoder.encode(queries))


class Reading:
    """The queries of one pass, reading batches of documents. `taken` says which of the last batch were kept before."""

    def __init__(self, encoder: Encoder, reader: InferenceSession, asked: Encoded) -> None:
        self.taken: NDArray[np.bool_] = np.zeros(0, bool)
        self._encoder = encoder
        self._reader = reader
        self._asked = asked
        self._lengths = (asked.ids != 0).sum(1)
        terms = encoder.terms
        self._sought = None
        if terms is not None:
            width = terms.table.shape[1]
            sought = [
                terms.expand(states[:length, -width:])
                for states, length in zip(asked.states, self._lengths, strict=True)
            ]
            self._sought = np.stack(sought)

    def __call__(self, rows: Sequence[tuple[int, Ids]]) -> NDArray[np.float32]:
        """A logit per row."""
        asked, owners = self._asked, [number for number, _ in rows]
        longest = int(self._lengths[owners].max())
        read, self.taken = self._encoder.read([document for _, document in rows])
        inputs = {
            "query_ids": asked.ids[owners, :longest],
            "query_states": asked.states[owners, :longest],
            "query_vector": asked.vector[owners],
            "document_ids": read.ids,
            "document_states": read.states,
            "document_vector": read.vector,
        }
        if self._sought is not None:
            inputs["query_terms"] = self._sought[owners]
        output: NDArray[np.float32] = self._reader.run(None, inputs)[0]
        return output
