"""What models learn from: queries with a passage that answers them, read from jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resift._util.arguments import is_blank
from resift._util.jsonl import field_text, read_rows
from resift.errors import InputError
from resift.text.normal import normalise, normalise_all


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """A query and a passage that answers it.

    Args:
        query: The query.
        positive: A passage that answers it.
        negatives: Passages known not to answer it. More are mined.
        group: Pairs of one group (a page, a topic) are about the same things.

    """

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    group: str = ""


def read_pairs(files: Sequence[Path]) -> list[TrainingPair]:
    """Read the rows of jsonl files: `query` and `positive`, perhaps `negatives` (a list) and `group`.

    Args:
        files: JSON lines, plain or gzipped (`.gz`).

    Returns:
        The pairs in the order of the files; a row that equals an earlier one is left out.

    Raises:
        InputError: With file and line: bytes that are not UTF-8, a line that is no JSON object, a text that is missing
            or empty, a positive that is also a negative of its query, there or in another row; or no row at all.

    """
    pairs: dict[TrainingPair, str] = {}
    for file in files:
        for where, row in read_rows(file):
            pairs.setdefault(_pair(row, where), where)
    if not pairs:
        raise InputError(f"{', '.join(map(str, files)) or 'no file'}: no pair of query and positive to learn from")
    _check_contradictions(pairs)
    return list(pairs)


def normalise_pairs(pairs: Sequence[TrainingPair]) -> list[TrainingPair]:
    """Return the pairs as models read them (`resift.text.normal`): what is learned is what will be read.

    A negative that is read as its positive is left out.
    """
    normal = []
    for pair in pairs:
        positive, negatives = normalise(pair.positive), dict.fromkeys(normalise_all(pair.negatives))
        kept = tuple(negative for negative in negatives if negative != positive)
        normal.append(TrainingPair(normalise(pair.query), positive, kept, pair.group))
    return normal


def _pair(row: dict[str, Any], where: str) -> TrainingPair:
    negatives = row.get("negatives", row.get("negative"))
    if negatives is None:  # as tables write a list that a row doesn't have
        negatives = []
    negatives = [negatives] if isinstance(negatives, str) else negatives
    if not isinstance(negatives, list):
        raise InputError(f"{where}: negatives is a list of texts, this is a {type(negatives).__name__}")
    texts = [_text(text, "a negative", where) for text in negatives]
    pair = TrainingPair(
        _text(row.get("query"), "query", where),
        _text(row.get("positive"), "positive", where),
        tuple(dict.fromkeys(texts)),
        field_text(row, "group", where),
    )
    if pair.positive in pair.negatives:
        raise InputError(f"{where}: the positive is also one of the negatives: {pair.positive[:60]!r}")
    return pair


def _text(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str) or is_blank(value):
        raise InputError(f"{where}: {name} is missing or empty; a row is {{'query': ..., 'positive': ...}}")
    return value.strip()


def _check_contradictions(pairs: dict[TrainingPair, str]) -> None:
    """Raise InputError where a passage answers a query in one row and is its negative in another."""
    answers: dict[str, dict[str, str]] = {}
    for pair, where in pairs.items():
        answers.setdefault(pair.query, {}).setdefault(pair.positive, where)
    for pair, where in pairs.items():
        for negative in pair.negatives:
            if other := answers[pair.query].get(negative):
                raise InputError(
                    f"{where}: a negative of {pair.query[:60]!r} is its positive in {other}: {negative[:60]!r}"
                )
