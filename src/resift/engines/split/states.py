"""Stores for document states, in memory or in a file: one byte per number, and one scale per token.

What the encoder computes for a document depends on its tokens only, so it is computed once and stored (PreTTR:
MacAvaney et al. 2020, arXiv 2004.14255). A key stands for the encoder and the tokens it read, so a changed model never
gets the states of another.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from resift._util.lru import LRUCache
from resift._util.sqlite import FileFormat, ForeignDatabaseError, KeyValueFile
from resift.errors import InputError, StatesWarning

MAX_INT8 = 127
STATE_OVERHEAD_BYTES = 500  # of an entry in memory, besides its numbers: key, array headers, position in the order
WAIT_SECONDS = 5.0  # for another process that writes: computing the states anew takes about as long
STATES_FORMAT = FileFormat(
    table="states",
    columns=("vector", "scales", "numbers"),
    application_id=0x52534654,  # "RSFT"
    version=2,  # 2: checksums cover the key
    write_ahead_log=False,
)

logger = logging.getLogger(__name__)


class DocumentState(NamedTuple):
    """The encoder's output for one text, rounded to 8 bits."""

    numbers: NDArray[np.int8]
    """(tokens, width)."""
    scales: NDArray[np.float16]
    """(tokens,): the factor of each token's numbers."""
    vector: NDArray[np.float32]
    """(its own width,), of unit length, not rounded."""

    @classmethod
    def quantize(cls, states: NDArray[np.float32], vector: NDArray[np.float32]) -> DocumentState:
        """Round the states of one text, (tokens, width)."""
        scales = (np.abs(states).max(axis=1) / MAX_INT8).astype(np.float16)
        scales[scales == 0] = 1
        rounded = np.round(states / scales[:, None].astype(np.float32)).clip(-MAX_INT8, MAX_INT8)
        return cls(rounded.astype(np.int8), scales, vector.copy())

    def restore(self, out: NDArray[np.float32]) -> None:
        """Write the states into `out`, (tokens, width)."""
        np.multiply(self.numbers, self.scales[:, None].astype(np.float32), out=out)

    @property
    def bytes(self) -> int:
        """Bytes it takes in memory."""
        return self.numbers.nbytes + self.scales.nbytes + self.vector.nbytes + STATE_OVERHEAD_BYTES


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


class FileStates:
    """States in an SQLite file that processes share: at most `limit` bytes if given, the oldest are removed first.

    No result depends on the file. Where it can't be used (damaged, read-only, locked for long), a `StatesWarning` says
    so once, and states are computed. It may be deleted at any time. Raises InputError for a path where no file can be,
    and for another program's database.
    """

    def __init__(self, path: str | os.PathLike[str], limit: int | None = None) -> None:
        self.path = Path(path)
        self.limit = limit
        if not self.path.resolve().parent.is_dir():
            raise InputError(f"{self.path} can't hold states: there is no folder {self.path.parent}")
        if self.path.is_dir():
            raise InputError(
                f"{self.path} is a folder; states are kept in a file, such as {self.path / 'states.sqlite3'}"
            )
        warn = partial(_warn, self.path)
        self._file = KeyValueFile(self.path, STATES_FORMAT, warn=warn, wait_seconds=WAIT_SECONDS, limit=limit)
        try:
            self._file.open()
        except ForeignDatabaseError:
            message = f"{self.path} is another program's database: give the states a file of their own"
            raise InputError(message) from None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, DocumentState]:
        """Return the stored states of these keys."""
        states = {}
        for key, (vector, scales, numbers) in self._file.get(keys).items():
            token_scales = np.frombuffer(scales, np.float16)
            token_numbers = np.frombuffer(numbers, np.int8).reshape(len(token_scales), -1)
            states[key] = DocumentState(token_numbers, token_scales, np.frombuffer(vector, np.float32))
        return states

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return only the vectors of the stored states of these keys; nothing else of them is read."""
        return {key: np.frombuffer(vector, np.float32) for key, (vector,) in self._file.get(keys, ("vector",)).items()}

    def put(self, entries: Mapping[bytes, DocumentState]) -> None:
        """Store these states: all of them or, if the process is killed meanwhile, none."""
        self._file.put(
            {
                key: (state.vector.tobytes(), state.scales.tobytes(), state.numbers.tobytes())
                for key, state in entries.items()
            }
        )


def open_store(keep_bytes: int, file: str | os.PathLike[str] | None) -> StateStore | None:
    """Return the store for the options `keep_states` and `states_file`; None where nothing is kept.

    `keep_bytes` is the limit of the store; 0 means no limit for a file, and no store in memory. Raises InputError for
    what is no number of bytes.
    """
    if not isinstance(keep_bytes, int) or keep_bytes < 0:
        raise InputError(f"keep_states is a number of bytes, 0 or more; got {keep_bytes!r}")
    if file is not None:
        return FileStates(file, keep_bytes or None)
    return MemoryStates(keep_bytes) if keep_bytes else None


def _warn(path: Path, reason: str) -> None:
    logger.warning("kept states: %s: %s", path, reason)
    message = f"kept states can't be used, and are computed instead: {path}: {reason}"
    warnings.warn(message, StatesWarning, stacklevel=2)
