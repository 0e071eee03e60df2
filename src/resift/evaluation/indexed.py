"""An indexed collection as what is measured: its passages by id, and questions whose answers are named by path."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resift._util.arguments import is_blank
from resift._util.jsonl import field_text, json_kind, read_lines, read_rows
from resift.errors import InputError
from resift.evaluation.collection import Collection
from resift.evaluation.notes import counted, tell

if TYPE_CHECKING:
    import chromadb

RECORDS_PER_PAGE = 2000  # read at once
JSON_LINES = (".jsonl", ".jsonl.gz")
QUERY_FIELDS = ("query", "question", "text")
HEADINGS = 200
"""Headings that become questions, at most."""
HEADING_WORDS = 2  # fewer ask for nothing: "Usage"
WEAKER = (
    "the questions are headings, which their own passages were written under: weaker evidence than questions of users"
)


@dataclass(frozen=True, slots=True)
class IndexedPassages:
    """The passages of a Chroma collection, in memory: those of `resift index`, or of somebody else."""

    name: str
    texts: Mapping[str, str]
    """id → text."""
    metadata: Mapping[str, Mapping[str, Any]]
    """id → metadata: `path`, `section` and `title`, where they are there."""

    @classmethod
    def read(cls, collection: chromadb.Collection) -> IndexedPassages:
        """Read all passages. Raises InputError where none has a text, or Chroma can't be read."""
        from resift.search.chroma import get_count, get_records  # here: judged folders need no Chroma

        texts: dict[str, str] = {}
        metadata: dict[str, Mapping[str, Any]] = {}
        for offset in range(0, get_count(collection), RECORDS_PER_PAGE):
            page = get_records(collection, limit=RECORDS_PER_PAGE, offset=offset, include=["documents", "metadatas"])
            for id, text, about in zip(page["ids"], page["documents"] or (), page["metadatas"] or (), strict=True):
                texts[id], metadata[id] = text or "", about or {}
        if all(map(is_blank, texts.values())):
            raise InputError(f"collection {collection.name!r} holds no text: there is nothing to measure")
        return cls(collection.name, texts, metadata)

    def body(self, id: str) -> str:
        """Return a passage's text without the line of title and headings that `resift index` puts first."""
        about, text = self.metadata[id], self.texts[id]
        line, gap, rest = text.partition("\n\n")
        last = str(about.get("section", "")).split(" > ")[-1] or str(about.get("title", ""))
        shown = line.split(" > ")[-1]
        is_heading = shown == last or (shown.endswith("…") and last.startswith(shown[:-1]))
        return rest if gap and last and is_heading else text

    def find(self, answer: str) -> list[str]:
        """Return the ids of the passages that `answer` names: a path, `path#heading`, or words that stand in them.

        Raises InputError, which says what there is instead, where it names none.
        """
        path, mark, heading = answer.partition("#")
        of_path = self._of_path(answer) or (self._of_path(path) if mark else [])
        if of_path and (not mark or self._of_path(answer)):
            return of_path
        if of_path:
            found = [id for id in of_path if _slug(heading) in self._headings(id)]
            if found:
                return found
            known = dict.fromkeys(slug for id in of_path for slug in self._headings(id))
            close = difflib.get_close_matches(_slug(heading), known, n=1) or [*known][:3]
            near = f"; it has {', '.join(f'#{slug}' for slug in close)}" if close else "; it has no headings"
            raise InputError(f"{path} has no heading {heading!r}{near}")
        words = _plain(answer)
        found = [id for id, text in self.texts.items() if words and words in _plain(text)]
        if not found:
            raise InputError(
                f"{answer!r} names no passage of {self.name}: it is no path{self._near(path)}, no path#heading, and "
                "these words don't stand in a passage"
            )
        return found

    def _of_path(self, path: str) -> list[str]:
        return [id for id, about in self.metadata.items() if path and about.get("path") == path]

    def _headings(self, id: str) -> set[str]:
        about = self.metadata[id]
        names = [str(about.get("title", "")), *str(about.get("section", "")).split(" > ")]
        return {slug for name in names if (slug := _slug(name))}

    def _near(self, path: str) -> str:
        known = {str(about["path"]) for about in self.metadata.values() if "path" in about}
        close = difflib.get_close_matches(path, known, n=1) or sorted(known)[:1]
        return f" (there is {close[0]})" if close else " (no passage has one)"


def read_answers(file: Path, passages: IndexedPassages) -> Collection:
    """Read questions and what answers them.

    Args:
        file: A line is a JSON object with `query` (or `question`) and `relevant`: a text or a list of texts, each a
            path (all passages of the file), `path#heading`, or a sentence that stands in the passage; or an object
            with `path` and `text`, where both must hold, and `grade`.
        passages: What they are looked for in.

    Returns:
        The passages and the judged questions, for `evaluate`.

    Raises:
        InputError: With file and line: no question, no answer, or an answer that no passage is.
    """
    if not file.name.endswith(JSON_LINES):
        _check_is_json(file)
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    ids: dict[str, str] = {}
    for where, row in read_rows(file):
        question = _question(row, where)
        if "relevant" not in row:
            raise InputError(
                f"{where}: no `relevant`: say which path, path#heading or sentence answers, or use --judge"
            )
        listed = row["relevant"] if isinstance(row["relevant"], list) else [row["relevant"]]
        if not listed:
            raise InputError(f"{where}: `relevant` is empty: no order is better than another for this question")
        id = ids.setdefault(question, f"{len(ids) + 1}")
        queries[id] = question
        grades = qrels.setdefault(id, {})
        for answer in listed:
            try:
                found, grade = _answer(answer, passages)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
            for passage in found:
                grades[passage] = max(grade, grades.get(passage, 0))
    if not queries:
        raise InputError(f"{file} holds no question")
    return Collection(passages.name, passages.texts, queries, qrels)


def read_questions(file: Path, passages: IndexedPassages) -> Collection:
    """Read questions alone, for a judge: a line each, or JSON objects with `query` in a `.jsonl` file.

    Equal questions are asked once. Raises InputError, with file and line.
    """
    if file.name.endswith(JSON_LINES):
        asked = [_question(row, where) for where, row in read_rows(file)]
    else:
        asked = [line.strip() for _, line in read_lines(file)]
    unique = list(dict.fromkeys(question for question in asked if not is_blank(question)))
    if not unique:
        raise InputError(f"{file} holds no question")
    queries = {f"{number}": question for number, question in enumerate(unique, 1)}
    return Collection(passages.name, passages.texts, queries, {query: {} for query in queries})


def heading_questions(passages: IndexedPassages, *, limit: int = HEADINGS, seed: int = 7) -> Collection:
    """Make questions of headings: each asks for the passages under it, whose texts don't show it.

    Headings that come in several places, and those of one word, are left out. It is weaker evidence than questions of
    users: a note says so.

    Args:
        passages: Those of a collection that `resift index` made, with `path` and `section`.
        limit: How many headings, at most, drawn by `seed`.
        seed: Of the draw.

    Raises:
        InputError: There is no heading that could be a question.
    """
    places: dict[str, dict[tuple[str, str], list[str]]] = {}
    for id, about in passages.metadata.items():
        path, section = str(about.get("path", "")), str(about.get("section", "") or about.get("title", ""))
        heading = section.split(" > ")[-1].strip()
        if path and len(heading.split()) >= HEADING_WORDS and not is_blank(passages.body(id)):
            places.setdefault(heading, {}).setdefault((path, section), []).append(id)
    once = sorted(heading for heading, found in places.items() if len(found) == 1)
    if not once:
        raise InputError(
            f"{passages.name} has no heading of {HEADING_WORDS} words or more that comes once: give --questions"
        )
    draw = random.Random(seed)  # noqa: S311 - a choice of examples, nothing secret
    chosen = sorted(draw.sample(once, min(limit, len(once))))
    queries = {f"{number}": heading for number, heading in enumerate(chosen, 1)}
    qrels = {id: dict.fromkeys(next(iter(places[heading].values())), 1) for id, heading in queries.items()}
    notes = [WEAKER]
    if repeated := [heading for heading, found in places.items() if len(found) > 1]:
        notes.append(counted(repeated, "headings come in several places", "and are left out", of=len(places)))
    tell(passages.name, notes)
    return Collection(passages.name, {id: passages.body(id) for id in passages.texts}, queries, qrels, tuple(notes))


def _check_is_json(file: Path) -> None:
    where, first = next(read_lines(file), ("", "{"))
    if not first.lstrip().startswith(("{", "[")):
        raise InputError(
            f"{where}: this is no JSON object with query and relevant; questions alone, one a line, need an "
            "LLM that judges: --judge MODEL"
        )


def _question(row: Mapping[str, Any], where: str) -> str:
    name = next((name for name in QUERY_FIELDS if name in row), None)
    if name is None:
        raise InputError(f"{where}: no query (there is: {', '.join(map(repr, row)) or 'nothing'})")
    question = field_text(row, name, where)
    if is_blank(question):
        raise InputError(f"{where}: {name} is empty")
    return question


def _answer(answer: object, passages: IndexedPassages) -> tuple[Iterable[str], int]:
    if isinstance(answer, str):
        return passages.find(answer), 1
    if not isinstance(answer, dict) or not {"path", "text"} & answer.keys():
        kind = json_kind(answer)
        raise InputError(f"`relevant` holds {kind}: it takes a path, path#heading, a sentence, or an object with path")
    grade = answer.get("grade", 1)
    if isinstance(grade, bool) or not isinstance(grade, int) or grade < 1:
        raise InputError(f"grade is a whole number from 1, not {grade!r}")
    parts = [str(answer[name]) for name in ("path", "text") if answer.get(name)]
    found = [passages.find(part) for part in parts]
    common = [id for id in found[0] if all(id in others for others in found[1:])] if found else []
    if not common:
        what = f"no passage of {parts[0]!r} holds the words {parts[1]!r}" if parts else "path and text are empty"
        raise InputError(what)
    return common, grade


def _plain(text: str) -> str:
    """Return a text in small letters with single blanks, and without the marks of Markdown that rendering drops."""
    return " ".join(re.sub(r"[*_`]+", "", text).casefold().split())


def _slug(heading: str) -> str:
    """Return a heading as links to it are written.

    >>> _slug("How do I set a `threshold`?")
    'how-do-i-set-a-threshold'
    """
    return re.sub(r"[^\w\- ]", "", heading.strip().casefold()).replace(" ", "-")
