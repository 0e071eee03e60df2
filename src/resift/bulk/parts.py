"""The output of a run: a part file per block, each written whole or not at all, and a record of the run it belongs to.

A part is named by its block's number: whichever process writes it, and however often, no row is lost or repeated.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resift._util.atomic import write_whole
from resift.bulk.blocks import Block, RowFileFormat
from resift.bulk.formats import SUFFIXES, BlockPlan
from resift.bulk.job import BulkJob
from resift.errors import InputError

RECORD_FILE = "_resift.json"  # readers of folders (Arrow, Spark) skip names with an underscore
DONE_FILE = "_SUCCESS"  # Hadoop's name for "this folder is complete"


@dataclass(frozen=True, slots=True)
class Parts:
    """The part files of a run."""

    folder: Path
    suffix: str
    target: Path | None
    """The file that the parts are joined into at the end; None: the folder is the output."""

    def path(self, block: Block) -> Path:
        """Return the path of a block's part."""
        return self.folder / f"part-{block.number:06}{self.suffix}"

    def pending(self, plan: BlockPlan) -> list[Block]:
        """Return the blocks that have no part yet."""
        return [block for block in plan.blocks if not self.path(block).exists()]

    def write_part(self, block: Block, write: Callable[[Path], None]) -> None:
        """Write a block's part, whole or not at all."""
        write_whole(self.path(block), write)

    def finish(self, plan: BlockPlan, file_format: RowFileFormat) -> None:
        """Join the parts into the target, or mark the folder as complete."""
        if self.target is None:
            for file in self.folder.glob(".part-*"):  # of a process that was killed while it wrote
                file.unlink()
            (self.folder / DONE_FILE).touch()
            return
        parts = [self.path(block) for block in plan.blocks]
        write_whole(self.target, lambda path: file_format.join(parts, path))
        shutil.rmtree(self.folder)


def open_parts(job: BulkJob, plan: BlockPlan, model: Mapping[str, Any]) -> Parts:
    """Return the parts of this job: those of a run that was cut short, or an empty folder.

    Raises InputError where the target holds anything else, unless the job may overwrite it and a run wrote it.
    """
    target, suffix = Path(job.target), plan.files[0].suffix
    into_file = target.suffix in SUFFIXES
    if into_file and target.suffix != suffix:
        raise InputError(f"{target}: the output has the format of the input, {suffix}")
    parts = (
        Parts(target.with_name(target.name + ".parts"), suffix, target) if into_file else Parts(target, suffix, None)
    )
    _check_apart(Path(job.source), target)
    record = _record(job, plan, model)
    changed = _changed_settings(parts, record)
    if changed == [] and not (parts.folder / DONE_FILE).exists():
        return parts  # the same run, which was cut short
    conflict = _conflict(parts, changed)
    if conflict is not None and not job.overwrite:
        raise InputError(f"{conflict}; --overwrite (in Python overwrite=True) replaces it")
    _clear(parts)
    parts.folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1)
    write_whole(parts.folder / RECORD_FILE, lambda path: path.write_text(text, encoding="utf-8"))
    return parts


def _changed_settings(parts: Parts, record: dict[str, Any]) -> list[str] | None:
    """Return what differs between this run and the one whose record is in the folder; None where there is no record."""
    file = parts.folder / RECORD_FILE
    if not file.exists():
        return None
    earlier = json.loads(file.read_text(encoding="utf-8"))
    return [name for name in record if earlier.get(name) != record[name]]


def _conflict(parts: Parts, changed: list[str] | None) -> str | None:
    """Return which earlier output is at the target, or None. Raises InputError for files that no run wrote."""
    target = parts.target or parts.folder
    if changed:
        return f"{parts.folder} holds a run with another {', '.join(changed)}"
    if changed is not None:
        return f"{target} is finished already"
    if parts.folder.is_dir() and any(parts.folder.iterdir()):
        raise InputError(f"{parts.folder} is not empty, and holds no run of this command; name another output")
    return f"{target} is there already" if parts.target is not None and parts.target.exists() else None


def _clear(parts: Parts) -> None:
    """Delete what a run wrote into the folder, and nothing else. A target file stays until a new one replaces it."""
    if parts.folder.is_dir():
        for file in parts.folder.iterdir():
            if file.name in (RECORD_FILE, DONE_FILE) or file.name.lstrip(".").startswith("part-"):
                file.unlink()


def _record(job: BulkJob, plan: BlockPlan, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that decides the output. A file counts as changed when its size or its time has changed."""
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


def _check_apart(source: Path, target: Path) -> None:
    """Raise InputError where the output would be inside the input."""
    source_path, target_path = source.resolve(), target.resolve()
    if source_path == target_path or (source.is_dir() and source_path in target_path.parents):
        raise InputError(f"{target} lies in the input, {source}: the next run would read it as input too")
