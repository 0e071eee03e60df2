"""The heat map of an explanation as SVG: a row for each query word, a column for each document word that matters."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from resift.explanation.explanation import Explanation
from resift.explanation.shades import colour, plain, strengths
from resift.report.letters import text_width

COLUMNS = 28  # document words, at most: those with the largest contributions
ROWS = 28
FAINTEST = 0.05  # of the largest contribution: what is less takes no column in a wide map
VALUED_COLUMNS = 16  # up to so many columns, cells have room for their value
CELL, VALUED_CELL, HEIGHT, MARGIN = 26, 44, 26, 10
SIZE = 13  # of labels, in pixels
LABEL_LETTERS = 18
FONT = "13px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
SHRINKING = ";max-width:100%;height:auto"  # a file of its own; on a page it scrolls, and stays readable
STYLE = (
    "<style>.resift-map{color:#1f2328;background:#fff}.resift-ground{fill:#fff}"
    "@media (prefers-color-scheme:dark){.resift-map{color:#e6edf3;background:#0d1117}.resift-ground{fill:#0d1117}}"
    "</style>"
)


def heat_map(explanation: Explanation, *, alone: bool = True) -> str:
    """Return the heat map as an SVG element.

    Without pairs, as occlusion has none beyond its budget, it has one row, for the whole query.

    Args:
        explanation: What is shown.
        alone: Whether it is a file of its own, which chooses its colours for light and dark itself. If not, it has the
            colour of the text around it.
    """
    rows, names, values = heat_map_cells(explanation)
    cell = VALUED_CELL if len(names) <= VALUED_COLUMNS else CELL
    left = MARGIN + max((_width(label(name)) for name in rows), default=0) + 8
    tallest = max((_width(label(name)) for name in names), default=0)
    top, slant = MARGIN + 0.71 * tallest + 14, 0.71 * tallest
    width, height = left + cell * len(names) + slant + MARGIN, top + HEIGHT * len(rows) + MARGIN
    title = f"What the words of the document contribute for: {explanation.query}"
    shapes = [
        *(_row_label(name, left, top, row) for row, name in enumerate(rows)),
        *(_column_label(name, left + cell * (column + 0.5), top - 6) for column, name in enumerate(names)),
        *_cells(rows, names, values, (left, top, cell)),
    ]
    ground = f'{STYLE}<rect class="resift-ground" width="100%" height="100%"/>' if alone else ""
    style = f"font:{escape(FONT)}{SHRINKING if alone else ''}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="resift-map" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" style="{style}"><title>{_text(title)}</title>'
        f"{ground}{''.join(shapes)}</svg>"
    )


def heat_map_cells(explanation: Explanation) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Return what a heat map shows: the names of rows and of columns, and the values, (rows, columns)."""
    rows, values = _rows(explanation)
    columns = _columns(explanation, values)
    names = [explanation.document_words[column].text for column in columns]
    return rows, names, values[:, columns]


def _rows(explanation: Explanation) -> tuple[list[str], NDArray[np.float64]]:
    words = [(row, word) for row, word in enumerate(explanation.query_words) if word.is_spoken]
    if explanation.matrix is None or not words:
        return [explanation.query], explanation.contributions[None]
    kept = [row for row, _ in words]
    if len(kept) > ROWS:
        strongest = np.argsort(-np.abs(explanation.matrix[kept]).max(1, initial=0), kind="stable")[:ROWS]
        kept = sorted(kept[index] for index in strongest)
    return [explanation.query_words[row].text for row in kept], explanation.matrix[kept]


def _columns(explanation: Explanation, values: NDArray[np.float64]) -> list[int]:
    spoken = [column for column, word in enumerate(explanation.document_words) if word.is_spoken]
    largest = np.abs(values).max(0, initial=0)
    spoken.sort(key=lambda column: -float(largest[column]))
    needed = [column for column in spoken if largest[column] >= FAINTEST * largest.max()]
    return sorted(needed[:COLUMNS] if len(spoken) > VALUED_COLUMNS else spoken)


def _cells(
    rows: Sequence[str], names: Sequence[str], values: NDArray[np.float64], place: tuple[float, float, int]
) -> list[str]:
    left, top, cell = place
    shapes = []
    for (row, column), strength in np.ndenumerate(strengths(values)):
        x, y, value = left + cell * column, top + HEIGHT * row, values[row, column]
        shapes.append(
            f"<g><title>{_text(f'{rows[row]} × {names[column]}: {value:+.3f}')}</title>"
            f'<rect x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2}" height="{HEIGHT - 2}" rx="3" '
            f'fill="{colour(strength)}" stroke="currentColor" stroke-opacity="0.12"/>'
        )
        if cell == VALUED_CELL and abs(strength) >= 0.05:
            shapes.append(
                f'<text x="{x + cell / 2:.1f}" y="{y + HEIGHT / 2 + 4:.1f}" text-anchor="middle" font-size="11" '
                f'fill="currentColor">{value:.2f}</text>'
            )
        shapes.append("</g>")
    return shapes


def _row_label(name: str, left: float, top: float, row: int) -> str:
    y = top + HEIGHT * (row + 0.5) + 4.5
    return f'<text x="{left - 8:.1f}" y="{y:.1f}" text-anchor="end" fill="currentColor">{_text(label(name))}</text>'


def _column_label(name: str, x: float, y: float) -> str:
    return f'<text transform="translate({x:.1f} {y:.1f}) rotate(-45)" fill="currentColor">{_text(label(name))}</text>'


def label(name: str) -> str:
    """Return a word as a map names it: on one line, and cut where it is long."""
    line = " ".join(name.split())
    return line if len(line) <= LABEL_LETTERS else line[: LABEL_LETTERS - 1] + "…"


def _width(label: str) -> float:
    return SIZE * text_width(label)


def _text(text: str) -> str:
    return escape(plain(text))
