"""JSONL: blocks are byte ranges, and each row's line is written as it was read, with two more fields."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from resift._util.jsonl import parse_object
from resift.bulk.blocks import BLOCK_BYTES, Block, Extent
from resift.bulk.job import Columns
from resift.bulk.scoring import Cell, InputRow, ScoredRows
from resift.errors import InputError

BOM = codecs.BOM_UTF8  # before the first line of some files; it must not get inside a joined file


class JsonlRows:
    """The lines of one block."""

    def __init__(self, lines: list[bytes], rows: list[InputRow]) -> None:
        self._lines = lines
        self.rows: Sequence[InputRow] = rows

    def write(self, path: Path, columns: Columns, scored: ScoredRows) -> None:
        """Write the lines, byte for byte, each with its score (and relevance) before the closing brace."""
        with path.open("wb") as out:
            for index, line in enumerate(self._lines):
                fields = _field(columns.score, scored.scores[index])
                if scored.relevance is not None:
                    fields += ", " + _field(columns.relevance, scored.relevance[index])
                out.write(line[:-1].rstrip() + b", " + fields.encode() + b"}\n")


class Jsonl:
    """Checks, reads and joins JSONL files."""

    suffix = ".jsonl"

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def scan(self, file: Path, block_rows: int) -> Iterator[tuple[Extent, list[InputRow]]]:
        """Yield the extent and the rows of each block. Raises InputError for a line that is no JSON object."""
        start = offset = number = 0
        first, rows = 1, list[InputRow]()
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if rows and (len(rows) == block_rows or offset + len(line) - start > BLOCK_BYTES):
                    yield Extent(start, offset, first), rows
                    start, first, rows = offset, number, []
                offset += len(line)
                if line.strip():
                    rows.append(self._row(line, f"{file}:{number}"))
        if rows:
            yield Extent(start, offset, first), rows

    def read(self, block: Block) -> JsonlRows:
        """Read the rows of a block."""
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

    def join(self, parts: Iterable[bytes], target: Path) -> None:
        """Write the lines of all parts into one file."""
        with target.open("wb") as out:
            out.writelines(parts)

    def check_joinable(self, files: Sequence[Path]) -> None:
        """Do nothing: lines of any JSONL files can be in one file."""

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
