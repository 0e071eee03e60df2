"""A cascade: each scorer reads only the best of the one before, and no document is lost."""

from __future__ import annotations

import math

import pytest

from resift import Cascade, InputError, Reranker, Scale, ScorerError
from resift.scorer import Request
from resift.testing import OverlapScorer, ScriptedScorer


def scripted(*values: float, **fields: str) -> ScriptedScorer:
    return ScriptedScorer(values, **fields)


def test_the_best_of_the_first_scorer_are_scored_again() -> None:
    cheap, good = scripted(5, 4, 3, 2, name="cheap"), scripted(1, 9, name="good")
    ranking = Reranker(Cascade([cheap, good], keep=2)).rank("q", ["a", "b", "c", "d"])
    assert ranking.documents == ["b", "a", "c", "d"]
    assert [hit.score for hit in ranking] == [3, 2, 1, 0]
    assert good.calls == [Request("q", ("a", "b"))]
    assert (ranking.model, ranking.scale, ranking[0].relevance) == ("cheap > good", Scale.ORDINAL, None)
    assert ranking.degraded is None


def test_ties_in_a_cascade_keep_their_order_and_stay_ties() -> None:
    cascade = Cascade([scripted(1, 1, 1, 0, 1), scripted(2, 2)], keep=2)
    assert list(cascade.score("q", list("abcde"))) == [3, 3, 1, 0, 1]


def test_three_stages_and_short_lists() -> None:
    cascade = Cascade([scripted(4, 3, 2, 1), scripted(1, 2, 3), scripted(1, 2)], keep=[3, 2])
    assert list(cascade.score("q", list("abcd"))) == [1, 3, 2, 0]
    assert list(Cascade([scripted(1), scripted(1)], keep=5).score("q", ["a"])) == [0]
    empty = Cascade([ScriptedScorer(OSError()), ScriptedScorer(OSError())], keep=5)
    assert list(empty.score("q", [])) == []


def test_many_queries_share_each_stage_and_costs_add_up(bundled: Reranker) -> None:
    cascade = Cascade([OverlapScorer(), bundled.scorer], keep=2)
    lists = [["a red fox", "a whale", "red wine"], [], ["stocks fell", "pandas eat bamboo", "what eats what?"]]
    requests = [
        Request(query, texts) for query, texts in zip(["red fox", "none", "what eats bamboo?"], lists, strict=True)
    ]
    answers = cascade.score_many(requests)
    assert [list(answer) for answer in answers] == [list(cascade.score(*request)) for request in requests]
    assert [answer.usage.pairs for answer in answers] == [2, 0, 2]
    rankings = Reranker(cascade).rank_many(["red fox", "what eats bamboo?"], [lists[0], lists[2]])
    assert rankings[1][0].document == "pandas eat bamboo"


def test_a_failing_stage_is_named() -> None:
    with pytest.raises(ScorerError, match="good: 1 of 2 scores are not finite") as caught:
        Cascade([scripted(1, 3, 2), scripted(1, math.nan, name="good")], keep=2).score("q", list("abc"))
    assert caught.value.places == (2,)


@pytest.mark.parametrize(
    ("stages", "keep"), [([None], []), ([None, None], [5, 3]), ([None, None], 0), ([None] * 3, [3, 3])]
)
def test_impossible_cascades_are_refused(stages: list[None], keep: int | list[int]) -> None:
    with pytest.raises(InputError, match=r"cascade has two|must be at least 1|must shrink"):
        Cascade(stages, keep)
    with pytest.raises(InputError, match="min_relevance"):
        Reranker(Cascade([scripted(1), scripted(1)], keep=1), min_relevance=0.5)
