"""Files of columns: judgements (qrels) and runs, as TREC and BEIR write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from resift._util.jsonl import checked_id, read_lines
from resift.errors import InputError

_BLANKS = re.compile(r"[ \t\r\n\f\v]+")  # not those of Unicode, which an id may have
_GRADE = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?")
GRADE_NAMES = frozenset(
    ("score", "scores", "grade", "label", "rel", "relevance", "relevancy", "rating", "judgment", "judgement", "qrel")
)
"""What the last column of a header is called."""


def read_columns(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield `FILE:NUMBER` and the columns of each line that is not blank.

    A line that has tabs is divided at these alone, as in BEIR, so that ids may have blanks and stand in quotes; any
    other at its blanks, as TREC's tools do it. Raises InputError for a file that can't be read.
    """
    for where, line in read_lines(path):
        text = line.rstrip("\r\n")
        if "\t" not in text.strip():
            yield where, _BLANKS.split(text.strip(" \t\r\n\f\v"))
        elif '"' in text:
            yield where, next(csv.reader([text], delimiter="\t"))
        else:
            yield where, text.split("\t")


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Read judgements: query id → document id → grade.

    Args:
        path: Three columns (query, document, grade: BEIR's) or four (query, iteration, document, grade: TREC's). A
            first line whose last column is called score, grade, relevance or the like is a header.

    Returns:
        The judgements.

    Raises:
        InputError: With file and line: other columns, or another number of them than the lines before; a grade that is
            no whole number; an empty id; a document that is judged again, with another grade.
    """
    qrels: dict[str, dict[str, int]] = {}
    count = 0
    for index, (where, columns) in enumerate(read_columns(path)):
        last = columns[-1].strip()
        is_header = index == 0 and len(columns) in (3, 4) and last.lower() in GRADE_NAMES
        if is_header:
            continue
        if len(columns) not in (3, 4) or not _GRADE.fullmatch(last):
            line = " ".join(columns)
            raise InputError(
                f"{where}: judgements are (query document grade) or (query 0 document grade), with a whole number as "
                f"grade: {line[:60]!r}"
            )
        if count not in (0, len(columns)):
            raise InputError(
                f"{where}: {len(columns)} columns, where the lines before have {count}; ids with blanks need tabs "
                "between the columns"
            )
        count = len(columns)
        query, document = checked_id(columns[0], "the query", where), checked_id(columns[-2], "the document", where)
        grade = int(last.partition(".")[0])
        grades = qrels.setdefault(query, {})
        if grades.get(document, grade) != grade:
            raise InputError(
                f"{where}: query {query!r} has {document!r} again, with grade {grade} instead of {grades[document]}"
            )
        grades[document] = grade
    return qrels
