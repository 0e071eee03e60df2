"""`resift rerank`: order the lines of a file, or the records of a jsonl file, by relevance."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from resift.cli._models import no_truncation_warning, note_truncation, reranker
from resift.cli._options import (
    CalibrationFile,
    EvidenceShown,
    Html,
    Instruction,
    Json,
    Long,
    MinRelevance,
    Model,
    TopK,
)
from resift.cli._output import console, json_document, movement, note, number, snippet, table
from resift.errors import InputError

LINES = (".txt", ".log", ".csv", ".tsv")  # files that are often made of one text a line


def rerank(
    question: Annotated[str, typer.Argument(help="What you want to know.", show_default=False)],
    file: Annotated[str, typer.Argument(help="A file with one document a line, or - for stdin.", show_default=False)],
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Each line is a JSON object with a text; for a .jsonl file the default.")
    ] = False,
    top_k: TopK = None,
    min_relevance: MinRelevance = None,
    model: Model = None,
    long_documents: Long = None,
    calibration: CalibrationFile = None,
    instruction: Instruction = None,
    evidence: EvidenceShown = False,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Rerank documents from a file or a pipe."""
    documents = _read_documents(file, jsonl or file.lower().endswith(".jsonl"))
    ranker = reranker(model, long_documents, calibration=calibration, instruction=instruction)
    with no_truncation_warning():
        ranking = ranker.rank(
            question, documents, text=_text, top_k=top_k, min_relevance=min_relevance, evidence=evidence
        )
    if html is not None:
        given = "stdin" if file == "-" else Path(file).name
        ranking.to_html(html, title=_name, first_stage=f"the order of {given}")
    if as_json:
        json_document(ranking.to_dict(document=_fields))
    else:
        screen = console()
        rows = [
            (
                str(hit.rank),
                str(hit.index + 1),
                movement(hit.moved),
                number(hit.score),
                number(hit.relevance),
                snippet(hit.evidence[0].text if hit.evidence else hit.text, screen.width),
            )
            for hit in ranking
        ]
        screen.print(table("", (">rank", ">was", ">moved", ">score", ">relevance", "document"), rows))
    note_truncation(ranking.stats, long_documents)


@dataclass(frozen=True, slots=True)
class _Document:
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def _read_documents(file: str, jsonl: bool) -> list[_Document]:
    from resift.documents.content import decode
    from resift.documents.readers import READERS
    from resift.documents.records import records

    name = "stdin" if file == "-" else file
    kind = "" if file == "-" or jsonl else Path(file).suffix.lower()
    read_whole = kind in READERS and kind not in LINES
    try:
        text = decode(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes(), name)
    except InputError:
        if not read_whole:
            raise
        raise InputError(
            f"{name}: rerank takes a text file with one document a line; `resift index` and `resift search` read {kind}"
        ) from None
    if read_whole:
        note(f"each line of {name} is a document; `resift index` reads {kind} as passages")
    if not jsonl:
        return [_Document(line.strip()) for line in text.split("\n") if line.strip()]
    return [
        _Document(f"{record.title}\n\n{record.text}" if record.title else record.text, record.fields)
        for record in records(text, name)
    ]


def _text(document: _Document) -> str:
    return document.text


def _name(document: _Document) -> str:
    from resift.reranking.page import name_of

    return name_of(document.fields)


def _fields(document: _Document) -> dict[str, Any]:
    return dict(document.fields)
