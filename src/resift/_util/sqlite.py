"""Values by key in an SQLite file that threads and processes share: a cache, which may fail without doing harm.

One policy for every failure of the file, whether it is damaged, locked, full, read-only or missing: there is one
warning, the caller gets nothing from it, and the file is not used for `RETRY_SECONDS`. Then it is tried again, without
a second warning while the reason is the same. If only writing fails, the file is still read.

One answer to forks: the file is closed before the process forks, and parent and child each open it again. It would not
be enough for the child to open a connection of its own beside an inherited one that it doesn't use: SQLite in the child
would believe that it holds the parent's locks.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar
from weakref import finalize

from resift._util.fork import suspend_during_forks

R = TypeVar("R")

RETRY_SECONDS = 60.0
"""How long a file is not used after it failed."""
SHORT_WAIT_SECONDS = 0.1
"""How long to wait for another process's lock when the file was locked the last time too."""
KEYS_PER_STATEMENT = 500  # SQLite may be built to take as few as 999 variables
EVICTED_SHARE = 32
"""From a file over its limit, the oldest 1/32 of the entries is removed, until it is below."""
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
WRITE_FAILURES = LOCKED | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
}
"""SQLite's codes for a write that failed in a file that may still be read."""


class ForeignDatabaseError(sqlite3.DatabaseError):
    """The file is the database of another program."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """The layout of a store's files, and the numbers in their header that tell them from other files."""

    table: str
    columns: tuple[str, ...]
    """Names of the blobs of a value. One that is read alone stands first: SQLite reads a row from its start."""
    application_id: int
    """A file with another one belongs to another program: nothing is written into it."""
    version: int
    """Raise it when the stored form changes: entries of an earlier version are dropped."""
    write_ahead_log: bool
    """True for many small writes: a commit costs no wait for the disk. False for a file that also works read-only."""


@dataclass(slots=True)
class _Pause:
    """Why the file, or only writing, is not used, and until when (seconds of the monotonic clock)."""

    until: float = 0.0
    reason: str = ""
    locked: bool = False

    def end(self) -> None:
        """Clear the reason, after a success."""
        self.reason, self.locked = "", False


class KeyValueFile:
    """Values by key, each value one blob per column of `file_format`. Safe to use from any number of threads.

    `warn` is called with each reason why the file, or an entry of it, can't be used. `wait_seconds` bounds the wait for
    another process's lock. With a `limit` in bytes, the oldest entries are removed when the file holds more.

    Beside every blob stands a checksum over its column, its key and its bytes: a value that a failing disk has changed,
    or that belongs to another key, is not returned.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        file_format: FileFormat,
        *,
        warn: Callable[[str], None],
        wait_seconds: float,
        limit: int | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.limit = limit
        self._format = file_format
        self._warn = warn
        self._wait_seconds = wait_seconds
        self._insert = f"INSERT OR REPLACE INTO {file_format.table} VALUES ({_marks(1 + 2 * len(file_format.columns))})"  # noqa: S608 - a table of ours
        self._lock = threading.Lock()
        self._suspended_by: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._finalizer: finalize[[], KeyValueFile] | None = None
        self._file_id: tuple[int, int] | None = None
        self._busy_seconds = wait_seconds
        self._closed = False
        self._warned_of_damage = False
        self._file_pause, self._write_pause = _Pause(), _Pause()
        suspend_during_forks(self)

    def open(self) -> None:
        """Open the file now, and create it if there is none. A failure is a warning, as in all other methods.

        Raises:
            ForeignDatabaseError: The file is the database of another program. Other methods only warn of it.
        """
        reason = None
        with self._lock:
            try:
                self._connect()
            except ForeignDatabaseError:
                raise
            except sqlite3.Error as error:
                reason = self._pause(error, writing=False)
        if reason:
            self._warn(reason)

    def get(self, keys: Iterable[bytes], columns: tuple[str, ...] | None = None) -> dict[bytes, tuple[bytes, ...]]:
        """Return the blobs of `columns` (None: all) for each key whose entry is there and undamaged."""
        columns = self._format.columns if columns is None else columns
        nothing: list[tuple[Any, ...]] = []
        rows = whole = self._use(partial(self._select, list(keys), columns), nothing)
        for index, name in enumerate(columns):  # a row is the key, then a checksum and a blob for each column
            seed, checksum, blob = zlib.crc32(name.encode()), 2 * index + 1, 2 * index + 2
            whole = [
                row
                for row in whole
                if type(row[blob]) is type(row[0]) is bytes
                and row[checksum] == zlib.crc32(row[blob], zlib.crc32(row[0], seed))
            ]
        if len(whole) < len(rows) and not self._warned_of_damage:
            self._warned_of_damage = True  # until the next write: callers store again what they have to compute
            damaged = len(rows) - len(whole)
            self._warn(f"{damaged} of its entries {'is' if damaged == 1 else 'are'} damaged")
        return {row[0]: row[2::2] for row in whole}

    def put(self, entries: Mapping[bytes, Sequence[bytes]]) -> None:
        """Store these, one blob per column: all of them or, if the process is killed meanwhile, none."""
        seeds = [zlib.crc32(name.encode()) for name in self._format.columns]
        rows = []
        for key, blobs in entries.items():
            row: list[bytes | int] = [key]
            for blob, seed in zip(blobs, seeds, strict=True):
                row += [zlib.crc32(blob, zlib.crc32(key, seed)), blob]
            rows.append(row)
        if rows:
            self._use(partial(self._write, rows), None, writing=True)

    def close(self) -> None:
        """Close the file for good: from now on nothing is read from it or written to it."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def suspend(self) -> None:
        """Close the file before a fork, and let no other thread open it until the fork is over."""
        # With a limit: if a thread is stuck in the file, the fork goes ahead, and the child inherits the connection.
        if self._lock.acquire(timeout=self._wait_seconds + 1):
            self._suspended_by = threading.get_ident()
            self._disconnect()

    def resume(self) -> None:
        """Let other threads use the file again. Called in the parent, after the fork."""
        if self._suspended_by == threading.get_ident():
            self._suspended_by = None
            self._lock.release()

    def renew(self) -> None:
        """Make a new lock. An inherited connection is neither used nor closed. Called in the child, after the fork."""
        if self._finalizer is not None:
            self._finalizer.detach()
            _INHERITED.append(self._connection)
            self._connection, self._finalizer = None, None
        self._suspended_by = None
        self._lock = threading.Lock()

    def _use(self, use: Callable[[sqlite3.Connection], R], otherwise: R, *, writing: bool = False) -> R:
        """Return the result of `use` with the open file; `otherwise` if the file can't be used."""
        with self._lock:
            now = time.monotonic()
            if self._closed or now < self._file_pause.until or (writing and now < self._write_pause.until):
                return otherwise
            try:
                result = use(self._connect())
            except sqlite3.Error as error:
                reason = self._pause(error, writing=writing)
            except BaseException:  # an interrupt in the middle of a transaction
                self._disconnect()
                raise
            else:
                self._file_pause.end()
                if writing:
                    self._write_pause.end()
                    self._warned_of_damage = False
                return result
        if reason:
            self._warn(reason)
        return otherwise

    def _pause(self, error: sqlite3.Error, *, writing: bool) -> str | None:
        """Stop using the file, or only writing, for a while. Return the reason, or None if it was warned of."""
        self._disconnect()
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the higher bits only say more of the same
        pause = self._write_pause if writing and code in WRITE_FAILURES else self._file_pause
        reason = f"{error}; delete it to begin anew" if code in DAMAGED else str(error)
        known = self._file_pause.reason, self._write_pause.reason
        pause.until, pause.reason, pause.locked = time.monotonic() + RETRY_SECONDS, reason, code in LOCKED
        return None if reason in known else reason

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and _file_id(self.path) != self._file_id:  # it was deleted or replaced
            self._disconnect()
        was_locked = self._file_pause.locked or self._write_pause.locked
        wait = min(SHORT_WAIT_SECONDS, self._wait_seconds) if was_locked else self._wait_seconds
        if self._connection is None:
            connection = sqlite3.connect(self.path, timeout=wait, isolation_level=None, check_same_thread=False)
            try:
                connection.text_factory = bytes  # a damaged blob may be a text: no error, its checksum is wrong
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._finalizer = finalize(self, connection.close)
            self._finalizer.atexit = False
            self._file_id = _file_id(self.path)
        elif wait != self._busy_seconds:
            self._connection.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        self._busy_seconds = wait
        return self._connection

    def _disconnect(self) -> None:
        if self._finalizer is not None:
            with suppress(sqlite3.Error):
                self._finalizer()  # closes it
        self._connection, self._finalizer = None, None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        table = self._format.table
        # In one transaction, all that is read is of one moment. Otherwise a file that another process is making could
        # seem to have a table but no number of ours, as another program's database.
        connection.execute("BEGIN")
        ready = self._is_ready(connection)
        connection.execute("COMMIT")
        if not ready:
            connection.execute("BEGIN IMMEDIATE")
            if not self._is_ready(connection):  # another process may have made it in the meantime
                pairs = (f"{name}_checksum INTEGER NOT NULL, {name} BLOB NOT NULL" for name in self._format.columns)
                connection.execute(f"DROP TABLE IF EXISTS {table}")
                connection.execute(f"CREATE TABLE {table} (key BLOB NOT NULL UNIQUE, {', '.join(pairs)})")
                connection.execute(f"PRAGMA application_id = {self._format.application_id}")
                connection.execute(f"PRAGMA user_version = {self._format.version}")
            connection.execute("COMMIT")
        if self._format.write_ahead_log:
            if _pragma(connection, "journal_mode") != b"wal":
                # It fails while another process uses the file; then the next one to open it does this.
                with suppress(sqlite3.OperationalError):
                    connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")

    def _is_ready(self, connection: sqlite3.Connection) -> bool:
        """Return whether the file is ours, of this version, and has its table. Raises ForeignDatabaseError."""
        application, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
        if application != self._format.application_id and (application or version or names):
            raise ForeignDatabaseError(f"it is the database of another program, and no file of {self._format.table}")
        if version > self._format.version:
            raise sqlite3.DatabaseError(f"a later version of resift wrote it (format {version})")
        return bool(version == self._format.version and self._format.table.encode() in names)

    def _select(
        self, keys: Sequence[bytes], columns: tuple[str, ...], connection: sqlite3.Connection
    ) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for start in range(0, len(keys), KEYS_PER_STATEMENT):
            part = keys[start : start + KEYS_PER_STATEMENT]
            rows += connection.execute(_select_statement(self._format.table, columns, len(part)), part)
        return rows

    def _write(self, rows: Sequence[Sequence[bytes | int]], connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(self._insert, rows)
        while self.limit is not None and _used_bytes(connection) > self.limit and self._evict(connection):
            pass
        connection.execute("COMMIT")

    def _evict(self, connection: sqlite3.Connection) -> int:
        """Remove the oldest entries, at least one. Return how many."""
        table = self._format.table
        # Row ids grow with time: a value that is stored again becomes a new row.
        (oldest,), (newest,) = (
            connection.execute(f"SELECT {end}(rowid) FROM {table}").fetchone()  # noqa: S608 - a table of ours
            for end in ("min", "max")
        )
        if oldest is None:
            return 0
        last = oldest + (newest - oldest) // EVICTED_SHARE
        return connection.execute(f"DELETE FROM {table} WHERE rowid <= ?", (last,)).rowcount  # noqa: S608 - the same


_INHERITED: list[sqlite3.Connection | None] = []
"""Connections of a parent process, which must not be closed in its child."""


def _file_id(path: str) -> tuple[int, int] | None:
    """Return device and inode, which tell the file from another one at the same path; None if there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - at every use: a Path costs as much again
    except OSError:
        return None
    return status.st_dev, status.st_ino


@lru_cache(maxsize=128)
def _select_statement(table: str, columns: tuple[str, ...], count: int) -> str:
    names = ", ".join(f"{name}_checksum, {name}" for name in columns)
    return f"SELECT key, {names} FROM {table} WHERE key IN ({_marks(count)})"  # noqa: S608 - names of ours, and marks


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _used_bytes(connection: sqlite3.Connection) -> int:
    """Return how many bytes of the file are in use."""
    pages, free = _pragma(connection, "page_count"), _pragma(connection, "freelist_count")
    return int((pages - free) * _pragma(connection, "page_size"))
