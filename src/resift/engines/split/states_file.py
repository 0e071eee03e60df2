"""A store for document states in a file that processes share."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resift._util.sqlite import FileFormat, ForeignDatabaseError, KeyValueFile
from resift.engines.split.states import DocumentState
from resift.errors import InputError, StatesWarning

WAIT_SECONDS = 5.0  # for another process that writes: computing the states anew takes about as long
STATES_FORMAT = FileFormat(
    table="states",
    columns=("vector", "scales", "numbers"),
    application_id=0x52534654,  # "RSFT"
    version=2,  # 2: checksums cover the key
    write_ahead_log=False,
)

logger = logging.getLogger(__name__)


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


def _warn(path: Path, reason: str) -> None:
    logger.warning("kept states: %s: %s", path, reason)
    message = f"kept states can't be used, and are computed instead: {path}: {reason}"
    warnings.warn(message, StatesWarning, stacklevel=2)
