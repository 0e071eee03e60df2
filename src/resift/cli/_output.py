"""How results are shown: as JSON for programs, as tables for people. Results go to stdout, notes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from resift.explanation.explanation import Explanation

DEFAULT_WIDTH = 120
"""Columns where stdout is no terminal and COLUMNS is not set."""


def console(*, stderr: bool = False) -> Console:
    """Return a new console, which writes to the present sys.stdout or sys.stderr. Text is never read as markup."""
    stream = sys.stderr if stderr else sys.stdout
    screen = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not stream.isatty() and "COLUMNS" not in screen._environ:
        screen.width = DEFAULT_WIDTH
    return screen


def json_document(data: Mapping[str, Any]) -> None:
    """Print the JSON document of a `--json` run, in ASCII, which every terminal and pipe passes on unharmed."""
    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def note(message: str) -> None:
    """Print a line on stderr that is no error."""
    typer.echo(f"note: {message}", err=True)


def print_explanation(explanation: Explanation) -> None:
    """Print which words carried a score: in colours, or with marks where there are none."""
    from resift.explanation.terminal import lines

    screen = console()
    for line in lines(explanation, colours=screen.is_terminal and not screen.no_color):
        screen.print(line, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, one_line: bool = True) -> Table:
    """Return a table without lines. A column whose name starts with `>` is aligned to the right, for numbers.

    `one_line` shortens cells that are too wide for the terminal, rather than breaking them into lines.
    """
    result = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in columns:
        numbers = name.startswith(">")
        result.add_column(Text(name.removeprefix(">")), justify="right" if numbers else "left", no_wrap=numbers)
    for row in rows:
        cells = [cell if isinstance(cell, Text) else Text(cell) for cell in row]
        for cell in cells:
            # Set on the cell, not on its column: rich narrows all other columns before one that must not wrap.
            cell.no_wrap, cell.overflow = one_line, "ellipsis" if one_line else "fold"
        result.add_row(*cells)
    return result


def movement(moved: int) -> Text:
    """Return how many ranks a result moved up or down from the first stage, in colour.

    >>> movement(3).plain
    '▲3'
    """
    from resift.reranking.html import arrow  # imported late: most commands show no ranking

    return Text(arrow(moved), style="green" if moved > 0 else "red" if moved < 0 else "dim")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many digits; an empty text for None."""
    return "" if value is None else f"{value:.{digits}f}"


def snippet(text: str, width: int) -> str:
    r"""Return the beginning of a text, on one line.

    >>> snippet("The fox could not\n\nreach the grapes.", 24)
    'The fox could not reach…'
    """
    line = " ".join(text[: width * 8].split())
    if len(line) <= width:
        return line
    return line[: width - 1].rstrip() + "…"


def seconds(value: float) -> str:
    """Return a duration in milliseconds or seconds.

    >>> seconds(0.0042), seconds(1.5)
    ('4.2 ms', '1.50 s')
    """
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
