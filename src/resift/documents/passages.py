"""The passages that are stored of a file's documents: each can be read alone, and says where it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from resift.documents.content import Scalar, Section, SourceDocument
from resift.documents.split import SIZE, context, split
from resift.search.two_stage import Passage

VERSION = 2
"""Part of every fingerprint. Raise it when passages come out differently: files are then indexed anew."""

OWN_KEYS = frozenset(("path", "title", "section", "position", "passages", "start", "end", "page", "file_hash"))
"""The metadata keys that say where a passage comes from. A record's own field of such a name gets `record_` before."""


def fingerprint(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes and of how they are read: a change of either changes the passages."""
    return hashlib.sha256(f"resift {VERSION} {SIZE}\n".encode() + data).hexdigest()


def passages(documents: Sequence[SourceDocument], path: str, file_hash: str) -> list[Passage]:
    """Return a file's passages, in order.

    The text is "Title > Section", an empty line, and a part of the section. Metadata: `path`, `title`,
    `section`, `position` (from 0, of `passages` in the file), `file_hash`; `start` and `end` (offsets in the
    file's text, or the record's) or `page` where they mean something; and a record's own fields.
    """
    parts = [part for document in documents for part in _parts(document)]
    return [
        Passage(
            text,
            passage_id(path, position),
            {"path": path, **metadata, "position": position, "passages": len(parts), "file_hash": file_hash},
        )
        for position, (text, metadata) in enumerate(parts)
    ]


def passage_id(path: str, position: int) -> str:
    """Return the id of a file's n-th passage: the same in every run."""
    return hashlib.sha256(f"{path}\n{position}".encode()).hexdigest()[:32]


def body(text: str, title: str, section: str) -> str:
    """Return a passage's text without its first line, where that names title and section."""
    line, gap, rest = text.partition("\n\n")
    return rest if gap and line == context(title, tuple(section.split(" > ")) if section else ()) else text


def _parts(document: SourceDocument) -> Iterator[tuple[str, dict[str, Scalar]]]:
    """Yield text and metadata of a document's passages."""
    fields = {_key(name): value for name, value in document.metadata.items()}
    next_sections = [*document.sections, None][1:]
    for section, next_section in zip(document.sections, next_sections, strict=True):
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
        if not spans and section.headings and not _is_named_by(next_section, section):
            yield line, where  # a heading with nothing under it still says something


def _key(field: str) -> str:
    """Return a metadata key for a record's field: none of ours, none that Chroma refuses (empty, #x, $x, chroma:x)."""
    taken = field in OWN_KEYS or field.startswith("chroma:") or not (field[:1].isalnum() or field[:1] == "_")
    return f"record_{field}" if taken else field


def _is_named_by(next_section: Section | None, section: Section) -> bool:
    """Return whether the next section names this one's heading anyway."""
    return next_section is not None and next_section.headings[: len(section.headings)] == section.headings
