"""What a run keeps for the next one that goes on from it: each file with its checksum, and one run at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resift._util.atomic import write_whole
from resift._util.lock import FolderLockedError, lock_folder
from resift.errors import InputError
from resift.models.manifest import sha256

LOCK_FILE = ".resift.lock"
MARK_FILE = "checksums.json"
"""The file in a checkpoint that says it is whole."""


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Be the only run that writes into a folder. Raises InputError where another process does."""
    try:
        with lock_folder(folder, LOCK_FILE):
            yield
    except FolderLockedError as error:
        raise InputError(f"{error} is training into {folder}: wait for it, or write elsewhere") from None
    finally:
        with suppress(OSError):
            folder.rmdir()  # where nothing was written


def write_kept(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole, and its checksum after it."""
    write_whole(path, write)
    checksum = sha256(path)
    write_whole(_checksum_file(path), lambda part: part.write_text(checksum, encoding="ascii"))


def is_kept(path: Path) -> bool:
    """Return whether a file was written to its end. Raises InputError where it has changed since."""
    if not path.exists() or not _checksum_file(path).exists():
        return False
    if sha256(path) != _checksum_file(path).read_text(encoding="ascii", errors="replace"):
        raise InputError(f"{path} is damaged: delete it, and the next run makes it anew")
    return True


def _checksum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def mark_whole(checkpoint: Path) -> None:
    """Write the checksums of all files of a checkpoint into it: now it counts."""
    text = json.dumps(_checksums(checkpoint))
    write_whole(checkpoint / MARK_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def is_whole(checkpoint: Path) -> bool:
    """Return whether all files of a checkpoint are as they were when it was marked."""
    try:
        marked = json.loads((checkpoint / MARK_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(marked == _checksums(checkpoint))


def _checksums(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MARK_FILE)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files if not path.name.startswith(".")}
