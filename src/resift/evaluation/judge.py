"""An LLM in the place of judgements: it grades what two orders put first, without knowing which did."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from resift._util.arguments import whole_number
from resift._util.progress import Progress
from resift.errors import InputError, ScorerError
from resift.evaluation.collection import Collection, Qrels, Run
from resift.evaluation.notes import counted, tell
from resift.services.llm.answers import BEST_GRADE
from resift.services.llm.prompts import GRADE_TASK, judging_prompt
from resift.services.llm.scorer import LlmScorer

POOL = 10
"""Passages of each order that are graded: those that nDCG@10 and MRR@10 count."""
TWICE = 0.1
"""Share of the passages that are graded a second time, in another order."""
BLIND = 16
"""Answers after which a judge is stopped, if none of them holds a grade: the others would cost as much for nothing."""
LEVELS = ((9, 3), (7, 2), (4, 1), (0, 0))
"""From which grade of 0 to 10 on a passage has which level, as TREC's judges give them: 0 is not relevant."""
AT_ONCE = 8  # passages graded between two writes: what a killed run loses at most
CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 2


class Cost(NamedTuple):
    """What judging will cost: calls still to be made, and about how many tokens they are."""

    calls: int
    tokens: int
    known: int
    """Grades that an earlier run has left in the file."""


@dataclass(slots=True)
class Judged:
    """What the judge found."""

    qrels: Qrels
    """Of the queries with at least one relevant passage."""
    notes: Sequence[str]
    graded: int
    twice: int
    """Passages that were graded twice."""
    same_level: float | None
    """The share of them that came to the same level both times; None where there are none."""
    apart: float | None
    """By how much the two grades, 0 to 10, differ on average."""
    unreadable: int
    """Passages whose grade could not be read; they count as not relevant."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain data, for JSON."""
        names = ("graded", "twice", "same_level", "apart", "unreadable")
        return {name: getattr(self, name) for name in names}


class _Pair(NamedTuple):
    query: str
    document: str
    time: int
    """0 for the first grade, 1 for the second."""


@dataclass(slots=True)
class LlmJudge:
    """Lets an LLM grade the first passages of all orders, each passage alone, so that it knows no order and no model.

    Queries and passages are graded in a random order. What is graded is kept in a file at once, so that a run that was
    cut short, or another with more models, goes on where it stood.

    Args:
        llm: An `LlmScorer` with `method="pointwise"`.
        file: Where grades are kept, as JSON lines. None: nowhere.
        pool: How many passages of each order are graded.
        twice: The share of passages that are graded a second time, to measure the judge's agreement with itself.
        seed: Of the order, and of what is graded twice.
        agree: Called with the cost before the first call is made; it raises an error to stop.
        progress: Called with the grades made and those to be made.

    Raises:
        InputError: Another kind of scorer, or a number that makes no sense.
    """

    llm: LlmScorer
    file: Path | None = None
    pool: int = POOL
    twice: float = TWICE
    seed: int = 7
    agree: Callable[[Cost], object] = field(default=lambda _: None)
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.llm, LlmScorer) or self.llm.method != "pointwise":
            raise InputError(
                "a judge is an LLM that grades each passage alone: openai:MODEL, or LlmScorer(llm, method='pointwise')"
            )
        whole_number("pool", self.pool, 1)
        if not 0 <= self.twice <= 1:
            raise InputError(f"twice is a share of the passages, between 0 and 1, got {self.twice}")

    @property
    def name(self) -> str:
        """The LLM's."""
        return self.llm.name

    def judge(self, collection: Collection, runs: Sequence[Run]) -> Judged:
        """Grade the first passages of these runs.

        Args:
            collection: The texts.
            runs: The orders, before and after.

        Raises:
            InputError: `agree` refuses, or no query has a relevant passage among those graded.
            ScorerError: The LLM failed, or gives no grades; what was graded by then is kept.
        """
        pooled = {
            query: list(dict.fromkeys(id for run in runs for id in run.get(query, ())[: self.pool]))
            for query in runs[0]
        }
        wanted = self._pairs(pooled)
        grades = self._read()
        missing = [pair for pair in wanted if self._key(collection, pair) not in grades]
        self.agree(self._cost(collection, missing, len(wanted) - len(missing)))
        self._grade(collection, missing, grades, known=len(wanted) - len(missing))
        return self._judged(collection, pooled, {pair: grades.get(self._key(collection, pair)) for pair in wanted})

    def _pairs(self, pooled: Mapping[str, Sequence[str]]) -> list[_Pair]:
        """Return what to grade: the queries, and the passages of each, in a random order; then some of them again."""
        draw = random.Random(self.seed)  # noqa: S311 - an order, nothing secret
        queries = draw.sample(sorted(pooled), len(pooled))
        first = [
            _Pair(query, id, 0) for query in queries for id in draw.sample(sorted(pooled[query]), len(pooled[query]))
        ]
        count = min(len(first), round(self.twice * len(first)))
        again = [pair._replace(time=1) for pair in draw.sample(first, count)]
        return first + again

    def _cost(self, collection: Collection, missing: Sequence[_Pair], known: int) -> Cost:
        characters = sum(
            len(
                judging_prompt(
                    collection.queries[pair.query],
                    collection.documents[pair.document][: self.llm.max_characters],
                    GRADE_TASK,
                    self.llm.instruction,
                )
            )
            for pair in missing
        )
        tokens = characters // CHARACTERS_PER_TOKEN + ANSWER_TOKENS * len(missing)
        return Cost(len(missing), tokens, known)

    def _grade(self, collection: Collection, missing: Sequence[_Pair], grades: dict[str, float], *, known: int) -> None:
        done = unreadable = 0
        for query, pairs in _runs_of(missing):
            for start in range(0, len(pairs), AT_ONCE):
                some = pairs[start : start + AT_ONCE]
                texts = [collection.documents[pair.document] for pair in some]
                try:
                    answer = self.llm.score(collection.queries[query], texts)
                except ScorerError as error:
                    if done and self.file is not None:
                        error.args = (f"{error}; {done} of {len(missing)} grades are kept: run it again to go on",)
                    raise
                keys = [self._key(collection, pair) for pair in some]
                new = {key: grade for key, grade in zip(keys, answer, strict=True) if grade >= 0}
                self._write(new)  # one that can't be read is asked again by the next run
                grades.update(new)
                done += len(some)
                unreadable += len(some) - len(new)
                if unreadable == done and not known and (done >= BLIND or done == len(missing)):
                    raise ScorerError(f"{self.name}: none of {done} answers is a grade; {answer.degraded}")
                if self.progress is not None:
                    self.progress(done, len(missing))

    def _judged(
        self, collection: Collection, pooled: Mapping[str, Sequence[str]], grades: Mapping[_Pair, float | None]
    ) -> Judged:
        first = {(pair.query, pair.document): grade for pair, grade in grades.items() if pair.time == 0}
        qrels = {
            query: {id: level(grade) for id in ids if (grade := first[query, id]) is not None}
            for query, ids in pooled.items()
        }
        relevant = {query: levels for query, levels in qrels.items() if any(levels.values())}
        if not relevant:
            raise InputError(f"{self.name} finds none of {len(first)} passages relevant to its question")
        both = [
            (grade, other)
            for pair, other in grades.items()
            if pair.time and other is not None and (grade := first[pair.query, pair.document]) is not None
        ]
        same = sum(level(grade) == level(other) for grade, other in both) / len(both) if both else None
        apart = sum(abs(grade - other) for grade, other in both) / len(both) if both else None
        unreadable = sum(grade is None for grade in first.values())
        notes = self._notes(qrels, relevant, len(first), unreadable, len(both), same)
        tell(collection.name, notes)
        return Judged(relevant, notes, len(first), len(both), same, apart, unreadable)

    def _notes(
        self, qrels: Qrels, relevant: Qrels, graded: int, unreadable: int, twice: int, same: float | None
    ) -> list[str]:
        first = f"judged by {self.name}: {graded} passages, the first {self.pool} of each order"
        notes = [f"{first}; R@100 and AP know no others"]
        if same is not None:
            notes.append(f"of {twice} passages that it graded twice, {same:.0%} came to the same level")
        if unreadable:
            notes.append(f"{unreadable} of {graded} grades can't be read, and count as not relevant")
        if without := [query for query in qrels if query not in relevant]:
            notes.append(counted(without, "queries have no relevant passage", "and are left out", of=len(qrels)))
        return notes

    def _key(self, collection: Collection, pair: _Pair) -> str:
        """Return what a grade is kept by: who judged, what was asked and read, and whether it is the second time."""
        texts = (
            self.name,
            self.llm.instruction or "",
            collection.queries[pair.query],
            collection.documents[pair.document][: self.llm.max_characters],
            str(pair.time),
        )
        joined = "".join(f"{len(text)}:{text}" for text in texts)
        return hashlib.blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _read(self) -> dict[str, float]:
        """Return the grades in the file. A line that was cut short by a kill, or is no grade, is left out."""
        grades: dict[str, float] = {}
        if self.file is None or not self.file.exists():
            return grades
        for line in self.file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                grade = float(row["grade"])
                if 0 <= grade <= BEST_GRADE:
                    grades[row["key"]] = grade
            except (ValueError, TypeError, KeyError):
                continue
        return grades

    def _write(self, grades: Mapping[str, float]) -> None:
        if self.file is None or not grades:
            return
        lines = "".join(json.dumps({"key": key, "grade": grade}) + "\n" for key, grade in grades.items())
        with self.file.open("ab+") as file:
            if file.tell() and not _ends_line(file):
                lines = "\n" + lines
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())


def level(grade: float) -> int:
    """Return the level of a grade.

    >>> [level(grade) for grade in (0, 3, 4, 7, 9, 10)]
    [0, 0, 1, 2, 3, 3]
    """
    return next(level for least, level in LEVELS if grade >= least)


def _runs_of(pairs: Sequence[_Pair]) -> Iterable[tuple[str, list[_Pair]]]:
    """Yield the pairs in their order, those in a row that have one query together."""
    row: list[_Pair] = []
    for pair in pairs:
        if row and (pair.query, pair.time) != (row[-1].query, row[-1].time):
            yield row[0].query, row
            row = []
        row.append(pair)
    if row:
        yield row[0].query, row


def _ends_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")
