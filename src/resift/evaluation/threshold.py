"""What `relevance` is worth on a judged collection, and which `min_relevance` to set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift._util.progress import Progress
from resift.errors import InputError
from resift.evaluation.collection import Collection
from resift.evaluation.experiment import check_keeps_all
from resift.evaluation.first_stage import Stage, candidates, stage_name
from resift.reranking.reranker import Reranker

BINS = 10
CUTS = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True, slots=True)
class Bin:
    """The candidates whose relevance lies in [low, high); the last one holds 1 too."""

    low: float
    high: float
    pairs: int
    promised: float
    """Their mean relevance. What a calibrated model promises is what is found."""
    found: float
    """The share of them that is judged relevant."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What `min_relevance` keeps, counted over the candidates of all queries."""

    min_relevance: float
    kept: float
    """Candidates per query."""
    precision: float
    """Share of those kept that is relevant; 1 where nothing is kept."""
    recall: float
    """Share of the relevant candidates that is kept. What the first stage missed is not counted."""

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True, slots=True)
class ThresholdReport:
    """Promise against finding in bins, and what each cut keeps."""

    collection: str
    first_stage: str
    model: str
    queries: int
    pairs: int
    relevant: int
    grade: int
    """The lowest grade that counts as relevant. A candidate without a judgement counts as not relevant."""
    bins: Sequence[Bin]
    """Those that hold a candidate."""
    cuts: Sequence[Cut]

    @property
    def error(self) -> float:
        """Expected calibration error: how far promise and finding are apart, over all candidates."""
        return sum(one.pairs * abs(one.promised - one.found) for one in self.bins) / self.pairs

    @property
    def recommended(self) -> Cut:
        """The cut of highest F1; of equals the lowest, which loses less."""
        return max(self.cuts, key=lambda cut: cut.f1)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {
            "collection": self.collection,
            "first_stage": self.first_stage,
            "model": self.model,
            "queries": self.queries,
            "pairs": self.pairs,
            "relevant": self.relevant,
            "grade": self.grade,
            "calibration_error": self.error,
            "bins": [asdict(one) for one in self.bins],
            "cuts": [{**asdict(cut), "f1": cut.f1} for cut in self.cuts],
            "recommended": self.recommended.min_relevance,
        }


def measure_thresholds(
    collection: Collection,
    reranker: Reranker,
    *,
    stage: Stage = "bm25",
    depth: int = 100,
    grade: int = 1,
    limit: int | None = None,
    progress: Progress | None = None,
) -> ThresholdReport:
    """Scores the first `depth` candidates of the collection's first `limit` queries, and compares with judgements.

    `stage` is what `evaluate` takes. Raises InputError for a reranker whose scores are no probabilities, and where no
    candidate has the grade.
    """
    if depth < 1 or grade < 1 or (limit is not None and limit < 1):
        raise InputError(f"depth, grade and limit must be at least 1, got {depth}, {grade} and {limit}")
    check_keeps_all(reranker)
    if not reranker.scorer.scale.has_relevance:
        raise InputError(f"{reranker.scorer.name} gives a {reranker.scorer.scale}, which min_relevance can't cut")
    lists = candidates(stage, collection, depth, limit)
    promised, found = [], []
    for done, (query, listed) in enumerate(lists.items()):
        if progress is not None:
            progress(done, len(lists))
        for hit in reranker.rank(collection.queries[query], listed, text=collection.documents.__getitem__):
            promised.append(hit.relevance or 0.0)  # never None: the scale was checked
            found.append(collection.qrels[query].get(hit.document, 0) >= grade)
    relevance, relevant = np.array(promised, float), np.array(found, bool)
    if not relevant.any():
        raise InputError(f"no candidate of {collection.name} has grade {grade}: nothing to tell a threshold by")
    return ThresholdReport(
        collection.name,
        stage if isinstance(stage, str) else stage_name(stage),
        reranker.scorer.name,
        len(lists),
        len(relevance),
        int(relevant.sum()),
        grade,
        reliability(relevance, relevant),
        [_cut(value, relevance, relevant, len(lists)) for value in CUTS],
    )


def reliability(relevance: NDArray[np.float64], relevant: NDArray[np.bool_]) -> list[Bin]:
    """Ten bins of equal width, without the empty ones.

    >>> reliability(np.array([0.1, 0.15, 0.9]), np.array([False, True, True]))[0].found
    0.5
    """
    places = np.minimum((relevance * BINS).astype(int), BINS - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        promised, found = float(relevance[inside].mean()), float(relevant[inside].mean())
        bins.append(Bin(int(place) / BINS, (int(place) + 1) / BINS, int(inside.sum()), promised, found))
    return bins


def _cut(value: float, relevance: NDArray[np.float64], relevant: NDArray[np.bool_], queries: int) -> Cut:
    kept = relevance >= value
    hits = int((kept & relevant).sum())
    precision = hits / int(kept.sum()) if kept.any() else 1.0
    return Cut(value, float(kept.sum()) / queries, precision, hits / int(relevant.sum()))
