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
    """Documents, queries and judgements. Every query has at least one relevant document."""

    name: str
    documents: Mapping[str, str]
    """document id → text."""
    queries: Mapping[str, str]
    """query id → text."""
    qrels: Qrels

    def judged(self) -> Run:
        """Return the judged documents of each query, sorted by id: candidates in an order that means nothing."""
        return {query: [id for id in sorted(self.qrels[query]) if id in self.documents] for query in self.queries}


def read_collection(folder: Path, qrels: Path | None = None) -> Collection:
    """Read a judged collection in BEIR's layout.

    Queries without a relevant document are left out: no order of their candidates is better than another.

    Args:
        folder: Holds `corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and a file of
            judgements, `qrels.tsv`, `qrels*.tsv` or `qrels/*.tsv`, of three columns (BEIR) or four (TREC).
        qrels: The file of judgements, where there are several.

    Returns:
        The collection, named after the folder. A document's text is its title and its text.

    Raises:
        InputError: A file is missing, or something in it is wrong: a line that is no JSON object, an id that comes
            twice, an empty text, a judged query that is unknown, bytes that are not UTF-8. Names file and line.
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
    """Read a first stage's results from a file.

    Args:
        path: TREC's six columns (query Q0 document rank score tag), of which the rank gives the order; or, in a
            `.jsonl` file, rows with `qid` and `docids`, best first.
        collection: What the ids are checked against. Queries that it doesn't have are left out.

    Returns:
        query id → document ids, best first.

    Raises:
        InputError: A line is of neither form, a document is unknown or comes twice for a query, or none of the
            queries is in the collection.
    """
    run = _read_jsonl_run(path) if path.suffix == ".jsonl" else _read_trec_run(path)
    return check_run(run, collection, str(path))


def check_run(run: Run, collection: Collection, where: str) -> Run:
    """Return the run's lists for queries of the collection. Raises InputError, which begins with `where`."""
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
            raise InputError(f"{where}: query {query} lists {twice!r} twice: which rank counts?")
    return known


def _read_jsonl_run(path: Path) -> dict[str, list[str]]:
    run = {}
    for where, row in _rows(path):
        if "qid" not in row or not isinstance(row.get("docids"), list):
            raise InputError(f"{where}: a row of a run has qid and docids, a list of document ids")
        run[str(row["qid"])] = [str(id) for id in row["docids"]]
    return run


def _read_trec_run(path: Path) -> dict[str, list[str]]:
    ranked: dict[str, list[tuple[float, str]]] = {}
    for where, line in _lines(path):
        try:
            query, _, document, rank, _, _ = line.split()
            ranked.setdefault(query, []).append((float(rank), document))
        except ValueError:
            raise InputError(
                f"{where}: a TREC run has six columns (query Q0 document rank score tag): {line[:60]!r}"
            ) from None
    return {query: [document for _, document in sorted(listed)] for query, listed in ranked.items()}


def _qrels_file(folder: Path) -> Path:
    files = sorted([*folder.glob("qrels*.tsv"), *folder.glob("qrels/*.tsv")])
    if folder / "qrels.tsv" in files:
        return folder / "qrels.tsv"
    if len(files) == 1:
        return files[0]
    names = ", ".join(str(file.relative_to(folder)) for file in files) or "none"
    raise InputError(f"{folder}: one file of judgements is needed (there is: {names}); say which with qrels=")


def _read_qrels(path: Path, queries: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Read judgements. Those of documents that the collection lacks count, too: for the best order there could be."""
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
    _check_exists(path)
    return read_rows(path)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    _check_exists(path)
    return read_lines(path)


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path.parent} has no {path.name}: a collection is corpus.jsonl, queries.jsonl, qrels.tsv")
