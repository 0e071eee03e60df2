"""A run's input cut into blocks, always in the same way, so that a run cut short finds its place again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from resift.errors import InputError
from resift.scale.job import Columns, Job
from resift.scale.scoring import Row, Scored

BLOCK_BYTES = 2**20  # of text: a list of a hundred passages per row makes blocks of fewer rows
SHOWN = 3  # bad rows that an error names


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
    def rows(self) -> Sequence[Row]:
        """What the scorer needs of them."""

    def write(self, path: Path, columns: Columns, scored: Scored) -> None:
        """Writes them all, with their scores."""


class Format(Protocol):
    """What differs between file formats."""

    @property
    def suffix(self) -> str:
        """How its files' names end."""

    def scan(self, file: Path, block_rows: int) -> Iterator[tuple[Extent, list[Row]]]:
        """Cuts a file into blocks, reading every row once. Raises InputError for a file that can't be read."""

    def read(self, block: Block) -> Rows:
        """The rows of a block."""

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """One file of many, in their order."""

    def check_joinable(self, files: Sequence[Path]) -> None:
        """Raises InputError where these files' rows can't stand in one file."""


def input_files(source: Path) -> list[Path]:
    """The file, or a folder's JSONL or Parquet files in the order of their paths; `_` and `.` hide one.

    Raises InputError where there is none, or both.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.is_file():
        if source.suffix not in FORMATS:
            raise InputError(f"{source}: scoring reads {' and '.join(FORMATS)} files; unpack or convert it")
        return [source]
    found = [
        file
        for file in sorted(source.rglob("*"))
        if file.suffix in FORMATS and not any(part[0] in "_." for part in file.relative_to(source).parts)
    ]
    if len(suffixes := {file.suffix for file in found}) != 1:
        what = f"both {' and '.join(sorted(suffixes))} files" if suffixes else f"no {' or '.join(FORMATS)} file"
        raise InputError(f"{source} holds {what}; give a folder of one format")
    return found


def open_format(suffix: str, columns: Columns) -> Format:
    """The format of files with such a suffix. Raises MissingExtraError for Parquet without pyarrow."""
    if suffix == ".jsonl":
        from resift.scale.jsonl import Jsonl

        return Jsonl(columns)
    from resift.scale.parquet import Parquet

    return Parquet(columns)


FORMATS = (".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class Plan:
    """A job's blocks."""

    files: Sequence[Path]
    blocks: Sequence[Block]

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(block.rows for block in self.blocks)


def plan(job: Job) -> Plan:
    """Reads the input once and cuts it into blocks: what is wrong with it shows before hours of scoring.

    Raises InputError for an unreadable file, and, unless bad rows become null, for rows that can't be scored.
    """
    files = input_files(Path(job.source))
    formed = open_format(files[0].suffix, job.columns)
    blocks: list[Block] = []
    problems: list[str] = []
    for file in files:
        for extent, rows in formed.scan(file, job.block_rows):
            blocks.append(Block(len(blocks), file, extent, len(rows)))
            problems += filter(None, (row.problem() for row in rows))
    if problems and job.on_bad_row == "stop":
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise InputError(
            f"{'; '.join(problems[:SHOWN])}{more}. Columns are {job.columns.query!r} and {job.columns.document!r}; "
            "on_bad_row 'null' gives such rows a null score"
        )
    if not blocks:
        raise InputError(f"{job.source} holds no rows")
    return Plan(files, blocks)
