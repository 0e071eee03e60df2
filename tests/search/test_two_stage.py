"""Two stages: every number of both stages on the hit, whatever the first stage is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from resift import InputError, MemoryFirstStage, Passage, Reranker, TwoStageSearch
from resift.demo import fables
from resift.testing import OverlapScorer

QUESTION = "which animal could not reach the grapes?"


@pytest.fixture(scope="module")
def stage() -> MemoryFirstStage:
    return MemoryFirstStage(fables())


def test_hits_carry_both_stages(stage: MemoryFirstStage, bundled: Reranker) -> None:
    ranking = TwoStageSearch(stage, bundled).search(QUESTION, top_k=3)
    candidates = stage.retrieve(QUESTION, 50)
    assert len(ranking) == 3
    assert ranking[0].document.id == "the-fox-and-the-grapes"
    for hit in ranking:
        assert hit.document == candidates[hit.index]
        assert hit.document.similarity is not None
        assert 0 < hit.document.similarity < 1
    assert ranking.stats.documents == 50
    assert {"first_stage", "model", "total"} <= set(ranking.stats.seconds)
    assert ranking.stats.seconds["total"] >= ranking.stats.seconds["first_stage"]


async def test_search_asearch_and_search_many_agree(stage: MemoryFirstStage) -> None:
    search = TwoStageSearch(stage, Reranker(OverlapScorer()), candidates=20)
    single = search.search(QUESTION)
    assert (await search.asearch(QUESTION)).hits == single.hits
    many = search.search_many([QUESTION, "a fox"])
    assert many[0].hits == single.hits
    assert search.search_many([]) == []


def test_there_are_never_fewer_candidates_than_results_wanted(stage: MemoryFirstStage) -> None:
    assert len(TwoStageSearch(stage, Reranker(OverlapScorer()), candidates=2).search("fox", top_k=10)) == 10
    assert len(TwoStageSearch(stage, Reranker(OverlapScorer()), candidates=7).search("fox", top_k=None)) == 7


@pytest.mark.parametrize("query", ["", " "])
def test_an_empty_query_never_reaches_the_first_stage(query: str) -> None:
    class Untouched:
        def retrieve(self, query: str, k: int) -> Sequence[Passage]:
            raise AssertionError("the first stage was asked")

    search = TwoStageSearch(Untouched(), Reranker(OverlapScorer()))
    for attempt in (lambda: search.search(query), lambda: search.search_many([query])):
        with pytest.raises(InputError, match="query"):
            attempt()
    with pytest.raises(InputError, match="query"):
        asyncio.run(search.asearch(query))
    with pytest.raises(InputError, match="candidates"):
        TwoStageSearch(Untouched(), candidates=0)


def test_a_first_stage_that_finds_nothing_gives_an_empty_ranking() -> None:
    assert len(TwoStageSearch(MemoryFirstStage([]), Reranker(OverlapScorer())).search("fox")) == 0


async def test_an_async_first_stage_is_awaited() -> None:
    class Remote:
        def retrieve(self, query: str, k: int) -> Sequence[Passage]:
            raise AssertionError("the async form was there")

        async def aretrieve(self, query: str, k: int) -> Sequence[Passage]:
            return [Passage("a blue whale"), Passage("the red fox", id="7")]

    ranking = await TwoStageSearch(Remote(), Reranker(OverlapScorer())).asearch("red fox")
    assert ranking[0].document.id == "7"
