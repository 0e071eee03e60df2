"""Read JSON lines: the lines of a file, plain or gzipped, and the object in a line, with file and line in errors."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from resift.errors import InputError


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield `FILE:NUMBER` and the text of every line that is not blank. A byte order mark at the start is dropped.

    UTF-8; or UTF-16, where its byte order mark says so. Raises InputError for a file that can't be read, and, naming
    file and line, for bytes that are not UTF-8.
    """
    open_file = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rb") as file:
            encoding = "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        with open_file(path, "rt", encoding=encoding) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path}:{number}", line
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise InputError(f"{path}: not UTF-16, though its byte order mark says so ({error.reason})") from None
        raise not_utf8(error, f"{path}:{_line_of_bad_byte(path)}") from None
    except (OSError, EOFError, zlib.error) as error:  # the last two of a damaged .gz file
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path} can't be read: {reason}") from error


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


def field_id(row: Mapping[str, Any], name: str, where: str) -> str:
    """Return an id in a row: a text or a whole number. Raises InputError, which begins with `where`, for anything else.

    >>> field_id({"_id": 7}, "_id", "corpus.jsonl:1")
    '7'
    """
    if name not in row:
        raise InputError(f"{where}: no {name} (there is: {', '.join(map(repr, row)) or 'nothing'})")
    return checked_id(row[name], name, where)


def checked_id(value: object, name: str, where: str) -> str:
    """Return an id as a text. Raises InputError, which begins with `where`, for what is no id."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{where}: {name} is {json_kind(value)}, and an id is a text or a whole number")
    id = str(value)
    if not id.strip():
        raise InputError(f"{where}: {name} is empty")
    if not _is_encodable(id):
        raise InputError(f"{where}: {name} {id!r} has half a surrogate pair")
    return id


def field_text(row: Mapping[str, Any], name: str, where: str) -> str:
    """Return a text in a row, without white space around it; "" where it is missing, null or NaN.

    A number is its digits.

    Raises InputError, which begins with `where`, for anything else.

    >>> field_text({"title": 1984}, "title", "corpus.jsonl:1")
    '1984'
    """
    value = row.get(name)
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{where}: {name} is {json_kind(value)}, not a text")
    return str(value).strip()


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


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


_LENIENT = json.JSONDecoder()
_STRICT = json.JSONDecoder(parse_constant=_refuse)
