"""Documents of a file into the passages that are stored: each stands alone, and says where it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from resift.documents.content import Scalar, Section, SourceDocument
from resift.documents.split import SIZE, context, split
from resift.search.two_stage import Passage

VERSION = 1
"""Part of every fingerprint. Raise it when passages come out differently, and files are indexed anew."""

OWN = frozenset(("path", "title", "section", "position", "passages", "start", "end", "page", "file_hash"))
"""The metadata keys that say where a passage comes from. A record's own field of such a name gets `record_` before."""


def fingerprint(data: bytes) -> str:
    """SHA-256 of a file's bytes and of how they are read: what changes either changes the passages."""
    return hashlib.sha256(f"resift {VERSION} {SIZE}\n".encode() + data).hexdigest()


def passages(documents: Sequence[SourceDocument], path: str, file_hash: str) -> list[Passage]:
    """A file's passages, in order.

    The text is "Title > Section", an empty line, and a part of the section. Metadata: `path`, `title`,
    `section`, `position` (from 0, of `passages` in the file), `file_hash`; `start` and `end` (offsets in the
    file's text, or the record's) or `page` where they mean something; and a record's own fields.
    """
    found = [each for document in documents for each in _of_document(document)]
    return [
        Passage(
            text,
            passage_id(path, position),
            {"path": path, **metadata, "position": position, "passages": len(found), "file_hash": file_hash},
        )
        for position, (text, metadata) in enumerate(found)
    ]


def passage_id(path: str, position: int) -> str:
    """The id of a file's n-th passage: the same in every run."""
    return hashlib.sha256(f"{path}\n{position}".encode()).hexdigest()[:32]


def body(text: str, title: str, section: str) -> str:
    """A passage's text without the line that says where it stands."""
    line, gap, rest = text.partition("\n\n")
    return rest if gap and line == context(title, tuple(section.split(" > ")) if section else ()) else text


def _of_document(document: SourceDocument) -> Iterator[tuple[str, dict[str, Scalar]]]:
    fields = {_key(name): value for name, value in document.metadata.items()}
    following = [*document.sections, None][1:]
    for section, after in zip(document.sections, following, strict=True):
        below = section.headings[section.headings[:1] == (document.title,) :]
        line = context(document.title, below)
        where: dict[str, Scalar] = {**fields, "title": document.title, "section": " > ".join(below)}
        if section.page is not None:
            where["page"] = section.page
        spans = split(section.text, SIZE - len(line) - len("\n\n"))
        for span in spans:
            first = section.start
            offsets = {} if first is None else {"start": first + span.start, "end": first + span.end}
            text = section.text[span.start : span.end]
            yield f"{line}\n\n{text}" if line else text, {**where, **offsets}
        if not spans and section.headings and not _leads(section, after):
            yield line, where  # a heading with nothing under it still says something


def _key(field: str) -> str:
    """A record's field as a metadata key: none of our own, none that Chroma refuses (empty, `#x`, `$x`, `chroma:x`)."""
    taken = field in OWN or field.startswith("chroma:") or not (field[:1].isalnum() or field[:1] == "_")
    return f"record_{field}" if taken else field


def _leads(section: Section, after: Section | None) -> bool:
    """Whether the next section names this one's heading anyway."""
    return after is not None and after.headings[: len(section.headings)] == section.headings
