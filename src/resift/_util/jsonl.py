"""Read JSON lines: the lines of a file, plain or gzipped, and the object in a line, with file and line in errors."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from resift.errors import InputError


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield `FILE:NUMBER` and the text of every line that is not blank. A byte order mark at the start is dropped.

    Raises InputError, naming file and line, for bytes that are not UTF-8.
    """
    open_file = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path}:{number}", line
    except UnicodeDecodeError as error:
        raise not_utf8(error, f"{path}:{_line_of_bad_byte(path)}") from None


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `FILE:NUMBER` and the JSON object of every line that is not blank. Raises InputError for any other line."""
    for where, line in read_lines(path):
        yield where, parse_object(line, where)


def parse_object(line: str | bytes, where: str, *, strict: bool = False) -> dict[str, Any]:
    r"""Return the JSON object in one line. A byte order mark before it is dropped.

    `strict` also refuses what databases can't store: NaN and infinite numbers. Raises InputError, which begins with
    `where`, for bytes that are not UTF-8, and for a line that is no JSON object or is nested too deeply to be read.

    >>> parse_object('{"text": "grapes"}', "notes.jsonl:1")
    {'text': 'grapes'}
    """
    try:
        text = line if isinstance(line, str) else line.decode()
        value: Any = (_STRICT if strict else _LENIENT).decode(text.removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise not_utf8(error, where) from None
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON: {error}") from None
    except RecursionError:
        raise InputError(f"{where}: the JSON is nested too deeply to be read") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: a JSON object is needed, this is {json_kind(value)}")
    return value


def json_kind(value: object) -> str:
    """Return what JSON calls a value, with its article.

    >>> json_kind([1, 2]), json_kind(None), json_kind(2.5)
    ('a list', 'null', 'a number')
    """
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def not_utf8(error: UnicodeDecodeError, where: str) -> InputError:
    """Return the InputError for bytes that are not UTF-8; its message begins with `where`."""
    return InputError(f"{where}: not UTF-8 (byte 0x{error.object[error.start]:02x}); convert the file first")


def _line_of_bad_byte(path: Path) -> int:
    """Return the number of the first line that is not UTF-8: text is decoded in chunks of many lines."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1  # only where the file has changed since


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


_LENIENT = json.JSONDecoder()
_STRICT = json.JSONDecoder(parse_constant=_refuse)
