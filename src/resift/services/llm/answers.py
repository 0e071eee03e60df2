"""From the text an LLM wrote to an order, a grade, or a yes or no, and what was wrong with the text."""

from __future__ import annotations

import re
from typing import NamedTuple

WORST_GRADE, BEST_GRADE = 0, 10
UNREADABLE_SCORE = -1.0
"""The score of a document whose grade can't be read: below every score that can be given."""

BRACKETED_NUMBER = re.compile(r"\[\s*([0-9]+)\s*\]")
NUMBER = re.compile(r"[0-9]+")
OUT_OF_TEN = re.compile(r"(?<!\s)\s*(?:/|out of)\s*10\b")  # from the first blank of a run: linear
GRADE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
YES_OR_NO = re.compile(r"\W*(?:answer\W+)?(yes|no)\b", re.IGNORECASE)
LONGEST_NUMBER = 9  # digits: no list is longer, and Python refuses to read numbers of thousands of digits


class ParsedOrder(NamedTuple):
    """A permutation of 0..n-1, and what had to be repaired to get one."""

    indices: list[int]
    """Indices of the passages, best first."""
    problem: str | None
    """None where the answer was a permutation."""


class ParsedGrade(NamedTuple):
    """A score, or why the answer holds none."""

    score: float
    """UNREADABLE_SCORE where there is a problem."""
    problem: str | None


def read_order(answer: str, count: int) -> ParsedOrder:
    """Return the order of `count` passages that an answer such as "[2] > [3] > [1]" gives, as indices from 0.

    An answer that isn't a permutation is repaired by RankGPT's rule: numbers that don't exist and repeats are
    dropped, and missing passages follow in the order they had.

    >>> read_order("[2] > [3] > [1]", 3)
    ParsedOrder(indices=[1, 2, 0], problem=None)
    >>> read_order("[3] > [3] > [7]", 3)
    ParsedOrder(indices=[2, 0, 1], problem='2 of 3 passages missing, 1 repeated, 1 unknown')
    """
    text = _without_thoughts(answer)
    numbers = [_parse_int(digits) for digits in BRACKETED_NUMBER.findall(text) or NUMBER.findall(text)]
    known = [number - 1 for number in numbers if 1 <= number <= count]
    unique = list(dict.fromkeys(known))
    missing = sorted(set(range(count)) - set(unique))
    faults = {
        f"of {count} passages missing": len(missing),
        "repeated": len(known) - len(unique),
        "unknown": len(numbers) - len(known),
    }
    problem = ", ".join(f"{times} {fault}" for fault, times in faults.items() if times)
    return ParsedOrder(unique + missing, problem or None)


def read_grade(answer: str) -> ParsedGrade:
    """Return the grade, 0 to 10, if the answer holds exactly one number and that is a grade.

    >>> read_grade("Grade: 7/10").score, read_grade("between 3 and 7").score
    (7.0, -1.0)
    """
    numbers = GRADE.findall(OUT_OF_TEN.sub("", _without_thoughts(answer)))
    if len(numbers) == 1 and len(numbers[0]) <= LONGEST_NUMBER and WORST_GRADE <= float(numbers[0]) <= BEST_GRADE:
        return ParsedGrade(float(numbers[0]), None)
    return ParsedGrade(UNREADABLE_SCORE, f"no grade from {WORST_GRADE} to {BEST_GRADE} in {_quote(answer)}")


def read_yes_no(answer: str) -> ParsedGrade:
    """Return 1 for an answer that begins with yes, 0 for no.

    >>> read_yes_no("**Yes**, it does").score, read_yes_no("no.").score, read_yes_no("perhaps").score
    (1.0, 0.0, -1.0)
    """
    match = YES_OR_NO.match(_without_thoughts(answer))
    if match is None:
        return ParsedGrade(UNREADABLE_SCORE, f"neither yes nor no in {_quote(answer)}")
    return ParsedGrade(float(match[1].lower() == "yes"), None)


def _without_thoughts(answer: str) -> str:
    """Return the answer without the `<think>` part that a reasoning model writes first."""
    return answer.rpartition("</think>")[2].partition("<think>")[0]


def _parse_int(digits: str) -> int:
    return int(digits) if len(digits) <= LONGEST_NUMBER else -1


def _quote(answer: str) -> str:
    return repr(answer if len(answer) <= 80 else answer[:79] + "…")
