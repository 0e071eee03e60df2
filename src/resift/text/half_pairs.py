"""Halves of surrogate pairs, which UTF-8 can't hold. Apart from `resift.text.normal`, since it needs no NumPy."""

from __future__ import annotations

import re

HALF = "\ud800-\udfff"
"""Any half of a pair, for a class of a regular expression."""
_HALVES = re.compile(f"[{HALF}]+")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def replace_half_pairs(text: str) -> str:
    r"""Return a text that UTF-8 can hold, otherwise unchanged: what is stored, and what is sent to a service.

    >>> replace_half_pairs("x\ud835, \ud835\udc00") == "x\ufffd, \U0001d400"
    True
    """
    if text.isascii():
        return text
    try:
        text.encode()  # faster than a search
    except UnicodeEncodeError:
        return _HALVES.sub(lambda match: join_halves(match[0]), text)
    return text


def original_place(text: str, place: int) -> int:
    r"""Return where in a text a place of `replace_half_pairs(text)` was: two halves are one character there.

    >>> original_place("x\ud835\udc00y", 2)
    3
    """
    if not text.isascii():
        for pair in _PAIR.finditer(text):
            if pair.start() >= place:
                break
            place += 1
    return place


def join_halves(halves: str) -> str:
    """Return the characters of a run of halves: those of whole pairs, and U+FFFD for a half alone."""
    return halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
