"""JSONL: a record per line, each a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resift._util.jsonl import json_kind, parse_object
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
    """Return a document per record."""
    return [
        SourceDocument(record.title, (Section(record.text, (), 0),), record.fields)
        for record in records(decode(data, name), name)
    ]


def records(text: str, name: str) -> Iterator[Record]:
    """Yield the records of a jsonl text, without its blank lines. Raises InputError naming file and line.

    >>> next(records('{"_id": 7, "title": "T", "text": "words", "year": 1867, "tags": []}', "a.jsonl"))
    Record(text='words', title='T', fields={'id': 7, 'year': 1867})
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _record(line, f"{name}:{number}")


def _record(line: str, where: str) -> Record:
    row = parse_object(line, where, strict=True)
    text_field = next((field for field in TEXT_FIELDS if field in row), None)
    if text_field is None:
        raise InputError(f"{where}: no text; a record has one of the fields {', '.join(TEXT_FIELDS)}")
    text = row[text_field]
    if not isinstance(text, str):
        raise InputError(f"{where}: {text_field!r} is {json_kind(text)}, not a text")
    id = next((row[key] for key in ID_FIELDS if key in row), None)
    fields = {"id": id, **{key: value for key, value in row.items() if key not in (text_field, "title", *ID_FIELDS)}}
    return Record(
        text,
        _title(row.get("title")),
        {key: _storable(value) for key, value in fields.items() if isinstance(value, Scalar)},
    )


def _title(value: object) -> str:
    """Return a title; a number is its digits ("1984" is a book), and what else is no text is none."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _storable(value: Scalar) -> Scalar:
    """Return the value, but a whole number of more than the 64 bits that databases hold as a text: it is an id."""
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value
