"""Calibrations: what they do to scores and order, what a file holds, and whose they are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resift import Ensemble, Fallback, InputError, Reranker, Scale, ScorerError
from resift.evaluation import Collection, fit_calibration
from resift.evaluation.calibration import fit
from resift.scorer import Request, Scores, WrapperScorer
from resift.scoring.calibrated import Calibrated, Calibration
from resift.testing import OverlapScorer, ScriptedScorer


@dataclass
class InText:
    """Reads its score from the text itself."""

    name: str = "made"
    scale: Scale = Scale.SIMILARITY
    identity: str | None = None
    asked: int = 0

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        self.asked += len(documents)
        return [float(text) for text in documents]

    async def ascore(self, query: str, documents: Sequence[str]) -> list[float]:
        return self.score(query, documents)


COSINES = Calibration("made", Scale.SIMILARITY, slope=10.0, shift=-7.0)


def test_similarities_get_a_relevance_that_can_be_cut() -> None:
    reranker = Reranker(InText(), calibration=COSINES)
    ranking = reranker.rank("q", ["0.5", "0.9", "0.7"], min_relevance=0.5)
    assert ranking.documents == ["0.9", "0.7"]
    assert [round(hit.score, 6) for hit in ranking] == [2.0, 0.0]
    assert ranking[1].relevance == pytest.approx(0.5)
    assert (ranking.scale, ranking.model) == (Scale.LOGIT, "made")


async def test_awaited_and_threaded_calls_give_the_same() -> None:
    reranker = Reranker(InText(), calibration=COSINES)
    awaited = await reranker.arank("q", ["0.5", "0.9"])
    assert [hit.score for hit in awaited] == [hit.score for hit in reranker.rank("q", ["0.5", "0.9"])]


def test_probabilities_are_fitted_as_log_odds_also_at_0_and_1() -> None:
    same = Calibration("made", Scale.PROBABILITY, slope=1.0, shift=0.0)
    hits = Reranker(InText(scale=Scale.PROBABILITY), calibration=same).rank("q", ["1.0", "0.25", "0.0"])
    assert [hit.relevance for hit in hits] == pytest.approx([1.0, 0.25, 0.0], abs=1e-5)


def test_scores_that_become_equal_keep_the_models_order() -> None:
    flat = Calibration("made", Scale.SIMILARITY, slope=1e-300, shift=1.0)
    assert Reranker(InText(), calibration=flat).rank("q", ["0.1", "0.3", "0.2"]).documents == ["0.3", "0.2", "0.1"]


def test_the_cache_keeps_the_models_own_scores(tmp_path: Path) -> None:
    scorer = InText(identity="made 1")
    cache = tmp_path / "scores.sqlite3"
    with Reranker(scorer, cache=cache) as plain:
        plain.rank("q", ["0.5"])
    with Reranker(scorer, cache=cache, calibration=COSINES) as calibrated:
        assert calibrated.rank("q", ["0.5"])[0].score == -2.0
    assert scorer.asked == 1


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    calibration = replace(COSINES, identity="x 1", fitted={"pairs": 3})
    calibration.save(tmp_path / "c.json")
    assert Calibration.read(tmp_path / "c.json") == calibration
    assert json.loads((tmp_path / "c.json").read_text())["format"] == "resift calibration 1"


@pytest.mark.parametrize(
    ("scorer", "calibration", "message"),
    [
        (InText("other"), COSINES, "fitted for made and not for other"),
        (InText(scale=Scale.LOGIT), COSINES, "fitted on made's similarity scores, and made gives logit ones"),
        (InText(identity="b"), replace(COSINES, identity="a"), "not for made, of the same name, but its files"),
        (InText("other", identity="b"), replace(COSINES, identity="a"), "not for other, another model"),
        (InText(scale=Scale.ORDINAL), replace(COSINES, scale=Scale.ORDINAL), "made can't be calibrated"),
    ],
)
def test_what_was_fitted_for_something_else_is_refused_by_name(
    scorer: Any, calibration: Calibration, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Reranker(scorer, calibration=calibration)


def test_a_model_that_moved_is_the_same_model() -> None:
    Reranker(InText("moved", identity="a"), calibration=replace(COSINES, identity="a"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slope": -1.0}, "slope of a calibration is above 0"),
        ({"slope": "NaN"}, "slope must be a number"),
        ({"shift": None}, "shift must be a number"),
        ({"scale": "loud"}, "'loud' is not a valid Scale"),
        ({"model": ""}, "model is a text"),
        ({"format": "other"}, "is no calibration: `resift threshold COLLECTION --save FILE` writes one"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({**COSINES.to_dict(), **change}))
    with pytest.raises(InputError, match=message) as refused:
        Reranker(InText(), calibration=tmp_path / "c.json")
    assert "c.json" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, None])
def test_what_is_no_file_of_ours_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(InputError, match=r"c\.json"):
        Reranker(InText(), calibration=tmp_path / "c.json")
    with pytest.raises(InputError, match="calibration is the path of a file"):
        Reranker(InText(), calibration=3)  # type: ignore[arg-type]  # what it is about


def test_an_ensemble_averages_what_was_calibrated() -> None:
    both = Ensemble([Calibrated(InText(), COSINES), ScriptedScorer([0.0])])
    assert Reranker(both).rank("q", ["0.7"])[0].relevance == pytest.approx(0.5)


class OnAnother(WrapperScorer):
    """Answers on another scale than it says."""

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        return [replace(answer, model="other", scale=Scale.LOGIT) for answer in super().score_many(requests)]


def test_a_stand_in_on_another_scale_is_a_failure_that_keep_order_answers() -> None:
    scorer = OnAnother(InText())
    with pytest.raises(ScorerError, match="other answered on the logit scale"):
        Reranker(scorer, calibration=COSINES).rank("q", ["1", "2"])
    kept = Reranker(scorer, calibration=COSINES, on_error="keep_order").rank("q", ["1", "2"])
    assert kept.documents == ["1", "2"]
    assert "answered on the logit scale" in str(kept.degraded)


def test_models_that_stand_in_for_each_other_are_calibrated_one_by_one() -> None:
    down, other = ScriptedScorer(OSError("down"), name="made", scale=Scale.SIMILARITY), InText("other")
    both = Fallback([down, other])
    for scorer in (both, WrapperScorer(both)):
        with pytest.raises(InputError, match="made, else other can't be calibrated"):
            Reranker(scorer, calibration=replace(COSINES, model=both.name))
    each = Fallback([Calibrated(down, COSINES), Calibrated(other, replace(COSINES, model="other", slope=1.0))])
    assert Reranker(each).rank("q", ["7.0"])[0].relevance == pytest.approx(0.5)


@pytest.mark.parametrize("score", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("scale", [Scale.PROBABILITY, Scale.SIMILARITY])
def test_what_is_no_score_stays_an_error(score: str, scale: Scale) -> None:
    with pytest.raises(ScorerError, match="1 of 2 scores are not finite"):
        Reranker(InText(scale=scale), calibration=replace(COSINES, scale=scale)).rank("q", ["0.5", score])


def test_a_calibration_of_another_instruction_is_refused_in_a_call_too() -> None:
    @dataclass
    class Reader(InText):
        def with_instruction(self, instruction: str) -> Reader:
            return replace(self, identity=f"made {instruction}")

    calibration = replace(COSINES, identity="made old acts")
    reranker = Reranker(Reader(), instruction="old acts", calibration=calibration)
    assert reranker.rank("q", ["0.7"], instruction="old acts")[0].relevance == pytest.approx(0.5)
    with pytest.raises(InputError, match="instruction"):
        reranker.rank("q", ["0.7"], instruction="new acts")


def test_a_calibration_by_hand_takes_the_scale_as_a_text_and_refuses_what_is_none() -> None:
    by_hand = Calibration("made", "similarity", 10.0, -7.0)  # type: ignore[arg-type]  # what it is about
    assert Reranker(InText(), calibration=by_hand).rank("q", ["0.7"])[0].relevance == pytest.approx(0.5)
    assert (
        replace(COSINES, slope=np.float32(10)).to_dict()
        == COSINES.to_dict()
        == json.loads(json.dumps(by_hand.to_dict()))
    )
    assert type(replace(COSINES, shift=np.float32(-7)).shift) is float
    with pytest.raises(InputError, match=r"the scale of a calibration is one of logit, .* got 'cosine'"):
        Calibration("made", "cosine", 10.0, -7.0)  # type: ignore[arg-type]  # the same
    with pytest.raises(InputError, match="the model of a calibration is its name, got None"):
        Calibration(None, Scale.LOGIT, 10.0, -7.0)  # type: ignore[arg-type]  # the same


# Fitting


def test_a_fit_finds_the_figures_that_made_the_labels() -> None:
    draw = np.random.default_rng(5)
    scores = draw.normal(3.0, 40.0, 20_000)
    slope, shift = fit(scores, draw.random(20_000) < 1 / (1 + np.exp(-(0.05 * scores - 1))))
    assert (slope, shift) == (pytest.approx(0.05, abs=0.003), pytest.approx(-1, abs=0.1))


def test_a_fit_is_sklearns_on_smoothed_labels() -> None:
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(6)
    scores = draw.normal(size=300)
    relevant = draw.random(300) < 1 / (1 + np.exp(-scores))
    positives = int(relevant.sum())
    up, down = (positives + 1) / (positives + 2), 1 / (300 - positives + 2)
    targets = np.where(relevant, up, down)
    twice = LogisticRegression(C=np.inf, tol=1e-10).fit(
        np.tile(scores, 2)[:, None], np.repeat([True, False], 300), np.concatenate([targets, 1 - targets])
    )
    assert fit(scores, relevant) == (
        pytest.approx(twice.coef_[0, 0], rel=1e-3),
        pytest.approx(twice.intercept_[0], abs=1e-3),
    )


@pytest.mark.parametrize("gap", [1e-9, 1.0, 1e9])
def test_scores_that_divide_the_two_kinds_have_a_finite_slope(gap: float) -> None:
    slope, shift = fit([0.0, 0.0, gap, gap], [False, False, True, True])
    assert 0 < slope * gap < 10
    assert slope * gap / 2 + shift == pytest.approx(0, abs=1e-6)


def test_scores_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="a higher score means less relevant"):
        fit([1.0, 1.0, 1.0], [True, False, True])


def test_a_calibration_is_fitted_on_a_collection_for_any_scale() -> None:
    draw = np.random.default_rng(7)
    values = draw.random(400)
    documents = {f"d{index}": f"{value:.4f}" for index, value in enumerate(values)}
    qrels = {
        f"q{n}": {f"d{i}": int(draw.random() < values[i] ** 2) for i in range(n * 100, n * 100 + 100)} for n in range(4)
    }
    collection = Collection("made", documents, dict.fromkeys(qrels, "what?"), qrels)
    run = {query: list(grades) for query, grades in qrels.items()}
    for scale in (Scale.SIMILARITY, Scale.PROBABILITY, Scale.LOGIT):
        calibration = fit_calibration(collection, Reranker(InText(scale=scale)), stage=run)
        assert (calibration.fitted["pairs"], calibration.fitted["queries"]) == (400, 4)
        assert calibration.fitted["error_after"] < 0.1
        if scale is not Scale.SIMILARITY:
            assert calibration.fitted["error_before"] > calibration.fitted["error_after"]
        Reranker(InText(scale=scale), calibration=calibration)
    with pytest.raises(InputError, match="can't be calibrated"):
        fit_calibration(collection, Reranker(InText(scale=Scale.ORDINAL)), stage=run)
    with pytest.raises(InputError, match="neither top_k nor min_relevance"):
        fit_calibration(collection, Reranker(OverlapScorer(), top_k=3), stage=run)
