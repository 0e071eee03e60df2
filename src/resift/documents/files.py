"""Which files there are to read."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resift.documents.failures import failure_line, printable
from resift.documents.readers import READERS, cannot_read
from resift.errors import InputError

LINK_OUTSIDE = "link outside"
"""Stands among the skipped suffixes for links to files outside the folder."""
DEPENDENCIES = frozenset(("node_modules", "bower_components", "site-packages", "__pycache__"))
"""Folders that package managers fill. They, and virtual environments, stand among the skipped suffixes as `name/`."""
_ENVIRONMENT = "pyvenv.cfg"
_MINIFIED = (".min.js", ".min.css")


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files in a fixed order, each once, how many of which suffix can't be read, and what could not be looked into."""

    files: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """A line for each folder that can't be listed."""


def find_files(paths: Sequence[Path], *, follow_links: bool = False) -> FoundFiles:
    """Return the readable files among these files and in these folders, without what is hidden inside a folder.

    A link in a folder to a file outside it is skipped unless `follow_links`; links to folders always are.

    Raises FileNotFoundError for a path that does not exist, and InputError for a file named by itself that
    can't be read.
    """
    found = FoundFiles()
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if path.is_file() and path.suffix.lower() not in READERS:
            raise InputError(f"{path}: {cannot_read(path.suffix)}")
        is_folder = path.is_dir()
        folder = path.resolve()
        for file in map(Path.resolve, _files_inside(path, found) if is_folder else [path]):
            if file in seen:
                continue  # paths may overlap, and links lead to one file
            if is_folder and not follow_links and not file.is_relative_to(folder):
                found.skipped[LINK_OUTSIDE] += 1
                continue
            seen.add(file)
            suffix = file.suffix.lower()
            if is_folder and file.name.lower().endswith(_MINIFIED):
                found.skipped[f".min{suffix}"] += 1
            elif suffix in READERS:
                found.files.append(file)
            else:
                found.skipped[printable(suffix) or "no suffix"] += 1
    return found


def _files_inside(folder: Path, found: FoundFiles) -> Iterator[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:  # no permission, or it has just been removed
        found.failures.append(failure_line(str(folder), error))
        return
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            is_folder, is_file = path.is_dir(), path.is_file()
        except OSError as error:
            found.failures.append(failure_line(str(path), error))
            continue
        if is_folder:
            if path.name in DEPENDENCIES or (path / _ENVIRONMENT).is_file():
                found.skipped[f"{printable(path.name)}/"] += 1
            elif not path.is_symlink():  # a link may lead back up
                yield from _files_inside(path, found)
        elif is_file:
            yield path
