"""A job from its first row to its report: what is left to do is found, done here or by Ray, and put together."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any, Unpack

from resift._util.progress import Progress
from resift.bulk.blocks import Block
from resift.bulk.formats import open_format, plan
from resift.bulk.job import BulkJob, BulkReport, Tally, Workers
from resift.bulk.parts import Parts, open_parts
from resift.bulk.worker import BlockScorer
from resift.models.bundled import BUNDLED
from resift.models.options import Model, ModelOptions
from resift.scoring.load import load_scorer

WITHOUT_EFFECT = {"threads", "batch_tokens", "device", "local_files_only"}
"""Options that don't change which model scores: a run may go on with others."""


def score_files(
    job: BulkJob,
    model: Model = None,
    *,
    workers: Workers | None = None,
    progress: Progress | None = None,
    **options: Unpack[ModelOptions],
) -> BulkReport:
    """Scores every row of the job's input, in this process or with `workers` on Ray, in memory of one block.

    `model` and `options` are what `Reranker` takes; with workers, a `Scorer` must be picklable. The same call
    again, after a kill, goes on where the run was cut short, and either engine goes on with what the other did.

    Raises InputError (an input that can't be read, a row that can't be scored, an output that is taken),
    ScorerError (the model failed; what is done stays done), MissingExtraError, and what loading a model raises.
    """
    started = time.perf_counter()
    planned = plan(job)
    formed = open_format(planned.files[0].suffix, job.columns)
    parts = open_parts(job, planned, _identity(model, options))
    if parts.target is not None:
        formed.check_joinable(planned.files)
    pending = parts.pending(planned)
    done_before = planned.rows - sum(block.rows for block in pending)
    tally = Tally()
    if progress is not None:
        progress(done_before, planned.rows)
    for one in _run(job, parts, pending, model, workers, options):
        tally += one
        if progress is not None:
            progress(done_before + tally.rows, planned.rows)
    parts.finish(planned, formed)
    return BulkReport(parts.target or parts.folder, _name(model), tally, done_before, time.perf_counter() - started)


def _run(
    job: BulkJob, parts: Parts, pending: list[Block], model: Model, workers: Workers | None, options: ModelOptions
) -> Iterable[Tally]:
    if not pending:
        return ()  # without loading a model
    if workers is None:
        return BlockScorer(job, parts, load_scorer(model, **options)).score(pending)
    from resift.bulk.ray_data import run_blocks

    return run_blocks(job, parts, pending, model, workers, options)


def _identity(model: Model, options: ModelOptions) -> dict[str, Any]:
    """Which model a run belongs to."""
    chosen = {name: value for name, value in options.items() if name not in WITHOUT_EFFECT}
    return {"model": _name(model), "options": chosen}


def _name(model: Model) -> str:
    if model is None:
        return f"resift:{BUNDLED[0]}"
    return os.fspath(model) if isinstance(model, str | os.PathLike) else model.name
