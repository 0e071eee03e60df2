"""Parquet: blocks are ranges of rows, and every column goes out with the type it came in. Needs `resift[scale]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from resift.bulk.blocks import BLOCK_BYTES, Block, Extent
from resift.bulk.job import Columns
from resift.bulk.scoring import InputRow, ScoredRows
from resift.errors import InputError, MissingExtraError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtraError("reading and writing Parquet", "scale") from error

BUFFER = 2**20  # read through a buffer instead of whole row groups, which may be larger than memory


class TableRows:
    """Rows of an Arrow table. `where` names the table in errors, `first` its first row."""

    def __init__(self, table: pa.Table, columns: Columns, where: str, first: int = 0) -> None:
        self.table = table
        queries, documents = (table.column(name).to_pylist() for name in (columns.query, columns.document))
        self.rows: Sequence[InputRow] = [
            InputRow(f"{where}, row {number}", query, document)
            for number, (query, document) in enumerate(zip(queries, documents, strict=True), first)
        ]

    def with_scores(self, columns: Columns, scored: ScoredRows) -> pa.Table:
        """The table with its new columns."""
        kind = pa.float64()
        if _is_list(self.table.schema.field(columns.document).type):
            kind = pa.list_(kind)
        table = self.table.append_column(columns.score, pa.array(scored.scores, kind))
        if scored.relevance is not None:
            table = table.append_column(columns.relevance, pa.array(scored.relevance, kind))
        return table

    def write(self, path: Path, columns: Columns, scored: ScoredRows) -> None:
        """The table with its scores, as a file."""
        pq.write_table(self.with_scores(columns, scored), path)


class Parquet:
    """How Parquet files are checked, read and joined."""

    suffix = ".parquet"

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._cursor: _Cursor | None = None

    def scan(self, file: Path, block_rows: int) -> Iterator[tuple[Extent, list[InputRow]]]:
        """Where blocks lie, with their rows. Raises InputError for missing columns and other types than text."""
        with _open(file) as opened:
            check_schema(opened.schema_arrow, self.columns, str(file))
            meta = opened.metadata
            size = sum(meta.row_group(number).total_byte_size for number in range(meta.num_row_groups))
            most = max(1, min(block_rows, BLOCK_BYTES * meta.num_rows // max(1, size)))
            at = 0
            for batch in opened.iter_batches(most, columns=[self.columns.query, self.columns.document]):
                rows = TableRows(pa.table(batch), self.columns, str(file), at).rows
                yield Extent(at, at + len(rows), at), list(rows)
                at += len(rows)

    def read(self, block: Block) -> TableRows:
        """The rows of a block. Blocks asked for in their order are read in one pass."""
        if self._cursor is None or self._cursor.file != block.file or self._cursor.at > block.extent.start:
            self._cursor = _Cursor(block.file, block.rows)
        table = self._cursor.take(block.extent)
        return TableRows(table, self.columns, str(block.file), block.extent.first)

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """One file of many; each part becomes a row group."""
        schema = pq.read_schema(parts[0])
        with pq.ParquetWriter(target, schema) as out:
            for part in parts:
                out.write_table(pq.read_table(part, partitioning=None))

    def check_joinable(self, files: Sequence[Path]) -> None:
        """Raises InputError where the files have different columns."""
        first = pq.read_schema(files[0])
        for file in files[1:]:
            if not pq.read_schema(file).equals(first):
                raise InputError(
                    f"{file} has other columns than {files[0]}, so they can't become one file; give a folder as output"
                )


class _Cursor:
    """Reads a file's rows onwards, never the whole of it."""

    def __init__(self, file: Path, rows: int) -> None:
        self.file = file
        self.at = 0
        self._opened = _open(file)
        self._batches = self._opened.iter_batches(rows)
        self._rest: pa.Table = self._opened.schema_arrow.empty_table()

    def take(self, extent: Extent) -> pa.Table:
        """The rows of an extent that doesn't lie behind."""
        self._drop(extent.start - self.at)
        wanted = extent.stop - extent.start
        while self._rest.num_rows < wanted:
            self._rest = pa.concat_tables([self._rest, self._next()])
        table = self._rest.slice(0, wanted)
        self._rest, self.at = self._rest.slice(wanted), extent.stop
        return table.combine_chunks()

    def _drop(self, rows: int) -> None:
        while rows > self._rest.num_rows:
            rows, self._rest = rows - self._rest.num_rows, self._next()
        self._rest = self._rest.slice(rows)

    def _next(self) -> pa.Table:
        return pa.Table.from_batches([next(self._batches)], self._opened.schema_arrow)


def check_schema(schema: pa.Schema, columns: Columns, where: str) -> None:
    """Raises InputError unless there are a column of queries and one of documents, and none that would be lost."""
    for name in (columns.query, columns.document):
        if name not in schema.names:
            raise InputError(f"{where} has no column {name!r}; it has {', '.join(schema.names)}")
        kind = schema.field(name).type
        inner = kind.value_type if name == columns.document and _is_list(kind) else kind
        if not _is_text(inner):
            raise InputError(f"{where}: column {name!r} is of type {kind}, which is no text")
    for name in columns.added:
        if name in schema.names:
            raise InputError(
                f"{where} has a column {name!r} already, and it would be lost; give the new one another name"
            )


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} can't be read as Parquet: {error}") from error


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
