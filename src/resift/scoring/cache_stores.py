"""The two stores of the score cache: in memory, within a limit; and in an SQLite file, which may fail without harm."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partial

from resift._util.lru import LRUCache
from resift._util.sqlite import FileFormat, KeyValueFile

SCORE_ENTRY_BYTES = 256  # what Python holds for a key of 20 bytes, a value of 25, and their position in an OrderedDict
WAIT_SECONDS = 1.0  # for another process's lock
MAX_FILE_BYTES = 1 << 30
SCORES_FORMAT = FileFormat(
    table="scores",
    columns=("value",),
    application_id=0x72736674,  # "rsft"
    version=2,
    write_ahead_log=True,
)

logger = logging.getLogger(__name__)


class MemoryStore(LRUCache[bytes, bytes]):
    """Values by key in at most `limit` bytes; those not used for longest are dropped first."""

    def __init__(self, limit: int) -> None:
        super().__init__(max(0, limit) // SCORE_ENTRY_BYTES)


class DiskStore:
    """Values by key in an SQLite file that processes share, of at most `MAX_FILE_BYTES`; the oldest are removed first.

    Where the file can't be used, a warning in the log says so once, and nothing is found in it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        warn = partial(logger.warning, "scores are computed without the cache %s: %s", path)
        self._file = KeyValueFile(path, SCORES_FORMAT, warn=warn, wait_seconds=WAIT_SECONDS, limit=MAX_FILE_BYTES)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the stored values of these keys."""
        return {key: value for key, (value,) in self._file.get(keys).items()}

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Store these values."""
        self._file.put({key: (value,) for key, value in entries.items()})

    def close(self) -> None:
        """Close the file for good; from now on nothing is found in it."""
        self._file.close()
