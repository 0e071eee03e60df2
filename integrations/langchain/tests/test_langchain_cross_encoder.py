from __future__ import annotations

import pytest
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.documents import Document

from langchain_resift import ResiftCrossEncoder
from resift import InputError, Reranker, ScorerError
from resift.testing import OverlapScorer, ScriptedScorer


def test_scores_in_the_order_of_the_pairs() -> None:
    pairs = [
        ("red fox", "a red bus"),
        ("blue whale", "the blue whale"),
        ("red fox", "the red fox"),
        ("blue whale", "a red bus"),
        ("red fox", "a red bus"),
    ]
    assert ResiftCrossEncoder(OverlapScorer()).score(pairs) == [0.5, 1.0, 1.0, 0.0, 0.5]


def test_each_query_is_asked_once() -> None:
    scorer = ScriptedScorer([0.25])
    ResiftCrossEncoder(scorer).score([("b", "same"), ("a", "same"), ("b", "same")])
    assert [call.query for call in scorer.calls] == ["b", "a"]


def test_the_model_s_own_numbers(bundled: Reranker) -> None:
    pairs = [("what eats bamboo?", text) for text in ("Stocks fell.", "Pandas eat bamboo.")]
    scores = ResiftCrossEncoder(bundled.scorer).score(pairs)
    expected = bundled.rank("what eats bamboo?", [text for _, text in pairs])
    assert scores == [hit.score for hit in sorted(expected, key=lambda hit: hit.index)]
    assert all(type(score) is float for score in scores)


def test_no_pairs_no_scores() -> None:
    assert ResiftCrossEncoder(OverlapScorer()).score([]) == []


@pytest.mark.parametrize("bad", [[0.1, float("nan")], [0.1]])
def test_unusable_scores_raise(bad: list[float]) -> None:
    with pytest.raises(ScorerError):
        ResiftCrossEncoder(ScriptedScorer(bad)).score([("q", "one"), ("q", "two")])


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match="wheels"):
        ResiftCrossEncoder(wheels=4)  # type: ignore[call-arg]


def test_in_langchain_s_own_reranker(documents: list[Document]) -> None:
    reranker = CrossEncoderReranker(model=ResiftCrossEncoder(OverlapScorer()), top_n=2)
    assert [document.id for document in reranker.compress_documents(documents, "red fox")] == ["fox", "bus"]
