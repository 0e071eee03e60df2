"""The contract of `Reranker`: what comes back, and a defined outcome for every oddity."""

from __future__ import annotations

import copy
import json
import math
import pickle
from types import SimpleNamespace

import pytest

from resift import InputError, Reranker, Scale, ScorerError
from resift.scorer import Scores, Usage
from resift.testing import OverlapScorer, ScriptedScorer

QUERY = "red fox"
DOCUMENTS = ["a blue whale", "the red fox", "a red whale"]


def scripted(*scores: float, **options: object) -> Reranker:
    return Reranker(ScriptedScorer(scores), **options)  # type: ignore[arg-type]


def test_best_first_with_ranks_and_first_stage_indices() -> None:
    ranking = Reranker(OverlapScorer()).rank(QUERY, DOCUMENTS)
    assert [(hit.rank, hit.index, hit.document, hit.score) for hit in ranking] == [
        (1, 1, "the red fox", 1.0),
        (2, 2, "a red whale", 0.5),
        (3, 0, "a blue whale", 0.0),
    ]
    assert ranking.documents == ["the red fox", "a red whale", "a blue whale"]
    assert (ranking.model, ranking.scale, ranking.degraded) == ("overlap", Scale.PROBABILITY, None)


def test_relevance_is_the_sigmoid_of_a_logit_in_float64() -> None:
    ranking = scripted(800.0, 0.0, -800.0, 40.0).rank(QUERY, ["a", "b", "c", "d"])
    relevance = {hit.index: hit.relevance for hit in ranking}
    assert relevance[0] == 1.0
    assert relevance[1] == 0.5
    assert relevance[2] == 0.0
    assert relevance[3] == 1 / (1 + math.exp(-40.0))


@pytest.mark.parametrize("scale", [Scale.SIMILARITY, Scale.ORDINAL])
def test_a_scale_without_relevance_refuses_min_relevance(scale: Scale) -> None:
    reranker = Reranker(ScriptedScorer([3.0], scale=scale))
    assert reranker.rank(QUERY, ["a"])[0].relevance is None
    with pytest.raises(InputError, match=f"{scale} scale"):
        reranker.rank(QUERY, ["a"], min_relevance=0.5)
    with pytest.raises(InputError, match=f"{scale} scale"):
        Reranker(ScriptedScorer([3.0], scale=scale), min_relevance=0.5)


def test_scores_are_plain_floats() -> None:
    np = pytest.importorskip("numpy")
    hit = Reranker(ScriptedScorer(np.array([1.5], np.float32))).rank(QUERY, ["a"])[0]
    assert type(hit.score) is float
    assert type(hit.relevance) is float
    assert type(hit.index) is int


def test_no_documents_give_an_empty_ranking_without_scoring() -> None:
    scorer = ScriptedScorer([])
    ranking = Reranker(scorer).rank(QUERY, [])
    assert len(ranking) == 0
    assert ranking.stats.documents == 0
    assert scorer.calls == []


@pytest.mark.parametrize("query", ["", "  \n", None])
def test_an_empty_query_is_refused(query: str) -> None:
    with pytest.raises(InputError, match="query"):
        Reranker(OverlapScorer()).rank(query, DOCUMENTS)


def test_duplicates_are_scored_once_and_returned_every_time() -> None:
    scorer = ScriptedScorer([1.0, 2.0])
    ranking = Reranker(scorer).rank(QUERY, ["a", "b", "a", "b", "a"])
    assert scorer.calls[0].documents == ("a", "b")
    assert [hit.index for hit in ranking] == [1, 3, 0, 2, 4]


def test_ties_keep_their_first_stage_order() -> None:
    ranking = scripted(1.0, 2.0, 1.0, 2.0, 1.0).rank(QUERY, list("abcde"))
    assert [hit.index for hit in ranking] == [1, 3, 0, 2, 4]


@pytest.mark.parametrize(("top_k", "kept"), [(None, 3), (1, 1), (3, 3), (99, 3)])
def test_top_k(top_k: int | None, kept: int) -> None:
    assert len(Reranker(OverlapScorer()).rank(QUERY, DOCUMENTS, top_k=top_k)) == kept


@pytest.mark.parametrize("top_k", [0, -1])
def test_an_impossible_top_k_is_refused_at_once(top_k: int) -> None:
    with pytest.raises(InputError, match=f"got {top_k}"):
        Reranker(OverlapScorer(), top_k=top_k)
    with pytest.raises(InputError, match=f"got {top_k}"):
        Reranker(OverlapScorer()).rank(QUERY, [], top_k=top_k)


def test_a_call_overrides_the_rerankers_own_top_k() -> None:
    reranker = Reranker(OverlapScorer(), top_k=1)
    assert len(reranker.rank(QUERY, DOCUMENTS)) == 1
    assert len(reranker.rank(QUERY, DOCUMENTS, top_k=2)) == 2


def test_min_relevance_is_applied_before_top_k() -> None:
    reranker = scripted(0.0, 3.0, -3.0, 2.0)
    assert [hit.index for hit in reranker.rank(QUERY, list("abcd"), min_relevance=0.6)] == [1, 3]
    assert [hit.index for hit in reranker.rank(QUERY, list("abcd"), min_relevance=0.5)] == [1, 3, 0], "at least"
    assert [hit.index for hit in reranker.rank(QUERY, list("abcd"), min_relevance=0.5, top_k=2)] == [1, 3]
    assert len(reranker.rank(QUERY, list("abcd"), min_relevance=0.99)) == 0
    with pytest.raises(InputError, match="between 0 and 1"):
        reranker.rank(QUERY, list("abcd"), min_relevance=1.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_an_error_with_their_indices(bad: float) -> None:
    with pytest.raises(ScorerError, match="2 of 4 scores are not finite") as caught:
        scripted(1.0, bad, 2.0).rank(QUERY, ["a", "b", "c", "b"])
    assert caught.value.places == (1, 3)


@pytest.mark.parametrize("scores", [(), (1.0,), (1.0, 2.0, 3.0, 4.0)])
def test_a_wrong_number_of_scores_is_an_error_never_a_lost_document(scores: tuple[float, ...]) -> None:
    with pytest.raises(ScorerError, match=f"3 texts went in, {len(scores)} scores came out"):
        scripted(*scores).rank(QUERY, list("abc"))


@pytest.mark.parametrize(
    "answer", [(1.0, math.nan, 2.0), (1.0,), OSError("connection refused"), ScorerError("no answer")]
)
def test_keep_order_answers_with_the_first_stage_order_flagged(answer: object) -> None:
    reranker = Reranker(ScriptedScorer(answer), on_error="keep_order", min_relevance=0.5)  # type: ignore[arg-type]
    ranking = reranker.rank(QUERY, list("abc"), top_k=2)
    assert [hit.document for hit in ranking] == ["a", "b"]
    assert all(math.isnan(hit.score) and hit.relevance is None for hit in ranking)
    assert ranking.degraded is not None
    assert "first-stage order kept" in ranking.degraded
    json.dumps(ranking.to_dict(), allow_nan=False)


def test_a_scorers_own_exception_is_wrapped_with_its_cause() -> None:
    with pytest.raises(ScorerError, match="scripted failed: OSError: refused") as caught:
        Reranker(ScriptedScorer(OSError("refused"))).rank(QUERY, DOCUMENTS)
    assert isinstance(caught.value.__cause__, OSError)


def test_input_errors_are_raised_whatever_on_error_says() -> None:
    with pytest.raises(InputError):
        Reranker(ScriptedScorer(InputError("too long")), on_error="keep_order").rank(QUERY, DOCUMENTS)
    with pytest.raises(InputError, match="on_error"):
        Reranker(OverlapScorer(), on_error="ignore")  # type: ignore[arg-type]


def test_documents_may_be_any_objects_and_come_back_untouched() -> None:
    documents = [{"text": text, "tags": [1]} for text in DOCUMENTS]
    before = copy.deepcopy(documents)
    ranking = Reranker(OverlapScorer()).rank(QUERY, documents, text=lambda document: str(document["text"]))
    assert documents == before
    assert ranking[0].document is documents[1]
    assert ranking[0].text == "the red fox"


def test_a_document_without_text_says_how_to_name_it() -> None:
    with pytest.raises(InputError, match=r"document 1 is a SimpleNamespace.*text=lambda"):
        Reranker(OverlapScorer()).rank(QUERY, ["a", SimpleNamespace(text="b")])
    with pytest.raises(InputError, match="text= gave a NoneType for document 0"):
        Reranker(OverlapScorer()).rank(QUERY, ["a"], text=lambda _: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(InputError, match="one text"):
        Reranker(OverlapScorer()).rank(QUERY, "a document")


def test_a_row_that_is_no_text_is_shown_how_its_text_is_named() -> None:
    with pytest.raises(InputError, match=r'document 0 is a dict.*lambda document: document\["text"\]\)$'):
        Reranker(OverlapScorer()).rank(QUERY, [{"text": "a"}])


def test_any_iterable_of_documents_will_do() -> None:
    assert len(Reranker(OverlapScorer()).rank(QUERY, (document for document in DOCUMENTS))) == 3


def test_rank_many_equals_rank_for_each() -> None:
    reranker = Reranker(OverlapScorer())
    queries, lists = ["red fox", "blue whale", "x"], [DOCUMENTS, DOCUMENTS[:2], []]
    together = reranker.rank_many(queries, lists)
    for ranking, query, listed in zip(together, queries, lists, strict=True):
        assert ranking.query == query
        assert ranking.hits == reranker.rank(query, listed).hits
    with pytest.raises(InputError, match="2 queries but 1 lists"):
        reranker.rank_many(["a", "b"], [DOCUMENTS])


def test_rank_many_degrades_only_the_query_that_failed() -> None:
    class PartlyFailing:
        name, scale = "partly failing", Scale.LOGIT

        def score(self, query: str, documents: list[str]) -> Scores:
            return Scores(tuple(math.nan if query == "bad" else float(len(text)) for text in documents))

    good, bad = Reranker(PartlyFailing(), on_error="keep_order").rank_many(["good", "bad"], [["a", "bb"], ["a", "bb"]])  # type: ignore[arg-type]
    assert (good.degraded, [hit.index for hit in good]) == (None, [1, 0])
    assert bad.degraded is not None
    assert [hit.index for hit in bad] == [0, 1]


def test_usage_and_degraded_of_the_scores_reach_the_ranking() -> None:
    answer = Scores((1.0, 2.0), Usage(tokens=70, calls=3), degraded="the fallback answered")
    reranker = Reranker(ScriptedScorer(answer))
    ranking = reranker.rank(QUERY, ["a", "b", "a"])
    assert [hit.index for hit in ranking] == [1, 0, 2]
    assert ranking.degraded == "the fallback answered"
    assert (ranking.stats.tokens, ranking.stats.calls) == (70, 3)
    assert ranking.to_dict()["stats"]["calls"] == 3
    assert (answer.usage + answer.usage).calls == 6


def test_options_beside_a_scorer_are_refused() -> None:
    with pytest.raises(InputError, match="long_documents: options go to the engine"):
        Reranker(OverlapScorer(), long_documents="max_window")


def test_it_pickles(bundled: Reranker) -> None:
    again = pickle.loads(pickle.dumps(bundled))
    assert again.rank(QUERY, DOCUMENTS).hits == bundled.rank(QUERY, DOCUMENTS).hits


def test_name_and_scale_of_the_scores_go_before_the_scorers_own() -> None:
    answer = Scores((3.0, 7.0), model="stand-in", scale=Scale.SIMILARITY)
    ranking = Reranker(ScriptedScorer(answer)).rank("q", ["a", "b"])
    assert (ranking.model, ranking.scale, ranking[0].relevance) == ("stand-in", Scale.SIMILARITY, None)
    with pytest.raises(ScorerError, match=r"stand-in answered on the similarity scale, which min_relevance=0.5 can't"):
        Reranker(ScriptedScorer(answer)).rank("q", ["a", "b"], min_relevance=0.5)
    kept = Reranker(ScriptedScorer(answer), on_error="keep_order").rank("q", ["a", "b"], min_relevance=0.5)
    assert kept.documents == ["a", "b"], "what can't be cut is kept, and flagged"
    assert kept.degraded is not None
