"""Markdown, by markdown-it-py: where its headings are. The text is kept as it is, with offsets into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from resift.documents.content import Heading, Section, SourceDocument, decode, only_top_title, outline
from resift.documents.front_matter import read_front_matter
from resift.documents.readers import stem_title

_LINK = re.compile(r"!?\[([^\[\]]*+)\]\((?:[^()]|\([^()]*+\))*+\)")
# Without `inline`, whose time grows with the square of unclosed brackets, and without `blockquote`, whose time grows
# with the square of lines like "> ```" (250 of them took 1.2 s): what is quoted divides no document.
_PARSER = MarkdownIt("commonmark").disable(["inline", "blockquote"])


def read_markdown(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per heading; the title is the front matter's, else the only top heading's, else the name's.

    A description and tags in the front matter are a section of their own, the first.
    """
    text = decode(data, name)
    front = read_front_matter(text)
    start = front.end if front else 0
    headings = list(find_headings(text, start))
    title = only_top_title([(heading.level, heading.title) for heading in headings]) or stem_title(name)
    sections = outline(text, headings, start)
    if front and front.text:
        sections = (Section(front.text), *sections)
    return [SourceDocument((front and front.title) or title, sections)]


def find_headings(text: str, start: int = 0) -> Iterator[Heading]:
    """Yield the headings that divide a Markdown text, from `start`."""
    lines = text[start:].split("\n")
    offsets = list(accumulate((len(line) + 1 for line in lines), initial=start))
    for token, inline in pairwise(_PARSER.parse(text[start:])):
        if token.type == "heading_open" and token.map is not None:
            first, after = token.map
            content = _without_comments(inline.content)
            is_comment = bool(inline.content.strip()) and not content.strip()
            if not is_comment and _begins_line(token, inline.content, lines[first]):
                yield Heading(int(token.tag[1:]), _title(content), offsets[first], offsets[after] - 1)


def _begins_line(token: Token, content: str, line: str) -> bool:
    """Return whether a heading begins its line: one behind a list mark or a quotation mark divides no document."""
    if token.markup.startswith("#"):
        return line.lstrip().startswith(token.markup)
    parts = content.split("\n")
    return line.lstrip().startswith(parts[0]) and not any(part.lstrip().startswith(">") for part in parts)


def _without_comments(content: str) -> str:
    """Return a heading without what stands between `<!--` and `-->`."""
    first, *others = content.split("<!--")
    parts = [first]
    for part in others:
        comment, end, rest = part.partition("-->")
        parts.append(rest if end else "<!--" + comment)
    return "".join(parts)


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
