"""Write a file whole or not at all, also where the process is killed or the machine loses power."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name in the folder of `path`, flush it to disk, and rename it.

    So `path` is never half a file: it holds the old content or the new one. Several processes may write the same
    path at the same time; the last one wins. A process that is killed leaves a file `.NAME.HEX` behind.

    Args:
        path: The file to write; its folder must exist. A file that is there is replaced.
        write: Gets the temporary path and writes the whole file there. What it returns is ignored.

    Raises:
        OSError: The file can't be written; a file that was at `path` before is still there. What `write` raises
            comes through in the same way.
    """
    if path.is_dir():  # known before anything is written; "." has no name at all
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
