"""Files that can't be read: the line that says so, and the memory of which content needn't be tried again."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from resift._util.atomic import write_whole
from resift.errors import InputError, MissingExtraError

LIBRARIES = (
    "resift", "defusedxml", "mammoth", "markdown-it-py", "openpyxl", "pypdf", "python-pptx", "pyyaml", "selectolax",
    "webencodings",
)  # fmt: skip
"""The libraries that read files. Another version of one may read what this one can't."""


def failure_line(path: str, error: Exception) -> str:
    """Return one line that names the file and the reason."""
    if isinstance(error, InputError):
        line = str(error)  # begins with the file's name, often with a line number
    elif isinstance(error, MissingExtraError):
        line = f"{path}: {error}"
    elif isinstance(error, OSError):
        line = f"{path}: {error.strerror or error}"
    else:
        line = f"{path}: can't be read: {type(error).__name__}: {error}"
    return printable(" ".join(line.split()))


def printable(text: str) -> str:
    r"""Return a text with what is no Unicode, such as the bytes of a name that is not UTF-8, as escapes.

    >>> print(printable("caf\udce9.txt"))
    caf\xe9.txt
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()


class KnownFailures:
    """Content that could not be read, with the reason, in a JSON file. A file that can't be used is no error."""

    def __init__(self, file: str | os.PathLike[str] | None) -> None:
        self._file = None if file is None else Path(file)
        self._libraries = {name: _version(name) for name in LIBRARIES}
        self._known = self._load()
        self._changed = False

    def get(self, path: str, file_hash: str) -> str | None:
        """Return the line that an earlier run wrote for this very content; None where it should be tried."""
        known_hash, line = self._known.get(path, ("", ""))
        return line if known_hash == file_hash else None

    def add(self, path: str, file_hash: str, line: str) -> None:
        """Remember that this content can't be read."""
        self._known[path] = (file_hash, line)
        self._changed = True

    def save(self) -> None:
        """Write the file, where something was added. An error of the file system is none: the files are tried again."""
        if self._file is None or not self._changed:
            return
        content = json.dumps({"libraries": self._libraries, "files": self._known}, indent=1)
        with suppress(OSError):
            write_whole(self._file, lambda part: part.write_text(content, encoding="utf-8"))

    def _load(self) -> dict[str, tuple[str, str]]:
        if self._file is None:
            return {}
        try:
            content = json.loads(self._file.read_bytes())
            if content["libraries"] != self._libraries:
                return {}
            return {str(path): (str(file_hash), str(line)) for path, (file_hash, line) in content["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
