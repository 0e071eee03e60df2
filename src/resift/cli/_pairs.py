"""Training pairs as the command line names them: FILE, or FILE:ROWS for a part of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resift.errors import InputError

if TYPE_CHECKING:
    from resift.training.pairs import TrainingPair


def chosen_pairs(specs: Sequence[str], seed: int) -> list[TrainingPair]:
    """The pairs of all files. Of `FILE:ROWS`, at most so many, drawn by the seed. Raises InputError."""
    from resift.training.pairs import read_pairs

    chosen: list[TrainingPair] = []
    for spec in specs:
        file, rows = file_and_rows(spec)
        found = read_pairs([file])
        random.Random(seed).shuffle(found)  # noqa: S311 - a choice of examples, nothing secret
        chosen += found[:rows]
    return chosen


def file_and_rows(spec: str) -> tuple[Path, int | None]:
    """`FILE` or `FILE:ROWS`. Raises InputError where there is no such file."""
    name, colon, rows = spec.rpartition(":")
    if colon and rows.isdigit() and not Path(spec).exists():
        spec, count = name, int(rows)
    else:
        count = None
    if not Path(spec).is_file():
        raise InputError(f"{spec}: no such file; --pairs takes a jsonl file, or FILE:ROWS")
    return Path(spec), count
