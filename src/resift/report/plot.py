"""Plots as SVG inside a page, in the colours of its style, light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resift.report.elements import Html, element, join

WIDTH, HEIGHT = 720, 330
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 16, 46
TICKS = 5
MOST_BARS = 600
BARS_HEIGHT = 220

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points, from left to right."""

    name: str
    points: Sequence[Point]
    kind: str = "curve"
    """"curve", "second" (another one beside it) or "base" (what all are compared with)."""
    band: Sequence[tuple[float, float]] = ()
    """Low and high at each point, where that is known."""
    dots: Sequence[float] = ()
    """The radius of a dot at each point; none where it is empty."""
    names: Sequence[str] = ()
    """What is written above each point; nothing where it is empty."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A point that stands out, with a name; without `y`, a line from top to bottom."""

    name: str
    x: float
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """What is measured along a side."""

    name: str
    low: float
    high: float
    label: Callable[[float], str] = "{:g}".format
    log: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 to 1."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        place = math.log(max(value, self.low)) if self.log else value
        return (place - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[float]:
        """Return round values along it, at most some eight.

        >>> Axis("share", 0, 1).ticks()
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        >>> Axis("seconds", 0.03, 1.2, log=True).ticks()
        [0.05, 0.1, 0.2, 0.5, 1.0]
        """
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) < 5 else (1,)
            values = [step * 10.0**power for power in powers for step in steps]
        else:
            rough = (self.high - self.low) / TICKS or 1.0
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999)
            first = math.ceil(self.low / step - 1e-9)
            values = [round(number * step, 12) for number in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [value for value in values if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]


def axis_of(name: str, values: Sequence[float], *, margin: float = 0.08) -> Axis:
    """Return an axis on which all values have room.

    >>> axis_of("nDCG@10", [0.4, 0.6]).low < 0.4
    True
    """
    low, high = min(values), max(values)
    room = margin * (high - low) or margin
    return Axis(name, low - room, high + room)


def plot(title: str, curves: Sequence[Curve], x: Axis, y: Axis, marks: Sequence[Mark] = ()) -> Html:
    """Return a plot of curves.

    Args:
        title: What it shows, also for who can't see it.
        curves: At least one.
        x: The axis at the bottom.
        y: The one at the left.
        marks: Points that stand out.
    """
    shapes = [_frame(x, y)]
    for curve in curves:
        places = [_place(point, x, y) for point in curve.points]
        if curve.band:
            edges = [
                [_place((at, value[side]), x, y) for (at, _), value in zip(curve.points, curve.band, strict=True)]
                for side in (0, 1)
            ]
            shapes.append(element("path", class_="area", d=_line([*edges[0], *reversed(edges[1])]) + "Z"))
        shapes.append(element("path", class_=curve.kind, d=_line(places)))
        shapes += [
            element("circle", element("title", _said(point, x)), class_="dot", cx=f"{cx:.1f}", cy=f"{cy:.1f}", r=radius)
            for point, (cx, cy), radius in zip(curve.points, places, curve.dots or [0.0] * len(places), strict=True)
            if radius
        ]
        shapes += [
            element("text", name, class_="faint", x=f"{cx:.1f}", y=f"{cy - 11:.1f}", text_anchor="middle")
            for name, (cx, cy) in zip(curve.names, places, strict=False)
        ]
    shapes += [_mark(mark, x, y) for mark in marks]
    return _figure(title, join(*shapes), [(curve.name, curve.kind) for curve in curves])


def bars(title: str, values: Sequence[float], y: str) -> Html:
    """Return bars from the largest value to the smallest: those above 0 in one colour, those below in another.

    Of more values than have room, evenly many are shown.
    """
    ordered = sorted(values, reverse=True)
    count = min(len(ordered), MOST_BARS)
    shown = [ordered[round(number * (len(ordered) - 1) / max(1, count - 1))] for number in range(count)]
    axis = axis_of(y, [0.0, *shown])
    width = (WIDTH - LEFT - RIGHT) / max(1, count)
    gap = 1.0 if width > 4 else 0.0
    base = TOP + (1 - axis.share(0)) * (BARS_HEIGHT - TOP - BOTTOM)
    paths = {"win": "", "loss": ""}
    for number, value in enumerate(shown):
        if value:
            top = TOP + (1 - axis.share(value)) * (BARS_HEIGHT - TOP - BOTTOM)
            start = LEFT + number * width
            paths["win" if value > 0 else "loss"] += (
                f"M{start:.1f} {base:.1f}V{top:.1f}H{start + width - gap:.1f}V{base:.1f}Z"
            )
    shapes = [_grid(axis, BARS_HEIGHT), *(element("path", class_=kind, d=path) for kind, path in paths.items() if path)]
    shapes.append(element("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{base:.1f}", y2=f"{base:.1f}"))
    note = f"queries, from the most won to the most lost ({len(values)})"
    shapes.append(element("text", note, class_="faint", x=WIDTH - RIGHT, y=BARS_HEIGHT - 10, text_anchor="end"))
    return _figure(title, join(*shapes), [], BARS_HEIGHT)


def intervals(title: str, rows: Sequence[tuple[str, float, float, float]], x: str) -> Html:
    """Return a row for each (name, value, low, high): a dot with its interval, and a line at 0."""
    axis = axis_of(x, [0.0, *(value for row in rows for value in row[1:])])
    row_height, top = 34, 12
    height = top + row_height * len(rows) + BOTTOM
    left = 220
    shapes = [
        join(
            element("line", class_="grid", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=top, y2=height - BOTTOM),
            element(
                "text", f"{value:+g}" if value else "0", x=f"{at:.1f}", y=height - BOTTOM + 18, text_anchor="middle"
            ),
        )
        for value in axis.ticks()
        for at in [left + axis.share(value) * (WIDTH - left - RIGHT)]
    ]
    zero = left + axis.share(0) * (WIDTH - left - RIGHT)
    shapes.append(element("line", class_="axis", x1=f"{zero:.1f}", x2=f"{zero:.1f}", y1=top, y2=height - BOTTOM))
    for number, (name, value, low, high) in enumerate(rows):
        y = top + row_height * (number + 0.5)
        at, start, end = (left + axis.share(place) * (WIDTH - left - RIGHT) for place in (value, low, high))
        kind = "win" if low > 0 else "loss" if high < 0 else "unclear"
        said = f"{name}: {value:+.3f}, between {low:+.3f} and {high:+.3f}"
        shapes += [
            element("text", name if len(name) < 32 else f"…{name[-30:]}", x=left - 12, y=y + 4, text_anchor="end"),
            element(
                "rect",
                class_=kind,
                x=f"{start:.1f}",
                y=y - 3,
                width=f"{max(1, end - start):.1f}",
                height=6,
                rx=3,
                opacity=0.45,
            ),
            element("circle", element("title", said), class_=kind, cx=f"{at:.1f}", cy=y, r=6),
        ]
    shapes.append(element("text", x, class_="faint", x=WIDTH - RIGHT, y=height - 8, text_anchor="end"))
    return _figure(title, join(*shapes), [], height)


def _figure(title: str, shapes: Html, names: Sequence[tuple[str, str]], height: float = HEIGHT) -> Html:
    picture = element(
        "svg", element("title", title), shapes, class_="plot", role="img", viewBox=f"0 0 {WIDTH} {height:g}"
    )
    keys = [
        element(
            "span",
            element("svg", element("path", class_=kind, d="M0 6H26"), class_="plot", viewBox="0 0 26 12"),
            name,
            class_="key",
        )
        for name, kind in names
    ]
    caption = element("figcaption", element("b", title), *keys)
    return element("figure", caption, element("div", picture, class_="scroll", tabindex=0), class_="panel")


def _place(point: Point, x: Axis, y: Axis) -> Point:
    across = LEFT + x.share(point[0]) * (WIDTH - LEFT - RIGHT)
    return across, TOP + (1 - y.share(point[1])) * (HEIGHT - TOP - BOTTOM)


def _line(places: Sequence[Point]) -> str:
    return "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in places)


def _grid(y: Axis, height: int = HEIGHT) -> Html:
    lines = []
    for value in y.ticks():
        down = TOP + (1 - y.share(value)) * (height - TOP - BOTTOM)
        lines += [
            element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{down:.1f}", y2=f"{down:.1f}"),
            element("text", y.label(value), x=LEFT - 8, y=f"{down + 4:.1f}", text_anchor="end"),
        ]
    middle = (TOP + height - BOTTOM) / 2
    name = element(
        "text", y.name, class_="faint", transform=f"translate(14 {middle:g}) rotate(-90)", text_anchor="middle"
    )
    return join(*lines, name)


def _frame(x: Axis, y: Axis) -> Html:
    shapes = [_grid(y)]
    for value in x.ticks():
        across = LEFT + x.share(value) * (WIDTH - LEFT - RIGHT)
        shapes.append(element("text", x.label(value), x=f"{across:.1f}", y=HEIGHT - BOTTOM + 18, text_anchor="middle"))
    bottom = HEIGHT - BOTTOM
    shapes.append(element("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom))
    shapes.append(element("text", x.name, class_="faint", x=WIDTH - RIGHT, y=HEIGHT - 8, text_anchor="end"))
    return join(*shapes)


def _mark(mark: Mark, x: Axis, y: Axis) -> Html:
    if mark.y is None:
        across, _ = _place((mark.x, y.low), x, y)
        is_right = across > WIDTH * 0.7
        return join(
            element("line", class_="chosen", x1=f"{across:.1f}", x2=f"{across:.1f}", y1=TOP, y2=HEIGHT - BOTTOM),
            element(
                "text",
                mark.name,
                class_="chosen",
                x=f"{across + (-7 if is_right else 7):.1f}",
                y=TOP + 12,
                text_anchor="end" if is_right else None,
            ),
        )
    across, down = _place((mark.x, mark.y), x, y)
    edge = "end" if across > WIDTH * 0.8 else "start" if across < WIDTH * 0.2 else "middle"
    return join(
        element("circle", class_="chosen", cx=f"{across:.1f}", cy=f"{down:.1f}", r=7),
        element("text", mark.name, class_="chosen", x=f"{across:.1f}", y=f"{down - 14:.1f}", text_anchor=edge),
    )


def _said(point: Point, x: Axis) -> str:
    return f"{x.name} {x.label(point[0])}: {point[1]:.3f}"
