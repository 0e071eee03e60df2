"""Which files a run reads, in which format, and the plan of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resift.bulk.blocks import Block, Format
from resift.bulk.job import BulkJob, Columns
from resift.errors import InputError

SHOWN = 3  # bad rows that an error names


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
        from resift.bulk.jsonl import Jsonl

        return Jsonl(columns)
    from resift.bulk.parquet import Parquet

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


def plan(job: BulkJob) -> Plan:
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
