"""Which files there are to read."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resift.documents.readers import READERS
from resift.errors import InputError


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files in a fixed order, each once, and how many of which suffix can't be read."""

    files: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def find_files(paths: Sequence[Path]) -> FoundFiles:
    """Return the readable files among these files and in these folders, without what is hidden inside a folder.

    Raises FileNotFoundError for a path that does not exist, and InputError for a file named by itself that
    can't be read.
    """
    found = FoundFiles()
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if path.is_file() and path.suffix.lower() not in READERS:
            raise InputError(
                f"{path}: can't read {path.suffix or 'files without suffix'}; can read {', '.join(READERS)}"
            )
        for file in map(Path.resolve, _files_inside(path) if path.is_dir() else [path]):
            if file in seen:
                continue  # paths may overlap, and links lead to one file
            seen.add(file)
            suffix = file.suffix.lower()
            if suffix in READERS:
                found.files.append(file)
            else:
                found.skipped[suffix or "no suffix"] += 1
    return found


def _files_inside(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.is_symlink():  # a link may lead back up
                yield from _files_inside(path)
        elif path.is_file():
            yield path
