"""`resift depth`: how many candidates to rerank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from resift.cli._models import no_truncation_warning, note_left_out
from resift.cli._options import (
    FirstStage,
    Html,
    Json,
    JudgedCollection,
    KeepIdenticalIds,
    Model,
    Qrels,
    Queries,
    check_plot,
)
from resift.cli._output import console, json_document, note, number, seconds, table
from resift.cli._progress import bar

if TYPE_CHECKING:
    from resift.evaluation import DepthReport


def depth(
    folder: JudgedCollection,
    stage: FirstStage = "bm25",
    model: Model = None,
    deepest: Annotated[
        int, typer.Option("--depth", min=1, help="The largest number of candidates that is measured.")
    ] = 500,
    limit: Queries = None,
    qrels: Qrels = None,
    keep_identical_ids: KeepIdenticalIds = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", callback=check_plot, help="Plot quality over latency in a .png or .svg file."),
    ] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Measure how many candidates to rerank: quality and latency at every depth, and a recommendation."""
    from resift.evaluation import measure_depths, read_collection
    from resift.evaluation.depth import depths_up_to
    from resift.reranking.reranker import Reranker

    with note_left_out():
        collection = read_collection(folder, qrels)
    depths = depths_up_to(deepest)
    with note_left_out(), no_truncation_warning(), bar() as progress:
        report = measure_depths(
            collection,
            Reranker(model),
            stage=stage,
            depths=depths,
            limit=limit,
            ignore_identical_ids=not keep_identical_ids,
            progress=progress,
        )
    if plot is not None:
        from resift.evaluation.plot import plot_depths

        plot_depths(report, plot)
    if html is not None:
        report.to_html(collection, html)
    if as_json:
        json_document(report.to_dict())
    else:
        _show(report)


def _show(report: DepthReport) -> None:
    chosen = report.recommended
    rows = []
    for point in report.points:
        change = point.comparison
        gain = "" if change is None else f"{change.difference:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"
        cells = (str(point.depth), number(point.ndcg), gain, seconds(point.median_seconds) if point.seconds else "")
        remark = "first stage" if change is None else "recommended" if point is chosen else ""
        style = "bold" if point is chosen else ""
        rows.append([Text(cell, style) for cell in (*cells, remark)])
    title = f"{report.collection}: {report.queries} queries, {report.model} over {report.first_stage}"
    screen = console()
    screen.print(table(title, (">depth", ">nDCG@10", ">gain", ">median", ""), rows))
    screen.print(report.recommendation, soft_wrap=True)
    if report.cache_hits:
        note(f"{report.cache_hits} of the timed results came from a cache: documents that are not in it take longer")
