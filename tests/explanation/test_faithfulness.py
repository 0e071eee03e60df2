"""Without the words that an explanation names, the score falls more than without others. docs/explain.md has more."""

from __future__ import annotations

import numpy as np
import pytest

from resift import Reranker
from resift.demo import QUESTIONS, fables
from resift.explanation.faithfulness import RANDOM, falls_without, order_of


@pytest.mark.parametrize(
    ("model", "method"), [("resift:small", "parts"), ("resift:tiny", "parts"), ("resift:tiny", "occlusion")]
)
def test_words_that_are_named_matter_more_than_random_ones(model: str, method: str, bundled: Reranker) -> None:
    reranker = bundled if model == "resift:small" else Reranker(model, long_documents="max_window")
    stories = {story.metadata["title"]: story.text for story in fables()}
    named, chance = [], []
    for question in QUESTIONS[:3]:
        explanation = reranker.explain(
            question.text,
            stories[question.answer][:600],
            method=method,  # type: ignore[arg-type]
            unit="word",
            budget=130,
        )
        falls = falls_without(reranker.scorer, explanation, {"named": order_of(explanation)}, counts=(3, 5))
        named.append(falls["named"])
        chance.append(falls[RANDOM])
    assert (np.mean(named, 0) > np.mean(chance, 0) + 0.1).all()
    assert (np.mean(named, 1) > np.mean(chance, 1)).all()
