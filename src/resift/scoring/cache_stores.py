"""Where kept scores lie: in memory, bounded; in an SQLite file, which may fail without doing harm."""

from __future__ import annotations

import logging
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress

from resift._util.fork import renewed_in_children
from resift._util.lru import LRUCache

ENTRY_BYTES = 256  # what Python holds for a key of 20 bytes, a value of 25, and their place in an OrderedDict
APPLICATION = 0x72736674  # "rsft" in the file's header: nothing else is ever written into
WAIT = 1.0  # seconds for another process's lock
MOST_BYTES = 1 << 30  # of a file; then the oldest tenth of its scores makes room
VARIABLES = 500  # of one query; SQLite's least limit is 999

logger = logging.getLogger(__name__)


class MemoryStore(LRUCache[bytes, bytes]):
    """Key → value, those used last, in a bounded number of bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(max(0, limit) // ENTRY_BYTES)


class DiskStore:
    """Key → value in an SQLite file that processes share (write-ahead log).

    Whatever goes wrong with the file is a warning in the log and an empty answer. Each row carries a checksum, so
    that a value a failing disk has changed is none.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._broken = False
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """A connection must not be used in a forked child, nor closed there: that would end the parent's locks."""
        if self._connection is not None:
            _INHERITED.append(self._connection)
            self._connection = None
        self._lock = threading.Lock()

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """What there is of these keys."""
        wanted = list(keys)
        found: dict[bytes, bytes] = {}
        with self._lock:
            try:
                for start in range(0, len(wanted), VARIABLES):
                    part = wanted[start : start + VARIABLES]
                    marks = ",".join("?" * len(part))
                    query = f"SELECT key, value, checksum FROM scores WHERE key IN ({marks})"  # noqa: S608 - only marks
                    rows = self._opened().execute(query, part)
                    found |= {key: value for key, value, checksum in rows if checksum == zlib.crc32(key + value)}
            except sqlite3.Error as error:
                self._failed(error)
                return {}
        return found

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Keeps these."""
        if not entries:
            return
        rows = [(key, value, zlib.crc32(key + value)) for key, value in entries.items()]
        with self._lock:
            try:
                connection = self._opened()
                with connection:
                    connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows)
                    self._make_room(connection)
            except sqlite3.Error as error:
                self._failed(error)

    def close(self) -> None:
        """Closes the file for good."""
        with self._lock:
            self._broken = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._broken:
            raise _Closed
        if self._connection is None:
            connection = sqlite3.connect(self.path, timeout=WAIT, check_same_thread=False)
            try:
                _prepare(connection, self.path)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _make_room(self, connection: sqlite3.Connection) -> None:
        (pages,), (free,), (size,) = (
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > MOST_BYTES:
            connection.execute(
                "DELETE FROM scores WHERE rowid IN "
                "(SELECT rowid FROM scores ORDER BY rowid LIMIT (SELECT count(*) / 10 + 1 FROM scores))"
            )

    def _failed(self, error: sqlite3.Error) -> None:
        if isinstance(error, _Closed):
            return
        logger.warning("scores are computed without the cache %s: %s", self.path, error)
        if not isinstance(error, sqlite3.OperationalError):  # a lock passes; a damaged file stays damaged
            self._broken = True
            if self._connection is not None:
                with suppress(sqlite3.Error):
                    self._connection.close()
                self._connection = None


class _Closed(sqlite3.Error):
    """The file is used no more, and that has been said."""


_INHERITED: list[sqlite3.Connection] = []


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            raise sqlite3.DatabaseError(f"{path} is a database, but no score cache")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)"
    )
    connection.commit()
