"""Explanations for any scorer: what is left out, what it costs, and that nothing is asked beyond the budget."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift import Cached, InputError, Reranker, Scale, ScorerError
from resift.explanation.occlusion import OcclusionPlan
from resift.scorer import Request, Scores, Span
from resift.testing import OverlapScorer, ScriptedScorer


class Counting:
    """Counts the texts that it scores by their share of the query's words."""

    name = "counting"
    scale = Scale.PROBABILITY

    def __init__(self, scale: Scale = Scale.PROBABILITY) -> None:
        self.scale = scale
        self.calls: list[Request] = []

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        self.calls.append(Request(query, documents))
        return OverlapScorer().score(query, documents)

    @property
    def pairs(self) -> int:
        return sum(len(call.documents) for call in self.calls)


def test_a_word_that_carries_the_score_contributes_what_its_absence_costs(overlap: Reranker) -> None:
    explanation = overlap.explain("red fox", "The red dog, a fox!")
    found = {
        word.text: value for word, value in zip(explanation.document_words, explanation.contributions, strict=True)
    }
    assert found == {"The": 0, "red": 0.5, "dog": 0, ",": 0, "a": 0, "fox": 0.5, "!": 0}
    assert explanation.method == "occlusion of words"
    assert explanation.unassigned is None
    assert explanation.matrix is not None
    names = [word.text for word in explanation.document_words]
    assert explanation.matrix[0, names.index("red")] == 0.5
    assert explanation.matrix[0, names.index("fox")] == pytest.approx(-0.5), "alone, the other word counts double"


def test_what_is_left_out_takes_its_space_along() -> None:
    scorer = Counting()
    Reranker(scorer).explain("fox", "a red fox, here")
    assert scorer.calls[0].documents == ["a red fox, here", "red fox, here", "a fox, here", "a red, here", "a red fox,"]


@given(
    query=st.text("ab \U0001f40d\u86c7", min_size=1, max_size=12).filter(str.strip),
    document=st.text("ab .\n\U0001f40d\u86c7", max_size=80),
    budget=st.integers(3, 40),
    unit=st.sampled_from([None, "word", "sentence"]),
)
def test_the_budget_holds_and_is_known_beforehand(query: str, document: str, budget: int, unit: str | None) -> None:
    scorer = Counting()
    plan = OcclusionPlan.make(query, document, budget, unit)  # type: ignore[arg-type]
    assert scorer.pairs == 0
    explanation = Reranker(scorer).explain(query, document, budget=budget, unit=unit)  # type: ignore[arg-type]
    assert explanation.pairs_scored == scorer.pairs <= plan.pairs <= budget
    assert len(explanation.contributions) == len(explanation.document_words)


@pytest.mark.parametrize(
    ("budget", "unit", "method"),
    [
        (100, None, "words"),
        (100, "sentence", "sentences"),
        (8, None, "sentences"),
        (4, None, "groups of sentences"),
        (4, "word", "groups of words"),
    ],
)
def test_parts_grow_where_the_budget_is_small(budget: int, unit: str | None, method: str) -> None:
    document = "One two three. Four five six. Seven fox nine. Ten. Eleven and so on."
    explanation = Reranker(OverlapScorer()).explain("fox", document, budget=budget, unit=unit)  # type: ignore[arg-type]
    assert explanation.method == f"occlusion of {method}"
    assert explanation.evidence is not None
    assert "fox" in explanation.evidence.text or "groups" in method, "all sentences of a group have the same worth"
    assert explanation.contributions.sum() == pytest.approx(1)


def test_a_budget_or_a_unit_that_makes_no_sense(overlap: Reranker) -> None:
    with pytest.raises(InputError, match="budget must be at least 3 texts, got"):
        overlap.explain("fox", "a fox", budget=2)
    with pytest.raises(InputError, match="'word', 'sentence' or None"):
        overlap.explain("fox", "a fox", unit="letter")  # type: ignore[arg-type]


def test_a_list_that_is_ordered_as_a_whole_is_asked_in_one_call() -> None:
    scorer = Counting(Scale.ORDINAL)
    explanation = Reranker(scorer).explain("fox", "the red fox sleeps")
    assert len(scorer.calls) == 1
    assert explanation.scale is Scale.ORDINAL


class FirstWindow(OverlapScorer):
    """Reads the first 12 characters, as an engine that cuts says it."""

    long_documents = "truncate"

    def score(self, query: str, documents: Sequence[str]) -> Scores:  # type: ignore[override]
        cut = [document[:12] for document in documents]
        spans = {index: Span(0, 12, True) for index, document in enumerate(documents) if len(document) > 12}
        return Scores(tuple(super().score(query, cut)), spans=spans)


def test_of_a_long_document_only_what_was_read_is_explained() -> None:
    explanation = Reranker(FirstWindow()).explain("fox hen", "a fox sleeps and a hen too")
    assert explanation.span == (0, 12)
    assert explanation.truncated
    assert [word.text for word in explanation.document_words] == ["a", "fox", "sleeps"]
    assert explanation.contributions.tolist() == [0, 0.5, 0]


def test_scores_of_what_nobody_ranks_are_not_kept() -> None:
    scorer = Counting()
    scorer.identity = "counting 1"  # type: ignore[attr-defined]
    cached = Cached(scorer)
    reranker = Reranker(cached)
    reranker.explain("fox", "a red fox")
    reranker.rank("fox", ["a red"])
    assert scorer.calls[-1].documents == ["a red"]


def test_a_scorer_that_fails_or_answers_nonsense_is_an_error() -> None:
    with pytest.raises(ScorerError, match="it broke"):
        Reranker(ScriptedScorer(RuntimeError("it broke"))).explain("fox", "a fox")
    with pytest.raises(ScorerError, match="not finite"):
        Reranker(ScriptedScorer([float("nan")] * 3)).explain("fox", "a fox")
    with pytest.raises(ScorerError, match="scores came out"):
        Reranker(ScriptedScorer([1.0]), on_error="keep_order").explain("fox", "a fox")


def test_a_hit_is_explained_by_who_scored_it(overlap: Reranker) -> None:
    ranking = overlap.rank(
        "red fox", [{"text": "a hen"}, {"text": "a red fox"}], text=lambda document: document["text"]
    )
    assert ranking.explain(ranking[0]).document == "a red fox"
    assert ranking.explain(1).document == "a hen"
    assert copy.deepcopy(ranking).explain().score == 1
    with pytest.raises(InputError, match="no hit 2: this ranking has 2"):
        ranking.explain(2)
    with pytest.raises(InputError, match="hit is a NoneType: give a hit"):
        ranking.explain(None)  # type: ignore[arg-type]  # the mistake
    stored = pickle.loads(pickle.dumps(overlap.rank("red fox", ["a red fox"])))
    assert stored.documents == ["a red fox"]
    with pytest.raises(InputError, match=r"use Reranker\.explain"):
        stored.explain()


def test_documents_of_any_kind_and_a_closed_reranker() -> None:
    reranker = Reranker(OverlapScorer())
    assert reranker.explain("fox", {"body": "a fox"}, text=lambda document: document["body"]).document == "a fox"
    with pytest.raises(InputError, match="is a dict, not a text"):
        reranker.explain("fox", {"body": "a fox"})
    with pytest.raises(InputError, match="the query must be a text"):
        reranker.explain(" ", "a fox")
    reranker.close()
    with pytest.raises(InputError, match="was closed"):
        reranker.explain("fox", "a fox")
