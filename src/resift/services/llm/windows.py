"""Sliding windows over a list too long for one prompt, from its back to its front."""

from __future__ import annotations

from collections.abc import Iterator

from resift.errors import InputError


def check_windows(window: int, stride: int) -> None:
    """Raises InputError where windows of that size and stride could carry nothing to the front."""
    if window < 2:
        raise InputError(f"window must be at least 2, got {window}")
    if not 1 <= stride < window:
        raise InputError(
            f"stride must lie between 1 and window - 1 = {window - 1}, got {stride}: windows overlap by "
            "window - stride documents, and those are what they carry to the front"
        )


def windows(count: int, window: int, stride: int) -> Iterator[tuple[int, int]]:
    """Places start..stop of each window, last one first (RankGPT, arXiv 2304.09542, section 3.2).

    When each window has been put in perfect order, so have the first `window - stride` documents. The last
    window always starts at 0: no document goes unread. A list of one document needs no window.

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
