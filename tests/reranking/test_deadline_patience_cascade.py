"""Deadline, early stopping and cascade: fewer texts are scored, and the order says so."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift import Cascade, InputError, Reranker, Scale, ScorerError
from resift.scorer import Request, Scores, Span, Usage
from resift.scoring.pending import EarlyStopping
from resift.scoring.queue import CHUNK_TEXTS
from resift.testing import OverlapScorer, ScriptedScorer

DOCUMENTS = [f"document {number}" for number in range(100)]


class Halting:
    """The number in a text is its score; stands still after so many texts, until the test is over."""

    name, scale = "halting", Scale.LOGIT

    def __init__(self, after: float = math.inf) -> None:
        self.after = after
        self.seen: list[str] = []
        self.go_on = threading.Event()

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        if len(self.seen) >= self.after:
            self.go_on.wait(30)
        self.seen += documents
        spans = {0: Span(0, 1, truncated=False)}
        return Scores(tuple(float(text.split()[1]) for text in documents), Usage(pairs=len(documents)), spans)


class HaltingMany(Halting):
    """The same for a scorer that takes many requests at once."""

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        return [self.score(*request) for request in requests]


@pytest.mark.parametrize("kind", [Halting, HaltingMany])
def test_at_the_deadline_the_rest_keeps_its_order_behind_what_is_scored(kind: type[Halting]) -> None:
    scorer = kind(after=2 * CHUNK_TEXTS)
    ranking = Reranker(scorer, deadline=2).rank("q", DOCUMENTS)  # the third piece never comes
    assert [hit.index for hit in ranking] == [*range(63, -1, -1), *range(64, 100)]
    assert ranking.degraded == "64 of 100 scored within 2 s"
    assert ranking.stats.pairs == 64
    assert all(math.isnan(hit.score) and hit.relevance is None for hit in ranking[64:])
    assert ranking[63].span == (0, 1), "spans are those of the texts they belong to"
    assert json.loads(json.dumps(ranking.to_dict()))["hits"][99]["score"] is None
    scorer.go_on.set()


def test_what_was_not_scored_is_never_too_irrelevant() -> None:
    scorer = Halting(after=CHUNK_TEXTS)
    reranker = Reranker(scorer, min_relevance=1.0)  # in float64 a logit of 37 is
    ranking = reranker.rank("q", DOCUMENTS, deadline=1, top_k=3)
    assert ranking.documents == DOCUMENTS[32:35]
    assert ranking.degraded == "32 of 100 scored within 1 s"
    scorer.go_on.set()


async def test_an_event_loop_hears_of_the_deadline_too() -> None:
    scorer = HaltingMany(after=CHUNK_TEXTS)
    reranker = Reranker(scorer)
    ranking, (one, other) = await asyncio.gather(
        reranker.arank("q", DOCUMENTS, deadline=2), reranker.arank_many(["q", "r"], [DOCUMENTS] * 2, deadline=2)
    )
    assert ranking.degraded is not None
    assert one.degraded is not None
    assert other.degraded == "0 of 100 scored within 2 s", "nothing fitted in: the first stage's order"
    assert other.documents == DOCUMENTS
    assert not reranker._call_limit._inside
    scorer.go_on.set()


async def test_a_service_is_asked_in_pieces_until_the_deadline() -> None:
    class Service(Halting):
        async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
            if len(self.seen) >= self.after:
                await asyncio.sleep(60)
            return self.score(query, documents)

    ranking = await Reranker(Service(after=32)).arank("q", DOCUMENTS, deadline=1)
    assert ranking.degraded == "32 of 100 scored within 1 s"
    whole = Service()
    assert (await Reranker(whole).arank("q", DOCUMENTS)).degraded is None
    threaded = Service(after=32)
    assert Reranker(threaded, deadline=1).rank("q", DOCUMENTS[:40]).degraded == "32 of 40 scored within 1 s"
    threaded.go_on.set()


def test_what_orders_a_list_as_a_whole_is_not_asked_in_pieces() -> None:
    scorer = ScriptedScorer([float(number) for number in range(100)], scale=Scale.ORDINAL)
    ranking = Reranker(scorer, deadline=60).rank("q", DOCUMENTS)
    assert len(scorer.calls) == 1
    assert ranking.documents == DOCUMENTS[::-1]
    assert ranking.degraded is None
    with pytest.raises(InputError, match="orders a list as a whole"):
        Reranker(scorer, patience=3)


def test_a_failing_scorer_is_no_deadline() -> None:
    broken = ScriptedScorer([math.nan] * 5)
    with pytest.raises(ScorerError, match="5 of 5 scores are not finite"):
        Reranker(broken, deadline=60).rank("q", DOCUMENTS[:5])
    kept = Reranker(broken, deadline=60, on_error="keep_order").rank("q", DOCUMENTS[:5])
    assert kept.documents == DOCUMENTS[:5]
    assert "not finite" in str(kept.degraded)


@pytest.mark.parametrize(("option", "value"), [("deadline", 0), ("deadline", math.nan), ("patience", 0)])
def test_impossible_terms_are_refused(option: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{option} must be"):
        Reranker(OverlapScorer(), **{option: value})  # type: ignore[arg-type]


def test_patience_stops_when_the_best_do_not_change() -> None:
    scorer = HaltingMany()
    documents = [f"document {score}" for score in [*range(40), *range(-60, 0)]]
    ranking = Reranker(scorer, patience=20, top_k=3).rank("q", documents)
    assert ranking.documents == ["document 39", "document 38", "document 37"]
    assert len(scorer.seen) == 64, "looked up after each piece of 32"
    assert ranking.degraded == "64 of 100 scored: the last 20 brought none into the best 3"
    assert Reranker(scorer, patience=20).rank("q", documents).degraded is None, "all are wanted, so all are scored"
    assert Reranker(scorer, top_k=3).rank("q", documents).degraded is None


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 5), st.integers(1, 5))
def test_patience_is_what_its_docstring_says(values: list[int], texts: int, top_k: int) -> None:
    def entered(place: int) -> bool:
        before = sorted(values[:place], reverse=True)[:top_k]
        return len(before) < top_k or values[place] > before[-1]

    quiet = len(values) >= texts and not any(entered(place) for place in range(len(values) - texts, len(values)))
    assert EarlyStopping(texts, top_k).is_enough([float(value) for value in values]) is quiet


def scored(*values: float, **fields: str) -> ScriptedScorer:
    return ScriptedScorer(values, **fields)


def test_the_best_of_the_cheap_scorer_are_read_again() -> None:
    cheap, good = scored(5, 4, 3, 2, name="cheap"), scored(1, 9, name="good")
    ranking = Reranker(Cascade([cheap, good], keep=2)).rank("q", ["a", "b", "c", "d"])
    assert ranking.documents == ["b", "a", "c", "d"]
    assert [hit.score for hit in ranking] == [3, 2, 1, 0]
    assert good.calls == [Request("q", ("a", "b"))]
    assert (ranking.model, ranking.scale, ranking[0].relevance) == ("cheap > good", Scale.ORDINAL, None)
    assert ranking.degraded is None


def test_ties_in_a_cascade_keep_their_order_and_stay_ties() -> None:
    cascade = Cascade([scored(1, 1, 1, 0, 1), scored(2, 2)], keep=2)
    assert list(cascade.score("q", list("abcde"))) == [3, 3, 1, 0, 1]


def test_three_stages_and_short_lists() -> None:
    cascade = Cascade([scored(4, 3, 2, 1), scored(1, 2, 3), scored(1, 2)], keep=[3, 2])
    assert list(cascade.score("q", list("abcd"))) == [1, 3, 2, 0]
    assert list(Cascade([scored(1), scored(1)], keep=5).score("q", ["a"])) == [0]
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
        Cascade([scored(1, 3, 2), scored(1, math.nan, name="good")], keep=2).score("q", list("abc"))
    assert caught.value.places == (2,)


@pytest.mark.parametrize(
    ("stages", "keep"), [([None], []), ([None, None], [5, 3]), ([None, None], 0), ([None] * 3, [3, 3])]
)
def test_impossible_cascades_are_refused(stages: list[None], keep: int | list[int]) -> None:
    with pytest.raises(InputError, match=r"cascade has two|must be at least 1 and shrink"):
        Cascade(stages, keep)
    with pytest.raises(InputError, match="min_relevance"):
        Reranker(Cascade([scored(1), scored(1)], keep=1), min_relevance=0.5)
