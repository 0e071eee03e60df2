"""From what an LLM wrote to an order, a grade or a verdict, and what was wrong with it."""

from __future__ import annotations

import re
from typing import NamedTuple

WORST_GRADE, BEST_GRADE = 0, 10
UNREADABLE = -1.0
"""The score of a document whose grade or verdict could not be read: below every score that can be given."""

BRACKETED = re.compile(r"\[\s*([0-9]+)\s*\]")
NUMBER = re.compile(r"[0-9]+")
OUT_OF = re.compile(r"\s*(?:/|out of)\s*10\b")
GRADE = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
VERDICT = re.compile(r"\W*(?:answer\W+)?(yes|no)\b", re.IGNORECASE)


class Order(NamedTuple):
    """A permutation of 0..n-1, and what had to be repaired to make it one."""

    places: list[int]
    complaint: str | None


class Verdict(NamedTuple):
    """A score, and why it is none."""

    score: float
    complaint: str | None


def read_order(answer: str, count: int) -> Order:
    """The order of `count` passages that an answer such as "[2] > [3] > [1]" gives, counted from 0.

    An answer that isn't a permutation is repaired by RankGPT's rule: numbers that don't exist and repeats are
    dropped, and missing passages follow in the order they had.

    >>> read_order("[2] > [3] > [1]", 3)
    Order(places=[1, 2, 0], complaint=None)
    >>> read_order("[3] > [3] > [7]", 3)
    Order(places=[2, 0, 1], complaint='2 of 3 passages missing, 1 repeated, 1 unknown')
    """
    written = _spoken(answer)
    numbers = [_integer(digits) for digits in BRACKETED.findall(written) or NUMBER.findall(written)]
    known = [number - 1 for number in numbers if 1 <= number <= count]
    given = list(dict.fromkeys(known))
    missing = sorted(set(range(count)) - set(given))
    faults = {
        f"of {count} passages missing": len(missing),
        "repeated": len(known) - len(given),
        "unknown": len(numbers) - len(known),
    }
    complaint = ", ".join(f"{times} {fault}" for fault, times in faults.items() if times)
    return Order(given + missing, complaint or None)


def read_grade(answer: str) -> Verdict:
    """The grade, 0 to 10, if the answer holds exactly one number and that is a grade.

    >>> read_grade("Grade: 7/10").score, read_grade("between 3 and 7").score
    (7.0, -1.0)
    """
    written = GRADE.findall(OUT_OF.sub("", _spoken(answer)))
    if len(written) == 1 and len(written[0]) < 10 and WORST_GRADE <= float(written[0]) <= BEST_GRADE:
        return Verdict(float(written[0]), None)
    return Verdict(UNREADABLE, f"no grade from {WORST_GRADE} to {BEST_GRADE} in {_shown(answer)}")


def read_yes_no(answer: str) -> Verdict:
    """1 for an answer that begins with yes, 0 for no.

    >>> read_yes_no("**Yes**, it does").score, read_yes_no("no.").score, read_yes_no("perhaps").score
    (1.0, 0.0, -1.0)
    """
    found = VERDICT.match(_spoken(answer))
    if found is None:
        return Verdict(UNREADABLE, f"neither yes nor no in {_shown(answer)}")
    return Verdict(float(found[1].lower() == "yes"), None)


def _spoken(answer: str) -> str:
    """The answer without what a reasoning model thought before it."""
    return answer.rpartition("</think>")[2].partition("<think>")[0]


def _integer(digits: str) -> int:
    # Python refuses to read numbers of thousands of digits; no list is that long.
    return int(digits) if len(digits) < 10 else -1


def _shown(answer: str) -> str:
    return repr(answer if len(answer) <= 80 else answer[:79] + "…")
