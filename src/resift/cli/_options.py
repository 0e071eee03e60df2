"""Options that several commands have, written once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LongDocuments(StrEnum):
    """What happens to texts longer than the model reads; `resift.scorer.LongDocuments`, as an option."""

    TRUNCATE = "truncate"
    MAX_WINDOW = "max_window"
    FIRST_WINDOW = "first_window"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection.")]
Db = Annotated[Path, typer.Option("--db", help="Folder of the database.")]
TopK = Annotated[int | None, typer.Option("--top-k", "-k", min=1, help="How many results; all without it.")]
MinRelevance = Annotated[
    float | None, typer.Option("--min-relevance", min=0, max=1, help="Only results at least this relevant, 0 to 1.")
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A bundled model, a folder, scheme:name or a Hugging Face id; see `models`."),
]
Long = Annotated[
    LongDocuments | None,
    typer.Option("--long-documents", help="Texts longer than the model reads: their beginning, or their best window."),
]
JudgedCollection = Annotated[
    Path, typer.Argument(metavar="COLLECTION", help="A folder with corpus.jsonl, queries.jsonl, qrels.tsv.")
]
FirstStage = Annotated[
    str,
    typer.Option(
        "--first-stage",
        help="bm25, static, dense (bi-encoders), judged, chroma:FOLDER, st:FOLDER, a run file; or two joined by +.",
    ),
]
Queries = Annotated[int | None, typer.Option("--queries", min=1, help="Only so many queries.")]
Qrels = Annotated[Path | None, typer.Option("--qrels", help="The judgements, where there are several files.")]


def drawable(path: Path | None) -> Path | None:
    """For `--plot`: a name that can't be written should cost no minutes of measuring."""
    if path is not None:
        from resift.evaluation.plot import check_target

        check_target(path)
    return path


COLLECTION = "documents"
DB = Path(".resift")
STATES = "states.sqlite3"
"""Beside the database: what `--keep-states` keeps."""
