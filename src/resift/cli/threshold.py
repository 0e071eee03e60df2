"""`resift threshold`: which `min_relevance` to set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from resift.cli._models import no_truncation_warning, note_left_out, reranker
from resift.cli._options import (
    CalibrationFile,
    FirstStage,
    Html,
    Instruction,
    Json,
    JudgedCollection,
    KeepIdenticalIds,
    Long,
    Model,
    Qrels,
    Queries,
    check_plot,
)
from resift.cli._output import console, json_document, note, number, table
from resift.cli._progress import bar
from resift.errors import InputError

if TYPE_CHECKING:
    from resift.evaluation import ThresholdReport

CUTS_SHOWN = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)  # beside the recommended one


def threshold(
    folder: JudgedCollection,
    stage: FirstStage = "bm25",
    model: Model = None,
    long_documents: Long = None,
    calibration: CalibrationFile = None,
    instruction: Instruction = None,
    depth: Annotated[int, typer.Option("--depth", min=1, help="How many candidates are scored.")] = 100,
    grade: Annotated[int, typer.Option("--grade", min=1, help="The lowest grade that counts as relevant.")] = 1,
    limit: Queries = None,
    qrels: Qrels = None,
    keep_identical_ids: KeepIdenticalIds = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            callback=check_plot,
            help="Plot the promised relevance against the share judged relevant, in a .png or .svg file.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Fit a calibration on these judgements, measure with it, and write it here."),
    ] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Measure what relevance is worth: is 0.8 right in 8 of 10 cases, and which --min-relevance to set."""
    from resift.evaluation import measure_thresholds, read_collection
    from resift.evaluation.calibration import fit_and_measure

    if save is not None and calibration is not None:
        raise InputError("--save fits a calibration, and --calibration uses one: give one of the two")
    if save is not None and not save.parent.is_dir():
        raise InputError(f"--save {save}: there is no folder {save.parent}")
    if save is not None and save.is_dir():
        raise InputError(f"--save {save} is a folder: give the name of a file, as in {save / 'calibration.json'}")
    with note_left_out():
        collection = read_collection(folder, qrels)
    how: dict[str, Any] = {
        "stage": stage,
        "depth": depth,
        "grade": grade,
        "limit": limit,
        "ignore_identical_ids": not keep_identical_ids,
    }
    ranker = reranker(model, long_documents, calibration=calibration, instruction=instruction)
    with note_left_out(), no_truncation_warning(), bar() as progress:
        if save is None:
            report = measure_thresholds(collection, ranker, progress=progress, **how)
        else:
            fitted, report = fit_and_measure(collection, ranker, progress=progress, **how)
            fitted.save(save)
    if plot is not None:
        from resift.evaluation.plot import plot_reliability

        plot_reliability(report, plot)
    if html is not None:
        report.to_html(collection, html)
    if as_json:
        json_document(report.to_dict())
    else:
        _show(report)
    if save is not None:
        note(
            f"{save}: calibration of {fitted.model}; use it with --calibration, or Reranker(..., calibration=...); the "
            "figures are of the questions that it was fitted on: measure others with --calibration"
        )


def _show(report: ThresholdReport) -> None:
    chosen = report.recommended
    rows = []
    for cut in report.cuts:
        if cut is not chosen and cut.min_relevance not in CUTS_SHOWN:
            continue
        figures = (cut.precision, cut.recall, cut.f1)
        cells = (number(cut.min_relevance, 2), f"{cut.kept:.1f}", *(number(figure, 2) for figure in figures))
        style = "bold" if cut is chosen else ""
        rows.append([Text(cell, style) for cell in (*cells, "recommended" if cut is chosen else "")])
    screen = console()
    title = f"{report.collection}: {report.queries} queries, {report.model} over {report.first_stage}"
    columns = (">min_relevance", ">kept per query", ">precision", ">recall", ">F1", "")
    screen.print(table(title, columns, rows))
    bins = ", ".join(f"{bin.promised:.2f} → {bin.found:.2f}" for bin in report.bins)
    screen.print(f"relevance → share judged relevant: {bins} (calibration error {report.error:.3f})", soft_wrap=True)
