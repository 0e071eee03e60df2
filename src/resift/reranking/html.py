"""A ranking as an HTML table, for notebooks. Everything that comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from resift.text.half_pairs import replace_half_pairs

CHARACTERS_SHOWN = 300  # of a text; a notebook cell is for looking, not for reading

Row = tuple[int, int, str, float | None, str, tuple[int, int] | None]
"""Rank, movement, score, relevance, text and span of a hit."""


def arrow(moved: int) -> str:
    """Return the movement against the first stage as a person reads it.

    >>> arrow(3), arrow(-1), arrow(0)
    ('▲3', '▼1', '=')
    """
    return f"▲{moved}" if moved > 0 else f"▼{-moved}" if moved < 0 else "="


def ranking_table(query: str, note: str, degraded: str | None, rows: Sequence[Row]) -> str:
    """Return the HTML of a table with a row per hit, under the query and a note."""
    flag = "" if degraded is None else f"<p style='color:#b00020'><b>degraded:</b> {escape(degraded)}</p>"
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("", "moved", "score", "relevance", "text"))
    body = "".join(_row(*row) for row in rows)
    return replace_half_pairs(  # a notebook is a file in UTF-8
        f"<div><p><b>{escape(query)}</b><br><small>{escape(note)}</small></p>{flag}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(rank: int, moved: int, score: str, relevance: float | None, text: str, span: tuple[int, int] | None) -> str:
    colour = "#1b7f3b" if moved > 0 else "#b00020" if moved < 0 else "#888"
    return (
        f"<tr><td>{rank}</td><td style='color:{colour}'>{arrow(moved)}</td><td>{score}</td>"
        f"<td>{_bar(relevance)}</td><td style='text-align:left'>{_excerpt(text, span)}</td></tr>"
    )


def _bar(relevance: float | None) -> str:
    if relevance is None:
        return ""
    share = f"{relevance:.0%}"
    return (
        f"<div style='width:80px;background:#8883;border-radius:3px' title='{share}'>"
        f"<div style='width:{relevance * 80:.0f}px;background:#3b78c2;border-radius:3px'>&nbsp;</div></div>"
    )


def _excerpt(text: str, span: tuple[int, int] | None) -> str:
    """Return the start of a text, or of the part that gave the score, with dots where text is left out."""
    start, end = span or (0, len(text))
    shown = text[start : min(end, start + CHARACTERS_SHOWN)]
    before = "… " if start > 0 else ""
    after = " …" if start + len(shown) < len(text) else ""
    return f"{before}{escape(shown)}{after}"
