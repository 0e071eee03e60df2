"""A ranking as an HTML table, for notebooks. Everything that comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from resift.report.elements import Html, element
from resift.report.moves import relevance_bar
from resift.report.passage import marked

CHARACTERS_SHOWN = 300  # of a text; a notebook cell is for looking, not for reading
NOTEBOOK = ".resift-ranking"
STYLE = (
    # Colours that can be read on the background of a notebook, light or dark: those of pages are chosen for each.
    f"{NOTEBOOK} td,{NOTEBOOK} th{{text-align:left;vertical-align:baseline}}"
    f"{NOTEBOOK} .number{{text-align:right;font-variant-numeric:tabular-nums}}"
    f"{NOTEBOOK} .up{{color:#3f83c9}}{NOTEBOOK} .down{{color:#c4691c}}{NOTEBOOK} .still{{color:#808a96}}"
    f"{NOTEBOOK} .bar{{display:inline-block;width:80px;height:.6em;border-radius:3px;background:#8883;overflow:hidden}}"
    f"{NOTEBOOK} .bar>span{{display:block;height:100%;background:#3f83c9}}"
    f"{NOTEBOOK} .degraded{{border-left:4px solid #c4691c;padding-left:.6em}}"
)

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
    flag = None if degraded is None else element("p", element("b", "degraded:"), " ", degraded, class_="degraded")
    head = element("tr", *(element("th", name) for name in ("", "moved", "score", "relevance", "text")))
    table = element("table", element("thead", head), element("tbody", *(_row(*row) for row in rows)))
    lead = element("p", element("b", query), element("br"), element("small", note), dir="auto")
    return str(element("div", element("style", Html(STYLE)), lead, flag, table, class_="resift-ranking"))


def _row(rank: int, moved: int, score: str, relevance: float | None, text: str, span: tuple[int, int] | None) -> Html:
    kind = "up" if moved > 0 else "down" if moved < 0 else "still"
    start, end = span or (0, len(text))
    shown = (start, min(end, start + CHARACTERS_SHOWN))
    return element(
        "tr",
        element("td", rank, class_="number"),
        element("td", arrow(moved), class_=kind),
        element("td", score, class_="number"),
        element("td", relevance_bar(relevance)),
        element("td", marked(text, shown=shown), dir="auto"),
    )
