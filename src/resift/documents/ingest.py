"""Files into a Chroma collection, so that running it again adds nothing and a killed run is completed by the next.

What is stored says it all: each passage carries its file's fingerprint and the number of the file's passages, so a
file is done when that many with its fingerprint are there. Nothing else is kept, and nothing can disagree.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resift.documents.files import find
from resift.documents.passages import fingerprint, passages
from resift.documents.readers import read
from resift.errors import InputError
from resift.search.two_stage import Passage

if TYPE_CHECKING:
    import os

    from chromadb import Collection

BATCH = 256
"""Passages written at once: what a killed run loses at most."""
PAGE = 2000  # records read at once

IngestProgress = Callable[[int, int, int], None]
"""Is told: files done, files there are, passages added."""


@dataclass(slots=True)
class IngestReport:
    """What a run did. All but `added` and `removed`, which count passages, count files."""

    new: int = 0
    changed: int = 0
    resumed: int = 0
    """Files an earlier run had not finished."""
    unchanged: int = 0
    empty: int = 0
    """Files without any text, such as scanned PDFs."""
    pruned: int = 0
    """Files that are no longer there, whose passages were removed."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Suffix → files that can't be read."""
    failures: list[str] = field(default_factory=list)
    """One line for each file that should have been readable and was not."""
    added: int = 0
    removed: int = 0
    seconds: float = 0.0

    @property
    def passages_per_second(self) -> float:
        """Passages added per second of the whole run."""
        return self.added / self.seconds if self.seconds else 0.0


def ingest(
    collection: Collection,
    paths: Sequence[str | os.PathLike[str]],
    *,
    base: str | os.PathLike[str] = ".",
    prune: bool = False,
    batch: int = BATCH,
    progress: IngestProgress | None = None,
) -> IngestReport:
    """Makes the collection hold the passages of these files and folders as they are now.

    A file's `path` in the metadata is relative to `base` where it lies below it, else absolute. It tells files
    apart, so give the same `base` each time. `prune` also removes what the collection holds of files that are
    no longer in the given folders. A file that can't be read is reported, and what was stored of it stays.

    Raises FileNotFoundError for a path that does not exist, InputError for one that can't be a document, and
    MissingExtraError for HTML and PDF without `resift[documents]`.
    """
    started = time.perf_counter()
    found = find([Path(path) for path in paths])
    root = Path(base).resolve()
    run = _Run(collection, batch, IngestReport(skipped=dict(sorted(found.skipped.items()))))
    there = set()
    for number, file in enumerate(found.files):
        if progress is not None:
            progress(number, len(found.files), run.report.added)
        path = _identity(file, root)
        there.add(path)
        run.file(file, path)
    run.write(0)
    if prune:
        folders = [Path(path).resolve() for path in paths]
        run.prune([path for path in run.known if path not in there and _below(root / path, folders)])
    run.report.seconds = time.perf_counter() - started
    if progress is not None:
        progress(len(found.files), len(found.files), run.report.added)
    return run.report


@dataclass(slots=True)
class _Run:
    collection: Collection
    batch: int
    report: IngestReport
    known: dict[str, Counter[tuple[str, int]]] = field(init=False)
    """path → how many passages there are of which (fingerprint, number of passages)."""
    waiting: list[Passage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = _known(self.collection)

    def file(self, file: Path, path: str) -> None:
        stored = self.known.get(path, Counter())
        try:
            data = file.read_bytes()
            file_hash = fingerprint(data)
            if _complete(stored, file_hash):
                self.report.unchanged += 1
                return
            wanted = passages(read(data, path), path, file_hash)
        except InputError as error:
            self.report.failures.append(str(error))
            return
        except OSError as error:
            self.report.failures.append(f"{path}: {error.strerror or error}")
            return
        stale = any(known != file_hash for known, _ in stored)
        if stale:
            self.remove(path)
        elif stored:
            present = set(self.collection.get(where={"path": path}, include=[])["ids"])
            wanted = [passage for passage in wanted if passage.id not in present]
        kind = "changed" if stale else "resumed" if stored else "new" if wanted else "empty"
        setattr(self.report, kind, getattr(self.report, kind) + 1)
        self.waiting += wanted
        self.write(self.batch)

    def write(self, least: int) -> None:
        """Writes full batches while at least so many passages wait; with 0, all of them."""
        while self.waiting and len(self.waiting) >= least:
            now, self.waiting = self.waiting[: self.batch], self.waiting[self.batch :]
            metadatas: list[Any] = [dict(passage.metadata) for passage in now]
            self.collection.upsert(
                ids=[str(passage.id) for passage in now],
                documents=[passage.text for passage in now],
                metadatas=metadatas,
            )
            self.report.added += len(now)

    def remove(self, path: str) -> None:
        """Removes before anything is added: a run killed between leaves too little, never two versions."""
        self.collection.delete(where={"path": path})
        self.report.removed += self.known[path].total()

    def prune(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.remove(path)
            self.report.pruned += 1


def _complete(stored: Counter[tuple[str, int]], file_hash: str) -> bool:
    return len(stored) == 1 and all(known == file_hash and count == total for (known, total), count in stored.items())


def _known(collection: Collection) -> dict[str, Counter[tuple[str, int]]]:
    known: dict[str, Counter[tuple[str, int]]] = {}
    offset = 0
    while metadatas := collection.get(include=["metadatas"], limit=PAGE, offset=offset)["metadatas"]:
        offset += len(metadatas)
        for metadata in metadatas:
            # Records that others put into the collection have no such keys, and are left alone.
            match metadata:
                case {"path": str(path), "file_hash": str(file_hash), "passages": int(total)}:
                    known.setdefault(path, Counter())[file_hash, total] += 1
    return known


def _identity(file: Path, root: Path) -> str:
    return (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()


def _below(file: Path, folders: Sequence[Path]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders)
