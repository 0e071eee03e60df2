"""What is known of published rerankers, and how language models are asked: defaults and facts, never gates.

A model that is not listed is read from its own configuration. `catalogue.json` holds the rows, with their sources;
`prompts` the templates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from resift.scorer import Scale


@dataclass(frozen=True, slots=True)
class Measure:
    """What a published figure is, and who published it. Figures of different sources can't be compared."""

    what: str
    source: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One published reranker."""

    id: str
    """As Hugging Face has it: organisation/model."""
    architecture: str
    engine: str | None
    """Which engine of `resift.scoring.load` runs it; None where none does, and `instead` says what to do."""
    scored: str
    """How its authors make a score of what the network gives."""
    scale: Scale = Scale.LOGIT
    prompt: str | None = None
    """Its template among `prompts.PROMPTS`; None for a pair joined by the tokenizer."""
    licence: str | None = None
    """None: see the model's card."""
    parameters: int | None = None
    max_length: int | None = None
    """Tokens it can read."""
    tuned_length: int | None = None
    """Tokens it was tuned at, or its authors' own code cuts at: the default, where it can read more."""
    instead: str | None = None
    """Why its weights don't simply load, and what to do."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Name of a `Measure` → value."""

    def to_dict(self) -> dict[str, Any]:
        """The row as plain data, for JSON."""
        return asdict(self)


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((Path(__file__).parent / "catalogue.json").read_text(encoding="utf-8"))
    return data


@cache
def entries() -> Mapping[str, Entry]:
    """Every row, by id.

    >>> entries()["BAAI/bge-reranker-v2-m3"].tuned_length
    1024
    """
    found = {}
    for family in _data()["families"]:
        shared = {name: value for name, value in family.items() if name != "models"}
        for model in family["models"]:
            row = {**shared, **model}
            found[row["id"]] = Entry(**{**row, "scale": Scale(row.get("scale", Scale.LOGIT))})
    return found


@cache
def measures() -> Mapping[str, Measure]:
    """What the figures' names stand for."""
    return {name: Measure(**measure) for name, measure in _data()["measures"].items()}


def find(name: str) -> Entry | None:
    """The row of a Hugging Face id, or of a folder that holds such a model: its name, or the hub's cache, says so.

    >>> find("models/bge-reranker-v2-m3").id
    'BAAI/bge-reranker-v2-m3'
    >>> find("models/my-own-reranker")
    """
    called = hub_name(name)
    by_folder = {entry.id.rpartition("/")[2].lower(): entry for entry in entries().values()}
    return entries().get(called) or by_folder.get(Path(called).name.lower())


def hub_name(name: str) -> str:
    """The id of a model in the hub's cache; any other name as it is.

    >>> hub_name("cache/models--BAAI--bge-reranker-base/snapshots/2cfc18c9415c912f9d8155881c133215df768a70")
    'BAAI/bge-reranker-base'
    """
    for part in Path(name).parts:
        if part.startswith("models--") and part.count("--") == 2:
            return part.removeprefix("models--").replace("--", "/")
    return name
