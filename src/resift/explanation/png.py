"""The heat map of an explanation as PNG, through matplotlib."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from resift._util.endings import has_other_ending
from resift.errors import InputError, MissingExtraError
from resift.explanation.explanation import Explanation
from resift.explanation.shades import AGAINST, FOR, strengths
from resift.explanation.svg import heat_map_cells, label
from resift.report.elements import plain

try:
    # Not pyplot: its figures live in one list for the whole process, and it looks for a screen.
    from matplotlib import rc_context, rcParams
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.font_manager import fontManager
except ImportError as error:
    raise MissingExtraError("a PNG of an explanation", "eval") from error

DOTS_PER_INCH = 200
CELL_INCHES = 0.42
VALUED_COLUMNS = 16  # up to so many columns, cells have room for their value
TEXT_COLOR = "#1c2430"
OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo",
    "Noto Sans Devanagari", "Nirmala UI", "Noto Sans Thai", "Leelawadee UI", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Emoji", "Segoe UI Symbol", "Segoe UI Emoji", "Arial Unicode MS",
)  # fmt: skip
"""Fonts for what matplotlib's own lacks: those of them that are installed are asked for it."""
MISSING = re.compile(r"Glyph (\d+) .* missing from")


def write_png(explanation: Explanation, path: str | os.PathLike[str]) -> None:
    """Write the heat map. See `Explanation.to_png`."""
    if has_other_ending(path, "image/png"):
        raise InputError(f"{os.fspath(path)}: a PNG file has a name that ends in .png; to_svg gives an SVG")
    rows, names, values = heat_map_cells(explanation)
    with rc_context({"font.family": _fonts()}), _missing_letters_in_words():
        _draw(rows, names, values, path)


def _fonts() -> list[str]:
    """Return matplotlib's own font, and behind it what is installed for other scripts."""
    installed = {font.name for font in fontManager.ttflist}
    return [*rcParams["font.family"], *(name for name in OTHER_SCRIPTS if name in installed)]


@contextmanager
def _missing_letters_in_words() -> Iterator[None]:
    """Warn once, and say what to do, where matplotlib would warn of each character that no font has."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    found = [(warning, MISSING.match(str(warning.message))) for warning in caught]
    missing = list(dict.fromkeys(match[1] for _, match in found if match))
    for warning, match in found:
        if match is None:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if missing:
        named = ", ".join([*(f"U+{int(code):04X}" for code in missing[:3]), *("…" for _ in missing[3:4])])
        warnings.warn(
            f"no font of this machine has {len(missing)} characters of the picture ({named}): "
            "they are drawn as boxes; install one that has them, such as Noto Sans CJK, or make an SVG or a page, "
            "which the fonts of who looks at it draw",
            stacklevel=5,
        )


def _draw(rows: list[str], names: list[str], values: NDArray[np.float64], path: str | os.PathLike[str]) -> None:
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
    figure.savefig(path, dpi=DOTS_PER_INCH, format="png")


def _shown(name: str) -> str:
    """Return a label that matplotlib shows as it is: a dollar sign would begin a formula."""
    return plain(label(name)).replace("$", r"\$")
