"""Several rerankers over one first stage: quality with confidence, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from resift._util.progress import Progress
from resift.errors import InputError
from resift.evaluation.collection import Collection, Qrels, Run
from resift.evaluation.first_stage import JUDGED, Stage, find_candidates, stage_name
from resift.evaluation.fusion import fuse as fuse_runs
from resift.evaluation.judge import LlmJudge
from resift.evaluation.measured import MeasuredReport
from resift.evaluation.metrics import METRICS, Comparison, compare, measure
from resift.reranking.reranker import Reranker

MAIN_METRIC = METRICS[0]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An order of every query's candidates, by the first stage or by a reranker, and how good it is."""

    name: str
    metrics: Mapping[str, float]
    """metric → mean over the queries."""
    per_query: Mapping[str, Mapping[str, float]]
    comparison: Comparison | None = None
    """Against the first stage, in nDCG@10; None for the first stage itself."""
    seconds: Sequence[float] = field(default_factory=list)
    """Of reranking, query by query."""
    pairs: int = 0
    """Candidates that were scored, over all queries."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Queries that the reranker can't take (too long for it), and why. They count with their first-stage order."""
    run: Run = field(default_factory=dict, repr=False)
    """The order of every query's candidates."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain data for JSON, without the single queries."""
        cost = {}
        if self.seconds:
            median, p95 = np.quantile(self.seconds, [0.5, 0.95])
            speed = self.pairs / sum(self.seconds)
            cost = {"median_seconds": float(median), "p95_seconds": float(p95), "pairs_per_second": speed}
        comparison = None
        if self.comparison is not None:
            comparison = {**asdict(self.comparison), "verdict": self.comparison.verdict}
        return {
            "name": self.name,
            "metrics": dict(self.metrics),
            "against_first_stage": comparison,
            "refused": dict(self.refused),
            **cost,
        }


@dataclass(frozen=True, slots=True)
class EvaluationReport(MeasuredReport):
    """What was measured, and on which collection: the first stage, then each reranker."""

    collection: str
    first_stage: str
    depth: int
    queries: int
    evaluations: Sequence[Evaluation]
    ordered: bool
    """False where the first stage is the judged documents, whose order means nothing."""
    fuse: float | None = None
    """Weight of the first stage in the rows that fuse it with a reranker's order; None where there are none."""
    notes: Sequence[str] = ()
    """What was left out, or counts otherwise than it may seem."""
    judge: Mapping[str, Any] | None = None
    """The LLM that graded, and how far it agrees with itself; None where people have judged."""
    qrels: Qrels = field(default_factory=dict, repr=False)
    """The grades that it was measured by: the collection's, or the LLM's."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        return {
            "collection": self.collection,
            "first_stage": self.first_stage,
            "first_stage_ordered": self.ordered,
            "depth": self.depth,
            "fuse": self.fuse,
            "queries": self.queries,
            "notes": list(self.notes),
            "judge": None if self.judge is None else dict(self.judge),
            "evaluations": [evaluation.to_dict() for evaluation in self.evaluations],
        }

    def per_query(self) -> list[dict[str, Any]]:
        """Return a row of plain data for each query and order, for JSON."""
        return [
            {
                "query": query,
                "name": evaluation.name,
                **{metric: values[query] for metric, values in evaluation.per_query.items()},
            }
            for evaluation in self.evaluations
            for query in evaluation.per_query[MAIN_METRIC]
        ]


def evaluate(
    collection: Collection,
    rerankers: Mapping[str, Reranker],
    *,
    stage: Stage = "bm25",
    depth: int = 100,
    limit: int | None = None,
    fuse: float | None = None,
    ignore_identical_ids: bool = True,
    progress: Progress | None = None,
    judge: LlmJudge | None = None,
) -> EvaluationReport:
    """Rerank the candidates of every query with every reranker, and measure all orders.

    Queries go one at a time, as they would in use, and the rerankers take turns on each, so that noise affects all
    alike.

    Args:
        collection: A judged collection.
        rerankers: name → reranker. A query that a reranker refuses (it is too long for it) keeps its first-stage
            order there, and the evaluation says so.
        stage: The first stage: a name that `first_stage` takes, or a run (`embedding_run` and `retrieved_run` make
            such).
        depth: Candidates that are reranked per query.
        limit: Only the collection's first `limit` queries; None: all.
        fuse: Adds, for each reranker, its order fused with the first stage's by reciprocal rank, where the first
            stage weighs `fuse` and the reranker 1 - `fuse`.
        ignore_identical_ids: Leave out the document that has the query's own id: see `find_candidates`.
        progress: Called with the queries done and the queries in all.
        judge: An LLM that grades what the orders put first, in the place of the collection's judgements.

    Returns:
        The first stage's evaluation, then each reranker's, compared with the first stage.

    Raises:
        InputError: An argument is wrong, the first stage finds nothing, or a reranker refuses every query.
    """
    if depth < 1 or (limit is not None and limit < 1):
        raise InputError(f"depth and limit must be at least 1, got {depth} and {limit}")
    if fuse is not None and not 0 < fuse < 1:
        raise InputError(f"fuse is the weight of the first stage, between 0 and 1, got {fuse}")
    if fuse is not None and stage == JUDGED:
        raise InputError("the judged documents have no first-stage order to fuse with: leave fuse out")
    found = find_candidates(stage, collection, depth, limit, ignore_identical_ids=ignore_identical_ids)
    lists = found.run
    outcomes = _rerank(collection, rerankers, lists, progress)
    qrels = {query: collection.qrels[query] for query in lists}
    judged = None if judge is None else judge.judge(collection, [lists, *(each.run for each in outcomes.values())])
    if judged is not None:
        qrels = {query: dict(judged.qrels[query]) for query in lists if query in judged.qrels}
        lists = {query: lists[query] for query in qrels}
        outcomes = {name: outcome.of(qrels) for name, outcome in outcomes.items()}
    before = measure(qrels, lists)
    name = stage_name(stage)
    evaluations = [Evaluation(f"first stage: {name}", _means(before), before, run=lists)]
    for model, outcome in outcomes.items():
        pairs = sum(len(listed) for query, listed in lists.items() if query not in outcome.refused)
        cost = Evaluation(model, {}, {}, seconds=outcome.seconds, pairs=pairs, refused=outcome.refused)
        evaluations.append(_with_figures(cost, qrels, outcome.run, before[MAIN_METRIC]))
        if fuse is not None:
            fused = fuse_runs([lists, outcome.run], [fuse, 1 - fuse])
            cost = replace(cost, name=f"{model} + first stage")
            evaluations.append(_with_figures(cost, qrels, fused, before[MAIN_METRIC]))
    full_name = stage if isinstance(stage, str) else name
    return EvaluationReport(
        collection.name,
        full_name,
        depth,
        len(lists),
        evaluations,
        ordered=stage != JUDGED,
        fuse=fuse,
        notes=(*collection.notes, *found.notes, *(judged.notes if judged is not None else ())),
        judge=None if judge is None or judged is None else {"name": judge.name, **judged.to_dict()},
        qrels=qrels,
    )


@dataclass(slots=True)
class _Outcome:
    """What a reranker made of the queries."""

    run: dict[str, Sequence[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def of(self, queries: Container[str]) -> _Outcome:
        """Return what it made of these queries alone."""
        timed = zip((query for query in self.run if query not in self.refused), self.seconds, strict=True)
        return _Outcome(
            {query: listed for query, listed in self.run.items() if query in queries},
            [seconds for query, seconds in timed if query in queries],
            {query: why for query, why in self.refused.items() if query in queries},
        )


def _rerank(
    collection: Collection, rerankers: Mapping[str, Reranker], lists: Run, progress: Progress | None
) -> dict[str, _Outcome]:
    """Rerank all lists with all rerankers. Raises InputError where a reranker refuses every query."""
    outcomes = {name: _Outcome() for name in rerankers}
    for done, (query, listed) in enumerate(lists.items()):
        if progress is not None:
            progress(done, len(lists))
        for name, reranker in rerankers.items():
            outcome = outcomes[name]
            started = time.perf_counter()
            try:
                ranking = reranker.rank(collection.queries[query], listed, text=collection.documents.__getitem__)
            except InputError as error:
                outcome.refused[query] = str(error)
                if len(outcome.refused) == len(lists):
                    raise
                outcome.run[query] = listed
                continue
            outcome.seconds.append(time.perf_counter() - started)
            outcome.run[query] = ranking.documents
    return outcomes


def check_keeps_all(reranker: Reranker) -> None:
    """Raise InputError for a reranker that drops candidates: what is measured needs the rank of each."""
    if reranker.top_k is not None or reranker.min_relevance is not None:
        raise InputError(f"every candidate's rank is needed: {reranker} must have neither top_k nor min_relevance")


def _with_figures(
    evaluation: Evaluation, qrels: Mapping[str, Mapping[str, int]], run: Run, before: Mapping[str, float]
) -> Evaluation:
    """Return the evaluation with the metrics of a run, compared with the first stage's main metric."""
    after = measure(qrels, run)
    comparison = compare(before, after[MAIN_METRIC])
    return replace(evaluation, metrics=_means(after), per_query=after, comparison=comparison, run=run)


def _means(per_query: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {metric: float(np.mean(list(values.values()))) for metric, values in per_query.items()}
