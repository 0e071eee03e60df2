"""The catalogue of published models, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.table import Table

from resift.cli._output import table
from resift.errors import UnknownModelError
from resift.models.catalogue import Entry, entries, find, measures
from resift.models.prompts import PROMPTS

FIGURE_SHOWN = "mteb"
"""The figure that most rows have, from one source."""


def as_json() -> dict[str, Any]:
    """Return every row, what the figures are, and the templates."""
    return {
        "catalogue": [entry.to_dict() for entry in entries().values()],
        "measures": {name: asdict(measure) for name, measure in measures().items()},
        "templates": {name: asdict(prompt) for name, prompt in PROMPTS.items()},
    }


def as_table() -> Table:
    """Return a table of the models, a row each, narrow enough for a small terminal."""
    rows = []
    for organisation, listed in groupby(entries().values(), lambda entry: entry.id.partition("/")[0]):
        rows.append((f"{organisation}/", "", "", "", ""))
        for entry in listed:
            name = entry.id.partition("/")[2]
            figure = f"{entry.figures[FIGURE_SHOWN]:.3f}" if FIGURE_SHOWN in entry.figures else ""
            licence = entry.licence or "see card"
            rows.append((f"  {name}", size(entry.parameters), tokens(entry), figure, licence))
    return table("", ("published", ">params", ">tokens", ">MTEB", "licence"), rows, one_line=False)


def legend() -> Iterator[str]:
    """Yield the lines under the table: what its figures are, and how to see more."""
    figure = measures()[FIGURE_SHOWN]
    yield f"MTEB: {figure.what}. Published by {figure.source}."
    yield "tokens: read by default / at most. Everything about a model: resift models NAME"


def find_entry(name: str) -> Entry:
    """Return the row of a model. Raises UnknownModelError where the catalogue has none."""
    entry = find(name)
    if entry is None:
        raise UnknownModelError(
            f"the catalogue has no {name!r}. Such a model can be loaded all the same, by its own configuration; "
            "`resift models` lists the rows"
        )
    return entry


def details(entry: Entry) -> Table:
    """Return a table of everything that the catalogue knows of a model."""
    rows: list[tuple[str, str]] = [
        ("model", entry.id),
        ("architecture", entry.architecture),
        ("engine", entry.engine or "none"),
        ("licence", entry.licence or "see the model's card"),
        ("parameters", size(entry.parameters) or "not known"),
        ("reads", f"{entry.max_length} tokens" if entry.max_length else "as many tokens as its configuration says"),
        ("cut at", f"{entry.tuned_length} tokens, unless max_length says otherwise" if entry.tuned_length else ""),
        ("score", f"{entry.scored} ({entry.scale})"),
        ("note", entry.instead or ""),
    ]
    if entry.prompt is not None:
        prompt = PROMPTS[entry.prompt]
        rows += [
            ("template", f"{entry.prompt} ({prompt.source})"),
            ("", "".join((*prompt.before, prompt.query, *prompt.between, " {document}", *prompt.after))),
        ]
    for figure, value in entry.figures.items():
        rows.append((figure, f"{value:g}: {measures()[figure].what} ({measures()[figure].source})"))
    return table("", ("", ""), [row for row in rows if row[1]], one_line=False)


def size(parameters: int | None) -> str:
    """Return a number of parameters in millions or billions.

    >>> size(22_700_000), size(1_540_000_000), size(None)
    ('22.7M', '1.54B', '')
    """
    if parameters is None:
        return ""
    return f"{parameters / 1e9:.3g}B" if parameters >= 1e9 else f"{parameters / 1e6:.3g}M"


def tokens(entry: Entry) -> str:
    """Return how many tokens are read by default, and of how many at most."""
    if entry.tuned_length and entry.max_length and entry.tuned_length < entry.max_length:
        return f"{entry.tuned_length}/{entry.max_length}"
    return str(entry.max_length or entry.tuned_length or "")
