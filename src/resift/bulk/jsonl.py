"""JSONL: blocks are byte ranges, and a row's own line goes out as it came in, with two fields more."""

from __future__ import annotations

import codecs
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from resift._util.jsonl import parse_object
from resift.bulk.blocks import BLOCK_BYTES, Block, Extent
from resift.bulk.job import Columns
from resift.bulk.scoring import Cell, InputRow, ScoredRows
from resift.errors import InputError

BOM = codecs.BOM_UTF8  # stands before the first line of some files, and can't stand inside a joined one


class JsonlRows:
    """The lines of one block."""

    def __init__(self, lines: list[bytes], rows: list[InputRow]) -> None:
        self._lines = lines
        self.rows: Sequence[InputRow] = rows

    def write(self, path: Path, columns: Columns, scored: ScoredRows) -> None:
        """The lines, byte for byte, each with its score (and relevance) before the closing brace."""
        with path.open("wb") as out:
            for place, line in enumerate(self._lines):
                fields = _field(columns.score, scored.scores[place])
                if scored.relevance is not None:
                    fields += ", " + _field(columns.relevance, scored.relevance[place])
                out.write(line[:-1].rstrip() + b", " + fields.encode() + b"}\n")


class Jsonl:
    """How JSONL files are checked, read and joined."""

    suffix = ".jsonl"

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def scan(self, file: Path, block_rows: int) -> Iterator[tuple[Extent, list[InputRow]]]:
        """Where blocks lie, with their rows. Raises InputError for lines that aren't JSON objects in UTF-8."""
        start = at = number = 0
        first, rows = 1, list[InputRow]()
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if rows and (len(rows) == block_rows or at + len(line) - start > BLOCK_BYTES):
                    yield Extent(start, at, first), rows
                    start, first, rows = at, number, []
                at += len(line)
                if line.strip():
                    rows.append(self._row(line, f"{file}:{number}"))
        if rows:
            yield Extent(start, at, first), rows

    def read(self, block: Block) -> JsonlRows:
        """The rows of a block."""
        with block.file.open("rb") as file:
            file.seek(block.extent.start)
            data = file.read(block.extent.stop - block.extent.start)
        lines = [
            (number, line.strip().removeprefix(BOM))
            for number, line in enumerate(data.split(b"\n"), block.extent.first)
            if line.strip()
        ]
        return JsonlRows(
            [line for _, line in lines], [self._row(line, f"{block.file}:{number}") for number, line in lines]
        )

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """One file of many."""
        with target.open("wb") as out:
            for part in parts:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, out)

    def check_joinable(self, files: Sequence[Path]) -> None:
        """Lines of any kind can stand in one file."""

    def _row(self, line: bytes, where: str) -> InputRow:
        fields = parse_object(line, where)
        for name in self.columns.added:
            if name in fields:
                raise InputError(
                    f"{where}: there is a field {name!r} already, and it would be lost; give the new one another name"
                )
        return InputRow(where, fields.get(self.columns.query), fields.get(self.columns.document))


def _field(name: str, cell: Cell) -> str:
    return f"{json.dumps(name)}: {json.dumps(cell, allow_nan=False)}"
