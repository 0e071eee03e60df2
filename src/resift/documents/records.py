"""jsonl: one record a line, each a document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resift.documents.content import Scalar, Section, SourceDocument, decode
from resift.errors import InputError

TEXT_FIELDS = ("text", "content", "body", "contents")
ID_FIELDS = ("id", "_id")


@dataclass(frozen=True, slots=True)
class Record:
    """A line of a jsonl file."""

    text: str
    title: str
    fields: Mapping[str, Scalar]
    """The other fields that are numbers, texts or booleans; an id, under whichever name, is `id`."""


def read_jsonl(data: bytes, name: str) -> list[SourceDocument]:
    """A document per record."""
    return [
        SourceDocument(record.title, (Section(record.text, (), 0),), record.fields)
        for record in records(decode(data, name), name)
    ]


def records(text: str, name: str) -> Iterator[Record]:
    """The records of a jsonl text; empty lines are passed over. Raises InputError naming file and line.

    >>> next(records('{"_id": 7, "title": "T", "text": "words", "year": 1867, "tags": []}', "a.jsonl"))
    Record(text='words', title='T', fields={'id': 7, 'year': 1867})
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _record(line, f"{name}:{number}")


def _record(line: str, where: str) -> Record:
    try:
        found: Any = json.loads(line, parse_constant=_refuse)
        json.dumps(found, ensure_ascii=False).encode() if "\\u" in line else None  # half a surrogate pair is no text
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{where}: a record is a JSON object, this is {_kind(found)}")
    field = next((field for field in TEXT_FIELDS if field in found), None)
    if field is None:
        raise InputError(f"{where}: no text; a record has one of the fields {', '.join(TEXT_FIELDS)}")
    if not isinstance(found[field], str):
        raise InputError(f"{where}: {field!r} is {_kind(found[field])}, not a text")
    title = found.get("title")
    id = next((found[key] for key in ID_FIELDS if key in found), None)
    fields = {"id": id, **{key: value for key, value in found.items() if key not in (field, "title", *ID_FIELDS)}}
    return Record(
        found[field],
        title if isinstance(title, str) else "",
        {key: _stored(value) for key, value in fields.items() if isinstance(value, Scalar)},
    )


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _stored(value: Scalar) -> Scalar:
    """Databases hold 64 bits; a longer number is an identifier."""
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
