"""The files that a run reads, their format, and the blocks they are cut into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resift.bulk.blocks import Block, RowFileFormat
from resift.bulk.job import BulkJob, Columns
from resift.errors import InputError

SUFFIXES = (".jsonl", ".parquet")
PROBLEMS_SHOWN = 3  # bad rows that an error names


def input_files(source: Path) -> list[Path]:
    """Return the file, or a folder's JSONL or Parquet files in the order of their paths.

    Files and folders whose names begin with `_` or `.` are left out. Raises InputError where there is no file, or
    files of both formats.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.is_file():
        if source.suffix not in SUFFIXES:
            raise InputError(f"{source}: scoring reads {' and '.join(SUFFIXES)} files; unpack or convert it")
        return [source]
    files = [
        file
        for file in sorted(source.rglob("*"))
        if file.suffix in SUFFIXES and not any(part[0] in "_." for part in file.relative_to(source).parts)
    ]
    if len(suffixes := {file.suffix for file in files}) != 1:
        content = f"both {' and '.join(sorted(suffixes))} files" if suffixes else f"no {' or '.join(SUFFIXES)} file"
        raise InputError(f"{source} holds {content}; give a folder of one format")
    return files


def open_format(suffix: str, columns: Columns) -> RowFileFormat:
    """Return the format of files with this suffix. Raises MissingExtraError for Parquet without pyarrow."""
    if suffix == ".jsonl":
        from resift.bulk.jsonl import Jsonl

        return Jsonl(columns)
    from resift.bulk.parquet import Parquet

    return Parquet(columns)


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """The input files of a job and the blocks they are cut into."""

    files: Sequence[Path]
    blocks: Sequence[Block]

    @property
    def rows(self) -> int:
        """The number of all rows."""
        return sum(block.rows for block in self.blocks)


def plan_blocks(job: BulkJob) -> BlockPlan:
    """Read the input once and cut it into blocks, so that what is wrong with it shows before hours of scoring.

    Raises InputError for an unreadable file and, unless bad rows become null, for rows that can't be scored.
    """
    files = input_files(Path(job.source))
    file_format = open_format(files[0].suffix, job.columns)
    blocks: list[Block] = []
    problems: list[str] = []
    for file in files:
        for extent, rows in file_format.scan(file, job.block_rows):
            blocks.append(Block(len(blocks), file, extent, len(rows)))
            problems += filter(None, (row.problem() for row in rows))
    if problems and job.on_bad_row == "stop":
        more = f" and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
        raise InputError(
            f"{'; '.join(problems[:PROBLEMS_SHOWN])}{more}. Columns are {job.columns.query!r} and "
            f"{job.columns.document!r}; on_bad_row 'null' gives such rows a null score"
        )
    if not blocks:
        raise InputError(f"{job.source} holds no rows")
    return BlockPlan(files, blocks)
