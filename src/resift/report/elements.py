"""HTML that is escaped by the way it is built: what is no `Html` is text, and becomes harmless."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VOID = frozenset(("br", "hr", "img", "meta"))


class Html(str):
    """A text that is HTML already. `text` and `element` make it; nothing else should."""

    __slots__ = ()


Child = Html | str | int | None
"""What stands inside an element: HTML, text, a number, or nothing."""


def plain(text: str) -> str:
    r"""Return a text without the characters that neither HTML nor SVG can hold: half pairs and control characters.

    >>> plain("a\x00b")
    'a�b'
    """
    return _NOT_XML.sub("\ufffd", text)


def text(content: str) -> Html:
    """Return a text as HTML that shows it as it is.

    >>> text("<b> & 'c'")
    '&lt;b&gt; &amp; &#x27;c&#x27;'
    """
    return Html(escape(plain(content)))


def join(*children: Child) -> Html:
    """Return children one after the other; whatever is no HTML is escaped."""
    return Html("".join(_html(child) for child in children))


def element(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """Return an element. Children and attributes are escaped.

    Args:
        name: Of the element.
        children: What stands in it.
        attributes: `_` in a name becomes `-`, and one at its end is left out: `class_="card"`. True gives a name
            without a value; None and False give nothing.

    >>> element("a", "x < y", href="#1", class_="up", hidden=None)
    '<a href="#1" class="up">x &lt; y</a>'
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    end = "" if name in _VOID else f"{join(*children)}</{name}>"
    return Html(f"<{name}{written}>{end}")


def elements(name: str, children: Iterable[Child], **attributes: str | float | bool | None) -> Html:
    """Return an element for each child, one after the other."""
    return join(*(element(name, child, **attributes) for child in children))


def _html(child: Child) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Html) else text(str(child))


def _attribute(key: str, value: str | float | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{text(str(value))}"'
