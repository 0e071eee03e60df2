"""Arguments of another kind are InputErrors when several scorers are put together, not TypeErrors or guesses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from resift import Cascade, Ensemble, Fallback, Fused, InputError, load_scorer
from resift.testing import OverlapScorer

TWO: Any = [OverlapScorer(), OverlapScorer()]
Wrong = Callable[[Any], object]


@pytest.mark.parametrize("keep", [True, "5", 2.5, [2.5], [True], None, float("nan"), 0, [0], {}])
def test_how_many_a_cascade_keeps_is_a_whole_number(keep: Any) -> None:
    with pytest.raises(InputError, match="keep"):
        Cascade(TWO, keep=keep)


@pytest.mark.parametrize("models", [None, 5, 2.5, "resift:small", b"resift:small", {"one": 1, "other": 2}, object()])
@pytest.mark.parametrize("make", [lambda models: Cascade(models, keep=2), Ensemble, Fallback])
def test_models_are_a_list(make: Wrong, models: Any) -> None:
    with pytest.raises(InputError, match=r"models|stages|combine"):
        make(models)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ensemble(TWO, weights="12"), "weights is one text; give a list of numbers"),  # type: ignore[arg-type]
        (lambda: Ensemble(TWO, weights=["a", 1]), "a weight must be a number, got 'a'"),  # type: ignore[list-item]
        (lambda: Ensemble(TWO, weights=[None, 1]), "a weight must be a number, got None"),  # type: ignore[list-item]
        (lambda: Ensemble(TWO, weights=[True, 1]), "a weight must be a number, got True"),
        (lambda: Ensemble(TWO, weights=5), "weights is an int"),  # type: ignore[arg-type]
        (lambda: Ensemble(TWO, by=["rank"]), "by is one of relevance, standard, rank"),  # type: ignore[arg-type]
        (lambda: Ensemble([5, OverlapScorer()]), "model is a int without name"),  # type: ignore[list-item]
        (lambda: Fused(OverlapScorer(), weight="0.3"), "weight must be a number, got '0.3'"),  # type: ignore[arg-type]
        (lambda: Fused(OverlapScorer(), weight=None), "weight must be a number, got None"),  # type: ignore[arg-type]
        (lambda: Fused(OverlapScorer(), weight=True), "weight must be a number, got True"),
        (lambda: Fallback(TWO, rest="5"), "rest must be a number, got '5'"),  # type: ignore[arg-type]
    ],
)
def test_numbers_are_numbers(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_other_numbers_and_lists_are_taken() -> None:
    assert Cascade((scorer for scorer in TWO), keep=np.int64(2)).keep == (2,)
    assert Cascade([*TWO, OverlapScorer()], keep=np.array([3, 2])).keep == (3, 2)
    assert Ensemble(TWO, weights=np.array([1, 3])).weights == [1, 3]


@pytest.mark.parametrize("wrong", ["threshold", "score_threshold", "top_n", "min_relevance"])
def test_an_option_of_a_call_is_said_to_be_one(wrong: str) -> None:
    right = "top_k" if wrong == "top_n" else "min_relevance"
    options: dict[str, Any] = {wrong: 0.5}
    with pytest.raises(
        InputError, match=rf"resift:small has no option {wrong}: {right} is given to Reranker\(...\) or"
    ):
        load_scorer("resift:small", **options)
