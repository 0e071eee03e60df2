"""A span for every ranking, for OpenTelemetry: `trace_rankings()`. Needs `resift[otel]`.

The attributes are those that OpenInference has for rerankers (its semantic conventions: `reranker.*`), those of
OpenTelemetry's GenAI conventions that fit, and `resift.*` for what neither of them has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Any

from resift.errors import MissingExtraError
from resift.reranking.call import RankCall
from resift.reranking.limits import Limits
from resift.reranking.observers import OBSERVERS, Report
from resift.reranking.ranking import Ranking
from resift.scorer import Scorer

try:
    from opentelemetry.trace import Span, SpanKind, TracerProvider, get_tracer, use_span
except ImportError as error:
    raise MissingExtraError("tracing", "otel") from error


def trace_rankings(*, texts: bool = False, tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Record a span for every ranking of this process from now on.

    A span is a child of the span that is current where `rank` is called, through LangChain and LlamaIndex too; what a
    scorer does, such as a request to a service, is below it.

    Args:
        texts: Record the query and the documents' texts too. They may be private, and they are long.
        tracer_provider: Where spans go. None: OpenTelemetry's global one.

    Returns:
        A function that ends it.
    """
    tracer = get_tracer("resift", version("resift"), tracer_provider)

    @contextmanager
    def observe(scorer: Scorer, calls: Sequence[RankCall[Any]], limits: Limits) -> Iterator[Report]:
        with ExitStack() as stack:
            spans = [
                tracer.start_span(
                    f"rerank {scorer.name}",
                    kind=SpanKind.INTERNAL,
                    attributes={**_of_call(scorer, call, limits), **(_texts_of_call(call) if texts else {})},
                )
                for call in calls
            ]
            for span in spans:  # the last one is current: in a ranking of several queries, what a scorer does is shared
                stack.enter_context(use_span(span, end_on_exit=True))

            def report(rankings: Sequence[Ranking[Any]]) -> None:
                for span, ranking in zip(spans, rankings, strict=True):
                    _set_result(span, ranking, texts=texts)

            yield report

    OBSERVERS.append(observe)

    def stop() -> None:
        if observe in OBSERVERS:
            OBSERVERS.remove(observe)

    return stop


def _of_call(scorer: Scorer, call: RankCall[Any], limits: Limits) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "openinference.span.kind": "RERANKER",
        "gen_ai.operation.name": "rerank",
        "gen_ai.request.model": scorer.name,
        "reranker.model_name": scorer.name,
        "resift.candidates": len(call.documents),
    }
    if limits.top_k is not None:
        attributes |= {"reranker.top_k": limits.top_k}
    return attributes


def _texts_of_call(call: RankCall[Any]) -> dict[str, str]:
    query = call.request.query
    texts = (call.unique[slot] for slot in call.slots)
    documents = {f"reranker.input_documents.{index}.document.content": text for index, text in enumerate(texts)}
    return {"reranker.query": query, "input.value": query} | documents


def _set_result(span: Span, ranking: Ranking[Any], *, texts: bool) -> None:
    stats = ranking.stats
    attributes: dict[str, str | int | float] = {
        "gen_ai.response.model": ranking.model,
        "gen_ai.usage.input_tokens": stats.tokens,
        "resift.truncated": stats.truncated,
        "resift.cache_hits": stats.cache_hits,
        "resift.states_kept": stats.states_kept,
    }
    if ranking.degraded:
        attributes["resift.degraded"] = ranking.degraded
    for hit in ranking:
        prefix = f"reranker.output_documents.{hit.rank - 1}.document"
        attributes |= {f"{prefix}.id": str(hit.index), f"{prefix}.score": hit.score}
        if texts:
            attributes[f"{prefix}.content"] = hit.text
    span.set_attributes(attributes)
