"""From the rows of a block to their scores: each query once, each of its texts once, a result for every bad row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from resift._util.arguments import is_blank
from resift.bulk.job import OnBadRow, Tally
from resift.errors import InputError
from resift.scorer import Request, Scorer, Scores, check_scores, score_many
from resift.text.half_pairs import replace_half_pairs

Cell = float | list[float] | None
"""A score, the scores of a row's list of documents, or null."""
UniqueTexts = dict[str, dict[str, int]]
"""query → text → index of the text among the query's different texts."""


class InputRow(NamedTuple):
    """What is read of a row. `document` is a text or a list of texts, unless the row is bad."""

    where: str
    """`FILE:NUMBER`, for errors."""
    query: Any
    document: Any

    @property
    def texts(self) -> list[str]:
        """The documents as a list, also where there is only one."""
        return [self.document] if isinstance(self.document, str) else self.document

    def problem(self) -> str | None:
        """Return why the row can't be scored, or None. An empty document can be: it is a bad answer."""
        if isinstance(self.query, str) and is_blank(self.query):
            return f"{self.where}: the query is empty"
        if not _is_text(self.query):
            return f"{self.where}: the query is {_describe(self.query)}"
        if not isinstance(self.document, list):
            return None if _is_text(self.document) else f"{self.where}: the document is {_describe(self.document)}"
        bad = next((index for index, text in enumerate(self.document) if not _is_text(text)), None)
        return None if bad is None else f"{self.where}: document {bad} of the list is {_describe(self.document[bad])}"


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The new cells of a block, one per row, in the rows' order; `relevance` is None where the scale has none."""

    scores: list[Cell]
    relevance: list[Cell] | None
    tally: Tally


def score_rows(scorer: Scorer, rows: Sequence[InputRow], on_bad_row: OnBadRow) -> ScoredRows:
    """Score the rows. Raises InputError, naming the row, for one that can't be scored, unless such rows become null."""
    unique: UniqueTexts = {}
    for row in rows:
        if problem := row.problem():
            if on_bad_row == "stop":
                raise InputError(problem)
            continue
        indices = unique.setdefault(row.query, {})
        for text in row.texts:
            indices.setdefault(text, len(indices))
    asked = {query: list(indices) for query, indices in unique.items() if indices}
    requests = [Request(replace_half_pairs(query), list(map(replace_half_pairs, asked[query]))) for query in asked]
    results = dict(zip(asked, _score_requests(scorer, requests), strict=True))
    scored = [_score_cell(row, results, unique, on_bad_row) for row in rows]
    scale = scorer.scale
    cells = [cell for cell, _ in scored]
    tally = Tally(
        rows=len(rows),
        pairs=sum(len(request.documents) for request in requests),
        truncated=sum(truncated for _, truncated in scored),
        unscored=sum(cell is None for cell in cells),
    )
    relevance = [_map_cell(cell, scale.relevance) for cell in cells] if scale.has_relevance else None
    return ScoredRows(cells, relevance, tally)


def _score_requests(scorer: Scorer, requests: Sequence[Request]) -> list[Scores | InputError]:
    """Return the scores of every request, or why it has none: a query that is too long for the model, say."""
    if not requests:
        return []
    try:
        answers = score_many(scorer, requests)
    except InputError as error:
        if len(requests) == 1:
            return [error]
        return [result for request in requests for result in _score_requests(scorer, [request])]
    return [
        check_scores(scorer, answer, range(len(request.documents)))
        for request, answer in zip(requests, answers, strict=True)
    ]


def _score_cell(
    row: InputRow, results: dict[str, Scores | InputError], unique: UniqueTexts, on_bad_row: OnBadRow
) -> tuple[Cell, int]:
    """Return a row's score or scores, and how many of its texts were cut."""
    if row.problem():
        return None, 0
    result = results.get(row.query, Scores(()))  # there is none where all lists of the query are empty
    if isinstance(result, InputError):
        if on_bad_row == "stop":
            raise InputError(f"{row.where}: {result}") from result
        return None, 0
    indices = [unique[row.query][text] for text in row.texts]
    truncated = sum(result.spans[index].truncated for index in indices if index in result.spans)
    scores = [result[index] for index in indices]
    return (scores[0] if isinstance(row.document, str) else scores), truncated


def _map_cell(cell: Cell, convert: Any) -> Cell:
    """Apply `convert` to every score of a cell."""
    return cell if cell is None else [convert(score) for score in cell] if isinstance(cell, list) else convert(cell)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _describe(value: Any) -> str:
    return "missing or null" if value is None else f"a {type(value).__name__}, not a text"
