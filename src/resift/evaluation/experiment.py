"""Several rerankers over one first stage: quality with confidence, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from resift._util.progress import Progress
from resift.errors import InputError
from resift.evaluation.collection import Collection, Run
from resift.evaluation.first_stage import JUDGED, Stage, candidates, stage_name
from resift.evaluation.fusion import fuse as fused
from resift.evaluation.measure import METRICS, Comparison, compare, measure
from resift.reranking.reranker import Reranker

MAIN = METRICS[0]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One order of every query's candidates."""

    name: str
    metrics: Mapping[str, float]
    """metric → mean over the queries."""
    per_query: Mapping[str, Mapping[str, float]]
    comparison: Comparison | None = None
    """Against the first stage, in nDCG@10; None for the first stage itself."""
    seconds: Sequence[float] = field(default_factory=list)
    """Of each query."""
    pairs: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    """Queries that the reranker can't take (too long for it), and why. They count with their first-stage order."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe, without the single queries."""
        cost = {}
        if self.seconds:
            median, slow = np.quantile(self.seconds, [0.5, 0.95])
            speed = self.pairs / sum(self.seconds)
            cost = {"median_seconds": float(median), "p95_seconds": float(slow), "pairs_per_second": speed}
        versus = None
        if self.comparison is not None:
            versus = {**asdict(self.comparison), "verdict": self.comparison.verdict}
        return {
            "name": self.name,
            "metrics": dict(self.metrics),
            "against_first_stage": versus,
            "refused": dict(self.refused),
            **cost,
        }


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What was measured on what: the first stage, then each reranker."""

    collection: str
    first_stage: str
    depth: int
    queries: int
    evaluations: Sequence[Evaluation]
    ordered: bool
    """False where the first stage is the judged documents, whose order means nothing."""
    fuse: float | None = None
    """Weight of the first stage in the rows that fuse it with a reranker's order; None where there are none."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {
            "collection": self.collection,
            "first_stage": self.first_stage,
            "first_stage_ordered": self.ordered,
            "depth": self.depth,
            "fuse": self.fuse,
            "queries": self.queries,
            "evaluations": [each.to_dict() for each in self.evaluations],
        }

    def per_query(self) -> list[dict[str, Any]]:
        """A JSON-safe row for each query and order."""
        return [
            {"query": query, "name": each.name, **{metric: values[query] for metric, values in each.per_query.items()}}
            for each in self.evaluations
            for query in each.per_query[MAIN]
        ]


def evaluate(
    collection: Collection,
    rerankers: Mapping[str, Reranker],
    *,
    stage: Stage = "bm25",
    depth: int = 100,
    limit: int | None = None,
    fuse: float | None = None,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Reranks the first `depth` candidates of every query with every reranker, and measures all orders.

    `stage` is a name that `first_stage` takes, or a run (`embedding_run` and `retrieved_run` make some). `limit`
    measures so many queries only: the collection's first. `fuse` adds, for each reranker, its order fused with the
    first stage's by reciprocal rank, where the first stage weighs `fuse` and the reranker 1 - `fuse`. Queries go one
    at a time, as they would in use, and the rerankers take turns on each, so that noise hits all alike.

    A query that a reranker refuses (it is too long for it) keeps its first-stage order there, and its evaluation says
    so. Raises InputError where it refuses all.
    """
    if depth < 1 or (limit is not None and limit < 1):
        raise InputError(f"depth and limit must be at least 1, got {depth} and {limit}")
    if fuse is not None and not 0 < fuse < 1:
        raise InputError(f"fuse is the weight of the first stage, between 0 and 1, got {fuse}")
    if fuse is not None and stage == JUDGED:
        raise InputError("the judged documents have no first-stage order to fuse with: leave fuse out")
    lists = candidates(stage, collection, depth, limit)
    qrels = {query: collection.qrels[query] for query in lists}
    before = measure(qrels, lists)
    runs: dict[str, dict[str, Sequence[str]]] = {name: {} for name in rerankers}
    seconds: dict[str, list[float]] = {name: [] for name in rerankers}
    refused: dict[str, dict[str, str]] = {name: {} for name in rerankers}
    for done, query in enumerate(lists):
        if progress is not None:
            progress(done, len(lists))
        for name, reranker in rerankers.items():
            started = time.perf_counter()
            try:
                ranking = reranker.rank(collection.queries[query], lists[query], text=collection.documents.__getitem__)
            except InputError as error:
                refused[name][query] = str(error)
                if len(refused[name]) == len(lists):
                    raise
                runs[name][query] = lists[query]
                continue
            seconds[name].append(time.perf_counter() - started)
            runs[name][query] = ranking.documents
    name = stage_name(stage)
    evaluations = [Evaluation(f"first stage: {name}", _means(before), before)]
    for model, run in runs.items():
        pairs = sum(len(listed) for query, listed in lists.items() if query not in refused[model])
        one = Evaluation(model, {}, {}, seconds=seconds[model], pairs=pairs, refused=refused[model])
        evaluations.append(_measured(one, qrels, run, before[MAIN]))
        if fuse is not None:
            both = fused([lists, run], [fuse, 1 - fuse])
            evaluations.append(_measured(replace(one, name=f"{model} + first stage"), qrels, both, before[MAIN]))
    told = stage if isinstance(stage, str) else name
    return EvaluationReport(collection.name, told, depth, len(lists), evaluations, ordered=stage != JUDGED, fuse=fuse)


def check_keeps_all(reranker: Reranker) -> None:
    """Raises InputError for a reranker that drops candidates: what is measured needs the place of each."""
    if reranker.top_k is not None or reranker.min_relevance is not None:
        raise InputError(f"every candidate's place is needed: {reranker} must have neither top_k nor min_relevance")


def _measured(
    one: Evaluation, qrels: Mapping[str, Mapping[str, int]], run: Run, before: Mapping[str, float]
) -> Evaluation:
    """The same with the figures of its order."""
    after = measure(qrels, run)
    return replace(one, metrics=_means(after), per_query=after, comparison=compare(before, after[MAIN]))


def _means(per_query: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {metric: float(np.mean(list(values.values()))) for metric, values in per_query.items()}
