"""Fusing orders: by the formula, losing nothing, and alike for lists, runs and rerankers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scorers_to_combine import SCORES, WEIGHTS, AwaitableScorer, numbered_documents

from resift import Fused, InputError, Reranker, Scale, fuse
from resift.evaluation import fuse as fuse_runs
from resift.scorer import Scores, Span
from resift.scoring.fusion import reciprocal_ranks
from resift.testing import OverlapScorer, ScriptedScorer


@given(st.lists(st.lists(st.integers(0, 12), max_size=12), min_size=1, max_size=4), st.data())
def test_fusing_equals_the_formula_and_loses_nothing(orders: list[list[int]], data: st.DataObject) -> None:
    shares = data.draw(st.lists(WEIGHTS, min_size=len(orders), max_size=len(orders)))
    unique = [list(dict.fromkeys(order)) for order in orders]
    fused = fuse(orders, shares)
    assert sorted(fused) == sorted({item for order in orders for item in order})
    for item, total in reciprocal_ranks(orders, shares).items():
        parts = [
            share / (60 + order.index(item) + 1) for share, order in zip(shares, unique, strict=True) if item in order
        ]
        assert total == pytest.approx(sum(parts), abs=1e-15)
    assert fuse_runs([{"q": order} for order in orders], shares) == {"q": fused}


@given(SCORES, WEIGHTS)
def test_a_fused_reranker_orders_as_fused_runs_do(values: list[float], weight: float) -> None:
    documents = numbered_documents(len(values))
    plain = Reranker(ScriptedScorer(values)).rank("q", documents)
    ranking = Reranker(Fused(ScriptedScorer(values), weight=weight)).rank("q", documents)
    runs = [{"q": documents}, {"q": plain.documents}]
    assert ranking.documents == fuse_runs(runs, [weight, 1 - weight])["q"]
    ranks = {hit.document: hit.rank for hit in plain}
    for hit in ranking:
        expected = weight / (60 + hit.index + 1) + (1 - weight) / (60 + ranks[hit.document])
        assert hit.score == pytest.approx(expected, abs=1e-15)
    assert (ranking.scale, ranking[0].relevance, ranking.model) == (Scale.ORDINAL, None, "scripted + first stage")


@given(SCORES)
def test_with_weight_1_or_0_the_order_is_one_side_s(values: list[float]) -> None:
    documents = numbered_documents(len(values))
    plain = Reranker(ScriptedScorer(values)).rank("q", documents)
    assert Reranker(Fused(ScriptedScorer(values), weight=1)).rank("q", documents).documents == documents
    assert Reranker(Fused(ScriptedScorer(values), weight=0)).rank("q", documents).documents == plain.documents


def test_fusing_counts_equal_texts_once_and_returns_them_all() -> None:
    ranking = Reranker(Fused(OverlapScorer())).rank("red fox", ["a whale", "the red fox", "a whale"])
    assert ranking.documents == ["the red fox", "a whale", "a whale"]
    assert ranking.stats.documents == 3


async def test_a_scorer_that_can_be_awaited_is_awaited() -> None:
    ranking = await Reranker(Fused(AwaitableScorer([0.1, 0.2]), weight=0.1)).arank("q", ["a", "b"])
    assert ranking.documents == ["b", "a"]


def test_a_scorer_that_is_meant_to_cut_documents_causes_no_warning() -> None:
    class FirstWindowScorer(ScriptedScorer):
        long_documents = "first_window"

    scores = Scores((1.0,), spans={0: Span(0, 1, truncated=True)})
    assert Reranker(Fused(FirstWindowScorer(scores))).rank("q", ["abc"])[0].truncated


def test_an_impossible_weight_is_refused() -> None:
    with pytest.raises(InputError, match=r"between 0 and 1, got 1\.5"):
        Fused(OverlapScorer(), weight=1.5)
