"""What people marked as right or wrong, kept as a judged collection that `resift eval` and `resift train` read.

The files are the only record. They are written one by one, each whole, in an order in which a process that is killed
between two leaves a collection that can be read.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resift._util.arguments import is_blank
from resift._util.atomic import write_whole
from resift._util.columns import read_qrels
from resift._util.jsonl import field_id, field_text, read_rows
from resift._util.lock import FolderLockedError, lock_folder
from resift.errors import InputError
from resift.search.candidates import Passage
from resift.text.half_pairs import replace_half_pairs

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels.tsv"
CANDIDATES = "candidates.jsonl"
"""Each question's first stage: a run that `resift eval --first-stage` takes."""
PAIRS = "pairs.jsonl"
"""Each right passage with its question and the wrong ones: what `resift train --pairs` takes."""
FILES = (CORPUS, QUERIES, QRELS, CANDIDATES, PAIRS)
MARKER = "playground.json"
"""Says that the playground made the folder. Without it, a folder with files of these names is not touched."""
HEADER = "query-id\tcorpus-id\tscore\n"
RIGHT, WRONG = 1, 0
LOCK_FILE = ".playground.lock"
WAIT_SECONDS = 10.0
PAUSE = 0.02  # seconds between two tries to get the lock
_SAFE_ID = re.compile(r"[\w.:/@+-]{1,120}")
"""An id that stands in files of columns as it is."""


@dataclass(slots=True)
class _Marks:
    """What the files hold."""

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    """document id → its row of the corpus."""
    queries: dict[str, str] = field(default_factory=dict)
    """query id → text."""
    grades: dict[str, dict[str, int]] = field(default_factory=dict)
    """query id → document id → grade; above 0 is right."""
    candidates: dict[str, list[str]] = field(default_factory=dict)
    """query id → document ids, as the first stage found them."""
    _ids: dict[str, str] = field(default_factory=dict)

    def add(self, passage: Passage) -> str:
        """Return the id of a passage's text, which is added if it is new. Passages of equal text are one document."""
        text = stored_text(passage.text)
        ids = self._ids_by_text()
        if text not in ids:
            id = _free_id(passage.id or "", text, self.documents)
            about = {key: passage.metadata[key] for key in ("path", "section", "page") if key in passage.metadata}
            self.documents[id] = {"_id": id, "title": "", "text": text, "metadata": about}
            ids[text] = id
        return ids[text]

    def find(self, text: str) -> str | None:
        """Return the id of a text; None if it isn't there."""
        return self._ids_by_text().get(stored_text(text))

    def needed(self) -> _Marks:
        """Return the marks without questions that have none any more, and without what only those had found."""
        queries = {id: text for id, text in self.queries.items() if self.grades.get(id)}
        candidates = {id: listed for id, listed in self.candidates.items() if id in queries}
        grades = {id: given for id, given in self.grades.items() if id in queries}
        used = {id for listed in (*candidates.values(), *grades.values()) for id in listed}
        documents = {id: row for id, row in self.documents.items() if id in used}
        return _Marks(documents, queries, grades, candidates)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """Yield the rows to learn from."""
        for query, grades in self.grades.items():
            texts = {id: str(self.documents[id]["text"]) for id in grades if id in self.documents}
            wrong = [texts[id] for id, grade in grades.items() if grade <= 0 and id in texts]
            for id, grade in grades.items():
                if grade > 0 and id in texts:
                    yield {"query": self.queries[query], "positive": texts[id], "negatives": wrong}

    def _ids_by_text(self) -> dict[str, str]:
        if not self._ids:
            self._ids = {str(row.get("text", "")): id for id, row in self.documents.items()}
        return self._ids


class Judgements:
    """A judged collection in a folder, which marks fill.

    Args:
        folder: The folder. It is made with the first mark. Several processes may mark in it.
        collection: Name of the collection that is searched, which the folder remembers.

    Raises:
        InputError: The folder holds a collection that is none of the playground's, or files that can't be read.
    """

    def __init__(self, folder: Path, collection: str) -> None:
        self.folder = folder
        self.collection = collection
        self._known: tuple[Any, _Marks] | None = None
        self._read()

    def mark(self, query: str, passage: Passage, grade: int | None, candidates: Iterable[Passage]) -> None:
        """Keep a mark. It is on disk when this returns.

        Args:
            query: The question.
            passage: What is marked. Passages of equal text share their mark.
            grade: RIGHT, WRONG, or None to take a mark back.
            candidates: What the first stage found for the question, best first.

        Raises:
            InputError: A question or passage without text; another process keeps the folder locked.
            OSError: The files can't be written; what was there before is still there.
        """
        if is_blank(query) or is_blank(passage.text):
            raise InputError("a question and a passage without text can't be judged")
        with self._locked():
            before = self._read()
            marks = _Marks(
                dict(before.documents),
                dict(before.queries),
                {id: dict(grades) for id, grades in before.grades.items()},
                dict(before.candidates),
            )
            text = stored_text(query)
            query_id = next((id for id, known in marks.queries.items() if known == text), query_id_of(text))
            document = marks.add(passage)
            grades = marks.grades.setdefault(query_id, {})
            if grade is None:
                grades.pop(document, None)
            else:
                grades[document] = grade
            marks.queries[query_id] = text
            found = [marks.add(each) for each in candidates if not is_blank(each.text)]
            marks.candidates[query_id] = list(dict.fromkeys(found))
            self._write(before, marks.needed())

    def grades(self, query: str, texts: Iterable[str]) -> list[int | None]:
        """Return the grade of each text for a question; None where it has no mark."""
        marks = self._read()
        wanted = stored_text(query)
        query_id = next((id for id, text in marks.queries.items() if text == wanted), "")
        given = marks.grades.get(query_id, {})
        return [given.get(marks.find(text) or "") for text in texts]

    def questions(self) -> list[dict[str, Any]]:
        """Return each question with how many passages were marked right and wrong, the latest first."""
        marks = self._read()
        rows = []
        for id, text in marks.queries.items():
            grades = marks.grades.get(id, {}).values()
            right = sum(grade > 0 for grade in grades)
            rows.append({"query": text, "right": right, "wrong": len(grades) - right})
        return rows[::-1]

    def as_zip(self) -> bytes:
        """Return the files as a zip archive. Raises InputError where nothing is marked."""
        if not self._read().queries:
            raise InputError("nothing is marked yet: mark a passage as right or wrong first")
        with self._locked():
            held = io.BytesIO()
            with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in filter(Path.exists, (self.folder / name for name in FILES)):
                    archive.write(path, path.name)
        return held.getvalue()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        _refuse_file(self.folder)  # the lock makes the folder
        until = time.monotonic() + WAIT_SECONDS
        while True:
            lock = lock_folder(self.folder, LOCK_FILE)
            try:
                lock.__enter__()
            except FolderLockedError as error:
                if time.monotonic() >= until:
                    raise InputError(f"{self.folder} is being written by {error}: try again") from None
                time.sleep(PAUSE)
                continue
            try:
                yield
            finally:
                lock.__exit__(None, None, None)
            return

    def _read(self) -> _Marks:
        """Return what the files hold; they are read again where another process has written."""
        stamp = [_stamp(self.folder / name) for name in (MARKER, *FILES)]
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, _read_files(self.folder))
        return self._known[1]

    def _write(self, before: _Marks, after: _Marks) -> None:
        """Write all files: first what others refer to, with what was there before; at the end without it."""
        if not (self.folder / MARKER).exists():
            marker = {"made_by": "resift playground", "collection": self.collection}
            _write_text(self.folder / MARKER, json.dumps(marker) + "\n")
        documents, queries = before.documents | after.documents, before.queries | after.queries
        self._write_texts(documents, queries)
        runs = ({"qid": id, "docids": listed} for id, listed in after.candidates.items())
        _write_rows(self.folder / CANDIDATES, runs)
        _write_rows(self.folder / PAIRS, after.pairs())
        rows = (f"{query}\t{id}\t{grade}\n" for query, given in after.grades.items() for id, grade in given.items())
        _write_text(self.folder / QRELS, HEADER + "".join(rows))
        if len(documents) > len(after.documents) or len(queries) > len(after.queries):
            self._write_texts(after.documents, after.queries)

    def _write_texts(self, documents: Mapping[str, Mapping[str, Any]], queries: Mapping[str, str]) -> None:
        _write_rows(self.folder / CORPUS, documents.values())
        _write_rows(self.folder / QUERIES, ({"_id": id, "text": text} for id, text in queries.items()))


def stored_text(text: str) -> str:
    """Return a text as the files hold it, and as `resift eval` reads it back."""
    return replace_half_pairs(text).strip()


def query_id_of(text: str) -> str:
    """Return the id of a question: the same in every run."""
    return f"q-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _free_id(id: str, text: str, taken: Mapping[str, Any]) -> str:
    """Return an id for a text: the passage's own, unless it has another text now or can't stand in a file."""
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    safe = id if _SAFE_ID.fullmatch(id) and id.isascii() else fingerprint[:32]
    return safe if safe not in taken else f"{safe}-{fingerprint[:12]}"


def _read_files(folder: Path) -> _Marks:
    """Return what the files hold; of one that isn't there, as after a first writing that was cut short, nothing.

    Raises InputError wherever the next mark would replace what could not be read, or is somebody else's.
    """
    _refuse_file(folder)
    if not (folder / MARKER).exists():
        if foreign := [name for name in FILES if (folder / name).exists()]:
            raise InputError(
                f"{folder} has {', '.join(foreign)} which the playground didn't write, or its {MARKER} is gone, and it "
                "would replace them: give another folder with --judgements"
            )
        return _Marks()
    documents = {
        field_id(row, "_id", where): {**row, "text": field_text(row, "text", where)}
        for where, row in _rows(folder / CORPUS)
    }
    queries = {field_id(row, "_id", where): field_text(row, "text", where) for where, row in _rows(folder / QUERIES)}
    grades = read_qrels(folder / QRELS) if (folder / QRELS).exists() else {}
    judged = dict.fromkeys(id for given in grades.values() for id in given)
    lost = [
        (QUERIES, "questions", [id for id in grades if is_blank(queries.get(id, ""))]),
        (CORPUS, "documents", [id for id in judged if is_blank(documents.get(id, {}).get("text", ""))]),
    ]
    for name, what, ids in lost:
        if ids:
            raise InputError(
                f"{folder / QRELS} judges {len(ids)} {what} that have no text in {name}, such as {ids[0]!r}: "
                "the files belong together; give another folder with --judgements, or bring them back"
            )
    found: dict[str, list[str]] = {}
    for where, row in _rows(folder / CANDIDATES):
        listed = row.get("docids")
        if not isinstance(listed, list):
            raise InputError(f"{where}: docids is a list of document ids")
        found[field_id(row, "qid", where)] = [str(id) for id in listed]
    return _Marks(documents, queries, grades, found)


def _refuse_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder with --judgements")


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    return read_rows(path) if path.exists() else iter(())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    _write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _write_text(path: Path, text: str) -> None:
    write_whole(path, lambda part: part.write_text(replace_half_pairs(text), encoding="utf-8"))


def commands(folder: Path) -> dict[str, str]:
    """Return the command lines that read the folder."""
    where, run, pairs = (shlex.quote(str(path)) for path in (folder, folder / CANDIDATES, folder / PAIRS))
    return {
        "eval": f"resift eval {where} --first-stage {run}",
        "train": f"resift train my-reranker --pairs {pairs}",
    }
