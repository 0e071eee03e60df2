"""A text with its words marked by what they contribute, and its best sentence underlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resift.report.elements import Html, element, join, text

FAINTEST = 0.04  # of the strongest word: what is less is not marked


@dataclass(frozen=True, slots=True)
class Mark:
    """A word of a text, text[start:end], and what it says: 1 speaks most for the text, -1 as much against it."""

    start: int
    end: int
    strength: float
    title: str = ""


def marked(
    content: str,
    marks: Sequence[Mark] = (),
    evidence: tuple[int, int] | None = None,
    shown: tuple[int, int] | None = None,
) -> Html:
    """Return a text with marks.

    Args:
        content: All of the text.
        marks: Its words, in order, none of which overlap.
        evidence: The sentence to underline, as content[start:end].
        shown: The part to show, as content[start:end]; dots stand for the rest. None: all of it.
    """
    start, end = shown or (0, len(content))
    seen = [mark for mark in marks if start <= mark.start and mark.end <= end and abs(mark.strength) >= FAINTEST]
    cited = (0, 0) if evidence is None else (max(start, evidence[0]), min(end, evidence[1]))
    before = _between(content, start, max(start, cited[0]), seen)
    inside = _between(content, *cited, seen) if cited[0] < cited[1] else None
    after = _between(content, max(start, cited[1]), end, seen) if inside else _between(content, start, end, seen)
    return join(
        "… " if start > 0 else None,
        *((before, element("span", inside, class_="evidence"), after) if inside else (after,)),
        " …" if end < len(content) else None,
    )


def _between(content: str, start: int, end: int, marks: Sequence[Mark]) -> Html:
    """Return content[start:end] with the marks that lie in it whole."""
    pieces, place = [], start
    for mark in marks:
        if place <= mark.start and mark.end <= end:
            pieces += [text(content[place : mark.start]), _mark(content, mark)]
            place = mark.end
    return join(*pieces, text(content[place:end]))


def _mark(content: str, mark: Mark) -> Html:
    return element(
        "span",
        content[mark.start : mark.end],
        class_="word for" if mark.strength > 0 else "word against",
        style=f"--s:{min(1.0, abs(mark.strength)):.2f}",
        title=mark.title or None,
    )
