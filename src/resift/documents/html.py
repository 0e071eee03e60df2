"""HTML, by beautifulsoup4: what a page says, without its scripts, menus and footers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from resift.documents.content import Section, SourceDocument, only_top, paths
from resift.documents.readers import stem_title
from resift.errors import InputError, MissingExtraError

try:
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
    from bs4.dammit import EncodingDetector
    from bs4.element import CData, NavigableString, Tag
except ImportError as error:
    raise MissingExtraError("reading HTML files", "documents") from error

_LEFT_OUT = {
    "script", "style", "template", "noscript", "svg", "math", "nav", "aside", "footer", "form", "button",
    "select", "iframe", "object", "head",
}  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_PARAGRAPHS = {
    "address", "article", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption",
    "figure", "header", "hr", "html", "li", "main", "ol", "p", "section", "summary", "table", "tbody", "tfoot",
    "thead", "ul",
}  # fmt: skip
_LINES = {"br", "tr"}
_CELLS = {"td", "th"}
_SPACE = re.compile(r"\s+")
_LONELY_ITEM = re.compile(r"^-\n+", re.MULTILINE)
_GAP = re.compile(r"\n{3,}")


class _Heading(NamedTuple):
    level: int
    title: str


class _Code(NamedTuple):
    text: str


def read_html(data: bytes, name: str) -> list[SourceDocument]:
    """A section per heading; the title is that of the only top heading, else the page's, else the file's name.

    Reads the declared encoding, UTF-8 without one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)  # XHTML reads well enough as HTML
        soup = BeautifulSoup(_decode(data, name), "html.parser")
    declared = " ".join(soup.title.get_text().split()) if soup.title else ""
    headings: list[_Heading] = []
    texts: list[list[str]] = [[]]
    flow = ""
    for piece in (*_pieces(_body(soup)), _Code("")):
        if isinstance(piece, str):
            flow += piece
            continue
        texts[-1] += [_tidy(flow)]
        flow = ""
        if isinstance(piece, _Heading):
            headings.append(piece)
            texts.append([])
        elif piece.text:
            texts[-1] += [f"```\n{piece.text}\n```"]
    places = [(), *paths(headings)]
    sections = [
        Section("\n\n".join(part for part in parts if part), place) for parts, place in zip(texts, places, strict=True)
    ]
    title = only_top(headings) or declared or stem_title(name)
    return [SourceDocument(title, tuple(section for section in sections if section.text or section.headings))]


def _body(soup: BeautifulSoup) -> Tag:
    """The part that says something, where the page tells."""
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
    except LookupError:
        raise InputError(f"{name}: declares the encoding {encoding!r}, which Python doesn't know") from None


def _pieces(root: Tag) -> Iterator[str | _Heading | _Code]:
    """Text, headings and code in reading order. A stack of our own: pages nest deeper than Python calls."""
    stack: list[object] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Tag):
            if node.name in _HEADINGS:
                yield _Heading(_HEADINGS[node.name], " ".join(node.get_text(" ").split()))
            elif node.name == "pre":
                yield _Code(node.get_text().strip("\n"))
            elif node.name not in _LEFT_OUT:
                before, after = _around(node.name)
                stack += [after, *reversed(node.contents), before]
        elif type(node) in (NavigableString, CData):  # its other kinds are comments and declarations
            yield _SPACE.sub(" ", str(node))
        elif type(node) is str:
            yield node


def _around(tag: str) -> tuple[str, str]:
    """What stands before and after an element's text."""
    if tag == "li":
        return "\n- ", "\n"
    if tag in _PARAGRAPHS:
        return "\n\n", "\n\n"
    if tag in _LINES:
        return "\n", ""
    return "", (" | " if tag in _CELLS else "")


def _tidy(flow: str) -> str:
    """Single spaces, at most one empty line, no marks of empty cells and items."""
    lines = [" ".join(line.split()).strip(" |") for line in flow.split("\n")]
    return _GAP.sub("\n\n", _LONELY_ITEM.sub("- ", "\n".join(lines))).strip()
