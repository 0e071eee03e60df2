"""`resift eval`: what reranking gains on a judged collection, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resift.cli._models import no_truncation_warning, note_left_out
from resift.cli._options import DB, Html, Json, KeepIdenticalIds, Qrels, Queries, check_file
from resift.cli._output import console, json_document, note, number, seconds, table
from resift.cli._progress import bar
from resift.errors import InputError

if TYPE_CHECKING:
    from resift.evaluation import Collection, EvaluationReport
    from resift.evaluation.first_stage import Stage

VERDICTS = {
    "better": "better than the first stage",
    "worse": "worse than the first stage: reranking hurts here",
    "no clear difference": "no clear difference to the first stage: reranking is not shown to help here",
}


def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="COLLECTION",
            help="A folder with corpus.jsonl, queries.jsonl, qrels.tsv; or, with --questions, an indexed collection.",
            show_default=False,
        ),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            "--first-stage",
            help="bm25; static, dense or multilingual (bi-encoders); judged, chroma:FOLDER, st:FOLDER, a run file; or "
            "two joined by +.",
            show_default="bm25, or an indexed collection's own search",
        ),
    ] = None,
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
    name: Annotated[
        str | None,
        typer.Option("--collection", "-c", help="Measure on this indexed collection.", show_default="documents"),
    ] = None,
    db: Annotated[Path | None, typer.Option("--db", help="Folder of its database.", show_default=str(DB))] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            help="JSON lines with query and relevant (path, path#heading, sentence); with --judge, a question a line.",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option("--judge", metavar="MODEL", help="An LLM that grades what both orders put first: openai:MODEL."),
    ] = None,
    pool: Annotated[int, typer.Option("--pool", min=1, help="Passages of each order that the judge grades.")] = 10,
    twice: Annotated[
        float, typer.Option("--twice", min=0, max=1, help="Share of them that it grades again, to compare with itself.")
    ] = 0.1,
    budget: Annotated[
        int | None, typer.Option("--budget", min=0, help="Calls that the judge may make without being asked.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to what the judge will cost.")] = False,
    per_query: Annotated[
        Path | None,
        typer.Option("--per-query", callback=check_file, help="Write the figures of every query to a jsonl file."),
    ] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Measure with and without reranking: quality with a confidence interval, latency, pairs per second."""
    from resift.cli._indexed import GRADES, Source, agreement, judging_llm
    from resift.cli._search import own_model
    from resift.evaluation import LlmJudge, evaluate, read_collection
    from resift.reranking.reranker import Reranker

    graded_by, usual = None, "resift:small"
    with note_left_out(), no_truncation_warning():
        if questions is None and judge is None and name is None and db is None:
            if folder is None:
                raise InputError("give a judged COLLECTION, or --collection of an indexed one")
            collection: Collection = read_collection(folder, qrels)
            chosen: Stage = stage or "bm25"
            llm = None
        else:
            if qrels is not None:
                raise InputError("--qrels is for a judged folder; an indexed collection has --questions")
            source = Source.of(folder, db, name, questions, judge)
            llm = None if judge is None else judging_llm(judge)
            collection, chosen = source.read(depth, stage, limit)
            usual = own_model(source.db, source.name)
        rerankers = {label: Reranker(label) for label in model or [usual]}
        with bar() as progress:
            if llm is not None:
                agree = agreement(yes, budget)
                graded_by = LlmJudge(llm, source.db / GRADES, pool=pool, twice=twice, agree=agree, progress=progress)
            report = evaluate(
                collection,
                rerankers,
                stage=chosen,
                depth=depth,
                limit=limit,
                fuse=fuse,
                ignore_identical_ids=not keep_identical_ids,
                progress=progress,
                judge=graded_by,
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
