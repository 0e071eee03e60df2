"""The parts that a run is made of: extents and blocks of a file, and what a file format must offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from resift.bulk.job import Columns
from resift.bulk.scoring import InputRow, ScoredRows

BLOCK_BYTES = 2**20  # of text: a list of a hundred passages per row makes blocks of fewer rows


class Extent(NamedTuple):
    """A part of a file: bytes (JSONL) or rows (Parquet) from `start` to `stop`; `first` is its first line or row."""

    start: int
    stop: int
    first: int


class Block(NamedTuple):
    """What is scored together and becomes one part of the output."""

    number: int
    file: Path
    extent: Extent
    rows: int


class Rows(Protocol):
    """The rows of a block, with whatever else stands in them."""

    @property
    def rows(self) -> Sequence[InputRow]:
        """What the scorer needs of them."""

    def write(self, path: Path, columns: Columns, scored: ScoredRows) -> None:
        """Writes them all, with their scores."""


class Format(Protocol):
    """What differs between file formats."""

    @property
    def suffix(self) -> str:
        """How its files' names end."""

    def scan(self, file: Path, block_rows: int) -> Iterator[tuple[Extent, list[InputRow]]]:
        """Cuts a file into blocks, reading every row once. Raises InputError for a file that can't be read."""

    def read(self, block: Block) -> Rows:
        """The rows of a block."""

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """One file of many, in their order."""

    def check_joinable(self, files: Sequence[Path]) -> None:
        """Raises InputError where these files' rows can't stand in one file."""
