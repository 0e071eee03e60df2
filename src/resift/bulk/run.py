"""A job from its first row to its report: find the blocks that are left, score them here or on Ray, join the parts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Unpack

from resift._util.progress import Progress
from resift.bulk.blocks import Block
from resift.bulk.formats import open_format, plan_blocks
from resift.bulk.job import BulkJob, BulkReport, Tally, Workers
from resift.bulk.parts import Parts, open_parts
from resift.bulk.worker import BlockScorer
from resift.models.bundled import BUNDLED
from resift.models.options import Model, ModelOptions
from resift.scoring.load import load_scorer

SCORING_ROUNDS = 3  # how often a part that is damaged while the run goes on is scored, before the run gives up
PARTS_SHOWN = 3  # damaged parts that an error names
OPTIONS_OF_SPEED = {"threads", "batch_tokens", "device", "local_files_only"}
"""Options that don't change what a model's scores are: a run may go on with other values of them."""


def score_files(
    job: BulkJob,
    model: Model = None,
    *,
    workers: Workers | None = None,
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> BulkReport:
    """Score every row of the job's input, in this process or on Ray, with one block in memory at a time.

    The same call again, after a kill, goes on where the run was cut short; parts that were damaged are scored again.
    A run that began in this process can continue on Ray, and the other way round.

    Args:
        job: The input, the output, and what to do with bad rows.
        model: What `Reranker` takes: a name, a folder or a `Scorer`. Default: the bundled cross-encoder.
        workers: The processes of a run on Ray; a `Scorer` must then be picklable. None: this process alone.
        progress: Called with the rows done so far and all rows: at the start, and after each block.
        **options: Options of the model, as `Reranker` takes them.

    Returns:
        What was scored, and how long it took.

    Raises:
        InputError: An input that can't be read, a row that can't be scored, an output that is there already, or
            to which another run writes.
        ScorerError: The model failed. Blocks that are done stay done.
        MissingExtraError: Parquet without pyarrow, or workers without Ray.
        ModelFileError: A model that can't be loaded.
        UnknownModelError: A name that no engine knows.
        OSError: The output can't be written, or doesn't keep what is written to it.
    """
    started = time.perf_counter()
    plan = plan_blocks(job)
    file_format = open_format(plan.files[0].suffix, job.columns)
    with open_parts(job, plan, _identity(model, options)) as parts:
        if parts.target is not None:
            file_format.check_joinable(plan.files)
        pending = parts.pending(plan)
        done_before = plan.rows - _count_rows(pending)
        damaged = sum(parts.path(block).exists() for block in pending)
        total = Tally()
        if progress is not None:
            progress(done_before, plan.rows)
        for _ in range(SCORING_ROUNDS):
            for tally in _score_blocks(job, parts, pending, model, workers, options):
                total += tally
                if progress is not None:
                    progress(done_before + total.rows, plan.rows)
            if parts.finish(plan, file_format):
                break
            pending = parts.pending(plan)  # parts that were damaged since they were written or checked
            damaged += len(pending)
            total = replace(total, rows=total.rows - _count_rows(pending))
        else:
            names = ", ".join(parts.path(block).name for block in pending[:PARTS_SHOWN])
            raise OSError(
                f"{parts.folder}: parts don't keep what is written to them ({names}), and were scored {SCORING_ROUNDS} "
                "times; check the disk, and that nothing else writes into the folder"
            )
    seconds = time.perf_counter() - started
    return BulkReport(parts.target or parts.folder, _name(model), total, done_before, seconds, damaged)


def _count_rows(blocks: Iterable[Block]) -> int:
    return sum(block.rows for block in blocks)


def _score_blocks(
    job: BulkJob, parts: Parts, pending: list[Block], model: Model, workers: Workers | None, options: ModelOptions
) -> Iterable[Tally]:
    if not pending:
        return ()  # without loading a model
    if workers is None:
        return BlockScorer(job, parts, load_scorer(model, **options)).score(pending)
    from resift.bulk.ray_data import run_blocks

    return run_blocks(job, parts, pending, model, workers, options)


def _identity(model: Model, options: ModelOptions) -> dict[str, Any]:
    """Return which model scores, and how: a run goes on only with the same."""
    kept = {name: value for name, value in options.items() if name not in OPTIONS_OF_SPEED}
    return {"model": _name(model), "options": kept}


def _name(model: Model) -> str:
    if model is None:
        return f"resift:{BUNDLED[0]}"
    return os.fspath(model) if isinstance(model, str | os.PathLike) else model.name
