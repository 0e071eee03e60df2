"""A real browser without a window: Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Page, Playwright

T = TypeVar("T")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE = 360  # pixels: the narrowest that is common


class Browser:
    """Opens a new page for each visit.

    It has a thread of its own: Playwright leaves a running event loop in the thread that starts it, and there no other
    test could run one.
    """

    def __init__(self, executable: str) -> None:
        self._thread = ThreadPoolExecutor(1, "browser")
        self._playwright, self._chromium = self._thread.submit(_start, executable).result()

    def visit(
        self,
        look: Callable[[Page], T],
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        script: bool = True,
    ) -> T:
        """Return what `look` makes of an empty page; it goes somewhere first, by page.goto or page.set_content.

        Fails where the page logs an error or asks for anything outside this machine.

        Args:
            look: Gets the page. It runs in the browser's thread.
            width: Of the window.
            height: The same.
            dark: Whether the system prefers dark colours.
            script: Whether scripts run.
        """
        return self._thread.submit(self._visit, look, width, height, dark, script).result(timeout=120)

    def _visit(self, look: Callable[[Page], T], width: int, height: int, dark: bool, script: bool) -> T:
        context = self._chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            accept_downloads=True,
            permissions=["clipboard-read", "clipboard-write"],
        )
        problems: list[str] = []
        try:
            page = context.new_page()
            page.set_default_timeout(30_000)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
            page.on("request", lambda request: None if _is_local(request.url) else problems.append(request.url))
            found = look(page)
        finally:
            context.close()
        assert not problems, problems
        return found

    def close(self) -> None:
        self._thread.submit(self._stop).result(timeout=60)
        self._thread.shutdown()

    def _stop(self) -> None:
        self._chromium.close()
        self._playwright.stop()


def overflow(page: Page) -> int:
    """Return by how many pixels a page is wider than its window: what is above 0 scrolls sideways."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


def faint(page: Page) -> list[str]:
    """Return the beginnings of a page's texts that are hard to read: with a contrast below 4.5 to 1."""
    found: list[str] = page.evaluate(Path(__file__).with_name("faint.js").read_text(encoding="utf-8"))
    return found


def find_browser() -> str:
    """Return the browser's file. Skips the test where there is none; fails if RESIFT_REQUIRE_BROWSER is set."""
    found = os.environ.get("RESIFT_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    reason = "" if found else f"no browser on this machine (looked for {', '.join(NAMES)}, and in RESIFT_BROWSER)"
    try:
        import playwright  # noqa: F401 - whether it is there
    except ImportError:
        reason = "no Playwright: pip install playwright"
    if reason and os.environ.get("RESIFT_REQUIRE_BROWSER"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return str(found)


def _start(executable: str) -> tuple[Playwright, Chromium]:
    from playwright.sync_api import sync_playwright

    playwright = sync_playwright().start()
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium refuses to run as root in its sandbox
    options = ["--no-sandbox"] if root else []
    return playwright, playwright.chromium.launch(
        executable_path=executable, args=[*options, "--disable-gpu", "--disable-dev-shm-usage"]
    )


def _is_local(url: str) -> bool:
    return url.startswith(
        ("file:", "about:", "data:", "blob:", "http://127.0.0.1:", "http://localhost:", "ws://127.0.0.1:")
    )
