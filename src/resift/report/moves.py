"""Two orders of the same documents side by side, with a line from each document's first place to its last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resift.report.elements import Child, Html, element, join

GAP = 0.5  # of a row: what style.css makes of it


@dataclass(frozen=True, slots=True)
class Place:
    """A document, and where it stands in both orders, from 1."""

    title: str
    """What it is called: a path, an id, or the beginning of its text."""
    before: int
    after: int | None
    """None: it is not among the results."""
    detail_before: str = ""
    """What the first stage says of it, such as its similarity."""
    detail_after: str = ""
    excerpt: str = ""
    """The beginning of its text, where the title is not that."""
    relevance: float | None = None
    grade: int | None = None
    """How it was judged; None: it was not."""
    link: str | None = None
    """The id of the element that tells more of it."""


def movement(place: Place) -> Html | None:
    """Return the badge that says from where a document came."""
    if place.after is None:
        return None
    moved = place.before - place.after
    kind, arrow = ("up", f"▲ {moved}") if moved > 0 else ("down", f"▼ {-moved}") if moved < 0 else ("still", "=")
    said = f"was {place.before}, {'up' if moved > 0 else 'down' if moved < 0 else 'unmoved'} {abs(moved) or ''}".strip()
    return element("span", arrow, class_=f"badge {kind}", title=said, aria_label=said)


def relevance_bar(relevance: float | None) -> Html | None:
    """Return a relevance, 0 to 1, as a bar."""
    if relevance is None:
        return None
    share = f"{relevance:.0%}"
    inside = element("span", style=f"width:{min(1.0, max(0.0, relevance)):.1%}")
    return element(
        "span", inside, class_="bar", role="img", aria_label=f"relevance {share}", title=f"relevance {share}"
    )


def moves(places: Sequence[Place], *, before: str, after: str, shown: int) -> Html:
    """Return both orders as two columns.

    On the right are the first `shown` of the new order; on the left the first `shown` of the old one, and where the
    others on the right came from. What is left out between them is counted.

    Args:
        places: The documents that are known, in any order.
        before: What made the first order.
        after: What made the new one.
        shown: Rows of a column.
    """
    final = sorted((place for place in places if place.after is not None), key=lambda place: place.after or 0)[:shown]
    first = [
        place for place in sorted(places, key=lambda place: place.before) if place.before <= shown or place in final
    ]
    left, rows = _left(sorted(first, key=lambda place: place.before))
    right = [_right(place, rows[place.before] - row) for row, place in enumerate(final)]
    # In the order of reading: on a phone the columns stand one below the other.
    return element(
        "div",
        _column("after", "Reranked", after, right),
        _column("before", "First stage", before, left),
        class_="moves",
    )


def _column(kind: str, name: str, by: str, rows: Sequence[Html]) -> Html:
    heading = element("h3", name, element("span", element("bdi", by), class_="by", title=by))
    return element("section", heading, element("ol", *rows), class_=kind)


def _left(first: Sequence[Place]) -> tuple[list[Html], dict[int, float]]:
    """Return the rows on the left, with a lower one for each gap, and how many rows stand above each rank."""
    items: list[Html] = []
    rows: dict[int, float] = {}
    last, above = 0, 0.0
    for place in first:
        if (missing := place.before - last - 1) > 0:
            items.append(element("li", f"⋮ {missing} more", class_="gap"))
            above += GAP
        rows[place.before], last = above, place.before
        above += 1
        items.append(
            element(
                "li",
                element("span", place.before, class_="rank"),
                _name(
                    place, "now " + str(place.after) if place.after else "not among the results", place.detail_before
                ),
                class_="kept" if place.after else "gone",
            )
        )
    return items, rows


def _right(place: Place, from_row: float) -> Html:
    return element(
        "li",
        _line(place, from_row),
        element("span", place.after, class_="rank"),
        _name(place, f"was {place.before}", place.detail_after, is_final=True),
        movement(place),
    )


def _name(place: Place, moved: str, detail: str, *, is_final: bool = False) -> Html:
    title: Child = place.title  # in no <bdi>: what is in one has no say in the direction, and so in which end is cut
    if place.link is not None and is_final:
        title = element("a", title, href=f"#{place.link}")
    grade = None if place.grade is None else element("span", f"judged {place.grade}", class_=grade_class(place.grade))
    bar = relevance_bar(place.relevance) if is_final else None
    said = " · ".join(filter(None, (moved, detail)))
    quoted = join(" · ", element("bdi", place.excerpt)) if place.excerpt else None
    return element(
        "span",
        element("span", title, class_="title", dir="auto", title=place.title),
        element("span", grade, bar, element("span", said, quoted, class_="said"), class_="detail"),
        class_="name",
    )


def ranks(places: Sequence[tuple[Place, Html | None]]) -> Html:
    """Return one order as a column: documents with what stands at the end of their rows."""
    rows = (
        element(
            "li", element("span", place.after, class_="rank"), _name(place, "", place.detail_after, is_final=True), end
        )
        for place, end in places
    )
    return element("div", element("ol", *rows), class_="moves alone")


def grade_class(grade: int) -> str:
    """Return the class of a judgement's badge."""
    return "badge good" if grade > 0 else "badge"


def _line(place: Place, rows: float) -> Html:
    """Return the line from so many rows below (or above, where it is negative) on the left to this row."""
    kind = "up" if place.before > (place.after or 0) else "down" if place.before < (place.after or 0) else "still"
    start = f"{5 + 10 * rows:g}"
    path = element("path", d=f"M0 {start}C55 {start} 45 5 100 5", vector_effect="non-scaling-stroke")
    return element(
        "svg", path, class_=f"line {kind}", viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true"
    )


def legend(*items: Child) -> Html:
    """Return small print below a picture."""
    return element("p", join(*items), class_="muted small")


def marks_legend() -> Html:
    """Return small print on the words that are marked in a text."""
    return legend(
        element("span", "Blue", class_="word for", style="--s:1"),
        " words speak for the text, ",
        element("span", "orange", class_="word against", style="--s:1"),
        " ones against it, the darker the more; ",
        element("span", "underlined", class_="evidence"),
        " is the best sentence. Hold the pointer over a word for its share of the score.",
    )
