"""Jupyter notebooks: their Markdown and their code. What the code printed is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from resift._util.jsonl import parse_object
from resift.documents.content import Section, SourceDocument, decode, only_top_title, outline
from resift.documents.markdown import find_headings
from resift.documents.readers import stem_title
from resift.errors import InputError

_FENCES = re.compile(r"^ {0,3}(`{3,})", re.MULTILINE)


def read_notebook(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per heading of the notebook's Markdown; code is between fences."""
    notebook = parse_object(decode(data, name), name)
    text = "\n\n".join(_cell_text(cell) for cell in _cells(notebook, name))
    headings = list(find_headings(text))
    title = only_top_title([(heading.level, heading.title) for heading in headings]) or stem_title(name)
    sections = tuple(Section(section.text, section.headings) for section in outline(text, headings))
    return [SourceDocument(title, sections)]


def _cells(notebook: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the cells. Version 3 had them in worksheets."""
    sheets = notebook.get("worksheets", [notebook])
    for sheet in sheets if isinstance(sheets, list) else [{}]:
        cells = sheet.get("cells") if isinstance(sheet, dict) else None
        if not isinstance(cells, list):
            raise InputError(f"{name}: not a notebook: it has no cells")
        if not all(isinstance(cell, dict) for cell in cells):
            raise InputError(f"{name}: not a notebook: its cells are not objects")
        yield from cells


def _cell_text(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input"))
    lines = source if isinstance(source, list) else [source]
    text = "".join(line for line in lines if isinstance(line, str))
    match cell.get("cell_type"):
        case "code":
            fence = "`" * max(3, *(len(found) + 1 for found in _FENCES.findall(text)), 0)
            return f"{fence}\n{text.strip(chr(10))}\n{fence}" if text.strip() else ""
        case "heading":  # of version 3
            level = cell.get("level")
            return "#" * (level if isinstance(level, int) and 1 <= level <= 6 else 1) + " " + " ".join(text.split())
        case _:
            return text
