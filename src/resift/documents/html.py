"""HTML, by beautifulsoup4: the text of a page, without its scripts, menus and footers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from resift.documents.content import Section, SourceDocument, heading_paths, only_top_title
from resift.documents.readers import stem_title
from resift.errors import InputError, MissingExtraError

try:
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
    from bs4.dammit import EncodingDetector
    from bs4.element import CData, NavigableString, Tag
except ImportError as error:
    raise MissingExtraError("reading HTML files", "documents") from error

_SKIPPED_TAGS = {
    "script", "style", "template", "noscript", "svg", "math", "nav", "aside", "footer", "form", "button",
    "select", "iframe", "object", "head",
}  # fmt: skip
_HEADING_TAGS = {f"h{level}": level for level in range(1, 7)}
_PARAGRAPH_TAGS = {
    "address", "article", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption",
    "figure", "header", "hr", "html", "li", "main", "ol", "p", "section", "summary", "table", "tbody", "tfoot",
    "thead", "ul",
}  # fmt: skip
_LINE_TAGS = {"br", "tr"}
_CELL_TAGS = {"td", "th"}
_WHITE_SPACE = re.compile(r"\s+")
_EMPTY_ITEM = re.compile(r"^-\n+", re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n{3,}")


class _Heading(NamedTuple):
    level: int
    title: str


class _Code(NamedTuple):
    text: str


def read_html(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per heading; the title is the only top heading's, else the page's, else the file's name.

    The encoding is the declared one, else UTF-8.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)  # XHTML reads well enough as HTML
        soup = BeautifulSoup(_decode(data, name), "html.parser")
    declared = " ".join(soup.title.get_text().split()) if soup.title else ""
    headings: list[_Heading] = []
    texts: list[list[str]] = [[]]
    flow: list[str] = []
    for piece in (*_pieces(_main_part(soup)), _Code("")):
        if isinstance(piece, str):
            flow.append(piece)
            continue
        texts[-1].append(_tidy("".join(flow)))
        flow.clear()
        if isinstance(piece, _Heading):
            headings.append(piece)
            texts.append([])
        elif piece.text:
            texts[-1].append(f"```\n{piece.text}\n```")
    sections = [
        Section("\n\n".join(part for part in parts if part), path)
        for parts, path in zip(texts, [(), *heading_paths(headings)], strict=True)
    ]
    title = only_top_title(headings) or declared or stem_title(name)
    return [SourceDocument(title, tuple(section for section in sections if section.text or section.headings))]


def _main_part(soup: BeautifulSoup) -> Tag:
    """Return the page's <main>, else its only <article>, else all of it."""
    articles = soup.find_all("article")
    return soup.find("main") or (articles[0] if len(articles) == 1 else soup)


def _decode(data: bytes, name: str) -> str:
    encoding = EncodingDetector.find_declared_encoding(data, is_html=True) or "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name}:{line}: not {encoding.removesuffix('-sig').upper()}; convert the file first"
        ) from None
    except (LookupError, ValueError):  # ValueError: NUL in the name, or the codec "undefined"
        raise InputError(f"{name}: declares the encoding {encoding!r}, which Python doesn't know") from None


def _pieces(root: Tag) -> Iterator[str | _Heading | _Code]:
    """Yield text, headings and code in reading order. By a stack, not by recursion: pages nest deeper than calls."""
    stack: list[object] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Tag):
            if node.name in _HEADING_TAGS:
                yield _Heading(_HEADING_TAGS[node.name], " ".join(node.get_text(" ").split()))
            elif node.name == "pre":
                yield _Code(node.get_text().strip("\n"))
            elif node.name not in _SKIPPED_TAGS:
                before, after = _around(node.name)
                stack += [after, *reversed(node.contents), before]
        elif type(node) in (NavigableString, CData):  # its other kinds are comments and declarations
            yield _WHITE_SPACE.sub(" ", str(node))
        elif type(node) is str:
            yield node


def _around(tag: str) -> tuple[str, str]:
    """Return what goes before and after the text of an element."""
    if tag == "li":
        return "\n- ", "\n"
    if tag in _PARAGRAPH_TAGS:
        return "\n\n", "\n\n"
    if tag in _LINE_TAGS:
        return "\n", ""
    return "", (" | " if tag in _CELL_TAGS else "")


def _tidy(flow: str) -> str:
    """Return a text with single spaces, at most one empty line at a time, and no marks of empty cells and items."""
    lines = [" ".join(line.split()).strip(" |") for line in flow.split("\n")]
    return _EMPTY_LINES.sub("\n\n", _EMPTY_ITEM.sub("- ", "\n".join(lines))).strip()
