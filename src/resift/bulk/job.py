"""What a bulk run is given, and what it reports at the end."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from resift.errors import InputError

OnBadRow = Literal["stop", "null"]


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the two columns that are read and the two that are added. All others pass through unchanged.

    Args:
        query: The column of queries.
        document: The column of documents: each a text, or a list of texts.
        score: The new column of scores; a list of documents gets a list of scores.
        relevance: The new column of scores as 0 to 1, for models whose scale has that.

    Raises:
        InputError: A name is empty, or two are the same.
    """

    query: str = "query"
    document: str = "document"
    score: str = "score"
    relevance: str = "relevance"

    def __post_init__(self) -> None:
        names = [getattr(self, column.name) for column in fields(self)]
        if not all(names) or len(set(names)) < len(names):
            raise InputError(f"the four columns need four different names, got {', '.join(map(repr, names))}")

    @property
    def added(self) -> tuple[str, str]:
        """Names of the columns that a run adds; the input must not have them."""
        return self.score, self.relevance


@dataclass(frozen=True, slots=True)
class BulkJob:
    """Which rows to score, and where they go with their scores.

    Args:
        source: A JSONL or Parquet file, or a folder of such files of one format, which are read in the order of
            their names.
        target: A file of the same format, or a folder, which gets a part file per block. Rows keep their order.
        columns: Names of the columns, where they are not `query`, `document`, `score` and `relevance`.
        block_rows: Rows that are scored together and written at once: so many are lost when a run is killed. Blocks
            of large rows have fewer.
        on_bad_row: What a row without a query or a document does. `stop`: the run stops before anything is scored.
            `null`: the row gets a null score.
        overwrite: Whether the output of a finished run, or of another run, may be replaced.

    Raises:
        InputError: `block_rows` is below 1, or `on_bad_row` is neither.
    """

    source: str | os.PathLike[str]
    target: str | os.PathLike[str]
    columns: Columns = field(default_factory=Columns)
    block_rows: int = 1000
    on_bad_row: OnBadRow = "stop"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.block_rows < 1:
            raise InputError(f"block_rows must be at least 1, got {self.block_rows}")
        if self.on_bad_row not in ("stop", "null"):
            raise InputError(f"on_bad_row is 'stop' or 'null', not {self.on_bad_row!r}")


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes of a run on Ray, each with a model of its own.

    Args:
        count: Number of processes. None: as many as the cluster's CPUs allow.
        threads: CPU threads of each.
        gpus: Share of a GPU for each.

    Raises:
        InputError: `count` or `threads` is below 1, or `gpus` below 0.
    """

    count: int | None = None
    threads: int = 1
    gpus: float = 0

    def __post_init__(self) -> None:
        if self.threads < 1 or self.gpus < 0 or (self.count is not None and self.count < 1):
            raise InputError(
                f"workers and threads are at least 1, gpus at least 0; got {self.count}, {self.threads}, {self.gpus}"
            )


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of what was scored. Tallies add up with `+`."""

    rows: int = 0
    pairs: int = 0
    """Different (query, text) pairs that were scored."""
    truncated: int = 0
    """Texts that were not read to their end."""
    unscored: int = 0
    """Rows that have a null score."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, count.name) + getattr(other, count.name) for count in fields(self)))


@dataclass(frozen=True, slots=True)
class BulkReport:
    """What a run did."""

    target: Path
    model: str
    tally: Tally
    """Counts of this run alone."""
    done_before: int
    """Rows that were scored by earlier runs of the same job, which were cut short."""
    seconds: float
    damaged: int = 0
    """Parts that didn't match their checksum any more, and were scored again."""

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return self.tally.rows + self.done_before

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict of JSON types."""
        counts = {**asdict(self.tally), "rows": self.rows}
        return {
            "target": str(self.target),
            "model": self.model,
            **counts,
            "done_before": self.done_before,
            "seconds": self.seconds,
            "damaged": self.damaged,
        }
