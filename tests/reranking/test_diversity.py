"""Diversity among the first hits: nothing is lost, and each step takes the hit that the formula names."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scorers_to_combine import SCORES, numbered_documents, unreachable

from resift import InputError, Reranker, Scale, StaticEmbedder, diversify
from resift.testing import OverlapScorer, ScriptedScorer

VECTORS = st.integers(1, 12).flatmap(
    lambda count: st.lists(
        st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(tuple), min_size=count, max_size=count
    )
)


@given(VECTORS, st.floats(0, 1), st.data())
def test_diversifying_loses_nothing_and_follows_the_formula(
    rows: list[tuple[float, ...]], balance: float, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.floats(-9, 9), min_size=len(rows), max_size=len(rows)))
    ranking = Reranker(ScriptedScorer(values)).rank("q", numbered_documents(len(rows)))
    spread = diversify(ranking, rows, balance=balance)
    assert sorted(hit.index for hit in spread) == list(range(len(rows)))
    assert [hit.rank for hit in spread] == list(range(1, len(rows) + 1))
    assert {hit.index: (hit.score, hit.relevance) for hit in spread} == {
        hit.index: (hit.score, hit.relevance) for hit in ranking
    }
    unit = [np.array(row) / (np.linalg.norm(row) or 1.0) for row in rows]
    positions = {hit.index: position for position, hit in enumerate(ranking)}

    def gain(position: int, chosen: list[int]) -> float:
        return balance * float(ranking[position].relevance or 0) - (1 - balance) * max(
            (float(unit[position] @ unit[other]) for other in chosen), default=0.0
        )

    order = [positions[hit.index] for hit in spread]
    for step, position in enumerate(order):
        best = max(gain(candidate, order[:step]) for candidate in order[step:])
        assert gain(position, order[:step]) == pytest.approx(best, abs=1e-9)


@given(SCORES, st.sampled_from(list(Scale)))
def test_with_balance_1_the_order_stays(values: list[float], scale: Scale) -> None:
    values = [abs(value) / 30 for value in values] if scale is Scale.PROBABILITY else values
    ranking = Reranker(ScriptedScorer(values, scale=scale)).rank("q", numbered_documents(len(values)))
    spread = diversify(ranking, np.ones((len(values), 2)), balance=1)
    assert spread.hits == ranking.hits
    assert spread.model == "scripted, diversified"


def test_a_passage_that_repeats_another_moves_down() -> None:
    texts = ["The fox wanted grapes.", "A fox wanted the grapes.", "Grapes grow on vines in the sun."]
    for scale in (Scale.LOGIT, Scale.SIMILARITY):
        ranking = Reranker(ScriptedScorer([3.0, 2.9, 2.0], scale=scale)).rank("what did the fox want?", texts)
        spread = diversify(ranking, StaticEmbedder().embed([hit.text for hit in ranking]), balance=0.3)
        assert [hit.index for hit in spread] == [0, 2, 1]


def test_rankings_without_scores_or_without_hits_can_be_diversified() -> None:
    kept = Reranker(unreachable(), on_error="keep_order").rank("q", ["a", "b", "c"])
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
