"""Promised and found relevance, on scores whose meaning is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from resift import InputError, Reranker, Scale
from resift.cli.app import app
from resift.evaluation import Collection, measure_thresholds
from resift.evaluation.threshold import reliability
from resift.testing import OverlapScorer


@dataclass(frozen=True)
class ScoreInText:
    """Reads its score from the text itself."""

    name: str = "made"
    scale: Scale = Scale.PROBABILITY

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        return [float(text) for text in documents]


@pytest.fixture
def collection() -> Collection:
    documents = {"a": "0.95", "b": "0.9", "c": "0.55", "d": "0.5", "e": "0.05", "f": "0.0"}
    qrels = {"q": {"a": 2, "b": 1, "c": 0, "d": 1}, "r": {"a": 1, "e": 1}}
    return Collection("made", documents, {"q": "one", "r": "two"}, qrels)


def run(collection: Collection) -> dict[str, list[str]]:
    return {query: list(collection.documents) for query in collection.queries}


def test_bins_and_cuts_are_what_a_hand_counts(collection: Collection) -> None:
    report = measure_thresholds(collection, Reranker(ScoreInText()), stage=run(collection))
    assert (report.queries, report.pairs, report.relevant) == (2, 12, 5)
    bins = [(bin.low, bin.pairs, round(bin.promised, 3), bin.found) for bin in report.bins]
    assert bins == [(0.0, 4, 0.025, 0.25), (0.5, 4, 0.525, 0.25), (0.9, 4, 0.925, 0.75)]
    assert report.error == pytest.approx((4 * 0.225 + 4 * 0.275 + 4 * 0.175) / 12)
    cuts = {cut.min_relevance: cut for cut in report.cuts}
    assert (cuts[0.9].kept, cuts[0.9].precision, cuts[0.9].recall) == (2, 0.75, 0.6)
    assert (cuts[0.5].precision, cuts[0.5].recall) == (0.5, 0.8)
    assert cuts[0.05].f1 == pytest.approx(cuts[0.6].f1)
    assert report.recommended is cuts[0.05]  # of the highest F1, the one that loses less
    assert measure_thresholds(collection, Reranker(ScoreInText()), stage=run(collection), grade=2).relevant == 1


def test_a_cut_that_keeps_nothing_is_not_wrong(collection: Collection) -> None:
    few = Collection("made", {"f": "0.0", "e": "0.05"}, {"r": "two"}, {"r": {"e": 1}})
    report = measure_thresholds(few, Reranker(ScoreInText()), stage=run(few))
    last = report.cuts[-1]
    assert (last.kept, last.precision, last.recall, last.f1) == (0, 1, 0, 0)
    assert report.recommended.min_relevance == 0.05


def test_a_calibrated_model_has_no_error() -> None:
    draw = np.random.default_rng(3)
    relevance = draw.random(200_000)
    bins = reliability(relevance, draw.random(200_000) < relevance)
    assert max(abs(bin.promised - bin.found) for bin in bins) < 0.02
    assert sum(bin.pairs for bin in bins) == 200_000


@pytest.mark.parametrize(
    ("reranker", "options", "message"),
    [
        (Reranker(OverlapScorer(scale=Scale.SIMILARITY)), {}, "a similarity, which min_relevance can't cut"),
        (Reranker(ScoreInText(), top_k=3), {}, "neither top_k nor min_relevance"),
        (Reranker(ScoreInText()), {"grade": 3}, "no candidate of made has grade 3"),
        (Reranker(ScoreInText()), {"depth": 0}, "must be at least 1, got 0, 1 and None"),
    ],
)
def test_what_can_not_be_measured_is_refused(
    collection: Collection, reranker: Reranker, options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        measure_thresholds(collection, reranker, stage=run(collection), **options)


def test_the_command_prints_and_draws(collection: Collection, tmp_path: Path) -> None:
    texts = {"a": "red foxes eat mice at night", "b": "bonds are taxed as income", "c": "rivers carry water"}
    rows = [json.dumps({"_id": id, "text": text}) for id, text in texts.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "what do red foxes eat"}))
    (tmp_path / "qrels.tsv").write_text("q\ta\t1")
    picture = tmp_path / "reliability.svg"
    arguments = ["threshold", str(tmp_path), "--first-stage", "static", "--plot", str(picture)]
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    assert "recommended" in shown.stdout
    assert "calibration error" in shown.stdout
    drawn = picture.read_text()
    assert "<svg" in drawn
    report = json.loads(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert (report["pairs"], report["relevant"], len(report["cuts"])) == (3, 1, 19)
    assert picture.read_text() == drawn  # the same report gives the same file
    wrong = CliRunner().invoke(app, [*arguments[:-1], str(tmp_path / "x.pdf")])
    assert wrong.exit_code == 1
    assert "a plot is a .png or .svg file" in wrong.stderr


def test_a_calibration_is_saved_and_used_by_name(tmp_path: Path) -> None:
    texts = {"a": "red foxes eat mice at night", "b": "bonds are taxed as income", "c": "rivers carry water"}
    rows = [json.dumps({"_id": id, "text": text}) for id, text in texts.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "what do red foxes eat"}))
    (tmp_path / "qrels.tsv").write_text("q\ta\t1")
    saved = tmp_path / "calibration.json"
    command = ["threshold", str(tmp_path), "--first-stage", "static"]
    first = CliRunner().invoke(app, [*command, "--save", str(saved), "--json"], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    assert "1 relevant candidates: the calibration is rough" in first.stderr
    data = json.loads(saved.read_text())
    assert (data["model"], data["scale"], data["fitted"]["pairs"]) == ("resift:small", "logit", 3)
    assert data["fitted"]["error_after"] == json.loads(first.stdout)["calibration_error"]
    measured = CliRunner().invoke(app, [*command, "--calibration", str(saved), "--json"], catch_exceptions=False)
    assert json.loads(measured.stdout)["calibration_error"] == pytest.approx(data["fitted"]["error_after"])
    (tmp_path / "texts.txt").write_text("\n".join(texts.values()))
    rerank = ["rerank", "what do red foxes eat", str(tmp_path / "texts.txt"), "--calibration", str(saved), "--json"]
    best = json.loads(CliRunner().invoke(app, rerank, catch_exceptions=False).stdout)["hits"][0]
    assert best["relevance"] == pytest.approx(2 / 3, abs=0.01)  # Platt's smoothed label of a single one
    for wrong, message in (
        ([*rerank, "--model", "resift:tiny"], "fitted for resift:small and not for resift:tiny"),
        ([*command, "--save", str(saved), "--calibration", str(saved)], "give one of the two"),
        ([*command, "--save", str(tmp_path / "none" / "c.json")], "there is no folder"),
        ([*command, "--save", str(tmp_path)], "is a folder"),
        ([*command, "--save", str(saved), "--instruction", "Prefer mammals."], "small reads no instruction"),
    ):
        refused = CliRunner().invoke(app, wrong)
        assert refused.exit_code == 1
        assert message in refused.stderr
