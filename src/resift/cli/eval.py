"""`resift eval`: what reranking gains on a judged collection, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resift.cli._models import no_truncation_warning, note_left_out
from resift.cli._options import FirstStage, Html, Json, JudgedCollection, KeepIdenticalIds, Qrels, Queries
from resift.cli._output import console, json_document, note, number, seconds, table
from resift.cli._progress import bar

if TYPE_CHECKING:
    from resift.evaluation import EvaluationReport

VERDICTS = {
    "better": "better than the first stage",
    "worse": "worse than the first stage: reranking hurts here",
    "no clear difference": "no clear difference to the first stage: reranking is not shown to help here",
}


def evaluate(
    folder: JudgedCollection,
    stage: FirstStage = "bm25",
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="A reranker; may be repeated, to compare in one run.")
    ] = None,
    depth: Annotated[int, typer.Option("--depth", min=1, help="How many candidates are reranked.")] = 100,
    fuse: Annotated[
        float | None,
        typer.Option(
            "--fuse", metavar="W", help="Also show each reranker fused with the first stage, whose weight is W, 0 to 1."
        ),
    ] = None,
    limit: Queries = None,
    qrels: Qrels = None,
    keep_identical_ids: KeepIdenticalIds = False,
    per_query: Annotated[
        Path | None, typer.Option("--per-query", help="Write the figures of every query to a jsonl file.")
    ] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Measure with and without reranking: quality with a confidence interval, latency, pairs per second."""
    from resift.evaluation import evaluate, read_collection
    from resift.reranking.reranker import Reranker

    with note_left_out():
        collection = read_collection(folder, qrels)
    rerankers = {name: Reranker(name) for name in model or ["resift:small"]}
    with note_left_out(), no_truncation_warning(), bar() as progress:
        report = evaluate(
            collection,
            rerankers,
            stage=stage,
            depth=depth,
            limit=limit,
            fuse=fuse,
            ignore_identical_ids=not keep_identical_ids,
            progress=progress,
        )
    if per_query is not None:
        per_query.write_text("".join(json.dumps(row) + "\n" for row in report.per_query()), encoding="utf-8")
    if html is not None:
        report.to_html(collection, html)
    if as_json:
        json_document(report.to_dict())
    else:
        _show(report)


def _show(report: EvaluationReport) -> None:
    rows = []
    for evaluation in report.evaluations:
        figures = evaluation.to_dict()
        times = [seconds(figures[key]) if key in figures else "" for key in ("median_seconds", "p95_seconds")]
        speed = f"{figures['pairs_per_second']:,.0f}" if "pairs_per_second" in figures else ""
        metrics = [number(value) for value in evaluation.metrics.values()]
        rows.append((evaluation.name, *metrics, *times, speed))
    columns = ("", *(f">{metric}" for metric in report.evaluations[0].metrics), ">median", ">p95", ">pairs/s")
    screen = console()
    screen.print(table(f"{report.collection}: {report.queries} queries, {report.depth} candidates", columns, rows))
    for evaluation in report.evaluations:
        if evaluation.refused:
            query, reason = next(iter(evaluation.refused.items()))
            share = f"{len(evaluation.refused)} of {report.queries} queries"
            note(f"{evaluation.name} refused {share}, which keep their first-stage order: {query}: {reason}")
    if not report.ordered:
        screen.print("The candidates are the judged documents: their first-stage order means nothing.")
        return
    for evaluation in report.evaluations:
        if change := evaluation.comparison:
            screen.print(
                f"{evaluation.name}: nDCG@10 {change.difference:+.3f} [{change.low:+.3f}, {change.high:+.3f}], "
                f"{change.wins} won, {change.losses} lost, {change.ties} tied: {VERDICTS[change.verdict]}",
                soft_wrap=True,
            )
