"""The passages that are stored of a file's documents: each can be read alone, and says where it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from resift._util.arguments import is_blank
from resift.documents.chunks import Chunks, token_rulers
from resift.documents.content import Scalar, Section, SourceDocument
from resift.documents.split import context, split
from resift.search.two_stage import Passage
from resift.text.half_pairs import replace_half_pairs

VERSION = 3
"""Part of every fingerprint. Raise it when passages come out differently: files are then indexed anew."""

OWN_KEYS = frozenset(("path", "title", "section", "position", "passages", "start", "end", "page", "file_hash"))
"""The metadata keys that say where a passage comes from. A record's own field of such a name gets `record_` before."""


DEFAULT_CHUNKS = Chunks()
SECTIONS_AT_ONCE = 64
"""Sections whose tokens are held in memory together."""
CONTEXT_CHARACTERS = 200
CONTEXT_SHARE = 3
"""A passage's first line has at most a third of its tokens."""


def fingerprint(data: bytes, chunks: Chunks = DEFAULT_CHUNKS) -> str:
    """Return the SHA-256 of a file's bytes and of how they are read: a change of either changes the passages."""
    model = "" if chunks.model == DEFAULT_CHUNKS.model else f" {chunks.model}"
    return hashlib.sha256(f"resift {VERSION} {chunks.tokens} {chunks.shared}{model}\n".encode() + data).hexdigest()


def passages(
    documents: Sequence[SourceDocument], path: str, file_hash: str, chunks: Chunks = DEFAULT_CHUNKS
) -> list[Passage]:
    """Return a file's passages, in order.

    The text is "Title > Section", an empty line, and a part of the section. Metadata: `path`, `title`,
    `section`, `position` (from 0, of `passages` in the file), `file_hash`; `start` and `end` (offsets in the
    file's text, or the record's) or `page` where they mean something; and a record's own fields.
    """
    parts = list(_parts(documents, chunks))
    return [
        Passage(
            replace_half_pairs(text),
            passage_id(path, position),
            {
                "path": path,
                **{replace_half_pairs(key): _storable(value) for key, value in metadata.items()},
                "position": position,
                "passages": len(parts),
                "file_hash": file_hash,
            },
        )
        for position, (text, metadata) in enumerate(parts)
    ]


def passage_id(path: str, position: int) -> str:
    """Return the id of a file's n-th passage: the same in every run."""
    return hashlib.sha256(f"{path}\n{position}".encode()).hexdigest()[:32]


def body(text: str, title: str, section: str) -> str:
    """Return a passage's text without its first line, where that names title and section."""
    line, gap, rest = text.partition("\n\n")
    return rest if gap and line == context(title, tuple(section.split(" > ")) if section else (), len(line)) else text


class _Piece(NamedTuple):
    """A section that is to be cut."""

    section: Section
    names: tuple[str, tuple[str, ...]]
    """The title, and the headings below it."""
    metadata: dict[str, Scalar]
    stands_alone: bool
    """Whether its headings are a passage where there is nothing under them."""


def _parts(documents: Sequence[SourceDocument], chunks: Chunks) -> Iterator[tuple[str, dict[str, Scalar]]]:
    """Yield text and metadata of the passages."""
    pieces = chain.from_iterable(map(_pieces, documents))
    while some := list(islice(pieces, SECTIONS_AT_ONCE)):
        fits = [_surely_fits(piece, chunks) for piece in some]
        others = [piece for piece, fit in zip(some, fits, strict=True) if not fit]
        lines = _lines([piece.names for piece in others], chunks)
        rulers = iter(token_rulers([piece.section.text for piece in others], chunks.model))
        for piece, fit in zip(some, fits, strict=True):
            text, first = piece.section.text, piece.section.start
            line, line_tokens = (context(*piece.names, CONTEXT_CHARACTERS), 0) if fit else lines[piece.names]
            ruler = None if fit else next(rulers)
            cut = split(text, chunks.tokens - line_tokens, chunks.shared, ruler, code=piece.section.code)
            spans = [span for span in cut if not is_blank(text[span.start : span.end])]
            for span in spans:
                offsets = {} if first is None else {"start": first + span.start, "end": first + span.end}
                part = text[span.start : span.end]
                yield f"{line}\n\n{part}" if line else part, {**piece.metadata, **offsets}
            if not spans and piece.stands_alone:
                yield line, piece.metadata  # a heading with nothing under it still says something


def _surely_fits(piece: _Piece, chunks: Chunks) -> bool:
    """Return whether a section is one passage whatever its tokens: in ASCII each has a character at least."""
    text = piece.section.text
    names = (piece.names[0], *piece.names[1])
    characters = len(text) + sum(map(len, names)) + len(" > ") * len(names)
    return characters <= chunks.tokens and text.isascii() and all(map(str.isascii, names))


def _pieces(document: SourceDocument) -> Iterator[_Piece]:
    fields = {_key(name): value for name, value in document.metadata.items()}
    next_sections = [*document.sections, None][1:]
    for section, next_section in zip(document.sections, next_sections, strict=True):
        below = section.headings[section.headings[:1] == (document.title,) :]
        where: dict[str, Scalar] = {**fields, "title": document.title, "section": " > ".join(below)}
        if section.page is not None:
            where["page"] = section.page
        has_heading = bool(section.headings) and not is_blank(section.headings[-1])
        stands_alone = has_heading and not _is_named_by(next_section, section)
        yield _Piece(section, (document.title, below), where, stands_alone)


def _lines(
    names: Sequence[tuple[str, tuple[str, ...]]], chunks: Chunks
) -> dict[tuple[str, tuple[str, ...]], tuple[str, int]]:
    """Return what passages with these names begin with, and its tokens: a third of a passage's at most."""
    lines: dict[tuple[str, tuple[str, ...]], tuple[str, int]] = {}
    limits = dict.fromkeys(names, CONTEXT_CHARACTERS)
    while limits:
        short = {name: context(*name, limit) for name, limit in limits.items()}
        counts = [
            ruler.count(0, len(line))
            for line, ruler in zip(short.values(), token_rulers([*short.values()], chunks.model), strict=True)
        ]
        lines |= {name: (line, count) for (name, line), count in zip(short.items(), counts, strict=True)}
        too_long = [name for name, (_, count) in lines.items() if count > chunks.tokens // CONTEXT_SHARE]
        limits = {name: len(lines[name][0]) * 3 // 4 for name in too_long}
    return lines


def _storable(value: Scalar) -> Scalar:
    """Return the value, a text as UTF-8 can hold it: the fonts of some PDFs give half a surrogate pair."""
    return replace_half_pairs(value) if isinstance(value, str) else value


def _key(field: str) -> str:
    """Return a metadata key for a record's field: none of ours, none that Chroma refuses (empty, #x, $x, chroma:x)."""
    taken = field in OWN_KEYS or field.startswith("chroma:") or not (field[:1].isalnum() or field[:1] == "_")
    return f"record_{field}" if taken else field


def _is_named_by(next_section: Section | None, section: Section) -> bool:
    """Return whether the next section names this one's heading anyway."""
    return next_section is not None and next_section.headings[: len(section.headings)] == section.headings
