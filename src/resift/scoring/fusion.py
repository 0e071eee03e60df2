"""Several orders of the same things become one, by reciprocal rank: scores of different kinds never meet."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from resift.errors import InputError

T = TypeVar("T", bound=Hashable)

K = 60  # Cormack, Clarke and Büttcher 2009 (https://doi.org/10.1145/1571941.1572114)


def fuse(orders: Sequence[Iterable[T]], weights: Sequence[float] | None = None) -> list[T]:
    """Reciprocal rank fusion: whatever is in one of the orders, best first.

    A thing counts weight / (60 + rank) in each order that has it. What counts the same comes in the order of the
    first list that has one of them. All weights are 1 unless given. Raises InputError for impossible weights.

    >>> fuse([["a", "b"], ["b", "c"]])
    ['b', 'a', 'c']
    """
    totals = reciprocal_ranks(orders, weights)
    return sorted(totals, key=totals.__getitem__, reverse=True)  # stable, reversed or not


def reciprocal_ranks(orders: Sequence[Iterable[T]], weights: Sequence[float] | None = None) -> dict[T, float]:
    """What each thing counts, in the order of first appearance; one that an order repeats has its first place there."""
    counts: dict[T, list[float]] = {}
    for order, weight in zip(orders, check_weights(weights, len(orders)), strict=True):
        for rank, thing in enumerate(dict.fromkeys(order), 1):
            counts.setdefault(thing, []).append(weight / (K + rank))
    # fsum, whose result no order of adding changes: what counts the same must be equal to the last bit.
    return {thing: math.fsum(parts) for thing, parts in counts.items()}


def check_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    """The weights, each 1 where none are given. Raises InputError unless they are `count` shares of something."""
    shares = [1.0] * count if weights is None else list(weights)
    if len(shares) != count or not all(0 <= share < math.inf for share in shares) or not any(shares):
        raise InputError(f"{count} weights are wanted, none below 0 and not all 0; got {shares}")
    return shares
