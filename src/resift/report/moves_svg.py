"""The moves of a ranking as an SVG picture of its own, for pages that take no HTML, such as a README."""

from __future__ import annotations

from collections.abc import Sequence

from resift.report.elements import Html, element, join
from resift.report.letters import BOLD, letter_width
from resift.report.moves import Place

WIDTH, MARGIN, COLUMN, ROW, GAP, TOP = 880, 24, 340, 38, 20, 92
LEFT_END, RIGHT_START = MARGIN + COLUMN, WIDTH - MARGIN - COLUMN
SIZE, SMALL, LARGE = 14, 11.5, 18
RANK, MOVED = 44, 60  # room for 4 digits; a rank may reach into the margin
STYLE = (
    ".ground{fill:#fff}.ink{fill:#1c2430}.muted{fill:#5a6675}"
    ".up{stroke:#1b6bb8}.down{stroke:#9f4a06}.still{stroke:#9aa5b1}"
    ".up-ink{fill:#1b6bb8}.down-ink{fill:#9f4a06}.still-ink{fill:#66717f}.rule{stroke:#d9dfe7}"
    "@media (prefers-color-scheme:dark){.ground{fill:#0d1117}.ink{fill:#e7ecf2}.muted{fill:#a3afbd}"
    ".up{stroke:#79b8f2}.down{stroke:#f0a35e}.still{stroke:#66717f}"
    ".up-ink{fill:#79b8f2}.down-ink{fill:#f0a35e}.still-ink{fill:#95a1af}.rule{stroke:#313d4b}}"
)


def moves_picture(places: Sequence[Place], *, title: str, before: str, after: str, shown: int) -> str:
    """Return the picture, as `moves` shows it on a page.

    Args:
        places: The documents that are known, in any order.
        title: What was asked.
        before: What made the first order.
        after: What made the new one.
        shown: Rows of the new order, and of the old one beside where the others came from.
    """
    final = sorted((place for place in places if place.after is not None), key=lambda place: place.after or 0)[:shown]
    came_from = {place.before for place in final}
    first = sorted(
        (place for place in places if place.before <= shown or place.before in came_from),
        key=lambda place: place.before,
    )
    heights, gaps, end = _heights(first)
    height = max(end, TOP + ROW * len(final)) + MARGIN - 8
    shapes = [
        element("rect", class_="ground", width="100%", height="100%", rx=12),
        _text(MARGIN, 38, title, SIZE + 6, WIDTH - 2 * MARGIN, "ink", weight=650),
        _text(MARGIN, TOP - 18, f"First stage: {before}", SMALL + 1, COLUMN, "muted"),
        _text(RIGHT_START, TOP - 18, f"Reranked: {after}", SMALL + 1, COLUMN, "muted"),
        *(_curve(place, heights[place.before], TOP + ROW * row) for row, place in enumerate(final)),
        *(_row(place, MARGIN, heights[place.before], is_final=False) for place in first),
        *(_text(MARGIN + 30, y + 14, f"⋮ {missing} more", SMALL, COLUMN, "muted") for y, missing in gaps),
        *(_row(place, RIGHT_START, TOP + ROW * row, is_final=True) for row, place in enumerate(final)),
    ]
    picture = element(
        "svg",
        element("title", f"{title}: from the first stage to the final order"),
        element("style", Html(STYLE)),
        *shapes,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH,
        height=height,
        style="max-width:100%;height:auto;font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif",
    )
    return str(picture)


def _heights(first: Sequence[Place]) -> tuple[dict[int, int], list[tuple[int, int]], int]:
    """Return where each rank's row begins, where gaps are and how many they leave out, and where the last row ends."""
    heights: dict[int, int] = {}
    gaps, last, y = [], 0, TOP
    for place in first:
        if (missing := place.before - last - 1) > 0:
            gaps.append((y, missing))
            y += GAP
        heights[place.before], last = y, place.before
        y += ROW
    return heights, gaps, y


def _row(place: Place, x: int, y: int, *, is_final: bool) -> Html:
    rank = place.after if is_final else place.before
    moved = place.before - (place.after or 0)
    kind, arrow = ("up", f"▲ {moved}") if moved > 0 else ("down", f"▼ {-moved}") if moved < 0 else ("still", "=")
    now = f"now {place.after}" if place.after else "not among the results"
    parts = (f"was {place.before}", place.detail_after) if is_final else (now, place.detail_before)
    room = COLUMN - 30 - (MOVED if is_final else 0)
    return join(
        element("line", class_="rule", x1=x, x2=x + COLUMN, y1=y + ROW - 0.5, y2=y + ROW - 0.5, stroke_width=1),
        _text(x + 20, y + 23, str(rank), SIZE, RANK, "ink" if is_final else "muted", weight=650, anchor="end"),
        _text(x + 30, y + 16, place.title, SIZE, room, "ink", weight=600 if is_final else 400),
        _text(x + 30, y + 31, " · ".join(filter(None, parts)), SMALL, room, "muted"),
        _text(x + COLUMN, y + 23, arrow, SIZE - 1, MOVED, f"{kind}-ink", weight=650, anchor="end")
        if is_final
        else None,
    )


def _curve(place: Place, from_y: int, to_y: int) -> Html:
    kind = "up" if place.before > (place.after or 0) else "down" if place.before < (place.after or 0) else "still"
    start, end = from_y + ROW / 2, to_y + ROW / 2
    middle = (LEFT_END + RIGHT_START) / 2
    path = f"M{LEFT_END + 6} {start:g}C{middle + 12} {start:g} {middle - 12} {end:g} {RIGHT_START - 6} {end:g}"
    return element("path", class_=kind, d=path, fill="none", stroke_width=2 if kind == "up" else 1.5)


def _text(
    x: float,
    y: float,
    content: str,
    size: float,
    room: float,
    kind: str,
    *,
    weight: int = 400,
    anchor: str | None = None,
) -> Html:
    return element(
        "text",
        fit(content, room / size / (BOLD if weight > 500 else 1)),
        x=x,
        y=y,
        class_=kind,
        font_size=size,
        font_weight=weight if weight != 400 else None,
        text_anchor=anchor,
    )


def fit(content: str, room: float) -> str:
    """Return the beginning of a text that takes so much room, in heights of its letters; dots where it is cut.

    >>> fit("a long title", 5)
    'a long…'
    """
    line = " ".join(content.split())
    used, kept = 0.0, 0  # kept: of its characters, beside the dots
    for place, character in enumerate(line):
        if used + letter_width("…") <= room:
            kept = place
        used += letter_width(character)
        if used > room:
            return line[:kept].rstrip() + "…"
    return line
