"""The heat map of an explanation as PNG, through matplotlib."""

from __future__ import annotations

import os
from pathlib import Path

from resift.errors import InputError, MissingExtraError
from resift.explanation.explanation import Explanation
from resift.explanation.shades import AGAINST, FOR, strengths
from resift.explanation.svg import heat_map_cells, label
from resift.report.elements import plain

try:
    # Not pyplot: its figures live in one list for the whole process, and it looks for a screen.
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtraError("a PNG of an explanation", "eval") from error

DOTS_PER_INCH = 200
CELL_INCHES = 0.42
VALUED_COLUMNS = 16  # up to so many columns, cells have room for their value
TEXT_COLOR = "#1c2430"


def write_png(explanation: Explanation, path: str | os.PathLike[str]) -> None:
    """Write the heat map. See `Explanation.to_png`."""
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{os.fspath(path)}: a PNG file has a name that ends in .png; to_svg gives an SVG")
    rows, names, values = heat_map_cells(explanation)
    shares = strengths(values)
    figure = Figure(
        figsize=(1.8 + CELL_INCHES * max(1, len(names)), 1.5 + CELL_INCHES * len(rows)), layout="constrained"
    )
    axes = figure.add_subplot()
    against, white, favour = (tuple(part / 255 for part in colour) for colour in (AGAINST, (255, 255, 255), FOR))
    colours = LinearSegmentedColormap.from_list("resift", [against, white, favour])
    axes.imshow(
        shares.reshape(len(rows), -1) if names else [[0.0]] * len(rows),
        cmap=colours,
        vmin=-1.3,
        vmax=1.3,
        aspect="auto",
    )
    axes.set_yticks(range(len(rows)), [_shown(name) for name in rows], color=TEXT_COLOR)
    axes.set_xticks(range(len(names)), [_shown(name) for name in names], rotation=45, ha="left", color=TEXT_COLOR)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if names and len(names) <= VALUED_COLUMNS:
        for row in range(len(rows)):
            for column in range(len(names)):
                if abs(shares[row, column]) >= 0.05:
                    said = f"{values[row, column]:.2f}"
                    axes.text(column, row, said, ha="center", va="center", fontsize=7.5, color=TEXT_COLOR)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _shown(name: str) -> str:
    """Return a label that matplotlib shows as it is: a dollar sign would begin a formula."""
    return plain(label(name)).replace("$", r"\$")
