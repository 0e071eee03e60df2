"""Which rows go through the network together, and which part of a long document each row holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BATCH_OVERHEAD = 32  # that can be begun in the time of a full one: on 2 cores 48 tokens' time of 2,048 was measured
OVERLAP_DIVISOR = 4  # windows share a quarter of their length: an answer cut by one edge lies whole in the next


def plan_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Row numbers in batches: similar lengths together, each batch within `budget` tokens, padding included.

    Of all ways to cut the rows, sorted by length, the one with the least to compute: every batch is padded to its
    longest row, and another batch costs something too. A row longer than the budget goes alone. Longest first, so
    that memory peaks at the start.

    >>> plan_batches([30, 90, 31, 32], budget=120)
    [[1], [3, 2, 0]]
    """
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    cost = np.zeros(len(rows) + 1)  # of the rows from here on
    stop = np.zeros(len(rows), int)  # where the batch that begins here ends
    counts = np.arange(1, len(rows) + 1)
    for start in reversed(range(len(rows))):
        longest = max(1, lengths[rows[start]])
        most = max(1, min(len(rows) - start, budget // longest))
        costs = longest * counts[:most] + cost[start + 1 : start + 1 + most]
        count = int(costs.argmin())
        cost[start] = budget / BATCH_OVERHEAD + costs[count]
        stop[start] = start + 1 + count
    batches = []
    start = 0
    while start < len(rows):
        batches.append(rows[start : stop[start]])
        start = int(stop[start])
    return batches


def split_into_windows(tokens: int, size: int) -> list[tuple[int, int]]:
    """Overlapping windows of `size` over a document's tokens; the last one ends with it.

    >>> split_into_windows(10, 4)
    [(0, 4), (3, 7), (6, 10)]
    >>> split_into_windows(3, 4)
    [(0, 3)]
    """
    if tokens <= size:
        return [(0, tokens)]
    step = size - size // OVERLAP_DIVISOR
    starts = [*range(0, tokens - size, step), tokens - size]
    return [(start, start + size) for start in starts]
