"""The one style of all pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from browser import PHONE, Browser, overflow

from resift.report.style import style

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_it_asks_for_nothing_and_names_only_colours_that_it_has() -> None:
    text = style()
    assert not re.search(r"url\(|@import|https?:", text)
    assert "</" not in text
    assert set(re.findall(r"var\((--[\w-]+)", text)) - {"--s"} <= set(re.findall(r"(--[\w-]+):", text))


@pytest.mark.slow
def test_light_and_dark_on_a_phone(browser: Browser) -> None:
    page = f"<!doctype html><style>{style()}</style><main><h1>A title</h1><pre>{'x' * 500}</pre><p>{'y' * 500}</main>"

    def look(page_: Page) -> tuple[str, int]:
        page_.set_content(page)
        return page_.evaluate("getComputedStyle(document.body).backgroundColor"), overflow(page_)

    assert browser.visit(look, width=PHONE) == ("rgb(246, 247, 249)", 0)
    assert browser.visit(look, width=PHONE, dark=True) == ("rgb(16, 21, 28)", 0)
