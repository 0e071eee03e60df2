"""From rows of a block to their scores: each query once, each of its texts once, every odd row a defined outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from resift.bulk.job import OnBadRow, Tally
from resift.errors import InputError
from resift.scorer import Request, Scorer, Scores, check_scores, score_many

Cell = float | list[float] | None
"""A score, the scores of a row's list of documents, or null."""


class InputRow(NamedTuple):
    """What is read of a row. `document` is a text or a list of texts, unless something is wrong with it."""

    where: str
    """`FILE:NUMBER`, for whoever has to complain about it."""
    query: Any
    document: Any

    @property
    def texts(self) -> list[str]:
        """Its documents, one or many."""
        return [self.document] if isinstance(self.document, str) else self.document

    def problem(self) -> str | None:
        """Why it can't be scored, or None. An empty document can: it is a bad answer, not none."""
        if isinstance(self.query, str) and not self.query.strip():
            return f"{self.where}: the query is empty"
        if not _is_text(self.query):
            return f"{self.where}: the query is {_what(self.query)}"
        if not isinstance(self.document, list):
            return None if _is_text(self.document) else f"{self.where}: the document is {_what(self.document)}"
        odd = [place for place, text in enumerate(self.document) if not _is_text(text)]
        return f"{self.where}: document {odd[0]} of the list is {_what(self.document[odd[0]])}" if odd else None


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The new cells of a block, one per row and in their order; `relevance` is None where the scale has none."""

    scores: list[Cell]
    relevance: list[Cell] | None
    tally: Tally


def score_rows(scorer: Scorer, rows: Sequence[InputRow], on_bad_row: OnBadRow) -> ScoredRows:
    """Scores the rows. Raises InputError, naming the row, for one that can't be scored, unless those become null."""
    wanted: dict[str, dict[str, int]] = {}
    for row in rows:
        if problem := row.problem():
            if on_bad_row == "stop":
                raise InputError(problem)
            continue
        slots = wanted.setdefault(row.query, {})
        for text in row.texts:
            slots.setdefault(text, len(slots))
    requests = [Request(query, list(slots)) for query, slots in wanted.items() if slots]
    answers = dict(zip((request.query for request in requests), _answers(scorer, requests), strict=True))
    found = [_cells(row, answers, wanted, on_bad_row) for row in rows]
    scale = scorer.scale
    cells = [cell for cell, _ in found]
    tally = Tally(
        rows=len(rows),
        pairs=sum(len(request.documents) for request in requests),
        truncated=sum(truncated for _, truncated in found),
        unscored=sum(cell is None for cell in cells),
    )
    return ScoredRows(cells, [_each(cell, scale.relevance) for cell in cells] if scale.has_relevance else None, tally)


def _answers(scorer: Scorer, requests: Sequence[Request]) -> list[Scores | InputError]:
    """The scores of every request, or why its query can't be answered (too long for the model)."""
    if not requests:
        return []
    try:
        answers = score_many(scorer, requests)
    except InputError as error:
        if len(requests) == 1:
            return [error]
        return [answer for request in requests for answer in _answers(scorer, [request])]
    return [
        check_scores(scorer, answer, range(len(request.documents)))
        for request, answer in zip(requests, answers, strict=True)
    ]


def _cells(
    row: InputRow, answers: dict[str, Scores | InputError], wanted: dict[str, dict[str, int]], on_bad_row: OnBadRow
) -> tuple[Cell, int]:
    """A row's score or scores, and how many of its texts were cut."""
    if row.problem():
        return None, 0
    answer = answers.get(row.query, Scores(()))  # no answer where all lists of the query are empty
    if isinstance(answer, InputError):
        if on_bad_row == "stop":
            raise InputError(f"{row.where}: {answer}") from answer
        return None, 0
    slots = [wanted[row.query][text] for text in row.texts]
    cut = sum(answer.spans[slot].truncated for slot in slots if slot in answer.spans)
    return (answer[slots[0]] if isinstance(row.document, str) else [answer[slot] for slot in slots]), cut


def _each(cell: Cell, reading: Any) -> Cell:
    return cell if cell is None else [reading(one) for one in cell] if isinstance(cell, list) else reading(cell)


def _is_text(value: Any) -> bool:
    """A str that stands for characters: JSON can spell half a surrogate pair, which no tokenizer takes."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _what(value: Any) -> str:
    if value is None:
        return "missing or null"
    return "broken (half a surrogate pair)" if isinstance(value, str) else f"a {type(value).__name__}, not a text"
