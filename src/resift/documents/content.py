"""What every reader returns, whatever the file: documents made of sections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from resift._util.jsonl import not_utf8

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Section:
    """Text under one heading."""

    text: str
    headings: tuple[str, ...] = ()
    """The headings above it, outermost first, its own last."""
    start: int | None = None
    """Offset of `text` in the file's text; None where that would mean nothing (HTML, PDF)."""
    page: int | None = None
    """Page of a PDF, from 1."""


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
    r"""Decode UTF-8, without a byte order mark, and with `\n` line ends. Raises InputError naming file and line.

    >>> decode(b"a\r\nb", "notes.txt")
    'a\nb'
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise not_utf8(error, f"{name}:{line}") from None
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
