"""Sliding windows over a list that is too long for one prompt, from its end to its start."""

from __future__ import annotations

from collections.abc import Iterator

from resift.errors import InputError


def check_windows(window: int, stride: int) -> None:
    """Raise InputError unless each window overlaps the next, so that good documents can move to the front."""
    if window < 2:
        raise InputError(f"window must be at least 2, got {window}")
    if not 1 <= stride < window:
        raise InputError(
            f"stride must lie between 1 and window - 1 = {window - 1}, got {stride}: windows overlap by "
            "window - stride documents, and those are what they carry to the front"
        )


def windows(count: int, window: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of each window, the list's end first (RankGPT, arXiv 2304.09542, section 3.2).

    If every window is put into perfect order, the first `window - stride` documents of the list are right. The last
    window starts at 0, so every document is read. A list of one document needs no window.

    >>> list(windows(25, 10, 5))
    [(15, 25), (10, 20), (5, 15), (0, 10)]
    >>> len(list(windows(100, 20, 10)))
    9
    """
    stop = count
    while stop > 1:
        start = max(0, stop - window)
        yield start, stop
        if start == 0:
            return
        stop -= stride
