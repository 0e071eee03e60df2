"""`resift explain`: show which words of a document carried its score."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from resift.cli._models import reranker
from resift.cli._options import Json, Long, Model, check_file
from resift.cli._output import json_document, note, print_explanation
from resift.errors import InputError

if TYPE_CHECKING:
    from resift.documents.content import SourceDocument


LONGEST_NAME = 255  # of a file, in characters


def explain(
    question: Annotated[str, typer.Argument(help="What you want to know.", show_default=False)],
    document: Annotated[
        str, typer.Argument(help="A text, the name of a file, or - for stdin.", show_default=False, metavar="DOCUMENT")
    ],
    html: Annotated[
        Path | None, typer.Option("--html", callback=check_file, help="Write a page with all of it to this file.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", callback=check_file, help="Write the heat map of words to this file.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", callback=check_file, help="The same as a PNG image; needs resift[eval].")
    ] = None,
    model: Model = None,
    long_documents: Long = None,
    method: Annotated[
        Literal["parts", "occlusion", "attention", "gradient"] | None,
        typer.Option(
            "--method",
            help="The model's own sums; words left out and scored again; or what torch shows of a cross-encoder.",
            show_default="parts, if any",
        ),
    ] = None,
    unit: Annotated[
        Literal["word", "sentence"] | None,
        typer.Option("--unit", help="What occlusion leaves out.", show_default="what the budget allows"),
    ] = None,
    budget: Annotated[
        int, typer.Option("--budget", min=3, help="Texts that occlusion may have scored, at most.")
    ] = 256,
    as_json: Json = False,
) -> None:
    """Explain a score: which words of the document carried it, for which words of the question."""
    from resift.explanation.explain import plan_occlusion
    from resift.report.page import written

    text = _read(document)
    ranker = reranker(model, long_documents)
    if (plan := plan_occlusion(ranker.scorer, question, text, method=method, budget=budget, unit=unit)) is not None:
        note(f"{ranker.scorer.name} is asked to score up to {plan.pairs} texts: {plan.unit} are left out")
    explanation = ranker.explain(question, text, method=method, budget=budget, unit=unit)
    if html is not None:
        written(explanation.to_html(), html)
    if png is not None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            explanation.to_png(png)
        for warning in caught:
            note(str(warning.message))
    if svg is not None:
        written(explanation.to_svg(), svg)
    if as_json:
        json_document(explanation.to_dict())
    else:
        print_explanation(explanation)


def _read(document: str) -> str:
    """Return the text itself, or what a file of that name, or stdin, holds."""
    if document != "-" and not _is_file(document):
        _note_mistaken(document)
        return document
    name = "stdin" if document == "-" else document
    from resift.documents.content import decode
    from resift.documents.readers import SUFFIXES, read

    data = sys.stdin.buffer.read() if document == "-" else Path(document).read_bytes()
    if document == "-" or Path(document).suffix.lower() not in SUFFIXES:
        return decode(data, name)
    note(f"the document is the file {document}")
    return "\n\n".join(part for source in read(data, name) for part in _parts(source, name))


def _parts(source: SourceDocument, name: str) -> Iterator[str]:
    """Yield a document's title, if it isn't the file's name, and its sections below the headings that begin there."""
    from resift.documents.readers import stem_title

    above: tuple[str, ...] = ()
    if source.sections and source.title not in (stem_title(name), Path(name).name, *source.sections[0].headings):
        yield source.title
    for section in source.sections:
        yield from (title for at, title in enumerate(section.headings, 1) if section.headings[:at] != above[:at])
        yield section.text.strip("\n")
        above = section.headings


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a text is often longer than a name may be
        return False


def _note_mistaken(document: str) -> None:
    """Say so where a text looks like the name of a file. Raises InputError for a folder."""
    from resift.documents.readers import SUFFIXES

    if len(document.split()) != 1 or len(document) > LONGEST_NAME:
        return
    if Path(document).is_dir():
        raise InputError(f"{document} is a folder: give a file; a text of this name can come by stdin, as -")
    if Path(document).suffix.lower() in SUFFIXES:
        note(f"there is no file {document}: the document is this text")
