"""Fusing, averaging, standing in and spreading out: nothing is lost, and every number has the meaning it says."""

from __future__ import annotations

import asyncio
import logging
import math
import pickle
import time
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift import (
    Ensemble,
    Fallback,
    Fused,
    InputError,
    OverloadedError,
    Reranker,
    Scale,
    ScorerError,
    StaticEmbedder,
    diversify,
    fuse,
)
from resift.evaluation import fuse as fuse_runs
from resift.scorer import Scores, Span, Usage
from resift.scoring.fusion import reciprocal_ranks
from resift.testing import OverlapScorer, ScriptedScorer, check_scorer

scores = st.lists(st.floats(-30, 30) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=25)
weights = st.floats(0.01, 0.99)


def named(count: int) -> list[str]:
    return [f"document {place}" for place in range(count)]


def down(name: str = "service", error: Exception | None = None) -> ScriptedScorer:
    return ScriptedScorer(OSError("no route to host") if error is None else error, name=name)


class Service:
    """A scorer that waits, and says when it was there."""

    def __init__(self, answer: Any, name: str = "service", scale: Scale = Scale.PROBABILITY) -> None:
        self.answer, self.name, self.scale, self.asked, self.cancelled = answer, name, scale, 0, False

    def score(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        raise AssertionError("an event loop was blocked")

    async def ascore(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        self.asked += 1
        try:
            await asyncio.sleep(0.01 if isinstance(self.answer, Exception) else 0.05)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return list(self.answer)


# --- fusion


@given(st.lists(st.lists(st.integers(0, 12), max_size=12), min_size=1, max_size=4), st.data())
def test_fusing_equals_the_formula_and_loses_nothing(orders: list[list[int]], data: st.DataObject) -> None:
    shares = data.draw(st.lists(weights, min_size=len(orders), max_size=len(orders)))
    unique = [list(dict.fromkeys(order)) for order in orders]
    found = fuse(orders, shares)
    assert sorted(found) == sorted({thing for order in orders for thing in order})
    for thing, total in reciprocal_ranks(orders, shares).items():
        parts = [
            share / (60 + order.index(thing) + 1) for share, order in zip(shares, unique, strict=True) if thing in order
        ]
        assert total == pytest.approx(sum(parts), abs=1e-15)
    assert fuse_runs([{"q": order} for order in orders], shares) == {"q": found}


@given(scores, weights)
def test_a_fused_reranker_orders_as_fused_runs_do(values: list[float], weight: float) -> None:
    documents = named(len(values))
    plain = Reranker(ScriptedScorer(values)).rank("q", documents)
    ranking = Reranker(Fused(ScriptedScorer(values), weight=weight)).rank("q", documents)
    runs = [{"q": documents}, {"q": plain.documents}]
    assert ranking.documents == fuse_runs(runs, [weight, 1 - weight])["q"]
    places = {hit.document: hit.rank for hit in plain}
    for hit in ranking:
        expected = weight / (60 + hit.index + 1) + (1 - weight) / (60 + places[hit.document])
        assert hit.score == pytest.approx(expected, abs=1e-15)
    assert (ranking.scale, ranking[0].relevance, ranking.model) == (Scale.ORDINAL, None, "scripted + first stage")


@given(scores)
def test_at_its_ends_a_fused_order_is_one_side_s(values: list[float]) -> None:
    documents = named(len(values))
    plain = Reranker(ScriptedScorer(values)).rank("q", documents)
    assert Reranker(Fused(ScriptedScorer(values), weight=1)).rank("q", documents).documents == documents
    assert Reranker(Fused(ScriptedScorer(values), weight=0)).rank("q", documents).documents == plain.documents


def test_fusing_counts_equal_texts_once_and_returns_them_all() -> None:
    ranking = Reranker(Fused(OverlapScorer())).rank("red fox", ["a whale", "the red fox", "a whale"])
    assert ranking.documents == ["the red fox", "a whale", "a whale"]
    assert ranking.stats.documents == 3


# --- ensembles


@given(scores, st.data())
def test_an_ensemble_averages_relevance(values: list[float], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.floats(0, 1), min_size=len(values), max_size=len(values)))
    share = data.draw(weights)
    members = [ScriptedScorer(values), ScriptedScorer(other, scale=Scale.PROBABILITY)]
    ranking = Reranker(Ensemble(members, weights=[share, 1 - share])).rank("q", named(len(values)))
    for hit in ranking:
        expected = share / (1 + math.exp(-values[hit.index])) + (1 - share) * other[hit.index]
        assert hit.relevance == hit.score == pytest.approx(expected, abs=1e-12)
    assert (ranking.scale, len(ranking)) == (Scale.PROBABILITY, len(values))


@given(scores)
def test_an_ensemble_averages_standardised_scores(values: list[float]) -> None:
    members = [ScriptedScorer(values, scale=Scale.SIMILARITY), ScriptedScorer([7.0] * len(values))]
    ranking = Reranker(Ensemble(members, by="standard")).rank("q", named(len(values)))
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


def test_an_ensemble_adds_up_what_its_members_know() -> None:
    cut = Scores((1.0, 2.0), Usage(tokens=5, calls=1), {1: Span(0, 4, truncated=True)}, degraded="a reason")
    window = Scores((1.0, 2.0), Usage(tokens=7), {1: Span(2, 9, truncated=False)})
    joined = Ensemble([ScriptedScorer(cut), ScriptedScorer(window)]).score("q", ["a", "b"])
    assert (joined.usage.tokens, joined.usage.calls) == (12, 1)
    assert joined.spans == {1: Span(0, 9, truncated=True)}
    assert joined.degraded == "a reason"


def test_an_ensemble_fails_with_its_member_and_names_it() -> None:
    for answer in (OSError("no"), [1.0], [1.0, math.nan]):
        with pytest.raises(ScorerError, match="broken"):
            Ensemble([OverlapScorer(), ScriptedScorer(answer, name="broken")]).score("q", ["a", "b"])  # type: ignore[arg-type]
    stood_in = ScriptedScorer(Scores((1.0,), model="stand-in", scale=Scale.SIMILARITY))
    with pytest.raises(ScorerError, match="stand-in answered on the similarity scale"):
        Ensemble([OverlapScorer(), stood_in]).score("q", ["a"])


def test_impossible_combinations_are_refused() -> None:
    one, similar = OverlapScorer(), ScriptedScorer([], scale=Scale.SIMILARITY)
    for make, message in (
        (lambda: Ensemble([one]), "give two models or more"),
        (lambda: Fallback("resift:small"), "give two models or more"),
        (lambda: Ensemble([one, similar]), "similarity scale, which has no relevance to average"),
        (lambda: Ensemble([one, one], by="mean"), "by is one of relevance, standard, rank"),  # type: ignore[arg-type]
        (lambda: Ensemble([one, one], weights=[1]), "2 weights are wanted"),
        (lambda: Fused(one, weight=1.5), "between 0 and 1, got 1.5"),
        (lambda: Fallback([one, one], rest=-1), "rest is a number of seconds"),
    ):
        with pytest.raises(InputError, match=message):
            make()


# --- standing in


def test_the_first_that_answers_is_the_one_that_is_named(caplog: pytest.LogCaptureFixture) -> None:
    local = ScriptedScorer([1.0, 2.0], name="local", scale=Scale.LOGIT)
    up = ScriptedScorer([0.9, 0.1], name="service", scale=Scale.PROBABILITY)
    ranking = Reranker(Fallback([up, local])).rank("q", ["a", "b"])
    assert (ranking.model, ranking.scale, ranking.degraded) == ("service", Scale.PROBABILITY, None)
    assert ranking[0].relevance == 0.9
    assert not local.calls
    with caplog.at_level(logging.WARNING, "resift"):
        ranking = Reranker(Fallback([down(), local])).rank("q", ["a", "b"])
    assert (ranking.model, ranking.scale, ranking.documents) == ("local", Scale.LOGIT, ["b", "a"])
    assert ranking[0].relevance == pytest.approx(1 / (1 + math.exp(-2)))
    assert ranking.degraded == "local answered: service failed: OSError: no route to host"
    assert "no route to host" in caplog.text


@pytest.mark.parametrize("answer", [[1.0], [1.0, math.nan], ScorerError("the service said no")])
def test_an_answer_that_can_not_be_used_is_a_failure_too(answer: Any) -> None:
    ranking = Reranker(Fallback([ScriptedScorer(answer, name="service"), OverlapScorer()])).rank(
        "fox", ["whale", "fox"]
    )
    assert ranking.documents == ["fox", "whale"]
    assert ranking.degraded is not None


def test_where_nobody_answers_every_reason_is_told() -> None:
    nobody = Fallback([down("one"), down("other", OSError("no memory"))])
    with pytest.raises(
        ScorerError, match=r"no model answered: one failed: .*no route to host; other failed: .*no memory"
    ):
        Reranker(nobody).rank("q", ["a"])
    kept = Reranker(nobody, on_error="keep_order").rank("q", ["a", "b"])
    assert kept.documents == ["a", "b"]


def test_what_resift_refuses_is_no_reason_to_ask_another() -> None:
    other = ScriptedScorer([1.0])
    with pytest.raises(InputError, match="too long"):
        Fallback([down(error=InputError("the query is too long")), other]).score("q", ["a"])
    assert not other.calls


def test_a_floor_is_refused_from_the_start_where_a_stand_in_could_not_keep_it() -> None:
    similar = ScriptedScorer([1.0], scale=Scale.SIMILARITY)
    with pytest.raises(InputError, match="similarity scale"):
        Reranker(Fallback([OverlapScorer(), similar]), min_relevance=0.5)
    floor = Reranker(Fallback([down(), OverlapScorer()]), min_relevance=0.5)
    assert floor.rank("red fox", ["a whale", "the red fox"]).documents == ["the red fox"]


def test_many_queries_are_answered_by_one_model() -> None:
    rankings = Reranker(Fallback([down(), OverlapScorer()])).rank_many(["fox", "whale"], [["whale", "fox"]] * 2)
    assert [ranking.documents for ranking in rankings] == [["fox", "whale"], ["whale", "fox"]]
    assert all(ranking.degraded for ranking in rankings)


def test_a_model_that_failed_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    service = down()
    resting = Fallback([service, OverlapScorer()], rest=30)
    for _ in range(3):
        assert "no route to host" in str(resting.score("q", ["a"]).degraded), "the reason is still told"
    assert len(service.calls) == 1
    now += 31
    service.answer = [0.4]
    assert resting.score("q", ["a"]).degraded is None
    assert len(service.calls) == 2
    tired = Fallback([down(), down("last")], rest=30)
    for _ in range(2):
        with pytest.raises(ScorerError, match="last failed"):
            tired.score("q", ["a"])
    assert len(tired.scorers[1].calls) == 2, "the last is always asked"  # type: ignore[attr-defined]


async def test_members_that_can_be_awaited_are() -> None:
    service, other = Service([0.1, 0.2]), Service([0.3, 0.1])
    ranking = await Reranker(Ensemble([service, other, OverlapScorer()])).arank("b", ["a", "b"])
    assert {hit.document: hit.score for hit in ranking} == pytest.approx({"a": 0.4 / 3, "b": 1.3 / 3})
    ranking = await Reranker(Fallback([Service(OSError("down")), OverlapScorer()])).arank("b", ["a", "b"])
    assert (ranking.documents, ranking.model) == (["b", "a"], "overlap")
    assert "service failed: OSError: down" in str(ranking.degraded)
    ranking = await Reranker(Fused(Service([0.1, 0.2]), weight=0.1)).arank("q", ["a", "b"])
    assert ranking.documents == ["b", "a"]
    with pytest.raises(ScorerError, match="no model answered"):
        await Reranker(Fallback([Service(OSError("down")), Service([1.0])])).arank("q", ["a", "b"])


async def test_one_failure_ends_the_waiting_for_the_others() -> None:
    slow, broken = Service([0.1]), Service(OSError("down"), "broken")
    with pytest.raises(ScorerError, match="broken failed"):
        await Ensemble([slow, broken]).ascore("q", ["a"])
    await asyncio.sleep(0)
    assert slow.cancelled


async def test_an_overloaded_member_is_overload_and_no_failure() -> None:
    class Full(OverlapScorer):
        async def ascore(self, query: str, documents: Sequence[str]) -> Sequence[float]:
            raise OverloadedError("too many are waiting")

    with pytest.raises(OverloadedError):
        await Reranker(Fallback([Full(), OverlapScorer()]), on_error="keep_order").arank("q", ["a"])


def test_combinations_take_names_nest_and_travel() -> None:
    whole = Fallback([down(), Fused("resift:small", weight=0.2)])
    ranking = Reranker(pickle.loads(pickle.dumps(whole))).rank(
        "what eats bamboo?", ["Stocks fell.", "Pandas eat bamboo."]
    )
    assert (ranking[0].index, ranking.model, ranking.scale) == (1, "resift:small + first stage", Scale.ORDINAL)


def test_what_is_known_to_be_cut_warns_of_nothing() -> None:
    class Cuts(ScriptedScorer):
        long_documents = "first_window"

    cut = Scores((1.0,), spans={0: Span(0, 1, truncated=True)})
    assert Reranker(Fused(Cuts(cut))).rank("q", ["abc"])[0].truncated
    assert Reranker(Ensemble([Cuts(cut), Cuts(cut)])).rank("q", ["abc"])[0].truncated


# --- spreading out

vectors = st.integers(1, 12).flatmap(
    lambda count: st.lists(
        st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(tuple), min_size=count, max_size=count
    )
)


@given(vectors, st.floats(0, 1), st.data())
def test_spreading_out_loses_nothing_and_follows_the_formula(
    rows: list[tuple[float, ...]], balance: float, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.floats(-9, 9), min_size=len(rows), max_size=len(rows)))
    ranking = Reranker(ScriptedScorer(values)).rank("q", named(len(rows)))
    spread = diversify(ranking, rows, balance=balance)
    assert sorted(hit.index for hit in spread) == list(range(len(rows)))
    assert [hit.rank for hit in spread] == list(range(1, len(rows) + 1))
    assert {hit.index: (hit.score, hit.relevance) for hit in spread} == {
        hit.index: (hit.score, hit.relevance) for hit in ranking
    }
    unit = [np.array(row) / (np.linalg.norm(row) or 1.0) for row in rows]
    place = {hit.index: at for at, hit in enumerate(ranking)}

    def gain(at: int, before: list[int]) -> float:
        return balance * float(ranking[at].relevance or 0) - (1 - balance) * max(
            (float(unit[at] @ unit[other]) for other in before), default=0.0
        )

    order = [place[hit.index] for hit in spread]
    for step, chosen in enumerate(order):
        best = max(gain(at, order[:step]) for at in order[step:])
        assert gain(chosen, order[:step]) == pytest.approx(best, abs=1e-9)


@given(scores, st.sampled_from(list(Scale)))
def test_at_one_the_order_stays(values: list[float], scale: Scale) -> None:
    values = [abs(value) / 30 for value in values] if scale is Scale.PROBABILITY else values
    ranking = Reranker(ScriptedScorer(values, scale=scale)).rank("q", named(len(values)))
    spread = diversify(ranking, np.ones((len(values), 2)), balance=1)
    assert spread.hits == ranking.hits
    assert spread.model == "scripted, diversified"


def test_a_repeated_passage_makes_way() -> None:
    texts = ["The fox wanted grapes.", "A fox wanted the grapes.", "Grapes grow on vines in the sun."]
    for scale in (Scale.LOGIT, Scale.SIMILARITY):
        ranking = Reranker(ScriptedScorer([3.0, 2.9, 2.0], scale=scale)).rank("what did the fox want?", texts)
        spread = diversify(ranking, StaticEmbedder().embed([hit.text for hit in ranking]), balance=0.3)
        assert [hit.index for hit in spread] == [0, 2, 1]


def test_spreading_out_what_has_no_scores_or_no_hits() -> None:
    kept = Reranker(down(), on_error="keep_order").rank("q", ["a", "b", "c"])
    assert diversify(kept, np.eye(3)).documents == ["a", "b", "c"]
    assert diversify(kept, [[1, 0], [1, 0], [0, 1]], balance=0.3).documents == ["a", "c", "b"]
    empty: list[str] = []
    assert len(diversify(Reranker(OverlapScorer()).rank("q", empty), np.zeros((0, 4)))) == 0


def test_vectors_that_do_not_fit_are_refused() -> None:
    ranking = Reranker(OverlapScorer()).rank("q", ["a", "b"])
    for rows in (np.eye(3), np.ones(2), [[1.0], [math.nan]], []):
        with pytest.raises(InputError, match="2 rows of finite numbers"):
            diversify(ranking, rows)
    with pytest.raises(InputError, match="balance must lie between 0 and 1"):
        diversify(ranking, np.eye(2), balance=1.1)
