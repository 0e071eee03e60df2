"""Fit what makes a model's relevance a probability, on judged data: a slope and a shift (Platt scaling)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from resift._util.progress import Progress
from resift.errors import InputError
from resift.evaluation.collection import Collection
from resift.evaluation.first_stage import Stage
from resift.evaluation.notes import tell
from resift.evaluation.threshold import ThresholdReport, judged_scores, threshold_report
from resift.reranking.reranker import Reranker
from resift.scorer import ScorerTraits
from resift.scoring.calibrated import Calibration, as_fitted, check_can_be_calibrated

FEW = 20
"""Relevant candidates below which a fit is rough; a line of the log says so."""
STEPS = 100
HALVINGS = 30


def fit_calibration(
    collection: Collection,
    reranker: Reranker,
    *,
    stage: Stage = "bm25",
    depth: int = 100,
    grade: int = 1,
    limit: int | None = None,
    ignore_identical_ids: bool = True,
    progress: Progress | None = None,
) -> Calibration:
    """Fit a calibration for any model on a judged collection; `Reranker(model, calibration=...)` takes it.

    Args:
        collection: A judged collection.
        reranker: Has neither `top_k` nor `min_relevance`. Its scores may be logits, probabilities or similarities.
        stage: The first stage, as `evaluate` takes it.
        depth: Candidates that are scored per query. It decides what a candidate's chance is: use what you rerank.
        grade: The lowest grade that counts as relevant. Candidates without a judgement count as not relevant.
        limit: Only the collection's first `limit` queries; None: all.
        ignore_identical_ids: Leave out the document that has the query's own id: see `find_candidates`.
        progress: Called with the queries done and the queries in all.

    Returns:
        The calibration, with how it was fitted and the calibration error before (where there was a relevance) and
        after, on the same candidates.

    Raises:
        InputError: Scores that mean something within one list only, candidates that are all of one kind, a model that
            gives relevant candidates lower scores, or an argument is wrong.
    """
    return fit_and_measure(
        collection,
        reranker,
        stage=stage,
        depth=depth,
        grade=grade,
        limit=limit,
        ignore_identical_ids=ignore_identical_ids,
        progress=progress,
    )[0]


def fit_and_measure(
    collection: Collection,
    reranker: Reranker,
    *,
    stage: Stage = "bm25",
    depth: int = 100,
    grade: int = 1,
    limit: int | None = None,
    ignore_identical_ids: bool = True,
    progress: Progress | None = None,
) -> tuple[Calibration, ThresholdReport]:
    """Do what `fit_calibration` does, and measure thresholds of what comes out. Each candidate is scored once."""
    scorer = reranker.scorer
    check_can_be_calibrated(scorer)
    judged = judged_scores(collection, reranker, stage, depth, grade, limit, ignore_identical_ids, progress)
    scores, relevant = np.array(as_fitted(scorer.scale, judged.scores), float), judged.relevant
    if not np.isfinite(scores).all():  # `on_error="keep_order"`
        raise InputError(f"{scorer.name} gave no score for some candidates: a calibration needs all of them")
    slope, shift = fit(scores, relevant)
    if (count := int(relevant.sum())) < FEW:
        few = f"only {count} relevant candidates: the calibration is rough"
        judged = replace(judged, notes=[*judged.notes, few])
        tell(collection.name, [few])
    after = threshold_report(
        collection, replace(judged, relevance=_sigmoid(slope * scores + shift)), stage, scorer.name, grade
    )
    before = threshold_report(collection, judged, stage, scorer.name, grade).error
    fitted = {
        "collection": collection.name,
        "first_stage": after.first_stage,
        "depth": depth,
        "grade": grade,
        "queries": after.queries,
        "pairs": after.pairs,
        "relevant": count,
        "error_before": before if scorer.scale.has_relevance else None,
        "error_after": after.error,
        "by": f"resift {version('resift')}",
    }
    return Calibration(scorer.name, scorer.scale, slope, shift, ScorerTraits.of(scorer).identity, fitted), after


def fit(
    scores: Sequence[float] | NDArray[np.float64], relevant: Sequence[bool] | NDArray[np.bool_]
) -> tuple[float, float]:
    """Return slope and shift that make sigmoid(slope x score + shift) the probability of being relevant.

    Platt 1999, with his smoothing of labels, which keeps the slope finite where scores divide the two kinds; by
    Newton's method (Lin, Lin and Weng 2007). Raises InputError where all labels are the same, or where a higher score
    means less relevant.

    >>> slope, shift = fit([-2.0, -1.0, 1.0, 2.0], [False, False, True, True])
    >>> slope > 0, abs(shift) < 1e-9
    (True, True)
    """
    labels = np.asarray(relevant, bool)
    count, positives = len(labels), int(labels.sum())
    if positives in (0, count):
        raise InputError(f"{count} pairs, all of one kind: calibration needs relevant ones and others")
    values = np.asarray(scores, float)
    center, spread = float(values.mean()), float(values.std()) or 1.0
    design = np.stack([(values - center) / spread, np.ones(count)])
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (count - positives + 2))
    weights = np.array([0.0, np.log((positives + 1) / (count - positives + 1))])
    loss = _loss(weights @ design, targets)
    for _ in range(STEPS):
        promised = _sigmoid(weights @ design)
        gradient = design @ (promised - targets)
        curvature = (design * (promised * (1 - promised))) @ design.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        for halving in range(HALVINGS):
            new = weights - step / 2**halving
            if (new_loss := _loss(new @ design, targets)) <= loss:
                break
        moved, weights, loss = float(np.abs(new - weights).max()), new, new_loss
        if moved < 1e-10:
            break
    slope = float(weights[0]) / spread
    if not slope > 0:
        raise InputError(f"slope {slope:.3f}: a higher score means less relevant here, so no calibration is possible")
    return slope, float(weights[1]) - slope * center


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -values))


def _loss(values: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    """Return the cross-entropy, summed."""
    return float((np.logaddexp(0, values) - targets * values).sum())
