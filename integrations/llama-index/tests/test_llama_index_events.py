"""Tracing: a start has an end whatever happens, and events hold what was, not what became of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.schema import NodeWithScore

from llama_index.postprocessor.resift import ResiftRerank
from resift import InputError, Reranker, ScorerError
from resift.testing import OverlapScorer, ScriptedScorer

QUERY = "red fox"
PAIR = ["ReRankStartEvent", "ReRankEndEvent"]
FAILED = ["ReRankStartEvent", "ExceptionEvent", "ReRankEndEvent"]


class Legacy(BaseCallbackHandler):
    """Keeps the payloads of LlamaIndex's older callbacks."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def on_event_start(
        self, event_type: CBEventType, payload: Any = None, event_id: str = "", parent_id: str = "", **kwargs: Any
    ) -> str:
        if event_type is CBEventType.RERANKING:
            self.seen.append(("start", payload or {}))
        return event_id

    def on_event_end(self, event_type: CBEventType, payload: Any = None, event_id: str = "", **kwargs: Any) -> None:
        if event_type is CBEventType.RERANKING:
            self.seen.append(("end", payload or {}))

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None: ...


def call(rerank: ResiftRerank, how: str, nodes: list[NodeWithScore], query: str | None = QUERY) -> list[NodeWithScore]:
    if how == "sync":
        return rerank.postprocess_nodes(nodes, query_str=query)
    return asyncio.run(rerank.apostprocess_nodes(nodes, query_str=query))


def facts(nodes: list[NodeWithScore]) -> list[tuple[str, float | None]]:
    return [(node.node_id, node.score) for node in nodes]


both = pytest.mark.parametrize("how", ["sync", "async"])


@both
def test_success_tells_what_went_in_and_what_came_out(how: str, nodes: list[NodeWithScore], events: Any) -> None:
    results = call(ResiftRerank(reranker=Reranker(OverlapScorer()), top_n=2), how, nodes)
    assert events.rerank == PAIR
    start, end = events.named(*PAIR)
    assert (start.query, start.top_n, start.model_name) == (QUERY, 2, "overlap")
    assert facts(start.nodes) == [("n0", 0.9), ("n1", 0.8), ("n2", 0.7)]
    assert facts(end.nodes) == facts(results) == [("n1", 1.0), ("n2", 0.5)]
    assert end.tags == {}


@both
def test_events_stay_as_they_were_when_nodes_are_edited_later(
    how: str, nodes: list[NodeWithScore], events: Any
) -> None:
    legacy = Legacy()
    manager = CallbackManager([legacy])
    results = call(ResiftRerank(reranker=Reranker(OverlapScorer()), callback_manager=manager), how, nodes)
    reported = [event.nodes for event in events.named(*PAIR)] + [
        payload[EventPayload.NODES] for _, payload in legacy.seen
    ]
    before = [[node.model_dump_json() for node in listed] for listed in reported]
    for node in [*nodes, *results]:
        node.score = -1.0
        node.node.metadata["window"] = "added later"
        node.node.set_content("replaced later")
    results.clear()
    assert [[node.model_dump_json() for node in listed] for listed in reported] == before
    assert len(reported) == 4


@both
def test_top_n_is_a_number_in_events_even_when_all_are_kept(how: str, nodes: list[NodeWithScore], events: Any) -> None:
    call(ResiftRerank(reranker=Reranker(OverlapScorer()), top_n=None), how, nodes)
    assert events.named("ReRankStartEvent")[0].top_n == 3


@both
def test_no_nodes_are_no_reranking(how: str, events: Any, spans: Any) -> None:
    assert call(ResiftRerank(), how, []) == []
    assert events.rerank == []
    assert len(spans.ended) == 1


@both
def test_no_query_is_refused_before_any_event(how: str, nodes: list[NodeWithScore], events: Any) -> None:
    with pytest.raises(InputError):
        call(ResiftRerank(), how, nodes, None)
    assert events.rerank == []


@both
def test_a_model_that_cant_load_fails_before_any_event(how: str, nodes: list[NodeWithScore], events: Any) -> None:
    with pytest.raises(ValueError, match="no-such-scheme"):
        call(ResiftRerank(model="no-such-scheme:nothing"), how, nodes)
    assert events.rerank == []


@both
def test_an_error_ends_what_it_started(how: str, nodes: list[NodeWithScore], events: Any, spans: Any) -> None:
    legacy = Legacy()
    rerank = ResiftRerank(
        reranker=Reranker(ScriptedScorer(RuntimeError("down"))), callback_manager=CallbackManager([legacy])
    )
    with pytest.raises(ScorerError) as caught:
        call(rerank, how, nodes)
    assert events.rerank == FAILED
    _, exception, end = events.named(*FAILED)
    assert exception.exception is caught.value
    assert end.nodes == []
    assert end.tags == {"resift.error": "ScorerError: scripted failed: RuntimeError: down"}
    assert [kind for kind, _ in legacy.seen] == ["start", "end"]
    assert legacy.seen[1][1] == {EventPayload.EXCEPTION: caught.value}
    assert [kind for _, kind in spans.ended] == ["drop"]


def test_a_handler_that_raises_leaves_no_start_without_an_end(nodes: list[NodeWithScore], events: Any) -> None:
    class Broken(Legacy):
        def on_event_end(self, event_type: CBEventType, payload: Any = None, event_id: str = "", **kwargs: Any) -> None:
            raise LookupError("handler broke")

    rerank = ResiftRerank(reranker=Reranker(OverlapScorer()), callback_manager=CallbackManager([Broken()]))
    with pytest.raises(LookupError):
        rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert events.rerank == FAILED


async def test_a_cancelled_call_ends_what_it_started(nodes: list[NodeWithScore], events: Any) -> None:
    class Waiting(OverlapScorer):
        async def ascore(self, query: str, documents: list[str]) -> list[float]:
            await asyncio.sleep(60)
            return []

    task = asyncio.create_task(ResiftRerank(reranker=Reranker(Waiting())).apostprocess_nodes(nodes, query_str=QUERY))
    await asyncio.sleep(0.01)
    assert events.rerank == ["ReRankStartEvent"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events.rerank == FAILED


@both
def test_a_kept_order_is_tagged(how: str, nodes: list[NodeWithScore], events: Any) -> None:
    reranker = Reranker(ScriptedScorer(RuntimeError("down")), on_error="keep_order")
    call(ResiftRerank(reranker=reranker), how, nodes)
    assert events.rerank == PAIR
    end = events.named("ReRankEndEvent")[0]
    assert end.tags == {"resift.degraded": "first-stage order kept: scripted failed: RuntimeError: down"}
    assert facts(end.nodes) == facts(nodes)


@both
def test_the_older_callbacks_hear_of_it_too(how: str, nodes: list[NodeWithScore]) -> None:
    legacy = Legacy()
    rerank = ResiftRerank(reranker=Reranker(OverlapScorer()), top_n=1, callback_manager=CallbackManager([legacy]))
    call(rerank, how, nodes)
    (first, start), (second, end) = legacy.seen
    assert (first, second) == ("start", "end")
    assert facts(start.pop(EventPayload.NODES)) == facts(nodes)
    assert start == {EventPayload.MODEL_NAME: "overlap", EventPayload.QUERY_STR: QUERY, EventPayload.TOP_K: 1}
    assert facts(end[EventPayload.NODES]) == [("n1", 1.0)]


@pytest.mark.parametrize(("how", "method"), [("sync", "_postprocess_nodes"), ("async", "_apostprocess_nodes")])
def test_both_paths_have_one_span_and_their_events_lie_in_it(
    how: str, method: str, nodes: list[NodeWithScore], events: Any, spans: Any
) -> None:
    call(ResiftRerank(reranker=Reranker(OverlapScorer())), how, nodes)
    assert spans.ended == [(f"ResiftRerank.{method}", "exit")]
    within = {event.span_id for event in events.named(*PAIR)}
    assert len(within) == 1
    assert within.pop().startswith(f"ResiftRerank.{method}-")
