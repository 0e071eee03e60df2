"""Scoring on a Ray cluster: Ray Data hands blocks to a pool of workers, each with a model of its own.

Ray restarts a worker that dies and hands its blocks out again. A block's part has one name and is written whole, so
no row is lost or repeated. Needs `resift[scale]`.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
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
    """A step of a Ray Data pipeline of your own, which may read from and write to anything that Ray can.

    Rows keep their columns and get `score` and `relevance`, as in `score_files`.

        dataset.map_batches(
            TableScorer, batch_format="pyarrow", batch_size=1000,
            compute=ray.data.ActorPoolStrategy(size=8), num_cpus=2, fn_constructor_kwargs={"threads": 2},
        )

    Leave CPUs for the steps that read and write: where the pool takes all of them, the pipeline waits for ever.

    Args:
        model: What `Reranker` takes: a name, a folder or a `Scorer`. Default: the bundled cross-encoder.
        columns: Names of the columns, where they are not `query`, `document`, `score` and `relevance`.
        on_bad_row: What a row without a query or a document does. `stop`: InputError. `null`: a null score.
        threads: CPU threads of the model. Give as many as `num_cpus`: the setting of Ray's own doesn't reach ONNX
            Runtime.
        options: Options of the model, as `Reranker` takes them.

    Raises:
        InputError: An option that the model's engine doesn't have.
        ModelFileError: A model that can't be loaded.
        UnknownModelError: A name that no engine knows.
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
        """Score a batch of rows.

        Args:
            table: The rows, with the columns of queries and documents.

        Returns:
            The table with its new columns.

        Raises:
            InputError: A column is missing, or there already; or a bad row, with `on_bad_row="stop"`.
            ScorerError: The model failed.
        """
        check_schema(table.schema, self.columns, "the dataset")
        rows = TableRows(table, self.columns, "a batch")
        return rows.with_scores(self.columns, score_rows(self.scorer, rows.rows, self.on_bad_row))


def run_blocks(
    job: BulkJob, parts: Parts, pending: list[Block], model: Model, workers: Workers, options: ModelOptions
) -> Iterator[Tally]:
    """Score the blocks with a pool of workers and yield a tally for each, in the order in which they finish.

    Uses the cluster that this process is connected to, or the one that RAY_ADDRESS names, or else starts one on this
    machine for the time of the run. Input and output must have the same paths on every node.
    """
    absolute_job = BulkJob(
        Path(job.source).resolve(), Path(job.target).resolve(), job.columns, job.block_rows, job.on_bad_row
    )
    absolute_parts = replace(parts, folder=parts.folder.resolve())
    with _cluster():
        count = _worker_count(workers)
        rows = [_to_row(block) for block in pending]
        blocks = ray.data.from_items(rows, override_num_blocks=len(rows))  # so that each block is a task of its own
        tallies = blocks.map_batches(
            _BlockWorker,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=workers.threads,
            num_gpus=workers.gpus or None,
            fn_constructor_args=(absolute_job, absolute_parts, model, options, workers.threads),
        )
        try:
            for batch in tallies.iter_batches(batch_size=None, prefetch_batches=0):
                yield _read_tally(batch)
        except ResiftError:
            raise
        except Exception as error:  # Ray has many types; callers catch one, and the cause is chained
            first_line = "".join(str(error).splitlines()[:1])
            raise ScorerError(f"the Ray run failed: {type(error).__name__}: {first_line}") from error


class _BlockWorker:
    """A worker process of Ray: it loads its model once and scores the blocks that it gets.

    An error of resift is returned as a row. If it were raised, Ray would wrap it in an error of its own, which holds
    the original as text only.
    """

    def __init__(self, job: BulkJob, parts: Parts, model: Model, options: ModelOptions, threads: int) -> None:
        # Loaded with the first block: Ray would try a constructor that fails again and again.
        self._scorer = Lazy(lambda: BlockScorer(job, parts, load_with_threads(model, options, threads)))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        blocks = [
            Block(int(number), Path(str(file)), Extent(int(start), int(stop), int(first)), int(rows))
            for number, file, start, stop, first, rows in zip(*(batch[name] for name in BLOCK_COLUMNS), strict=True)
        ]
        tallies, message = [Tally()], ""
        try:
            tallies = list(self._scorer.get().score(blocks))
        except ResiftError as error:
            message = json.dumps([type(error).__name__, *error.args])
        counts = {name: np.array([sum(getattr(tally, name) for tally in tallies)]) for name in Tally.__slots__}
        return {**counts, "error": np.array([message])}


def _read_tally(batch: dict[str, Any]) -> Tally:
    """Return the tally that a worker sent, or raise the error that it sent."""
    for message in filter(None, batch["error"]):
        name, *args = json.loads(str(message))
        error_type = getattr(errors, name, None)
        raise error_type(*args) if error_type else ScorerError(f"{name}: {' '.join(map(str, args))}")
    return Tally(*(int(batch[name].sum()) for name in Tally.__slots__))


BLOCK_COLUMNS = ("number", "file", "start", "stop", "first", "rows")

SECONDS_TO_ANSWER = 10
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # and empty settings
CHARACTERS_SHOWN = 300  # of Ray's message


def _to_row(block: Block) -> dict[str, Any]:
    values = (block.number, str(block.file.resolve()), *block.extent, block.rows)
    return dict(zip(BLOCK_COLUMNS, values, strict=True))


@contextmanager
def _cluster() -> Iterator[None]:
    """Connect to Ray, without its progress bars and logs; at the end its settings are as they were."""
    started = not ray.is_initialized()
    if started:
        _start_ray()
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


def _start_ray() -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one on this machine.

    Raises:
        InputError: Nothing answers at the address, or something that is no Ray.
        ScorerError: Ray refuses; the message has its own words.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent home unless the user says so
    address = os.environ.get("RAY_ADDRESS", "")
    if problem := _problem_at(address):
        raise InputError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({problem}); start one there (ray start --head), or "
            "unset RAY_ADDRESS to use this machine"
        )
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    except Exception as error:  # Ray has many types; callers catch one, and the cause is chained
        ray.shutdown()
        words = " ".join(str(error).split())
        at = f" at RAY_ADDRESS={address}" if address else ""
        raise ScorerError(f"Ray can't start{at}: {type(error).__name__}: {words[:CHARACTERS_SHOWN]}") from error


def _problem_at(address: str) -> str | None:
    """Return why no Ray can be behind HOST:PORT or ray://HOST:PORT, or None; all else is left to Ray.

    Ray itself tries for minutes, writes a page of its own log, and ends the process. Its servers speak gRPC, so the
    answer to an HTTP/2 greeting tells them from a server of another kind that listens there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return None
    try:
        with socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in ("0", "", "false"):
                return None  # it waits for a TLS handshake first
            connection.sendall(HTTP2_GREETING)
            answer = connection.recv(9)  # a frame's length (3 bytes), type, flags, and stream
    except TimeoutError:
        return f"no answer within {SECONDS_TO_ANSWER} s"
    except (OSError, OverflowError) as error:
        return str(error)
    return None if answer[3:4] == b"\x04" else "what listens there is no Ray"


def _worker_count(workers: Workers) -> int:
    """Return the number of workers. Raises InputError for more than fit: Ray would wait for CPUs forever."""
    largest = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    if workers.threads > largest:
        raise InputError(
            f"a worker of {workers.threads} threads fits on no node of the cluster: the largest has {largest} CPUs"
        )
    capacity = sum(int(node["Resources"].get("CPU", 0)) // workers.threads for node in ray.nodes() if node["Alive"])
    if workers.count is not None and workers.count > capacity:
        raise InputError(
            f"{workers.count} workers of {workers.threads} threads don't fit: the cluster has CPUs for {capacity}"
        )
    return workers.count or capacity
