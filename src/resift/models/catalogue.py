"""The catalogue of published rerankers: defaults and facts. A model that is not in it can be loaded all the same.

Such a model is read by its own configuration. `catalogue.json` holds the rows with their sources, and `prompts` the
templates of language models.
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
    """What a published figure measures, and who published it. Figures of different sources can't be compared."""

    what: str
    source: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One published reranker."""

    id: str
    """The Hugging Face id: organisation/model."""
    architecture: str
    engine: str | None
    """The engine of `resift.scoring.load` that runs it; None if none does, then `instead` says what to do."""
    scored: str
    """How its authors turn the network's output into a score."""
    scale: Scale = Scale.LOGIT
    prompt: str | None = None
    """Its template in `prompts.PROMPTS`; None if the tokenizer joins query and document."""
    licence: str | None = None
    """None: see the model's card."""
    parameters: int | None = None
    max_length: int | None = None
    """Tokens it can read."""
    tuned_length: int | None = None
    """Tokens it was tuned at, or at which its authors' own code cuts: the default where it can read more."""
    instead: str | None = None
    """Why its weights can't simply be loaded, and what to do."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Name of a `Measure` → value."""

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain data, for JSON."""
        return asdict(self)


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((Path(__file__).parent / "catalogue.json").read_text(encoding="utf-8"))
    return data


@cache
def entries() -> Mapping[str, Entry]:
    """Return every row, by id.

    >>> entries()["BAAI/bge-reranker-v2-m3"].tuned_length
    1024
    """
    entries_by_id = {}
    for family in _data()["families"]:
        shared = {name: value for name, value in family.items() if name != "models"}
        for model in family["models"]:
            row = {**shared, **model}
            entries_by_id[row["id"]] = Entry(**{**row, "scale": Scale(row.get("scale", Scale.LOGIT))})
    return entries_by_id


@cache
def measures() -> Mapping[str, Measure]:
    """Return what each name of a figure stands for."""
    return {name: Measure(**measure) for name, measure in _data()["measures"].items()}


def find(name: str) -> Entry | None:
    """Return the row of a Hugging Face id, or of a folder with such a model, as its name or the hub's cache says.

    None if there is no such row.

    >>> find("models/bge-reranker-v2-m3").id
    'BAAI/bge-reranker-v2-m3'
    >>> find("models/my-own-reranker")
    """
    model = hub_name(name)
    by_folder = {entry.id.rpartition("/")[2].lower(): entry for entry in entries().values()}
    return entries().get(model) or by_folder.get(Path(model).name.lower())


def hub_name(name: str) -> str:
    """Return the id of a model in the hub's cache; any other name unchanged.

    >>> hub_name("cache/models--BAAI--bge-reranker-base/snapshots/2cfc18c9415c912f9d8155881c133215df768a70")
    'BAAI/bge-reranker-base'
    """
    for part in Path(name).parts:
        if part.startswith("models--") and part.count("--") == 2:
            return part.removeprefix("models--").replace("--", "/")
    return name
