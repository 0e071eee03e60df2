"""Plain text, Markdown and reStructuredText: files whose text is kept as it is, with offsets into it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from resift.documents.content import Heading, Section, SourceDocument, decode, only_top, outline
from resift.documents.readers import stem_title

_FRONT_MATTER = re.compile(r"---[^\S\n]*\n(?:.*\n)*?(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)")
_FRONT_TITLE = re.compile(r"^title:[^\S\n]*(.+)$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[^\S\n]+(.*?))?(?:[^\S\n]+#+)?[^\S\n]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[^\S\n]*$")
_NO_SETEXT = re.compile(r"\s*$|\s{4}|\s*(?:[-*+>|#]|\d+[.)]\s)")  # lines that an underline does not make a heading
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ANCHOR = re.compile(r"\s*\{#[^}]*\}\s*$")
_RULE = re.compile(r"([!-/:-@\[-`{-~])\1+[^\S\n]*$")


def read_text(data: bytes, name: str) -> list[SourceDocument]:
    """The whole file as one section."""
    return [SourceDocument(stem_title(name), (Section(decode(data, name), (), 0),))]


def read_markdown(data: bytes, name: str) -> list[SourceDocument]:
    """A section per heading; the title is the front matter's, else that of the only top heading, else the name."""
    text = decode(data, name)
    front = _FRONT_MATTER.match(text)
    declared = _FRONT_TITLE.search(front[0]) if front else None
    return [_document(text, list(_markdown(text, front.end() if front else 0)), declared, name, front)]


def read_rst(data: bytes, name: str) -> list[SourceDocument]:
    """A section per heading; levels are the underlining styles in their order of appearance, as docutils does."""
    text = decode(data, name)
    return [_document(text, list(_rst(text)), None, name, None)]


def _document(
    text: str, headings: list[Heading], declared: re.Match[str] | None, name: str, front: re.Match[str] | None
) -> SourceDocument:
    top = only_top([(heading.level, heading.title) for heading in headings])
    title = declared[1].strip().strip("\"'") if declared else top or stem_title(name)
    return SourceDocument(title, outline(text, headings, front.end() if front else 0))


def _lines(text: str, start: int = 0) -> Iterator[tuple[int, str]]:
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start:end]
        start = end + 1


def _markdown(text: str, start: int) -> Iterator[Heading]:
    fence = ""
    above = (start, "")
    for position, line in _lines(text, start):
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
        elif atx := _ATX.match(line):
            yield Heading(len(atx[1]), _plain(atx[2] or ""), position, position + len(line))
        elif (under := _SETEXT.match(line)) and not _NO_SETEXT.match(above[1]):
            yield Heading(1 if under[1][0] == "=" else 2, _plain(above[1]), above[0], position + len(line))
            line = ""
        above = (position, "" if mark or fence or _ATX.match(line) else line)


def _rst(text: str) -> Iterator[Heading]:
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


def _underlines(title: str, rule: str) -> bool:
    return bool(
        title.strip() and _RULE.match(rule) and not _RULE.match(title) and len(rule.rstrip()) >= len(title.strip())
    )


def _plain(title: str) -> str:
    """A heading's words, without the marks of Markdown."""
    return _ANCHOR.sub("", _LINK.sub(r"\1", title)).replace("`", "").replace("**", "").strip()
