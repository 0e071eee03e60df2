"""How results are shown: JSON for programs, tables for people. Results go to stdout, notes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resift.reranking.html import arrow

WIDTH = 120
"""Columns where stdout is no terminal and COLUMNS says nothing."""


def console(*, stderr: bool = False) -> Console:
    """Made when needed, so that it writes to the streams of the moment. Text is shown as it is, never as markup."""
    stream = sys.stderr if stderr else sys.stdout
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not stream.isatty() and "COLUMNS" not in made._environ:
        made.width = WIDTH
    return made


def json_document(data: Mapping[str, Any]) -> None:
    """Prints the one JSON document of a `--json` run, in ASCII: every terminal and pipe passes it on unharmed."""
    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def note(message: str) -> None:
    """A line on stderr that is no error."""
    typer.echo(f"note: {message}", err=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, one_line: bool = True) -> Table:
    """A table without rules. A column whose name starts with `>` is of numbers, and stands to the right.

    `one_line` shortens what is too wide for the terminal, rather than breaking it.
    """
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in columns:
        numbers = name.startswith(">")
        made.add_column(Text(name.removeprefix(">")), justify="right" if numbers else "left", no_wrap=numbers)
    for row in rows:
        cells = [cell if isinstance(cell, Text) else Text(cell) for cell in row]
        for cell in cells:
            # Of the cell, not of its column: rich narrows every column before one that is said not to wrap.
            cell.no_wrap, cell.overflow = one_line, "ellipsis" if one_line else "fold"
        made.add_row(*cells)
    return made


def movement(moved: int) -> Text:
    """How far a result came from its first-stage place, in colour.

    >>> movement(3).plain
    '▲3'
    """
    return Text(arrow(moved), style="green" if moved > 0 else "red" if moved < 0 else "dim")


def number(value: float | None, digits: int = 3) -> str:
    """A number for people; nothing for none."""
    return "" if value is None else f"{value:.{digits}f}"


def snippet(text: str, width: int) -> str:
    r"""The beginning of a text on one line.

    >>> snippet("The fox could not\n\nreach the grapes.", 24)
    'The fox could not reach…'
    """
    line = " ".join(text[: width * 8].split())
    if len(line) <= width:
        return line
    return line[: width - 1].rstrip() + "…"


def seconds(value: float) -> str:
    """A duration in the unit that suits it.

    >>> seconds(0.0042), seconds(1.5)
    ('4.2 ms', '1.50 s')
    """
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
