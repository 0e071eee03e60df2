"""Lines and JSON objects of files, plain or gzipped, each with its place for whoever has to complain about it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resift.errors import InputError


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """`FILE:NUMBER` and text of every line that is not blank. Raises InputError for bytes that are not UTF-8."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path}:{number}", line
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}") from None


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`FILE:NUMBER` and the object of every line. Raises InputError for a line that is no JSON object."""
    for where, line in read_lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise InputError(f"{where}: a JSON object is needed, this is a {type(row).__name__}")
        yield where, row
