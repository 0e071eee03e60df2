"""Which rows go through the network together, and which part of a long document each row holds."""

from __future__ import annotations

from collections.abc import Sequence

OVERLAP = 4  # windows share a quarter of their length: an answer cut by one edge lies whole in the next


def plan(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Row numbers in batches: similar lengths together, each batch within `budget` tokens, padding included.

    A row longer than the budget goes alone. Longest first, so that memory peaks at the start.

    >>> plan([3, 9, 3, 4], budget=12)
    [[1], [3, 0, 2]]
    """
    batches: list[list[int]] = []
    room = 0  # rows the current batch may still take, at its longest row's length
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if room == 0:
            batches.append([])
            room = max(1, budget // max(1, lengths[row]))
        batches[-1].append(row)
        room -= 1
    return batches


def windows(tokens: int, size: int) -> list[tuple[int, int]]:
    """Overlapping windows of `size` over a document's tokens; the last one ends with it.

    >>> windows(10, 4)
    [(0, 4), (3, 7), (6, 10)]
    >>> windows(3, 4)
    [(0, 3)]
    """
    if tokens <= size:
        return [(0, tokens)]
    step = size - size // OVERLAP
    starts = [*range(0, tokens - size, step), tokens - size]
    return [(start, start + size) for start in starts]
