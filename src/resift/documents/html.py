"""HTML: the text of a page, with its headings, without its scripts, menus and footers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from resift.documents.charset import decode_declared
from resift.documents.content import Section, SourceDocument, heading_paths, only_top_title
from resift.documents.furniture import HEADINGS, find_text
from resift.documents.page_tree import PageNode, declared_encoding, parse_page, walk
from resift.documents.readers import stem_title

_PARAGRAPH_TAGS = frozenset((
    "address", "article", "aside", "blockquote", "body", "button", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "header", "hr", "html", "main", "ol", "p", "section", "summary", "table",
    "tbody", "tfoot", "thead", "ul",
))  # fmt: skip
_AROUND = {
    **dict.fromkeys(_PARAGRAPH_TAGS, ("\n\n", "\n\n")),
    "li": ("\n- ", "\n"),
    "br": ("\n", ""),
    "tr": ("\n", ""),
    "td": ("", " | "),
    "th": ("", " | "),
}
"""Element → what goes before and after its text."""
_IN_LAYOUT = frozenset(("pre", "table", "ul", "ol", *HEADINGS))
LONGEST_CELL = 200
"""Characters, and nodes, of a table's cell that is read as one line."""
_WHITE_SPACE = re.compile(r"\s+")
_EMPTY_ITEM = re.compile(r"^-\n+", re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n{3,}")
# An XHTML file closes elements that HTML can't: `<title/>` would make a title of the rest of the page.
_CLOSED_AT_ONCE = re.compile(
    r"<((?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|wbr)\b)[a-zA-Z][\w:-]*+)([^<>]*+)(?<=/)>"
)


class _Heading(NamedTuple):
    level: int
    title: str


class _Code(NamedTuple):
    text: str


def read_html(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per heading. A page that begins by saying that it is XML is read as such.

    The title is the page's only <h1>, where it stands outside the main part, else the only top heading's, else what
    <title> says, else the file's name.
    """
    html = _decode(data, name)
    if html.startswith("<?xml"):
        html = _CLOSED_AT_ONCE.sub(_open_and_close, html)
    return [page_document(html, name)]


def read_xhtml(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per heading of a page that is XML."""
    return [page_document(_CLOSED_AT_ONCE.sub(_open_and_close, _decode(data, name)), name)]


def page_document(html: str, name: str, *, title: str = "") -> SourceDocument:
    """Return a page as a document, with this title if there is one. Raises InputError for a page nested too deeply."""
    declared, nodes = parse_page(html, name)
    headings: list[_Heading] = []
    texts: list[list[str]] = [[]]
    flow: list[str] = []
    spans = find_text(nodes)
    for piece in (*(piece for span in spans for piece in _pieces(nodes, *span)), _Code("")):
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
    title = title or _title_outside(nodes, headings) or only_top_title(headings) or declared or stem_title(name)
    return SourceDocument(title, tuple(section for section in sections if section.text or section.headings))


def _decode(data: bytes, name: str) -> str:
    return decode_declared(data, declared_encoding(data), name)


def _title_outside(nodes: Sequence[PageNode], headings: Sequence[_Heading]) -> str:
    """Return the page's only <h1> where the main part has none."""
    if any(level == 1 for level, _ in headings):
        return ""
    titles = [_flat_text(nodes, position) for position, node in walk(nodes, 0, len(nodes)) if node.tag == "h1"]
    return titles[0] if len(titles) == 1 else ""


def _pieces(nodes: Sequence[PageNode], start: int, end: int) -> Iterator[str | _Heading | _Code]:
    """Yield text, headings and code in reading order."""
    after: list[tuple[int, str]] = []
    done = start
    for position, node in walk(nodes, start, end):
        while after and after[-1][0] <= position:
            yield after.pop()[1]
        if position < done:
            continue  # in a heading or in code
        if not node.tag:
            yield _WHITE_SPACE.sub(" ", node.text)
        elif node.tag in HEADINGS:
            done = node.end
            title = _flat_text(nodes, position) or _all_text(nodes, position)
            yield _Heading(HEADINGS[node.tag], title) if title else "\n\n"
        elif node.tag == "pre":
            done = node.end
            yield _Code(_inner_text(nodes, position).strip("\n"))
        elif node.tag in ("td", "th") and _is_line(nodes, position):
            done = node.end
            yield _flat_text(nodes, position) + " | "
        elif around := _AROUND.get(node.tag):
            yield around[0]
            after.append((node.end, around[1]))
    for _, text in reversed(after):
        yield text


def _is_line(nodes: Sequence[PageNode], position: int) -> bool:
    """Return whether a table's cell is read as one line: others hold parts of a page that a table lays out."""
    if nodes[position].end - position > LONGEST_CELL:
        return False
    cell = nodes[position : nodes[position].end]
    return sum(len(node.text) for node in cell) <= LONGEST_CELL and not any(node.tag in _IN_LAYOUT for node in cell)


def _flat_text(nodes: Sequence[PageNode], position: int) -> str:
    return " ".join(_inner_text(nodes, position).split())


def _all_text(nodes: Sequence[PageNode], position: int) -> str:
    """Return the text of a heading of which all looks like a sign beside it, if it has a word."""
    text = " ".join("".join(node.text for node in nodes[position : nodes[position].end]).split())
    return text if any(map(str.isalnum, text)) else ""


def _inner_text(nodes: Sequence[PageNode], position: int) -> str:
    """Return the text inside an element, with a line end for each <br> and each box."""
    return "".join(
        inner.text if not inner.tag else "\n" if inner.tag in _AROUND else ""
        for _, inner in walk(nodes, position + 1, nodes[position].end)
    )


def _tidy(flow: str) -> str:
    """Return a text with single spaces, at most one empty line at a time, and no marks of empty cells and items."""
    lines = [" ".join(line.split()).strip(" |") for line in flow.split("\n")]
    return _EMPTY_LINES.sub("\n\n", _EMPTY_ITEM.sub("- ", "\n".join(lines))).strip()


def _open_and_close(match: re.Match[str]) -> str:
    return f"<{match[1]}{match[2].removesuffix('/')}></{match[1]}>"
