from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

from langchain_resift import ResiftRerank, ResiftRetriever
from resift import Reranker, ScorerError
from resift.testing import OverlapScorer, ScriptedScorer


class Shelf(BaseRetriever):
    documents: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self.documents

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self.documents


def two_stages(documents: list[Document], scorer: Any, outer: str) -> BaseRetriever:
    reranker = Reranker(scorer)
    if outer == "ResiftRetriever":
        return ResiftRetriever(first_stage=Shelf(documents=documents), reranker=reranker, k=2)
    return ContextualCompressionRetriever(
        base_compressor=ResiftRerank(reranker=reranker, top_n=2), base_retriever=Shelf(documents=documents)
    )


OUTER = pytest.mark.parametrize("outer", ["ContextualCompressionRetriever", "ResiftRetriever"])
RUNS = ["start {0}", "start Shelf", "end Shelf", "start ResiftRerank"]


def check_success(events: Any, outer: str) -> None:
    assert events.kinds == [
        *(run.format(outer) for run in RUNS),
        "event resift_rerank in ResiftRerank",
        "end ResiftRerank",
        f"end {outer}",
    ]
    assert events.parents == {outer: None, "Shelf": outer, "ResiftRerank": outer}
    given = events.of("start ResiftRerank")
    assert (given["query"], len(given["documents"])) == ("red fox", 3)
    kept = events.of("end ResiftRerank")
    assert [document.metadata["relevance_score"] for document in kept] == [1.0, 0.5]
    assert kept == events.of(f"end {outer}")
    ranking = events.of("event resift_rerank in ResiftRerank")
    assert json.loads(json.dumps(ranking)) == ranking
    assert (ranking["model"], ranking["scale"], ranking["degraded"]) == ("overlap", "probability", None)
    assert ranking["stats"]["documents"] == 3
    assert [(hit["index"], hit["score"]) for hit in ranking["hits"]] == [(2, 1.0), (1, 0.5)]
    assert "the red fox" not in json.dumps(ranking)


def check_failure(events: Any, outer: str) -> None:
    assert events.kinds == [*(run.format(outer) for run in RUNS), "error ResiftRerank", f"error {outer}"]
    assert isinstance(events.of("error ResiftRerank"), ScorerError)


@OUTER
def test_a_handler_sees_reranking(documents: list[Document], outer: str, events: Any, handler: Any) -> None:
    two_stages(documents, OverlapScorer(), outer).invoke("red fox", {"callbacks": [handler]})
    check_success(events, outer)


@OUTER
async def test_a_handler_sees_async_reranking(
    documents: list[Document], outer: str, events: Any, async_handler: Any
) -> None:
    await two_stages(documents, OverlapScorer(), outer).ainvoke("red fox", {"callbacks": [async_handler]})
    check_success(events, outer)


@OUTER
def test_a_handler_sees_it_fail(documents: list[Document], outer: str, events: Any, handler: Any) -> None:
    with pytest.raises(ScorerError, match="down"):
        two_stages(documents, ScriptedScorer(OSError("down")), outer).invoke("red fox", {"callbacks": [handler]})
    check_failure(events, outer)


@OUTER
async def test_a_handler_sees_it_fail_async(
    documents: list[Document], outer: str, events: Any, async_handler: Any
) -> None:
    chain = two_stages(documents, ScriptedScorer(OSError("down")), outer)
    with pytest.raises(ScorerError, match="down"):
        await chain.ainvoke("red fox", {"callbacks": [async_handler]})
    check_failure(events, outer)


def test_a_handler_given_directly(documents: list[Document], events: Any, handler: Any) -> None:
    ResiftRerank(reranker=Reranker(OverlapScorer())).compress_documents(documents, "red fox", callbacks=[handler])
    assert events.kinds == ["start ResiftRerank", "event resift_rerank in ResiftRerank", "end ResiftRerank"]


def test_why_a_ranking_is_degraded_is_in_the_event(documents: list[Document], events: Any, handler: Any) -> None:
    reranker = Reranker(ScriptedScorer(OSError("down")), on_error="keep_order")
    ResiftRerank(reranker=reranker).compress_documents(documents, "red fox", [handler])
    ranking = events.of("event resift_rerank in ResiftRerank")
    assert "down" in ranking["degraded"]
    assert [hit["score"] for hit in ranking["hits"]] == [None] * 3


def test_inside_a_chain_that_passes_no_callbacks_on(documents: list[Document], events: Any, handler: Any) -> None:
    step = ResiftRerank(reranker=Reranker(OverlapScorer()))

    def call(query: str) -> list[Document]:
        return step.compress_documents(documents, query)

    RunnableLambda(call, name="chain").invoke("red fox", {"callbacks": [handler]})
    assert events.parents == {"chain": None, "ResiftRerank": "chain"}


async def test_streamed_events_hold_the_ranking(documents: list[Document]) -> None:
    step = ResiftRerank(reranker=Reranker(OverlapScorer())).as_runnable()
    given: Any = {"query": "red fox", "documents": documents}
    streamed: list[Any] = [event async for event in step.astream_events(given, version="v2")]
    assert [event["data"]["stats"]["documents"] for event in streamed if event["event"] == "on_custom_event"] == [3]
