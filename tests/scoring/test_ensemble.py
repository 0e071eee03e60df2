"""Averaging several models: relevance, standardised scores or ranks, and what the members report of themselves."""

from __future__ import annotations

import asyncio
import math
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scorers_to_combine import SCORES, WEIGHTS, AwaitableScorer, numbered_documents

from resift import Ensemble, InputError, Reranker, Scale, ScorerError
from resift.scorer import Scores, Span, Usage
from resift.testing import OverlapScorer, ScriptedScorer, check_scorer


@given(SCORES, st.data())
def test_an_ensemble_averages_relevance(values: list[float], data: st.DataObject) -> None:
    probabilities = data.draw(st.lists(st.floats(0, 1), min_size=len(values), max_size=len(values)))
    share = data.draw(WEIGHTS)
    members = [ScriptedScorer(values), ScriptedScorer(probabilities, scale=Scale.PROBABILITY)]
    ranking = Reranker(Ensemble(members, weights=[share, 1 - share])).rank("q", numbered_documents(len(values)))
    for hit in ranking:
        expected = share / (1 + math.exp(-values[hit.index])) + (1 - share) * probabilities[hit.index]
        assert hit.relevance == hit.score == pytest.approx(expected, abs=1e-12)
    assert (ranking.scale, len(ranking)) == (Scale.PROBABILITY, len(values))


@given(SCORES)
def test_an_ensemble_averages_standardised_scores(values: list[float]) -> None:
    members = [ScriptedScorer(values, scale=Scale.SIMILARITY), ScriptedScorer([7.0] * len(values))]
    ranking = Reranker(Ensemble(members, by="standard")).rank("q", numbered_documents(len(values)))
    deviation = pstdev(values)
    for hit in ranking:
        expected = (values[hit.index] - fmean(values)) / deviation / 2 if deviation else 0
        assert hit.score == pytest.approx(expected, abs=1e-9)
    assert ranking.scale is Scale.ORDINAL


def test_an_ensemble_by_rank_is_reciprocal_rank_fusion() -> None:
    members = [ScriptedScorer([3.0, 1.0, 2.0]), ScriptedScorer([0.1, 0.3, 0.2], scale=Scale.SIMILARITY)]
    ranking = Reranker(Ensemble(members, by="rank", weights=[2, 1])).rank("q", ["a", "b", "c"])
    assert {hit.document: hit.score for hit in ranking} == pytest.approx(
        {"a": 2 / 61 + 1 / 63, "b": 2 / 63 + 1 / 61, "c": 2 / 62 + 1 / 62}
    )


def test_an_ensemble_keeps_the_contract_of_a_scorer() -> None:
    check_scorer(Ensemble([OverlapScorer(), OverlapScorer()]))


def test_an_ensemble_adds_up_usage_and_spans_of_its_members() -> None:
    first = Scores((1.0, 2.0), Usage(tokens=5, calls=1), {1: Span(0, 4, truncated=True)}, degraded="a reason")
    second = Scores((1.0, 2.0), Usage(tokens=7), {1: Span(2, 9, truncated=False)})
    joined = Ensemble([ScriptedScorer(first), ScriptedScorer(second)]).score("q", ["a", "b"])
    assert (joined.usage.tokens, joined.usage.calls) == (12, 1)
    assert joined.spans == {1: Span(0, 9, truncated=True)}
    assert joined.degraded == "a reason"


def test_an_ensemble_fails_with_its_member_and_names_it() -> None:
    for answer in (OSError("no"), [1.0], [1.0, math.nan]):
        with pytest.raises(ScorerError, match="broken"):
            Ensemble([OverlapScorer(), ScriptedScorer(answer, name="broken")]).score("q", ["a", "b"])  # type: ignore[arg-type]
    renamed = ScriptedScorer(Scores((1.0,), model="stand-in", scale=Scale.SIMILARITY))
    with pytest.raises(ScorerError, match="stand-in answered on the similarity scale"):
        Ensemble([OverlapScorer(), renamed]).score("q", ["a"])


def test_an_impossible_ensemble_is_refused() -> None:
    overlap, similar = OverlapScorer(), ScriptedScorer([], scale=Scale.SIMILARITY)
    for make, message in (
        (lambda: Ensemble([overlap]), "give two models or more"),
        (lambda: Ensemble([overlap, similar]), "similarity scale, which has no relevance to average"),
        (lambda: Ensemble([overlap, overlap], by="mean"), "by is one of relevance, standard, rank"),  # type: ignore[arg-type]
        (lambda: Ensemble([overlap, overlap], weights=[1]), "2 weights are wanted"),
    ):
        with pytest.raises(InputError, match=message):
            make()


async def test_members_that_can_be_awaited_are_awaited() -> None:
    members = [AwaitableScorer([0.1, 0.2]), AwaitableScorer([0.3, 0.1]), OverlapScorer()]
    ranking = await Reranker(Ensemble(members)).arank("b", ["a", "b"])
    assert {hit.document: hit.score for hit in ranking} == pytest.approx({"a": 0.4 / 3, "b": 1.3 / 3})


async def test_a_failing_member_cancels_the_others() -> None:
    slow, broken = AwaitableScorer([0.1]), AwaitableScorer(OSError("down"), "broken")
    with pytest.raises(ScorerError, match="broken failed"):
        await Ensemble([slow, broken]).ascore("q", ["a"])
    await asyncio.sleep(0)
    assert slow.cancelled


def test_members_that_are_meant_to_cut_documents_cause_no_warning() -> None:
    class FirstWindowScorer(ScriptedScorer):
        long_documents = "first_window"

    scores = Scores((1.0,), spans={0: Span(0, 1, truncated=True)})
    ensemble = Ensemble([FirstWindowScorer(scores), FirstWindowScorer(scores)])
    assert Reranker(ensemble).rank("q", ["abc"])[0].truncated
