"""What a bulk run is told, and what it tells in the end."""

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

    `document` holds a text, or a list of texts; of a list, `score` and `relevance` are lists too.
    """

    query: str = "query"
    document: str = "document"
    score: str = "score"
    relevance: str = "relevance"

    def __post_init__(self) -> None:
        names = [getattr(self, one.name) for one in fields(self)]
        if not all(names) or len(set(names)) < len(names):
            raise InputError(f"the four columns need four different names, got {', '.join(map(repr, names))}")

    @property
    def added(self) -> tuple[str, str]:
        """What must not be there yet."""
        return self.score, self.relevance


@dataclass(frozen=True, slots=True)
class BulkJob:
    """Which rows to score, and where they go with their scores.

    `source`: a JSONL or Parquet file, or a folder of such files, which are read in the order of their names.
    `target`: a file of the same format, or a folder, which gets a part file per block; rows keep their order.
    `block_rows`: rows that are scored together and written at once: what a kill can cost. Blocks of large rows
    have fewer. `on_bad_row`: a row without a query or a document stops the run before anything is scored
    ("stop"), or gets a null score ("null"). `overwrite`: a finished or a different run may be replaced.
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
    """A Ray run: so many processes with a model each, and so many CPU threads for each of them.

    `count` None takes as many as the cluster's CPUs allow. `gpus` is each worker's share of a GPU.
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
    """What scoring some rows came to. Tallies add up with `+`."""

    rows: int = 0
    pairs: int = 0
    """Different (query, text) pairs that were scored."""
    truncated: int = 0
    """Texts of which part went unread."""
    unscored: int = 0
    """Rows that have a null score."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class BulkReport:
    """What a run did. `done_before` rows were scored by earlier runs that were cut short."""

    target: Path
    model: str
    tally: Tally
    done_before: int
    seconds: float

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return self.tally.rows + self.done_before

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        counts = {**asdict(self.tally), "rows": self.rows}
        return {
            "target": str(self.target),
            "model": self.model,
            **counts,
            "done_before": self.done_before,
            "seconds": self.seconds,
        }
