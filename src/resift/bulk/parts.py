"""The output of a run: a part file per block, each written whole or not at all, and a record of the run it belongs to.

A part is named by its block's number: whichever process writes it, and however often, no row is lost or repeated. Its
checksum is a file of its own beside it: many processes write parts, and one file of all checksums would need a lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resift._util.atomic import write_whole
from resift._util.lock import FolderLockedError, lock_folder
from resift.bulk.blocks import Block, RowFileFormat
from resift.bulk.formats import SUFFIXES, BlockPlan
from resift.bulk.job import BulkJob
from resift.bulk.record import RECORD_FILE, UnusableRecordError, changed_settings, make_record
from resift.errors import InputError

DONE_FILE = "_SUCCESS"  # Hadoop's name for "this folder is complete"
PART_PREFIXES = ("part-", ".part-", "..part-")  # parts, their checksums, and files that were being written
RECORD_PREFIXES = (RECORD_FILE, f".{RECORD_FILE}.")
LOCK_FILE = "_resift.lock"
LEFT_BEHIND = (f".{RECORD_FILE}.", DONE_FILE, LOCK_FILE)
"""Files that a killed run may leave in a folder without a record: at its very start, and at its very end."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The part files of a run, each with a checksum beside it."""

    folder: Path
    suffix: str
    target: Path | None
    """The file that the parts are joined into at the end; None: the folder is the output."""
    run: str
    """Digest of the run's record. It is in every checksum, so that no part of another run counts."""

    def path(self, block: Block) -> Path:
        """Return the path of a block's part."""
        return self.folder / f"part-{block.number:06}{self.suffix}"

    def checksum_path(self, block: Block) -> Path:
        """Return the path of the checksum of a block's part."""
        return self.folder / f".{self.path(block).name}.sha256"

    def pending(self, plan: BlockPlan) -> list[Block]:
        """Return the blocks that have no part yet, or a part that doesn't match its checksum."""
        return [] if self.is_joined() else [block for block in plan.blocks if self._read(block) is None]

    def is_joined(self) -> bool:
        """Return whether the target is written, and only the deletion of the parts was cut short."""
        return self.target is not None and self.target.exists() and (self.folder / DONE_FILE).exists()

    def write_part(self, block: Block, write: Callable[[Path], None]) -> None:
        """Write a block's part, whole or not at all.

        The checksum gets its name before the part does: a process that is killed in between leaves a checksum without
        a part, or with an older part that doesn't match it. Both are scored again.
        """

        def write_with_checksum(temporary: Path) -> None:
            write(temporary)
            checksum = self._checksum(temporary.read_bytes())
            write_whole(self.checksum_path(block), lambda path: path.write_text(checksum, encoding="ascii"))

        write_whole(self.path(block), write_with_checksum)

    def finish(self, plan: BlockPlan, file_format: RowFileFormat) -> bool:
        """Join the parts into the target, or mark the folder as complete.

        Returns:
            False, and nothing is written, where a part doesn't match its checksum.
        """
        if self.target is None:
            if self.pending(plan):
                return False
            (self.folder / DONE_FILE).touch()
            _delete(self.folder, ".part-", "..part-")  # checksums, and files of a process that was killed
            return True
        if not self.is_joined():
            try:
                write_whole(self.target, lambda path: file_format.join(map(self._read_whole, plan.blocks), path))
            except _DamagedPartError:
                return False
            (self.folder / DONE_FILE).touch()
        _delete(self.folder, *PART_PREFIXES)
        _delete(self.folder, *RECORD_PREFIXES)  # only now: parts without a record would belong to no run
        _delete(self.folder, DONE_FILE)
        return True

    def _checksum(self, content: bytes) -> str:
        return f"{hashlib.sha256(content).hexdigest()} {len(content)} {self.run}\n"

    def _read(self, block: Block) -> bytes | None:
        """Return the content of a block's part, or None where there is none or it doesn't match its checksum."""
        try:
            checksum = self.checksum_path(block).read_bytes()
            content = self.path(block).read_bytes()
        except OSError:
            return None
        return content if checksum == self._checksum(content).encode() else None

    def _read_whole(self, block: Block) -> bytes:
        content = self._read(block)
        if content is None:
            raise _DamagedPartError(block)
        return content


class _DamagedPartError(Exception):
    """A part doesn't match its checksum."""


@contextmanager
def open_parts(job: BulkJob, plan: BlockPlan, model: Mapping[str, Any]) -> Iterator[Parts]:
    """Lock the folder of this job's parts, and yield them: those of a run that was cut short, or none yet.

    Raises InputError where another run writes there, or where the target holds anything else, unless the job may
    overwrite it and a run wrote it.
    """
    target, suffix = Path(job.target), plan.files[0].suffix
    into_file = target.suffix in SUFFIXES
    if into_file and target.suffix != suffix:
        raise InputError(f"{target}: the output has the format of the input, {suffix}")
    _check_apart(Path(job.source), target)
    record = make_record(job, plan, model)
    text = json.dumps(record, indent=1)
    run = hashlib.sha256(text.encode()).hexdigest()[:16]
    parts = (
        Parts(target.with_name(target.name + ".parts"), suffix, target, run)
        if into_file
        else Parts(target, suffix, None, run)
    )
    try:
        with lock_folder(parts.folder, LOCK_FILE):
            _prepare(parts, job.overwrite, record, text)
            yield parts
    except FolderLockedError as error:
        raise InputError(
            f"{target}: another run writes there at this moment ({error}); wait until it ends, or name another output"
        ) from None
    finally:
        if into_file:
            _delete_empty_folder(parts.folder)


def _prepare(parts: Parts, overwrite: bool, record: dict[str, Any], text: str) -> None:
    """Empty the folder and write the record, unless the folder holds this very run, cut short."""
    try:
        changed = changed_settings(parts.folder, record)
        conflict = _conflict(parts, changed)
    except UnusableRecordError:
        if not overwrite:
            raise
        changed = conflict = None
    if changed == [] and (parts.is_joined() or not (parts.folder / DONE_FILE).exists()):
        return
    if conflict is not None and not overwrite:
        raise InputError(f"{conflict}; --overwrite (in Python overwrite=True) replaces it")
    # A target file stays until a new one replaces it. The earlier record stays until the new one does: if this is cut
    # short, no part is without a record.
    _delete(parts.folder, DONE_FILE)
    _delete(parts.folder, *PART_PREFIXES)
    write_whole(parts.folder / RECORD_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def _conflict(parts: Parts, changed: list[str] | None) -> str | None:
    """Return which earlier output is at the target, or None. Raises InputError for files that no run wrote."""
    target = parts.target or parts.folder
    if changed:
        return f"{parts.folder} holds a run with another {', '.join(changed)}"
    if changed is not None:
        return f"{target} is finished already"
    if parts.folder.is_dir() and not all(file.name.startswith(LEFT_BEHIND) for file in parts.folder.iterdir()):
        raise InputError(f"{parts.folder} is not empty, and holds no run of this command; name another output")
    return f"{target} is there already" if parts.target is not None and parts.target.exists() else None


def _delete(folder: Path, *prefixes: str) -> None:
    """Delete the files of a run whose names begin with one of the prefixes."""
    for file in folder.iterdir():
        if file.name.startswith(prefixes):
            file.unlink()


def _delete_empty_folder(folder: Path) -> None:
    with suppress(OSError):  # a run that was cut short, or somebody else's file
        folder.rmdir()


def _check_apart(source: Path, target: Path) -> None:
    """Raise InputError where the output would be inside the input."""
    source_path, target_path = source.resolve(), target.resolve()
    if source_path == target_path or (source.is_dir() and source_path in target_path.parents):
        raise InputError(f"{target} lies in the input, {source}: the next run would read it as input too")
