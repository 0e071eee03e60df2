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
    """What one process does: read a block, score it, write its part."""

    job: BulkJob
    parts: Parts
    scorer: Scorer

    def score(self, blocks: Iterable[Block]) -> Iterator[Tally]:
        """Scores the blocks one after another."""
        formed = open_format(self.parts.suffix, self.job.columns)
        for block in blocks:
            read = formed.read(block)
            scored = score_rows(self.scorer, read.rows, self.job.on_bad_row)
            self.parts.put(block, lambda path: read.write(path, self.job.columns, scored))  # noqa: B023 - called at once
            yield scored.tally
