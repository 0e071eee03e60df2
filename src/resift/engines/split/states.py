"""Document states in 4 bits, and a store for them in memory.

What the encoder computes for a document depends on its tokens only, so it is computed once and stored (PreTTR:
MacAvaney et al. 2020, arXiv 2004.14255). A key stands for the encoder and the tokens it read, so a changed model never
gets the states of another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from resift._util.lru import LRUCache
from resift.errors import InputError

BLOCK = 32  # numbers of a token that share a scale, at most
# NF4, the levels that fit numbers of a normal distribution whose largest is 1 (QLoRA: Dettmers et al. 2023, arXiv
# 2305.14314). Even steps are off by 1.8 times as much, in the states of the bundled model.
LEVELS = np.array(
    [
        -1,
        -0.6962,
        -0.5251,
        -0.3949,
        -0.2844,
        -0.1848,
        -0.0911,
        0,
        0.0796,
        0.1609,
        0.2461,
        0.3379,
        0.4407,
        0.5626,
        0.7230,
        1,
    ],
    np.float32,
)
EDGES = (LEVELS[1:] + LEVELS[:-1]) / 2
SCALES = np.exp2((np.arange(256) - 128) / 8).astype(np.float32)
"""The scales that a byte stands for: each is 9 % larger than the one before, from 1.5e-5 to 60,000."""
_BETWEEN_SCALES = SCALES[:-1] * np.float32(2 ** (1 / 16))
STATE_OVERHEAD_BYTES = 500  # of an entry in memory, besides its numbers: key, array headers, position in the order
Floats = NDArray[np.float32]

# Both levels of a byte are looked up as one number: two of 4 bytes are as long as a complex one.
_BYTES = np.arange(256)
_PAIRS = np.stack([LEVELS[_BYTES % 16], LEVELS[_BYTES // 16]], 1).view(np.complex64)[:, 0]


class DocumentState(NamedTuple):
    """The encoder's output for one text, rounded to 4 bits."""

    numbers: NDArray[np.uint8]
    """(tokens, width / 2): two levels a byte, the first in its lower half."""
    scales: NDArray[np.uint8]
    """(tokens, blocks): which of `SCALES` each block of a token's numbers has."""
    vector: Floats
    """(its own width,), of unit length, not rounded."""

    @classmethod
    def quantize(cls, states: Floats, vector: Floats) -> DocumentState:
        """Round the states of one text, (tokens, width), where the width is even."""
        tokens, width = states.shape
        blocks = states.reshape(tokens, -1, math.gcd(width, BLOCK))
        # The nearest scale, also where the largest number is a little above it: numbers that are large in every token
        # would be rounded to the same side in all of them otherwise.
        scales = np.searchsorted(_BETWEEN_SCALES, np.abs(blocks).max(-1)).astype(np.uint8)
        normal = blocks / SCALES[scales, None]
        levels: NDArray[np.uint8] = np.zeros(normal.shape, np.uint8)
        for edge in EDGES:  # faster than a search
            levels += normal > edge
        low, high = np.moveaxis(levels.reshape(tokens, -1, 2), 2, 0)
        return cls((low | np.left_shift(high, 4)).astype(np.uint8), scales, vector.copy())

    @property
    def bytes(self) -> int:
        """Bytes it takes in memory."""
        return self.numbers.nbytes + self.scales.nbytes + self.vector.nbytes + STATE_OVERHEAD_BYTES


def restore(states: Sequence[DocumentState], tokens: int) -> Floats:
    """Return the states of several texts at once, (texts, tokens, width), with zeros behind those of a shorter text."""
    texts = len(states)
    numbers, scales = (np.empty((texts, tokens, part.shape[1]), np.uint8) for part in states[0][:2])
    for row, state in enumerate(states):
        numbers[row, : len(state.numbers)] = state.numbers
        scales[row, : len(state.scales)] = state.scales
    restored = np.empty((texts, tokens, 2 * numbers.shape[2]), np.float32)
    # No byte is out of range, and to clip is faster than to check.
    _PAIRS.take(numbers, out=restored.view(np.complex64), mode="clip")
    blocks = restored.reshape(*scales.shape, -1)
    blocks *= SCALES[scales][..., None]
    for row, state in enumerate(states):
        restored[row, len(state.numbers) :] = 0
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
