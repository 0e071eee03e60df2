"""The lexical index of a Chroma collection, and what keeps the two in step, whoever writes into the collection.

Chroma tells nobody that a collection has changed. So an index is compared with its collection: first by what costs
nothing (has the database's file changed, are there as many records), then record by record, by id and text. What
differs is changed in one commit. `resift index` leaves a mark while it writes, so that a run that was killed is found
out in a collection of any size.
"""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from chromadb import Collection

from resift._util.lock import FolderLockedError, lock_folder
from resift.errors import InputError, LexicalWarning
from resift.lexical.index import LexicalIndex, LexicalIndexError, record_key
from resift.search.chroma import get_count, get_records

DATABASE_FILE = "chroma.sqlite3"
LOCK_FILE = ".resift.lock"
FOLDER = "lexical"
"""Beside Chroma's files: a folder for each collection, by its id."""
MARK = ".behind"
RECORDS_PER_PAGE = 5000
COMPARED_WHOLE = 20_000
"""Records up to which a collection that has changed is compared record by record: that takes 15 ms a thousand."""
COMPARED_EACH_TIME = 1000
"""The same with every query, where no file tells that a collection has changed: in memory, and over HTTP."""
SAMPLE = 200
"""Records that are compared of a larger one: so many of the newest, and so many from anywhere."""
PAUSE = 5.0  # seconds until the index is compared again, while another process is writing

Progress = Callable[[int, int], None]
"""Called with the records that were compared, and those in all."""


class IndexLockedError(InputError):
    """The lexical index can't be changed now, since another process or thread is writing: try again when it is done."""


@dataclass(frozen=True, slots=True)
class Change:
    """What brought an index up to date."""

    added: int = 0
    removed: int = 0


class CollectionIndex:
    """The lexical index of a collection.

    Args:
        collection: A Chroma collection, whoever filled it.
        folder: Where the files of the index are. None: beside the collection's database, where that is a folder of this
            machine; else in memory.
    """

    def __init__(self, collection: Collection, folder: Path | None = None) -> None:
        self.collection = collection
        database = database_folder(collection)
        if folder is None and database is not None:
            folder = database / FOLDER / str(collection.id)
        self.folder = folder
        self._database = database
        self._thread_lock = threading.RLock()
        self._index: LexicalIndex | None = None
        self._seen: Any = None
        """What `_state` was when the index was in step."""
        self._exact = False
        self._not_before = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether the index stays as it is for now, since another process was writing when it was last compared."""
        return time.monotonic() < self._not_before

    def current(self) -> LexicalIndex:
        """Return the index, brought up to date where it is behind.

        Where another process is writing, it stays as it is, and a LexicalWarning says so.

        Raises:
            InputError: The collection can't be read.
        """
        with self._thread_lock:
            if self.is_waiting:
                return self._as_it_is()
            state = self._state()
            if self._index is not None and state == self._seen:
                return self._index
            if self.behind(exact=self._exact):
                try:
                    self.update()
                except IndexLockedError as error:
                    self._go_on_without(str(error))
                    return self._as_it_is()
                except OSError as error:  # a folder that can only be read
                    self._keep_in_memory(error)
                    self.update()
            self._seen, self._exact = state, False
            return self._opened()

    def behind(self, *, exact: bool = False) -> str:
        """Return in words why the index is not in step with the collection; "" where it is.

        Args:
            exact: Compare every record, also in a collection of more than `COMPARED_WHOLE`, of which else a sample of
                its records is compared.

        Raises:
            InputError: The collection can't be read.
        """
        if not self.is_made:
            return "it isn't made yet"
        try:
            index = self._opened()
            count, indexed = get_count(self.collection), len(index)
            if count != indexed:
                return f"it has {indexed} passages, and the collection {count}"
            if exact or count <= COMPARED_WHOLE or self._is_marked():
                missing = len(index.keys() ^ {record_key(*record) for record in self._records()})
                different = (missing + 1) // 2
                differ = "differs" if different == 1 else "differ"
                return f"{different} of its {count} passages {differ} from the collection's" if missing else ""
            return "" if index.has(self._sample(count)) else "it lacks passages of the collection"
        except LexicalIndexError as error:
            return str(error)

    def update(self, *, locked: bool = False, progress: Progress | None = None) -> Change:
        """Bring the index up to date, in one commit: records that it lacks are added, others removed.

        Args:
            locked: This process has locked the folder of the database already.
            progress: Called for each page of records.

        Returns:
            How many records were added and removed.

        Raises:
            IndexLockedError: Another process, or another thread, is writing. It is an InputError.
            OSError: The folder can't be written.
            InputError: The collection can't be read.
        """
        with self._thread_lock, self._write_lock(locked):
            state = self._state()
            try:
                change = self._update(self._opened(), progress)
            except LexicalIndexError:  # damaged, or of another version
                self._index = None
                if self.folder is not None:
                    LexicalIndex.delete(self.folder)
                change = self._update(self._opened(), progress)
            self._mark(there=False)
            self._seen = state
            return change

    def forget(self) -> None:
        """Open the index again with the next `current`, and compare every record: something changed unseen."""
        with self._thread_lock:
            self._seen = None
            if self.folder is not None:
                self._index = None
            self._exact = True

    def mark(self) -> None:
        """Say that the collection is about to be changed: until the next `update`, the index counts as behind."""
        self._mark(there=True)

    def bytes(self) -> int:
        """Return the size of the index's files."""
        return self._opened().bytes()

    @property
    def is_made(self) -> bool:
        """Whether there is an index, in step or not."""
        return self._index is not None or (self.folder is not None and LexicalIndex.is_at(self.folder))

    def _update(self, index: LexicalIndex, progress: Progress | None) -> Change:
        stale = index.keys()
        known = set(stale)
        total, added = get_count(self.collection), 0

        def new_records() -> Iterator[tuple[str, str]]:
            nonlocal added
            for number, (id, text) in enumerate(self._records()):
                if progress is not None and number % RECORDS_PER_PAGE == 0:
                    progress(number, total)
                key = record_key(id, text)
                stale.discard(key)
                if key not in known:
                    known.add(key)
                    added += 1
                    yield id, text

        new = new_records()
        first = next(new, None)  # None: all were read, and nothing is to be added
        if first is not None or stale:
            index.change(chain(() if first is None else (first,), new), stale)
        if progress is not None:
            progress(total, total)
        return Change(added, len(stale))

    def _opened(self) -> LexicalIndex:
        if self._index is None:
            self._index = LexicalIndex(self.folder)
        return self._index

    def _as_it_is(self) -> LexicalIndex:
        """Return the index, behind or not; an empty one where the folder's is another process's to make, or damaged."""
        try:
            return self._opened() if self.is_made else LexicalIndex()
        except LexicalIndexError:
            return LexicalIndex()

    def _records(self) -> Iterator[tuple[str, str]]:
        """Yield id and text of all records."""
        offset = 0
        while (page := self._page(offset, RECORDS_PER_PAGE))[0]:
            offset += len(page[0])
            yield from zip(page[0], page[1], strict=True)

    def _page(self, offset: int, limit: int) -> tuple[list[str], list[str]]:
        found = get_records(self.collection, include=["documents"], limit=limit, offset=offset)
        return found["ids"], [text or "" for text in found["documents"] or ()]

    def _sample(self, count: int) -> list[str]:
        """Return keys of the newest records, and of some from anywhere."""
        pages = [self._page(max(0, start), SAMPLE) for start in (count - SAMPLE, random.randrange(count))]  # noqa: S311 - no secret
        return [record_key(id, text) for ids, texts in pages for id, text in zip(ids, texts, strict=True)]

    def _state(self) -> Any:
        """Return what changes with every change of the collection, as far as can be known at once."""
        if self._database is None:
            count = get_count(self.collection)
            return count if count > COMPARED_EACH_TIME else object()
        try:
            status = (self._database / DATABASE_FILE).stat()
        except OSError:  # moved or deleted: Chroma says what it can still read
            return object()
        return status.st_mtime_ns, status.st_size, status.st_ino, self._is_marked()

    @property
    def _locked_folder(self) -> Path | None:
        """The folder whose lock a writer holds: that of the database, which `resift index` holds too."""
        return None if self.folder is None else self._database or self.folder.parent

    @contextmanager
    def _write_lock(self, locked: bool) -> Iterator[None]:
        folder = self._locked_folder
        try:
            with nullcontext() if locked or folder is None else lock_folder(folder, LOCK_FILE):
                yield
        except FolderLockedError as error:
            raise IndexLockedError(f"{error} is writing into {folder}") from None

    @property
    def _marked(self) -> Path | None:
        return None if self.folder is None else self.folder.with_name(self.folder.name + MARK)

    def _is_marked(self) -> bool:
        return self._marked is not None and self._marked.exists()

    def _mark(self, *, there: bool) -> None:
        if self._marked is None:
            return
        if there:
            self._marked.parent.mkdir(parents=True, exist_ok=True)
            self._marked.touch()
        else:
            self._marked.unlink(missing_ok=True)

    def _go_on_without(self, reason: str) -> None:
        self._not_before = time.monotonic() + PAUSE
        warnings.warn(
            f"the words of the newest passages of {self.collection.name!r} are not searched yet: {reason}",
            LexicalWarning,
            stacklevel=2,
        )

    def _keep_in_memory(self, error: OSError) -> None:
        warnings.warn(
            f"the lexical index of {self.collection.name!r} can't be written into {self.folder} ({error}) and is kept "
            "in memory: every process makes it anew",
            LexicalWarning,
            stacklevel=2,
        )
        self.folder, self._index = None, None


def database_folder(collection: Collection) -> Path | None:
    """Return the folder of a collection's database on this machine; None in memory and over HTTP."""
    settings = getattr(getattr(collection, "_client", None), "get_settings", lambda: None)()
    if settings is None or not getattr(settings, "is_persistent", False):
        return None
    folder = Path(settings.persist_directory).absolute()  # the process may go to another folder later
    return folder if (folder / DATABASE_FILE).is_file() else None


def remove_others(folder: Path, collections: Iterable[Collection]) -> None:
    """Delete the lexical indexes of collections that are no more in the database of a folder."""
    ids = {str(collection.id) for collection in collections}
    with suppress(OSError):
        for entry in (folder / FOLDER).iterdir():
            if entry.name.removesuffix(MARK) in ids:
                continue
            if entry.is_dir():
                LexicalIndex.delete(entry)
            else:
                entry.unlink()
