"""Measurements as pages: figures, plots, and the queries that were won and lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from resift.errors import InputError
from resift.evaluation.collection import Collection, Run
from resift.evaluation.depth import DepthPoint, DepthReport
from resift.evaluation.experiment import MAIN_METRIC, Evaluation, EvaluationReport
from resift.evaluation.html_queries import changes, cut_cards, list_cards
from resift.evaluation.measured import MeasuredReport
from resift.evaluation.threshold import ScoredCandidate, ThresholdReport
from resift.report.elements import Child, Html, element, join
from resift.report.moves import legend
from resift.report.page import figures, notice, page, table
from resift.report.plot import Axis, Curve, Mark, axis_of, bars, intervals, plot

VERDICTS = {
    "better": "Reranking is better than the first stage here.",
    "worse": "Reranking is worse than the first stage here.",
    "no clear difference": "Reranking is not shown to help here: the interval of its gain holds 0.",
}
LARGEST_DOT, SMALLEST_DOT = 13.0, 3.0


def report_page(report: MeasuredReport, collection: Collection, queries: int) -> str:
    """Return the page of a report. See `MeasuredReport.to_html`."""
    if isinstance(report, EvaluationReport):
        return _evaluation_page(report, collection, queries)
    if isinstance(report, DepthReport):
        return _depth_page(report, collection, queries)
    if isinstance(report, ThresholdReport):
        return _threshold_page(report, collection, queries)
    raise TypeError(f"a {type(report).__name__} has no page")


def _evaluation_page(report: EvaluationReport, collection: Collection, queries: int) -> str:
    """Return a page of `resift eval`."""
    first, *others = report.evaluations
    _check(collection, report.collection, first.run)
    collection = replace(collection, qrels=report.qrels or collection.qrels)  # an LLM may have graded
    compared = [evaluation for evaluation in others if evaluation.comparison is not None and report.ordered]
    best = max(others, key=lambda evaluation: evaluation.metrics[MAIN_METRIC], default=first)
    rows = [_row(evaluation) for evaluation in report.evaluations]
    columns = ("", *(f">{metric}" for metric in first.metrics), ">median", ">95th percentile", ">pairs/s")
    return page(
        f"{report.collection}: {report.queries} queries",
        *_notes(report.notes),
        _judge(report.judge),
        *(_refused(evaluation, report.queries) for evaluation in others if evaluation.refused),
        None if report.ordered else notice("The candidates are the judged documents: their first order means nothing."),
        figures(
            [
                ("First stage", element("bdi", report.first_stage), f"{report.depth} candidates of each query"),
                (f"{MAIN_METRIC}, first stage", f"{first.metrics[MAIN_METRIC]:.3f}", None),
                (f"{MAIN_METRIC}, reranked", f"{best.metrics[MAIN_METRIC]:.3f}", element("bdi", best.name)),
                *_gain(best if report.ordered else first),
            ]
        ),
        element("h2", "Quality and cost"),
        element("div", table(columns, rows, chosen=report.evaluations.index(best)), class_="panel"),
        element("h2", "What reranking gains, query by query") if compared else None,
        _gains(compared) if compared else None,
        *_by_query(report, compared, collection, queries),
        kicker="Evaluation",
        lead=_lead(best) if report.ordered else None,
        made_by="Made by resift eval.",
    )


def _judge(judge: Mapping[str, Any] | None) -> Html | None:
    """Return a line on the LLM that graded, and how far it agrees with itself."""
    if judge is None:
        return None
    same = judge.get("same_level")
    again = "" if same is None else f" Of {judge['twice']} that it graded twice, {same:.0%} came to the same level."
    return notice(f"Graded by {judge['name']}, an LLM, and not by people: {judge['graded']} passages.{again}")


def _row(evaluation: Evaluation) -> Sequence[Child]:
    data = evaluation.to_dict()
    times = [_duration(data[key]) if key in data else "" for key in ("median_seconds", "p95_seconds")]
    speed = f"{data['pairs_per_second']:,.0f}" if "pairs_per_second" in data else ""
    metrics = [f"{value:.3f}" for value in evaluation.metrics.values()]
    return (element("bdi", evaluation.name), *metrics, *times, speed)


def _lead(best: Evaluation) -> str | None:
    change = best.comparison
    return None if change is None else f"{best.name}: {VERDICTS[change.verdict]}"


def _gain(best: Evaluation) -> list[tuple[str, Child, Child]]:
    change = best.comparison
    if change is None:
        return []
    kind = {"better": "up", "worse": "down"}.get(change.verdict, "still")
    interval = f"95 % interval {change.low:+.3f} to {change.high:+.3f}"
    counts = f"of queries; {change.ties} tied"
    return [
        ("Gain", element("span", f"{change.difference:+.3f}", class_=kind), interval),
        ("Won, lost", f"{change.wins}, {change.losses}", counts),
    ]


def _gains(compared: Sequence[Evaluation]) -> Html:
    rows = [
        (evaluation.name, change.difference, change.low, change.high)
        for evaluation in compared
        if (change := evaluation.comparison) is not None
    ]
    return intervals(f"Gain in {MAIN_METRIC} over the first stage, with its 95 % interval", rows, MAIN_METRIC)


def _by_query(
    report: EvaluationReport, compared: Sequence[Evaluation], collection: Collection, queries: int
) -> list[Html]:
    first = report.evaluations[0]
    before = first.per_query[MAIN_METRIC]
    shown = queries // max(1, len(compared))
    sections = []
    for evaluation in compared:
        ordered = changes(before, evaluation.per_query[MAIN_METRIC])
        names = (report.first_stage, evaluation.name)
        sections.append(
            element(
                "section",
                element("h2", element("bdi", evaluation.name), ": wins and losses"),
                bars(
                    f"Difference in {MAIN_METRIC}, query by query",
                    [change.difference for change in ordered],
                    f"{MAIN_METRIC}, difference",
                ),
                list_cards(ordered, collection, first.run, evaluation.run, names, shown),
            )
        )
    return sections


def _refused(evaluation: Evaluation, queries: int) -> Html:
    query, reason = next(iter(evaluation.refused.items()))
    share = f"{len(evaluation.refused)} of {queries} queries"
    return notice(f"{evaluation.name} refused {share}, which keep their first-stage order: {query}: {reason}")


def _depth_page(report: DepthReport, collection: Collection, queries: int) -> str:
    """Return a page of `resift depth`."""
    first, *points = report.points
    _check(collection, report.collection, report.lists)
    chosen = report.recommended
    shown = chosen or max(points, key=lambda point: point.gain)
    columns = (">depth", f">{MAIN_METRIC}", ">gain", ">95 % interval", ">median", "")
    ordered = changes(first.per_query, shown.per_query)
    names = (report.first_stage, f"{report.model}, the first {shown.depth}")
    return page(
        f"{report.collection}: how many candidates to rerank",
        *_notes(report.notes),
        _from_cache(report.cache_hits),
        figures(
            [
                (
                    "Recommended",
                    f"{chosen.depth} candidates" if chosen else "none",
                    None if chosen else "no gain is clear",
                ),
                (f"{MAIN_METRIC}, first stage", f"{first.ndcg:.3f}", element("bdi", report.first_stage)),
                (f"{MAIN_METRIC}, reranked", f"{shown.ndcg:.3f}", f"at {shown.depth} candidates"),
                ("Reranking a query", _duration(shown.median_seconds), f"median of {report.timed}"),
                ("Model", element("bdi", report.model), f"{report.queries} queries"),
            ]
        ),
        _depth_plot(report, first, points),
        element(
            "div",
            table(columns, [_depth_row(point, chosen) for point in report.points], chosen=_place(report, chosen)),
            class_="panel",
        ),
        element("h2", f"Wins and losses at {shown.depth} candidates"),
        bars(
            f"Difference in {MAIN_METRIC}, query by query",
            [change.difference for change in ordered],
            f"{MAIN_METRIC}, difference",
        ),
        list_cards(ordered, collection, report.lists, report.run_at(shown.depth), names, queries),
        kicker="Depth",
        lead=report.recommendation,
        made_by="Made by resift depth.",
    )


def _from_cache(hits: int) -> Html | None:
    if not hits:
        return None
    return notice(f"{hits} of the timed results came from a cache: documents that are not in it take longer.")


def _place(report: DepthReport, chosen: DepthPoint | None) -> int | None:
    return None if chosen is None else list(report.points).index(chosen)


def _depth_row(point: DepthPoint, chosen: DepthPoint | None) -> Sequence[Child]:
    change = point.comparison
    gain = ("", "") if change is None else (f"{change.difference:+.3f}", f"{change.low:+.3f} to {change.high:+.3f}")
    remark = "first stage" if change is None else "recommended" if point is chosen else ""
    return (point.depth, f"{point.ndcg:.3f}", *gain, _duration(point.median_seconds) if point.seconds else "", remark)


def _depth_plot(report: DepthReport, first: DepthPoint, points: Sequence[DepthPoint]) -> Html:
    chosen = report.recommended
    band = [
        (first.ndcg + change.low, min(1.0, first.ndcg + change.high)) if change else (point.ndcg, point.ndcg)
        for point in points
        for change in [point.comparison]
    ]
    times = [point.median_seconds for point in points]
    x = Axis("reranking time of a query", min(times) / 1.2, max(times) * 1.2, _duration, log=True)
    y = axis_of(MAIN_METRIC, [first.ndcg, *(value for pair in band for value in pair)])
    curves = [
        Curve(
            "reranked, by depth; shaded: 95 % interval of the gain",
            [(point.median_seconds, point.ndcg) for point in points],
            band=band,
            dots=[5.0] * len(points),
            names=["" if point is chosen else str(point.depth) for point in points],
        ),
        Curve("first stage alone", [(x.low, first.ndcg), (x.high, first.ndcg)], "base"),
    ]
    marks = [] if chosen is None else [Mark(f"rerank {chosen.depth}", chosen.median_seconds, chosen.ndcg)]
    return plot("Quality over time", curves, x, y, marks)


def _threshold_page(report: ThresholdReport, collection: Collection, queries: int) -> str:
    """Return a page of `resift threshold`."""
    _check(
        collection,
        report.collection,
        {query: [one.id for one in listed] for query, listed in report.candidates.items()},
    )
    chosen = report.recommended
    cut = chosen.min_relevance
    everything = {query: _f1(listed, 0.0) for query, listed in report.candidates.items()}
    kept = {query: _f1(listed, cut) for query, listed in report.candidates.items()}
    ordered = changes(everything, kept)
    rows = [
        (
            f"{one.min_relevance:.2f}",
            f"{one.kept:.1f}",
            f"{one.precision:.2f}",
            f"{one.recall:.2f}",
            f"{one.f1:.2f}",
            "recommended" if one is chosen else "",
        )
        for one in report.cuts
    ]
    return page(
        f"{report.collection}: which min_relevance to set",
        *_notes(report.notes),
        figures(
            [
                ("Recommended", f"{cut:g}", f"F1 {chosen.f1:.2f}, the highest"),
                (
                    "Precision, recall",
                    f"{chosen.precision:.2f}, {chosen.recall:.2f}",
                    f"{chosen.kept:.1f} kept per query",
                ),
                ("Calibration error", f"{report.error:.3f}", "mean distance of promised and found"),
                ("Pairs", f"{report.pairs:,}", f"{report.relevant:,} judged relevant (grade {report.grade} or more)"),
                ("Model", element("bdi", report.model), join("over ", element("bdi", report.first_stage))),
            ]
        ),
        element("div", _bins_plot(report), _cuts_plot(report), class_="plots"),
        element(
            "div",
            table(
                (">min_relevance", ">kept per query", ">precision", ">recall", ">F1", ""),
                rows,
                chosen=list(report.cuts).index(chosen),
            ),
            class_="panel",
        ),
        element("h2", f"What a min_relevance of {cut:g} does to single queries"),
        legend("Compared by F1: all candidates kept, and those from the cut on."),
        bars("Difference in F1, query by query", [change.difference for change in ordered], "F1, difference"),
        cut_cards(ordered, collection, report.candidates, cut, queries),
        kicker="Threshold",
        lead=f"{report.queries} queries. Without a judgement a candidate counts as not relevant.",
        made_by="Made by resift threshold.",
    )


def _bins_plot(report: ThresholdReport) -> Html:
    share = Axis("relevance, as the model says", 0, 1, "{:.1f}".format)
    found = Axis("share judged relevant", 0, 1, "{:.1f}".format)
    largest = max(bin.pairs for bin in report.bins)
    dots = [SMALLEST_DOT + (LARGEST_DOT - SMALLEST_DOT) * (bin.pairs / largest) ** 0.5 for bin in report.bins]
    curves = [
        Curve("found; larger dots: more pairs", [(bin.promised, bin.found) for bin in report.bins], dots=dots),
        Curve("as promised", [(0, 0), (1, 1)], "base"),
    ]
    return plot("Is relevance right?", curves, share, found)


def _cuts_plot(report: ThresholdReport) -> Html:
    cuts = report.cuts
    curves = [
        Curve("precision", [(cut.min_relevance, cut.precision) for cut in cuts]),
        Curve("recall", [(cut.min_relevance, cut.recall) for cut in cuts], "second"),
    ]
    x, y = Axis("min_relevance", 0, 1, "{:.1f}".format), Axis("precision and recall", 0, 1, "{:.1f}".format)
    marks = [Mark(f"best F1: {report.recommended.min_relevance:g}", report.recommended.min_relevance)]
    return plot("What a cut keeps", curves, x, y, marks)


def _f1(listed: Sequence[ScoredCandidate], cut: float) -> float:
    kept = [candidate for candidate in listed if candidate.relevance >= cut]
    right = sum(candidate.relevant for candidate in kept)
    relevant = sum(candidate.relevant for candidate in listed)
    return 2 * right / (len(kept) + relevant) if kept or relevant else 1.0


def _check(collection: Collection, measured: str, run: Run) -> None:
    """Raise InputError for another collection than the one that was measured."""
    for query, listed in run.items():
        missing = [id for id in listed if id not in collection.documents]
        if query not in collection.queries or missing:
            what = f"no document {missing[0]!r}" if missing else f"no query {query!r}"
            raise InputError(f"{collection.name} has {what}: give the collection that was measured, {measured}")


def _notes(notes: Sequence[str]) -> list[Html]:
    return [notice(note) for note in notes]


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
