"""A second model answers where the first fails: which one it was and why is told, and a refusal is no failure."""

from __future__ import annotations

import logging
import math
import pickle
import time
from collections.abc import Sequence
from typing import Any

import pytest
from scorers_to_combine import AwaitableScorer, unreachable

from resift import Fallback, Fused, InputError, OverloadedError, Reranker, Scale, ScorerError
from resift.testing import OverlapScorer, ScriptedScorer


def test_the_first_model_that_answers_gives_name_and_scale(caplog: pytest.LogCaptureFixture) -> None:
    local = ScriptedScorer([1.0, 2.0], name="local", scale=Scale.LOGIT)
    up = ScriptedScorer([0.9, 0.1], name="service", scale=Scale.PROBABILITY)
    ranking = Reranker(Fallback([up, local])).rank("q", ["a", "b"])
    assert (ranking.model, ranking.scale, ranking.degraded) == ("service", Scale.PROBABILITY, None)
    assert ranking[0].relevance == 0.9
    assert not local.calls
    with caplog.at_level(logging.WARNING, "resift"):
        ranking = Reranker(Fallback([unreachable(), local])).rank("q", ["a", "b"])
    assert (ranking.model, ranking.scale, ranking.documents) == ("local", Scale.LOGIT, ["b", "a"])
    assert ranking[0].relevance == pytest.approx(1 / (1 + math.exp(-2)))
    assert ranking.degraded == "local answered: service failed: OSError: no route to host"
    assert "no route to host" in caplog.text


@pytest.mark.parametrize("answer", [[1.0], [1.0, math.nan], ScorerError("the service said no")])
def test_an_answer_that_can_not_be_used_is_a_failure(answer: Any) -> None:
    ranking = Reranker(Fallback([ScriptedScorer(answer, name="service"), OverlapScorer()])).rank(
        "fox", ["whale", "fox"]
    )
    assert ranking.documents == ["fox", "whale"]
    assert ranking.degraded is not None


def test_where_no_model_answers_the_error_has_every_reason() -> None:
    fallback = Fallback([unreachable("one"), unreachable("other", OSError("no memory"))])
    with pytest.raises(
        ScorerError, match=r"no model answered: one failed: .*no route to host; other failed: .*no memory"
    ):
        Reranker(fallback).rank("q", ["a"])
    kept = Reranker(fallback, on_error="keep_order").rank("q", ["a", "b"])
    assert kept.documents == ["a", "b"]


def test_an_input_error_does_not_ask_the_next_model() -> None:
    following = ScriptedScorer([1.0])
    with pytest.raises(InputError, match="too long"):
        Fallback([unreachable(error=InputError("the query is too long")), following]).score("q", ["a"])
    assert not following.calls


def test_min_relevance_is_refused_at_once_where_one_model_has_no_relevance() -> None:
    similar = ScriptedScorer([1.0], scale=Scale.SIMILARITY)
    with pytest.raises(InputError, match="similarity scale"):
        Reranker(Fallback([OverlapScorer(), similar]), min_relevance=0.5)
    relevant = Reranker(Fallback([unreachable(), OverlapScorer()]), min_relevance=0.5)
    assert relevant.rank("red fox", ["a whale", "the red fox"]).documents == ["the red fox"]


def test_many_queries_are_answered_by_one_model() -> None:
    rankings = Reranker(Fallback([unreachable(), OverlapScorer()])).rank_many(["fox", "whale"], [["whale", "fox"]] * 2)
    assert [ranking.documents for ranking in rankings] == [["fox", "whale"], ["whale", "fox"]]
    assert all(ranking.degraded for ranking in rankings)


def test_a_model_that_failed_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    service = unreachable()
    fallback = Fallback([service, OverlapScorer()], rest=30)
    for _ in range(3):
        assert "no route to host" in str(fallback.score("q", ["a"]).degraded), "the reason is still told"
    assert len(service.calls) == 1
    now += 31
    service.answer = [0.4]
    assert fallback.score("q", ["a"]).degraded is None
    assert len(service.calls) == 2
    both_down = Fallback([unreachable(), unreachable("last")], rest=30)
    for _ in range(2):
        with pytest.raises(ScorerError, match="last failed"):
            both_down.score("q", ["a"])
    assert len(both_down.scorers[1].calls) == 2, "the last is always asked"  # type: ignore[attr-defined]


async def test_an_overloaded_model_is_an_overload_and_no_failure() -> None:
    class Full(OverlapScorer):
        async def ascore(self, query: str, documents: Sequence[str]) -> Sequence[float]:
            raise OverloadedError("too many are waiting")

    with pytest.raises(OverloadedError):
        await Reranker(Fallback([Full(), OverlapScorer()]), on_error="keep_order").arank("q", ["a"])


def test_a_fallback_of_names_and_combinations_can_be_pickled() -> None:
    fallback = Fallback([unreachable(), Fused("resift:small", weight=0.2)])
    ranking = Reranker(pickle.loads(pickle.dumps(fallback))).rank(
        "what eats bamboo?", ["Stocks fell.", "Pandas eat bamboo."]
    )
    assert (ranking[0].index, ranking.model, ranking.scale) == (1, "resift:small + first stage", Scale.ORDINAL)


def test_an_impossible_fallback_is_refused() -> None:
    with pytest.raises(InputError, match="give two models or more"):
        Fallback("resift:small")
    with pytest.raises(InputError, match="rest is a number of seconds"):
        Fallback([OverlapScorer(), OverlapScorer()], rest=-1)


async def test_models_that_can_be_awaited_are_awaited() -> None:
    ranking = await Reranker(Fallback([AwaitableScorer(OSError("down")), OverlapScorer()])).arank("b", ["a", "b"])
    assert (ranking.documents, ranking.model) == (["b", "a"], "overlap")
    assert "service failed: OSError: down" in str(ranking.degraded)
    with pytest.raises(ScorerError, match="no model answered"):
        await Reranker(Fallback([AwaitableScorer(OSError("down")), AwaitableScorer([1.0])])).arank("q", ["a", "b"])
