"""Several orders of the same items become one, by reciprocal rank: scores of different kinds are never compared."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from resift._util.arguments import as_list, number
from resift.errors import InputError

T = TypeVar("T", bound=Hashable)

RANK_CONSTANT = 60  # Cormack, Clarke and Büttcher 2009 (https://doi.org/10.1145/1571941.1572114)


def fuse(orders: Sequence[Iterable[T]], weights: Sequence[float] | None = None) -> list[T]:
    """Return all items of several orders in one order, best first, by reciprocal rank fusion.

    An item counts weight / (60 + rank) in each order that has it. Items that count the same come in the order of the
    first list that has one of them.

    Args:
        orders: Lists of the same kind of items, each best first.
        weights: One number per order; 1 each unless given.

    Raises:
        InputError: Impossible weights.

    >>> fuse([["a", "b"], ["b", "c"]])
    ['b', 'a', 'c']
    """
    totals = reciprocal_ranks(orders, weights)
    return sorted(totals, key=totals.__getitem__, reverse=True)  # stable, reversed or not


def reciprocal_ranks(orders: Sequence[Iterable[T]], weights: Sequence[float] | None = None) -> dict[T, float]:
    """Return what each item counts, in the order of first appearance; a repeated item has its first rank."""
    counts: dict[T, list[float]] = {}
    for order, weight in zip(orders, check_weights(weights, len(orders)), strict=True):
        for rank, item in enumerate(dict.fromkeys(order), 1):
            counts.setdefault(item, []).append(weight / (RANK_CONSTANT + rank))
    # fsum, whose result no order of adding changes: what counts the same must be equal to the last bit.
    return {item: math.fsum(parts) for item, parts in counts.items()}


def check_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    """Return the weights, each 1 where none are given. Raise InputError unless they are `count` possible ones."""
    given = [1.0] * count if weights is None else as_list("weights", weights, of="numbers", example="[1.0]")
    shares = [number("a weight", share) for share in given]
    if len(shares) != count or not all(0 <= share < math.inf for share in shares) or not any(shares):
        raise InputError(f"{count} weights are wanted, none below 0 and not all 0; got {shares}")
    return shares
