"""The record of a run, in the folder of its parts: everything that decides the output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resift.bulk.formats import BlockPlan
from resift.bulk.job import BulkJob
from resift.errors import InputError

RECORD_FILE = "_resift.json"  # readers of folders (Arrow, Spark) skip names with an underscore
RECORD_VERSION = 1
"""Version of the record and of the files beside it. A run is only continued by a resift that writes the same."""


class UnusableRecordError(InputError):
    """There is a record, but it doesn't say which run it belongs to."""


def make_record(job: BulkJob, plan: BlockPlan, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that decides the output. A file counts as changed when its size or its time has changed."""
    files = []
    for file in plan.files:
        status = file.stat()
        files.append([str(file.relative_to(Path(job.source).parent)), status.st_size, status.st_mtime_ns])
    extents = repr([(block.number, block.extent, block.rows) for block in plan.blocks])
    return {
        "version": RECORD_VERSION,
        "input": files,
        "columns": asdict(job.columns),
        "block_rows": job.block_rows,
        "blocks": hashlib.sha256(extents.encode()).hexdigest(),
        **model,
    }


def changed_settings(folder: Path, record: dict[str, Any]) -> list[str] | None:
    """Return what differs between this run and the one whose record is in the folder; None where there is no record.

    Raises:
        UnusableRecordError: The record is damaged, of another program or of another version.
        InputError: It can't be read at all.
    """
    file = folder / RECORD_FILE
    if not file.exists():
        return None
    try:
        earlier = json.loads(file.read_bytes().decode())
    except OSError as error:
        raise InputError(f"{file} can't be read ({error.strerror}); name another output") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, JSON that is nested too deeply
        raise _unusable(file, "is damaged") from error
    version = earlier.get("version") if isinstance(earlier, dict) else None
    if not isinstance(version, int):
        raise _unusable(file, "is no record of a run")
    if version != RECORD_VERSION:
        raise _unusable(file, f"has the format version {version}, and this resift reads {RECORD_VERSION}")
    return [name for name in record if earlier.get(name) != record[name]]


def _unusable(file: Path, problem: str) -> UnusableRecordError:
    return UnusableRecordError(
        f"{file} {problem}, so the run can't be continued; name another output, or score all rows again with "
        "--overwrite (in Python overwrite=True)"
    )
