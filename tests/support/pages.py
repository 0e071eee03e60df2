"""Reads pages of the tests."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = ("meta", "br", "hr")
HOSTILE = (
    "</style><script>document.title='owned'</script>",
    "\"quotes\" & 'apostrophes' <img src=http://example.com/a onerror=alert(1)>",
    "\u202eright to left\u202c עברית العربية",
    "x" * 3000,
    "NUL \x00 and \x0b, half a pair \ud800, ]]> --> <!--",
    "蛇を見た。" * 40,
    "",
)


class Elements(HTMLParser):
    """Reads a page, and fails where an element isn't closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []  # type: ignore[list-item]
        self.links += [given["href"]] if given.get("href") else []  # type: ignore[list-item]
        assert not any(name.startswith("on") for name in given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def check_page(page: str) -> Elements:
    """Return what a page holds. Fails where it isn't whole, runs or asks for anything, or links to nothing."""
    page.encode()
    assert page.startswith("<!doctype html>")
    found = Elements(page)
    assert found.names.isdisjoint({"script", "img", "link", "iframe", "object", "base", "form"})
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert 'name="color-scheme" content="light dark"' in page
    assert len(found.ids) == len(set(found.ids))
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert not re.search(r"url\(|@import", page.partition("</style>")[0])
    return found
