"""Document states kept between queries, in memory or in a file: 8 bits a number, with one scale for each token.

What an encoder makes of a document depends on nothing but its tokens, so it is computed once and kept (PreTTR:
MacAvaney et al. 2020, arXiv 2004.14255). Keys say which encoder read which tokens; a changed model meets nothing old.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from resift._util.lru import LRUCache
from resift.errors import InputError, StatesWarning

R = TypeVar("R")

LEVELS = 127
ENTRY = 500  # bytes of an entry in memory besides its numbers: key, arrays' heads, its place in the order
PATIENCE = 5.0  # seconds to wait for another process that writes: computing anew takes no longer
ASKED = 500  # keys in one statement
SEAL = 4  # bytes of checksum at the end of every blob
APPLICATION = 0x52534654  # "RSFT": says whose file it is
USED = ("page_count", "freelist_count", "page_size")
SCHEMA = """
CREATE TABLE states (key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, scales BLOB NOT NULL, numbers BLOB NOT NULL)
"""
OLDEST = "DELETE FROM states WHERE rowid IN (SELECT rowid FROM states ORDER BY rowid LIMIT 16)"

logger = logging.getLogger(__name__)


class DocumentState(NamedTuple):
    """One text as an encoder left it."""

    numbers: NDArray[np.int8]
    """(tokens, width)."""
    scales: NDArray[np.float16]
    """(tokens,): what a token's numbers are multiplied with."""
    vector: NDArray[np.float32]
    """(its own width,), of unit length, as it was computed."""

    @classmethod
    def of(cls, states: NDArray[np.float32], vector: NDArray[np.float32]) -> DocumentState:
        """Rounds one text's states (tokens, width)."""
        scales = (np.abs(states).max(axis=1) / LEVELS).astype(np.float16)
        scales[scales == 0] = 1
        rounded = np.round(states / scales[:, None].astype(np.float32)).clip(-LEVELS, LEVELS)
        return cls(rounded.astype(np.int8), scales, vector.copy())

    def restore(self, into: NDArray[np.float32]) -> None:
        """Writes the states again, (tokens, width)."""
        np.multiply(self.numbers, self.scales[:, None].astype(np.float32), out=into)

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return self.numbers.nbytes + self.scales.nbytes + self.vector.nbytes + ENTRY


class StateStore(Protocol):
    """Where states are kept. May forget whatever it likes; what it gives back is what was put in."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, DocumentState]:
        """What is there of these."""

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """The vectors alone of what is there."""

    def put(self, entries: Mapping[bytes, DocumentState]) -> None:
        """Keeps these."""


class MemoryStates(LRUCache[bytes, DocumentState]):
    """At most `limit` bytes in this process; what was not used for longest goes first. Safe from any thread."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise InputError(f"the states kept in memory need a limit of at least 1 byte, got {limit}")
        super().__init__(limit, lambda _, entry: entry.bytes)

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """The vectors alone of what is there."""
        return {key: entry.vector for key, entry in self.get(keys).items()}

    def __reduce__(self) -> tuple[type[MemoryStates], tuple[int]]:
        return (MemoryStates, (self.limit,))  # a copy in another process starts empty


class FileStates:
    """A SQLite file that processes share. `limit` bytes at most where one is given: what was written first goes first.

    Nothing depends on the file: where it can't be used (damaged, read-only, locked for long), a `StatesWarning` says
    so and states are computed. It may be deleted at any time. Raises InputError for a place where no file can be,
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
        self._use(lambda _: None, None)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, DocumentState]:
        """What is there of these, and whole: every entry carries its checksums."""

        def entry(vector: bytes, scales: bytes, numbers: bytes) -> DocumentState:
            each = np.frombuffer(_opened(scales), np.float16)
            return DocumentState(
                np.frombuffer(_opened(numbers), np.int8).reshape(len(each), -1),
                each,
                np.frombuffer(_opened(vector), np.float32),
            )

        return self._read("vector, scales, numbers", keys, entry)

    def vectors(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """The vectors alone of what is there."""
        return self._read("vector", keys, lambda vector: np.frombuffer(_opened(vector), np.float32))

    def put(self, entries: Mapping[bytes, DocumentState]) -> None:
        """Keeps these: all of them or, where the process is killed meanwhile, none."""
        rows = [
            (key, *(_sealed(part.tobytes()) for part in (entry.vector, entry.scales, entry.numbers)))
            for key, entry in entries.items()
        ]

        def write(base: sqlite3.Connection) -> None:
            base.execute("BEGIN IMMEDIATE")
            base.executemany("INSERT OR REPLACE INTO states (key, vector, scales, numbers) VALUES (?, ?, ?, ?)", rows)
            while self.limit is not None and _used(base) > self.limit and base.execute(OLDEST).rowcount:
                pass
            base.execute("COMMIT")

        if rows:
            self._use(write, None)

    def _read(self, columns: str, keys: Sequence[bytes], entry: Callable[..., R]) -> dict[bytes, R]:
        def read(base: sqlite3.Connection) -> dict[bytes, R]:
            found: dict[bytes, R] = {}
            for start in range(0, len(keys), ASKED):
                some = keys[start : start + ASKED]
                marks = ", ".join("?" * len(some))
                # Only our own column names and question marks are put together here.
                for key, *blobs in base.execute(f"SELECT key, {columns} FROM states WHERE key IN ({marks})", some):  # noqa: S608
                    try:
                        found[key] = entry(*blobs)
                    except _DamagedError:  # this one is computed, and written again
                        self._warn("an entry is damaged")
            return found

        return self._use(read, {})

    def _use(self, use: Callable[[sqlite3.Connection], R], otherwise: R) -> R:
        """What `use` makes of the file, or, with a warning, `otherwise`.

        A connection for each use: threads share none, and a fork inherits none.
        """
        try:
            with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)) as base:
                if not _is_ours(base):
                    self._create(base)
                return use(base)
        except sqlite3.OperationalError as error:
            self._warn(str(error))
        except sqlite3.DatabaseError as error:
            self._warn(f"{error}; delete it to begin anew")
        return otherwise

    def _create(self, base: sqlite3.Connection) -> None:
        base.execute("BEGIN IMMEDIATE")
        if not _is_ours(base):  # nor made by another process meanwhile
            if base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise InputError(f"{self.path} is another program's database: give the states a file of their own")
            base.execute(SCHEMA)
            base.execute(f"PRAGMA application_id = {APPLICATION}")
        base.execute("COMMIT")

    def _warn(self, reason: str) -> None:
        logger.warning("kept states: %s: %s", self.path, reason)
        message = f"kept states can't be used, and are computed instead: {self.path}: {reason}"
        warnings.warn(message, StatesWarning, stacklevel=2)


class _DamagedError(Exception):
    """A blob whose checksum is wrong."""


def open_store(keep: int, file: str | os.PathLike[str] | None) -> StateStore | None:
    """The store for the options `keep_states` (bytes; 0 is no limit for a file, and nothing kept in memory)
    and `states_file`. Raises InputError for what is no number of bytes.
    """
    if not isinstance(keep, int) or keep < 0:
        raise InputError(f"keep_states is a number of bytes, 0 or more; got {keep!r}")
    if file is not None:
        return FileStates(file, keep or None)
    return MemoryStates(keep) if keep else None


def _is_ours(base: sqlite3.Connection) -> bool:
    return bool(base.execute("PRAGMA application_id").fetchone()[0] == APPLICATION)


def _used(base: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    pages, free, size = (base.execute(f"PRAGMA {name}").fetchone()[0] for name in USED)
    return int((pages - free) * size)


def _sealed(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(SEAL, "little")


def _opened(blob: bytes) -> memoryview:
    """What was sealed. Raises _DamagedError where it is not what it was."""
    data = memoryview(blob)[:-SEAL]
    if zlib.crc32(data).to_bytes(SEAL, "little") != blob[-SEAL:]:
        raise _DamagedError
    return data
