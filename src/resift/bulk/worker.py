"""What one process of a run does: it reads blocks, scores them and writes their parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from resift.bulk.blocks import Block
from resift.bulk.formats import open_format
from resift.bulk.job import BulkJob, Tally
from resift.bulk.parts import Parts
from resift.bulk.scoring import score_rows
from resift.scorer import Scorer


@dataclass(slots=True)
class BlockScorer:
    """Scores blocks with one scorer and writes their parts."""

    job: BulkJob
    parts: Parts
    scorer: Scorer

    def score(self, blocks: Iterable[Block]) -> Iterator[Tally]:
        """Score the blocks one after another and yield a tally for each, once its part is written."""
        file_format = open_format(self.parts.suffix, self.job.columns)
        for block in blocks:
            rows = file_format.read(block)
            scored = score_rows(self.scorer, rows.rows, self.job.on_bad_row)
            self.parts.write_part(block, lambda path: rows.write(path, self.job.columns, scored))  # noqa: B023 - called at once
            yield scored.tally
