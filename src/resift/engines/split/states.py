"""Document states in 8 bits, with one scale per token, and a store for them in memory.

What the encoder computes for a document depends on its tokens only, so it is computed once and stored (PreTTR:
MacAvaney et al. 2020, arXiv 2004.14255). A key stands for the encoder and the tokens it read, so a changed model never
gets the states of another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from resift._util.lru import LRUCache
from resift.errors import InputError

MAX_INT8 = 127
STATE_OVERHEAD_BYTES = 500  # of an entry in memory, besides its numbers: key, array headers, position in the order
Floats = NDArray[np.float32]


class DocumentState(NamedTuple):
    """The encoder's output for one text, rounded to 8 bits."""

    numbers: NDArray[np.int8]
    """(tokens, width)."""
    scales: NDArray[np.float16]
    """(tokens,): the factor of each token's numbers."""
    vector: Floats
    """(its own width,), of unit length, not rounded."""

    @classmethod
    def quantize(cls, states: Floats, vector: Floats) -> DocumentState:
        """Round the states of one text, (tokens, width)."""
        scales = (np.abs(states).max(axis=1) / MAX_INT8).astype(np.float16)
        scales[scales == 0] = 1
        rounded = np.round(states / scales[:, None].astype(np.float32)).clip(-MAX_INT8, MAX_INT8)
        return cls(rounded.astype(np.int8), scales, vector.copy())

    @property
    def bytes(self) -> int:
        """Bytes it takes in memory."""
        return self.numbers.nbytes + self.scales.nbytes + self.vector.nbytes + STATE_OVERHEAD_BYTES


class RoundedStates(NamedTuple):
    """The states of several texts, as they are kept."""

    numbers: NDArray[np.int8]
    """(texts, tokens, width), with zeros behind a shorter text."""
    scales: Floats
    """(texts, tokens): the factor of each token's numbers; 0 behind a shorter text."""


def stack(states: Sequence[DocumentState], tokens: int) -> RoundedStates:
    """Return the states of several texts in one array, without restoring them."""
    numbers = np.zeros((len(states), tokens, states[0].numbers.shape[1]), np.int8)
    scales = np.zeros((len(states), tokens), np.float32)
    for row, state in enumerate(states):
        numbers[row, : len(state.numbers)] = state.numbers
        scales[row, : len(state.scales)] = state.scales
    return RoundedStates(numbers, scales)


def restore(states: Sequence[DocumentState], tokens: int) -> Floats:
    """Return the states of several texts at once, (texts, tokens, width), with zeros behind those of a shorter text."""
    restored = np.zeros((len(states), tokens, states[0].numbers.shape[1]), np.float32)
    for row, (numbers, scales, _) in enumerate(states):
        np.multiply(numbers, scales[:, None].astype(np.float32), out=restored[row, : len(numbers)])
    return restored


class StateStore(Protocol):
    """A store for document states. It may drop any of them at any time, and returns them as they were put in."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, DocumentState]:
        """Return the stored states of these keys."""

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return only the vectors of the stored states of these keys."""

    def put(self, entries: Mapping[bytes, DocumentState]) -> None:
        """Store these states."""


class MemoryStates(LRUCache[bytes, DocumentState]):
    """At most `limit` bytes of states in this process; those not used for longest are dropped first. Thread-safe."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise InputError(f"the states kept in memory need a limit of at least 1 byte, got {limit}")
        super().__init__(limit, lambda _, state: state.bytes)

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return only the vectors of the stored states of these keys."""
        return {key: state.vector for key, state in self.get(keys).items()}

    def __reduce__(self) -> tuple[type[MemoryStates], tuple[int]]:
        return (MemoryStates, (self.limit,))  # a copy in another process starts empty


def open_store(keep_bytes: int, file: str | os.PathLike[str] | None) -> StateStore | None:
    """Return the store for the options `keep_states` and `states_file`; None where nothing is kept.

    `keep_bytes` is the limit of the store; 0 means no limit for a file, and no store in memory. Raises InputError for
    what is no number of bytes.
    """
    if not isinstance(keep_bytes, int) or keep_bytes < 0:
        raise InputError(f"keep_states is a number of bytes, 0 or more; got {keep_bytes!r}")
    if file is not None:
        from resift.engines.split.states_file import FileStates  # SQLite takes time to import

        return FileStates(file, keep_bytes or None)
    return MemoryStates(keep_bytes) if keep_bytes else None
