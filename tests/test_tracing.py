"""Spans of rankings: their attributes, their parents, and that no text is in them unless asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from llama_index.core.schema import NodeWithScore, TextNode
from openinference.semconv.trace import OpenInferenceSpanKindValues, RerankerAttributes, SpanAttributes
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_tracer

from langchain_resift import ResiftRerank as LangChainRerank
from llama_index.postprocessor.resift import ResiftRerank as LlamaIndexRerank
from resift import Reranker, ScorerError
from resift.testing import OverlapScorer
from resift.tracing import trace_rankings

QUERY = "red fox"
DOCUMENTS = ["a whale", "a fox", "a red fox"]
Record = Callable[..., "Recorder"]


class Recorder:
    """Where spans go."""

    def __init__(self, *, texts: bool = False) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.stop = trace_rankings(texts=texts, tracer_provider=self.provider)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def parent(self) -> Any:
        return get_tracer("user", tracer_provider=self.provider).start_as_current_span("user")


@pytest.fixture
def record() -> Iterator[Record]:
    recorders: list[Recorder] = []

    def start(**options: Any) -> Recorder:
        recorders.append(Recorder(**options))
        return recorders[-1]

    yield start
    for recorder in recorders:
        recorder.stop()


def test_a_span_says_what_was_ranked_and_how_but_no_text(record: Record) -> None:
    recorder = record()
    Reranker(OverlapScorer(), top_k=2).rank(QUERY, DOCUMENTS)
    (span,) = recorder.spans
    attributes = dict(span.attributes or {})
    assert span.name == "rerank overlap"
    assert attributes[SpanAttributes.OPENINFERENCE_SPAN_KIND] == OpenInferenceSpanKindValues.RERANKER.value
    assert attributes["gen_ai.operation.name"] == "rerank"
    assert attributes[RerankerAttributes.RERANKER_MODEL_NAME] == "overlap"
    assert (attributes[RerankerAttributes.RERANKER_TOP_K], attributes["resift.candidates"]) == (2, 3)
    output = RerankerAttributes.RERANKER_OUTPUT_DOCUMENTS
    assert [attributes[f"{output}.{rank}.document.id"] for rank in (0, 1)] == ["2", "1"]
    assert attributes[f"{output}.0.document.score"] == 1.0
    assert f"{output}.2.document.id" not in attributes
    assert not any("fox" in str(value) or "whale" in str(value) for value in attributes.values())


def test_texts_are_recorded_when_asked_for(record: Record) -> None:
    recorder = record(texts=True)
    Reranker(OverlapScorer()).rank(QUERY, DOCUMENTS)
    attributes = dict(recorder.spans[0].attributes or {})
    assert attributes[RerankerAttributes.RERANKER_QUERY] == attributes[SpanAttributes.INPUT_VALUE] == QUERY
    for index, text in enumerate(DOCUMENTS):
        assert attributes[f"{RerankerAttributes.RERANKER_INPUT_DOCUMENTS}.{index}.document.content"] == text
    assert attributes[f"{RerankerAttributes.RERANKER_OUTPUT_DOCUMENTS}.0.document.content"] == "a red fox"


async def test_every_way_to_rank_has_one_span_per_ranking(record: Record) -> None:
    recorder, reranker = record(), Reranker(OverlapScorer())
    await reranker.arank(QUERY, DOCUMENTS)
    assert len(recorder.spans) == 1
    reranker.rank_many([QUERY, "whale"], [DOCUMENTS, DOCUMENTS[:1]])
    assert [dict(span.attributes or {})["resift.candidates"] for span in recorder.spans[1:]] == [1, 3]
    await reranker.arank_many([QUERY], [DOCUMENTS])
    reranker.rank_many([], [])
    assert len(recorder.spans) == 4
    recorder.stop()
    reranker.rank(QUERY, DOCUMENTS)
    assert len(recorder.spans) == 4


async def test_the_frameworks_span_is_the_parent(record: Record) -> None:
    recorder = record()
    reranker = Reranker(OverlapScorer())
    compressor, postprocessor = LangChainRerank(reranker=reranker), LlamaIndexRerank(reranker=reranker)
    documents = [Document(text) for text in DOCUMENTS]
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in DOCUMENTS]
    chain = RunnableLambda(lambda question: compressor.compress_documents(documents, question))
    with recorder.parent() as parent:
        compressor.compress_documents(documents, QUERY)
        await compressor.acompress_documents(documents, QUERY)
        chain.invoke(QUERY)
        await chain.ainvoke(QUERY)
        postprocessor.postprocess_nodes(nodes, query_str=QUERY)
        await postprocessor.apostprocess_nodes(nodes, query_str=QUERY)
        await asyncio.gather(*(reranker.arank(QUERY, DOCUMENTS) for _ in range(2)))
    ranked = [span for span in recorder.spans if span.name.startswith("rerank")]
    assert len(ranked) == 8
    assert {span.parent and span.parent.span_id for span in ranked} == {parent.get_span_context().span_id}


def test_what_a_scorer_does_is_below_the_ranking(record: Record) -> None:
    recorder = record()

    class Traced(OverlapScorer):
        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            with get_tracer("scorer", tracer_provider=recorder.provider).start_as_current_span("request"):
                return super().score(query, documents)

    Reranker(Traced()).rank(QUERY, DOCUMENTS)
    below, ranking = recorder.spans
    assert (below.name, ranking.name) == ("request", "rerank overlap")
    assert below.parent is not None
    assert ranking.context is not None
    assert below.parent.span_id == ranking.context.span_id


def test_a_failure_is_in_the_span(record: Record) -> None:
    recorder = record()

    class Broken(OverlapScorer):
        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            raise RuntimeError("down")

    with pytest.raises(ScorerError):
        Reranker(Broken()).rank(QUERY, DOCUMENTS)
    assert recorder.spans[0].status.status_code is StatusCode.ERROR
    Reranker(Broken(), on_error="keep_order").rank(QUERY, DOCUMENTS)
    assert "down" in str(dict(recorder.spans[1].attributes or {})["resift.degraded"])
    assert recorder.spans[1].status.status_code is StatusCode.UNSET
