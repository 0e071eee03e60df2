"""The style of all pages, light and dark, for screens, phones and paper."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def style() -> str:
    """Return the text of style.css, for a `<style>` element or for who serves it."""
    return resources.files("resift.report").joinpath("style.css").read_text(encoding="utf-8")
