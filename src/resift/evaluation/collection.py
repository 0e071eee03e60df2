"""Judged collections in BEIR's layout: `corpus.jsonl`, `queries.jsonl`, `qrels*.tsv`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resift._util.columns import read_qrels
from resift._util.jsonl import field_id, field_text, read_rows
from resift.errors import InputError
from resift.evaluation.notes import counted, tell

LEFT_OUT = "and are left out"

Run = Mapping[str, Sequence[str]]
"""query id → document ids, best first."""
Qrels = Mapping[str, Mapping[str, int]]
"""query id → document id → grade; above 0 is relevant."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, queries and judgements. Every query has at least one relevant document."""

    name: str
    documents: Mapping[str, str]
    """document id → text; "" for an empty row."""
    queries: Mapping[str, str]
    """query id → text."""
    qrels: Qrels
    notes: Sequence[str] = ()
    """What was left out when it was read, or counts otherwise than it may seem."""

    def judged(self) -> Run:
        """Return the judged documents of each query, sorted by id: candidates in an order that means nothing."""
        return {query: [id for id in sorted(self.qrels[query]) if id in self.documents] for query in self.queries}


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """A row of a `corpus.jsonl`."""

    where: str
    """FILE:NUMBER."""
    id: str
    title: str
    text: str

    @property
    def passage(self) -> str:
        """Title and text, with a blank between them; "" for an empty row."""
        return f"{self.title} {self.text}".strip()


def read_collection(folder: Path, qrels: Path | None = None) -> Collection:
    """Read a judged collection in BEIR's layout.

    Queries without a relevant document are left out: no order of their candidates is better than another. Published
    collections have faults, and are read as the field's tools read them; a line of the log and `Collection.notes`
    say so: a document without text stays, with an empty text; a judged query without text, or that is missing, is left
    out; a judged document that is missing counts for the best order there could be; a row that comes again is left out.

    Args:
        folder: Holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and a file of
            judgements, `qrels.tsv`, `qrels*.tsv` or `qrels/*.tsv`, of three columns (BEIR) or four (TREC).
        qrels: The file of judgements, where there are several. BEIR's own choice, `qrels/test.tsv`, needs no naming.

    Returns:
        The collection, named after the folder. A document's text is its title and its text.

    Raises:
        InputError: A file is missing, or something in it is wrong: a line that is no JSON object, a field that is no
            text, an id that comes again with another text, columns that are no judgement, bytes that are not UTF-8;
            names file and line. Or none of the judged queries, or of the relevant documents, is there.
    """
    documents, notes = _read_documents(_existing(folder / "corpus.jsonl"))
    queries, repeated = _read_texts(_existing(folder / "queries.jsonl"))
    notes += repeated
    file, others = (qrels, 0) if qrels is not None else _qrels_file(folder)
    if others:
        notes.append(f"judged by {file.relative_to(folder)}, as in BEIR, out of {others + 1} files")
    judged = read_qrels(_existing(file))
    relevant = {query: grades for query, grades in judged.items() if any(grade > 0 for grade in grades.values())}
    if not relevant:
        raise InputError(f"{folder}: no query has a relevant document: there is nothing to measure")
    notes += _check_queries(relevant, queries, file)
    measured = {id: relevant[id] for id, text in queries.items() if text and id in relevant}
    notes += _check_documents(measured, documents, file)
    tell(folder.name, notes)
    return Collection(folder.name, documents, {id: queries[id] for id in measured}, measured, tuple(notes))


def read_corpus_rows(file: Path) -> Iterator[CorpusRow]:
    """Yield the rows of a `corpus.jsonl`, plain or gzipped. Raises InputError, naming file and line."""
    for where, row in read_rows(file):
        id = field_id(row, "_id", where)
        if "text" not in row and "title" not in row:
            raise InputError(f"{where}: neither text nor title (there is: {', '.join(map(repr, row))})")
        yield CorpusRow(where, id, field_text(row, "title", where), field_text(row, "text", where))


def _read_documents(file: Path) -> tuple[dict[str, str], list[str]]:
    documents: dict[str, str] = {}
    repeated, first_empty = [], ""
    for row in read_corpus_rows(file):
        if not _add(documents, row.id, row.passage, row.where):
            repeated.append(row.id)
        if not row.passage and not first_empty:
            first_empty = f"{row.where}: {row.id!r} has no text, and no other document has one"
    if not any(documents.values()):
        raise InputError(first_empty or f"{file}: there is no document")
    notes = _repeats(repeated, file)
    if empty := [id for id, text in documents.items() if not text]:
        notes.append(counted(empty, "documents have no text", "and count with an empty one", of=len(documents)))
    return documents, notes


def _read_texts(file: Path) -> tuple[dict[str, str], list[str]]:
    queries: dict[str, str] = {}
    repeated = []
    for where, row in read_rows(file):
        id = field_id(row, "_id", where)
        if "text" not in row:
            raise InputError(f"{where}: no text (there is: {', '.join(map(repr, row))})")
        if not _add(queries, id, field_text(row, "text", where), where):
            repeated.append(id)
    return queries, _repeats(repeated, file)


def _add(table: dict[str, str], id: str, text: str, where: str) -> bool:
    """Add a row; return whether it is new. Raises InputError where its id has another text."""
    if id not in table:
        table[id] = text
        return True
    if table[id] != text:
        raise InputError(f"{where}: id {id!r} comes twice, with another text")
    return False


def _repeats(ids: Sequence[str], file: Path) -> list[str]:
    return [counted(ids, f"rows of {file.name} come again", LEFT_OUT)] if ids else []


def _check_queries(relevant: Qrels, queries: Mapping[str, str], file: Path) -> list[str]:
    """Return notes on judged queries that can't be asked. Raises InputError where none can."""
    missing = [query for query in relevant if query not in queries]
    empty = [query for query in relevant if queries.get(query) == ""]
    if len(missing) + len(empty) == len(relevant):
        problem = "are not in queries.jsonl" if missing else "have no text"
        raise InputError(f"{file}: {counted(missing or empty, f'judged queries {problem}', 'and there is no other')}")
    notes = []
    if missing:
        notes.append(counted(missing, "judged queries are not in queries.jsonl", LEFT_OUT, of=len(relevant)))
    if empty:
        notes.append(counted(empty, "judged queries have no text", LEFT_OUT, of=len(relevant)))
    return notes


def _check_documents(measured: Qrels, documents: Mapping[str, str], file: Path) -> list[str]:
    """Return a note on judged documents that are missing. Raises InputError where no relevant one is there."""
    relevant = [id for grades in measured.values() for id, grade in grades.items() if grade > 0]
    if not any(id in documents for id in relevant):
        raise InputError(
            f"{file}: none of its {len(set(relevant))} relevant documents, such as {relevant[0]!r}, is in corpus.jsonl "
            f"(ids such as {next(iter(documents))!r}); the columns are query, document, grade, with tabs between them "
            "where ids have blanks"
        )
    judged = dict.fromkeys(id for grades in measured.values() for id in grades)
    missing = [id for id in judged if id not in documents]
    what = "judged documents are not in corpus.jsonl"
    return [counted(missing, what, "and can't be found", of=len(judged))] if missing else []


def _qrels_file(folder: Path) -> tuple[Path, int]:
    """Return the file of judgements, and how many others there are. Raises InputError where the choice isn't clear."""
    files = sorted([*folder.glob("qrels*.tsv"), *folder.glob("qrels/*.tsv")])
    for name in ("qrels.tsv", "qrels/test.tsv"):  # the second is what BEIR takes
        if folder / name in files:
            return folder / name, 0 if name == "qrels.tsv" else len(files) - 1
    if len(files) == 1:
        return files[0], 0
    names = ", ".join(str(file.relative_to(folder)) for file in files) or "none"
    raise InputError(f"{folder}: one file of judgements is needed (there is: {names}); say which with qrels=")


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path.parent} has no {path.name}: a collection is corpus.jsonl, queries.jsonl, qrels.tsv")
    return path
