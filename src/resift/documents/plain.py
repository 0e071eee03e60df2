"""Plain text, source code and reStructuredText: files whose text is kept as it is, with offsets into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from resift.documents.content import Heading, Section, SourceDocument, decode, only_top_title, outline
from resift.documents.readers import stem_title

_RULE = re.compile(r"^([!-/:-@\[-`{-~])\1++[^\S\n]*+$")


def read_text(data: bytes, name: str) -> list[SourceDocument]:
    """Return the whole file as one section."""
    return [SourceDocument(stem_title(name), (Section(decode(data, name), (), 0),))]


def read_rst(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per heading; levels are the underlining styles in their order of appearance, as docutils does.

    The title is the only top heading's, else the name's.
    """
    text = decode(data, name)
    headings = list(_headings(text))
    title = only_top_title([(heading.level, heading.title) for heading in headings]) or stem_title(name)
    return [SourceDocument(title, outline(text, headings))]


def _headings(text: str) -> Iterator[Heading]:
    lines = list(_lines(text))
    styles: list[tuple[str, bool]] = []
    for number in range(1, len(lines)):
        (start, title), (under, rule) = lines[number - 1 : number + 1]
        over_start, over = lines[number - 2] if number > 1 else (start, "")
        if not _underlines(title, rule):
            continue
        overlined = over.rstrip() == rule.rstrip()
        if not overlined and (title[0].isspace() or over.strip()):
            continue  # a title stands alone, at the margin: anything else is a table or a rule
        style = (rule[0], overlined)
        if style not in styles:
            styles.append(style)
        begin = over_start if overlined else start
        yield Heading(styles.index(style) + 1, title.strip().replace("`", ""), begin, under + len(rule))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the offset and the text of every line."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start:end]
        start = end + 1


def _underlines(title: str, rule: str) -> bool:
    """Return whether `rule` is a row of one mark, at least as long as the title above it."""
    return bool(
        title.strip() and _RULE.match(rule) and not _RULE.match(title) and len(rule.rstrip()) >= len(title.strip())
    )


def read_code(data: bytes, name: str) -> list[SourceDocument]:
    """Return the whole file as one section, which is cut between lines only; its title is the file's name."""
    text = decode(data, name)
    return [SourceDocument(PurePath(name).name, (Section(text, (), 0, code=True),))]
