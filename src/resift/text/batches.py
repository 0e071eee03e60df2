"""Cutting rows into batches for the network, and long documents into windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BATCH_OVERHEAD = 1 / 32  # cost of starting a batch, in full batches: 48 tokens' time of 2,048 was measured on 2 cores
OVERLAP_DIVISOR = 4  # windows share 1/4 of their length: an answer cut by the edge of one lies whole in the next


def plan_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Return row indices in batches of similar lengths, each within `batch_tokens` tokens, padding included.

    Rows are sorted by length, and of all ways to cut them the one with the least to compute is taken: every batch is
    padded to its longest row, and starting a batch costs something too. A row longer than `batch_tokens` gets a batch
    of its own. The longest rows come first, so that memory peaks at the start.

    >>> plan_batches([30, 90, 31, 32], batch_tokens=120)
    [[1], [3, 2, 0]]
    """
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    cost = np.zeros(len(rows) + 1)  # cost[i]: the least cost of rows[i:]
    stop = np.zeros(len(rows), int)  # stop[i]: where the batch that starts at rows[i] ends, at that cost
    counts = np.arange(1, len(rows) + 1)
    for start in reversed(range(len(rows))):
        longest = max(1, lengths[rows[start]])
        max_rows = max(1, min(len(rows) - start, batch_tokens // longest))
        costs = longest * counts[:max_rows] + cost[start + 1 : start + 1 + max_rows]
        count = int(costs.argmin())
        cost[start] = batch_tokens * BATCH_OVERHEAD + costs[count]
        stop[start] = start + 1 + count
    batches = []
    start = 0
    while start < len(rows):
        batches.append(rows[start : stop[start]])
        start = int(stop[start])
    return batches


def split_into_windows(tokens: int, size: int) -> list[tuple[int, int]]:
    """Return overlapping windows, (start, stop), of `size` over a document's tokens; the last ends with the document.

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
