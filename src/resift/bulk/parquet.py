"""Parquet: blocks are ranges of rows, and every column keeps its type. Needs `resift[scale]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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

BUFFER_BYTES = 2**20  # of reading: whole row groups may be larger than memory


class TableRows:
    """Rows of an Arrow table. Errors name the table as `where` and number its rows from `first`."""

    def __init__(self, table: pa.Table, columns: Columns, where: str, first: int = 0) -> None:
        self.table = table
        queries, documents = (table.column(name).to_pylist() for name in (columns.query, columns.document))
        self.rows: Sequence[InputRow] = [
            InputRow(f"{where}, row {number}", query, document)
            for number, (query, document) in enumerate(zip(queries, documents, strict=True), first)
        ]

    def with_scores(self, columns: Columns, scored: ScoredRows) -> pa.Table:
        """Return the table with its new columns."""
        kind = pa.float64()
        if _is_list(self.table.schema.field(columns.document).type):
            kind = pa.list_(kind)
        table = self.table.append_column(columns.score, pa.array(scored.scores, kind))
        if scored.relevance is not None:
            table = table.append_column(columns.relevance, pa.array(scored.relevance, kind))
        return table

    def write(self, path: Path, columns: Columns, scored: ScoredRows) -> None:
        """Write the table with its scores."""
        pq.write_table(self.with_scores(columns, scored), path)


class Parquet:
    """Checks, reads and joins Parquet files."""

    suffix = ".parquet"

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._reader: _ForwardReader | None = None

    def scan(self, file: Path, block_rows: int) -> Iterator[tuple[Extent, list[InputRow]]]:
        """Yield the extent and the rows of each block. Raises InputError for a missing column or one without text."""
        with _open(file) as parquet:
            check_schema(parquet.schema_arrow, self.columns, str(file))
            meta = parquet.metadata
            size = sum(meta.row_group(number).total_byte_size for number in range(meta.num_row_groups))
            batch_rows = max(1, min(block_rows, BLOCK_BYTES * meta.num_rows // max(1, size)))
            start = 0
            for batch in parquet.iter_batches(batch_rows, columns=[self.columns.query, self.columns.document]):
                rows = TableRows(pa.table(batch), self.columns, str(file), start).rows
                yield Extent(start, start + len(rows), start), list(rows)
                start += len(rows)

    def read(self, block: Block) -> TableRows:
        """Read the rows of a block. Blocks that are read in their order take one pass over the file."""
        if self._reader is None or self._reader.file != block.file or self._reader.position > block.extent.start:
            self._reader = _ForwardReader(block.file, block.rows)
        table = self._reader.read(block.extent)
        return TableRows(table, self.columns, str(block.file), block.extent.first)

    def join(self, parts: Iterable[bytes], target: Path) -> None:
        """Write the rows of all parts into one file; each part becomes a row group."""
        tables = (pq.ParquetFile(pa.BufferReader(part)).read() for part in parts)
        first = next(tables)
        with pq.ParquetWriter(target, first.schema) as out:
            out.write_table(first)
            for table in tables:
                out.write_table(table)

    def check_joinable(self, files: Sequence[Path]) -> None:
        """Raise InputError where the files have different columns."""
        first = pq.read_schema(files[0])
        for file in files[1:]:
            if not pq.read_schema(file).equals(first):
                raise InputError(
                    f"{file} has other columns than {files[0]}, so they can't become one file; give a folder as output"
                )


class _ForwardReader:
    """Reads a file's rows from its start to its end, and keeps no more of them than it must."""

    def __init__(self, file: Path, rows: int) -> None:
        self.file = file
        self.position = 0
        """The next row."""
        self._parquet = _open(file)
        self._batches = self._parquet.iter_batches(rows)
        self._rest: pa.Table = self._parquet.schema_arrow.empty_table()

    def read(self, extent: Extent) -> pa.Table:
        """Return the rows of an extent that begins at `position` or behind it."""
        self._skip(extent.start - self.position)
        count = extent.stop - extent.start
        while self._rest.num_rows < count:
            self._rest = pa.concat_tables([self._rest, self._next()])
        table = self._rest.slice(0, count)
        self._rest, self.position = self._rest.slice(count), extent.stop
        return table.combine_chunks()

    def _skip(self, rows: int) -> None:
        while rows > self._rest.num_rows:
            rows, self._rest = rows - self._rest.num_rows, self._next()
        self._rest = self._rest.slice(rows)

    def _next(self) -> pa.Table:
        return pa.Table.from_batches([next(self._batches)], self._parquet.schema_arrow)


def check_schema(schema: pa.Schema, columns: Columns, where: str) -> None:
    """Raise InputError unless the columns of queries and documents are there, and those that a run adds are not."""
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
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} can't be read as Parquet: {error}") from error


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
