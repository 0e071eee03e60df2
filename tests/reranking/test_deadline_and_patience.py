"""Deadline and early stopping: fewer texts are scored, and the order says so."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift import InputError, Reranker, Scale, ScorerError
from resift.scorer import Request, Scores, Span, Usage
from resift.scoring.pending import EarlyStopping
from resift.scoring.queue import CHUNK_TEXTS
from resift.testing import OverlapScorer, ScriptedScorer

DOCUMENTS = [f"document {number}" for number in range(100)]


class PausingScorer:
    """The number in a text is its score; pauses after so many texts, until `go_on` is set."""

    name, scale = "halting", Scale.LOGIT

    def __init__(self, after: float = math.inf) -> None:
        self.after = after
        self.texts: list[str] = []
        self.go_on = threading.Event()

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        if len(self.texts) >= self.after:
            self.go_on.wait(30)
        self.texts += documents
        spans = {0: Span(0, 1, truncated=False)}
        return Scores(tuple(float(text.split()[1]) for text in documents), Usage(pairs=len(documents)), spans)


class PausingManyScorer(PausingScorer):
    """The same for a scorer that takes many requests at once."""

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        return [self.score(*request) for request in requests]


@pytest.mark.parametrize("kind", [PausingScorer, PausingManyScorer])
def test_at_the_deadline_the_rest_keeps_its_order_behind_what_is_scored(kind: type[PausingScorer]) -> None:
    scorer = kind(after=2 * CHUNK_TEXTS)
    ranking = Reranker(scorer, deadline=2).rank("q", DOCUMENTS)  # the third piece never comes
    assert [hit.index for hit in ranking] == [*range(63, -1, -1), *range(64, 100)]
    assert ranking.degraded == "64 of 100 scored within 2 s"
    assert ranking.stats.pairs == 64
    assert all(math.isnan(hit.score) and hit.relevance is None for hit in ranking[64:])
    assert ranking[63].span == (0, 1), "spans are those of the texts they belong to"
    assert json.loads(json.dumps(ranking.to_dict()))["hits"][99]["score"] is None
    scorer.go_on.set()


def test_min_relevance_keeps_what_was_not_scored() -> None:
    scorer = PausingScorer(after=CHUNK_TEXTS)
    reranker = Reranker(scorer, min_relevance=1.0)  # in float64 a logit of 37 is
    ranking = reranker.rank("q", DOCUMENTS, deadline=1, top_k=3)
    assert ranking.documents == DOCUMENTS[32:35]
    assert ranking.degraded == "32 of 100 scored within 1 s"
    scorer.go_on.set()


async def test_the_deadline_holds_for_async_calls() -> None:
    scorer = PausingManyScorer(after=CHUNK_TEXTS)
    reranker = Reranker(scorer)
    ranking, (first, second) = await asyncio.gather(
        reranker.arank("q", DOCUMENTS, deadline=2), reranker.arank_many(["q", "r"], [DOCUMENTS] * 2, deadline=2)
    )
    assert ranking.degraded is not None
    assert first.degraded is not None
    assert second.degraded == "0 of 100 scored within 2 s", "nothing fitted in: the first stage's order"
    assert second.documents == DOCUMENTS
    assert not reranker._call_limit._inside
    scorer.go_on.set()


async def test_a_service_gets_pieces_until_the_deadline() -> None:
    class Service(PausingScorer):
        async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
            if len(self.texts) >= self.after:
                await asyncio.sleep(60)
            return self.score(query, documents)

    ranking = await Reranker(Service(after=32)).arank("q", DOCUMENTS, deadline=1)
    assert ranking.degraded == "32 of 100 scored within 1 s"
    unlimited = Service()
    assert (await Reranker(unlimited).arank("q", DOCUMENTS)).degraded is None
    threaded = Service(after=32)
    assert Reranker(threaded, deadline=1).rank("q", DOCUMENTS[:40]).degraded == "32 of 40 scored within 1 s"
    threaded.go_on.set()


def test_a_scorer_of_whole_lists_gets_no_pieces() -> None:
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
def test_impossible_limits_are_refused(option: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{option} must be"):
        Reranker(OverlapScorer(), **{option: value})  # type: ignore[arg-type]


def test_patience_stops_when_the_best_do_not_change() -> None:
    scorer = PausingManyScorer()
    documents = [f"document {score}" for score in [*range(40), *range(-60, 0)]]
    ranking = Reranker(scorer, patience=20, top_k=3).rank("q", documents)
    assert ranking.documents == ["document 39", "document 38", "document 37"]
    assert len(scorer.texts) == 64, "looked up after each piece of 32"
    assert ranking.degraded == "64 of 100 scored: the last 20 brought none into the best 3"
    assert Reranker(scorer, patience=20).rank("q", documents).degraded is None, "all are wanted, so all are scored"
    assert Reranker(scorer, top_k=3).rank("q", documents).degraded is None


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 5), st.integers(1, 5))
def test_patience_is_what_its_docstring_says(values: list[int], texts: int, top_k: int) -> None:
    def entered(index: int) -> bool:
        before = sorted(values[:index], reverse=True)[:top_k]
        return len(before) < top_k or values[index] > before[-1]

    quiet = len(values) >= texts and not any(entered(index) for index in range(len(values) - texts, len(values)))
    assert EarlyStopping(texts, top_k).is_enough([float(value) for value in values]) is quiet
