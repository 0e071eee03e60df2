"""The parts of a run: extents and blocks of a file, and what a file format must offer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from resift.bulk.job import Columns
from resift.bulk.scoring import InputRow, ScoredRows

BLOCK_BYTES = 2**20  # of text: a list of a hundred passages per row makes blocks of fewer rows


class Extent(NamedTuple):
    """A part of a file, from `start` to `stop`: bytes of JSONL, rows of Parquet."""

    start: int
    stop: int
    first: int
    """Number of its first line (JSONL, from 1) or row (Parquet, from 0)."""


class Block(NamedTuple):
    """Rows that are scored together and become one part of the output."""

    number: int
    file: Path
    extent: Extent
    rows: int


class BlockRows(Protocol):
    """The rows of a block, with all their columns."""

    @property
    def rows(self) -> Sequence[InputRow]:
        """What the scorer needs of the rows, in their order."""

    def write(self, path: Path, columns: Columns, scored: ScoredRows) -> None:
        """Write all rows with their scores."""


class RowFileFormat(Protocol):
    """What differs between the formats of files."""

    @property
    def suffix(self) -> str:
        """The end of the files' names, with its dot."""

    def scan(self, file: Path, block_rows: int) -> Iterator[tuple[Extent, list[InputRow]]]:
        """Cut a file into blocks and read every row once. Raises InputError for a file that can't be read."""

    def read(self, block: Block) -> BlockRows:
        """Read the rows of a block."""

    def join(self, parts: Iterable[bytes], target: Path) -> None:
        """Write the rows of all parts, given as their content, into one file, in their order."""

    def check_joinable(self, files: Sequence[Path]) -> None:
        """Raise InputError unless the rows of these files can be in one file."""
