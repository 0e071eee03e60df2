"""What of a web page is furniture: menus, side bars, imprints, buttons.

Furniture is what HTML and ARIA call so, and a box that is named as a menu and consists of links; never a box for its
name alone: a tip in a "sidebar" is text. Libraries that guess more were measured (`docs/decisions.md`): each loses text
and doesn't say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate

from resift.documents.page_tree import PageNode, walk

HEADINGS = {f"h{level}": level for level in range(1, 7)}
ALMOST_NOTHING = 200
"""Characters. Where a page has less outside its furniture, and less than a tenth, all of it is read."""
LONG_LABEL = 12
"""Characters of a button that says more than "Copy" or "Sign in"."""

Span = tuple[int, int]
"""The positions of nodes."""

_ROLES = frozenset((
    "navigation", "banner", "contentinfo", "search", "dialog", "alertdialog", "menu", "menubar", "toolbar",
))  # fmt: skip
_OWN_ROLES = {"main": "main", "nav": "navigation", "dialog": "dialog", "aside": "complementary"}
_MENU_NAMES = frozenset(("contents", "footer", "header"))
_MENU_NAME_PARTS = frozenset((
    "nav", "navbar", "navheader", "navfooter", "navigation", "docnav", "breadcrumb", "breadcrumbs", "menu", "sidemenu",
    "mainmenu", "sidebar", "toc", "pagination", "pager", "quickview", "skip",
))  # fmt: skip
_NEVER_TEXT = frozenset(("linenos", "linenodiv", "editsection"))
_ANCHOR_NAMES = frozenset(("headerlink", "permalink", "anchorjs", "copiable"))
_ACCORDION_NAMES = frozenset(("accordion", "collapse", "collapsible", "expander", "faq", "question", "tab", "toggle"))
_OPENS = ("aria-expanded", "aria-controls", "data-toggle", "data-bs-toggle", "data-target", "data-bs-target")
_SECTIONS = frozenset(("main", "article", "section"))
_LABELS = frozenset(("summary", "dt", *HEADINGS))
_WHOLE = frozenset(("html", "body", "main", "article", *HEADINGS))
_WORD = re.compile(r"\w")


def find_text(nodes: Sequence[PageNode]) -> list[Span]:
    """Mark the furniture among a page's nodes, and return where its text is: in <main>, the only <article>, or all."""
    sizes = _Sizes(nodes)
    _mark(nodes, sizes)
    whole = (0, len(nodes))
    left = sizes.of_text(whole)
    if left < ALMOST_NOTHING and left * 10 < sizes.of_all(whole):
        for node in nodes:
            node.furniture = False
        left = sizes.of_all(whole)
    mains = _outermost(nodes, lambda node: _role(node) == "main")
    if sum(map(sizes.of_text, mains)) * 10 >= left:
        return mains or [whole]
    articles = _outermost(nodes, lambda node: node.tag == "article")
    return articles if len(articles) == 1 and sizes.of_text(articles[0]) * 2 >= left else [whole]


class _Sizes:
    """How many characters of text, without white space, there are among some nodes."""

    def __init__(self, nodes: Sequence[PageNode]) -> None:
        self._nodes = nodes
        sizes = [len("".join(node.text.split())) for node in nodes]
        self._all = list(accumulate(sizes, initial=0))
        linked = [0] * len(nodes)
        end = 0
        for position, node in enumerate(nodes):
            if node.tag == "a":
                end = max(end, node.end)
            linked[position] = sizes[position] if position < end else 0
        self._linked = list(accumulate(linked, initial=0))

    def of_all(self, span: Span) -> int:
        """Return the characters of a span."""
        return self._all[span[1]] - self._all[span[0]]

    def of_text(self, span: Span) -> int:
        """Return the characters of a span that are in no furniture."""
        return sum(self.of_all((position, position + 1)) for position, _ in walk(self._nodes, *span))

    def mostly_links(self, span: Span) -> bool:
        """Return whether at least half of the characters are in links."""
        return (self._linked[span[1]] - self._linked[span[0]]) * 2 >= self.of_all(span)


def _mark(nodes: Sequence[PageNode], sizes: _Sizes) -> None:
    section_end = label_end = 0
    for position, node in walk(nodes, 0, len(nodes)):
        if node.tag:
            in_section, in_label = position < section_end, position < label_end
            node.furniture = _is_furniture(nodes, position, sizes, in_section=in_section, in_label=in_label)
            if node.tag in _SECTIONS or _role(node) == "main":
                section_end = max(section_end, node.end)
            if node.tag in _LABELS:
                label_end = max(label_end, node.end)


def _is_furniture(nodes: Sequence[PageNode], position: int, sizes: _Sizes, *, in_section: bool, in_label: bool) -> bool:
    node, role = nodes[position], _role(nodes[position])
    names, parts = node.names
    span = (position, node.end)
    if node.tag in _WHOLE:
        return False
    if parts & _NEVER_TEXT:
        return True
    if in_label:
        return _is_permalink(nodes, span, names | parts)
    if node.tag == "button":
        return not _opens_text(node, parts) and sizes.of_all(span) < LONG_LABEL
    if role in _ROLES:
        return True
    if node.tag == "footer" and not in_section:
        return True
    if node.tag == "header" and not in_section:
        return not any(inner.tag in HEADINGS for inner in nodes[position : node.end])
    is_menu = role == "complementary" or bool(names & _MENU_NAMES) or bool(parts & _MENU_NAME_PARTS)
    return is_menu and sizes.mostly_links(span)


def _is_permalink(nodes: Sequence[PageNode], span: Span, names: frozenset[str]) -> bool:
    """Return whether an element beside a heading is a sign, such as the link "¶", and no word of it."""
    if names & _ANCHOR_NAMES:
        return True
    node = nodes[span[0]]
    if node.tag != "a":
        return False
    return node.attributes.get("aria-hidden") == "true" or not any(
        _WORD.search(inner.text) or inner.tag == "img" for inner in nodes[slice(*span)]
    )


def _opens_text(node: PageNode, names: frozenset[str]) -> bool:
    """Return whether a button is the title of a text that it opens, as in an accordion."""
    return bool(names & _ACCORDION_NAMES) or any(attribute in node.attributes for attribute in _OPENS)


def _role(node: PageNode) -> str:
    return (node.attributes.get("role") or "").strip().lower() or _OWN_ROLES.get(node.tag, "")


def _outermost(nodes: Sequence[PageNode], is_wanted: Callable[[PageNode], bool]) -> list[Span]:
    """Return the spans of wanted elements that are in no furniture and in no other wanted one."""
    spans: list[Span] = []
    for position, node in walk(nodes, 0, len(nodes)):
        if is_wanted(node) and not (spans and position < spans[-1][1]):
            spans.append((position, node.end))
    return spans
