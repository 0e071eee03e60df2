"""A reliability diagram beside what each `min_relevance` keeps."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resift.evaluation.plot import FAINT, INK, LINE, MARK, check_target, save
from resift.evaluation.threshold import ThresholdReport


def plot_reliability(report: ThresholdReport, path: Path) -> None:
    """Left: promised against found, a dot per bin, as large as the bin is full. Right: precision and recall by cut."""
    check_target(path)
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bins(left, report)
    _cuts(right, report)
    title = f"{report.collection}: {report.model} over {report.first_stage}, {report.pairs:,} pairs"
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=12, fontweight="bold")
    save(figure, path)


def _bins(axes: Axes, report: ThresholdReport) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1.2)
    most = max(one.pairs for one in report.bins)
    sizes = [30 + 270 * (one.pairs / most) ** 0.5 for one in report.bins]
    promised, found = [one.promised for one in report.bins], [one.found for one in report.bins]
    axes.plot(promised, found, color=LINE, linewidth=1.2)
    axes.scatter(promised, found, s=sizes, color=LINE, alpha=0.75, linewidth=0)
    axes.set_xlabel("relevance, as the model says", color=INK)
    axes.set_ylabel("share judged relevant", color=INK)
    axes.annotate(
        f"calibration error {report.error:.3f}", (0.03, 0.95), xycoords="axes fraction", color=INK, fontsize=9, va="top"
    )
    _frame(axes)


def _cuts(axes: Axes, report: ThresholdReport) -> None:
    values = [cut.min_relevance for cut in report.cuts]
    axes.plot(values, [cut.precision for cut in report.cuts], color=LINE, linewidth=1.8, label="precision")
    axes.plot(values, [cut.recall for cut in report.cuts], color=INK, linewidth=1.8, label="recall")
    chosen = report.recommended
    axes.axvline(chosen.min_relevance, color=MARK, linewidth=1.2)
    axes.annotate(
        f"best F1: {chosen.min_relevance:g}",
        (chosen.min_relevance, 1.0),
        xytext=(4, 2),
        textcoords="offset points",
        color=MARK,
        fontsize=9,
        fontweight="bold",
    )
    axes.set_xlabel("min_relevance", color=INK)
    axes.legend(loc="center right", frameon=False, fontsize=9, labelcolor=INK)
    _frame(axes)


def _frame(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.06)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
