"""The same work on a Ray cluster: Ray Data hands blocks to a pool of workers, each with a model of its own.

A worker that dies is restarted and its blocks are given out again; a block's part has one name and is written
whole, so no row is lost or repeated. Needs `resift[scale]`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from resift import errors
from resift._util.lazy import Lazy
from resift.bulk.blocks import Block, Extent
from resift.bulk.job import BulkJob, Columns, OnBadRow, Tally, Workers
from resift.bulk.parts import Parts
from resift.bulk.scoring import score_rows
from resift.bulk.worker import BlockScorer
from resift.errors import InputError, MissingExtraError, ResiftError, ScorerError
from resift.models.options import Model, ModelOptions
from resift.scoring.load import load_with_threads

try:
    import pyarrow as pa
    import ray
    import ray.data
except ImportError as error:
    raise MissingExtraError("scoring on a Ray cluster", "scale") from error

from resift.bulk.parquet import TableRows, check_schema  # after Ray: both come with the same extra


class TableScorer:
    """A step of a Ray Data pipeline of your own, which may read from and write to anything Ray knows.

        dataset.map_batches(
            TableScorer, batch_format="pyarrow", batch_size=1000,
            compute=ray.data.ActorPoolStrategy(size=8), num_cpus=2, fn_constructor_kwargs={"threads": 2},
        )

    Rows keep their columns and get `score` and `relevance`, as in `score_files`.
    """

    def __init__(
        self,
        model: Model = None,
        columns: Columns | None = None,
        on_bad_row: OnBadRow = "stop",
        threads: int = 1,
        options: ModelOptions | None = None,
    ) -> None:
        self.columns = columns or Columns()
        self.on_bad_row = on_bad_row
        self.scorer = load_with_threads(model, options or {}, threads)

    def __call__(self, table: pa.Table) -> pa.Table:
        """The table with its scores."""
        check_schema(table.schema, self.columns, "the dataset")
        rows = TableRows(table, self.columns, "a batch")
        return rows.with_scores(self.columns, score_rows(self.scorer, rows.rows, self.on_bad_row))


def run_blocks(
    job: BulkJob, parts: Parts, pending: list[Block], model: Model, workers: Workers, options: ModelOptions
) -> Iterator[Tally]:
    """Has the blocks scored by workers, and yields what each came to, in the order in which they finish.

    Uses the cluster this process is connected to, or the one RAY_ADDRESS names, or starts one on this machine
    for as long as the run takes. Input and output must be reachable from every node under the same paths.
    """
    here = BulkJob(Path(job.source).resolve(), Path(job.target).resolve(), job.columns, job.block_rows, job.on_bad_row)
    there = Parts(parts.folder.resolve(), parts.suffix, parts.target)
    with _cluster():
        count = _count(workers)
        blocks = ray.data.from_items(
            [_item(block) for block in pending], override_num_blocks=len(pending)
        )  # a task per block
        tallies = blocks.map_batches(
            _Blocks,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=workers.threads,
            num_gpus=workers.gpus or None,
            fn_constructor_args=(here, there, model, options, workers.threads),
        )
        try:
            for batch in tallies.iter_batches(batch_size=None, prefetch_batches=0):
                yield _tally(batch)
        except ResiftError:
            raise
        except Exception as error:  # Ray has many types; callers catch one, and the cause is chained
            first = str(error).splitlines()[:1]
            raise ScorerError(f"the Ray run failed: {type(error).__name__}: {''.join(first)}") from error


class _Blocks:
    """A worker: a model, loaded once, and the blocks that are given to it.

    An error of ours goes back as a row: raised, it would come out as Ray's, with the original as text alone.
    """

    def __init__(self, job: BulkJob, parts: Parts, model: Model, options: ModelOptions, threads: int) -> None:
        # Loaded with the first block, where a failure is told like any other, and not tried again and again.
        self._scorer = Lazy(lambda: BlockScorer(job, parts, load_with_threads(model, options, threads)))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        blocks = [
            Block(int(number), Path(str(file)), Extent(int(start), int(stop), int(first)), int(rows))
            for number, file, start, stop, first, rows in zip(*(batch[name] for name in ITEM), strict=True)
        ]
        tallies, told = [Tally()], ""
        try:
            tallies = list(self._scorer.get().score(blocks))
        except ResiftError as error:
            told = json.dumps([type(error).__name__, *error.args])
        counts = {name: np.array([sum(getattr(tally, name) for tally in tallies)]) for name in Tally.__slots__}
        return {**counts, "error": np.array([told])}


def _tally(batch: dict[str, Any]) -> Tally:
    """What a worker's answer says, or the error in it, raised."""
    for told in filter(None, batch["error"]):
        kind, *args = json.loads(str(told))
        made = getattr(errors, kind, None)
        raise made(*args) if made else ScorerError(f"{kind}: {' '.join(map(str, args))}")
    return Tally(*(int(batch[name].sum()) for name in Tally.__slots__))


ITEM = ("number", "file", "start", "stop", "first", "rows")


def _item(block: Block) -> dict[str, Any]:
    values = (block.number, str(block.file.resolve()), *block.extent, block.rows)
    return dict(zip(ITEM, values, strict=True))


@contextmanager
def _cluster() -> Iterator[None]:
    """Connected to Ray, without progress bars of its own; what was there before is there after."""
    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless you say so
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    quiet = ray.data.DataContext.get_current().copy()
    quiet.enable_progress_bars = quiet.print_on_execution_start = False
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with ray.data.DataContext.current(quiet):
            yield
    finally:
        logger.setLevel(level)
        if started:
            ray.shutdown()


def _count(workers: Workers) -> int:
    """How many workers. Raises InputError for more than the cluster can ever place: Ray would wait for CPUs forever."""
    largest = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    if workers.threads > largest:
        raise InputError(
            f"a worker of {workers.threads} threads fits on no node of the cluster: the largest has {largest} CPUs"
        )
    places = sum(int(node["Resources"].get("CPU", 0)) // workers.threads for node in ray.nodes() if node["Alive"])
    if workers.count is not None and workers.count > places:
        raise InputError(
            f"{workers.count} workers of {workers.threads} threads don't fit: the cluster has CPUs for {places}"
        )
    return workers.count or places
