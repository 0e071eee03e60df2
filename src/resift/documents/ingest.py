"""Files into a Chroma collection, so that running it again adds nothing and a killed run is completed by the next.

The collection itself is the only record of what was done: each passage carries its file's fingerprint and the number
of the file's passages, so a file is done when that many with its fingerprint are there. Nothing else is stored that
could disagree.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resift.documents.chunks import Chunks
from resift.documents.failures import KnownFailures, failure_line, printable
from resift.documents.files import find_files
from resift.documents.passages import fingerprint, passages
from resift.documents.readers import check_size, read
from resift.errors import ResiftError
from resift.search.two_stage import Passage

if TYPE_CHECKING:
    import os

    from chromadb import Collection

PASSAGES_PER_WRITE = 256
"""Passages written at once: what a killed run loses at most."""
RECORDS_PER_PAGE = 2000  # read at once

FIRST_WRITE = 16
"""Passages of the first write. The next have twice as many each, while one takes less than `LONG_WRITE`."""
LONG_WRITE = 0.5
"""Seconds. The progress of a run shows with each write."""

IngestProgress = Callable[[int, int, int], None]
"""Called with the files that are done, the files in all, and the passages added. A file is done when it is stored."""


@dataclass(slots=True)
class IngestReport:
    """What a run did. `added` and `removed` count passages, the others files."""

    new: int = 0
    changed: int = 0
    resumed: int = 0
    """Files that an earlier run had not finished."""
    unchanged: int = 0
    empty: int = 0
    """Files without any text, blank ones too."""
    pruned: int = 0
    """Files that are no longer there, whose passages were removed."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Suffix → files that can't be read."""
    failures: list[str] = field(default_factory=list)
    """A line for each file that should have been readable and was not."""
    without_text: list[str] = field(default_factory=list)
    """The `empty` files that are not blank, such as scanned PDFs."""
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
    batch: int = PASSAGES_PER_WRITE,
    progress: IngestProgress | None = None,
    follow_links: bool = False,
    failures_file: str | os.PathLike[str] | None = None,
    chunk_tokens: int | None = None,
    chunk_overlap: int | None = None,
) -> IngestReport:
    """Make the collection hold the passages of these files and folders as they are now.

    Running it again adds nothing; an edited file is replaced; a killed run is completed by the next. A file that
    can't be read, whatever the reason, is a line in `failures`, and what was stored of it stays.

    Args:
        collection: A Chroma collection; its embedding function embeds the passages.
        paths: Files and folders. Folders are read with what is in them, without hidden files.
        base: What a file's `path` in the metadata is relative to, where the file lies below it; other files have
            absolute paths. The path tells files apart, so give the same `base` each time.
        prune: Also remove what the collection holds of files that are no longer in the given folders.
        batch: Passages written at once; a killed run loses at most so many.
        progress: Called before each file, after each write, and at the end.
        follow_links: Also read files outside the folders that links in them lead to. Links to folders are not followed.
        failures_file: Where to remember content that can't be read: it is then tried again only when it, or a library
            that reads it, has changed. None: each run tries it again. Files whose library is missing are always tried.
        chunk_tokens: Tokens of a passage at most, its headings included; at least 32. The collection remembers it, and
            another size cuts the files anew. None: the collection's own, 240 for a new one, which is what the bundled
            models read at once.
        chunk_overlap: Tokens that two parts of a paragraph share where it is longer than a passage; at most a third of
            a passage. None: an eighth.

    Returns:
        How many files were new, changed, unchanged..., and how many passages were added and removed.

    Raises:
        FileNotFoundError: A path does not exist.
        InputError: A file named by itself is of a kind that can't be read; an impossible size of passages.
    """
    started = time.perf_counter()
    found = find_files([Path(path) for path in paths], follow_links=follow_links)
    root = Path(base).resolve()
    report = IngestReport(skipped=dict(sorted(found.skipped.items())), failures=list(found.failures))
    chunks = _choose_chunks(collection, chunk_tokens, chunk_overlap)
    run = _Run(collection, batch, report, KnownFailures(failures_file), chunks, len(found.files), progress)
    present = set()
    try:
        for file in found.files:
            run.show_progress()
            path = _metadata_path(file, root)
            present.add(path)
            run.ingest_file(file, path)
    except Exception:
        with suppress(Exception):
            run.write_batches(0)  # what was read is not lost
        raise
    run.write_batches(0)
    run.known_failures.save()
    if prune and not found.failures:  # files in a folder that can't be listed are not gone
        folders = [Path(path).resolve() for path in paths]
        run.prune([path for path in run.stored if path not in present and _is_below(root / path, folders)])
    run.report.seconds = time.perf_counter() - started
    run.show_progress()
    return run.report


def unfinished_files(collection: Collection) -> list[str]:
    """Return the paths of files of which a collection holds some passages but not all: a run was killed."""
    return [
        path
        for path, stored in _read_stored(collection).items()
        if len(stored) > 1 or any(count != total for (_, total), count in stored.items())
    ]


@dataclass(slots=True)
class _Run:
    """One call of `ingest`."""

    collection: Collection
    batch: int
    report: IngestReport
    known_failures: KnownFailures
    chunks: Chunks
    files: int
    progress: IngestProgress | None
    stored: dict[str, Counter[tuple[str, int]]] = field(init=False)
    """path → how many passages there are of each (fingerprint, number of passages)."""
    queue: deque[Passage] = field(default_factory=deque)
    """Passages still to be written."""
    waiting: Counter[str] = field(default_factory=Counter)
    """path → how many of them there are of each file."""
    read: int = 0
    """Files that were looked at."""
    write_size: int = FIRST_WRITE
    """Passages of the next write, if `batch` allows so many."""

    def __post_init__(self) -> None:
        self.stored = _read_stored(self.collection)

    def show_progress(self) -> None:
        """Say how far the run is."""
        if self.progress is not None:
            self.progress(self.read - len(self.waiting), self.files, self.report.added)

    def ingest_file(self, file: Path, path: str) -> None:
        """Queue what the collection lacks of a file, and count the file in the report."""
        missing = self.read_file(file, path)
        self.read += 1
        self.queue += missing
        if missing:
            self.waiting[path] += len(missing)
        self.write_batches(min(self.write_size, self.batch))

    def read_file(self, file: Path, path: str) -> list[Passage]:
        """Return the passages that the collection lacks of a file, and count the file in the report."""
        stored = self.stored.get(path, Counter())
        if printable(path) != path:
            self.report.failures.append(f"{printable(path)}: the file's name is not UTF-8; rename the file")
            return []
        file_hash = ""
        try:
            check_size(file.stat().st_size, path)
            data = file.read_bytes()
            file_hash = fingerprint(data, self.chunks)
            if _is_complete(stored, file_hash):
                self.report.unchanged += 1
                return []
            if known := self.known_failures.get(path, file_hash):
                self.report.failures.append(known)
                return []
            missing = passages(read(data, path), path, file_hash, self.chunks)
        except Exception as error:  # readers and their libraries raise anything for a file that they can't read
            line = failure_line(path, error)
            self.report.failures.append(line)
            by_content = not isinstance(error, (OSError, ImportError, MemoryError))
            if file_hash and by_content:
                self.known_failures.add(path, file_hash, line)
            return []
        stale = any(stored_hash != file_hash for stored_hash, _ in stored)
        if stale:
            self.remove(path)
        elif stored:
            present = set(self.collection.get(where={"path": path}, include=[])["ids"])
            missing = [passage for passage in missing if passage.id not in present]
        kind = "changed" if stale else "resumed" if stored else "new" if missing else "empty"
        setattr(self.report, kind, getattr(self.report, kind) + 1)
        if kind == "empty" and data.strip():
            self.report.without_text.append(path)
        return missing

    def write_batches(self, minimum: int) -> None:
        """Write batches while at least `minimum` passages are queued; with 0, all of them."""
        while self.queue and len(self.queue) >= minimum:
            batch = [self.queue.popleft() for _ in range(min(self.write_size, self.batch, len(self.queue)))]
            started = time.perf_counter()
            try:
                self.write(batch)
            except Exception as error:
                if not _is_refusal(error):
                    self.queue.clear()  # nothing can be written
                    raise
                self.write_by_file(batch)
            if len(batch) == self.write_size and time.perf_counter() - started < LONG_WRITE:
                self.write_size = min(2 * self.write_size, self.batch)
            self.waiting -= Counter(str(passage.metadata["path"]) for passage in batch)
            self.show_progress()

    def write(self, batch: Sequence[Passage]) -> None:
        """Write passages at once."""
        metadatas: list[Any] = [dict(passage.metadata) for passage in batch]
        self.collection.upsert(
            ids=[str(passage.id) for passage in batch],
            documents=[passage.text for passage in batch],
            metadatas=metadatas,
        )
        self.report.added += len(batch)

    def write_by_file(self, batch: Sequence[Passage]) -> None:
        """Write the passages of each file by themselves: a file that Chroma refuses is reported, the others go in."""
        files: dict[str, list[Passage]] = {}
        for passage in batch:
            files.setdefault(str(passage.metadata["path"]), []).append(passage)
        for path, file_passages in files.items():
            try:
                self.write(file_passages)
            except Exception as error:
                if not _is_refusal(error):
                    raise
                self.report.failures.append(f"{path}: Chroma refuses its passages: {printable(str(error))}")

    def remove(self, path: str) -> None:
        """Remove a file's passages, before new ones are added: a run killed between leaves no two versions."""
        self.collection.delete(where={"path": path})
        self.report.removed += self.stored[path].total()

    def prune(self, paths: Sequence[str]) -> None:
        """Remove the passages of files that are gone."""
        for path in paths:
            self.remove(path)
            self.report.pruned += 1


def _choose_chunks(collection: Collection, tokens: int | None, overlap: int | None) -> Chunks:
    """Return the size of passages, and have the collection remember it."""
    from resift.search.chroma import network_of  # here: what reads files needs no Chroma

    chunks = Chunks.of_metadata(collection.metadata, tokens, overlap)
    metadata = chunks.in_metadata(collection.metadata)
    if metadata != (collection.metadata or {}):
        collection.modify(metadata=metadata)
    return replace(chunks, model=network_of(collection))


def _is_refusal(error: Exception) -> bool:
    """Return whether Chroma refuses a text or a value; other errors mean that nothing can be written."""
    from chromadb.errors import InvalidArgumentError

    return isinstance(error, (ValueError, TypeError, InvalidArgumentError)) and not isinstance(error, ResiftError)


def _is_complete(stored: Counter[tuple[str, int]], file_hash: str) -> bool:
    """Return whether all passages of a file, and no others, are stored."""
    return len(stored) == 1 and all(
        stored_hash == file_hash and count == total for (stored_hash, total), count in stored.items()
    )


def _read_stored(collection: Collection) -> dict[str, Counter[tuple[str, int]]]:
    """Return path → how many passages the collection holds of each (fingerprint, number of passages)."""
    stored: dict[str, Counter[tuple[str, int]]] = {}
    offset = 0
    while metadatas := collection.get(include=["metadatas"], limit=RECORDS_PER_PAGE, offset=offset)["metadatas"]:
        offset += len(metadatas)
        for metadata in metadatas:
            # Records that others put into the collection have no such keys, and are left alone.
            match metadata:
                case {"path": str(path), "file_hash": str(file_hash), "passages": int(total)}:
                    stored.setdefault(path, Counter())[file_hash, total] += 1
    return stored


def _metadata_path(file: Path, root: Path) -> str:
    return (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()


def _is_below(file: Path, folders: Sequence[Path]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders)
