"""Evidence and pruning: which sentences answer, where they lie, what is left, and what it cost."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import pickle
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift import InputError, MemoryFirstStage, Ranking, Reranker, Scale, ScorerError, TwoStageSearch
from resift.reranking.evidence import ASKED_SENTENCES
from resift.scorer import Request, Scores, Usage
from resift.testing import OverlapScorer, ScriptedScorer

TEXT = "# Pandas\n\nPandas live in China. Pandas eat bamboo.\n\n# Foxes\n\nA fox eats grapes."
ANY_TEXT = st.text(st.sampled_from("aB1 .!?。।؟…\n#|-: fox\u00ad\u200d\ud83d\udc0d🐍蛇ش\x00\u2028\ud800"), max_size=60)


class CountingScorer:
    """Overlap of words, on any scale; keeps what it was asked, and fails at will."""

    def __init__(self, scale: Scale = Scale.PROBABILITY, fail_at: int = 99) -> None:
        self.name, self.scale = "counting", scale
        self.fail_at = fail_at
        self.calls: list[Request] = []

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        self.calls.append(Request(query, tuple(documents)))
        if len(self.calls) > self.fail_at:
            raise ConnectionError("down")
        usage = Usage(pairs=len(documents), calls=1, billed={"units": 1.0})
        return Scores(tuple(OverlapScorer().score(query, documents)), usage)


class AwaitedScorer(CountingScorer):
    """The same, awaited."""

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        return self.score(query, documents)


class InWords:
    """1 where one of the words is in the text, else 0."""

    name, scale = "in words", Scale.PROBABILITY

    def __init__(self, *words: str) -> None:
        self.words = words

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        return [float(any(word in document for word in self.words)) for document in documents]


def ranked(*arguments: Any, **options: Any) -> Ranking[Any]:
    return Reranker(OverlapScorer()).rank(*arguments, **options)


def test_the_best_sentences_come_with_their_places_and_scores() -> None:
    (hit,) = ranked("pandas eat bamboo", [TEXT], evidence=2)
    assert [sentence.text for sentence in hit.evidence] == ["Pandas eat bamboo.", "Pandas live in China."]
    best = hit.evidence[0]
    assert (TEXT[best.start : best.end], best.score, best.relevance) == (best.text, 1.0, 1.0)
    assert hit.pruned is None
    assert hit.pruned_text == hit.text == TEXT


def test_off_unless_asked_for_and_true_is_one() -> None:
    scorer = CountingScorer()
    assert Reranker(scorer).rank("fox", [TEXT])[0].evidence == ()
    assert len(scorer.calls) == 1
    assert len(Reranker(scorer, evidence=True).rank("fox", [TEXT])[0].evidence) == 1
    assert Reranker(scorer, evidence=1).rank("fox", [TEXT], evidence=0)[0].evidence == ()


def test_pruning_keeps_sentences_above_the_threshold_and_their_headings() -> None:
    (hit,) = ranked("pandas eat bamboo", [TEXT], prune=0.5)
    assert hit.pruned is not None
    assert hit.pruned_text == "# Pandas\n\nPandas eat bamboo."
    assert [TEXT[start:end] for start, end in hit.pruned.spans] == ["# Pandas", "Pandas eat bamboo."]
    assert hit.pruned.sentences_removed == 3
    assert hit.pruned.characters_removed == len(TEXT) - len("# Pandas") - len("Pandas eat bamboo.")
    assert hit.text == hit.document == TEXT


def test_a_passage_with_nothing_above_the_threshold_keeps_its_best_sentence() -> None:
    (hit,) = ranked("grey fox", ["It rained. A fox came. It left."], prune=0.9)
    assert hit.pruned_text == "A fox came."
    (hit,) = ranked("grey fox", ["It rained. It left."], prune=0.9)
    assert hit.pruned_text == "It rained.", "the first of equals"


def test_where_all_are_low_half_of_the_best_ones_relevance_is_enough() -> None:
    text = "A grey fox. A grey whale. A whale."
    assert ranked("a grey fox that swims", [text], prune=0.9)[0].pruned_text == "A grey fox. A grey whale."
    texts = ["A grey fox. It swims. It left.", "Rain. A fox."]
    first, second = ranked("a grey fox that swims fast", texts, prune=0.9)
    assert (first.pruned_text, second.pruned_text) == ("A grey fox.", "A fox."), "of the ranking's best"


def test_nothing_is_pruned_in_silence() -> None:
    stats = ranked("pandas eat bamboo", [TEXT, "A fox. A wolf."], prune=0.5).stats
    assert (stats.sentences, stats.sentences_removed, stats.documents) == (5, 4, 2)
    assert stats.to_dict()["characters_removed"] == stats.characters_removed > 0
    assert stats.seconds["evidence"] > 0


def test_what_it_costs_is_counted_and_equal_sentences_are_asked_once() -> None:
    scorer = CountingScorer()
    stats = Reranker(scorer).rank("fox", ["A fox. Rain.", "A fox. Snow.", "A fox."], top_k=2, evidence=1).stats
    assert [len(call.documents) for call in scorer.calls] == [3, 3], "of the hits that are returned alone"
    assert (stats.calls, stats.pairs, stats.billed, stats.sentences) == (2, 6, {"units": 2.0}, 3)


def test_a_text_that_is_one_sentence_is_not_asked_again() -> None:
    scorer = CountingScorer()
    (hit,) = Reranker(scorer).rank("fox", ["A fox."], evidence=1, prune=0.5)
    assert len(scorer.calls) == 1
    assert hit.evidence[0][:4] == ("A fox.", 0, 6, hit.score)


def test_a_service_is_asked_for_no_more_than_its_bound() -> None:
    scorer = CountingScorer()
    text = " ".join(f"Sentence {number} of a fox." for number in range(3 * ASKED_SENTENCES))
    (hit,) = Reranker(scorer).rank("sentence 250", [text], evidence=1, prune=1.0)
    assert len(scorer.calls[1].documents) <= ASKED_SENTENCES
    assert "Sentence 250 " in hit.evidence[0].text
    assert text[hit.evidence[0].start : hit.evidence[0].end] == hit.evidence[0].text


@given(ANY_TEXT, st.floats(0, 1))
def test_places_are_those_of_the_callers_text(text: str, prune: float) -> None:
    (hit,) = ranked("fox B1", [text], evidence=100, prune=prune)
    assert hit.text == text
    assert all(text[sentence.start : sentence.end] == sentence.text for sentence in hit.evidence)
    if hit.pruned is None:
        assert not text.strip()
        return
    spans = hit.pruned.spans
    assert spans
    assert all(left[1] < right[0] or not text[left[1] : right[0]].strip() for left, right in pairwise(spans))
    assert hit.pruned.characters_removed == len(text) - sum(end - start for start, end in spans)
    assert hit.pruned.sentences_removed or (spans == ((0, len(text)),) and hit.pruned.text == text)
    rest = hit.pruned.text
    for start, end in spans:
        assert rest.lstrip().startswith(text[start:end].lstrip())
        rest = rest.lstrip()[len(text[start:end].lstrip()) :]
    assert not rest


def test_white_space_counts_where_a_sentence_beside_it_is_gone() -> None:
    whole, part = ranked("a fox", ["\n A fox.  A fox.\n\n", "\tA fox. Rain.\n"], prune=0.9)
    assert whole.pruned is not None
    assert part.pruned is not None
    assert (whole.pruned_text, whole.pruned.spans) == (whole.text, ((0, len(whole.text)),))
    assert (whole.pruned.sentences_removed, whole.pruned.characters_removed) == (0, 0)
    assert (part.pruned_text, part.pruned.characters_removed) == ("\tA fox.", len(" Rain.\n"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("A fox.\r\n\r\nRain.\r\n\r\nA fox.", "A fox.\n\nA fox."),
        ("A fox.\n\nRain.\n \t\nA fox.", "A fox.\n\nA fox."),
        ("A fox.\r\nRain.\r\nA fox.", "A fox.\nA fox."),
        ("A fox.\nRain.\nRain.\nA fox.", "A fox.\nA fox."),
        ("A fox. Rain. A fox.", "A fox. A fox."),
        ("狐。雨。狐。", "狐。狐。"),
    ],
)
def test_what_is_left_stands_apart_as_it_did(text: str, left: str) -> None:
    scorer = InWords("fox", "狐")
    assert Reranker(scorer).rank("fox", [text], prune=0.9)[0].pruned_text == left


@pytest.mark.parametrize("body", [None, lambda text: text[2:]])
def test_no_more_sentences_are_asked_than_the_bound_where_pieces_can_be_joined(body: Any) -> None:
    texts = [f"# {number}. One {number}. Two {number}. Three {number}." for number in range(60)]
    scorer = CountingScorer()
    Reranker(scorer).rank("fox", texts, body=body, evidence=1)
    assert all(len(call.documents) <= ASKED_SENTENCES for call in scorer.calls)


def test_texts_that_are_not_asked_for_leave_the_others_whole_sentences() -> None:
    single = [f"Fox {number}." for number in range(ASKED_SENTENCES)]
    several = " ".join(f"Sentence {number}." for number in range(20))
    scorer = CountingScorer()
    ranking = Reranker(scorer).rank("sentence", [*single, several, several], evidence=1)
    assert len(scorer.calls[1].documents) == 20
    assert ranking[0].evidence[0].text == "Sentence 0."


def test_a_sentence_without_a_number_is_called_a_sentence() -> None:
    class Half(InWords):
        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            return [math.nan if document == "Rain." else 0.5 for document in documents]

    with pytest.raises(ScorerError, match=r"1 of 2 scores are not finite \(sentence 1: nan\)") as caught:
        Reranker(Half()).rank("fox", ["A fox. Rain.", "A fox."], evidence=1)
    assert caught.value.places == (), "of documents"


def test_joined_sentences_are_counted_one_by_one() -> None:
    text = "# Foxes\n\n" + " ".join(f"Sentence {number} is." for number in range(3 * ASKED_SENTENCES))
    ranking = Reranker(InWords("250")).rank("sentence 250", [text], prune=1.0)
    pruned = ranking[0].pruned
    assert pruned is not None
    kept = pruned.text.count("Sentence")
    assert 0 < kept < 9
    assert ranking.stats.sentences_removed == pruned.sentences_removed == 3 * ASKED_SENTENCES + 1 - kept


def test_documents_of_any_kind_are_untouched_and_evidence_lies_in_their_body() -> None:
    documents = [{"title": "Fox", "text": "Rain fell. A fox came."}]
    before = copy.deepcopy(documents)
    (hit,) = ranked(
        "fox",
        documents,
        text=lambda document: f"{document['title']}\n{document['text']}",
        body=lambda document: str(document["text"]),
        evidence=1,
        prune=0.5,
    )
    assert hit.document is documents[0]
    assert documents == before
    assert hit.evidence[0][:3] == ("A fox came.", 11, 22)
    assert hit.pruned_text == "A fox came."
    with pytest.raises(InputError, match="body= gave a NoneType for document 0"):
        ranked("fox", documents, text=lambda document: "x", body=lambda document: None, evidence=1)
    with pytest.raises(InputError, match="body is a function"):
        ranked("fox", ["x"], body="text", evidence=1)


def test_empty_and_equal_documents() -> None:
    ranking = ranked("fox", ["", "A fox. Rain.", "A fox. Rain.", " \n"], evidence=1, prune=0.5)
    assert [hit.pruned_text for hit in ranking] == ["A fox.", "A fox.", "", " \n"]
    assert [len(hit.evidence) for hit in ranking] == [1, 1, 0, 0]


def test_a_cut_document_has_evidence_from_its_unread_end_too() -> None:
    text = "Rain fell all day. " * 60 + "Pandas eat bamboo."
    with Reranker("resift:tiny", long_documents="first_window") as reranker:
        (hit,) = reranker.rank("what eats bamboo?", [text], evidence=1, prune=0.5)
    assert hit.truncated
    assert hit.evidence[0][:3] == ("Pandas eat bamboo.", len(text) - 18, len(text))


@pytest.mark.parametrize("scale", [Scale.SIMILARITY, Scale.ORDINAL])
def test_scales_without_relevance_have_evidence_and_no_pruning(scale: Scale) -> None:
    scorer = CountingScorer(scale)
    (hit,) = Reranker(scorer).rank("fox", ["Rain. A fox."], evidence=1)
    assert (hit.evidence[0].text, hit.evidence[0].relevance) == ("A fox.", None)
    with pytest.raises(InputError, match=r"prune=0.5 can't be used with counting.*use evidence"):
        Reranker(scorer).rank("fox", ["Rain. A fox."], prune=0.5)


@pytest.mark.parametrize(
    "options",
    [{"evidence": -1}, {"evidence": 1.5}, {"evidence": "all"}, {"prune": -0.1}, {"prune": math.nan}, {"prune": True}],
)
def test_impossible_arguments(options: dict[str, Any]) -> None:
    for call in (lambda: Reranker(OverlapScorer(), **options), lambda: ranked("fox", ["x"], **options)):
        with pytest.raises(InputError, match=next(iter(options))):
            call()


def test_a_scorer_that_fails_at_sentences() -> None:
    with pytest.raises(ScorerError, match="down"):
        Reranker(CountingScorer(fail_at=1)).rank("fox", ["Rain. A fox."], evidence=1)
    kept = Reranker(CountingScorer(fail_at=1), on_error="keep_order").rank("fox", ["Rain.", "Rain. A fox."], evidence=1)
    assert [hit.index for hit in kept] == [1, 0], "the order is the model's"
    assert kept.degraded is not None
    assert kept.degraded.startswith("no evidence: ")


def test_without_scores_there_is_no_evidence_and_nothing_is_pruned() -> None:
    scorer = ScriptedScorer(ConnectionError("down"))
    ranking = Reranker(scorer, on_error="keep_order").rank("fox", ["Rain. A fox."], evidence=1, prune=0.5)
    assert ranking[0].evidence == ()
    assert ranking[0].pruned is None
    assert len(scorer.calls) == 1
    assert ranking.answerable is None


def test_at_the_deadline_hits_have_no_evidence_and_it_is_said() -> None:
    class Late(CountingScorer):
        def score(self, query: str, documents: Sequence[str]) -> Scores:
            answer = super().score(query, documents)
            while len(self.calls) > 1 and not asked.is_set():
                asked.wait(1)
            return answer

    import threading

    asked = threading.Event()
    ranking = Reranker(Late(), deadline=1).rank("fox", ["Rain. A fox."], evidence=1, prune=0.5)
    asked.set()
    assert ranking[0].evidence == ()
    assert ranking[0].pruned_text == "Rain. A fox."
    assert ranking.degraded == "evidence for 0 of 1 hits within 1 s"


@pytest.mark.parametrize("kind", [CountingScorer, AwaitedScorer])
def test_every_way_to_rank_gives_the_same(kind: Callable[[], CountingScorer]) -> None:
    options: dict[str, Any] = {"evidence": 1, "prune": 0.5}
    queries, lists = ["fox", "pandas eat bamboo"], [["Rain. A fox."], [TEXT, "A fox. Rain."]]

    async def awaited(reranker: Reranker) -> list[Ranking[str]]:
        alone = [await reranker.arank(query, texts, **options) for query, texts in zip(queries, lists, strict=True)]
        return [*alone, *await reranker.arank_many(queries, lists, **options)]

    with Reranker(kind(), max_pending=1) as reranker:
        found = [reranker.rank(query, texts, **options) for query, texts in zip(queries, lists, strict=True)]
        found += reranker.rank_many(queries, lists, **options)
        found += asyncio.run(awaited(reranker))
    hits = [ranking.hits for ranking in found]
    assert hits == hits[:2] * 4
    assert found[0][0].pruned_text == "A fox."


def test_results_are_data() -> None:
    ranking = ranked("fox", ["Rain. A fox."], evidence=1, prune=0.5)
    assert pickle.loads(pickle.dumps(ranking)).hits == ranking.hits
    data = json.loads(json.dumps(ranking.to_dict(), allow_nan=False))
    place = {"start": 6, "end": 12}
    assert data["hits"][0]["evidence"] == [{"text": "A fox.", **place, "score": 1.0, "relevance": 1.0}]
    assert data["hits"][0]["pruned"]["spans"] == [[6, 12]]
    assert data["answerable"] is True


def test_whether_anything_here_answers() -> None:
    assert ranked("fox", []).answerable is False
    assert ranked("fox", ["rain"]).answerable is False
    assert ranked("fox", ["rain", "a fox"]).answerable is True
    assert ranked("fox", ["rain"], min_relevance=0.5).answerable is False
    assert ranked("fox", ["rain", "a fox"]).best_relevance == 1.0
    nobody_knows = Reranker(CountingScorer(Scale.SIMILARITY)).rank("fox", ["a fox"])
    assert (nobody_knows.answerable, nobody_knows.best_relevance) == (None, None)


async def test_two_stage_search_takes_both() -> None:
    search = TwoStageSearch(MemoryFirstStage(["Rain fell. A grey fox came.", "A whale."]), Reranker(OverlapScorer()))
    options: dict[str, Any] = {"evidence": 1, "prune": 0.5}
    found = [search.search("grey fox", 1, **options), await search.asearch("grey fox", 1, **options)]
    found += search.search_many(["grey fox"], 1, **options)
    assert [ranking[0].evidence[0].start for ranking in found] == [11, 11, 11]
    assert {ranking[0].pruned_text for ranking in found} == {"A grey fox came."}
    with pytest.raises(InputError, match="prune must lie between"):
        search.search("grey fox", prune=2)
