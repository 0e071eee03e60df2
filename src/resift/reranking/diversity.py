"""Maximal marginal relevance: hits that are relevant and unlike those before them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resift.errors import InputError
from resift.reranking.ranking import Ranking

T = TypeVar("T")


def diversify(ranking: Ranking[T], vectors: ArrayLike, *, balance: float = 0.7) -> Ranking[T]:
    """Return the same hits, ordered so that each is relevant and unlike those before it.

    The next hit is always the one with the highest balance x relevance - (1 - balance) x its greatest cosine with a hit
    that was taken (Carbonell and Goldstein 1998, https://doi.org/10.1145/290941.291025). Scores stay as they are, ranks
    are counted anew, and no hit is lost: cut afterwards. Where the scale has no relevance, scores are stretched to 0..1
    over the list; where the scorer failed and there are no scores, ranks are.

    Args:
        ranking: What `Reranker.rank` returned.
        vectors: A row for each hit, in the ranking's order: the first stage's, or any embedder's of `hit.text`.
        balance: 1 keeps the order, 0 looks at the vectors alone.

    Raises:
        InputError: Vectors that don't fit, or a balance outside 0..1.
    """
    if not 0 <= balance <= 1:
        raise InputError(f"balance must lie between 0 and 1, got {balance}")
    unit = _unit(vectors, len(ranking))
    relevance = _relevance(ranking)
    order: list[int] = []
    nearest = np.zeros(len(ranking))
    while len(order) < len(ranking):
        gains = balance * relevance - (1 - balance) * nearest
        gains[order] = -math.inf
        best = int(gains.argmax())  # the first of equals: they keep their order
        similar = unit @ unit[best]
        nearest = np.maximum(nearest, similar) if order else similar
        order.append(best)
    hits = tuple(replace(ranking.hits[index], rank=rank) for rank, index in enumerate(order, 1))
    return replace(ranking, hits=hits, model=f"{ranking.model}, diversified")


def _unit(vectors: ArrayLike, hits: int) -> NDArray[np.float64]:
    rows: NDArray[np.float64] = np.asarray(vectors, np.float64)
    if hits == 0 and rows.size == 0:
        return np.zeros((0, 1))
    if rows.ndim != 2 or len(rows) != hits or not np.isfinite(rows).all():
        raise InputError(f"vectors must be {hits} rows of finite numbers, one for each hit; got the shape {rows.shape}")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(norms > 0, norms, 1.0)
    return unit


def _relevance(ranking: Ranking[Any]) -> NDArray[np.float64]:
    known = [hit.relevance for hit in ranking if hit.relevance is not None]
    if len(known) == len(ranking):
        return np.array(known, np.float64)
    scores = np.array([hit.score for hit in ranking])
    if not np.isfinite(scores).all():
        scores = -np.arange(len(ranking), dtype=np.float64)
    spread = np.ptp(scores)
    stretched: NDArray[np.float64] = (scores - scores.min()) / spread if spread else np.ones(len(scores))
    return stretched
