"""Training pairs as the command line names them: FILE, or FILE:ROWS for a part of it, or a corpus."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resift.errors import InputError

if TYPE_CHECKING:
    from resift.training.pairs import TrainingPair


def check_paths(folder: Path, specs: Sequence[str], corpora: Sequence[Path] = ()) -> None:
    """Check what is named before torch is imported, which takes a while.

    Args:
        folder: Where the model is to go.
        specs: FILE or FILE:ROWS.
        corpora: Files of texts.

    Raises:
        InputError: A file is not there, or the folder can't be made.
    """
    for spec in specs:
        file_and_rows(spec)
    for corpus in corpora:
        if not corpus.is_file():
            raise InputError(f"{corpus}: no such file; --corpus takes a corpus.jsonl")
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"{folder} can't be made: {there} is a file; give another folder")
    if not os.access(there, os.W_OK):
        raise InputError(f"{folder} can't be made: there is no permission to write into {there}; give another folder")


def chosen_pairs(specs: Sequence[str], seed: int) -> list[TrainingPair]:
    """Return the pairs of all files; of `FILE:ROWS` at most that many, drawn by the seed. Raises InputError."""
    from resift.training.pairs import read_pairs

    chosen: list[TrainingPair] = []
    for spec in specs:
        file, rows = file_and_rows(spec)
        pairs = read_pairs([file])
        random.Random(seed).shuffle(pairs)  # noqa: S311 - a choice of examples, nothing secret
        chosen += pairs[:rows]
    return chosen


def pairs_of_files_and_corpora(
    specs: Sequence[str], corpora: Sequence[Path], seed: int, sentences: int
) -> list[TrainingPair]:
    """Return the pairs of the files, then those made of the corpora. Raises InputError where both are empty."""
    from resift.training.questions import make_pairs, read_corpus

    if not specs and not corpora:
        raise InputError("nothing to learn from: give --pairs FILE.jsonl, or --corpus corpus.jsonl")
    chosen = chosen_pairs(specs, seed)
    for corpus in corpora:
        chosen += make_pairs(read_corpus(corpus), seed=seed, sentences=sentences)
    return chosen


def file_and_rows(spec: str) -> tuple[Path, int | None]:
    """Split `FILE:ROWS` into file and number; no number for `FILE`. Raises InputError where there is no such file."""
    name, colon, rows = spec.rpartition(":")
    if colon and rows.isdigit() and not Path(spec).exists():
        spec, count = name, int(rows)
    else:
        count = None
    if not Path(spec).is_file():
        raise InputError(f"{spec}: no such file; --pairs takes a jsonl file, or FILE:ROWS")
    return Path(spec), count
