"""What every reader returns, whatever the file: documents made of sections."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from resift._util.jsonl import not_utf8
from resift.errors import InputError

Scalar = str | int | float | bool

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Section:
    """Text under one heading."""

    text: str
    headings: tuple[str, ...] = ()
    """The headings above it, outermost first, its own last."""
    start: int | None = None
    """Offset of `text` in the file's text; None where that would mean nothing (HTML, PDF)."""
    page: int | None = None
    """Page of a PDF, or slide, from 1."""
    code: bool = False
    """Whether it is source code, which is cut between lines only."""


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """One text with a title: a file, or a record of a jsonl file."""

    title: str
    sections: tuple[Section, ...]
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in a text: it begins at `start`, and the text under it at `end`."""

    level: int
    title: str
    start: int
    end: int


def decode(data: bytes, name: str) -> str:
    r"""Decode UTF-8, or what the byte order mark says, with `\n` line ends. Raises InputError naming file and line.

    >>> decode(b"a\r\nb", "notes.txt")
    'a\nb'
    """
    mark, codec = next(((mark, codec) for mark, codec in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(codec)
    except UnicodeDecodeError as error:
        if codec == "utf-8":
            raise not_utf8(error, f"{name}:{data.count(bytes([10]), 0, error.start + len(mark)) + 1}") from None
        raise InputError(f"{name}: not {codec.upper()}, which its byte order mark says; convert the file") from None
    if text.count("\0") * 10 > len(text):
        raise InputError(f"{name}: not a text, or UTF-16 without a byte order mark: it has NUL bytes; convert the file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def outline(text: str, headings: Sequence[Heading], start: int = 0) -> tuple[Section, ...]:
    """Return the sections that the headings divide the text into, from `start`; each knows the headings above it.

    >>> for section in outline("hello A a B b", [Heading(1, "A", 6, 7), Heading(2, "B", 10, 11)]):
    ...     print(section.headings, repr(section.text))
    () 'hello '
    ('A',) ' a '
    ('A', 'B') ' b'
    """
    ends = [*(heading.start for heading in headings), len(text)][1:]
    before = text[start : headings[0].start if headings else len(text)]
    sections = [Section(before, (), start)] if before.strip() else []
    titles = heading_paths((heading.level, heading.title) for heading in headings)
    for heading, path, end in zip(headings, titles, ends, strict=True):
        sections.append(Section(text[heading.end : end], path, heading.end))
    return tuple(sections)


def heading_paths(headings: Iterable[tuple[int, str]]) -> Iterator[tuple[str, ...]]:
    """Yield for each (level, title) the titles above it, outermost first, and its own.

    >>> list(heading_paths([(1, "A"), (2, "B"), (2, "C"), (1, "D")]))
    [('A',), ('A', 'B'), ('A', 'C'), ('D',)]
    """
    path: list[tuple[int, str]] = []
    for level, title in headings:
        path = [*((above, name) for above, name in path if above < level), (level, title)]
        yield tuple(name for _, name in path)


def only_top_title(headings: Sequence[tuple[int, str]]) -> str | None:
    """Return the title of the only heading of the top level, if it comes first; None for several chapters.

    >>> only_top_title([(1, "Guide"), (2, "Install"), (2, "Use")])
    'Guide'
    >>> only_top_title([(1, "Install"), (1, "Use")])
    """
    top = min((level for level, _ in headings), default=0)
    titles = [title for level, title in headings if level == top]
    return titles[0] if len(titles) == 1 and headings[0] == (top, titles[0]) else None
