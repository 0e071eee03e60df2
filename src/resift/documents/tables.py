"""CSV, and what all tables have in common: a row is a paragraph that names its columns."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from resift.documents.content import Section, SourceDocument, decode
from resift.documents.readers import stem_title
from resift.errors import InputError

MOST_CHARACTERS = 50_000_000
"""Of a table's text: column names included, which every row repeats."""
_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50


def read_csv(data: bytes, name: str) -> list[SourceDocument]:
    """Return a paragraph per row. The mark between the cells is the one that gives the most even rows."""
    text = decode(data, name)
    first = text.partition("\n")[0].strip()
    if first.lower().startswith("sep=") and len(first) == len("sep=;"):  # a line for Excel
        text, delimiter = text.partition("\n")[2], first[-1]
    else:
        delimiter = "\t" if name.lower().endswith(".tsv") else _delimiter(text)
    return [SourceDocument(stem_title(name), (Section(table_text(_rows(text, delimiter, name), name)),))]


def table_text(rows: Iterable[Sequence[str]], name: str) -> str:
    """Return a table as text: a paragraph per row, a line per `column: value`, or one line where no column has a name.

    Raises InputError for a table that would be larger than `MOST_CHARACTERS`.
    """
    filled = (cells for row in rows if any(cells := [_tidy(cell) for cell in row]))
    beginning = list(islice(filled, _SAMPLE_LINES))
    titles = next((number for number, cells in enumerate(beginning) if not _is_title(cells)), 0)
    paragraphs = [_paragraph(beginning.pop(0), []) for _ in range(titles)]
    names = beginning.pop(0) if len(beginning) > 1 and _are_names(beginning[0]) else []
    left = MOST_CHARACTERS
    for cells in (*beginning, *filled):
        paragraphs.append(_paragraph(cells, names))
        left -= len(paragraphs[-1])
        if left < 0:
            raise InputError(
                f"{name}: a table of more than {MOST_CHARACTERS:,} characters; divide it into several files"
            )
    return "\n\n".join(paragraphs)


def _rows(text: str, delimiter: str, name: str) -> Iterator[list[str]]:
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        yield from rows
    except csv.Error as error:  # such as a field of more than 131,072 characters: a quotation mark that nothing closes
        raise InputError(f"{name}:{rows.line_num}: not readable as CSV: {error}") from None


def _paragraph(cells: Sequence[str], names: Sequence[str]) -> str:
    if not names:
        return " | ".join(cell.replace("\n", " ") for cell in cells if cell)
    named = [(names[place] if place < len(names) else "", cell) for place, cell in enumerate(cells) if cell]
    return "\n".join(f"{column}: {cell}" if column else cell for column, cell in named)


def _is_title(cells: Sequence[str]) -> bool:
    """Return whether only one of a row's several cells says something: before the table, such a row is about it."""
    return len(cells) > 1 and sum(map(bool, cells)) == 1


def _are_names(cells: Sequence[str]) -> bool:
    """Return whether a first row names the columns: its cells are different short texts, and no numbers."""
    named = [cell for cell in cells if cell]
    return (
        len(named) * 2 > len(cells)
        and len(set(named)) == len(named)
        and not any(len(cell) > 100 or _is_number(cell) for cell in named)
    )


def _is_number(cell: str) -> bool:
    return cell.strip("+-€$£%() ").replace(",", "").replace(".", "").replace(" ", "").isdigit()


def _tidy(cell: str) -> str:
    """Return a cell's text without empty lines, which would divide its row."""
    return "\n".join(stripped for line in cell.split("\n") if (stripped := line.strip()))


def _delimiter(text: str) -> str:
    """Return the mark that divides the first lines most evenly, and into the most cells."""
    sample = "".join(islice(io.StringIO(text), _SAMPLE_LINES))

    def evenness(delimiter: str) -> tuple[float, int]:
        try:
            lengths = Counter(len(row) for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row)
        except csv.Error:
            return (0, 0)
        (length, count), *_ = lengths.most_common(1) or [(0, 0)]
        return (count / lengths.total(), length) if length > 1 else (0, 0)

    return max(_DELIMITERS, key=evenness)
