"""Fuse several runs into one: each query's lists, by reciprocal rank."""

from __future__ import annotations

from collections.abc import Sequence

from resift.evaluation.collection import Run
from resift.evaluation.runs import as_order
from resift.scoring.fusion import fuse as fuse_orders


def fuse(runs: Sequence[Run], weights: Sequence[float] | None = None) -> dict[str, list[str]]:
    """Fuse query by query, as `resift.fuse` does: a document counts weight / (60 + rank) in each list that has it.

    >>> fuse([{"q": ["a", "b"]}, {"q": ["b", "c"]}])
    {'q': ['b', 'a', 'c']}
    """
    queries = dict.fromkeys(query for run in runs for query in run)
    return {query: fuse_orders([as_order(run.get(query, ()), query) for run in runs], weights) for query in queries}
