"""What was left out of judged data, or counts otherwise than it may seem: said in one line, by the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

LOGGER = "resift.evaluation"
"""Python shows its lines on stderr, unless a program configures logging; the command line makes notes of them."""

_logger = logging.getLogger(LOGGER)


def tell(name: str, notes: Sequence[str]) -> None:
    """Log all notes in one line, which begins with the name of the file or collection; no notes, no line."""
    if notes:
        _logger.warning("%s: %s", name, "; ".join(notes))


def counted(ids: Sequence[str], what: str, then: str = "", of: int | None = None) -> str:
    """Return how many there are of something, the first of them, and what follows.

    >>> counted(["d7"], "queries are unknown", "and are left out", of=9), counted(["d7", "d9"], "rows are empty")
    ("1 of 9 queries are unknown, such as 'd7', and are left out", "2 rows are empty, such as 'd7'")
    """
    share = f"{len(ids)}" if of is None else f"{len(ids)} of {of}"
    return f"{share} {what}, such as {ids[0]!r}{f', {then}' if then else ''}"
