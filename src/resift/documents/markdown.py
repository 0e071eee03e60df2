"""Markdown, by markdown-it-py: where its headings are. The text is kept as it is, with offsets into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from resift.documents.content import Heading, SourceDocument, decode, only_top_title, outline
from resift.documents.readers import stem_title

_FRONT_MATTER = re.compile(r"---[^\S\n]*+\n(?:.*+\n)*?(?:---|\.\.\.)[^\S\n]*+(?:\n|\Z)")
_FRONT_TITLE = re.compile(r"^title:[^\S\n]*(.+)$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]]*+)\]\((?:[^()]|\([^()]*+\))*+\)")
# Without `inline`, whose time grows with the square of unclosed brackets, and without `blockquote`, whose time grows
# with the square of lines like "> ```" (250 of them took 1.2 s): what is quoted divides no document.
_PARSER = MarkdownIt("commonmark").disable(["inline", "blockquote"])


def read_markdown(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per heading; the title is the front matter's, else the only top heading's, else the name's."""
    text = decode(data, name)
    front = _FRONT_MATTER.match(text)
    start = front.end() if front else 0
    headings = list(_headings(text, start))
    if front and (declared := _FRONT_TITLE.search(front[0])):
        title = declared[1].strip().strip("\"'")
    else:
        title = only_top_title([(heading.level, heading.title) for heading in headings]) or stem_title(name)
    return [SourceDocument(title, outline(text, headings, start))]


def _headings(text: str, start: int) -> Iterator[Heading]:
    lines = text[start:].split("\n")
    offsets = list(accumulate((len(line) + 1 for line in lines), initial=start))
    for token, inline in pairwise(_PARSER.parse(text[start:])):
        if token.type == "heading_open" and token.map is not None:
            first, after = token.map
            if _begins_line(token, inline.content, lines[first]):
                yield Heading(int(token.tag[1:]), _title(inline.content), offsets[first], offsets[after] - 1)


def _begins_line(token: Token, content: str, line: str) -> bool:
    """Return whether a heading begins its line: one behind a list mark or a quotation mark divides no document."""
    if token.markup.startswith("#"):
        return line.lstrip().startswith(token.markup)
    parts = content.split("\n")
    return line.lstrip().startswith(parts[0]) and not any(part.lstrip().startswith(">") for part in parts)


def _title(content: str) -> str:
    """Return a heading's words, without the marks of links, anchors, code and bold type.

    >>> _title("Install [here](http://x) `now` {#install}")
    'Install here now'
    """
    title = " ".join(line.strip() for line in content.split("\n"))
    title = _LINK.sub(r"\1", _LINK.sub(r"\1", title))  # twice: an image may be a link
    before, anchor, after = title.rstrip().rpartition("{#")
    if anchor and after.endswith("}") and after.count("}") == 1:
        title = before
    return title.replace("`", "").replace("**", "").strip()
