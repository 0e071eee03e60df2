"""The output while a run lasts: a part file per block, each written whole or not at all, and what run they belong to.

Parts are named by their blocks, so whoever writes one, and however often, nothing is lost or repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resift.bulk.blocks import Block, Format
from resift.bulk.formats import FORMATS, Plan
from resift.bulk.job import BulkJob
from resift.errors import InputError

RECORD = "_resift.json"  # readers of folders (Arrow, Spark) pass over names with an underscore
DONE = "_SUCCESS"  # Hadoop's name for "this folder is complete"


@dataclass(frozen=True, slots=True)
class Parts:
    """Where a run's part files are. `target` is a file they are joined into in the end, or None for a folder."""

    folder: Path
    suffix: str
    target: Path | None

    def path(self, block: Block) -> Path:
        """The part of a block."""
        return self.folder / f"part-{block.number:06}{self.suffix}"

    def pending(self, plan: Plan) -> list[Block]:
        """Blocks that have no part yet."""
        return [block for block in plan.blocks if not self.path(block).exists()]

    def put(self, block: Block, write: Callable[[Path], None]) -> None:
        """Writes a part under another name first: what bears a part's name is complete."""
        replace(self.path(block), write)

    def finish(self, plan: Plan, formed: Format) -> None:
        """Joins the parts into the target, or marks the folder as complete."""
        if self.target is None:
            for left in self.folder.glob(".part-*"):  # by a process that was killed while it wrote
                left.unlink()
            (self.folder / DONE).touch()
            return
        parts = [self.path(block) for block in plan.blocks]
        replace(self.target, lambda path: formed.join(parts, path))
        shutil.rmtree(self.folder)


def replace(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` make a file beside `path` and puts it in its place, so that no half-written one is ever seen."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write(fresh)
        with fresh.open("rb+") as written:
            os.fsync(written.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def open_parts(job: BulkJob, plan: Plan, model: Mapping[str, Any]) -> Parts:
    """The parts of this job's run, kept from a run that was cut short, or new.

    Raises InputError where the target holds something else, unless the job may overwrite a run's output.
    """
    target, suffix = Path(job.target), plan.files[0].suffix
    into_file = target.suffix in FORMATS
    if into_file and target.suffix != suffix:
        raise InputError(f"{target}: the output has the format of the input, {suffix}")
    parts = (
        Parts(target.with_name(target.name + ".parts"), suffix, target) if into_file else Parts(target, suffix, None)
    )
    _check_apart(Path(job.source), target)
    record = _record(job, plan, model)
    state = _unfinished(parts, record)
    if state is None:
        return parts
    if not job.overwrite and state:
        raise InputError(f"{state}; --overwrite (in Python overwrite=True) replaces it")
    _clear(parts)
    parts.folder.mkdir(parents=True, exist_ok=True)
    replace(parts.folder / RECORD, lambda path: _write(path, record))
    return parts


def _unfinished(parts: Parts, record: dict[str, Any]) -> str | None:
    """None where this very run was cut short; else what is in its place, which may be nothing ("")."""
    target = parts.target or parts.folder
    if (parts.folder / RECORD).exists():
        there = json.loads((parts.folder / RECORD).read_text(encoding="utf-8"))
        changed = [name for name in record if there.get(name) != record[name]]
        if changed:
            return f"{parts.folder} holds a run with another {', '.join(changed)}"
        return f"{target} is finished already" if (parts.folder / DONE).exists() else None
    if parts.folder.is_dir() and any(parts.folder.iterdir()):
        raise InputError(f"{parts.folder} is not empty, and holds no run of this command; name another output")
    return f"{target} is there already" if parts.target is not None and parts.target.exists() else ""


def _clear(parts: Parts) -> None:
    """Takes away what a run wrote, and nothing else. A target file stays until a new one replaces it."""
    if parts.folder.is_dir():
        for file in parts.folder.iterdir():
            if file.name in (RECORD, DONE) or file.name.lstrip(".").startswith("part-"):
                file.unlink()


def _record(job: BulkJob, plan: Plan, model: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the output. Files count as changed when their size or time has."""
    files = []
    for file in plan.files:
        status = file.stat()
        files.append([str(file.relative_to(Path(job.source).parent)), status.st_size, status.st_mtime_ns])
    extents = repr([(block.number, block.extent, block.rows) for block in plan.blocks])
    return {
        "input": files,
        "columns": asdict(job.columns),
        "block_rows": job.block_rows,
        "blocks": hashlib.sha256(extents.encode()).hexdigest(),
        **model,
    }


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _check_apart(source: Path, target: Path) -> None:
    here, there = source.resolve(), target.resolve()
    if here == there or (source.is_dir() and here in there.parents):
        raise InputError(f"{target} lies in the input, {source}: the next run would read it as input too")
