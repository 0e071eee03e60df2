"""Runs: the candidates of each query, from a file or given, in the order that trec_eval sees in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from resift._util.columns import read_columns
from resift._util.jsonl import checked_id, field_id, json_kind, read_rows
from resift.errors import InputError
from resift.evaluation.collection import Collection, Run
from resift.evaluation.notes import counted, tell

JSONL = (".jsonl", ".jsonl.gz")


def read_run(path: Path, collection: Collection) -> Run:
    """Read a first stage's results from a file.

    Args:
        path: TREC's six columns (query Q0 document rank score tag). The score gives the order, as in trec_eval: ranks
            are ignored (BEIR writes 0 for all), and of equal scores the greater id comes first. Or, in a `.jsonl` file,
            rows with `qid` and `docids`, best first. Plain or gzipped.
        collection: What the ids are checked against. Queries that it doesn't have are left out.

    Returns:
        query id → document ids, best first.

    Raises:
        InputError: With file and line: a line of neither form, a score that is no number, a query that comes twice. Or
            a document is unknown or comes twice for a query, or none of the queries is in the collection.
    """
    run = _read_jsonl_run(path) if path.name.endswith(JSONL) else _read_trec_run(path)
    return check_run(run, collection, str(path))


def check_run(run: Run, collection: Collection, where: str) -> dict[str, Sequence[str]]:
    """Return the lists of the collection's queries, best first. Raises InputError, which begins with `where`."""
    if not isinstance(run, Mapping):
        raise InputError(f"{where}: a run is a mapping from query ids to document ids, not a {type(run).__name__}")
    known = {query: as_order(listed, query) for query, listed in run.items() if query in collection.queries}
    if not known:
        example = f" (such as {next(iter(run))!r})" if run else ""
        raise InputError(f"{where}: none of its queries is in {collection.name}{example}")
    for query, listed in known.items():
        unknown = [id for id in listed if not isinstance(id, str) or id not in collection.documents]
        if unknown:
            raise InputError(
                f"{where}: query {query} lists {len(unknown)} unknown documents, such as {unknown[0]!r}; "
                f"ids must be the _id of documents in {collection.name}"
            )
        if len(set(listed)) < len(listed):
            seen: set[str] = set()
            twice = next(id for id in listed if id in seen or seen.add(id))  # type: ignore[func-returns-value]  # None, so it goes on
            raise InputError(f"{where}: query {query} lists {twice!r} twice: which rank counts?")
    return known


def as_order(listed: Any, query: str) -> Sequence[str]:
    """Return the documents of a query, best first, of a list, or of a mapping to scores as pytrec_eval has it.

    Raises InputError for anything else.

    >>> as_order({"a": 0.1, "b": 0.9}, "q"), as_order(["a", "b"], "q")
    (['b', 'a'], ['a', 'b'])
    """
    if isinstance(listed, Mapping):
        try:
            return by_score({id: float(score) for id, score in listed.items()})
        except (TypeError, ValueError) as error:
            raise InputError(f"query {query}: a score is a number: {error}") from None
    if isinstance(listed, str | bytes) or not isinstance(listed, Sequence | np.ndarray):
        raise InputError(
            f"query {query}: a run has a list of document ids for each query, not a {type(listed).__name__}"
        )
    return listed  # type: ignore[return-value]  # an array of ids serves as well


def by_score(scores: Mapping[str, float]) -> list[str]:
    """Return ids in trec_eval's order: by score, as float32, and the greater id first of those that are equal.

    Raises ValueError for a score that is not a number (NaN).

    >>> by_score({"a": 1.0, "b": 1.0 + 1e-12, "c": 2.0})
    ['c', 'b', 'a']
    """
    if any(math.isnan(score) for score in scores.values()):
        raise ValueError("NaN is none")
    with np.errstate(over="ignore"):  # beyond float32 is infinite, for trec_eval too
        rounded = {id: float(np.float32(score)) for id, score in scores.items()}
    return sorted(rounded, key=lambda document: (rounded[document], document), reverse=True)


def _read_jsonl_run(path: Path) -> dict[str, list[str]]:
    run: dict[str, list[str]] = {}
    for where, row in read_rows(path):
        if "qid" not in row or "docids" not in row:
            names = ", ".join(map(repr, row)) or "nothing"
            raise InputError(f"{where}: a row of a run has qid and docids, a list of document ids (there is: {names})")
        query = field_id(row, "qid", where)
        if not isinstance(row["docids"], list):
            raise InputError(
                f"{where}: a row of a run has qid and docids, a list of document ids, not {json_kind(row['docids'])}"
            )
        if query in run:
            raise InputError(f"{where}: query {query!r} comes twice")
        run[query] = [checked_id(id, "an id in docids", where) for id in row["docids"]]
    return run


def _read_trec_run(path: Path) -> dict[str, list[str]]:
    scores: dict[str, dict[str, float]] = {}
    ranks: dict[str, dict[str, float]] = {}
    for where, columns in read_columns(path):
        form = f"{where}: a TREC run has six columns (query Q0 document rank score tag)"
        line = " ".join(columns)[:60]
        if len(columns) != 6:
            raise InputError(
                f"{form}, this line {len(columns)}: {line!r}; ids with blanks need tabs between the columns"
            )
        rank, score = _number(columns[3]), _number(columns[4])
        if rank is None or score is None:
            name, wrong = ("rank", columns[3]) if rank is None else ("score", columns[4])
            raise InputError(f"{form}: {line!r}, where {wrong!r} is no {name}")
        query, document = checked_id(columns[0], "the query", where), checked_id(columns[2], "the document", where)
        listed = scores.setdefault(query, {})
        if document in listed:
            raise InputError(f"{where}: query {query} lists {document!r} twice: which score counts?")
        listed[document] = score
        ranks.setdefault(query, {})[document] = rank
    contrary = [query for query, listed in scores.items() if _contradict(listed, ranks[query])]
    if contrary:
        what, then = "queries have ranks that contradict their scores", "and the scores count, as in trec_eval"
        tell(str(path), [counted(contrary, what, then, of=len(scores))])
    return {query: by_score(listed) for query, listed in scores.items()}


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) or "_" in text else number


def _contradict(scores: Mapping[str, float], ranks: Mapping[str, float]) -> bool:
    """Return whether ranks say another order than scores: a higher score has a later rank, or all are equal."""
    if len(set(ranks.values())) < len(ranks) or len(ranks) < 2:
        return False  # no order: BEIR writes 0 for all
    in_order = [scores[id] for id in sorted(ranks, key=ranks.__getitem__)]
    return len(set(in_order)) == 1 or any(later > earlier for earlier, later in pairwise(in_order))
