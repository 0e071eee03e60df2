"""Several orders of the same documents become one, by reciprocal rank: scores of different kinds never meet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resift.errors import InputError
from resift.evaluation.collection import Run

K = 60  # Cormack, Clarke and Büttcher 2009 (https://doi.org/10.1145/1571941.1572114)


def fuse(runs: Sequence[Run], weights: Sequence[float] | None = None) -> dict[str, list[str]]:
    """Reciprocal rank fusion: a document counts weight / (60 + rank) in each list that has it.

    Documents that count the same come in the order of the first list that has one of them. All weights are 1
    unless given.

    >>> fuse([{"q": ["a", "b"]}, {"q": ["b", "c"]}])
    {'q': ['b', 'a', 'c']}
    """
    shares = [1.0] * len(runs) if weights is None else list(weights)
    if len(shares) != len(runs) or not all(share > 0 for share in shares):
        raise InputError(f"fusing {len(runs)} runs takes as many weights above 0, got {shares}")
    queries = dict.fromkeys(query for run in runs for query in run)
    return {query: _fuse([run.get(query, ()) for run in runs], shares) for query in queries}


def _fuse(lists: Sequence[Sequence[str]], weights: Sequence[float]) -> list[str]:
    counts: dict[str, list[float]] = {}
    for listed, weight in zip(lists, weights, strict=True):
        for rank, id in enumerate(listed, 1):
            counts.setdefault(id, []).append(weight / (K + rank))
    # fsum, whose result no order of adding changes: what counts the same must be equal to the last bit.
    totals = {id: math.fsum(parts) for id, parts in counts.items()}
    return sorted(totals, key=totals.__getitem__, reverse=True)  # stable, reversed or not
