"""Plots of measurements, as PNG or SVG files."""

from __future__ import annotations

from pathlib import Path

from resift.errors import InputError, MissingExtraError
from resift.evaluation.depth import DepthPoint, DepthReport
from resift.evaluation.threshold import ThresholdReport

try:
    # Not pyplot: its figures live in one list for the whole process, and it looks for a screen.
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
except ImportError as error:
    raise MissingExtraError("plots", "eval") from error

PLOT_SUFFIXES = (".png", ".svg")
DOTS_PER_INCH = 200  # of a PNG
# Those of the pages (report/style.css), where they are light.
TEXT_COLOR, FAINT_COLOR, LINE_COLOR, MARK_COLOR = "#1c2430", "#5b6572", "#1f66c4", "#9f4a06"
TICK_SECONDS = tuple(step * 10.0**power for power in range(-4, 4) for step in (1, 2, 5))


def check_target(path: Path) -> None:
    """Raise InputError for a file that is neither PNG nor SVG, or whose folder isn't there."""
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise InputError(f"{path}: a plot is a {' or '.join(PLOT_SUFFIXES)} file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")


def plot_depths(report: DepthReport, path: Path) -> None:
    """Plot quality over latency, a point for each depth; the first stage dashed, the recommended depth marked."""
    check_target(path)
    save(_depths(report), path)


def save(figure: Figure, path: Path) -> None:
    """Write the plot; the same figure gives the same file, to the byte."""
    with rc_context({"svg.hashsalt": "resift"}):
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)


def _depths(report: DepthReport) -> Figure:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    first, *points = report.points
    _curve(axes, first, points)
    _name_points(axes, points, report.recommended)
    if report.recommended is not None:
        _mark(axes, report.recommended)
    _frame(axes, points)
    axes.set_ylabel("nDCG@10, mean of the queries", color=TEXT_COLOR)
    axes.set_xlabel(f"reranking time of a query, median of {report.timed}", color=TEXT_COLOR)
    title = f"{report.collection}: {report.model} over {report.first_stage}, {report.queries} queries"
    axes.set_title(title, loc="left", color=TEXT_COLOR, fontsize=12, fontweight="bold", pad=28)
    axes.legend(
        # Above the axes: inside, it would hide a curve somewhere on some collection.
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.3,
        ncols=3,
        frameon=False,
        fontsize=9,
        labelcolor=TEXT_COLOR,
        handlelength=1.8,
        columnspacing=1.6,
    )
    return figure


def _curve(axes: Axes, first: DepthPoint, points: list[DepthPoint]) -> None:
    times = [point.median_seconds for point in points]
    low = [first.ndcg + point.comparison.low for point in points if point.comparison]
    high = [min(1.0, first.ndcg + point.comparison.high) for point in points if point.comparison]
    axes.fill_between(times, low, high, color=LINE_COLOR, alpha=0.12, linewidth=0, label="95 % interval of the gain")
    axes.plot(
        times, [point.ndcg for point in points], color=LINE_COLOR, marker="o", markersize=5, label="reranked, by depth"
    )
    axes.axhline(first.ndcg, color=FAINT_COLOR, linestyle="--", linewidth=1.2, label="first stage alone")


def _name_points(axes: Axes, points: list[DepthPoint], chosen: DepthPoint | None) -> None:
    for point in points:
        if point is not chosen:
            _annotate(axes, str(point.depth), point, above=7, size=8.5, color=TEXT_COLOR)


def _mark(axes: Axes, chosen: DepthPoint) -> None:
    axes.plot(
        chosen.median_seconds, chosen.ndcg, marker="o", markersize=11, color=MARK_COLOR, linestyle="none", zorder=5
    )
    # Above the names of the points beside it, which lie hardly higher: it was chosen for that.
    _annotate(axes, f"rerank {chosen.depth}", chosen, above=21, size=11, color=MARK_COLOR)


def _annotate(axes: Axes, text: str, point: DepthPoint, *, above: float, size: float, color: str) -> None:
    label = axes.annotate(
        text,
        (point.median_seconds, point.ndcg),
        xytext=(0, above),
        textcoords="offset points",
        ha="center",
        fontsize=size,
        fontweight="bold" if color == MARK_COLOR else "normal",
        color=color,
        zorder=6,
    )
    label.set_path_effects([withStroke(linewidth=3, foreground="white")])  # a curve may run through it


def _frame(axes: Axes, points: list[DepthPoint]) -> None:
    axes.set_xscale("log")  # depths grow by factors
    times = [point.median_seconds for point in points]
    left, right = min(times) / 1.25, max(times) * 1.25
    axes.set_xlim(left, right)
    round_times = [tick for tick in TICK_SECONDS if left <= tick <= right]
    axes.xaxis.set_major_locator(FixedLocator(round_times if len(round_times) > 1 else times))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_duration))
    axes.margins(y=0.16)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT_COLOR)
    axes.tick_params(colors=TEXT_COLOR, labelsize=9)
    axes.grid(axis="y", color="#d9dfe7", linewidth=0.8)
    axes.set_axisbelow(True)


def _duration(value: float, _: int | None = None) -> str:
    """Return a tick's label.

    >>> _duration(0.002), _duration(0.5), _duration(20.0)
    ('2 ms', '500 ms', '20 s')
    """
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def plot_reliability(report: ThresholdReport, path: Path) -> None:
    """Plot the bins on the left, a dot each, as large as the bin is full; precision and recall of cuts on the right."""
    check_target(path)
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bins(left, report)
    _cuts(right, report)
    title = f"{report.collection}: {report.model} over {report.first_stage}, {report.pairs:,} pairs"
    figure.suptitle(title, x=0.01, ha="left", color=TEXT_COLOR, fontsize=12, fontweight="bold")
    save(figure, path)


def _bins(axes: Axes, report: ThresholdReport) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT_COLOR, linestyle="--", linewidth=1.2)
    largest = max(bin.pairs for bin in report.bins)
    sizes = [30 + 270 * (bin.pairs / largest) ** 0.5 for bin in report.bins]
    promised, found = [bin.promised for bin in report.bins], [bin.found for bin in report.bins]
    axes.plot(promised, found, color=LINE_COLOR, linewidth=1.2)
    axes.scatter(promised, found, s=sizes, color=LINE_COLOR, alpha=0.75, linewidth=0)
    axes.set_xlabel("relevance, as the model says", color=TEXT_COLOR)
    axes.set_ylabel("share judged relevant", color=TEXT_COLOR)
    axes.annotate(
        f"calibration error {report.error:.3f}",
        (0.03, 0.95),
        xycoords="axes fraction",
        color=TEXT_COLOR,
        fontsize=9,
        va="top",
    )
    _unit_frame(axes)


def _cuts(axes: Axes, report: ThresholdReport) -> None:
    values = [cut.min_relevance for cut in report.cuts]
    axes.plot(values, [cut.precision for cut in report.cuts], color=LINE_COLOR, linewidth=1.8, label="precision")
    axes.plot(values, [cut.recall for cut in report.cuts], color=TEXT_COLOR, linewidth=1.8, label="recall")
    chosen = report.recommended
    axes.axvline(chosen.min_relevance, color=MARK_COLOR, linewidth=1.2)
    axes.annotate(
        f"best F1: {chosen.min_relevance:g}",
        (chosen.min_relevance, 1.0),
        xytext=(4, 2),
        textcoords="offset points",
        color=MARK_COLOR,
        fontsize=9,
        fontweight="bold",
    )
    axes.set_xlabel("min_relevance", color=TEXT_COLOR)
    axes.legend(loc="center right", frameon=False, fontsize=9, labelcolor=TEXT_COLOR)
    _unit_frame(axes)


def _unit_frame(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.06)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT_COLOR)
    axes.tick_params(colors=TEXT_COLOR, labelsize=9)
    axes.grid(color="#d9dfe7", linewidth=0.8)
    axes.set_axisbelow(True)
