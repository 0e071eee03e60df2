"""A web page's tree as browsers build it, by selectolax (lexbor), in a list in reading order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resift.errors import InputError, MissingExtraError

try:
    from selectolax.lexbor import LexborHTMLParser, LexborNode
except ImportError as error:
    raise MissingExtraError("reading HTML files", "documents") from error

MAX_WORK = 300_000_000
"""Steps up the tree that the parser may need, in time about a second: one for each element above a new one."""

DECLARED_WITHIN = 4096
"""Bytes in which a page declares its encoding. The standard says 1,024; browsers look further."""

_XML = re.compile(r"\A\s*+<\?xml\s[^>]*?encoding\s*+=\s*+[\"']([^\"'>]++)[\"']")
_CHARSET = re.compile(r"charset\s*+=\s*+[\"']?+\s*+([^\s\"';]++)", re.IGNORECASE)
_UNREAD = frozenset((
    "script", "style", "template", "noscript", "svg", "iframe", "object", "head", "select", "datalist", "textarea",
    "annotation", "annotation-xml", "canvas", "audio", "video",
))  # fmt: skip
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*+)")
# Void elements, those that the next of their kind ends, and marks of type: the parser goes up no tree for these.
_CHEAP = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "p", "li", "dt", "dd", "td", "th", "tr", "thead", "tbody", "tfoot", "option", "optgroup", "colgroup", "rp", "rt",
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
))  # fmt: skip
_NAME_PARTS = re.compile(r"[_-]+")


@dataclass(slots=True)
class PageNode:
    """A node of a page. The nodes inside it follow it, up to position `end`."""

    tag: str
    """Empty for text."""
    text: str
    attributes: dict[str, str | None]
    end: int
    furniture: bool = False
    """Whether it, and what is inside it, is no part of the page's text."""

    @property
    def names(self) -> tuple[frozenset[str], frozenset[str]]:
        """Its classes and its id in lower case, and the parts of them, between `-` and `_`."""
        names = f"{self.attributes.get('class') or ''} {self.attributes.get('id') or ''}".lower().split()
        return frozenset(names), frozenset(part for name in names for part in _NAME_PARTS.split(name))


def declared_encoding(data: bytes) -> str:
    """Return the encoding that a page declares, as XML or in a <meta>; UTF-8 where it declares none."""
    head = data[:DECLARED_WITHIN].decode("latin-1")
    if declared := _XML.match(head):
        return declared[1]
    for meta in LexborHTMLParser(head).css("meta"):
        attributes = meta.attributes
        if label := attributes.get("charset"):
            return label
        is_type = (attributes.get("http-equiv") or "").strip().lower() == "content-type"
        if is_type and (declared_text := _CHARSET.search(attributes.get("content") or "")):
            return declared_text[1]
    return "utf-8"


def parse_page(html: str, name: str) -> tuple[str, list[PageNode]]:
    """Return a page's title and its nodes. Raises InputError for a page that is nested too deeply."""
    if not _is_cheap(html):
        raise InputError(f"{name}: the HTML is nested too deeply to be read")
    tree = LexborHTMLParser(html)
    title = tree.css_first("head > title")
    return " ".join(title.text().split()) if title else "", _flatten(tree.body)


def walk(nodes: Sequence[PageNode], start: int, end: int) -> Iterator[tuple[int, PageNode]]:
    """Yield the nodes from `start` to `end` that are no furniture, with their positions."""
    position = start
    while position < end:
        node = nodes[position]
        if not node.furniture:
            yield position, node
        position = node.end if node.furniture else position + 1


def _flatten(body: LexborNode | None) -> list[PageNode]:
    """Return the nodes of a tree in reading order. By a loop, not by recursion: pages nest deeper than calls."""
    nodes: list[PageNode] = []
    above: list[int] = []
    node = body
    while node is not None:
        inside = None
        if node.is_text_node:
            nodes.append(PageNode("", node.text_content or "", {}, len(nodes) + 1))
        elif node.is_element_node and (tag := node.tag or "") not in _UNREAD:
            nodes.append(PageNode(tag, "", node.attributes, len(nodes) + 1))
            inside = node.first_child
        if inside is not None:
            above.append(len(nodes) - 1)
            node = inside
            continue
        while node is not None and above and node.next is None:
            nodes[above.pop()].end = len(nodes)
            node = node.parent
        node = node.next if node is not None and above else None
    return nodes


def _is_cheap(html: str) -> bool:
    """Return whether the parser will be done in time: it takes a square of it for elements that nothing closes."""
    stack: list[str] = []
    opened: Counter[str] = Counter()
    work = 0
    for match in _TAG.finditer(html):
        tag = match[2].lower()
        if tag in _CHEAP:
            continue
        if not match[1]:
            stack.append(tag)
            opened[tag] += 1
            work += len(stack)
            if work > MAX_WORK:
                return False
        elif opened[tag]:
            while (top := stack.pop()) != tag:
                opened[top] -= 1
            opened[tag] -= 1
    return True
