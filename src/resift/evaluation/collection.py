"""Judged collections in BEIR's layout (`corpus.jsonl`, `queries.jsonl`, `qrels*.tsv`), and runs over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resift._util.jsonl import read_lines, read_rows
from resift.errors import InputError

Run = Mapping[str, Sequence[str]]
"""query id → document ids, best first."""
Qrels = Mapping[str, Mapping[str, int]]
"""query id → document id → grade; above 0 is relevant."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, queries and judgements. Every query here has at least one relevant document."""

    name: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Qrels

    def judged(self) -> Run:
        """The judged documents of each query, by id: candidates without an order that means anything."""
        return {query: [id for id in sorted(self.qrels[query]) if id in self.documents] for query in self.queries}


def read_collection(folder: Path, qrels: Path | None = None) -> Collection:
    """The collection in a folder. `qrels` names the judgements where there are several files of them.

    A document's text is its title and its text. Queries without a relevant document are left out: no order of
    theirs is better than another. Raises InputError, naming file and line, for what is missing or wrong: files,
    ids judged but unknown, an id twice, a text that is empty, bytes that are not UTF-8.
    """
    documents: dict[str, str] = {}
    for where, row in _rows(folder / "corpus.jsonl"):
        text = " ".join(part for part in (row.get("title") or "", row.get("text") or "") if part).strip()
        _add(documents, row, text, where)
    queries: dict[str, str] = {}
    for where, row in _rows(folder / "queries.jsonl"):
        _add(queries, row, str(row.get("text") or "").strip(), where)
    judged = _read_qrels(qrels or _qrels_file(folder), queries)
    relevant = {query: grades for query, grades in judged.items() if any(grade > 0 for grade in grades.values())}
    if not relevant:
        raise InputError(f"{folder}: no query has a relevant document: there is nothing to measure")
    return Collection(folder.name, documents, {id: queries[id] for id in queries if id in relevant}, relevant)


def read_run(path: Path, collection: Collection) -> Run:
    """A given first stage: TREC's six columns, or jsonl with `qid` and `docids`.

    Raises InputError for a document that the collection doesn't have, or when no query of it is there.
    """
    run: dict[str, list[str]] = {}
    if path.suffix == ".jsonl":
        for _, row in _rows(path):
            run[str(row["qid"])] = [str(id) for id in row["docids"]]
    else:
        ranked: dict[str, list[tuple[float, str]]] = {}
        for where, line in _lines(path):
            columns = line.split()
            if len(columns) != 6:
                raise InputError(
                    f"{where}: a TREC run has six columns (query Q0 document rank score tag): {line[:60]!r}"
                )
            ranked.setdefault(columns[0], []).append((float(columns[3]), columns[2]))
        run = {query: [id for _, id in sorted(listed)] for query, listed in ranked.items()}
    return check_run(run, collection, str(path))


def check_run(run: Run, collection: Collection, where: str) -> Run:
    """The run's lists for queries of the collection. Raises InputError, which begins with `where`, as `read_run`."""
    known = {query: listed for query, listed in run.items() if query in collection.queries}
    if not known:
        raise InputError(f"{where}: none of its queries is in {collection.name}")
    for query, listed in known.items():
        unknown = [id for id in listed if id not in collection.documents]
        if unknown:
            raise InputError(
                f"{where}: query {query} lists {len(unknown)} unknown documents, such as {unknown[0]!r}; "
                f"ids must be the _id of documents in {collection.name}"
            )
        if len(set(listed)) < len(listed):
            twice = next(id for id in listed if listed.count(id) > 1)
            raise InputError(f"{where}: query {query} lists {twice!r} twice: which of its places counts?")
    return known


def _qrels_file(folder: Path) -> Path:
    found = sorted([*folder.glob("qrels*.tsv"), *folder.glob("qrels/*.tsv")])
    if len(found) == 1 or folder / "qrels.tsv" in found:
        return folder / "qrels.tsv" if folder / "qrels.tsv" in found else found[0]
    names = ", ".join(str(file.relative_to(folder)) for file in found) or "none"
    raise InputError(f"{folder}: one file of judgements is needed (there is: {names}); say which with qrels=")


def _read_qrels(path: Path, queries: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Three columns (BEIR) or four (TREC). Judgements of documents that are not here still count for the ideal."""
    qrels: dict[str, dict[str, int]] = {}
    for where, line in _lines(path):
        columns = line.split()
        if columns[-1] == "score":
            continue  # BEIR's header
        if len(columns) not in (3, 4) or not columns[-1].lstrip("-").isdigit():
            raise InputError(
                f"{where}: judgements are (query document grade) or (query 0 document grade): {line[:60]!r}"
            )
        qrels.setdefault(columns[0], {})[columns[-2]] = int(columns[-1])
    unknown = [query for query in qrels if query not in queries]
    if unknown:
        raise InputError(f"{path}: {len(unknown)} judged queries are not in queries.jsonl, such as {unknown[0]!r}")
    return qrels


def _add(table: dict[str, str], row: Mapping[str, Any], text: str, where: str) -> None:
    if "_id" not in row:
        raise InputError(f"{where}: no _id")
    id = str(row["_id"])
    if id in table:
        raise InputError(f"{where}: id {id!r} comes twice")
    if not text:
        raise InputError(f"{where}: {id!r} has no text")
    table[id] = text


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    _check_there(path)
    return read_rows(path)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    _check_there(path)
    return read_lines(path)


def _check_there(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path.parent} has no {path.name}: a collection is corpus.jsonl, queries.jsonl, qrels.tsv")
