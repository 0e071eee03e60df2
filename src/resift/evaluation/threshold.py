"""What `relevance` is worth on a judged collection, and which `min_relevance` to set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift._util.progress import Progress
from resift.errors import InputError
from resift.evaluation.collection import Collection, Run
from resift.evaluation.experiment import check_keeps_all
from resift.evaluation.first_stage import Stage, find_candidates, stage_name
from resift.evaluation.measured import MeasuredReport
from resift.reranking.reranker import Reranker

BIN_COUNT = 10
CUTS = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True, slots=True)
class Bin:
    """The candidates whose relevance lies in [low, high); the last one holds 1 too."""

    low: float
    high: float
    pairs: int
    promised: float
    """Their mean relevance. A calibrated model promises as much as is found."""
    found: float
    """The share of them that is judged relevant."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a `min_relevance` keeps, counted over the candidates of all queries."""

    min_relevance: float
    kept: float
    """Candidates per query."""
    precision: float
    """Share of those kept that is relevant; 1 where nothing is kept."""
    recall: float
    """Share of the relevant candidates that is kept. What the first stage missed is not counted."""

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """A candidate with its relevance, and whether it is judged relevant."""

    id: str
    relevance: float
    relevant: bool


@dataclass(frozen=True, slots=True)
class ThresholdReport(MeasuredReport):
    """The relevance that the model promises beside the relevance found, in bins, and what each cut keeps."""

    collection: str
    first_stage: str
    model: str
    queries: int
    pairs: int
    relevant: int
    grade: int
    """The lowest grade that counts as relevant. A candidate without a judgement counts as not relevant."""
    bins: Sequence[Bin]
    """The bins that hold a candidate."""
    cuts: Sequence[Cut]
    notes: Sequence[str] = ()
    """What was left out, or counts otherwise than it may seem."""
    candidates: Mapping[str, Sequence[ScoredCandidate]] = field(default_factory=dict, repr=False)
    """query → its candidates, in the reranker's order."""

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of promised and found, over all candidates."""
        return sum(bin.pairs * abs(bin.promised - bin.found) for bin in self.bins) / self.pairs

    @property
    def recommended(self) -> Cut:
        """The cut of highest F1; of several the lowest, which loses less."""
        return max(self.cuts, key=lambda cut: cut.f1)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        return {
            "collection": self.collection,
            "first_stage": self.first_stage,
            "model": self.model,
            "queries": self.queries,
            "pairs": self.pairs,
            "relevant": self.relevant,
            "notes": list(self.notes),
            "grade": self.grade,
            "calibration_error": self.error,
            "bins": [asdict(bin) for bin in self.bins],
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
    ignore_identical_ids: bool = True,
    progress: Progress | None = None,
) -> ThresholdReport:
    """Measure what `relevance` is worth: score candidates, and compare with the judgements.

    Args:
        collection: A judged collection.
        reranker: Its scores have a relevance, and it has neither `top_k` nor `min_relevance`.
        stage: The first stage, as `evaluate` takes it.
        depth: Candidates that are scored per query.
        grade: The lowest grade that counts as relevant.
        limit: Only the collection's first `limit` queries; None: all.
        ignore_identical_ids: Leave out the document that has the query's own id: see `find_candidates`.
        progress: Called with the queries done and the queries in all.

    Returns:
        Promised and found relevance in bins, what each `min_relevance` keeps, and which one is recommended.

    Raises:
        InputError: The reranker's scores are no probabilities, no candidate has the grade, or an argument is wrong.
    """
    if not reranker.scorer.scale.has_relevance:
        raise InputError(f"{reranker.scorer.name} gives a {reranker.scorer.scale}, which min_relevance can't cut")
    judged = judged_scores(collection, reranker, stage, depth, grade, limit, ignore_identical_ids, progress)
    return threshold_report(collection, judged, stage, reranker.scorer.name, grade)


@dataclass(frozen=True, slots=True)
class JudgedScores:
    """The scores of all candidates of all queries, and which of these are judged relevant."""

    scores: Sequence[float]
    relevance: NDArray[np.float64]
    """0 where the scale has none."""
    relevant: NDArray[np.bool_]
    queries: int
    notes: Sequence[str]
    run: Run
    """query → the candidates, in the order of the scores."""


def judged_scores(
    collection: Collection,
    reranker: Reranker,
    stage: Stage,
    depth: int,
    grade: int,
    limit: int | None,
    ignore_identical_ids: bool,
    progress: Progress | None,
) -> JudgedScores:
    """Score the candidates of every query. Arguments and errors are those of `measure_thresholds`."""
    if depth < 1 or grade < 1 or (limit is not None and limit < 1):
        raise InputError(f"depth, grade and limit must be at least 1, got {depth}, {grade} and {limit}")
    check_keeps_all(reranker)
    found = find_candidates(stage, collection, depth, limit, ignore_identical_ids=ignore_identical_ids)
    scores, relevances, judgements = [], [], []
    run: dict[str, list[str]] = {}
    for done, (query, listed) in enumerate(found.run.items()):
        if progress is not None:
            progress(done, len(found.run))
        ranking = reranker.rank(collection.queries[query], listed, text=collection.documents.__getitem__)
        run[query] = ranking.documents
        for hit in ranking:
            scores.append(hit.score)
            relevances.append(hit.relevance or 0.0)
            judgements.append(collection.qrels[query].get(hit.document, 0) >= grade)
    relevant = np.array(judgements, bool)
    if not relevant.any():
        raise InputError(f"no candidate of {collection.name} has grade {grade}: there is nothing to set a threshold by")
    return JudgedScores(scores, np.array(relevances, float), relevant, len(found.run), found.notes, run)


def threshold_report(
    collection: Collection, judged: JudgedScores, stage: Stage, model: str, grade: int
) -> ThresholdReport:
    """Return what these scores' relevance promises and what is found."""
    relevance, relevant = judged.relevance, judged.relevant
    return ThresholdReport(
        collection.name,
        stage if isinstance(stage, str) else stage_name(stage),
        model,
        judged.queries,
        len(relevance),
        int(relevant.sum()),
        grade,
        reliability(relevance, relevant),
        [_cut(value, relevance, relevant, judged.queries) for value in CUTS],
        (*collection.notes, *judged.notes),
        _candidates(judged),
    )


def _candidates(judged: JudgedScores) -> dict[str, list[ScoredCandidate]]:
    rows = zip(judged.relevance.tolist(), judged.relevant.tolist(), strict=True)
    return {query: [ScoredCandidate(id, *next(rows)) for id in listed] for query, listed in judged.run.items()}


def reliability(relevance: NDArray[np.float64], relevant: NDArray[np.bool_]) -> list[Bin]:
    """Sort candidates by relevance, 0 to 1, into ten bins of equal width; empty bins are left out.

    >>> reliability(np.array([0.1, 0.15, 0.9]), np.array([False, True, True]))[0].found
    0.5
    """
    bin_of_pair = np.minimum((relevance * BIN_COUNT).astype(int), BIN_COUNT - 1)
    bins = []
    for number in np.unique(bin_of_pair).tolist():
        inside = bin_of_pair == number
        promised, found = float(relevance[inside].mean()), float(relevant[inside].mean())
        bins.append(Bin(number / BIN_COUNT, (number + 1) / BIN_COUNT, int(inside.sum()), promised, found))
    return bins


def _cut(value: float, relevance: NDArray[np.float64], relevant: NDArray[np.bool_], queries: int) -> Cut:
    kept = relevance >= value
    hits = int((kept & relevant).sum())
    precision = hits / int(kept.sum()) if kept.any() else 1.0
    return Cut(value, float(kept.sum()) / queries, precision, hits / int(relevant.sum()))
