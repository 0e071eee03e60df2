"""Excel workbooks, by openpyxl: a section per sheet, a paragraph per row. Formulas are what they came to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from resift.documents.archive import check_office
from resift.documents.content import Section, SourceDocument
from resift.documents.readers import stem_title
from resift.documents.tables import table_text
from resift.errors import InputError, MissingExtraError

try:
    import openpyxl
except ImportError as error:
    raise MissingExtraError("reading Excel workbooks", "documents") from error

KIND = "a readable Excel workbook"
MOST_CELLS = 20_000_000
"""Empty ones between others included."""


def read_xlsx(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per sheet, under the sheet's name."""
    check_office(data, name, KIND)
    sections = []
    try:
        workbook = openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=True, keep_links=False)
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()  # what a file says of its size may be wrong
            text = table_text(_rows(sheet, name), name)
            if text:
                sections.append(Section(text, (str(sheet.title),)))
    except InputError:
        raise
    except Exception as error:  # damaged files make openpyxl raise anything: KeyError, ValueError, ParseError...
        raise InputError(f"{name}: not {KIND}: {type(error).__name__}: {error}") from error
    return [SourceDocument(stem_title(name), tuple(sections))]


def _rows(sheet: Any, name: str) -> Iterator[list[str]]:
    left = MOST_CELLS
    for row in sheet.iter_rows(values_only=True):
        left -= len(row) + 1
        if left < 0:
            raise InputError(f"{name}: sheet {sheet.title!r} has more than {MOST_CELLS:,} cells; divide it")
        yield [_cell_text(cell) for cell in row]


def _cell_text(cell: object) -> str:
    match cell:
        case None:
            return ""
        case dt.datetime() if cell.time() == dt.time():
            return cell.date().isoformat()
        case dt.datetime():
            return cell.isoformat(" ")
        case float():
            return f"{cell:.15g}"
        case _:
            return str(cell)
