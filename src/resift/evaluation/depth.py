"""How many candidates to rerank: quality and latency at many depths, and a depth recommended by rule."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from resift._util.progress import Progress
from resift.errors import InputError
from resift.evaluation.collection import Collection, Run
from resift.evaluation.experiment import MAIN_METRIC, check_keeps_all
from resift.evaluation.first_stage import JUDGED, Stage, find_candidates, stage_name
from resift.evaluation.measured import MeasuredReport
from resift.evaluation.metrics import Comparison, compare, measure
from resift.reranking.reranker import Reranker

DEPTHS = (5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500)
TIMED_QUERIES = 10  # timed at every depth
SUFFICIENT_SHARE = 0.99  # of the best gain: what a deeper list adds to that is not worth its time
ROUNDING_ERROR = 1e-9  # of sums of floats: a gain of exactly 99 % counts as such
ORDER_SEED = 7  # the depths are timed in the same order every time


@dataclass(frozen=True, slots=True)
class DepthPoint:
    """Quality and time of reranking the first `depth` candidates; the others follow in first-stage order."""

    depth: int
    """0 is the first stage itself."""
    ndcg: float
    """nDCG@10, mean over the queries."""
    per_query: Mapping[str, float]
    comparison: Comparison | None = None
    """Against the first stage; None for the first stage itself."""
    seconds: Sequence[float] = ()
    """Of reranking alone, for each of the queries that were timed."""

    @property
    def gain(self) -> float:
        """The gain over the first stage, in nDCG@10."""
        return 0.0 if self.comparison is None else self.comparison.difference

    @property
    def median_seconds(self) -> float:
        """Median time of a query; 0 for the first stage, which reranks nothing."""
        return float(np.median(self.seconds)) if len(self.seconds) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain data for JSON, without the single queries."""
        comparison = None
        if self.comparison is not None:
            comparison = {**asdict(self.comparison), "verdict": self.comparison.verdict}
        return {
            "depth": self.depth,
            MAIN_METRIC: self.ndcg,
            "against_first_stage": comparison,
            "median_seconds": self.median_seconds,
            "seconds": list(self.seconds),
        }


@dataclass(frozen=True, slots=True)
class DepthReport(MeasuredReport):
    """What each depth gains and costs, the first stage (depth 0) first."""

    collection: str
    first_stage: str
    model: str
    queries: int
    timed: int
    """Queries that were timed."""
    cache_hits: int
    """Results that the engine took from its cache in the timed calls: above 0, new documents take longer."""
    points: Sequence[DepthPoint]
    notes: Sequence[str] = ()
    """What was left out, or counts otherwise than it may seem."""
    lists: Run = field(default_factory=dict, repr=False)
    """Every query's candidates, in first-stage order."""
    orders: Mapping[str, Sequence[int]] = field(default_factory=dict, repr=False)
    """Their places in that order, in the reranker's."""

    def run_at(self, depth: int) -> Run:
        """Return the order that reranking the first `depth` candidates gives."""
        return {query: _reranked(order, self.lists[query], depth) for query, order in self.orders.items()}

    @property
    def recommended(self) -> DepthPoint | None:
        """The smallest depth with 99 % of the best gain, of the depths shown to be better than the first stage.

        None where no depth is: where the paired bootstrap interval of every gain holds 0 or less.
        """
        best = self.best
        if best is None:
            return None
        return next(point for point in self._better() if point.gain >= SUFFICIENT_SHARE * best.gain - ROUNDING_ERROR)

    @property
    def best(self) -> DepthPoint | None:
        """The depth of most gain, of those shown to be better than the first stage; of equals the smallest."""
        return max(self._better(), key=lambda point: point.gain, default=None)

    @property
    def recommendation(self) -> str:
        """What to do, and why, in a sentence or two."""
        best, chosen = self.best, self.recommended
        if best is None or chosen is None:
            return self._no_help()
        gain = f"{best.gain:+.3f} nDCG@10"
        if chosen is not best:
            text = f"Rerank {chosen.depth}: {_share(chosen, best)} of {best.depth} ({gain})."
        else:
            text = f"Rerank {best.depth}, the depth of most gain ({gain})."
            smaller = [point for point in self._better() if point.depth < best.depth]
            if smaller:
                text += f" {smaller[-1].depth}: {_share(smaller[-1], best)}."
        return f"{text}{self._beyond(best, chosen)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        best, chosen = self.best, self.recommended
        return {
            "collection": self.collection,
            "first_stage": self.first_stage,
            "model": self.model,
            "queries": self.queries,
            "timed": self.timed,
            "cache_hits": self.cache_hits,
            "notes": list(self.notes),
            "depths": [point.to_dict() for point in self.points],
            "best": best and best.depth,
            "recommended": chosen and chosen.depth,
            "recommendation": self.recommendation,
        }

    def _better(self) -> list[DepthPoint]:
        return [point for point in self.points if point.comparison and point.comparison.verdict == "better"]

    def _no_help(self) -> str:
        verdicts = {point.depth: point.comparison.verdict for point in self.points if point.comparison}
        worse = [str(depth) for depth, verdict in verdicts.items() if verdict == "worse"]
        text = f"Reranking is not shown to help at any depth: on {self.queries} queries, no gain is clear of chance."
        return f"{text} At {', '.join(worse)} it hurts." if worse else text

    def _beyond(self, best: DepthPoint, chosen: DepthPoint) -> str:
        """Return what the deepest list says about going deeper than the best."""
        deepest = self.points[-1]
        if deepest is best:
            return f" Deeper may give more: {best.depth} is the deepest measured." if chosen is best else ""
        change = compare(best.per_query, deepest.per_query)
        if change.verdict == "worse":
            return f" Deeper is worse: {deepest.depth} loses {-change.difference:.3f} against {best.depth}."
        unclear = change.verdict == "no clear difference"
        return f" Deeper gains nothing more: {deepest.depth} is no better than {best.depth}." if unclear else ""


def depths_up_to(deepest: int) -> list[int]:
    """Return the usual depths below `deepest`, and it.

    >>> depths_up_to(25)
    [5, 10, 20, 25]
    """
    return [*(depth for depth in DEPTHS if depth < deepest), deepest]


def measure_depths(
    collection: Collection,
    reranker: Reranker,
    *,
    stage: Stage = "bm25",
    depths: Sequence[int] = DEPTHS,
    limit: int | None = None,
    timed: int = TIMED_QUERIES,
    ignore_identical_ids: bool = True,
    progress: Progress | None = None,
) -> DepthReport:
    """Measure quality and latency at every depth.

    The quality at all depths comes from one pass over the deepest: a document's score does not depend on the others.
    The latency is measured, not derived: some queries are reranked once more at every depth, the depths in an order
    drawn anew for each query, so that noise and warming up affect all alike. A query with fewer candidates than a
    depth counts with those it has, as it would in use.

    Args:
        collection: A judged collection.
        reranker: It has neither `top_k` nor `min_relevance`.
        stage: The first stage, as `evaluate` takes it, but not the judged documents.
        depths: How many candidates to rerank. Depths beyond the longest list of candidates are left out, and that
            list's own length takes their place.
        limit: Only the collection's first `limit` queries; None: all.
        timed: How many queries are timed, spread evenly over those measured.
        ignore_identical_ids: Leave out the document that has the query's own id: see `find_candidates`.
        progress: Called with the steps done and the steps in all.

    Returns:
        Quality and times at each depth, the first stage as depth 0, and a recommendation.

    Raises:
        InputError: An argument is wrong, or the first stage finds nothing.
    """
    if stage == JUDGED:
        raise InputError(
            "the judged documents come in an order that means nothing, so no depth of it does: choose a first stage, "
            "such as bm25, or a run"
        )
    if not depths or min(depths) < 1 or timed < 1 or (limit is not None and limit < 1):
        raise InputError(f"depths, timed and limit must be at least 1, got {list(depths)}, {timed} and {limit}")
    check_keeps_all(reranker)
    found = find_candidates(stage, collection, max(depths), limit, ignore_identical_ids=ignore_identical_ids)
    lists = found.run
    deepest = max(map(len, lists.values()))
    steps = sorted({min(depth, deepest) for depth in depths})
    sample = _spread(list(lists), timed)
    counter = _StepCounter(progress, len(lists) + len(sample))
    orders = _rerank(collection, reranker, lists, counter)
    seconds, cache_hits = _time(collection, reranker, {query: lists[query] for query in sample}, steps, counter)
    qrels = {query: collection.qrels[query] for query in lists}
    before = measure(qrels, lists, (MAIN_METRIC,))[MAIN_METRIC]
    points = [DepthPoint(0, _mean(before), before)]
    for depth in steps:
        run = {query: _reranked(orders[query], listed, depth) for query, listed in lists.items()}
        after = measure(qrels, run, (MAIN_METRIC,))[MAIN_METRIC]
        points.append(DepthPoint(depth, _mean(after), after, compare(before, after), seconds[depth]))
    name = stage if isinstance(stage, str) else stage_name(stage)
    notes = (*collection.notes, *found.notes)
    model = reranker.scorer.name
    return DepthReport(
        collection.name, name, model, len(lists), len(sample), cache_hits, points, notes, lists=lists, orders=orders
    )


class _StepCounter:
    """Reports steps of different kinds as one progress."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def begin_step(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)
        self._done += 1


def _rerank(collection: Collection, reranker: Reranker, lists: Run, counter: _StepCounter) -> dict[str, list[int]]:
    """Return the indices of each query's candidates, best first."""
    orders: dict[str, list[int]] = {}
    for query, listed in lists.items():
        counter.begin_step()
        ranking = reranker.rank(collection.queries[query], listed, text=collection.documents.__getitem__)
        orders[query] = [hit.index for hit in ranking]
    return orders


def _reranked(order: Sequence[int], listed: Sequence[str], depth: int) -> list[str]:
    """Return what reranking the first `depth` alone gives: a document's score does not depend on the others.

    >>> _reranked([2, 0, 1], ["a", "b", "c"], depth=2)
    ['a', 'b', 'c']
    """
    return [*(listed[index] for index in order if index < depth), *listed[depth:]]


def _time(
    collection: Collection, reranker: Reranker, lists: Run, depths: Sequence[int], counter: _StepCounter
) -> tuple[dict[int, list[float]], int]:
    """Return each depth's seconds, query by query, and how many results came from the engine's cache."""
    draw = np.random.default_rng(ORDER_SEED)
    seconds: dict[int, list[float]] = {depth: [] for depth in depths}
    cache_hits = 0
    for query, listed in lists.items():
        counter.begin_step()
        spent: dict[int, float] = {}
        for length in draw.permutation(sorted({min(depth, len(listed)) for depth in depths})).tolist():
            started = time.perf_counter()
            ranking = reranker.rank(collection.queries[query], listed[:length], text=collection.documents.__getitem__)
            spent[length] = time.perf_counter() - started
            cache_hits += ranking.stats.cache_hits
        for depth in depths:
            seconds[depth].append(spent[min(depth, len(listed))])
    return seconds, cache_hits


def _spread(queries: Sequence[str], count: int) -> list[str]:
    """Return `count` of the queries, at even distances.

    >>> _spread(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    indices = np.linspace(0, len(queries) - 1, min(count, len(queries))).round().astype(int)
    return [queries[index] for index in indices]


def _mean(per_query: Mapping[str, float]) -> float:
    return float(np.mean(list(per_query.values())))


def _share(part: DepthPoint, whole: DepthPoint) -> str:
    gain, spent = part.gain / whole.gain, part.median_seconds / whole.median_seconds
    # Rounded down: 99.6 % is not all of it.
    return f"{int(100 * (gain + ROUNDING_ERROR))} % of the gain in {100 * spent:.0f} % of the time"
