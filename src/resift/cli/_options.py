"""Options that several commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resift._util.endings import has_other_ending
from resift.errors import InputError


class LongDocuments(StrEnum):
    """What happens to texts longer than the model reads; `resift.scorer.LongDocuments`, as an option."""

    TRUNCATE = "truncate"
    MAX_WINDOW = "max_window"
    FIRST_WINDOW = "first_window"


class EmbedderName(StrEnum):
    """`resift.embedders.load.BUNDLED_EMBEDDERS`, as an option."""

    STATIC = "static"
    DENSE = "dense"
    MULTILINGUAL = "multilingual"


KINDS = {"--html": "text/html", "--svg": "image/svg+xml", "--png": "image/png"}
"""Option → the media type of the file that it writes."""


def check_file(option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Check a file that is to be written, before the work is done. Raises InputError."""
    if path is not None and not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if path is not None and path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file")
    if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path} can't be written: there is no permission to")
    name = option.opts[0]
    if path is not None and name in KINDS and has_other_ending(path, KINDS[name]):
        raise InputError(f"{path}: {name} writes a file that ends in .{name[2:]}")
    return path


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection.")]
Db = Annotated[Path, typer.Option("--db", help="Folder of the database.")]
TopK = Annotated[int | None, typer.Option("--top-k", "-k", min=1, help="How many results.", show_default="all")]
MinRelevance = Annotated[
    float | None, typer.Option("--min-relevance", min=0, max=1, help="Only results at least this relevant, 0 to 1.")
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="A bundled model, a folder, scheme:name or a Hugging Face id; `resift models` lists them."
    ),
]
Long = Annotated[
    LongDocuments | None,
    typer.Option(
        "--long-documents",
        metavar="HOW",  # the three names take more than a column of a screen of 80
        help="Texts longer than the model reads: truncate (with a note) or first_window, their beginning; max_window, "
        "their best window.",
        show_default="max_window for the bundled models, truncate for others",
    ),
]
EvidenceShown = Annotated[
    bool,
    typer.Option("--evidence", help="Show the sentence that answers, of each result, in place of its beginning."),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option("--calibration", help="A file of `resift threshold --save`: relevance is then a probability."),
]
Instruction = Annotated[
    str | None,
    typer.Option("--instruction", help="What makes a text relevant, in words, for a model that reads one."),
]
JudgedCollection = Annotated[
    Path, typer.Argument(metavar="COLLECTION", help="A folder with corpus.jsonl, queries.jsonl, qrels.tsv.")
]
FirstStage = Annotated[
    str,
    typer.Option(
        "--first-stage",
        help="bm25; static, dense or multilingual (bi-encoders); judged, chroma:FOLDER, st:FOLDER, a run file; or two "
        "joined by +.",
    ),
]
Queries = Annotated[
    int | None, typer.Option("--queries", min=1, help="How many queries, from the first on.", show_default="all")
]
KeepIdenticalIds = Annotated[
    bool,
    typer.Option("--keep-identical-ids", help="Keep candidates with the query's own id, which BEIR leaves out."),
]
Qrels = Annotated[Path | None, typer.Option("--qrels", help="The file of judgements, where the folder has several.")]

Html = Annotated[
    Path | None, typer.Option("--html", callback=check_file, help="Write all of it to this file, as a page to look at.")
]


def check_plot(path: Path | None) -> Path | None:
    """Check the file of `--plot` before minutes of measuring. Raises InputError."""
    if path is not None:
        from resift.evaluation.plot import check_target

        check_target(path)
    return path


COLLECTION = "documents"
DB = Path(".resift")
STATES = "states.sqlite3"
"""The file beside the database where `--keep-states` keeps document states."""
